//! A declaration made from arguments and from what the files hold.
//!
//! Owns every default of `attack`; each is told in a note, so that none is silent. Must never be
//! used for an assessment: those are declared by a person.

use std::collections::BTreeSet;
use std::path::Path;

use proofmark_dataset::found;
use proofmark_engine::model::Model;
use proofmark_formats::sniff::Kind;
use proofmark_schema::system::{
    Access, DataAsset, DataRole, Decision, DialectPins, Feature, FeatureKind, FoundImages,
    FoundTable, Goal, InputSpec, ModelAsset, ModelRole, Norm, OutputKind, OutputSpec, Scale,
    System, Task, Threat,
};

use super::asked::Asked;
use super::judged::{output_kind, width_of};
use super::number::{self, Number};
use super::{AccessName, NormName, ScaleName, constraints, exact, sparse};
use crate::failure::{Failure, OrFail, Outcome};
use crate::project::Project;
use crate::{assets, loader};

/// Name of the model in the made-up declaration.
pub const MODEL: &str = "model";
/// Name of the data set in the made-up declaration.
pub const DATA: &str = "data";

/// The declaration, and what was assumed.
pub fn project(args: &Asked<'_>) -> Outcome<(Project, Vec<String>)> {
    let mut notes = Vec::new();
    let number = number::asked(args)?;
    let model = assets::open_model_with(&args.model, &args.dump.hints(&args.columns))?;
    let rows = sparse::table(args, &model, &mut notes)?;
    let is_table = rows.is_some() || is_table(&args.data)?;
    scale_fits(args.scale, is_table)?;
    no_series(args, &model, is_table)?;
    let (features, values, range) = if is_table {
        let table = sparse::found(args, rows.as_ref())?;
        let (features, values) = columns(args, &model, &table, &mut notes)?;
        (features, values, None)
    } else {
        let images = assets::read_data(&args.data)?;
        let labels = assets::read_data(Path::new(&args.label))?;
        let images = flat_or_images(&images, &labels)?;
        let (feature, range) = pixels(args, &images, false, &mut notes)?;
        (vec![feature], images.label_values, range)
    };
    let classes = match number {
        Some(_) => Vec::new(),
        None => {
            number::said(args, &model, &values)?;
            classes(args, &model, &values, is_table, &mut notes)?
        }
    };
    let data = data_asset(args, is_table, &classes, number)?;
    let mut system = System {
        name: "attack".into(),
        version: String::new(),
        provider: String::new(),
        purpose: String::new(),
        demo: false,
        seed: args.seed,
        data: vec![data],
        features,
        models: vec![model_asset(args, &classes, range, number)?],
        threats: vec![threat(args, number)?],
        faults: Vec::new(),
        criteria: Vec::new(),
        declared: std::collections::BTreeMap::new(),
        people: Vec::new(),
        harms: Vec::new(),
        misuse: Vec::new(),
        upkeep: Default::default(),
        papers: Vec::new(),
        constraints: Default::default(),
    };
    constraints::apply(&args.constraint, &mut system, &mut notes)?;
    ignore_unread(&mut system, &model);
    let mut project = Project {
        dir: std::path::PathBuf::new(),
        system,
        sha256: assets::sha256(b"no declaration"),
        held: loader::Held::default(),
    };
    if let Some(rows) = rows {
        project.held.tables.insert(absolute(&args.data)?, rows);
    }
    if number.is_none() {
        let kind = output_kind(args, &project, &model, &mut notes)?;
        for asset in &mut project.system.models {
            asset.output.kind = kind;
        }
    }
    Ok((project, notes))
}

pub(super) fn data_asset(
    args: &Asked<'_>,
    is_table: bool,
    classes: &[String],
    number: Option<Number>,
) -> Outcome<DataAsset> {
    Ok(DataAsset {
        name: DATA.into(),
        path: absolute(&args.data)?,
        role: DataRole::Test,
        label: is_table.then(|| args.label.clone()),
        labels: if is_table { None } else { Some(absolute(Path::new(&args.label))?) },
        classes: classes.iter().map(|c| (c.clone(), c.clone())).collect(),
        ignore: Vec::new(),
        missing: MISSING.iter().map(|m| (*m).to_owned()).collect(),
        dialect: DialectPins::default(),
        limit: args.limit,
        task: number.map_or(Task::Classification, |_| Task::Regression),
        unit: args.unit.clone(),
        quantiles: Vec::new(),
    })
}

