"""Golden values for crates/lab/src/stats, from scipy and scikit-learn.

Run:  python make.py > stats.json     (numpy, scipy, scikit-learn; versions are written along)
"""

import json

import numpy
import scipy
import sklearn
from scipy import special, stats
from sklearn import metrics

rng = numpy.random.default_rng(20261122)
out = {"versions": {"numpy": numpy.__version__, "scipy": scipy.__version__,
                    "scikit-learn": sklearn.__version__}}

out["beta_inc"] = [
    {"a": a, "b": b, "x": x, "value": float(special.betainc(a, b, x))}
    for a in (0.5, 1.0, 3.5, 40.0, 700.0, 9000.0)
    for b in (0.5, 2.0, 17.0, 300.0, 9000.0)
    for x in (1e-6, 0.02, 0.3, 0.5, 0.77, 0.999)
]
out["normal"] = [
    {"z": z, "cdf": float(stats.norm.cdf(z))}
    for z in (-8.0, -5.0, -2.5758, -1.96, -1.0, -0.1, 0.0, 0.3, 1.2, 1.7320508, 3.0, 6.0)
]
out["normal_quantile"] = [
    {"p": p, "z": float(stats.norm.ppf(p))}
    for p in (1e-9, 0.001, 0.025, 0.3, 0.5, 0.9, 0.975, 0.999999)
]

shares = [(0, 1), (1, 1), (0, 50), (50, 50), (37, 50), (1, 100), (62, 100), (499, 500),
          (731, 1000), (9873, 10000), (3, 250000)]


def limit(k, n, p):
    """Clopper-Pearson by beta quantiles; binomtest solves for them to 2e-12 only."""
    if p < 0.5:
        return 0.0 if k == 0 else float(stats.beta.ppf(p, k, n - k + 1))
    return 1.0 if k == n else float(stats.beta.ppf(p, k + 1, n - k))


out["shares"] = []
for k, n in shares:
    for confidence in (0.9, 0.95, 0.99):
        score = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
        out["shares"].append({
            "k": k, "n": n, "confidence": confidence,
            "exact": [limit(k, n, (1 - confidence) / 2), limit(k, n, (1 + confidence) / 2)],
            "wilson": [float(score.low), float(score.high)],
            "one_sided": [limit(k, n, 1 - confidence), limit(k, n, confidence)],
        })

out["mcnemar"] = [
    {"b": b, "c": c, "p": float(stats.binomtest(min(b, c), b + c, 0.5).pvalue)}
    for b, c in ((1, 0), (3, 9), (10, 10), (25, 40), (120, 180))
]


def delong_variance(scores, labels):
    """Structural components by their definition, all pairs: no ranks."""
    pos, neg = scores[labels == 1], scores[labels == 0]
    kernel = (pos[:, None] > neg[None, :]) + 0.5 * (pos[:, None] == neg[None, :])
    return kernel.mean(1).var(ddof=1) / len(pos) + kernel.mean(0).var(ddof=1) / len(neg)


out["auc"] = []
for n, digits in ((40, 1), (200, 2), (500, 6)):
    labels = (rng.random(n) < 0.35).astype(int)
    scores = numpy.round(rng.normal(labels * 1.1, 1.0), digits)
    variance = float(delong_variance(scores, labels))
    out["auc"].append({
        "scores": scores.tolist(), "labels": labels.tolist(),
        "auc": float(metrics.roc_auc_score(labels, scores)), "variance": variance,
    })

out["confusion"] = []
for classes in (2, 3, 5):
    labels = rng.integers(0, classes, 300)
    decisions = numpy.where(rng.random(300) < 0.6, labels, rng.integers(0, classes, 300))
    out["confusion"].append({
        "classes": classes, "labels": labels.tolist(), "decisions": decisions.tolist(),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(labels, decisions)),
        "mcc": float(metrics.matthews_corrcoef(labels, decisions)),
        "matrix": metrics.confusion_matrix(labels, decisions).tolist(),
    })

labels = rng.integers(0, 2, 250)
stated = numpy.clip(rng.normal(0.3 + 0.4 * labels, 0.2), 0.0, 1.0)
out["brier"] = {"stated": stated.tolist(), "labels": labels.tolist(),
                "value": float(metrics.brier_score_loss(labels, stated))}

values = rng.normal(0.0, 1.0, 101)
out["quantiles"] = {"values": values.tolist(),
                    "at": [[p, float(numpy.quantile(values, p))]
                           for p in (0.0, 0.05, 0.25, 0.5, 0.9, 1.0)]}

print(json.dumps(out, indent=1))
