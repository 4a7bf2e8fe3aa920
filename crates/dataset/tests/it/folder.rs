//! Folders of images: order, classes, channels, and pixels against Pillow
//! (`golden/folder/make.py`).

use std::fs;
use std::path::Path;

use proofmark_dataset::digest::row_bytes;
use proofmark_dataset::folder::{Entry, FolderError, Gather, entries};
use proofmark_dataset::images::Images;
use proofmark_schema::system::{Feature, FeatureKind as Kind};
use serde_json::Value;

use crate::make::{asset, mutable};

fn bytes(name: &str) -> Vec<u8> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/folder");
    fs::read(golden.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn image(shape: [usize; 3]) -> Feature {
    Feature { shape: Some(shape), ..mutable("image", Kind::Image, [0.0, 255.0]) }
}

fn read(name: &str, shape: [usize; 3]) -> Result<(Images, Vec<String>), FolderError> {
    let (asset, feature) = (asset("none", &["a"]), image(shape));
    let mut gather = Gather::begin(&asset, &feature, 1)?;
    gather.push(&Entry { name: name.into(), class: 0 }, &bytes(name))?;
    Ok(gather.finish())
}

#[test]
fn pixels_are_those_that_pillow_reads() {
    let golden: Value = serde_json::from_slice(&bytes("pixels.json")).unwrap();
    for (name, want) in golden.as_object().unwrap() {
        let shape: [usize; 3] =
            serde_json::from_value(want["shape"].clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let wanted: Vec<f32> = serde_json::from_value(want["values"].clone()).unwrap();
        if name == "alpha.png" {
            assert!(matches!(read(name, [3, 5, 7]), Err(FolderError::Channels { .. })));
        }
        let (images, _) = read(name, shape).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((images.n, images.shape, images.whole), (1, shape, true), "{name}");
        let off = images.data.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // PNG is exact; a decoder of JPEG may round otherwise, and more where it has to make up
        // the colours between those that are stored.
        let limit = match name.as_str() {
            n if n.ends_with(".png") => 0.0,
            "smooth_420.jpg" => 6.0,
            _ => 2.0,
        };
        assert!(off <= limit, "{name}: {off}");
        assert_eq!(images.data.len(), wanted.len(), "{name}");
    }
}

#[test]
fn channels_are_matched_or_refused_and_said() {
    let colour = [3, 5, 7];
    for (name, shape, said) in [
        (
            "solid.png",
            colour,
            Some("1 image: a transparency that is solid throughout was left out"),
        ),
        ("grey.png", colour, Some("1 image: grey was repeated for three channels")),
        (
            "turned.jpg",
            colour,
            Some("1 image: an orientation (EXIF) is not applied: pixels are those stored"),
        ),
        ("colour.png", colour, None),
    ] {
        let (_, notes) = read(name, shape).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(notes.first().map(String::as_str), said, "{name}");
    }
    for (name, shape, told) in [
        (
            "colour.png",
            [1, 5, 7],
            "`colour.png` is colour, which does not give 1 channels; convert it to grey as the \
             training code did",
        ),
        (
            "alpha.png",
            colour,
            "`alpha.png` is colour with transparency, which does not give 3 channels; put it on \
             a ground of one colour where it is saved",
        ),
        (
            "grey.png",
            [1, 7, 5],
            "`grey.png` is 5 high and 7 wide, `shape = [1, 7, 5]` wants 7 high and 5 wide; \
             resize the images as the training code did",
        ),
        (
            "cmyk.jpg",
            colour,
            "`cmyk.jpg` cannot be read: it is of four inks (CMYK); save it as RGB",
        ),
        ("make.py", colour, "`make.py` cannot be read: it is neither PNG nor JPEG"),
    ] {
        assert_eq!(read(name, shape).unwrap_err().to_string(), told, "{name}");
    }
    let (asset, feature) = (asset("none", &["a"]), image([1, 5, 7]));
    let mut gather = Gather::begin(&asset, &feature, 2).unwrap();
    let entry = |name: &str| Entry { name: name.into(), class: 0 };
    gather.push(&entry("grey.png"), &bytes("grey.png")).unwrap();
    let mixed = gather.push(&entry("grey16.png"), &bytes("grey16.png")).unwrap_err();
    assert_eq!(mixed.to_string(), "`grey16.png` has 16 bits per value, the images before it 8");
    let huge = Gather::begin(&asset, &feature, 1 << 30).err().unwrap();
    assert!(matches!(huge, FolderError::TooLarge { .. }));
}

#[test]
fn classes_are_those_of_subfolders_or_of_a_list() {
    let asset = asset("none", &["cat", "dog"]);
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let got = |list: &[&str], labels: Option<&str>| {
        entries(&names(list), labels.map(str::as_bytes), &asset)
            .map(|e| e.iter().map(|e| format!("{} {}", e.name, e.class)).collect::<Vec<_>>())
            .map_err(|e| e.to_string())
    };
    let shuffled = ["dog/2.png", "cat/10.png", ".DS_Store", "cat/1.png", "dog/.x.png"];
    assert_eq!(got(&shuffled, None).unwrap(), ["cat/1.png 0", "cat/10.png 0", "dog/2.png 1"]);
    let list = "file,label\nb.png,cat\na.png,dog\n";
    assert_eq!(got(&["a.png", "b.png"], Some(list)).unwrap(), ["b.png 0", "a.png 1"]);
    for (name, files, labels, told) in [
        ("empty", &[][..], None, "the folder holds no image; PNG and JPEG are read"),
        ("no subfolder", &["a.png"][..], None, "`a.png` lies in no subfolder"),
        ("unknown", &["cow/a.png"][..], None, "`cow/a.png`: `cow` is no class; known: `cat`"),
        ("not there", &["a.png"][..], Some(list), "`b.png` stands in the list of labels, but not"),
        (
            "no label",
            &["a.png", "b.png", "c.png"][..],
            Some(list),
            "`c.png` lies in the folder, but has no label in the list",
        ),
        (
            "twice",
            &["a.png"][..],
            Some("file,label\na.png,cat\na.png,dog\n"),
            "`a.png` stands twice in the list of labels",
        ),
        (
            "other columns",
            &["a.png"][..],
            Some("name,label\na.png,cat\n"),
            "the list of labels has the columns name, label; `file` and `label` are read",
        ),
    ] {
        let refused = got(files, labels).unwrap_err();
        assert!(refused.starts_with(told), "{name}: {refused}");
    }
}

#[test]
fn damaged_images_end_in_pixels_or_an_error() {
    for name in ["colour.png", "palette.png", "smooth.jpg", "progressive.jpg", "turned.jpg"] {
        let whole = bytes(name);
        let (asset, feature) = (asset("none", &["a"]), image([3, 5, 7]));
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            for bytes in [&whole[..at], &flipped] {
                let mut gather = Gather::begin(&asset, &feature, 1).unwrap();
                if gather.push(&Entry { name: name.into(), class: 0 }, bytes).is_ok() {
                    assert_eq!(gather.finish().0.data.len(), 105);
                }
            }
        }
    }
}

#[test]
fn the_same_pixels_are_the_same_row_wherever_they_come_from() {
    let (images, _) = read("grey.png", [1, 5, 7]).unwrap();
    let pixels: Vec<u8> = images.data.iter().map(|v| *v as u8).collect();
    let mut npy = b"\x93NUMPY\x01\0v\0".to_vec();
    let mut header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 5, 7), }".to_owned();
    header += &" ".repeat(117 - header.len());
    npy.extend((header + "\n").bytes());
    npy.extend(&pixels);
    let mut labels = b"\x93NUMPY\x01\0v\0".to_vec();
    let mut header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }".to_owned();
    header += &" ".repeat(117 - header.len());
    labels.extend((header + "\n").bytes());
    labels.push(0);
    let other = Images::read(&npy, &labels, &asset("none", &["0"]), &image([1, 5, 7])).unwrap();
    assert_eq!(row_bytes(&images, 0), row_bytes(&other, 0));
}
