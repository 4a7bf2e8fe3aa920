//! An inference response: JSON, or a JSON header with binary tensors behind it.
//!
//! Owns the order of outputs and their encoding. Must never release a score beside a row whose
//! decision is the safe output.

use serde_json::{Value, json};

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
        let mut outputs = Vec::new();
        let mut tail = Vec::new();
        let all = [(self.output.clone(), asked.binary), (DECISION.to_owned(), asked.binary)];
        let wanted = if asked.outputs.is_empty() { &all[..] } else { &asked.outputs };
        for (name, binary) in wanted {
            let output = if name == DECISION {
                Some(decision(ruling, releaser, *binary, &mut tail))
            } else {
                self.scores(ruling, decider, releaser, *binary, &mut tail)
            };
            outputs.extend(output);
        }
        let mut parameters = json!({
            "proofmark_answer": id,
            "proofmark_answered_by": ruling.by,
        });
        if let (Some(map), Some(reason)) = (parameters.as_object_mut(), ruling.reason) {
            map.insert("proofmark_reason".into(), json!(reason));
            if ruling.decisions.iter().any(Option::is_none) {
                map.insert("proofmark_message".into(), json!(releaser.safe.message));
            }
        }
        let head = json!({
            "model_name": self.name,
            "model_version": self.version,
            "id": asked.id.as_deref().unwrap_or(id),
            "parameters": parameters,
            "outputs": outputs,
        });
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
    ) -> Option<Value> {
        let scores = ruling.scores.as_ref().filter(|_| releaser.release.scores)?;
        if ruling.decisions.iter().any(Option::is_none) {
            return None;
        }
        let rows = scores.values.chunks_exact(scores.classes.max(1));
        let shown: Vec<f64> = rows
            .flat_map(|row| self.columns.iter().filter_map(|c| row.get(*c).copied()))
            .map(|score| releaser.shown(score, decider))
            .collect();
        let shape = [ruling.decisions.len(), self.columns.len()];
        if !binary {
            return Some(
                json!({"name": self.output, "datatype": "FP32", "shape": shape, "data": shown}),
            );
        }
        tail.extend(shown.iter().flat_map(|v| (*v as f32).to_le_bytes()));
        let size = shown.len() * size_of::<f32>();
        Some(json!({
            "name": self.output, "datatype": "FP32", "shape": shape,
            "parameters": {"binary_data_size": size},
        }))
    }
}

fn decision(ruling: &Ruling, releaser: &Releaser, binary: bool, tail: &mut Vec<u8>) -> Value {
    let words: Vec<&str> = ruling.decisions.iter().map(|d| releaser.word(*d)).collect();
    let shape = [words.len()];
    if !binary {
        return json!({"name": DECISION, "datatype": "BYTES", "shape": shape, "data": words});
    }
    let before = tail.len();
    for word in &words {
        // A class name or safe output is far shorter than 2^32 bytes.
        tail.extend_from_slice(&(word.len() as u32).to_le_bytes());
        tail.extend_from_slice(word.as_bytes());
    }
    let size = tail.len() - before;
    json!({
        "name": DECISION, "datatype": "BYTES", "shape": shape,
        "parameters": {"binary_data_size": size},
    })
}
