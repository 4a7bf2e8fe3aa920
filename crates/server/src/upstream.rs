//! A model behind HTTP: Open Inference Protocol v2, or a JSON scorer with mapped keys.
//!
//! Owns what is sent (rebuilt from validated rows, never the client's bytes) and the check of what
//! comes back: id, output, shape, finite numbers. Must never follow a redirect, resolve a name
//! after the start, or read more than an answer can hold. Called by the router through [`Scorer`].

mod pool;

use std::net::{SocketAddr, ToSocketAddrs};

use bytes::Bytes;
use proofmark_dataset::bind::{BoundData, BoundInput, ModelInput};
use proofmark_dataset::table::Cells;
use proofmark_schema::system::{Feature, ModelAsset, OutputKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::local::bind_rows;
use crate::oip::datatype;
use crate::policy::{Upstream, UpstreamProtocol};
use crate::scorer::{Question, RowData, Rows, ScoreError, Scorer, Scores, Scoring};

pub use pool::{Exchange, Pool};

/// A model behind HTTP.
#[derive(Debug)]
pub struct UpstreamScorer {
    name: String,
    sha256: String,
    protocol: UpstreamProtocol,
    pool: Pool,
    path: String,
    rows_key: String,
    scores_pointer: String,
    features: Vec<Feature>,
    read: Vec<bool>,
    asset: ModelAsset,
    inputs: Vec<ModelInput>,
    /// Output column of each class of the data.
    columns: Vec<usize>,
    classes: Vec<String>,
}

/// What is needed to ask a model behind HTTP.
#[derive(Clone, Debug)]
pub struct UpstreamModel<'a> {
    /// Where and how, from the policy.
    pub upstream: &'a Upstream,
    /// Its address, resolved once.
    pub address: SocketAddr,
    /// Its declaration.
    pub asset: &'a ModelAsset,
    /// Digest of the declared file.
    pub sha256: String,
    /// Inputs of the declared file.
    pub inputs: Vec<ModelInput>,
    /// Declared features.
    pub features: &'a [Feature],
    /// Whether this model reads each of them.
    pub read: Vec<bool>,
    /// Classes of the data, in order.
    pub classes: &'a [String],
}

/// Resolves an upstream once; the address is pinned from then on.
///
/// # Errors
/// In words, when the name does not resolve.
pub fn resolve(authority: &str) -> Result<SocketAddr, String> {
    let found = authority.to_socket_addrs().map_err(|e| format!("`{authority}`: {e}"))?;
    let mut all: Vec<SocketAddr> = found.collect();
    // IPv4 first, as servers here listen on 127.0.0.1; else the order of the resolver.
    all.sort_by_key(SocketAddr::is_ipv6);
    all.first().copied().ok_or_else(|| format!("`{authority}` resolves to nothing"))
}

impl UpstreamScorer {
    /// A scorer that asks `model`.
    pub fn new(model: UpstreamModel<'_>) -> Self {
        let order = &model.asset.output.classes;
        let columns: Vec<usize> =
            model.classes.iter().filter_map(|c| order.iter().position(|o| o == c)).collect();
        let straight = (0..model.classes.len()).collect();
        let fits = columns.len() == model.classes.len();
        Self {
            name: model.asset.name.clone(),
            sha256: model.sha256,
            protocol: model.upstream.protocol,
            pool: Pool::new(model.address, &model.upstream.authority),
            path: model.upstream.path.clone(),
            rows_key: model.upstream.rows.clone(),
            scores_pointer: model.upstream.scores.clone(),
            features: model.features.to_vec(),
            read: model.read,
            asset: model.asset.clone(),
            inputs: model.inputs,
            columns: if fits { columns } else { straight },
            classes: model.classes.to_vec(),
        }
    }

