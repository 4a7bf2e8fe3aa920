//! An inference response: JSON, or a JSON header with binary tensors behind it.
//!
//! Owns the order of outputs and their encoding. Must never release a score beside a row whose
//! decision is the safe output.

use proofmark_schema::guard::Responder;
use serde::Serialize;

use super::{DECISION, OipModel, request::Asked};
use crate::answer::{Decider, Releaser, Ruling};

/// A body and, when tensors follow its JSON, the length of that JSON.
#[derive(Clone, Debug)]
pub struct Response {
    /// Body.
    pub body: Vec<u8>,
    /// Length of the JSON before binary tensors.
    pub header: Option<usize>,
}

#[derive(Serialize)]
struct Head<'a> {
    model_name: &'a str,
    model_version: &'a str,
    id: &'a str,
    parameters: Parameters<'a>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Parameters<'a> {
    proofmark_answer: &'a str,
    proofmark_answered_by: Responder,
    #[serde(skip_serializing_if = "Option::is_none")]
    proofmark_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proofmark_message: Option<&'a str>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Numbers(Vec<f64>),
    Words(Vec<&'a str>),
}

impl OipModel {
    /// The response to `asked`.
    pub fn respond(
        &self,
        asked: &Asked,
        ruling: &Ruling,
        decider: Option<&Decider>,
        releaser: &Releaser,
        id: &str,
    ) -> Response {
        let mut outputs = Vec::with_capacity(2);
        let mut tail = Vec::new();
        let mut add = |name: &str, binary: bool| {
            outputs.extend(if name == DECISION {
                Some(decision(ruling, releaser, binary, &mut tail))
            } else {
                self.scores(ruling, decider, releaser, binary, &mut tail)
            });
        };
        if asked.outputs.is_empty() {
            add(&self.output, asked.binary);
            add(DECISION, asked.binary);
        }
        asked.outputs.iter().for_each(|(name, binary)| add(name, *binary));
        let referred = ruling.decisions.iter().any(Option::is_none);
        let head = Head {
            model_name: &self.name,
            model_version: &self.version,
            id: asked.id.as_deref().unwrap_or(id),
            parameters: Parameters {
                proofmark_answer: id,
                proofmark_answered_by: ruling.by,
                proofmark_reason: ruling.reason,
                proofmark_message: referred.then_some(releaser.safe.message.as_str()),
            },
            outputs,
        };
        // Plain data with text keys always serialises.
        let mut body = serde_json::to_vec(&head).unwrap_or_default();
        let header = (!tail.is_empty()).then_some(body.len());
        body.extend_from_slice(&tail);
        Response { body, header }
    }

    /// Scores in the order of the model's output; none when one row has no decision.
    fn scores(
        &self,
        ruling: &Ruling,
        decider: Option<&Decider>,
        releaser: &Releaser,
        binary: bool,
        tail: &mut Vec<u8>,
    ) -> Option<Output<'_>> {
        let scores = ruling.scores.as_ref().filter(|_| releaser.release.scores)?;
        if ruling.decisions.iter().any(Option::is_none) {
            return None;
        }
        let rows = scores.values.chunks_exact(scores.classes.max(1));
        let shown: Vec<f64> = rows
            .flat_map(|row| self.columns.iter().filter_map(|c| row.get(*c).copied()))
            .map(|score| releaser.shown(score, decider))
            .collect();
        let shape = vec![ruling.decisions.len(), self.columns.len()];
        let (name, datatype) = (self.output.as_str(), "FP32");
        if !binary {
            let data = Some(Data::Numbers(shown));
            return Some(Output { name, datatype, shape, parameters: None, data });
        }
        tail.extend(shown.iter().flat_map(|v| (*v as f32).to_le_bytes()));
        let parameters = Some(Size { binary_data_size: shown.len() * size_of::<f32>() });
        Some(Output { name, datatype, shape, parameters, data: None })
    }
}

fn decision<'a>(
    ruling: &Ruling,
    releaser: &'a Releaser,
    binary: bool,
    tail: &mut Vec<u8>,
) -> Output<'a> {
    let words: Vec<&str> = ruling.decisions.iter().map(|d| releaser.word(*d)).collect();
    let (name, datatype, shape) = (DECISION, "BYTES", vec![words.len()]);
    if !binary {
        return Output { name, datatype, shape, parameters: None, data: Some(Data::Words(words)) };
    }
    let before = tail.len();
    for word in &words {
        // A class name or safe output is far shorter than 2^32 bytes.
        tail.extend_from_slice(&(word.len() as u32).to_le_bytes());
        tail.extend_from_slice(word.as_bytes());
    }
    let parameters = Some(Size { binary_data_size: tail.len() - before });
    Output { name, datatype, shape, parameters, data: None }
}
