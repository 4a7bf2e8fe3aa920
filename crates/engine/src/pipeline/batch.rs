//! Batches of fixed width from rows and candidates.
//!
//! Owns what is kept per row (clean free inputs, and the values that the untouchable part of
//! the model gives) and the sharing of batches by threads. Must never know what a score means.
//! Called by [`super`].

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ladder::Piece;
use super::narrow::EXACT_INTEGER;
use super::rows::{padded, pick_rows};
use super::score::floats;
use super::{FreeInput, request};
use crate::engine::EngineError;
use crate::graph::Graph;
use crate::value::{DType, Inputs, Tensor, Value};

/// What every batch is made from.
pub(super) struct Bound {
    pub rows: usize,
    pub width: usize,
    pub dims: usize,
    /// `rows x dims`
    pub clean: Vec<f32>,
    pub free: Vec<Free>,
    /// Values that belong to rows and that the attacker cannot touch, all rows each.
    pub frontier: Vec<(String, Value)>,
}

/// A free input: its clean values and which coordinates move.
pub(super) struct Free {
    pub input: String,
    /// Shape of a row.
    shape: Vec<usize>,
    base: Base,
    columns: Vec<usize>,
}

enum Base {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Free {
    pub fn of(wanted: &FreeInput, core: &Graph, inputs: &Inputs) -> Result<Self, EngineError> {
        let name = &wanted.input;
        let value = inputs
            .get(name)
            .ok_or_else(|| EngineError::Request(format!("the input `{name}` is missing")))?;
        let shape: Vec<usize> = value.shape().into_iter().skip(1).collect();
        let size: usize = shape.iter().product();
        if let Some(ints) = value.to_i64s()
            && ints.iter().any(|v| v.abs() >= EXACT_INTEGER)
        {
            return Err(EngineError::Request(format!(
                "the input `{name}` holds an integer beyond 2^24, which `f32` cannot move exactly"
            )));
        }
        let wide = core.inputs.iter().any(|i| i.name == *name && i.dtype == Some(DType::F64));
        let numbers = || {
            let words = format!("the input `{name}` holds no numbers, so nothing in it can move");
            value.to_f64s().ok_or(EngineError::Request(words))
        };
        let base = match value {
            Value::F32(t) => Base::F32(t.data().to_vec()),
            _ if wide => Base::F64(numbers()?),
            _ => Base::F32(numbers()?.into_iter().map(|v| v as f32).collect()),
        };
        let columns = match &wanted.columns {
            Some(columns) => columns.clone(),
            None => (0..size).collect(),
        };
        if let Some(column) = columns.iter().find(|&&c| c >= size) {
            let words = format!("the input `{name}` has {size} coordinates, not a {column}th");
            return Err(EngineError::Request(words));
        }
        Ok(Self { input: name.clone(), shape, base, columns })
    }

    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    fn clean(&self, row: usize, column: usize) -> f32 {
        let at = row * self.size() + column;
        match &self.base {
            Base::F32(v) => v[at],
            Base::F64(v) => v[at] as f32,
        }
    }

    /// The rows with the candidate's coordinates in place. A coordinate that equals the clean
    /// one keeps its full `f64`.
    fn batch(&self, rows: &[usize], x: &[f32], dims: usize, from: usize) -> Option<Value> {
        let size = self.size();
        let shape = [&[rows.len()], &self.shape[..]].concat();
        let candidate = |k: usize| &x[k * dims + from..k * dims + from + self.columns.len()];
        match &self.base {
            Base::F32(base) => {
                let mut data = Vec::with_capacity(rows.len() * size);
                for (k, &row) in rows.iter().enumerate() {
                    if self.columns.len() == size {
                        data.extend_from_slice(candidate(k));
                        continue;
                    }
                    let start = data.len();
                    data.extend_from_slice(&base[row * size..(row + 1) * size]);
                    for (&column, &v) in self.columns.iter().zip(candidate(k)) {
                        data[start + column] = v;
                    }
                }
                Tensor::new(shape, data).map(Value::F32)
            }
            Base::F64(base) => {
                let mut data = Vec::with_capacity(rows.len() * size);
                for (k, &row) in rows.iter().enumerate() {
                    let start = data.len();
                    data.extend_from_slice(&base[row * size..(row + 1) * size]);
                    for (&column, &v) in self.columns.iter().zip(candidate(k)) {
                        if v.to_bits() != self.clean(row, column).to_bits() {
                            data[start + column] = f64::from(v);
                        }
                    }
                }
                Tensor::new(shape, data).map(Value::F64)
            }
        }
    }
}

impl Bound {
    pub fn of(rows: usize, width: usize, free: Vec<Free>, frontier: Vec<(String, Value)>) -> Self {
        let dims = free.iter().map(|f| f.columns.len()).sum();
        let mut clean = Vec::with_capacity(rows * dims);
        for row in 0..rows {
            for input in &free {
                clean.extend(input.columns.iter().map(|&c| input.clean(row, c)));
            }
        }
        Self { rows, width, dims, clean, free, frontier }
    }

