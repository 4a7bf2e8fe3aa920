"""ART's HopSkipJump on the credit trees, a row at a time, for `run.py`.

Called as `peer.py THREADS WAY`; reads one JSON task a line on stdin, answers one JSON a line. WAY is
how ART asks ONNX Runtime: `file` runs the shipped file, with its text columns; `trees` takes the
file apart by hand and encodes the text columns once, so that a query runs the tree ensemble alone.
Given to ART's advantage: the clean row is not counted; the nearest success it ever asked counts,
not only the one it ends with; only the attack itself is timed, in a warm process; its batches are
as large as it likes.
"""

import csv
import json
import logging
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort

logging.disable(logging.WARNING)

from art.attacks.evasion import HopSkipJump  # noqa: E402
from art.estimators.classification import BlackBoxClassifier  # noqa: E402

TREES = "TreeEnsembleClassifier"


class Spent(Exception):
    """The row has used its queries."""


def session(model, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(model.SerializeToString(), options)


def cut(path):
    """The graph in front of the trees, and the trees."""
    whole = onnx.load(path)
    trees = next(node for node in whole.graph.node if node.op_type == TREES)
    front = onnx.ModelProto()
    front.CopyFrom(whole)
    del front.graph.output[:]
    front.graph.output.append(onnx.helper.make_tensor_value_info(trees.input[0], 1, None))
    graph = onnx.helper.make_graph(
        [trees], "trees",
        [onnx.helper.make_tensor_value_info(trees.input[0], 1, ["n", None])],
        [onnx.helper.make_tensor_value_info(trees.output[1], 1, None)])
    back = onnx.helper.make_model(graph, opset_imports=list(whole.opset_import),
                                  ir_version=whole.ir_version)
    return front, back


class Target:
    """The model behind one row: a decision for the columns that the attacker moves."""

    def __init__(self, task, way, threads):
        with open(task["data"], newline="") as file:
            rows = list(csv.DictReader(file))
        self.mutable = task["mutable"]
        self.low = np.array([low for low, _ in task["bounds"]])
        self.span = np.array([high - low for low, high in task["bounds"]])
        self.whole = task["whole"]
        self.cutoff = np.float32(task["cutoff"])
        front, back = cut(task["model"])
        shipped = session(onnx.load(task["model"]), threads)
        self.feeds = {}
        for port in shipped.get_inputs():
            texts = [row[port.name] for row in rows]
            number = port.type == "tensor(float)"
            self.feeds[port.name] = np.array(texts, np.float32 if number else object)
        if way == "file":
            self.session, self.name = shipped, None
            return
        self.session = session(back, threads)
        self.name = self.session.get_inputs()[0].name
        columns = {name: values.reshape(-1, 1) for name, values in self.feeds.items()}
        self.encoded = session(front, threads).run(None, columns)[0].astype(np.float32)
        # Numbers come first, in the order in which the model joins them.
        joined = next(n for n in onnx.load(task["model"]).graph.node if n.op_type == "Concat")
        self.columns = [list(joined.input).index(name) for name in task["mutable"]]

    def clean(self, row):
        return np.array([self.feeds[name][row] for name in self.mutable], np.float64)

    def deployed(self, x):
        """From the unit of the budget to values that the form can hold."""
        values = self.low + np.clip(x, 0.0, 1.0) * self.span
        return np.round(values) if self.whole else values

    def decide(self, row, values):
        values = values.astype(np.float32)
        if self.name is None:
            batch = {k: np.repeat(v[row:row + 1, None], len(values), 0)
                     for k, v in self.feeds.items() if k not in self.mutable}
            batch |= {name: values[:, i:i + 1] for i, name in enumerate(self.mutable)}
            return self.session.run(["probabilities"], batch)[0][:, 1] >= self.cutoff
        batch = np.repeat(self.encoded[row:row + 1], len(values), axis=0)
        batch[:, self.columns] = values
        return self.session.run(None, {self.name: batch})[0][:, 1] >= self.cutoff


def attack(target, row, norm, budget):
    """Nearest success within `budget` queries, and the seconds of the attack alone."""
    clean = target.clean(row)
    label = bool(target.decide(row, clean[None])[0])
    state = {"spent": 0, "best": float("inf"), "free": 2}

    def predict(x):
        if state["free"]:  # ART asks for the clean row twice.
            state["free"] -= 1
            return np.eye(2)[np.full(len(x), int(label))]
        left = budget - state["spent"]
        values = target.deployed(x[:left])
        decided = target.decide(row, values)
        state["spent"] += len(values)
        hit = decided != label
        if hit.any():
            moved = np.abs(values[hit] - clean) / target.span
            each = moved.max(1) if norm == "linf" else np.sqrt((moved**2).sum(1))
            state["best"] = min(state["best"], float(each.min()))
        if len(x) > left or state["spent"] >= budget:
            raise Spent
        return np.eye(2)[decided.astype(int)]

    classifier = BlackBoxClassifier(predict, (len(clean),), 2, clip_values=(0.0, 1.0))
    hop = HopSkipJump(classifier, batch_size=100_000, norm=np.inf if norm == "linf" else 2,
                      max_iter=budget, verbose=False)
    start = ((clean - target.low) / target.span).astype(np.float32)[None]
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        hop.generate(start)
    except Spent:
        pass
    return state, time.perf_counter() - wall, time.process_time() - cpu


def main():
    import art
    threads, way = int(sys.argv[1]), sys.argv[2]
    facts = {"art": art.__version__, "onnxruntime": ort.__version__, "numpy": np.__version__}
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        target = Target(task, way, threads)
        np.random.seed(task["seed"])
        attack(target, task["rows"][0], task["norm"], 100)
        found = [attack(target, row, task["norm"], task["budget"]) for row in task["rows"]]
        print(json.dumps({
            "distances": [s["best"] if np.isfinite(s["best"]) else None for s, _, _ in found],
            "queries": [s["spent"] for s, _, _ in found],
            "wall": sum(w for _, w, _ in found), "cpu": sum(c for _, _, c in found),
        }), flush=True)


if __name__ == "__main__":
    main()
