//! The faults, one function each: hypothesis, fault, judgement.
//!
//! Owns what should happen and when that counts as a deviation. Must never let a figure into a
//! journal that no clock or counter gave.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use proofmark_assess::drill::Experiment;
use proofmark_server::policy::Policy;

use super::load::{Kind, Load};
use super::process::{Disk, Process, Signal, guard_command, small_disk_missing};
use super::scratch::known_every;
use super::stand::{Bench, Plan, Seen};
use crate::clock;
use crate::failure::{Failure, OrFail, Outcome};

/// A fault that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Name.
    pub name: &'static str,
    /// What it does, for people.
    pub what: &'static str,
    /// Runs it.
    pub run: fn(&Bench) -> Outcome<Experiment>,
}

/// Every fault, in the order of the drill.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "kill-primary",
        what: "the model server of the primary is killed (SIGKILL)",
        run: kill_primary,
    },
    Fault {
        name: "hang-primary",
        what: "the model server of the primary is held (SIGSTOP): connections stay, answers do not",
        run: hang_primary,
    },
    Fault {
        name: "wrong-answers",
        what: "the model server of the primary answers, but with the scores turned round",
        run: wrong_answers,
    },
    Fault {
        name: "full-disk",
        what: "the file system under the guard's record is filled to the last byte",
        run: full_disk,
    },
    Fault { name: "expired-key", what: "the key of the caller reaches its end", run: expired_key },
    Fault { name: "flood", what: "another key asks as fast as it can", run: flood },
    Fault {
        name: "corrupted-model",
        what: "one bit of the primary's file is turned over on the disk",
        run: corrupted_model,
    },
];

/// Answers that a caller can use: a decision, marked where it is the backup's.
const DECIDED: [Kind; 2] = [Kind::Primary, Kind::Backup];

fn steady(server: bool) -> Plan {
    Plan { server, rate: Some(RATE), disk: Disk::Plain, threads: THREADS, every: EVERY }
}

fn kill_primary(bench: &Bench) -> Outcome<Experiment> {
    let (stand, _) = bench.stand(steady(true), &[KEY_SECONDS])?;
    let patience = recovery(&bench.scratch.policy);
    let seen = stand.phases(
        DURING,
        patience,
        &[Kind::Primary],
        |stand| {
            let at = Instant::now();
            stand.server()?.kill();
            Ok(at)
        },
        super::stand::Stand::restart_server,
    )?;
    Ok(failover("kill-primary", "is killed", bench, &seen))
}

fn hang_primary(bench: &Bench) -> Outcome<Experiment> {
    let (stand, _) = bench.stand(steady(true), &[KEY_SECONDS])?;
    let patience = recovery(&bench.scratch.policy);
    let seen = stand.phases(
        DURING,
        patience,
        &[Kind::Primary],
        |stand| {
            let at = Instant::now();
            stand.server()?.signal(Signal::Stop)?;
            Ok(at)
        },
        |stand| stand.server()?.signal(Signal::Continue),
    )?;
    Ok(failover("hang-primary", "hangs", bench, &seen))
}

