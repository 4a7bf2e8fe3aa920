//! The declared decision: from scores to the class that the system acts on.
//!
//! Owns the reading of scores. Must never fall back to arg-max when a cut-off is declared.
//! Called by the harness, the accuracy figures and the gates.

use proofmark_schema::system::OutputKind;

/// How a row of scores becomes a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// What the scores are.
    pub kind: OutputKind,
    /// The rule.
    pub rule: Rule,
}

/// The rule of a decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The class with the highest score; ties go to the lower index.
    Argmax,
    /// Of two classes, `class` is decided when its probability (or score) is at least `at`.
    Cutoff {
        /// Index of the class.
        class: usize,
        /// The cut-off.
        at: f64,
    },
    /// The answer is a number: every finite one is the same "decision", index 0.
    Value,
    /// Two scores, the room left inside a tolerance and 0 (see [`crate::tolerance`]): class 0,
    /// within, while the first is not negative.
    Within,
}

impl Decision {
    /// Arg-max on outputs of this kind.
    pub fn argmax(kind: OutputKind) -> Self {
        Self { kind, rule: Rule::Argmax }
    }

    /// A cut-off on outputs of this kind.
    pub fn cutoff(kind: OutputKind, class: usize, at: f64) -> Self {
        Self { kind, rule: Rule::Cutoff { class, at } }
    }

    /// The decided class; `None` when a score is NaN, or there are none.
    pub fn decide(&self, scores: &[f32]) -> Option<usize> {
        if scores.is_empty() || scores.iter().any(|s| s.is_nan()) {
            return None;
        }
        match self.rule {
            Rule::Value => scores[0].is_finite().then_some(0),
            Rule::Argmax | Rule::Within => Some(argmax(scores)),
            Rule::Cutoff { class, at } => {
                let other = usize::from(class == 0);
                let decided = self.cut_value(scores, class)? >= at;
                Some(if decided { class } else { other })
            }
        }
    }

    /// How far the decision is on the side of `label`: negative once it has left, 0 on the edge.
    ///
    /// Arg-max: score of `label` minus the best other score. Cut-off: probability (or score) of
    /// the class minus the cut-off, with the sign of `label`'s side; log-odds for logits, so
    /// that a saturated probability does not hide the slope. NaN when a score is NaN.
    pub fn margin(&self, scores: &[f32], label: usize) -> f64 {
        match self.rule {
            // Nothing to leave: the number itself, so that a search has something to lower.
            Rule::Value => scores.first().map_or(f64::NAN, |&s| f64::from(s)),
            Rule::Argmax | Rule::Within => {
                let own = scores.get(label).map_or(f64::NAN, |&s| f64::from(s));
                let best = scores.iter().enumerate().filter(|&(j, _)| j != label);
                own - best.map(|(_, &s)| f64::from(s)).fold(f64::NEG_INFINITY, f64::max)
            }
            Rule::Cutoff { class, at } => {
                let side = if label == class { 1.0 } else { -1.0 };
                let gap = if self.kind == OutputKind::Logit {
                    let other = usize::from(class == 0);
                    match (scores.get(class), scores.get(other)) {
                        (Some(&a), Some(&b)) => {
                            f64::from(a) - f64::from(b) - (at / (1.0 - at)).ln()
                        }
                        _ => f64::NAN,
                    }
                } else {
                    self.cut_value(scores, class).map_or(f64::NAN, |v| v - at)
                };
                side * gap
            }
        }
    }

    /// Probabilities in f64: soft-max of logits, probabilities as they are. `None` for outputs
    /// without a probability meaning.
    pub fn probabilities(&self, scores: &[f32]) -> Option<Vec<f64>> {
        match self.kind {
            OutputKind::Probability => Some(scores.iter().map(|&s| f64::from(s)).collect()),
            OutputKind::Logit => Some(softmax(scores)),
            OutputKind::Score | OutputKind::Label | OutputKind::Value => None,
        }
    }

