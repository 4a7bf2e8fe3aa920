"""Data, models and constraints for the bench of genetic search, from the Adult census.

    PEER benches/moeva/make.py ADULT OUT     ADULT: folder with adult.data and adult.test

Writes OUT/test.csv, OUT/gbm.onnx, OUT/mlp.onnx and OUT/constraints.toml. Categories are codes in
one matrix of floats, so that neither side reads texts. `net_capital` is a column that follows from
two others, and a model reads it: rows that move one without the other are no rows of this table.
"""

import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NAMES = ["age", "workclass", "fnlwgt", "education", "education_num", "marital", "occupation",
         "relationship", "race", "sex", "capital_gain", "capital_loss", "hours", "country"]
KEPT = ["age", "education_num", "capital_gain", "capital_loss", "net_capital", "hours",
        "workclass", "marital", "occupation", "relationship", "sex"]
TEST_ROWS = 1500
CONSTRAINTS = """\
[constraints]
relations = [
    "net_capital = capital_gain - capital_loss",
    "capital_gain = 0 or capital_loss = 0",
    "age >= education_num + 1",
    "if capital_gain > 0 then capital_gain >= 114",
    "hours * 52 <= 8736 - 52 * floor(age / 10)",
]

"""
# What an attacker can move; education only up.
FREE = ["education_num", "capital_gain", "capital_loss", "net_capital", "hours"]


def read(path):
    rows = []
    for line in path.read_text().splitlines():
        cells = [c.strip() for c in line.strip().rstrip(".").split(",")]
        if len(cells) == 15 and "?" not in cells:
            rows.append(cells)
    return rows


def table(rows, codes):
    columns = {}
    for at, name in enumerate(NAMES):
        cells = [r[at] for r in rows]
        if name in codes:
            columns[name] = [codes[name].index(c) if c in codes[name] else 0 for c in cells]
        else:
            columns[name] = [int(c) if c.lstrip("-").isdigit() else 0 for c in cells]
    gain, loss = np.array(columns["capital_gain"]), np.array(columns["capital_loss"])
    columns["net_capital"] = gain - loss
    return np.array([columns[name] for name in KEPT], dtype=np.float32).T, \
        np.array([int(r[14].startswith(">")) for r in rows])


def main():
    adult, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    train, test = read(adult / "adult.data"), read(adult / "adult.test")
    texts = ["workclass", "marital", "occupation", "relationship", "sex"]
    codes = {name: sorted({r[NAMES.index(name)] for r in train}) for name in texts}
    x, y = table(train, codes)
    x_test, y_test = table(test, codes)
    x_test, y_test = x_test[:TEST_ROWS], y_test[:TEST_ROWS]
    assert np.all((x_test[:, 2] == 0) | (x_test[:, 3] == 0))
    kept = (x_test[:, 0] >= x_test[:, 1] + 1) & (
        x_test[:, 5] * 52 <= 8736 - 52 * np.floor(x_test[:, 0] / 10))
    print(f"{np.sum(~kept)} of {len(kept)} rows break the other relations and are left out")
    x_test, y_test = x_test[kept], y_test[kept]
    models = {
        "gbm": GradientBoostingClassifier(n_estimators=150, max_depth=4, random_state=1),
        "mlp": make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=25, random_state=1)),
    }
    for name, model in models.items():
        model.fit(x, y)
        print(f"{name}: accuracy {model.score(x_test, y_test):.3f} on {len(y_test)} rows")
        options = {id(model): {"zipmap": False}}
        graph = to_onnx(model, x[:1], options=options, target_opset=15)
        (out / f"{name}.onnx").write_bytes(graph.SerializeToString())
    lines = [",".join([*KEPT, "income"])]
    for cells, label in zip(x_test, y_test):
        lines.append(",".join([*(str(int(c)) for c in cells), str(label)]))
    (out / "test.csv").write_text("\n".join(lines) + "\n")
    text = CONSTRAINTS
    for name in FREE:
        column = x_test[:, KEPT.index(name)]
        way = 'direction = "increase"\n' if name == "education_num" else ""
        text += f"\n[features.{name}]\nbounds = [{column.min():.0f}, {column.max():.0f}]\n{way}"
    (out / "constraints.toml").write_text(text)


main()
