"""Makes everything in this folder from UCI's `german.data`: the splits, both models, the scores.

    python train.py /path/to/german.data          # writes next to this file
    python train.py /path/to/german.data --out D  # writes to folder D, to compare
    python train.py /path/to/german.data --hardened adversarial-rows.csv
                                                  # only mlp_hardened.onnx, with rows of `harden`

Not needed to run Proofmark. Versions are pinned in `requirements.txt`; seeds are fixed and one
thread is used, so the same versions on the same kind of CPU give the same files.

Rules this script keeps:
* the test split is used for two things only: the scores that are stored for the parity check, and
  the final accuracies, printed last. Nothing is chosen on it;
* early stopping, the cut-offs and the thresholds of the criteria are chosen on the validation
  split, by the rules written in `choose_cutoff` and `thresholds.py`;
* the hardened network is chosen among a few settings by the cost under attack on the validation
  split, its cut-off by the same rule as the others (`train_hardened`);
* `training.json` and `hardened.json` record every figure and every choice, and `proofmark.toml`
  repeats the choices (`check_declaration` compares them).
"""

import argparse
import csv
import json
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import sklearn
import skl2onnx
import torch
from onnx import compose, helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import thresholds

HERE = Path(__file__).resolve().parent
SEED = 20261122
OPSET = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
SIZES = {"train": 500, "validation": 200, "test": 300}
# UCI's cost matrix: granting a bad credit costs 5, refusing a good one costs 1.
COST_BAD_GRANTED, COST_GOOD_REFUSED = 5, 1
EPS = [0.02, 0.05, 0.1]

# Column name, then the names of UCI's codes in our words; None: a whole number.
COLUMNS = {
    "checking_status": {
        "A11": "below 0 DM", "A12": "0 to 199 DM", "A13": "200 DM or more or salary account",
        "A14": "no checking account",
    },
    "duration": None,
    "credit_history": {
        "A30": "no credits or all paid back", "A31": "all credits here paid back",
        "A32": "existing credits paid back so far", "A33": "delay in the past",
        "A34": "critical account or credits elsewhere",
    },
    "purpose": {
        "A40": "new car", "A41": "used car", "A42": "furniture or equipment",
        "A43": "radio or television", "A44": "domestic appliances", "A45": "repairs",
        "A46": "education", "A47": "vacation", "A48": "retraining", "A49": "business",
        "A410": "other",
    },
    "amount": None,
    "savings": {
        "A61": "below 100 DM", "A62": "100 to 499 DM", "A63": "500 to 999 DM",
        "A64": "1000 DM or more", "A65": "unknown or none",
    },
    "employment_since": {
        "A71": "unemployed", "A72": "less than 1 year", "A73": "1 to 3 years",
        "A74": "4 to 6 years", "A75": "7 years or more",
    },
    "installment_rate": None,
    "personal_status": {
        "A91": "male divorced or separated", "A92": "female divorced separated or married",
        "A93": "male single", "A94": "male married or widowed", "A95": "female single",
    },
    "other_debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "residence_since": None,
    "property": {
        "A121": "real estate", "A122": "building society savings or life insurance",
        "A123": "car or other", "A124": "unknown or none",
    },
    "age": None,
    "other_installment_plans": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "free"},
    "existing_credits": None,
    "job": {
        "A171": "unemployed or unskilled non-resident", "A172": "unskilled resident",
        "A173": "skilled", "A174": "management or self-employed or highly qualified",
    },
    "people_liable": None,
    "telephone": {"A191": "no", "A192": "yes"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
}
# Not read by the models: sex and origin must not decide on a credit. They stay in the files, so
# that the figures can be broken down by sex.
LEFT_OUT = ["personal_status", "foreign_worker"]
NUMBERS = [c for c, m in COLUMNS.items() if m is None]
CATEGORIES = [c for c, m in COLUMNS.items() if m is not None and c not in LEFT_OUT]
INPUTS = [c for c in COLUMNS if c not in LEFT_OUT]
# What the applicant of the declared threat can change; must agree with `proofmark.toml`.
# `installment_rate` and `residence_since` are mutable too, but one whole step is a third of
# their bounds, so no declared budget moves them.
FREE = {"amount": (250, 20000), "duration": (4, 72)}


