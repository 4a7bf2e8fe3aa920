//! A circuit breaker: after failures in a row it lets no request through for a while, then a
//! few probes.
//!
//! Owns the three states and when they change. Must never read a clock: the instant is handed in.
//! Called by the data plane, one breaker per scorer.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a breaker opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it, at least 1.
    pub failures: u32,
    /// How long it stays open.
    pub open: Duration,
    /// Probes that must succeed in a row to close it, at least 1.
    pub probes: u32,
}

/// Whether a request may go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Pass,
    /// Yes, as a probe: its outcome must be reported.
    Probe,
    /// No: it is open.
    Refuse,
}

/// A change that the outcome of a request made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// None.
    None,
    /// It opened: the scorer counts as failed.
    Opened,
    /// It closed: the scorer counts as sound again.
    Closed,
}

/// State of a breaker, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// Nothing passes.
    Open,
    /// Probes pass.
    HalfOpen,
}

/// A breaker; shared by reference between requests.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    // Read on every request without a lock; changed under the lock only.
    state: AtomicU8,
    // Failures in a row while closed.
    failures: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    opened: Option<Instant>,
    // When the running probe was let through.
    probing: Option<Instant>,
    succeeded: u32,
}

impl Breaker {
    /// A closed breaker; zeros of the policy count as 1.
    pub fn new(policy: BreakerPolicy) -> Self {
        let policy = BreakerPolicy {
            failures: policy.failures.max(1),
            open: policy.open,
            probes: policy.probes.max(1),
        };
        Self {
            policy,
            state: AtomicU8::new(CLOSED),
            failures: AtomicU32::new(0),
            inner: Mutex::default(),
        }
    }

    /// Whether a request may go through at `now`. One probe runs at a time; one that never
    /// reports its outcome gives up its place after the open time.
    pub fn admit(&self, now: Instant) -> Admission {
        if self.state.load(Ordering::Acquire) == CLOSED {
            return Admission::Pass;
        }
        let mut inner = self.lock();
        match self.state.load(Ordering::Acquire) {
            CLOSED => return Admission::Pass,
            OPEN => {
                if inner
                    .opened
                    .is_some_and(|at| now.saturating_duration_since(at) < self.policy.open)
                {
                    return Admission::Refuse;
                }
                self.state.store(HALF_OPEN, Ordering::Release);
                inner.succeeded = 0;
                inner.probing = None;
            }
            _ => {}
        }
        let lapsed =
            |at: Instant| now.saturating_duration_since(at) >= self.policy.open.max(PROBE_LAPSE);
        if inner.probing.is_none_or(lapsed) {
            inner.probing = Some(now);
            Admission::Probe
        } else {
            Admission::Refuse
        }
    }

    /// A request that passed, or a probe, succeeded.
    pub fn success(&self) -> Change {
        if self.state.load(Ordering::Acquire) == CLOSED {
            if self.failures.load(Ordering::Relaxed) != 0 {
                self.failures.store(0, Ordering::Relaxed);
            }
            return Change::None;
        }
        let mut inner = self.lock();
        // A late success of a request from before the opening proves nothing.
        if self.state.load(Ordering::Acquire) != HALF_OPEN {
            return Change::None;
        }
        inner.probing = None;
        inner.succeeded += 1;
        if inner.succeeded < self.policy.probes {
            return Change::None;
        }
        self.failures.store(0, Ordering::Relaxed);
        *inner = Inner::default();
        self.state.store(CLOSED, Ordering::Release);
        Change::Closed
    }

    /// A request that passed, or a probe, failed at `now`.
    pub fn failure(&self, now: Instant) -> Change {
        let mut inner = self.lock();
        match self.state.load(Ordering::Acquire) {
            CLOSED => {
                let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if failures < self.policy.failures {
                    return Change::None;
                }
                self.open(&mut inner, now);
                Change::Opened
            }
            HALF_OPEN => {
                self.open(&mut inner, now);
                Change::None
            }
            _ => Change::None,
        }
    }