/// Pixels have no deviation per column, columns no steps of a pixel.
pub(super) fn scale_fits(scale: ScaleName, is_table: bool) -> Outcome<()> {
    match (scale, is_table) {
        (ScaleName::Std, false) => Err(Failure::new(
            "scale",
            "the scale `std` is for the columns of a table; arrays have none",
            "use raw, bounds or 0-255, or give the rows as a CSV",
        )),
        (ScaleName::U8, true) => Err(Failure::new(
            "scale",
            "the scale `0-255` is for images; the columns of a table have no pixels",
            "use bounds, std or raw",
        )),
        _ => Ok(()),
    }
}

/// The channels of a series have ranges of their own, which arguments do not say.
fn no_series(args: &Asked<'_>, model: &Model, is_table: bool) -> Outcome<()> {
    let inputs = loader::model_inputs(model.graph());
    let [input] = inputs.as_slice() else { return Ok(()) };
    let [_, steps, channels] = input.shape.as_slice() else { return Ok(()) };
    if is_table {
        return Ok(());
    }
    let side = |d: &Option<usize>| d.map_or_else(|| "?".to_owned(), |d| d.to_string());
    Err(Failure::new(
        "series",
        format!(
            "`{}` reads windows of a series, [n, {}, {}]: `attack` cannot say the range of each \
             channel, and one range for all would be no budget",
            args.model.display(),
            side(steps),
            side(channels)
        ),
        "declare it (`type = \"series\"`, bounds per channel) and run `proofmark assess`",
    ))
}

fn threat(args: &Asked<'_>, number: Option<Number>) -> Outcome<Threat> {
    let ascending = args.eps.windows(2).all(|w| w[0] < w[1]);
    if !ascending || args.eps.iter().any(|e| !e.is_finite() || *e <= 0.0) {
        return Err(Failure::new(
            "eps",
            format!("budgets must be positive and ascending, found {:?}", args.eps),
            "e.g. --eps 0.02,0.05,0.1",
        ));
    }
    Ok(Threat {
        name: "attack".into(),
        norm: match args.norm {
            NormName::Linf => Norm::Linf,
            NormName::L2 => Norm::L2,
            NormName::L1 => Norm::L1,
        },
        eps: args.eps.clone(),
        scale: match args.scale {
            ScaleName::Raw => Scale::Raw,
            ScaleName::Bounds => Scale::Bounds,
            ScaleName::Std => Scale::Std,
            ScaleName::U8 => Scale::U8,
        },
        goal: match number {
            Some(_) => None,
            None => args.goal.as_deref().map(goal).transpose()?,
        },
        tolerance: number.map(|n| n.tolerance),
        direction: number.map(|n| n.direction),
        access: match args.access {
            AccessName::WhiteBox => Access::WhiteBox,
            AccessName::Score => Access::Score,
            AccessName::Decision => Access::Decision,
        },
        suite: args.suite.clone(),
        models: Vec::new(),
        queries: args.queries,
        cost_limit: None,
        actor: None,
        harm: None,
        attempts_per_year: None,
        attempts_reason: None,
    })
}

pub(super) fn goal(text: &str) -> Outcome<Goal> {
    match text.split_once(':') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() && from != to => {
            Ok(Goal { from: from.into(), to: to.into() })
        }
        _ if ["up", "down", "either"].contains(&text) => Err(Failure::new(
            "goal",
            format!("`{text}` is a direction: it is for a label that is a number"),
            "say which shift counts, e.g. --tolerance 20, or name classes, --goal bad:good",
        )),
        _ => Err(Failure::new("goal", format!("`{text}` is no goal"), "e.g. --goal bad:good")),
    }
}

fn model_asset(
    args: &Asked<'_>,
    classes: &[String],
    range: Option<[f64; 2]>,
    number: Option<Number>,
) -> Outcome<ModelAsset> {
    Ok(ModelAsset {
        name: MODEL.into(),
        path: absolute(&args.model)?,
        role: ModelRole::Primary,
        output: OutputSpec {
            name: args.output.clone(),
            kind: number.map_or(OutputKind::Logit, |_| OutputKind::Value),
            classes: classes.to_vec(),
            column: args.output_column,
        },
        decision: match number {
            Some(_) => Decision::Value,
            None => decision(&args.decision, classes)?,
        },
        expected: None,
        expected_data: None,
        input: InputSpec { columns: args.columns.clone(), range, ..InputSpec::default() },
        dump: args.dump.spec(),
    })
}

