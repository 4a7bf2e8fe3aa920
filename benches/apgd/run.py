"""Whole runs of APGD on cross-entropy: `proofmark attack` beside torchattacks.

    python3 benches/apgd/run.py PEER [--binary B] [--library L] [--threads 2] [--rounds 5] [--out F]

PEER is a Python with torchattacks (`benches/python/requirements.txt`); L a library of ONNX Runtime,
by default the one beside PEER. Both attack the first rows of `examples/clothing` with the same
weights: L-inf, 100 steps, one start, floats (no rounding to 8 bits). Ours is timed as the whole
command: start of the process, reading, the gates that attack samples once more with more steps,
and the report. The peer is timed as the attack alone, in a process that is warm. A round runs each
arm once, in an order that rotates; the figure is the median over the rounds of the ratio within a
round. Robust accuracy must differ by at most 1 point and 98 % of the images be judged alike, else
the times are not printed. On a machine that is not quiet only the CPU column means something.

Build first: cargo build --release -p proofmark
"""

import argparse
import datetime
import gzip
import json
import os
import platform
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CLOTHING = ROOT / "examples" / "clothing"
# As in benches/python/apgd_reference.py; bars: wall time of ours by that of the peer.
EPS = {"cnn": 4, "cnn_adv": 32}
BARS = {"cnn": 0.7, "cnn_adv": 0.9}
LETTERS = {"wrong": "w", "broken": "b", "survived": "s"}


def idx(path):
    raw = gzip.decompress(path.read_bytes())
    dims = struct.unpack(f">{raw[3]}I", raw[4:4 + 4 * raw[3]])
    return raw[4 + 4 * len(dims):], dims


def npy(path, descr, shape, data):
    """An array as NumPy writes it, without NumPy."""
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)


def prepare(folder, rows):
    pixels, (_, high, wide) = idx(next(CLOTHING.glob("test-images*")))
    labels, _ = idx(next(CLOTHING.glob("test-labels*")))
    # Divided in f32, as NumPy does it for the peer.
    byte = [struct.unpack("<f", struct.pack("<f", v / 255))[0] for v in range(256)]
    cells = [byte[v] for v in pixels[:rows * high * wide]]
    npy(folder / "images.npy", "<f4", (rows, 1, high, wide), struct.pack(f"<{len(cells)}f", *cells))
    npy(folder / "labels.npy", "<i8", (rows,), struct.pack(f"<{rows}q", *labels[:rows]))


