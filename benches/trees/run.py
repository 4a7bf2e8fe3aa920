"""Tree ensembles beside the libraries that trained them: 100,000 rows, one thread.

    cargo build --release -p proofmark-engine --example trees
    python benches/trees/run.py target/release/examples/trees [--pairs 15] [--rows 100000]

Trains small models on made-up rows, lets both sides predict the same rows in turn and prints the
medians of the paired runs: seconds of processor time of the predicting thread (which a busy
machine disturbs less than wall time; both are printed), their ratio, and the largest difference of
margins. Needs numpy, xgboost, lightgbm, scikit-learn, skl2onnx.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np


def rows(n, columns, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, columns)).astype(np.float32)
    x[:, ::5] = np.round(x[:, ::5] * 4)
    y = (x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + 0.5 * rng.normal(size=n) > 0).astype(int)
    return x, y


def cases(folder, columns):
    x, y = rows(20_000, columns, 1)

    import xgboost

    for name, trees, depth in [("xgboost 100x6", 100, 6), ("xgboost 500x8", 500, 8)]:
        booster = xgboost.XGBClassifier(
            n_estimators=trees, max_depth=depth, n_jobs=1, tree_method="hist", learning_rate=0.1
        ).fit(x, y).get_booster()
        path = f"{folder}/{name.replace(' ', '-')}.json"
        booster.save_model(path)
        booster.set_param({"nthread": 1})

        def margins(data, booster=booster):
            return booster.inplace_predict(data, predict_type="margin")

        yield name, path, margins, margins

    import lightgbm

    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 63, "verbose": -1, "num_threads": 1, "seed": 1},
        lightgbm.Dataset(x.astype(np.float64), y), 200,
    )
    booster.save_model(f"{folder}/lightgbm.txt")

    def margins(data, booster=booster):
        return booster.predict(data, raw_score=True, num_threads=1)

    yield "lightgbm 200x63", f"{folder}/lightgbm.txt", margins, margins

    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    forest = RandomForestClassifier(100, n_jobs=1, random_state=1).fit(x, y)
    boosted = GradientBoostingClassifier(n_estimators=100, max_depth=4, random_state=1).fit(x, y)
    for name, model, margins in [
        ("scikit-learn forest 100", forest, forest.predict_proba),
        ("scikit-learn boosting 100x4", boosted, boosted.decision_function),
    ]:
        path = f"{folder}/{name.replace(' ', '-')}.onnx"
        onnx = to_onnx(model, x[:1], options={"zipmap": False, "raw_scores": True}
                       if model is boosted else {"zipmap": False})
        with open(path, "wb") as file:
            file.write(onnx.SerializeToString())
        yield name, path, model.predict_proba, margins


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=28)
    args = parser.parse_args()
    x, _ = rows(args.rows, args.columns, 2)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", x)
        print(f"{args.rows} rows of {args.columns} columns, medians of {args.pairs} pairs")
        print(f"{'case':28} {'ours cpu':>9} {'peer cpu':>9} {'times':>6}"
              f" {'ours wall':>10} {'peer wall':>10}  largest difference")
        for name, path, predict, margins in cases(folder, args.columns):
            given = x.astype(np.float64) if path.endswith(".txt") else x
            ours = subprocess.Popen([args.binary, path, f"{folder}/x.npy"], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert ours.stdout.readline() == "ready\n"
            got = np.load(f"{folder}/x.npy.margins").astype(np.float64)
            want = np.asarray(margins(given), dtype=np.float64)
            if path.endswith(".onnx"):
                # Two classes: the operator's one score per leaf, before it becomes two columns.
                got, want = got[:, 0], want if want.ndim == 1 else want[:, 1]
            apart = np.abs(got.reshape(want.shape) - want).max()
            predict(given)
            pairs = []
            for _ in range(args.pairs):
                ours.stdin.write("\n")
                ours.stdin.flush()
                mine = [float(v) for v in ours.stdout.readline().split()]
                cpu, wall = time.process_time(), time.perf_counter()
                predict(given)
                pairs.append((*mine, time.process_time() - cpu, time.perf_counter() - wall))
            ours.stdin.close()
            ours.wait()
            mc, mw, pc, pw = (statistics.median(p[i] for p in pairs) for i in range(4))
            times = statistics.median(p[2] / p[0] for p in pairs)
            print(f"{name:28} {mc:9.4f} {pc:9.4f} {times:6.2f} {mw:10.4f} {pw:10.4f}  {apart:.2e}",
                  flush=True)


if __name__ == "__main__":
    main()
