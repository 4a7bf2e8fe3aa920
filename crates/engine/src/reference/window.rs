//! Sliding windows: the geometry that convolutions and pooling share.
//!
//! Owns pads, strides, dilations and output sizes. One- and two-dimensional windows are
//! lifted to three dimensions so that every kernel is written once. Called by `conv` and `pool`.

use super::op::{ELEMENTS_MAX, OpError, Spec, misshapen, wrong};

/// Spatial dimensions every window is lifted to.
pub const SPATIAL: usize = 3;

/// Cells of one window: 2048 by 2048, far beyond what is pooled at once; the places of each are
/// listed.
const TAPS_MAX: usize = 1 << 22;

/// Attributes of a window as written in the node.
#[derive(Clone, Debug)]
pub struct Window {
    kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    pads: Option<Vec<i64>>,
    auto_pad: AutoPad,
    ceil: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum AutoPad {
    No,
    SameUpper,
    SameLower,
    Valid,
}

/// A window over an input of known size, lifted to three dimensions.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Spatial dimensions before lifting.
    pub rank: usize,
    /// Input size.
    pub input: [usize; SPATIAL],
    /// Window size.
    pub kernel: [usize; SPATIAL],
    /// Steps.
    pub strides: [usize; SPATIAL],
    /// Distances between the window's taps.
    pub dilations: [usize; SPATIAL],
    /// Padding in front.
    pub begin: [usize; SPATIAL],
    /// Padding behind.
    pub end: [usize; SPATIAL],
    /// Output size.
    pub output: [usize; SPATIAL],
}

impl Window {
    /// Reads the window attributes of a node.
    pub fn read(spec: &Spec) -> Result<Self, OpError> {
        let auto_pad = match spec.text_or("auto_pad", "NOTSET")? {
            "NOTSET" | "" => AutoPad::No,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            "VALID" => AutoPad::Valid,
            other => return Err(wrong("auto_pad", format!("has the unknown value `{other}`"))),
        };
        let positive = |name: &str| match spec.sizes(name)? {
            Some(v) if v.contains(&0) => Err(wrong(name, "holds a zero")),
            Some(v) if v.iter().any(|&n| n > ELEMENTS_MAX) => Err(wrong(name, "is too large")),
            v => Ok(v),
        };
        let pads = spec.ints("pads")?.map(<[i64]>::to_vec);
        if pads.iter().flatten().any(|&p| p > ELEMENTS_MAX as i64) {
            return Err(wrong("pads", "is too large"));
        }
        Ok(Self {
            kernel: positive("kernel_shape")?,
            strides: positive("strides")?,
            dilations: positive("dilations")?,
            pads,
            auto_pad,
            ceil: spec.flag("ceil_mode", false)?,
        })
    }

    /// The geometry over `(batch, channels, spatial…)`; `weight` is the window of a
    /// convolution's weights.
    pub fn over(&self, shape: &[usize], weight: Option<&[usize]>) -> Result<Geometry, OpError> {
        let mut g = self.lift(shape, weight)?;
        if g.kernel.iter().try_fold(1usize, |a, &k| a.checked_mul(k)).is_none_or(|n| n > TAPS_MAX) {
            return Err(wrong("kernel_shape", format!("has more than {TAPS_MAX} cells")));
        }
        for d in 0..SPATIAL {
            let reach = (g.kernel[d] - 1) * g.dilations[d] + 1;
            self.pad(&mut g, d, reach);
            let padded = g.input[d] + g.begin[d] + g.end[d];
            let Some(room) = padded.checked_sub(reach) else {
                return Err(misshapen(format!(
                    "a window reaching over {reach} does not fit into {padded} (shape {shape:?})"
                )));
            };
            let step = g.strides[d];
            g.output[d] = if self.ceil && self.auto_pad == AutoPad::No {
                let n = room.div_ceil(step) + 1;
                // A window must begin inside the input or its padding in front.
                if (n - 1) * step >= g.input[d] + g.begin[d] { n - 1 } else { n }
            } else {
                room / step + 1
            };
        }
        Ok(g)
    }

