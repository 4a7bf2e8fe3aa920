//! Arrow arrays as plain cells.
//!
//! Owns what every Arrow type becomes. Must never round: decimals stay exact text, 32-bit floats
//! are widened, not rewritten. Must never copy a text that [`text_bytes`] did not count: one text
//! can stand in many cells. Called by the readers of Parquet and Arrow IPC.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayAccessor, LargeStringArray, PrimitiveArray, RecordBatch, StringArray,
    StringViewArray,
};
use arrow_schema::{DataType, TimeUnit};

use super::{Frame, FrameCells, FrameColumn};

/// A batch with its columns named by its schema.
pub(super) fn frame(batch: &RecordBatch) -> Frame {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns
        .map(|(field, array)| FrameColumn { name: field.name().clone(), cells: cells(array) });
    Frame { n: batch.num_rows(), columns: columns.collect() }
}

/// Bytes that the texts of a batch take once every cell has its own.
pub(super) fn text_bytes(batch: &RecordBatch) -> usize {
    let of = |array: &dyn Array| -> usize {
        if let Some(texts) = Texts::of(array) {
            return (0..array.len()).filter_map(|row| texts.at(row)).map(str::len).sum();
        }
        let Some(held) = array.as_any_dictionary_opt() else { return 0 };
        let Some(texts) = Texts::of(held.values().as_ref()) else { return 0 };
        keys(array).filter_map(|key| texts.at(key?)).map(str::len).sum()
    };
    batch.columns().iter().map(|array| of(array.as_ref())).sum()
}

/// What a column of that type holds when it has no cells in a table.
pub(super) fn unread(data_type: &DataType) -> Option<String> {
    use DataType as D;
    match data_type {
        D::Null
        | D::Boolean
        | D::Int8
        | D::Int16
        | D::Int32
        | D::Int64
        | D::UInt8
        | D::UInt16
        | D::UInt32
        | D::UInt64
        | D::Float16
        | D::Float32
        | D::Float64
        | D::Utf8
        | D::LargeUtf8
        | D::Utf8View
        | D::Decimal32(..)
        | D::Decimal64(..)
        | D::Decimal128(..)
        | D::Decimal256(..)
        | D::Date32
        | D::Date64
        | D::Time32(_)
        | D::Time64(_)
        | D::Timestamp(_, _) => None,
        D::Dictionary(_, values) => unread(values),
        other => Some(kind(other)),
    }
}

fn cells(array: &dyn Array) -> FrameCells {
    if let Some(texts) = Texts::of(array) {
        let text = |row| texts.at(row).map(str::to_owned);
        return FrameCells::Text((0..array.len()).map(text).collect());
    }
    match array.data_type() {
        DataType::Null => FrameCells::Text(vec![None; array.len()]),
        DataType::Boolean => FrameCells::Truth(array.as_boolean().iter().collect()),
        DataType::Int8 => whole(array.as_primitive::<Int8Type>()),
        DataType::Int16 => whole(array.as_primitive::<Int16Type>()),
        DataType::Int32 => whole(array.as_primitive::<Int32Type>()),
        DataType::Int64 => whole(array.as_primitive::<Int64Type>()),
        DataType::UInt8 => whole(array.as_primitive::<UInt8Type>()),
        DataType::UInt16 => whole(array.as_primitive::<UInt16Type>()),
        DataType::UInt32 => whole(array.as_primitive::<UInt32Type>()),
        DataType::UInt64 => unsigned(array.as_primitive::<UInt64Type>()),
        DataType::Float16 => real(array.as_primitive::<Float16Type>(), |v| v.to_f64()),
        DataType::Float32 => real(array.as_primitive::<Float32Type>(), f64::from),
        DataType::Float64 => real(array.as_primitive::<Float64Type>(), |v| v),
        DataType::Dictionary(_, _) => dictionary(array),
        DataType::Decimal32(..) => decimal(array.as_primitive::<Decimal32Type>()),
        DataType::Decimal64(..) => decimal(array.as_primitive::<Decimal64Type>()),
        DataType::Decimal128(..) => decimal(array.as_primitive::<Decimal128Type>()),
        DataType::Decimal256(..) => decimal(array.as_primitive::<Decimal256Type>()),
        _ => times(array),
    }
}

