//! The guard's log, folded: states reached, requests by verdict, incidents.
//!
//! Owns the fold. Must never judge what it finds, nor pass over an entry that does not read: a
//! log that cannot be folded wholly is an error. Called by `due`, the register of risks, the
//! matrix and the papers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proofmark_evidence::journal::volume;
use proofmark_evidence::log::{CHECKPOINT_NAME, Log, LogError};
use proofmark_schema::guard::{
    ControlEvent, GuardEvent, GuardEventError, GuardState, GuardVerdict, StartEvent, StateEvent,
};

/// What the guard's log says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuardFold {
    /// Entries folded.
    pub entries: u64,
    /// Time of the first and the last entry.
    pub span: Option<(String, String)>,
    /// Starts, with the index of their entry; the last [`LIST_MAX`].
    pub starts: Vec<(u64, StartEvent)>,
    /// Starts, all of them.
    pub starts_total: u64,
    /// Starts that no orderly end follows, the running one not counted: the guard was killed.
    pub unclean_ends: u64,
    /// Whether the last start has no end yet: the guard runs, or was killed.
    pub open: bool,
    /// Requests by how they ended.
    pub verdicts: BTreeMap<GuardVerdict, u64>,
    /// Requests by reason, where they have one; the first [`REASONS_MAX`] reasons.
    pub reasons: BTreeMap<String, u64>,
    /// Rows that were asked for.
    pub rows: u64,
    /// Requests and events that were refused unrecorded, as counted by the guard.
    pub shed: u64,
    /// Changes of state, with the index of their entry; the last [`LIST_MAX`].
    pub changes: Vec<(u64, StateEvent)>,
    /// Changes of state, all of them.
    pub changes_total: u64,
    /// Acts of control (stops, restarts, refused changes), with the index of their entry; the
    /// last [`LIST_MAX`].
    pub controls: Vec<(u64, ControlEvent)>,
    /// Times the guard gave no decision: in SAFE or STOPPED; the last [`LIST_MAX`].
    pub incidents: Vec<GuardIncident>,
    /// Incidents, all of them.
    pub incidents_total: u64,
    /// State after the last entry; `None` before the first start.
    pub state: Option<GuardState>,
}

/// A time in which the guard let no decision through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardIncident {
    /// Index of the change that began it.
    pub index: u64,
    /// When it began.
    pub since: String,
    /// Worst state that was reached: SAFE or STOPPED.
    pub state: GuardState,
    /// Why it began.
    pub cause: String,
    /// When it ended; `None` while it lasts.
    pub until: Option<String>,
}

/// Folds one log of a guard.
///
/// # Errors
/// [`GuardEventsError`] if the log is damaged or holds something else.
pub fn guard_events(log: &Log) -> Result<GuardFold, GuardEventsError> {
    let mut fold = GuardFold::default();
    fold.add(log)?;
    Ok(fold)
}

/// Folds everything below a guard's folder (`<system>/.proofmark/guard`), all volumes of its log
/// in order; `None` where no guard ever ran.
///
/// # Errors
/// [`GuardEventsError`] if a volume is damaged or holds something else.
pub fn read_guard(dir: &Path) -> Result<Option<GuardFold>, GuardEventsError> {
    let mut fold = GuardFold::default();
    let mut found = false;
    for volume in volumes(dir) {
        fold.add(&Log::open(&volume)?)?;
        found = true;
    }
    Ok(found.then_some(fold))
}

/// The folders of a guard's log, oldest first: `log`, `log-2`, `log-3`, …
pub fn volumes(dir: &Path) -> Vec<PathBuf> {
    (1..).map(|n| volume(dir, n)).take_while(|d| d.join(CHECKPOINT_NAME).exists()).collect()
}

