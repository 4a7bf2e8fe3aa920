//! Reads `[threats.<name>]`.
//!
//! Owns what holds within one threat. What holds between sections is in `check`.

use super::parse::{check_slug, is_slug};
use super::reader::Section;
use super::{Access, Direction, Goal, Norm, Reference, Scale, Threat, Tolerance};

/// Reads one threat; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> Threat {
    section.only(&KEYS);
    check_slug(section, "threat");
    section.need("norm", "norm = \"linf\"");
    section.need("eps", "eps = [0.02, 0.05]");
    section.need("scale", "scale = \"bounds\"");
    section.need("access", "access = \"white-box\"");
    let (goal, direction) = section.section("goal").map(|s| read_goal(&s)).unwrap_or_default();
    let threat = Threat {
        name: section.name().to_owned(),
        norm: section.choice("norm", &NORMS).unwrap_or(Norm::Linf),
        eps: section.numbers("eps").unwrap_or_default(),
        scale: section.choice("scale", &SCALES).unwrap_or(Scale::Raw),
        goal,
        tolerance: read_tolerance(section),
        direction,
        access: section.choice("access", &ACCESS).unwrap_or(Access::WhiteBox),
        suite: section.text("suite").unwrap_or_else(|| SUITE_DEFAULT.to_owned()),
        models: section.texts("models").unwrap_or_default(),
        queries: section.whole("queries"),
        cost_limit: section.number("cost_limit"),
        actor: section.text("actor"),
        harm: section.text("harm"),
        attempts_per_year: read_attempts(section),
        attempts_reason: section.text("attempts_reason"),
    };
    check_eps(section, &threat);
    section.refuse_repeats("models", &threat.models);
    if !is_slug(&threat.suite, true) {
        let message = format!("`{}` is no name of a suite", threat.suite);
        let help = "write `quick`, or remove `suite`";
        section.refuse("bad-name", "suite", message, "not allowed", help);
    }
    if threat.cost_limit.is_some_and(|limit| limit <= 0.0) {
        let message = "an attacker who cannot pay anything cannot attack";
        let help = "write a limit above 0, or remove `cost_limit`";
        section.refuse("bad-limit", "cost_limit", message, "nothing to spend", help);
    }
    if threat.queries == Some(0) {
        let message = "an attacker without queries cannot attack";
        let help = "write at least 1, or remove `queries`";
        section.refuse("bad-limit", "queries", message, "no query", help);
    }
    threat
}

fn read_goal(section: &Section<'_>) -> (Option<Goal>, Option<Direction>) {
    section.only(&["from", "to", "direction"]);
    if section.has("direction") {
        for key in ["from", "to"] {
            if section.has(key) {
                let message = "a goal names classes or a direction, not both";
                let help = "classes for decisions, a direction for numbers";
                section.refuse("goal-twice", key, message, "beside a direction", help);
            }
        }
        return (None, section.choice("direction", &DIRECTIONS));
    }
    (read_classes(section), None)
}

fn read_classes(section: &Section<'_>) -> Option<Goal> {
    section.need("from", "from = \"bad\"");
    section.need("to", "to = \"good\"");
    let (from, to) = (section.text("from"), section.text("to"));
    let goal = Goal { from: from?, to: to? };
    if goal.from == goal.to {
        let message = format!("the goal goes from `{}` to itself", goal.from);
        let help = "`from` is the decision the attacker gets now, `to` the one wanted";
        section.refuse("goal-same", "to", message, "same as `from`", help);
    }
    Some(goal)
}

/// A number, in the unit of the label, or `{ absolute | relative, from }`.
fn read_tolerance(section: &Section<'_>) -> Option<Tolerance> {
    if !section.has("tolerance") {
        return None;
    }
    let plain = |size| Tolerance { size, relative: false, from: Reference::Answer };
    let read = if section.is_number("tolerance") {
        section.number("tolerance").map(plain)
    } else {
        section.section("tolerance").and_then(|s| read_tolerance_table(&s))
    };
    if read.is_some_and(|t| !t.size.is_finite() || t.size <= 0.0) {
        let message = "a tolerance is positive";
        let help = "write the shift of the answer that begins to matter, e.g. `tolerance = 5000`";
        section.refuse("bad-tolerance", "tolerance", message, "not positive", help);
        return None;
    }
    read
}

