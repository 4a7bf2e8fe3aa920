"""Exact distances of a small boosted ensemble, found naively: golden values for the tree search.

Run: python trees_exact.py            (xgboost; writes ../../crates/lab/tests/golden/trees_*.*)

The model is trained on the numeric columns of examples/credit/train.csv (German credit, CC BY 4.0)
and kept as XGBoost's own dump of trees; the rows are the first of examples/credit/test.csv. The
search below shares nothing with ours: it fixes the leaf of one tree after another, nearest
intersection first, in Python's floats over the decimals of the dump, and stops at the first full
choice of leaves whose sum changes sides. Conventions: `x < t` goes left, margin above 0 is class
1, infimum of the distances, every column free.
"""

import csv
import heapq
import json
import math
import pathlib

import xgboost

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "crates/lab/tests/golden"
COLUMNS = ["duration", "amount", "installment_rate", "residence_since", "age", "existing_credits"]
SCALE = [12.0, 1000.0, 1.0, 1.0, 10.0, 1.0]
ROWS = 60


def rows(path, count=None):
    with open(path, newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if count is not None and number >= count:
                return
            yield [float(row[c]) / s for c, s in zip(COLUMNS, SCALE)], int(row["class"] == "2")


def leaves(node, box, found):
    if "leaf" in node:
        found.append((dict(box), node["leaf"]))
        return
    feature = int(node["split"].lstrip("f"))
    cut = node["split_condition"]
    children = {child["nodeid"]: child for child in node["children"]}
    low, high = box.get(feature, (-math.inf, math.inf))
    for name, (a, b) in (("yes", (low, min(high, cut))), ("no", (max(low, cut), high))):
        if a < b:
            leaves(children[node[name]], {**box, feature: (a, b)}, found)


def cost(box, x, norm):
    moved = [max(low - x[f], x[f] - high, 0.0) for f, (low, high) in box.items()]
    if norm == "linf":
        return max(moved, default=0.0)
    if norm == "l1":
        return math.fsum(moved)
    return math.sqrt(math.fsum(m * m for m in moved))


def margin(trees, x):
    inside = lambda box: all(low <= x[f] < high for f, (low, high) in box.items())
    return math.fsum(next(v for box, v in tree if inside(box)) for tree in trees)


def nearest(trees, x, norm):
    """Least distance at which the margin changes sides; infinity where it never does."""
    up = margin(trees, x) <= 0.0
    sign = 1.0 if up else -1.0
    rest = [0.0] * (len(trees) + 1)
    for i in reversed(range(len(trees))):
        rest[i] = rest[i + 1] + max(sign * v for _, v in trees[i])
    heap, count = [(0.0, 0, 0, {}, 0.0)], 0
    while heap:
        distance, minus_depth, _, box, total = heapq.heappop(heap)
        depth = -minus_depth
        if depth == len(trees):
            return distance
        for leaf, value in trees[depth]:
            sum_ = total + sign * value
            hope = sum_ + rest[depth + 1]
            if hope < 0.0 or (hope == 0.0 and up):
                continue
            joint, empty = dict(box), False
            for f, (low, high) in leaf.items():
                a, b = joint.get(f, (-math.inf, math.inf))
                joint[f] = (max(a, low), min(b, high))
                empty |= joint[f][0] >= joint[f][1]
            if not empty:
                count += 1
                entry = (cost(joint, x, norm), -(depth + 1), count, joint, sum_)
                heapq.heappush(heap, entry)
    return math.inf


def main():
    train = list(rows(ROOT / "examples/credit/train.csv"))
    matrix = xgboost.DMatrix([x for x, _ in train], label=[y for _, y in train])
    settings = {
        "objective": "binary:logistic", "max_depth": 3, "eta": 0.4, "base_score": 0.5,
        "seed": 1, "nthread": 1,
    }
    booster = xgboost.train(settings, matrix, num_boost_round=8)
    dump = [json.loads(tree) for tree in booster.get_dump(dump_format="json")]
    (GOLDEN / "trees_model.json").write_text(json.dumps(dump, indent=1) + "\n")
    trees = []
    for tree in dump:
        trees.append([])
        leaves(tree, {}, trees[-1])
    test = list(rows(ROOT / "examples/credit/test.csv", ROWS))
    lines = [
        f"{y} " + " ".join(f"{i}:{v!r}" for i, v in enumerate(x) if v) for x, y in test
    ]
    (GOLDEN / "trees_rows.libsvm").write_text("\n".join(lines) + "\n")
    norms = {n: [nearest(trees, x, n) for x, _ in test] for n in ("linf", "l1", "l2")}
    out = {
        "made_by": f"xgboost {xgboost.__version__}, benches/python/trees_exact.py",
        "data": "examples/credit (German credit, CC BY 4.0)",
        "decided": [int(margin(trees, x) > 0.0) for x, _ in test],
        **norms,
    }
    (GOLDEN / "trees_exact.json").write_text(json.dumps(out, indent=1) + "\n")
    right = [d for (_, y), d, p in zip(test, norms["linf"], out["decided"]) if p == y]
    print(len(right), "right, mean", sum(right) / len(right))


if __name__ == "__main__":
    main()