/// Calls `visit(index, event)` for every event of one log, in order.
///
/// # Errors
/// [`GuardEventsError`] if the log is damaged or holds something else.
pub fn for_each_event(
    log: &Log,
    mut visit: impl FnMut(u64, GuardEvent),
) -> Result<(), GuardEventsError> {
    let mut fault = None;
    log.for_each_leaf(|index, leaf| {
        if fault.is_none() {
            match GuardEvent::parse(leaf) {
                Ok(event) => visit(index, event),
                Err(error) => fault = Some(GuardEventsError::Event { index, error }),
            }
        }
        Ok(())
    })?;
    fault.map_or(Ok(()), Err)
}

impl GuardFold {
    /// Requests, however they ended.
    pub fn requests(&self) -> u64 {
        self.verdicts.values().sum()
    }

    /// Requests that ended so.
    pub fn count(&self, verdict: GuardVerdict) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    /// Adds the next volume; indices go on counting.
    ///
    /// # Errors
    /// As [`guard_events`].
    pub fn add(&mut self, log: &Log) -> Result<(), GuardEventsError> {
        let before = self.entries;
        for_each_event(log, |index, event| self.take(before + index, event))
    }

    fn take(&mut self, index: u64, event: GuardEvent) {
        self.entries = index + 1;
        match &mut self.span {
            Some((_, last)) => event.time().clone_into(last),
            None => self.span = Some((event.time().to_owned(), event.time().to_owned())),
        }
        match event {
            GuardEvent::Start(start) => self.start(index, start),
            GuardEvent::Request(request) => {
                *self.verdicts.entry(request.verdict).or_default() += 1;
                self.rows += u64::from(request.rows);
                let known = |reason: &String| self.reasons.contains_key(reason);
                let room = self.reasons.len() < REASONS_MAX;
                if let Some(reason) = request.reason.filter(|reason| room || known(reason)) {
                    *self.reasons.entry(reason).or_default() += 1;
                }
            }
            GuardEvent::State(change) => {
                self.state = Some(change.to);
                self.incident(index, &change);
                self.changes_total += 1;
                push_last(&mut self.changes, (index, change));
            }
            GuardEvent::Control(control) => push_last(&mut self.controls, (index, control)),
            GuardEvent::Shed(shed) => self.shed += shed.count,
            GuardEvent::Continue(_) => {}
            GuardEvent::End(_) => self.open = false,
        }
    }

    fn start(&mut self, index: u64, start: StartEvent) {
        self.unclean_ends += u64::from(self.open);
        self.open = true;
        self.starts_total += 1;
        self.state = Some(start.resumed_state);
        push_last(&mut self.starts, (index, start));
    }

    fn incident(&mut self, index: u64, change: &StateEvent) {
        let open = self.incidents.last_mut().filter(|incident| incident.until.is_none());
        let held = matches!(change.to, GuardState::Safe | GuardState::Stopped);
        match (open, held) {
            (Some(incident), true) => incident.state = incident.state.max(change.to),
            (Some(incident), false) => incident.until = Some(change.time.clone()),
            (None, true) => {
                self.incidents_total += 1;
                push_last(
                    &mut self.incidents,
                    GuardIncident {
                        index,
                        since: change.time.clone(),
                        state: change.to,
                        cause: change.cause.clone(),
                        until: None,
                    },
                );
            }
            (None, false) => {}
        }
    }
}

/// Why a guard's log does not fold.
#[derive(Debug, thiserror::Error)]
pub enum GuardEventsError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An entry that is no event of a guard.
    #[error("entry {index} of the guard's log: {error}")]
    Event {
        /// The entry.
        index: u64,
        /// What is wrong.
        error: GuardEventError,
    },
}

fn push_last<T>(list: &mut Vec<T>, item: T) {
    if list.len() == LIST_MAX {
        list.remove(0);
    }
    list.push(item);
}

