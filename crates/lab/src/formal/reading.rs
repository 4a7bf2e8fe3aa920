//! What it takes to change the decision, said of margins.
//!
//! Owns the road from margins (sums of trees, last values of a network), the link behind them and
//! the declared decision to inequalities of margins. Must never take a link whose order it does
//! not know: those are refused by name. Called by [`super::trees`] and [`super::networks`].

use proofmark_engine::trees::{Ensemble, Kind, Link};
use proofmark_schema::system::OutputKind;

use crate::decision::{Decision, Rule};

/// A decision for which no inequality of margins is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the decision is made on {what}, for which no inequality of margins is known here")]
pub struct ReadingError {
    /// What it is made on.
    pub what: String,
}

/// Margins and what a model makes of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins {
    /// How many.
    pub outputs: usize,
    /// From margins to answers.
    pub link: Link,
    /// Whether one margin `m` is answered as the scores `-m` and `m`.
    pub mirrored: bool,
}

impl Margins {
    /// Those of an ensemble.
    pub fn of(ensemble: &Ensemble) -> Self {
        let mirrored = ensemble.kind() == Kind::Scores;
        Self { outputs: ensemble.outputs, link: ensemble.link, mirrored }
    }
}

/// Which output of a model is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Its answers, through the link.
    Answers,
    /// Its only margin as a share: the answers are the rest to 1, and it.
    Shares,
    /// Its margins.
    Margins,
    /// The labels it decides.
    Labels,
}

/// How margins become classes.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Class `class` is decided when `margin[up] - margin[down]` is above (`closed`: at least)
    /// `threshold`, else class `other`.
    Two {
        /// Decided when the inequality holds.
        class: usize,
        /// Decided when it does not.
        other: usize,
        /// Margin that speaks for `class`.
        up: usize,
        /// Margin that speaks against it.
        down: Option<usize>,
        /// Cut.
        threshold: f64,
        /// Whether equality decides for `class`.
        closed: bool,
    },
    /// The class with the greatest margin, ties to the lower class: output of each class.
    Top(Vec<usize>),
}

/// One way to change a decision: `margin[up] - margin[down]` above (`closed`: at least)
/// `threshold`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// Margin to raise.
    pub up: Option<usize>,
    /// Margin to lower.
    pub down: Option<usize>,
    /// What the difference must exceed.
    pub threshold: f64,
    /// Whether equality is enough.
    pub closed: bool,
    /// The class aimed at.
    pub to: usize,
}

impl Reading {
    /// The reading of a judged output at a declared decision; `columns` gives the column of each
    /// class in that output.
    ///
    /// # Errors
    /// A link or a rule whose inequality of margins is not known here.
    pub fn of(
        e: Margins,
        judged: Judged,
        decision: &Decision,
        columns: &[usize],
    ) -> Result<Self, ReadingError> {
        let no = |what: &str| Err(ReadingError { what: what.to_string() });
        if columns.len() < 2 {
            return no("a number: it has no classes to leave");
        }
        match decision.rule {
            Rule::Value | Rule::Within => no("a number: it has no classes to leave"),
            Rule::Argmax if e.outputs == 1 => single(e, judged, decision, columns, None),
            Rule::Argmax => match (judged, e.link) {
                (Judged::Margins | Judged::Labels, _)
                | (_, Link::Identity | Link::Softmax | Link::LogisticEach { .. }) => {
                    if e.outputs != columns.len() {
                        return no("as many outputs as there are no classes");
                    }
                    Ok(Self::Top(columns.to_vec()))
                }
                (_, link) => no(&format!("through the link {link:?}")),
            },
            Rule::Cutoff { class, at } if e.outputs == 1 => {
                single(e, judged, decision, columns, Some((class, at)))
            }
            Rule::Cutoff { class, at } => pair(e, judged, decision, columns, (class, at)),
        }
    }

    /// The class that margins decide.
    pub fn decide(&self, margins: &[f64]) -> usize {
        match self {
            Self::Two { class, other, up, down, threshold, closed } => {
                let gap = margins[*up] - down.map_or(0.0, |d| margins[d]);
                let holds = if *closed { gap >= *threshold } else { gap > *threshold };
                if holds { *class } else { *other }
            }
            Self::Top(outputs) => {
                let mut best = 0;
                for (class, &output) in outputs.iter().enumerate() {
                    if margins[output] > margins[outputs[best]] {
                        best = class;
                    }
                }
                best
            }
        }
    }

