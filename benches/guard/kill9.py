#!/usr/bin/env python3
"""The guard is killed (SIGKILL) again and again under load; nothing acknowledged may be lost.

    benches/guard/kill9.py target/release/proofmark --rounds 100
    benches/guard/kill9.py target/release/proofmark --soak 600

Serves a copy of examples/credit, asks it from several threads, and writes down the id of every
answer as it arrives. After each kill the guard starts again on the same folder. At the end the
log is read here, without Proofmark's code: entry bundles (C2SP tlog-tiles), leaf hashes and the
root of RFC 6962, compared with the signed checkpoint. Every answer's id must stand in it exactly
once. With --soak nothing is killed; memory is read from /proc every few seconds instead.
Needs only the Python standard library. Exit 1 when something is lost, doubled or grows.
"""
import argparse
import base64
import csv
import hashlib
import http.client
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def prepare(binary, folder):
    """A copy of the example with an assessment, a policy that does not throttle, and a key."""
    shutil.copytree(ROOT / "examples/credit", folder, ignore=shutil.ignore_patterns(".proofmark"))
    text = (folder / "proofmark.toml").read_text()
    text = text.replace('role = "test"', 'role = "test"\nlimit = 40', 1)
    text = "\n".join(l for l in text.splitlines() if not l.startswith("expected"))
    (folder / "proofmark.toml").write_text(text + "\n")
    done = subprocess.run([binary, "assess", "-C", folder, "--quiet"], stdout=subprocess.DEVNULL)
    if done.returncode == 2:
        sys.exit("assess failed")
    policy = (folder / "guard.toml").read_text()
    policy = policy.replace("requests_per_second = 50", "requests_per_second = 100000")
    policy = policy.replace("burst = 100", "burst = 100000")
    policy = policy.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:8081", "127.0.0.1:0")
    (folder / "guard.toml").write_text(policy)
    made = [binary, "--format", "json", "guard", "key", "new", "-C", folder]
    return json.loads(subprocess.check_output(made))["key"]


def questions(folder):
    """Bodies from the test set: what the declaration lets in."""
    declared = tomllib.loads((folder / "proofmark.toml").read_text())["features"]
    read = {n: f["type"] for n, f in declared.items() if f.get("input", True)}
    bodies = []
    with open(folder / "test.csv", newline="") as file:
        for row in csv.DictReader(file):
            if any(row.get(name) in (None, "", "?") for name in read):
                continue
            cast = {"integer": int, "number": float}
            values = {n: cast.get(kind, str)(row[n]) for n, kind in read.items()}
            bodies.append(json.dumps({"features": values}).encode())
            if len(bodies) == 64:
                break
    return bodies


class Guard:
    def __init__(self, binary, folder):
        command = [binary, "--format", "json", "--quiet", "guard", "run", "-C", folder]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        text = ""
        for line in self.process.stdout:
            text += line
            if line.rstrip() == "}":
                break
        said = json.loads(text) if text.strip() else {}
        if "address" not in said:
            sys.exit(f"the guard did not start, exit {self.process.wait()}: {text}")
        host, port = said["address"].rsplit(":", 1)
        self.host, self.port = host, int(port)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        self.process.terminate()
        return self.process.wait(timeout=30)

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(l for l in status.splitlines() if l.startswith("VmRSS")).split()[1])

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


class Load:
    """Threads that ask without pause; the ids of answers that arrived whole."""

    def __init__(self, guard, key, bodies, threads, keep=True):
        self.ids, self.answers, self.refused, self.keep = [], 0, 0, keep
        self.stop = threading.Event()
        work = lambda i: self.ask(guard.host, guard.port, key, bodies, i)
        self.threads = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
        [thread.start() for thread in self.threads]

    def ask(self, host, port, key, bodies, turn):
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection = None
        while not self.stop.is_set():
            try:
                connection = connection or http.client.HTTPConnection(host, port, timeout=5)
                connection.request("POST", "/score", bodies[turn % len(bodies)], headers)
                answer = connection.getresponse()
                value = json.loads(answer.read())
                if answer.status == 200:
                    self.answers += 1
                    if self.keep:
                        self.ids.append(value["id"])
                else:
                    self.refused += 1
            except (OSError, http.client.HTTPException, ValueError):
                connection = None
                time.sleep(0.01)
            turn += 1

    def end(self):
        self.stop.set()
        [thread.join() for thread in self.threads]


