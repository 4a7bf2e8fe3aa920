//! XGBoost's own files, and dumps of its trees.
//!
//! Owns the meaning of objectives, base scores and categories as the library's CPU predictor has
//! them: features, leaves and sums in `f32`, a value below the threshold goes left, a category of
//! the node's set goes right. Must never guess what a dump leaves out without a note.

use proofmark_formats::xgboost::{self as file, Booster, DumpCondition, DumpNode, DumpSplit};

use super::ImportError;
use super::plant::{Seen, plant};
use crate::trees::{Arithmetic, Categories, Codes, Ensemble, Labels, Link, Missing, Output};
use crate::trees::{Test, Tree};

/// Reads a model, JSON or UBJSON by content.
///
/// # Errors
/// [`ImportError`] for files that cannot be read, linear boosters, and trees that are none.
pub fn import(bytes: &[u8]) -> Result<Ensemble, ImportError> {
    let model = file::read(bytes).map_err(malformed)?;
    let Booster::Trees { trees, outputs: targets, weights, rounds } = &model.booster else {
        return Err(ImportError::Unsupported {
            format: FORMAT,
            what: "a linear booster (gblinear)".into(),
            next: "export its weights as a linear model, or train `gbtree`".into(),
        });
    };
    let booster = if weights.is_some() { "dart" } else { "gbtree" };
    let source = format!("xgboost {} ({booster})", model.version);
    let mut ensemble = Ensemble::new(model.features, Arithmetic::F32, source);
    ensemble.outputs = model.classes.max(model.targets).max(1);
    if model.classes > 1 && model.targets > 1 {
        return Err(malformed("both classes and targets are several"));
    }
    ensemble.codes = Codes::Floor;
    ensemble.names = model.feature_names.clone();
    ensemble.categories = categories(&model);
    if model.categories.contains(&file::StoredCategories::Garbled) {
        let note = "a column's categories hold letters beyond ASCII, which XGBoost cuts wrongly \
                    when it saves them: give codes";
        ensemble.notes.push(note.into());
    }
    let objective = Objective::of(&model.objective);
    ensemble.base = base(&model.base_score, objective.start, ensemble.outputs)?;
    objective.describe(&model.objective, &mut ensemble);
    for (number, (tree, &target)) in trees.iter().zip(targets).enumerate() {
        let planted = tree_of(tree, target, &ensemble);
        let mut tree = planted.map_err(|reason| malformed(format!("tree {number}: {reason}")))?;
        if let Some(&weight) = weights.as_ref().and_then(|weights| weights.get(number)) {
            tree.weight = weight.into();
        }
        ensemble.trees.push(tree);
    }
    let best = model.attribute("best_iteration").and_then(|text| text.parse::<usize>().ok());
    let count = rounds.len().saturating_sub(1);
    if let Some(best) = best.filter(|&best| best + 1 < count) {
        ensemble.notes.push(format!(
            "all {count} rounds count, as in `Booster.predict`; training found round {best} best \
             and the library's scikit-learn classes stop there: save `booster[:{}]` to ship that",
            best + 1
        ));
    }
    Ok(ensemble)
}

/// What a dump does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DumpOptions {
    /// Margin before the first tree: one, or one per output; 0 with a note where empty.
    pub base_margin: Vec<f64>,
    /// Objective by the library's name; margins with a note where absent.
    pub objective: Option<String>,
    /// Number of classes; above 2 there is one output, and one tree per round, for each.
    pub classes: Option<usize>,
    /// Names of the columns in their order; needed where the dump names features.
    pub names: Vec<String>,
    /// Columns of a row, at least as many as the dump uses.
    pub columns: Option<usize>,
    /// Whether numbers stay the decimals of the file, as `f64`, for proofs about those; else they
    /// are rounded to `f32`, as the library does.
    pub decimals: bool,
}

impl DumpOptions {
    /// A number of the file as it is held.
    fn held(&self, number: f64) -> f64 {
        if self.decimals { number } else { f64::from(number as f32) }
    }
}

