"""The peer of `benches/moeva/run.py`: the same search in pymoo, the model by ONNX Runtime.

    PEER peer.py MODEL CSV SPEC     SPEC: JSON with bounds, eps, threads, generations, seed

Written to be fast in Python: a whole generation is repaired, asked and measured by NumPy at once,
and a row ends when its first valid success is found. The same objectives, population, offspring,
crossover and mutation as ours; duplicates are left out, as pymoo does by itself. One JSON per row.
"""

import json
import sys
import time

import numpy as np
import onnxruntime
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM

NAMES = ["age", "education_num", "capital_gain", "capital_loss", "net_capital", "hours"]
AGE, EDUCATION, GAIN, LOSS, NET, HOURS = range(6)
FREE = [EDUCATION, GAIN, LOSS, NET, HOURS]


def violation(x):
    """Sum over the relations, each divided by the greatest of 1 and its sides."""

    def shared(gap, *sides):
        scale = np.maximum(1.0, np.max(np.abs(np.stack(sides)), axis=0))
        return np.where(gap <= 1e-6 * scale, 0.0, gap / scale)

    age, education, gain, loss, net, hours = (x[:, i] for i in range(6))
    zero = np.zeros(len(x))
    total = shared(np.abs(net - (gain - loss)), net, gain - loss)
    total += np.minimum(shared(np.abs(gain), gain, zero), shared(np.abs(loss), loss, zero))
    total += shared(education + 1 - age, education + 1, age)
    total += np.minimum(shared(gain, gain, zero), shared(114 - gain, gain, zero + 114))
    limit = 8736 - 52 * np.floor(age / 10)
    total += shared(hours * 52 - limit, hours * 52, limit)
    return total


class Mend(Repair):
    """Whole numbers, and what follows from other columns."""

    def _do(self, problem, x, **_):
        x = np.clip(np.round(x), problem.xl, problem.xu)
        names = problem.free
        x[:, names.index(NET)] = x[:, names.index(GAIN)] - x[:, names.index(LOSS)]
        return np.clip(x, problem.xl, problem.xu)


class Row(Problem):
    def __init__(self, session, clean, low, high, unit, eps, wanted):
        self.session, self.clean, self.unit, self.eps = session, clean, unit, eps
        self.input = session.get_inputs()[0].name
        self.free, self.wanted, self.found, self.asked = FREE, wanted, None, 0
        super().__init__(n_var=len(FREE), n_obj=3, xl=low, xu=high)

    def _evaluate(self, x, out, *_, **__):
        whole = np.repeat(self.clean[None, :], len(x), axis=0)
        whole[:, self.free] = x
        self.asked += len(x)
        scores = self.session.run(["probabilities"], {self.input: whole.astype(np.float32)})[0]
        margin = scores[:, 1 - self.wanted] - scores[:, self.wanted]
        far = np.max(np.abs(x - self.clean[self.free]) / self.unit, axis=1)
        broken = violation(whole)
        won = (margin < 0) & (broken == 0) & (far <= self.eps * (1 + 1e-9))
        if won.any() and self.found is None:
            self.found = whole[np.argmax(won)].tolist()
        out["F"] = np.stack([margin, far / self.eps, broken], axis=1)


def start(problem, population, draw):
    """The clean row, and rows of which a random share is drawn anew."""
    x = np.repeat(problem.clean[None, problem.free], population, axis=0)
    anew = draw.random(x.shape) < draw.random((population, 1))
    anew[0] = False
    return np.where(anew, draw.uniform(problem.xl, problem.xu, x.shape), x)


def main():
    model, csv, spec = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec["threads"]
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    data = np.genfromtxt(csv, delimiter=",", skip_header=1)
    x = data[:, :-1]
    lower, upper = np.array(spec["bounds"], dtype=float).T
    unit = upper - lower
    print(json.dumps({"runtime": onnxruntime.__version__}), flush=True)
    for row, clean in enumerate(x):
        cell = clean[FREE]
        low = np.maximum(lower, np.ceil(cell - spec["eps"] * unit - 1e-9))
        high = np.minimum(upper, np.floor(cell + spec["eps"] * unit + 1e-9))
        low[FREE.index(EDUCATION)] = cell[FREE.index(EDUCATION)]  # may only rise
        wanted = 1 - int(data[row, -1])
        problem = Row(session, clean, low, high, unit, spec["eps"], wanted)
        draw = np.random.default_rng(spec["seed"] + row)
        wall, cpu = time.perf_counter(), time.process_time()
        search = NSGA2(
            pop_size=spec["population"], n_offsprings=spec["offspring"],
            sampling=Mend()._do(problem, start(problem, spec["population"], draw)),
            crossover=SBX(prob=0.9, eta=15), mutation=PM(eta=20), repair=Mend(),
        )
        # The first population counts as a generation there.
        search.setup(problem, termination=("n_gen", spec["generations"] + 1),
                     seed=spec["seed"] + row, verbose=False)
        while search.has_next() and problem.found is None:
            search.next()
        print(json.dumps({
            "row": row, "found": problem.found, "asked": problem.asked,
            "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
        }), flush=True)


main()
