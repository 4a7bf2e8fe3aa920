"""Proofmark's APGD beside torchattacks' on both clothing networks, in one run on one machine.

    python apgd_compare.py PROOFMARK [--threads 1] [--live]

PROOFMARK is the release binary. Without --live the peer's outcomes are those of
`apgd_reference.json`; with it torchattacks runs again right before, with as many threads, so that
the times can be compared. Pixels are floats in [0, 1] on both sides (no rounding to 8 bits).
Exit 1 when a bar is missed: robust accuracy within 1 point, at least 98 % of images judged alike.
"""

import argparse
import gzip
import json
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CLOTHING = HERE.parents[1] / "examples" / "clothing"
LETTERS = {"wrong": "w", "broken": "b", "survived": "s"}


def idx(path):
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def ours(binary, model, eps, threads, folder):
    call = [
        binary, "attack", "--model", CLOTHING / f"{model}.onnx",
        "--data", folder / "images.npy", "--label", folder / "labels.npy",
        "--norm", "linf", "--eps", str(eps / 255), "--scale", "raw", "--suite", "apgd-ce",
        "--steps", "100", "--threads", str(threads), "--format", "json", "--quiet",
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run([str(c) for c in call], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    report = json.loads(done.stdout)
    outcomes = "".join(LETTERS[p["outcome"]] for p in report["points"])
    return outcomes, seconds, report["engine"]


def alike(a, b):
    return sum(x == y for x, y in zip(a, b)) / len(a)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("proofmark", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--live", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    images = idx(next(CLOTHING.glob("test-images*"))).astype(np.float32) / 255
    np.save(folder / "images.npy", images[:, None])
    np.save(folder / "labels.npy", idx(next(CLOTHING.glob("test-labels*"))).astype(np.int64))
    reference = HERE / "apgd_reference.json"
    if args.live:
        reference = folder / "reference.json"
        script = HERE / "apgd_reference.py"
        subprocess.run(
            [sys.executable, script, reference, "--threads", str(args.threads), "--seeds", "0"],
            check=True,
        )
    missed = False
    for peer in json.loads(reference.read_text())["results"]:
        run = peer["runs"][0]
        outcomes, seconds, engine = ours(
            args.proofmark, peer["model"], peer["eps"], args.threads, folder
        )
        robust = outcomes.count("s") / len(outcomes)
        same = alike(outcomes, run["outcomes"])
        clean = alike(outcomes.replace("s", "b"), run["outcomes"].replace("s", "b"))
        missed |= abs(robust - run["robust"]) > 0.01 or same < 0.98
        print(
            f"{peer['model']} at {peer['eps']}/255: robust {robust:.3f} (torchattacks "
            f"{run['robust']:.3f}), judged alike {same:.1%} (clean {clean:.1%}), "
            f"{seconds:.1f} s on {engine['name']} {engine['version']} "
            f"(torchattacks {run['seconds']:.1f} s wall, {run['cpu_seconds']:.1f} s CPU), "
            f"{args.threads} thread(s)"
        )
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