    async fn ask(&self, question: &Question) -> Result<Scores, ScoreError> {
        let body = match self.protocol {
            UpstreamProtocol::Oip => self.oip_request(&question.rows)?,
            UpstreamProtocol::Json => self.json_request(&question.rows),
        };
        let exchange =
            Exchange { path: &self.path, body: Bytes::from(body), most: ANSWER_BYTES_MAX };
        let answer = self.pool.post(exchange, question.deadline).await?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            return Err(ScoreError::Broken(format!("it answered with status {status}")));
        }
        let rows = question.rows.len();
        let scores = match self.protocol {
            UpstreamProtocol::Oip => self.oip_scores(&answer.body, rows)?,
            UpstreamProtocol::Json => self.json_scores(&answer.body, rows)?,
        };
        if scores.values.iter().any(|v| !v.is_finite()) {
            return Err(broken("a score is not finite"));
        }
        if self.asset.output.kind == OutputKind::Probability
            && scores
                .values
                .iter()
                .any(|p| !(-PROBABILITY_SLACK..=1.0 + PROBABILITY_SLACK).contains(p))
        {
            return Err(broken("a probability lies outside 0 to 1"));
        }
        Ok(scores)
    }

    fn oip_request(&self, rows: &Rows) -> Result<Vec<u8>, ScoreError> {
        let bound = bind_rows(rows, &self.features, &self.asset, &self.inputs)
            .map_err(|e| ScoreError::Refused(e.to_string()))?;
        let mut body = Vec::with_capacity(BODY_BYTES_TYPICAL);
        body.extend_from_slice(b"{\"id\":\"");
        body.extend_from_slice(REQUEST_ID.as_bytes());
        body.extend_from_slice(b"\",\"inputs\":[");
        for (at, input) in bound.inputs.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            write_tensor(&mut body, input).map_err(|e| broken(&e.to_string()))?;
        }
        body.extend_from_slice(b"]");
        if let Some(output) = &self.asset.output.name {
            body.extend_from_slice(b",\"outputs\":[{\"name\":");
            serde_json::to_writer(&mut body, output).map_err(|e| broken(&e.to_string()))?;
            body.extend_from_slice(b"}]");
        }
        body.push(b'}');
        Ok(body)
    }

    fn oip_scores(&self, body: &[u8], rows: usize) -> Result<Scores, ScoreError> {
        let answer: OipAnswer = serde_json::from_slice(body)
            .map_err(|e| ScoreError::Broken(format!("its answer does not read: {e}")))?;
        if answer.id.as_deref().is_some_and(|id| id != REQUEST_ID) {
            return Err(broken("it answered another request"));
        }
        let named = |o: &&OipOutput| self.asset.output.name.as_ref().is_none_or(|n| *n == o.name);
        let output = answer.outputs.iter().find(named);
        let output = output.ok_or_else(|| broken("its answer lacks the declared output"))?;
        let wide = self.classes.len();
        match output.shape.as_slice() {
            [n, k] if *n == rows && *k == wide => self.by_class(&output.data, rows, wide),
            [n] | [n, 1] if *n == rows && wide == 2 => self.by_class(&output.data, rows, 1),
            _ => Err(broken("its output has another shape")),
        }
    }

    fn json_request(&self, rows: &Rows) -> Vec<u8> {
        let each: Vec<Value> = (0..rows.len()).map(|row| self.named_row(rows, row)).collect();
        let mut body = Map::new();
        body.insert(self.rows_key.clone(), Value::Array(each));
        // Plain data with text keys always serialises.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// A row by feature name: only what this model reads.
    fn named_row(&self, rows: &Rows, row: usize) -> Value {
        let mut named = Map::new();
        match rows.data() {
            RowData::Table { columns, .. } => {
                for (column, _) in columns.iter().zip(&self.read).filter(|(_, read)| **read) {
                    let value = match &column.cells {
                        Cells::Numbers(v) => v.get(row).map_or(Value::Null, |v| number(*v)),
                        Cells::Texts(v) => json!(v.get(row)),
                    };
                    named.insert(column.name.clone(), value);
                }
            }
            RowData::Images { shape, pixels, .. } => {
                let size: usize = shape.iter().product();
                let image = pixels.get(row * size..(row + 1) * size).unwrap_or_default();
                let name = self.features.iter().find(|f| f.shape.is_some());
                let name = name.map(|f| f.name.clone()).unwrap_or_default();
                named.insert(name, json!(image));
            }
        }
        Value::Object(named)
    }

    fn json_scores(&self, body: &[u8], rows: usize) -> Result<Scores, ScoreError> {
        let answer: Value = serde_json::from_slice(body)
            .map_err(|e| ScoreError::Broken(format!("its answer does not read: {e}")))?;
        let scores = answer.pointer(&self.scores_pointer).and_then(Value::as_array);
        let scores = scores.filter(|s| s.len() == rows);
        let scores = scores.ok_or_else(|| broken("its answer lacks one score per row"))?;
        let wide = self.classes.len();
        let mut values = Vec::with_capacity(rows * wide);
        let mut width = wide;
        for row in scores {
            match row {
                Value::Number(only) if wide == 2 => {
                    width = 1;
                    values.push(only.as_f64());
                }
                Value::Array(list) if list.len() == wide => {
                    values.extend(list.iter().map(Value::as_f64));
                }
                Value::Object(map) if map.len() == wide => {
                    let named = self.asset.output.classes.iter().map(|c| map.get(c));
                    values.extend(named.map(|v| v.and_then(Value::as_f64)));
                }
                _ => return Err(broken("a row of its scores has another shape")),
            }
        }
        let values: Option<Vec<f64>> = values.into_iter().collect();
        let values = values.ok_or_else(|| broken("a score is no number"))?;
        self.by_class(&values, rows, width)
    }

    /// From the columns of the output to the classes of the data; one column is that of the last.
    fn by_class(&self, data: &[f64], rows: usize, width: usize) -> Result<Scores, ScoreError> {
        if data.len() != rows * width {
            return Err(broken("its output holds another number of values than its shape"));
        }
        let classes = self.classes.len();
        let mut values = Vec::with_capacity(rows * classes);
        for row in data.chunks_exact(width.max(1)) {
            let wide = match row {
                [last] if classes == 2 => {
                    let probability = self.asset.output.kind == OutputKind::Probability;
                    vec![if probability { 1.0 - last } else { 0.0 }, *last]
                }
                row => row.to_vec(),
            };
            values.extend(self.columns.iter().filter_map(|c| wide.get(*c)).map(|v| *v as f32));
        }
        Ok(Scores { classes, values })
    }
}

