"""Makes the model zoo: small models as real exporters write them, with reference answers.

    python make_zoo.py                 # every model, next to this file
    python make_zoo.py --only NAME ... # some of them
    python make_zoo.py --keras PYTHON  # also the Keras ones, by an interpreter with TensorFlow
                                       # (requirements-keras.txt)
    python make_zoo.py --check --out F # makes all anew in the empty folder F and compares the
                                       # facts with those that lie here; .ci/zoo calls it

Not needed to run the tests. Versions are pinned in `requirements.txt`.

For each model NAME there are `NAME.onnx` and `NAME.npz`, whose arrays are
    in:<input>       what was fed, 64 rows; strings as fixed-width unicode
    out:<output>     what ONNX Runtime answered (float32, int64 or strings); a ZipMap's list of
                     maps is stored as the matrix of its values, columns as in `zipmap` of the index
    labels           class index per row, for the gradients
    grad64:<input>   gradient of the per-row cross-entropy at `labels`, by float64 autograd
    numeric64:<input> the same by differences, in float64, of the library's own function; of a
                     score, the gradient of the label's column
    grad32:<input>   the same by float32 autograd: its own distance from grad64 is what float32
                     costs anyone (ReLU and max-pooling have kinks)
The same versions give the same bytes, but for `keras_cnn_17.onnx`, whose constants tf2onnx
numbers in no fixed order. Gradients come from the framework's own module, never from the ONNX file. `zoo.json` is the index.
"""

import argparse
import copy
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import compose, helper

import sklearn_breadth
import torch_breadth
from torch import nn
from torch.nn import functional

HERE = Path(__file__).resolve().parent
SEED = 20261122
ROWS = 64
CREDIT = HERE.parents[3] / "examples" / "credit"
MODELS = []


def zoo(function):
    """Registers a maker: called without arguments, it returns an Entry."""
    MODELS.append(function)
    return function


class Entry:
    """One model with its inputs; `answer` says what `output` holds."""

    def __init__(self, proto, inputs, output, answer, exporter, notes, module=None, float_inputs=(),
                 zipmap=(), front=None):
        self.proto, self.inputs, self.output, self.answer = proto, inputs, output, answer
        self.exporter, self.notes, self.module = exporter, notes, module
        self.float_inputs = list(float_inputs)
        self.zipmap, self.front = list(zipmap), front
        # The library's own answer to the inputs, and its smooth function of float64 inputs.
        self.own = self.own_at = None
        # How far apart the library and the exported file may be: what float32 costs.
        self.near = 2e-5
        # Whether the declared shapes are right.
        self.full_check = True


# ---------------------------------------------------------------- PyTorch


class Scored(nn.Module):
    """A network that gives logits, and the head that turns them into the exported answer."""

    def __init__(self, head=None):
        super().__init__()
        self.head = head

    def forward(self, *inputs):
        z = self.logits(*inputs)
        return {None: lambda v: v, "softmax": lambda v: torch.softmax(v, 1),
                "sigmoid": torch.sigmoid}[self.head](z)


def loss_of(logits, labels, smoothing=0.0):
    """Cross-entropy summed over rows; one column means the log-odds of class 1."""
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    return functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


def classes_of(module, tensors):
    return max(2, module.logits(*tensors).shape[1])


def fit(module, tensors, steps=60):
    """A few steps towards random linear labels, so that the weights are not the initial ones.

    The labels are smoothed: where a model is sure, its cross-entropy gradient is a difference of
    nearly equal numbers, and float32 says nothing about an engine there.
    """
    generator = torch.Generator().manual_seed(SEED)
    flat = torch.cat([t.flatten(1) for t in tensors], 1)
    classes = classes_of(module, tensors)
    target = (flat @ torch.randn(flat.shape[1], classes, generator=generator)).argmax(1)
    optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
    module.train()
    for _ in range(steps):
        optimiser.zero_grad()
        loss_of(module.logits(*tensors), target, smoothing=0.3).div(len(flat)).backward()
        optimiser.step()
    module.eval()


def torch_entry(build, shapes, exporter, opset, answer, notes, low=0.0, high=1.0):
    """`shapes`: input name -> shape without the batch; rows uniform in [low, high]."""
    torch.manual_seed(SEED)
    module = build()
    generator = torch.Generator().manual_seed(SEED + 1)
    tensors = [torch.rand((ROWS, *s), generator=generator) * (high - low) + low
               for s in shapes.values()]
    fit(module, tensors)
    output = {"logit": "logits", "probability": "probabilities"}[answer]
    proto = export_torch(module, [t[:2] for t in tensors], list(shapes), output, exporter, opset)
    inputs = {name: t.numpy() for name, t in zip(shapes, tensors)}
    return Entry(proto, inputs, output, answer, f"torch.onnx {exporter}", notes, module=module)


