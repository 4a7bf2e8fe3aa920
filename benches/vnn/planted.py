"""Makes networks with planted counter-examples, in the layout of `run.py`.

    python3 benches/vnn/planted.py FOLDER [--count 50] [--seed 1]

For each: a random small network (MLP, CNN or one with a residual sum), a random box, and a point
drawn in the box, rounded to 32 bits. The property asks for outputs that the planted point reaches
by a margin so small that little of the box does: the threshold lies between the planted point's
score and the best that a search over random points and gradient steps found. So every instance is
`sat` by construction (checked with ONNX Runtime on the point), and `unsat` is wrong.
"""

import argparse
import csv
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.b(torch.relu(self.a(x)))


def network(kind, generator):
    n = 6 + generator.integers(0, 20)
    if kind == "mlp":
        w = int(16 + generator.integers(0, 48))
        return (int(n),), nn.Sequential(nn.Linear(n, w), nn.ReLU(), nn.Linear(w, w), nn.ReLU(), nn.Linear(w, 5))
    if kind == "residual":
        w = int(16 + generator.integers(0, 16))
        return (int(n),), nn.Sequential(nn.Linear(n, w), nn.ReLU(), Residual(w), nn.ReLU(), Residual(w), nn.Linear(w, 5))
    c = int(2 + generator.integers(0, 4))
    layers = [nn.Conv2d(1, c, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(c, 2 * c, 3, padding=1), nn.ReLU(),
              nn.Flatten(), nn.Linear(2 * c * 16, 5)]
    return (1, 8, 8), nn.Sequential(*layers)


def climbed(model, low, high, shape, label, other, generator, rounds=20, steps=80):
    """The best score of `other - label` and its point, over restarts of signed gradient steps."""
    low, high = torch.from_numpy(low), torch.from_numpy(high)
    start = torch.from_numpy(generator.random((rounds, len(low))).astype(np.float32))
    x = low + start * (high - low)
    best, point = -np.inf, None
    for step in range(steps):
        x.requires_grad_(True)
        y = model(x.reshape((-1,) + shape))
        score = y[:, other] - y[:, label]
        top = int(score.argmax())
        if float(score[top]) > best:
            best, point = float(score[top]), x[top].detach().numpy().copy()
        gradient, = torch.autograd.grad(score.sum(), x)
        size = 0.25 * (1 - step / steps) + 0.005
        x = torch.clamp(x.detach() + size * (high - low) * gradient.sign(), low, high)
    return best, point


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name in ("onnx", "vnnlib"):
        (args.folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(args.count):
        generator = np.random.default_rng([args.seed, i])
        torch.manual_seed(args.seed * 1000 + i)
        kind = ("mlp", "cnn", "residual")[i % 3]
        shape, model = network(kind, generator)
        size = int(np.prod(shape))
        for p in model.parameters():
            if p.dim() > 1:
                p.data *= 2.0
        centre = generator.normal(size=size).astype(np.float32)
        width = np.float32(0.05 + 0.15 * generator.random())
        low, high = centre - width, centre + width
        with torch.no_grad():
            y = model(torch.from_numpy(centre).reshape((1,) + shape))[0]
        order = y.argsort(descending=True)
        label, other = int(order[0]), int(order[1 + generator.integers(0, 2)])
        best, point = climbed(model, low, high, shape, label, other, generator)
        path = args.folder / "onnx" / f"net_{i}.onnx"
        torch.onnx.export(model, torch.zeros((1,) + shape), str(path), input_names=["x"], output_names=["y"],
                          opset_version=17, dynamo=False)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        out = session.run(None, {"x": point.reshape((1,) + shape)})[0][0].astype(np.float64)
        reached = out[other] - out[label]
        # a little below what the planted point reaches: rarely met by chance
        threshold = reached - 1e-3 * max(1.0, abs(reached))
        inside = np.all(point >= low) and np.all(point <= high)
        assert inside and out[other] - out[label] >= threshold
        lines = [f"; planted in {kind} net {i}"]
        lines += [f"(declare-const X_{k} Real)" for k in range(size)]
        lines += [f"(declare-const Y_{k} Real)" for k in range(5)]
        for k in range(size):
            lines += [f"(assert (>= X_{k} {float(low[k])!r}))", f"(assert (<= X_{k} {float(high[k])!r}))"]
        lines.append(f"(assert (>= (- Y_{other} Y_{label}) {float(threshold)!r}))")
        name = f"planted_{i}.vnnlib"
        (args.folder / "vnnlib" / name).write_text("\n".join(lines) + "\n")
        rows.append((f"onnx/net_{i}.onnx", f"vnnlib/{name}", 60, "sat"))
    with open(args.folder / "instances.tsv", "w", newline="") as table:
        writer = csv.writer(table, delimiter="\t")
        writer.writerow(["onnx", "vnnlib", "timeout_s", "verdict"])
        writer.writerows(rows)
    print(f"{len(rows)} instances in {args.folder}")


main()
