//! A folder of images from the declaration to the replay: the same figures as the same pixels in
//! one array, changes that are found, and folders that are refused.

use std::fs;
use std::path::Path;

use proofmark_formats::idx;
use proofmark_formats::npy::{self, NpyArray, NpyData};
use serde_json::Value;

use crate::support::{Ran, Scratch, proofmark};

const CLASSES: [&str; 10] =
    ["tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"];
/// Images: enough for an interval, few enough for a debug build.
const ROWS: usize = 12;
const SIDE: usize = 28;

/// An image of the bundled example: name in a folder of subfolders, class, pixels.
struct Image {
    name: String,
    class: usize,
    pixels: Vec<u8>,
}

/// The first images of the example, in the order of their names.
fn images() -> Vec<Image> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/clothing");
    let array = |name: &str| {
        let bytes = fs::read(example.join(name)).expect("example");
        idx::read(&bytes, 64 << 20).expect("idx").data().to_f32().expect("numbers")
    };
    let (pixels, labels) = (array("test-images.idx.gz"), array("test-labels.idx.gz"));
    let image = |(at, label): (usize, &f32)| {
        let class = *label as usize;
        let from = at * SIDE * SIDE;
        let pixels = pixels[from..from + SIDE * SIDE].iter().map(|p| *p as u8).collect();
        Image { name: format!("{}/{at:03}.png", CLASSES[class]), class, pixels }
    };
    let mut images: Vec<Image> = labels.iter().enumerate().take(ROWS).map(image).collect();
    images.sort_by(|a, b| a.name.cmp(&b.name));
    images
}

fn png(width: usize, height: usize, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("header");
    writer.write_image_data(pixels).expect("pixels");
    writer.finish().expect("end");
    bytes
}

/// A declaration of one network and the data set of those lines.
fn declared(data: &str) -> Scratch {
    let scratch = Scratch::copy_of("clothing");
    for name in ["test-images.idx.gz", "validation-images.idx.gz", "proofmark.toml"] {
        fs::remove_file(scratch.path(name)).expect("rm");
    }
    let text = format!(
        r#"format = "proofmark.system/1"
[system]
name = "sorter"
version = "1.0.0"
provider = "Example (DEMO)"
purpose = "Sorts garments."
demo = true
seed = 7
[data.test]
role = "test"
{data}
[features.image]
type = "image"
shape = [1, 28, 28]
bounds = [0, 255]
mutable = true
[models.cnn]
path = "cnn_adv.onnx"
role = "primary"
output = {{ name = "logits", kind = "logit" }}
decision = "argmax"
input = {{ layout = "nchw", range = [0, 1] }}
[threats.pixels]
norm = "linf"
eps = [8]
scale = "0-255"
access = "score"
queries = 40
[criteria.accuracy]
metric = "accuracy"
model = "cnn"
data = "test"
at_least = 0.3
confidence = 0.95
rationale = "A test."
approver = "nobody"
"#
    );
    fs::write(scratch.path("proofmark.toml"), text).expect("write");
    scratch
}

