"""Golden values for randomised smoothing: the certificate of Cohen et al. 2019 by scipy.

Run: python smoothing.py > smoothing.json   (scipy)
The lower bound is what statsmodels calls proportion_confint(count, n, alpha=2*alpha,
method="beta")[0], the radius sigma * norm.ppf(bound); 0 where the vote abstains.
"""

import json
import sys

import scipy
from scipy.stats import beta, norm

CASES = [
    (sigma, n, alpha, count)
    for sigma in (0.12, 0.25, 1.0)
    for n, alpha in ((100, 0.05), (10_000, 0.001), (100_000, 0.001))
    for count in (0, n // 2, n // 2 + 1, int(0.6 * n), int(0.93 * n), n - 1, n)
]


def certificate(sigma, n, alpha, count):
    lower = beta.ppf(alpha, count, n - count + 1) if count else 0.0
    radius = sigma * norm.ppf(lower) if lower > 0.5 else 0.0
    return {
        "sigma": sigma, "n": n, "alpha": alpha, "count": count,
        "p_lower": float(lower), "radius": float(radius),
    }


if __name__ == "__main__":
    out = {"made_by": f"scipy {scipy.__version__}", "cases": [certificate(*c) for c in CASES]}
    json.dump(out, sys.stdout, indent=1)
    print()