def export_torch(module, samples, names, output, exporter, opset):
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        if exporter == "torchscript":
            axes = {n: {0: "n"} for n in [*names, output]}
            torch.onnx.export(module, tuple(samples), str(path), dynamo=False,
                              opset_version=opset, input_names=names, output_names=[output],
                              dynamic_axes=axes)
            return onnx.load(path)
        batch = torch.export.Dim("n", min=1)
        # forward takes *inputs, so the shapes are given as one tuple
        program = torch.onnx.export(
            module, tuple(samples), dynamo=True, opset_version=opset, input_names=names,
            output_names=[output], dynamic_shapes=(tuple({0: batch} for _ in samples),),
            verbose=False)
        return strip_traces(program.model_proto)


def strip_traces(model):
    """The newer exporter writes the maker's own paths into every node; they are not kept."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output,
                  *model.graph.initializer]:
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    return model


class Mlp(Scored):
    def __init__(self, sizes, activation, head=None, dropout=0.0):
        super().__init__(head)
        layers = []
        for a, b in zip(sizes, sizes[1:-1]):
            layers += [nn.Linear(a, b), activation()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

    def logits(self, x):
        return self.body(x)


@zoo
def mlp_relu_ts11():
    return torch_entry(lambda: Mlp([12, 32, 16, 3], nn.ReLU, dropout=0.1), {"x": (12,)},
                       "torchscript", 11, "logit", "Gemm, Relu; 3 classes", -2, 2)


@zoo
def mlp_tanh_ts13():
    return torch_entry(lambda: Mlp([8, 24, 24, 4], nn.Tanh), {"x": (8,)},
                       "torchscript", 13, "logit", "Tanh; smooth", -2, 2)


@zoo
def mlp_sigmoid_one_ts17():
    return torch_entry(lambda: Mlp([10, 24, 1], nn.LeakyReLU, head="sigmoid"), {"x": (10,)},
                       "torchscript", 17, "probability",
                       "LeakyRelu; Sigmoid of one column: the probability of class 1", -2, 2)


@zoo
def mlp_elu_dynamo18():
    return torch_entry(lambda: Mlp([8, 24, 16, 2], nn.ELU, head="softmax"), {"x": (8,)},
                       "dynamo", 18, "probability", "Elu; Softmax over two columns", -2, 2)


class TwoInputs(Scored):
    """Two named inputs, one of them a column, joined inside; a Softplus-free gate by Sigmoid."""

    def __init__(self):
        super().__init__("softmax")
        self.first = nn.Linear(7, 16)
        self.gate = nn.Linear(7, 16)
        self.last = nn.Linear(16, 3)

    def logits(self, amount, rest):
        x = torch.cat([(amount - 5000.0) / 2500.0, rest], 1)
        return self.last(torch.relu(self.first(x)) * torch.sigmoid(self.gate(x)))


@zoo
def mlp_two_inputs_dynamo18():
    entry = torch_entry(TwoInputs, {"amount": (1,), "rest": (6,)}, "dynamo", 18, "probability",
                        "two named inputs; Sub, Div, Concat, Sigmoid gate, Softmax")
    return entry


class PoolCnn(Scored):
    """Conv, folded normalisation, ReLU, MaxPool; then Linear."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 8, 3)
        self.pool1 = nn.MaxPool2d(2)
        self.pool2 = nn.MaxPool2d(3, stride=1, padding=1)
        self.last = nn.Linear(8 * 3 * 3, 5)

    def logits(self, image):
        x = self.pool1(torch.relu(self.norm(self.conv1(image))))
        x = self.pool2(torch.relu(self.conv2(x)))
        return self.last(torch.flatten(x, 1))


@zoo
def cnn_maxpool_ts13():
    return torch_entry(PoolCnn, {"image": (1, 10, 10)}, "torchscript", 13, "logit",
                       "MaxPool, also padded and overlapping; normalisation folded by the exporter")


