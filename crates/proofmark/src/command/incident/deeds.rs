//! One function per deed: reads what it needs, records it, prints the case.
//!
//! Owns turning arguments into deeds. Must never decide whether a deed is allowed.

use std::process::ExitCode;

use proofmark_assess::assessment::Assessment;
use proofmark_assess::clock::Clock;
use proofmark_assess::incident::report::{Draft, Report as Made, page, report as draft};
use proofmark_assess::incident::{
    Change as ChangeDeed, Closing, Containment, Deed, Incident, Opening, Receipt as ReceiptDeed,
    Release as ReleaseDeed, ReportMade, Retest, Update as UpdateDeed, Waiver, next_id,
};
use proofmark_assess::judge::VerdictState;
use proofmark_assess::predicate::ArtefactRef;
use proofmark_evidence::durable::{OsFs, create_dir_all, write};
use proofmark_schema::clock::clock_rules;
use proofmark_schema::incident::{Awareness, FrozenFile, IncidentFacts, Party};
use proofmark_schema::measurement::AssetDigest;

use super::desk::{Desk, keep};
use super::facts::changed;
use super::{Change, Close, Contain, Open, Receipt, Release, Report, Update, Waive, show};
use crate::cli::Format;
use crate::command::Global;
use crate::command::dossier::assessment;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{assets, clock, output};

pub fn open(args: &Open, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.by.place)?;
    let now = clock::now();
    let mut facts = args.facts.onto(&IncidentFacts::default(), &now)?;
    if !facts.aware.iter().any(|a| a.who == Party::Provider) {
        // Whoever opens the case knows of it.
        facts.aware.push(Awareness { at: now, who: Party::Provider });
        facts.aware.sort();
    }
    let id = next_id(&desk.incidents()?);
    let incident = desk.act(&id, &args.by, |store, checkpoint| {
        let held = args.hold || facts.is_serious();
        let freeze = match held {
            true => Some(desk.freeze(store, checkpoint, args.guard.as_deref())?),
            false => None,
        };
        let subjects = freeze.iter().flat_map(|f| models(&f.frozen.models)).collect();
        let (reading, rules) = (args.reading, clock_rules().clone());
        Ok((Deed::Open(Box::new(Opening { facts, reading, rules, freeze })), subjects))
    })?;
    done(&desk, &incident, "opened", global)
}

pub fn update(args: &Update, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let before = desk.incident(&args.of.id)?;
    let facts = args.facts.onto(&before.facts, &clock::now())?;
    let changed = changed(&before.facts, &facts)?;
    let incident = desk.act(&args.of.id, &args.of.by, |store, checkpoint| {
        let becomes = facts.is_serious() && !before.facts.is_serious() && !before.holds();
        let freeze = match becomes {
            true => Some(desk.freeze(store, checkpoint, args.guard.as_deref())?),
            false => None,
        };
        let subjects = freeze.iter().flat_map(|f| models(&f.frozen.models)).collect();
        let because = args.because.clone();
        Ok((Deed::Update(Box::new(UpdateDeed { facts, changed, because, freeze })), subjects))
    })?;
    done(&desk, &incident, "updated", global)
}

pub fn report(args: &Report, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let incident = desk.incident(&args.of.id)?;
    let now = clock::now();
    let clocks = answered(&incident, &args.clock, &now)?;
    let covers = args.covers.iter().map(|c| named(&incident, c, &now).map(|c| c.rule));
    let covers = covers.collect::<Outcome<Vec<String>>>()?;
    let actor = desk.actor(&args.of.by);
    let made = draft(&Draft {
        incident: &incident,
        system: &desk.project.system,
        clocks: &clocks,
        covers: &covers,
        by: &actor.name,
        now: &now,
    })
    .or_fail("report", "`proofmark incident show` lists the clocks of the case")?;
    let text = page(&made).or_fail("report", "")?;
    let data = serde_json::to_vec_pretty(&made).or_fail("report", "")?;
    desk.act(&args.of.id, &args.of.by, |store, _| {
        let mut subjects = Vec::new();
        let mut put = |extension: &str, media_type: &str, bytes: &[u8]| {
            let sha256 = store.put(bytes).or_fail("store", "check the free space")?.hex();
            let name = format!("{}.{extension}", made.id);
            subjects.push(AssetDigest { name: name.clone(), sha256: sha256.clone() });
            Ok(ArtefactRef { name, media_type: media_type.to_owned(), sha256, personal: true })
        };
        let document = put("html", "text/html", text.as_bytes())?;
        let data = put("json", "application/json", &data)?;
        let deed = ReportMade {
            id: made.id.clone(),
            form: made.form.clone(),
            clocks: clocks.iter().map(|c| c.rule.clone()).collect(),
            covers: covers.clone(),
            gaps: made.gaps.clone(),
            document,
            data,
        };
        Ok((Deed::Report(deed), subjects))
    })?;
    let files = write_out(args, &made, text.as_bytes(), &data)?;
    if global.format == Format::Json {
        output::json(&serde_json::to_value(&made).or_fail("report", "")?);
    } else {
        output::data(&show::written(&made, &files));
    }
    Ok(ExitCode::SUCCESS)
}

