//! Columns of a table to model inputs: by name, or side by side in one matrix.

use proofmark_schema::system::{Feature, FeatureKind, ModelAsset, nearest};

use super::{
    BindError, Binding, BoundData, BoundInput, Free, FreeCoordinate, InputType, ModelInput,
    shape_text,
};
use crate::table::{Cells, Column, Table};

/// How missing texts are handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// What a text input gets where the value is missing.
    pub missing_text: String,
}

/// Binds a table: inputs `[n, 1]` or `[n]` get the column of their name; one input `[n, k]` gets
/// the columns of `input.columns`, or the declared input features in order when they are `k`.
/// Beside inputs of single columns, one input that is named like no feature gets what those leave.
///
/// Floats get NaN where a value is missing.
///
/// # Errors
/// See [`BindError`].
pub fn table(
    table: &Table,
    features: &[Feature],
    model: &ModelAsset,
    inputs: &[ModelInput],
    options: &TableOptions,
) -> Result<Binding, BindError> {
    let rows = TableRows { n: table.n, columns: &table.columns, lines: &table.lines };
    columns(rows, features, model, inputs, options)
}

/// Rows that were never in a file, or are a part of one.
#[derive(Clone, Copy, Debug)]
pub struct TableRows<'a> {
    /// Rows.
    pub n: usize,
    /// Columns, each of `n` cells.
    pub columns: &'a [Column],
    /// Line of each row for messages; 0 where there is none.
    pub lines: &'a [u64],
}

/// Binds columns as [`table`] does.
///
/// # Errors
/// See [`BindError`].
pub fn columns(
    table: TableRows<'_>,
    features: &[Feature],
    model: &ModelAsset,
    inputs: &[ModelInput],
    options: &TableOptions,
) -> Result<Binding, BindError> {
    let Plan { matrix, inputs: plan } = plan(features, model, inputs)?;
    let bind = Bind { table, options };
    let mut bound = Vec::with_capacity(plan.len());
    let mut free = Vec::new();
    for (input, columns) in &plan {
        let beside = !features.iter().any(|f| f.name == input.name);
        bound.push(bind.fill(input, columns, matrix || beside)?);
        for (column, feature) in columns.iter().enumerate() {
            free.extend(coordinate(feature, input, column)?);
        }
    }
    let read = |f: &Feature| plan.iter().any(|(_, c)| c.iter().any(|c| c.name == f.name));
    let unread = features.iter().filter(|f| f.input && !read(f)).map(|f| f.name.clone());
    let (unread, free) = (unread.collect(), Free::Columns(free));
    Ok(Binding { n: table.n, inputs: bound, free, unread })
}

/// Which features each input of a model reads.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Whether one input reads several columns side by side.
    pub matrix: bool,
    /// Each input with its features, in order.
    pub inputs: Vec<(&'a ModelInput, Vec<&'a Feature>)>,
}

/// Which features each input reads, as [`table`] fills them.
///
/// # Errors
/// See [`BindError`].
pub fn plan<'a>(
    features: &'a [Feature],
    model: &ModelAsset,
    inputs: &'a [ModelInput],
) -> Result<Plan<'a>, BindError> {
    let first = inputs.first().ok_or(BindError::NoInput)?;
    let matrix = inputs.len() == 1 && is_matrix(first, features, model);
    let names = Names { features };
    let inputs = if matrix {
        vec![(first, names.matrix_columns(first, model)?)]
    } else {
        let rest = names.rest(inputs);
        let named = inputs.iter().map(|i| match rest {
            Some(rest) if rest.name == i.name => Ok((i, names.beside(i, inputs, model)?)),
            _ => Ok((i, vec![names.named_column(i)?])),
        });
        named.collect::<Result<_, BindError>>()?
    };
    Ok(Plan { matrix, inputs })
}

struct Bind<'a> {
    table: TableRows<'a>,
    options: &'a TableOptions,
}