class NormCnn(Scored):
    """BatchNormalization that cannot be folded, AveragePool, strided convolution."""

    def __init__(self):
        super().__init__()
        self.norm0 = nn.BatchNorm2d(2)
        self.conv1 = nn.Conv2d(2, 6, 3, stride=2, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.pool = nn.AvgPool2d(2)
        self.padded = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.last = nn.Linear(6, 4)

    def logits(self, image):
        x = self.norm1(torch.relu(self.conv1(self.norm0(image))))
        return self.last(torch.flatten(self.padded(self.pool(x)), 1))


@zoo
def cnn_batchnorm_ts17():
    return torch_entry(NormCnn, {"image": (2, 8, 8)}, "torchscript", 17, "logit",
                       "BatchNormalization before and after, AveragePool with and without padding, "
                       "stride 2")


class Residual(Scored):
    """Residual additions, one through a strided 1x1 convolution; global average."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.skip = nn.Conv2d(8, 12, 1, stride=2)
        self.norm = nn.BatchNorm2d(12)
        self.last = nn.Linear(12, 6)

    def logits(self, image):
        x = torch.relu(self.stem(image))
        x = torch.relu(x + self.b(torch.relu(self.a(x))))
        x = torch.relu(self.skip(x) + self.norm(self.c(x)))
        return self.last(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


@zoo
def cnn_residual_dynamo18():
    return torch_entry(Residual, {"image": (1, 9, 9)}, "dynamo", 18, "logit",
                       "residual Add, strided 1x1 convolution, global average")


@zoo
def cnn_residual_ts17():
    return torch_entry(Residual, {"image": (1, 9, 9)}, "torchscript", 17, "logit",
                       "the same network by the older exporter: GlobalAveragePool")


class Grouped(Scored):
    """Depthwise, grouped and dilated convolutions with ReLU6."""

    def __init__(self):
        super().__init__()
        self.point = nn.Conv2d(2, 8, 1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.group = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4)
        self.dilated = nn.Conv2d(8, 6, 3, dilation=(2, 1), stride=(1, 2), bias=False)
        self.last = nn.Linear(6, 4)

    def logits(self, image):
        x = functional.relu6(self.depth(self.point(image)) * 8.0)
        x = functional.hardtanh(self.dilated(torch.relu(self.group(x))), -1.5, 2.5)
        return self.last(x.mean((2, 3)))


@zoo
def cnn_grouped_ts17():
    return torch_entry(Grouped, {"image": (2, 8, 8)}, "torchscript", 17, "logit",
                       "depthwise, grouped, dilated, uneven stride; Clip; ReduceMean")


@zoo
def cnn_grouped_dynamo20():
    return torch_entry(Grouped, {"image": (2, 8, 8)}, "dynamo", 20, "logit",
                       "the same network by the newer exporter at opset 20")


class Gap(Scored):
    """Constant padding with unequal sides, then global average and global maximum."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.last = nn.Linear(16, 3)

    def logits(self, image):
        x = functional.pad(image, (1, 0, 2, 1), value=0.25)
        x = torch.relu(self.conv(torch.clamp(x, 0.05, 0.95)))
        mean = functional.adaptive_avg_pool2d(x, 1)
        top = functional.max_pool2d(x, (9, 7))
        return self.last(torch.flatten(torch.cat([mean, top], 1), 1))


@zoo
def cnn_pad_ts11():
    return torch_entry(Gap, {"image": (1, 8, 8)}, "torchscript", 11, "logit",
                       "Pad with a value, Clip, GlobalAveragePool, MaxPool over everything, Concat")


class Shapes(Scored):
    """Everything that moves data about: transpose, reshape, reductions, arithmetic."""

    def __init__(self):
        super().__init__("softmax")
        self.register_buffer("mean", torch.tensor([0.45, 0.55]).view(1, 2, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3]).view(1, 2, 1, 1))
        self.weight = nn.Parameter(torch.randn(6, 5) * 0.4)
        self.last = nn.Linear(36, 4)

    def logits(self, image):
        x = (image - self.mean) / self.std
        y = x.permute(0, 2, 3, 1).reshape(x.shape[0], 6, 12)
        y = y.transpose(1, 2) @ self.weight
        parts = [y.mean(1), y.sum(2) * 0.1, y.amax(1), y.amin(2), (y * y).sum(1) * 0.05 - 1.0]
        flat = torch.cat(parts, 1)
        return self.last(torch.tanh(functional.pad(flat, (0, 36 - flat.shape[1]))))


@zoo
def shapes_ts17():
    return torch_entry(Shapes, {"image": (2, 6, 6)}, "torchscript", 17, "probability",
                       "Sub, Div, Transpose, Reshape, MatMul, ReduceMean/Sum/Max/Min, Concat, Pad, "
                       "Tanh, Softmax")


@zoo
def shapes_dynamo18():
    return torch_entry(Shapes, {"image": (2, 6, 6)}, "dynamo", 18, "probability",
                       "the same network by the newer exporter")


# ---------------------------------------------------------------- scikit-learn and boosters


