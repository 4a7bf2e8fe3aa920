"""HopSkipJump on the credit trees: `proofmark attack` beside ART.

    python3 benches/hopskipjump/run.py PEER [--binary B] [--threads 2] [--rounds 3] [--out F]

PEER is a Python with ART (`adversarial-robustness-toolbox`), ONNX and ONNX Runtime. Both attack the
rows of `examples/credit/test.csv` that `gbm.onnx` decides rightly at its declared cut-off, from
decisions alone, with the same columns, ranges (those found in the rows) and whole numbers, in L2 and
L-inf, with at most 1,000 and 5,000 queries a row. Every distance is that of a point that the form
can hold. A row without a success counts as infinitely far, on both sides.

ART is measured twice: on the shipped file (`file`), and with the file taken apart by hand so that
only the tree ensemble is asked (`trees`, see peer.py), which no user of a black box would do.

`--data validation.csv` takes rows on which nothing about the attack was ever tried.

Times are wall times of the attack alone, the best of the rounds: ART's in a warm process, ours as
the command says it (clean answers and attack; not the gates, which attack samples again). The whole
command is shown beside it: start of the process, reading, set-up gates, attack, gates, report. The
bar: at most 1/20 of the time of ART on the shipped file, and a median distance of at most 1.02 times
ART's in either way.

Build first: cargo build --release -p proofmark
"""

import argparse
import csv
import datetime
import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CREDIT = ROOT / "examples" / "credit"
MUTABLE = ["duration", "amount", "installment_rate", "residence_since"]
CUTOFF = 0.19
# One step of the finest column: a row stops early only where nothing can be nearer.
LEAST = 1e-4
BUDGETS = [1000, 5000]
NORMS = ["l2", "linf"]
WAYS = ["file", "trees"]
FASTER, FARTHER = 20.0, 1.02
TOOK = re.compile(r"the attack took ([0-9.]+) s")