impl Scorer for UpstreamScorer {
    fn score<'a>(&'a self, question: &'a Question) -> Scoring<'a> {
        Box::pin(self.ask(question))
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn sha256(&self) -> Option<&str> {
        Some(&self.sha256)
    }
}

#[derive(Deserialize)]
struct OipAnswer {
    #[serde(default)]
    id: Option<String>,
    outputs: Vec<OipOutput>,
}

#[derive(Deserialize)]
struct OipOutput {
    name: String,
    shape: Vec<usize>,
    #[serde(default, deserialize_with = "flat_numbers")]
    data: Vec<f64>,
}

/// Numbers, flat or nested; an output of texts reads as empty and then fails on its shape.
fn flat_numbers<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    fn flatten(value: &Value, out: &mut Vec<f64>) {
        match value {
            Value::Array(list) => list.iter().for_each(|v| flatten(v, out)),
            other => out.extend(other.as_f64()),
        }
    }
    let mut out = Vec::new();
    flatten(&Value::deserialize(deserializer)?, &mut out);
    Ok(out)
}

fn write_tensor(body: &mut Vec<u8>, input: &BoundInput) -> serde_json::Result<()> {
    body.extend_from_slice(b"{\"name\":");
    serde_json::to_writer(&mut *body, &input.name)?;
    body.extend_from_slice(b",\"shape\":");
    serde_json::to_writer(&mut *body, &input.shape)?;
    body.extend_from_slice(b",\"datatype\":\"");
    body.extend_from_slice(datatype(dtype(&input.data)).as_bytes());
    body.extend_from_slice(b"\",\"data\":");
    match &input.data {
        BoundData::F32(v) => serde_json::to_writer(&mut *body, v)?,
        BoundData::F64(v) => serde_json::to_writer(&mut *body, v)?,
        BoundData::I64(v) => serde_json::to_writer(&mut *body, v)?,
        BoundData::I32(v) => serde_json::to_writer(&mut *body, v)?,
        BoundData::Bool(v) => serde_json::to_writer(&mut *body, v)?,
        BoundData::Str(v) => serde_json::to_writer(&mut *body, v)?,
    }
    body.push(b'}');
    Ok(())
}

fn dtype(data: &BoundData) -> proofmark_dataset::bind::InputType {
    use proofmark_dataset::bind::InputType;
    match data {
        BoundData::F32(_) => InputType::F32,
        BoundData::F64(_) => InputType::F64,
        BoundData::I64(_) => InputType::I64,
        BoundData::I32(_) => InputType::I32,
        BoundData::Bool(_) => InputType::Bool,
        BoundData::Str(_) => InputType::Str,
    }
}

/// A number as JSON: whole ones without a fraction, missing ones as null.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX { json!(value as i64) } else { json!(value) }
}

fn broken(words: &str) -> ScoreError {
    ScoreError::Broken(words.to_owned())
}

/// Bytes of an upstream's answer: 4,096 rows of a hundred scores fit.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// A request with one row takes about this much.
const BODY_BYTES_TYPICAL: usize = 2_048;
/// Rounding of a probability that a server writes in 32 bits.
const PROBABILITY_SLACK: f32 = 1e-4;
/// Whole numbers up to here are exact in a double.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
/// A connection carries one request at a time, so the id need only show an answer out of turn.
const REQUEST_ID: &str = "proofmark";