def read_rows(path):
    """The 1,000 rows with named values; `id` is the line number in `german.data`."""
    rows = []
    for number, line in enumerate(Path(path).read_text().splitlines(), start=1):
        values = line.split()
        if not values:
            continue
        if len(values) != len(COLUMNS) + 1:
            sys.exit(f"line {number}: {len(values)} values, not {len(COLUMNS) + 1}")
        row = {"id": number}
        for (name, names), value in zip(COLUMNS.items(), values):
            row[name] = int(value) if names is None else names[value]
        row["sex"] = row["personal_status"].split()[0]
        row["class"] = int(values[-1])
        rows.append(row)
    return rows


def split_rows(rows):
    """500 / 200 / 300 rows, stratified by class and sex, each in the order of the source."""
    strata = [f"{r['class']}{r['sex']}" for r in rows]
    index = np.arange(len(rows))
    rest, test = train_test_split(
        index, test_size=SIZES["test"], random_state=SEED, stratify=strata)
    train, validation = train_test_split(
        rest, test_size=SIZES["validation"], random_state=SEED,
        stratify=[strata[i] for i in rest])
    parts = {"train": train, "validation": validation, "test": test}
    return {name: [rows[i] for i in sorted(part)] for name, part in parts.items()}


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def columns_of(rows):
    """Named inputs as the ONNX models take them: `(n, 1)` float32 or strings."""
    inputs = {}
    for name in INPUTS:
        kind = np.float32 if name in NUMBERS else object
        inputs[name] = np.array([[r[name]] for r in rows], dtype=kind)
    return inputs


def frame_of(rows):
    """The same as one object array for scikit-learn, columns in the order of INPUTS."""
    return np.array([[r[name] for name in INPUTS] for r in rows], dtype=object)


def labels_of(rows):
    """0 good, 1 bad."""
    return np.array([r["class"] - 1 for r in rows])


def preprocessing(scaled):
    """Numbers imputed and, for the network, scaled; categories one-hot.

    The trees get the numbers as they are: their thresholds are then exact in float32, while a
    scaled whole number can fall on either side of a threshold by rounding alone.
    """
    position = {name: i for i, name in enumerate(INPUTS)}
    steps = [("impute", SimpleImputer(strategy="median"))]
    numbers = Pipeline(steps + [("scale", StandardScaler())] if scaled else steps)
    categories = OneHotEncoder(
        categories=[sorted(COLUMNS[c].values()) for c in CATEGORIES],
        handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([
        ("numbers", numbers, [position[c] for c in NUMBERS]),
        ("categories", categories, [position[c] for c in CATEGORIES]),
    ])


def onnx_types():
    return [
        (name, FloatTensorType([None, 1]) if name in NUMBERS else StringTensorType([None, 1]))
        for name in INPUTS
    ]


class Mlp(torch.nn.Module):
    """60-odd preprocessed columns -> probabilities of (good, bad)."""

    def __init__(self, width):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(width, 32), torch.nn.ReLU(),
            torch.nn.Linear(32, 16), torch.nn.ReLU(),
            torch.nn.Linear(16, 2))

    def forward(self, features):
        return torch.softmax(self.body(features), dim=1)


def train_mlp(x, y, x_validation, y_validation):
    """AdamW on cross-entropy; the epoch with the lowest validation loss is kept."""
    torch.manual_seed(SEED)
    model = Mlp(x.shape[1])
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=5e-2)
    order = torch.Generator().manual_seed(SEED)
    best, kept, kept_epoch = float("inf"), None, 0
    for epoch in range(120):
        for batch in torch.randperm(len(x), generator=order).split(32):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model.body(x[batch]), y[batch])
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(
                model.body(x_validation), y_validation).item()
        if loss < best:
            best, kept_epoch = loss, epoch + 1
            kept = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(kept)
    return model.eval(), {"epoch": kept_epoch, "validation_loss": round(best, 4)}


