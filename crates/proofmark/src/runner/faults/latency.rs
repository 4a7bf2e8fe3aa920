//! The availability probe on the model as it is deployed: whole, one row at a time.
//!
//! Owns the candidates and the clock. Every candidate is a valid input: inside the declared bounds
//! and values, missing only where the model can hold it. Figures are of this machine and moment.

use std::time::Instant;

use proofmark_dataset::bind::Binding;
use proofmark_dataset::images::Images;
use proofmark_dataset::table::{Cells, Table};
use proofmark_engine::pipeline::Whole;
use proofmark_engine::value::Inputs;
use proofmark_lab::ctx::Ctx;
use proofmark_lab::faults::bits;
use proofmark_lab::faults::costly::{self, Candidate};
use proofmark_lab::faults::figures::{Figures, Sheet};
use proofmark_lab::stream::Stream;
use proofmark_lab::target;
use proofmark_schema::system::FeatureKind;

use super::{Done, Failure, OrFail, Rows, Scene, spread};
use crate::loader::{self, LoadedData};

/// Inputs with their words, ready to be asked one by one.
struct Tried {
    candidates: Vec<Candidate>,
    inputs: Vec<Inputs>,
}

/// The ratio of the costliest input found to the median row; `None` on request.
pub fn measure(scene: &Scene<'_>, sheet: &Sheet<'_>, ctx: &Ctx<'_>) -> Done<Option<Figures>> {
    let mut tried = Tried { candidates: Vec::new(), inputs: Vec::new() };
    let clean = scene.subject.data();
    let most = scene.fault.trials.map_or(PLAIN, |t| usize::try_from(t).unwrap_or(PLAIN));
    let rows = spread(clean.n(), most);
    tried.add(scene.subject.binding(), &rows, "plain rows", "")?;
    let plain = tried.inputs.len();
    let few = spread(clean.n(), FEW.min(most));
    for (family, changed) in families(scene, clean, ctx.seed) {
        // A family that the model cannot hold is no valid input.
        if let Ok(binding) = loader::bind(scene.project, &changed, scene.model) {
            tried.add(&binding, &few, &family, &format!(", {family}"))?;
        }
    }
    let whole = Whole::open(&scene.model.model, scene.settings.engine, &[], 1)
        .or_fail("target", "see `proofmark model inspect`")?;
    let mut timer = |at: usize| -> Option<f64> {
        let begun = Instant::now();
        whole.run(&tried.inputs[at]).ok()?;
        Some(begun.elapsed().as_secs_f64())
    };
    for at in 0..plain.min(WARM) {
        timer(at);
    }
    let machine = machine(&sheet.facts.engine.cpu);
    let confidence = sheet.facts.confidence;
    let found = costly::search(&tried.candidates, plain, &mut timer, &machine, ctx, confidence);
    let Some(found) = found else {
        if ctx.cancelled() {
            return Ok(None);
        }
        let message = "the model answered no plain row on its own, so there is no yardstick";
        return Err(Failure::new("fault", message, "see `proofmark model run`"));
    };
    let quantity = sheet.ranged(found.ratio, "bootstrap-rounds", found.rounds);
    let measurement = sheet.figure("latency_ratio", "ratio", sheet.fault, None, quantity);
    let mut report = sheet.report();
    report.notes.push(
        "latencies hold for this machine and this moment; the search is no proof that no input \
         takes longer"
            .into(),
    );
    report.availability = Some(found);
    Ok(Some(Figures { measurements: vec![measurement], report }))
}

impl Tried {
    fn add(&mut self, binding: &Binding, rows: &[usize], family: &str, words: &str) -> Done<()> {
        for &row in rows {
            let inputs = target::inputs(&bits::only(binding, &[row])).or_fail("target", "")?;
            let words = format!("row {row}{words}");
            self.candidates.push(Candidate { family: family.to_owned(), words });
            self.inputs.push(inputs);
        }
        Ok(())
    }
}

