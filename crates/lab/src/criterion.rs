//! What counts as success for the attacker, as a value.
//!
//! Owns which rows are attackable and when one is broken. Must never look at distances or
//! scores: it compares decisions. Called by the harness.

/// Success of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// Any decision other than the label.
    Leave,
    /// From one class to another, at the declared decision.
    Goal {
        /// Class the attacker starts from.
        from: usize,
        /// Class the attacker wants.
        to: usize,
    },
}

impl Criterion {
    /// Whether a row is attacked: its clean decision is correct and, under a goal, is `from`.
    pub fn attackable(self, label: usize, decision: Option<usize>) -> bool {
        decision == Some(label)
            && match self {
                Self::Leave => true,
                Self::Goal { from, .. } => label == from,
            }
    }

    /// Whether a decision is a success. No decision (NaN scores) is none.
    pub fn broken(self, label: usize, decision: Option<usize>) -> bool {
        match (self, decision) {
            (_, None) => false,
            (Self::Leave, Some(decided)) => decided != label,
            (Self::Goal { to, .. }, Some(decided)) => decided == to,
        }
    }

    /// The class to be reached, when only one will do.
    pub fn target(self) -> Option<usize> {
        match self {
            Self::Leave => None,
            Self::Goal { to, .. } => Some(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_select_rows_and_successes() {
        let leave = Criterion::Leave;
        let goal = Criterion::Goal { from: 1, to: 0 };
        // (criterion, label, clean decision, attackable)
        let rows = [
            (leave, 0, Some(0), true),
            (leave, 0, Some(1), false),
            (leave, 0, None, false),
            (goal, 1, Some(1), true),
            (goal, 1, Some(0), false),
            (goal, 0, Some(0), false),
            (goal, 2, Some(2), false),
        ];
        for (criterion, label, decision, expected) in rows {
            assert_eq!(criterion.attackable(label, decision), expected, "{criterion:?} {label}");
        }
        // (criterion, label, decision at the candidate, broken)
        let successes = [
            (leave, 0, Some(1), true),
            (leave, 0, Some(0), false),
            (leave, 0, None, false),
            (goal, 1, Some(0), true),
            (goal, 1, Some(2), false),
            (goal, 1, Some(1), false),
        ];
        for (criterion, label, decision, expected) in successes {
            assert_eq!(criterion.broken(label, decision), expected, "{criterion:?} {decision:?}");
        }
    }
}