fn classes(value: impl Fn(usize) -> String) -> String {
    let pairs = CLASSES.iter().enumerate().map(|(i, name)| format!("{name} = \"{}\"", value(i)));
    format!("classes = {{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// Subfolders as classes.
fn by_folder() -> Scratch {
    let names = classes(|i| CLASSES[i].to_owned());
    let scratch = declared(&format!("path = \"images/\"\n{names}"));
    for image in images() {
        let path = scratch.path("images").join(&image.name);
        fs::create_dir_all(path.parent().expect("folder")).expect("mkdir");
        fs::write(path, png(SIDE, SIDE, &image.pixels)).expect("write");
    }
    scratch
}

/// All images in one place, with a list of labels, in the same order.
fn by_list() -> Scratch {
    let names = classes(|i| i.to_string());
    let scratch = declared(&format!("path = \"images/\"\nlabels = \"images/labels.csv\"\n{names}"));
    fs::create_dir(scratch.path("images")).expect("mkdir");
    let mut list = String::from("file,label\n");
    for image in images() {
        let name = image.name.replace('/', "-");
        fs::write(scratch.path("images").join(&name), png(SIDE, SIDE, &image.pixels))
            .expect("write");
        list += &format!("{name},{}\n", image.class);
    }
    fs::write(scratch.path("images/labels.csv"), list).expect("write");
    scratch
}

/// The same pixels as one array.
fn by_array() -> Scratch {
    let names = classes(|i| i.to_string());
    let scratch = declared(&format!("path = \"x.npy\"\nlabels = \"y.npy\"\n{names}"));
    let images = images();
    let pixels = images.iter().flat_map(|i| i.pixels.clone()).collect();
    let labels = images.iter().map(|i| i.class as i64).collect();
    for (name, shape, data) in [
        ("x.npy", vec![ROWS, 1, SIDE, SIDE], NpyData::U8(pixels)),
        ("y.npy", vec![ROWS], NpyData::I64(labels)),
    ] {
        let array = NpyArray::new(shape, data).expect("array");
        fs::write(scratch.path(name), npy::write(&array).expect("npy")).expect("write");
    }
    scratch
}

/// What was measured, without the files it was measured on.
fn figures(document: &Value) -> Vec<Value> {
    let mut all = document["measurements"].as_array().expect("measurements").clone();
    for figure in &mut all {
        let figure = figure.as_object_mut().expect("object");
        figure.remove("assets");
        figure.remove("probe");
        figure.remove("notes");
    }
    all
}

#[test]
fn folders_and_arrays_of_the_same_pixels_give_the_same_figures() {
    let array = by_array();
    let (code, want) = array.json(&["assess"]);
    assert!(code <= 1 && want["complete"] == true, "{want:#}");
    let want = figures(&want);
    assert!(want.iter().any(|m| m["metric"] == "robust_accuracy"), "{want:#?}");
    for (name, scratch) in [("subfolders", by_folder()), ("list", by_list())] {
        let (code, checked) = scratch.json(&["check"]);
        assert_eq!((code, &checked["data"][0]["rows"]), (0, &ROWS.into()), "{name}: {checked:#}");
        let (code, got) = scratch.json(&["assess"]);
        assert!(code <= 1, "{name}: {got:#}");
        assert_eq!(figures(&got), want, "{name}");

        let pack = scratch.path("pack").display().to_string();
        let sealed = scratch.run(&["dossier", "--out", &pack]);
        assert_eq!(sealed.code, 0, "{name}: {}", sealed.stderr);
        assert_eq!(proofmark(&["verify", &pack]).code, 0, "{name}");
        let (code, again) = scratch.json(&["replay"]);
        assert_eq!((code, &again["identical"]), (0, &true.into()), "{name}: {again:#}");
        found_when_changed(name, &scratch);
    }
}

/// A file that is changed, added, taken away or moved to another class after it was measured.
fn found_when_changed(name: &str, scratch: &Scratch) {
    let folder = scratch.path("images");
    let mut files = Vec::new();
    walk(&folder, &mut files);
    let victim = files.iter().find(|f| f.extension().is_some_and(|e| e == "png")).expect("png");
    let (old, aside) = (fs::read(victim).expect("read"), scratch.path("aside.png"));
    let mut pixels = images()[0].pixels.clone();
    pixels[300] ^= 1;
    let changed = png(SIDE, SIDE, &pixels);
    let stale = |what: &str| {
        let ran = scratch.run(&["replay"]);
        assert_eq!(ran.code, 2, "{name}, {what}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("error[asset-changed]"), "{name}, {what}: {}", ran.stderr);
        assert!(ran.stderr.contains("`data/test`"), "{name}, {what}: {}", ran.stderr);
    };
    fs::write(victim, changed).expect("write");
    stale("one pixel");
    fs::write(victim, &old).expect("write");
    assert_eq!(scratch.run(&["replay"]).code, 0, "{name}: the old file is the old file");
    if name == "subfolders" {
        let added = victim.with_file_name("zzz.png");
        fs::write(&added, &old).expect("write");
        stale("added");
        fs::remove_file(added).expect("rm");
        fs::rename(victim, &aside).expect("move");
        stale("taken away");
        let other = if victim.starts_with(folder.join("bag")) { "boot" } else { "bag" };
        let moved = folder.join(other).join("moved.png");
        fs::create_dir_all(folder.join(other)).expect("mkdir");
        fs::rename(&aside, &moved).expect("move");
        stale("another class");
        fs::rename(&moved, victim).expect("move");
    }
    assert_eq!(scratch.run(&["replay"]).code, 0, "{name}");
}

fn walk(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(dir).expect("folder").map(|e| e.expect("entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

fn refused(name: &str, ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, 2, "{name}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("help: "), "{name}: no next step\n{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{name}: `{word}` is not said\n{}", ran.stderr);
    }
}

#[test]
fn folders_that_cannot_be_read_are_refused_by_the_name_of_the_file() {
    type Damage = fn(&Path);
    let cases: &[(&str, Damage, &[&str])] = &[
        ("cut off", |f| cut(&f.join("coat/bad.png"), 90), &["coat/bad.png", "cannot be read"]),
        ("a pixel flipped", flipped, &["coat/bad.png", "cannot be read"]),
        (
            "another size",
            |f| write(f, "coat/bad.png", &png(20, 28, &[0; 560])),
            &["coat/bad.png", "28 high and 20 wide", "shape = [1, 28, 28]", "resize"],
        ),
        ("a huge size", huge, &["coat/bad.png", "2000000000 high"]),
        ("no image", |f| write(f, "coat/bad.png", b"hello"), &["neither PNG nor JPEG"]),
        ("empty file", |f| write(f, "coat/bad.png", b""), &["coat/bad.png"]),
        (
            "unknown class",
            |f| {
                fs::create_dir(f.join("scarf")).expect("mkdir");
                write(f, "scarf/1.png", &png(SIDE, SIDE, &[0; SIDE * SIDE]));
            },
            &["scarf/1.png", "is no class", "`coat` (coat)"],
        ),
        (
            "an image without a class",
            |f| write(f, "loose.png", &png(SIDE, SIDE, &[0; SIDE * SIDE])),
            &["loose.png", "lies in no subfolder", "labels.csv"],
        ),
        ("a list of nothing", |f| fs::remove_dir_all(f).expect("rm"), &["images"]),
    ];
    for (name, damage, words) in cases {
        let scratch = by_folder();
        fs::create_dir_all(scratch.path("images/coat")).expect("mkdir");
        damage(&scratch.path("images"));
        for verb in ["check", "assess"] {
            refused(name, &scratch.run(&[verb]), words);
        }
        assert!(!scratch.path(".proofmark").exists(), "{name}: nothing is logged");
    }
}

#[cfg(unix)]
#[test]
fn links_and_lists_that_do_not_fit_are_refused() {
    let scratch = by_folder();
    let target = scratch.path("images").join(&images()[0].name);
    std::os::unix::fs::symlink(&target, scratch.path("images/coat-link.png")).expect("link");
    refused("a link", &scratch.run(&["check"]), &["coat-link.png", "is a link", "in its place"]);
    fs::remove_file(scratch.path("images/coat-link.png")).expect("rm");
    std::os::unix::fs::symlink("/etc", scratch.path("images/etc")).expect("link");
    refused("a folder behind a link", &scratch.run(&["check"]), &["images/etc", "is a link"]);

    let scratch = by_list();
    let with = |change: &dyn Fn(&str) -> String, words: &[&str]| {
        let old = fs::read_to_string(scratch.path("images/labels.csv")).expect("list");
        fs::write(scratch.path("images/labels.csv"), change(&old)).expect("write");
        refused("list", &scratch.run(&["check"]), words);
        fs::write(scratch.path("images/labels.csv"), old).expect("write");
    };
    with(&|t| t.replacen("file,", "name,", 1), &["name, label", "`file` and `label` are read"]);
    with(&|t| t.lines().take(9).collect::<Vec<_>>().join("\n"), &["has no label in the list"]);
    with(&|t| format!("{t}ghost.png,1\n"), &["ghost.png", "but not in the folder"]);
    with(&|t| format!("{t}{}\n", t.lines().nth(1).expect("row")), &["stands twice"]);
    with(&|t| format!("{t}../cnn.onnx,1\n"), &["../cnn.onnx", "not in the folder"]);
    assert_eq!(scratch.run(&["check"]).code, 0);
}

#[test]
fn init_proposes_folders_of_images_with_what_it_found() {
    let scratch = by_folder();
    fs::remove_file(scratch.path("proofmark.toml")).expect("rm");
    fs::remove_file(scratch.path("test-labels.idx.gz")).expect("rm");
    fs::remove_file(scratch.path("validation-labels.idx.gz")).expect("rm");
    // Another layout beside it: splits above the classes, one image of another size.
    for (split, side) in [("train", SIDE), ("test", 27)] {
        for (class, side) in [("coat", SIDE), ("bag", side)] {
            let folder = scratch.path("pictures").join(split).join(class);
            fs::create_dir_all(&folder).expect("mkdir");
            write(&folder, "1.png", &png(side, side, &vec![7; side * side]));
        }
    }
    // A folder that is about something else, and one that is refused.
    fs::create_dir(scratch.path("notes")).expect("mkdir");
    write(&scratch.path("notes"), "logo.png", b"");
    (0..5).for_each(|i| write(&scratch.path("notes"), &format!("{i}.md"), b"text"));
    let proposed = |scratch: &Scratch| {
        let ran = proofmark(&["init", &scratch.dir().display().to_string()]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let text = fs::read_to_string(scratch.path("proofmark.toml")).expect("declaration");
        (text, ran.stderr)
    };
    let (text, notes) = proposed(&scratch);
    for line in [
        "path = \"images/\"",
        "# found: 12 images",
        "[data.train]",
        "path = \"pictures/train/\"",
        "[data.test]",
        "path = \"pictures/test/\"",
        "classes = { bag = \"bag\", coat = \"coat\" }",
        "shape = [1, 28, 28]",
    ] {
        assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
    }
    assert!(!text.contains("notes/") && !text.contains("labels ="), "{text}");
    assert!(notes.contains("`pictures/test/` holds images of different shapes"), "{notes}");

    // A list of labels, inside the folder or beside it, is that and no table of its own.
    for (inside, list) in [(true, "images/labels.csv"), (false, "labels.csv")] {
        let scratch = by_list();
        fs::remove_file(scratch.path("proofmark.toml")).expect("rm");
        if !inside {
            fs::rename(scratch.path("images/labels.csv"), scratch.path(list)).expect("move");
        }
        let (text, _) = proposed(&scratch);
        assert!(text.contains(&format!("labels = \"{list}\"")), "{text}");
        assert!(!text.contains("[data.labels]") && text.contains("classes = \"?\""), "{text}");
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("write");
}

fn cut(path: &Path, at: usize) {
    let mut pixels = images()[0].pixels.clone();
    pixels.iter_mut().enumerate().for_each(|(i, p)| *p ^= (i % 251) as u8);
    fs::write(path, &png(SIDE, SIDE, &pixels)[..at]).expect("write");
}

/// A bit of the packed pixels that the sum behind them does not forgive.
fn flipped(folder: &Path) {
    let mut bytes = png(SIDE, SIDE, &images()[0].pixels);
    let at = bytes.windows(4).position(|w| w == b"IDAT").expect("pixels") + 40;
    bytes[at] ^= 0x10;
    write(folder, "coat/bad.png", &bytes);
}

/// A header of two milliards by two milliards pixels, with its sum in order.
fn huge(folder: &Path) {
    let mut bytes = png(SIDE, SIDE, &[0; SIDE * SIDE]);
    bytes[16..20].copy_from_slice(&2_000_000_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&2_000_000_000u32.to_be_bytes());
    let sum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    write(folder, "coat/bad.png", &bytes);
}

/// The sum of a chunk (PNG specification, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}
