"""Golden values for the interval of a difference of paired shares, independent of crates/lab.

Run:  python paired.py > paired.json     (scipy; its version is written along)

Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10. Nothing here follows the closed
formulas of the crate: the Wilson limits are the roots of the score equation, found by bisection,
and the squares are added as the length of a difference of two vectors whose cosine is phi.
"""

import json
import math

import scipy
from scipy import optimize, stats


def score_limits(k, n, confidence):
    """Both p at which |k/n - p| is z standard errors, the error taken at p itself."""
    z = stats.norm.ppf(0.5 + confidence / 2)
    off = lambda p: (k / n - p) ** 2 - z * z * p * (1 - p) / n
    share = k / n
    # At 0 of n and n of n the share itself is a root as well; the other one is meant.
    low = 0.0 if k == 0 else optimize.brentq(off, 0.0, min(share, 1 - 1e-9), xtol=1e-15)
    high = 1.0 if k == n else optimize.brentq(off, max(share, 1e-9), 1.0, xtol=1e-15)
    return low, high


def phi(a, b, c, d):
    margins = [a + b, c + d, a + c, b + d]
    if 0 in margins:
        return 0.0
    n = a + b + c + d
    cross = a * d - b * c
    if cross > 0:
        cross = max(cross - n / 2, 0)
    return cross / math.sqrt(math.prod(margins))


def length(u, v, cosine):
    """Of u - v, two vectors of lengths u and v with that cosine between them."""
    sine = math.sqrt(max(1 - cosine * cosine, 0))
    return math.hypot(u - v * cosine, v * sine)


def method_10(a, b, c, d, confidence):
    n = a + b + c + d
    p1, p2 = (a + b) / n, (a + c) / n
    (l1, u1), (l2, u2) = score_limits(a + b, n, confidence), score_limits(a + c, n, confidence)
    r = phi(a, b, c, d)
    return p1 - p2 - length(p1 - l1, u2 - p2, r), p1 - p2 + length(u1 - p1, p2 - l2, r)


tables = [
    (20, 12, 2, 16), (36, 12, 2, 0), (1, 1, 7, 5), (0, 0, 0, 10), (10, 0, 0, 0), (0, 10, 0, 0),
    (0, 0, 10, 0), (54, 0, 0, 0), (53, 1, 0, 0), (53, 0, 0, 1), (53, 0, 1, 0), (67, 8, 1, 14),
    (30, 29, 0, 1), (5, 40, 40, 5), (140, 6, 3, 151), (9000, 120, 80, 800), (1, 0, 0, 0),
]
out = {"versions": {"scipy": scipy.__version__}, "newcombe": []}
for table in tables:
    for confidence in (0.9, 0.95, 0.99):
        lower, upper = method_10(*table, confidence)
        out["newcombe"].append({
            "both": table[0], "first": table[1], "second": table[2], "neither": table[3],
            "confidence": confidence, "lower": lower, "upper": upper})
print(json.dumps(out, indent=1))
