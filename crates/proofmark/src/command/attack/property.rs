//! `attack --property`: does a point of the property's boxes break it? `sat`, `unsat`, `unknown`.
//!
//! Owns the clock of the time limit, the replay of a witness in two engines and the report. Must
//! never print `sat` for a point that both engines do not confirm exactly, nor `unsat` without a
//! proof: both come from [`proofmark_lab::formal::networks`]. Called by [`super::run`].

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use proofmark_engine::engine::{
    Compiled, EngineFacts, EngineKind, Program, compile, compile_first,
};
use proofmark_engine::extent::Skeleton;
use proofmark_engine::model::Model;
use proofmark_engine::value::{Inputs, Tensor, Value};
use proofmark_formats::vnnlib::{self, Constraint, Number, Property, Variable};
use proofmark_lab::formal::networks::{
    self as networks, Answer, Edge, Head, Limit, Net, Question, Region, Verdict, lowering,
};
use serde_json::{Value as Json, json};

use super::{Args, Global};
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::human::wrap;
use crate::{assets, interrupt, output, runner};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct PropertyArgs {
    /// A property of a network in VNN-LIB, plain or gzip: answers `sat` with a replayed witness,
    /// `unsat` with a proof, else `unknown`. No data are needed.
    #[arg(long, value_name = "P.vnnlib")]
    pub property: Option<PathBuf>,
    /// With `--property`: seconds until the answer is `unknown`.
    #[arg(long, value_name = "S", default_value_t = 300.0, value_parser = seconds)]
    pub timeout: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let inside = text.parse().ok().filter(|s: &f64| *s > 0.0 && *s <= TIMEOUT_MAX);
    inside.ok_or_else(|| format!("seconds, above 0 and at most {TIMEOUT_MAX}"))
}

/// Runs the mode.
pub fn run(args: &Args, path: &std::path::Path, global: Global) -> Outcome<ExitCode> {
    let begun = Instant::now();
    if args.data.is_some() {
        let help = "leave `--data` out; a property holds its own box of inputs";
        return Err(Failure::new("arguments", "`--property` reads no rows", help));
    }
    let end = begun + Duration::from_secs_f64(budget(args.property.timeout));
    let bytes = assets::read_limited(path, vnnlib::BYTES_MAX as u64)?;
    let property = vnnlib::read(&bytes).map_err(|error| {
        let words = format!("cannot read `{}`: {error}", path.display());
        Failure::new("property", words, "docs/proofs.md says which properties are read")
    })?;
    let model = assets::open_model_with(&args.model, &args.dump.hints(&[]))?;
    let net = lowering::lower(model.graph())
        .or_fail("property", "docs/proofs.md says which networks can be proved")?;
    fits(&net, &property)?;
    let regions = regions(&property)?;
    head_fits(&net, &regions)?;
    let kind = args.engine.ready(global.quiet)?;
    let replay = Replay::new(&model, kind, property)?;
    replay.agrees(&net, &regions)?;
    let cancel = interrupt::flag();
    let cancelled = || cancel.load(std::sync::atomic::Ordering::Relaxed);
    let stop = || cancelled() || Instant::now() >= end;
    let failed = RefCell::new(None);
    let judge = |region: usize, point: &[f32]| match replay.breaks(region, point) {
        Ok(breaks) => breaks,
        Err(failure) => {
            failed.borrow_mut().get_or_insert(failure);
            false
        }
    };
    let answer = networks::decide(&Question {
        net: &net,
        regions: &regions,
        seed: args.seed,
        threads: args.threads.unwrap_or_else(runner::cores),
        stop: &stop,
        parts_limit: u64::MAX,
        judge: &judge,
    });
    if cancelled() {
        let help = "run it again; a longer `--timeout` goes further";
        return Err(Failure::new("interrupted", "stopped on request", help));
    }
    if let (Some(failure), Verdict::Unknown) = (failed.into_inner(), answer.verdict) {
        return Err(failure);
    }
    let witness = match &answer.witness {
        Some((region, point)) => Some(replay.witness(*region, point)?),
        None => None,
    };
    let facts = Facts {
        model: &model,
        property: assets::sha256(&bytes),
        boxes: regions.len(),
        seconds: begun.elapsed().as_secs_f64(),
        seed: args.seed,
        timeout: args.property.timeout,
        net: &net,
    };
    if global.format == Format::Json {
        output::json(&as_json(&answer, witness, &facts, &replay));
    } else {
        output::data(&as_text(&answer, witness.as_ref(), &facts, &replay));
    }
    Ok(ExitCode::SUCCESS)
}

