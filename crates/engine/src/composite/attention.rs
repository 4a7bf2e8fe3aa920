//! `Attention` and `RotaryEmbedding` of opset 23 to 25.
//!
//! Owns their definition for one call without a cache. Called by the table in [`super`].

use super::Emit;
use crate::graph::Attribute;
use crate::reference::OpError;
use crate::reference::op::wrong;
use crate::value::{DType, Tensor, Value};

type Done = Result<(), OpError>;

/// `softmax(cap(scale Q K') + mask) V`, heads apart; a row that may see no key gives zeros.
pub(super) fn attention(e: &mut Emit) -> Done {
    for (i, what) in [(4, "a cache of keys"), (5, "a cache of values"), (6, "padded lengths")] {
        if e.optional(i).is_some() {
            return Err(e.refuse(what));
        }
    }
    if e.wants(3) {
        return Err(e.refuse("giving the scores"));
    }
    let (q, k, v) = (e.input(0)?, e.input(1)?, e.input(2)?);
    let (q_heads, kv_heads) = (e.int("q_num_heads", 0)?, e.int("kv_num_heads", 0)?);
    let flat = q_heads > 0;
    let heads = |e: &mut Emit, x: &str, n: i64| {
        if !flat {
            return x.to_string();
        }
        let split = e.reshape(x, &[0, 0, n, -1]);
        e.transpose(&split, &[0, 2, 1, 3])
    };
    let (q, k, v) = (heads(e, &q, q_heads), heads(e, &k, kv_heads), heads(e, &v, kv_heads));
    for (i, x) in [(1, &k), (2, &v)] {
        if e.wants(i) {
            e.give(i, "Identity", &[x])?;
        }
    }
    let declared = |e: &Emit, i: usize| -> Option<i64> {
        e.dims(&e.optional(i)?)?.get(1).copied().flatten().map(|n| n as i64)
    };
    let pair = match flat {
        true => Some((q_heads, kv_heads)),
        false => declared(e, 0).zip(declared(e, 1)),
    };
    let (k, v) = match pair {
        Some((a, b)) if a != b => (repeated(e, &k, a, b)?, repeated(e, &v, a, b)?),
        _ => (k, v),
    };
    let turned = e.transpose(&k, &[0, 1, 3, 2]);
    let scores = scaled_product(e, &q, &turned)?;
    let softcap = e.float("softcap", 0.0)?;
    let scores = if softcap > 0.0 { capped(e, &scores, softcap) } else { scores };
    let p = match masked(e, &scores, &q, &k)? {
        Masked::Open(scores) => softmax(e, &scores),
        Masked::Perhaps(scores) => guarded_softmax(e, &scores),
    };
    if !flat {
        return e.give(0, "MatMul", &[&p, &v]);
    }
    let y = e.op("MatMul", &[&p, &v]);
    let y = e.transpose(&y, &[0, 2, 1, 3]);
    let shape = e.vector(&[0, 0, -1]);
    e.give(0, "Reshape", &[&y, &shape])
}

/// Each head of keys or values serves a group of query heads.
fn repeated(e: &mut Emit, x: &str, heads: i64, held: i64) -> Result<String, OpError> {
    if held <= 0 || heads % held != 0 || heads > HEADS_MAX {
        return Err(wrong("q_num_heads", "is no multiple of the heads of keys"));
    }
    let picked: Vec<i64> = (0..heads).map(|h| h / (heads / held)).collect();
    let picked = e.vector(&picked);
    Ok(e.op_with("Gather", &[x, &picked], vec![("axis", Attribute::Int(1))]))
}

fn scaled_product(e: &mut Emit, q: &str, turned: &str) -> Result<String, OpError> {
    let scale = e.float("scale", 0.0)?;
    if scale != 0.0 {
        let scale = e.scalar(scale);
        let q = e.op("Mul", &[q, &scale]);
        return Ok(e.op("MatMul", &[&q, turned]));
    }
    let shape = e.op("Shape", &[q]);
    let width = e.slice(&shape, 0, 3, 4);
    let width = e.op_with("Cast", &[&width], vec![("to", Attribute::Int(1))]);
    let root = e.op("Sqrt", &[&width]);
    let q = e.op("Div", &[q, &root]);
    Ok(e.op("MatMul", &[&q, turned]))
}

