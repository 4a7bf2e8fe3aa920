"""Genetic search among valid rows: `proofmark attack --suite moeva` beside pymoo.

    python3 benches/moeva/run.py PEER ADULT [--binary B] [--rows 200] [--rounds 3] [--out F]

PEER is a Python with pymoo, onnxruntime, scikit-learn and skl2onnx; ADULT the folder of the Adult
census (`adult.data`, `adult.test`). `make.py` trains two models and writes the constraints; both
sides attack the same rows through the same ONNX file with ONNX Runtime, one thread each: L-inf,
population 100, 100 generations of 100, the same operators, objectives, repair and end (a row ends
with its first valid witness). A second arm lets nobody win: a budget in which no row falls, so
that both sides run all generations.

Ours is timed twice: the attack alone, by what it reports of itself, and the whole command with
start, reading and the gates, which attack samples anew (there CPU seconds are compared). The peer is
timed as the attack alone, in a process that is warm; its witnesses are asked once more. Ratios are
medians over the rounds. Success must not fall short of the peer's by more than a point.
"""

import argparse
import csv
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BAR = 20.0
POINTS = 1.0
GENERATIONS, POPULATION, OFFSPRING = 100, 100, 100
FREE = "education_num,capital_gain,capital_loss,net_capital,hours"
# Budgets that break some rows and not others; and one that breaks none of those that it is run on.
ARMS = {"gbm": 0.1, "mlp": 0.1}
HARD = 0.02


def ours(options, folder, model, eps, table, seed, limit):
    call = [options.binary, "attack", "--model", folder / f"{model}.onnx", "--data", table,
            "--label", "income", "--norm", "linf", "--eps", eps, "--scale", "bounds",
            "--suite", "moeva", "--steps", GENERATIONS, "--mutable", FREE,
            "--constraints", folder / "constraints.toml", "--engine", "onnxruntime",
            "--threads", 1, "--seed", seed, "--format", "json", "--limit", limit]
    env = os.environ | {"PROOFMARK_ONNXRUNTIME": str(options.library), "NO_COLOR": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([str(c) for c in call], capture_output=True, text=True, env=env,
                          check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not done.stdout.startswith("{"):
        sys.exit(f"proofmark: {done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), done.stderr, wall, cpu


def peer(options, folder, model, table, spec):
    call = [options.peer, HERE / "peer.py", folder / f"{model}.onnx", table, json.dumps(spec)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(c) for c in call], capture_output=True, text=True, env=env,
                          check=False)
    if done.returncode:
        sys.exit(f"peer: {done.stderr}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[0], lines[1:]


def table_of(folder, rows, out):
    """A table of these rows alone; returns their labels."""
    with (folder / "test.csv").open() as file:
        head, *lines = list(csv.reader(file))
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([head, *(lines[i] for i in rows)])
    return [int(lines[i][-1]) for i in rows]


def bounds_of(folder):
    said = tomllib.loads((folder / "constraints.toml").read_text())["features"]
    return [said[name]["bounds"] for name in FREE.split(",")]


def decided(options, folder, model, found):
    """The model's answers to witnesses of the peer, asked once more."""
    code = ("import sys, json, numpy as np, onnxruntime as o;"
            "s = o.InferenceSession(sys.argv[1]); x = np.array(json.load(sys.stdin), np.float32);"
            "p = s.run(['probabilities'], {s.get_inputs()[0].name: x})[0];"
            "print(json.dumps(p.argmax(1).tolist()))")
    call = [options.peer, "-c", code, str(folder / f"{model}.onnx")]
    done = subprocess.run(call, input=json.dumps(found), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("adult", type=Path)
    parser.add_argument("--binary", default=str(ROOT / "target" / "release" / "proofmark"))
    parser.add_argument("--library", default=os.environ.get("PROOFMARK_ONNXRUNTIME", ""))
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        subprocess.run([options.peer, HERE / "make.py", options.adult, folder], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        results = [arm(options, folder, model, kind, eps)
                   for model, likely in ARMS.items()
                   for kind, eps in (("to the first witness", likely), ("all generations", HARD))]
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")
    show(results)


def arm(options, folder, model, kind, eps):
    """One model at one budget, on rows that are decided rightly."""
    first, _, _, _ = ours(options, folder, model, eps, folder / "test.csv", 99, 2 * options.rows)
    wanted = ["survived"] if kind == "all generations" else ["survived", "broken"]
    rows = [p["index"] for p in first["points"] if p["outcome"] in wanted][:options.rows]
    table = folder / f"{model}-rows.csv"
    labels = table_of(folder, rows, table)
    ratios, whole, shares = [], [], []
    for seed in range(options.rounds):
        mine, said, _, cpu = ours(options, folder, model, eps, table, seed, len(rows))
        spec = {"eps": eps, "threads": 1, "population": POPULATION, "offspring": OFFSPRING,
                "generations": GENERATIONS, "seed": seed, "bounds": bounds_of(folder)}
        facts, theirs = peer(options, folder, model, table, spec)
        their_wall, their_cpu = sum(r["wall"] for r in theirs), sum(r["cpu"] for r in theirs)
        alone = attack_seconds(said)
        broken = sum(p["outcome"] == "broken" for p in mine["points"])
        found = {r["row"]: r["found"] for r in theirs if r["found"]}
        shares.append((100 * broken / len(rows), 100 * len(found) / len(rows)))
        ratios.append(their_wall / alone)
        whole.append(their_cpu / cpu)
        print(f"{model}, {kind}, seed {seed}: ours {alone:.2f} s, whole command {cpu:.2f} s CPU, "
              f"{broken} of {len(rows)}, {sum(p['queries'] for p in mine['points'])} queries; "
              f"pymoo {their_wall:.2f} s ({their_cpu:.2f} CPU), {len(found)}, "
              f"{sum(r['asked'] for r in theirs)} queries", flush=True)
        if found:
            answers = decided(options, folder, model, list(found.values()))
            assert all(a != labels[row] for a, row in zip(answers, found)), "no witness"
    return {"model": model, "arm": kind, "eps": eps, "rows": len(rows), "peer": facts,
            "ratio": statistics.median(ratios), "ratio_whole": statistics.median(whole),
            "ours": statistics.mean(s[0] for s in shares),
            "theirs": statistics.mean(s[1] for s in shares)}


def attack_seconds(said):
    """The attack alone, as the command tells it on stderr."""
    told = re.search(r"the attack took ([0-9.]+) s", said)
    return float(told[1]) if told else sys.exit(f"no time of the attack in: {said}")


def show(results):
    print(f"\n{'model':6}{'arm':24}{'eps':>6}{'rows':>6}{'ours %':>9}{'pymoo %':>9}"
          f"{'faster':>9}{'whole':>8}")
    for r in results:
        print(f"{r['model']:6}{r['arm']:24}{r['eps']:6}{r['rows']:6}{r['ours']:9.1f}"
              f"{r['theirs']:9.1f}{r['ratio']:8.1f}x{r['ratio_whole']:7.1f}x")
        good = r["ratio"] >= BAR and r["ours"] >= r["theirs"] - POINTS
        if not good:
            print("      bar not reached")


main()