/// What of the limit is used for work: the rest is for ending the step at hand and reporting.
fn budget(timeout: f64) -> f64 {
    (timeout - RESERVE).max(timeout * 0.9)
}

fn fits(net: &Net, property: &Property) -> Outcome<()> {
    if (net.inputs(), net.outputs()) == (property.inputs, property.outputs) {
        return Ok(());
    }
    let (x, y) = (property.inputs, property.outputs);
    Err(Failure::new(
        "property",
        format!(
            "the property names {x} inputs and {y} outputs, the model has {} and {}",
            net.inputs(),
            net.outputs()
        ),
        "give the property that was made for this model",
    ))
}

/// The regions, for bounds and search; outward where decimals are no doubles.
fn regions(property: &Property) -> Outcome<Vec<Region>> {
    let edges = |list: &[Number]| {
        list.iter().map(|n| Edge { below: n.below, above: n.above }).collect::<Vec<_>>()
    };
    property
        .cases
        .iter()
        .map(|case| {
            let limits = case.constraints.iter().map(limit).collect::<Outcome<Vec<_>>>()?;
            Ok(Region { lower: edges(&case.lower), upper: edges(&case.upper), limits })
        })
        .collect()
}

fn limit(constraint: &Constraint) -> Outcome<Limit> {
    let mut limit =
        Limit { inputs: Vec::new(), outputs: Vec::new(), constant: constraint.constant.below };
    for (variable, factor) in &constraint.terms {
        let middle = 0.5 * factor.below + 0.5 * factor.above;
        // the bounds count on factors that are right to a few units in the last place
        if factor.above - factor.below > FACTOR_WIDTH * middle.abs() {
            let words =
                format!("a factor of `{variable}` is the difference of nearly equal numbers");
            return Err(Failure::new("property", words, "write the factor as one decimal"));
        }
        match variable {
            Variable::Input(i) => limit.inputs.push((*i as usize, middle)),
            Variable::Output(j) => limit.outputs.push((*j as usize, middle)),
        }
    }
    Ok(limit)
}

/// A softmax or sigmoid at the end is left out of the proof, which only orders survive.
fn head_fits(net: &Net, regions: &[Region]) -> Outcome<()> {
    let order = regions.iter().flat_map(|region| &region.limits).all(Limit::is_order);
    if net.head() == Head::None || order {
        return Ok(());
    }
    Err(Failure::new(
        "property",
        "the model ends in Softmax or Sigmoid, and the property does more than compare outputs",
        "state it on the logits, with a model that ends before that operator",
    ))
}

/// The deployed engine and a second one, which both must confirm a witness.
struct Replay {
    first: Compiled,
    second: Box<dyn Program>,
    second_facts: EngineFacts,
    input: String,
    output: String,
    shape: Vec<usize>,
    property: Property,
}

impl Replay {
    fn new(model: &Model, kind: EngineKind, property: Property) -> Outcome<Self> {
        let graph = model.graph();
        let help = "see `proofmark engine list`";
        let first = compile_first(graph, kind, 1).or_fail("engine", help)?;
        let other = EngineKind::ReferenceF64;
        let second = compile(graph, other, 1).or_fail("engine", help)?;
        let bug = || Failure::new("property", "no input", "please report this as a bug");
        let input = graph.inputs.first().ok_or_else(bug)?.name.clone();
        let output = graph.outputs.first().ok_or_else(bug)?.name.clone();
        let shape = Skeleton::of(graph).smallest().remove(&input).ok_or_else(bug)?;
        let second_facts = other.facts();
        Ok(Self { first, second, second_facts, input, output, shape, property })
    }

