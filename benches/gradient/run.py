"""Gradients of four networks: ONNX Runtime and rten through Proofmark's engine beside PyTorch.

    python3 benches/gradient/run.py PEER [--library L] [--threads 2] [--rounds 9] [--out FILE]

PEER is a Python with torch, numpy and onnxscript (`benches/python/requirements.txt`); L is a
library of ONNX Runtime, by default the one beside PEER. Every arm is a process of its own that
answers "N gradients" with its time; a round asks each arm once, in an order that rotates, so that
what else the machine does meets all of them alike. A figure is the median over the rounds of the
ratio to torch's `autograd.grad` in the same round, in wall time and in CPU time of the process.
On a machine that is not quiet only the CPU column means something. Before any time is taken the
gradients must agree with torch's in f64: median over the rows of the largest error by the largest
slope under 1e-5, or under that of torch's own f32 (a ReLU at zero falls either way in f32, and of
a million of them some do).

Build first: cargo build --release -p proofmark-engine --example gradient
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TICK = os.sysconf("SC_CLK_TCK")
# Gradients per question: enough that a CPU clock of 10 ms steps resolves them.
COUNTS = {"mlp": 2000, "vit": 4, "resnet18-32": 2, "resnet18": 1}
BARS = {"mlp": 0.5, "vit": 0.9, "resnet18-32": 0.85, "resnet18": 0.85}
AGREE = 1e-5
# Gradients before the first question: a program that shares a batch between threads is made, and
# compared with the one that does not, once a few batches have shown that it pays.
WARM = 12
# Seconds between two arms.
REST = 0.4


class Arm:
    """A process that computes gradients on demand."""

    def __init__(self, name, call, threads):
        env = os.environ | {"OMP_NUM_THREADS": str(threads)}
        self.name = name
        self.process = subprocess.Popen([str(c) for c in call], text=True, env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{name} did not start: {' '.join(str(c) for c in call)}")
        self.facts = json.loads(line)

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def ask(self, count):
        # The thread pool of the arm before spins a while after its last task.
        time.sleep(REST)
        before = self.cpu()
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        wall = float(self.process.stdout.readline())
        return wall / count * 1e3, (self.cpu() - before) / count * 1e3

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def floats(path):
    """A float array of ours or of numpy's, as a list of rows."""
    raw = path.read_bytes()
    start = 10 + struct.unpack("<H", raw[8:10])[0]
    values = struct.unpack(f"<{(len(raw) - start) // 4}f", raw[start:])
    rows = 32
    width = len(values) // rows
    return [values[i * width:(i + 1) * width] for i in range(rows)]


def error(ours, theirs):
    """Median over the rows of the largest error by the largest slope."""
    return statistics.median(
        max(abs(a - b) for a, b in zip(x, y)) / max(abs(b) for b in y)
        for x, y in zip(ours, theirs))


def measure(model, folder, options):
    binary, threads = options.binary, options.threads
    x, y, onnx = (folder / f"{model}{end}" for end in (".x.npy", ".y.npy", ".onnx"))
    peer = [options.peer, HERE / "peer.py", "serve", folder, model]
    arms = [Arm("torch autograd.grad", [*peer, "grad", threads], threads),
            Arm("torch .backward()", [*peer, "backward", threads], threads)]
    for name, engine in [("onnxruntime", options.library), ("rten", "rten")]:
        grad = folder / f"{model}.{name}.npy"
        call = [binary, "serve", onnx, x, y, engine, threads, grad]
        arms.append(Arm(f"proofmark {name}", call, threads))
    exact = floats(folder / f"{model}.exact.npy")
    files = {"onnxruntime": "onnxruntime", "rten": "rten", "torch": "grad"}
    errors = {n: error(floats(folder / f"{model}.{f}.npy"), exact) for n, f in files.items()}
    if max(errors["onnxruntime"], errors["rten"]) > max(AGREE, errors["torch"]):
        sys.exit(f"{model}: the gradients differ from torch's in f64: {errors}")
    count = max(1, int(COUNTS[model] * options.scale))
    for arm in arms:
        arm.ask(max(WARM, count // 4))
    times = {arm.name: [] for arm in arms}
    for turn in range(options.rounds):
        at = turn % len(arms)
        for arm in arms[at:] + arms[:at]:
            times[arm.name].append(arm.ask(count))
    base = times[arms[0].name]
    result = []
    for arm in arms:
        got = times[arm.name]
        ratio = [[a / b if b else float("nan") for a, b in zip(t, s)] for t, s in zip(got, base)]
        wall, cpu = ([p[i] for p in ratio] for i in (0, 1))
        result.append({
            "arm": arm.name, "engine": arm.facts["engine"], "version": arm.facts["version"],
            "wall_ms": round(statistics.median(t[0] for t in got), 3),
            "cpu_ms": round(statistics.median(t[1] for t in got), 3),
            "wall_ratio": round(statistics.median(wall), 3),
            "wall_ratio_range": [round(min(wall), 3), round(max(wall), 3)],
            "cpu_ratio": round(statistics.median(cpu), 3),
            "cpu_ratio_range": [round(min(cpu), 3), round(max(cpu), 3)],
        })
        arm.close()
    return {"model": model, "batch": 32, "bar": BARS[model], "error": errors, "arms": result}


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def table(record):
    lines = [f"{record['date']}, {record['cpu']}, {record['threads']} thread(s), load average "
             f"{record['load_before']} to {record['load_after']}, {record['rounds']} rounds"]
    for model in record["models"]:
        errors = ", ".join(f"{n} {e:.1e}" for n, e in model["error"].items())
        lines.append(f"{model['model']}, batch {model['batch']} (bar {model['bar']}); "
                     f"median error against f64: {errors}")
        for arm in model["arms"]:
            low, high = arm["cpu_ratio_range"]
            lines.append(
                f"  {arm['arm']:22} wall {arm['wall_ms']:10.3f} ms  {arm['wall_ratio']:6.3f} x   "
                f"CPU {arm['cpu_ms']:10.3f} ms  {arm['cpu_ratio']:6.3f} x ({low} to {high})")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", type=Path, help="Python with torch")
    parser.add_argument("--binary", type=Path, help="the built example `gradient`")
    parser.add_argument("--library", type=Path, help="library of ONNX Runtime")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on gradients per round")
    parser.add_argument("--models", nargs="+", default=list(COUNTS), choices=list(COUNTS))
    parser.add_argument("--out", type=Path, help="where the record goes, as JSON")
    options = parser.parse_args()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.binary = options.binary or target / "release" / "examples" / "gradient"
    if options.library is None:
        found = sorted(options.peer.absolute().parents[1].glob(
            "lib/python*/site-packages/onnxruntime/capi/libonnxruntime.so*"))
        if not found:
            sys.exit("no library of ONNX Runtime beside the peer; name one with --library")
        options.library = found[-1]
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([options.peer, HERE / "peer.py", "export", folder], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        models = [measure(model, folder, options) for model in options.models]
    record = {
        "format": "benches.gradient", "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(), "cores": os.cpu_count(), "system": platform.platform(),
        "threads": options.threads, "rounds": options.rounds,
        "load_before": round(load, 1), "load_after": round(os.getloadavg()[0], 1),
        "models": models,
    }
    if options.out:
        options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(table(record))
    missed = [m["model"] for m in models
              for a in m["arms"] if a["arm"] == "proofmark onnxruntime" and a["wall_ratio"] > m["bar"]]
    if missed:
        print(f"over the bar in wall time: {', '.join(missed)}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
