//! What `attack` was asked: the arguments, with what a mode may leave unsaid filled in.
//!
//! Owns which arguments a mode needs. Must never guess a budget or its unit where a figure
//! depends on them. Called by the modes of [`super`].

use std::ops::Deref;
use std::path::PathBuf;

use proofmark_formats::sniff::Kind;

use super::{Args, NormName, ScaleName};
use crate::assets;
use crate::failure::{Failure, Outcome};

/// The arguments of a mode that reads rows.
pub struct Asked<'a> {
    args: &'a Args,
    /// Rows.
    pub data: PathBuf,
    /// Label column or file.
    pub label: String,
    /// Distance.
    pub norm: NormName,
    /// Budgets; may be empty where [`Wants::Rows`] or [`Wants::Distance`] was asked for.
    pub eps: Vec<f64>,
    /// Unit of the budgets.
    pub scale: ScaleName,
}

/// What a mode cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Rows and labels alone.
    Rows,
    /// A distance too; its unit is that of the model input unless said, budgets are welcome.
    Distance,
    /// Distance, budgets and their unit.
    Budgets,
}

impl<'a> Asked<'a> {
    /// The arguments as this mode reads them.
    ///
    /// # Errors
    /// An argument that the mode needs is missing.
    pub fn new(args: &'a Args, wants: Wants) -> Outcome<Self> {
        let data = args.data.clone().ok_or_else(|| missing("--data", "ROWS"))?;
        let label = match &args.label {
            Some(label) => label.clone(),
            // What a row of libsvm begins with needs no name.
            None if args.libsvm.said() || assets::recognise(&data)? == Kind::Libsvm => {
                LIBSVM_LABEL.to_owned()
            }
            None => return Err(missing("--label", "COLUMN")),
        };
        let norm = match args.norm {
            Some(norm) => norm,
            None if wants == Wants::Rows => NormName::Linf,
            None => return Err(missing("--norm", "linf")),
        };
        if wants == Wants::Budgets && args.eps.is_empty() {
            return Err(missing("--eps", "0.02,0.05"));
        }
        let scale = match args.scale {
            Some(scale) => scale,
            None if wants != Wants::Budgets => ScaleName::Raw,
            None => return Err(missing("--scale", "bounds")),
        };
        Ok(Self { args, data, label, norm, eps: args.eps.clone(), scale })
    }
}

impl Deref for Asked<'_> {
    type Target = Args;

    fn deref(&self) -> &Args {
        self.args
    }
}

fn missing(flag: &str, example: &str) -> Failure {
    Failure::new(
        "arguments",
        format!("`{flag}` is missing"),
        format!("add it, e.g. `{flag} {example}`; see `proofmark attack --help`"),
    )
}

/// Name of the label of libsvm's rows where none is given.
const LIBSVM_LABEL: &str = "label";
