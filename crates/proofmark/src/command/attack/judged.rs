//! What the judged output of a model holds, where nobody said it.
//!
//! Owns the look at its width and at a few answers. Must never choose which of several outputs is
//! judged: [`crate::loader`] refuses those. Called by [`super::declared`] and [`super::number`].

use proofmark_engine::engine::EngineKind;
use proofmark_engine::graph::Dim;
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{Answer, fitting_outputs, run_batched};
use proofmark_engine::value::Value;
use proofmark_schema::system::OutputKind;

use super::{Args, KindName};
use crate::failure::{OrFail, Outcome};
use crate::loader;
use crate::project::Project;

/// Columns of an output, where they are known.
pub fn width_of(model: &Model, output: Option<&str>) -> Option<usize> {
    let outputs = &model.graph().outputs;
    let named = outputs.iter().find(|o| output.is_none_or(|name| o.name == name))?;
    match named.shape.as_ref()?.last()? {
        Dim::Fixed(n) => Some(*n),
        Dim::Dynamic(_) => None,
    }
}

/// Probability when every row of a sample looks like one, logit otherwise.
pub fn output_kind(
    args: &Args,
    project: &Project,
    model: &Model,
    notes: &mut Vec<String>,
) -> Outcome<OutputKind> {
    if let Some(kind) = args.output_kind {
        return Ok(match kind {
            KindName::Probability => OutputKind::Probability,
            KindName::Logit => OutputKind::Logit,
            KindName::Score => OutputKind::Score,
            KindName::Label => OutputKind::Label,
            KindName::Value => OutputKind::Value,
        });
    }
    let (Some(asset), Some(set)) = (project.system.models.first(), project.system.data.first())
    else {
        return Ok(OutputKind::Logit);
    };
    let mut set = set.clone();
    set.limit = Some(set.limit.unwrap_or(SAMPLE_ROWS).min(SAMPLE_ROWS));
    let data = loader::data(project, &set)?;
    let loaded = loader::LoadedModel { asset: asset.clone(), model: model.clone() };
    let binding = loader::bind(project, &data, &loaded)?;
    let inputs = proofmark_lab::target::inputs(&binding).or_fail("binding", "")?;
    let judged = || fitting_outputs(model.graph(), Answer::Score).first().map(|o| o.name.clone());
    let wanted: Vec<String> = args.output.clone().or_else(judged).into_iter().collect();
    let (values, _) = run_batched(model, EngineKind::Reference, &inputs, &wanted, SAMPLE_ROWS)
        .or_fail("run", "see `proofmark model inspect`")?;
    // A map of label to score is what scikit-learn writes of its probabilities.
    let looks = values.first().is_some_and(|v| matches!(v, Value::Maps(_)) || are_shares(v));
    let (kind, word) = if looks {
        (OutputKind::Probability, "probabilities")
    } else {
        (OutputKind::Logit, "logits")
    };
    notes.push(format!("the output is read as {word} (--output-kind says otherwise)"));
    Ok(kind)
}

/// Whether every row could be probabilities: within 0 and 1, and of sum 1 where there are several.
fn are_shares(value: &Value) -> bool {
    let width = value.shape().last().copied().unwrap_or(1).max(1);
    let scores = matches!(value, Value::F32(_) | Value::F64(_));
    let numbers = value.to_f64s().filter(|_| scores);
    numbers.is_some_and(|numbers| {
        numbers.chunks(width).all(|row| {
            let inside = row.iter().all(|p| (0.0..=1.0).contains(p));
            inside && (width == 1 || (row.iter().sum::<f64>() - 1.0).abs() < 1e-3)
        })
    })
}

/// Enough rows to tell probabilities from logits.
const SAMPLE_ROWS: usize = 32;
