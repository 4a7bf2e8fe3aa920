//! An attack on a model that answers with a number: which shift counts, and which way.
//!
//! Owns the reading of `--tolerance` and its company, and the refusal where they are missing or
//! where arguments about classes stand beside them. Called by `declared`.

use proofmark_engine::model::Model;
use proofmark_schema::system::{Direction, Reference, Tolerance};

use super::judged::width_of;
use super::{Args, FromName, KindName};
use crate::failure::{Failure, Outcome};

/// What is asked of an attack on a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// Which shift counts.
    pub tolerance: Tolerance,
    /// Which way.
    pub direction: Direction,
}

/// `20` in the unit of the label, or `10%` of the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    size: f64,
    relative: bool,
}

/// Reads a size; it is positive.
///
/// # Errors
/// What is no positive number, or no share.
pub fn size(text: &str) -> Result<Size, String> {
    let (number, relative) = match text.trim().strip_suffix('%') {
        Some(share) => (share.trim(), true),
        None => (text.trim(), false),
    };
    let size: Option<f64> = number.parse().ok();
    let size = size.map(|v: f64| if relative { v / 100.0 } else { v });
    match size.filter(|v| v.is_finite() && *v > 0.0) {
        Some(size) => Ok(Size { size, relative }),
        None => Err("a positive number in the unit of the label, or a share like 10%".to_owned()),
    }
}

/// The arguments of a regression, where `--tolerance` is given.
///
/// # Errors
/// Arguments about classes beside it, arguments about numbers without it.
pub fn asked(args: &Args) -> Outcome<Option<Number>> {
    let value = args.output_kind == Some(KindName::Value);
    let Some(Size { size, relative }) = args.tolerance else {
        if value {
            return Err(unsaid("`--output-kind value` is the answer of a regression"));
        }
        let company =
            [("--tolerance-from", args.tolerance_from.is_some()), ("--unit", args.unit.is_some())];
        return match company.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(unsaid(format!("`{flag}` is about a label that is a number"))),
            None => Ok(None),
        };
    };
    let classes = [
        ("--decision", args.decision != "argmax"),
        ("--classes", !args.classes.is_empty()),
        ("--output-kind", args.output_kind.is_some() && !value),
    ];
    if let Some((flag, _)) = classes.into_iter().find(|(_, given)| *given) {
        return Err(Failure::new(
            "tolerance",
            format!("`{flag}` is about classes, `--tolerance` about a label that is a number"),
            "leave one of them out",
        ));
    }
    let from = match args.tolerance_from {
        Some(FromName::Label) => Reference::Label,
        Some(FromName::Answer) | None => Reference::Answer,
    };
    let direction = match args.goal.as_deref() {
        None | Some("either") => Direction::Either,
        Some("up") => Direction::Up,
        Some("down") => Direction::Down,
        Some(other) => {
            return Err(Failure::new(
                "goal",
                format!("`{other}` is no direction, and a label that is a number has no classes"),
                "--goal up, down or either",
            ));
        }
    };
    Ok(Some(Number { tolerance: Tolerance { size, relative, from }, direction }))
}

/// Refuses labels that can only be numbers where nothing says which shift counts.
///
/// # Errors
/// Labels with fractions, or more than two values beside a model with one answer.
pub fn said(args: &Args, model: &Model, labels: &[String]) -> Outcome<()> {
    let numbers: Option<Vec<f64>> = labels.iter().map(|text| text.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|n| n.len() > TWO && args.classes.is_empty()) else {
        return Ok(());
    };
    let fractions = numbers.iter().any(|v| v.fract() != 0.0);
    let one_answer = width_of(model, args.output.as_deref()) == Some(1);
    if !fractions && !one_answer {
        return Ok(());
    }
    let found = match fractions {
        true => "with fractions",
        false => "more than two of them, and the model has one answer",
    };
    Err(unsaid(format!("the labels are numbers ({found}): this is a regression")))
}

fn unsaid(found: impl std::fmt::Display) -> Failure {
    Failure::new(
        "tolerance",
        format!("{found}, and it is not said which shift of the answer counts"),
        "say it in the unit of the label, --tolerance 20, or as a share, --tolerance 10%; classes \
         are named by --classes",
    )
}

/// Labels up to which one answer decides between classes.
const TWO: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_or_a_share() {
        let whole = |size| Ok(Size { size, relative: false });
        let share = |size| Ok(Size { size, relative: true });
        let cases =
            [("20", whole(20.0)), (" 0.5 ", whole(0.5)), ("10%", share(0.1)), ("5 %", share(0.05))];
        for (text, wanted) in cases {
            assert_eq!(size(text), wanted, "{text}");
        }
        for text in ["", "%", "0", "-3", "0%", "inf", "NaN", "ten", "1e999"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