/// The clocks a report answers: those named, or the one that ends next with all of its form.
fn answered(incident: &Incident, wanted: &[String], now: &str) -> Outcome<Vec<Clock>> {
    let help = "`proofmark incident show` lists the clocks of the case";
    if wanted.is_empty() {
        let due = incident.due(now).or_fail("clock", help)?;
        let Some(first) = due.first() else {
            return Err(Failure::new(
                "no-clock",
                "no clock of this case runs, so no report is due",
                "name a clock with --clock for a follow-up report",
            ));
        };
        let form = first.form.clone();
        return Ok(due.into_iter().filter(|c| c.form == form).collect());
    }
    wanted.iter().map(|id| named(incident, id, now)).collect()
}

/// The clock of that id, or the only one of that row which counts.
fn named(incident: &Incident, id: &str, now: &str) -> Outcome<Clock> {
    let help = "`proofmark incident show` lists the clocks of the case";
    let clocks = incident.clocks(now).or_fail("clock", help)?;
    if let Some(clock) = clocks.iter().find(|c| c.rule == id) {
        return Ok(clock.clone());
    }
    let of_row: Vec<&Clock> = clocks.iter().filter(|c| c.row == id).collect();
    let counting: Vec<&&Clock> = of_row.iter().filter(|c| c.started.is_some()).collect();
    match (counting.as_slice(), of_row.as_slice()) {
        ([one], _) => Ok((**one).clone()),
        ([], [first, ..]) => Ok((*first).clone()),
        ([], []) => Err(Failure::new("no-clock", format!("there is no clock `{id}`"), help)),
        (several, _) => {
            let ids: Vec<&str> = several.iter().map(|c| c.rule.as_str()).collect();
            let message = format!("`{id}` is several clocks here: {}", ids.join(", "));
            Err(Failure::new("no-clock", message, "name one of them"))
        }
    }
}

fn write_out(args: &Report, made: &Made, text: &[u8], data: &[u8]) -> Outcome<Vec<String>> {
    let help = "the report is in the store and the log; name another folder with --out";
    create_dir_all(&OsFs, &args.out).or_fail("out", help)?;
    let mut files = Vec::new();
    for (extension, bytes) in [("html", text), ("json", data)] {
        let path = args.out.join(format!("{}.{extension}", made.id));
        write(&OsFs, &path, bytes).or_fail("out", help)?;
        files.push(path.display().to_string());
    }
    Ok(files)
}

pub fn receipt(args: &Receipt, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let before = desk.incident(&args.of.id)?;
    let id = format!("{}-q{}", before.id, before.receipts.len().saturating_add(1));
    let word = format!("receipt {id} recorded");
    let state = match (&args.member_state, before.facts.member_states.as_slice()) {
        (Some(state), _) => Some(state.to_ascii_uppercase()),
        // Where there is but one authority, it is its receipt.
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    };
    let incident = desk.act(&args.of.id, &args.of.by, |store, _| {
        let file = args.file.as_deref().map(|f| keep(store, f, ATTACHMENT)).transpose()?;
        let deed = ReceiptDeed {
            id,
            report: args.report.clone(),
            authority: args.authority.clone(),
            channel: args.channel.clone(),
            reference: args.reference.clone(),
            at: args.at.clone(),
            member_state: state,
            late_because: args.late_because.clone(),
            file,
        };
        let subjects = attached(deed.file.as_ref());
        Ok((Deed::Receipt(deed), subjects))
    })?;
    done(&desk, &incident, &word, global)
}