/// The declared features, to be found by name.
struct Names<'a> {
    features: &'a [Feature],
}

impl<'a> Names<'a> {
    /// The one input of several columns among inputs of single ones.
    fn rest<'i>(&self, inputs: &'i [ModelInput]) -> Option<&'i ModelInput> {
        let strange = |i: &&ModelInput| !self.features.iter().any(|f| f.name == i.name);
        let mut strange = inputs.iter().filter(strange);
        match (strange.next(), strange.next(), inputs.len()) {
            (Some(input), None, 2..) => {
                Some(input).filter(|i| matches!(i.shape.as_slice(), [_, Some(_)]))
            }
            _ => None,
        }
    }

    /// The columns of [`Names::rest`]: as listed, or what the other inputs leave, in order.
    fn beside(
        &self,
        input: &ModelInput,
        inputs: &[ModelInput],
        model: &ModelAsset,
    ) -> Result<Vec<&'a Feature>, BindError> {
        let mut columns = self.matrix_features(model)?;
        if model.input.columns.is_empty() {
            columns.retain(|f| !inputs.iter().any(|i| i.name == f.name));
        }
        // One column that nobody listed would be found by elimination: the name may be misspelt.
        match input.shape.as_slice() {
            [_, Some(1)] if model.input.columns.is_empty() => {
                self.named_column(input).map(|f| vec![f])
            }
            _ => self.as_wide(input, columns),
        }
    }

    fn named_column(&self, input: &ModelInput) -> Result<&'a Feature, BindError> {
        let fits = matches!(input.shape.as_slice(), [_] | [_, None | Some(1)]);
        if !fits {
            return Err(BindError::Shape {
                input: input.name.clone(),
                shape: shape_text(&input.shape),
                expected: "[n, 1] per column".into(),
                hint: "with several inputs each reads one column of its name",
            });
        }
        match column_of(&input.name, self.features) {
            Some(feature) if feature.input => Ok(feature),
            Some(feature) => {
                let (input, feature) = (input.name.clone(), feature.name.clone());
                Err(BindError::NotInput { input, feature })
            }
            None => {
                let names: Vec<&str> =
                    self.features.iter().filter(|f| f.input).map(|f| f.name.as_str()).collect();
                let hint = match nearest(&input.name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? names are case-sensitive"),
                    None => format!("declared inputs: {}", names.join(", ")),
                };
                Err(BindError::InputUnknown { input: input.name.clone(), hint })
            }
        }
    }

    fn matrix_columns(
        &self,
        input: &ModelInput,
        model: &ModelAsset,
    ) -> Result<Vec<&'a Feature>, BindError> {
        let columns = self.matrix_features(model)?;
        match input.shape.get(1).copied().flatten() {
            None if model.input.columns.is_empty() => {
                Err(BindError::WidthOpen { input: input.name.clone() })
            }
            _ => self.as_wide(input, columns),
        }
    }

    /// The listed columns, or every input feature.
    fn matrix_features(&self, model: &ModelAsset) -> Result<Vec<&'a Feature>, BindError> {
        let listed = &model.input.columns;
        if listed.is_empty() {
            return Ok(self.features.iter().filter(|f| f.input).collect());
        }
        let find = |name: &String| {
            let found = self.features.iter().find(|f| f.name == *name && f.input);
            found.ok_or_else(|| BindError::NoColumn { column: name.clone() })
        };
        listed.iter().map(find).collect()
    }

    fn as_wide(
        &self,
        input: &ModelInput,
        columns: Vec<&'a Feature>,
    ) -> Result<Vec<&'a Feature>, BindError> {
        match input.shape.get(1).copied().flatten() {
            Some(width) if width != columns.len() => {
                let names: Vec<&str> = columns.iter().map(|f| f.name.as_str()).collect();
                let (input, found) = (input.name.clone(), columns.len());
                Err(BindError::Width { input, width, found, columns: names.join(", ") })
            }
            _ => Ok(columns),
        }
    }
}