def credit_rows(name):
    import csv

    with open(CREDIT / f"{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


NUMBERS = ["duration", "amount", "age", "installment_rate"]
STRINGS = ["checking_status", "savings", "purpose"]


def credit_frame(name):
    rows = credit_rows(name)
    frame = np.array(
        [[float(r[c]) for c in NUMBERS] + [r[c] for c in STRINGS] for r in rows], dtype=object)
    return frame, np.array([int(r["class"]) for r in rows])


def credit_inputs():
    """64 test rows as named columns; a missing amount and an unknown purpose are put in."""
    frame, _ = credit_frame("test")
    frame = frame[:ROWS].copy()
    frame[3, 1] = np.nan
    frame[5, 6] = "a purpose nobody has seen"
    inputs = {}
    for i, name in enumerate(NUMBERS + STRINGS):
        kind = np.float32 if name in NUMBERS else np.str_
        inputs[name] = frame[:, i:i + 1].astype(kind)
    return inputs


def credit_types():
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    return [(n, (FloatTensorType if n in NUMBERS else StringTensorType)([None, 1]))
            for n in NUMBERS + STRINGS]


def credit_front(categories="onehot"):
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    numbers = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    if categories == "onehot":
        strings = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    else:
        strings = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer([
        ("numbers", numbers, list(range(len(NUMBERS)))),
        ("strings", strings, list(range(len(NUMBERS), len(NUMBERS) + len(STRINGS))))])


def convert(model, types, options=None, ml=3):
    from skl2onnx import convert_sklearn

    proto = convert_sklearn(model, "zoo", types, target_opset={"": 17, "ai.onnx.ml": ml},
                            options=options)
    return sort_imports(proto)


def sort_imports(proto):
    """Sorts the domains and names the graph: converters leave both to chance."""
    proto.graph.name = "zoo"
    proto.ir_version = min(proto.ir_version, 9)
    imports = sorted((each.domain, each.version) for each in proto.opset_import)
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(d, v) for d, v in imports)
    return proto


def credit_pipeline(model, notes, zipmap, front="onehot", answer="probability"):
    from sklearn.pipeline import Pipeline

    frame, labels = credit_frame("train")
    whole = Pipeline([("front", credit_front(front)), ("model", model)]).fit(frame, labels)
    proto = convert(whole, credit_types(), {id(model): {"zipmap": zipmap}})
    output = proto.graph.output[1].name
    return Entry(proto, credit_inputs(), output, answer, "skl2onnx", notes,
                 zipmap=["1", "2"] if zipmap else [])


@zoo
def skl_logreg_strings_zipmap():
    from sklearn.linear_model import LogisticRegression

    return credit_pipeline(LogisticRegression(max_iter=2000),
                           "Imputer, Scaler, OneHotEncoder on strings, LinearClassifier, ZipMap; "
                           "7 named inputs", zipmap=True)


@zoo
def skl_gbm_zipmap():
    from sklearn.ensemble import GradientBoostingClassifier

    return credit_pipeline(
        GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=SEED),
        "the same preprocessing, TreeEnsembleClassifier with a logistic transform, ZipMap",
        zipmap=True)


@zoo
def skl_forest_ordinal():
    from sklearn.ensemble import RandomForestClassifier

    return credit_pipeline(
        RandomForestClassifier(n_estimators=15, max_depth=5, random_state=SEED),
        "OrdinalEncoder on strings, random forest", zipmap=False, front="ordinal")


def blobs(classes, features=6, rows=600):
    from sklearn.datasets import make_classification

    return make_classification(
        n_samples=rows, n_features=features, n_informative=features - 1, n_redundant=0,
        n_classes=classes, n_clusters_per_class=1, class_sep=1.0, random_state=SEED)


def blob_entry(model, classes, notes, names=None, options=None, exporter="skl2onnx"):
    from skl2onnx.common.data_types import FloatTensorType

    x, y = blobs(classes)
    x = x.astype(np.float32)
    y = np.array(names)[y] if names else y
    model.fit(x[ROWS:], y[ROWS:])
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    proto = convert(model, [("x", FloatTensorType([None, x.shape[1]]))],
                    options or {id(last): {"zipmap": False}})
    return Entry(proto, {"x": x[:ROWS]}, proto.graph.output[1].name, "probability", exporter, notes)


class Linear(Scored):
    """Logistic regression as a torch module, to differentiate it in float64."""

    def __init__(self, mean, scale, weight, bias):
        super().__init__("softmax")
        to = lambda v: torch.from_numpy(np.asarray(v, dtype=np.float32).astype(np.float64))
        self.mean, self.scale, self.weight, self.bias = to(mean), to(scale), to(weight), to(bias)

    def logits(self, x):
        cast = lambda v: v.to(x.dtype)
        z = (x - cast(self.mean)) * cast(self.scale)
        return z @ cast(self.weight).T + cast(self.bias)


@zoo
def skl_logreg_3():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale, model = StandardScaler(), LogisticRegression()
    entry = blob_entry(make_pipeline(scale, model), 3,
                       "Scaler, LinearClassifier with SOFTMAX, Normalizer")
    entry.module = Linear(scale.mean_, 1 / scale.scale_, model.coef_, model.intercept_)
    return entry


@zoo
def skl_forest_names():
    from sklearn.ensemble import RandomForestClassifier

    return blob_entry(RandomForestClassifier(n_estimators=12, max_depth=5, random_state=SEED), 4,
                      "four classes with string labels", names=["ash", "birch", "elm", "oak"])


