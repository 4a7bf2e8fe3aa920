"""Makes everything in this folder from Fashion-MNIST's four IDX files.

    python train.py /path/to/fashion-mnist        # writes next to this file

Not needed to run Proofmark. Versions are pinned in `requirements.txt`; seeds are fixed and one
thread is used. Two networks of one shape: `cnn` trained as usual, `cnn_adv` trained on images
that a projected-gradient attack has disturbed first (Madry et al., 2018).

Rules this script keeps: the test split is used for the stored scores and for the figures printed
last; the thresholds of the criteria come from the validation split (`thresholds.py`).
`training.json` records every figure and choice, and `proofmark.toml` repeats the choices.
"""

import argparse
import gzip
import json
import logging
import struct
import sys
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn
from torch.nn import functional

import thresholds

HERE = Path(__file__).resolve().parent
SEED = 20261122
OPSET = 17
TRAIN_ROWS, VALIDATION_ROWS, TEST_ROWS = 15000, 500, 1000
# Validation rows come from the end of the training file, which training never reads.
VALIDATION_FROM = 59500
EPOCHS = {"cnn": 6, "cnn_adv": 10}
TRAIN_EPS, TRAIN_STEPS = 16 / 255, 5
# The declared budgets in steps of 1/255; must agree with `proofmark.toml`.
EPS = [4, 16, 32]


def read_idx(path):
    data = gzip.decompress(Path(path).read_bytes())
    dims = struct.unpack(f">{data[3]}I", data[4:4 + 4 * data[3]])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(dims)).reshape(dims)


def write_idx(path, array):
    """Gzip without a time stamp, so that the same array gives the same bytes."""
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes(), 9, mtime=0))


class Cnn(nn.Module):
    """(n, 1, 28, 28) in [0, 1] -> (n, 10) logits.

    The normalisation stands behind the ReLU, so no exporter can fold it into the convolution.
    """

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


def pgd(model, x, y, eps, steps, step, generator):
    """Projected gradient ascent on the cross-entropy from a random start, L-inf, in [0, 1]."""
    start = (torch.rand(x.shape, generator=generator) * 2 - 1) * eps
    x_adv = (x + start).clamp(0, 1)
    for _ in range(steps):
        x_adv.requires_grad_(True)
        loss = functional.cross_entropy(model(x_adv), y, reduction="sum")
        gradient, = torch.autograd.grad(loss, x_adv)
        with torch.no_grad():
            moved = x_adv + step * gradient.sign()
            x_adv = torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    return x_adv.detach()


def train(name, x, y):
    torch.manual_seed(SEED)
    model = Cnn()
    generator = torch.Generator().manual_seed(SEED)
    epochs, width = EPOCHS[name], 64
    batches = -(-len(x) // width)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=4e-3, total_steps=epochs * batches)
    start = time.time()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x), generator=generator).split(width):
            images, labels = x[batch], y[batch]
            if name == "cnn_adv":
                model.eval()
                for p in model.parameters():
                    p.requires_grad_(False)
                images = pgd(model, images, labels, TRAIN_EPS, TRAIN_STEPS, TRAIN_EPS / 3,
                             generator)
                for p in model.parameters():
                    p.requires_grad_(True)
            model.train()
            optimiser.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"{name} epoch {epoch + 1}: loss {total / len(x):.4f}, {time.time() - start:.0f} s",
              file=sys.stderr, flush=True)
    for p in model.parameters():
        p.requires_grad_(False)
    return model.eval()


def export(model, path, dynamo):
    """`cnn` with the older exporter, `cnn_adv` with the newer one: both write real files."""
    sample = torch.zeros(2, 1, 28, 28)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(
                model, (sample,), dynamo=True, opset_version=18, input_names=["image"],
                output_names=["logits"], dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
                verbose=False)
            exported = program.model_proto
            strip_traces(exported)
        else:
            torch.onnx.export(
                model, (sample,), str(path), dynamo=False, opset_version=OPSET,
                input_names=["image"], output_names=["logits"],
                dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}})
            exported = onnx.load(path)
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, path)


