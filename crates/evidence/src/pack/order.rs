//! Plan before run before result, read from the whole log.
//!
//! Owns that rule and the list of runs. Must never look only at what a pack cites: a run that was
//! left out is named. Called by the pack's verifier.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::entry::{Entry, EntryKind};

/// One run as the log shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub starts: Vec<(u64, Option<Digest>)>,
    pub results: Vec<(u64, Option<Digest>)>,
    pub verdicts: Vec<(u64, Option<Digest>)>,
    pub ended: bool,
}

/// What the log says about plans and runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    plans: BTreeMap<Digest, u64>,
    runs: BTreeMap<String, Run>,
    /// Results and verdicts that name no run.
    stray: Vec<u64>,
}

impl Ledger {
    /// Takes in the entry at `index`.
    pub(super) fn add(&mut self, index: u64, entry: &Entry) {
        let run = entry.run.as_ref().map(|run| self.runs.entry(run.clone()).or_default());
        match (&entry.kind, run) {
            (EntryKind::Plan, _) => {
                if let Some(statement) = entry.statement {
                    self.plans.entry(statement).or_insert(index);
                }
            }
            (EntryKind::RunStart, Some(run)) => run.starts.push((index, entry.plan())),
            (EntryKind::Result, Some(run)) => run.results.push((index, entry.statement)),
            (EntryKind::Verdict, Some(run)) => run.verdicts.push((index, entry.statement)),
            (EntryKind::RunEnd, Some(run)) => run.ended = true,
            (EntryKind::Result | EntryKind::Verdict | EntryKind::RunStart, None) => {
                self.stray.push(index);
            }
            _ => {}
        }
    }

    /// What is wrong with the order of the runs whose results or verdicts are in `attested`; an
    /// empty answer means the order holds, and there is at least one result.
    pub(super) fn faults(&self, attested: &BTreeSet<Digest>) -> Vec<String> {
        let mut faults: Vec<String> =
            self.stray.iter().map(|index| format!("entry {index} names no run")).collect();
        let mut results = 0;
        for (name, run) in self.runs.iter().filter(|(_, run)| run.is_cited(attested)) {
            results += run.cited(attested, &run.results);
            faults.extend(self.run_fault(run, attested).map(|f| format!("run `{name}`: {f}")));
        }
        if results == 0 {
            faults.push("no result of any run is in the pack".to_owned());
        }
        faults
    }

    /// One line on all runs of the log, cited or not.
    pub(super) fn summary(&self, attested: &BTreeSet<Digest>) -> String {
        let cited = self.runs.values().filter(|run| run.is_cited(attested)).count();
        let open = |run: &&Run| !run.ended && !run.starts.is_empty();
        let unended: Vec<_> =
            self.runs.iter().filter(|(_, run)| open(run)).map(|(name, _)| name.as_str()).collect();
        let mut text = format!(
            "the log shows {} plans and {} runs, {cited} cited here",
            self.plans.len(),
            self.runs.len()
        );
        if !unended.is_empty() {
            text.push_str(&format!("; never ended: {}", unended.join(", ")));
        }
        text
    }

    /// Whether every cited run has one of the anchored `sizes` between its plan and its start: only
    /// then does a second party, and not the provider alone, speak for their order.
    pub(super) fn is_order_anchored(&self, attested: &BTreeSet<Digest>, sizes: &[u64]) -> bool {
        let mut cited = self.runs.values().filter(|run| run.is_cited(attested)).peekable();
        cited.peek().is_some()
            && cited.all(|run| {
                let Some((start, Some(plan))) = run.starts.first() else { return false };
                let Some(planned) = self.plans.get(plan) else { return false };
                sizes.iter().any(|size| planned < size && size <= start)
            })
    }

    fn run_fault(&self, run: &Run, attested: &BTreeSet<Digest>) -> Option<String> {
        let Some((start, Some(plan))) = run.starts.first() else {
            return Some("no start in the log that names its plan".to_owned());
        };
        if run.starts.iter().any(|(_, other)| other != &Some(*plan)) {
            return Some("its starts name different plans".to_owned());
        }
        let Some(planned) = self.plans.get(plan) else {
            return Some(format!("its plan {plan} is not in the log"));
        };
        if planned >= start {
            return Some(format!("started at {start}, before its plan at {planned}"));
        }
        if !attested.contains(plan) {
            return Some(format!("its plan {plan} is not in the pack"));
        }
        let early = run.results.iter().chain(&run.verdicts).find(|(index, _)| index <= start);
        early.map(|(index, _)| format!("result at {index}, before its start at {start}"))
    }
}

impl Run {
    fn is_cited(&self, attested: &BTreeSet<Digest>) -> bool {
        self.cited(attested, &self.results) + self.cited(attested, &self.verdicts) > 0
    }

    fn cited(&self, attested: &BTreeSet<Digest>, entries: &[(u64, Option<Digest>)]) -> usize {
        entries.iter().filter(|(_, s)| s.is_some_and(|s| attested.contains(&s))).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::PLAN_KEY;

    const TIME: &str = "2026-11-22T15:00:00Z";

    fn plan() -> Entry {
        Entry::new(EntryKind::Plan, TIME).statement(Digest::of(b"plan"))
    }

    fn start() -> Entry {
        Entry::new(EntryKind::RunStart, TIME).run("r").with(PLAN_KEY, Digest::of(b"plan").hex())
    }

    fn result() -> Entry {
        Entry::new(EntryKind::Result, TIME).run("r").statement(Digest::of(b"result"))
    }

    fn end() -> Entry {
        Entry::new(EntryKind::RunEnd, TIME).run("r")
    }

    #[test]
    fn only_plan_start_result_passes() {
        let attested = BTreeSet::from([Digest::of(b"plan"), Digest::of(b"result")]);
        let other = start().with(PLAN_KEY, Digest::of(b"other").hex());
        let mut unplanned = start();
        unplanned.extra.clear();
        for (name, entries, good) in [
            ("in order", vec![plan(), start(), result(), end()], true),
            ("resumed", vec![plan(), start(), start(), result()], true),
            ("result first", vec![plan(), result(), start()], false),
            ("plan after start", vec![start(), plan(), result()], false),
            ("plan after result", vec![start(), result(), plan()], false),
            ("registered again after", vec![start(), result(), plan(), start()], false),
            ("no start", vec![plan(), result()], false),
            ("no plan", vec![start(), result()], false),
            ("start without plan", vec![plan(), unplanned, result()], false),
            ("resumed under another plan", vec![plan(), start(), other, result()], false),
            ("nothing", vec![plan(), start()], false),
        ] {
            let mut ledger = Ledger::default();
            for (index, entry) in (0..).zip(&entries) {
                ledger.add(index, entry);
            }
            assert_eq!(ledger.faults(&attested).is_empty(), good, "{name}");
        }
    }

    #[test]
    fn a_plan_must_be_in_the_pack_and_open_runs_are_named() {
        let mut ledger = Ledger::default();
        for (index, entry) in (0..).zip([plan(), start(), result()]) {
            ledger.add(index, &entry);
        }
        let without_plan = BTreeSet::from([Digest::of(b"result")]);
        assert!(!ledger.faults(&without_plan).is_empty());
        let summary = ledger.summary(&without_plan);
        assert!(summary.contains("never ended: r"), "{summary}");
        for (sizes, anchored) in [(&[1][..], true), (&[0, 2, 3], false), (&[], false)] {
            assert_eq!(ledger.is_order_anchored(&without_plan, sizes), anchored, "{sizes:?}");
        }
        assert!(!ledger.is_order_anchored(&BTreeSet::new(), &[1]));
    }
}
