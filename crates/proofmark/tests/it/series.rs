//! Windows of a real series from the check to the replay: regression and classes, two layouts,
//! bounds and budgets per channel, heads, and what is refused by name.
//!
//! Models and data: `tests/series/make.py`.

use std::fs;

use proofmark_formats::npz::Npz;
use serde_json::Value;

use crate::onnxruntime::library;
use crate::support::{Scratch, proofmark, proofmark_with};

const STEPS: usize = 8;
/// Steps from which `last = 4` lets an attacker change them.
const FREE_FROM: usize = 4;
/// Channels of the file with their bounds; the first and the last stand still.
const CHANNELS: [[f64; 2]; 5] =
    [[0.0, 15.0], [-15.0, 20.0], [0.0, 20.0], [-20.0, 25.0], [1.0, 4.0]];
const MUTABLE: [usize; 3] = [1, 2, 3];
/// What `lstm.onnx` reads: `(x - MEAN) / STD` per channel.
const MEAN: [f64; 5] = [5.827, 5.276, 6.05, 3.324, 2.5];
const STD: [f64; 5] = [1.565, 3.789, 3.076, 4.28, 1.118];

/// The next quarter as a number, on so many windows.
fn numbers(limit: usize) -> Scratch {
    let scratch = Scratch::copy_of("../crates/proofmark/tests/series");
    limited(&scratch, limit);
    scratch
}

/// The next quarter as one of two classes.
fn classes(limit: usize) -> Scratch {
    let scratch = Scratch::copy_of("../crates/proofmark/tests/series");
    fs::copy(scratch.path("rise.toml"), scratch.path("proofmark.toml")).expect("declaration");
    limited(&scratch, limit);
    scratch
}

fn limited(scratch: &Scratch, limit: usize) {
    scratch.edit("proofmark.toml", |text| {
        text.replacen("role = \"test\"", &format!("role = \"test\"\nlimit = {limit}"), 1)
    });
}

fn state<'a>(document: &'a Value, criterion: &str) -> &'a str {
    let verdicts = document["verdicts"].as_array().expect("verdicts");
    let found = verdicts.iter().find(|v| v["criterion"]["name"] == criterion);
    found.unwrap_or_else(|| panic!("no `{criterion}`"))["state"].as_str().expect("state")
}