@zoo
def skl_mlp():
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((16, 8), max_iter=300, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entry = blob_entry(model, 3, "MLPClassifier: Cast, MatMul, Add, Relu, Softmax, ArgMax, "
                                     "ArrayFeatureExtractor")
    return entry


@zoo
def skl_gbr():
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.ensemble import GradientBoostingRegressor

    x, y = blobs(2)
    x = x.astype(np.float32)
    target = (x[:, 0] * 2 + np.abs(x[:, 1]) + y).astype(np.float32)
    model = GradientBoostingRegressor(n_estimators=20, max_depth=3, random_state=SEED)
    model.fit(x[ROWS:], target[ROWS:])
    proto = convert(model, [("x", FloatTensorType([None, x.shape[1]]))])
    return Entry(proto, {"x": x[:ROWS]}, proto.graph.output[0].name, "score", "skl2onnx",
                 "TreeEnsembleRegressor, one score")


def booster_entry(model, converter, notes, classes=2):
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, y = blobs(classes)
    x = x.astype(np.float32)
    model.fit(x[ROWS:], y[ROWS:])
    proto = converter(model, initial_types=[("x", FloatTensorType([None, x.shape[1]]))],
                      target_opset=15)
    rows = x[:ROWS].copy()
    rows[7, 2] = np.nan
    return Entry(sort_imports(proto), {"x": rows}, proto.graph.output[1].name, "probability",
                 "onnxmltools", notes, zipmap=[str(c) for c in range(classes)])


@zoo
def xgboost_2():
    import xgboost
    from onnxmltools import convert_xgboost

    return booster_entry(
        xgboost.XGBClassifier(n_estimators=15, max_depth=3, random_state=SEED, n_jobs=1,
                              base_score=0.5),
        convert_xgboost, "XGBoost: BRANCH_LT, a missing value")


@zoo
def xgboost_3():
    import xgboost
    from onnxmltools import convert_xgboost

    return booster_entry(
        xgboost.XGBClassifier(n_estimators=8, max_depth=3, random_state=SEED, n_jobs=1,
                              base_score=0.5),
        convert_xgboost, "XGBoost, three classes: SOFTMAX", classes=3)


@zoo
def lightgbm_2():
    import lightgbm
    from onnxmltools import convert_lightgbm

    return booster_entry(
        lightgbm.LGBMClassifier(n_estimators=15, num_leaves=8, random_state=SEED, n_jobs=1,
                                deterministic=True, verbose=-1),
        convert_lightgbm, "LightGBM: ZipMap, a missing value")


class Behind(Scored):
    """A network behind scikit-learn's scaler; float columns in, one-hot part given."""

    def __init__(self, width):
        super().__init__("softmax")
        self.body = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 2))
        self.front = None

    def logits(self, features):
        return self.body(features)


def set_imports(proto):
    proto.ir_version = 8
    del proto.opset_import[:]
    proto.opset_import.extend(
        [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)])


@zoo
def pipeline_mlp():
    """Preprocessing by skl2onnx and a network by torch, merged: gradients for the numbers."""
    frame, labels = credit_frame("train")
    front = credit_front().fit(frame)
    dense = torch.from_numpy(front.transform(frame).astype(np.float32))
    torch.manual_seed(SEED)
    module = Behind(dense.shape[1])
    optimiser = torch.optim.Adam(module.parameters(), lr=5e-3)
    target = torch.from_numpy(labels - 1)
    for _ in range(60):
        optimiser.zero_grad()
        functional.cross_entropy(module.logits(dense), target).backward()
        optimiser.step()
    module.eval()
    left = convert(front, credit_types())
    right = export_torch(module, [dense[:2]], ["features"], "probabilities", "torchscript", 17)
    for each in (left, right):
        set_imports(each)
    right = compose.add_prefix(right, "mlp/", rename_inputs=False, rename_outputs=False)
    merged = compose.merge_models(left, right, io_map=[(left.graph.output[0].name, "features")])
    set_imports(merged)
    return Entry(merged, credit_inputs(), "probabilities", "probability",
                 "skl2onnx + torch.onnx torchscript",
                 "Imputer, Scaler, OneHotEncoder and a network in one graph", module=module,
                 float_inputs=NUMBERS, front=front)


sklearn_breadth.register(zoo, Entry, convert, sort_imports, credit_rows)

# ---------------------------------------------------------------- Keras


