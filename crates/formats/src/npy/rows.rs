//! Arrays read and written row by row, for files larger than memory.
//!
//! Owns the cut of an array along its first axis. Must never hold more than the rows asked for.
//! Called by the command line.

use std::io::{Read, Seek, SeekFrom};

use super::header::{NpyHeader, Scalar, render};
use super::{ELEMENTS_MAX, HEADER_BYTES_MAX, NpyArray, NpyError, STRINGS_MAX, count_of};

/// The rows of an array in a file.
#[derive(Debug)]
pub struct NpyRows<R> {
    reader: R,
    scalar: Scalar,
    tail: Vec<usize>,
    rows: usize,
    left: usize,
}

impl<R: Read + Seek> NpyRows<R> {
    /// Reads the header and checks the length of the file against it. `None` for arrays without
    /// rows to cut: those without dimensions, and those in Fortran order of more than one.
    ///
    /// # Errors
    /// As [`super::read`].
    pub fn open(mut reader: R) -> Result<Option<Self>, NpyError> {
        let len = reader.seek(SeekFrom::End(0)).map_err(NpyError::io)?;
        reader.rewind().map_err(NpyError::io)?;
        let mut head = Vec::new();
        let most = HEADER_BYTES_MAX as u64 + HEADER_PREFIX;
        (&mut reader).take(most).read_to_end(&mut head).map_err(NpyError::io)?;
        let header = NpyHeader::parse(&head)?;
        let scalar = Scalar::of(&header.descr)?;
        let Some((&rows, tail)) = header.shape.split_first() else { return Ok(None) };
        if header.fortran_order && header.shape.len() > 1 {
            return Ok(None);
        }
        let limit = if scalar.is_text() { STRINGS_MAX } else { ELEMENTS_MAX };
        let too_large = || NpyError::TooLarge { shape: header.shape.clone(), limit };
        count_of(tail).filter(|n| *n <= limit).ok_or_else(too_large)?;
        let count = count_of(&header.shape).ok_or_else(too_large)?;
        let expected = count.checked_mul(scalar.size()).ok_or_else(too_large)?;
        let found = len.saturating_sub(header.data_offset as u64);
        if found != expected as u64 {
            let found = usize::try_from(found).unwrap_or(usize::MAX);
            let (shape, descr) = (header.shape, header.descr);
            return Err(NpyError::Length { shape, descr, expected, found });
        }
        reader.seek(SeekFrom::Start(header.data_offset as u64)).map_err(NpyError::io)?;
        let tail = tail.to_vec();
        Ok(Some(Self { reader, scalar, tail, rows, left: rows }))
    }

    /// Rows of the whole array.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        count_of(&self.tail).unwrap_or(usize::MAX).saturating_mul(self.scalar.size())
    }

    /// At most `n` further rows; `None` at the end.
    ///
    /// # Errors
    /// A file that cannot be read on, and elements as in [`super::read`].
    pub fn next(&mut self, n: usize) -> Result<Option<NpyArray>, NpyError> {
        let n = n.min(self.left);
        if n == 0 {
            return Ok(None);
        }
        let bytes = self.row_bytes().saturating_mul(n);
        let mut body = Vec::new();
        (&mut self.reader).take(bytes as u64).read_to_end(&mut body).map_err(NpyError::io)?;
        if body.len() != bytes {
            return Err(NpyError::Io("the file ended while it was read".to_owned()));
        }
        let shape = [&[n], self.tail.as_slice()].concat();
        let data = self.scalar.decode(&body, count_of(&shape).unwrap_or_default())?;
        self.left -= n;
        NpyArray::new(shape, data).map(Some)
    }
}

/// The parts of a file that is written before its number of rows is known.
#[derive(Clone, Debug, Default)]
pub struct NpyBody {
    kind: Option<(String, Vec<usize>)>,
    rows: usize,
}

impl NpyBody {
    /// The bytes of further rows, to be appended to the body.
    ///
    /// # Errors
    /// [`NpyError::Kind`] for rows of another type or shape than the first ones, and for texts,
    /// whose width is that of the longest.
    pub fn push(&mut self, array: &NpyArray) -> Result<Vec<u8>, NpyError> {
        let kind = |found| NpyError::Kind { found, wanted: "rows like the first ones" };
        let (descr, body) = array.data().encode();
        if descr.starts_with("<U") {
            return Err(NpyError::Kind { found: "texts", wanted: "numbers" });
        }
        let (rows, tail) = array.shape().split_first().ok_or_else(|| kind("no rows"))?;
        match &self.kind {
            None => self.kind = Some((descr, tail.to_vec())),
            Some((was, _)) if *was != descr => return Err(kind("another type of number")),
            Some((_, was)) if was != tail => return Err(kind("rows of another shape")),
            Some(_) => {}
        }
        self.rows += rows;
        Ok(body)
    }

    /// The header that goes before all that was pushed.
    ///
    /// # Errors
    /// As [`super::write`].
    pub fn header(&self) -> Result<Vec<u8>, NpyError> {
        let (descr, tail) = match &self.kind {
            Some((descr, tail)) => (descr.as_str(), tail.as_slice()),
            None => ("<f4", &[][..]),
        };
        render(descr, &[&[self.rows], tail].concat())
    }
}

/// Bytes before the text of a header.
const HEADER_PREFIX: u64 = 12;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::super::{NpyData, read, write};
    use super::*;

    #[test]
    fn rows_read_and_written_in_parts_are_the_whole() {
        let lists = [
            NpyArray::new(vec![5, 2], NpyData::F32((0..10).map(|v| v as f32).collect())),
            NpyArray::new(vec![5], NpyData::I64(vec![1, -2, 3, -4, 5])),
            NpyArray::new(vec![5, 1, 2], NpyData::Bool(vec![true; 10])),
        ];
        for array in lists {
            let array = array.unwrap();
            let bytes = write(&array).unwrap();
            let mut rows = NpyRows::open(Cursor::new(&bytes)).unwrap().unwrap();
            assert_eq!(rows.rows(), 5);
            let (mut body, mut parts) = (NpyBody::default(), Vec::new());
            while let Some(part) = rows.next(2).unwrap() {
                assert!(part.shape()[0] <= 2);
                parts.extend(body.push(&part).unwrap());
            }
            let mut joined = body.header().unwrap();
            joined.extend(parts);
            assert_eq!(joined, bytes);
            assert_eq!(read(&joined).unwrap(), array);
        }
    }

    #[test]
    fn files_of_another_length_than_their_header_are_refused() {
        let array = NpyArray::new(vec![3], NpyData::F64(vec![0.0; 3])).unwrap();
        let bytes = write(&array).unwrap();
        for cut in [bytes.len() - 1, 70, 9, 0] {
            assert!(NpyRows::open(Cursor::new(&bytes[..cut])).is_err(), "{cut}");
        }
        let texts = NpyArray::new(vec![1], NpyData::Str(vec!["a".into()])).unwrap();
        assert!(NpyBody::default().push(&texts).is_err());
    }
}