/// Reads a dump of trees (`dump_format="json"`).
///
/// # Errors
/// [`ImportError`] for files that cannot be read, and for facts that must be declared.
pub fn import_dump(bytes: &[u8], options: &DumpOptions) -> Result<Ensemble, ImportError> {
    let dump = file::dump(bytes).map_err(dump_malformed)?;
    let mut ensemble = Ensemble::new(0, Arithmetic::F32, "xgboost (dump of trees)");
    ensemble.codes = Codes::Floor;
    ensemble.names = options.names.clone();
    ensemble.columns = dump_columns(&dump, options)?;
    let name = options.objective.as_deref().unwrap_or_default();
    let objective = Objective::of(name);
    if !name.is_empty() && !objective.known {
        let known = SHAPED.iter().map(|(name, ..)| name).chain(PLAIN);
        let known = known.copied().collect::<Vec<_>>().join(", ");
        let value = name.to_string();
        return Err(ImportError::Unknown { format: DUMP, key: "objective", value, known });
    }
    let several = options.classes.filter(|&classes| classes > 2);
    if objective.link == Link::Softmax && options.classes.is_none() {
        let what = "the number of classes".into();
        return Err(ImportError::Undeclared { format: DUMP, what, key: "classes" });
    }
    let width = dump.trees.iter().flatten().find_map(|node| match node {
        DumpNode::Leaf(values) => Some(values.len()),
        DumpNode::Branch { .. } => None,
    });
    let width = width.unwrap_or(1).max(1);
    let softmax = objective.link == Link::Softmax;
    let classes = several.or(options.classes.filter(|_| softmax)).unwrap_or(1);
    ensemble.outputs = width.max(classes).max(1);
    objective.describe(name, &mut ensemble);
    if name.is_empty() {
        ensemble.notes.clear();
        ensemble
            .notes
            .push("a dump holds no objective: answers are margins; say `objective`".into());
        ensemble.labels = options.classes.map(Labels::counted);
    }
    ensemble.base = match options.base_margin.as_slice() {
        [] => {
            let note = "a dump holds no base score: margins start at 0; say `base_margin`";
            ensemble.notes.push(note.into());
            Vec::new()
        }
        [one] => vec![*one; ensemble.outputs],
        several if several.len() == ensemble.outputs => several.to_vec(),
        several => {
            let (found, wanted) = (several.len(), ensemble.outputs);
            return Err(dump_malformed(format!("{found} base margins for {wanted} outputs")));
        }
    };
    for (number, nodes) in dump.trees.iter().enumerate() {
        let target = (number % ensemble.outputs) as u32;
        let tree = dump_tree(nodes, target, width, options, &ensemble);
        let tree = tree.map_err(|reason| dump_malformed(format!("tree {number}: {reason}")))?;
        ensemble.trees.push(tree);
    }
    Ok(ensemble)
}

/// What an objective makes of margins.
struct Objective {
    link: Link,
    start: Start,
    classifies: bool,
    known: bool,
}

