//! Random bit flips: in the weights of a model, and in what its nodes hand on.
//!
//! Owns where a bit can be hit, and the count of silent and detectable corruptions. A flip in a
//! weight is a fault of memory or storage and meets every row; a flip in an activation is a fault
//! of one computation and meets one row. Every bit is hit with the same chance: the figures say
//! what a random flip does, not what a chosen one could do. Must never ask any but the deployed
//! engine, or change the model at hand: each injection is made in a copy. Called by `assess`'s
//! runner and by `attack`.

mod activations;
mod weights;

use proofmark_dataset::bind::{Binding, BoundData, BoundInput};
use proofmark_engine::model::Model;
use proofmark_schema::faults::{BitFaults, BitLevel, BitPart};
use proofmark_schema::system::ModelAsset;

use super::figures::share;
use crate::ctx::Ctx;
use crate::decision::Decision;
use crate::harness::Clean;
use crate::oracle::Oracle;
use crate::stream::Stream;
use crate::target::{Target, TargetOptions};

/// Where bits are flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Initialisers and the numbers of trees.
    Weights,
    /// What nodes give.
    Activations,
}

/// The model and the rows that are asked after each injection.
pub struct Bench<'a> {
    /// The model.
    pub model: &'a Model,
    /// As declared.
    pub asset: &'a ModelAsset,
    /// Classes of the data.
    pub classes: &'a [(String, String)],
    /// The rows (see [`only`]).
    pub binding: Binding,
    /// Clean decisions of those rows.
    pub clean: Vec<Option<usize>>,
    /// The declared decision.
    pub decision: Decision,
    /// Engine and threads.
    pub options: TargetOptions,
    /// Injections per severity.
    pub trials: u64,
    /// Keys the draws.
    pub probe: &'a str,
    /// Confidence of intervals.
    pub confidence: f64,
}

/// Why nothing can be flipped.
#[derive(Debug, thiserror::Error)]
pub enum BitError {
    /// No number to hit.
    #[error("the model holds no 32-bit float {0} that a bit could be flipped in")]
    Nothing(&'static str),
    /// The copy without a fault does not answer as the model does.
    #[error("without any flip the rows are not answered as before, so flips cannot be judged")]
    Unfit,
    /// The reference cannot give the values of nodes.
    #[error("the values between the nodes cannot be computed: {0}")]
    Values(String),
}

impl Place {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Activations => "activations",
        }
    }
    /// The kind of fault in declarations.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Weights => "weight-bits",
            Self::Activations => "activation-bits",
        }
    }
    /// What a flip there means.
    pub fn means(self) -> &'static str {
        match self {
            Self::Weights => "Random bits of the stored numbers of the model are flipped.",
            Self::Activations => "Random bits of what the nodes of the model hand on are flipped.",
        }
    }
}

/// The place of a kind of fault.
pub fn place(kind: &str) -> Option<Place> {
    [Place::Weights, Place::Activations].into_iter().find(|place| place.kind() == kind)
}

/// Bits that are flipped at once at a severity: 1, 2, 4, 8, 16.
pub fn flips(severity: u8) -> u64 {
    1 << (severity.clamp(1, 5) - 1)
}

/// Injects at every severity; `None` when the user asked to stop.
///
/// # Errors
/// See [`BitError`].
pub fn inject(
    bench: &Bench<'_>,
    place: Place,
    severities: &[u8],
    ctx: &Ctx<'_>,
) -> Result<Option<BitFaults>, BitError> {
    // Without a fault nothing may change, or the injections would be blamed for it.
    if ask(bench, bench.model, &bench.binding, &bench.clean) != (0, false) {
        return Err(BitError::Unfit);
    }
    let weights = weights::sites(bench.model.graph());
    let values = match place {
        Place::Weights => activations::Values::default(),
        Place::Activations => activations::usable(bench)?,
    };
    let bits = match place {
        Place::Weights => weights.iter().map(weights::Site::bits).sum(),
        Place::Activations => values.bits,
    };
    if bits == 0 {
        return Err(BitError::Nothing(place.word()));
    }
    let mut levels = Vec::with_capacity(severities.len());
    let total = bench.trials * severities.len() as u64;
    for (at, &severity) in severities.iter().enumerate() {
        let mut found = Vec::new();
        for trial in 0..bench.trials {
            if ctx.cancelled() {
                return Ok(None);
            }
            ctx.progress.step("bit flips", at as u64 * bench.trials + trial, total);
            let part = format!("bits/{}", place.word());
            let mut stream = Stream::new(ctx.seed, bench.probe, &part, flips(severity), trial);
            found.push(match place {
                Place::Weights => weights::trial(bench, &weights, bits, severity, &mut stream),
                Place::Activations => {
                    activations::trial(bench, &values.names, severity, &mut stream)?
                }
            });
        }
        levels.push(level(bench, severity, &found));
    }
    let rows = if place == Place::Weights { bench.binding.n as u64 } else { 1 };
    let place = place.word().to_owned();
    Ok(Some(BitFaults { place, rows, bits, left_out: values.left_out, levels }))
}

