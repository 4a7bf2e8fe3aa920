//! The measure `input-schema`: limits from the training data, and which rows they let pass.
//!
//! Owns the making of the schema. Must never look at the measured rows for it.

use std::collections::BTreeSet;

use proofmark_dataset::stats::stats;
use proofmark_dataset::table::{Cells, Table};
use proofmark_lab::treatment::Limits;
use proofmark_schema::input_schema::{FORMAT, InputFeature, InputSchema};
use proofmark_schema::system::{Feature, FeatureKind, System};

use super::MeasureName;
use super::scene::{Built, Scene, no_train};
use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::{LoadedData, Rows};

/// What the schema lets pass of the measured rows.
pub struct Admission {
    /// Per row, whether everything that no attacker moves passes.
    pub rows: Vec<bool>,
}

/// Builds the schema and holds the measured rows against it.
pub fn take(scene: &mut Scene<'_>) -> Outcome<(String, Option<String>)> {
    let train = scene.train.as_ref().ok_or_else(no_train)?;
    let schema = of(&scene.project.system, train)?;
    let admission = Admission { rows: admitted(&schema, scene) };
    let mut bytes = serde_json::to_vec_pretty(&schema).or_fail("bug", "please report this")?;
    bytes.push(b'\n');
    let what = format!(
        "types, ranges and categories of {} features as seen in data.{} ({} rows); what lies \
         outside is refused and gets no decision",
        schema.features.len(),
        train.asset.name,
        schema.rows
    );
    scene.built.push(Built {
        measure: MeasureName::InputSchema,
        name: FILE.to_owned(),
        media_type: "application/json",
        bytes,
        personal: false,
    });
    scene.schema = Some((schema, admission));
    Ok((what, None))
}

/// Limits of the free coordinates, by the names the target gives them.
pub fn of_coordinates(schema: &InputSchema, names: &[String], image: bool) -> Vec<Limits> {
    let open = Limits { lower: f64::NEG_INFINITY, upper: f64::INFINITY, missing: false };
    let of = |name: &String| {
        let feature = schema.feature(name).filter(|_| !image);
        feature.map_or(open, |f| Limits {
            lower: f.minimum.unwrap_or(open.lower),
            upper: f.maximum.unwrap_or(open.upper),
            missing: f.missing,
        })
    };
    names.iter().map(of).collect()
}

/// The schema of a training set.
fn of(system: &System, train: &LoadedData) -> Outcome<InputSchema> {
    let features: Vec<InputFeature> = match &train.rows {
        // Refused before: see `Project::decides`.
        Rows::Series(_) => Vec::new(),
        Rows::Table(table) => {
            let read = system.features.iter().filter(|f| f.input);
            read.filter_map(|f| of_column(f, table)).collect()
        }
        Rows::Images(images) => {
            let image = system.image().map_or("image", |f| f.name.as_str());
            let pixels = images.data.iter().map(|&v| f64::from(v));
            vec![InputFeature {
                name: image.to_owned(),
                kind: FeatureKind::Image,
                minimum: pixels.clone().reduce(f64::min),
                maximum: pixels.reduce(f64::max),
                values: None,
                shape: Some(images.shape),
                missing: false,
            }]
        }
    };
    if features.is_empty() {
        return Err(Failure::new(
            "input-schema",
            "no declared feature is read by a model",
            "declare the features that the model reads",
        ));
    }
    Ok(InputSchema {
        format: FORMAT.to_owned(),
        system: system.name.clone(),
        sources: train.digests.clone(),
        rows: train.n() as u64,
        features,
    })
}

fn of_column(feature: &Feature, table: &Table) -> Option<InputFeature> {
    let column = table.column(&feature.name)?;
    let mut made = InputFeature {
        name: feature.name.clone(),
        kind: feature.kind,
        minimum: None,
        maximum: None,
        values: None,
        shape: None,
        missing: false,
    };
    match &column.cells {
        Cells::Numbers(numbers) => {
            let seen = stats(numbers);
            made.missing = numbers.iter().any(|v| v.is_nan());
            made.minimum = seen.map(|s| s.min);
            made.maximum = seen.map(|s| s.max);
        }
        Cells::Texts(texts) => {
            made.missing = texts.iter().any(Option::is_none);
            if feature.kind != FeatureKind::Text {
                let seen: BTreeSet<&String> = texts.iter().flatten().collect();
                made.values = Some(seen.into_iter().cloned().collect());
            }
        }
    }
    Some(made)
}

/// Whether each measured row passes in everything but its free coordinates.
fn admitted(schema: &InputSchema, scene: &Scene<'_>) -> Vec<bool> {
    let free = scene.primary.target.coordinates();
    let data = scene.primary.data();
    match &data.rows {
        Rows::Table(table) => {
            let fixed = schema.features.iter().filter(|f| !free.contains(&f.name));
            let columns: Vec<_> = fixed.filter_map(|f| Some((f, table.column(&f.name)?))).collect();
            let passes = |row: usize| {
                columns.iter().all(|(feature, column)| match &column.cells {
                    Cells::Numbers(numbers) => {
                        numbers.get(row).is_some_and(|&v| feature.admits_number(v))
                    }
                    Cells::Texts(texts) => {
                        texts.get(row).is_some_and(|t| feature.admits_text(t.as_deref()))
                    }
                })
            };
            (0..table.n).map(passes).collect()
        }
        Rows::Series(series) => vec![true; series.n],
        Rows::Images(images) => {
            let pixels = schema.features.first();
            let passes = |row: usize| {
                let inside = |f: &InputFeature| {
                    images.image(row).iter().all(|&v| f.admits_number(f64::from(v)))
                };
                pixels.is_none_or(inside)
            };
            (0..images.n).map(passes).collect()
        }
    }
}

/// Name of the file.
pub const FILE: &str = "input-schema.json";