pub(super) fn decision(text: &str, classes: &[String]) -> Outcome<Decision> {
    if text == "argmax" {
        return Ok(Decision::Argmax);
    }
    if classes.len() > 2 {
        return Err(Failure::new(
            "decision",
            format!("a cut-off decides between two classes, not {}", classes.len()),
            "--decision argmax",
        ));
    }
    let parsed = text.rsplit_once('@').and_then(|(class, at)| {
        let at: f64 = at.parse().ok()?;
        (at > 0.0 && at < 1.0 && classes.iter().any(|c| c == class))
            .then(|| Decision::Cutoff { class: class.to_owned(), at })
    });
    parsed.ok_or_else(|| {
        Failure::new(
            "decision",
            format!("`{text}` is neither `argmax` nor CLASS@T of the classes {classes:?}"),
            "e.g. --decision bad@0.3",
        )
    })
}

/// Features of a table: every column but the label; numbers that the model reads can be moved
/// within the range found, unless `--mutable` names others.
fn columns(
    args: &Asked<'_>,
    model: &Model,
    table: &FoundTable,
    notes: &mut Vec<String>,
) -> Outcome<(Vec<Feature>, Vec<String>)> {
    let label = table.columns.iter().find(|c| c.name == args.label).ok_or_else(|| {
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        Failure::new(
            "label",
            format!("there is no column `{}` in `{}`", args.label, args.data.display()),
            format!("name one of: {}", names.join(", ")),
        )
    })?;
    known_columns(args, table)?;
    let inputs: BTreeSet<&str> = model.graph().inputs.iter().map(|i| i.name.as_str()).collect();
    let matrix = inputs.len() == 1 && !table.columns.iter().any(|c| inputs.contains(&*c.name));
    let read = |name: &str| {
        if !matrix {
            return inputs.contains(name);
        }
        args.columns.is_empty() || args.columns.iter().any(|c| c == name)
    };
    // The exact search is about the model itself, unless it is asked for another
    // scale, or for valid rows alone.
    let free = args.constraint.constraints.is_none() && args.scale == ScaleName::Raw;
    let anywhere = args.suite == exact::SUITE && free;
    let features: Vec<Feature> = table
        .columns
        .iter()
        .filter(|c| c.name != label.name)
        .map(|c| {
            let numeric = matches!(c.kind, FeatureKind::Number | FeatureKind::Integer);
            let wanted = args.mutable.is_empty() || args.mutable.contains(&c.name);
            let real = numeric && anywhere;
            Feature {
                name: c.name.clone(),
                kind: if real { FeatureKind::Number } else { c.kind },
                bounds: if real { Some(ANYWHERE) } else { c.range },
                values: Vec::new(),
                mutable: numeric && wanted && read(&c.name),
                group: false,
                group_edges: Vec::new(),
                input: read(&c.name),
                shape: None,
                series: None,
                direction: None,
                cost: None,
            }
        })
        .collect();
    let still = |name: &&String| !features.iter().any(|f| f.name == **name && f.mutable);
    if let Some(name) = args.mutable.iter().find(still) {
        let words = format!("`{name}` is no number that the model reads: nothing moves it");
        return Err(Failure::new("column", words, "leave it out of `--mutable`"));
    }
    let moved: Vec<String> = features
        .iter()
        .filter(|f| f.mutable)
        .map(|f| {
            let [low, high] = f.bounds.unwrap_or_default();
            if anywhere { f.name.clone() } else { format!("{} [{low}, {high}]", f.name) }
        })
        .collect();
    let within = if anywhere { "to any real value" } else { "within the range found" };
    notes.push(format!("an attacker moves, {within}: {}", moved.join(", ")));
    Ok((features, label.values.clone()))
}

/// Every column named on the command line is one of the table.
fn known_columns(args: &Asked<'_>, table: &FoundTable) -> Outcome<()> {
    let named = args.mutable.iter().chain(&args.columns);
    let mut strange = named.filter(|name| table.columns.iter().all(|c| c.name != **name));
    match strange.next() {
        None => Ok(()),
        Some(name) => {
            let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
            Err(Failure::new(
                "column",
                format!("there is no column `{name}` in `{}`", args.data.display()),
                format!("name some of: {}", names.join(", ")),
            ))
        }
    }
}

/// Columns that the model does not read are left out rather than refused.
fn ignore_unread(system: &mut System, model: &Model) {
    let inputs = loader::model_inputs(model.graph());
    if inputs.len() > 1 {
        let relations = &system.constraints.relations;
        let groups = system.constraints.one_hot.iter().flat_map(|g| g.columns.clone());
        let named = relations.iter().flat_map(|r| r.columns()).map(|name| name.text.clone());
        let named: BTreeSet<String> = named.chain(groups).collect();
        let kept = |f: &Feature| f.input || named.contains(&f.name);
        let unread: Vec<String> =
            system.features.iter().filter(|f| !kept(f)).map(|f| f.name.clone()).collect();
        system.features.retain(kept);
        for data in &mut system.data {
            data.ignore.extend(unread.iter().cloned());
        }
    }
}

