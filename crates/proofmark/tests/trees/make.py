"""Makes the tree models of this folder from examples/credit (whole numbers only).

    python make.py    # needs numpy, xgboost, lightgbm

`gbm.json` is XGBoost's, `gbm.txt` LightGBM's, `dump.json` a dump of the same XGBoost model whose
base margin and objective must be declared. `expected_*.npy` are the libraries' own probabilities
on test.csv.
"""

import csv
import json
from pathlib import Path

import lightgbm
import numpy as np
import xgboost

HERE = Path(__file__).resolve().parent
CREDIT = HERE / "../../../../examples/credit"
COLUMNS = ["duration", "amount", "installment_rate", "residence_since", "age",
           "existing_credits", "people_liable"]


def rows(name):
    with open(CREDIT / name, newline="") as file:
        table = list(csv.DictReader(file))
    x = np.array([[float(row[c]) for c in COLUMNS] for row in table])
    return x, np.array([int(row["class"] == "2") for row in table])


x, y = rows("train.csv")
test, _ = rows("test.csv")

booster = xgboost.XGBClassifier(n_estimators=40, max_depth=3, learning_rate=0.2, n_jobs=1, seed=1)
booster.fit(x, y)
model = booster.get_booster()
model.feature_names = COLUMNS
model.save_model(HERE / "gbm.json")
np.save(HERE / "expected_json.npy", booster.predict_proba(test).astype(np.float32))
model.feature_names = None
model.dump_model(HERE / "dump.json", dump_format="json")

light = lightgbm.train(
    {"objective": "binary", "num_leaves": 8, "learning_rate": 0.1, "verbose": -1, "seed": 1,
     "num_threads": 1, "deterministic": True},
    lightgbm.Dataset(x, y, feature_name=COLUMNS), 40,
)
light.save_model(HERE / "gbm.txt")
p = light.predict(test)
np.save(HERE / "expected_txt.npy", np.stack([1 - p, p], axis=1).astype(np.float32))

score = json.loads(model.save_config())["learner"]["learner_model_param"]["base_score"]
print("base_score", score)
