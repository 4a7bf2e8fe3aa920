//! From typed data to the named inputs of a model, and to what an attacker can move in them.
//!
//! Owns the mapping of columns and pixels to tensors. Must never encode a text by its position
//! or fill a missing value unasked: a model gets what its training code would have seen, or an
//! error. Knows no engine: inputs are plain facts.

mod image;
mod series;
mod table;

pub use image::images;
pub use series::series;
pub use table::{Plan, TableOptions, TableRows, columns, plan, table};

/// Element type of a model input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum InputType {
    F32,
    F64,
    I64,
    I32,
    Bool,
    Str,
}

/// What is known of a model input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInput {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: InputType,
    /// Shape, batch first; `None` where the graph leaves it open.
    pub shape: Vec<Option<usize>>,
}

/// Data of a bound input, row-major.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum BoundData {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    Bool(Vec<bool>),
    Str(Vec<String>),
}

/// One model input with its data.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundInput {
    /// Name in the graph.
    pub name: String,
    /// Shape, `n` first.
    pub shape: Vec<usize>,
    /// Data.
    pub data: BoundData,
}

/// A coordinate that an attacker can move, in one input.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeCoordinate {
    /// Feature.
    pub feature: String,
    /// Input of the model.
    pub input: String,
    /// Column within a row of that input.
    pub column: usize,
    /// Lowest value, in the unit of the model.
    pub lower: f64,
    /// Highest value, in the unit of the model.
    pub upper: f64,
    /// Units of the model per unit of the feature.
    pub unit_raw: f64,
    /// Whether candidates are rounded to whole numbers.
    pub integer: bool,
}

/// The pixels that an attacker can move: all of one input. Lists hold one value per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeImage {
    /// Feature.
    pub feature: String,
    /// Input of the model.
    pub input: String,
    /// Coordinates of a row: channels x height x width.
    pub count: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Axis order of the input.
    pub layout: proofmark_schema::system::Layout,
    /// Lowest value, in the unit of the model.
    pub lower: Vec<f64>,
    /// Highest value, in the unit of the model.
    pub upper: Vec<f64>,
    /// Units of the model per unit of the stored pixels.
    pub unit_raw: Vec<f64>,
    /// Steps between lowest and highest when the file stores whole numbers.
    pub levels: Option<u32>,
}

/// What an attacker can move.
#[derive(Clone, Debug, PartialEq)]
pub enum Free {
    /// Columns of a table; may be empty.
    Columns(Vec<FreeCoordinate>),
    /// All pixels.
    Image(FreeImage),
}

/// Data bound to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Rows.
    pub n: usize,
    /// Inputs in the order of the model.
    pub inputs: Vec<BoundInput>,
    /// What an attacker can move.
    pub free: Free,
    /// Features declared as input that this model does not read.
    pub unread: Vec<String>,
}

/// Why data do not fit a model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BindError {
    /// The model has no input.
    #[error("the model has no input")]
    NoInput,
    /// An input that no column feeds.
    #[error("model input `{input}` has no column of that name; {hint}")]
    InputUnknown {
        /// Input.
        input: String,
        /// What is near, or there.
        hint: String,
    },
    /// A column exists but is declared as not read.
    #[error("model input `{input}` is the feature `{feature}`, which declares `input = false`")]
    NotInput {
        /// Input.
        input: String,
        /// Feature.
        feature: String,
    },
    /// A shape that the data cannot have.
    #[error("model input `{input}` has shape {shape}, but the data give {expected}; {hint}")]
    Shape {
        /// Input.
        input: String,
        /// Shape of the model.
        shape: String,
        /// Shape of the data.
        expected: String,
        /// The likely fix.
        hint: &'static str,
    },
    /// The number of columns differs.
    #[error(
        "model input `{input}` reads {width} columns, the declaration gives {found}: {columns}; \
         list the columns of the training code in order as `input = {{ columns = [...] }}`"
    )]
    Width {
        /// Input.
        input: String,
        /// Columns of the model.
        width: usize,
        /// Columns declared.
        found: usize,
        /// Their names.
        columns: String,
    },
    /// The width is open, so the order must be said.
    #[error(
        "model input `{input}` leaves its width open, so the order of columns cannot be checked; \
         list it as `input = {{ columns = [...] }}`"
    )]
    WidthOpen {
        /// Input.
        input: String,
    },
    /// A type that the column cannot give.
    #[error("column `{column}` is {kind}, model input `{input}` reads {dtype}; {hint}")]
    Type {
        /// Column.
        column: String,
        /// Declared type.
        kind: &'static str,
        /// Input.
        input: String,
        /// Type of the input.
        dtype: &'static str,
        /// The likely fix.
        hint: &'static str,
    },
    /// A cell that has no value of the input's type.
    #[error("line {line}, column `{column}`: `{text}` is no {dtype} for model input `{input}`")]
    Cell {
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// Text.
        text: String,
        /// Type of the input.
        dtype: &'static str,
        /// Input.
        input: String,
    },
    /// A missing value for an input that cannot hold one.
    #[error(
        "line {line}, column `{column}` is missing, and model input `{input}` ({dtype}) \
         cannot hold a missing value"
    )]
    Missing {
        /// Line, from 1.
        line: u64,
        /// Column.
        column: String,
        /// Type of the input.
        dtype: &'static str,
        /// Input.
        input: String,
    },
    /// A mutable feature without bounds.
    #[error("feature `{feature}` is mutable but has no bounds")]
    Unbounded {
        /// Feature.
        feature: String,
    },
    /// A feature that the table does not hold.
    #[error("the table has no column `{column}`")]
    NoColumn {
        /// Column.
        column: String,
    },
    /// A whole number that the model reads on another scale.
    #[error(
        "channel `{channel}` is a whole number, but the model reads it normalised, where steps \
         are not whole; put the normalisation into the model, or remove `integer`"
    )]
    IntegerScaled {
        /// Channel.
        channel: String,
    },
    /// An image model needs exactly one float input.
    #[error("an image model has one float input, this one has {found}")]
    ImageInputs {
        /// What was found.
        found: String,
    },
}

impl InputType {
    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "32-bit floats",
            Self::F64 => "64-bit floats",
            Self::I64 => "64-bit integers",
            Self::I32 => "32-bit integers",
            Self::Bool => "booleans",
            Self::Str => "texts",
        }
    }
}

/// A shape for people: `[n, 3, 28]`.
pub(crate) fn shape_text(shape: &[Option<usize>]) -> String {
    let parts: Vec<String> =
        shape.iter().map(|d| d.map_or_else(|| "n".to_owned(), |d| d.to_string())).collect();
    format!("[{}]", parts.join(", "))
}
