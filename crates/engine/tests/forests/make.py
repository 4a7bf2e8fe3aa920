"""Makes the forests of this folder: scikit-learn's own answers for their exported files.

    python make.py    # numpy, scikit-learn, skl2onnx, onnxruntime

A forest compares f32 values with f64 thresholds; the exported file holds thresholds in f32, which
skl2onnx rounds so that no f32 value changes sides. All rows are compared with scikit-learn's own
answers (`answer`, f64); `exported` is what ONNX Runtime makes of the file.

Of the 1,000 rows of each forest a third have a value on a threshold (as the nearest f32), a third
right beside one (the next f32 above or below), and the rest are drawn.
"""

from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier,
                              RandomForestRegressor)

HERE = Path(__file__).resolve().parent
SEED = 20261122
ROWS, COLUMNS = 1000, 6


def trees(model):
    return [tree.tree_ for tree in model.estimators_]


def rows(model, x, rng):
    """Rows of which most have one value on a threshold, or right beside one."""
    pairs = [(f, t) for tree in trees(model)
             for f, t in zip(tree.feature, tree.threshold) if f >= 0]
    out = x[rng.integers(len(x), size=ROWS)].astype(np.float32)
    for i in range(ROWS * 2 // 3):
        feature, threshold = pairs[rng.integers(len(pairs))]
        value = np.float32(threshold)
        if i >= ROWS // 3:
            value = np.nextafter(value, np.float32(rng.choice([-np.inf, np.inf])))
        out[i, feature] = value
    return out


def save(name, model, x, y):
    rng = np.random.default_rng(SEED)
    model.fit(x.astype(np.float32), y)
    test = rows(model, x, rng)
    classifier = hasattr(model, "predict_proba")
    options = {id(model): {"zipmap": False}} if classifier else None
    proto = convert_sklearn(model, "forest", [("x", FloatTensorType([None, COLUMNS]))],
                            options=options, target_opset={"": 17, "ai.onnx.ml": 3})
    answer = model.predict_proba(test) if classifier else model.predict(test)[:, None]
    session = onnxruntime.InferenceSession(proto.SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    file = session.run([proto.graph.output[-1].name], {"x": test})[0]
    (HERE / f"{name}.onnx").write_bytes(proto.SerializeToString())
    np.savez_compressed(HERE / f"{name}.npz", x=test, answer=answer.astype(np.float64),
                        exported=file)
    apart = np.abs(answer - file).max(axis=1)
    print(f"{name}: ONNX Runtime at most {apart.max():.1e} from scikit-learn")


two = make_classification(600, COLUMNS, n_informative=5, n_redundant=0, random_state=SEED)
three = make_classification(600, COLUMNS, n_informative=5, n_redundant=0, n_classes=3,
                            n_clusters_per_class=1, random_state=SEED)
score = make_regression(600, COLUMNS, noise=3.0, random_state=SEED)
small = {"n_estimators": 20, "max_depth": 5, "random_state": SEED}
save("random_two", RandomForestClassifier(**small), *two)
save("random_three", RandomForestClassifier(**small), *three)
save("random_score", RandomForestRegressor(**small), score[0], score[1] / 100)
save("extra_two", ExtraTreesClassifier(**small), *two)
save("extra_score", ExtraTreesRegressor(**small), score[0], score[1] / 100)
