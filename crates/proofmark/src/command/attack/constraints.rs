//! Constraints of a table for `attack`, and its witnesses as what to change.
//!
//! Owns `--constraints`, `--cost-limit` and `--explain`. What the file may say is the schema's,
//! what it means the lab's. Must never log: the lists hold cells of rows.

use std::path::PathBuf;

use proofmark_assess::attack_page as page;
use proofmark_lab::changes::{Change, changes};
use proofmark_lab::constraint::Constraints;
use proofmark_lab::harness::RowRecord;
use proofmark_lab::oracle::Oracle;
use proofmark_schema::attack::Outcome as RowOutcome;
use proofmark_schema::system::{self, System};
use serde::Serialize;

use crate::assets;
use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::Rows;
use crate::output::human::Grid;
use crate::project::{self, Refused};
use crate::subject::Subject;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct ConstraintArgs {
    /// What holds in every valid row, and how columns may be changed: `[constraints]` and
    /// `[features.<column>]` as in a declaration.
    #[arg(long, value_name = "FILE.toml")]
    pub constraints: Option<PathBuf>,
    /// Most that all changes of a row may cost, by `cost` of the columns.
    #[arg(long, value_name = "C", value_parser = positive)]
    pub cost_limit: Option<f64>,
    /// Tables: tell the changes of the first so many broken rows, 5 unless said.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "5")]
    pub explain: Option<usize>,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|v: &f64| v.is_finite() && *v > 0.0);
    number.ok_or_else(|| "a number above 0".to_owned())
}

/// Modes that would leave the constraints unheard say so instead.
pub fn refuse(args: &ConstraintArgs, suite: &str) -> Outcome<()> {
    if args.constraints.is_none() && args.cost_limit.is_none() && args.explain.is_none() {
        return Ok(());
    }
    Err(Failure::new(
        "constraints",
        format!("`--suite {suite}` does not hold constraints between columns, nor explain rows"),
        "use `--suite caa` (`exact` for trees), or leave out --constraints, --cost-limit and \
         --explain",
    ))
}

/// Reads the file into a made-up declaration.
pub fn apply(args: &ConstraintArgs, system: &mut System, notes: &mut Vec<String>) -> Outcome<()> {
    for threat in &mut system.threats {
        threat.cost_limit = args.cost_limit;
    }
    if let Some(path) = &args.constraints {
        let bytes = assets::read_limited(path, BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::new(
                "constraints",
                format!("`{}` is not UTF-8", path.display()),
                "save it as UTF-8",
            )
        })?;
        system.constraints = system::parse_constraints(&text, &mut system.features)
            .map_err(|problems| project::refused(path, &text, &problems, &REFUSED))?;
        if let Some(unread) = system.features.iter().find(|f| f.mutable && !f.input) {
            let words = format!("`{}` is mutable, and the model does not read it", unread.name);
            return Err(Failure::new("constraints", words, "remove `mutable = true`"));
        }
        notes.push(said(system));
    }
    let costs = system.features.iter().any(|f| f.mutable && f.cost.is_some());
    if args.cost_limit.is_some() && !costs {
        return Err(Failure::new(
            "constraints",
            "`--cost-limit` limits nothing: no column that can be changed has a cost",
            "write `[features.<column>]` with `cost = 2.5` into the file of `--constraints`",
        ));
    }
    Ok(())
}

fn said(system: &System) -> String {
    let moved: Vec<String> = system
        .features
        .iter()
        .filter(|f| f.mutable)
        .map(|f| {
            let way = match f.direction {
                Some(system::Way::Increase) => " (up only)",
                Some(system::Way::Decrease) => " (down only)",
                None => "",
            };
            format!("{}{way}", f.name)
        })
        .collect();
    format!(
        "constraints: {} relations, {} one-hot groups, tolerance {:e}; an attacker moves {}",
        system.constraints.relations.len(),
        system.constraints.one_hot.len(),
        system.constraints.tolerance,
        moved.join(", ")
    )
}

/// A broken row and what to change in it.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Row of the data, from 0.
    row: u64,
    /// Distance of the witness, in the unit of the scale.
    distance: Option<f64>,
    /// Its changes.
    changes: Vec<Change>,
    /// What they cost together, where a cost is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
}

impl Explained {
    fn caption(&self) -> String {
        let distance = self.distance.map_or_else(String::new, |d| format!(", distance {d:.4}"));
        let cost = self.cost.map_or_else(String::new, |c| format!(", cost {c}"));
        format!("row {}: change{distance}{cost}", self.row)
    }

    fn cells(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let number = |n: Option<f64>| n.map_or_else(String::new, |n| n.to_string());
        let cells = |change: &Change| {
            vec![
                change.feature.clone(),
                change.from.to_string(),
                change.to.to_string(),
                number(change.difference),
                number(change.cost),
            ]
        };
        let head = ["column", "from", "to", "difference", "cost"].map(str::to_owned);
        (head.into(), self.changes.iter().map(cells).collect())
    }
}

/// The changes of the first broken rows that were asked for; `None` where none were, or where
/// the rows are no table.
pub fn explained(
    args: &ConstraintArgs,
    subject: &Subject,
    constraints: Option<&Constraints>,
    records: &[RowRecord],
) -> Option<Vec<Explained>> {
    let wanted = args.explain?;
    let broken = records.iter().filter(|r| r.point.outcome == RowOutcome::Broken);
    told(subject, constraints, broken.take(wanted))
}

/// The changes of these rows, as tables of a page; none where the rows are no table.
pub fn grids<'r>(
    subject: &Subject,
    constraints: Option<&Constraints>,
    records: impl Iterator<Item = &'r RowRecord>,
) -> Vec<page::Grid> {
    let rows = told(subject, constraints, records).unwrap_or_default();
    let grid = |row: &Explained| {
        let (head, rows) = row.cells();
        page::Grid { caption: row.caption(), head, rows }
    };
    rows.iter().map(grid).collect()
}

fn told<'r>(
    subject: &Subject,
    constraints: Option<&Constraints>,
    records: impl Iterator<Item = &'r RowRecord>,
) -> Option<Vec<Explained>> {
    let Rows::Table(_) = &subject.data().rows else { return None };
    let names = subject.target.coordinates();
    let priced = constraints.filter(|c| c.has_prices());
    let each = records.filter_map(|record| {
        let witness = record.witness.as_deref()?;
        let row = record.point.index as usize;
        Some(Explained {
            row: record.point.index,
            distance: record.point.distance.upper,
            changes: changes(names, row, subject.target.clean(row), witness, constraints),
            cost: priced.map(|c| c.cost(row, witness)),
        })
    });
    Some(each.collect())
}

/// Puts them into a report as JSON.
pub fn add(report: &mut serde_json::Value, told: Option<&[Explained]>) -> Outcome<()> {
    if let (Some(object), Some(told)) = (report.as_object_mut(), told) {
        object.insert("changes".into(), serde_json::to_value(told).or_fail("attack", "")?);
    }
    Ok(())
}

/// The same for people.
pub fn as_text(rows: &[Explained]) -> String {
    let mut text = String::new();
    for explained in rows {
        text.push_str(&format!("{}\n", explained.caption()));
        let (head, rows) = explained.cells();
        let mut grid = Grid::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
        rows.into_iter().for_each(|row| grid.row(row));
        text.push_str(&grid.render());
    }
    text
}

const REFUSED: Refused = Refused {
    code: "constraints-refused",
    outcome: "nothing was attacked",
    help: "mend what is marked above; docs/constraints.md says what can be written",
};

/// Written by hand; more than this is a wrong file.
pub const BYTES_MAX: u64 = 4 << 20;
