//! Rows under a fault, ready to be bound to a model.
//!
//! Owns the choice of columns, the spread of columns and what a model cannot hold. Must never ask
//! the model.

use std::collections::BTreeMap;
use std::sync::Arc;

use proofmark_dataset::bind::{self, BindError, TableOptions};
use proofmark_dataset::stats::stats;
use proofmark_dataset::table::{Cells, Table};
use proofmark_lab::faults::table::{Setting, Spread, TableFault};
use proofmark_schema::system::{DataRole, Feature};

use super::images::{self, OnImages};
use super::{Done, Failure, LoadedModel, Rows, Scene, form, table};
use crate::loader::{self, LoadedData};

/// Rows under one severity.
pub struct Hit {
    /// The rows.
    pub data: LoadedData,
    /// How strong, in words.
    pub strength: String,
    /// Rows that differ from the clean ones.
    pub changed: Vec<bool>,
    /// Rows that the declared form refuses; tables only.
    pub refused: Option<Vec<bool>>,
    /// Rows that the model's inputs cannot hold: they get no answer.
    pub unanswered: Vec<bool>,
}

/// One member of a fault: the fault itself, or one column of it.
pub enum Member<'a> {
    /// On a table.
    Table(Box<OnTable<'a>>),
    /// On images.
    Images(OnImages<'a>),
}

/// A fault of a table.
pub struct OnTable<'a> {
    scene: &'a Scene<'a>,
    name: Option<String>,
    setting: Setting<'a>,
    features: &'a [Feature],
    /// Columns that may lack a value without a complaint.
    may_miss: Vec<String>,
    /// Columns that the model's inputs cannot lack.
    never_miss: Vec<String>,
}

impl Member<'_> {
    /// Column or corruption; `None` for the fault as a whole.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Table(one) => one.name.clone(),
            Self::Images(one) => one.name(),
        }
    }

    /// What it does.
    pub fn means(&self) -> String {
        match self {
            Self::Table(one) => one.setting.fault.means().to_owned(),
            Self::Images(one) => one.means(),
        }
    }

    /// Rows at that severity.
    pub fn at(&self, severity: u8) -> Done<Hit> {
        match self {
            Self::Table(one) => Ok(one.at(severity)),
            Self::Images(one) => Ok(one.at(severity)),
        }
    }
}

/// The members of the fault of a scene.
pub fn members<'a>(
    scene: &'a Scene<'a>,
    seed: u64,
    notes: &mut Vec<String>,
) -> Done<Vec<Member<'a>>> {
    let kind = &scene.fault.kind;
    match (&scene.subject.data().rows, table::named(kind)) {
        (Rows::Table(rows), Some(fault)) => on_table(scene, rows, fault, seed, notes),
        (Rows::Table(_), None) => Err(unfit(kind, "a table")),
        (Rows::Images(rows), None) => {
            let members = images::members(scene, rows, seed, notes)?;
            Ok(members.into_iter().map(Member::Images).collect())
        }
        (Rows::Images(_), Some(_)) => Err(unfit(kind, "images")),
        (Rows::Series(_), _) => Err(unfit(kind, "series")),
    }
}

pub(super) fn unfit(kind: &str, rows: &str) -> Failure {
    let message = format!("a fault of kind `{kind}` cannot be set on {rows}");
    Failure::new("fault", message, "docs/faults.md lists which kinds fit which data")
}

fn on_table<'a>(
    scene: &'a Scene<'a>,
    rows: &'a Table,
    fault: &'static dyn TableFault,
    seed: u64,
    notes: &mut Vec<String>,
) -> Done<Vec<Member<'a>>> {
    let features = &scene.project.system.features;
    let reads = |name: &String| !scene.subject.binding().unread.contains(name);
    let mut columns = table::columns(fault, features, &scene.fault.columns);
    columns.retain(|name| reads(name));
    if columns.is_empty() {
        let message = format!("the fault `{}` has no column to hit", scene.fault.name);
        let help = "name columns that the model reads, and that this kind can hit";
        return Err(Failure::new("fault", message, help));
    }
    let strange = scene.fault.columns.iter().filter(|name| !columns.contains(name));
    notes.extend(strange.map(|name| format!("`{name}` is not hit: another type, or not read")));
    let (spreads, may_miss) = of_training(scene, rows, notes)?;
    let never_miss = never_miss(scene.model, rows, features, &columns);
    if fault.id() == "missing" && !never_miss.is_empty() {
        notes.push(format!(
            "the model's inputs cannot lack {}: such a row gets no answer, which counts as wrong",
            never_miss.join(", ")
        ));
    }
    let spreads = Arc::new(spreads);
    let sets: Vec<(Option<String>, Vec<String>)> = match scene.fault.per_column {
        true => columns.into_iter().map(|c| (Some(c.clone()), vec![c])).collect(),
        false => vec![(None, columns)],
    };
    let member = |(name, columns): (Option<String>, Vec<String>)| {
        let setting = Setting {
            fault,
            table: rows,
            features,
            columns,
            spreads: Arc::clone(&spreads),
            factor: scene.fault.factor.unwrap_or(FACTOR),
            seed,
            probe: scene.probe,
        };
        let (may_miss, never_miss) = (may_miss.clone(), never_miss.clone());
        Member::Table(Box::new(OnTable { scene, name, setting, features, may_miss, never_miss }))
    };
    Ok(sets.into_iter().map(member).collect())
}