def entries(log):
    """Every entry of a log, by the bundles that its checkpoint covers, and its root checked."""
    lines = (log / "checkpoint").read_text().split("\n")
    size, root = int(lines[1]), base64.b64decode(lines[2])
    found = []
    for index in range((size + 255) // 256):
        width = min(256, size - index * 256)
        groups, rest = [f"{index % 1000:03}"], index // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        path = log / "tile/entries" / "/".join(groups)
        if width < 256:
            part = path.with_name(path.name + ".p") / str(width)
            path = part if part.exists() else path
        data = path.read_bytes()
        for _ in range(width):
            length = int.from_bytes(data[:2], "big")
            found.append(data[2:2 + length])
            data = data[2 + length:]
    if merkle(found) != root:
        sys.exit(f"{log}: the entries do not give the signed root")
    return found


def merkle(leaves):
    """RFC 6962, 2.1: a stack of perfect subtrees, joined from the right."""
    stack = []
    for leaf in leaves:
        level, node = 0, hashlib.sha256(b"\0" + leaf).digest()
        while stack and stack[-1][0] == level:
            node = hashlib.sha256(b"\1" + stack.pop()[1] + node).digest()
            level += 1
        stack.append((level, node))
    if not stack:
        return hashlib.sha256(b"").digest()
    node = stack.pop()[1]
    while stack:
        node = hashlib.sha256(b"\1" + stack.pop()[1] + node).digest()
    return node


def recorded(folder):
    """How often each answer id stands in the guard's log, all volumes."""
    guard, counts, total, starts = folder / ".proofmark/guard", {}, 0, 0
    names = ["log"] + [f"log-{n}" for n in range(2, 1000)]
    for log in (guard / name for name in names):
        if not (log / "checkpoint").exists():
            break
        for entry in entries(log):
            event = json.loads(entry)
            total += 1
            starts += event["event"] == "start"
            if event["event"] == "request":
                counts[event["id"]] = counts.get(event["id"], 0) + 1
    return counts, total, starts


def kill_rounds(args, folder, key, bodies):
    acknowledged, random_source = [], random.Random(9)
    began = time.time()
    for number in range(args.rounds):
        guard = Guard(args.binary, folder)
        load = Load(guard, key, bodies, args.threads)
        time.sleep(random_source.uniform(0.2, args.seconds))
        guard.kill()
        load.end()
        acknowledged += load.ids
        if number % 10 == 9:
            print(f"round {number + 1}: {len(acknowledged)} answers so far", flush=True)
    left = list((folder / ".proofmark/guard/journal").glob("*.wal"))
    guard = Guard(args.binary, folder)
    if guard.end() != 0:
        sys.exit("the last guard did not end in order")
    counts, total, starts = recorded(folder)
    lost = [id for id in acknowledged if id not in counts]
    doubled = [id for id, count in counts.items() if count > 1]
    more = len(counts) - len(set(acknowledged))
    print(f"{args.rounds} kills in {time.time() - began:.0f} s, {starts} starts, "
          f"{len(left)} journal files after the last kill")
    print(f"{len(acknowledged)} answers arrived, {total} entries, lost {len(lost)}, "
          f"doubled {len(doubled)}, recorded but never received {more}")
    return 1 if lost or doubled or starts != args.rounds + 1 else 0


def soak(args, folder, key, bodies):
    guard = Guard(args.binary, folder)
    load = Load(guard, key, bodies, args.threads, keep=False)
    began, samples = time.time(), []
    while time.time() - began < args.soak:
        time.sleep(min(5, args.soak / 20))
        samples.append((time.time() - began, guard.rss_kib()))
        if len(samples) % 12 == 0:
            print(f"{samples[-1][0]:6.0f} s  {samples[-1][1]} KiB  {load.answers} answers", flush=True)
    cpu = guard.cpu_seconds()
    load.end()
    ended = guard.end()
    # The slope of the least squares over all but the first fifth, which is warming up.
    points = [s for s in samples if s[0] > args.soak / 5]
    mean_t = sum(t for t, _ in points) / len(points)
    mean_m = sum(m for _, m in points) / len(points)
    over = sum((t - mean_t) ** 2 for t, _ in points)
    slope = sum((t - mean_t) * (m - mean_m) for t, m in points) / over
    per_hour = slope * 3600 / 1024
    _, total, _ = recorded(folder)
    print(f"{args.soak} s, {load.answers} answers ({load.answers / args.soak:.0f}/s), "
          f"{load.refused} refused, {total} entries, {cpu / load.answers * 1e6:.0f} us CPU each")
    print(f"memory {points[0][1]} KiB to {points[-1][1]} KiB, lowest {min(m for _, m in points)}, "
          f"highest {max(m for _, m in points)}, slope {per_hour:.1f} MiB/h")
    print(f"guard ended with {ended}; entries cover all answers: {total >= load.answers}")
    return 1 if total < load.answers or ended != 0 or slope * 600 > args.growth else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=lambda p: str(pathlib.Path(p).resolve()))
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.2, help="longest time before a kill")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--soak", type=float, default=0, help="seconds of steady load instead")
    parser.add_argument("--growth", type=float, default=2048, help="KiB in ten minutes, at most")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "credit"
        # A copy: a build meanwhile must not change what is measured.
        args.binary = shutil.copy(args.binary, scratch)
        key = prepare(args.binary, folder)
        bodies = questions(folder)
        run = soak if args.soak else kill_rounds
        return run(args, folder, key, bodies)


if __name__ == "__main__":
    sys.exit(main())