    /// The geometry of a transposed convolution: `input` and `output` as the forward
    /// convolution, which it reverses, would have them.
    pub fn transposed(
        &self,
        shape: &[usize],
        weight: &[usize],
        extra: &[usize],
        wanted: Option<&[usize]>,
    ) -> Result<Geometry, OpError> {
        let mut g = self.lift(shape, Some(weight))?;
        let lead = SPATIAL - g.rank;
        g.output = g.input;
        for d in 0..SPATIAL {
            let extra = d.checked_sub(lead).and_then(|i| extra.get(i)).copied().unwrap_or(0);
            let reach = (g.kernel[d] - 1) * g.dilations[d] + 1;
            if g.output[d] == 0 {
                return Err(misshapen(format!("empty spatial size in shape {shape:?}")));
            }
            let full = (g.output[d] - 1) * g.strides[d] + reach + extra;
            let same = matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
            let target = match d.checked_sub(lead).and_then(|i| wanted?.get(i)) {
                Some(&w) => Some(w),
                None if same && d >= lead => Some(g.output[d] * g.strides[d]),
                None => None,
            };
            if let Some(target) = target {
                let total = full.saturating_sub(target);
                let small = total / 2;
                let upper = self.auto_pad == AutoPad::SameUpper;
                (g.begin[d], g.end[d]) =
                    if upper { (small, total - small) } else { (total - small, small) };
                g.input[d] = target;
            } else {
                let pads = g.begin[d] + g.end[d];
                g.input[d] = full
                    .checked_sub(pads)
                    .ok_or_else(|| misshapen(format!("pads exceed the result of size {full}")))?;
            }
        }
        Ok(g)
    }

    fn lift(&self, shape: &[usize], weight: Option<&[usize]>) -> Result<Geometry, OpError> {
        let rank = shape.len().saturating_sub(2);
        if rank == 0 || rank > SPATIAL {
            return Err(misshapen(format!(
                "expected (batch, channels, 1 to 3 spatial sizes), given shape {shape:?}"
            )));
        }
        let kernel = match (&self.kernel, weight) {
            (Some(k), Some(w)) if k != w => {
                return Err(wrong("kernel_shape", format!("is {k:?}, the weights have {w:?}")));
            }
            (_, Some(w)) => w.to_vec(),
            (Some(k), None) => k.clone(),
            (None, None) => return Err(wrong("kernel_shape", "is missing")),
        };
        if kernel.contains(&0) {
            return Err(misshapen("the window is empty".to_string()));
        }
        let lead = SPATIAL - rank;
        let lifted = |name: &str, v: &[usize], fill| {
            if v.len() != rank {
                return Err(wrong(name, format!("has {} entries, expected {rank}", v.len())));
            }
            let mut out = [fill; SPATIAL];
            out[lead..].copy_from_slice(v);
            Ok(out)
        };
        let ones = vec![1; rank];
        let mut g = Geometry {
            rank,
            input: lifted("input", &shape[2..], 1)?,
            kernel: lifted("kernel_shape", &kernel, 1)?,
            strides: lifted("strides", self.strides.as_ref().unwrap_or(&ones), 1)?,
            dilations: lifted("dilations", self.dilations.as_ref().unwrap_or(&ones), 1)?,
            begin: [0; SPATIAL],
            end: [0; SPATIAL],
            output: [0; SPATIAL],
        };
        if let (Some(pads), AutoPad::No) = (&self.pads, self.auto_pad) {
            if pads.len() != 2 * rank {
                return Err(wrong("pads", format!("has {} entries, not {}", pads.len(), 2 * rank)));
            }
            for (i, &p) in pads.iter().enumerate() {
                let p = usize::try_from(p).map_err(|_| wrong("pads", "holds a negative entry"))?;
                if i < rank { g.begin[lead + i] = p } else { g.end[lead + i - rank] = p }
            }
        }
        Ok(g)
    }

    fn pad(&self, g: &mut Geometry, d: usize, reach: usize) {
        if !matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            return;
        }
        let out = g.input[d].div_ceil(g.strides[d]);
        let need = (out.max(1) - 1) * g.strides[d] + reach;
        let total = need.saturating_sub(g.input[d]);
        let small = total / 2;
        let upper = self.auto_pad == AutoPad::SameUpper;
        (g.begin[d], g.end[d]) =
            if upper { (small, total - small) } else { (total - small, small) };
    }
}

impl Geometry {
    /// Elements of one input channel.
    pub fn inputs(&self) -> usize {
        self.input.iter().product()
    }
    /// Elements of one output channel.
    pub fn outputs(&self) -> usize {
        self.output.iter().product()
    }
    /// Taps of the window.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
    /// `(batch, channels, size…)` with the lifted dimensions dropped again.
    pub fn shape(&self, batch: usize, channels: usize, size: &[usize; SPATIAL]) -> Vec<usize> {
        let mut shape = vec![batch, channels];
        shape.extend(&size[SPATIAL - self.rank..]);
        shape
    }
    /// The input coordinate that tap `k` of output `o` reads along dimension `d`, or `None`
    /// in the padding.
    pub fn source(&self, d: usize, o: usize, k: usize) -> Option<usize> {
        let at = (o * self.strides[d] + k * self.dilations[d]).checked_sub(self.begin[d])?;
        (at < self.input[d]).then_some(at)
    }
}
