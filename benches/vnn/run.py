"""Runs `proofmark attack --property` on sets of VNN-LIB instances and compares verdicts.

    python3 benches/vnn/run.py PROGRAM SET_FOLDER... [--threads 2] [--only PART] [--scale 1.0]

A folder holds `instances.tsv` (network, property, time limit in seconds, verdict of the winner);
files may carry `.gz`. `wrong` counts answers that contradict the winner: any is a failure. An
instance that the winner did not solve counts only when it is solved here.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
import time


def there(path):
    packed = path.with_name(path.name + ".gz")
    return packed if packed.exists() else path


def run(program, folder, row, args):
    limit = float(row["timeout_s"]) * args.scale
    command = [program, "--format", "json", "attack",
               "--model", str(there(folder / row["onnx"])),
               "--property", str(there(folder / row["vnnlib"])),
               "--timeout", str(limit), "--threads", str(args.threads), "--engine", args.engine]
    begun = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit + 30)
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        answer = {"verdict": "error", "reason": str(error)}
    answer["wall"] = time.monotonic() - begun
    answer["limit"] = limit
    return answer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--only", default="")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the time limits")
    args = parser.parse_args()
    bad = 0
    for folder in map(pathlib.Path, args.folders):
        with open(folder / "instances.tsv") as table:
            rows = [r for r in csv.DictReader(table, delimiter="\t") if args.only in r["vnnlib"]]
        solved, wrong, late, wall = 0, 0, 0, 0.0
        for row in rows:
            answer = run(args.program, folder, row, args)
            verdict, wanted = answer.get("verdict"), row["verdict"]
            proof = answer.get("proof", {})
            sure = verdict in ("sat", "unsat")
            against = sure and wanted in ("sat", "unsat") and verdict != wanted
            solved += sure and not against
            wrong += against
            late += answer["wall"] > answer["limit"]
            wall += answer["wall"]
            print(f"{row['vnnlib'].split('/')[-1]:55} {verdict!s:8} wanted {wanted:8}"
                  f"{answer['wall']:8.1f} s {proof.get('parts', 0):8} parts"
                  f"  margin {proof.get('margin')} f32 {proof.get('holds_in_f32')}"
                  f"{'  WRONG' if against else ''} {answer.get('reason') or answer.get('message') or ''}", flush=True)
        print(f"{folder.name}: {solved} of {len(rows)} solved, {wrong} wrong, {late} over the limit,"
              f" {wall:.0f} s in all", flush=True)
        bad += wrong
    sys.exit(1 if bad else 0)


main()
