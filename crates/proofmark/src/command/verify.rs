//! `verify`: check an evidence pack, offline, trusting nothing in it but its own proof.

use std::path::PathBuf;
use std::process::ExitCode;

use proofmark_evidence::digest::Digest;
use proofmark_evidence::pack::{PackReport, verify_pack};
use serde_json::{Value, json};

use super::Global;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder of the pack.
    pack: PathBuf,
    /// Fingerprint of the key that must have signed it, got by another road than the pack.
    #[arg(long, value_name = "FINGERPRINT")]
    signer: Option<String>,
}

/// Runs the verb. Exit 0: consistent (and the expected signer, if given); 1: a check failed;
/// 2: there is no pack.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    if !args.pack.join("MANIFEST").exists() && !args.pack.join("report.html").exists() {
        return Err(Failure::new(
            "no-pack",
            format!("`{}` is no evidence pack", args.pack.display()),
            "name the folder that `proofmark dossier --out` wrote",
        ));
    }
    let signer: Option<Digest> =
        match &args.signer {
            Some(text) => Some(text.trim().to_lowercase().parse().or_fail(
                "signer",
                "a fingerprint has 64 hexadecimal digits: proofmark key show",
            )?),
            None => None,
        };
    let report = verify_pack(&args.pack, signer.as_ref());
    if global.format == Format::Json {
        output::json(&as_json(&report));
    } else {
        output::data(&as_text(&report, global));
    }
    Ok(if report.is_consistent() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn as_text(report: &PackReport, global: Global) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let word = if check.ok { "ok  " } else { "FAIL" };
        if !check.ok || !global.quiet {
            text.push_str(&format!("{word} {}: {}\n", check.name, check.detail));
        }
    }
    for erasure in &report.erased {
        text.push_str(&format!("erased {}: {}\n", erasure.artefact.hex(), erasure.reason));
    }
    for anchor in &report.anchors {
        text.push_str(&format!(
            "anchor {} over the first {} entries: {}\n",
            anchor.name, anchor.size, anchor.description
        ));
    }
    if report.demo {
        text.push_str("DEMO: signed with a throw-away key; fit for no declaration\n");
    }
    if let Some(signer) = &report.signer {
        text.push_str(&format!("signer {}\n", signer.hex()));
    }
    text.push_str(&format!("{}\n", report.verdict()));
    text
}

fn as_json(report: &PackReport) -> Value {
    let checks: Vec<Value> = report
        .checks
        .iter()
        .map(|c| json!({"name": c.name, "ok": c.ok, "detail": c.detail}))
        .collect();
    let erased: Vec<Value> = report
        .erased
        .iter()
        .map(|e| json!({"artefact": e.artefact.hex(), "reason": e.reason}))
        .collect();
    let anchors: Vec<Value> = report
        .anchors
        .iter()
        .map(|a| json!({"name": a.name, "size": a.size, "description": a.description}))
        .collect();
    json!({
        "format": "proofmark.verification/1",
        "consistent": report.is_consistent(),
        "authenticated": report.authenticated,
        "signer": report.signer.as_ref().map(Digest::hex),
        "demo": report.demo,
        "verdict": report.verdict(),
        "checks": checks,
        "erased": erased,
        "anchors": anchors,
    })
}
