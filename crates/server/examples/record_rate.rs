//! Rate of the recorder: `cargo run --release -p proofmark-server --example record_rate -- DIR`.
//!
//! Owns nothing but the timing. Tasks record request events one after the other, as connections
//! do, for a few seconds; printed are records and flushes a second, CPU per record (of the whole
//! process, from /proc/self/stat) and the wait of a record. Also the rate of bare flushes of the
//! same file system, to compare with.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_evidence::keys::LogKey;
use proofmark_schema::guard::{GuardEvent, GuardVerdict, RequestEvent, Responder};
use proofmark_server::recorder::{Recorder, RecorderOptions};

fn main() {
    let dir = PathBuf::from(std::env::args().nth(1).expect("a folder"));
    std::fs::create_dir_all(&dir).unwrap();
    println!("bare fdatasync of 600 bytes: {:.0}/s", bare(&dir));
    println!("tasks  records/s  flushes/s  group  us CPU  us wait (mean)  p99");
    for tasks in [1usize, 8, 32, 128, 512, 2048] {
        measure(&dir.join(format!("{tasks}")), tasks);
    }
}

fn measure(dir: &Path, tasks: usize) {
    let _ = std::fs::remove_dir_all(dir);
    let options = RecorderOptions {
        dir: dir.to_owned(),
        origin: "proofmark/bench/guard".into(),
        key: LogKey::generate().unwrap(),
        queue: 4096,
    };
    let recorder = Recorder::open(options, Arc::new(|| "2026-11-22T18:00:00Z".into())).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut waits: Vec<Duration> = runtime.block_on(async {
        let each = (0..tasks).map(|task| {
            let recorder = recorder.clone();
            tokio::spawn(async move {
                let (event, mut waits) = (event(task), Vec::new());
                while began.elapsed() < SECONDS {
                    let asked = Instant::now();
                    recorder.record(&event).await.unwrap();
                    waits.push(asked.elapsed());
                }
                waits
            })
        });
        let mut all = Vec::new();
        for task in each.collect::<Vec<_>>() {
            all.extend(task.await.unwrap());
        }
        all
    });
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let stats = recorder.stats();
    let closing = Instant::now();
    recorder.close();
    waits.sort();
    let mean = waits.iter().sum::<Duration>().as_secs_f64() / waits.len() as f64;
    println!(
        "{tasks:>5}  {:>9.0}  {:>9.0}  {:>5.1}  {:>6.1}  {:>14.0}  {:>5.0}  (closed in {} ms)",
        stats.records as f64 / seconds,
        stats.commits as f64 / seconds,
        stats.records as f64 / stats.commits as f64,
        cpu / stats.records as f64 * 1e6,
        mean * 1e6,
        waits[waits.len() * 99 / 100].as_secs_f64() * 1e6,
        closing.elapsed().as_millis(),
    );
}

fn event(task: usize) -> GuardEvent {
    GuardEvent::Request(Box::new(RequestEvent {
        time: "2026-11-22T18:00:00.123Z".into(),
        id: format!("{task:032x}"),
        key: Some("0123456789ab".into()),
        route: "json".into(),
        model: Some("mlp".into()),
        by: Responder::Primary,
        verdict: GuardVerdict::Answered,
        reason: None,
        rows: 1,
        input: Some("ab".repeat(32)),
        output: Some("cd".repeat(32)),
        decisions: vec!["good".into()],
        fields: serde_json::Map::new(),
        latency_us: 812,
    }))
}

fn bare(dir: &Path) -> f64 {
    let mut file = std::fs::File::create(dir.join("bare")).unwrap();
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[b'x'; 600]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

// User and system time of this process; the kernel counts in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    fields.iter().skip(10).take(2).sum::<f64>() / 100.0
}

const SECONDS: Duration = Duration::from_secs(5);
