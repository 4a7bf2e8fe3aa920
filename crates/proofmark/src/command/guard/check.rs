//! `guard check`: what the policy means in effect, and where it is weak.

use std::fmt::Write as _;
use std::process::ExitCode;

use proofmark_server::guard::{KEYS_NAME, ServedFile};
use proofmark_server::keys::KeyFile;
use proofmark_server::policy::effective::{FeatureLimits, Weak, limits, weak_points};
use proofmark_server::policy::{Mode, Range, Source};
use serde_json::json;

use super::Place;
use super::setup::{Assessed, Setup};
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{OrFail, Outcome};
use crate::output;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Exit with 1 when there is a weak point.
    #[arg(long)]
    strict: bool,
}

/// What a policy means in effect.
pub struct Examined {
    /// Models with whether they are the assessed ones.
    pub models: Vec<(ServedFile, bool)>,
    /// What the last run assessed.
    pub assessed: Assessed,
    /// Limits per feature.
    pub features: Vec<FeatureLimits>,
    /// Weak points.
    pub weak: Vec<Weak>,
    /// Keys that open something.
    pub keys: usize,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let setup = Setup::load(&args.place.path())?;
    let seen = examine(&setup, None)?;
    if global.format == Format::Json {
        let models = seen.models.iter().map(|(file, assessed)| {
            json!({"name": file.asset.name, "sha256": file.model.digest(), "assessed": assessed})
        });
        output::json(&json!({
            "format": "proofmark.guard-check/1",
            "policy": setup.policy,
            "sha256": setup.sha256,
            "models": models.collect::<Vec<_>>(),
            "features": seen.features,
            "keys": seen.keys,
            "weak_points": seen.weak,
        }));
    } else {
        output::data(&text(&setup, &seen));
    }
    let weak = args.strict && !seen.weak.is_empty();
    Ok(if weak { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Looks at everything the policy names.
pub fn examine(setup: &Setup, primary: Option<&std::path::Path>) -> Outcome<Examined> {
    let assessed = setup.assessed()?;
    let models = setup.models(&assessed, primary)?;
    let intake = setup.intake(&models)?;
    let known = setup.known_rows()?;
    let keys = KeyFile::load(&setup.dir().join(KEYS_NAME)).or_fail("guard-keys", "")?;
    let about = setup.circumstances(&models, &assessed, &known);
    let weak = weak_points(&setup.policy, &intake, &keys, &about);
    let open = keys.keys.iter().filter(|k| k.revoked.is_none() && k.expires > about.now).count();
    let features = limits(&setup.policy, &intake);
    Ok(Examined { models, assessed, features, weak, keys: open })
}

fn text(setup: &Setup, seen: &Examined) -> String {
    let mut out = String::new();
    let system = &setup.project.system;
    let policy = &setup.policy;
    // Writing into a String cannot fail.
    let _ = writeln!(out, "policy      {} ({})", setup.path.display(), short(&setup.sha256));
    let _ = writeln!(out, "system      {} {}", system.name, system.version);
    if policy.mode == Mode::PassThrough {
        let _ = writeln!(out, "mode        PASS-THROUGH: nothing below is in force but the paths");
    }
    listening(&mut out, setup, seen);
    limits_of(&mut out, setup);
    let _ = writeln!(out, "\nfeatures    what may come in; anything else is refused with 422");
    let wide = seen.features.iter().map(|f| f.name.chars().count()).max().unwrap_or(0);
    for feature in &seen.features {
        let name = &feature.name;
        let allowed = if feature.read {
            format!("{}: {}", feature.kind, cut(&feature.allowed))
        } else {
            "read by no model here: refused when sent".to_owned()
        };
        let kept = if feature.kept { "  (kept in clear in the record)" } else { "" };
        let _ = writeln!(out, "  {name:<wide$}  {allowed}{kept}");
    }
    let _ = writeln!(out, "\nalways on   {}", ALWAYS.join("\n            "));
    if seen.weak.is_empty() {
        let _ = writeln!(out, "\nweak points none that this check can see");
    } else {
        let _ = writeln!(out, "\nweak points {}", seen.weak.len());
        for weak in &seen.weak {
            let _ = writeln!(out, "  {}\n    {}\n    -> {}", weak.id, weak.what, weak.fix);
        }
    }
    let next =
        if seen.keys == 0 { "guard key new --scope score --expires 90d" } else { "guard run" };
    let _ = writeln!(out, "\nnext        proofmark {next}");
    out
}

fn listening(out: &mut String, setup: &Setup, seen: &Examined) {
    let policy = &setup.policy;
    let tls = if policy.listen.tls.is_some() { "TLS" } else { "plain HTTP, this machine only" };
    let _ = writeln!(out, "listens     {}  ({tls})", policy.listen.address);
    let _ = writeln!(out, "admin       {}  (health, metrics, state, stop)", policy.listen.admin);
    if let Some(path) = &policy.protocol.json {
        let _ = writeln!(out, "path        POST {path}");
    }
    if policy.protocol.oip {
        let model = &policy.primary.model;
        let _ =
            writeln!(out, "path        POST /v2/models/{model}/infer, GET /v2, health, metadata");
    }
    let _ = writeln!(out, "primary     {}", source(&policy.primary, seen));
    let backup = policy.backup.as_ref().map(|b| source(b, seen));
    let _ = writeln!(out, "backup      {}", backup.as_deref().unwrap_or("none"));
    let _ = writeln!(out, "safe output `{}`: {}", policy.safe.decision, policy.safe.message);
    let _ = writeln!(out, "keys        {}", seen.keys);
}

fn limits_of(out: &mut String, setup: &Setup) {
    let (policy, l) = (&setup.policy, &setup.policy.limits);
    let _ = writeln!(
        out,
        "\nlimits      body {} bytes, JSON depth {}, rows {}, connections {}\n            \
         header {} ms (also idle), body {} ms, answer {} ms\n            \
         per key {} rows a second, {} at once",
        l.body_bytes,
        l.json_depth,
        l.rows,
        l.connections,
        l.header_ms,
        l.body_ms,
        l.deadline_ms,
        l.requests_per_second,
        l.burst
    );
    let range = match &l.range {
        Range::Declared => "declared bounds and values".to_owned(),
        Range::Schema(path) => format!("declared, narrowed by {path}"),
    };
    let missing = if l.missing { "allowed" } else { "refused" };
    let _ = writeln!(out, "            ranges: {range}; missing values {missing}");
    let b = policy.breaker;
    let _ = writeln!(
        out,
        "breaker     opens after {} failures, tries again after {} ms, {} good answers close it",
        b.failures, b.open_ms, b.probes
    );
    let r = policy.release;
    let scores =
        if r.scores { format!("scores with {} decimals", r.decimals) } else { "no scores".into() };
    let clip = if r.clip > 0.0 { format!(", {} from 0 and 1", r.clip) } else { String::new() };
    let vote = if r.vote { "; primary and backup must agree" } else { "" };
    let _ = writeln!(out, "releases    the decision, {scores}{clip}{vote}");
    let kept = if policy.record_fields.is_empty() {
        "keyed digests only".to_owned()
    } else {
        format!("keyed digests, and in clear: {}", policy.record_fields.join(", "))
    };
    let _ = writeln!(out, "records     {kept}");
    if policy.sources().any(|s| s.upstream.is_some()) {
        let k = policy.known_answers;
        let _ = writeln!(
            out,
            "known       {} rows every {} ms, scores within {}",
            k.rows, k.every_ms, k.tolerance
        );
    }
}

fn source(source: &Source, seen: &Examined) -> String {
    let found = seen.models.iter().find(|(f, _)| f.asset.name == source.model);
    let state = match found {
        Some((file, true)) => format!("assessed, {}", short(&file.model.digest())),
        Some((file, false)) => format!("NOT ASSESSED, {}", short(&file.model.digest())),
        None => "not there".to_owned(),
    };
    match &source.upstream {
        None => format!("{} in this process ({state})", source.model),
        Some(u) => format!("{} at http://{}{} ({state})", source.model, u.authority, u.path),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(ALLOWED_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What no policy switches off but `pass-through`.
const ALWAYS: [&str; 3] = [
    "path allow-list, API keys with scope and expiry, Content-Length only,",
    "no duplicate keys in JSON, finite numbers, one record per answer before it leaves,",
    "assessed digests, marked answers of the backup, stop that outlives the process",
];
/// Characters of what a feature allows; the JSON form shows all.
const ALLOWED_CHARS: usize = 100;
