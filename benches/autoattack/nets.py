"""The networks of `benches/autoattack/run.py`, and their training.

    python nets.py FASHION_MNIST FOLDER      # trains `mlp` and `resnet` into FOLDER, if not there

`cnn` and `cnn_adv` are those of `examples/clothing`. `mlp` and `resnet` are trained here, seeded, on
the first 20,000 images of Fashion-MNIST, on images that a projected-gradient attack has disturbed
first, so that the published budgets tell something. Written as `NAME.pt` and `NAME.onnx` (dynamic
batch, input `image`, output `logits`), outside of the repository: `resnet` is larger than what is
committed.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))
import apgd_reference as reference

SEED = 20261123
TRAIN_ROWS, TRAIN_EPS, TRAIN_STEPS, WIDTH = 20000, 12 / 255, 3, 64
EPOCHS = {"mlp": 12, "resnet": 5}


class Mlp(nn.Module):
    """(n, 1, 28, 28) in [0, 1] -> (n, 10) logits, two hidden layers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(),
                                    nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, image):
        return self.layers(image)


class Block(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution where the size changes."""

    def __init__(self, ins, outs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outs)
        plain = ins == outs and stride == 1
        self.short = nn.Identity() if plain else nn.Conv2d(ins, outs, 1, stride, bias=False)

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.short(x))


class ResNet(nn.Module):
    """(n, 1, 28, 28) in [0, 1] -> (n, 10) logits, three stages of blocks."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 12, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.blocks = nn.Sequential(Block(12, 12, 1), Block(12, 24, 2), Block(24, 48, 2))
        self.head = nn.Linear(48, 10)

    def forward(self, image):
        x = self.blocks(functional.relu(self.norm(self.stem(image))))
        return self.head(x.mean((2, 3)))


MAKERS = {"mlp": Mlp, "resnet": ResNet}


def disturbed(model, x, y, generator):
    """Projected gradient ascent on the cross-entropy from a random start."""
    model.eval()
    start = (torch.rand(x.shape, generator=generator) * 2 - 1) * TRAIN_EPS
    moved = (x + start).clamp(0, 1)
    for _ in range(TRAIN_STEPS):
        moved.requires_grad_(True)
        slope, = torch.autograd.grad(functional.cross_entropy(model(moved), y), moved)
        with torch.no_grad():
            moved = moved + TRAIN_EPS / 2 * slope.sign()
            moved = torch.minimum(torch.maximum(moved, x - TRAIN_EPS), x + TRAIN_EPS).clamp(0, 1)
    model.train()
    return moved.detach()


def train(name, x, y):
    torch.manual_seed(SEED)
    model = MAKERS[name]()
    generator = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.Adam(model.parameters())
    steps = EPOCHS[name] * -(-len(x) // WIDTH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=4e-3, total_steps=steps)
    start = time.time()
    for epoch in range(EPOCHS[name]):
        for batch in torch.randperm(len(x), generator=generator).split(WIDTH):
            images = disturbed(model, x[batch], y[batch], generator)
            optimiser.zero_grad()
            functional.cross_entropy(model(images), y[batch]).backward()
            optimiser.step()
            schedule.step()
        print(f"{name} epoch {epoch + 1}, {time.time() - start:.0f} s", file=sys.stderr)
    return model.eval()


def make(data, folder):
    """Trains what is not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in MAKERS if not (folder / f"{name}.onnx").exists()]
    if not missing:
        return
    images = reference.read_idx(next(data.glob("train-images*")))[:TRAIN_ROWS]
    labels = reference.read_idx(next(data.glob("train-labels*")))[:TRAIN_ROWS]
    x = torch.from_numpy(images.astype(np.float32) / 255)[:, None]
    y = torch.from_numpy(labels.astype(np.int64))
    for name in missing:
        model = train(name, x, y)
        torch.save(model.state_dict(), folder / f"{name}.pt")
        torch.onnx.export(
            model, (torch.zeros(2, 1, 28, 28),), str(folder / f"{name}.onnx"), dynamo=False,
            opset_version=17, input_names=["image"], output_names=["logits"],
            dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}})


def path_of(name, folder):
    return folder / f"{name}.onnx" if name in MAKERS else reference.CLOTHING / f"{name}.onnx"


def load(name, folder):
    """The network in evaluation mode, without gradients of its weights."""
    if name not in MAKERS:
        return reference.load(path_of(name, folder))
    model = MAKERS[name]()
    model.load_state_dict(torch.load(folder / f"{name}.pt"))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with Fashion-MNIST's IDX files")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    make(options.data, options.folder)
