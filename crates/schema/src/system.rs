//! The declared system (`proofmark.system/1`): assets, features, threats, criteria.
//!
//! Owns the validated types. A held [`System`] is a proof that names resolve, that types fit
//! and that a robust figure on a table has a scale, bounds and a goal. Parsing, spans and
//! diagnostics are in `system/`. Must never open a file that the declaration names.

mod check;
mod constraints;
mod criteria;
mod data;
mod diagnostic;
mod faults;
mod features;
mod models;
mod parse;
mod people;
pub mod reader;
mod series;
mod template;
mod threats;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use constraints::{Constraints, OneHot, TOLERANCE, Way, parse_constraints};
pub use diagnostic::{Diagnostic, Spans, line_col, nearest};
pub use faults::{Fault, SEVERITY_MAX};
pub use parse::{FORMAT, parse, parse_spanned};
pub use template::{
    FoundColumn, FoundData, FoundImages, FoundModel, FoundTable, FoundTensor, Template,
};

/// A declared system, validated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// Short name, `[a-z0-9-]+`, also the origin of the log.
    pub name: String,
    /// Version of the system that is assessed.
    pub version: String,
    /// Provider as it stands in the papers.
    pub provider: String,
    /// Intended purpose, authored text.
    pub purpose: String,
    /// True for a bundled example: it is signed with a throw-away key, marked DEMO.
    pub demo: bool,
    /// Seed of every random stream.
    pub seed: u64,
    /// Data sets by name, in the order of the declaration.
    pub data: Vec<DataAsset>,
    /// Features, in the order of the declaration.
    pub features: Vec<Feature>,
    /// Models, in the order of the declaration.
    pub models: Vec<ModelAsset>,
    /// Threats, in the order of the declaration.
    pub threats: Vec<Threat>,
    /// Errors and faults that are set on purpose, in the order of the declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Criteria, in the order of the declaration.
    pub criteria: Vec<Criterion>,
    /// Declared (never measured) statements per cell of the matrix: `[declared."evasion/prevent"]`.
    pub declared: BTreeMap<String, Declared>,
    /// People who answer for something, in the order of the declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<Person>,
    /// Harms to people, in the order of the declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harms: Vec<Harm>,
    /// Reasonably foreseeable misuse, in the order of the declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misuse: Vec<Misuse>,
    /// How the system is looked after.
    #[serde(default, rename = "use", skip_serializing_if = "Use::is_empty")]
    pub upkeep: Use,
    /// Authored texts of the papers, by the id of the point they answer, e.g. `AIA-IV-1b`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub papers: Vec<Authored>,
    /// What holds between the columns of every valid row.
    #[serde(default, skip_serializing_if = "Constraints::is_empty")]
    pub constraints: Constraints,
}

/// A person who answers for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Name in the declaration (`people.<id>`).
    pub id: String,
    /// Name as it stands in the papers.
    pub name: String,
    /// Function.
    pub role: String,
}

/// Harm to people or property (AI Act Art. 3(49), 9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Harm {
    /// Name (`harms.<name>`).
    pub name: String,
    /// Class.
    pub class: HarmClass,
    /// Severity, 1 (negligible) to 5 (catastrophic).
    pub severity: u8,
    /// Who is harmed.
    pub people: String,
    /// What it means for minors and vulnerable groups (Art. 9(9)); `None` is a gap.
    pub vulnerable: Option<String>,
    /// Why this severity fits.
    pub rationale: String,
}

/// Class of a harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HarmClass {
    /// Health of persons.
    Health,
    /// Safety of persons.
    Safety,
    /// Fundamental rights.
    FundamentalRights,
    /// Property or the environment.
    Property,
}

/// A reasonably foreseeable misuse (Art. 9(2)(b)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misuse {
    /// Name (`misuse.<name>`).
    pub name: String,
    /// Who uses it how, against its purpose.
    pub what: String,
    /// Harm it does.
    pub harm: String,
    /// Likelihood, 1 (rare) to 5 (almost certain): entered, not measured.
    pub likelihood: u8,
    /// Why this likelihood fits.
    pub reason: String,
}

