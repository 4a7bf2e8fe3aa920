"""Makes crown.json: IBP and CROWN bounds of small networks, in numpy, from the papers' formulas.

Written apart from the Rust code: everything is a dense matrix, bounds are carried symbolically,
one row at a time (Zhang et al. 2018, theorem 3.2, with the adaptive lower slope of section 3.3).

    python crates/lab/tests/golden/crown.py > crates/lab/tests/golden/crown.json
"""

import json
import sys

import numpy as np

rng = np.random.default_rng(0)


def f32(a):
    return np.asarray(a, dtype=np.float32).astype(np.float64)


def conv_matrix(w, b, size, stride, pad):
    """A convolution as a matrix, cell by cell."""
    out_c, in_c, kh, kw = w.shape
    out = (size + 2 * pad - kh) // stride + 1
    m = np.zeros((out_c * out * out, in_c * size * size))
    for o in range(out_c):
        for i in range(out):
            for j in range(out):
                for c in range(in_c):
                    for y in range(kh):
                        for x in range(kw):
                            r, s = i * stride + y - pad, j * stride + x - pad
                            if 0 <= r < size and 0 <= s < size:
                                m[(o * out + i) * out + j, (c * size + r) * size + s] += w[o, c, y, x]
    return m, np.repeat(b, out * out)


class Net:
    """Nodes: ('linear', from, W, b), ('relu', from), ('add', a, b); node 0 is the input."""

    def __init__(self, size):
        self.nodes, self.len = [("input",)], [size]

    def put(self, node, size):
        self.nodes.append(node)
        self.len.append(size)
        return len(self.nodes) - 1

    def linear(self, at, w, b):
        return self.put(("linear", at, w, b), len(b))

    def relu(self, at):
        return self.put(("relu", at), self.len[at])

    def add(self, a, b):
        return self.put(("add", a, b), self.len[a])


def ibp(net, low, high):
    lo, hi = [low], [high]
    for node in net.nodes[1:]:
        if node[0] == "linear":
            _, at, w, b = node
            p, n = np.maximum(w, 0), np.minimum(w, 0)
            lo.append(p @ lo[at] + n @ hi[at] + b)
            hi.append(p @ hi[at] + n @ lo[at] + b)
        elif node[0] == "relu":
            lo.append(np.maximum(lo[node[1]], 0))
            hi.append(np.maximum(hi[node[1]], 0))
        else:
            lo.append(lo[node[1]] + lo[node[2]])
            hi.append(hi[node[1]] + hi[node[2]])
    return lo, hi


def backward(net, at, c, low, high, before):
    """Lower bound of c . value(at)."""
    live, constant = {at: np.array(c, float)}, 0.0
    for k in range(at, 0, -1):
        if k not in live:
            continue
        a, node = live.pop(k), net.nodes[k]
        if node[0] == "linear":
            constant += a @ node[3]
            parts = [(node[1], a @ node[2])]
        elif node[0] == "add":
            parts = [(node[1], a), (node[2], a)]
        else:
            l, u = before[k]
            through = np.zeros_like(a)
            for j in range(len(a)):
                if l[j] >= 0:
                    through[j] = a[j]
                elif u[j] > 0:
                    if a[j] >= 0:
                        through[j] = a[j] if u[j] > -l[j] else 0.0
                    else:
                        slope = u[j] / (u[j] - l[j])
                        through[j] = a[j] * slope
                        constant += a[j] * (-l[j] * slope)
            parts = [(node[1], through)]
        for f, part in parts:
            live[f] = live.get(f, 0) + part
    a = live[0]
    return constant + np.maximum(a, 0) @ low + np.minimum(a, 0) @ high


def crown(net, rows, low, high):
    """Bounds before each ReLU by CROWN, and never worse than intervals made from them."""
    before = {}
    lo, hi = [low], [high]
    for k, node in enumerate(net.nodes[1:], 1):
        if node[0] == "relu":
            f = node[1]
            eye = np.eye(net.len[f])
            l = np.array([backward(net, f, e, low, high, before) for e in eye])
            u = np.array([-backward(net, f, -e, low, high, before) for e in eye])
            lo[f], hi[f] = np.maximum(lo[f], l), np.minimum(hi[f], u)
            before[k] = (lo[f], hi[f])
            lo.append(np.maximum(lo[f], 0))
            hi.append(np.maximum(hi[f], 0))
        elif node[0] == "linear":
            _, at, w, b = node
            p, n = np.maximum(w, 0), np.minimum(w, 0)
            lo.append(p @ lo[at] + n @ hi[at] + b)
            hi.append(p @ hi[at] + n @ lo[at] + b)
        else:
            lo.append(lo[node[1]] + lo[node[2]])
            hi.append(hi[node[1]] + hi[node[2]])
    return [backward(net, len(net.nodes) - 1, r, low, high, before) for r in rows]


def dense(i, o):
    return f32(rng.normal(size=(o, i)) * 1.4 / np.sqrt(i)), f32(rng.normal(size=o) * 0.3)


def main():
    out = []
    for kind in ("mlp", "residual", "cnn"):
        weights = []
        if kind == "cnn":
            shape = (1, 2, 6, 6)
            w1, b1 = f32(rng.normal(size=(3, 2, 3, 3)) * 0.4), f32(rng.normal(size=3) * 0.2)
            w2, b2 = f32(rng.normal(size=(3, 3, 3, 3)) * 0.4), f32(rng.normal(size=3) * 0.2)
            last = dense(27, 3)
            weights = [w1, b1, w2, b2, *last]
            net = Net(72)
            at = net.relu(net.linear(0, *conv_matrix(w1, b1, 6, 2, 1)))
            at = net.relu(net.linear(at, *conv_matrix(w2, b2, 3, 1, 1)))
            net.linear(at, *last)
        elif kind == "mlp":
            shape = (1, 6)
            layers = [dense(6, 12), dense(12, 12), dense(12, 3)]
            weights = [a for layer in layers for a in layer]
            net, at = Net(6), 0
            for i, layer in enumerate(layers):
                at = net.linear(net.relu(at) if i else at, *layer)
        else:
            shape = (1, 6)
            a, b, c, d = dense(6, 10), dense(10, 10), dense(10, 10), dense(10, 3)
            weights = [v for layer in (a, b, c, d) for v in layer]
            net = Net(6)
            first = net.linear(0, *a)
            inner = net.linear(net.relu(net.linear(net.relu(first), *b)), *c)
            net.linear(net.relu(net.add(first, inner)), *d)
        size = int(np.prod(shape))
        x = f32(rng.normal(size=size))
        rows = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0], [-1.0, 0.0, 1.0]])
        for width in (0.05, 0.2, 0.5):
            low, high = f32(x - width), f32(x + width)
            lo, hi = ibp(net, low, high)
            p, n = np.maximum(rows, 0), np.minimum(rows, 0)
            out.append({
                "net": kind, "shape": shape, "low": low.tolist(), "high": high.tolist(),
                "weights": [{"shape": w.shape, "data": w.flatten().tolist()} for w in weights],
                "ibp": (p @ lo[-1] + n @ hi[-1]).tolist(),
                "crown": crown(net, rows, low, high),
            })
    json.dump(out, sys.stdout)


main()
