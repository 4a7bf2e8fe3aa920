//! Arrow arrays as plain cells.
//!
//! Owns what every Arrow type becomes. Must never round: decimals stay exact text, 32-bit floats
//! are widened, not rewritten. Called by the readers of Parquet and Arrow IPC.

use std::fmt::Write as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray, RecordBatch};
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

fn cells(array: &dyn Array) -> FrameCells {
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
        DataType::Utf8 => texts(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().iter()),
        DataType::Utf8View => texts(array.as_string_view().iter()),
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

fn texts<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> FrameCells {
    FrameCells::Text(cells.map(|t| t.map(str::to_owned)).collect())
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

/// Every cell in place of its key.
fn dictionary(array: &dyn Array) -> FrameCells {
    let Some(held) = array.as_any_dictionary_opt() else {
        return FrameCells::Unread(kind(array.data_type()));
    };
    if held.values().is_empty() {
        return FrameCells::Text(vec![None; array.len()]);
    }
    let keys = held.normalized_keys();
    let key = |row: usize| (!array.is_null(row)).then(|| keys.get(row).copied()).flatten();
    let rows = 0..array.len();
    match cells(held.values()) {
        FrameCells::Whole(v) => {
            FrameCells::Whole(rows.map(|r| v.get(key(r)?).copied().flatten()).collect())
        }
        FrameCells::Real(v) => {
            let at = |r| key(r).and_then(|k| v.get(k).copied()).unwrap_or(f64::NAN);
            FrameCells::Real(rows.map(at).collect())
        }
        FrameCells::Truth(v) => {
            FrameCells::Truth(rows.map(|r| v.get(key(r)?).copied().flatten()).collect())
        }
        FrameCells::Text(v) => {
            FrameCells::Text(rows.map(|r| v.get(key(r)?).cloned().flatten()).collect())
        }
        FrameCells::Unread(what) => FrameCells::Unread(what),
    }
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
