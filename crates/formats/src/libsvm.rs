//! Rows in the format of libsvm: a label, then `index:value` pairs.
//!
//! Owns the two things that such a file does not say: whether indices count from 0 or 1, and
//! whether an absent value is zero or missing. Must never choose silently: where the file itself
//! does not settle it, the caller must. Called by `dataset` and the command line.

use std::fmt;

/// Columns: indices beyond are taken for damage.
pub const COLUMNS_MAX: usize = 10_000_000;

/// Pairs in all rows: 2 GiB of memory.
pub const PAIRS_MAX: usize = 1 << 27;

/// Rows.
pub const ROWS_MAX: usize = 100_000_000;

/// Elements of the rows written out in full, 4 GiB of doubles.
pub const DENSE_MAX: usize = 1 << 29;

/// The first index of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// Columns count from 0.
    Zero,
    /// Columns count from 1.
    One,
}

/// What a value that a row leaves out stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The number 0.
    Zero,
    /// No value.
    Missing,
}

/// What the caller knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The first index.
    pub index: Option<Index>,
    /// What absent values stand for.
    pub absent: Option<Absent>,
    /// Columns of the model; without it, as many as the highest index says.
    pub columns: Option<usize>,
}

/// Rows as the file holds them, sparse.
#[derive(Clone, Debug, PartialEq)]
pub struct Libsvm {
    /// The first index, as declared or as the file settles it.
    pub index: Index,
    /// What absent values stand for, as declared or, where none is absent, zero.
    pub absent: Absent,
    /// Whether a value is absent at all.
    pub sparse: bool,
    /// Columns.
    pub columns: usize,
    /// Labels by row; several where a row belongs to several classes.
    pub labels: Vec<Vec<f64>>,
    /// Query that a row belongs to; empty where no row says one.
    pub queries: Vec<u64>,
    /// Where each row's pairs begin, and the end.
    pub starts: Vec<usize>,
    /// Column of each pair, from 0, ascending within a row.
    pub places: Vec<u32>,
    /// Value of each pair.
    pub values: Vec<f64>,
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum LibsvmError {
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: String },
    #[error("the file holds no row")]
    Empty,
    #[error(
        "the file does not settle whether its indices count from 0 or 1: the lowest is {lowest}, \
         the highest {highest}; say `--libsvm-index 0` or `--libsvm-index 1`"
    )]
    IndexUnsettled { lowest: usize, highest: usize },
    #[error(
        "{rows} of {all} rows leave values out, and the file does not settle what that means; \
         say `--libsvm-absent zero` or `--libsvm-absent missing`"
    )]
    AbsentUnsettled { rows: usize, all: usize },
    #[error("line {line}: index 0 in a file whose indices count from 1")]
    IndexZero { line: usize },
    #[error("line {line}: index {index} in a file of {columns} columns that count from {first}")]
    IndexBeyond { line: usize, index: usize, columns: usize, first: Index },
    #[error("{rows} rows of {columns} columns do not fit in memory when written out")]
    Dense { rows: usize, columns: usize },
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "0",
            Self::One => "1",
        })
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "zero",
            Self::Missing => "missing",
        })
    }
}

/// Reads rows. Comments from `#` on, blank lines, `qid:` and several labels (`1,3`) are
/// understood; weights (`1:0.5` for a label) are refused.
///
/// # Errors
/// [`LibsvmError`] with the line for what is no row, for an index that stands twice in a row, and
/// where index or absence must be declared.
pub fn read(bytes: &[u8], options: Options) -> Result<Libsvm, LibsvmError> {
    let rows = Rows::read(bytes)?;
    let (index, columns) = rows.index(options)?;
    let shift = usize::from(index == Index::One);
    let mut out = Libsvm {
        index,
        absent: Absent::Zero,
        sparse: false,
        columns,
        labels: rows.labels,
        queries: rows.queries,
        starts: rows.starts,
        places: Vec::with_capacity(rows.pairs.len()),
        values: Vec::with_capacity(rows.pairs.len()),
    };
    for (place, value) in &rows.pairs {
        out.places.push(place.saturating_sub(shift) as u32);
        out.values.push(*value);
    }
    let gaps = out.starts.windows(2).filter(|pair| match pair {
        [start, end] => end - start < columns,
        _ => false,
    });
    let gaps = gaps.count();
    out.sparse = gaps > 0;
    out.absent = match (options.absent, gaps) {
        (Some(absent), _) => absent,
        (None, 0) => Absent::Zero,
        (None, rows) => {
            return Err(LibsvmError::AbsentUnsettled { rows, all: out.labels.len() });
        }
    };
    Ok(out)
}