/// How the system is looked after.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Use {
    /// Days after which a run no longer counts as current.
    pub retest_days: Option<u32>,
    /// Person who answers for seeded risks (`people.<id>`).
    pub risk_owner: Option<String>,
    /// Person who approves and accepts (`people.<id>`).
    pub approver: Option<String>,
    /// Why no misuse is foreseeable, when none is declared.
    pub no_misuse: Option<String>,
}

/// A text of the papers that a person wrote and answers for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authored {
    /// Point it answers, e.g. `AIA-IV-1b` or `AIA-13-3-d`.
    pub id: String,
    /// Text.
    pub text: String,
    /// Person (`people.<id>`).
    pub owner: String,
    /// Set when the point does not apply: why.
    pub not_applicable: Option<String>,
}

impl Use {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A statement by a person on one cell of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// What is done.
    pub measure: String,
    /// Who answers for it.
    pub owner: String,
    /// Set when the cell is waived: the reason.
    pub waived: Option<String>,
}

/// Role of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataRole {
    /// Never measured on; may be used for ranges and standard deviations.
    Train,
    /// Where thresholds are chosen.
    Validation,
    /// Where declared figures come from.
    Test,
}

/// What a label says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One of some classes.
    #[default]
    Classification,
    /// A number with a unit.
    Regression,
}

impl Task {
    /// Whether labels are numbers.
    pub fn is_regression(self) -> bool {
        self == Self::Regression
    }

    fn is_classification(&self) -> bool {
        *self == Self::Classification
    }
}

/// A data set: a table, images or series with labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataAsset {
    /// Name (`data.<name>`).
    pub name: String,
    /// Path, relative to the declaration.
    pub path: String,
    /// Role.
    pub role: DataRole,
    /// Label column of a table, or `None` when `labels` is a file.
    pub label: Option<String>,
    /// Label file (`.npy` or IDX) for images.
    pub labels: Option<String>,
    /// Classes in order: (class name, value in the file).
    pub classes: Vec<(String, String)>,
    /// Columns that are neither features nor label.
    pub ignore: Vec<String>,
    /// Texts that mean missing.
    pub missing: Vec<String>,
    /// Pinned dialect of a CSV; what is `None` is detected.
    pub dialect: DialectPins,
    /// Use the first so many rows only (declared, so it is part of the plan).
    pub limit: Option<usize>,
    /// What the labels say.
    #[serde(default, skip_serializing_if = "Task::is_classification")]
    pub task: Task,
    /// Regression: unit of the label, as it stands in reports, e.g. `EUR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Regression: quantiles of the absolute error that are reported, ascending, in (0, 1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<f64>,
}

/// Pins of a CSV dialect. Every `None` is detected and printed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DialectPins {
    /// Field delimiter: one character, or `"blank"` for runs of blanks.
    pub delimiter: Option<String>,
    /// Decimal mark: `.` or `,`.
    pub decimal: Option<char>,
    /// Whether the first record is a header.
    pub header: Option<bool>,
    /// Column names, when there is no header, or instead of those of the header.
    pub columns: Option<Vec<String>>,
    /// Encoding of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<TextEncoding>,
    /// Mark between thousands: `,`, `.`, `'` or a blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// Container of the rows (`data.<name>.format`); by its bytes when not pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DataFormat>,
}

/// Encoding of a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextEncoding {
    /// UTF-8, with or without a byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16; little-endian unless a byte order mark says otherwise.
    #[serde(rename = "utf-16")]
    Utf16,
    /// Windows-1252, of which Latin-1 is the printable part.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

/// Container of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataFormat {
    /// Delimited text.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// Apache Arrow IPC, file or stream.
    Arrow,
    /// One JSON object per line.
    Jsonl,
    /// A folder of PNG and JPEG images.
    Images,
}

/// Type of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureKind {
    /// A real number.
    Number,
    /// A whole number; candidates are rounded before they are judged.
    Integer,
    /// A category without order.
    Category,
    /// A category with order (as listed in `values`).
    Ordinal,
    /// True or false.
    Boolean,
    /// Free text.
    Text,
    /// An image.
    Image,
    /// A window of a time series: steps by channels.
    Series,
}

