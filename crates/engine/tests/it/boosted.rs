//! Files of XGBoost, LightGBM and CatBoost against the margins of these libraries.
//!
//! The golden files, and the script that made them, are in `tests/boosted`.

use std::path::{Path, PathBuf};

use proofmark_engine::trees::import::xgboost::DumpOptions;
use proofmark_engine::trees::import::{ImportError, catboost, lightgbm, xgboost};
use proofmark_engine::trees::{Categories, Ensemble, Labels, Link, Numbers, Rows};
use proofmark_formats::catboost::category_hash;
use proofmark_formats::libsvm::{self, Absent, Index, Options};
use proofmark_formats::npy::NpyData;
use proofmark_formats::npz::Npz;

/// The bar: within this of the library's own margin, relative where margins are large. XGBoost's
/// margins must have the same bits.
const TOLERANCE: f64 = 1e-6;

const XGBOOST: [(&str, &[&str]); 15] = [
    ("xgboost_binary", &["json", "ubj"]),
    ("xgboost_poisson", &["json"]),
    ("xgboost_hinge", &["json"]),
    ("xgboost_forest", &["json"]),
    ("xgboost_dart", &["ubj"]),
    ("xgboost_softprob", &["json", "ubj"]),
    ("xgboost_multi_output_tree", &["json", "ubj"]),
    ("xgboost_one_output_per_tree", &["json", "ubj"]),
    ("xgboost_categories", &["json", "ubj"]),
    ("xgboost_onehot", &["json"]),
    ("xgboost_stored", &["json"]),
    ("xgboost_old_1_7_6", &["json"]),
    ("xgboost_old_2_1_1", &["json"]),
    ("xgboost_old_2_1_1_vector", &["json", "ubj"]),
    ("xgboost_old_3_0_0", &["json"]),
];

const LIGHTGBM: [&str; 17] = [
    "lightgbm_binary",
    "lightgbm_zero",
    "lightgbm_none",
    "lightgbm_unused",
    "lightgbm_softmax",
    "lightgbm_ova",
    "lightgbm_forest",
    "lightgbm_forest_sum",
    "lightgbm_sqrt",
    "lightgbm_tweedie",
    "lightgbm_lambda",
    "lightgbm_entropy",
    "lightgbm_dart",
    "lightgbm_constant",
    "lightgbm_categories",
    "lightgbm_onehot",
    "lightgbm_pandas",
];

const CATBOOST: [&str; 12] = [
    "catboost_binary",
    "catboost_max",
    "catboost_full",
    "catboost_poisson",
    "catboost_lossguide",
    "catboost_softmax",
    "catboost_free_softmax",
    "catboost_ova",
    "catboost_onehot",
    "catboost_ctr",
    "catboost_ctr_all",
    "catboost_ctr_free",
];

