//! What a policy means in effect: limits per feature, what is on, and where it is weak.
//!
//! Owns the list of weak points. Must never call a policy safe: it names what it can see. Called by
//! `guard check`, and by the start of the guard, which records the ids.

use serde::{Deserialize, Serialize};

use super::{Mode, Policy, Range, UpstreamProtocol};
use crate::intake::Intake;
use crate::keys::KeyFile;

/// A weak point of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weak {
    /// Stable id.
    pub id: String,
    /// What is weak, and what follows from it.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

/// The limits of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureLimits {
    /// Name.
    pub name: String,
    /// Type, in words.
    pub kind: String,
    /// What may come in.
    pub allowed: String,
    /// Whether a served model reads it; what none reads is refused.
    pub read: bool,
    /// Whether its values are kept in clear in the record.
    pub kept: bool,
}

/// What is known beside the policy.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Models whose file is not the assessed one, or was never assessed.
    pub unassessed: Vec<String>,
    /// Whether the run that assessed them was complete.
    pub complete: bool,
    /// Whether there are rows for known answers.
    pub known_rows: bool,
    /// Now, RFC 3339 in UTC.
    pub now: String,
    /// A year from now, in the same form.
    pub in_a_year: String,
    /// Features that name groups of people.
    pub groups: Vec<String>,
}

/// The limits of every declared feature.
pub fn limits(policy: &Policy, intake: &Intake) -> Vec<FeatureLimits> {
    let each = intake.fields().iter().map(|field| {
        let allowed = match (field.bounds, field.allowed(), field.shape) {
            (_, _, Some([c, h, w])) => {
                let range =
                    field.bounds.map_or_else(String::new, |[l, u]| format!(", each {l} to {u}"));
                format!("{c} x {h} x {w} numbers{range}")
            }
            (Some([low, high]), _, _) => format!("{low} to {high}"),
            (None, [], _) if field.kind.is_numeric() => "any finite number".to_owned(),
            (None, [], _) => "any text of at most 4096 characters".to_owned(),
            (None, values, _) => {
                let shown: Vec<String> = values.iter().map(|v| format!("`{v}`")).collect();
                shown.join(", ")
            }
        };
        FeatureLimits {
            name: field.name.clone(),
            kind: field.kind_words().to_owned(),
            allowed,
            read: field.read,
            kept: policy.record_fields.contains(&field.name),
        }
    });
    each.collect()
}

/// What is weak, the gravest first.
pub fn weak_points(
    policy: &Policy,
    intake: &Intake,
    keys: &KeyFile,
    about: &Circumstances,
) -> Vec<Weak> {
    let mut found = Vec::new();
    serving(&mut found, policy, about);
    upstreams(&mut found, policy, about);
    entering(&mut found, policy, intake);
    leaving(&mut found, policy, about);
    holders(&mut found, keys, about);
    found
}

fn serving(found: &mut Vec<Weak>, policy: &Policy, about: &Circumstances) {
    if policy.mode == Mode::PassThrough {
        let what = "`mode = \"pass-through\"`: no key, no limits, no validation, no record, no \
                    fall-back; whatever comes on an allowed path reaches the model";
        add(found, "pass-through", what, "remove `mode`; it is for measuring only");
    }
    for model in &about.unassessed {
        let what = format!("models.{model} is served without an assessment of this very file");
        add(found, "unassessed", &what, "run `proofmark assess`, then start without --unassessed");
    }
    if !about.complete && about.unassessed.is_empty() {
        let what = "the run that assessed these models is not complete: some figures are missing";
        add(found, "incomplete-run", what, "run `proofmark assess` to its end");
    }
    if policy.backup.is_none() {
        let what = "there is no backup: when the primary fails, nobody decides";
        add(found, "no-backup", what, "declare `[backup]` with a model of another kind");
    }
}