impl Bind<'_> {
    /// The tensor of one input, `n x columns`, row-major.
    fn fill(
        &self,
        input: &ModelInput,
        features: &[&Feature],
        matrix: bool,
    ) -> Result<BoundInput, BindError> {
        let n = self.table.n;
        let mut sources = Vec::with_capacity(features.len());
        for feature in features {
            let column = self.table.columns.iter().find(|c| c.name == feature.name);
            let missing = || BindError::NoColumn { column: feature.name.clone() };
            let column = column.ok_or_else(missing)?;
            check_type(feature, input)?;
            sources.push(Source { feature, column, input, lines: self.table.lines });
        }
        let each = |row: usize| sources.iter().map(move |s| (s, row));
        let cells = (0..n).flat_map(each);
        let data = match input.dtype {
            InputType::F32 => {
                let cast = |(s, row): (&Source<'_>, usize)| s.number(row).map(|v| v as f32);
                BoundData::F32(cells.map(cast).collect::<Result<_, _>>()?)
            }
            InputType::F64 => BoundData::F64(
                cells.map(|(s, row)| s.number(row)).collect::<Result<_, BindError>>()?,
            ),
            InputType::I64 => BoundData::I64(
                cells.map(|(s, row)| s.integer(row)).collect::<Result<_, BindError>>()?,
            ),
            InputType::I32 => {
                let cast = |(s, row): (&Source<'_>, usize)| {
                    i32::try_from(s.integer(row)?).map_err(|_| s.bad(row))
                };
                BoundData::I32(cells.map(cast).collect::<Result<_, _>>()?)
            }
            InputType::Bool => BoundData::Bool(
                cells.map(|(s, row)| s.truth(row)).collect::<Result<_, BindError>>()?,
            ),
            InputType::Str => {
                let text = |(s, row): (&Source<'_>, usize)| {
                    s.text(row).unwrap_or(&self.options.missing_text).to_owned()
                };
                BoundData::Str(cells.map(text).collect())
            }
        };
        let shape = match (matrix, input.shape.len()) {
            (true, _) => vec![n, features.len()],
            (false, 1) => vec![n],
            (false, _) => vec![n, 1],
        };
        Ok(BoundInput { name: input.name.clone(), shape, data })
    }
}

/// One column on its way into one input.
struct Source<'a> {
    feature: &'a Feature,
    column: &'a Column,
    input: &'a ModelInput,
    lines: &'a [u64],
}

impl Source<'_> {
    fn text(&self, row: usize) -> Option<&str> {
        self.column.texts()?.get(row)?.as_deref()
    }

    /// The value as a number; NaN where missing.
    fn number(&self, row: usize) -> Result<f64, BindError> {
        if let Some(numbers) = self.column.numbers() {
            return Ok(numbers.get(row).copied().unwrap_or(f64::NAN));
        }
        let Some(text) = self.text(row) else { return Ok(f64::NAN) };
        if self.feature.kind == FeatureKind::Boolean {
            return self.truth(row).map(|t| if t { 1.0 } else { 0.0 });
        }
        crate::csv::parse_number(text, '.').ok_or_else(|| self.bad(row))
    }

    fn integer(&self, row: usize) -> Result<i64, BindError> {
        let number = self.number(row)?;
        if number.is_nan() {
            return Err(self.missing(row));
        }
        if number.fract() != 0.0 || number.abs() > EXACT_MAX {
            return Err(self.bad(row));
        }
        Ok(number as i64)
    }

    fn truth(&self, row: usize) -> Result<bool, BindError> {
        let Some(text) = self.text(row) else { return Err(self.missing(row)) };
        match self.feature.values.iter().position(|v| v == text) {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(self.bad(row)),
        }
    }

    fn bad(&self, row: usize) -> BindError {
        let text = match &self.column.cells {
            Cells::Numbers(numbers) => numbers.get(row).map(f64::to_string).unwrap_or_default(),
            Cells::Texts(_) => self.text(row).unwrap_or_default().to_owned(),
        };
        let (column, input) = (self.feature.name.clone(), self.input.name.clone());
        BindError::Cell { line: self.line(row), column, text, dtype: self.dtype(), input }
    }

    fn missing(&self, row: usize) -> BindError {
        let (column, input) = (self.feature.name.clone(), self.input.name.clone());
        BindError::Missing { line: self.line(row), column, dtype: self.dtype(), input }
    }

    fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or_default()
    }

    fn dtype(&self) -> &'static str {
        self.input.dtype.name()
    }
}