impl OnTable<'_> {
    fn at(&self, severity: u8) -> Hit {
        let faulted = self.setting.at(severity);
        let refused = form::refused(&faulted.table, self.features, &|name| {
            self.may_miss.iter().any(|known| known == name)
        });
        let mut table = faulted.table;
        let unanswered = self.hold(&mut table);
        let data = self.scene.subject.data();
        Hit {
            data: LoadedData {
                asset: data.asset.clone(),
                rows: Rows::Table(table),
                digests: Vec::new(),
                notes: Vec::new(),
            },
            strength: self.setting.fault.level(severity, self.setting.factor).words,
            changed: faulted.changed,
            refused: Some(refused),
            unanswered,
        }
    }

    /// Puts back what the model cannot lack, so that the other rows can be bound; says where.
    fn hold(&self, table: &mut Table) -> Vec<bool> {
        let mut unanswered = vec![false; table.n];
        for (column, clean) in table.columns.iter_mut().zip(&self.setting.table.columns) {
            if !self.never_miss.contains(&column.name) {
                continue;
            }
            for (row, lost) in unanswered.iter_mut().enumerate() {
                match (&mut column.cells, &clean.cells) {
                    (Cells::Numbers(now), Cells::Numbers(before)) if now[row].is_nan() => {
                        now[row] = before[row];
                        *lost = true;
                    }
                    (Cells::Texts(now), Cells::Texts(before)) if now[row].is_none() => {
                        now[row].clone_from(&before[row]);
                        *lost = true;
                    }
                    _ => {}
                }
            }
        }
        unanswered
    }
}

/// Columns that the model's inputs cannot lack.
fn never_miss(
    model: &LoadedModel,
    rows: &Table,
    features: &[Feature],
    columns: &[String],
) -> Vec<String> {
    let inputs = loader::model_inputs(model.model.graph());
    let refuses = |name: &&String| {
        let mut lacking = rows.clone();
        for column in lacking.columns.iter_mut().filter(|c| c.name == **name) {
            match &mut column.cells {
                Cells::Numbers(numbers) => numbers.fill(f64::NAN),
                Cells::Texts(texts) => texts.fill(None),
            }
        }
        let options = TableOptions::default();
        let bound = bind::table(&lacking, features, &model.asset, &inputs, &options);
        matches!(bound, Err(BindError::Missing { .. }))
    };
    columns.iter().filter(refuses).cloned().collect()
}

/// Spread of the numeric columns, and the columns that lack a value somewhere: of the training
/// data where they are declared, else of the measured rows.
fn of_training(
    scene: &Scene<'_>,
    rows: &Table,
    notes: &mut Vec<String>,
) -> Done<(BTreeMap<String, Spread>, Vec<String>)> {
    let train = scene.project.system.data.iter().find(|d| d.role == DataRole::Train);
    let held = train.map(|asset| loader::held_data(scene.project, asset)).transpose()?;
    let table = match held.as_deref().map(|data| &data.rows) {
        Some(Rows::Table(table)) => table,
        _ => {
            notes.push("no training data: the spread of columns is that of the rows".into());
            rows
        }
    };
    let mut spreads = BTreeMap::new();
    let mut may_miss = Vec::new();
    for column in &table.columns {
        let lacks = match &column.cells {
            Cells::Texts(texts) => texts.iter().any(Option::is_none),
            Cells::Numbers(numbers) => {
                if let Some(s) = stats(numbers) {
                    let spread = Spread { deviation: s.std, lowest: s.min, highest: s.max };
                    spreads.insert(column.name.clone(), spread);
                }
                numbers.iter().any(|n| n.is_nan())
            }
        };
        if lacks {
            may_miss.push(column.name.clone());
        }
    }
    Ok((spreads, may_miss))
}

/// Cents in the place of euros.
const FACTOR: f64 = 100.0;