/// Changes, starts and controls kept one by one: some years of a guard that works; a guard that
/// flaps more often than that is told by the totals.
pub const LIST_MAX: usize = 4096;
/// Reasons are short ids of the guard itself; more kinds than that are not told apart.
pub const REASONS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proofmark_evidence::keys::LogKey;
    use proofmark_schema::guard::{EndEvent, Responder, ShedEvent};

    fn request(verdict: GuardVerdict, reason: Option<&str>) -> GuardEvent {
        GuardEvent::Request(Box::new(proofmark_schema::guard::RequestEvent {
            time: "2026-11-22T18:00:01Z".into(),
            id: "00".repeat(16),
            key: Some("k1".into()),
            route: "oip".into(),
            model: None,
            by: Responder::Primary,
            verdict,
            reason: reason.map(str::to_owned),
            rows: 2,
            input: None,
            output: None,
            decisions: Vec::new(),
            fields: serde_json::Map::new(),
            latency_us: 7,
        }))
    }

    fn change(second: u32, from: GuardState, to: GuardState) -> GuardEvent {
        GuardEvent::State(StateEvent {
            time: format!("2026-11-22T18:00:{second:02}Z"),
            from,
            to,
            cause: format!("cause {second}"),
        })
    }

    fn start(resumed_state: GuardState) -> GuardEvent {
        GuardEvent::Start(StartEvent {
            time: "2026-11-22T18:00:00Z".into(),
            policy: "p".into(),
            program: "proofmark".into(),
            models: Vec::new(),
            resumed_state,
            weak_points: Vec::new(),
        })
    }

    #[test]
    fn states_verdicts_and_incidents_are_folded_over_volumes() {
        use GuardState::{Degraded, Normal, Safe, Stopped};
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_guard(dir.path()).unwrap(), None);
        let end =
            EndEvent { time: "2026-11-22T18:01:00Z".into(), state: Normal, reason: "".into() };
        let shed = ShedEvent { time: end.time.clone(), count: 3, since: end.time.clone() };
        let first = [
            start(Normal),
            request(GuardVerdict::Answered, None),
            change(2, Normal, Degraded),
            request(GuardVerdict::Degraded, Some("breaker-open")),
            change(3, Degraded, Safe),
            change(4, Safe, Stopped),
            start(Stopped),
            change(9, Stopped, Normal),
            GuardEvent::Shed(shed),
            GuardEvent::End(end),
        ];
        let second = [start(Normal), request(GuardVerdict::Refused, Some("rate"))];
        for (number, events) in [(1, &first[..]), (2, &second[..])] {
            let dir = volume(dir.path(), number);
            let mut log = Log::create(&dir, "proofmark/x/guard", LogKey::generate().unwrap());
            let leaves: Vec<_> = events.iter().map(|e| e.to_leaf().unwrap()).collect();
            log.as_mut().unwrap().append(&leaves).unwrap();
        }
        let fold = read_guard(dir.path()).unwrap().unwrap();
        assert_eq!((fold.entries, fold.requests(), fold.rows, fold.shed), (12, 3, 6, 3));
        assert_eq!(fold.count(GuardVerdict::Degraded), 1);
        assert_eq!(fold.reasons.get("rate"), Some(&1));
        assert_eq!((fold.starts_total, fold.unclean_ends, fold.changes_total), (3, 1, 4));
        assert_eq!((fold.state, fold.open), (Some(Normal), true));
        let [incident] = fold.incidents.as_slice() else { panic!("{:?}", fold.incidents) };
        assert_eq!((incident.index, incident.state), (4, Stopped));
        assert_eq!(incident.until.as_deref(), Some("2026-11-22T18:00:09Z"));
        assert_eq!(fold.span.unwrap().1, "2026-11-22T18:00:01Z");
    }

    #[test]
    fn a_log_of_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut log =
            Log::create(dir.path(), "proofmark/x/guard", LogKey::generate().unwrap()).unwrap();
        log.append(&[start(GuardState::Normal).to_leaf().unwrap(), b"{}".to_vec()]).unwrap();
        let error = guard_events(&log).unwrap_err();
        assert!(error.to_string().contains("entry 1"), "{error}");
    }
}