    /// The clean coordinates of a row.
    pub fn clean_row(&self, row: usize) -> &[f32] {
        self.clean.get(row * self.dims..(row + 1) * self.dims).unwrap_or(&[])
    }

    /// Refuses rows that do not exist and candidates of another size.
    pub fn check(&self, rows: &[usize], x: &[f32]) -> Result<(), EngineError> {
        if let Some(row) = rows.iter().find(|&&r| r >= self.rows) {
            let words = format!("row {row} is asked for but the data has {} rows", self.rows);
            return Err(EngineError::Request(words));
        }
        if x.len() != rows.len() * self.dims {
            return Err(EngineError::Request(format!(
                "{} rows need {} coordinates, given {}",
                rows.len(),
                rows.len() * self.dims,
                x.len()
            )));
        }
        Ok(())
    }

    /// A batch of `width` rows: the candidates, the last one repeated.
    pub fn inputs(&self, rows: &[usize], x: &[f32], width: usize) -> Result<Inputs, EngineError> {
        let filled = padded(rows, width);
        let mut wide = Vec::new();
        let x = if filled.len() == rows.len() {
            x
        } else {
            let last = &x[x.len() - self.dims.min(x.len())..];
            wide.extend_from_slice(x);
            for _ in rows.len()..filled.len() {
                wide.extend_from_slice(last);
            }
            &wide
        };
        let mut inputs = Inputs::new();
        let mut from = 0;
        for free in &self.free {
            let value = free.batch(&filled, x, self.dims, from);
            let value = value.ok_or_else(|| request("a batch of the wrong size"))?;
            inputs.insert(free.input.clone(), value);
            from += free.columns.len();
        }
        for (name, value) in &self.frontier {
            let picked = pick_rows(value, &filled).ok_or_else(|| request("no such row"))?;
            inputs.insert(name.clone(), picked);
        }
        Ok(inputs)
    }

    /// The free coordinates of gradients, one per free input, as `rows x dims`.
    pub fn gather(&self, mut grads: Vec<Value>, rows: usize) -> Result<Vec<f32>, EngineError> {
        if let ([free], [Value::F32(_)]) = (self.free.as_slice(), grads.as_slice())
            && free.columns.len() == free.size()
            && let Some(Value::F32(t)) = grads.pop()
        {
            let (_, mut data) = t.into_parts();
            data.truncate(rows * self.dims);
            return Ok(data);
        }
        let grads = grads.iter().map(floats).collect::<Result<Vec<_>, _>>()?;
        let mut out = Vec::with_capacity(rows * self.dims);
        for row in 0..rows {
            for (free, grad) in self.free.iter().zip(&grads) {
                out.extend(free.columns.iter().map(|&c| grad[row * free.size() + c]));
            }
        }
        Ok(out)
    }
}

/// Runs pieces on `threads` threads; results in order, first error wins.
pub(super) fn share<T: Send>(
    pieces: &[Piece],
    threads: usize,
    run: impl Fn(&Piece) -> Result<T, EngineError> + Sync,
) -> Result<Vec<T>, EngineError> {
    let count = pieces.len();
    if threads <= 1 || count <= 1 {
        return pieces.iter().map(run).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T, EngineError>>>> =
        (0..count).map(|_| Mutex::new(None)).collect();
    // Plain threads, not a shared pool: a pool's worker that waits for an engine's own threads
    // would start another chunk meanwhile.
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let (Some(slot), Some(piece)) = (done.get(i), pieces.get(i)) else { break };
            let result = run(piece);
            if let Ok(mut slot) = slot.lock() {
                *slot = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        // This thread is one of them.
        for _ in 1..threads.min(count) {
            scope.spawn(work);
        }
        work();
    });
    let taken = |slot: Mutex<Option<Result<T, EngineError>>>| {
        let value = slot.into_inner().ok().flatten();
        value.unwrap_or_else(|| Err(request("a batch was not computed")))
    };
    done.into_iter().map(taken).collect()
}
