"""Models of scikit-learn, XGBoost and LightGBM as skl2onnx and onnxmltools write them, beyond
the first ones of make_zoo.py, which reads this module and takes its helpers from here.

Every answer is ONNX Runtime's; `check` compares it with the library's own predict_proba on the
same rows, and `agreement` of the index tells by how much they differ: some converters round, and
a support vector machine's coupled probabilities are computed in another way. Gradients are taken
in float64 by central differences of the library's own function, where that function is smooth.
"""

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

# The pinned scikit-learn announces what a later one drops; the files are made with the pinned one.
warnings.filterwarnings("ignore", category=FutureWarning)
ROWS = 64
SEED = 20261122


def blobs(classes, features=6, rows=600):
    from sklearn.datasets import make_classification

    return make_classification(
        n_samples=rows, n_features=features, n_informative=features - 1, n_redundant=0,
        n_classes=classes, n_clusters_per_class=1, class_sep=1.0, random_state=SEED)


def with_locale():
    """Starts the script again with a folder of locales that has `en_US.UTF-8`, which ONNX
    Runtime's StringNormalizer asks for; the letters of `C.UTF-8` stand in for it."""
    if "LOCPATH" in os.environ or not Path("/usr/lib/locale/C.utf8").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("en_US.UTF-8", "en_US.utf8", "C.utf8", "C.UTF-8"):
            os.symlink("/usr/lib/locale/C.utf8", Path(folder) / name)
        os.environ["LOCPATH"] = folder
        sys.exit(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, *sys.argv]))


def patch_converters():
    """onnx no longer takes numpy's numbers and booleans for integers; skl2onnx still gives them."""
    from onnx import helper

    if getattr(helper, "patched", False):
        return
    made = helper.make_attribute

    def make_attribute(key, value, *rest, **named):
        if isinstance(value, (list, tuple)) and value and all(
                isinstance(v, (bool, np.bool_, np.integer, int)) for v in value):
            value = [int(v) for v in value]
        return made(key, value, *rest, **named)

    helper.make_attribute, helper.patched = make_attribute, True