// The judgement of a primary that is gone: the backup (or the safe output) goes on.
fn failover(fault: &str, word: &str, bench: &Bench, seen: &Seen) -> Experiment {
    let policy = &bench.scratch.policy;
    let backed = policy.backup.is_some();
    let (instead, kinds, state): (_, &[Kind], _) = if backed {
        ("the backup answers, marked", &DECIDED, "DEGRADED")
    } else {
        ("the safe output is given", &[Kind::Primary, Kind::Safe], "SAFE")
    };
    let limit = policy.limits.deadline_ms as f64;
    let mut experiment = figures(fault, seen, kinds);
    experiment.hypothesis = format!(
        "When the primary {word}, {instead}: no request fails or is refused, no two answers are \
         further apart than the deadline of {limit} ms, the state becomes {state}; when the \
         primary is back it answers again."
    );
    experiment.gap_limit_ms = Some(limit);
    let during = experiment.during;
    let instead = if backed { during.backup } else { during.safe };
    let mut faults = common(seen);
    if during.failed + during.refused > 0 {
        let why = [seen.why(Kind::Failed), seen.why(Kind::Refused)].join("; ");
        let lost = during.failed + during.refused;
        faults.push(format!("{lost} requests without an answer ({why})"));
    }
    if instead == 0 {
        faults.push("nobody took over".to_owned());
    }
    if experiment.gap_ms.is_none_or(|gap| gap > limit) {
        faults.push(format!("the longest gap was {} ms", shown(experiment.gap_ms)));
    }
    if !experiment.states.iter().any(|(_, reached)| reached == state) {
        faults.push(format!("the state never became {state}"));
    }
    if experiment.recovery_ms.is_none() {
        faults.push("the primary never answered again".to_owned());
    }
    judged(experiment, faults)
}

fn wrong_answers(bench: &Bench) -> Outcome<Experiment> {
    let (stand, _) = bench.stand(steady(true), &[KEY_SECONDS])?;
    let policy = &bench.scratch.policy;
    let every = Duration::from_millis(known_every(policy));
    let seen = stand.phases(
        every * 2 + DURING,
        recovery(policy) + every * 2,
        &[Kind::Primary],
        |stand| {
            let at = Instant::now();
            fs::write(&stand.lie, b"").or_fail("drill", "")?;
            Ok(at)
        },
        |stand| fs::remove_file(&stand.lie).or_fail("drill", ""),
    )?;
    let kinds: &[Kind] = if policy.backup.is_some() { &DECIDED } else { &[Kind::Safe] };
    let mut experiment = figures("wrong-answers", &seen, kinds);
    let limit = every + Duration::from_millis(2 * policy.limits.deadline_ms) + SLACK;
    let vote =
        if policy.release.vote { " The vote of the backup holds back the rest." } else { "" };
    experiment.hypothesis = format!(
        "When the primary answers known rows wrongly, the check of known answers (every {} ms \
         here, every {} ms by the policy) takes it out within {} ms; until then wrong decisions \
         may leave, after that none does; when it answers rightly again it is taken back.{vote}",
        every.as_millis(),
        policy.known_answers.every_ms,
        limit.as_millis(),
    );
    let mut faults = common(&seen);
    let late = |s: &&super::load::Shot| s.kind == Kind::Wrong && s.sent >= seen.fault + limit;
    let late = seen.shots.iter().filter(late).count();
    if late > 0 {
        faults.push(format!("{late} wrong decisions left after {} ms", limit.as_millis()));
    }
    if policy.release.vote && experiment.during.wrong > 0 {
        faults.push(format!("the vote let {} wrong decisions through", experiment.during.wrong));
    }
    if experiment.states.is_empty() {
        faults.push("the state never changed".to_owned());
    }
    if experiment.recovery_ms.is_none() {
        faults.push("the primary was never taken back".to_owned());
    }
    experiment.gap_ms = None;
    Ok(judged(experiment, faults))
}