    /// The rule in words, e.g. ``class 1 when its probability is at least 0.3``.
    pub fn describe(&self, classes: &[String]) -> String {
        match self.rule {
            Rule::Argmax => "the class with the highest score".to_string(),
            Rule::Value => "the answer is a number".to_string(),
            Rule::Within => "the answer is within the declared tolerance".to_string(),
            Rule::Cutoff { class, at } => {
                let name = classes.get(class).map_or("?", String::as_str);
                let what = match self.kind {
                    OutputKind::Probability | OutputKind::Logit => "probability",
                    OutputKind::Score | OutputKind::Label | OutputKind::Value => "score",
                };
                format!("`{name}` when its {what} is at least {at}")
            }
        }
    }

    fn cut_value(&self, scores: &[f32], class: usize) -> Option<f64> {
        match self.kind {
            OutputKind::Logit => softmax(scores).get(class).copied(),
            _ => scores.get(class).map(|&s| f64::from(s)),
        }
    }
}

/// Index of the greatest score, the lower index on ties.
pub fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (index, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = index;
        }
    }
    best
}

/// Soft-max in f64, shifted by the maximum. An infinite logit takes all the mass.
pub fn softmax(scores: &[f32]) -> Vec<f64> {
    let top = scores.iter().map(|&s| f64::from(s)).fold(f64::NEG_INFINITY, f64::max);
    let raised: Vec<f64> = scores
        .iter()
        .map(|&s| {
            let s = f64::from(s);
            if s == top { 1.0 } else { (s - top).exp() }
        })
        .collect();
    let sum: f64 = raised.iter().sum();
    raised.iter().map(|v| v / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_follow_the_declared_rule() {
        use OutputKind::{Logit, Probability, Score};
        let log_odds = (0.3_f64 / 0.7).ln() as f32;
        let cases: [(&str, Decision, &[f32], Option<usize>); 11] = [
            ("arg-max", Decision::argmax(Probability), &[0.2, 0.5, 0.3], Some(1)),
            ("tie goes low", Decision::argmax(Probability), &[0.4, 0.4, 0.2], Some(0)),
            ("not arg-max", Decision::cutoff(Probability, 1, 0.3), &[0.65, 0.35], Some(1)),
            ("below", Decision::cutoff(Probability, 1, 0.3), &[0.75, 0.25], Some(0)),
            ("at the cut-off", Decision::cutoff(Probability, 1, 0.25), &[0.75, 0.25], Some(1)),
            ("first class", Decision::cutoff(Probability, 0, 0.8), &[0.75, 0.25], Some(1)),
            ("logit under", Decision::cutoff(Logit, 1, 0.3), &[0.0, log_odds - 0.01], Some(0)),
            ("logit over", Decision::cutoff(Logit, 1, 0.3), &[0.0, log_odds + 0.01], Some(1)),
            ("score", Decision::cutoff(Score, 1, 12.5), &[0.0, 12.5], Some(1)),
            ("nan", Decision::argmax(Logit), &[0.0, f32::NAN], None),
            ("infinite logit", Decision::cutoff(Logit, 1, 0.3), &[0.0, f32::INFINITY], Some(1)),
        ];
        for (name, decision, scores, expected) in cases {
            assert_eq!(decision.decide(scores), expected, "{name}");
        }
    }

    #[test]
    fn the_margin_is_negative_exactly_when_the_decision_has_left() {
        let rules = [
            Decision::argmax(OutputKind::Logit),
            Decision::cutoff(OutputKind::Logit, 1, 0.3),
            Decision::cutoff(OutputKind::Logit, 0, 0.9),
        ];
        for decision in rules {
            for step in -40..40 {
                let scores = [0.1_f32, step as f32 * 0.13 + 0.001];
                let decided = decision.decide(&scores).unwrap();
                for label in 0..2 {
                    let margin = decision.margin(&scores, label);
                    assert_eq!(margin < 0.0, decided != label, "{decision:?} {scores:?} {label}");
                }
            }
        }
    }

    #[test]
    fn softmax_of_equal_logits_is_uniform_and_survives_extremes() {
        assert_eq!(softmax(&[3.0, 3.0]), vec![0.5, 0.5]);
        let far = softmax(&[1000.0, -1000.0]);
        assert_eq!(far, vec![1.0, 0.0]);
    }
}
