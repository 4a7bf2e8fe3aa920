//! Images and labels from NPY, NPZ and IDX.

use std::io::Write;

use proofmark_dataset::digest::{duplicates, row_bytes};
use proofmark_dataset::images::{Images, ImagesError};
use proofmark_formats::npy::{self, NpyArray, NpyData};
use proofmark_formats::npz;
use proofmark_schema::system::{DataAsset, Feature, FeatureKind as Kind};

use crate::make::{asset, mutable};

fn array(shape: &[usize], data: NpyData) -> NpyArray {
    NpyArray::new(shape.to_vec(), data).unwrap()
}

fn npy_bytes(shape: &[usize], data: NpyData) -> Vec<u8> {
    npy::write(&array(shape, data)).unwrap()
}

fn idx_bytes(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|d| d.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn image(shape: [usize; 3]) -> Feature {
    Feature { shape: Some(shape), ..mutable("image", Kind::Image, [0.0, 9.0]) }
}

fn digits() -> DataAsset {
    asset("none", &["0", "1", "7"])
}

#[test]
fn all_containers_give_the_same_images() {
    let pixels: Vec<u8> = (0..8).collect();
    let labels = NpyData::I64(vec![7, 0]);
    let plain = npy_bytes(&[2], labels.clone());
    let both = npz::write([
        ("images", &array(&[2, 2, 2], NpyData::U8(pixels.clone()))),
        ("labels", &array(&[2], labels)),
    ])
    .unwrap();
    let idx = idx_bytes(&[2, 2, 2], &pixels);
    let idx_labels = idx_bytes(&[2], &[7, 0]);
    let floats: Vec<f32> = pixels.iter().map(|p| f32::from(*p)).collect();
    for (name, data, labels, whole) in [
        ("npy", npy_bytes(&[2, 2, 2], NpyData::U8(pixels.clone())), plain.clone(), true),
        (
            "npy with a channel",
            npy_bytes(&[2, 1, 2, 2], NpyData::U8(pixels.clone())),
            plain.clone(),
            true,
        ),
        (
            "npy, channel last",
            npy_bytes(&[2, 2, 2, 1], NpyData::U8(pixels.clone())),
            plain.clone(),
            true,
        ),
        ("npy floats", npy_bytes(&[2, 2, 2], NpyData::F32(floats.clone())), plain.clone(), false),
        ("npz", both.clone(), both, true),
        ("idx", idx.clone(), idx_labels.clone(), true),
        ("idx, gzip", gzip(&idx), gzip(&idx_labels), true),
        (
            "texts as labels",
            idx.clone(),
            npy_bytes(&[2, 1], NpyData::Str(vec!["7".into(), "0".into()])),
            true,
        ),
        ("floats as labels", idx, npy_bytes(&[2], NpyData::F64(vec![7.0, 0.0])), true),
    ] {
        let read = Images::read(&data, &labels, &digits(), &image([1, 2, 2]));
        let read = read.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((read.n, &read.data, &read.labels[..]), (2, &floats, &[2, 0][..]), "{name}");
        assert_eq!(read.whole, whole, "{name}");
        let counts: Vec<usize> = read.classes.iter().map(|c| c.count).collect();
        assert_eq!(counts, [1, 0, 1], "{name}");
        assert_eq!(read.image(1), [4.0, 5.0, 6.0, 7.0], "{name}");
        assert!(read.image(2).is_empty() && read.violations.is_empty());
    }
}

#[test]
fn channels_last_are_brought_first() {
    // One image of 1 x 2 pixels with 3 channels, stored pixel by pixel.
    let data = npy_bytes(&[1, 1, 2, 3], NpyData::U8(vec![1, 2, 3, 4, 5, 6]));
    let labels = npy_bytes(&[1], NpyData::U8(vec![1]));
    let read = Images::read(&data, &labels, &digits(), &image([3, 1, 2])).unwrap();
    assert_eq!(read.data, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn bad_images_are_refused() {
    let good = npy_bytes(&[2, 2, 2], NpyData::U8((0..8).collect()));
    let good_labels = npy_bytes(&[2], NpyData::U8(vec![0, 1]));
    let nan = npy_bytes(&[1, 2, 2], NpyData::F32(vec![0.0, 1.0, f32::NAN, 2.0]));
    let one_label = npy_bytes(&[1], NpyData::U8(vec![0]));
    let odd = npz::write([
        ("one", &array(&[1], NpyData::U8(vec![0]))),
        ("two", &array(&[1], NpyData::U8(vec![0]))),
    ])
    .unwrap();
    for (name, data, labels, told) in [
        (
            "another size",
            npy_bytes(&[2, 3, 3], NpyData::U8(vec![0; 18])),
            good_labels.clone(),
            "the images have shape (2, 3, 3), `shape = [1, 2, 2]` gives (n, 1, 2, 2) or \
             (n, 2, 2, 1); correct `shape`",
        ),
        (
            "a label less",
            good.clone(),
            one_label.clone(),
            "there are 2 images but 1 labels; do both files belong together?",
        ),
        (
            "label outside the classes",
            good.clone(),
            npy_bytes(&[2], NpyData::U8(vec![0, 5])),
            "image 1: label `5` is no class; known: `0` (class 0), `1` (class 1), `7` (class 7)",
        ),
        (
            "labels as a matrix",
            good.clone(),
            npy_bytes(&[2, 3], NpyData::U8(vec![0; 6])),
            "the labels have shape (2, 3), a list of one label per image is needed",
        ),
        ("not finite", nan, one_label.clone(), "image 0 holds a pixel that is not finite"),
        (
            "no image",
            npy_bytes(&[0, 2, 2], NpyData::U8(vec![])),
            good_labels.clone(),
            "the images file holds no image",
        ),
        (
            "unclear archive",
            odd,
            good_labels.clone(),
            "the images file holds the arrays one, two; name one of them `images`",
        ),
        (
            "text for pixels",
            npy_bytes(&[1, 2, 2], NpyData::Str(vec!["x".into(); 4])),
            one_label,
            "the images file: the array holds text where numbers are needed",
        ),
        (
            "no file of the kind",
            b"hello".to_vec(),
            good_labels,
            "the images file: not an IDX file: it does not start with two zero bytes, a type and \
             a rank",
        ),
    ] {
        let refused = Images::read(&data, &labels, &digits(), &image([1, 2, 2]));
        assert_eq!(refused.unwrap_err().to_string(), told, "{name}");
    }
    let plain = mutable("a", Kind::Number, [0.0, 1.0]);
    let refused = Images::read(&good, &good, &digits(), &plain).unwrap_err();
    assert_eq!(refused, ImagesError::NoShape { feature: "a".into() });
}

#[test]
fn pixels_outside_the_bounds_are_told_and_a_limit_holds() {
    let data = npy_bytes(&[3, 1, 2], NpyData::U8(vec![0, 9, 0, 10, 255, 0]));
    let labels = npy_bytes(&[3], NpyData::U8(vec![0, 0, 1]));
    let read = Images::read(&data, &labels, &digits(), &image([1, 1, 2])).unwrap();
    let [outside] = &read.violations[..] else { panic!("{:?}", read.violations) };
    assert_eq!((&outside.rows[..], outside.expected.as_str()), (&[1, 2][..], "0 to 9"));
    assert_eq!(outside.examples[0], (1, "10".to_owned()));
    let limited = DataAsset { limit: Some(1), ..digits() };
    let read = Images::read(&data, &labels, &limited, &image([1, 1, 2])).unwrap();
    assert_eq!((read.n, read.data.len(), read.labels.len()), (1, 2, 1));
}

#[test]
fn equal_images_are_found_whatever_their_type() {
    let labels = npy_bytes(&[3], NpyData::U8(vec![0, 1, 0]));
    let bytes = npy_bytes(&[3, 1, 2], NpyData::U8(vec![1, 2, 1, 2, 3, 4]));
    let floats = npy_bytes(&[3, 1, 2], NpyData::F64(vec![1.0, 2.0, 1.0, 2.0, 3.0, 4.0]));
    let read = |data: &[u8]| Images::read(data, &labels, &digits(), &image([1, 1, 2])).unwrap();
    let (bytes, floats) = (read(&bytes), read(&floats));
    let found = duplicates(&bytes);
    assert_eq!((found.rows, found.contradicting), (vec![1], vec![1]));
    assert_eq!(row_bytes(&bytes, 2), row_bytes(&floats, 2));
}
