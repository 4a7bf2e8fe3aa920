"""The thresholds of the example's criteria, chosen from validation figures alone.

As in the credit example: with p the validation figure, a criterion that should hold is set far
enough below p, one that should not hold far enough above it, that sampling alone would turn the
outcome in about one case of twenty. See `../credit/thresholds.py` for the reasoning.
"""

import math

Z = 1.645
STEP = 0.05


def reach(p, n_validation, n_test):
    variance = p * (1 - p)
    between = math.sqrt(variance * (1 / n_validation + 1 / n_test))
    return Z * (between + math.sqrt(variance / n_test))


def below(p, n_validation, n_test):
    steps = math.floor((p - reach(p, n_validation, n_test)) / STEP + 1e-9)
    return round(steps * STEP, 2)


def above(p, n_validation, n_test):
    steps = math.ceil((p + reach(p, n_validation, n_test)) / STEP - 1e-9)
    return round(steps * STEP, 2)


# name of the criterion, rule, model, eps in steps of 1/255
CRITERIA = [
    ("hardened-holds", below, "cnn_adv", 16),
    ("plain-holds", above, "cnn", 4),
]


def choose(validation, n_validation, n_test):
    chosen = {}
    for name, rule, model, eps in CRITERIA:
        p = validation[model][f"robust_accuracy_{eps}"]
        chosen[name] = {
            "model": model, "eps": eps, "at_least": rule(p, n_validation, n_test),
            "rule": rule.__name__, "validation_figure": p,
        }
    return chosen
