//! Reads `[threats.<name>]`.
//!
//! Owns what holds within one threat. What holds between sections is in `check`.

use super::parse::{check_slug, is_slug};
use super::reader::Section;
use super::{Access, Goal, Norm, Scale, Threat};

/// Reads one threat; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> Threat {
    section.only(&KEYS);
    check_slug(section, "threat");
    section.need("norm", "norm = \"linf\"");
    section.need("eps", "eps = [0.02, 0.05]");
    section.need("scale", "scale = \"bounds\"");
    section.need("access", "access = \"white-box\"");
    let threat = Threat {
        name: section.name().to_owned(),
        norm: section.choice("norm", &NORMS).unwrap_or(Norm::Linf),
        eps: section.numbers("eps").unwrap_or_default(),
        scale: section.choice("scale", &SCALES).unwrap_or(Scale::Raw),
        goal: section.section("goal").and_then(|s| read_goal(&s)),
        access: section.choice("access", &ACCESS).unwrap_or(Access::WhiteBox),
        suite: section.text("suite").unwrap_or_else(|| SUITE_DEFAULT.to_owned()),
        models: section.texts("models").unwrap_or_default(),
        queries: section.whole("queries"),
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
    if threat.queries == Some(0) {
        let message = "an attacker without queries cannot attack";
        let help = "write at least 1, or remove `queries`";
        section.refuse("bad-limit", "queries", message, "no query", help);
    }
    threat
}

fn read_goal(section: &Section<'_>) -> Option<Goal> {
    section.only(&["from", "to"]);
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
const KEYS: [&str; 12] = [
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
