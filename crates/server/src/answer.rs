//! From scores to what leaves: the decision at the declared cut-off, and what is released of it.
//!
//! Owns the decision rule of each model, rounding, clipping and the body of the JSON scorer. Must
//! never decide from rounded scores: rounding touches what is shown only. Called by the data plane.

use std::sync::Arc;

use proofmark_schema::guard::Responder;
use proofmark_schema::system::{Decision, ModelAsset, OutputKind};
use serde::Serialize;

use crate::policy::{Release, SafeOutput};
use crate::scorer::Scores;

/// Format of an answer of the JSON scorer.
pub const FORMAT: &str = "proofmark.answer/1";

/// How one model's scores become a class.
#[derive(Clone, Debug)]
pub struct Decider {
    kind: OutputKind,
    rule: Rule,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Argmax,
    Cutoff { class: usize, at: f64 },
}

impl Decider {
    /// The declared decision of a model; `None` when its class is none of the data's,
    /// or when it answers with a number.
    pub fn new(asset: &ModelAsset, classes: &[String]) -> Option<Self> {
        let rule = match &asset.decision {
            Decision::Argmax => Rule::Argmax,
            Decision::Cutoff { class, at } => {
                Rule::Cutoff { class: classes.iter().position(|c| c == class)?, at: *at }
            }
            // A number is no decision: the guard of this edition judges decisions.
            Decision::Value => return None,
        };
        Some(Self { kind: asset.output.kind, rule })
    }

    /// The decided class of a row; `None` without a usable score.
    ///
    /// As the assessment decides: arg-max takes the lower index on ties; a cut-off is met by a
    /// probability (or score) of at least its value; logits go through the soft-max in f64.
    pub fn decide(&self, scores: &[f32]) -> Option<usize> {
        if scores.is_empty() || scores.iter().any(|s| !s.is_finite()) {
            return None;
        }
        match self.rule {
            Rule::Argmax => {
                let mut best: Option<(usize, f32)> = None;
                for (index, &score) in scores.iter().enumerate() {
                    if best.is_none_or(|(_, top)| score > top) {
                        best = Some((index, score));
                    }
                }
                best.map(|(index, _)| index)
            }
            Rule::Cutoff { class, at } => {
                let value = match self.kind {
                    OutputKind::Logit => softmax(scores, class)?,
                    _ => f64::from(*scores.get(class)?),
                };
                Some(if value >= at { class } else { usize::from(class == 0) })
            }
        }
    }

    /// Whether a score is a probability, so that clipping has a meaning.
    fn is_probability(&self) -> bool {
        self.kind == OutputKind::Probability
    }
}

/// The soft-max of one class in f64, shifted by the maximum.
fn softmax(scores: &[f32], class: usize) -> Option<f64> {
    let top = scores.iter().map(|&s| f64::from(s)).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|&s| (f64::from(s) - top).exp()).sum();
    Some((f64::from(*scores.get(class)?) - top).exp() / sum)
}

/// What was decided about a request.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// Who answers.
    pub by: Responder,
    /// Why it is not the primary, as a short id.
    pub reason: Option<&'static str>,
    /// Class per row; `None`: the safe output.
    pub decisions: Vec<Option<usize>>,
    /// Scores, when a model answered.
    pub scores: Option<Scores>,
    /// Model that answered.
    pub model: Option<String>,
}

/// Turns rulings into what leaves.
#[derive(Clone, Debug)]
pub struct Releaser {
    /// Classes, in the order of the data.
    pub classes: Arc<[String]>,
    /// What is released.
    pub release: Release,
    /// The safe output.
    pub safe: SafeOutput,
}

#[derive(Serialize)]
struct Answer<'a> {
    format: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    answered_by: Responder,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(flatten)]
    body: AnswerBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnswerBody<'a> {
    One(Row<'a>),
    Many { results: Vec<Row<'a>> },
}

#[derive(Serialize)]
struct Row<'a> {
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Shown<'a>>,
}

/// Scores of one row by class name, as they leave.
struct Shown<'a> {
    releaser: &'a Releaser,
    decider: Option<&'a Decider>,
    scores: &'a [f32],
}

impl Serialize for Shown<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let each = self.releaser.classes.iter().zip(self.scores);
        serializer.collect_map(
            each.map(|(class, score)| (class, self.releaser.shown(*score, self.decider))),
        )
    }
}

impl Releaser {
    /// The word of a decision: a class, or the safe output.
    pub fn word(&self, decision: Option<usize>) -> &str {
        decision
            .and_then(|class| self.classes.get(class))
            .map_or(self.safe.decision.as_str(), String::as_str)
    }

