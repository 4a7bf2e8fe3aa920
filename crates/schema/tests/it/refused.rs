//! Bad declarations: each is a good one with one place changed.

use proofmark_schema::system;

use crate::accepted::{IMAGES, TABLE};
use crate::render::render;

/// Name, what stands in the good declaration, what stands there instead.
type Case = (&'static str, &'static str, &'static str);

/// Renders every case, and checks that each gives exactly the wanted number of problems.
fn told(base: &str, cases: &[Case]) -> String {
    let mut out = String::new();
    for (name, from, to) in cases {
        assert_eq!(base.matches(from).count(), 1, "{name}: `{from}` must stand there once");
        let text = base.replacen(from, to, 1);
        let problems = system::parse(&text).expect_err(name);
        out.push_str(&format!("== {name}\n{}\n", render(&text, &problems)));
    }
    out
}

#[test]
fn header_and_syntax() {
    let cases: &[Case] = &[
        ("unclosed text", "name = \"credit\"", "name = \"credit"),
        ("section twice", "[features.age]", "[features.amount]"),
        ("format of the future", "system/1", "system/2"),
        ("unknown section", "[declared.\"data", "[declaration.\"data"),
        ("unknown key near a known one", "provider =", "provder ="),
        ("unknown key like no other", "seed = 20261122", "colour = \"red\""),
        ("capital letters in the name", "name = \"credit\"", "name = \"Credit AG\""),
        ("empty purpose", "\"decides on credit applications of natural persons\"", "\" \""),
        ("demo as text", "demo = true", "demo = \"yes\""),
        ("negative seed", "20261122", "-1"),
        ("purpose not said yet", "\"decides on credit applications of natural persons\"", "\"?\""),
    ];
    insta::assert_snapshot!("header_and_syntax", told(TABLE, cases));
}

#[test]
fn data() {
    let cases: &[Case] = &[
        ("absolute path", "\"test.csv\"", "\"/data/test.csv\""),
        ("path with a drive", "\"test.csv\"", "\"C:/test.csv\""),
        ("path out of the folder", "\"test.csv\"", "\"data/../../test.csv\""),
        ("path with backslashes", "\"test.csv\"", "'data\\test.csv'"),
        ("unknown file type", "\"test.csv\"", "\"test.xlsx\""),
        ("unknown role", "role = \"test\"", "role = \"testing\""),
        ("no test data", "role = \"test\"", "role = \"validation\""),
        ("one class", "bad = \"2\" }\nignore = [\"id\"]\nmissing", "}\nignore = [\"id\"]\nmissing"),
        (
            "two classes of one value",
            "classes = { good = \"1\", bad = \"2\" }\nignore = [\"id\"]\n\n[data.test]",
            "classes = { good = \"1\", bad = \"1\" }\nignore = [\"id\"]\n\n[data.test]",
        ),
        (
            "classes in another order",
            "classes = { good = \"1\", bad = \"2\" }\nignore = [\"id\"]\n\n[data.test]",
            "classes = { bad = \"2\", good = \"1\" }\nignore = [\"id\"]\n\n[data.test]",
        ),
        (
            "class value as a number",
            "bad = \"2\" }\nignore = [\"id\"]\nmissing",
            "bad = 2 }\nignore = [\"id\"]\nmissing",
        ),
        (
            "label is also a feature",
            "label = \"class\"\nclasses = { good = \"1\", bad = \"2\" }\n\
             ignore = [\"id\"]\nmissing",
            "label = \"age\"\nclasses = { good = \"1\", bad = \"2\" }\nignore = [\"id\"]\nmissing",
        ),
        (
            "ignored twice",
            "ignore = [\"id\"]\nmissing",
            "ignore = [\"id\", \"no\", \"id\"]\nmissing",
        ),
        ("limit of zero", "limit = 500", "limit = 0"),
        ("limit as a fraction", "limit = 500", "limit = 0.5"),
        ("comma for both", "delimiter = \";\"", "delimiter = \",\""),
        ("unknown delimiter", "delimiter = \";\"", "delimiter = \"::\""),
        ("columns but no word on the header", "header = true, columns = []", "columns = [\"a\"]"),
        (
            "pinned columns without a feature",
            "header = true, columns = []",
            "header = false, columns = [\"id\", \"amount\", \"rate\", \"housing\", \
             \"telephone\", \"sex\", \"agee\", \"class\"]",
        ),
        ("labels of a table in a file", "limit = 500", "labels = \"labels.npy\""),
    ];
    insta::assert_snapshot!("data", told(TABLE, cases));
}

#[test]
fn features() {
    let cases: &[Case] = &[
        ("unknown type", "type = \"number\"", "type = \"nummer\""),
        ("bounds reversed", "bounds = [250, 20000]", "bounds = [20000, 250]"),
        ("bounds of one number", "bounds = [250, 20000]", "bounds = [250]"),
        ("bounds not finite", "bounds = [0.5, 4.0]", "bounds = [0.5, inf]"),
        ("integer with broken bounds", "bounds = [250, 20000]", "bounds = [250.5, 20000]"),
        ("mutable without bounds", "bounds = [0.5, 4.0]\n", ""),
        ("mutable category", "mutable = false", "mutable = true"),
        (
            "mutable not confirmed",
            "bounds = [0.5, 4.0]\nmutable = true",
            "bounds = \"?\"\nmutable = \"?\"",
        ),
        ("shape on a number", "bounds = [0.5, 4.0]", "bounds = [0.5, 4.0]\nshape = [1, 2, 3]"),
        ("bounds on a category", "values = [\"own\", \"rent\", \"free\"]", "bounds = [0, 1]"),
        ("value twice", "\"rent\", \"free\"", "\"rent\", \"own\""),
        (
            "boolean of three values",
            "values = [\"no\", \"yes\"]",
            "values = [\"no\", \"yes\", \"maybe\"]",
        ),
        ("boolean without values", "values = [\"no\", \"yes\"]\n", ""),
        ("edges not ascending", "[25, 35, 50]", "[25, 50, 35]"),
        ("numeric group without edges", "group_edges = [25, 35, 50]\n", ""),
        ("edges without a group", "group = true\ngroup_edges", "group_edges"),
        (
            "image beside columns",
            "type = \"number\"\nbounds = [0.5, 4.0]",
            "type = \"image\"\nshape = [1, 2, 2]\nbounds = [0, 255]",
        ),
    ];
    insta::assert_snapshot!("features", told(TABLE, cases));
}

#[test]
fn models() {
    let cases: &[Case] = &[
        ("pickled model", "\"mlp.onnx\"", "\"mlp.joblib\""),
        ("two primaries", "role = \"backup\"", "role = \"primary\""),
        ("no primary", "role = \"primary\"", "role = \"candidate\""),
        ("no decision", "decision = { class = \"bad\", at = 0.30 }\n", ""),
        (
            "decision in another word",
            "decision = { class = \"bad\", at = 0.30 }",
            "decision = \"argmaxx\"",
        ),
        ("decision not said yet", "decision = { class = \"bad\", at = 0.30 }", "decision = \"?\""),
        ("cut-off of one", "at = 0.30", "at = 1"),
        ("cut-off in per cent", "at = 0.30", "at = 30"),
        ("cut-off as text", "at = 0.30", "at = \"0.30\""),
        ("cut-off of no class", "class = \"bad\", at", "class = \"bed\", at"),
        ("cut-off missing", ", at = 0.30", ""),
        (
            "cut-off on labels",
            "output = { kind = \"label\" }",
            "output = { kind = \"label\" }\ndecision = { class = \"bad\", at = 0.5 }",
        ),
        ("output leaves out a class", "classes = [\"good\", \"bad\"]", "classes = [\"good\"]"),
        (
            "output with an unknown class",
            "classes = [\"good\", \"bad\"]",
            "classes = [\"good\", \"bat\"]",
        ),
        ("unknown kind of output", "kind = \"probability\"", "kind = \"probabilities\""),
        ("expected for unknown data", "expected_data = \"test\"", "expected_data = \"tests\""),
        ("expected data of nothing", "expected = \"expected_mlp.npy\"\n", ""),
        (
            "unknown input column",
            "[\"amount\", \"rate\", \"age\"]",
            "[\"amount\", \"rte\", \"age\"]",
        ),
        (
            "input column no model reads",
            "[\"amount\", \"rate\", \"age\"]",
            "[\"amount\", \"sex\", \"age\"]",
        ),
        ("layout on a table", "input = { columns", "input = { layout = \"nchw\", columns"),
    ];
    insta::assert_snapshot!("models", told(TABLE, cases));
}

#[test]
fn threats() {
    let cases: &[Case] = &[
        ("no scale", "scale = \"bounds\"\n", ""),
        ("no goal", "goal = { from = \"bad\", to = \"good\" }\n", ""),
        ("goal to itself", "to = \"good\" }", "to = \"bad\" }"),
        ("goal to no class", "to = \"good\" }", "to = \"fine\" }"),
        ("eps as one number", "eps = [0.02, 0.05, 0.1]", "eps = 0.05"),
        ("eps empty", "eps = [0.02, 0.05, 0.1]", "eps = []"),
        ("eps not ascending", "eps = [0.02, 0.05, 0.1]", "eps = [0.1, 0.05, 0.02]"),
        ("eps of zero", "eps = [0.02, 0.05, 0.1]", "eps = [0, 0.05]"),
        ("eps with a text", "eps = [0.02, 0.05, 0.1]", "eps = [0.02, \"0.05\"]"),
        ("eps over the whole range", "eps = [0.02, 0.05, 0.1]", "eps = [0.05, 8]"),
        ("image scale on a table", "scale = \"bounds\"", "scale = \"0-255\""),
        ("norm with a hyphen", "norm = \"linf\"", "norm = \"l-inf\""),
        ("no norm", "norm = \"linf\"\n", ""),
        ("aimed at no model", "models = [\"mlp\"]", "models = [\"mpl\"]"),
        ("no query", "queries = 5000", "queries = 0"),
    ];
    insta::assert_snapshot!("threats", told(TABLE, cases));
}

#[test]
fn criteria() {
    let cases: &[Case] = &[
        ("no rationale", "rationale = \"as good as the score card in use\"\n", ""),
        (
            "no approver",
            "good as the score card in use\"\napprover = \"head of credit risk\"\n",
            "good\"\n",
        ),
        ("both bounds", "at_most = 0.20", "at_most = 0.20\nat_least = 0.10"),
        ("no bound", "at_most = 0.20\n", ""),
        ("bound in per cent", "at_least = 0.60", "at_least = 60"),
        ("confidence of one", "confidence = 0.95", "confidence = 1.0"),
        ("no confidence", "confidence = 0.95\n", ""),
        ("unknown metric", "metric = \"brier\"", "metric = \"briar\""),
        (
            "unknown model",
            "metric = \"brier\"\nmodel = \"mlp\"",
            "metric = \"brier\"\nmodel = \"mlpp\"",
        ),
        (
            "brier of labels",
            "metric = \"brier\"\nmodel = \"mlp\"",
            "metric = \"brier\"\nmodel = \"trees\"",
        ),
        (
            "training data",
            "model = \"mlp\"\ndata = \"test\"\nthreat",
            "model = \"mlp\"\ndata = \"train\"\nthreat",
        ),
        ("validation data", "role = \"test\"", "role = \"validation\""),
        ("unknown threat", "threat = \"applicant\"", "threat = \"aplicant\""),
        ("robust without a threat", "threat = \"applicant\"\neps = 0.05\n", ""),
        ("eps that is never attacked", "eps = 0.05\n", "eps = 0.06\n"),
        ("threat on a clean metric", "metric = \"robust_accuracy\"", "metric = \"accuracy\""),
        (
            "threat not aimed at the model",
            "model = \"mlp\"\ndata = \"test\"\nthreat",
            "model = \"trees\"\ndata = \"test\"\nthreat",
        ),
        ("group of no feature", "group = { sex = \"female\" }", "group = { gender = \"female\" }"),
        (
            "group of no group feature",
            "group = { sex = \"female\" }",
            "group = { housing = \"own\" }",
        ),
        (
            "group that does not exist",
            "group = { age = \"[25,35)\" }",
            "group = { age = \"25-35\" }",
        ),
        (
            "two groups",
            "group = { sex = \"female\" }",
            "group = { sex = \"female\", age = \"[25,35)\" }",
        ),
        ("cell that does not exist", "data-poisoning/prevent", "data-poisoning/prevents"),
        ("statement without an owner", "owner = \"data steward\"\n", ""),
    ];
    insta::assert_snapshot!("criteria", told(TABLE, cases));
}

#[test]
fn images() {
    let cases: &[Case] = &[
        ("no shape", "shape = [1, 28, 28]\n", ""),
        ("shape of two numbers", "shape = [1, 28, 28]", "shape = [28, 28]"),
        ("table for images", "\"t10k-images-idx3-ubyte.gz\"", "\"t10k.csv\""),
        ("no labels", "labels = \"t10k-labels-idx1-ubyte.gz\"\n", ""),
        ("label column of images", "labels = \"t10k-labels-idx1-ubyte.gz\"", "label = \"class\""),
        ("missing texts of images", "role = \"test\"", "role = \"test\"\nmissing = [\"\"]"),
        ("mean of three channels", "mean = [0.5]", "mean = [0.5, 0.4, 0.3]"),
        ("std of zero", "std = [0.25]", "std = [0]"),
        ("range reversed", "range = [0, 1]", "range = [1, 0]"),
        ("columns of images", "input = { layout = \"nhwc\"", "input = { columns = [\"image\"]"),
        ("std scale on images", "scale = \"0-255\"", "scale = \"std\""),
        ("eps over the range of a pixel", "eps = [2, 4, 8]", "eps = [8, 2550]"),
        ("nothing mutable", "mutable = true", "mutable = false"),
        (
            "cut-off among three",
            "decision = \"argmax\"",
            "decision = { class = \"shirt\", at = 0.5 }",
        ),
        ("logit cut-off", "decision = \"argmax\"", "decision = { class = \"shirt\", at = 0.0 }"),
        ("auc of three classes", "metric = \"accuracy\"", "metric = \"auc\""),
        (
            "robust recall without a goal",
            "metric = \"accuracy\"\nmodel = \"plain\"\ndata = \"test\"",
            "metric = \"robust_recall\"\nmodel = \"plain\"\ndata = \"test\"\n\
             threat = \"noise\"\neps = 4",
        ),
    ];
    insta::assert_snapshot!("images", told(IMAGES, cases));
}

#[test]
fn every_problem_is_told_at_once() {
    let text = TABLE
        .replacen("name = \"credit\"", "name = \"Credit\"", 1)
        .replacen("mutable = true", "muatble = true", 1)
        .replacen("at = 0.30", "at = 1.30", 1)
        .replacen("eps = 0.05", "eps = 0.06", 1)
        .replacen("approver", "aprover", 1);
    let problems = system::parse(&text).unwrap_err();
    insta::assert_snapshot!("every_problem", render(&text, &problems));
    assert!(problems.windows(2).all(|w| w[0].span.start <= w[1].span.start), "in order");
}

#[test]
fn an_empty_text_asks_for_the_sections() {
    let problems = system::parse("").unwrap_err();
    insta::assert_snapshot!("empty", render("", &problems));
}