    /// Ways to leave a class: to any other, or to one of them. The decision has left exactly
    /// where one of them is reached, but for a goal among more than two classes, where reaching
    /// is not enough and [`Reading::decide`] says the rest.
    pub fn aims(&self, from: usize, goal: Option<usize>) -> Vec<Aim> {
        match self {
            Self::Two { class, other, up, down, threshold, closed } => {
                let to = if from == *class { *other } else { *class };
                if goal.is_some_and(|goal| goal != to) {
                    return Vec::new();
                }
                vec![match from == *class {
                    false => Aim {
                        up: Some(*up),
                        down: *down,
                        threshold: *threshold,
                        closed: *closed,
                        to,
                    },
                    true => Aim {
                        up: *down,
                        down: Some(*up),
                        threshold: -threshold,
                        closed: !closed,
                        to,
                    },
                }]
            }
            Self::Top(outputs) => {
                let others = (0..outputs.len()).filter(|&to| to != from);
                others
                    .filter(|&to| goal.is_none_or(|goal| goal == to))
                    .map(|to| Aim {
                        up: Some(outputs[to]),
                        down: Some(outputs[from]),
                        threshold: 0.0,
                        // Ties go to the lower class.
                        closed: to < from,
                        to,
                    })
                    .collect()
            }
        }
    }

    /// How much of a margin the link and an answer in `f32` can take or give before the decision.
    /// Infinite where answers can saturate, each by itself, so that their order is lost.
    pub fn rounding(&self, link: Link, decision: &Decision) -> f64 {
        let cut = match decision.rule {
            Rule::Cutoff { at, .. } if at > 0.0 && at < 1.0 => at,
            _ => 0.5,
        };
        let answer = ANSWER_ROUNDINGS * f64::from(f32::EPSILON);
        // A step of a probability `p` is a step of `1 / (p (1 - p))` times its size in log-odds.
        match link {
            Link::LogisticEach { .. } if self.classes() > 2 => f64::INFINITY,
            Link::Identity => answer * cut.abs().max(1.0),
            Link::Logistic { scale } | Link::LogisticEach { scale, .. } => {
                answer / (cut * (1.0 - cut)) / scale.abs().max(f64::MIN_POSITIVE)
            }
            _ => answer / (cut * (1.0 - cut)),
        }
    }

    /// Classes.
    pub fn classes(&self) -> usize {
        match self {
            Self::Two { .. } => 2,
            Self::Top(outputs) => outputs.len(),
        }
    }
}

/// Roundings between margin and decision: exponential, sum, division, conversion, each with a
/// few units of the last place, on both sides of the comparison.
const ANSWER_ROUNDINGS: f64 = 32.0;

