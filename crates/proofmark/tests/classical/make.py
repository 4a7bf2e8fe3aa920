"""Makes the models of the test of declared scikit-learn pipelines: columns of every kind, each
an input of its own, and a bag of words.

    python make.py       (versions: ../../../engine/tests/zoo/requirements.txt, and pandas)

`columns.onnx` with `test.csv` and `expected.npy` (scikit-learn's own predict_proba), `words.onnx`
with `words.npz` and `words_expected.npy`.
"""

import csv
import sys
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
sys.path.insert(0, str(ROOT / "crates/engine/tests/zoo"))
import sklearn_breadth  # noqa: E402

COLUMNS = ["amount", "age", "installment_rate", "purpose", "savings"]
ROWS = 60
SEED = 20261122


def frame(name):
    import pandas as pd

    rows = list(csv.DictReader(open(ROOT / "examples/credit" / f"{name}.csv", newline="")))
    table = pd.DataFrame({c: [r[c] for r in rows] for c in COLUMNS})
    table[["amount", "age"]] = table[["amount", "age"]].astype(np.float32)
    table["installment_rate"] = table["installment_rate"].astype(np.int64)
    # Every ninth age is not known.
    table.loc[::9, "age"] = np.nan
    return table, np.array(["good" if r["class"] == "1" else "bad" for r in rows])


def convert(model, types, options, name):
    from skl2onnx import convert_sklearn

    proto = convert_sklearn(model, name, types, options=options,
                            target_opset={"": 17, "ai.onnx.ml": 3})
    (HERE / f"{name}.onnx").write_bytes(proto.SerializeToString(deterministic=True))


def columns():
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
    from sklearn.svm import SVC

    table, labels = frame("train")
    table, labels = table.head(240), labels[:240]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    front = ColumnTransformer([
        ("numbers", numbers, ["amount", "age"]),
        ("rate", StandardScaler(), ["installment_rate"]),
        ("purpose", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["purpose"]),
        ("savings", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
         ["savings"])])
    back = SVC(probability=True, random_state=SEED, class_weight="balanced")
    model = make_pipeline(front, back).fit(table, labels)
    kinds = {"installment_rate": Int64TensorType, "purpose": StringTensorType,
             "savings": StringTensorType}
    types = [(c, kinds.get(c, FloatTensorType)([None, 1])) for c in COLUMNS]
    convert(model, types, {id(back): {"zipmap": False}}, "columns")
    table, labels = frame("test")
    table, labels = table.head(ROWS), labels[:ROWS]
    np.save(HERE / "expected.npy", model.predict_proba(table))
    with open(HERE / "test.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, "class"])
        for row, label in zip(table.itertuples(index=False), labels):
            cells = [("" if v != v else f"{v:g}") if isinstance(v, float) else v for v in row]
            writer.writerow([*cells, label])


def words():
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    good = ["fine service", "very good and kind", "good price, fine food", "kind people"]
    bad = ["slow service", "not good at all", "cold food, bad price", "rude people"]
    texts, labels = np.array((good + bad) * 3), np.array(([1] * 4 + [0] * 4) * 3)
    front = TfidfVectorizer(token_pattern="[a-zA-Z0-9_]+")
    back = LogisticRegression(C=10)
    model = make_pipeline(front, back).fit(texts, labels)
    options = {id(back): {"zipmap": False}, id(front): {"tokenexp": "[a-zA-Z0-9_]+"}}
    convert(model, [("text", StringTensorType([None, 1]))], options, "words")
    asked = np.array(["Good FOOD", "bad, rude & slow!", "", "the unknown", "fine people"])
    np.savez(HERE / "words.npz", text=asked[:, None])
    np.save(HERE / "words_expected.npy", model.predict_proba(asked))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sklearn_breadth.patch_converters()
    columns()
    words()
