//! A witness of a table as what a person would have to change.
//!
//! Owns the list of changed columns in the unit of the file. Must never judge: witnesses come
//! from the harness. Called by `attack`; it holds cells of rows, so it is never logged.

use serde::Serialize;

use crate::constraint::Constraints;

/// One changed column, or one category that lies in several columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Feature, or name of the one-hot group.
    pub feature: String,
    /// Cell of the data.
    pub from: Cell,
    /// Cell of the witness.
    pub to: Cell,
    /// `to - from`, for numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    /// What it costs the attacker, where a cost is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// A number, in the unit of the file.
    Number(f64),
    /// A category, by the name of its column.
    Category(String),
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Category(name) => write!(f, "{name}"),
        }
    }
}

/// What differs between a clean row and a witness, in the order of the coordinates; one-hot
/// groups stand where their first column does. `names`, `clean` and `witness` are by coordinate.
pub fn changes(
    names: &[String],
    row: usize,
    clean: &[f32],
    witness: &[f32],
    constraints: Option<&Constraints>,
) -> Vec<Change> {
    let mut all = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let group =
            constraints.and_then(|c| c.groups().find(|(_, coordinates)| coordinates.contains(&at)));
        let (old, new) = (clean[at], witness[at]);
        match group {
            Some((group, coordinates)) if coordinates.first() == Some(&at) => {
                all.extend(category(group, coordinates, names, clean, witness, constraints));
            }
            Some(_) => {}
            None if old.to_bits() == new.to_bits() => {}
            None => {
                // The cell as it stands in the file, which the f32 of the model input rounds.
                let cell = constraints.map_or(f64::NAN, |c| c.cell(row, at));
                let from = if cell as f32 == old { cell } else { shortest(old) };
                let to = shortest(new);
                let price = constraints.map_or(0.0, |c| c.price(at));
                let difference = to - from;
                all.push(Change {
                    feature: name.clone(),
                    from: Cell::Number(from),
                    to: Cell::Number(to),
                    difference: Some(tidy(difference)),
                    cost: (price > 0.0).then(|| price * difference.abs()),
                });
            }
        }
    }
    all
}

fn category(
    group: &str,
    coordinates: &[usize],
    names: &[String],
    clean: &[f32],
    witness: &[f32],
    constraints: Option<&Constraints>,
) -> Option<Change> {
    let of = |x: &[f32]| coordinates.iter().copied().find(|&at| x[at] == 1.0);
    let (from, to) = (of(clean)?, of(witness)?);
    let price = |at: usize| constraints.map_or(0.0, |c| c.price(at));
    let cost = price(from) + price(to);
    (from != to).then(|| Change {
        feature: group.to_owned(),
        from: Cell::Category(names[from].clone()),
        to: Cell::Category(names[to].clone()),
        difference: None,
        cost: (cost > 0.0).then_some(cost),
    })
}

/// The shortest decimal that is this f32: what a person would type.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// A difference of decimals without the dust of f64.
fn tidy(value: f64) -> f64 {
    format!("{value:.9e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proofmark_dataset::table::Cells;
    use proofmark_schema::system;

    use super::*;
    use crate::constraint::{Coordinate, Ground};

    #[test]
    fn changes_are_told_in_decimals_of_the_file_and_categories_by_name() {
        let names = ["rate", "car", "tv", "amount"].map(str::to_owned).to_vec();
        let columns: [Cells; 4] = [[0.1, 0.2], [1.0, 0.0], [0.0, 1.0], [100.0, 5.0]]
            .map(|cells| Cells::Numbers(cells.to_vec()));
        let declared = system::Constraints {
            one_hot: vec![system::OneHot {
                name: "purpose".into(),
                columns: vec!["car".into(), "tv".into()],
            }],
            ..system::Constraints::default()
        };
        let coordinates: Vec<Coordinate> = names
            .iter()
            .map(|n| Coordinate { name: n.clone(), price: if n == "amount" { 2.0 } else { 0.0 } })
            .collect();
        let cells = |name: &str| columns.get(names.iter().position(|n| n == name)?);
        let ground = Ground { coordinates: &coordinates, rows: 2, cells: &cells, cost_limit: None };
        let constraints = Constraints::bind(&declared, &ground).unwrap();
        let clean = [0.1_f32, 1.0, 0.0, 100.0];
        let told = changes(&names, 0, &clean, &[0.3, 0.0, 1.0, 97.0], Some(&constraints));
        let line = |c: &Change| {
            let rest = (c.difference, c.cost);
            format!("{}: {} to {} {rest:?}", c.feature, c.from, c.to)
        };
        assert_eq!(
            told.iter().map(line).collect::<Vec<_>>(),
            [
                "rate: 0.1 to 0.3 (Some(0.2), None)",
                "purpose: car to tv (None, None)",
                "amount: 100 to 97 (Some(-3.0), Some(6.0))",
            ]
        );
        assert!(changes(&names, 0, &clean, &clean, None).is_empty());
    }
}
