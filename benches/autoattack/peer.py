"""torchattacks' side of `benches/autoattack/run.py`.

    python peer.py MODEL FOLDER THREADS ROWS

Answers each line, a JSON object {part, norm, eps, seed, shipped}, with the outcomes (one character
per image: `w` wrong without an attack, `b` broken, `s` survived), wall and CPU seconds.

torchattacks 3.5.1 differs from what is published, and from the original code, in its defaults: its
AutoAttack runs 10 steps where 100 are published, for APGD, targeted APGD and FAB alike, and its
Square shortens the schedule of the squares to the number of queries. Here the published numbers are
set on its own attack objects; with `shipped` they are left as they are. It has no L1.
"""

import json
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import torchattacks

import nets

STEPS, QUERIES, BATCH = 100, 5000, 250


def published(method):
    """The published numbers on an attack as torchattacks builds it."""
    for part in getattr(method, "attacks", [method]):
        if hasattr(part, "steps"):
            part.steps = STEPS
        if hasattr(part, "rescale_schedule"):
            part.rescale_schedule = False
    return method


def build(model, part, norm, eps, seed):
    common = {"norm": norm, "eps": eps, "seed": seed}
    if part == "autoattack":
        return torchattacks.AutoAttack(model, version="standard", n_classes=10, **common)
    return {
        "apgd-ce": lambda: torchattacks.APGD(model, loss="ce", n_restarts=1, **common),
        "apgd-t": lambda: torchattacks.APGDT(model, n_restarts=1, n_classes=10, **common),
        "fab-t": lambda: torchattacks.FAB(model, multi_targeted=True, n_restarts=1, n_classes=10,
                                          **common),
        "square": lambda: torchattacks.Square(model, n_queries=QUERIES, n_restarts=1, **common),
    }[part]()


def run(model, images, labels, ask):
    norm, eps = {"linf": "Linf", "l2": "L2"}[ask["norm"]], ask["eps"]
    method = build(model, ask["part"], norm, eps, ask["seed"])
    if not ask["shipped"]:
        published(getattr(method, "_autoattack", method))
    clean, survived, wall, cpu = [], [], 0.0, 0.0
    for x, y in zip(images.split(BATCH), labels.split(BATCH)):
        start, start_cpu = time.perf_counter(), time.process_time()
        # Points that are wrong without an attack are not handed in: some parts fail on none left.
        right = (model(x).argmax(1) == y).nonzero().flatten()
        found = x.clone()
        if len(right):
            found[right] = method(x[right], y[right])
        wall += time.perf_counter() - start
        cpu += time.process_time() - start_cpu
        moved = (found - x).flatten(1)
        size = moved.abs().max() if norm == "Linf" else moved.norm(dim=1).max()
        if found.min() < 0 or found.max() > 1:
            sys.exit("the reference left its box")
        inside = moved.abs().amax(1) if norm == "Linf" else moved.norm(dim=1)
        turned = (model(found).argmax(1) != y) & (inside <= eps + 1e-5)
        if size > eps + 1e-5:
            print(f"{ask['part']}: handed back points up to {size:.5f}, not counted",
                  file=sys.stderr)
        clean.append(model(x).argmax(1) == y)
        survived.append(~turned)
    clean, survived = torch.cat(clean), torch.cat(survived)
    outcomes = "".join(
        "w" if not c else "s" if s else "b" for c, s in zip(clean.tolist(), survived.tolist()))
    return {"outcomes": outcomes, "wall": wall, "cpu": cpu}


def main():
    name, folder, threads, rows = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    clothing = nets.reference.CLOTHING
    images = nets.reference.read_idx(clothing / "test-images.idx.gz")[:rows]
    labels = nets.reference.read_idx(clothing / "test-labels.idx.gz")[:rows]
    images = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
    labels = torch.from_numpy(labels.astype(np.int64))
    model = nets.load(name, folder)
    nets.reference.check_same_model(model, nets.path_of(name, folder), images)
    print(json.dumps({"torch": torch.__version__,
                      "torchattacks": metadata.version("torchattacks")}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(model, images, labels, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