def register(zoo, Entry, convert, sort_imports, credit):
    """Registers the makers with `zoo`; the others are helpers of make_zoo.py."""
    from skl2onnx.common.data_types import (FloatTensorType, Int64TensorType, StringTensorType)

    patch_converters()

    def entry(proto, inputs, output, answer, notes, own=None, own_at=None, exporter="skl2onnx",
              zipmap=()):
        made = Entry(sort_imports(proto), inputs, output, answer, exporter, notes, zipmap=zipmap)
        made.own, made.own_at = own, own_at
        return made

    def plain(model, classes, notes, options=None, own_at=None, rows=600, features=6, y=None,
              answer="probability", positive=False, ml=3, gaps=False):
        """One float matrix `x`; `own_at` is the smooth function that is differentiated."""
        x, labels = blobs(classes, features, rows)
        x = (np.abs(x) if positive else x).astype(np.float32)
        labels = labels if y is None else y(x, labels)
        if gaps:
            x = x.copy()
            x[np.random.default_rng(SEED).random(x.shape) < 0.1] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x[ROWS:], labels[ROWS:])
        last = model.steps[-1][1] if hasattr(model, "steps") else model
        if options is None:
            options = {id(last): {"zipmap": False}} if answer == "probability" else None
        proto = convert(model, [("x", FloatTensorType([None, features]))], options, ml=ml)
        at = 1 if answer == "probability" else 0
        own = (lambda v: model.predict_proba(v)) if answer == "probability" else (
            lambda v: model.predict(v))
        return entry(proto, {"x": x[:ROWS]}, proto.graph.output[at].name, answer, notes,
                     own=lambda v: own(v["x"]),
                     own_at=own_at and (lambda v: own_at(model, v)))

    proba = lambda model, v: model.predict_proba(v["x"])
    value = lambda model, v: model.predict(v["x"])

    def add(name):
        def inner(function):
            function.__name__ = name
            return zoo(function)
        return inner

    def pair(model, v):
        """Probabilities of the pair itself, before they are coupled."""
        z = model.probA_[0] * -model.decision_function(v["x"]) + model.probB_[0]
        first = 1 / (1 + np.exp(z))
        return np.stack([first, 1 - first], 1)

    # ------------------------------------------------------------ support vectors

    from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM

    @add("skl_svc_rbf_probability")
    def _():
        # Coupled probabilities differ from ONNX Runtime's; the gradient is that of the pair.
        return plain(SVC(probability=True, random_state=SEED, C=0.5), 2,
                     "SVMClassifier, RBF, two coupled probabilities", rows=200, own_at=pair)

    @add("skl_svc_poly_3")
    def _():
        return plain(SVC(kernel="poly", coef0=1.0, degree=2, probability=True, random_state=SEED),
                     3, "SVMClassifier, polynomial kernel, three coupled probabilities", rows=260)

    @add("skl_svc_scores_3")
    def _():
        model = SVC(kernel="sigmoid", gamma=0.05)
        made = plain(model, 3, "SVMClassifier without probabilities: scores of pairs turned into "
                               "scores of classes", rows=260)
        made.answer, made.own = "score", lambda v: model.decision_function(v["x"])
        return made

    @add("skl_nusvc_linear")
    def _():
        return plain(NuSVC(nu=0.4, kernel="linear", probability=True, random_state=SEED), 2,
                     "SVMClassifier, linear kernel", rows=200, own_at=pair)

    target = lambda x, y: (x[:, 0] * 2 + np.sin(x[:, 1]) + y).astype(np.float64)

    @add("skl_svr_rbf")
    def _():
        return plain(SVR(C=2.0), 2, "SVMRegressor, RBF", y=target, answer="score", rows=200,
                     own_at=value)

    @add("skl_one_class_svm")
    def _():
        model = OneClassSVM(nu=0.2)
        x, _ = blobs(2)
        x = x.astype(np.float32)
        model.fit(x[ROWS:200])
        proto = convert(model, [("x", FloatTensorType([None, 6]))])
        return entry(proto, {"x": x[:ROWS]}, proto.graph.output[1].name, "score",
                     "one-class SVMRegressor: score and its sign",
                     own=lambda v: model.decision_function(v["x"]))

    # ------------------------------------------------------------ joined classifiers

    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import (AdaBoostClassifier, BaggingClassifier, ExtraTreesClassifier,
                                  GradientBoostingClassifier, HistGradientBoostingClassifier,
                                  HistGradientBoostingRegressor, RandomForestClassifier,
                                  StackingClassifier, VotingClassifier)
    from sklearn.linear_model import LogisticRegression, PoissonRegressor
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    @add("skl_calibrated_sigmoid")
    def _():
        return plain(CalibratedClassifierCV(LinearSVC(random_state=SEED), cv=3), 3,
                     "three calibrated LinearSVC, averaged", own_at=proba)

    @add("skl_calibrated_isotonic")
    def _():
        forest = RandomForestClassifier(5, max_depth=3, random_state=SEED)
        made = plain(CalibratedClassifierCV(forest, method="isotonic", cv=2), 2,
                     "isotonic calibration of forests, taken at the nearest known score where "
                     "scikit-learn interpolates")
        made.near = 0.05
        return made

    @add("skl_stacking")
    def _():
        model = StackingClassifier([("line", make_pipeline(StandardScaler(), LogisticRegression())),
                                    ("bayes", GaussianNB())], LogisticRegression())
        return plain(model, 3, "two smooth classifiers under a third", own_at=proba)

    @add("skl_voting_soft")
    def _():
        parts = [("line", LogisticRegression()), ("bayes", GaussianNB())]
        return plain(VotingClassifier(parts, voting="soft", flatten_transform=False,
                                      weights=np.array([2, 1])), 3, "weighted mean of two", own_at=proba)

    @add("skl_voting_hard")
    def _():
        parts = [("line", LogisticRegression()), ("bayes", GaussianNB()),
                 ("tree", DecisionTreeClassifier(max_depth=4, random_state=SEED))]
        model = VotingClassifier(parts, voting="hard", flatten_transform=False)
        made = plain(model, 3, "majority of three", answer="score",
                     options={id(model): {"zipmap": False}})
        made.output, made.own = made.proto.graph.output[1].name, None
        return made

    @add("skl_bagging")
    def _():
        return plain(BaggingClassifier(LogisticRegression(), 4, random_state=SEED,
                                       max_features=0.8), 3, "bagged lines on drawn columns",
                     own_at=proba)

    @add("skl_adaboost")
    def _():
        tree = DecisionTreeClassifier(max_depth=2, random_state=SEED)
        return plain(AdaBoostClassifier(tree, n_estimators=6, random_state=SEED), 3,
                     "votes of small trees")

    @add("skl_hist_boosting_gaps")
    def _():
        return plain(HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=8,
                                                    random_state=SEED), 3,
                     "HistGradientBoosting, missing values go where training sent them", gaps=True)

    @add("skl_hist_boosting_regressor")
    def _():
        return plain(HistGradientBoostingRegressor(max_iter=10, max_leaf_nodes=8,
                                                   random_state=SEED), 2,
                     "HistGradientBoosting, one score, missing values", y=lambda x, y: x[:, 0] + y,
                     answer="score", gaps=True)

    @add("skl_extra_trees")
    def _():
        return plain(ExtraTreesClassifier(8, max_depth=4, random_state=SEED), 3, "ExtraTrees")

    @add("skl_boosting_3")
    def _():
        return plain(GradientBoostingClassifier(n_estimators=6, random_state=SEED), 3,
                     "GradientBoosting of three classes")

    @add("skl_tree_two_targets")
    def _():
        return plain(DecisionTreeRegressor(max_depth=4, random_state=SEED), 2,
                     "one tree with two targets", answer="score",
                     y=lambda x, y: np.stack([x[:, 0] + y, x[:, 1] * 2], 1))

    # ------------------------------------------------------------ others on numbers

    from sklearn.cluster import KMeans
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.discriminant_analysis import (LinearDiscriminantAnalysis,
                                               QuadraticDiscriminantAnalysis)
    from sklearn.feature_selection import SelectKBest
    from sklearn.naive_bayes import BernoulliNB, ComplementNB, MultinomialNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import (KBinsDiscretizer, MaxAbsScaler, MinMaxScaler, Normalizer,
                                       PolynomialFeatures, PowerTransformer, QuantileTransformer,
                                       RobustScaler)

    @add("skl_gaussian_bayes")
    def _():
        return plain(GaussianNB(var_smoothing=0.3), 3, "GaussianNB", own_at=proba)

    @add("skl_multinomial_bayes")
    def _():
        return plain(make_pipeline(MinMaxScaler(), MultinomialNB()), 3,
                     "MinMaxScaler, MultinomialNB", own_at=proba)

    @add("skl_other_bayes")
    def _():
        model = VotingClassifier([("bernoulli", BernoulliNB()), ("gauss", GaussianNB())],
                                 voting="soft", flatten_transform=False)
        return plain(make_pipeline(MaxAbsScaler(), model), 3, "BernoulliNB beside GaussianNB")

    @add("skl_lda_pca")
    def _():
        return plain(make_pipeline(RobustScaler(), PCA(4, random_state=SEED),
                                   LinearDiscriminantAnalysis()), 3,
                     "RobustScaler, PCA, LinearDiscriminantAnalysis", own_at=proba)

    @add("skl_qda")
    def _():
        made = plain(QuadraticDiscriminantAnalysis(reg_param=0.9), 3,
                     "QuadraticDiscriminantAnalysis", own_at=proba)
        # The converter gives the labels as one row.
        del made.proto.graph.output[0]
        return made

    @add("skl_poly_normal")
    def _():
        return plain(make_pipeline(PolynomialFeatures(2), Normalizer(), StandardScaler(),
                                   LogisticRegression()), 3,
                     "PolynomialFeatures, Normalizer, LogisticRegression", own_at=proba)

    @add("skl_power")
    def _():
        return plain(make_pipeline(PowerTransformer(), TruncatedSVD(4, random_state=SEED),
                                   LogisticRegression()), 3,
                     "PowerTransformer, TruncatedSVD, LogisticRegression")

    @add("skl_quantile_bins")
    def _():
        from sklearn.compose import ColumnTransformer

        front = ColumnTransformer([
            ("quantile", QuantileTransformer(n_quantiles=10), [0, 1, 2]),
            ("bins", KBinsDiscretizer(4, encode="ordinal", quantile_method="linear"), [3, 4, 5])])
        return plain(make_pipeline(front, SelectKBest(k=5), LogisticRegression(max_iter=500)), 3,
                     "QuantileTransformer and KBinsDiscretizer side by side, SelectKBest")

    @add("skl_neighbours")
    def _():
        model = KNeighborsClassifier(5)
        return plain(model, 3, "nearest neighbours by CDist of com.microsoft", rows=200,
                     options={id(model): {"zipmap": False, "optim": "cdist"}})

    @add("skl_pls")
    def _():
        made = plain(PLSRegression(2), 2, "PLSRegression", y=target, answer="score", own_at=value)
        # The converter declares as many outputs as there are columns.
        made.full_check = False
        return made

    @add("skl_poisson")
    def _():
        return plain(PoissonRegressor(), 2, "PoissonRegressor: Exp", answer="score",
                     y=lambda x, y: np.abs(x[:, 0]) + y, own_at=value)

    @add("skl_kmeans")
    def _():
        x, _ = blobs(3)
        x = x.astype(np.float32)
        model = KMeans(3, n_init=2, random_state=SEED).fit(x[ROWS:])
        proto = convert(model, [("x", FloatTensorType([None, 6]))])
        return entry(proto, {"x": x[:ROWS]}, proto.graph.output[1].name, "score",
                     "KMeans: distances to the centres",
                     own=lambda v: model.transform(v["x"]))

    # ------------------------------------------------------------ mixed columns and texts

    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    def mixed(back, smooth):
        """Floats with gaps, integers and two texts, each an input of its own."""
        import pandas as pd

        rows = credit("train")
        frame = pd.DataFrame({
            "amount": np.array([r["amount"] for r in rows], dtype=np.float32),
            "age": np.array([r["age"] for r in rows], dtype=np.float32),
            "installment_rate": np.array([r["installment_rate"] for r in rows], dtype=np.int64),
            "purpose": [r["purpose"] for r in rows], "savings": [r["savings"] for r in rows]})
        frame.loc[::11, "age"] = np.nan
        labels = np.array([["bad", "good"][int(r["class"]) == 1] for r in rows])
        numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
        front = ColumnTransformer([
            ("numbers", numbers, ["amount", "age"]),
            ("rate", OneHotEncoder(handle_unknown="ignore", sparse_output=False),
             ["installment_rate"]),
            ("purpose", TargetEncoder(random_state=SEED), ["purpose"]),
            ("savings", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
             ["savings"])])
        model = make_pipeline(front, back).fit(frame, labels)
        types = [(c, (StringTensorType if c in ("purpose", "savings") else
                      Int64TensorType if c == "installment_rate" else FloatTensorType)([None, 1]))
                 for c in frame]
        proto = convert(model, types, {id(back): {"zipmap": False}})
        head = frame.head(ROWS).copy()
        head.loc[5, "purpose"], head.loc[6, "savings"] = "a new one", "unheard of"
        kinds = {"purpose": np.str_, "savings": np.str_, "installment_rate": np.int64}
        inputs = {c: head[[c]].to_numpy().astype(kinds.get(c, np.float32)) for c in frame}
        made = entry(proto, inputs, proto.graph.output[1].name, "probability",
                     "ColumnTransformer: floats with gaps, an integer, two texts; TargetEncoder, "
                     "OrdinalEncoder, OneHotEncoder", own=lambda v: model.predict_proba(head))
        if smooth:
            made.own_at = lambda v: model.predict_proba(
                head.assign(amount=v["amount"][:, 0], age=v["age"][:, 0]))
        return made

    @add("skl_columns_logistic")
    def _():
        return mixed(LogisticRegression(max_iter=1000), smooth=True)

    @add("skl_columns_svc")
    def _():
        return mixed(SVC(C=0.3, probability=True, random_state=SEED), smooth=False)

    def documents():
        generator = np.random.default_rng(SEED)
        topics = [["loan", "bank", "rate", "credit", "interest", "debt"],
                  ["goal", "match", "team", "league", "season", "coach"],
                  ["vaccine", "doctor", "clinic", "dose", "patient", "nurse"]]
        common = ["the", "a", "of", "and", "in", "new", "first", "who", "says", "not"]
        texts, labels = [], []
        for i in range(240):
            topic = i % 3
            words = [str(generator.choice(topics[topic] if generator.random() < 0.35 else
                                          topics[generator.integers(3)]
                                          if generator.random() < 0.2 else common))
                     for _ in range(generator.integers(4, 14))]
            texts.append(", ".join(words).capitalize() + ".")
            labels.append(topic)
        return np.array(texts), np.array(labels)

    def text_entry(vectorizer, notes, back, options=None):
        texts, labels = documents()
        model = make_pipeline(vectorizer, back).fit(texts[ROWS:], labels[ROWS:])
        proto = convert(model, [("text", StringTensorType([None, 1]))],
                        {id(back): {"zipmap": False},
                         id(vectorizer): {"tokenexp": "[a-zA-Z0-9_]+", **(options or {})}})
        rows = texts[:ROWS].copy()
        rows[3], rows[4] = "Nothing known here, at all!", ""
        return entry(proto, {"text": rows[:, None]}, proto.graph.output[1].name, "probability",
                     notes, own=lambda v: model.predict_proba(v["text"][:, 0]))

    @add("skl_text_tfidf")
    def _():
        return text_entry(TfidfVectorizer(token_pattern="[a-zA-Z0-9_]+"),
                          "StringNormalizer, Tokenizer, TfIdfVectorizer, LinearClassifier",
                          LogisticRegression())

    @add("skl_text_pairs_bayes")
    def _():
        return text_entry(CountVectorizer(token_pattern="[a-zA-Z0-9_]+", ngram_range=(1, 2),
                                          min_df=2),
                          "counts of words and pairs of words, ComplementNB", ComplementNB())

    # ------------------------------------------------------------ boosters

    @add("xgboost_regressor")
    def _():
        import xgboost
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType as Floats

        x, y = blobs(2)
        x = x.astype(np.float32)
        model = xgboost.XGBRegressor(n_estimators=12, max_depth=3, random_state=SEED, n_jobs=1,
                                     base_score=0.5).fit(x[ROWS:], x[ROWS:, 0] + y[ROWS:])
        proto = convert_xgboost(model, initial_types=[("x", Floats([None, 6]))], target_opset=15)
        rows = x[:ROWS].copy()
        rows[3, 1] = np.nan
        return entry(proto, {"x": rows}, proto.graph.output[0].name, "score", "XGBoost, one score",
                     own=lambda v: model.predict(v["x"]), exporter="onnxmltools")

    @add("lightgbm_3")
    def _():
        import lightgbm
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType as Floats

        x, y = blobs(3)
        x = x.astype(np.float32)
        model = lightgbm.LGBMClassifier(n_estimators=6, num_leaves=6, random_state=SEED, n_jobs=1,
                                        deterministic=True, verbose=-1).fit(x[ROWS:], y[ROWS:])
        proto = convert_lightgbm(model, initial_types=[("x", Floats([None, 6]))], target_opset=15)
        return entry(proto, {"x": x[:ROWS]}, proto.graph.output[1].name, "probability",
                     "LightGBM, three classes", own=lambda v: model.predict_proba(v["x"]),
                     exporter="onnxmltools", zipmap=["0", "1", "2"])
