"""Writes cases for the operators of classical models that came later than make.py: support
vector machines, texts, word counts, distances, and all pairs of types of LabelEncoder.

    pip install onnx onnxruntime numpy      (versions: ../zoo/requirements.txt)
    python make_classical.py

The same layout as make.py; every answer is ONNX Runtime's. StringNormalizer needs the locale
`en_US.UTF-8`; where a machine has none, the letters of `C.UTF-8` stand in for it.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = Path(__file__).parent
ML, MS = "ai.onnx.ml", "com.microsoft"
rng = np.random.default_rng(20261122)
f32 = np.float32
families = {}


def with_locale():
    """Starts this script again with a folder of locales that has `en_US.UTF-8`."""
    if "LOCPATH" in os.environ or not Path("/usr/lib/locale/C.utf8").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("en_US.UTF-8", "en_US.utf8", "C.utf8", "C.UTF-8"):
            os.symlink("/usr/lib/locale/C.utf8", Path(folder) / name)
        os.environ["LOCPATH"] = folder
        sys.exit(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, *sys.argv]))


def case(family, name, op, inputs, outputs=1, opset=17, domain="", ml=1, fixed=(), **attrs):
    names = [f"i{k}" for k in range(len(inputs))]
    node = h.make_node(op, names, [f"o{k}" for k in range(outputs)], domain=domain, **attrs)
    info, feeds, consts = [], {}, []
    for k, v in enumerate(inputs):
        if k in fixed:
            consts.append(nh.from_array(v, names[k]))
            continue
        kind = T.STRING if v.dtype.kind in "OU" else h.np_dtype_to_tensor_dtype(v.dtype)
        shape = list(v.shape) if op == "StringNormalizer" else [None] * v.ndim
        info.append(h.make_tensor_value_info(names[k], kind, shape))
        feeds[names[k]] = v.astype(object) if v.dtype.kind == "U" else v
    outs = [onnx.ValueInfoProto(name=f"o{k}") for k in range(outputs)]
    imports = [h.make_opsetid("", opset)]
    imports += [h.make_opsetid(domain, ml)] if domain else []
    graph = h.make_graph([node], "g", info, outs, consts)
    model = h.make_model(graph, opset_imports=imports, ir_version=8 if opset < 20 else 9)
    model = model.SerializeToString()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    answers = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    answers = answers.run(None, feeds)
    store = families.setdefault(family, {})
    assert f"{name}/model" not in store, name
    store[f"{name}/model"] = np.frombuffer(model, dtype=np.uint8)
    text = lambda a: a.astype(str) if a.dtype == object else a
    for key, value in feeds.items():
        store[f"{name}/in/{key}"] = text(value)
    for k, value in enumerate(answers):
        store[f"{name}/out/o{k}"] = text(np.asarray(value))


KERNELS = {"LINEAR": [0.0, 0.0, 0.0], "POLY": [0.5, 1.0, 3.0], "RBF": [0.4, 0.0, 0.0],
           "SIGMOID": [0.3, 0.2, 0.0]}


def machine(classes, kernel, proba, columns=4, positive=False):
    sizes = [3, 2, 4, 2][:classes]
    count, pairs = sum(sizes), classes * (classes - 1) // 2
    weights = rng.normal(size=(classes - 1) * count)
    attrs = dict(kernel_type=kernel, kernel_params=KERNELS[kernel], vectors_per_class=sizes,
                 support_vectors=rng.normal(size=count * columns).tolist(),
                 coefficients=(np.abs(weights) if positive else weights).tolist(),
                 rho=rng.normal(size=pairs).tolist())
    if proba:
        attrs |= dict(prob_a=rng.uniform(-2, -1, pairs).tolist(),
                      prob_b=rng.uniform(-0.3, 0.3, pairs).tolist())
    return attrs


def svm():
    F = "svm"
    x = rng.normal(size=(12, 4)).astype(f32)
    for kernel in KERNELS:
        for classes in (2, 3, 4) if kernel == "RBF" else (2, 3):
            for proba in (False, True):
                labels = {"classlabels_ints": [3, 5, 8, 9][:classes]}
                case(F, f"classifier_{kernel}_{classes}_{proba}", "SVMClassifier", [x], 2,
                     domain=ML, **labels, **machine(classes, kernel, proba))
    posts = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
    for post in posts:
        for classes in (2, 3):
            for proba in (False, True):
                case(F, f"classifier_{post}_{classes}_{proba}", "SVMClassifier", [x], 2, domain=ML,
                     post_transform=post, classlabels_strings=["ash", "elm", "oak"][:classes],
                     **machine(classes, "RBF", proba, positive=proba))
        for classes in (2, 3):
            for positive in (False, True):
                w = rng.normal(size=classes * 4)
                case(F, f"hyperplanes_{post}_{classes}_{positive}", "SVMClassifier", [x], 2,
                     domain=ML, post_transform=post, classlabels_ints=list(range(classes)),
                     kernel_params=[0.0, 0.0, 0.0],
                     coefficients=(np.abs(w) if positive else w).tolist(), rho=[0.1])
    # Where the two probabilities nearly meet, the coupling leaves one half.
    near = np.concatenate([np.linspace(-0.04, 0.04, 17), [-12, -6, 6, 12, 16]]).astype(f32)
    case(F, "classifier_near_half", "SVMClassifier", [near[:, None]], 2, domain=ML,
         kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0], vectors_per_class=[1, 1], support_vectors=[1.0, 1.0],
         coefficients=[1.0, 0.0], rho=[0.0], prob_a=[-1.0], prob_b=[0.0], classlabels_ints=[0, 1])
    for kind in (np.int64, np.int32, np.float64):
        case(F, f"classifier_{np.dtype(kind).name}", "SVMClassifier", [(x * 3).astype(kind)], 2,
             domain=ML, classlabels_ints=[0, 1, 2], **machine(3, "POLY", True))
    for degree in (1.0, 2.0, 4.0):
        attrs = machine(2, "POLY", True) | {"kernel_params": [0.5, 2.0, degree]}
        case(F, f"classifier_degree_{degree:g}", "SVMClassifier", [x], 2, domain=ML,
             classlabels_ints=[0, 1], **attrs)
    for kernel, params in KERNELS.items():
        for one_class in (0, 1):
            case(F, f"regressor_{kernel}_{one_class}", "SVMRegressor", [x], domain=ML,
                 kernel_type=kernel, kernel_params=params, n_supports=5, one_class=one_class,
                 support_vectors=rng.normal(size=20).tolist(), rho=[0.1],
                 coefficients=rng.normal(size=5).tolist())
    case(F, "regressor_plane", "SVMRegressor", [x], domain=ML, kernel_type="LINEAR",
         kernel_params=[0.0, 0.0, 0.0], coefficients=rng.normal(size=4).tolist(), rho=[0.3])
    for metric in ("euclidean", "sqeuclidean"):
        case(F, f"CDist_{metric}", "CDist", [x, rng.normal(size=(5, 4)).astype(f32)], domain=MS,
             fixed=(1,), metric=metric)
        case(F, f"CDist_{metric}_f64", "CDist", [rng.normal(size=(3, 6)), rng.normal(size=(5, 6))],
             domain=MS, metric=metric)


WORDS = np.array(["This is the first document.", "no, it's NOT", "Ein Ärger mit Äpfeln & café",
                  "x 12 3.4 snake_case e-mail", "", "   ", "ab abc abcd!", "ÇA İSTANBUL ß ŉ Ǆ"])


def texts():
    F = "texts"
    for action in ("LOWER", "UPPER", "NONE"):
        for exact in (0, 1):
            case(F, f"StringNormalizer_{action}_{exact}", "StringNormalizer", [WORDS[:7]],
                 case_change_action=action, is_case_sensitive=exact,
                 stopwords=["no, it's not", "ab abc abcd!", "", "X"])
        case(F, f"StringNormalizer_{action}_all", "StringNormalizer", [WORDS],
             case_change_action=action)
    case(F, "StringNormalizer_row", "StringNormalizer", [WORDS[None]], case_change_action="LOWER")
    for name, rows in [("empty", ["a", "A"]), ("row", [["a", "A"]])]:
        case(F, f"StringNormalizer_{name}_stopped", "StringNormalizer", [np.array(rows)],
             case_change_action="LOWER", stopwords=["A"])
    patterns = {"word": r"[a-zA-Z0-9_]+", "python": r"\b\w\w+\b", "letter": ".",
                "either": "a|ab|abc", "optional": "(a?)(abc)?d?", "digits": r"\d+(\.\d+)?",
                "not": r"[^\s]+", "umlaut": "[ÄÖÜäöü]", "lazy": "a.*?b", "class": r"\p{L}+"}
    for name, pattern in patterns.items():
        for least in (1,) if pattern == "." else (1, 3):
            case(F, f"Tokenizer_{name}_{least}", "Tokenizer", [WORDS], domain=MS, mark=0,
                 pad_value="#", tokenexp=pattern, mincharnum=least)
    for name, separators in {"letters": [""], "space": [" "], "several": [" ", "[.]", ",", "'"],
                             "nested": ["b", "a+"]}.items():
        for mark in (0, 1):
            case(F, f"Tokenizer_{name}_{mark}", "Tokenizer", [WORDS], domain=MS, mark=mark,
                 pad_value="", separators=separators, mincharnum=1)
        case(F, f"Tokenizer_{name}_columns", "Tokenizer", [WORDS.reshape(4, 2)], domain=MS,
             mark=0, pad_value="~", separators=separators,
             mincharnum=1 if separators == [""] else 2)
    case(F, "StringConcat", "StringConcat", [WORDS, WORDS[::-1]], opset=20)
    case(F, "StringConcat_broadcast", "StringConcat", [WORDS[:, None], np.array(["x", "ÿ"])],
         opset=20)
    for name, attrs in {"words": {}, "words_2": {"maxsplit": 2}, "comma": {"delimiter": ","},
                        "ab": {"delimiter": "ab"}, "space_1": {"delimiter": " ", "maxsplit": 1},
                        "none": {"maxsplit": 0}}.items():
        case(F, f"StringSplit_{name}", "StringSplit", [WORDS], 2, opset=20, **attrs)
    for name, pattern in {"word": r"[\w ]*", "either": "ab|ab abc abcd!", "dot": ".*"}.items():
        case(F, f"RegexFullMatch_{name}", "RegexFullMatch", [WORDS], opset=20, pattern=pattern)
    for positive in (0, 1):
        for data in (WORDS, np.array([0, 1, -7, 2**31 - 1], np.int32), np.arange(-3, 4),
                     np.array([0.5, -2.25], f32), np.array([0.5, -2.25])):
            # onnxruntime gives unsigned results a type that the cases do not hold.
            if positive == 0:
                case(F, f"MurmurHash3_{data.dtype.kind}{data.dtype.itemsize}", "MurmurHash3",
                     [data], domain=MS, positive=0, seed=3)
    tokens = np.array([["a", "b", "a", "c", "#"], ["b", "c", "#", "#", "#"], ["a", "a", "a", "b", "z"]])
    numbers = np.array([[1, 2, 1, 3, 9], [2, 3, 9, 9, 9], [1, 1, 1, 2, 8]])
    pool = dict(ngram_counts=[0, 3, 9], ngram_indexes=[3, 0, 5, 1, 2, 4, 6],
                weights=[0.5, 2.0, 1.5, 0.25, 3.0, 1.25, 0.75])
    grams = ["a", "b", "c", "a", "b", "b", "c", "a", "a", "a", "b", "a"]
    ints = [{"a": 1, "b": 2, "c": 3}[g] for g in grams]
    for mode in ("TF", "IDF", "TFIDF"):
        for low, high in ((1, 1), (1, 2), (2, 2), (1, 3), (2, 3), (3, 3)):
            for skip in (0, 2):
                attrs = dict(mode=mode, min_gram_length=low, max_gram_length=high,
                             max_skip_count=skip, **pool)
                case(F, f"TfIdf_{mode}_{low}{high}{skip}", "TfIdfVectorizer", [tokens],
                     pool_strings=grams, **attrs)
        for kind in (np.int64, np.int32):
            case(F, f"TfIdf_{mode}_{np.dtype(kind).name}", "TfIdfVectorizer",
                 [numbers.astype(kind)], pool_int64s=ints, **attrs)
        case(F, f"TfIdf_{mode}_row", "TfIdfVectorizer", [tokens[0]], pool_strings=grams, **attrs)
        del attrs["weights"]
        case(F, f"TfIdf_{mode}_plain", "TfIdfVectorizer", [tokens], pool_strings=grams, **attrs)


def labels():
    """Every pair of types that some opset of LabelEncoder knows."""
    F = "labels"
    keys = {"string": np.array(["a", "", "é"]), "int64": np.array([5, -1, 0]),
            "float": np.array([0.5, np.nan, -0.0], f32), "double": np.array([0.5, np.nan, 7.0]),
            "int16": None}
    data = {"string": np.array([["é", "q"], ["a", ""]]), "int64": np.array([[0, 5], [9, -1]]),
            "float": np.array([[0.0, np.nan], [0.5, 3]], f32),
            "double": np.array([[7.0, np.nan], [0.5, 3]])}
    values = {"string": np.array(["x", "y", "z"]), "int64": np.array([7, 8, 9]),
              "float": np.array([1.5, np.nan, -2], f32), "double": np.array([1.5, 2.5, -2])}
    default = {"string": "none", "int64": -9, "float": -0.5, "double": -0.5}
    tensor = lambda v: nh.from_array(v.astype(object) if v.dtype.kind == "U" else v)
    for k in data:
        for v in values:
            attrs = {}
            for part, kind, held in (("keys", k, keys[k]), ("values", v, values[v])):
                if kind == "double":
                    attrs[f"{part}_tensor"] = tensor(held)
                else:
                    attrs[f"{part}_{kind}s"] = held.tolist()
            if v == "double":
                attrs["default_tensor"] = tensor(np.array([default[v]]))
            else:
                attrs[f"default_{v}"] = default[v]
            for ml in (2, 4):
                if ml == 2 and "double" in (k, v):
                    continue
                try:
                    case(F, f"{k}_{v}_{ml}", "LabelEncoder", [data[k]], domain=ML, ml=ml, **attrs)
                except Exception as e:
                    print(f"not in ONNX Runtime: LabelEncoder {k} to {v}, opset {ml}: {str(e)[:90]}")
            try:
                given = {"keys_tensor": tensor(keys[k]), "values_tensor": tensor(values[v]),
                         "default_tensor": tensor(np.array([default[v]]).astype(values[v].dtype))}
                case(F, f"{k}_{v}_tensors", "LabelEncoder", [data[k]], domain=ML, ml=4, **given)
            except Exception as e:
                print(f"not in ONNX Runtime: LabelEncoder {k} to {v}, tensors: {str(e)[:90]}")


if __name__ == "__main__":
    with_locale()
    for family in (svm, texts, labels):
        family()
    for name, arrays in families.items():
        np.savez_compressed(HERE / f"{name}.npz", **arrays)
        count = sum(k.endswith("/model") for k in arrays)
        print(f"{name}: {count} cases, {(HERE / f'{name}.npz').stat().st_size} bytes")
