"""Models and data of the series tests.

Data: quarterly figures of the United States, 1959 to 2009, as statsmodels carries them (`macrodata`,
collected by the Federal Reserve Bank of St. Louis and the Bureau of Labor Statistics; public domain).
A window holds eight quarters of five channels; the label is the unemployment of the next quarter
(regression), or whether that is above the last of the window (two classes).

The split is by time: what is tested begins after what was trained on, without shared quarters.
Windows follow one another by a quarter, so neighbours share seven of eight: their rows are not
independent, and proofmark says so.

Run:  python make.py     (numpy, pandas, statsmodels, torch, onnx, onnxruntime)
"""

import numpy as np
import onnx
import onnxruntime
import torch
from statsmodels.datasets import macrodata
from torch import nn

# So small a network is not faster on more; and the same bytes come out anywhere.
torch.set_num_threads(1)
STEPS = 8
# Windows of the training years that are fitted; the later ones say when to stop.
FITTED = 64
NAMES = ["unemployment", "inflation", "interest", "growth", "quarter"]

frame = macrodata.load_pandas().data
growth = 400 * np.log(frame.realgdp / frame.realgdp.shift(1))
table = np.stack([frame.unemp, frame.infl, frame.tbilrate, growth.round(2), frame.quarter], axis=1)
table, years = table[1:].astype(np.float32), frame.year.to_numpy()[1:]


def windows(first, last):
    """Windows whose every quarter, and the one after, lies in the years given."""
    inside = np.flatnonzero((years >= first) & (years <= last))
    rows = [t for t in inside if t + STEPS in inside]
    x = np.stack([table[t:t + STEPS] for t in rows])
    return x, np.array([table[t + STEPS, 0] for t in rows], dtype=np.float32)


train, train_next = windows(1959, 1983)
test, test_next = windows(1984, 2009)


def rises(x, following):
    """1 where the next quarter is above the last of the window."""
    return (following > x[:, -1, 0]).astype(np.int64)


np.savez_compressed("train.npz", x=train, y=train_next)
np.savez_compressed("test.npz", x=test, y=test_next)
np.save("test_rise.npy", rises(test, test_next).astype(np.uint8))
# As written in the declaration: three decimals.
mean = np.array([round(float(v), 3) for v in train.reshape(-1, len(NAMES)).mean(axis=0)])
std = np.array([round(float(v), 3) for v in train.reshape(-1, len(NAMES)).std(axis=0)])
print("mean", mean.tolist(), "std", std.tolist(), "train", train.shape, "test", test.shape)
for at, name in enumerate(NAMES):
    print(name, test[:, :, at].min(), test[:, :, at].max(), train[:, :, at].min(), train[:, :, at].max())


class Lstm(nn.Module):
    """Normalised windows (batch, steps, channels); the answer is in percent."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(len(NAMES), 8, batch_first=True), nn.Linear(8, 1)
        self.scale = nn.Buffer(torch.tensor([std[0], mean[0]], dtype=torch.float32))

    def forward(self, x):
        seen, _ = self.lstm(x)
        change = self.head(seen[:, -1, :])
        return x[:, -1, 0:1] * self.scale[0] + self.scale[1] + change


class Conv(nn.Module):
    """Windows as they stand in the file but channels first; it normalises them itself."""

    def __init__(self, classes):
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(mean, dtype=torch.float32).reshape(1, -1, 1))
        self.std = nn.Buffer(torch.tensor(std, dtype=torch.float32).reshape(1, -1, 1))
        self.net = nn.Sequential(
            nn.Conv1d(len(NAMES), 8, 3), nn.ReLU(), nn.Conv1d(8, 8, 3, dilation=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(16, classes or 1))
        self.classes = classes

    def forward(self, x):
        out = self.net((x - self.mean) / self.std)
        return out if self.classes else x[:, 0, -1:] + out


class LstmClasses(nn.Module):
    """As `Lstm`, with two logits."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(len(NAMES), 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        seen, _ = self.lstm(x)
        return self.head(seen[:, -1, :])


class Two(nn.Module):
    """One network with two answers: the number, and two logits."""

    def __init__(self, number, classes):
        super().__init__()
        self.number, self.classes = number, classes

    def forward(self, x):
        return self.number(x), self.classes(x)


normal = lambda x: (x - mean) / std
first = lambda x: np.ascontiguousarray(x.transpose(0, 2, 1))
cases = [
    ("lstm", Lstm, normal, None), ("conv", lambda: Conv(0), first, None),
    ("rise_lstm", LstmClasses, normal, rises), ("rise_conv", lambda: Conv(2), first, rises),
]
trained = {}
for name, build, prepare, classes in cases:
    torch.manual_seed(20261123)
    model = build()
    x = torch.from_numpy(prepare(train).astype(np.float32))
    target = torch.from_numpy(classes(train, train_next)) if classes else torch.from_numpy(train_next)
    loss = nn.CrossEntropyLoss() if classes else nn.L1Loss()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.01)
    best, kept = np.inf, None
    for _ in range(300):
        optimiser.zero_grad()
        out = model(x)
        out = out if classes else out[:, 0]
        loss(out[:FITTED], target[:FITTED]).backward()
        optimiser.step()
        with torch.no_grad():
            out = model(x[FITTED:])
            out = out if classes else out[:, 0]
            later = float(loss(out, target[FITTED:]))
        if later < best:
            best, kept = later, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(kept)
    model.eval()
    trained[name] = model
    torch.onnx.export(model, (x[:3],), f"{name}.onnx", dynamo=False, opset_version=17,
                      input_names=["window"], output_names=["answer"],
                      dynamic_axes={"window": {0: "batch"}, "answer": {0: "batch"}})
    onnx.checker.check_model(onnx.load(f"{name}.onnx"))
    tested = prepare(test).astype(np.float32)
    with torch.no_grad():
        answer = model(torch.from_numpy(tested)).numpy()
    run = onnxruntime.InferenceSession(f"{name}.onnx").run(None, {"window": tested})[0]
    np.save(f"expected_{name}.npy", answer)
    if classes:
        wanted = rises(test, test_next)
        print(name, "accuracy", (answer.argmax(1) == wanted).mean(), "rises", wanted.mean(),
              "against onnxruntime", np.abs(run - answer).max())
    else:
        error = np.abs(answer[:, 0] - test_next)
        print(name, "mae", error.mean(), "always the last quarter",
              np.abs(test[:, -1, 0] - test_next).mean(), "always the mean",
              np.abs(test_next.mean() - test_next).mean(), "against onnxruntime", np.abs(run - answer).max())

two = Two(trained["conv"], trained["rise_conv"])
torch.onnx.export(two, (torch.from_numpy(first(train[:3])),), "two.onnx", dynamo=False,
                  opset_version=17, input_names=["window"], output_names=["next", "rise"],
                  dynamic_axes={n: {0: "batch"} for n in ["window", "next", "rise"]})
