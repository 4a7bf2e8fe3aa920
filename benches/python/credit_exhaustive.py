"""The exact answer to the credit example's threats, by trying every allowed candidate.

    python credit_exhaustive.py OUT.json

Within the declared budgets only `amount` and `duration` can move by a whole step, so every refused
bad risk of the test split has at most some fifty thousand candidates. All are scored by ONNX
Runtime on the bundled files. No attack can break a row that is not listed here; a complete one
breaks all that are. The committed result is `credit_exhaustive.json`.

Per model and budget: `refused` bad risks at the cut-off, `broken` ids (line in `german.data`) that
some candidate turns into a grant, and for each the least change found, as a share of the bounds.
"""

import argparse
import csv
import json
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import onnxruntime as ort

CREDIT = Path(__file__).resolve().parents[2] / "examples" / "credit"
FREE = ["amount", "duration"]


def allowed(value, bounds, eps):
    """Whole numbers inside the bounds and within `eps` of their range, as float32."""
    low, high = bounds
    reach = eps * (high - low)
    return np.array([v for v in range(low, high + 1) if abs(v - value) <= reach], np.float32)


def feed(session, row, amounts, durations):
    """Every pair of amount and duration of one row as model inputs."""
    a, d = (grid.reshape(-1, 1) for grid in np.meshgrid(amounts, durations))
    inputs = {}
    for each in session.get_inputs():
        kind = object if "string" in each.type else np.float32
        inputs[each.name] = np.full((len(a), 1), row[each.name], dtype=kind)
    inputs["amount"], inputs["duration"] = a, d
    return inputs, a[:, 0], d[:, 0]


def check_whole_steps(features, eps):
    """Stops when the declaration lets another whole number move."""
    for name, feature in features.items():
        if feature.get("mutable") and name not in FREE:
            low, high = feature["bounds"]
            if eps * (high - low) >= 1:
                raise SystemExit(f"{name} can move within {eps}")


def exact(session, rows, features, cutoff, budgets):
    widest = max(budgets)
    check_whole_steps(features, widest)
    least = {}
    refused = 0
    for row in rows:
        if row["class"] != "2":
            continue
        clean = {k: float(row[k]) for k in FREE}
        spans = {k: features[k]["bounds"][1] - features[k]["bounds"][0] for k in FREE}
        inputs, a, d = feed(session, row, *(allowed(clean[k], features[k]["bounds"], widest)
                                            for k in FREE))
        bad = session.run(["probabilities"], inputs)[0][:, 1]
        change = np.maximum(np.abs(a - clean["amount"]) / spans["amount"],
                            np.abs(d - clean["duration"]) / spans["duration"])
        # The comparison is made in f64 on the float32 score, as the judge does.
        granted = bad.astype(np.float64) < cutoff
        if granted[change == 0].any():
            continue
        refused += 1
        if granted.any():
            least[row["id"]] = float(change[granted].min())
    total = sum(r["class"] == "2" for r in rows)
    found = []
    for eps in budgets:
        broken = {i: round(c, 6) for i, c in least.items() if c <= eps}
        found.append({"eps": eps, "robust_recall": (refused - len(broken)) / total,
                      "broken": broken})
    return {"bad": total, "refused": refused, "budgets": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    declared = tomllib.loads((CREDIT / "proofmark.toml").read_text())
    with open(CREDIT / declared["data"]["test"]["path"], newline="") as file:
        rows = list(csv.DictReader(file))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    record = {"versions": {"onnxruntime": metadata.version("onnxruntime")}, "models": {}}
    for threat in declared["threats"].values():
        for name in threat["models"]:
            model = declared["models"][name]
            session = ort.InferenceSession(str(CREDIT / model["path"]), options,
                                           providers=["CPUExecutionProvider"])
            record["models"][name] = exact(session, rows, declared["features"],
                                           model["decision"]["at"], threat["eps"])
            for each in record["models"][name]["budgets"]:
                print(name, each["eps"], round(each["robust_recall"], 4), len(each["broken"]))
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
