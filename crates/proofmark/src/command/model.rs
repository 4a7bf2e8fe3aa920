//! `model inspect|run|grad`: look at a model file, run it, differentiate it.

mod inspect;
mod run;
mod trees;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use proofmark_engine::engine::EngineKind;
use proofmark_engine::pipeline::{LossKind, gradient_of};
use proofmark_formats::npy::{self, NpyArray, NpyData};

use super::Global;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{arrays, assets, onnxruntime, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: ModelVerb,
}

#[derive(Subcommand, Debug)]
enum ModelVerb {
    /// Inputs, outputs, operators or trees, weights and digest.
    Inspect(inspect::InspectArgs),
    /// Run the model on the rows of a file of any size.
    Run(run::RunArgs),
    /// Gradient of a loss with respect to the float inputs.
    Grad {
        /// ONNX file.
        model: PathBuf,
        /// `.npy` for the only input, or `.npz` with one array per input.
        #[arg(long)]
        input: PathBuf,
        /// Class index per row (`.npy`).
        #[arg(long)]
        labels: PathBuf,
        /// Loss.
        #[arg(long, value_enum, default_value_t = LossName::CrossEntropy)]
        loss: LossName,
        /// Where the gradients go: `.npy` for one input, `.npz` for several.
        #[arg(long)]
        output: PathBuf,
        /// Engine.
        #[arg(long, value_enum, default_value_t = EngineName::Auto)]
        engine: EngineName,
    },
}

/// Engine names on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// ONNX Runtime where it is found, else rten.
    Auto,
    /// The embedded engine, f32.
    Rten,
    /// ONNX Runtime.
    Onnxruntime,
    /// Plain loops, f32.
    Reference,
    /// Plain loops, f64.
    #[value(name = "reference-f64")]
    ReferenceF64,
}

impl EngineName {
    /// The engine, loaded where it has to be.
    pub fn ready(self, quiet: bool) -> Outcome<EngineKind> {
        onnxruntime::prepare(self.kind(), quiet)
    }

    /// The engine of that name in a signed figure; `auto` for a name that is not known.
    pub fn recorded(name: &str) -> Self {
        let known = [Self::Rten, Self::Onnxruntime, Self::Reference, Self::ReferenceF64];
        known.into_iter().find(|e| e.kind().facts().name == name).unwrap_or(Self::Auto)
    }

    fn kind(self) -> EngineKind {
        match self {
            Self::Auto => EngineKind::Auto,
            Self::Rten => EngineKind::Rten,
            Self::Onnxruntime => EngineKind::OnnxRuntime,
            Self::Reference => EngineKind::Reference,
            Self::ReferenceF64 => EngineKind::ReferenceF64,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LossName {
    /// Cross-entropy of the label.
    CrossEntropy,
    /// Best other logit minus the label's.
    Margin,
    /// The label's logit.
    Logit,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    match &args.verb {
        ModelVerb::Inspect(args) => inspect::run(args, global),
        ModelVerb::Run(args) => args.run(global),
        ModelVerb::Grad { model, input, labels, loss, output, engine } => {
            let kind = match loss {
                LossName::CrossEntropy => LossKind::CrossEntropy,
                LossName::Margin => LossKind::Margin,
                LossName::Logit => LossKind::Logit,
            };
            grad(model, input, labels, kind, output, engine.ready(global.quiet)?, global)
        }
    }
}

fn grad(
    path: &Path,
    input: &Path,
    labels: &Path,
    loss: LossKind,
    out: &Path,
    kind: EngineKind,
    global: Global,
) -> Outcome<ExitCode> {
    let model = assets::open_model(path)?;
    let inputs = arrays::inputs(input, model.graph())?;
    let help = "labels are class indices from 0, one per row, saved with numpy.save";
    let labels: Vec<usize> = npy::read(&assets::read_data(labels)?)
        .or_fail("labels", help)?
        .data()
        .to_i64()
        .or_fail("labels", help)?
        .into_iter()
        .map(|v| usize::try_from(v).map_err(|_| format!("label `{v}` is negative")))
        .collect::<Result<_, _>>()
        .or_fail("labels", help)?;
    let rows = inputs.values().filter_map(|v| v.shape().first().copied()).max().unwrap_or(0);
    if rows != labels.len() {
        return Err(Failure::new(
            "labels",
            format!("{} labels for {rows} rows", labels.len()),
            help,
        ));
    }
    let got = gradient_of(&model, kind, &inputs, &labels, loss)
        .or_fail("gradient", "attacks without gradients still work on this model")?;
    let mut list = Vec::new();
    for (name, tensor) in got.inputs {
        let (shape, data) = tensor.into_parts();
        let array = NpyArray::new(shape, NpyData::F32(data)).or_fail("output", "")?;
        list.push((name, array));
    }
    arrays::write(out, &list)?;
    let tap = got.tap.map(|t| format!(", {t}")).unwrap_or_default();
    output::note(
        global.quiet,
        &format!("{rows} rows through {} {}{tap}", got.engine.name, got.engine.version),
    );
    Ok(ExitCode::SUCCESS)
}