fn times(array: &dyn Array) -> FrameCells {
    use DataType::{Date32, Date64, Time32, Time64, Timestamp};
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let zone = match array.data_type() {
        Timestamp(_, Some(_)) => "Z",
        _ => "",
    };
    let clock = |value: i64, per_second: i64| clock(value, per_second);
    let moment = |value: i64, per_second: i64| {
        let day = per_second.saturating_mul(DAY_SECONDS);
        let (days, rest) = (value.div_euclid(day), value.rem_euclid(day));
        format!("{} {}{zone}", date(days), clock(rest, per_second))
    };
    match array.data_type() {
        Date32 => shown(array.as_primitive::<Date32Type>(), |v| date(i64::from(v))),
        Date64 => shown(array.as_primitive::<Date64Type>(), |v| date(v.div_euclid(DAY_MS))),
        Time32(Second) => {
            shown(array.as_primitive::<Time32SecondType>(), |v| clock(i64::from(v), 1))
        }
        Time32(_) => {
            shown(array.as_primitive::<Time32MillisecondType>(), |v| clock(i64::from(v), 1_000))
        }
        Time64(Microsecond) => {
            shown(array.as_primitive::<Time64MicrosecondType>(), |v| clock(v, 1_000_000))
        }
        Time64(_) => {
            shown(array.as_primitive::<Time64NanosecondType>(), |v| clock(v, 1_000_000_000))
        }
        Timestamp(Second, _) => {
            shown(array.as_primitive::<TimestampSecondType>(), |v| moment(v, 1))
        }
        Timestamp(Millisecond, _) => {
            shown(array.as_primitive::<TimestampMillisecondType>(), |v| moment(v, 1_000))
        }
        Timestamp(Microsecond, _) => {
            shown(array.as_primitive::<TimestampMicrosecondType>(), |v| moment(v, 1_000_000))
        }
        Timestamp(Nanosecond, _) => {
            shown(array.as_primitive::<TimestampNanosecondType>(), |v| moment(v, 1_000_000_000))
        }
        other => FrameCells::Unread(kind(other)),
    }
}

/// What a column holds that has no cells in a table.
fn kind(data_type: &DataType) -> String {
    use DataType as D;
    match data_type {
        D::List(_) | D::LargeList(_) | D::ListView(_) | D::LargeListView(_) => "lists".into(),
        D::FixedSizeList(_, _) => "lists of fixed length".into(),
        D::Struct(_) => "records".into(),
        D::Map(_, _) => "maps".into(),
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => "bytes".into(),
        D::Duration(_) | D::Interval(_) => "durations".into(),
        other => format!("cells of type `{other}`"),
    }
}

fn whole<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> FrameCells
where
    T::Native: Into<i64>,
{
    FrameCells::Whole(array.iter().map(|v| v.map(Into::into)).collect())
}

fn unsigned(array: &PrimitiveArray<UInt64Type>) -> FrameCells {
    let fits: Option<Vec<Option<i64>>> =
        array.iter().map(|v| v.map(i64::try_from).transpose().ok()).collect();
    match fits {
        Some(cells) => FrameCells::Whole(cells),
        None => FrameCells::Text(array.iter().map(|v| v.map(|v| v.to_string())).collect()),
    }
}

fn real<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    widen: impl Fn(T::Native) -> f64,
) -> FrameCells {
    FrameCells::Real(array.iter().map(|v| v.map_or(f64::NAN, &widen)).collect())
}

