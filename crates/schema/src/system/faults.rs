//! Reads `[faults.<name>]`: errors and faults that are set on purpose (Art. 15(4)).
//!
//! Owns what holds within one fault. What holds between sections is in `check`; which kinds
//! there are, the plan says. Must never measure.

use serde::{Deserialize, Serialize};

use super::parse::{check_slug, is_slug};
use super::reader::Section;

/// An error or fault that is set on purpose, and how strongly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Name in the declaration (`faults.<name>`).
    pub name: String,
    /// Kind: a fault of tables, a corruption of images, `corruptions`, `weight-bits`,
    /// `activation-bits` or `availability`.
    pub kind: String,
    /// Models it is set on; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Columns of a table it hits; empty: every input column that it can hit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Whether each column is hit alone, instead of all in one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_column: bool,
    /// Severities, ascending, from 1 to 5.
    pub severities: Vec<u8>,
    /// Factor of a swapped unit, e.g. 100 for cents in the place of euros.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Bit faults: injections per severity. Availability: inputs that are tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<u64>,
}

/// Reads one fault; what is wrong is reported and left at a neutral value.
pub(super) fn read(section: &Section<'_>) -> Fault {
    section.only(&KEYS);
    check_slug(section, "fault");
    section.need("kind", "kind = \"missing\"");
    let fault = Fault {
        name: section.name().to_owned(),
        kind: section.text("kind").unwrap_or_default(),
        models: section.texts("models").unwrap_or_default(),
        columns: section.texts("columns").unwrap_or_default(),
        per_column: section.flag("per_column").unwrap_or(false),
        severities: read_severities(section),
        factor: section.number("factor"),
        trials: section.whole("trials"),
    };
    section.refuse_repeats("models", &fault.models);
    section.refuse_repeats("columns", &fault.columns);
    if !fault.kind.is_empty() && !is_slug(&fault.kind, true) {
        let message = format!("`{}` is no name of a kind of fault", fault.kind);
        section.refuse("bad-name", "kind", message, "not allowed", "write e.g. `missing`");
    }
    if fault.factor.is_some_and(|f| !f.is_finite() || f <= 0.0 || f == 1.0) {
        let message = "a factor is positive and not 1";
        let help = "write e.g. `factor = 100` for cents in the place of euros, or `factor = 0.01`";
        section.refuse("bad-factor", "factor", message, "changes nothing, or no unit", help);
    }
    if fault.trials.is_some_and(|t| t == 0 || t > TRIALS_MAX) {
        let message = format!("`trials` lies between 1 and {TRIALS_MAX}");
        section.refuse("bad-limit", "trials", message, "out of range", "write e.g. 500");
    }
    fault
}

fn read_severities(section: &Section<'_>) -> Vec<u8> {
    let Some(listed) = section.wholes("severities") else { return (1..=SEVERITY_MAX).collect() };
    let fits = |s: &usize| (1..=usize::from(SEVERITY_MAX)).contains(s);
    let ascending = listed.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if listed.is_empty() || !listed.iter().all(fits) || !ascending {
        let message = "severities go from 1 to 5, each once, lowest first";
        let help = "write e.g. `severities = [1, 3, 5]`, or leave it out for all five";
        section.refuse("bad-severity", "severities", message, "not such a list", help);
        return (1..=SEVERITY_MAX).collect();
    }
    listed.iter().filter_map(|s| u8::try_from(*s).ok()).collect()
}

/// The strongest severity: five levels, as in the corruptions of Hendrycks and Dietterich 2019.
pub const SEVERITY_MAX: u8 = 5;
/// Injections or inputs of one severity: enough for an interval of half a point, and an end.
const TRIALS_MAX: u64 = 100_000;
const KEYS: [&str; 7] =
    ["kind", "models", "columns", "per_column", "severities", "factor", "trials"];
