#!/usr/bin/env python3
"""CPU per request of the guard against nginx, in one run.

    cargo build --release -p proofmark
    python3 benches/guard/run.py target/release/proofmark [--seconds 10] [--rounds 5]

A stub upstream (nginx, fixed answer) and three proxies take turns in front of it: nginx, the guard
in `mode = "pass-through"`, and the guard with key, schema, limits and record. wrk asks over
loopback with connections kept open. The figure is processor time of the proxy's process over
requests, from /proc/PID/stat: wrk and stub share the machine, so rates would say little. The order
rotates; median, lowest and highest of the rounds are printed. Then a primary is killed under load
and failed requests and the longest gap between two answers are counted.
Needs nginx, wrk and Linux. Nothing here is part of the product.
"""
import argparse, http.client, json, os, pathlib, shutil, signal, socket, statistics, subprocess
import sys, tempfile, threading, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STUB, NGINX, THROUGH, FULL, LOCAL, ADMIN = 19100, 19101, 19102, 19103, 19104, 19110
FEATURES = {
    "checking_status": "below 0 DM", "duration": 24,
    "credit_history": "existing credits paid back so far", "purpose": "new car",
    "amount": 3000, "savings": "below 100 DM", "employment_since": "1 to 3 years",
    "installment_rate": 3, "other_debtors": "none", "residence_since": 2,
    "property": "car or other", "age": 33, "other_installment_plans": "none",
    "housing": "rent", "existing_credits": 1, "job": "skilled", "people_liable": 1,
    "telephone": "no",
}
NUMBERS = {k for k, v in FEATURES.items() if isinstance(v, int)}
ANSWER = json.dumps({"model_name": "mlp", "outputs": [
    {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [0.35, 0.65]}]})


def nginx(directory, name, server):
    conf = (HERE / "nginx.conf").read_text()
    conf = conf.replace("@SERVER@", server).replace("@DIR@", str(directory)).replace("@NAME@", name)
    path = directory / f"{name}.conf"
    path.write_text(conf)
    return subprocess.Popen(["nginx", "-c", str(path), "-p", str(directory)],
                            stderr=subprocess.DEVNULL)


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(p) for p in out.stdout.split()]


