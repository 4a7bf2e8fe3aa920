//! The matrix and the duties behind it, in words.

use proofmark_schema::duties::{cell_id, duties};
use proofmark_schema::taxonomy::{Coverage, Verb};

use super::{Cell, MatrixRow, Piece, Table, heads, words};
use crate::matrix::{self, Matrix};

pub(super) fn compact(matrix: &Matrix) -> Vec<MatrixRow> {
    let row = |row: &matrix::Row| MatrixRow {
        threat: row.threat.title().to_owned(),
        duty: row.duty.clone(),
        cells: row
            .cells
            .iter()
            .map(|cell| (cell.coverage, cell.verdicts.iter().map(|(_, s)| *s).collect()))
            .collect(),
    };
    matrix.rows.iter().map(row).collect()
}

pub(super) fn cells(matrix: &Matrix) -> Table {
    let mut rows = Vec::new();
    for row in &matrix.rows {
        for cell in &row.cells {
            rows.push(vec![
                vec![Piece::Code(cell_id(row.threat, cell.verb))],
                vec![Piece::Coverage(cell.coverage)],
                measure(cell),
                evidence(cell),
                next(&cell.next),
            ]);
        }
    }
    Table {
        caption: vec![words("Every cell: what covers it, who answers, and the next step")],
        head: heads(&["cell", "coverage", "measure and owner", "evidence", "next"]),
        rows,
    }
}

pub(super) fn legend() -> Vec<(Coverage, String)> {
    [
        (Coverage::Measured, "by signed figures of this run"),
        (Coverage::Imported, "by signed evidence of others"),
        (Coverage::Declared, "by a person's statement; nothing was measured"),
        (Coverage::Waived, "set aside by a person, with a reason"),
        (Coverage::Missing, "by nothing"),
    ]
    .map(|(coverage, words)| (coverage, words.to_owned()))
    .to_vec()
}

/// Word for a coverage.
pub(crate) fn word(coverage: Coverage) -> &'static str {
    match coverage {
        Coverage::Measured => "measured",
        Coverage::Imported => "imported",
        Coverage::Declared => "declared",
        Coverage::Waived => "waived",
        Coverage::Missing => "missing",
    }
}

/// Heads of the compact matrix.
pub(crate) fn verbs() -> [&'static str; 5] {
    Verb::ALL.map(Verb::id)
}

pub(super) fn duties_table() -> Table {
    let row = |(id, to, section): &(&str, &str, &str)| {
        let duty = duties().named(id)?;
        Some(vec![
            vec![Piece::Code(duty.id.clone())],
            vec![Piece::Law(duty.provision.clone())],
            vec![Piece::Law(duty.duty.clone())],
            vec![Piece::Link { to: (*to).to_owned(), words: (*section).to_owned() }],
        ])
    };
    Table {
        caption: vec![words("Provisions this report gives evidence for; it settles none alone")],
        head: heads(&["id", "provision", "duty in our words", "where"]),
        rows: SERVED.iter().filter_map(row).collect(),
    }
}

fn measure(cell: &matrix::Cell) -> Cell {
    let mut pieces = Vec::new();
    if !cell.measure.is_empty() {
        pieces.push(Piece::Declared(cell.measure.clone()));
    }
    if !cell.owner.is_empty() {
        if !pieces.is_empty() {
            pieces.push(Piece::Break);
        }
        pieces.extend([words("owner: "), Piece::Declared(cell.owner.clone())]);
    }
    if pieces.is_empty() {
        pieces.push(words("none declared"));
    }
    pieces
}

fn evidence(cell: &matrix::Cell) -> Cell {
    let mut pieces = Vec::new();
    for (name, state) in &cell.verdicts {
        pieces.extend([
            words("criterion "),
            Piece::Declared(name.clone()),
            words(" "),
            Piece::State(*state),
            Piece::Break,
        ]);
    }
    if !cell.note.is_empty() {
        pieces.push(Piece::Declared(cell.note.clone()));
    }
    if pieces.is_empty() {
        pieces.push(words("none"));
    }
    pieces
}

/// Words with commands between back-ticks.
fn next(text: &str) -> Cell {
    let piece = |(place, part): (usize, &str)| match place % 2 {
        0 => Piece::Declared(part.to_owned()),
        _ => Piece::Code(part.to_owned()),
    };
    text.split('`').enumerate().filter(|(_, p)| !p.is_empty()).map(piece).collect()
}

/// Duties, the section that serves each, and its words.
const SERVED: [(&str, &str, &str); 15] = [
    ("AIA-9-8", "verdicts", "criteria and verdicts"),
    ("AIA-13-3-b-ii", "models", "figures per model"),
    ("AIA-15-1", "verdicts", "criteria and verdicts"),
    ("AIA-15-3", "models", "figures per model"),
    ("AIA-15-4-a", "matrix", "matrix"),
    ("AIA-15-5-a", "matrix", "matrix"),
    ("AIA-15-5-b", "matrix", "matrix"),
    ("AIA-15-5-c", "matrix", "matrix"),
    ("AIA-15-5-d", "matrix", "matrix"),
    ("AIA-15-5-e", "models", "robust accuracy per threat"),
    ("AIA-15-5-f", "matrix", "matrix"),
    ("AIA-15-5-g", "models", "accuracy per class and group"),
    ("AIA-15-5-h", "matrix", "matrix"),
    ("AIA-IV-2g", "runs", "runs, signatures and digests"),
    ("AIA-11-1", "check", "how to check"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duty_named_here_is_in_the_catalogue() {
        for (id, ..) in SERVED {
            assert!(duties().named(id).is_some(), "{id}");
        }
        assert_eq!(duties_table().rows.len(), SERVED.len());
    }

    #[test]
    fn commands_are_told_from_words() {
        let pieces = next("do `proofmark assess` now");
        assert_eq!(pieces.get(1), Some(&Piece::Code("proofmark assess".into())));
        assert_eq!(pieces.len(), 3);
    }
}