/// Scores with what hides keys added.
enum Masked {
    /// Each row sees a key.
    Open(String),
    /// There may be rows that see none.
    Perhaps(String),
}

fn masked(e: &mut Emit, scores: &str, q: &str, k: &str) -> Result<Masked, OpError> {
    let mut scores = scores.to_string();
    let mask = e.optional(3);
    if let Some(mask) = &mask {
        let bias = match e.dtype(mask) {
            Some(DType::Bool) => {
                let (zero, lowest) = (e.scalar(0.0), e.scalar(f32::NEG_INFINITY));
                e.op("Where", &[mask, &zero, &lowest])
            }
            Some(DType::F32 | DType::F64) => mask.clone(),
            _ => return Err(e.refuse("a mask whose element type is not declared")),
        };
        scores = e.op("Add", &[&scores, &bias]);
    }
    let causal = e.int("is_causal", 0)? != 0;
    let [left, right] = [e.int("left_window_size", -1)?, e.int("right_window_size", -1)?];
    if causal || left >= 0 || right >= 0 {
        let hidden = out_of_sight(e, (q, k), causal, left, right);
        let (none, lowest) = (e.scalar(0.0), e.scalar(f32::NEG_INFINITY));
        let bias = e.op("Where", &[&hidden, &lowest, &none]);
        scores = e.op("Add", &[&scores, &bias]);
    }
    Ok(match mask.is_some() || left >= 0 || right >= 0 {
        true => Masked::Perhaps(scores),
        false => Masked::Open(scores),
    })
}

/// Which columns row r may not look at: those after r when causal, those before `r - left` and
/// after `r + right` where these are not negative.
fn out_of_sight(e: &mut Emit, (q, k): (&str, &str), causal: bool, left: i64, right: i64) -> String {
    let (rows, columns) = (length(e, q), length(e, k));
    let (zero, one) = (int_scalar(e, 0), int_scalar(e, 1));
    let r = e.op("Range", &[&zero, &rows, &one]);
    let r = e.reshape(&r, &[-1, 1]);
    let c = e.op("Range", &[&zero, &columns, &one]);
    let last = match (causal, right >= 0) {
        (true, _) => Some(0),
        (false, true) => Some(right),
        (false, false) => None,
    };
    let mut hidden = Vec::new();
    if let Some(last) = last {
        let bound = shifted(e, &r, last);
        hidden.push(e.op("Greater", &[&c, &bound]));
    }
    if left >= 0 {
        let bound = shifted(e, &r, -left);
        hidden.push(e.op("Less", &[&c, &bound]));
    }
    match hidden.as_slice() {
        [a, b] => e.op("Or", &[a, b]),
        _ => hidden.concat(),
    }
}

fn shifted(e: &mut Emit, rows: &str, by: i64) -> String {
    if by == 0 {
        return rows.to_string();
    }
    let by = int_scalar(e, by);
    e.op("Add", &[rows, &by])
}

fn softmax(e: &mut Emit, scores: &str) -> String {
    e.op_with("Softmax", &[scores], vec![("axis", Attribute::Int(-1))])
}

/// Softmax that gives zeros to a row all of whose scores are minus infinity.
fn guarded_softmax(e: &mut Emit, scores: &str) -> String {
    let (last, lowest, zero) = (e.vector(&[-1]), e.scalar(f32::NEG_INFINITY), e.scalar(0.0));
    let highest = e.op("ReduceMax", &[scores, &last]);
    let blind = e.op("Equal", &[&highest, &lowest]);
    let scores = e.op("Where", &[&blind, &zero, scores]);
    let p = softmax(e, &scores);
    e.op("Where", &[&blind, &zero, &p])
}

/// The third size, as a scalar.
fn length(e: &mut Emit, x: &str) -> String {
    let shape = e.op("Shape", &[x]);
    let at = int_scalar(e, 2);
    e.op_with("Gather", &[&shape, &at], vec![("axis", Attribute::Int(0))])
}

fn int_scalar(e: &mut Emit, v: i64) -> String {
    e.constant(Value::I64(Tensor::scalar(v)))
}