/// What an objective says: name, link, start, whether it classifies.
type Shape = (&'static str, Link, Start, bool);

/// Objectives whose answers are made from margins by a function, or that start from a logit.
const SHAPED: &[Shape] = &[
    ("binary:logistic", LOGISTIC, Start::Logit, true),
    ("binary:hinge", Link::Step, Start::Same, true),
    ("binary:logitraw", Link::Identity, Start::Logit, false),
    ("reg:logistic", LOGISTIC, Start::Logit, false),
    ("multi:softprob", Link::Softmax, Start::Same, true),
    ("multi:softmax", Link::Softmax, Start::Same, true),
    ("count:poisson", Link::Exp, Start::Log, false),
    ("reg:gamma", Link::Exp, Start::Log, false),
    ("reg:tweedie", Link::Exp, Start::Log, false),
    ("survival:cox", Link::Exp, Start::Log, false),
    ("survival:aft", Link::Exp, Start::Log, false),
];
const LOGISTIC: Link = Link::Logistic { scale: 1.0 };

/// Objectives whose answers are the margins.
const PLAIN: &[&str] = &[
    "reg:squarederror",
    "reg:linear",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:quantileerror",
    "reg:expectileerror",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
];

/// How a base score, which is in the units of the answer, becomes a margin.
#[derive(Clone, Copy, PartialEq)]
enum Start {
    Same,
    Logit,
    Log,
}

impl Objective {
    fn of(name: &str) -> Self {
        let shaped = SHAPED.iter().find(|(known, ..)| *known == name);
        let &(_, link, start, classifies) =
            shaped.unwrap_or(&("", Link::Identity, Start::Same, false));
        let known = shaped.is_some() || PLAIN.contains(&name);
        Self { link, start, classifies, known }
    }

    /// Sets link and labels, and says aloud what is not known.
    fn describe(&self, name: &str, ensemble: &mut Ensemble) {
        // several targets of a binary objective are labels of their own
        ensemble.link = match self.link {
            Link::Logistic { scale } if ensemble.outputs > 1 => {
                Link::LogisticEach { scale, normalised: false }
            }
            link => link,
        };
        let binary = ensemble.outputs == 1 && self.link != Link::Softmax;
        if self.classifies && (binary || self.link == Link::Softmax) {
            let count = if binary { 2 } else { ensemble.outputs };
            ensemble.labels = Some(Labels::counted(count));
        }
        if !self.known {
            let note = format!("the objective `{name}` is not known: answers are margins");
            ensemble.notes.push(note);
        }
        if name == "binary:logitraw" {
            let note = "`binary:logitraw` answers margins: a class is decided at 0, not at 0.5";
            ensemble.notes.push(note.into());
        }
    }
}

/// Base margins, computed in `f32` as the library does on loading.
fn base(scores: &[f32], start: Start, outputs: usize) -> Result<Vec<f64>, ImportError> {
    let mut margins = Vec::with_capacity(scores.len());
    for &score in scores {
        let sound = match start {
            Start::Same => score.is_finite(),
            Start::Logit => score > 0.0 && score < 1.0,
            Start::Log => score > 0.0 && score.is_finite(),
        };
        if !sound {
            return Err(malformed(format!("base score {score} is out of the objective's range")));
        }
        margins.push(match start {
            Start::Same => score.into(),
            Start::Logit => f64::from(-(1.0 / score - 1.0).ln()),
            Start::Log => f64::from(score.ln()),
        });
    }
    match margins.as_slice() {
        [one] => Ok(vec![*one; outputs]),
        several if several.len() == outputs => Ok(margins),
        several => {
            let reason = format!("{} base scores for {outputs} outputs", several.len());
            Err(malformed(reason))
        }
    }
}

fn categories(model: &file::Model) -> Vec<Option<Categories>> {
    // both are as long as the columns, or empty: nothing is allocated by a claimed number alone
    if model.feature_types.is_empty() && model.categories.is_empty() {
        return Vec::new();
    }
    let typed = |column: usize| model.feature_types.get(column).is_some_and(|t| t == "c");
    let stored = |column: usize| match model.categories.get(column) {
        Some(file::StoredCategories::Texts(texts)) => Some(Categories::Texts(texts.clone())),
        Some(file::StoredCategories::Ints(ints)) => {
            Some(Categories::Texts(ints.iter().map(i64::to_string).collect()))
        }
        Some(file::StoredCategories::Garbled) => Some(Categories::Codes),
        _ => typed(column).then_some(Categories::Codes),
    };
    let all: Vec<_> = (0..model.features).map(stored).collect();
    if all.iter().all(Option::is_none) { Vec::new() } else { all }
}

fn tree_of(tree: &file::Tree, target: u32, ensemble: &Ensemble) -> Result<Tree, String> {
    let output = match tree.width {
        1 if (target as usize) < ensemble.outputs => Output::One(target),
        1 => return Err(format!("it adds to output {target} of {}", ensemble.outputs)),
        width if width == ensemble.outputs => Output::Vector,
        width => return Err(format!("{width} values per leaf for {} outputs", ensemble.outputs)),
    };
    plant((0, tree.left.len()), (output, tree.width), |node, leaves| {
        let missing = || format!("node {node} is incomplete");
        let left = *tree.left.get(node).ok_or_else(missing)?;
        if left < 0 {
            match tree.width {
                1 => leaves.push((*tree.condition.get(node).ok_or_else(missing)?).into()),
                _ => {
                    let values = tree.leaf_vector(node).ok_or_else(missing)?;
                    leaves.extend(values.iter().map(|&value| f64::from(value)));
                }
            }
            return Ok(Seen::Leaf);
        }
        let right = *tree.right.get(node).ok_or_else(missing)?;
        let children = usize::try_from(left).ok().zip(usize::try_from(right).ok());
        let (left, right) = children.ok_or_else(missing)?;
        let feature = *tree.feature.get(node).ok_or_else(missing)?;
        if feature as usize >= ensemble.columns {
            return Err(format!("node {node} asks column {feature} of {}", ensemble.columns));
        }
        let to_left = *tree.default_left.get(node).ok_or_else(missing)?;
        let side = |yes: bool| if yes { Missing::Yes } else { Missing::No };
        if let Some(Some(set)) = tree.categories.get(node) {
            let test = Test::OneOf(set.clone().into());
            return Ok(Seen::Branch {
                feature,
                test,
                missing: side(!to_left),
                yes: right,
                no: left,
            });
        }
        let test = Test::Below((*tree.condition.get(node).ok_or_else(missing)?).into());
        Ok(Seen::Branch { feature, test, missing: side(to_left), yes: left, no: right })
    })
}

/// How many columns a row has: as declared, or up to the last one that is asked.
fn dump_columns(dump: &file::Dump, options: &DumpOptions) -> Result<usize, ImportError> {
    let mut least = options.names.len();
    for node in dump.trees.iter().flatten() {
        if let DumpNode::Branch { split, .. } = node {
            let column = column(split, &options.names)?;
            least = least.max(column as usize + 1);
        }
    }
    let columns = options.columns.unwrap_or(least);
    if columns < least || (!options.names.is_empty() && columns != options.names.len()) {
        let names = options.names.len();
        let reason = format!("it asks {least} columns; {columns} columns, {names} names declared");
        return Err(dump_malformed(reason));
    }
    if columns > file::FEATURES_MAX {
        return Err(dump_malformed(format!("it asks column {}", columns - 1)));
    }
    Ok(columns)
}

fn column(split: &DumpSplit, names: &[String]) -> Result<u32, ImportError> {
    let named = |name: &str| names.iter().position(|n| n == name).map(|place| place as u32);
    match split {
        // a declared name `f2` wins over the number
        DumpSplit::Index(index) => Ok(named(&format!("f{index}")).unwrap_or(*index)),
        DumpSplit::Name(name) => named(name).ok_or_else(|| {
            let what = format!("which column `{name}` is");
            ImportError::Undeclared { format: DUMP, what, key: "features" }
        }),
    }
}

fn dump_tree(
    nodes: &[DumpNode],
    target: u32,
    width: usize,
    options: &DumpOptions,
    ensemble: &Ensemble,
) -> Result<Tree, String> {
    let output = match width {
        1 => Output::One(target),
        _ if width == ensemble.outputs => Output::Vector,
        _ => return Err(format!("{width} values per leaf for {} outputs", ensemble.outputs)),
    };
    plant((0, nodes.len()), (output, width), |node, leaves| {
        let found = nodes.get(node).ok_or_else(|| format!("node {node} is missing"))?;
        match found {
            DumpNode::Leaf(values) => {
                leaves.extend(values.iter().map(|&value| options.held(value)));
                Ok(Seen::Leaf)
            }
            DumpNode::Branch { split, condition, yes, no, missing_yes } => {
                let feature = column(split, &options.names).map_err(|e| e.to_string())?;
                let test = match condition {
                    DumpCondition::Below(value) => Test::Below(options.held(*value)),
                    DumpCondition::OneOf(set) => Test::OneOf(set.clone().into()),
                };
                let missing = if *missing_yes { Missing::Yes } else { Missing::No };
                Ok(Seen::Branch { feature, test, missing, yes: *yes, no: *no })
            }
        }
    })
}

fn malformed(reason: impl ToString) -> ImportError {
    ImportError::Malformed { format: FORMAT, reason: reason.to_string() }
}

fn dump_malformed(reason: impl ToString) -> ImportError {
    ImportError::Malformed { format: DUMP, reason: reason.to_string() }
}

/// How messages call these files.
const FORMAT: &str = "XGBoost";
const DUMP: &str = "XGBoost dump";
