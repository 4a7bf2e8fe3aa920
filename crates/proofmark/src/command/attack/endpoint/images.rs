//! Images as an endpoint is sent them, without a model to bind them to.
//!
//! Owns the shape in which a row is sent; what was assumed is told. Called by [`super`].

use std::path::Path;

use proofmark_dataset::bind::{self, Binding, BoundData, InputType, ModelInput};
use proofmark_dataset::images::Images;
use proofmark_lab::endpoint::Sheet;
use proofmark_lab::endpoint::oip::OipMap;
use proofmark_lab::oracle::Picture;
use proofmark_schema::system::{
    Decision, DumpSpec, Feature, InputSpec, Layout, ModelAsset, ModelRole, OutputKind, OutputSpec,
};

use super::super::asked::Asked;
use super::super::declared;
use super::rows::{self, Bound, Room};
use crate::assets;
use crate::failure::{Failure, OrFail, Outcome};

/// Reads images and labels; `metadata` name the shape of a row where the endpoint has some.
pub fn read(asked: &Asked<'_>, metadata: Option<&[u8]>) -> Outcome<Bound> {
    let named = [("--columns", &asked.columns), ("--mutable", &asked.mutable)];
    let named = named.map(|(flag, list)| (flag, !list.is_empty()));
    super::super::unheard("images, which have no columns", &named)?;
    let data = assets::read_data(&asked.data)?;
    let labels = assets::read_data(Path::new(&asked.label))?;
    let mut notes = Vec::new();
    let found = declared::flat_or_images(&data, &labels)?;
    let wanted = metadata.map(OipMap::image_axes).transpose();
    let wanted = wanted.or_fail("protocol", "an endpoint for images has one input of pixels")?;
    let whole = wanted.as_ref().is_some_and(|(_, whole)| *whole);
    let (feature, range) = declared::pixels(asked, &found, whole, &mut notes)?;
    let said = &asked.endpoint.row_shape;
    let wanted = match (said.is_empty(), wanted) {
        (true, Some((axes, _))) => axes,
        // vectors are read as images of one line
        (true, None) => match found.shape {
            [1, 1, k] => vec![Some(k)],
            shape => shape.map(Some).to_vec(),
        },
        (false, _) => said.iter().map(|&d| Some(d)).collect(),
    };
    let (axes, layout) = sent(found.shape, &wanted)?;
    let order = if layout == Layout::Nhwc { "last" } else { "first" };
    notes.push(format!("a row is sent as {axes:?}, channels {order}"));

    let classes = rows::classes_of(asked, found.label_values.clone())?;
    notes.push(format!("classes: {}", classes.join(", ")));
    let asset = declared::data_asset(asked, false, &classes, None)?;
    let images = Images::read(&data, &labels, &asset, &feature);
    let images =
        images.or_fail("data-unreadable", "check the files, `--bounds` and `--classes`")?;
    let binding = bound(&images, &feature, range, layout)?;
    let pixels = match binding.inputs.first().map(|input| &input.data) {
        Some(BoundData::F32(values)) => values.clone(),
        _ => return Err(Failure::new("data", "the pixels are no floats", "please report this")),
    };
    let [channels, height, width] = found.shape;
    let channels_last = layout == Layout::Nhwc;
    let sheet = Sheet::images(pixels, Picture { channels, height, width, channels_last });
    let digest = assets::sha256(&[data, labels].concat());
    Ok(Bound {
        sheet: sheet.or_fail("data", "please report this")?,
        labels: images.labels,
        classes,
        free: vec![format!("{axes:?} {order} {:?} {range:?}", feature.bounds)],
        axes: Some(axes),
        digest,
        notes,
        room: Room::Images(binding),
    })
}

/// Pixels in the unit and order in which they are sent.
fn bound(
    images: &Images,
    feature: &Feature,
    range: Option<[f64; 2]>,
    layout: Layout,
) -> Outcome<Binding> {
    let asset = ModelAsset {
        name: declared::MODEL.into(),
        path: String::new(),
        role: ModelRole::Primary,
        output: OutputSpec {
            name: None,
            kind: OutputKind::Score,
            classes: Vec::new(),
            column: None,
        },
        decision: Decision::Argmax,
        expected: None,
        expected_data: None,
        input: InputSpec { layout, range, ..InputSpec::default() },
        dump: DumpSpec::default(),
    };
    let shape = vec![None; 4];
    let input = ModelInput { name: "row".into(), dtype: InputType::F32, shape };
    bind::images(images, feature, &asset, &[input]).or_fail("data", "please report this")
}

/// The axes of a row as it is sent and the order of its pixels, after what is wanted of them.
fn sent(shape: [usize; 3], wanted: &[Option<usize>]) -> Outcome<(Vec<usize>, Layout)> {
    let [c, h, w] = shape;
    let mut ways = vec![(vec![c, h, w], Layout::Nchw), (vec![h, w, c], Layout::Nhwc)];
    if c == 1 {
        ways.push((vec![h, w], Layout::Nchw));
    }
    ways.push((vec![c * h * w], Layout::Nchw));
    let fits = |axes: &[usize]| {
        axes.len() == wanted.len()
            && axes.iter().zip(wanted).all(|(a, w)| w.is_none_or(|w| w == *a))
    };
    ways.retain(|(axes, _)| fits(axes));
    // The same axes in both orders: channels first, as everywhere.
    ways.dedup_by(|later, first| later.0 == first.0);
    let axis = |d: &Option<usize>| d.map_or_else(|| "?".to_owned(), |d| d.to_string());
    let wanted: Vec<String> = wanted.iter().map(axis).collect();
    let wanted = wanted.join(", ");
    let help = format!("say how a row is sent, e.g. `--row-shape {c},{h},{w}` or {h},{w},{c}");
    match ways.len() {
        1 => Ok(ways.swap_remove(0)),
        0 => {
            let words = format!("images of {c} x {h} x {w} do not go into rows of [{wanted}]");
            Err(Failure::new("row-shape", words, help))
        }
        _ => {
            let words = format!("a row of [{wanted}] leaves open where the channels are");
            Err(Failure::new("row-shape", words, help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_sent_in_the_shape_that_is_wanted_and_refused_where_it_is_open() {
        let (first, last) = (Layout::Nchw, Layout::Nhwc);
        type Case<'a> = ([usize; 3], &'a [usize], Option<(&'a [usize], Layout)>);
        // image, wanted (0: open), sent
        let cases: [Case<'_>; 9] = [
            ([3, 8, 9], &[3, 8, 9], Some((&[3, 8, 9], first))),
            ([3, 8, 9], &[8, 9, 3], Some((&[8, 9, 3], last))),
            ([3, 8, 9], &[3, 0, 0], Some((&[3, 8, 9], first))),
            ([3, 8, 9], &[0, 0, 0], None),
            ([3, 8, 9], &[216], Some((&[216], first))),
            ([3, 8, 9], &[8, 9], None),
            ([1, 8, 9], &[8, 9], Some((&[8, 9], first))),
            ([1, 8, 9], &[9, 8, 1], None),
            ([4, 4, 4], &[4, 4, 4], Some((&[4, 4, 4], first))),
        ];
        for (shape, wanted, expected) in cases {
            let open: Vec<Option<usize>> =
                wanted.iter().map(|&d| Some(d).filter(|d| *d > 0)).collect();
            let expected = expected.map(|(axes, layout)| (axes.to_vec(), layout));
            assert_eq!(sent(shape, &open).ok(), expected, "{shape:?} {wanted:?}");
        }
    }
}