# Settings that the hardened network is chosen among: the share of a refused applicant's weight that
# goes to the same applicant as the attacker would move it, and the decay of the weights.
MIX = [0.25, 0.5, 0.75]
DECAY = [0.05, 0.2]
# The budget of the registered criterion on recall under attack.
HARDENED_EPS = 0.05


def read_moved(path, rows):
    """Rows that `proofmark harden` wrote, and the training row (by `id`) each comes from."""
    place = {r["id"]: i for i, r in enumerate(rows)}
    moved, source = [], []
    with open(path, newline="") as file:
        for record in csv.DictReader(file):
            row = {k: int(v) if k in NUMBERS + ["id", "class"] else v for k, v in record.items()}
            if row["id"] not in place:
                sys.exit(f"{path}: id {row['id']} is no row of the training split")
            if row["class"] != rows[place[row["id"]]]["class"]:
                sys.exit(f"{path}: id {row['id']} has another label than in the training split")
            moved.append(row)
            source.append(place[row["id"]])
    return moved, np.array(source)


def train_mixed(x, y, moved, source, mix, decay, x_validation, y_validation):
    """As `train_mlp`, with moved copies beside the rows they come from.

    A row with copies keeps the share `1 - mix` of its weight and its copies take the rest in equal
    parts, so neither class nor any person weighs more than before.
    """
    torch.manual_seed(SEED)
    model = Mlp(x.shape[1])
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=decay)
    order = torch.Generator().manual_seed(SEED)
    copies = np.bincount(source, minlength=len(x))
    weight = np.where(copies > 0, 1 - mix, 1.0)
    weight = torch.from_numpy(np.concatenate([weight, mix / copies[source]]).astype(np.float32))
    both = torch.cat([x, moved])
    labels = torch.cat([y, y[torch.from_numpy(source)]])
    best, kept, kept_epoch = float("inf"), None, 0
    for epoch in range(120):
        for batch in torch.randperm(len(both), generator=order).split(32):
            optimiser.zero_grad()
            each = torch.nn.functional.cross_entropy(
                model.body(both[batch]), labels[batch], reduction="none")
            (each * weight[batch]).mean().backward()
            optimiser.step()
        with torch.no_grad():
            loss = torch.nn.functional.cross_entropy(
                model.body(x_validation), y_validation).item()
        if loss < best:
            best, kept_epoch = loss, epoch + 1
            kept = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(kept)
    return model.eval(), {"epoch": kept_epoch, "validation_loss": round(best, 4)}


def cost_under_attack(figures_of, rows, eps):
    """The cost matrix when every applicant who can talk the model round does."""
    bad = int(labels_of(rows).sum())
    granted = round((1 - figures_of[f"robust_recall_bad_{eps}"]) * bad)
    refused = round((1 - figures_of["recall_good"]) * (len(rows) - bad))
    return COST_BAD_GRANTED * granted + COST_GOOD_REFUSED * refused