/// The same data, of these rows alone.
pub fn only(binding: &Binding, rows: &[usize]) -> Binding {
    let input = |input: &BoundInput| {
        let width = input.shape.iter().skip(1).product::<usize>();
        fn take<T: Clone>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
            rows.iter().flat_map(|&r| values[r * width..(r + 1) * width].to_vec()).collect()
        }
        let data = match &input.data {
            BoundData::F32(v) => BoundData::F32(take(v, rows, width)),
            BoundData::F64(v) => BoundData::F64(take(v, rows, width)),
            BoundData::I64(v) => BoundData::I64(take(v, rows, width)),
            BoundData::I32(v) => BoundData::I32(take(v, rows, width)),
            BoundData::Bool(v) => BoundData::Bool(take(v, rows, width)),
            BoundData::Str(v) => BoundData::Str(take(v, rows, width)),
        };
        let shape = std::iter::once(rows.len()).chain(input.shape.iter().skip(1).copied());
        BoundInput { name: input.name.clone(), shape: shape.collect(), data }
    };
    Binding {
        n: rows.len(),
        inputs: binding.inputs.iter().map(input).collect(),
        free: binding.free.clone(),
        unread: binding.unread.clone(),
    }
}

/// What one injection did.
struct Injected {
    /// Part of the number that was hit, and the layer, of the first flip.
    part: &'static str,
    layer: String,
    /// Rows whose decision changed, of so many.
    changed: usize,
    rows: usize,
    /// Some answer was no plain number, or there was none.
    detectable: bool,
}

impl Injected {
    fn silent(&self) -> bool {
        self.changed > 0 && !self.detectable
    }
}

/// Asks the altered model; rows whose decision changed, and whether something could be noticed.
fn ask(
    bench: &Bench<'_>,
    model: &Model,
    binding: &Binding,
    clean: &[Option<usize>],
) -> (usize, bool) {
    let answer = || -> Option<Clean> {
        let target =
            Target::open(model, bench.asset, bench.classes, binding, bench.options).ok()?;
        debug_assert_eq!(target.rows(), clean.len());
        Clean::ask(&target, &bench.decision).ok()
    };
    // A model that no longer loads or answers is noticed.
    let Some(answer) = answer() else { return (clean.len(), true) };
    let changed = (0..clean.len()).filter(|&row| answer.decision(row) != clean[row]).count();
    (changed, answer.all_scores().iter().any(|score| !score.is_finite()))
}

fn level(bench: &Bench<'_>, severity: u8, found: &[Injected]) -> BitLevel {
    let count = |wanted: &dyn Fn(&Injected) -> bool| found.iter().filter(|i| wanted(i)).count();
    let injections = found.len() as u64;
    let silent = count(&Injected::silent) as u64;
    let detectable = count(&|i| i.detectable) as u64;
    let asked: usize = found.iter().map(|i| i.rows).sum();
    let changed: usize = found.iter().map(|i| i.changed).sum();
    let single = flips(severity) == 1;
    BitLevel {
        severity,
        flips: flips(severity),
        injections,
        silent,
        detectable,
        silent_share: share(silent, injections, bench.confidence),
        detectable_share: share(detectable, injections, bench.confidence),
        rows_changed: changed as f64 / asked.max(1) as f64,
        by_bit: if single { parts(bench, found, |i| i.part) } else { Vec::new() },
        by_layer: if single { parts(bench, found, |i| &i.layer) } else { Vec::new() },
    }
}

fn parts<'a>(
    bench: &Bench<'_>,
    found: &'a [Injected],
    name: impl Fn(&'a Injected) -> &'a str,
) -> Vec<BitPart> {
    let mut names: Vec<&str> = found.iter().map(&name).collect();
    names.sort_unstable();
    names.dedup();
    let part = |wanted: &str| {
        let own: Vec<&Injected> = found.iter().filter(|i| name(i) == wanted).collect();
        let (injections, silent) =
            (own.len() as u64, own.iter().filter(|i| i.silent()).count() as u64);
        BitPart {
            part: wanted.to_owned(),
            injections,
            silent,
            detectable: own.iter().filter(|i| i.detectable).count() as u64,
            silent_share: share(silent, injections, bench.confidence),
        }
    };
    names.into_iter().map(part).collect()
}

/// Part of a 32-bit float that a bit belongs to.
fn part_of(bit: u32) -> &'static str {
    match bit {
        31 => "sign",
        30 => "exponent, highest bit",
        23..=29 => "exponent, other bits",
        12..=22 => "mantissa, upper half",
        _ => "mantissa, lower half",
    }
}

fn flipped(value: f32, bit: u32) -> f32 {
    f32::from_bits(value.to_bits() ^ (1 << bit))
}

/// Bits of a number.
const BITS: u64 = 32;

#[cfg(test)]
mod tests;