impl Libsvm {
    /// Rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The rows written out, one after another; absent values as declared.
    ///
    /// # Errors
    /// [`LibsvmError::Dense`] beyond [`DENSE_MAX`] elements.
    pub fn dense(&self) -> Result<Vec<f64>, LibsvmError> {
        let (rows, columns) = (self.rows(), self.columns);
        let too_large = LibsvmError::Dense { rows, columns };
        let count = rows.checked_mul(columns).filter(|&count| count <= DENSE_MAX);
        let count = count.ok_or(too_large)?;
        let fill = match self.absent {
            Absent::Zero => 0.0,
            Absent::Missing => f64::NAN,
        };
        let mut out = vec![fill; count];
        if columns == 0 {
            return Ok(out);
        }
        for (row, ends) in out.chunks_exact_mut(columns).zip(self.starts.windows(2)) {
            let &[start, end] = ends else { continue };
            let places = self.places.get(start..end).unwrap_or_default();
            let values = self.values.get(start..end).unwrap_or_default();
            for (&place, &value) in places.iter().zip(values) {
                if let Some(slot) = row.get_mut(place as usize) {
                    *slot = value;
                }
            }
        }
        Ok(out)
    }
}

/// Rows with the indices of the file.
struct Rows {
    labels: Vec<Vec<f64>>,
    queries: Vec<u64>,
    starts: Vec<usize>,
    pairs: Vec<(usize, f64)>,
    /// Lowest and highest index, with their lines.
    lowest: (usize, usize),
    highest: (usize, usize),
}

impl Rows {
    fn read(bytes: &[u8]) -> Result<Self, LibsvmError> {
        let mut rows = Self {
            labels: Vec::new(),
            queries: Vec::new(),
            starts: vec![0],
            pairs: Vec::new(),
            lowest: (usize::MAX, 0),
            highest: (0, 0),
        };
        for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
            let line = line.split(|&b| b == b'#').next().unwrap_or_default();
            let wrong = |problem: String| LibsvmError::Line { line: number + 1, problem };
            let text = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8".into()))?;
            if !text.trim().is_empty() {
                rows.row(number + 1, text).map_err(wrong)?;
            }
        }
        if rows.labels.is_empty() {
            return Err(LibsvmError::Empty);
        }
        if !rows.queries.is_empty() && rows.queries.len() != rows.labels.len() {
            let problem = "some rows have a `qid` and some have none".to_owned();
            return Err(LibsvmError::Line { line: 1, problem });
        }
        Ok(rows)
    }

    fn row(&mut self, line: usize, text: &str) -> Result<(), String> {
        let mut words = text.split_ascii_whitespace();
        let label = words.next().unwrap_or_default();
        if label.contains(':') {
            return Err(format!(
                "`{}` where a label is needed; rows without labels and weighted labels are not \
                 read",
                shortened(label)
            ));
        }
        let number = |word: &str| word.parse::<f64>().ok().filter(|label| label.is_finite());
        let labels = label.split(',').map(number).collect::<Option<Vec<_>>>();
        let labels = labels.ok_or_else(|| format!("`{}` is no label", shortened(label)))?;
        if self.labels.len() >= ROWS_MAX {
            return Err(format!("more than {ROWS_MAX} rows"));
        }
        let start = self.pairs.len();
        for (position, word) in words.enumerate() {
            let (key, value) = word
                .split_once(':')
                .ok_or_else(|| format!("`{}` is no `index:value`", shortened(word)))?;
            if key == "qid" && position == 0 {
                let query = value.parse().map_err(|_| format!("`{}`", shortened(word)))?;
                self.queries.push(query);
                continue;
            }
            let bad = |what: &str| format!("`{}`: the {what}", shortened(word));
            if !key.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad("index is no whole number from 0 on"));
            }
            let index = key.parse().ok().filter(|&index| index <= COLUMNS_MAX);
            let index: usize =
                index.ok_or_else(|| bad(&format!("index is none up to {COLUMNS_MAX}")))?;
            let value = value.parse().map_err(|_| bad("value is no number"))?;
            if self.pairs.len() >= PAIRS_MAX {
                return Err(format!("more than {PAIRS_MAX} pairs"));
            }
            self.pairs.push((index, value));
        }
        let pairs = self.pairs.get_mut(start..).unwrap_or_default();
        pairs.sort_by_key(|(index, _)| *index); // stable, and few rows are out of order
        let twice = pairs.windows(2).find(|pair| match pair {
            [a, b] => a.0 == b.0,
            _ => false,
        });
        if let Some([(index, _), ..]) = twice {
            return Err(format!("index {index} stands twice"));
        }
        if let (Some((first, _)), Some((last, _))) = (pairs.first(), pairs.last()) {
            self.lowest = self.lowest.min((*first, line));
            if *last > self.highest.0 {
                self.highest = (*last, line);
            }
        }
        self.labels.push(labels);
        self.starts.push(self.pairs.len());
        Ok(())
    }

    /// The first index and the number of columns, declared or settled.
    fn index(&self, options: Options) -> Result<(Index, usize), LibsvmError> {
        let (lowest, line) = self.lowest;
        let highest = self.highest.0;
        let index = match options.index {
            Some(Index::One) if lowest == 0 => return Err(LibsvmError::IndexZero { line }),
            Some(index) => index,
            None if lowest == 0 => Index::Zero,
            // the last of the declared columns is named: only counting from 1 reaches it
            None if options.columns.is_some_and(|columns| highest == columns) => Index::One,
            None if self.pairs.is_empty() => Index::Zero,
            None => return Err(LibsvmError::IndexUnsettled { lowest, highest }),
        };
        let needed = match (index, self.pairs.is_empty()) {
            (_, true) => 0,
            (Index::Zero, _) => highest + 1,
            (Index::One, _) => highest,
        };
        let columns = options.columns.unwrap_or(needed);
        if needed > columns {
            let (index_found, line) = self.highest;
            let (index, first) = (index_found, index);
            return Err(LibsvmError::IndexBeyond { line, index, columns, first });
        }
        Ok((index, columns))
    }
}

fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(index: Index, absent: Absent) -> Options {
        Options { index: Some(index), absent: Some(absent), columns: None }
    }

    #[test]
    fn rows_are_read_as_declared() {
        let text = b"# made by hand\n+1 1:0.5 3:-2e0 # end\r\n\n-1 2:nan\n";
        let read_as = |options| read(text, options).expect("rows");
        let zero = read_as(plain(Index::One, Absent::Zero));
        assert_eq!((zero.rows(), zero.columns, zero.sparse), (2, 3, true));
        assert_eq!(zero.labels, [[1.0], [-1.0]]);
        let dense = zero.dense().expect("small");
        assert_eq!(dense[..4], [0.5, 0.0, -2.0, 0.0]);
        assert!(dense[4].is_nan() && dense[5] == 0.0);
        let missing = read_as(plain(Index::Zero, Absent::Missing));
        assert_eq!(missing.columns, 4);
        let dense = missing.dense().expect("small");
        assert!(dense[0].is_nan() && dense[1] == 0.5 && dense[2].is_nan() && dense[3] == -2.0);
    }

    #[test]
    fn nothing_is_chosen_silently() {
        let unsettled = read(b"1 1:1 2:1\n", Options::default());
        assert_eq!(unsettled, Err(LibsvmError::IndexUnsettled { lowest: 1, highest: 2 }));
        let columns = |columns| Options { columns: Some(columns), ..Options::default() };
        let settled = read(b"1 1:1 2:1\n", columns(2)).expect("the last column is named");
        assert_eq!(
            (settled.index, settled.absent, settled.sparse),
            (Index::One, Absent::Zero, false)
        );
        let settled = read(b"1 0:1 1:1\n0 0:2 1:3\n", Options::default()).expect("an index is 0");
        assert_eq!((settled.index, settled.columns), (Index::Zero, 2));
        let gaps = read(b"1 0:1 1:1\n0 0:2\n", Options::default());
        assert_eq!(gaps, Err(LibsvmError::AbsentUnsettled { rows: 1, all: 2 }));
        let wide = read(b"1 0:1 1:1\n", columns(3));
        assert_eq!(wide, Err(LibsvmError::AbsentUnsettled { rows: 1, all: 1 }));
        let beyond = read(b"1 0:1 5:1\n", columns(3)).expect_err("too wide");
        assert_eq!(beyond.to_string(), "line 1: index 5 in a file of 3 columns that count from 0");
        let zero = read(b"1 1:1\n1 0:1\n", plain(Index::One, Absent::Zero));
        assert_eq!(zero, Err(LibsvmError::IndexZero { line: 2 }));
    }

    #[test]
    fn labels_and_queries() {
        let rows = read(b"1,3 qid:7 1:1\n2 qid:8 0:1\n", plain(Index::Zero, Absent::Zero));
        let rows = rows.expect("rows");
        assert_eq!(rows.labels, [vec![1.0, 3.0], vec![2.0]]);
        assert_eq!(rows.queries, [7, 8]);
        let unordered = read(b"1 3:3 0:1\n", plain(Index::Zero, Absent::Zero)).expect("rows");
        assert_eq!(unordered.places, [0, 3]);
    }

    #[test]
    fn cases_that_do_not_read() {
        let cases = [
            "",
            "\n# nothing\n",
            "0:1 1:2\n",
            "1:0.5 1:1\n",
            "x 1:1\n",
            "1 1\n",
            "1 1:\n",
            "1 1:x\n",
            "1 -1:2\n",
            "1 1:1 1:2\n",
            "1 99999999:1\n",
            "1 99999999999999999999:1\n",
            "inf 1:1\n",
            "1 1:1 qid:2\n",
            "1 qid:1 1:1\n1 1:1\n",
            "1, 1:1\n",
            "1 +1:1\n",
            "1 1-3:1\n",
        ];
        for text in cases {
            let read = read(text.as_bytes(), plain(Index::Zero, Absent::Zero));
            assert!(read.is_err(), "{text:?}");
        }
        assert!(read(b"1 1:\xff\n", plain(Index::Zero, Absent::Zero)).is_err());
    }
}
