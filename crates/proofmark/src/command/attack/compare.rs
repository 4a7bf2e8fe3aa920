//! `--compare`: the same rows under another model, from a report kept earlier.
//!
//! Owns reading that report and the words of the comparison. The statistics are the lab's. Called
//! by [`super`].

use std::path::Path;

use proofmark_lab::evasion::comparison;
use proofmark_schema::attack::{AttackReport, Comparison, FORMAT};

use crate::assets;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::human::{Grid, percent};

/// Reads a report that `attack --format json` printed.
///
/// # Errors
/// The file is no such report.
pub fn read(path: &Path) -> Outcome<AttackReport> {
    let help = "keep a report with `proofmark attack ... --format json > REPORT.json`";
    let bytes = assets::read_limited(path, REPORT_BYTES_MAX)?;
    let report: AttackReport = serde_json::from_slice(&bytes).or_fail("compare", help)?;
    if report.format != FORMAT {
        let words = format!("`{}` is `{}`, not `{FORMAT}`", path.display(), report.format);
        return Err(Failure::new("compare", words, help));
    }
    Ok(report)
}

/// The comparison, put into the report.
///
/// # Errors
/// The two reports are not of the same rows, distance, unit, goal and suite.
pub fn with(report: &mut AttackReport, earlier: &AttackReport) -> Outcome<()> {
    let help = "attack both models with the same arguments and data";
    report.comparisons = comparison::compare(report, earlier).or_fail("compare", help)?;
    Ok(())
}

/// The comparison as a table; empty where there is none.
pub fn as_text(comparisons: &[Comparison]) -> String {
    let Some(first) = comparisons.first() else { return String::new() };
    let mut grid = Grid::new(&[
        "budget",
        "both stand",
        "only this",
        "only the other",
        "neither",
        "difference",
        "95 % interval",
        "McNemar p",
    ]);
    for c in comparisons {
        let mut row = vec![c.eps.to_string()];
        row.extend([c.both, c.here, c.there, c.neither].map(|n| n.to_string()));
        row.push(percent(c.difference));
        row.push(format!("{} to {}", percent(c.lower), percent(c.upper)));
        row.push(format!("{:.3e}", c.p));
        grid.row(row);
    }
    let many = if comparisons.len() > 1 { "; p not corrected for several budgets" } else { "" };
    let name: String = first.with.chars().take(12).collect();
    format!("Beside model {name}, on the same rows{many}:\n{}", grid.render())
}

/// A report of a million rows with a few attacks each.
const REPORT_BYTES_MAX: u64 = 2 << 30;
