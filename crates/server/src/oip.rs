//! Open Inference Protocol v2 over REST: metadata, JSON tensors, the binary tensor extension.
//!
//! Owns the mapping between tensors of the primary model and validated rows, both ways. Must never
//! reserve memory for a shape before it fits the bytes that came and the limits. Shared memory,
//! classification and unknown parameters are refused. Called by the data plane.

mod request;
mod response;

use proofmark_dataset::bind::{self, BindError, InputType, ModelInput};
use proofmark_schema::system::{Feature, FeatureKind, Layout, ModelAsset};
use serde_json::{Value, json};

pub use request::Asked;

/// The primary model as the protocol shows it.
#[derive(Clone, Debug)]
pub struct OipModel {
    /// Name.
    pub name: String,
    /// Version of the system.
    pub version: String,
    /// Inputs, in the order of the graph.
    pub inputs: Vec<OipInput>,
    /// Output that holds the scores.
    pub output: String,
    /// Data class of each column of that output.
    pub columns: Vec<usize>,
}

/// One input.
#[derive(Clone, Debug)]
pub struct OipInput {
    /// Name.
    pub name: String,
    /// Type in the graph.
    pub dtype: InputType,
    /// Shape without the batch.
    pub shape: Vec<usize>,
    /// What its values are.
    feed: Feed,
}

#[derive(Clone, Debug)]
enum Feed {
    /// Places of the features, one per column.
    Columns(Vec<usize>),
    /// Pixels of the one image.
    Image(Pixels),
}