/// Packed, verified by itself, computed again; gives the outcomes of the pack.
fn holds(scratch: &Scratch) -> Vec<Value> {
    let pack = scratch.path("pack");
    let text = pack.display().to_string();
    let made = scratch.run(&["dossier", "--out", &text]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let verified = proofmark(&["verify", &text]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let (code, again) = scratch.json(&["replay", "latest", "--full"]);
    assert_eq!((code, again["identical"].as_bool()), (0, Some(true)), "{again:#}");
    let bytes = fs::read(pack.join("data/measurements.json")).expect("measurements");
    serde_json::from_slice(&bytes).expect("json")
}

/// Rows and free coordinates of the witnesses of a model under a threat.
fn witnesses(
    scratch: &Scratch,
    outcomes: &[Value],
    model: &str,
    threat: &str,
) -> Vec<(usize, Vec<f32>)> {
    let of = |o: &&Value| {
        let id = o["probe"]["id"].as_str().expect("id");
        o["probe"]["model"] == model && id.contains(threat)
    };
    let outcome = outcomes.iter().find(of).unwrap_or_else(|| panic!("no {model}, {threat}"));
    let artefacts = outcome["artefacts"].as_array().expect("artefacts");
    let file = artefacts.iter().find(|a| a["name"] == "witnesses.npz").expect("witnesses");
    let sha = file["sha256"].as_str().expect("digest");
    let path = scratch.path(&format!(".proofmark/artefacts/{}/{}", &sha[..2], &sha[2..]));
    let bytes = fs::read(path).expect("artefact");
    let npz = Npz::open(&bytes).expect("npz");
    let rows = npz.array("rows").expect("rows").data().to_i64().expect("i64");
    let x = npz.array("x").expect("x");
    let dims = x.shape()[1];
    let x = x.data().to_f32().expect("f32");
    rows.iter().zip(x.chunks(dims)).map(|(&row, x)| (row as usize, x.to_vec())).collect()
}

/// The windows of the file, `(n, steps, channels)`.
fn windows(scratch: &Scratch, file: &str) -> Vec<f32> {
    let bytes = fs::read(scratch.path(file)).expect("windows");
    let npz = Npz::open(&bytes).expect("npz");
    let x = npz.array("x").expect("x");
    assert_eq!(x.shape()[1..], [STEPS, CHANNELS.len()]);
    x.data().to_f32().expect("f32")
}

/// The free coordinates as the model reads them: step and channel of each, in its order.
fn places(channels_first: bool, from: usize) -> Vec<(usize, usize)> {
    let each = |step: usize| MUTABLE.map(|channel| (step, channel));
    let mut all: Vec<(usize, usize)> = (from..STEPS).flat_map(each).collect();
    if channels_first {
        all.sort_by_key(|&(step, channel)| (channel, step));
    }
    all
}

/// How far a witness leaves bounds or budget, judged from the file and the declaration alone.
/// `scale` turns a value of the file into that of the model, `unit` is 1 of the budget in the
/// unit of the file, each per channel.
#[derive(Clone)]
struct Judge<'a> {
    clean: &'a [f32],
    places: Vec<(usize, usize)>,
    scale: &'a dyn Fn(usize, f64) -> f64,
    unit: [f64; 5],
    bounds: [[f64; 2]; 5],
}

impl Judge<'_> {
    /// Shifts of the coordinates, in the unit of the budget.
    fn shifts(&self, row: usize, x: &[f32]) -> Vec<f64> {
        assert_eq!(x.len(), self.places.len(), "free coordinates");
        let each = self.places.iter().zip(x).map(|(&(step, channel), &v)| {
            let clean = self.clean[(row * STEPS + step) * CHANNELS.len() + channel];
            let clean = (self.scale)(channel, f64::from(clean)) as f32;
            let one = (self.scale)(channel, 1.0) - (self.scale)(channel, 0.0);
            (f64::from(v) - f64::from(clean)).abs() / one / self.unit[channel]
        });
        each.collect()
    }

    fn inside(&self, x: &[f32]) -> bool {
        self.places.iter().zip(x).all(|(&(_, channel), &v)| {
            let [low, high] = self.bounds[channel].map(|b| (self.scale)(channel, b));
            let slack = 1e-6 * (high - low);
            (low - slack..=high + slack).contains(&f64::from(v))
        })
    }
}

const SPANS: fn([f64; 2]) -> f64 = |[low, high]| high - low;

#[test]
fn a_series_is_checked_assessed_packed_verified_and_computed_again_inside_its_channels() {
    let scratch = numbers(40);
    let checked = scratch.run(&["check"]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("models.lstm on data.test: bound, 12 free coordinates"));
    let (_, document) = scratch.json(&["assess"]);
    assert_eq!(document["complete"], true, "{document:#}");
    assert_eq!(state(&document, "error"), "pass", "{document:#}");
    let outcomes = holds(&scratch);

    // Neighbouring windows share seven of eight quarters, which stands beside every figure.
    let said = serde_json::to_string(&outcomes).expect("text");
    assert!(said.contains("39 of 40 windows share steps with the one before (up to 7 of 8)"));
    assert!(said.contains("5 stand apart: the rows are not independent"), "{said}");

    let clean = windows(&scratch, "test.npz");
    let normal = |channel: usize, v: f64| (v - MEAN[channel]) / STD[channel];
    let lstm = Judge {
        clean: &clean,
        places: places(false, FREE_FROM),
        scale: &normal,
        unit: CHANNELS.map(SPANS),
        bounds: CHANNELS,
    };
    let found = witnesses(&scratch, &outcomes, "lstm", "reporter");
    assert!(found.len() > 5, "{} witnesses", found.len());
    // One budget for all, but a range of its own for each channel; f32 costs the rest.
    let within = |judge: &Judge<'_>| {
        found.iter().all(|(row, x)| judge.shifts(*row, x).iter().all(|s| *s <= 0.05 * (1.0 + 1e-5)))
    };
    assert!(within(&lstm), "a witness leaves its budget");
    assert!(found.iter().all(|(_, x)| lstm.inside(x)), "a witness leaves its bounds");
    // The same judge says no when the ranges belong to other channels, so it would have told.
    let [a, b, c, d, e] = lstm.unit;
    assert!(
        !within(&Judge { unit: [a, c, b, d, e], ..lstm.clone() }),
        "ranges of two channels swapped"
    );
    assert!(!within(&Judge { unit: [a, b, c, b, e], ..lstm.clone() }));
    let narrow =
        Judge { bounds: CHANNELS.map(|[low, high]| [low, low + 0.4 * (high - low)]), ..lstm };
    assert!(!found.iter().all(|(_, x)| narrow.inside(x)), "bounds that are too narrow");

    deviations(&scratch, &outcomes, &clean);
}