class Peer:
    name = "torchattacks"

    def __init__(self, model, options):
        env = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        call = [options.peer, HERE / "peer.py", model, options.threads, options.rows]
        self.process = subprocess.Popen([str(c) for c in call], text=True, env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.facts = json.loads(self.process.stdout.readline())

    def run(self, seed):
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["outcomes"], answer["wall"], answer["cpu"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    def __init__(self, model, engine, folder, options):
        self.name = f"proofmark {engine}"
        self.env = os.environ | {"PROOFMARK_ONNXRUNTIME": str(options.library)}
        self.call = [str(c) for c in [
            options.binary, "attack", "--model", CLOTHING / f"{model}.onnx",
            "--data", folder / "images.npy", "--label", folder / "labels.npy",
            "--norm", "linf", "--eps", EPS[model] / 255, "--scale", "raw", "--suite", "apgd-ce",
            "--steps", "100", "--engine", engine, "--threads", options.threads,
            "--format", "json", "--quiet",
        ]]  # fmt: skip
        self.facts = {}

    def run(self, seed):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run([*self.call, "--seed", str(seed)], capture_output=True, text=True,
                              env=self.env, check=False)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode == 2 and not done.stdout.startswith("{"):
            sys.exit(f"{self.name}: {done.stderr}")
        report = json.loads(done.stdout)
        self.facts = report["engine"]
        outcomes = "".join(LETTERS[p["outcome"]] for p in report["points"])
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return outcomes, wall, cpu

    def close(self):
        pass


def alike(a, b):
    return sum(x == y for x, y in zip(a, b)) / len(a)


def measure(model, folder, options):
    arms = [Peer(model, options)]
    arms += [Ours(model, engine, folder, options) for engine in options.engines]
    runs = {arm.name: [] for arm in arms}
    for turn in range(options.rounds):
        at = turn % len(arms)
        for arm in arms[at:] + arms[:at]:
            runs[arm.name].append(arm.run(turn))
    base = runs[arms[0].name]
    theirs = base[0][0]
    result = []
    for arm in arms:
        got = runs[arm.name]
        outcomes = got[0][0]
        robust = outcomes.count("s") / len(outcomes)
        entry = {
            "arm": arm.name, "facts": arm.facts, "robust": robust,
            "judged_alike": round(alike(outcomes, theirs), 4),
            "wall_s": round(statistics.median(r[1] for r in got), 2),
            "cpu_s": round(statistics.median(r[2] for r in got), 2),
        }
        for k, column in [(1, "wall"), (2, "cpu")]:
            ratio = [r[k] / b[k] for r, b in zip(got, base)]
            entry[f"{column}_ratio"] = round(statistics.median(ratio), 3)
            entry[f"{column}_ratio_range"] = [round(min(ratio), 3), round(max(ratio), 3)]
        result.append(entry)
        arm.close()
        if abs(robust - result[0]["robust"]) > 0.01 or entry["judged_alike"] < 0.98:
            sys.exit(f"{model}: {arm.name} judges otherwise than the peer: {entry}")
    return {"model": model, "eps": f"{EPS[model]}/255", "rows": options.rows,
            "bar": BARS[model], "arms": result}


def table(record):
    lines = [f"{record['date']}, {record['cpu']}, {record['threads']} thread(s), load average "
             f"{record['load_before']} to {record['load_after']}, {record['rounds']} rounds"]
    for model in record["models"]:
        lines.append(f"{model['model']} at {model['eps']}, {model['rows']} rows (bar {model['bar']})")
        for arm in model["arms"]:
            low, high = arm["cpu_ratio_range"]
            lines.append(
                f"  {arm['arm']:22} robust {arm['robust']:.3f}, alike {arm['judged_alike']:.1%}  "
                f"wall {arm['wall_s']:7.2f} s  {arm['wall_ratio']:6.3f} x   "
                f"CPU {arm['cpu_s']:7.2f} s  {arm['cpu_ratio']:6.3f} x ({low} to {high})")
    return "\n".join(lines)


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", type=Path, help="Python with torchattacks")
    parser.add_argument("--binary", type=Path, help="the release binary")
    parser.add_argument("--library", type=Path, help="library of ONNX Runtime")
    parser.add_argument("--engines", nargs="+", default=["onnxruntime", "rten"])
    parser.add_argument("--models", nargs="+", default=list(EPS), choices=list(EPS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="where the record goes, as JSON")
    options = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.binary = options.binary or target / "release" / "proofmark"
    if options.library is None:
        found = sorted(options.peer.absolute().parents[1].glob(
            "lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so*"))
        if not found:
            sys.exit("no library of ONNX Runtime beside the peer; name one with --library")
        options.library = found[-1]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.rows)
        models = [measure(model, folder, options) for model in options.models]
    record = {
        "format": "benches.apgd", "date": datetime.date.today().isoformat(), "cpu": cpu_name(),
        "cores": os.cpu_count(), "system": platform.platform(), "threads": options.threads,
        "rounds": options.rounds, "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1), "models": models,
    }
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(table(record))
    missed = [m["model"] for m in models for a in m["arms"]
              if a["arm"] == "proofmark onnxruntime" and a["wall_ratio"] > m["bar"]]
    if missed:
        print(f"over the bar in wall time: {', '.join(missed)}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
