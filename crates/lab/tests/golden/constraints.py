"""Violations of relations between columns, computed by hand in Python: writes `constraints.json`.

    python3 crates/lab/tests/golden/constraints.py

Each relation stands twice: as the text that Proofmark parses, and as a Python expression written
down independently. Measure: |l-r| for =, max(0, l-r) for <=, the sum over `and`, the least over
`or`; `not` at the comparisons. Needs nothing but Python 3.
"""

import json
import math
import random
from pathlib import Path

TOL = 1e-6
TINY = 2.2250738585072014e-308


def slack(l, r):
    return TOL * max(1.0, abs(l), abs(r))


def eq(l, r):
    gap = abs(l - r)
    return 0.0 if gap <= slack(l, r) else gap


def le(l, r):
    gap = l - r
    return 0.0 if gap <= slack(l, r) else gap


def ge(l, r):
    return le(r, l)


def lt(l, r):
    gap = l - r + slack(l, r)
    return 0.0 if gap < 0 else max(gap, TINY)


def gt(l, r):
    return lt(r, l)


def ne(l, r):
    gap = slack(l, r) - abs(l - r)
    return 0.0 if gap < 0 else max(gap, TINY)


# After the relations of LCLD, the credit data of TabularBench, and more of each form.
RELATIONS = [
    ("installment <= amount / 10", lambda r: le(r["installment"], r["amount"] / 10)),
    ("term = 36 or term = 60", lambda r: min(eq(r["term"], 36), eq(r["term"], 60))),
    ("open <= total", lambda r: le(r["open"], r["total"])),
    (
        "ratio = open / max(total, 1)",
        lambda r: eq(r["ratio"], r["open"] / max(r["total"], 1)),
    ),
    (
        "abs(installment - amount * rate * (1 + rate) ^ term / ((1 + rate) ^ term - 1)) <= 0.99",
        lambda r: le(
            abs(
                r["installment"]
                - r["amount"] * r["rate"] * (1 + r["rate"]) ** r["term"]
                / ((1 + r["rate"]) ** r["term"] - 1)
            ),
            0.99,
        ),
    ),
    (
        "if term = 36 then rate < 0.02 else rate >= 0.01",
        lambda r: min(ne(r["term"], 36), lt(r["rate"], 0.02))
        + min(eq(r["term"], 36), ge(r["rate"], 0.01)),
    ),
    (
        "not (open > 5 and total < 10)",
        lambda r: min(le(r["open"], 5), ge(r["total"], 10)),
    ),
    (
        "0 < rate <= 0.03",
        lambda r: lt(0, r["rate"]) + le(r["rate"], 0.03),
    ),
    (
        "floor(amount / 25) * 25 = amount or amount > 15000",
        lambda r: min(eq(math.floor(r["amount"] / 25) * 25, r["amount"]), gt(r["amount"], 15000)),
    ),
    (
        "sqrt(amount) + log(total + 1) - exp(rate) != min(open, term, 7)",
        lambda r: ne(
            math.sqrt(r["amount"]) + math.log(r["total"] + 1) - math.exp(r["rate"]),
            min(r["open"], r["term"], 7),
        ),
    ),
]
COLUMNS = ["amount", "installment", "term", "rate", "open", "total", "ratio"]


def row(draw):
    amount = draw.choice([draw.randrange(500, 20000), 25 * draw.randrange(20, 800)])
    term = draw.choice([36, 60, draw.randrange(6, 72)])
    rate = draw.uniform(0.002, 0.035)
    exact = amount * rate * (1 + rate) ** term / ((1 + rate) ** term - 1)
    open_, total = draw.randrange(0, 20), draw.randrange(0, 30)
    return {
        "amount": amount,
        "installment": draw.choice([exact, exact * draw.uniform(0.9, 1.1)]),
        "term": term,
        "rate": rate,
        "open": open_,
        "total": total,
        "ratio": draw.choice([open_ / max(total, 1), draw.random()]),
    }


def main():
    draw = random.Random(20261123)
    rows = [row(draw) for _ in range(200)]
    golden = {
        "columns": COLUMNS,
        "relations": [text for text, _ in RELATIONS],
        "rows": [[r[c] for c in COLUMNS] for r in rows],
        "violations": [[measure(r) for _, measure in RELATIONS] for r in rows],
    }
    out = Path(__file__).with_name("constraints.json")
    out.write_text(json.dumps(golden) + "\n")
    for at, (text, _) in enumerate(RELATIONS):
        broken = sum(v[at] > 0 for v in golden["violations"])
        print(f"{broken:3} of {len(rows)} break {text}")


main()
