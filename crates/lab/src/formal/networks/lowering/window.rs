//! Operators over windows: convolution, averages, maxima.

use super::super::conv::Conv;
use super::*;

/// A window that slides over height and width.
struct Window {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// At the beginning of each axis.
    pad: [usize; 2],
    out: [usize; 2],
}

impl Builder<'_> {
    pub(super) fn conv(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let weight = self.wanted(node, 1)?;
        let groups = match node.attributes.get("group") {
            Some(Attribute::Int(v)) => usize::try_from(*v).unwrap_or(0),
            _ => 1,
        };
        let (channels, size) = planes(node, &held.shape)?;
        let (kernel, filters, depth) = match *weight.shape() {
            [filters, depth, h, w] => ([h, w], filters, depth),
            [filters, depth, w] => ([1, w], filters, depth),
            _ => return refuse(node, "its weights are not those of one or two dimensions"),
        };
        if groups == 0 || filters % groups != 0 || depth * groups != channels {
            return refuse(node, "its groups do not fit its channels");
        }
        let flat = held.shape.len() == 3;
        let shape = self.found_shape(node)?;
        let window = window(node, size, kernel, flat, &shape)?;
        let area = kernel[0] * kernel[1];
        let matrix = Matrix::from_shape_vec((filters, depth * area), weight.data().to_vec());
        let matrix = matrix.map_err(|e| refusal(node, e.to_string()))?;
        let positions = window.out[0] * window.out[1];
        let bias = match self.floats(node, 2)? {
            Some(b) if b.len() == filters => b.into_parts().1,
            Some(_) => return refuse(node, "its bias does not fit"),
            None => vec![0.0; filters],
        };
        let bias = bias.iter().flat_map(|&b| std::iter::repeat_n(b, positions)).collect();
        let conv = Conv {
            weight: matrix,
            groups,
            channels,
            size,
            kernel,
            stride: window.stride,
            pad: window.pad,
            dilation: window.dilation,
            out: window.out,
        };
        let at = self.linear(held.node, Map::Conv(conv), bias)?;
        self.give(node, at, shape)
    }

    /// Whether the axes of a reduction are all but batch and channel.
    fn over_all_but_two(&self, node: &GraphNode, rank: usize) -> Lowered<bool> {
        let said: Vec<i64> = match node.attributes.get("axes") {
            Some(Attribute::Ints(axes)) => axes.clone(),
            _ => match self.constant(node, 1)? {
                Some(value) => value.to_i64s().unwrap_or_default(),
                None => return Ok(false),
            },
        };
        let place = |axis: i64| if axis < 0 { axis + rank as i64 } else { axis };
        let mut axes: Vec<i64> = said.into_iter().map(place).collect();
        axes.sort_unstable();
        Ok(axes.into_iter().eq(2..rank as i64))
    }

    pub(super) fn average(&mut self, node: &GraphNode) -> Lowered<()> {
        let held = self.held(node, 0)?;
        let shape = self.found_shape(node)?;
        let total: usize = shape.iter().product();
        let len = self.nodes[held.node].len;
        let whole = node.op == "GlobalAveragePool"
            || (node.op == "ReduceMean"
                && total > 0
                && held.shape.len() > 2
                && total == held.shape[0] * held.shape[1]
                && held.shape[0] == 1);
        let mut map = Sparse { columns: len, ..Sparse::default() };
        if whole {
            if node.op == "ReduceMean" && !self.over_all_but_two(node, held.shape.len())? {
                return refuse(node, "only means over height and width are bounded");
            }
            let inner = len / total;
            for c in 0..total {
                map.push((c * inner..(c + 1) * inner).map(|p| (p, 1.0 / inner as f64)));
            }
        } else if node.op == "AveragePool" {
            let (channels, size) = planes(node, &held.shape)?;
            let flat = held.shape.len() == 3;
            let window = window(node, size, kernel(node, flat)?, flat, &shape)?;
            let padded =
                matches!(node.attributes.get("count_include_pad"), Some(Attribute::Int(1)));
            if padded && ceils(node) {
                return refuse(node, "`ceil_mode` together with counted padding");
            }
            for c in 0..channels {
                for cells in window.cells(size) {
                    let all = window.kernel[0] * window.kernel[1];
                    let share = 1.0 / if padded { all } else { cells.len().max(1) } as f64;
                    map.push(cells.iter().map(|p| (c * size[0] * size[1] + p, share)));
                }
            }
        } else {
            return refuse(node, "only means over height and width are bounded");
        }
        let at = self.linear(held.node, Map::Sparse(map), vec![0.0; total])?;
        self.give(node, at, shape)
    }

    /// The maximum of a window, as maxima of pairs; a cell of padding is left out.
    pub(super) fn max_pool(&mut self, node: &GraphNode) -> Lowered<()> {
        if node.outputs.get(1).is_some_and(|name| !name.is_empty()) {
            return refuse(node, "indices of maxima are not bounded");
        }
        let held = self.held(node, 0)?;
        let shape = self.found_shape(node)?;
        let (channels, size) = planes(node, &held.shape)?;
        let flat = held.shape.len() == 3;
        let window = window(node, size, kernel(node, flat)?, flat, &shape)?;
        let cells: Vec<Vec<usize>> = window.cells(size);
        let most = window.kernel[0] * window.kernel[1];
        if cells.iter().any(Vec::is_empty) {
            return refuse(node, "a window lies in the padding alone");
        }
        let mut parts = Vec::with_capacity(most);
        for i in 0..most {
            let mut places = Vec::with_capacity(channels * cells.len());
            for c in 0..channels {
                // a window with fewer cells repeats its first one: the maximum stays
                places.extend(cells.iter().map(|cells| {
                    let cell = cells.get(i).unwrap_or(&cells[0]);
                    (0, (c * size[0] * size[1] + cell) as u32)
                }));
            }
            parts.push(self.push(places.len(), Op::Pick { from: vec![held.node], places }));
        }
        let at = self.greatest(parts)?;
        self.give(node, at, shape)
    }
}