/// The second threat: Euclidean, in deviations of each channel over the training windows, on a
/// network that reads channels first.
fn deviations(scratch: &Scratch, outcomes: &[Value], clean: &[f32]) {
    let train = windows(scratch, "train.npz");
    let unit = std::array::from_fn(|channel| {
        let each = || train.iter().skip(channel).step_by(CHANNELS.len()).map(|&v| f64::from(v));
        let n = each().count() as f64;
        let mean = each().sum::<f64>() / n;
        (each().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
    });
    let same = |_: usize, v: f64| v;
    let judge =
        Judge { clean, places: places(true, FREE_FROM), scale: &same, unit, bounds: CHANNELS };
    let found = witnesses(scratch, outcomes, "conv", "drift");
    assert!(found.len() > 3, "{} witnesses", found.len());
    let length = |judge: &Judge<'_>, (row, x): &(usize, Vec<f32>)| {
        judge.shifts(*row, x).iter().map(|s| s * s).sum::<f64>().sqrt()
    };
    // The deviation of a sample differs from that of the whole by a share of 1 / 2n.
    let most = found.iter().map(|w| length(&judge, w)).fold(0.0, f64::max);
    assert!(most <= 1.0 + 2e-3, "{most}");
    assert!(found.iter().all(|(_, x)| judge.inside(x)));
    let order = Judge { places: places(false, FREE_FROM), ..judge };
    let wrong = found.iter().map(|w| length(&order, w)).fold(0.0, f64::max);
    assert!(wrong > 1.5, "coordinates in the order of the file are another network's: {wrong}");
}

#[test]
fn onnx_runtime_gives_the_figures_of_the_embedded_engine() {
    let Some(library) = library() else { return };
    let assessed = |variable: &str| {
        let scratch = numbers(16);
        let dir = scratch.dir().display().to_string();
        let args = ["assess", "-C", &dir, "--format", "json"];
        let ran = proofmark_with(&args, &[("PROOFMARK_ONNXRUNTIME", variable)]);
        let document: Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
        assert_eq!(document["complete"], true, "{document:#}");
        let value = |v: &Value| v["value"].as_f64().expect("value");
        let verdicts = document["verdicts"].as_array().expect("verdicts");
        let values: Vec<f64> = verdicts.iter().map(value).collect();
        (values, document.to_string().contains("\"name\":\"onnxruntime\""))
    };
    let ((rten, without), (onnx, with)) = (assessed("off"), assessed(&library));
    assert!(with && !without, "the engine that computed is named");
    // A mean error to the rounding of f32; of sixteen rows under attack one may tip.
    assert!((rten[0] - onnx[0]).abs() < 1e-5, "{rten:?} {onnx:?}");
    assert!((rten[1] - onnx[1]).abs() < 0.07, "{rten:?} {onnx:?}");
}

#[test]
fn classes_of_a_series_fall_to_gradients_and_to_decisions_alone() {
    let scratch = classes(48);
    let (_, document) = scratch.json(&["assess"]);
    assert_eq!(document["complete"], true, "{document:#}");
    assert_ne!(state(&document, "right"), "refused", "{document:#}");
    let outcomes = holds(&scratch);
    let clean = windows(&scratch, "test.npz");
    let same = |_: usize, v: f64| v;
    let judge = Judge {
        clean: &clean,
        places: places(true, 0),
        scale: &same,
        unit: CHANNELS.map(SPANS),
        bounds: CHANNELS,
    };
    for threat in ["reporter", "outsider"] {
        let found = witnesses(&scratch, &outcomes, "conv", threat);
        assert!(!found.is_empty(), "{threat}: no witness");
        for (row, x) in &found {
            let most = judge.shifts(*row, x).into_iter().fold(0.0, f64::max);
            assert!(most <= 0.05 * (1.0 + 1e-5) && judge.inside(x), "{threat}, row {row}: {most}");
        }
    }
}

