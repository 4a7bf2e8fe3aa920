//! Counters and gauges of the guard, as Prometheus reads them.
//!
//! Owns names, labels and the text. Must never carry a key, a feature value or an address in a
//! label. Filled by the data plane, read on the admin listener.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use proofmark_schema::guard::{GuardState, Responder};

use crate::breaker::BreakerState;
use crate::recorder::RecorderStats;

type Labels = Vec<(&'static str, &'static str)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    answers: [Counter; 3],
    refused: Counters,
    latency: Histogram,
    asked: [Histogram; 2],
    failed: [Counter; 2],
    /// Requests that went on to the backup.
    pub failovers: Counter,
    /// Requests in which the two voices of a vote differed.
    pub disagreements: Counter,
    /// Known answers that were wrong.
    pub wrong_answers: Counter,
    /// Open connections.
    pub connections: Gauge,
    state: Gauges,
    breakers: Gauges,
    log: LogMetrics,
}

#[derive(Debug, Default)]
struct LogMetrics {
    records: Gauge<u64, AtomicU64>,
    commits: Gauge<u64, AtomicU64>,
    commit_seconds: Gauge<f64, AtomicU64>,
    dropped: Gauge<u64, AtomicU64>,
    queued: Gauge<u64, AtomicU64>,
    failed: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("proofmark_guard");
        let answers = Counters::default();
        let failed = Counters::default();
        let seconds = || Histogram::new(exponential_buckets(0.000_05, 2.0, 15));
        let asked = Family::<Labels, Histogram, fn() -> Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_05, 2.0, 15))
        });
        let (refused, latency) = (Counters::default(), seconds());
        let (failovers, disagreements) = (Counter::default(), Counter::default());
        let (wrong_answers, connections) = (Counter::default(), Gauge::default());
        let (state, breakers) = (Gauges::default(), Gauges::default());
        let log = LogMetrics::default();
        registry.register("answers", "answers by who gave them", answers.clone());
        registry.register("refused", "requests refused, by reason", refused.clone());
        registry.register("latency_seconds", "from header to answer", latency.clone());
        registry.register("model_seconds", "time of a model, by role", asked.clone());
        registry.register("model_failures", "failed answers of a model", failed.clone());
        registry.register("failovers", "requests handed to the backup", failovers.clone());
        let words = "rows on which primary and backup differed in a vote";
        registry.register("vote_disagreements", words, disagreements.clone());
        let words = "known answers that an upstream gave wrongly";
        registry.register("probe_failures", words, wrong_answers.clone());
        registry.register("connections", "open connections", connections.clone());
        registry.register("state", "1 for the state that holds", state.clone());
        registry.register("breaker", "0 closed, 1 half open, 2 open", breakers.clone());
        log.register(&mut registry);
        let by = |who| counter(&answers, who);
        let role = |who| labels("model", who);
        Self {
            registry,
            answers: [by("primary"), by("backup"), by("safe")],
            refused,
            latency,
            asked: ["primary", "backup"].map(|w| asked.get_or_create_owned(&role(w))),
            failed: ["primary", "backup"].map(|w| failed.get_or_create_owned(&role(w))),
            failovers,
            disagreements,
            wrong_answers,
            connections,
            state,
            breakers,
            log,
        }
    }

    /// An answer left.
    pub fn answered(&self, by: Responder, after: Duration) {
        if let Some(counter) = self.answers.get(place(by)) {
            counter.inc();
        }
        self.latency.observe(after.as_secs_f64());
    }

    /// A request was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&labels("reason", reason)).inc();
    }

    /// A model was asked and took so long.
    pub fn asked(&self, who: Responder, took: Duration) {
        if let Some(histogram) = self.asked.get(place(who)) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// A model failed.
    pub fn failed(&self, who: Responder) {
        if let Some(counter) = self.failed.get(place(who)) {
            counter.inc();
        }
    }

    /// The text, with what is read from elsewhere at this moment.
    pub fn text(
        &self,
        state: GuardState,
        breakers: &[(&'static str, BreakerState)],
        log: RecorderStats,
    ) -> String {
        for each in GuardState::ALL {
            let gauge = self.state.get_or_create_owned(&labels("state", each.as_str()));
            gauge.set(i64::from(each == state));
        }
        for (role, breaker) in breakers {
            let level = match breaker {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            self.breakers.get_or_create_owned(&labels("model", role)).set(level);
        }
        self.log.set(log);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl LogMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("log_records_total", "records made durable", self.records.clone());
        registry.register("log_commits_total", "flushes of the record", self.commits.clone());
        let words = "time spent in flushes";
        registry.register("log_commit_seconds_total", words, self.commit_seconds.clone());
        let words = "requests refused because the record did not keep up";
        registry.register("log_dropped_total", words, self.dropped.clone());
        registry.register("log_queued", "records that wait", self.queued.clone());
        registry.register("log_failed_total", "records that failed", self.failed.clone());
    }

    fn set(&self, stats: RecorderStats) {
        self.records.set(stats.records);
        self.commits.set(stats.commits);
        self.commit_seconds.set(stats.commit_micros_total as f64 / 1e6);
        self.dropped.set(stats.shed);
        self.queued.set(stats.queued);
        self.failed.set(stats.failed);
    }
}

fn place(who: Responder) -> usize {
    match who {
        Responder::Primary => 0,
        Responder::Backup => 1,
        Responder::Safe | Responder::None => 2,
    }
}

fn labels(name: &'static str, value: &'static str) -> Labels {
    vec![(name, value)]
}

fn counter(family: &Counters, who: &'static str) -> Counter {
    family.get_or_create_owned(&labels("by", who))
}