def train_hardened(parts, moved_path, folder):
    """`mlp_hardened.onnx`: the setting with the lowest cost under attack on validation rows."""
    labels = {name: labels_of(rows) for name, rows in parts.items()}
    moved, source = read_moved(moved_path, parts["train"])
    front = preprocessing(True)
    front.fit(frame_of(parts["train"]))
    dense = {k: front.transform(frame_of(r)).astype(np.float32) for k, r in parts.items()}
    tensor = {k: torch.from_numpy(d) for k, d in dense.items()}
    copies = torch.from_numpy(front.transform(frame_of(moved)).astype(np.float32))

    def scores_of(model, x):
        with torch.no_grad():
            return model(torch.from_numpy(np.asarray(x, dtype=np.float32))).numpy()

    def measured(model, split, cutoff, with_attack=True):
        return figures(
            parts[split], scores_of(model, dense[split])[:, 1], cutoff,
            scorer(front.transform, lambda x: scores_of(model, x)[:, 1]), with_attack)

    tried = []
    for decay in DECAY:
        for mix in MIX:
            model, training = train_mixed(
                tensor["train"], torch.from_numpy(labels["train"]), copies, source, mix, decay,
                tensor["validation"], torch.from_numpy(labels["validation"]))
            cutoff, cost = choose_cutoff(
                scores_of(model, dense["validation"])[:, 1], labels["validation"])
            validation = measured(model, "validation", cutoff)
            attacked = cost_under_attack(validation, parts["validation"], HARDENED_EPS)
            tried.append({
                "mix": mix, "decay": decay, **training, "cutoff": cutoff, "validation_cost": cost,
                "validation_cost_under_attack": attacked,
                "model": model, "validation": validation})
    chosen = min(tried, key=lambda t: (t["validation_cost_under_attack"], t["validation_cost"]))
    model = chosen.pop("model")
    for other in tried:
        other.pop("model", None)
    export_mlp(model, front, folder / "mlp_hardened.onnx")
    expected = scores_of(model, dense["test"])
    np.save(folder / "expected_mlp_hardened.npy", expected)
    onnx_scores = run_onnx(folder / "mlp_hardened.onnx", parts["test"])
    record = {
        "seed": SEED, "versions": versions(), "moved_rows": len(moved),
        "settings": [{k: v for k, v in t.items() if k != "validation"} for t in tried],
        "models": {"mlp-hardened": {
            "cutoff": chosen["cutoff"], "mix": chosen["mix"], "decay": chosen["decay"],
            "onnxruntime_max_difference": float(np.abs(onnx_scores - expected).max()),
            "train": measured(model, "train", chosen["cutoff"], with_attack=False),
            "validation": chosen["validation"],
            # Everything is chosen; only now are figures of the test split made.
            "test": measured(model, "test", chosen["cutoff"]),
        }},
    }
    (folder / "hardened.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    check_declaration(record, folder)


def export_mlp(model, fitted, path):
    """One graph: scikit-learn's preprocessing, then the network."""
    front = skl2onnx.convert_sklearn(
        fitted, "preprocessing", onnx_types(), target_opset=OPSET)
    width = model.body[0].in_features
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(2, width),), str(path), dynamo=False, opset_version=OPSET[""],
            input_names=["features"], output_names=["probabilities"],
            dynamic_axes={"features": {0: "n"}, "probabilities": {0: "n"}})
    network = onnx.load(path)
    for graph in (front, network):
        graph.ir_version = IR_VERSION
        del graph.opset_import[:]
        graph.opset_import.extend(helper.make_opsetid(d, v) for d, v in OPSET.items())
    network = compose.add_prefix(network, "mlp/", rename_inputs=False, rename_outputs=False)
    merged = compose.merge_models(
        front, network, io_map=[(front.graph.output[0].name, "features")],
        name="credit-mlp", producer_name="proofmark-examples")
    del merged.opset_import[:]
    merged.opset_import.extend(helper.make_opsetid(d, v) for d, v in OPSET.items())
    onnx.checker.check_model(merged, full_check=True)
    onnx.save(merged, path)


def train_gbm(x, y):
    model = GradientBoostingClassifier(
        n_estimators=60, max_depth=3, learning_rate=0.08, subsample=0.8,
        min_samples_leaf=10, random_state=SEED)
    return model.fit(x, y)