fn upstreams(found: &mut Vec<Weak>, policy: &Policy, about: &Circumstances) {
    for source in policy.sources() {
        let Some(upstream) = &source.upstream else { continue };
        let name = &source.model;
        let host = upstream.authority.rsplit_once(':').map_or("", |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let near = bare == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !near {
            let what = format!("the upstream of {name} is asked in clear over the network");
            add(found, "upstream-in-clear", &what, "put the guard beside its model server");
        }
        if !about.known_rows {
            let what = format!("no known answers: nobody notices when {name} is swapped upstream");
            add(
                found,
                "no-known-answers",
                &what,
                "declare a test set, and leave `known_answers.rows` above 0",
            );
        }
        if upstream.protocol == UpstreamProtocol::Json {
            let what = format!(
                "the JSON scorer of {name} gives no id: an answer out of turn shows \
                                only by its shape"
            );
            add(found, "no-answer-id", &what, "speak the Open Inference Protocol upstream");
        }
    }
}

fn entering(found: &mut Vec<Weak>, policy: &Policy, intake: &Intake) {
    let open = |numeric: bool| -> Vec<String> {
        let read = intake.fields().iter().filter(|f| f.read && f.shape.is_none());
        let free = read.filter(|f| {
            let unlimited = if numeric { f.bounds.is_none() } else { f.allowed().is_empty() };
            f.kind.is_numeric() == numeric && unlimited && f.narrowed.is_none()
        });
        free.map(|f| format!("`{}`", f.name)).collect()
    };
    for (id, numeric, word) in [("open-range", true, "number"), ("open-text", false, "text")] {
        let names = open(numeric);
        if !names.is_empty() {
            let what = format!("any {word} is let in for {}", names.join(", "));
            add(found, id, &what, "declare `bounds` or `values`, or use the schema of `harden`");
        }
    }
    if policy.limits.range == Range::Declared {
        let what = "ranges are the declared ones, which may be wider than what the model was \
                    trained on";
        let fix = "`proofmark harden` writes an input schema; name it as `range`";
        add(found, "declared-ranges", what, fix);
    }
    if policy.limits.requests_per_second > RATE_FAST {
        let rate = policy.limits.requests_per_second;
        let what = format!(
            "{rate} rows a second and key: a copy of the model can be learned from {} answers \
             within an hour",
            u64::from(rate) * 3_600
        );
        add(found, "fast-rate", &what, "lower `requests_per_second` to what callers need");
    }
    if policy.limits.body_bytes > BODY_LARGE {
        let what = format!("bodies of up to {} bytes are read", policy.limits.body_bytes);
        add(found, "large-body", &what, "lower `body_bytes` to the largest request you expect");
    }
}

fn leaving(found: &mut Vec<Weak>, policy: &Policy, about: &Circumstances) {
    if policy.release.scores && policy.release.decimals > DECIMALS_FINE {
        let what = format!(
            "scores leave with {} decimals: the finer, the fewer questions an attacker needs",
            policy.release.decimals
        );
        add(found, "fine-scores", &what, "lower `decimals`, or set `scores = false`");
    }
    let kept: Vec<String> = policy.record_fields.iter().map(|f| format!("`{f}`")).collect();
    if !kept.is_empty() {
        let groups = policy.record_fields.iter().any(|f| about.groups.contains(f));
        let more = if groups { "; among them features that name groups of people" } else { "" };
        let what =
            format!("the record keeps {} in clear{more}, and it cannot be erased", kept.join(", "));
        add(found, "fields-in-clear", &what, "keep only what monitoring needs, with a legal basis");
    }
}

fn holders(found: &mut Vec<Weak>, keys: &KeyFile, about: &Circumstances) {
    let now = about.now.get(..19).unwrap_or_default();
    let live = keys.keys.iter().filter(|k| k.revoked.is_none());
    let live: Vec<_> = live.filter(|k| k.expires.get(..19).unwrap_or_default() > now).collect();
    if live.is_empty() {
        let what = "there is no key that opens anything: every request is refused";
        add(found, "no-key", what, "make one: proofmark guard key new --scope score");
    }
    let year = about.in_a_year.get(..19).unwrap_or_default();
    for key in live.iter().filter(|k| k.expires.get(..19).unwrap_or_default() > year) {
        let what = format!("key {} is good for more than a year", key.id);
        add(found, "long-key", &what, "make one that ends sooner, and revoke this one");
    }
}

fn add(found: &mut Vec<Weak>, id: &str, what: &str, fix: &str) {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    found.push(Weak { id: id.to_owned(), what: squeeze(what), fix: fix.to_owned() });
}

/// Rows a second and key from which an hour gives enough answers to copy a small model.
const RATE_FAST: u32 = 200;
/// Bytes of a body that only images need.
const BODY_LARGE: usize = 8 << 20;
/// Decimals of a score that a person can use.
const DECIMALS_FINE: u8 = 3;
