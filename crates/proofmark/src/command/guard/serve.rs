//! `guard run`: serve until told to end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use proofmark_schema::guard::{ControlAction, ControlEvent, GuardEvent};
use proofmark_schema::incident::Hold;
use proofmark_server::guard::{Guard, ServedFile, open_state};
use proofmark_server::recorder::Clock;
use serde_json::json;

use super::Place;
use super::check::{Examined, examine};
use super::setup::Setup;
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{clock, output};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Serve this file in the place of the primary model; it must be the assessed one as well.
    #[arg(long)]
    model: Option<PathBuf>,
    /// Serve models that were not assessed. For systems declared `demo = true` only; it is
    /// recorded and shown as a weak point.
    #[arg(long)]
    unassessed: bool,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let setup = Setup::load(&args.place.path())?;
    let seen = examine(&setup, args.model.as_deref())?;
    held(&setup, &seen)?;
    if !args.unassessed || !setup.project.system.demo {
        all_assessed(&setup, &seen, args.unassessed)?;
    }
    let known = setup.known_rows()?;
    let system = setup.project.system.name.clone();
    let dir = setup.dir();
    let Examined { models, weak, .. } = seen;
    let models: Vec<ServedFile> = models.into_iter().map(|(file, _)| file).collect();
    let mut ids: Vec<String> = weak.iter().map(|w| w.id.clone()).collect();
    ids.dedup();
    let parts = setup.parts(models, known, ids.clone())?;
    let guard = Guard::open(parts).or_fail("guard", "mend what is named above and start again")?;
    let (data, admin) = guard.addresses().or_fail("guard", "")?;
    let ender = guard.ender();
    // Without a handler a signal ends the process at once; the record is whole either way.
    let _ = ctrlc::set_handler(move || ender.end());
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.guard-start/1", "system": system, "address": data.to_string(),
            "admin": admin.to_string(), "state": guard.state(), "weak_points": ids,
            "process": std::process::id(),
        }));
    } else {
        output::data(&format!(
            "guard of {system}  {}\n\
             answers on       {data}\n\
             admin on         {admin}  (/healthz/safe, /metrics)\n\
             state in         {}\n",
            guard.state(),
            dir.display(),
        ));
        for id in &ids {
            output::note(global.quiet, &format!("weak point: {id} (see `proofmark guard check`)"));
        }
        output::note(global.quiet, "Ctrl-C or SIGTERM ends it in order");
    }
    guard.run().or_fail("guard", "the record may lack its last event; look at the disk")?;
    output::note(global.quiet, "ended in order");
    Ok(ExitCode::SUCCESS)
}

/// Every served file is one that the last run assessed.
fn all_assessed(setup: &Setup, seen: &Examined, asked: bool) -> Outcome<()> {
    let Some((file, _)) = seen.models.iter().find(|(_, assessed)| !assessed) else { return Ok(()) };
    let name = &file.asset.name;
    let why = match &seen.assessed.assets {
        None => "no run has ended here yet".to_owned(),
        Some(assets) => {
            let wanted = assets.iter().find(|a| a.name == format!("model/{name}"));
            let wanted = wanted.map_or("no digest of it", |a| a.sha256.as_str());
            format!("the file is {}, the last run assessed {wanted}", file.model.digest())
        }
    };
    let help = match (setup.project.system.demo, asked) {
        (true, _) => "run `proofmark assess`; a demo may also be served with --unassessed",
        (false, true) => "--unassessed is for `demo = true` only; run `proofmark assess`",
        (false, false) => "run `proofmark assess`, or bring the assessed file back",
    };
    let words = format!("models.{name} is not the assessed model: {why}; nothing is served");
    Err(Failure::new("not-assessed", words, help))
}

/// During the hold of an incident neither policy nor models change.
fn held(setup: &Setup, seen: &Examined) -> Outcome<()> {
    let Some(hold) = setup.hold()? else { return Ok(()) };
    let Some(change) = forbidden(setup, seen, &hold) else { return Ok(()) };
    let reason = format!("{change} changed during the hold of incident {}", hold.incident);
    let now: Clock = Arc::new(clock::precise);
    let authority = Some(setup.authority()?);
    let backup = setup.policy.backup.is_some();
    let (recorder, state) =
        open_state(&setup.dir(), &setup.origin(), setup.log_key()?, authority, backup, &now)
            .or_fail("guard", "another guard may be running here")?;
    let event = GuardEvent::Control(ControlEvent {
        time: clock::precise(),
        action: ControlAction::RefusedChange,
        by: "guard".into(),
        reason: reason.clone(),
        id: Some(hold.incident.clone()),
    });
    recorder.record_blocking(&event).or_fail("guard", "the refusal could not be recorded")?;
    state.close();
    recorder.close();
    let help = "bring the frozen files back; `proofmark incident` shows the hold and how it ends. \
                Containment stays possible: proofmark guard stop, guard key revoke";
    Err(Failure::new("hold", format!("{reason}; nothing is served"), help))
}

fn forbidden(setup: &Setup, seen: &Examined, hold: &Hold) -> Option<String> {
    if !hold.permits_policy(&setup.sha256) {
        return Some(format!("the policy `{}`", setup.path.display()));
    }
    let changed =
        seen.models.iter().find(|(f, _)| !hold.permits_model(&f.asset.name, &f.model.digest()));
    changed.map(|(f, _)| format!("models.{}", f.asset.name))
}
