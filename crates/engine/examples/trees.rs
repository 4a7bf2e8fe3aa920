//! Our side of `benches/trees/run.py`.
//!
//! `cargo run --release -p proofmark-engine --example trees -- MODEL X.npy` loads a model file and
//! rows, writes the margins to `X.npy.margins` and then answers each line on standard input with
//! the seconds of processor time and of wall time that one prediction of all rows took, on one
//! thread, in a fresh allocation.
//!
//! Owns nothing but the timing.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::io::BufRead;
use std::time::Instant;

use proofmark_engine::model::{Hints, Model};
use proofmark_engine::trees::{Arithmetic, Numbers, Rows, of_node};
use proofmark_formats::npy::{self, NpyArray, NpyData};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let bytes = std::fs::read(&args[0]).unwrap();
    let model = Model::open(&bytes, &Hints::default(), &|_| Err("none".into())).unwrap();
    let graph = model.graph();
    let ensemble = graph.nodes.iter().find_map(|n| of_node(n, graph)).unwrap();
    let forest = ensemble.compile().unwrap();
    let array = npy::read(&std::fs::read(&args[1]).unwrap()).unwrap();
    let columns = array.shape()[1];
    let (single, double) = match ensemble.arithmetic {
        Arithmetic::F64 => (Vec::new(), array.data().to_f64().unwrap()),
        _ => (array.data().to_f32().unwrap(), Vec::new()),
    };
    let once = || match single.is_empty() {
        true => forest.margins(Rows::new(&double, columns).unwrap(), 1).unwrap(),
        false => forest.margins(Rows::new(&single, columns).unwrap(), 1).unwrap(),
    };
    let first = once();
    let shape = vec![first.len() / forest.outputs(), forest.outputs()];
    let data = match first {
        Numbers::F32(v) => NpyData::F32(v),
        Numbers::F64(v) => NpyData::F64(v),
    };
    let margins = NpyArray::new(shape, data).unwrap();
    std::fs::write(format!("{}.margins", args[1]), npy::write(&margins).unwrap()).unwrap();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line.unwrap();
        let (cpu, wall) = (processor_seconds(), Instant::now());
        std::hint::black_box(once());
        println!("{} {}", processor_seconds() - cpu, wall.elapsed().as_secs_f64());
    }
}

/// Processor time of this thread, as Linux counts it.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
