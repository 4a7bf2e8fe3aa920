//! Rows as an endpoint is sent them.
//!
//! Owns the cells that nobody moves and the place of the free coordinates among them. A cell that
//! an attacker left alone is sent as it stood in the file; of an image every pixel moves. Must
//! never know a protocol.

use crate::oracle::Picture;

/// One cell of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number; whole ones are written without a fraction.
    Number(f64),
    /// Anything else.
    Text(String),
    /// No value.
    Missing,
}

/// The rows of a table, and which columns an attacker moves; or images.
#[derive(Clone, Debug)]
pub struct Sheet {
    columns: Vec<String>,
    /// None for images.
    cells: Vec<Vec<Cell>>,
    free: Vec<usize>,
    clean: Vec<f32>,
    picture: Option<Picture>,
}

impl Sheet {
    /// `cells` hold one value per column and row; `free` are columns of numbers.
    ///
    /// # Errors
    /// Rows of another width, or a free column that holds texts.
    pub fn new(
        columns: Vec<String>,
        cells: Vec<Vec<Cell>>,
        free: Vec<usize>,
    ) -> Result<Self, String> {
        let mut clean = Vec::with_capacity(cells.len() * free.len());
        for (row, cells) in cells.iter().enumerate() {
            if cells.len() != columns.len() {
                return Err(format!("row {row} has {} cells for {}", cells.len(), columns.len()));
            }
            for &at in &free {
                clean.push(match cells.get(at) {
                    Some(Cell::Number(value)) => *value as f32,
                    Some(Cell::Missing) => f32::NAN,
                    _ => return Err(format!("row {row} has no number in a free column")),
                });
            }
        }
        Ok(Self { columns, cells, free, clean, picture: None })
    }

    /// Images, `n x channels x height x width` or as `picture` has them, in the unit in which they
    /// are sent.
    ///
    /// # Errors
    /// Pixels that fill no whole images.
    pub fn images(clean: Vec<f32>, picture: Picture) -> Result<Self, String> {
        let size = picture.channels * picture.height * picture.width;
        if size == 0 || !clean.len().is_multiple_of(size) {
            return Err(format!("{} pixels for images of {size}", clean.len()));
        }
        let (columns, cells) = (Vec::new(), Vec::new());
        Ok(Self { columns, cells, free: (0..size).collect(), clean, picture: Some(picture) })
    }

    /// How the pixels of an image lie.
    pub fn picture(&self) -> Option<Picture> {
        self.picture
    }

    /// Names of the columns, in the order of a request.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self.picture {
            Some(_) => self.clean.len() / self.dims().max(1),
            None => self.cells.len(),
        }
    }

    /// Number of free columns.
    pub fn dims(&self) -> usize {
        self.free.len()
    }

    /// Clean values of the free columns.
    pub fn clean(&self, row: usize) -> &[f32] {
        &self.clean[row * self.dims()..(row + 1) * self.dims()]
    }

    /// A row with its free columns at `x`.
    pub fn filled(&self, row: usize, x: &[f32]) -> Vec<Cell> {
        if self.picture.is_some() {
            return x.iter().map(|&v| Cell::Number(as_written(v))).collect();
        }
        let mut cells = self.cells[row].clone();
        for ((&at, &value), &clean) in self.free.iter().zip(x).zip(self.clean(row)) {
            if value.to_bits() != clean.to_bits() {
                cells[at] = Cell::Number(as_written(value));
            }
        }
        cells
    }
}

/// The shortest decimal that reads back as this value: 0.1, not 0.10000000149011612.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
