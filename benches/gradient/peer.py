"""PyTorch's side of `benches/gradient/run.py`: the networks, and the gradient by autograd.

    python peer.py export FOLDER                   weights from a fixed seed, as ONNX, and a batch
    python peer.py serve FOLDER MODEL WAY THREADS   WAY: grad (autograd.grad of the input, weights
                                                   frozen) or backward (.backward(), weights free)

`serve` reads lines `N` and answers each with the seconds that N gradients took. Before that it
writes the gradient to FOLDER/MODEL.WAY.npy, and for `grad` the one computed in f64 to
FOLDER/MODEL.exact.npy, so that every side can be compared with it.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

BATCH = 32


class Mlp(nn.Sequential):
    """784-256-256-10."""

    shape = (784,)

    def __init__(self):
        super().__init__(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                         nn.Linear(256, 10))


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False),
                                          nn.BatchNorm2d(after))

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet-18 as published (He et al. 2016): 224 x 224, first convolution 7 x 7, then pooling."""

    shape = (3, 224, 224)

    def __init__(self):
        super().__init__()
        layers = self.stem()
        before = 64
        for after, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
            layers += [Block(before, after, stride), Block(after, after, 1)]
            before = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(512, 10)

    def stem(self):
        return [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                nn.MaxPool2d(3, 2, 1)]

    def forward(self, x):
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(self.body(x), 1), 1))


class ResNet18Small(ResNet18):
    """The variant for images of 32 x 32: first convolution 3 x 3, no first pooling."""

    shape = (3, 32, 32)

    def stem(self):
        return [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]


class Encoder(nn.Module):
    """A transformer block, normalised first."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.wide, self.back = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(
            2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.back(functional.gelu(self.wide(self.norm2(x))))


class Vit(nn.Module):
    """4 layers, width 192, 4 heads, patches of 4 x 4 and a class token."""

    shape = (3, 32, 32)

    def __init__(self, dim=192):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.place = nn.Parameter(torch.randn(1, 65, dim) * 0.02)
        self.layers = nn.Sequential(*[Encoder(dim, 4) for _ in range(4)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        return self.head(self.norm(self.layers(x))[:, 0])


MODELS = {"mlp": Mlp, "resnet18": ResNet18, "resnet18-32": ResNet18Small, "vit": Vit}


def build(name):
    """The network with weights and running statistics of a fixed seed, ready to answer."""
    torch.manual_seed(7)
    model = MODELS[name]()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    x = torch.rand(64, *model.shape)
    model.train()(x)
    return model.eval()


def batch(model):
    generator = torch.Generator().manual_seed(11)
    x = torch.rand(BATCH, *model.shape, generator=generator)
    return x, torch.arange(BATCH) % 10


def export(folder):
    for name in MODELS:
        model = build(name)
        x, y = batch(model)
        torch.onnx.export(
            model, (x[:2],), str(folder / f"{name}.onnx"), input_names=["x"],
            output_names=["logits"], opset_version=18, dynamo=True, external_data=False,
            dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False)
        np.save(folder / f"{name}.x.npy", x.numpy())
        np.save(folder / f"{name}.y.npy", y.numpy().astype(np.int64))


def exact(name):
    """The gradient computed in f64."""
    model = build(name).double()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    x, y = batch(model)
    x = x.double().requires_grad_(True)
    loss = functional.cross_entropy(model(x), y, reduction="sum")
    return torch.autograd.grad(loss, x)[0].float().numpy()


def serve(folder, name, way, threads):
    torch.set_num_threads(threads)
    model = build(name)
    for parameter in model.parameters():
        parameter.requires_grad_(way == "backward")
    x, y = batch(model)

    def once():
        point = x.clone().requires_grad_(True)
        loss = functional.cross_entropy(model(point), y, reduction="sum")
        if way == "grad":
            return torch.autograd.grad(loss, point)[0]
        loss.backward()
        return point.grad

    np.save(folder / f"{name}.{way}.npy", once().numpy())
    if way == "grad":
        np.save(folder / f"{name}.exact.npy", exact(name))
    print(json.dumps({"engine": "torch", "version": torch.__version__}), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            once()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "export":
        export(Path(sys.argv[2]))
    else:
        serve(Path(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]))