fn full_disk(bench: &Bench) -> Outcome<Experiment> {
    if let Some(why) = small_disk_missing() {
        return Err(Failure::new("drill-absent", why, "run the drill as root, or in a container"));
    }
    let plan = Plan { disk: Disk::Small, ..steady(true) };
    let (stand, _) = bench.stand(plan, &[KEY_SECONDS])?;
    let ballast = bench.scratch.state_dir().join("ballast");
    let ballast = stand.guard.seen(&ballast, Disk::Small);
    let path = ballast.clone();
    let seen = stand.phases(
        DURING,
        recovery(&bench.scratch.policy),
        &[Kind::Primary],
        |_| {
            fill(&path)?;
            // Full from here on: what came before had room.
            Ok(Instant::now())
        },
        |_| fs::remove_file(&ballast).or_fail("drill", "the ballast cannot be taken away"),
    )?;
    let mut experiment = figures("full-disk", &seen, &DECIDED);
    experiment.hypothesis =
        "When nothing can be recorded (a tmpfs of its own under the record is full), nothing is \
         answered: requests are refused with a reason, none hangs or fails, no answer leaves \
         without its record; when there is space again, answers come again."
            .to_owned();
    experiment.gap_ms = None;
    let mut faults = common(&seen);
    if experiment.during.failed > 0 {
        let why = seen.why(Kind::Failed);
        faults.push(format!("{} requests failed ({why})", experiment.during.failed));
    }
    if experiment.during.refused == 0 {
        faults.push("no request was refused: the disk was not full for the record".to_owned());
    }
    if experiment.recovery_ms.is_none() {
        faults.push("no answer came when there was space again".to_owned());
    }
    Ok(judged(experiment, faults))
}

fn fill(path: &std::path::Path) -> Outcome<()> {
    let mut file = fs::File::create(path).or_fail("drill", "the small disk cannot be reached")?;
    let mut block = vec![0u8; 1 << 16];
    // Large blocks first, then down to single bytes, until nothing fits any more.
    while !block.is_empty() {
        if file.write(&block).is_err() {
            block.truncate(block.len() / 2);
        }
    }
    Ok(())
}

