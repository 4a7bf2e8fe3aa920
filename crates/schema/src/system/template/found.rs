//! What was found in a folder, as plain facts.
//!
//! Owns the types that carry them from the command line to the template. Must never guess. Filled
//! by `proofmark init` and `dataset::found`.

use crate::system::FeatureKind;

/// A data file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundData {
    /// Path.
    pub path: String,
    /// Set for a table.
    pub table: Option<FoundTable>,
    /// Set for images.
    pub images: Option<FoundImages>,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundTable {
    /// Rows.
    pub rows: usize,
    /// Dialect in one line, as detected.
    pub dialect: String,
    /// Whether the file names its columns.
    pub header: bool,
    /// A number such as `1.234`, where nothing in the file says whether that is a thousand.
    pub open_mark: Option<String>,
    /// Columns, in order.
    pub columns: Vec<FoundColumn>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundColumn {
    /// Name.
    pub name: String,
    /// Guess from the values: number, integer, category, boolean or text.
    pub kind: FeatureKind,
    /// Least and greatest value, for numbers.
    pub range: Option<[f64; 2]>,
    /// Different values, sorted; may be cut for columns with many.
    pub values: Vec<String>,
    /// How many different values there are.
    pub distinct: usize,
    /// Texts that may mean missing, as they stand in the file.
    pub missing: Vec<String>,
}

/// Images with labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundImages {
    /// Images.
    pub rows: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Range of the stored pixels.
    pub range: [f64; 2],
    /// Path of the label file, when one was found.
    pub labels: Option<String>,
    /// Different labels.
    pub label_values: Vec<String>,
    /// Whether they are files of a folder; without a label file its subfolders are the classes.
    pub folder: bool,
}

/// A model file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundModel {
    /// Path.
    pub path: String,
    /// Inputs.
    pub inputs: Vec<FoundTensor>,
    /// Outputs.
    pub outputs: Vec<FoundTensor>,
    /// Path of a file with expected scores, when one was found.
    pub expected: Option<String>,
    /// Names of the columns that the file itself reads, in its order; empty where it has none.
    pub columns: Vec<String>,
}

/// An input or output of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundTensor {
    /// Name.
    pub name: String,
    /// Element type, e.g. `f32`; `map` where each row is a map of label to score.
    pub dtype: String,
    /// Shape, batch first; `None` where it is open.
    pub shape: Vec<Option<usize>>,
}