def export_gbm(pipeline, path, zipmap=False):
    options = {id(pipeline.named_steps["gbm"]): {"zipmap": zipmap}}
    model = skl2onnx.convert_sklearn(
        pipeline, "credit-gbm", onnx_types(), target_opset=OPSET, options=options)
    model.ir_version = IR_VERSION
    # The converter lists the domains in no fixed order; sorted, the same bytes come out each time.
    imports = sorted((each.domain, each.version) for each in model.opset_import)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(d, v) for d, v in imports)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def choose_cutoff(bad, y):
    """The cut-off on P(bad), on a grid of 0.01, with the lowest cost on the validation split.

    A tie goes to the middle of the tied cut-offs. Not below 0.10: there nearly everybody is
    refused, and the decision says little.
    """
    grid = np.round(np.arange(0.10, 0.601, 0.01), 2)
    cost = np.array([
        COST_BAD_GRANTED * np.sum((bad < t) & (y == 1))
        + COST_GOOD_REFUSED * np.sum((bad >= t) & (y == 0)) for t in grid])
    tied = grid[cost == cost.min()]
    return float(tied[(len(tied) - 1) // 2]), int(cost.min())


def allowed_values(value, bounds, eps):
    """Every whole number within `eps` of the range of the bounds; the clean value first."""
    low, high = bounds
    reach = eps * (high - low)
    values = [v for v in range(low, high + 1) if abs(v - value) <= reach and v != value]
    return [value] + values


def survives(score_bad, row, eps, cutoff):
    """Whether no allowed amount and duration makes this refused applicant granted.

    Exhaustive, so exact: two whole numbers are all that the budget can move.
    """
    amounts = allowed_values(row["amount"], FREE["amount"], eps)
    durations = allowed_values(row["duration"], FREE["duration"], eps)
    for duration in durations:
        if np.any(score_bad(row, np.array(amounts), duration) < cutoff):
            return False
    return True


def figures(rows, bad, cutoff, score_bad, with_attack):
    """Accuracy and, for the goal bad -> good, what is left of it under the exhaustive attack."""
    y = labels_of(rows)
    decided = (bad >= cutoff).astype(int)
    correct = decided == y
    out = {
        "rows": len(rows),
        "accuracy": float(correct.mean()),
        "balanced_accuracy": float(np.mean([correct[y == c].mean() for c in (0, 1)])),
        "recall_bad": float(correct[y == 1].mean()),
        "recall_good": float(correct[y == 0].mean()),
        "approval_rate": float((decided == 0).mean()),
        "auc": float(roc_auc_score(y, bad)),
        "brier": float(np.mean((bad - y) ** 2)),
        "cost": int(5 * np.sum((decided == 0) & (y == 1)) + np.sum((decided == 1) & (y == 0))),
        "majority_accuracy": float(max(np.mean(y == 0), np.mean(y == 1))),
    }
    for sex in ("female", "male"):
        out[f"accuracy_sex_{sex}"] = float(correct[[r["sex"] == sex for r in rows]].mean())
    for eps in EPS if with_attack else []:
        alive = correct.copy()
        for i, row in enumerate(rows):
            if y[i] == 1 and correct[i]:
                alive[i] = survives(score_bad, row, eps, cutoff)
        out[f"robust_accuracy_{eps}"] = float(alive.mean())
        out[f"robust_recall_bad_{eps}"] = float(alive[y == 1].mean())
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in out.items()}


def scorer(transform, predict):
    """`(row, amounts, duration) -> P(bad)` for every amount; the transform is run once per call."""
    def score(row, amounts, duration):
        one = np.array([[row[name] for name in INPUTS]], dtype=object)
        frame = np.repeat(one, len(amounts), axis=0)
        frame[:, INPUTS.index("amount")] = amounts
        frame[:, INPUTS.index("duration")] = duration
        return predict(transform(frame))
    return score


def run_onnx(path, rows):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], columns_of(rows))[0]


def versions():
    return {
        "python": sys.version.split()[0], "numpy": np.__version__, "torch": torch.__version__,
        "scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__,
        "onnx": onnx.__version__, "onnxruntime": ort.__version__,
    }