    fn outputs(&self, program: &dyn Program, point: &[f32]) -> Outcome<Vec<f64>> {
        let help = "see `proofmark model inspect`";
        let tensor = Tensor::new(self.shape.clone(), point.to_vec());
        let tensor =
            tensor.ok_or_else(|| Failure::new("replay", "a witness of another size", help))?;
        let inputs = Inputs::from([(self.input.clone(), Value::F32(tensor))]);
        let values = program.run(&inputs, &[&self.output]).or_fail("replay", help)?;
        let values = values.first().and_then(Value::to_f64s);
        values.ok_or_else(|| Failure::new("replay", "the output is no tensor of numbers", help))
    }

    /// The lowered network beside the model, at a corner of the first box.
    fn agrees(&self, net: &Net, regions: &[Region]) -> Outcome<()> {
        let Some(ends) = regions.iter().find_map(Region::inner) else { return Ok(()) };
        let point: Vec<f32> = ends.iter().map(|(low, _)| *low).collect();
        let answer = self.outputs(self.second.as_ref(), &point)?;
        let wide: Vec<f64> = point.iter().map(|&v| f64::from(v)).collect();
        if answer.iter().all(|v| v.is_finite()) && !lowering::agrees(net, &wide, &answer) {
            let words = "the network that would be proved answers otherwise than the model";
            return Err(Failure::new("property", words, "please report this as a bug"));
        }
        Ok(())
    }

    /// Whether both engines confirm it, and the point lies in the box exactly.
    fn breaks(&self, case: usize, point: &[f32]) -> Outcome<bool> {
        let first = self.outputs(self.first.program.as_ref(), point)?;
        if !violates(&self.property, case, point, &first) {
            return Ok(false);
        }
        let second = self.outputs(self.second.as_ref(), point)?;
        Ok(violates(&self.property, case, point, &second))
    }

    /// The witness with what each engine answers.
    fn witness(&self, case: usize, point: &[f32]) -> Outcome<Json> {
        let first = self.outputs(self.first.program.as_ref(), point)?;
        let second = self.outputs(self.second.as_ref(), point)?;
        Ok(json!({
            "case": case,
            "input": point,
            "output": first,
            "replay": [
                { "engine": self.first.facts.name, "output": first, "violates": true },
                { "engine": self.second_facts.name, "output": second, "violates": true },
            ],
        }))
    }
}

/// Whether a point lies in the box of a case and all its constraints hold, without tolerance.
fn violates(property: &Property, case: usize, x: &[f32], y: &[f64]) -> bool {
    let Some(case) = property.cases.get(case) else { return false };
    let inside = x
        .iter()
        .zip(case.lower.iter().zip(&case.upper))
        .all(|(&x, (low, high))| f64::from(x) >= low.above && f64::from(x) <= high.below);
    let sized = x.len() == property.inputs && y.len() == property.outputs;
    let holds = |constraint: &Constraint| {
        let mut sum = constraint.constant;
        for (variable, factor) in &constraint.terms {
            let value = match variable {
                Variable::Input(i) => x.get(*i as usize).map(|&v| f64::from(v)),
                Variable::Output(j) => y.get(*j as usize).copied(),
            };
            let value = value.filter(|v| v.is_finite())?;
            sum = sum.plus(factor.times(Number::exact(value))?)?;
        }
        Some(if constraint.strict { sum.above < 0.0 } else { sum.above <= 0.0 })
    };
    inside && sized && case.constraints.iter().all(|c| holds(c) == Some(true))
}

/// What the report says beside the answer.
struct Facts<'a> {
    model: &'a Model,
    property: String,
    boxes: usize,
    seconds: f64,
    seed: u64,
    timeout: f64,
    net: &'a Net,
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Safe => "unsat",
        Verdict::Unsafe => "sat",
        Verdict::Unknown => "unknown",
    }
}