pub fn contain(args: &Contain, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let incident = desk.act(&args.of.id, &args.of.by, |_, _| {
        let at = args.at.clone().unwrap_or_else(clock::now);
        let deed = Containment { action: args.action, what: args.what.clone(), at };
        Ok((Deed::Contain(deed), Vec::new()))
    })?;
    done(&desk, &incident, "containment recorded", global)
}

pub fn change(args: &Change, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let incident = desk.act(&args.of.id, &args.of.by, |store, _| {
        let file = args.file.as_deref().map(|f| keep(store, f, ATTACHMENT)).transpose()?;
        let mut brought = Vec::new();
        for pair in &args.model {
            let (name, path) = pair.split_once('=').ok_or_else(|| {
                Failure::new(
                    "change",
                    format!("`{pair}` names no file"),
                    "write `--model NAME=FILE`, the name as in `[models.NAME]`",
                )
            })?;
            let sha256 = assets::open_model(path.as_ref())?.digest();
            brought.push(FrozenFile { name: name.to_owned(), sha256 });
        }
        let policy = match &args.policy {
            Some(path) => Some(assets::sha256(&assets::read_limited(path, POLICY_BYTES_MAX)?)),
            None => None,
        };
        let mut subjects = models(&brought);
        subjects.extend(attached(file.as_ref()));
        let deed = ChangeDeed {
            what: args.what.clone(),
            notice: args.notice.clone(),
            authority: args.authority.clone(),
            told: args.told.clone().unwrap_or_else(clock::now),
            file,
            models: brought,
            guard_policy: policy,
        };
        Ok((Deed::Change(deed), subjects))
    })?;
    done(&desk, &incident, "change recorded", global)
}

pub fn waive(args: &Waive, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let before = desk.incident(&args.of.id)?;
    let clock = named(&before, &args.clock, &clock::now())?.rule;
    let incident = desk.act(&args.of.id, &args.of.by, |_, _| {
        let because = args.because.clone();
        Ok((Deed::Waive(Waiver { clock: clock.clone(), because }), Vec::new()))
    })?;
    done(&desk, &incident, &format!("no report for {clock}: recorded"), global)
}

pub fn release(args: &Release, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let incident = desk.act(&args.of.id, &args.of.by, |_, _| {
        let (receipt, because) = (args.receipt.clone(), args.because.clone());
        Ok((Deed::Release(ReleaseDeed { receipt, because }), Vec::new()))
    })?;
    done(&desk, &incident, "hold released", global)
}

pub fn close(args: &Close, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.of.by.place)?;
    let retest = match &args.retest {
        Some(run) => Some(retest(&assessment(&desk.state.log()?, &desk.state.store(), run)?)),
        None => None,
    };
    let incident = desk.act(&args.of.id, &args.of.by, |_, _| {
        Ok((Deed::Close(Closing { retest, because: args.because.clone() }), Vec::new()))
    })?;
    done(&desk, &incident, "closed", global)
}

fn retest(run: &Assessment) -> Retest {
    let every = run.verdicts.iter().all(|v| v.state == VerdictState::Pass);
    Retest {
        run: run.record.run.clone(),
        verdicts: run.verdict_statement.statement.hex(),
        started: run.record.started.clone(),
        passed: every && !run.verdicts.is_empty() && run.complete && run.exploratory.is_empty(),
    }
}

fn done(desk: &Desk, incident: &Incident, word: &str, global: Global) -> Outcome<ExitCode> {
    if global.format == Format::Json {
        output::json(&show::document(incident, &clock::now())?);
    } else {
        output::data(&show::after(&desk.project.system, incident, word)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn models(files: &[FrozenFile]) -> Vec<AssetDigest> {
    let one = |f: &FrozenFile| AssetDigest {
        name: format!("model/{}", f.name),
        sha256: f.sha256.clone(),
    };
    files.iter().map(one).collect()
}

fn attached(file: Option<&ArtefactRef>) -> Vec<AssetDigest> {
    file.map(|f| AssetDigest { name: "attachment".to_owned(), sha256: f.sha256.clone() })
        .into_iter()
        .collect()
}

/// What people attach is not ours to interpret.
const ATTACHMENT: &str = "application/octet-stream";
/// A policy is written by hand.
const POLICY_BYTES_MAX: u64 = 4 << 20;