/// Axis order of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesLayout {
    /// batch, steps, channels
    #[default]
    StepsChannels,
    /// batch, channels, steps
    ChannelsSteps,
}

/// Shape and channels of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Steps of a window.
    pub steps: usize,
    /// Channels, in the order of the file.
    pub channels: Vec<Channel>,
    /// Axis order of the file.
    pub layout: SeriesLayout,
    /// Only the last so many steps can be changed; all when `None`.
    pub last: Option<usize>,
}

/// One channel of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Name.
    pub name: String,
    /// Lowest and highest allowed value, in the unit of the file.
    pub bounds: Option<[f64; 2]>,
    /// Whether an attacker can change it.
    pub mutable: bool,
    /// Whether candidates are rounded to whole numbers.
    pub integer: bool,
}

/// One feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// Column name, or the name of the image input.
    pub name: String,
    /// Type.
    pub kind: FeatureKind,
    /// Lowest and highest allowed value, in the unit of the file.
    pub bounds: Option<[f64; 2]>,
    /// Allowed values of a category, ordinal or boolean, as they stand in the file.
    pub values: Vec<String>,
    /// Whether an attacker can change it.
    pub mutable: bool,
    /// Whether figures are given per group of this feature.
    pub group: bool,
    /// Edges that cut a numeric group feature into half-open bins `[e0, e1)`.
    pub group_edges: Vec<f64>,
    /// Whether the model reads it (false for columns that serve groups only).
    pub input: bool,
    /// Shape of an image, channels first: `[c, h, w]`.
    pub shape: Option<[usize; 3]>,
    /// Steps and channels of a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Series>,
    /// The only way an attacker can move it; `None`: both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Way>,
    /// What it costs the attacker to move it by one unit of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// Role of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelRole {
    /// The one that decides.
    Primary,
    /// Takes over when the primary fails.
    Backup,
    /// Compared, not in use.
    Candidate,
}

/// A model file and how its answer is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelAsset {
    /// Name (`models.<name>`).
    pub name: String,
    /// Path, relative to the declaration.
    pub path: String,
    /// Role.
    pub role: ModelRole,
    /// Output that is judged.
    pub output: OutputSpec,
    /// Decision rule.
    pub decision: Decision,
    /// Expected scores from the training framework (`.npy`), rows as in `expected_data`.
    pub expected: Option<String>,
    /// Data set whose rows `expected` holds; the test set by default.
    pub expected_data: Option<String>,
    /// How columns or pixels become the input tensor.
    pub input: InputSpec,
    /// What a dump of trees leaves open.
    #[serde(default, skip_serializing_if = "DumpSpec::is_empty")]
    pub dump: DumpSpec,
}

/// What a dump of trees (XGBoost's `dump_model`) does not hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DumpSpec {
    /// Margin before the first tree: one, or one per class; nothing declared is 0.
    #[serde(default)]
    pub base_margin: Vec<f64>,
    /// Objective by the library's name, e.g. `binary:logistic`; without it answers are margins.
    #[serde(default)]
    pub objective: Option<String>,
    /// Number of classes.
    #[serde(default)]
    pub classes: Option<u64>,
}

impl DumpSpec {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How data becomes model inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// For a model with one `[n, k]` input: the columns, in order.
    pub columns: Vec<String>,
    /// Layout of an image input; NCHW unless said otherwise.
    pub layout: Layout,
    /// Image: the data bounds are mapped linearly onto this range.
    pub range: Option<[f64; 2]>,
    /// Image or series: subtracted per channel after the mapping.
    pub mean: Vec<f64>,
    /// Image or series: divided by per channel after `mean`.
    pub std: Vec<f64>,
    /// Axis order of a series input; by default that of the file, or the one that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesLayout>,
}

/// Axis order of an image input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// batch, channels, height, width
    #[default]
    Nchw,
    /// batch, height, width, channels
    Nhwc,
}

/// What the judged output holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Name of the graph output; `None`: the only one, or the only float one.
    pub name: Option<String>,
    /// What it holds.
    pub kind: OutputKind,
    /// Classes in the order of the output's columns; the order of the data's `classes` by default.
    pub classes: Vec<String>,
    /// Of an output with several heads: the column that is judged, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

