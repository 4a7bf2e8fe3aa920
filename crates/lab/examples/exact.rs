//! Times the exact search alone: `exact DUMP.json ROWS.libsvm [linf|l1|l2] [BOXES]`.
//!
//! Prints rows, boxes and seconds of CPU of the search (user and system, one thread), without
//! reading the files.

use proofmark_engine::trees::import::xgboost::{DumpOptions, import_dump};
use proofmark_lab::decision::Decision;
use proofmark_lab::formal::reading::Judged;
use proofmark_lab::formal::trees::{Axis, Budget, Question, Searcher};
use proofmark_schema::system::{Norm, OutputKind};

#[expect(clippy::print_stdout, reason = "its figures are what it is for")]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let dump = std::fs::read(&args[1]).expect("the dump");
    let text = std::fs::read_to_string(&args[2]).expect("the rows");
    let norm = match args.get(3).map(String::as_str) {
        Some("l1") => Norm::L1,
        Some("l2") => Norm::L2,
        _ => Norm::Linf,
    };
    let boxes = args.get(4).map_or(1_000_000, |n| n.parse().expect("a number of boxes"));
    let rows: Vec<(f64, Vec<(usize, f64)>)> = text
        .lines()
        .map(|line| {
            let mut parts = line.split_whitespace();
            let label = parts.next().expect("a label").parse().expect("a number");
            let pair = |p: &str| {
                let (i, v) = p.split_once(':').expect("index:value");
                (i.parse().expect("an index"), v.parse().expect("a value"))
            };
            (label, parts.map(pair).collect())
        })
        .collect();
    let width = rows.iter().flat_map(|(_, r)| r.iter().map(|p| p.0 + 1)).max().unwrap_or(0);
    let options = DumpOptions { columns: Some(width), decimals: true, ..DumpOptions::default() };
    let ensemble = import_dump(&dump, &options).expect("the trees");
    let decision = Decision::argmax(OutputKind::Logit);
    let searcher = Searcher::new(&ensemble, Judged::Answers, &decision, &[0, 1]).expect("trees");
    let dense: Vec<(usize, Vec<f64>)> = rows
        .iter()
        .map(|(label, pairs)| {
            let mut row = vec![0.0; width];
            pairs.iter().for_each(|&(i, v)| row[i] = v);
            (usize::from(*label > 0.5), row)
        })
        .collect();
    let axes = vec![Axis::FREE; width];
    let began = cpu();
    let (mut right, mut open, mut judged, mut sum, mut upper) = (0, 0, 0, 0.0, 0.0);
    for (label, row) in &dense {
        let from = searcher.decide(row);
        if from != *label {
            continue;
        }
        let question = Question { row, axes: &axes, norm, from, goal: None, slack: 0.0 };
        let found = searcher.nearest(&question, Budget { boxes }, None, &|| false);
        right += 1;
        open += usize::from(!found.settled());
        judged += found.judged;
        sum += found.lower;
        upper += found.upper.unwrap_or(f64::INFINITY);
    }
    let seconds = cpu() - began;
    println!(
        "{} rows, {right} right, {open} open, {judged} boxes, mean {:.9} to {:.9}, {seconds:.4} s",
        dense.len(),
        sum / f64::from(right),
        upper / f64::from(right),
    );
}

/// CPU of this thread in seconds (Linux).
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds: f64 = text.split_whitespace().next().map_or(0.0, |n| n.parse().unwrap_or(0.0));
    nanoseconds * 1e-9
}