/// Texts in any of their layouts.
enum Texts<'a> {
    Small(&'a StringArray),
    Large(&'a LargeStringArray),
    View(&'a StringViewArray),
}

impl<'a> Texts<'a> {
    fn of(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Utf8 => Some(Self::Small(array.as_string())),
            DataType::LargeUtf8 => Some(Self::Large(array.as_string())),
            DataType::Utf8View => Some(Self::View(array.as_string_view())),
            _ => None,
        }
    }

    /// The text of a row; `None` where it is null.
    fn at(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Small(array) => at(*array, row),
            Self::Large(array) => at(*array, row),
            Self::View(array) => at(*array, row),
        }
    }
}

fn at<'a, A: ArrayAccessor<Item = &'a str>>(array: A, row: usize) -> Option<&'a str> {
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

fn shown<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    show: impl Fn(T::Native) -> String,
) -> FrameCells {
    FrameCells::Text(array.iter().map(|v| v.map(&show)).collect())
}

fn decimal<T: DecimalType + ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> FrameCells {
    let cell = |row| (!array.is_null(row)).then(|| array.value_as_string(row));
    FrameCells::Text((0..array.len()).map(cell).collect())
}

/// Every cell in place of its key. Only values that a key names are turned into cells.
fn dictionary(array: &dyn Array) -> FrameCells {
    let Some(held) = array.as_any_dictionary_opt() else {
        return FrameCells::Unread(kind(array.data_type()));
    };
    let values = held.values().as_ref();
    if let Some(texts) = Texts::of(values) {
        let text = |key: Option<usize>| texts.at(key?).map(str::to_owned);
        return FrameCells::Text(keys(array).map(text).collect());
    }
    let null = |kind: &FrameCells| match kind {
        FrameCells::Whole(_) => FrameCells::Whole(vec![None]),
        FrameCells::Real(_) => FrameCells::Real(vec![f64::NAN]),
        FrameCells::Truth(_) => FrameCells::Truth(vec![None]),
        _ => FrameCells::Text(vec![None]),
    };
    // Of its type, without a cell yet.
    let mut all = cells(values.slice(0, 0).as_ref());
    if let FrameCells::Unread(what) = all {
        return FrameCells::Unread(what);
    }
    for key in keys(array) {
        let one = match key.filter(|key| *key < values.len()) {
            Some(key) => cells(values.slice(key, 1).as_ref()),
            None => null(&all),
        };
        all.append(one);
    }
    all
}

/// The place of each row's value in its dictionary; `None` for a null.
fn keys(array: &dyn Array) -> impl Iterator<Item = Option<usize>> {
    let held = array.as_any_dictionary_opt().filter(|held| !held.values().is_empty());
    let keys = held.map(|held| held.normalized_keys()).unwrap_or_default();
    (0..array.len()).map(move |row| (!array.is_null(row)).then(|| keys.get(row).copied()).flatten())
}

/// Days since 1970-01-01 as `YYYY-MM-DD`, by the civil calendar (proleptic Gregorian): shift the
/// year to begin in March, so that the leap day is its last, and count in cycles of 400 years.
fn date(days: i64) -> String {
    let shifted = days.saturating_add(719_468);
    let (cycle, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + cycle.saturating_mul(400) + late;
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// A time of day; a fraction only where there is one, without zeros behind it.
fn clock(value: i64, per_second: i64) -> String {
    let (seconds, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if rest != 0 {
        let digits = per_second.ilog10() as usize;
        let _ = write!(text, ".{rest:0digits$}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text
}

const DAY_SECONDS: i64 = 86_400;
const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_those_of_the_calendar() {
        for (days, want) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (15_931, "2013-08-14"),
            (-719_468, "0000-03-01"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(days), want, "{days}");
        }
        assert_eq!(clock(0, 1), "00:00:00");
        assert_eq!(clock(86_399_123, 1_000), "23:59:59.123");
        assert_eq!(clock(1_500_000_000, 1_000_000_000), "00:00:01.5");
        date(i64::MAX);
        date(i64::MIN);
    }
}
