"""torchattacks' APGD on both clothing networks: the figures that Proofmark's own APGD must meet.

    python apgd_reference.py OUT.json [--rows 1000] [--threads 1] [--seeds 0 1 2]

The weights are read from the initialisers of `examples/clothing/*.onnx`, so both sides attack the
same numbers, and the rebuilt network must give the scores of ONNX Runtime on the same file before
anything is attacked. Settings: L-inf, cross-entropy, 100 steps, one start, rho 0.75. Several seeds
show how far the reference agrees with itself. The committed result is `apgd_reference.json`; the
images are the first rows of `examples/clothing/test-images.idx.gz`, divided by 255.

Each entry of `outcomes` is one character per image: `w` wrong without an attack, `b` broken,
`s` survived.
"""

import argparse
import gzip
import json
import platform
import struct
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torchattacks
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

CLOTHING = Path(__file__).resolve().parents[2] / "examples" / "clothing"
# For each network the declared budget (in steps of 1/255) at which 30 to 70 % survive.
EPS = {"cnn": 4, "cnn_adv": 32}
STEPS = 100
BATCH = 250


class Cnn(nn.Module):
    """The network of `examples/clothing/train.py`, from its definition there."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 7 * 7, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, image):
        x = functional.max_pool2d(self.norm(functional.relu(self.conv1(image))), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc2(functional.relu(self.fc1(torch.flatten(x, 1))))


def load(path):
    """The network with the weights that the ONNX file holds, ready to be attacked."""
    values = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy())
              for i in onnx.load(path).graph.initializer}
    model = Cnn()
    wanted = {k for k in model.state_dict() if k != "norm.num_batches_tracked"}
    missing = wanted - set(values)
    if missing:
        sys.exit(f"{path.name} has no initialisers {sorted(missing)}")
    model.load_state_dict({k: values[k] for k in wanted}, strict=False)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


def read_idx(path):
    data = gzip.decompress(path.read_bytes())
    dims = struct.unpack(f">{data[3]}I", data[4:4 + 4 * data[3]])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(dims)).reshape(dims)


def check_same_model(model, path, images):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = float(np.abs(
        session.run(None, {"image": images.numpy()})[0] - model(images).numpy()).max())
    if difference > 1e-4:
        sys.exit(f"{path.name}: torch and ONNX Runtime differ by {difference}")
    return difference


def attack(model, images, labels, eps, seed):
    """Outcome per image, and wall and CPU seconds of the attack alone."""
    method = torchattacks.APGD(model, norm="Linf", eps=eps / 255, steps=STEPS, n_restarts=1,
                               seed=seed, loss="ce", eot_iter=1, rho=0.75)
    clean, survived, wall, cpu = [], [], 0.0, 0.0
    for x, y in zip(images.split(BATCH), labels.split(BATCH)):
        start, start_cpu = time.perf_counter(), time.process_time()
        found = method(x, y)
        wall += time.perf_counter() - start
        cpu += time.process_time() - start_cpu
        if ((found - x).abs().max() > eps / 255 + 1e-6) or found.min() < 0 or found.max() > 1:
            sys.exit("the reference left its budget")
        clean.append(model(x).argmax(1) == y)
        survived.append(model(found).argmax(1) == y)
    clean, survived = torch.cat(clean), torch.cat(survived)
    outcomes = "".join(
        "w" if not c else "s" if s else "b" for c, s in zip(clean.tolist(), survived.tolist()))
    return outcomes, wall, cpu


def share(outcomes, kept):
    return sum(c in kept for c in outcomes) / len(outcomes)


def measure(name, images, labels, seeds):
    path = CLOTHING / f"{name}.onnx"
    model = load(path)
    difference = check_same_model(model, path, images)
    runs = []
    for seed in seeds:
        outcomes, wall, cpu = attack(model, images, labels, EPS[name], seed)
        runs.append({"seed": seed, "robust": share(outcomes, "s"), "seconds": round(wall, 2),
                     "cpu_seconds": round(cpu, 2), "outcomes": outcomes})
        print(f"{name} eps {EPS[name]}/255 seed {seed}: clean {share(outcomes, 'sb'):.3f} "
              f"robust {runs[-1]['robust']:.3f} in {wall:.1f} s", file=sys.stderr)
    first = runs[0]["outcomes"]
    alike = [sum(a == b for a, b in zip(first, r["outcomes"])) / len(first) for r in runs[1:]]
    return {"model": name, "eps": EPS[name], "n": len(images),
            "clean": share(first, "sb"), "robust": runs[0]["robust"],
            "runtime_max_difference": difference, "seeds_judged_alike": alike, "runs": runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=sorted(EPS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = read_idx(CLOTHING / "test-images.idx.gz")[:arguments.rows]
    labels = read_idx(CLOTHING / "test-labels.idx.gz")[:arguments.rows]
    images = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
    labels = torch.from_numpy(labels.astype(np.int64))
    record = {
        "attack": {"library": "torchattacks", "method": "APGD", "norm": "Linf", "loss": "ce",
                   "steps": STEPS, "n_restarts": 1, "eot_iter": 1, "rho": 0.75, "batch": BATCH},
        "threads": arguments.threads, "machine": platform.machine(),
        "versions": {name: metadata.version(name) for name in
                     ("torchattacks", "torch", "numpy", "onnx", "onnxruntime")},
        "results": [measure(name, images, labels, arguments.seeds) for name in arguments.models],
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