    /// A score as it leaves: clipped where it is a probability, then rounded.
    pub fn shown(&self, score: f32, decider: Option<&Decider>) -> f64 {
        let score = f64::from(score);
        let clip = self.release.clip;
        let clipped = match decider {
            Some(d) if d.is_probability() && clip > 0.0 => score.clamp(clip, 1.0 - clip),
            _ => score,
        };
        let scale = 10f64.powi(i32::from(self.release.decimals));
        // The sum turns a negative zero into zero.
        (clipped * scale).round() / scale + 0.0
    }

    /// The body of the JSON scorer.
    pub fn json(
        &self,
        ruling: &Ruling,
        decider: Option<&Decider>,
        id: &str,
        request: Option<&str>,
        many: bool,
    ) -> Vec<u8> {
        let shows = |row: usize| {
            let scores = ruling.scores.as_ref().filter(|_| self.release.scores)?;
            let scores = scores.values.chunks_exact(scores.classes.max(1)).nth(row)?;
            Some(Shown { releaser: self, decider, scores })
        };
        let row = |(at, decision): (usize, &Option<usize>)| Row {
            decision: self.word(*decision),
            scores: decision.and_then(|_| shows(at)),
        };
        let mut rows: Vec<Row<'_>> = ruling.decisions.iter().enumerate().map(row).collect();
        let referred = ruling.decisions.iter().any(Option::is_none);
        let body = match rows.pop() {
            Some(only) if rows.is_empty() && !many => AnswerBody::One(only),
            last => {
                rows.extend(last);
                AnswerBody::Many { results: rows }
            }
        };
        let answer = Answer {
            format: FORMAT,
            id,
            request,
            model: ruling.model.as_deref(),
            answered_by: ruling.by,
            reason: ruling.reason,
            body,
            message: referred.then_some(self.safe.message.as_str()),
        };
        // Plain data with text keys always serialises.
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decider(kind: OutputKind, rule: Rule) -> Decider {
        Decider { kind, rule }
    }

    #[test]
    fn decisions_follow_the_declared_rule() {
        let cut = Rule::Cutoff { class: 1, at: 0.22 };
        for (name, d, scores, want) in [
            (
                "at the cut-off",
                decider(OutputKind::Score, cut),
                vec![0.0, 0.22f32.next_up()],
                Some(1),
            ),
            ("below", decider(OutputKind::Probability, cut), vec![0.79, 0.21], Some(0)),
            ("tie", decider(OutputKind::Probability, Rule::Argmax), vec![0.5, 0.5], Some(0)),
            ("logits", decider(OutputKind::Logit, cut), vec![0.0, -1.0], Some(1)),
            ("logits below", decider(OutputKind::Logit, cut), vec![0.0, -2.0], Some(0)),
            ("NaN", decider(OutputKind::Probability, cut), vec![f32::NAN, 0.5], None),
            ("none", decider(OutputKind::Probability, Rule::Argmax), vec![], None),
        ] {
            assert_eq!(d.decide(&scores), want, "{name}");
        }
    }

    fn releaser(release: Release) -> Releaser {
        let classes = ["good".to_owned(), "bad".to_owned()].into();
        Releaser { classes, release, safe: SafeOutput::default() }
    }

    #[test]
    fn what_is_shown_is_clipped_and_rounded() {
        let probability = decider(OutputKind::Probability, Rule::Argmax);
        let logit = decider(OutputKind::Logit, Rule::Argmax);
        for (decimals, clip, d, score, want) in [
            (2, 0.0, &probability, 0.123_456, 0.12),
            (0, 0.0, &probability, 0.5, 1.0),
            (2, 0.05, &probability, 0.999, 0.95),
            (2, 0.05, &probability, 0.001, 0.05),
            (1, 0.05, &logit, 7.25, 7.3),
            (3, 0.0, &logit, -0.0001, 0.0),
        ] {
            let shown = releaser(Release { decimals, clip, ..Release::default() });
            let got = shown.shown(score, Some(d));
            assert_eq!(got, want, "{score} at {decimals}, clip {clip}");
            assert!(got.is_sign_positive() || got != 0.0, "no negative zero");
        }
    }

    #[test]
    fn the_safe_output_shows_no_scores() {
        let ruling = Ruling {
            by: Responder::Safe,
            reason: Some("no-model"),
            decisions: vec![None],
            scores: None,
            model: None,
        };
        let body = releaser(Release::default()).json(&ruling, None, "00ff", None, false);
        let want = concat!(
            r#"{"format":"proofmark.answer/1","id":"00ff","answered_by":"safe","#,
            r#""reason":"no-model","decision":"refer","#,
            r#""message":"No automatic decision was made; a person will decide."}"#
        );
        assert_eq!(String::from_utf8(body).unwrap(), want);
    }
}
