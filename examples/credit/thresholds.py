"""The thresholds of the example's criteria, chosen from validation figures alone.

The example is to show a criterion that holds and one that does not, so one threshold is set where
a model as good as on the validation split would pass, the other where it would fail. Proofmark
passes a criterion when the one-sided 95 % lower bound reaches the threshold and fails it when the
upper bound stays below. With p the validation figure and nv, nt the numbers of rows in the two
splits, the test figure lies about 1.645 * sqrt(p (1 - p) (1 / nv + 1 / nt)) around p, and its bound
another 1.645 * sqrt(p (1 - p) / nt) away. The sum of both, rounded away from p to a multiple of
0.05, gives the threshold: each outcome is then expected with about 95 %, not guaranteed.
"""

import math

Z = 1.645
STEP = 0.05


def reach(p, n_validation, n_test):
    """Distance that separates a sure outcome from an open one."""
    variance = p * (1 - p)
    between = math.sqrt(variance * (1 / n_validation + 1 / n_test))
    return Z * (between + math.sqrt(variance / n_test))


def below(p, n_validation, n_test):
    """A threshold that should be passed."""
    steps = math.floor((p - reach(p, n_validation, n_test)) / STEP + 1e-9)
    return round(steps * STEP, 2)


def above(p, n_validation, n_test):
    """A threshold that should be failed."""
    steps = math.ceil((p + reach(p, n_validation, n_test)) / STEP - 1e-9)
    return round(steps * STEP, 2)


# name of the criterion, rule, model, figure in the record, rows it is counted over
CRITERIA = [
    ("recall-under-attack", below, "mlp", "robust_recall_bad_0.05", "bad"),
    ("accuracy-under-attack", above, "mlp", "robust_accuracy_0.1", "all"),
]


def choose(validation, counts):
    """`validation[model][figure]` and `counts[split][rows]` -> the thresholds, with their basis."""
    chosen = {}
    for name, rule, model, figure, rows in CRITERIA:
        p = validation[model][figure]
        chosen[name] = {
            "at_least": rule(p, counts["validation"][rows], counts["test"][rows]),
            "rule": rule.__name__,
            "validation_figure": p,
            "figure": f"{model} {figure}",
        }
    return chosen
