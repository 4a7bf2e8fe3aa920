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
        ("comma", "a;b\n1,234;2\n", &[][..], "input", "decimal mark or a mark of thousands"),
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

/// A table of two columns.
fn table(rows: usize) -> String {
    let mut text = String::from("a,b\n");
    for row in 0..rows {
        text += &format!("{}.25,{}\n", row % 1_000, row % 77);
    }
    text
}

/// Names of everything in the folder.
fn names(scratch: &Scratch) -> Vec<String> {
    let entries = fs::read_dir(scratch.dir()).expect("folder");
    let name = |e: std::io::Result<fs::DirEntry>| e.expect("entry").file_name();
    let mut names: Vec<String> = entries.map(|e| name(e).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The binary at work on `t.csv`, from the moment on at which it has begun to gather rows.
#[cfg(target_os = "linux")]
struct AtWork {
    child: std::process::Child,
}

#[cfg(target_os = "linux")]
impl AtWork {
    fn begin(scratch: &Scratch, output: &str) -> Self {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_proofmark"))
            .env("PROOFMARK_ONNXRUNTIME", "off")
            .args(["model", "run"])
            .arg(scratch.path("linear.onnx"))
            .arg("--input")
            .arg(scratch.path("t.csv"))
            .arg("--output")
            .arg(scratch.path(output))
            .args(["--threads", "2"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the binary runs");
        Self { child }
    }

    /// Waits until a file without a name is open; false when the run has ended before.
    fn gathers(&mut self) -> bool {
        let files = format!("/proc/{}/fd", self.child.id());
        for _ in 0..60_000 {
            if self.child.try_wait().expect("state").is_some() {
                return false;
            }
            let open = fs::read_dir(&files).into_iter().flatten().flatten();
            let mut targets = open.filter_map(|e| fs::read_link(e.path()).ok());
            if targets.any(|t| t.to_string_lossy().contains("(deleted)")) {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("the run never began");
    }

    /// The most memory it ever had, in KiB.
    fn peak(mut self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let mut peak = 0;
        while self.child.try_wait().expect("state").is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok());
            peak = kib.unwrap_or(peak);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let output = self.child.wait_with_output().expect("the end");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        peak
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_stopped_leaves_nothing_and_the_next_is_whole() {
    let scratch = Scratch::copy_of("credit");
    fs::write(scratch.path("linear.onnx"), linear()).expect("write");
    fs::write(scratch.path("t.csv"), table(400_000)).expect("write");
    fs::write(scratch.path("o.csv"), "old").expect("write");
    let before = names(&scratch);
    for signal in ["INT", "TERM", "KILL"] {
        let stopped = (0..5).any(|_| {
            let mut work = AtWork::begin(&scratch, "o.csv");
            if !work.gathers() {
                fs::write(scratch.path("o.csv"), "old").expect("write");
                return false;
            }
            let id = work.child.id().to_string();
            let kill = std::process::Command::new("kill").args([format!("-{signal}"), id]).status();
            assert!(kill.expect("kill").success());
            let output = work.child.wait_with_output().expect("the end");
            if output.status.success() {
                fs::write(scratch.path("o.csv"), "old").expect("write");
                return false;
            }
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            if signal != "KILL" {
                assert_eq!(output.status.code(), Some(2), "{signal}: {told}");
                assert!(told.contains("error[interrupted]") && told.contains("help: "), "{told}");
            }
            true
        });
        assert!(stopped, "{signal}: the run always ended before");
        assert_eq!(fs::read(scratch.path("o.csv")).expect("old"), b"old", "{signal}");
        assert_eq!(names(&scratch), before, "{signal}: nothing is left behind");
    }
    let again = run(&scratch, "linear.onnx", "t.csv", "o.csv", &[]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(fs::read_to_string(scratch.path("o.csv")).expect("text").lines().count(), 400_001);
    assert_eq!(names(&scratch), before);
}

/// Generous for a debug build: what is watched is that memory does not follow the rows.
#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_rows() {
    let scratch = Scratch::copy_of("credit");
    fs::write(scratch.path("linear.onnx"), linear()).expect("write");
    for output in ["o.csv", "o.npy"] {
        let [few, many] = [50_000, 200_000].map(|rows| {
            fs::write(scratch.path("t.csv"), table(rows)).expect("write");
            AtWork::begin(&scratch, output).peak()
        });
        assert!(few > 0 && many < 500 << 10, "{output}: {many} KiB");
        assert!(many < few + (48 << 10), "{output}: {few} KiB for 50,000 rows, then {many}");
    }
}

#[cfg(unix)]
#[test]
fn outputs_that_cannot_be_written_are_told_and_devices_stay_devices() {
    use std::os::unix::fs::FileTypeExt;
    let scratch = Scratch::copy_of("credit");
    fs::write(scratch.path("linear.onnx"), linear()).expect("write");
    fs::write(scratch.path("t.csv"), table(20_000)).expect("write");
    fs::create_dir(scratch.path("folder.csv")).expect("mkdir");
    let before = names(&scratch);
    let ran = run(&scratch, "linear.onnx", "t.csv", "folder.csv", &[]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("folder.csv` is a folder"), "{}", ran.stderr);

    let path = |name: &str| scratch.path(name).display().to_string();
    let (model, input) = (path("linear.onnx"), path("t.csv"));
    for (device, code, words) in
        [("/dev/full", 2, "cannot write to `/dev/full`"), ("/dev/null", 0, "20000 rows")]
    {
        let device_is = || fs::metadata(device).is_ok_and(|m| m.file_type().is_char_device());
        if !device_is() {
            continue;
        }
        let ran = proofmark(&["model", "run", &model, "--input", &input, "--output", device]);
        assert_eq!(ran.code, code, "{device}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{device}: {}", ran.stderr);
        assert!(device_is(), "{device} was replaced");
    }

    // A disk that is full in the middle: files of at most four kilobytes, and no signal for it.
    let shell = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let output = std::process::Command::new("sh")
        .args(["-c", shell, "sh", env!("CARGO_BIN_EXE_proofmark"), "model", "run", &model])
        .args(["--input", &input, "--output", &path("o.csv")])
        .env("PROOFMARK_ONNXRUNTIME", "off")
        .output()
        .expect("sh");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("cannot write the rows in") && told.contains("make room"), "{told}");
    assert_eq!(names(&scratch), before);
}
