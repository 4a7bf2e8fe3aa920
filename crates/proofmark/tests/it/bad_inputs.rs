//! Bad input: a clear error with cause and next step, exit 2, nothing lost, no panic.

use std::fs;

use proofmark_formats::onnx::{self, Elements, TensorData, TensorProto};

use crate::support::{Ran, Scratch, proofmark};

/// Every failure names a code, a cause and a next step, and prints no backtrace.
fn refused(name: &str, ran: &Ran, code: &str, words: &[&str]) {
    assert_eq!(ran.code, 2, "{name}: exit {}\n{}\n{}", ran.code, ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(&format!("error[{code}]")), "{name}: {}", ran.stderr);
    assert!(ran.stderr.contains("help: "), "{name}: no next step\n{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{name}: `{word}` is not said\n{}", ran.stderr);
    }
}

#[test]
fn damaged_and_hostile_assets_are_refused_before_anything_is_measured() {
    type Damage = fn(&Scratch);
    let cases: &[(&str, Damage, &str, &[&str])] = &[
        ("truncated model", truncate_model, "model-unreadable", &["mlp.onnx"]),
        ("empty model", |s| write(s, "mlp.onnx", b""), "model-unreadable", &["mlp.onnx"]),
        (
            "a picture as model",
            |s| write(s, "mlp.onnx", b"\x89PNG\r\n\x1a\n0000"),
            "model-unreadable",
            &[],
        ),
        ("nan weights", nan_weight, "model-not-finite", &["NaN"]),
        ("external data outside", external_outside, "model-unreadable", &["passwd"]),
        ("ragged row", ragged_row, "data-unreadable", &["test.csv", "line"]),
        ("empty data", |s| write(s, "test.csv", b""), "data-unreadable", &["test.csv"]),
        ("header only", header_only, "data-", &["test.csv"]),
        ("label outside the classes", strange_label, "data-unreadable", &["3"]),
        ("text where a number belongs", text_in_number, "data-unreadable", &["amount", "plenty"]),
        (
            "a picture as table",
            |s| write(s, "test.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
            "data-unreadable",
            &["test.csv"],
        ),
        (
            "missing file",
            |s| fs::remove_file(s.path("gbm.onnx")).expect("rm"),
            "unreadable",
            &["gbm.onnx"],
        ),
    ];
    for (name, damage, code, words) in cases {
        let scratch = Scratch::credit(40);
        damage(&scratch);
        for verb in ["check", "assess"] {
            let ran = scratch.run(&[verb]);
            assert_eq!(ran.code, 2, "{name}, {verb}: {}\n{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains(&format!("error[{code}")), "{name}: {}", ran.stderr);
            assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
            for word in *words {
                assert!(ran.stderr.contains(word), "{name}: `{word}` not said\n{}", ran.stderr);
            }
        }
    }
}

#[test]
fn a_bad_declaration_is_shown_with_line_and_fix() {
    let scratch = Scratch::credit(40);
    scratch.edit("proofmark.toml", |t| t.replacen("norm = \"linf\"", "nrom = \"linf\"", 1));
    let ran = scratch.run(&["check"]);
    refused("unknown key", &ran, "declaration-refused", &["nrom", "norm", "proofmark.toml:"]);
}

#[test]
fn a_folder_without_declaration_says_what_to_do() {
    let empty = tempfile::tempdir().expect("folder");
    let ran = proofmark(&["assess", "-C", &empty.path().display().to_string()]);
    refused("no declaration", &ran, "no-declaration", &["proofmark init"]);
}

#[test]
fn a_pickle_is_never_loaded() {
    let scratch = Scratch::credit(40);
    fs::write(scratch.path("model.joblib"), b"\x80\x04\x95cposix\nsystem\n.").expect("write");
    let ran = proofmark(&["model", "inspect", &scratch.path("model.joblib").display().to_string()]);
    refused("joblib", &ran, "pickle-refused", &["skl2onnx", "expected.npy"]);
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let ran = proofmark(&["check", "-C", "/nowhere/at/all", "--format", "json"]);
    assert_eq!(ran.code, 2);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).expect("json");
    assert_eq!(value["format"], "proofmark.error/1");
    assert_eq!(value["complete"], false);
    assert_eq!(value["code"], "no-declaration");
}

fn write(scratch: &Scratch, name: &str, bytes: &[u8]) {
    fs::write(scratch.path(name), bytes).expect("write");
}

fn append(scratch: &Scratch, name: &str, bytes: &[u8]) {
    let mut old = fs::read(scratch.path(name)).expect("read");
    old.extend_from_slice(bytes);
    write(scratch, name, &old);
}

fn truncate_model(scratch: &Scratch) {
    let bytes = fs::read(scratch.path("mlp.onnx")).expect("model");
    write(scratch, "mlp.onnx", &bytes[..bytes.len() / 2]);
}

fn ragged_row(scratch: &Scratch) {
    append(scratch, "test.csv", b"1,2,3\n");
    scratch.edit("proofmark.toml", |t| t.replacen("limit = 40", "limit = 4000", 1));
}

fn header_only(scratch: &Scratch) {
    scratch.edit("test.csv", |t| format!("{}\n", t.lines().next().expect("header")));
}

fn strange_label(scratch: &Scratch) {
    replace_in_first_row(scratch, "class", "3");
}

fn text_in_number(scratch: &Scratch) {
    replace_in_first_row(scratch, "amount", "plenty");
}

fn replace_in_first_row(scratch: &Scratch, column: &str, value: &str) {
    scratch.edit("test.csv", |text| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let place = lines[0].split(',').position(|c| c == column).expect("column");
        let mut cells: Vec<&str> = lines[1].split(',').collect();
        cells[place] = value;
        lines[1] = cells.join(",");
        lines.join("\n") + "\n"
    });
}

fn nan_weight(scratch: &Scratch) {
    change_model(scratch, |tensor| {
        let Ok(Elements::F32(mut values)) = tensor.elements() else { return false };
        if values.len() < 16 {
            return false;
        }
        values[3] = f32::NAN;
        let dims = tensor.dims.clone();
        *tensor = TensorProto::from_elements(&tensor.name, &dims, &Elements::F32(values));
        true
    });
}

fn external_outside(scratch: &Scratch) {
    change_model(scratch, |tensor| {
        if !matches!(tensor.elements(), Ok(Elements::F32(values)) if values.len() >= 16) {
            return false;
        }
        tensor.data = TensorData::Absent;
        tensor.data_location = 1;
        tensor.external_data = vec![("location".into(), "../../../../etc/passwd".into())];
        true
    });
}

fn change_model(scratch: &Scratch, change: fn(&mut TensorProto<'_>) -> bool) {
    let bytes = fs::read(scratch.path("mlp.onnx")).expect("model");
    let mut model = onnx::decode(&bytes).expect("decode");
    assert!(model.graph.initializers.iter_mut().any(change), "no tensor fits");
    write(scratch, "mlp.onnx", &onnx::encode(&model));
}