#[test]
fn a_wrong_scale_or_order_of_the_channels_is_told_and_refused() {
    type Edit = fn(&str) -> String;
    let cases: [(&str, Edit, &[&str]); 4] = [
        (
            "two scales swapped, with the answers of the training framework",
            |t| t.replacen("std = [1.565, 3.789", "std = [3.789, 1.565", 1),
            &["answers differ from the training framework"],
        ),
        (
            "one scale ten times too small, labels alone",
            |t| {
                t.replacen("expected = \"expected_lstm.npy\"\n", "", 1).replacen(
                    "std = [1.565,",
                    "std = [0.1565,",
                    1,
                )
            },
            &["when read as: each channel standardised", "mean = [...], std = [...]"],
        ),
        (
            "normalised twice",
            |t| {
                let input = "input = { layout = \"channels-steps\", \
                             mean = [5.827, 5.276, 6.05, 3.324, 2.5], \
                             std = [1.565, 3.789, 3.076, 4.28, 1.118] }";
                t.replacen("input = { layout = \"channels-steps\" }", input, 1)
                    .replace("model = \"lstm\"", "model = \"conv\"")
            },
            &["only when read as: values as they stand in the file", "normalises by itself"],
        ),
        (
            "newest step first",
            |t| {
                t.replace("model = \"lstm\"", "model = \"conv\"")
                    .replace("\"test.npz\"", "\"turned.npz\"")
            },
            &["only when read as: steps in the reverse order", "oldest step first"],
        ),
    ];
    for (name, edit, words) in cases {
        let scratch = numbers(40);
        turned(&scratch);
        scratch.edit("proofmark.toml", |t| {
            let (before, rest) = t.split_once("[threats.drift]").expect("threat");
            let (_, criteria) = rest.split_once("[criteria.error]").expect("criteria");
            let (error, _) = criteria.split_once("[criteria.steady]").expect("criteria");
            let before = before.replacen("eps = [0.01, 0.05]", "eps = [0.05]", 1);
            edit(&format!("{before}[criteria.error]{error}")).replacen(
                "access = \"white-box\"",
                "access = \"white-box\"\nsuite = \"noise\"",
                1,
            )
        });
        let (_, document) = scratch.json(&["assess"]);
        assert_eq!(state(&document, "error"), "refused", "{name}: {document:#}");
        let verdict = &document["verdicts"][0];
        for word in words {
            assert!(verdict.to_string().contains(word), "{name}: {verdict:#}");
        }
    }
}

/// The test windows with their steps in the reverse order.
fn turned(scratch: &Scratch) {
    use proofmark_formats::npy::{NpyArray, NpyData};
    let clean = windows(scratch, "test.npz");
    let width = CHANNELS.len();
    let window = |w: &[f32]| w.chunks(width).rev().flatten().copied().collect::<Vec<f32>>();
    let turned: Vec<f32> = clean.chunks(STEPS * width).flat_map(window).collect();
    let x = NpyArray::new(vec![clean.len() / STEPS / width, STEPS, width], NpyData::F32(turned));
    let bytes = fs::read(scratch.path("test.npz")).expect("windows");
    let y = Npz::open(&bytes).expect("npz").array("y").expect("y");
    let x = x.expect("array");
    let bytes = proofmark_formats::npz::write([("x", &x), ("y", &y)]).expect("npz");
    fs::write(scratch.path("turned.npz"), bytes).expect("write");
}