    /// Opens it at once, e.g. after a wrong known answer.
    pub fn trip(&self, now: Instant) -> Change {
        let mut inner = self.lock();
        let was = self.state.load(Ordering::Acquire);
        self.open(&mut inner, now);
        if was == CLOSED { Change::Opened } else { Change::None }
    }

    /// Its state, for metrics.
    pub fn state(&self) -> BreakerState {
        match self.state.load(Ordering::Acquire) {
            CLOSED => BreakerState::Closed,
            OPEN => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    fn open(&self, inner: &mut Inner, now: Instant) {
        *inner = Inner { opened: Some(now), probing: None, succeeded: 0 };
        self.state.store(OPEN, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics under this lock; a poisoned one holds a valid state all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const HALF_OPEN: u8 = 2;
/// A probe without an outcome holds its place at least this long: longer than any deadline that
/// is of use, short enough that a lost probe does not keep a sound model out.
const PROBE_LAPSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: BreakerPolicy =
        BreakerPolicy { failures: 3, open: Duration::from_secs(2), probes: 2 };

    #[test]
    fn failures_in_a_row_open_it_and_probes_close_it() {
        let (breaker, start) = (Breaker::new(POLICY), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for change in [breaker.failure(start), breaker.failure(start), breaker.success()] {
            assert_eq!(change, Change::None);
        }
        assert_eq!([breaker.failure(start), breaker.failure(start)], [Change::None; 2]);
        assert_eq!(breaker.admit(start), Admission::Pass);
        assert_eq!(breaker.failure(start), Change::Opened);
        assert_eq!(breaker.admit(at(1)), Admission::Refuse);
        assert_eq!(breaker.success(), Change::None, "a late answer proves nothing");
        assert_eq!(breaker.admit(at(2)), Admission::Probe);
        assert_eq!(breaker.admit(at(2)), Admission::Refuse, "one probe at a time");
        assert_eq!(breaker.success(), Change::None);
        assert_eq!(breaker.admit(at(2)), Admission::Probe);
        assert_eq!(breaker.failure(at(2)), Change::None);
        assert_eq!(breaker.admit(at(3)), Admission::Refuse, "open again");
        assert_eq!(breaker.admit(at(4)), Admission::Probe);
        assert_eq!(breaker.admit(at(6)), Admission::Probe, "a probe that was lost gives way");
        assert_eq!(
            [breaker.success(), breaker.state_change_of_next(at(6))],
            [Change::None, Change::Closed]
        );
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.trip(at(7)), Change::Opened);
        assert_eq!(breaker.trip(at(7)), Change::None);
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    impl Breaker {
        fn state_change_of_next(&self, now: Instant) -> Change {
            assert_eq!(self.admit(now), Admission::Probe);
            self.success()
        }
    }

    proptest! {
        // Every step: milliseconds that pass, and whether the request, let through, succeeds.
        #[test]
        fn nothing_passes_within_the_open_time(
            steps in prop::collection::vec((0u64..900, any::<bool>()), 1..200),
        ) {
            let breaker = Breaker::new(POLICY);
            let mut now = Instant::now();
            let mut opened: Option<Instant> = None;
            let mut row = 0;
            for (millis, succeeds) in steps {
                now += Duration::from_millis(millis);
                let admitted = breaker.admit(now);
                if let Some(at) = opened {
                    let early = now.saturating_duration_since(at) < POLICY.open;
                    prop_assert_eq!(admitted == Admission::Refuse, early);
                } else {
                    prop_assert_eq!(admitted, Admission::Pass);
                }
                if admitted == Admission::Refuse {
                    continue;
                }
                if succeeds {
                    row = if opened.is_some() { row + 1 } else { 0 };
                    let closes = opened.is_some() && row == POLICY.probes;
                    prop_assert_eq!(breaker.success() == Change::Closed, closes);
                    if closes {
                        (opened, row) = (None, 0);
                    }
                } else {
                    let change = breaker.failure(now);
                    row = if opened.is_some() { 0 } else { row + 1 };
                    let opens = opened.is_none() && row == POLICY.failures;
                    prop_assert_eq!(change == Change::Opened, opens);
                    if opens || opened.is_some() {
                        (opened, row) = (Some(now), 0);
                    }
                }
            }
        }
    }
}
