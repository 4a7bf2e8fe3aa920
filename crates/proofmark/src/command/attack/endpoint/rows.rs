//! The rows of a table as an endpoint is sent them, without a model to bind them to.
//!
//! Owns which columns are sent and which an attacker moves; both are told. Called by [`super`].

use proofmark_dataset::bind::Binding;
use proofmark_dataset::table::{Cells, Table};
use proofmark_lab::endpoint::{Cell, Sheet};
use proofmark_lab::space::{Column, Deployed, Space};
use proofmark_lab::target;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::{
    DataAsset, DataRole, DialectPins, Feature, FeatureKind, FoundColumn, FoundTable, Scale, Task,
};

use super::super::asked::Asked;
use super::super::{declared, sparse};
use crate::assets;
use crate::failure::{Failure, OrFail, Outcome};

/// Rows, labels and the room to move in.
pub struct Bound {
    /// Rows as they are sent.
    pub sheet: Sheet,
    /// Class index per row.
    pub labels: Vec<usize>,
    /// Classes, as the labels are written.
    pub classes: Vec<String>,
    /// Names of the columns that move; for images, how they are sent.
    pub free: Vec<String>,
    /// For images: the shape in which a row is sent.
    pub axes: Option<Vec<usize>>,
    /// Digest of the file.
    pub digest: String,
    /// What was assumed, in words.
    pub notes: Vec<String>,
    /// Where they can move.
    pub room: Room,
}

/// The room to move in.
pub enum Room {
    /// Columns of a table.
    Columns(Vec<Column>),
    /// Pixels.
    Images(Binding),
}

impl Bound {
    /// The attacker's space.
    pub fn space(&self, scale: Scale) -> Outcome<Space> {
        match &self.room {
            Room::Columns(moving) => {
                Space::new(moving, scale).or_fail("space", "choose other columns with `--mutable`")
            }
            Room::Images(binding) => target::space(binding, scale, &|_| None)
                .or_fail("space", "use the scale 0-255, bounds or raw"),
        }
    }

    /// The data file, for the report.
    pub fn asset(&self) -> AssetDigest {
        AssetDigest { name: format!("data/{}", declared::DATA), sha256: self.digest.clone() }
    }
}

/// Reads the table; `wanted` are the inputs that the endpoint names, if it does.
pub fn read(asked: &Asked<'_>, wanted: &[String]) -> Outcome<Bound> {
    let bytes = assets::read_data(&asked.data)?;
    let found = sparse::found(asked, None).map_err(|failure| Failure {
        help: "an endpoint is sent images, or the rows of a table: CSV, Parquet, Arrow or JSON \
               lines"
            .into(),
        ..failure
    })?;
    let sent = sent(asked, wanted, &found)?;
    let classes = classes(asked, &found)?;
    let features: Vec<Feature> = sent.iter().map(|c| feature(asked, c)).collect();
    let ignore = found
        .columns
        .iter()
        .filter(|c| c.name != asked.label && !sent.iter().any(|s| s.name == c.name));
    let asset = DataAsset {
        name: declared::DATA.into(),
        path: asked.data.display().to_string(),
        role: DataRole::Test,
        label: Some(asked.label.clone()),
        labels: None,
        classes: classes.iter().map(|c| (c.clone(), c.clone())).collect(),
        ignore: ignore.map(|c| c.name.clone()).collect(),
        missing: declared::MISSING.iter().map(|m| (*m).to_owned()).collect(),
        dialect: DialectPins::default(),
        limit: asked.limit,
        task: Task::Classification,
        unit: None,
        quantiles: Vec::new(),
    };
    let table =
        Table::read(&bytes, &asset, &features).or_fail("data-unreadable", "mend the file")?;
    bound(&table, &features, classes, assets::sha256(&bytes))
}

