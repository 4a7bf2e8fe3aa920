//! What the user says of files that leave it open: dumps of trees, rows of libsvm.
//!
//! Owns the flags and their road to the engine; a declaration says the same under
//! `[models.<name>]`. Called by the verbs that take a model file.

use proofmark_engine::model::Hints;
use proofmark_formats::libsvm;
use proofmark_schema::system::{DumpSpec, ModelAsset};

/// Flags for a dump of XGBoost's trees; a model file of a library says all this itself.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct DumpArgs {
    /// For a dump of trees: the margin before the first tree, or one per class.
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    pub base_margin: Vec<f64>,
    /// For a dump of trees: the objective, e.g. `binary:logistic`; without it answers are margins.
    #[arg(long)]
    pub objective: Option<String>,
    /// For a dump of trees: the number of classes.
    #[arg(long, value_name = "N")]
    pub dump_classes: Option<u64>,
}

impl DumpArgs {
    /// As a declaration has it.
    pub fn spec(&self) -> DumpSpec {
        DumpSpec {
            base_margin: self.base_margin.clone(),
            objective: self.objective.clone(),
            classes: self.dump_classes,
        }
    }
    /// What was said, in one line; `None` where nothing was.
    pub fn said(&self) -> Option<String> {
        let margins: Vec<String> = self.base_margin.iter().map(f64::to_string).collect();
        let margin = (!margins.is_empty()).then(|| format!("base margin {}", margins.join(", ")));
        let objective = self.objective.as_ref().map(|o| format!("objective {o}"));
        let classes = self.dump_classes.map(|n| format!("{n} classes"));
        let said: Vec<String> = [margin, objective, classes].into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
    /// For the engine; `columns` are the names of the columns in their order, where known.
    pub fn hints(&self, columns: &[String]) -> Hints {
        hints(&self.spec(), columns)
    }
}

/// What a declaration says of a dump. Names are used where the dump names features.
pub fn declared(asset: &ModelAsset) -> Hints {
    hints(&asset.dump, &asset.input.columns)
}

fn hints(spec: &DumpSpec, columns: &[String]) -> Hints {
    Hints {
        base_margin: spec.base_margin.clone(),
        objective: spec.objective.clone(),
        classes: spec.classes.and_then(|n| usize::try_from(n).ok()),
        names: columns.to_vec(),
        columns: (!columns.is_empty()).then_some(columns.len()),
        decimals: false,
    }
}

/// Flags for rows in the format of libsvm, which does not say these things itself.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub struct LibsvmArgs {
    /// For rows of libsvm: whether indices count from 0 or 1; needed where the file does not
    /// settle it.
    #[arg(long, value_enum)]
    libsvm_index: Option<IndexName>,
    /// For rows of libsvm: what a value stands for that a row leaves out.
    #[arg(long, value_enum)]
    libsvm_absent: Option<AbsentName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum IndexName {
    /// From 0.
    #[value(name = "0")]
    Zero,
    /// From 1.
    #[value(name = "1")]
    One,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AbsentName {
    /// The number 0.
    Zero,
    /// No value.
    Missing,
}

impl LibsvmArgs {
    /// For the reader; `columns` of the model.
    pub fn options(&self, columns: Option<usize>) -> libsvm::Options {
        libsvm::Options {
            index: self.libsvm_index.map(|i| match i {
                IndexName::Zero => libsvm::Index::Zero,
                IndexName::One => libsvm::Index::One,
            }),
            absent: self.libsvm_absent.map(|a| match a {
                AbsentName::Zero => libsvm::Absent::Zero,
                AbsentName::Missing => libsvm::Absent::Missing,
            }),
            columns,
        }
    }
    /// Whether anything was said.
    pub fn said(&self) -> bool {
        self.libsvm_index.is_some() || self.libsvm_absent.is_some()
    }
}
