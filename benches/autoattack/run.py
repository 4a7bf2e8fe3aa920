"""AutoAttack, whole and part by part: `proofmark attack` beside torchattacks.

    python3 benches/autoattack/run.py PEER DATA [--rows 1000] [--threads 2] [--out F]

PEER is a Python with torchattacks (`benches/python/requirements.txt`), DATA a folder with
Fashion-MNIST's IDX files, from which an MLP and a ResNet are trained once into `--folder`. All arms
attack the first rows of `examples/clothing`'s test images with the same weights, as floats (no
rounding to 8 bits), with the published numbers of steps, targets and queries. Ours is timed as the
whole command (start of the process, reading, gates and report included), the peer as the attack
alone, in a process that is warm.

Bars: robust accuracy of the whole within 0.5 points of the peer's, of each part alone (on all points
that are right without an attack) within 1 point, the whole of ours in at most 0.5 x the peer's time
on `cnn` (trained as usual) and 0.9 x on `cnn_adv` (trained against attacks). A part that breaks
more than the peer's by more than a point is named, not hidden. `shipped` is torchattacks as it comes,
with a tenth of the published steps (see `peer.py`): compared in outcome, not held to the bar.

Build first: cargo build --release -p proofmark
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "apgd"))
import run as apgd

# Network, distance, budget: where the reference leaves 20 to 80 %.
CASES = [
    ("mlp", "linf", 12 / 255), ("cnn", "linf", 4 / 255), ("cnn_adv", "linf", 32 / 255),
    ("resnet", "linf", 12 / 255), ("cnn_adv", "l2", 1.5),
]
PARTS = ["apgd-ce", "apgd-t", "fab-t", "square"]
WHOLE_POINTS, PART_POINTS = 0.5, 1.0
TIMES = {"cnn": 0.5, "cnn_adv": 0.9}


class Peer:
    def __init__(self, model, options):
        env = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
        call = [options.peer, HERE / "peer.py", model, options.folder, options.threads,
                options.rows]
        self.process = subprocess.Popen([str(c) for c in call], text=True, env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.facts = json.loads(self.process.stdout.readline())

    def run(self, part, norm, eps, seed, shipped=False):
        ask = {"part": part, "norm": norm, "eps": eps, "seed": seed, "shipped": shipped}
        self.process.stdin.write(json.dumps(ask) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(model, part, norm, eps, seed, data, options):
    path = options.folder / f"{model}.onnx"
    path = path if path.exists() else apgd.CLOTHING / f"{model}.onnx"
    call = [options.binary, "attack", "--model", path, "--data", data / "images.npy",
            "--label", data / "labels.npy", "--norm", norm, "--eps", eps, "--scale", "raw",
            "--bounds", "0:1", "--suite", part, "--engine", options.engine,
            "--threads", options.threads, "--seed", seed, "--format", "json", "--quiet"]
    env = os.environ | {"PROOFMARK_ONNXRUNTIME": str(options.library)}
    import resource
    import time
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(c) for c in call], capture_output=True, text=True, env=env,
                          check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not done.stdout.startswith("{"):
        sys.exit(f"proofmark {part}: {done.stderr}")
    report = json.loads(done.stdout)
    warned = [c["check"] for c in report["validity"] if c["state"] in ("warn", "refuse")]
    return {"outcomes": "".join(apgd.LETTERS[p["outcome"]] for p in report["points"]),
            "wall": wall, "warned": warned,
            "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def robust(run):
    return 100 * run["outcomes"].count("s") / len(run["outcomes"])


def measure(model, norm, eps, data, options):
    peer = Peer(model, options)
    rows = []
    for part in ["autoattack", *([] if options.whole_only else PARTS)]:
        bar = WHOLE_POINTS if part == "autoattack" else PART_POINTS
        mine = ours(model, part, norm, eps, options.seed, data, options)
        theirs = peer.run(part, norm, eps, options.seed)
        gap = robust(mine) - robust(theirs)
        row = {"part": part, "ours": robust(mine), "peer": robust(theirs), "gap": round(gap, 2),
               "alike": round(100 * apgd.alike(mine["outcomes"], theirs["outcomes"]), 1),
               "bar": bar, "wall": [round(mine["wall"], 1), round(theirs["wall"], 1)],
               "cpu": [round(mine["cpu"], 1), round(theirs["cpu"], 1)],
               "wall_ratio": round(mine["wall"] / theirs["wall"], 3),
               "cpu_ratio": round(mine["cpu"] / theirs["cpu"], 3), "warned": mine["warned"]}
        if part == "autoattack" and options.shipped:
            shipped = peer.run(part, norm, eps, options.seed, shipped=True)
            row["shipped"] = robust(shipped)
            row["shipped_wall"] = round(shipped["wall"], 1)
        rows.append(row)
        print(line(model, norm, eps, row), file=sys.stderr, flush=True)
    peer.close()
    return {"model": model, "norm": norm, "eps": eps, "peer": peer.facts, "parts": rows}


def line(model, norm, eps, row):
    said = (f"{model:8} {norm:4} {eps:.4f} {row['part']:10} ours {row['ours']:5.1f} %  peer "
            f"{row['peer']:5.1f} %  gap {row['gap']:+5.2f} (bar {row['bar']})  alike {row['alike']:5.1f} %"
            f"  wall {row['wall'][0]:7.1f} / {row['wall'][1]:7.1f} s = {row['wall_ratio']:.3f}"
            f"  CPU {row['cpu_ratio']:.3f}")
    if "shipped" in row:
        said += f"  (as shipped {row['shipped']:.1f} %, {row['shipped_wall']:.1f} s)"
    return said + (f"  warned {','.join(row['warned'])}" if row["warned"] else "")


def missed(record):
    out = []
    for case in record["cases"]:
        name = f"{case['model']} {case['norm']}"
        for row in case["parts"]:
            if abs(row["gap"]) > row["bar"]:
                out.append(f"{name} {row['part']}: {row['gap']:+.2f} points")
        limit = TIMES.get(case["model"]) if case["norm"] == "linf" else None
        whole = case["parts"][0]
        if limit and whole["wall_ratio"] > limit:
            out.append(f"{name}: {whole['wall_ratio']} x the peer's time, bar {limit}")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", type=Path, help="Python with torchattacks")
    parser.add_argument("data", type=Path, help="folder with Fashion-MNIST's IDX files")
    parser.add_argument("--binary", type=Path, help="the release binary")
    parser.add_argument("--library", type=Path, help="library of ONNX Runtime")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--folder", type=Path, help="where the networks are trained",
                        default=Path(tempfile.gettempdir()) / "proofmark-autoattack")
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--norms", nargs="+", default=["linf", "l2"])
    parser.add_argument("--whole-only", action="store_true")
    parser.add_argument("--shipped", action="store_true", help="also the peer as it comes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
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
    subprocess.run([str(options.peer), str(HERE / "nets.py"), str(options.data),
                    str(options.folder)], check=True)
    load = os.getloadavg()[0]
    cases = [c for c in CASES if c[1] in options.norms]
    cases = [c for c in cases if not options.models or c[0] in options.models]
    with tempfile.TemporaryDirectory() as name:
        data = Path(name)
        apgd.prepare(data, options.rows)
        measured = [measure(*case, data, options) for case in cases]
    record = {
        "format": "benches.autoattack", "date": datetime.date.today().isoformat(),
        "cpu": apgd.cpu_name(), "cores": os.cpu_count(), "system": platform.platform(),
        "threads": options.threads, "rows": options.rows, "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1), "cases": measured,
    }
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{record['date']}, {record['cpu']}, {record['threads']} thread(s), {record['rows']} rows, "
          f"load average {record['load_before']} to {record['load_after']}")
    for case in measured:
        for row in case["parts"]:
            print(line(case["model"], case["norm"], case["eps"], row))
    for words in missed(record):
        print(f"MISSED: {words}")
    sys.exit(1 if missed(record) else 0)


if __name__ == "__main__":
    main()