fn expired_key(bench: &Bench) -> Outcome<Experiment> {
    let (stand, keys) = bench.stand(steady(true), &[KEY_ENDS_SECONDS, KEY_SECONDS])?;
    let good = keys.get(1).map(|key| key.text.clone()).unwrap_or_default();
    let ends = keys.first().map(|key| key.record.expires.clone()).unwrap_or_default();
    let seen = stand.phases(
        DURING,
        recovery(&bench.scratch.policy),
        &[Kind::Primary],
        |_| {
            // Both begin with the same 19 characters, down to the second.
            while clock::now().get(..19) < ends.get(..19) {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(Instant::now())
        },
        |stand| {
            *stand.asker.key.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = good;
            Ok(())
        },
    )?;
    let mut experiment = figures("expired-key", &seen, &DECIDED);
    experiment.hypothesis = format!(
        "A key of {KEY_ENDS_SECONDS} s is answered until its end; a request sent more than \
         {} ms later is refused; another key is answered at once.",
        EXPIRY_SLACK.as_millis()
    );
    experiment.gap_ms = None;
    experiment.failover_ms = seen.first_ms(seen.fault, &[Kind::Refused]);
    let mut faults = common(&seen);
    let end = seen.fault + EXPIRY_SLACK;
    let late =
        |s: &&super::load::Shot| s.sent >= end && s.sent < seen.undone && s.kind != Kind::Refused;
    let late: Vec<_> = seen.shots.iter().filter(late).collect();
    if !late.is_empty() {
        faults.push(format!("{} requests were answered with a key that had ended", late.len()));
    }
    if experiment.during.refused == 0 {
        faults.push("the key was never refused".to_owned());
    }
    if experiment.recovery_ms.is_none() {
        faults.push("the other key was not answered".to_owned());
    }
    Ok(judged(experiment, faults))
}

fn flood(bench: &Bench) -> Outcome<Experiment> {
    let policy = &bench.scratch.policy;
    let allowed = policy.limits.requests_per_second;
    // Half of what one key may: the steady caller keeps to its rate.
    let threads = 2usize;
    let every = Duration::from_secs_f64(threads as f64 * 2.0 / f64::from(allowed.max(1)));
    let plan = Plan { rate: None, threads, every: every.max(EVERY), ..steady(false) };
    let (stand, keys) = bench.stand(plan, &[KEY_SECONDS, KEY_SECONDS])?;
    let other = keys.get(1).map(|key| key.text.clone()).unwrap_or_default();
    let asker = super::load::Asker {
        key: std::sync::Arc::new(std::sync::Mutex::new(other)),
        every: Duration::ZERO,
        flood: true,
        ..stand.asker.clone()
    };
    let running = std::cell::RefCell::new(None);
    let flooded = std::cell::RefCell::new(Vec::new());
    let mut seen = stand.phases(
        DURING,
        recovery(policy),
        &[Kind::Primary],
        |_| {
            *running.borrow_mut() = Some(Load::start(&asker, FLOOD_THREADS));
            Ok(Instant::now())
        },
        |_| {
            flooded.borrow_mut().extend(running.borrow_mut().take().map(Load::end));
            Ok(())
        },
    )?;
    let flooded: Vec<_> = flooded.into_inner().into_iter().flatten().collect();
    let lasted = (seen.undone - seen.fault).as_secs_f64();
    let let_in = flooded.iter().filter(|s| s.id.is_some()).count();
    let most = f64::from(policy.limits.burst) + f64::from(allowed) * (lasted + 1.0);
    let steady_during = seen.counts(seen.fault, Some(seen.undone));
    seen.shots.extend(flooded);
    let mut experiment = figures("flood", &seen, &DECIDED);
    let limit = policy.limits.deadline_ms as f64 + every.max(EVERY).as_secs_f64() * 1e3;
    experiment.gap_limit_ms = Some(limit);
    experiment.hypothesis = format!(
        "While another key asks from {FLOOD_THREADS} threads as fast as it can, it gets at most \
         its burst of {} and {allowed} rows a second, the rest is refused; a caller within its \
         own rate is answered throughout, no two answers further apart than {limit:.0} ms.",
        policy.limits.burst
    );
    let mut faults = common(&seen);
    if let_in as f64 > most {
        faults.push(format!("the flood got {let_in} answers, at most {most:.0} were allowed"));
    }
    if experiment.during.refused == 0 {
        faults.push("nothing of the flood was refused".to_owned());
    }
    let missing = steady_during.refused + steady_during.failed;
    if missing > 0 {
        faults.push(format!("{missing} requests of the steady caller had no answer"));
    }
    if experiment.gap_ms.is_none_or(|gap| gap > limit) {
        faults.push(format!("its longest gap was {} ms", shown(experiment.gap_ms)));
    }
    Ok(judged(experiment, faults))
}

fn corrupted_model(bench: &Bench) -> Outcome<Experiment> {
    if bench.unassessed {
        let why = "the models are served unassessed, so nothing says which file is the right one";
        return Err(Failure::new("drill-absent", why, "run `proofmark assess` first"));
    }
    let (stand, _) = bench.stand(steady(false), &[KEY_SECONDS])?;
    let path = bench.scratch.primary.clone();
    let sound = fs::read(&path).or_fail("drill", "")?;
    let mut refused = None;
    let seen = stand.phases(
        DURING,
        recovery(&bench.scratch.policy),
        &[Kind::Primary],
        |_| {
            let at = Instant::now();
            let mut broken = sound.clone();
            let middle = broken.len() / 2;
            if let Some(byte) = broken.get_mut(middle) {
                *byte ^= 1;
            }
            fs::write(&path, broken).or_fail("drill", "")?;
            refused = Some(second_guard(bench));
            Ok(at)
        },
        |_| fs::write(&path, &sound).or_fail("drill", ""),
    )?;
    let mut experiment = figures("corrupted-model", &seen, &DECIDED);
    experiment.hypothesis =
        "A guard that starts on a model file of which one bit was turned over refuses to start, \
         since it is not the assessed one; the guard that runs serves the file it had read, and \
         no decision changes."
            .to_owned();
    experiment.gap_ms = None;
    let mut faults = common(&seen);
    match refused {
        Some(Ok(())) => {}
        Some(Err(words)) => faults.push(words),
        None => faults.push("no second guard was started".to_owned()),
    }
    let during = experiment.during;
    let other = during.sent - during.primary;
    if other > 0 {
        faults.push(format!("{other} requests were not answered by the running primary"));
    }
    Ok(judged(experiment, faults))
}

// A guard on the broken file; an error says how it did not refuse.
fn second_guard(bench: &Bench) -> Result<(), String> {
    let command = guard_command(&bench.scratch, Disk::Plain, false).map_err(|f| f.message)?;
    match Process::start(command, "second-guard", &bench.scratch.dir) {
        Ok(_) => Err("a guard started on the broken file".to_owned()),
        Err(failure) if failure.message.contains("not the assessed") => Ok(()),
        Err(failure) if failure.message.contains("[model") => Ok(()),
        Err(failure) => Err(format!("it refused for another reason: {}", failure.message)),
    }
}

// What holds in every experiment.
fn common(seen: &Seen) -> Vec<String> {
    let mut faults = Vec::new();
    let [before, _, _] = seen.phases();
    if before.primary == 0 || before.failed + before.refused > 0 {
        faults.push(format!("it was not steady before the fault ({before:?})"));
    }
    let wrong = seen.shots.iter().filter(|s| s.kind == Kind::Wrong && s.sent < seen.fault).count();
    if wrong > 0 {
        faults.push(format!("{wrong} decisions were wrong before the fault"));
    }
    if seen.unrecorded > 0 {
        faults.push(format!("{} answers are not once in the guard's log", seen.unrecorded));
    }
    faults.extend(seen.ended.clone());
    faults
}

fn figures(fault: &str, seen: &Seen, kinds: &[Kind]) -> Experiment {
    let [before, during, after] = seen.phases();
    let instead: Vec<Kind> = kinds.iter().copied().filter(|k| *k != Kind::Primary).collect();
    Experiment {
        fault: fault.to_owned(),
        hypothesis: String::new(),
        before,
        during,
        after,
        states: seen.states_ms(),
        gap_ms: seen.gap_ms(kinds),
        failover_ms: seen.first_ms(seen.fault, &instead),
        recovery_ms: seen.first_ms(seen.undone, &[Kind::Primary]),
        gap_limit_ms: None,
        deviated: false,
        reason: None,
    }
}

fn judged(mut experiment: Experiment, faults: Vec<String>) -> Experiment {
    if experiment.fault != "wrong-answers" && experiment.during.wrong > 0 {
        experiment.deviated = true;
    }
    experiment.deviated |= !faults.is_empty();
    if experiment.deviated {
        experiment.reason = Some(faults.join("; "));
    }
    experiment
}

// Longest wait for the primary: the breaker opens, its probes come, the machine is busy.
fn recovery(policy: &Policy) -> Duration {
    let breaker = &policy.breaker;
    let probes = u64::from(breaker.probes).saturating_add(1);
    Duration::from_millis(breaker.open_ms.saturating_mul(probes)) + PATIENCE
}

fn shown(millis: Option<f64>) -> String {
    millis.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.1}"))
}

/// How long a fault lasts.
const DURING: Duration = Duration::from_secs(3);
/// On top of what the policy makes one wait for.
const PATIENCE: Duration = Duration::from_secs(8);
/// For a busy machine, on top of the times of the policy.
const SLACK: Duration = Duration::from_millis(500);
/// Rows a second that the steady load may: it is not what is tested.
const RATE: u32 = 10_000;
/// Threads of the steady load.
const THREADS: usize = 4;
/// Pause of each: about a hundred requests a second together.
const EVERY: Duration = Duration::from_millis(40);
const FLOOD_THREADS: usize = 8;
/// A key that outlasts the drill.
const KEY_SECONDS: i64 = 3_600;
/// A key that ends while it is in use.
const KEY_ENDS_SECONDS: i64 = 12;
/// The end of a key is a whole second, and the guard's clock is asked per request.
const EXPIRY_SLACK: Duration = Duration::from_millis(1_100);
