"""Golden gradients at kinks and ties for tests/it/gradient.rs, by PyTorch.

    python ties.py    (torch only; measured with 2.15)
"""

import torch
import torch.nn.functional as F


def gradient(name, f, shape, x):
    x = torch.tensor(x).reshape(shape).requires_grad_()
    (g,) = torch.autograd.grad(f(x).sum(), x)
    print(f"{name:14} {x.flatten().tolist()} -> {[v + 0.0 for v in g.flatten().tolist()]}")


gradient("relu", F.relu, (3,), [-1.0, 0.0, 1.0])
gradient("abs", torch.abs, (3,), [-1.0, 0.0, 1.0])
gradient("max_pool2d", lambda x: F.max_pool2d(x, 2), (1, 1, 2, 2), [0.0, 0.0, 0.0, 0.0])
gradient("max_pool2d", lambda x: F.max_pool2d(x, 2), (1, 1, 2, 2), [0.0, 1.0, 1.0, 1.0])
gradient(
    "max_pool2d", lambda x: F.max_pool2d(x, (1, 2), 1), (1, 1, 1, 4), [1.0, 2.0, 2.0, 2.0]
)
gradient("adaptive_max", lambda x: F.adaptive_max_pool2d(x, 1), (1, 1, 1, 3), [0.0, 5.0, 5.0])
gradient("amax", lambda x: torch.amax(x, (0, 1)), (1, 3), [5.0, 1.0, 5.0])
gradient("clamp", lambda x: torch.clamp(x, -1.0, 1.0), (4,), [-2.0, -1.0, 1.0, 2.0])
gradient("maximum", lambda x: torch.maximum(x, torch.zeros(2)), (2,), [0.0, 1.0])
