"""Golden values for crates/lab/src/stats/regression.rs, from numpy and scipy.

Run:  python regression.py > regression.json

Quantile intervals: ranks by scipy.stats.binom alone. Means: scipy's t quantile and skew, with
Hall's (1992) inversion written out here once more.
"""

import json

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(20261122)
out = {"versions": {"numpy": np.__version__, "scipy": scipy.__version__}, "cases": []}


def mean_interval(v, confidence):
    n, mean, sd = len(v), np.mean(v), np.std(v, ddof=1)
    # Sample skewness with third moment n / ((n-1)(n-2)) over the sample deviation.
    skew = n / ((n - 1) * (n - 2)) * np.sum((v - mean) ** 3) / sd ** 3
    t = stats.t.ppf(0.5 + confidence / 2, n - 1)
    a, b = skew / (3 * n ** 0.5), skew / (6 * n ** 0.5)
    inverse = lambda g: (np.cbrt(1 + 3 * a * (g - b)) - 1) / a
    return mean - sd / n ** 0.5 * inverse(t), mean - sd / n ** 0.5 * inverse(-t)


def quantile_interval(v, p, confidence):
    v, n, tail = np.sort(v), len(v), (1 - confidence) / 2
    low = [r for r in range(1, n + 1) if stats.binom.cdf(r - 1, n, p) <= tail]
    high = [r for r in range(1, n + 1) if stats.binom.sf(r - 1, n, p) <= tail]
    return (float(v[low[-1] - 1]) if low else 0.0, float(v[high[0] - 1]) if high else None)


for name, errors in {"normal": rng.normal(0, 3, 60), "skewed": rng.exponential(5, 200),
                     "few": rng.normal(1, 1, 12)}.items():
    absolute = np.abs(errors)
    case = {"name": name, "errors": list(errors), "quantiles": []}
    low, high = mean_interval(absolute, 0.95)
    case["mae"] = [float(absolute.mean()), max(low, 0.0), high]
    low, high = mean_interval(errors ** 2, 0.95)
    case["rmse"] = [float(np.sqrt((errors ** 2).mean())), max(low, 0.0) ** 0.5, high ** 0.5]
    for p in (0.5, 0.9, 0.95):
        value = float(np.quantile(absolute, p, method="inverted_cdf"))
        case["quantiles"].append([p, value, *quantile_interval(absolute, p, 0.95)])
    out["cases"].append(case)
print(json.dumps(out, indent=1))
