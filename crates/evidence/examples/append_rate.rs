//! Measures durable appends a second: `cargo run --release -p proofmark-evidence --example
//! append_rate [DIR]`. The folder decides which disk is measured.
#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::path::PathBuf;
use std::time::Instant;

use proofmark_evidence::keys::LogKey;
use proofmark_evidence::log::Log;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    for (batch, rounds) in [(1usize, 300u32), (64, 100)] {
        let dir = base.join(format!("append-rate-{}-{batch}", std::process::id()));
        let mut log = Log::create(&dir, "example.invalid/rate", LogKey::generate()?)?;
        let entries = vec![vec![b'x'; 300]; batch];
        let began = Instant::now();
        for _ in 0..rounds {
            log.append(&entries)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let rate = f64::from(rounds) * batch as f64 / seconds;
        println!(
            "batches of {batch}: {rate:.0} entries/s, {:.2} ms a batch",
            seconds * 1000.0 / f64::from(rounds)
        );
        drop(log);
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