/// The feature that an input is called after: by its very name, else the only one whose name
/// becomes the input's when it is written as skl2onnx writes names of inputs, `hours per week` as
/// `hours_per_week`.
fn column_of<'a>(input: &str, features: &'a [Feature]) -> Option<&'a Feature> {
    let exact = features.iter().find(|f| f.name == input);
    exact.or_else(|| {
        let mut written = features.iter().filter(|f| graph_name(&f.name) == input);
        written.next().filter(|_| written.next().is_none())
    })
}

/// A name with `_` for all but letters, digits, `_` and `+`, and in front of a leading digit.
fn graph_name(name: &str) -> String {
    let letter = |c: char| if c.is_alphanumeric() || c == '_' || c == '+' { c } else { '_' };
    let plain: String = name.chars().map(letter).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

/// Whether the only input reads several columns side by side.
fn is_matrix(input: &ModelInput, features: &[Feature], model: &ModelAsset) -> bool {
    let named = column_of(&input.name, features).is_some();
    let narrow = matches!(input.shape.as_slice(), [_] | [_, Some(1)]);
    let by_name = named && narrow && model.input.columns.is_empty();
    input.shape.len() == 2 && !by_name
}

/// Refuses what would need a hidden encoding.
fn check_type(feature: &Feature, input: &ModelInput) -> Result<(), BindError> {
    let numeric = feature.kind.is_numeric();
    let hint = match (input.dtype, feature.kind) {
        (InputType::Str, _) if numeric => {
            "declare the feature as a category, so that its text is kept as it stands in the file"
        }
        (InputType::Bool, kind) if kind != FeatureKind::Boolean => {
            "declare the feature as a boolean with `values = [<false>, <true>]`"
        }
        (dtype, FeatureKind::Text) if dtype != InputType::Str => {
            "declare the feature as a number, or export the model with a text input"
        }
        (_, FeatureKind::Image) => "an image is no column of a table",
        (_, FeatureKind::Series) => "a series is no column of a table",
        _ => return Ok(()),
    };
    Err(BindError::Type {
        column: feature.name.clone(),
        kind: kind_name(feature.kind),
        input: input.name.clone(),
        dtype: input.dtype.name(),
        hint,
    })
}

fn coordinate(
    feature: &Feature,
    input: &ModelInput,
    column: usize,
) -> Result<Option<FreeCoordinate>, BindError> {
    if !feature.mutable || !feature.kind.is_numeric() {
        return Ok(None);
    }
    let unbounded = || BindError::Unbounded { feature: feature.name.clone() };
    let [lower, upper] = feature.bounds.ok_or_else(unbounded)?;
    let whole = matches!(input.dtype, InputType::I64 | InputType::I32);
    Ok(Some(FreeCoordinate {
        feature: feature.name.clone(),
        input: input.name.clone(),
        column,
        lower,
        upper,
        unit_raw: 1.0,
        integer: whole || feature.kind == FeatureKind::Integer,
    }))
}

fn kind_name(kind: FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Number => "a number",
        FeatureKind::Integer => "an integer",
        FeatureKind::Category => "a category",
        FeatureKind::Ordinal => "an ordinal",
        FeatureKind::Boolean => "a boolean",
        FeatureKind::Text => "a text",
        FeatureKind::Image => "an image",
        FeatureKind::Series => "a series",
    }
}

/// Largest whole number that a double holds exactly, 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
