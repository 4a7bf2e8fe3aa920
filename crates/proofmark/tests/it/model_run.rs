//! `model run`: rows of any container through a model, in order, whole or not at all.

use std::fs;

use proofmark_formats::npy::{self, NpyArray, NpyData};
use proofmark_formats::npz::Npz;

use crate::support::{Ran, Scratch, proofmark};

fn run(scratch: &Scratch, model: &str, input: &str, output: &str, more: &[&str]) -> Ran {
    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, input, output) = (path(model), path(input), path(output));
    let args = ["model", "run", &model, "--input", &input, "--output", &output];
    proofmark(&[&args, more].concat())
}

fn ran(scratch: &Scratch, input: &str, output: &str, more: &[&str]) -> Vec<u8> {
    let ran = run(scratch, "gbm.onnx", input, output, more);
    assert_eq!(ran.code, 0, "{input} {more:?}: {}", ran.stderr);
    fs::read(scratch.path(output)).expect("output")
}

/// The rows of the table as JSON lines; numbers stay numbers.
fn as_json_lines(csv: &str) -> String {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().expect("header").split(',').collect();
    let row = |line: &str| {
        let cells = names.iter().zip(line.split(',')).map(|(name, cell)| match cell {
            number if number.parse::<f64>().is_ok() => format!("\"{name}\": {number}"),
            text => format!("\"{name}\": \"{text}\""),
        });
        format!("{{{}}}\n", cells.collect::<Vec<_>>().join(", "))
    };
    lines.map(row).collect()
}

#[test]
fn a_table_gives_the_scores_of_the_training_framework() {
    let scratch = Scratch::copy_of("credit");
    let only = ["--outputs", "probabilities"];
    let got = npy::read(&ran(&scratch, "test.csv", "out.npy", &only)).expect("npy");
    let want = npy::read(&fs::read(scratch.path("expected_gbm.npy")).expect("read")).expect("npy");
    assert_eq!(got.shape(), want.shape());
    let (got, want) = (got.data().to_f32().expect("f32"), want.data().to_f32().expect("f32"));
    let off = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-5, "{off}");
}

#[test]
fn containers_and_threads_change_nothing() {
    let scratch = Scratch::copy_of("credit");
    let csv = fs::read_to_string(scratch.path("test.csv")).expect("csv");
    // Enough rows for several batches.
    let (header, rows) = csv.split_once('\n').expect("header");
    let many = format!("{header}\n{}", rows.repeat(9_000 / rows.lines().count() + 1));
    fs::write(scratch.path("many.csv"), &many).expect("write");
    fs::write(scratch.path("many.jsonl"), as_json_lines(&many)).expect("write");
    let want = ran(&scratch, "many.csv", "one.csv", &["--threads", "1"]);
    assert_eq!(ran(&scratch, "many.csv", "three.csv", &["--threads", "3"]), want);
    assert_eq!(ran(&scratch, "many.jsonl", "json.csv", &["--threads", "2"]), want);
    let text = String::from_utf8(want).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "label,probabilities[0],probabilities[1]");
    assert_eq!(lines.len(), many.lines().count());
    let n = rows.lines().count();
    assert_eq!(lines[1..=n], lines[n + 1..=2 * n], "rows are in order");

    // Both outputs as arrays say the same as the text.
    let bytes = ran(&scratch, "many.csv", "all.npz", &[]);
    let arrays = Npz::open(&bytes).expect("npz");
    let label = arrays.array("label").expect("label").data().to_i64().expect("i64");
    let first: Vec<String> =
        lines[1..].iter().map(|l| l.split(',').next().expect("label").to_owned()).collect();
    let label: Vec<String> = label.iter().map(i64::to_string).collect();
    assert_eq!(label, first);
    // Nothing is left beside what was asked for.
    let names = fs::read_dir(scratch.dir()).expect("folder");
    let hidden =
        names.filter(|e| e.as_ref().expect("entry").file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn a_matrix_is_fed_by_order_or_by_named_columns() {
    let scratch = Scratch::copy_of("credit");
    fs::write(scratch.path("linear.onnx"), linear()).expect("write");
    fs::write(scratch.path("t.csv"), "b;a\n10;1\n20;2\n;3\n").expect("write");
    let text = |more: &[&str]| {
        let ran = run(&scratch, "linear.onnx", "t.csv", "o.csv", more);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        fs::read_to_string(scratch.path("o.csv")).expect("text")
    };
    assert_eq!(text(&[]), "y[0],y[1]\n11.0,2.0\n21.0,3.0\nNaN,4.0\n");
    assert_eq!(text(&["--columns", "a,b"]), "y[0],y[1]\n2.0,11.0\n3.0,21.0\n4.0,NaN\n");
    let data = NpyArray::new(vec![2, 2], NpyData::F64(vec![1.0, 2.0, 3.0, 4.0])).expect("array");
    fs::write(scratch.path("x.npy"), npy::write(&data).expect("npy")).expect("write");
    let ran = run(&scratch, "linear.onnx", "x.npy", "y.npy", &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let got = npy::read(&fs::read(scratch.path("y.npy")).expect("read")).expect("npy");
    let want = NpyArray::new(vec![2, 2], NpyData::F32(vec![2.0, 3.0, 4.0, 5.0]));
    assert_eq!(got, want.expect("array"));
}

#[test]
fn bad_rows_leave_the_old_output_alone() {
    let scratch = Scratch::copy_of("credit");
    fs::write(scratch.path("linear.onnx"), linear()).expect("write");
    fs::write(scratch.path("o.csv"), "old").expect("write");
    for (name, table, more, code, words) in [
        ("text", "a;b\n1;2\nmany;3\n", &[][..], "input", "line 3, column `a`: `many`"),
        ("ragged", "a;b\n1;2\n1;2;3\n", &[][..], "input", "line 3 has 3 fields"),
        ("too wide", "a;b;c\n1;2;3\n", &[][..], "binding", "reads 2 columns, the file gives 3"),
        ("unknown", "a;b\n1;2\n", &["--columns", "a,z"][..], "binding", "no column `z`"),
        ("no rows", "a;b\n", &[][..], "input", "no data row"),
        ("comma", "a;b\n1,234;2\n", &[][..], "input", "decimal comma or a mark of thousands"),
        ("bad mark", "a;b\n1;2\n", &["--decimal", "x"][..], "usage", "`x` is no decimal mark"),
    ] {
        fs::write(scratch.path("t.csv"), table).expect("write");
        let ran = run(&scratch, "linear.onnx", "t.csv", "o.csv", more);
        assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("error[{code}]")), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(words) && !ran.stderr.contains("panicked"), "{}", ran.stderr);
        assert_eq!(fs::read(scratch.path("o.csv")).expect("old"), b"old", "{name}");
    }
    fs::write(scratch.path("t.csv"), "a;b\n1,234;2\n").expect("write");
    let ran =
        run(&scratch, "linear.onnx", "t.csv", "o.csv", &["--decimal", ".", "--thousands", ","]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let text = fs::read_to_string(scratch.path("o.csv")).expect("text");
    assert_eq!(text, "y[0],y[1]\n1235.0,3.0\n");
}

/// `y = x + 1` over rows of two (`golden/plus_one.py`).
fn linear() -> &'static [u8] {
    include_bytes!("golden/plus_one.onnx")
}
