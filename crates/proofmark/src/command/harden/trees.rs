//! The measure `backup-tree`: a smaller ensemble made from the declared backup.
//!
//! Owns the choice of its size and cut-off. Must never look at the measured rows for either: both
//! come from the validation data, or the training data where there is none.

use proofmark_engine::compose::{first_trees, tree_count};
use proofmark_engine::write::to_onnx;
use proofmark_lab::decision::Rule;
use proofmark_lab::harness::Clean;
use proofmark_lab::stats::Paired;
use proofmark_lab::target::{self, Target, TargetOptions};
use proofmark_schema::system::{DataAsset, DataRole, Decision, ModelAsset, ModelRole};

use super::MeasureName;
use super::scene::{Built, Scene, StandIn, no_backup, no_train, reload};
use crate::failure::{OrFail, Outcome};
use crate::loader::{self, LoadedData, LoadedModel};

/// Builds the smaller model; without an ensemble the declared backup is measured as it is.
pub fn take(scene: &mut Scene<'_>) -> Outcome<(String, Option<String>)> {
    let backup = scene.backup.as_ref().ok_or_else(no_backup)?;
    let declared = format!("models.{} stands in when the primary is out", backup.asset.name);
    let whole = loader::model(scene.project, &backup.asset)?;
    let Some(trees) = tree_count(whole.model.graph()).filter(|&n| n > 1) else {
        let why = "no smaller one is made: it is not a single tree ensemble of several trees";
        return Ok((format!("{declared}; {why}"), None));
    };
    let chosen = smaller(scene, &whole, trees)?;
    let Chosen { asset, bytes, keep, said } = chosen;
    let subject = scene.made(&asset, &bytes)?;
    let what = format!(
        "{declared}; `{}` is a smaller one: the first {keep} of its {trees} trees, {said}",
        asset.path
    );
    scene.built.push(Built {
        measure: MeasureName::BackupTree,
        name: asset.path.clone(),
        media_type: "application/onnx",
        bytes,
        personal: false,
    });
    scene.small = Some(StandIn { subject, asset });
    Ok((what, None))
}

struct Chosen {
    asset: ModelAsset,
    bytes: Vec<u8>,
    keep: usize,
    said: String,
}

/// The smallest of a half, a quarter and an eighth whose accuracy on the choosing rows is neither
/// measurably worse nor more than [`POINTS_LOST_MAX`] below; else the half.
fn smaller(scene: &Scene<'_>, whole: &LoadedModel, trees: usize) -> Outcome<Chosen> {
    let system = &scene.project.system;
    let of_role = |role| system.data.iter().find(|d: &&DataAsset| d.role == role);
    let rows = of_role(DataRole::Validation).or(of_role(DataRole::Train)).ok_or_else(no_train)?;
    let mut unlimited = rows.clone();
    // What is chosen must not hang on how many rows are measured.
    unlimited.limit = None;
    let data = loader::data(scene.project, &unlimited)?;
    let full = answers(scene, whole, &data)?;
    let mut best: Option<Chosen> = None;
    for part in [2, 4, 8] {
        let keep = trees.div_ceil(part);
        if keep >= trees || best.as_ref().is_some_and(|b| b.keep == keep) {
            continue;
        }
        let graph = first_trees(whole.model.graph(), keep).or_fail("backup-tree", "")?;
        let bytes = to_onnx(&graph).or_fail("backup-tree", "")?;
        let mut asset = whole.asset.clone();
        asset.name = format!("{}-small", whole.asset.name);
        asset.path = format!("{}{ENDING}", whole.asset.name);
        asset.role = ModelRole::Candidate;
        asset.expected = None;
        let mut model = LoadedModel { asset, model: reload(&bytes)? };
        let raw = answers(scene, &model, &data)?;
        let cut = recut(&mut model.asset, &data.asset.classes, &full, &raw)?;
        let small = answers(scene, &model, &data)?;
        let labels = data.labels();
        let right = |clean: &Clean, row: usize| clean.decision(row) == labels.get(row).copied();
        let paired =
            Paired::of((0..labels.len()).map(|row| (right(&small, row), right(&full, row))));
        let interval = paired.newcombe(CONFIDENCE);
        let fits = interval.upper >= 0.0 && paired.difference() >= -POINTS_LOST_MAX;
        if best.is_some() && !fits {
            break;
        }
        let said = format!(
            "{cut}chosen on data.{} ({:+.1} points of accuracy against all trees, \
             [{:+.1}, {:+.1}])",
            rows.name,
            100.0 * paired.difference(),
            100.0 * interval.lower,
            100.0 * interval.upper
        );
        best = Some(Chosen { asset: model.asset, bytes, keep, said });
        if !fits {
            break;
        }
    }
    best.ok_or_else(no_backup)
}

fn answers(scene: &Scene<'_>, model: &LoadedModel, data: &LoadedData) -> Outcome<Clean> {
    let binding = loader::bind(scene.project, data, model)?;
    let classes = &data.asset.classes;
    let options = TargetOptions { engine: scene.settings.engine, threads: scene.settings.threads };
    let target = Target::open(&model.model, &model.asset, classes, &binding, options)
        .or_fail("target", "see `proofmark model inspect`")?;
    let decision = target::decision(&model.asset, classes).or_fail("decision", "name a class")?;
    Clean::ask(&target, &decision).or_fail("target", "")
}

/// Moves the cut-off so that as many of the choosing rows are decided for its class as before:
/// fewer trees pull scores toward the base rate. Uses no label.
fn recut(
    asset: &mut ModelAsset,
    classes: &[(String, String)],
    full: &Clean,
    raw: &Clean,
) -> Outcome<String> {
    let rule = target::decision(asset, classes).or_fail("decision", "name a class")?;
    let Decision::Cutoff { class, at } = &mut asset.decision else { return Ok(String::new()) };
    let Rule::Cutoff { class: column, .. } = rule.rule else { return Ok(String::new()) };
    let wanted = full.decisions().iter().filter(|d| **d == Some(column)).count();
    let value = |row: usize| {
        let scores = raw.scores(row);
        let plain = || scores.iter().map(|&s| f64::from(s)).collect();
        rule.probabilities(scores).unwrap_or_else(plain).get(column).copied()
    };
    let mut values: Vec<f64> = (0..raw.rows()).filter_map(value).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let moved = match (wanted.checked_sub(1).and_then(|i| values.get(i)), values.get(wanted)) {
        (Some(above), Some(below)) => 0.5 * (above + below),
        (Some(last), None) => *last,
        _ => return Ok(String::new()),
    };
    // Four decimals are enough to write down, and are kept only if they cut the same rows.
    let short = (moved * 1e4).round() / 1e4;
    let count = |t: f64| values.iter().filter(|v| **v >= t).count();
    *at = if count(short) == count(moved) { short } else { moved };
    Ok(format!("cut-off {} by the share of rows decided `{class}`, ", *at))
}

/// How the name of the file ends; it begins with the name of the backup.
pub const ENDING: &str = "-small.onnx";
/// Points of accuracy that a smaller ensemble may lose where it is chosen: two of a hundred
/// decisions, about what a new sample of the same size moves by itself.
const POINTS_LOST_MAX: f64 = 0.02;
/// Two-sided confidence of the comparison that chooses.
const CONFIDENCE: f64 = 0.95;