fn bound(
    table: &Table,
    features: &[Feature],
    classes: Vec<String>,
    digest: String,
) -> Outcome<Bound> {
    let mut cells: Vec<Vec<Cell>> = vec![Vec::with_capacity(features.len()); table.n];
    let (mut moving, mut places) = (Vec::new(), Vec::new());
    for (at, feature) in features.iter().enumerate() {
        let column = table.column(&feature.name).ok_or_else(|| {
            Failure::new("column", format!("`{}` was not read", feature.name), "report this")
        })?;
        match &column.cells {
            Cells::Numbers(values) => {
                let number = |v: &f64| if v.is_nan() { Cell::Missing } else { Cell::Number(*v) };
                cells.iter_mut().zip(values).for_each(|(row, v)| row.push(number(v)));
                if feature.mutable {
                    moving.push(axis(feature, values));
                    places.push(at);
                }
            }
            Cells::Texts(values) => {
                let text = |v: &Option<String>| v.clone().map_or(Cell::Missing, Cell::Text);
                cells.iter_mut().zip(values).for_each(|(row, v)| row.push(text(v)));
            }
        }
    }
    let columns: Vec<String> = features.iter().map(|f| f.name.clone()).collect();
    let free: Vec<String> = places.iter().map(|&at| columns[at].clone()).collect();
    let ranges = free.iter().zip(&moving);
    let ranges: Vec<String> =
        ranges.map(|(name, c)| format!("{name} [{}, {}]", c.lower, c.upper)).collect();
    let notes = vec![
        format!("columns sent: {}", columns.join(", ")),
        format!("an attacker moves, within the range found: {}", ranges.join(", ")),
        format!("classes: {}", classes.join(", ")),
    ];
    let sheet = Sheet::new(columns, cells, places).or_fail("data", "mend the file")?;
    let labels = table.labels.clone();
    let (axes, room) = (None, Room::Columns(moving));
    Ok(Bound { sheet, labels, classes, free, axes, digest, notes, room })
}

fn axis(feature: &Feature, values: &[f64]) -> Column {
    let [lower, upper] = feature.bounds.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
    let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let n = known.len().max(1) as f64;
    let mean = known.iter().sum::<f64>() / n;
    let std = (known.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
    let whole = feature.kind == FeatureKind::Integer;
    let deployed = if whole { Deployed::Integer } else { Deployed::Real };
    Column { lower, upper, std, deployed }
}

/// Columns of the request: as said, as the endpoint names its inputs, or all but the label.
fn sent<'t>(
    asked: &Asked<'_>,
    wanted: &[String],
    found: &'t FoundTable,
) -> Outcome<Vec<&'t FoundColumn>> {
    let of = |name: &String| {
        found.columns.iter().find(|c| c.name == *name).ok_or_else(|| {
            let known: Vec<&str> = found.columns.iter().map(|c| c.name.as_str()).collect();
            let words = format!("there is no column `{name}` in `{}`", asked.data.display());
            Failure::new("column", words, format!("name some of: {}", known.join(", ")))
        })
    };
    of(&asked.label)?;
    for name in &asked.mutable {
        let column = of(name)?;
        if !matches!(column.kind, FeatureKind::Number | FeatureKind::Integer) {
            let words = format!("`{name}` is no number: nothing moves it");
            return Err(Failure::new("column", words, "leave it out of `--mutable`"));
        }
    }
    if !asked.columns.is_empty() {
        return asked.columns.iter().map(of).collect();
    }
    let named = wanted.iter().all(|name| found.columns.iter().any(|c| c.name == *name));
    if !wanted.is_empty() && named {
        return wanted.iter().map(of).collect();
    }
    Ok(found.columns.iter().filter(|c| c.name != asked.label).collect())
}

fn classes(asked: &Asked<'_>, found: &FoundTable) -> Outcome<Vec<String>> {
    let label = found.columns.iter().find(|c| c.name == asked.label);
    classes_of(asked, label.map(|c| c.values.clone()).unwrap_or_default())
}

/// Classes as said, or as the labels have them, in their order.
pub fn classes_of(asked: &Asked<'_>, mut values: Vec<String>) -> Outcome<Vec<String>> {
    if !asked.classes.is_empty() {
        return Ok(asked.classes.clone());
    }
    let numbers: Option<Vec<i64>> = values.iter().map(|v| v.parse().ok()).collect();
    if let Some(mut numbers) = numbers {
        numbers.sort_unstable();
        values = numbers.iter().map(i64::to_string).collect();
    }
    match values.len() {
        0 | 1 => Err(Failure::new(
            "label",
            format!("the label `{}` has {} values", asked.label, values.len()),
            "an attack needs two classes at the least; name them with `--classes`",
        )),
        _ => Ok(values),
    }
}

fn feature(asked: &Asked<'_>, column: &FoundColumn) -> Feature {
    let numeric = matches!(column.kind, FeatureKind::Number | FeatureKind::Integer);
    let wanted = asked.mutable.is_empty() || asked.mutable.contains(&column.name);
    // A single value has no range to move in.
    let room = column.range.is_some_and(|[low, high]| low < high);
    Feature {
        name: column.name.clone(),
        kind: column.kind,
        bounds: column.range,
        values: Vec::new(),
        mutable: numeric && wanted && room,
        group: false,
        group_edges: Vec::new(),
        input: true,
        shape: None,
        series: None,
        direction: None,
        cost: None,
    }
}
