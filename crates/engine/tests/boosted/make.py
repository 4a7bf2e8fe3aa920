"""Models of XGBoost, LightGBM and CatBoost, and what these libraries answer on 1,000 rows.

    python make.py [--old DIR...]      # DIR: `pip install --target DIR --no-deps xgboost-cpu==2.1.1`

Each case is a model file and an `.npz`: `x` (rows; texts are columns `text_<i>` of their own),
`margin` (raw scores) and `answer` (the library's own predict). Rows take a third of their values
from the thresholds of the model and the numbers next to them, others are missing, zero, huge, or
categories that the model never saw. Models are saved, loaded and only then asked.

Made with Python 3.11, numpy 2.4.6, xgboost-cpu 3.2.0, lightgbm 4.7.0, catboost 1.2.10; the cases
`xgboost_old_*` with the versions in their names.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
HERE = Path(__file__).parent
ROWS = 1000


def probes(rng, columns, thresholds, dtype, cats=(), codes=(), inf=False):
    """Rows on, and right beside, thresholds; missing, zero, huge; codes of all kinds."""
    x = rng.normal(size=(ROWS, columns)).astype(dtype)
    special = [0.0, -0.0, 1e-36, -1e-36, 1e-30, 1e30, -1e30] + ([np.inf, -np.inf] if inf else [])
    for c in range(columns):
        if c in cats:
            x[:, c] = rng.choice(np.asarray(codes, dtype), ROWS)
            x[rng.random(ROWS) < 0.1, c] = np.nan
            continue
        t = np.asarray(sorted(set(thresholds.get(c, [0.0]))), dtype)
        near = np.concatenate([t, np.nextafter(t, dtype(np.inf)), np.nextafter(t, dtype(-np.inf))])
        kind = rng.random(ROWS)
        x[:, c] = np.where(kind < 0.45, rng.choice(near, ROWS), x[:, c])
        x[:, c] = np.where(kind > 0.9, rng.choice(np.asarray(special, dtype), ROWS), x[:, c])
        x[(kind > 0.75) & (kind < 0.87), c] = np.nan
    return x


def save(name, **arrays):
    arrays["answer"] = arrays["answer"].astype(np.float32)
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    size = sum(p.stat().st_size for p in HERE.glob(f"{name}.*"))
    print(f"{name}: {size // 1024} KiB")


def train_rows(rng, columns, cats=(), levels=8, missing=0.1, dtype=np.float32):
    x = rng.normal(size=(600, columns)).astype(dtype)
    for c in cats:
        x[:, c] = rng.integers(0, levels, 600)
    x[rng.random(x.shape) < missing] = np.nan
    score = np.nan_to_num(x[:, 0]) + np.sin(3 * np.nan_to_num(x[:, 1]))
    for c in cats:
        score += np.where(np.nan_to_num(x[:, c]) % 3 == 1, 1.0, -0.3)
    return x, score + 0.3 * rng.normal(size=600)


# XGBoost


def xgb_thresholds(booster):
    found = {}
    with tempfile.TemporaryDirectory() as folder:  # old releases save no JSON to memory
        path = Path(folder) / "model.json"
        booster.save_model(str(path))
        model = json.loads(path.read_text())["learner"]["gradient_booster"]
    for tree in model.get("gbtree", model)["model"]["trees"]:
        for left, feature, value in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"]
        ):
            if left >= 0:
                found.setdefault(feature, []).append(value)
    return found


def xgb_case(xgb, name, params, y, x, rounds=8, cats=(), codes=(), formats=("json",), types=None):
    rng = np.random.default_rng(7)
    kwargs = dict(feature_types=types, enable_categorical=True) if types else {}
    booster = xgb.train({"max_depth": 3, "seed": 1, **params}, xgb.DMatrix(x, y, **kwargs), rounds)
    xgb_save(xgb, name, booster, x.shape[1], rng, cats, codes, formats, kwargs)


def xgb_save(xgb, name, booster, columns, rng, cats, codes, formats, kwargs):
    rows = probes(rng, columns, xgb_thresholds(booster), np.float32, cats, codes)
    for ending in formats:
        booster.save_model(str(HERE / f"{name}.{ending}"))
    loaded = xgb.Booster(model_file=str(HERE / f"{name}.{formats[0]}"))
    loaded.set_param({"nthread": 1})
    matrix = xgb.DMatrix(rows, **kwargs)
    margin = loaded.predict(matrix, output_margin=True)
    zero = np.zeros(margin.size, np.float32)
    bare = xgb.DMatrix(rows, base_margin=zero.reshape(margin.shape), **kwargs)
    save(
        name,
        x=rows,
        margin=margin,
        answer=loaded.predict(matrix),
        trees=loaded.predict(bare, output_margin=True),
    )
    return loaded


def make_xgboost():
    import xgboost as xgb

    rng = np.random.default_rng(1)
    x, score = train_rows(rng, 5)
    binary = (score > 0.2).astype(int)
    both = ("json", "ubj")
    xgb_case(xgb, "xgboost_binary", {"objective": "binary:logistic"}, binary, x, formats=both)
    booster = xgb.Booster(model_file=HERE / "xgboost_binary.json")
    booster.dump_model(HERE / "xgboost_binary.dump.json", dump_format="json", with_stats=True)
    xgb_case(xgb, "xgboost_poisson", {"objective": "count:poisson"}, np.abs(score).round(), x)
    xgb_case(xgb, "xgboost_hinge", {"objective": "binary:hinge"}, binary, x, rounds=4)
    xgb_case(
        xgb,
        "xgboost_forest",
        {"objective": "reg:squarederror", "num_parallel_tree": 4, "subsample": 0.6},
        score,
        x,
        rounds=2,
    )
    dart = {"objective": "reg:squarederror", "booster": "dart", "rate_drop": 0.4}
    xgb_case(xgb, "xgboost_dart", dart, score, x, formats=("ubj",))
    three = np.digitize(score, [-0.4, 0.6])
    soft = {"objective": "multi:softprob", "num_class": 3}
    xgb_case(xgb, "xgboost_softprob", soft, three, x, rounds=4, formats=both)
    pair = np.stack([score, np.nan_to_num(x[:, 2])], 1)
    for strategy in ("multi_output_tree", "one_output_per_tree"):
        params = {"objective": "reg:squarederror", "multi_strategy": strategy}
        xgb_case(xgb, f"xgboost_{strategy}", params, pair, x, rounds=3, formats=both)

    # codes: known, never seen, beyond every bit set, and cut towards zero; the library refuses
    # negative ones
    x, score = train_rows(rng, 5, cats=(2, 3), levels=40)
    types = ["q", "q", "c", "c", "q"]
    codes = [*range(40), 41, 63, 64, 1000, 16777215, 1.5, 0.25]
    params = {"objective": "binary:logistic", "max_cat_to_onehot": 1, "max_depth": 4}
    xgb_case(
        xgb, "xgboost_categories", params, score > 0, x, 8, (2, 3), codes, both, types
    )
    booster = xgb.Booster(model_file=HERE / "xgboost_categories.json")
    booster.dump_model(HERE / "xgboost_categories.dump.json", dump_format="json")
    x, score = train_rows(rng, 3, cats=(2,), levels=6)
    params = {"objective": "reg:squarederror", "max_cat_to_onehot": 100}
    codes = [*range(8), 100]
    xgb_case(
        xgb, "xgboost_onehot", params, score, x, 6, (2,), codes, ("json",), ["q", "q", "c"]
    )
    make_xgboost_stored(xgb)


def make_xgboost_stored(xgb):
    """Categories stored in the file; rows are texts, in ASCII for the library garbles others."""
    import pandas as pd

    rng = np.random.default_rng(3)
    x, score = train_rows(rng, 2)
    texts = np.asarray(["zug", "bern", "genf", "basel", "chur"])
    city = rng.choice(texts, 600)
    tens = rng.choice([10, 20, 30], 600)
    score += np.where(city == "genf", 1.0, 0.0) + np.where(tens == 20, 1.0, 0.0)
    frame = pd.DataFrame({"a": x[:, 0], "city": pd.Categorical(city), "tens": pd.Categorical(tens)})
    booster = xgb.train(
        {"objective": "binary:logistic", "max_depth": 3, "max_cat_to_onehot": 1},
        xgb.DMatrix(frame, score > 0.3, enable_categorical=True),
        6,
    )
    booster.save_model(HERE / "xgboost_stored.json")
    loaded = xgb.Booster(model_file=HERE / "xgboost_stored.json")
    rows = probes(rng, 1, xgb_thresholds(booster), np.float32)
    city, tens = rng.choice(texts[:4], ROWS), rng.choice([10, 30, 20], ROWS)
    frame = pd.DataFrame({"a": rows[:, 0], "city": pd.Categorical(city), "tens": pd.Categorical(tens)})
    matrix = xgb.DMatrix(frame, enable_categorical=True)
    x = np.zeros((ROWS, 3), np.float32)
    x[:, 0] = rows[:, 0]
    save(
        "xgboost_stored",
        x=x,
        text_1=city,
        text_2=tens.astype(str),
        margin=loaded.predict(matrix, output_margin=True),
        answer=loaded.predict(matrix),
    )


def make_xgboost_old(folder):
    """One file of an older library, in this process alone."""
    sys.path.insert(0, folder)
    np.cfloat = np.complex128
    np.bool, np.int, np.float = np.bool_, int, float
    import xgboost as xgb

    version = xgb.__version__
    rng = np.random.default_rng(5)
    x, score = train_rows(rng, 4)
    name = f"xgboost_old_{version.replace('.', '_')}"
    xgb_case(xgb, name, {"objective": "binary:logistic", "base_score": 0.3}, score > 0, x)
    if version.startswith("2."):
        pair = np.stack([score, np.nan_to_num(x[:, 2])], 1)
        params = {"multi_strategy": "multi_output_tree", "tree_method": "hist"}
        xgb_case(xgb, f"{name}_vector", params, pair, x, rounds=3, formats=("json", "ubj"))


# LightGBM


def lgb_thresholds(booster):
    found = {}
    for line in booster.model_to_string().split("\nTree=")[1:]:
        keys = dict(l.split("=", 1) for l in line.splitlines() if "=" in l)
        kinds = [int(k) for k in keys.get("decision_type", "").split()]
        for feature, value, kind in zip(
            keys.get("split_feature", "").split(), keys.get("threshold", "").split(), kinds
        ):
            if kind & 1 == 0:
                found.setdefault(int(feature), []).append(float(value))
    return found


def lgb_case(name, params, y, x, rounds=8, cats=(), codes=()):
    import lightgbm as lgb

    rng = np.random.default_rng(7)
    params = {"verbose": -1, "num_leaves": 7, "seed": 1, "min_data_in_leaf": 5, **params}
    data = lgb.Dataset(x, y, categorical_feature=list(cats) or "auto")
    booster = lgb.train(params, data, rounds)
    booster.save_model(HERE / f"{name}.txt")
    loaded = lgb.Booster(model_file=HERE / f"{name}.txt")
    thresholds = lgb_thresholds(loaded)
    tiny = np.float64(np.float32(1e-35))
    for c in range(x.shape[1]):
        thresholds.setdefault(c, []).extend([tiny, -tiny])
    rows = probes(rng, x.shape[1], thresholds, np.float64, cats, codes, inf=True)
    save(
        name,
        x=rows,
        margin=loaded.predict(rows, raw_score=True),
        answer=loaded.predict(rows),
    )


def make_lightgbm():
    rng = np.random.default_rng(2)
    x, score = train_rows(rng, 5, dtype=np.float64)
    x[rng.random(x.shape) < 0.15] = 0.0
    binary = (score > 0.2).astype(int)
    three = np.digitize(score, [-0.4, 0.6])
    lgb_case("lightgbm_binary", {"objective": "binary", "sigmoid": 0.7}, binary, x)
    lgb_case("lightgbm_zero", {"objective": "regression", "zero_as_missing": True}, score, x)
    full = np.nan_to_num(x)
    lgb_case("lightgbm_none", {"objective": "regression_l1"}, score, full)
    lgb_case("lightgbm_unused", {"objective": "huber", "use_missing": False}, score, x)
    lgb_case("lightgbm_softmax", {"objective": "multiclass", "num_class": 3}, three, x, 4)
    ova = {"objective": "multiclassova", "num_class": 3, "sigmoid": 2.0}
    lgb_case("lightgbm_ova", ova, three, x, 4)
    bag = {"boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1}
    lgb_case("lightgbm_forest", {"objective": "binary", **bag}, binary, x, 6)
    lgb_case("lightgbm_forest_sum", {"objective": "regression", **bag}, score, x, 6)
    lgb_case("lightgbm_sqrt", {"objective": "regression", "reg_sqrt": True}, score, x)
    lgb_case("lightgbm_tweedie", {"objective": "tweedie"}, np.abs(score), x)
    share = 1 / (1 + np.exp(-score))
    lgb_case("lightgbm_lambda", {"objective": "cross_entropy_lambda"}, share, x)
    lgb_case("lightgbm_entropy", {"objective": "cross_entropy"}, share, x)
    lgb_case("lightgbm_dart", {"objective": "binary", "boosting": "dart"}, binary, x)
    constant = {"objective": "regression", "min_data_in_leaf": 400}
    lgb_case("lightgbm_constant", constant, score, x, 3)
    linear = {"objective": "regression", "linear_tree": True}
    lgb_case("lightgbm_linear", linear, score, full, 2)

    x, score = train_rows(rng, 5, cats=(2, 3), levels=70, dtype=np.float64)
    codes = [*range(70), 71, 95, 96, 1000, 2.0**31, 1e10, -1, -5, -0.5, -0.99, 1.5, 0.25, -1e10]
    many = {"objective": "binary", "max_cat_to_onehot": 1, "min_data_per_group": 5}
    few = {**many, "max_cat_to_onehot": 200, "cat_smooth": 1}
    lgb_case("lightgbm_categories", many, score > 0, x, 8, (2, 3), codes)
    lgb_case("lightgbm_onehot", few, score > 0, x, 8, (2, 3), codes)
    make_lightgbm_pandas()


def make_lightgbm_pandas():
    import lightgbm as lgb
    import pandas as pd

    rng = np.random.default_rng(3)
    x, score = train_rows(rng, 2, dtype=np.float64)
    texts = np.asarray(["zürich", "bern", "genf", "basel", "chur"])
    city = rng.choice(texts, 600)
    score += np.where((city == "genf") | (city == "chur"), 1.0, 0.0)
    frame = pd.DataFrame({"a b": x[:, 0], "city": pd.Categorical(city)})
    params = {"verbose": -1, "objective": "binary", "num_leaves": 6, "min_data_per_group": 5}
    lgb.train(params, lgb.Dataset(frame, score > 0.3), 6).save_model(HERE / "lightgbm_pandas.txt")
    loaded = lgb.Booster(model_file=HERE / "lightgbm_pandas.txt")
    rows = probes(rng, 1, lgb_thresholds(loaded), np.float64)
    city = rng.choice([*texts, "lugano", "Bern"], ROWS)  # two that the model never saw
    frame = pd.DataFrame({"a b": rows[:, 0], "city": pd.Categorical(city)})
    x = np.zeros((ROWS, 2))
    x[:, 0] = rows[:, 0]
    save(
        "lightgbm_pandas",
        x=x,
        text_1=city,
        margin=loaded.predict(frame, raw_score=True),
        answer=loaded.predict(frame),
    )


# CatBoost


def cb_case(name, params, y, x, texts=(), kind=None, pool_in_file=False, rounds=10):
    """`x` holds numbers; `texts` are columns of texts that stand behind them."""
    import catboost as cb
    import pandas as pd

    def frame(x, texts):
        data = {f"n{i}": x[:, i] for i in range(x.shape[1])}
        data |= {f"t{i}": np.asarray(t, object) for i, t in enumerate(texts)}
        return pd.DataFrame(data)

    base = dict(iterations=rounds, depth=3, random_seed=1, verbose=0, allow_writing_files=False)
    cats = [f"t{i}" for i in range(len(texts))]
    pool = cb.Pool(frame(x, texts), y, cat_features=cats)
    model = cb.CatBoost({**base, **params}).fit(pool)
    path = HERE / f"{name}.json"
    model.save_model(path, format="json", pool=pool if pool_in_file else None)
    document = json.loads(path.read_text())
    document["model_info"].pop("training", None)  # times and histories
    document["model_info"].pop("train_finish_time", None)
    path.write_text(json.dumps(document, separators=(",", ":")))
    loaded = cb.CatBoost().load_model(path, format="json")
    rng = np.random.default_rng(7)
    thresholds = {}
    for feature in document["features_info"]["float_features"]:
        if feature["borders"]:
            thresholds[feature["flat_feature_index"]] = feature["borders"]
    rows = probes(rng, x.shape[1], thresholds, np.float32, inf=True)
    if not np.isnan(x).any():
        rows = np.nan_to_num(rows, nan=0.5, posinf=np.inf, neginf=-np.inf)
    words = [rng.choice([*sorted(set(t)), "never seen", ""], ROWS) for t in texts]
    test = cb.Pool(frame(rows, words), cat_features=cats)
    answer = loaded.predict(test, prediction_type=kind or "RawFormulaVal")
    save(
        name,
        x=np.concatenate([rows, np.zeros((ROWS, len(texts)), np.float32)], 1),
        margin=loaded.predict(test, prediction_type="RawFormulaVal"),
        answer=answer[:, 1] if params["loss_function"] == "Logloss" else answer,
        **{f"text_{x.shape[1] + i}": np.asarray(w) for i, w in enumerate(words)},
    )


def make_catboost():
    rng = np.random.default_rng(4)
    x, score = train_rows(rng, 4)
    binary = (score > 0.2).astype(int)
    logloss = {"loss_function": "Logloss"}
    cb_case("catboost_binary", logloss, binary, x, kind="Probability")
    cb_case("catboost_max", {**logloss, "nan_mode": "Max"}, binary, x, kind="Probability")
    cb_case("catboost_full", {"loss_function": "RMSE"}, score, np.nan_to_num(x))
    poisson = {"loss_function": "Poisson"}
    cb_case("catboost_poisson", poisson, np.abs(score).round(), x, kind="Exponent")
    free = {"loss_function": "RMSE", "grow_policy": "Lossguide", "max_leaves": 6}
    cb_case("catboost_lossguide", free, score, x)
    three = np.asarray(["u", "v", "w"])[np.digitize(score, [-0.4, 0.6])]
    soft = {"loss_function": "MultiClass"}
    cb_case("catboost_softmax", soft, three, x, kind="Probability", rounds=5)
    cb_case("catboost_free_softmax", {**soft, **free, **soft}, three, x, kind="Probability", rounds=4)
    ova = {"loss_function": "MultiClassOneVsAll"}
    cb_case("catboost_ova", ova, three, x, kind="Probability", rounds=5)

    few = rng.choice(["rot", "grün", "blau", "a much longer name of a colour, over 32 bytes"], 600)
    many = rng.choice([f"plz {i}" for i in range(30)], 600)
    score = score + np.where(few == "grün", 1.0, 0) + np.where(many < "plz 2", 0.8, -0.3)
    binary = (score > 0.3).astype(int)
    onehot = {"one_hot_max_size": 255}
    cb_case("catboost_onehot", {**logloss, **onehot}, binary, x, [few], "Probability")
    simple = {"max_ctr_complexity": 1, "one_hot_max_size": 2}
    texts = [few, many]
    cb_case("catboost_ctr", {**logloss, **simple}, binary, x, texts, "Probability", True)
    plain = {"loss_function": "RMSE", **simple}
    ctrs = ["Borders:TargetBorderCount=3", "Buckets", "BinarizedTargetMeanValue", "Counter"]
    cb_case("catboost_ctr_all", {**plain, "simple_ctr": ctrs}, score, x, texts, rounds=25)
    mean = {**plain, "simple_ctr": ["FloatTargetMeanValue", "FeatureFreq"], "task_type": "CPU"}
    try:
        cb_case("catboost_ctr_mean", mean, score, x, texts)
    except Exception as error:  # only GPUs train these
        print("catboost_ctr_mean:", str(error).splitlines()[0])
    cb_case("catboost_ctr_free", {**plain, **free}, score, x, texts)
    pairs = {**logloss, "max_ctr_complexity": 2, "one_hot_max_size": 2}
    both = (few == "grün") ^ (many < "plz 2")
    cb_case("catboost_pairs", pairs, both.astype(int), x, texts, "Probability", rounds=20)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--old"]:
        make_xgboost_old(sys.argv[2])
    else:
        wanted = sys.argv[1:] or ["xgboost", "lightgbm", "catboost"]
        for name in wanted:
            globals()[f"make_{name}"]()