def strip_traces(model):
    """The newer exporter writes the maker's own paths into every node; they are not kept."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output,
                  *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]


def logits_of(model, x):
    return torch.cat([model(batch) for batch in x.split(250)])


def apgd(model, x, y, eps):
    """torchattacks' APGD on the cross-entropy, 100 steps, one start: outcome per image."""
    import torchattacks

    attack = torchattacks.APGD(model, norm="Linf", eps=eps / 255, steps=100, n_restarts=1,
                               seed=0, loss="ce", eot_iter=1, rho=0.75)
    right = []
    for images, labels in zip(x.split(250), y.split(250)):
        right.append(model(attack(images, labels)).argmax(1) == labels)
    return torch.cat(right)


def figures(model, x, y):
    clean = logits_of(model, x).argmax(1) == y
    out = {"rows": len(x), "accuracy": round(clean.double().mean().item(), 4)}
    for eps in EPS:
        robust = clean & apgd(model, x, y, eps)
        out[f"robust_accuracy_{eps}"] = round(robust.double().mean().item(), 4)
    return out


def check_declaration(record, folder):
    """Stops when `proofmark.toml` and what was chosen here do not agree."""
    path = folder / "proofmark.toml"
    if not path.exists():
        return
    declared = tomllib.loads(path.read_text())
    wrong = []
    if set(record["criteria"]) != set(declared["criteria"]):
        wrong.append("the criteria have other names")
    for name, chosen in record["criteria"].items():
        criterion = declared["criteria"].get(name, {})
        for key in ("at_least", "model", "eps"):
            if criterion.get(key) != chosen.get(key):
                wrong.append(f"criteria.{name}.{key} is {criterion.get(key)}, not {chosen[key]}")
    for threat in declared["threats"].values():
        if threat["eps"] != EPS:
            wrong.append(f"a threat has eps {threat['eps']}, not {EPS}")
    if wrong:
        sys.exit("proofmark.toml does not agree with training.json:\n  " + "\n  ".join(wrong))
    print("proofmark.toml agrees with the choices made here")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fashion_mnist", type=Path)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    folder = arguments.out
    folder.mkdir(parents=True, exist_ok=True)

    source = arguments.fashion_mnist
    images = read_idx(source / "train-images-idx3-ubyte.gz")
    labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    parts = {
        "train": (images[:TRAIN_ROWS], labels[:TRAIN_ROWS]),
        "validation": (images[VALIDATION_FROM:VALIDATION_FROM + VALIDATION_ROWS],
                       labels[VALIDATION_FROM:VALIDATION_FROM + VALIDATION_ROWS]),
        "test": (read_idx(source / "t10k-images-idx3-ubyte.gz")[:TEST_ROWS],
                 read_idx(source / "t10k-labels-idx1-ubyte.gz")[:TEST_ROWS]),
    }
    for name in ("validation", "test"):
        write_idx(folder / f"{name}-images.idx.gz", parts[name][0])
        write_idx(folder / f"{name}-labels.idx.gz", parts[name][1])
    tensors = {
        name: (torch.from_numpy(x.astype(np.float32) / 255)[:, None],
               torch.from_numpy(y.astype(np.int64)))
        for name, (x, y) in parts.items()}

    record = {
        "seed": SEED, "threads": 1,
        "versions": {"python": sys.version.split()[0], "numpy": np.__version__,
                     "torch": torch.__version__, "onnx": onnx.__version__,
                     "onnxruntime": ort.__version__, "torchattacks": "3.5.1"},
        "models": {},
    }
    models = {}
    for name in EPOCHS:
        models[name] = model = train(name, *tensors["train"])
        path = folder / f"{name}.onnx"
        export(model, path, dynamo=name == "cnn_adv")
        expected = logits_of(model, tensors["test"][0]).numpy()
        np.save(folder / f"expected_{name}.npy", expected)
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        runtime = session.run(["logits"], {"image": tensors["test"][0].numpy()})[0]
        record["models"][name] = {
            "onnxruntime_max_difference": float(np.abs(runtime - expected).max()),
            "validation": figures(model, *tensors["validation"]),
        }
        print(json.dumps(record["models"][name]), file=sys.stderr, flush=True)
    record["criteria"] = thresholds.choose(
        {name: model["validation"] for name, model in record["models"].items()},
        VALIDATION_ROWS, TEST_ROWS)
    # Everything is chosen; only now are figures of the test split made.
    for name, model in models.items():
        record["models"][name]["test"] = figures(model, *tensors["test"])
    (folder / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    check_declaration(record, folder)


if __name__ == "__main__":
    main()
