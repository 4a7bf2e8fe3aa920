//! `guard status|stop|restart`: the controls, on a running guard or on its state at rest.
//!
//! Owns the signing of orders. A stop needs no authority, a restart does: it is signed with the
//! provider's statement key and put into the system's log.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use proofmark_assess::order::{self, GuardOrder, OrderAction};
use proofmark_assess::register::{Register, Stored};
use proofmark_evidence::dsse::Bundle;
use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::keys::random_bytes;
use proofmark_server::admin::{STATUS_FORMAT, StopRequest};
use proofmark_server::guard::{TOKEN_NAME, open_state};
use proofmark_server::recorder::Clock;
use proofmark_server::state::{State as GuardState, read_kept};
use serde_json::{Value, json};

use super::Place;
use super::setup::Setup;
use crate::cli::Format;
use crate::command::Global;
use crate::command::assess::tool;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{clock, output};

/// Arguments of `status`.
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    place: Place,
}

/// Arguments of `stop`.
#[derive(clap::Args, Debug)]
pub struct StopArgs {
    #[command(flatten)]
    place: Place,
    /// Who stops: `people.<id>` or a name.
    #[arg(long)]
    by: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// Arguments of `restart`.
#[derive(clap::Args, Debug)]
pub struct RestartArgs {
    #[command(flatten)]
    place: Place,
    /// Who orders it: `people.<id>` or a name.
    #[arg(long)]
    by: String,
    /// Why it may serve again.
    #[arg(long)]
    reason: String,
}

/// Runs `status`.
pub fn status(args: &StatusArgs, global: Global) -> Outcome<ExitCode> {
    let setup = Setup::load(&args.place.path())?;
    let value = match ask(&setup, "/state") {
        Some(value) => value,
        None => {
            let kept = read_kept(&setup.dir()).or_fail("guard-state", "")?;
            let kept = kept.map(|k| {
                json!({"state": k.state, "since": k.since, "cause": k.cause,
                "stop": k.stop})
            });
            let mut value = json!({"format": STATUS_FORMAT, "running": false});
            if let (Some(to), Some(Value::Object(from))) = (value.as_object_mut(), kept) {
                to.extend(from);
            }
            value
        }
    };
    if global.format == Format::Json {
        output::json(&value);
        return Ok(ExitCode::SUCCESS);
    }
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let running = value.get("running").and_then(Value::as_bool).unwrap_or(false);
    let mut out = format!(
        "guard       {}\nstate       {}\nsince       {}\ncause       {}\n",
        if running { "running" } else { "not running" },
        text("state"),
        text("since"),
        text("cause"),
    );
    for role in ["primary", "backup"] {
        let lane = value.get(role).filter(|l| l.is_object());
        let part = |l: &Value, key: &str| l.get(key).map(Value::to_string).unwrap_or_default();
        out += &lane.map_or_else(String::new, |l| {
            let plain = |key: &str| part(l, key).trim_matches('"').to_owned();
            let trust = if plain("trusted") == "true" { "" } else { ", WRONG KNOWN ANSWERS" };
            format!("{role:<12}{} (breaker {}{trust})\n", plain("model"), plain("breaker"))
        });
    }
    if text("state") == "STOPPED" {
        out += "\nnext        proofmark guard restart --by PERSON --reason WHY\n";
    }
    output::data(&out);
    Ok(ExitCode::SUCCESS)
}

/// Runs `stop`.
pub fn stop(args: &StopArgs, global: Global) -> Outcome<ExitCode> {
    let setup = Setup::load(&args.place.path())?;
    let order = StopRequest { by: args.by.clone(), reason: args.reason.clone() };
    let body = serde_json::to_vec(&order).unwrap_or_default();
    let id = match command(&setup, "/stop", &body)? {
        Some(answer) => answer.get("stop").and_then(Value::as_str).unwrap_or("-").to_owned(),
        None => {
            let (recorder, state) = at_rest(&setup)?;
            let id = state.stop(&args.by, &args.reason);
            state.close();
            recorder.close();
            id.or_fail("guard-stop", "look at the disk; the stop must be kept to outlive this")?
        }
    };
    if global.format == Format::Json {
        output::json(&json!({"format": "proofmark.guard-control/1", "action": "stop",
            "state": "STOPPED", "id": id}));
    } else {
        output::data(&format!(
            "STOPPED     nothing is released from now on, also after a restart of the process\n\
             stop        {id}\n\
             next        proofmark guard restart --by PERSON --reason WHY\n"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `restart`.
pub fn restart(args: &RestartArgs, global: Global) -> Outcome<ExitCode> {
    let setup = Setup::load(&args.place.path())?;
    let kept = read_kept(&setup.dir()).or_fail("guard-state", "")?;
    let stop = kept.filter(|k| k.state == GuardState::Stopped).and_then(|k| k.stop);
    let stop = stop.ok_or_else(|| {
        Failure::new("not-stopped", "the guard is not stopped", "`proofmark guard status`")
    })?;
    let order = GuardOrder {
        id: hex::encode(random_bytes::<16>().or_fail("order", "")?.as_slice()),
        action: OrderAction::Restart,
        by: args.by.clone(),
        reason: args.reason.clone(),
        time: clock::precise(),
        guard: setup.origin(),
        stop: stop.id,
    };
    let bundle = signed(&setup, &order)?;
    let state = match command(&setup, "/restart", &bundle)? {
        Some(answer) => answer.get("state").and_then(Value::as_str).unwrap_or("-").to_owned(),
        None => {
            let (recorder, state) = at_rest(&setup)?;
            let obeyed = state.restart(&bundle);
            let now = state.state();
            state.close();
            recorder.close();
            obeyed.or_fail("guard-restart", "the guard stays stopped")?;
            now.to_string()
        }
    };
    if global.format == Format::Json {
        output::json(&json!({"format": "proofmark.guard-control/1", "action": "restart",
            "state": state, "id": order.id}));
    } else {
        output::data(&format!(
            "{state:<11} the stop is lifted by order {}, signed and in the log\n\
             next        proofmark guard status\n",
            order.id
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Signs an order and puts it into the system's log before it is carried out.
fn signed(setup: &Setup, order: &GuardOrder) -> Outcome<Vec<u8>> {
    let (mut log, key) = setup.state.log_for_writing(setup.state.keys()?)?;
    let store = setup.state.store();
    let bytes = order::sign(order, &key).or_fail("order", "name a person and a reason")?;
    let bundle = Bundle::parse(&bytes).or_fail("order", "")?;
    let statement = bundle.statement_digest().or_fail("order", "")?;
    let stored = Stored { statement, bundle: store.put(&bytes).or_fail("order", "")? };
    let now = clock::now;
    let mut register =
        Register { log: &mut log, store: &store, key: &key, now: &now, tool: tool() };
    let entry = stored.named_in(register.entry(EntryKind::Guard));
    register.log(&[entry]).or_fail("order", "run `proofmark log fsck`")?;
    Ok(bytes)
}

/// Record and state of a guard that is not running.
fn at_rest(
    setup: &Setup,
) -> Outcome<(proofmark_server::recorder::Recorder, proofmark_server::state::StateMachine)> {
    let now: Clock = Arc::new(clock::precise);
    let (key, authority) = (setup.log_key()?, setup.authority()?);
    let backup = setup.policy.backup.is_some();
    open_state(&setup.dir(), &setup.origin(), key, Some(authority), backup, &now).or_fail(
        "guard",
        "a guard seems to be running, but does not answer on its admin address; end its process \
         and try again",
    )
}

/// What the running guard says; `None` when none answers.
fn ask(setup: &Setup, path: &str) -> Option<Value> {
    let url = format!("http://{}{path}", setup.policy.listen.admin);
    let mut answer = agent().get(&url).call().ok()?;
    serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
}

/// Sends a command to the running guard; `None` when none answers.
fn command(setup: &Setup, path: &str, body: &[u8]) -> Outcome<Option<Value>> {
    let Some(token) = token(&setup.dir()) else { return Ok(None) };
    let url = format!("http://{}{path}", setup.policy.listen.admin);
    let sent = agent().post(&url).header("authorization", &format!("Bearer {token}")).send(body);
    // Nobody listens there: the guard is not running.
    let Ok(mut answer) = sent else { return Ok(None) };
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    if answer.status().is_success() {
        return Ok(Some(value));
    }
    let words = value.get("error").and_then(Value::as_str).unwrap_or("it gave no reason");
    let help = "`proofmark guard status` shows the state";
    Err(Failure::new("guard-refused", format!("the guard refused: {words}"), help))
}

fn token(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join(TOKEN_NAME)).ok().map(|t| t.trim().to_owned())
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ADMIN_WAIT))
        .http_status_as_error(false)
        .build();
    config.into()
}

/// For an answer of the admin listener: a stop waits for the disk.
const ADMIN_WAIT: Duration = Duration::from_secs(15);
