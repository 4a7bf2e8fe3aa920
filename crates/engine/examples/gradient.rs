//! Our side of `benches/gradient/run.py`.
//!
//! `cargo run --release -p proofmark-engine --example gradient -- serve MODEL X Y ENGINE THREADS`
//! reads lines `N` and answers each with the seconds that N gradients of the cross-entropy took;
//! `... GRAD.npy` as a last argument keeps the first gradient. ENGINE is `rten` or the path of an
//! ONNX Runtime library. `dump MODEL X Y WIDTH OUT` writes the graph that ONNX Runtime is given.
//!
//! Owns nothing but the timing.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::io::BufRead;
use std::time::Instant;

use proofmark_engine::engine::EngineKind;
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::{Answer, FreeInput, LossKind, Pipeline, PipelineOptions};
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_engine::write::to_onnx;
use proofmark_formats::npy::{self, NpyArray, NpyData};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (model, x, labels) = (&args[1], floats(&args[2]), ints(&args[3]));
    let width = PipelineOptions::default().width;
    if args[0] == "dump" {
        let pipeline = open(model, &x, EngineKind::Rten, width, 1);
        let (loss, engine) = (LossKind::CrossEntropy, EngineKind::OnnxRuntime);
        let graph = pipeline.gradient_graph(loss, engine, args[4].parse().unwrap()).unwrap();
        std::fs::write(&args[5], to_onnx(&graph).unwrap()).unwrap();
        return;
    }
    let engine = match args[4].as_str() {
        "rten" => EngineKind::Rten,
        library => {
            proofmark_engine::onnxruntime::load(std::path::Path::new(library)).unwrap();
            EngineKind::OnnxRuntime
        }
    };
    let pipeline = open(model, &x, engine, width, args[5].parse().unwrap());
    let rows: Vec<usize> = (0..pipeline.rows()).collect();
    let once = || pipeline.loss_grad(&rows, x.data(), &labels, LossKind::CrossEntropy).unwrap();
    let first = once();
    if let Some(path) = args.get(6) {
        let array = NpyArray::new(x.shape().to_vec(), NpyData::F32(first.grad)).unwrap();
        std::fs::write(path, npy::write(&array).unwrap()).unwrap();
    }
    let facts = pipeline.engine();
    println!("{{\"engine\": \"{}\", \"version\": \"{}\"}}", facts.name, facts.version);
    for line in std::io::stdin().lock().lines() {
        let count: usize = line.unwrap().trim().parse().unwrap();
        let began = Instant::now();
        for _ in 0..count {
            once();
        }
        println!("{}", began.elapsed().as_secs_f64());
    }
}

fn open(path: &str, x: &Tensor<f32>, engine: EngineKind, width: usize, threads: usize) -> Pipeline {
    let none = |name: &str| Err(format!("no external file `{name}` is expected"));
    let model = Model::from_onnx(&std::fs::read(path).unwrap(), &none).unwrap();
    let name = model.graph().inputs[0].name.clone();
    let inputs: Inputs = [(name.clone(), Value::F32(x.clone()))].into();
    let options = PipelineOptions {
        engine,
        answer: Answer::Logit,
        classes: 10,
        free: vec![FreeInput { input: name, columns: None }],
        width,
        threads,
        ..PipelineOptions::default()
    };
    Pipeline::open(&model, &options, &inputs).unwrap()
}

fn floats(path: &str) -> Tensor<f32> {
    let array = npy::read(&std::fs::read(path).unwrap()).unwrap();
    let NpyData::F32(data) = array.data() else { panic!("`{path}` holds no f32") };
    Tensor::new(array.shape().to_vec(), data.clone()).unwrap()
}

fn ints(path: &str) -> Vec<usize> {
    let array = npy::read(&std::fs::read(path).unwrap()).unwrap();
    let NpyData::I64(data) = array.data() else { panic!("`{path}` holds no i64") };
    data.iter().map(|&v| v as usize).collect()
}