/// Kind of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// Probabilities in `[0, 1]`; one column means the probability of the last class.
    Probability,
    /// Logits; one column means the log-odds of the last class.
    Logit,
    /// A score without a probability meaning.
    Score,
    /// A label only.
    Label,
    /// A number: the answer of a regression, in the unit of the label.
    Value,
}

/// The declared decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The class with the highest score; ties go to the lower index.
    Argmax,
    /// Two classes: `class` is decided when its probability (or score) is at least `at`.
    Cutoff {
        /// The class.
        class: String,
        /// The cut-off.
        at: f64,
    },
    /// The answer itself: a regression decides nothing.
    Value,
}

/// A distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Greatest change of any coordinate.
    Linf,
    /// Euclidean.
    L2,
    /// Sum of absolute changes.
    L1,
}

/// Unit of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// The unit of the model input.
    #[serde(rename = "raw")]
    Raw,
    /// Share of each feature's declared bounds.
    #[serde(rename = "bounds")]
    Bounds,
    /// Standard deviations over the training data (test data when none is declared).
    #[serde(rename = "std")]
    Std,
    /// Steps of 1/255 of the image range.
    #[serde(rename = "0-255")]
    U8,
}

/// What the attacker can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// The model file, with gradients.
    WhiteBox,
    /// Scores only.
    Score,
    /// Decisions only.
    Decision,
}

/// Which way the attacker wants the decision to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goal {
    /// Class the attacker starts from.
    pub from: String,
    /// Class the attacker wants.
    pub to: String,
}

/// Which way the attacker wants a number to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Higher.
    Up,
    /// Lower.
    Down,
    /// Away, whichever way.
    #[default]
    Either,
}

/// From where a tolerance is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// From the answer on the clean row: what the attacker moves.
    #[default]
    Answer,
    /// From the label: what the answer must stay near.
    Label,
}

/// By how much an answer may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// In the unit of the label, or a share of the reference when `relative`.
    pub size: f64,
    /// Whether `size` is a share of the reference's magnitude.
    pub relative: bool,
    /// From where it is counted.
    pub from: Reference,
}

/// A threat: an attacker with a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threat {
    /// Name (`threats.<name>`).
    pub name: String,
    /// Distance.
    pub norm: Norm,
    /// Budgets, ascending, in the unit of `scale`.
    pub eps: Vec<f64>,
    /// Unit of the budgets.
    pub scale: Scale,
    /// Direction; `None`: any wrong decision (images and ad-hoc attacks).
    pub goal: Option<Goal>,
    /// Regression: an answer moved by more than this is a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
    /// Regression: which way; `None` is [`Direction::Either`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Access.
    pub access: Access,
    /// Suite: `quick` by default.
    pub suite: String,
    /// Models it is aimed at; every model when empty.
    pub models: Vec<String>,
    /// Largest number of queries per row.
    pub queries: Option<u64>,
    /// Most that all changes of a row may cost together, by the features' `cost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_limit: Option<f64>,
    /// Who attacks, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Harm that a success does (`harms.<name>`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<String>,
    /// Attempts expected in a year: lowest and highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_per_year: Option<[f64; 2]>,
    /// Where that range comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_reason: Option<String>,
}

/// A pass threshold, registered before the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// Name (`criteria.<name>`).
    pub name: String,
    /// Metric, e.g. `accuracy`, `robust_accuracy`, `auc`.
    pub metric: String,
    /// Model.
    pub model: String,
    /// Data set.
    pub data: String,
    /// Threat, for robust metrics.
    pub threat: Option<String>,
    /// Budget, for robust metrics; one of the threat's.
    pub eps: Option<f64>,
    /// Fault, for metrics under a fault; `<fault>/<member>` for one column or corruption of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Severity of the fault, 1 to 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<u8>,
    /// Group `(feature, value)`, when the criterion is about one group.
    pub group: Option<(String, String)>,
    /// Quantile, for `quantile_error`; one of the data set's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// Passes when the figure is at least, or at most, this.
    pub bound: Bound,
    /// Confidence of the one-sided interval, e.g. 0.95.
    pub confidence: f64,
    /// Why this threshold fits.
    pub rationale: String,
    /// Who approved it.
    pub approver: String,
}