KERAS = r'''
import sys, json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf, tf2onnx, keras
keras.utils.set_random_seed(20261122)
name, path = sys.argv[1], sys.argv[2]
L = keras.layers
if name == "keras_mlp_13":
    model = keras.Sequential([keras.Input((9,), name="x"), L.Dense(24, activation="relu"),
        L.BatchNormalization(), L.Dropout(0.2), L.Dense(16, activation="tanh"),
        L.Dense(1, activation="sigmoid")])
    shape, opset = (9,), 13
else:
    model = keras.Sequential([keras.Input((8, 8, 2), name="x"),
        L.Conv2D(6, 3, padding="same", activation="relu"), L.MaxPooling2D(2),
        L.BatchNormalization(), L.Conv2D(8, 3, strides=2, padding="same"), L.LeakyReLU(),
        L.Flatten(), L.Dense(4, activation="softmax")])
    shape, opset = (8, 8, 2), 17
rng = np.random.default_rng(20261122)
x = rng.random((256, *shape), dtype=np.float32)
classes = model.output_shape[-1]
flat = x.reshape(len(x), -1)
scores = flat @ rng.normal(size=(flat.shape[1], max(2, classes)))
y = scores.argmax(1)
model.compile("adam", "binary_crossentropy" if classes == 1 else "sparse_categorical_crossentropy")
model.fit(x, y, epochs=4, batch_size=32, verbose=0)
spec = (tf.TensorSpec((None, *shape), tf.float32, name="x"),)
call = tf.function(lambda x: model(x, training=False), input_signature=spec)
proto, _ = tf2onnx.convert.from_function(call, spec, opset=opset)
rows = x[:64]
labels = np.random.default_rng(3).integers(0, max(2, classes), 64)

def gradient(kind):
    keras.backend.set_floatx(kind)
    twin = keras.models.clone_model(model) if kind == "float32" else None
    if twin is None:
        config = model.get_config()
        config = json.loads(json.dumps(config).replace('"float32"', '"float64"'))
        twin = keras.Sequential.from_config(config)
    twin.set_weights([w.astype(kind) for w in model.get_weights()])
    v = tf.constant(rows.astype(kind))
    with tf.GradientTape() as tape:
        tape.watch(v)
        p = twin(v, training=False)
        if classes == 1:
            p = tf.concat([1 - p, p], 1)
        loss = -tf.reduce_sum(tf.math.log(tf.gather(p, labels, axis=1, batch_dims=1)))
    return tape.gradient(loss, v).numpy()

np.savez(path, proto=np.frombuffer(proto.SerializeToString(), np.uint8), x=rows, labels=labels,
         answer=model(rows, training=False).numpy(), grad32=gradient("float32"), grad64=gradient("float64"),
         versions=np.array(json.dumps({"tensorflow": tf.__version__, "keras": keras.__version__,
                                       "tf2onnx": tf2onnx.__version__})))
'''


def keras_entry(interpreter, name):
    """Trained and differentiated by TensorFlow in its own interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.npz"
        subprocess.run([interpreter, "-c", KERAS, name, str(path)], check=True,
                       env={**os.environ, "PYTHONHASHSEED": "0"})
        made = dict(np.load(path))
    proto = onnx.load_from_string(made["proto"].tobytes())
    entry = Entry(sort_imports(proto), {proto.graph.input[0].name: made["x"]},
                  proto.graph.output[0].name, "probability", "tf2onnx",
                  "Keras 3; " + ("one Sigmoid column" if "mlp" in name else
                                 "channels last: Transpose around Conv and MaxPool"))
    entry.made, entry.versions = made, json.loads(str(made["versions"]))
    return entry


# ---------------------------------------------------------------- answers and files


def run(proto, inputs):
    """Outputs of ONNX Runtime without graph changes that would fuse or reorder."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options,
                                   providers=["CPUExecutionProvider"])
    feed = {k: v.astype(object) if v.dtype.kind == "U" else v for k, v in inputs.items()}
    names = [o.name for o in session.get_outputs()]
    fixed = session.get_inputs()[0].shape[0]
    if not isinstance(fixed, int) or fixed == ROWS:
        return dict(zip(names, session.run(None, feed)))
    # Written for one batch size.
    parts = [session.run(None, {k: v[i:i + fixed] for k, v in feed.items()})
             for i in range(0, ROWS, fixed)]
    return {n: np.concatenate([p[k] for p in parts]) for k, n in enumerate(names)}


def plain(value):
    """An output as a plain array; a ZipMap's maps as the matrix of their values."""
    if isinstance(value, list):
        keys = sorted(value[0])
        return np.array([[row[k] for k in keys] for row in value], dtype=np.float32)
    return value.astype(np.str_) if value.dtype == object else value


def gradients(entry, labels, double):
    """Per-row gradient of the cross-entropy for each float input, by autograd."""
    kind = torch.float64 if double else torch.float32
    module = copy.deepcopy(entry.module)
    module = module.double() if double else module.float()
    target = torch.from_numpy(labels)
    if entry.front is not None:
        return pipeline_gradients(entry, module, target, kind)
    leaves = {k: torch.from_numpy(entry.inputs[k]).to(kind).requires_grad_(True)
              for k in entry.inputs}
    loss = loss_of(module.logits(*leaves.values()), target)
    return {k: g.numpy() for k, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values())))}


