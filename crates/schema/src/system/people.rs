//! Reads `[people.<name>]`, `[harms.<name>]`, `[misuse.<name>]`, `[use]` and `[papers."<id>"]`.
//!
//! Owns what holds within one of them. What holds between sections is in `check`. Must never
//! judge a risk: `assess` does.

use super::parse::check_slug;
use super::reader::Section;
use super::{Authored, Harm, HarmClass, Misuse, Person, Use};

/// Reads one person.
pub(super) fn read_person(section: &Section<'_>) -> Person {
    section.only(&["name", "role"]);
    check_slug(section, "person");
    section.need("name", "name = \"<name as it stands in the papers>\"");
    section.need("role", "role = \"<function, e.g. quality manager>\"");
    Person {
        id: section.name().to_owned(),
        name: section.text("name").unwrap_or_default(),
        role: section.text("role").unwrap_or_default(),
    }
}

/// Reads one harm.
pub(super) fn read_harm(section: &Section<'_>) -> Harm {
    section.only(&["class", "severity", "people", "vulnerable", "rationale"]);
    check_slug(section, "harm");
    section.need("class", "class = \"fundamental-rights\"");
    section.need("severity", "severity = 3");
    section.need("people", "people = \"<who is harmed>\"");
    section.need("rationale", "rationale = \"<why this severity fits>\"");
    let severity = read_level(section, "severity");
    Harm {
        name: section.name().to_owned(),
        class: section.choice("class", &HARMS).unwrap_or(HarmClass::FundamentalRights),
        severity: severity.unwrap_or(1),
        people: section.text("people").unwrap_or_default(),
        vulnerable: section.text("vulnerable"),
        rationale: section.text("rationale").unwrap_or_default(),
    }
}

/// Reads one foreseeable misuse.
pub(super) fn read_misuse(section: &Section<'_>) -> Misuse {
    section.only(&["what", "harm", "likelihood", "reason"]);
    check_slug(section, "misuse");
    section.need("what", "what = \"<who uses it how, against its purpose>\"");
    section.need("harm", "harm = \"<name of a harm>\"");
    section.need("likelihood", "likelihood = 2");
    section.need("reason", "reason = \"<why this likelihood fits>\"");
    Misuse {
        name: section.name().to_owned(),
        what: section.text("what").unwrap_or_default(),
        harm: section.text("harm").unwrap_or_default(),
        likelihood: read_level(section, "likelihood").unwrap_or(1),
        reason: section.text("reason").unwrap_or_default(),
    }
}

/// Reads `[use]`.
pub(super) fn read_use(section: &Section<'_>) -> Use {
    section.only(&["retest_days", "risk_owner", "approver", "no_misuse"]);
    let retest_days = section.whole("retest_days").and_then(|d| u32::try_from(d).ok());
    if section.has("retest_days") && !retest_days.is_some_and(|d| (1..=DAYS_MAX).contains(&d)) {
        let message = "a figure must be measured again after a number of days";
        let help = format!("write `retest_days` from 1 to {DAYS_MAX}");
        section.refuse("bad-limit", "retest_days", message, "out of range", help);
    }
    Use {
        retest_days,
        risk_owner: section.text("risk_owner"),
        approver: section.text("approver"),
        no_misuse: section.text("no_misuse"),
    }
}

/// Reads one authored text of the papers.
pub(super) fn read_authored(section: &Section<'_>) -> Authored {
    section.only(&["text", "owner", "not_applicable"]);
    if !section.has("not_applicable") {
        section.need("text", "text = \"\"\"<what the point asks for>\"\"\"");
    }
    section.need("owner", "owner = \"<name of a person>\"");
    if section.has("text") && section.has("not_applicable") {
        let message = format!("`{}` has a text and does not apply", section.title());
        let help = "keep one of `text` and `not_applicable`";
        section.refuse("both-texts", "not_applicable", message, "one of the two", help);
    }
    Authored {
        id: section.name().to_owned(),
        text: section.text("text").unwrap_or_default(),
        owner: section.text("owner").unwrap_or_default(),
        not_applicable: section.text("not_applicable"),
    }
}

/// A level of the scale, 1 to 5.
fn read_level(section: &Section<'_>, key: &str) -> Option<u8> {
    let level = section.whole(key)?;
    let fits = u8::try_from(level).ok().filter(|l| (1..=LEVEL_MAX).contains(l));
    if fits.is_none() {
        let message = format!("`{key}` is a level from 1 to {LEVEL_MAX}, not {level}");
        let help = "1 is negligible or rare, 5 catastrophic or almost certain";
        section.refuse("bad-level", key, message, "not on the scale", help);
    }
    fits
}

const HARMS: [(&str, HarmClass); 4] = [
    ("health", HarmClass::Health),
    ("safety", HarmClass::Safety),
    ("fundamental-rights", HarmClass::FundamentalRights),
    ("property", HarmClass::Property),
];
/// Five levels are what a person can tell apart.
const LEVEL_MAX: u8 = 5;
/// Ten years: as long as the file is kept (Art. 18).
const DAYS_MAX: u32 = 3653;