def check_declaration(record, folder):
    """Stops when `proofmark.toml` and what was chosen here do not agree."""
    path = folder / "proofmark.toml"
    if not path.exists():
        return
    declared = tomllib.loads(path.read_text())
    wrong = []
    for name, model in record["models"].items():
        if name not in declared["models"]:
            wrong.append(f"models.{name} is not declared")
            continue
        at = declared["models"][name]["decision"]["at"]
        if at != model["cutoff"]:
            wrong.append(f"models.{name}.decision.at is {at}, chosen was {model['cutoff']}")
    for name, chosen in record.get("criteria", {}).items():
        at = declared["criteria"][name]["at_least"]
        if at != chosen["at_least"]:
            wrong.append(f"criteria.{name}.at_least is {at}, chosen was {chosen['at_least']}")
    if "criteria" in record and set(record["criteria"]) != set(declared["criteria"]):
        wrong.append("the criteria have other names")
    if wrong:
        sys.exit("proofmark.toml does not agree with what was chosen:\n  " + "\n  ".join(wrong))
    print("proofmark.toml agrees with the choices made here")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("german_data")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--zipmap", type=Path, help="also write the GBM with its ZipMap kept")
    parser.add_argument("--hardened", type=Path, metavar="CSV",
                        help="only the hardened network, with these rows of `proofmark harden`")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.out
    folder.mkdir(parents=True, exist_ok=True)

    parts = split_rows(read_rows(arguments.german_data))
    if arguments.hardened:
        train_hardened(parts, arguments.hardened, folder)
        return
    for name, rows in parts.items():
        write_csv(folder / f"{name}.csv", rows)
    frames = {name: frame_of(rows) for name, rows in parts.items()}
    labels = {name: labels_of(rows) for name, rows in parts.items()}

    prepared = {"mlp": preprocessing(True), "gbm": preprocessing(False)}
    dense = {}
    for name, front in prepared.items():
        front.fit(frames["train"])
        dense[name] = {k: front.transform(f).astype(np.float32) for k, f in frames.items()}
    tensor = {k: torch.from_numpy(d) for k, d in dense["mlp"].items()}
    mlp, training = train_mlp(
        tensor["train"], torch.from_numpy(labels["train"]),
        tensor["validation"], torch.from_numpy(labels["validation"]))
    gbm = train_gbm(dense["gbm"]["train"], labels["train"])

    def mlp_scores(x):
        with torch.no_grad():
            return mlp(torch.from_numpy(np.asarray(x, dtype=np.float32))).numpy()

    def gbm_scores(x):
        return gbm.predict_proba(np.asarray(x, dtype=np.float32)).astype(np.float32)

    scores = {"mlp": mlp_scores, "gbm": gbm_scores}
    export_mlp(mlp, prepared["mlp"], folder / "mlp.onnx")
    whole = Pipeline([("prepare", prepared["gbm"]), ("gbm", gbm)])
    export_gbm(whole, folder / "gbm.onnx")
    if arguments.zipmap:
        export_gbm(whole, arguments.zipmap, zipmap=True)

    def measured(name, split, cutoff, with_attack=True):
        return figures(
            parts[split], scores[name](dense[name][split])[:, 1], cutoff,
            scorer(prepared[name].transform, lambda x: scores[name](x)[:, 1]), with_attack)

    record = {"seed": SEED, "versions": versions(), "sizes": SIZES, "training": {"mlp": training},
              "models": {}}
    for name in scores:
        expected = scores[name](dense[name]["test"])
        np.save(folder / f"expected_{name}.npy", expected)
        onnx_scores = run_onnx(folder / f"{name}.onnx", parts["test"])
        cutoff, cost = choose_cutoff(
            scores[name](dense[name]["validation"])[:, 1], labels["validation"])
        record["models"][name] = {
            "cutoff": cutoff,
            "validation_cost": cost,
            "onnxruntime_max_difference": float(np.abs(onnx_scores - expected).max()),
            "train": measured(name, "train", cutoff, with_attack=False),
            "validation": measured(name, "validation", cutoff),
        }
    counts = {
        name: {"all": len(rows), "bad": int(labels[name].sum())} for name, rows in parts.items()}
    record["criteria"] = thresholds.choose(
        {name: model["validation"] for name, model in record["models"].items()}, counts)
    # Everything is chosen; only now are figures of the test split made.
    for name, model in record["models"].items():
        model["test"] = measured(name, "test", model["cutoff"])
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    check_declaration(record, folder)


if __name__ == "__main__":
    main()