/// One margin, two classes: the column of the answers that grows with the margin is the second.
fn single(
    e: Margins,
    judged: Judged,
    decision: &Decision,
    columns: &[usize],
    cut: Option<(usize, f64)>,
) -> Result<Reading, ReadingError> {
    let no = |what: String| Err(ReadingError { what });
    let Some(class) = columns.iter().position(|&c| c == 1).filter(|_| columns.len() == 2) else {
        return no(format!("one margin for {} classes", columns.len()));
    };
    let other = 1 - class;
    // Ties go to the lower class.
    let two = |threshold: f64, closed: bool| {
        Ok(Reading::Two { class, other, up: 0, down: None, threshold, closed })
    };
    let probability = judged == Judged::Shares;
    let link = if judged == Judged::Margins { Link::Identity } else { e.link };
    let Some((cut_class, at)) = cut else {
        return match link {
            Link::Identity if probability => two(0.5, class < other),
            // One column of probabilities that no link makes: the rest to 1 is the other.
            Link::Identity if decision.kind == OutputKind::Probability => two(0.5, class < other),
            Link::Identity | Link::Logistic { .. } => two(0.0, class < other),
            Link::LogisticEach { .. } => two(0.0, class < other),
            Link::Step => two(0.0, false),
            link => no(format!("through the link {link:?}")),
        };
    };
    let upper = cut_class == class;
    // The class is decided at `value >= at`, the other at `value <= 1 - at`, so the class above.
    let side = if upper { at } else { 1.0 - at };
    let odds = (side / (1.0 - side)).ln();
    match (link, decision.kind) {
        // Taken for logits, what is a probability already would be squashed once more.
        (Link::Logistic { .. } | Link::LogisticEach { .. }, OutputKind::Logit) => {
            no("logits that are probabilities already".to_string())
        }
        (Link::Logistic { scale } | Link::LogisticEach { scale, .. }, _) if scale > 0.0 => {
            two(odds / scale, upper)
        }
        (Link::Step, _) => two(0.0, false),
        (Link::Identity, _) if probability => two(side, upper),
        // Of one margin `m` the logits are `-m` and `m`: their gap is twice the margin.
        (Link::Identity, OutputKind::Logit) if e.mirrored && judged == Judged::Answers => {
            two(odds / 2.0, upper)
        }
        (Link::Identity, OutputKind::Logit) => two(odds, upper),
        (Link::Identity, OutputKind::Probability) => two(side, upper),
        (Link::Identity, OutputKind::Score) if upper => two(at, true),
        // Of one margin `m` the scores are `-m` and `m`; a bare number has no second one.
        (Link::Identity, OutputKind::Score) if e.mirrored => two(-at, false),
        (link, kind) => no(format!("a cut-off on {kind:?} through the link {link:?}")),
    }
}

/// Two margins and a cut-off.
fn pair(
    e: Margins,
    judged: Judged,
    decision: &Decision,
    columns: &[usize],
    (class, at): (usize, f64),
) -> Result<Reading, ReadingError> {
    let no = |what: String| Err(ReadingError { what });
    if columns.len() != 2 || e.outputs != 2 {
        return no(format!("a cut-off among {} outputs", e.outputs));
    }
    let other = 1 - class;
    let (up, rest) = (columns[class], columns[other]);
    let odds = (at / (1.0 - at)).ln();
    let two = |down: Option<usize>, threshold: f64| {
        Ok(Reading::Two { class, other, up, down, threshold, closed: true })
    };
    let link = if judged == Judged::Margins { Link::Identity } else { e.link };
    match (link, decision.kind) {
        (Link::Softmax, OutputKind::Logit) => {
            no("logits that are probabilities already".to_string())
        }
        (Link::Softmax, _) | (Link::Identity, OutputKind::Logit) => two(Some(rest), odds),
        (Link::Identity, OutputKind::Probability | OutputKind::Score) => two(None, at),
        (Link::LogisticEach { scale, normalised: false }, OutputKind::Probability) => {
            two(None, odds / scale)
        }
        (link, kind) => no(format!("a cut-off on {kind:?} through the link {link:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_the_decision_decides() {
        let kinds = [OutputKind::Logit, OutputKind::Score];
        for (kind, at) in kinds.into_iter().flat_map(|k| [0.2, 0.3, 0.5, 0.8].map(|at| (k, at))) {
            for class in 0..2 {
                let decision = Decision::cutoff(kind, class, at);
                let margins = Margins { outputs: 1, link: Link::Identity, mirrored: true };
                let reading =
                    Reading::of(margins, Judged::Answers, &decision, &[0, 1]).expect("known");
                for step in -40..=40 {
                    // never on the cut itself
                    let m = f64::from(step) / 10.0 + 0.013;
                    let scores = [-m as f32, m as f32];
                    let decided = decision.decide(&scores);
                    assert_eq!(Some(reading.decide(&[m])), decided, "{kind:?} {at} {class} {m}");
                }
            }
        }
        for link in [Link::Softmax, Link::Logistic { scale: 1.0 }] {
            let outputs = if link == Link::Softmax { 2 } else { 1 };
            let margins = Margins { outputs, link, mirrored: false };
            let twice = Decision::cutoff(OutputKind::Logit, 1, 0.6);
            let error = Reading::of(margins, Judged::Answers, &twice, &[0, 1]).unwrap_err();
            assert!(error.to_string().contains("probabilities already"), "{error}");
        }
    }
}