/// Valid changes of all rows, with their names.
fn families(scene: &Scene<'_>, clean: &LoadedData, seed: u64) -> Vec<(String, LoadedData)> {
    let with = |rows: Rows| LoadedData {
        asset: clean.asset.clone(),
        rows,
        digests: Vec::new(),
        notes: Vec::new(),
    };
    match &clean.rows {
        Rows::Table(table) => {
            on_tables(scene, table).map(|(name, t)| (name, with(Rows::Table(t)))).collect()
        }
        Rows::Images(images) => {
            let made = on_images(scene, images, seed);
            made.into_iter().map(|(name, i)| (name, with(Rows::Images(i)))).collect()
        }
        Rows::Series(_) => Vec::new(),
    }
}

fn on_tables<'a>(
    scene: &'a Scene<'_>,
    clean: &'a Table,
) -> impl Iterator<Item = (String, Table)> + 'a {
    let each = [
        ("every number at its lowest value", Change::Lowest),
        ("every number at its highest value", Change::Highest),
        ("every number a denormal", Change::Denormal),
        ("every value missing that can be", Change::Missing),
        ("every category its last value", Change::LastValue),
        ("every text very long", Change::LongText),
    ];
    each.into_iter().filter_map(|(name, change)| {
        let mut table = clean.clone();
        for column in &mut table.columns {
            let features = &scene.project.system.features;
            let Some(feature) = features.iter().find(|f| f.name == column.name) else { continue };
            match (&mut column.cells, change, feature.bounds) {
                (Cells::Numbers(n), Change::Lowest, Some([lowest, _])) => n.fill(lowest),
                (Cells::Numbers(n), Change::Highest, Some([_, highest])) => n.fill(highest),
                (Cells::Numbers(n), Change::Denormal, bounds)
                    if feature.kind == FeatureKind::Number
                        && bounds.is_none_or(|[low, high]| low <= 0.0 && high > DENORMAL) =>
                {
                    n.fill(DENORMAL);
                }
                // Only where a value is missing in these rows: elsewhere it is no valid input.
                (Cells::Numbers(n), Change::Missing, _) if n.iter().any(|v| v.is_nan()) => {
                    n.fill(f64::NAN);
                }
                (Cells::Texts(t), Change::Missing, _) if t.iter().any(Option::is_none) => {
                    t.fill(None);
                }
                (Cells::Texts(t), Change::LastValue, _) => {
                    if let Some(last) = feature.values.last() {
                        t.fill(Some(last.clone()));
                    }
                }
                (Cells::Texts(t), Change::LongText, _) if feature.kind == FeatureKind::Text => {
                    t.fill(Some("long text ".repeat(LONG / 10)));
                }
                _ => {}
            }
        }
        (table != *clean).then(|| (name.to_owned(), table))
    })
}

#[derive(Clone, Copy)]
enum Change {
    Lowest,
    Highest,
    Denormal,
    Missing,
    LastValue,
    LongText,
}

fn on_images(scene: &Scene<'_>, clean: &Images, seed: u64) -> Vec<(String, Images)> {
    let feature = scene.project.system.features.iter().find(|f| f.kind == FeatureKind::Image);
    let Some([lowest, highest]) = feature.and_then(|f| f.bounds) else { return Vec::new() };
    let mut made = Vec::new();
    let mut add = |name: &str, pixel: &mut dyn FnMut() -> f64| {
        let data = clean.data.iter().map(|_| pixel() as f32).collect();
        made.push((name.to_owned(), Images { data, ..clean.clone() }));
    };
    add("every pixel dark", &mut || lowest);
    add("every pixel bright", &mut || highest);
    let mut stream = Stream::new(seed, scene.probe, costly::KIND, 0, 0);
    let whole = clean.whole;
    add("random pixels", &mut || {
        let value = lowest + (highest - lowest) * stream.unit();
        if whole { value.round_ties_even() } else { value }
    });
    if !whole && lowest <= 0.0 && highest > DENORMAL {
        add("every pixel a denormal", &mut || DENORMAL);
    }
    made
}

fn machine(cpu: &str) -> String {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{system}-{processor}, {} cores, {cpu}", crate::runner::cores())
}

/// Plain rows that are timed.
const PLAIN: usize = 40;
/// Rows of each changed family.
const FEW: usize = 12;
/// Answers before the first timing, so that caches and buffers are as in service.
const WARM: usize = 20;
/// A 32-bit float below the least normal one: some processors compute it slowly.
const DENORMAL: f64 = 1e-40;
/// Characters of a long text: what the guard's default limit of a request lets in.
const LONG: usize = 10_000;