def cpu(pids):
    """User and system time of the processes, all threads, in seconds."""
    ticks = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wait(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


def guard(binary, base, name, port, admin, mode="", primary=""):
    folder = base / name
    shutil.copytree(ROOT / "examples" / "credit", folder, ignore=shutil.ignore_patterns(".proofmark"))
    (folder / "guard.toml").write_text(
        f'format = "proofmark.guard/1"\n{mode}'
        f'[listen]\naddress = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{admin}"\n'
        f'[primary]\nmodel = "mlp"\n{primary}[backup]\nmodel = "gbm"\n'
        '[limits]\nrequests_per_second = 1000000\nburst = 1000000\ndeadline_ms = 250\n'
        # The stub gives one fixed answer: the known answers would rightly call it wrong.
        '[known_answers]\nrows = 0\n')
    run = [str(binary), "--quiet", "guard"]
    key = subprocess.run([*run, "key", "new", "-C", str(folder)], capture_output=True, text=True,
                         check=True).stdout.strip()
    process = subprocess.Popen([*run, "run", "-C", str(folder), "--unassessed"],
                               stdout=subprocess.DEVNULL)
    wait(port)
    return process, key, folder


def wrk(port, path, body, key, seconds, connections):
    env = dict(os.environ, BENCH_PATH=path, BENCH_BODY=str(body), BENCH_KEY=key)
    out = subprocess.run(["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
                          str(HERE / "score.lua"), f"http://127.0.0.1:{port}"],
                         capture_output=True, text=True, env=env).stdout
    line = [l for l in out.splitlines() if l.startswith("BENCH")]
    if not line:
        sys.exit(f"wrk gave nothing:\n{out}")
    requests, refused, errors = map(int, line[0].split()[1:])
    percent = {l.split()[0]: l.split()[1] for l in out.splitlines() if l.strip().endswith("s")
               and "%" in l.split()[0]}
    return requests, refused, errors, percent.get("50%", "-"), percent.get("99%", "-")


def failover(binary, base, args):
    """Kills the primary under load: failed requests, longest gap between two answers."""
    stub = nginx(base, "dying", f"server {{ listen 127.0.0.1:{STUB + 50}; location / {{ "
                 f"default_type application/json; return 200 '{ANSWER}'; }} }}")
    wait(STUB + 50)
    primary = f'upstream = "http://127.0.0.1:{STUB + 50}"\n'
    process, key, _ = guard(binary, base, "failover", LOCAL, ADMIN + 6, primary=primary)
    body = json.dumps({"features": FEATURES})
    ends, failed, kinds = [], [], {}
    lock, over = threading.Lock(), threading.Event()

    def ask():
        link = http.client.HTTPConnection("127.0.0.1", LOCAL, timeout=5)
        while not over.is_set():
            began = time.monotonic()
            try:
                link.request("POST", "/score", body, {"authorization": f"Bearer {key}"})
                answer = link.getresponse()
                said = json.loads(answer.read())
                with lock:
                    if answer.status == 200:
                        ends.append((time.monotonic(), time.monotonic() - began))
                        kinds[said["answered_by"]] = kinds.get(said["answered_by"], 0) + 1
                    else:
                        failed.append(said)
            except Exception as error:
                with lock:
                    failed.append(repr(error))
                link.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    killed = time.monotonic()
    for pid in [*children(stub.pid), stub.pid]:
        os.kill(pid, signal.SIGKILL)
    time.sleep(3)
    over.set()
    for thread in threads:
        thread.join()
    times = sorted(t for t, _ in ends)
    around = [t for t in times if killed - 0.5 < t]
    gap = max(b - a for a, b in zip(around, around[1:]))
    longest = max(took for t, took in ends if t > killed)
    process.terminate()
    process.wait()
    return {"answers": len(ends), "by": kinds, "failed": len(failed), "first_failure": failed[:1],
            "gap_ms": round(gap * 1e3, 1), "longest_answer_ms": round(longest * 1e3, 1)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    args = parser.parse_args()
    binary = args.binary.resolve()
    base = pathlib.Path(tempfile.mkdtemp(prefix="guard-bench-"))
    tensors = [{"name": k, "shape": [1, 1], "datatype": "FP32" if k in NUMBERS else "BYTES",
                "data": [v]} for k, v in FEATURES.items()]
    bodies = {"oip": base / "oip.json", "json": base / "json.json"}
    bodies["oip"].write_text(json.dumps({"inputs": tensors}))
    bodies["json"].write_text(json.dumps({"features": FEATURES}))
    infer = "/v2/models/mlp/infer"
    stub = nginx(base, "stub", f"server {{ listen 127.0.0.1:{STUB}; location / {{ "
                 f"default_type application/json; return 200 '{ANSWER}'; }} }}")
    proxy = nginx(base, "proxy", f"upstream stub {{ server 127.0.0.1:{STUB}; keepalive 64; "
                  "keepalive_requests 100000000; } "
                  f"server {{ listen 127.0.0.1:{NGINX}; location / {{ proxy_pass http://stub; "
                  "proxy_http_version 1.1; proxy_set_header Connection \"\"; } }")
    wait(STUB), wait(NGINX)
    behind = f'upstream = "http://127.0.0.1:{STUB}"\n'
    through, _, _ = guard(binary, base, "through", THROUGH, ADMIN, 'mode = "pass-through"\n', behind)
    full, key, _ = guard(binary, base, "full", FULL, ADMIN + 2, "", behind)
    local, own, _ = guard(binary, base, "local", LOCAL, ADMIN + 4)
    arms = [
        ("nginx", NGINX, infer, "oip", "", children(proxy.pid)),
        ("guard, pass-through", THROUGH, infer, "oip", "", [through.pid]),
        ("guard, full, OIP", FULL, infer, "oip", key, [full.pid]),
        ("guard, full, JSON", FULL, "/score", "json", key, [full.pid]),
        ("guard, full, model inside", LOCAL, "/score", "json", own, [local.pid]),
    ]
    figures = {name: [] for name, *_ in arms}
    for turn in range(args.rounds):
        for name, port, path, body, secret, pids in arms[turn % len(arms):] + arms[:turn % len(arms)]:
            before = cpu(pids)
            requests, refused, errors, p50, p99 = wrk(port, path, bodies[body], secret,
                                                      args.seconds, args.connections)
            micros = (cpu(pids) - before) / max(requests, 1) * 1e6
            figures[name].append((micros, requests / args.seconds, refused + errors, p50, p99))
            print(f"round {turn + 1} {name:<28} {micros:7.1f} us  {requests / args.seconds:8.0f}/s "
                  f"bad {refused + errors}  p50 {p50} p99 {p99}", flush=True)
    for process in [through, full, local]:
        process.terminate()
        process.wait()
    baseline = statistics.median(m for m, *_ in figures["nginx"])
    print("\nCPU microseconds per request, median (lowest to highest) and share of nginx")
    for name, rows in figures.items():
        micros = [m for m, *_ in rows]
        rate = statistics.median(r for _, r, *_ in rows)
        print(f"{name:<28} {statistics.median(micros):7.1f} ({min(micros):.1f} to {max(micros):.1f})"
              f"  {statistics.median(micros) / baseline:5.2f} x   {rate:8.0f}/s"
              f"  bad {sum(b for _, _, b, *_ in rows)}")
    print("\nfailover", json.dumps(failover(binary, base, args)))
    for process in [proxy, stub]:
        process.terminate()
        process.wait()
    shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