def pipeline_gradients(entry, module, target, kind):
    """The scaler is written out in the given precision from the values that the ONNX file holds."""
    numbers = entry.front.named_transformers_["numbers"]
    medians = numbers.named_steps["impute"].statistics_.astype(np.float32)
    scale = numbers.named_steps["scale"]
    mean = torch.from_numpy(scale.mean_.astype(np.float32)).to(kind)
    factor = torch.from_numpy((1 / scale.scale_).astype(np.float32)).to(kind)
    raw = np.concatenate([entry.inputs[k] for k in entry.float_inputs], 1)
    missing = torch.from_numpy(np.isnan(raw))
    leaf = torch.from_numpy(np.where(np.isnan(raw), 0, raw)).to(kind).requires_grad_(True)
    filled = torch.where(missing, torch.from_numpy(medians).to(kind), leaf)
    strings = np.concatenate([entry.inputs[k] for k in STRINGS], 1).astype(object)
    onehot = entry.front.named_transformers_["strings"].transform(strings)
    onehot = torch.from_numpy(onehot).to(kind)
    loss = loss_of(module.logits(torch.cat([(filled - mean) * factor, onehot], 1)), target)
    gradient, = torch.autograd.grad(loss, leaf)
    return {k: gradient[:, i:i + 1].numpy() for i, k in enumerate(entry.float_inputs)}


def differences(entry, labels):
    """The same gradient by differences of fourth order of the library's own function in float64;
    of a score, the gradient of the label's column."""
    inputs = {k: v.astype(np.float64) if v.dtype == np.float32 else v
              for k, v in entry.inputs.items()}

    def loss(inputs):
        answer = np.asarray(entry.own_at(inputs), dtype=np.float64).reshape(ROWS, -1)
        if entry.answer == "probability":
            return -np.log(answer[np.arange(ROWS), labels])
        # A single score is the logit of class 1 against 0.
        return answer[np.arange(ROWS), labels if answer.shape[1] > 1 else 0]

    out = {}
    for name, value in inputs.items():
        if value.dtype != np.float64:
            continue
        gradient = np.zeros_like(value)
        for c in range(value.shape[1]):
            h = 1e-3 * max(1.0, float(np.nanstd(value[:, c])))
            at = lambda k: loss({**inputs, name: value + k * h * np.eye(value.shape[1])[c]})
            gradient[:, c] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
        out[name] = np.where(np.isnan(value), 0, gradient)
    return out


def agreement(name, entry, outputs):
    """Largest difference between the library's own answer and the exported file's."""
    own = np.asarray(entry.own(entry.inputs), dtype=np.float64)
    ours = np.asarray(outputs[entry.output], dtype=np.float64)
    difference = float(np.abs(own.ravel() - ours.ravel()).max())
    if difference > entry.near:
        sys.exit(f"{name}: the library and the exported file differ by {difference}")
    return float(f"{difference:.1e}")


def outlier_share(grad32, grad64):
    """Share of rows where float32 autograd is off by more than 1e-4 of the row's largest."""
    rows = next(iter(grad64.values())).shape[0]
    a = np.concatenate([g.reshape(rows, -1) for g in grad32.values()], 1)
    b = np.concatenate([g.reshape(rows, -1) for g in grad64.values()], 1)
    top = np.abs(b).max(1)
    error = np.abs(a - b).max(1) / np.where(top > 0, top, 1)
    return float((error > 1e-4).mean()), float(np.median(error))