#[test]
fn xgboost_margins_have_the_bits_of_the_library() {
    let mut failures = Vec::new();
    for (name, endings) in XGBOOST {
        let golden = Golden::read(name);
        for ending in endings {
            let ensemble = xgboost::import(&bytes(name, ending)).expect(name);
            let margins = golden.margins(&ensemble);
            let wrong =
                golden.margin.iter().zip(&margins).filter(|(a, b)| a.to_bits() != b.to_bits());
            failures.extend(report(name, ending, wrong.count(), golden.worst(&margins)));
            failures.extend(golden.answers_as(&ensemble, &margins, name));
        }
    }
    // releases before 1.3 added the base after the trees: the last bit may differ
    let golden = Golden::read("xgboost_old_1_2_1");
    let old = xgboost::import(&bytes("xgboost_old_1_2_1", "json")).expect("a model");
    let margins = golden.margins(&old);
    failures.extend(report("1.2.1", "json", golden.far(&margins), golden.worst(&margins)));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn dumps_add_up_to_the_margins_of_their_models() {
    for name in ["xgboost_binary", "xgboost_categories"] {
        let golden = Golden::read(name);
        let options = DumpOptions { columns: Some(5), ..DumpOptions::default() };
        let dump = bytes(name, "dump.json");
        let ensemble = xgboost::import_dump(&dump, &options).expect(name);
        assert_eq!(ensemble.notes.len(), 2, "{:?}", ensemble.notes);
        let margins = golden.margins(&ensemble);
        let trees = golden.trees.as_ref().expect("margins without base");
        assert!(trees.iter().zip(&margins).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");

        let model = xgboost::import(&bytes(name, "json")).expect(name);
        let objective = Some("binary:logistic".to_owned());
        let options = DumpOptions { base_margin: model.base.clone(), objective, ..options };
        let declared = xgboost::import_dump(&dump, &options).expect(name);
        assert_eq!((declared.link, &declared.labels), (model.link, &model.labels));
        assert_eq!(declared.trees, model.trees, "a dump keeps every threshold");
        assert!(declared.notes.is_empty(), "{:?}", declared.notes);
        assert_eq!(golden.margins(&declared), golden.margins(&model));
    }
}

#[test]
fn lightgbm_margins_are_those_of_the_library() {
    let (mut failures, mut worst) = (Vec::new(), 0.0_f64);
    for name in LIGHTGBM {
        let golden = Golden::read(name);
        let ensemble = lightgbm::import(&bytes(name, "txt")).expect(name);
        let mut margins = golden.margins(&ensemble);
        if name.starts_with("lightgbm_forest") {
            // raw scores of the library are sums, its answers are means
            margins.iter_mut().for_each(|margin| *margin *= 6.0);
        }
        worst = worst.max(golden.worst(&margins));
        failures.extend(report(name, "txt", golden.far(&margins), golden.worst(&margins)));
        if name.starts_with("lightgbm_forest") {
            margins.iter_mut().for_each(|margin| *margin /= 6.0);
        }
        failures.extend(golden.answers_as(&ensemble, &margins, name));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(worst < 1e-14, "the sums are doubles, in the same order: {worst:e}");
    let linear = lightgbm::import(&bytes("lightgbm_linear", "txt"));
    assert!(matches!(linear, Err(ImportError::Unsupported { .. })), "{linear:?}");
}

#[test]
fn catboost_margins_are_those_of_the_library() {
    let (mut failures, mut worst) = (Vec::new(), 0.0_f64);
    for name in CATBOOST {
        let golden = Golden::read(name);
        let ensemble = catboost::import(&bytes(name, "json")).expect(name);
        let margins = golden.margins(&ensemble);
        worst = worst.max(golden.worst(&margins));
        failures.extend(report(name, "json", golden.far(&margins), golden.worst(&margins)));
        failures.extend(golden.answers_as(&ensemble, &margins, name));
    }
    assert!(worst < 1e-14, "the sums are doubles: {worst:e}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let pairs = catboost::import(&bytes("catboost_pairs", "json")).expect_err("combinations");
    assert!(pairs.to_string().contains("max_ctr_complexity=1"), "{pairs}");
}

#[test]
fn what_the_files_say_beside_the_trees() {
    let stored = xgboost::import(&bytes("xgboost_stored", "json")).expect("a model");
    assert_eq!(stored.names, ["a", "city", "tens"]);
    let tens = Categories::Texts(vec!["10".into(), "20".into(), "30".into()]);
    assert_eq!(stored.categories[2], Some(tens));
    assert_eq!(stored.source, "xgboost 3.2.0 (gbtree)");
    assert_eq!(stored.labels, Some(Labels::counted(2)));
    let catboost = catboost::import(&bytes("catboost_softmax", "json")).expect("a model");
    let classes = ["u", "v", "w"].map(str::to_owned).to_vec();
    assert_eq!(catboost.labels, Some(Labels::Texts(classes)));
    assert_eq!(catboost.source, "catboost 1.2.10");
    let pandas = lightgbm::import(&bytes("lightgbm_pandas", "txt")).expect("a model");
    assert_eq!(pandas.names, ["a_b", "city"]);
    let cities = ["basel", "bern", "chur", "genf", "zürich"].map(str::to_owned).to_vec();
    assert_eq!(pandas.categories[1], Some(Categories::Texts(cities)));
    let one_hot = catboost::import(&bytes("catboost_ctr", "json")).expect("a model");
    let Some(Categories::Hashes(hashes)) = &one_hot.categories[4] else { panic!("no hashes") };
    let known = hashes.iter().filter(|(_, text)| !text.is_empty());
    assert!(known.clone().count() > 2, "{hashes:?}");
    assert!(known.clone().all(|(h, text)| *h == u64::from(category_hash(text.as_bytes()))));
}

#[test]
fn what_a_file_leaves_open_is_asked_for_or_said() {
    let node = |split: &str| {
        let leaves = r#"[{"nodeid":1,"leaf":1},{"nodeid":2,"leaf":-1.5}]"#;
        let head = r#""nodeid":0,"split_condition":0.5,"yes":1,"no":2,"missing":1"#;
        format!(r#"[{{{head},"split":{split},"children":{leaves}}}]"#)
    };
    let dump =
        |split: &str, options: &DumpOptions| xgboost::import_dump(node(split).as_bytes(), options);
    let none = DumpOptions::default();
    assert_eq!(dump("2", &none).expect("a number").columns, 3);
    assert_eq!(dump("\"f2\"", &none).expect("a numbered name").columns, 3);
    let unnamed = dump("\"age\"", &none);
    assert!(matches!(unnamed, Err(ImportError::Undeclared { key: "features", .. })), "{unnamed:?}");
    let names = DumpOptions { names: vec!["f2".into(), "age".into()], ..none.clone() };
    assert_eq!(dump("\"age\"", &names).expect("named").trees[0].branches[0].feature, 1);
    assert_eq!(dump("\"f2\"", &names).expect("named").trees[0].branches[0].feature, 0);
    let soft = DumpOptions { objective: Some("multi:softprob".into()), ..none.clone() };
    let soft = dump("2", &soft);
    assert!(matches!(soft, Err(ImportError::Undeclared { key: "classes", .. })), "{soft:?}");
    let misspelt = DumpOptions { objective: Some("binary:logistics".into()), ..none.clone() };
    let misspelt = dump("2", &misspelt).expect_err("no objective of that name");
    assert!(matches!(misspelt, ImportError::Unknown { key: "objective", .. }), "{misspelt}");
    assert!(misspelt.to_string().contains("binary:logistic,"), "{misspelt}");
    let indicator = node("2").replace("\"split_condition\":0.5,", "");
    let indicator = xgboost::import_dump(indicator.as_bytes(), &none).expect_err("no threshold");
    assert!(indicator.to_string().contains("indicator"), "{indicator}");
}

/// Published ensembles and their rows.
#[test]
#[allow(clippy::print_stderr)] // says aloud what is not tested
fn published_dumps_classify_their_rows() {
    let folder = Path::new("/work/shared/data/trees");
    // An evaluation of the first in doubles decides 472 rows rightly; the library compares and adds
    // in f32, where values on thresholds fall otherwise.
    let cases = [
        ("diabetes_rf.json", "diabetes_scale0.test", Index::Zero, 9, (474, 500)),
        (
            "breast_cancer_robust.0008.json",
            "example_breast_cancer0.libsvm",
            Index::Zero,
            11,
            (100, 100),
        ),
    ];
    for (name, rows, index, columns, decided) in cases {
        let (Ok(model), Ok(rows)) =
            (std::fs::read(folder.join(name)), std::fs::read(folder.join(rows)))
        else {
            eprintln!("skipped: {} is not on this machine", folder.display());
            return;
        };
        let options =
            Options { index: Some(index), absent: Some(Absent::Zero), columns: Some(columns) };
        let rows = libsvm::read(&rows, options).expect("rows");
        let options = DumpOptions { columns: Some(columns), ..DumpOptions::default() };
        let ensemble = xgboost::import_dump(&model, &options).expect("a dump");
        let dense = rows.dense().expect("small");
        let margins = ensemble.compile().expect("sound");
        let margins = margins.margins(Rows::new(&dense, columns).expect("rows"), 1);
        let margins = margins.expect("margins").to_f64s();
        let right = |(margin, label): (&f64, &Vec<f64>)| (*margin > 0.0) == (label[0] > 0.0);
        let right = margins.iter().zip(&rows.labels).filter(|&pair| right(pair)).count();
        assert_eq!((right, rows.rows()), decided, "{name}");
    }
}

fn report(name: &str, ending: &str, wrong: usize, worst: f64) -> Option<String> {
    (wrong > 0).then(|| format!("{name}.{ending}: {wrong} margins differ, at worst by {worst:e}"))
}

/// Rows, and what the library answers.
struct Golden {
    rows: usize,
    columns: usize,
    x: Vec<f64>,
    single: bool,
    texts: Vec<(usize, Vec<String>)>,
    margin: Vec<f64>,
    trees: Option<Vec<f64>>,
    answer: Vec<f64>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let bytes = bytes(name, "npz");
        let arrays = Npz::open(&bytes).expect(name);
        let x = arrays.array("x").expect(name);
        let numbers = |key: &str| Some(arrays.array(key).ok()?.data().to_f64().expect(name));
        let text = |key: &str| {
            let place = key.strip_prefix("text_")?.parse().expect(name);
            Some((place, arrays.array(key).expect(name).data().to_strings()))
        };
        Self {
            rows: x.shape()[0],
            columns: x.shape()[1],
            single: matches!(x.data(), NpyData::F32(_)),
            x: x.data().to_f64().expect(name),
            texts: arrays.names().filter_map(text).collect(),
            margin: numbers("margin").expect(name),
            trees: numbers("trees"),
            answer: numbers("answer").expect(name),
        }
    }

    /// Our margins, of rows alone, in blocks and over threads.
    fn margins(&self, ensemble: &Ensemble) -> Vec<f64> {
        assert_eq!(self.columns, ensemble.columns);
        let mut x = self.x.clone();
        for (column, texts) in &self.texts {
            let known = ensemble.categories[*column].as_ref().expect("categories");
            for (row, text) in texts.iter().enumerate() {
                x[row * self.columns + column] = code(known, text);
            }
        }
        let forest = ensemble.compile().expect("a sound ensemble");
        let run = |threads| {
            if self.single {
                let x: Vec<f32> = x.iter().map(|&v| v as f32).collect();
                forest.margins(Rows::new(&x, self.columns).expect("rows"), threads)
            } else {
                forest.margins(Rows::new(&x, self.columns).expect("rows"), threads)
            }
        };
        let margins: Numbers = run(1).expect("margins");
        assert_eq!(margins, run(3).expect("margins"));
        margins.to_f64s()
    }

    fn far(&self, margins: &[f64]) -> usize {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * a.abs().max(1.0);
        self.margin.iter().zip(margins).filter(|&pair| !near(pair)).count()
    }

    fn worst(&self, margins: &[f64]) -> f64 {
        assert_eq!(self.margin.len(), margins.len());
        self.margin.iter().zip(margins).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// Whether link and labels lead to the library's own answer.
    fn answers_as(&self, ensemble: &Ensemble, margins: &[f64], name: &str) -> Option<String> {
        let width = ensemble.outputs;
        assert_eq!(margins.len(), self.rows * width);
        let ours = margins.chunks(width).flat_map(|row| linked(ensemble.link, row));
        let far = |(a, b): (&f64, f64)| (a - b).abs() > 1e-5 * a.abs().max(1.0);
        let wrong = self.answer.iter().zip(ours).filter(|&(a, b)| far((a, b))).count();
        (wrong > 0).then(|| format!("{name}: {wrong} answers of {:?} differ", ensemble.link))
    }
}

/// The code of a text; one that the file does not know has none.
fn code(known: &Categories, text: &str) -> f64 {
    let place = match known {
        Categories::Texts(texts) => texts.iter().position(|known| known == text),
        Categories::Hashes(hashes) => {
            let hash = u64::from(category_hash(text.as_bytes()));
            hashes.iter().position(|(known, _)| *known == hash)
        }
        Categories::Codes => panic!("the file knows no texts"),
    };
    place.map_or(f64::NAN, |place| place as f64)
}

/// Links as the libraries' manuals write them.
fn linked(link: Link, row: &[f64]) -> Vec<f64> {
    let logistic = |scale: f64, margin: f64| 1.0 / (1.0 + (-scale * margin).exp());
    let each = |f: &dyn Fn(f64) -> f64| row.iter().map(|&margin| f(margin)).collect();
    match link {
        Link::Identity => row.to_vec(),
        Link::Logistic { scale } => each(&|m| logistic(scale, m)),
        Link::LogisticEach { scale, normalised } => {
            assert!(!normalised);
            each(&|m| logistic(scale, m))
        }
        Link::Softmax => {
            let sum: f64 = row.iter().map(|m| m.exp()).sum();
            each(&|m| m.exp() / sum)
        }
        Link::Exp => each(&f64::exp),
        Link::LogOnePlusExp => each(&|m| m.exp().ln_1p()),
        Link::SignedSquare => each(&|m| m.signum() * m * m),
        Link::Step => each(&|m| f64::from(u8::from(m > 0.0))),
    }
}

fn bytes(name: &str, ending: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.{ending}"))).expect(name)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boosted")
}