/// Direction and value of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// At least.
    AtLeast(f64),
    /// At most.
    AtMost(f64),
}

impl System {
    /// The data set of that name.
    pub fn data_named(&self, name: &str) -> Option<&DataAsset> {
        self.data.iter().find(|d| d.name == name)
    }
    /// The model of that name.
    pub fn model_named(&self, name: &str) -> Option<&ModelAsset> {
        self.models.iter().find(|m| m.name == name)
    }
    /// The threat of that name.
    pub fn threat_named(&self, name: &str) -> Option<&Threat> {
        self.threats.iter().find(|t| t.name == name)
    }
    /// The fault of that name.
    pub fn fault_named(&self, name: &str) -> Option<&Fault> {
        self.faults.iter().find(|f| f.name == name)
    }
    /// The feature of that name.
    pub fn feature_named(&self, name: &str) -> Option<&Feature> {
        self.features.iter().find(|f| f.name == name)
    }
    /// The person of that id.
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.people.iter().find(|p| p.id == id)
    }
    /// The harm of that name.
    pub fn harm_named(&self, name: &str) -> Option<&Harm> {
        self.harms.iter().find(|h| h.name == name)
    }
    /// The authored text for a point of the papers.
    pub fn authored(&self, id: &str) -> Option<&Authored> {
        self.papers.iter().find(|a| a.id == id)
    }
    /// The data set that figures come from: the first with the role `test`.
    pub fn test_data(&self) -> Option<&DataAsset> {
        self.data.iter().find(|d| d.role == DataRole::Test)
    }
    /// What the test data are labelled with.
    pub fn task(&self) -> Task {
        self.test_data().map_or(Task::Classification, |d| d.task)
    }
    /// The series feature, when the system is about series.
    pub fn series(&self) -> Option<&Feature> {
        self.features.iter().find(|f| f.kind == FeatureKind::Series)
    }
    /// The image feature, when the system is about images.
    pub fn image(&self) -> Option<&Feature> {
        self.features.iter().find(|f| f.kind == FeatureKind::Image)
    }
}

impl DataAsset {
    /// Whether the file is a table (text, Parquet, Arrow, JSON lines), by `format` or its ending.
    pub fn is_table(&self) -> bool {
        match self.dialect.format {
            Some(format) => format != DataFormat::Images,
            None => {
                let path = self.path.to_lowercase();
                TABLE_ENDINGS.iter().any(|e| path.ends_with(e))
            }
        }
    }

    /// Whether the data set is a folder of images: `format = "images"`, or a path that ends in `/`.
    pub fn is_folder(&self) -> bool {
        match self.dialect.format {
            Some(format) => format == DataFormat::Images,
            None => self.path.ends_with('/'),
        }
    }
}

impl FeatureKind {
    /// Whether values are numbers with an order and a distance.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Number | Self::Integer)
    }
}

impl Feature {
    /// Names of the groups, as they stand in criteria: values, or half-open bins such as
    /// `[25,35)`; [`MISSING_GROUP`] is last. A category without `values` names only that.
    pub fn group_names(&self) -> Vec<String> {
        let mut names = if self.kind.is_numeric() { self.bins() } else { self.values.clone() };
        names.push(MISSING_GROUP.to_owned());
        names
    }

    fn bins(&self) -> Vec<String> {
        let edges = &self.group_edges;
        let lower = std::iter::once(f64::NEG_INFINITY).chain(edges.iter().copied());
        let upper = edges.iter().copied().chain([f64::INFINITY]);
        lower.zip(upper).map(|(l, u)| format!("[{l},{u})")).collect()
    }
}

/// The group of rows whose value is missing.
pub const MISSING_GROUP: &str = "missing";

/// Endings of tables; what a file holds is told by its bytes, so that an Arrow file may be named
/// `.parquet`.
const TABLE_ENDINGS: [&str; 14] = [
    ".csv", ".tsv", ".data", ".txt", ".test", ".parquet", ".pq", ".arrow", ".arrows", ".feather",
    ".ipc", ".jsonl", ".ndjson", ".json",
];