/// The feature of the pixels and the range they are mapped to, if any; `plain`: as stored, unless
/// `--range` says otherwise.
pub(super) fn pixels(
    args: &Asked<'_>,
    images: &FoundImages,
    plain: bool,
    notes: &mut Vec<String>,
) -> Outcome<(Feature, Option<[f64; 2]>)> {
    let [low, high] = images.range;
    let eight_bit = low >= 0.0 && high > 1.0 && high <= 255.0;
    let bounds = match &args.bounds {
        Some(text) => pair(text)?,
        None if eight_bit => [0.0, 255.0],
        None if low >= 0.0 && high <= 1.0 => [0.0, 1.0],
        None => [low, high],
    };
    let range = match &args.range {
        Some(text) => Some(pair(text)?),
        None if eight_bit && args.bounds.is_none() && !plain => Some([0.0, 1.0]),
        None => None,
    };
    notes.push(match range {
        Some([a, b]) => format!("values [{}, {}] become [{a}, {b}]", bounds[0], bounds[1]),
        None => format!("values lie in [{}, {}] and are taken as they are", bounds[0], bounds[1]),
    });
    let [channels, height, width] = images.shape;
    if channels == 1 && height == 1 && args.scale == ScaleName::Bounds {
        notes.push(format!(
            "one range for all {width} columns; for the range of each give the rows as a CSV"
        ));
    }
    let feature = Feature {
        name: "values".into(),
        kind: FeatureKind::Image,
        bounds: Some(bounds),
        values: Vec::new(),
        mutable: true,
        group: false,
        group_edges: Vec::new(),
        input: true,
        shape: Some(images.shape),
        series: None,
        direction: None,
        cost: None,
    };
    Ok((feature, range))
}

fn pair(text: &str) -> Outcome<[f64; 2]> {
    let parsed = text.split_once(':').and_then(|(a, b)| {
        let (a, b): (f64, f64) = (a.parse().ok()?, b.parse().ok()?);
        (a < b).then_some([a, b])
    });
    parsed.ok_or_else(|| {
        Failure::new("range", format!("`{text}` is no range"), "two numbers, e.g. --range 0:1")
    })
}

/// Classes in the order of the output's columns: as given, or the label values in order.
fn classes(
    args: &Asked<'_>,
    model: &Model,
    values: &[String],
    is_table: bool,
    notes: &mut Vec<String>,
) -> Outcome<Vec<String>> {
    if !args.classes.is_empty() {
        return Ok(args.classes.clone());
    }
    let mut found: Vec<String> = values.to_vec();
    let numbers: Option<Vec<i64>> = found.iter().map(|v| v.parse().ok()).collect();
    if let Some(mut numbers) = numbers {
        numbers.sort_unstable();
        let last = numbers.last().copied().unwrap_or(0);
        let width = width_of(model, args.output.as_deref());
        // Labels are usually indices from 0; a small sample may not hold every class.
        let indices = !is_table && numbers.first().is_some_and(|first| *first >= 0);
        found = match width {
            Some(width) if indices && last < width as i64 && width > numbers.len() => {
                (0..width).map(|c| c.to_string()).collect()
            }
            _ => numbers.iter().map(i64::to_string).collect(),
        };
    }
    notes.push(format!("classes, in the order of the output's columns: {}", found.join(", ")));
    Ok(found)
}

/// Images, or vectors as images of one row.
pub(super) fn flat_or_images(data: &[u8], labels: &[u8]) -> Outcome<FoundImages> {
    found::images(data, Some(labels))
        .or_fail("data", "images are (n, h, w) or four-dimensional, vectors (n, k)")
}

pub(super) fn is_table(path: &Path) -> Outcome<bool> {
    let kind = assets::recognise(path)?;
    Ok(matches!(kind, Kind::Table { .. } | Kind::Text) || assets::is_typed_table(path, &kind)?)
}

fn absolute(path: &Path) -> Outcome<String> {
    Ok(assets::absolute(path)?.display().to_string())
}

/// Bounds of a column that may take any real value.
const ANYWHERE: [f64; 2] = [f64::NEG_INFINITY, f64::INFINITY];

/// Texts read as missing.
pub(super) const MISSING: &[&str] = &["", "NA", "NaN", "nan", "?"];