class Peer:
    def __init__(self, way, options):
        self.name = f"art {way}"
        env = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        call = [options.peer, HERE / "peer.py", options.threads, way]
        self.process = subprocess.Popen([str(c) for c in call], text=True, env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.facts = json.loads(self.process.stdout.readline())

    def run(self, task):
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        far = [math.inf if d is None else d for d in answer["distances"]]
        return {"far": far, "wall": answer["wall"], "cpu": answer["cpu"],
                "queries": statistics.mean(answer["queries"]), "most": max(answer["queries"])}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    name = "proofmark"

    def __init__(self, options):
        self.options = options
        self.facts = {}

    def call(self, task, budget, suite="hopskipjump"):
        call = [
            self.options.binary, "attack", "--model", task["model"], "--data", task["data"],
            "--label", "class", "--norm", task["norm"], "--eps", LEAST, "--scale", "bounds",
            "--suite", suite, "--decision", f"2@{task['cutoff']}", "--access", "decision",
            "--mutable", ",".join(task["mutable"]), "--output", "probabilities",
            "--output-kind", "probability", "--queries", budget, "--seed", task["seed"],
            "--threads", self.options.threads, "--format", "json",
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run([str(c) for c in call], capture_output=True, text=True, check=False)
        whole = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = TOOK.search(done.stderr)
        if '"points"' not in done.stdout or took is None:
            sys.exit(f"{self.name}: {done.stderr}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return json.loads(done.stdout), {"wall": float(took[1]), "whole": whole, "cpu": cpu}

    def run(self, task):
        report, times = self.call(task, task["budget"])
        self.facts = report["engine"]
        points = {p["index"]: p for p in report["points"]}
        far = [points[row]["distance"].get("upper") for row in task["rows"]]
        queries = [points[row]["queries"] for row in task["rows"]]
        return times | {"far": [math.inf if d is None else d for d in far],
                        "queries": statistics.mean(queries), "most": max(queries)}

    def close(self):
        pass


def task_of(ours):
    """Ranges found in the rows, and the rows that are decided rightly."""
    data = CREDIT / ours.options.data
    with data.open(newline="") as file:
        rows = list(csv.DictReader(file))
    bounds = [[f(float(r[m]) for r in rows) for f in (min, max)] for m in MUTABLE]
    task = {"data": str(data), "model": str(CREDIT / "gbm.onnx"), "mutable": MUTABLE,
            "bounds": bounds, "whole": True, "cutoff": CUTOFF, "norm": "l2", "seed": 0}
    report, _ = ours.call(task, 1)
    right = [p["index"] for p in report["points"] if p["outcome"] != "wrong"]
    return task | {"rows": right}


def both_found(ours, theirs):
    """Median over the rows that both turned, of our distance by theirs."""
    each = [a / b for a, b in zip(ours, theirs) if math.isfinite(a) and math.isfinite(b) and b > 0]
    return statistics.median(each) if each else math.nan


def measure(task, arms, rounds):
    runs = {arm.name: [] for arm in arms}
    for turn in range(rounds):
        at = turn % len(arms)
        for arm in arms[at:] + arms[:at]:
            runs[arm.name].append(arm.run(task | {"seed": turn}))
    result = {}
    for name, got in runs.items():
        entry = {
            # The seed that served each side best does not count: the median over the rounds does.
            "median_distance": statistics.median(statistics.median(g["far"]) for g in got),
            "found": statistics.median(sum(map(math.isfinite, g["far"])) for g in got),
            "queries_mean": round(statistics.mean(g["queries"] for g in got), 1),
            "queries_most": max(g["most"] for g in got),
            "wall_s": min(g["wall"] for g in got), "cpu_s": min(g["cpu"] for g in got),
            "whole_s": min(g.get("whole", g["wall"]) for g in got),
        }
        result[name] = entry
    ours = result["proofmark"]
    for name, entry in result.items():
        if name == "proofmark":
            continue
        far = [g["far"] for g in runs[name]]
        mine = [g["far"] for g in runs["proofmark"]]
        entry["ours_by_theirs_same_rows"] = statistics.median(map(both_found, mine, far))
        entry["ours_by_theirs_median"] = ours["median_distance"] / entry["median_distance"]
        entry["faster"] = entry["wall_s"] / ours["wall_s"]
        entry["faster_whole"] = entry["wall_s"] / ours["whole_s"]
        entry["faster_whole_cpu"] = entry["cpu_s"] / ours["cpu_s"]
    return result


def table(record):
    lines = [f"{record['date']}, {record['cpu']}, {record['threads']} thread(s), load average "
             f"{record['load_before']} to {record['load_after']}, {record['rounds']} rounds, "
             f"{record['rows']} rows"]
    for case in record["cases"]:
        lines.append(f"{case['norm']}, at most {case['budget']} queries a row")
        for name, arm in case["arms"].items():
            line = (f"  {name:10} median {arm['median_distance']:.5f}  found {arm['found']:5.0f}  "
                    f"queries {arm['queries_mean']:7.1f} (most {arm['queries_most']})  "
                    f"attack {arm['wall_s']:6.3f} s  CPU {arm['cpu_s']:6.3f} s")
            if name == "proofmark":
                line += f" (whole command)  wall of it {arm['whole_s']:.3f} s"
            else:
                line += (f"  distance x{arm['ours_by_theirs_median']:.3f} (rows both found "
                         f"x{arm['ours_by_theirs_same_rows']:.3f})  we are faster x"
                         f"{arm['faster']:.1f} (whole command x{arm['faster_whole']:.1f}, "
                         f"in CPU x{arm['faster_whole_cpu']:.1f})")
            lines.append(line)
    return "\n".join(lines)


def missed(record):
    out = []
    for case in record["cases"]:
        arms = case["arms"]
        where = f"{case['norm']} {case['budget']}"
        if arms["art file"]["faster"] < FASTER:
            out.append(f"time at {where}")
        if any(arms[f"art {way}"]["ours_by_theirs_median"] > FARTHER for way in WAYS):
            out.append(f"distance at {where}")
    return out


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", type=Path, help="Python with ART and ONNX Runtime")
    parser.add_argument("--binary", type=Path, help="the release binary")
    parser.add_argument("--data", default="test.csv", help="rows of `examples/credit`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where the record goes, as JSON")
    options = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.binary = options.binary or target / "release" / "proofmark"
    load = os.getloadavg()[0]
    ours = Ours(options)
    task = task_of(ours)
    arms = [ours] + [Peer(way, options) for way in WAYS]
    cases = []
    for norm in NORMS:
        for budget in BUDGETS:
            case = task | {"norm": norm, "budget": budget}
            cases.append({"norm": norm, "budget": budget,
                          "arms": measure(case, arms, options.rounds)})
    for arm in arms:
        arm.close()
    record = {
        "format": "benches.hopskipjump", "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform(),
        "threads": options.threads, "rounds": options.rounds, "rows": len(task["rows"]),
        "facts": {arm.name: arm.facts for arm in arms}, "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1), "cases": cases,
    }
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(table(record))
    over = missed(record)
    if over:
        print(f"bar missed: {', '.join(over)}")
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