#[test]
fn each_head_of_a_network_with_two_outputs_is_chosen_by_name() {
    let two = |text: &str, model: &str, output: &str| {
        let (path, kind) = match model {
            "conv.onnx" => ("conv.onnx", "output = { kind = \"value\" }"),
            _ => ("rise_conv.onnx", "output = { kind = \"logit\" }"),
        };
        let (before, after) = text.split_once(&format!("path = \"{path}\"")).expect("model");
        format!("{before}path = \"two.onnx\"{}", after.replacen(kind, output, 1))
    };
    let number = |output: &str| {
        let scratch = numbers(40);
        scratch.edit("proofmark.toml", |t| {
            let t = two(t, "conv.onnx", output).replace("model = \"lstm\"", "model = \"conv\"");
            t.replacen("access = \"white-box\"", "access = \"white-box\"\nsuite = \"noise\"", 1)
        });
        scratch
    };
    let class = |output: &str| {
        let scratch = classes(40);
        scratch.edit("proofmark.toml", |t| {
            let t = two(t, "rise_conv.onnx", output);
            t.replacen("access = \"white-box\"", "access = \"white-box\"\nsuite = \"noise\"", 1)
        });
        scratch
    };
    // Each agrees with the answers of its own training framework, which the parity probe holds.
    let chosen: [(Scratch, &str); 2] = [
        (number("output = { name = \"next\", kind = \"value\" }"), "error"),
        (class("output = { name = \"rise\", kind = \"logit\" }"), "right"),
    ];
    for (scratch, criterion) in chosen {
        let (_, document) = scratch.json(&["assess"]);
        assert_ne!(state(&document, criterion), "refused", "{document:#}");
        assert!(document.to_string().contains("match the training framework on"), "{document:#}");
    }
    // The other head is not what the declaration says, and is told.
    let other = number("output = { name = \"rise\", kind = \"value\" }").run(&["check"]);
    assert_eq!(other.code, 2);
    assert!(other.stderr.contains("the output `rise` of models.conv has 2 columns"));
    for scratch in [
        number("output = { name = \"nxt\", kind = \"value\" }"),
        class("output = { name = \"rises\", kind = \"logit\" }"),
    ] {
        let wrong = scratch.run(&["check"]);
        assert_eq!(wrong.code, 2, "{}", wrong.stdout);
        assert!(wrong.stderr.contains("`next`, `rise`"), "{}", wrong.stderr);
    }
    for scratch in [number("output = { kind = \"value\" }"), class("output = { kind = \"logit\" }")]
    {
        let open = scratch.run(&["check"]);
        assert_eq!(open.code, 2, "{}", open.stdout);
        let words = "`next` with 1 column(s), `rise` with 2 column(s)";
        assert!(open.stderr.contains(words), "{}", open.stderr);
    }
}

#[test]
fn what_is_not_done_on_series_is_refused_by_name() {
    type Edit = fn(&str) -> String;
    let edits: [(&str, Edit, &str); 4] = [
        ("groups", |t| t.replacen("steps = 8", "steps = 8\ngroup = true", 1), "cannot make groups"),
        (
            "another window",
            |t| t.replacen("steps = 8", "steps = 7", 1),
            "the series have shape [91, 8, 5], declared is (n, 7, 5)",
        ),
        (
            "a mutable channel without bounds",
            |t| t.replacen("{ bounds = [-15, 20] }", "{ integer = true }", 1),
            "can be attacked but has no bounds",
        ),
        (
            "bytes of a pixel",
            |t| t.replacen("scale = \"bounds\"", "scale = \"0-255\"", 1),
            "`0-255` is a scale of images, and this system has series",
        ),
    ];
    for (name, edit, words) in edits {
        let scratch = numbers(40);
        scratch.edit("proofmark.toml", edit);
        let ran = scratch.run(&["check"]);
        assert_eq!(ran.code, 2, "{name}: {}", ran.stdout);
        assert!(ran.stderr.contains(words), "{name}: {}", ran.stderr);
    }
    let scratch = classes(40);
    let path = |name: &str| scratch.path(name).display().to_string();
    let harden = scratch.run(&["harden", "--threat", "reporter", "--out", &path("out")]);
    assert_eq!(harden.code, 2, "{}", harden.stdout);
    assert!(harden.stderr.contains("this system reads series"), "{}", harden.stderr);
    let (model, data, label) = (path("rise_conv.onnx"), path("test.npz"), path("test_rise.npy"));
    let attack = ["attack", "--model", &model, "--data", &data, "--label", &label];
    let ran = proofmark(
        &[&attack[..], &["--norm", "linf", "--eps", "0.1", "--scale", "bounds"]].concat(),
    );
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("reads windows of a series, [n, 5, 8]"), "{}", ran.stderr);
    assert!(ran.stderr.contains("help: declare it") && ran.stdout.is_empty(), "{}", ran.stderr);
}