def write_npz(path, arrays):
    """A deflated archive without time stamps."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)),
                             buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def store(name, entry, folder):
    onnx.checker.check_model(entry.proto, full_check=entry.full_check)
    answers = run(entry.proto, entry.inputs)
    outputs = {k: plain(v) for k, v in answers.items()}
    classes = outputs[entry.output].reshape(ROWS, -1).shape[1]
    classes = 2 if classes == 1 else classes
    labels = np.random.default_rng(SEED).integers(0, classes, ROWS).astype(np.int64)
    made = getattr(entry, "made", None)
    index = {
        "name": name, "exporter": entry.exporter, "notes": entry.notes,
        "opsets": {o.domain or "ai.onnx": o.version for o in entry.proto.opset_import},
        "operators": sorted({n.op_type for n in entry.proto.graph.node}),
        "inputs": list(entry.inputs), "output": entry.output, "answer": entry.answer,
        "classes": classes if entry.answer != "score" else 0,
        "zipmap": entry.zipmap if isinstance(answers[entry.output], list) else [],
        "gradients": [], "versions": {**versions(), **getattr(entry, "versions", {})},
    }
    grads = {}
    if made is not None:
        labels = made["labels"].astype(np.int64)
        only = next(iter(entry.inputs))
        grads = {32: {only: made["grad32"]}, 64: {only: made["grad64"]}}
        same_answer(name, made["answer"], outputs[entry.output])
    elif entry.module is not None:
        grads = {32: gradients(entry, labels, False), 64: gradients(entry, labels, True)}
        check_twin(name, entry, outputs)
    if entry.own is not None:
        index["agreement"] = agreement(name, entry, outputs)
    arrays = {f"in:{k}": v for k, v in entry.inputs.items()}
    arrays |= {f"out:{k}": v for k, v in outputs.items()}
    arrays["labels"] = labels
    if grads:
        index["gradients"] = list(grads[64])
        share, median = outlier_share(grads[32], grads[64])
        index["float32_outliers"], index["float32_median_error"] = share, float(f"{median:.2e}")
        for bits, each in grads.items():
            arrays |= {f"grad{bits}:{k}": v for k, v in each.items()}
    if entry.own_at is not None:
        if entry.answer == "score" and outputs[entry.output].size == ROWS:
            labels = arrays["labels"] = np.ones(ROWS, np.int64)
        numeric = differences(entry, labels)
        index["differences"] = list(numeric)
        arrays |= {f"numeric64:{k}": v for k, v in numeric.items()}
    (folder / f"{name}.onnx").write_bytes(entry.proto.SerializeToString(deterministic=True))
    write_npz(folder / f"{name}.npz", arrays)
    sizes = [(folder / f"{name}{end}").stat().st_size // 1024 for end in (".onnx", ".npz")]
    print(f"{name}: {sizes} KiB, {index['opsets']}, {', '.join(index['operators'])}"
          + (f"; float32 median {index['float32_median_error']}" if grads else ""), flush=True)
    return index


def check_twin(name, entry, outputs):
    """The module that is differentiated must be the model that was exported."""
    with torch.no_grad():
        if entry.front is not None:
            raw = np.concatenate([entry.inputs[k] for k in NUMBERS + STRINGS], 1, dtype=object)
            for i in range(len(NUMBERS)):
                raw[:, i] = raw[:, i].astype(np.float64)
            tensors = [torch.from_numpy(entry.front.transform(raw).astype(np.float32))]
        else:
            tensors = [torch.from_numpy(v) for v in entry.inputs.values()]
        answer = entry.module.float()(*tensors).numpy()
    same_answer(name, answer, outputs[entry.output])


def same_answer(name, answer, runtime):
    difference = float(np.abs(answer - runtime).max())
    if difference > 2e-5:
        sys.exit(f"{name}: the module and the exported file differ by {difference}")


def versions():
    import skl2onnx
    import sklearn

    return {"torch": torch.__version__, "onnx": onnx.__version__, "onnxruntime": ort.__version__,
            "scikit-learn": sklearn.__version__, "skl2onnx": skl2onnx.__version__,
            "numpy": np.__version__}


torch_breadth.register(zoo, Entry, Scored, torch_entry, export_torch, ROWS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--keras", help="an interpreter with tensorflow, keras and tf2onnx")
    parser.add_argument("--check", action="store_true", help="compare with the committed facts")
    arguments = parser.parse_args()
    sklearn_breadth.with_locale()
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    makers = {m.__name__: m for m in MODELS}
    if arguments.keras:
        for name in ("keras_mlp_13", "keras_cnn_17"):
            makers[name] = lambda n=name: keras_entry(arguments.keras, n)
    index_path = arguments.out / "zoo.json"
    index = {}
    if index_path.exists():
        index = {each["name"]: each for each in json.loads(index_path.read_text())["models"]}
    for name, maker in makers.items():
        if arguments.only is None or name in arguments.only:
            index[name] = store(name, maker(), arguments.out)
    record = {"seed": SEED, "rows": ROWS, "models": [index[n] for n in sorted(index)]}
    index_path.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.check:
        check(arguments.out, index)


# What two machines must agree on. Weights are trained and differ in their last digits, so the
# bytes are not compared; that the new files answer rightly is asked by the tests of the engine.
FACTS = ["exporter", "opsets", "operators", "inputs", "output", "answer", "classes", "zipmap",
         "gradients", "differences"]


def check(folder, index):
    """Compares facts and the shapes and types of all arrays with the committed zoo."""
    known = {each["name"]: each for each in json.loads((HERE / "zoo.json").read_text())["models"]}
    wrong = []
    for name, facts in index.items():
        if name not in known:
            wrong.append(f"{name} is not in the committed zoo")
            continue
        for key in FACTS:
            if facts.get(key) != known[name].get(key):
                wrong.append(f"{name}: {key} is {facts.get(key)}, was {known[name].get(key)}")
        new, old = (dict(np.load(f / f"{name}.npz")) for f in (folder, HERE))
        kinds = lambda arrays: {k: (v.shape, v.dtype.kind) for k, v in arrays.items()}
        if kinds(new) != kinds(old):
            wrong.append(f"{name}: other arrays than before")
    made = len(index)
    absent = sorted(set(known) - set(index))
    print(f"{made} models made anew; not made here: {', '.join(absent) or 'none'}")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