fn read_tolerance_table(section: &Section<'_>) -> Option<Tolerance> {
    section.only(&["absolute", "relative", "from"]);
    let relative = section.has("relative");
    if relative == section.has("absolute") {
        let message = "a tolerance is absolute or relative: one of the two";
        let help = "write `{ relative = 0.1 }` for 10 %, or `{ absolute = 5000 }`";
        section.refuse_name("bad-tolerance", message, "not clear", help);
        return None;
    }
    let size = section.number(if relative { "relative" } else { "absolute" })?;
    let from = section.choice("from", &REFERENCES).unwrap_or_default();
    Some(Tolerance { size, relative, from })
}

fn read_attempts(section: &Section<'_>) -> Option<[f64; 2]> {
    let numbers = section.numbers("attempts_per_year")?;
    section.need("attempts_reason", "attempts_reason = \"<where this range comes from>\"");
    match numbers[..] {
        [low, high] if 0.0 <= low && low <= high && high.is_finite() => Some([low, high]),
        _ => {
            let message = "`attempts_per_year` is a range: lowest and highest, not negative";
            let help = "write e.g. `attempts_per_year = [50, 500]`";
            section.refuse("bad-range", "attempts_per_year", message, "no range", help);
            None
        }
    }
}

fn check_eps(section: &Section<'_>, threat: &Threat) {
    let readable = section.count("eps");
    if readable == Some(0) {
        let help = "write at least one budget, e.g. `eps = [0.05]`";
        section.refuse("eps-empty", "eps", "a threat needs a budget", "no budget", help);
    }
    if let Some(bad) = threat.eps.iter().find(|e| **e <= 0.0) {
        let message = format!("the budget {bad} is not positive");
        let help = "the clean accuracy is always measured; write budgets above 0 only";
        section.refuse("eps-not-positive", "eps", message, "not positive", help);
    }
    if let Some((a, b)) = threat.eps.iter().zip(threat.eps.iter().skip(1)).find(|(a, b)| a >= b) {
        let message = format!("the budgets do not ascend: {a} stands before {b}");
        let help = "write each budget once, lowest first";
        section.refuse("eps-not-ascending", "eps", message, "not ascending", help);
    }
    let whole = match threat.scale {
        Scale::Bounds => Some((1.0, "1 is the whole range of a feature")),
        Scale::U8 => Some((255.0, "255 is the whole range of a pixel")),
        Scale::Raw | Scale::Std => None,
    };
    let Some((top, words)) = whole.filter(|_| threat.norm == Norm::Linf && section.has("scale"))
    else {
        return;
    };
    if let Some(bad) = threat.eps.iter().find(|e| **e > top) {
        let message = format!("the budget {bad} is larger than all that can be changed");
        let help = "lower it, or say its unit by `scale`";
        section.refuse("eps-too-large", "eps", message, words, help);
    }
}

/// The suite that runs when none is declared: every verb of it is cheap.
const SUITE_DEFAULT: &str = "quick";
const NORMS: [(&str, Norm); 3] = [("linf", Norm::Linf), ("l2", Norm::L2), ("l1", Norm::L1)];
const SCALES: [(&str, Scale); 4] =
    [("raw", Scale::Raw), ("bounds", Scale::Bounds), ("std", Scale::Std), ("0-255", Scale::U8)];
const ACCESS: [(&str, Access); 3] =
    [("white-box", Access::WhiteBox), ("score", Access::Score), ("decision", Access::Decision)];
const DIRECTIONS: [(&str, Direction); 3] =
    [("up", Direction::Up), ("down", Direction::Down), ("either", Direction::Either)];
const REFERENCES: [(&str, Reference); 2] =
    [("answer", Reference::Answer), ("label", Reference::Label)];
const KEYS: [&str; 14] = [
    "tolerance",
    "cost_limit",
    "norm",
    "eps",
    "scale",
    "goal",
    "access",
    "suite",
    "models",
    "queries",
    "actor",
    "harm",
    "attempts_per_year",
    "attempts_reason",
];
