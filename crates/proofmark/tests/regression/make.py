"""Models and data of the regression tests.

Data: the diabetes study of Efron, Hastie, Johnstone and Tibshirani, "Least angle regression"
(Annals of Statistics 2004), 442 patients, as scikit-learn carries it (BSD licence): ten columns
in their own units, the label is a measure of disease progression one year on.

Run:  python make.py     (numpy, scikit-learn, skl2onnx, onnx)
"""

import csv

import numpy as np
import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = load_diabetes(scaled=False)
names = list(data.feature_names)
order = np.random.default_rng(20261122).permutation(len(data.target))
test, train = order[:180], order[180:]


def write(path, rows):
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(names + ["progression"])
        for row in rows:
            out.writerow([f"{float(v)!r}" for v in data.data[row]] + [f"{float(data.target[row])!r}"])


write("test.csv", test)
write("train.csv", train)
x, y = data.data.astype(np.float32), data.target.astype(np.float32)
models = {
    "linear": make_pipeline(StandardScaler(), LinearRegression()),
    "mlp": make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(16,), max_iter=4000, alpha=3.0,
                                                        random_state=1)),
    "trees": GradientBoostingRegressor(n_estimators=30, max_depth=3, learning_rate=0.1,
                                       random_state=1),
}
width = [("x", FloatTensorType([None, len(names)]))]
for name, model in models.items():
    model.fit(x[train], y[train])
    file = to_onnx(model, initial_types=width, target_opset=17)
    onnx.save(file, f"{name}.onnx")
    answers = model.predict(x[test]).astype(np.float32)
    np.save(f"expected_{name}.npy", answers)
    errors = np.abs(answers - y[test])
    print(name, errors.mean(), np.sqrt((errors ** 2).mean()), np.quantile(errors, 0.9),
          [o.name for o in file.graph.output])

# A network with three heads, as multi-output training leaves it: progression, its double, noise.
from onnx import TensorProto, helper, numpy_helper

linear = models["linear"]
scaler, line = linear.steps[0][1], linear.steps[1][1]
w = (line.coef_ / scaler.scale_).astype(np.float32)
b = np.float32(line.intercept_ - (line.coef_ * scaler.mean_ / scaler.scale_).sum())
weights = np.stack([w * 2, w, np.zeros_like(w)], axis=1)
offsets = np.array([2 * b, b, 1.0], dtype=np.float32)
graph = helper.make_graph(
    [helper.make_node("Gemm", ["x", "w", "b"], ["heads"])], "heads",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(names)])],
    [helper.make_tensor_value_info("heads", TensorProto.FLOAT, [None, 3])],
    [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(offsets, "b")])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
          "heads.onnx")