/// `c tanh(x / c)`
fn capped(e: &mut Emit, x: &str, c: f32) -> String {
    let c = e.scalar(c);
    let small = e.op("Div", &[x, &c]);
    let bent = e.op("Tanh", &[&small]);
    e.op("Mul", &[&bent, &c])
}

/// `RotaryEmbedding`: pairs of cells turned by the angles of their place.
pub(super) fn rotary(e: &mut Emit) -> Done {
    let (x, cos, sin) = (e.input(0)?, e.input(1)?, e.input(2)?);
    let interleaved = e.int("interleaved", 0)? != 0;
    let heads = e.int("num_heads", 0)?;
    let width = e.int("rotary_embedding_dim", 0)?;
    let flat = heads > 0;
    // (N, S, H, E), as the angles are per place.
    let spread = match flat {
        true => e.reshape(&x, &[0, 0, heads, -1]),
        false => e.transpose(&x, &[0, 2, 1, 3]),
    };
    let (turning, rest) = match width {
        0 => (spread.clone(), None),
        w => (e.slice(&spread, 3, 0, w), Some(e.slice(&spread, 3, w, i64::MAX))),
    };
    let angles = |e: &mut Emit, cache: &str| {
        let own = match e.optional(3) {
            Some(places) => {
                e.op_with("Gather", &[cache, &places], vec![("axis", Attribute::Int(0))])
            }
            None => cache.to_string(),
        };
        let axes = e.vector(&[2]);
        e.op("Unsqueeze", &[&own, &axes])
    };
    let (cos, sin) = (angles(e, &cos), angles(e, &sin));
    let [a, b] = if interleaved { e.every_other(&turning) } else { e.halves(&turning) };
    let (ac, bs) = (e.op("Mul", &[&a, &cos]), e.op("Mul", &[&b, &sin]));
    let (as_, bc) = (e.op("Mul", &[&a, &sin]), e.op("Mul", &[&b, &cos]));
    let (real, imaginary) = (e.op("Sub", &[&ac, &bs]), e.op("Add", &[&as_, &bc]));
    let woven = interleaved.then(|| e.woven(&real, &imaginary, &turning));
    let mut parts = match &woven {
        Some(woven) => vec![woven.as_str()],
        None => vec![real.as_str(), imaginary.as_str()],
    };
    parts.extend(rest.as_deref());
    let joined = e.op_with("Concat", &parts, vec![("axis", Attribute::Int(-1))]);
    if flat {
        let shape = e.vector(&[0, 0, -1]);
        return e.give(0, "Reshape", &[&joined, &shape]);
    }
    let back = e.transpose(&joined, &[0, 2, 1, 3]);
    e.give(0, "Identity", &[&back])
}

impl Emit<'_> {
    /// The even and the odd cells of the last axis.
    fn every_other(&mut self, x: &str) -> [String; 2] {
        let (last, two, end) = (self.vector(&[3]), self.vector(&[2]), self.vector(&[i64::MAX]));
        [0, 1].map(|from| {
            let from = self.vector(&[from]);
            self.op("Slice", &[x, &from, &end, &last, &two])
        })
    }

    /// Even and odd cells, side by side again in the shape of `like`.
    fn woven(&mut self, even: &str, odd: &str, like: &str) -> String {
        let axis = self.vector(&[4]);
        let (even, odd) =
            (self.op("Unsqueeze", &[even, &axis]), self.op("Unsqueeze", &[odd, &axis]));
        let pairs = self.op_with("Concat", &[&even, &odd], vec![("axis", Attribute::Int(4))]);
        let shape = self.op("Shape", &[like]);
        self.op("Reshape", &[&pairs, &shape])
    }

    /// Both halves of the last axis.
    fn halves(&mut self, x: &str) -> [String; 2] {
        let shape = self.op("Shape", &[x]);
        let width = self.slice(&shape, 0, 3, 4);
        let two = self.vector(&[2]);
        let half = self.op("Div", &[&width, &two]);
        let (zero, last) = (self.vector(&[0]), self.vector(&[3]));
        let first = self.op("Slice", &[x, &zero, &half, &last]);
        let second = self.op("Slice", &[x, &half, &width, &last]);
        [first, second]
    }
}

/// Heads of one layer: models stop far below.
const HEADS_MAX: i64 = 4096;