impl Window {
    /// The cells of each position that are no padding.
    fn cells(&self, size: [usize; 2]) -> Vec<Vec<usize>> {
        let axis = |axis: usize, out: usize| {
            let from = out * self.stride[axis];
            let at = (0..self.kernel[axis]).map(move |k| from + k * self.dilation[axis]);
            at.filter_map(move |at| at.checked_sub(self.pad[axis]).filter(|&at| at < size[axis]))
        };
        let positions = (0..self.out[0]).flat_map(|i| (0..self.out[1]).map(move |j| (i, j)));
        let of =
            |(i, j)| axis(0, i).flat_map(|y| axis(1, j).map(move |x| y * size[1] + x)).collect();
        positions.map(of).collect()
    }
}

/// Channels, and height and width, of a value of one row.
fn planes(node: &GraphNode, shape: &[usize]) -> Lowered<(usize, [usize; 2])> {
    match *shape {
        [1, channels, h, w] => Ok((channels, [h, w])),
        [1, channels, w] => Ok((channels, [1, w])),
        _ => refuse(node, "it works on other than one image of one or two dimensions"),
    }
}

fn ints(node: &GraphNode, name: &str) -> Option<Vec<usize>> {
    match node.attributes.get(name) {
        Some(Attribute::Ints(v)) => v.iter().map(|&v| usize::try_from(v).ok()).collect(),
        _ => None,
    }
}

fn kernel(node: &GraphNode, flat: bool) -> Lowered<[usize; 2]> {
    match (ints(node, "kernel_shape").as_deref(), flat) {
        (Some(&[w]), true) => Ok([1, w]),
        (Some(&[h, w]), false) => Ok([h, w]),
        _ => refuse(node, "`kernel_shape` does not fit"),
    }
}

fn ceils(node: &GraphNode) -> bool {
    matches!(node.attributes.get("ceil_mode"), Some(Attribute::Int(1)))
}

/// The window's steps; the size of the result is the reference's.
fn window(
    node: &GraphNode,
    size: [usize; 2],
    kernel: [usize; 2],
    flat: bool,
    shape: &[usize],
) -> Lowered<Window> {
    let pair = |name: &str| match (ints(node, name).as_deref(), flat) {
        (None, _) => Ok([1, 1]),
        (Some(&[w]), true) => Ok([1, w]),
        (Some(&[h, w]), false) => Ok([h, w]),
        _ => refuse(node, format!("`{name}` does not fit")),
    };
    let (stride, dilation) = (pair("strides")?, pair("dilations")?);
    let (_, out) = planes(node, shape)?;
    let auto = match node.attributes.get("auto_pad") {
        Some(Attribute::Text(text)) => text.as_str(),
        _ => "NOTSET",
    };
    let pad = match auto {
        "NOTSET" | "" => match (ints(node, "pads").as_deref(), flat) {
            (None, _) => [0, 0],
            (Some(&[left, _]), true) => [0, left],
            (Some(&[top, left, _, _]), false) => [top, left],
            _ => return refuse(node, "`pads` does not fit"),
        },
        "VALID" => [0, 0],
        "SAME_UPPER" | "SAME_LOWER" => {
            let mut pad = [0, 0];
            for axis in 0..2 {
                let reach =
                    (out[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1;
                let all = reach.saturating_sub(size[axis]);
                pad[axis] = if auto == "SAME_UPPER" { all / 2 } else { all.div_ceil(2) };
            }
            pad
        }
        other => return refuse(node, format!("`auto_pad` is `{other}`")),
    };
    Ok(Window { kernel, stride, dilation, pad, out })
}