fn as_json(answer: &Answer, witness: Option<Json>, facts: &Facts<'_>, replay: &Replay) -> Json {
    let engine = &replay.first.facts;
    // Behind a Softmax or Sigmoid 32 bits make ties of logits that differ.
    let plain = facts.net.head() == Head::None;
    let holds = (answer.verdict == Verdict::Safe && plain).then(|| answer.holds_in_f32());
    json!({
        "format": "proofmark.attack/1",
        "complete": true,
        "verdict": word(answer.verdict),
        "witness": witness,
        "reason": answer.reason,
        "proof": {
            "method": METHOD,
            "arithmetic": ARITHMETIC,
            "margin": answer.margin,
            "real_only": (answer.verdict == Verdict::Safe).then_some(answer.real_only),
            "holds_in_f32": holds,
            "parts": answer.parts,
            "open": answer.open,
            "cases": facts.boxes,
            "neurons": facts.net.neurons(),
            "open_neurons": answer.open_neurons,
            "head": match facts.net.head() {
                Head::None => Json::Null,
                Head::Softmax => "softmax".into(),
                Head::Sigmoid => "sigmoid".into(),
            },
        },
        "seconds": facts.seconds,
        "timeout": facts.timeout,
        "engine": { "name": engine.name, "version": engine.version, "cpu": engine.cpu },
        "cpu": engine.cpu,
        "seed": facts.seed,
        "digests": [
            { "name": "model", "sha256": facts.model.digest() },
            { "name": "property", "sha256": facts.property },
        ],
    })
}

fn as_text(answer: &Answer, witness: Option<&Json>, facts: &Facts<'_>, replay: &Replay) -> String {
    let mut text = format!("{}\n", word(answer.verdict));
    let mut say = |line: &str| text.push_str(&wrap(line, 92, "  "));
    match answer.verdict {
        Verdict::Safe => {
            let margin = answer.margin.map_or("not known".to_owned(), |m| format!("{m:.3e}"));
            say(&format!(
                "proved: no point of the {} cases breaks it; {ARITHMETIC}. Least margin {margin}.",
                facts.boxes
            ));
            say(&if facts.net.head() != Head::None {
                "It is about the logits: behind the last operator, in 32 bits, logits that differ \
                 can become equal."
                    .to_owned()
            } else if answer.holds_in_f32() {
                "It holds as well for every engine that computes in plain 32-bit floats, in any \
                 order of summation."
                    .to_owned()
            } else {
                format!(
                    "{} parts are proved in real arithmetic alone: for a deployed 32-bit engine \
                     this is no proof.",
                    answer.real_only
                )
            });
        }
        Verdict::Unsafe => {
            say(&format!(
                "a 32-bit input of case {} breaks it; {} {} and {} both confirm it without \
                 tolerance",
                witness.and_then(|w| w["case"].as_u64()).unwrap_or(0),
                replay.first.facts.name,
                replay.first.facts.version,
                replay.second_facts.name,
            ));
            for key in ["input", "output"] {
                let values = witness.map(|w| w[key].to_string()).unwrap_or_default();
                let short: String = values.chars().take(SHOWN).collect();
                let more =
                    if short.len() < values.len() { " ... (all with --format json)" } else { "" };
                say(&format!("{key}: {short}{more}"));
            }
        }
        Verdict::Unknown => say(&format!(
            "neither a witness nor a proof: {}; {} parts open",
            answer.reason.as_deref().unwrap_or("no reason is known"),
            answer.open
        )),
    }
    say(&format!("{} parts bounded, {:.1} s", answer.parts, facts.seconds));
    text
}

/// Longest time limit, 30 days.
const TIMEOUT_MAX: f64 = 2_592_000.0;
/// Seconds before the limit at which work ends.
const RESERVE: f64 = 0.5;
/// Relative width of a factor: a literal is within two units in the last place.
const FACTOR_WIDTH: f64 = 4.0 * f64::EPSILON;
/// Characters of a witness that are shown to people.
const SHOWN: usize = 160;
/// What proves.
const METHOD: &str = "alpha-beta-CROWN bounds with branch and bound";
/// What is proved.
const ARITHMETIC: &str = "the weights of the file in real arithmetic, bounds rounded outward";