/// From the unit of the model back to that of the declaration.
#[derive(Clone, Debug)]
struct Pixels {
    layout: Layout,
    shape: [usize; 3],
    bounds: [f64; 2],
    range: [f64; 2],
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl OipModel {
    /// The protocol's view of `asset`, whose graph has these inputs.
    ///
    /// # Errors
    /// [`BindError`] when features and inputs do not fit together.
    pub fn new(
        asset: &ModelAsset,
        version: &str,
        features: &[Feature],
        inputs: &[ModelInput],
        classes: &[String],
    ) -> Result<Self, BindError> {
        let image = features.iter().find(|f| f.kind == FeatureKind::Image);
        let inputs = match (image, inputs) {
            (Some(image), [input]) => vec![of_image(image, asset, input)?],
            (Some(_), other) => {
                let found = format!("{} inputs", other.len());
                return Err(BindError::ImageInputs { found });
            }
            (None, inputs) => of_table(asset, features, inputs)?,
        };
        let order = &asset.output.classes;
        let column = |name: &String| classes.iter().position(|c| c == name);
        let columns = order.iter().filter_map(column).collect::<Vec<_>>();
        let straight = (0..classes.len()).collect();
        Ok(Self {
            name: asset.name.clone(),
            version: version.to_owned(),
            inputs,
            output: asset.output.name.clone().unwrap_or_else(|| "scores".into()),
            columns: if columns.len() == classes.len() { columns } else { straight },
        })
    }

    /// Names of the features that the inputs carry.
    pub fn carries(&self, place: usize) -> bool {
        self.inputs.iter().any(|i| match &i.feed {
            Feed::Columns(places) => places.contains(&place),
            Feed::Image(_) => true,
        })
    }

    /// Metadata of the model.
    pub fn metadata(&self, scores: bool) -> Value {
        let shape = |dims: &[usize]| {
            let batch = [json!(-1)];
            batch.into_iter().chain(dims.iter().map(|d| json!(d))).collect::<Vec<_>>()
        };
        let inputs = self.inputs.iter().map(
            |i| json!({"name": i.name, "datatype": datatype(i.dtype), "shape": shape(&i.shape)}),
        );
        let mut outputs = vec![json!({"name": DECISION, "datatype": "BYTES", "shape": [-1]})];
        if scores {
            let wide = self.columns.len();
            let scores = json!({"name": self.output, "datatype": "FP32", "shape": [-1, wide]});
            outputs.insert(0, scores);
        }
        json!({
            "name": self.name,
            "versions": [self.version],
            "platform": "proofmark_guard",
            "inputs": inputs.collect::<Vec<_>>(),
            "outputs": outputs,
        })
    }

    /// Metadata of the server.
    pub fn server(program: &str) -> Value {
        json!({
            "name": "proofmark guard",
            "version": program,
            "extensions": ["binary_tensor_data"],
        })
    }
}

fn of_table(
    asset: &ModelAsset,
    features: &[Feature],
    inputs: &[ModelInput],
) -> Result<Vec<OipInput>, BindError> {
    let plan = bind::plan(features, asset, inputs)?;
    let place = |feature: &Feature| features.iter().position(|f| f.name == feature.name);
    let each = plan.inputs.iter().map(|(input, columns)| {
        let places: Vec<usize> = columns.iter().filter_map(|f| place(f)).collect();
        let shape = match (plan.matrix, input.shape.len()) {
            (false, 1) => vec![],
            _ => vec![places.len()],
        };
        let (name, dtype) = (input.name.clone(), input.dtype);
        OipInput { name, dtype, shape, feed: Feed::Columns(places) }
    });
    Ok(each.collect())
}

fn of_image(
    image: &Feature,
    asset: &ModelAsset,
    input: &ModelInput,
) -> Result<OipInput, BindError> {
    let unbounded = || BindError::Unbounded { feature: image.name.clone() };
    let bounds = image.bounds.ok_or_else(unbounded)?;
    let [c, h, w] = image.shape.ok_or_else(unbounded)?;
    let dims = match asset.input.layout {
        Layout::Nchw => vec![c, h, w],
        Layout::Nhwc => vec![h, w, c],
    };
    let flat = input.shape.len() == 2;
    Ok(OipInput {
        name: input.name.clone(),
        dtype: input.dtype,
        shape: if flat { vec![c * h * w] } else { dims },
        feed: Feed::Image(Pixels {
            layout: asset.input.layout,
            shape: [c, h, w],
            bounds,
            range: asset.input.range.unwrap_or(bounds),
            mean: asset.input.mean.clone(),
            std: asset.input.std.clone(),
        }),
    })
}

impl Pixels {
    /// One image in the unit of the model, in its axis order, to channels first in the unit of
    /// the declaration. What lies outside the bounds by no more than the rounding of a 32-bit
    /// float is put on the bound.
    fn back(&self, values: &[f64]) -> Vec<f64> {
        let [channels, height, width] = self.shape;
        let plane = height * width;
        let mut pixels = Vec::with_capacity(values.len());
        for at in 0..channels * plane {
            let (channel, place) = (at / plane.max(1), at % plane.max(1));
            let from = match self.layout {
                Layout::Nchw => at,
                Layout::Nhwc => place * channels + channel,
            };
            let value = values.get(from).copied().unwrap_or(f64::NAN);
            pixels.push(self.pixel(value, channel));
        }
        pixels
    }

    fn pixel(&self, value: f64, channel: usize) -> f64 {
        let mean = self.mean.get(channel).copied().unwrap_or(0.0);
        let std = self.std.get(channel).copied().unwrap_or(1.0);
        let ([b0, b1], [r0, r1]) = (self.bounds, self.range);
        let mapped = value * std + mean;
        let pixel = if self.bounds == self.range {
            mapped
        } else {
            b0 + (mapped - r0) / (r1 - r0) * (b1 - b0)
        };
        let slack = (b1 - b0).abs() * ROUNDING;
        if (b0 - slack..b0).contains(&pixel) {
            b0
        } else if pixel > b1 && pixel <= b1 + slack {
            b1
        } else {
            pixel
        }
    }
}

/// Name of a type on the wire.
pub(crate) fn datatype(dtype: InputType) -> &'static str {
    match dtype {
        InputType::F32 => "FP32",
        InputType::F64 => "FP64",
        InputType::I64 => "INT64",
        InputType::I32 => "INT32",
        InputType::Bool => "BOOL",
        InputType::Str => "BYTES",
    }
}

/// Output with the decision per row.
pub(crate) const DECISION: &str = "decision";
/// Relative rounding of a mean and a deviation in 32-bit floats, with room for both.
const ROUNDING: f64 = 1e-6;
