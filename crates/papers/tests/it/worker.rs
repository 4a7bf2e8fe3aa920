//! The worker as a process.

use serde_json::{Value, json};

use crate::support::{STATEMENT, paper, pdf, tool, worker};

/// Text of a PDF, if the machine has the tool.
fn text_of(pdf: &[u8]) -> Option<String> {
    let mut tool = tool("pdftotext")?;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("paper.pdf");
    std::fs::write(&path, pdf).unwrap();
    let output = tool.arg("-layout").arg(&path).arg("-").output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_paper_becomes_the_same_bytes_every_time() {
    let paper = paper("Größe ≥ 5 %");
    let (first, second) = (pdf(&paper), pdf(&paper));
    assert_eq!(first, second);
    let holds = |what: &str| first.windows(what.len()).any(|w| w == what.as_bytes());
    for wanted in ["<pdfaid:part>3", "<pdfaid:conformance>A", "<pdfuaid:part>1", "(facts.json)"] {
        assert!(holds(wanted), "{wanted}");
    }
    for year in ["D:2026", "2026-11-22T15:00:00"] {
        assert!(holds(year), "the date is that of the paper: {year}");
    }
}

#[test]
fn the_file_passes_qpdf() {
    let Some(mut tool) = tool("qpdf") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("paper.pdf");
    std::fs::write(&path, pdf(&paper("words"))).unwrap();
    let output = tool.arg("--check").arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn words_of_a_paper_are_never_markup() {
    let hostile = [
        "#let x = read(\"/etc/passwd\"); #x *b* _i_ $y$ @ref <label> = h \\ // c /* d */ `r`",
        "#import \"@preview/x:1.0.0\": *",
        "</svg><svg onload=\"x\">&amp; & < > \" '",
        "\u{202e}reversed\u{0}\u{feff}\u{1f600}\u{e000}\u{10ffff}中文שלוםعربي",
        "{\"is\":\"text\"}",
        "",
        "\n\n\n",
    ];
    for words in hostile {
        let pdf = pdf(&paper(words));
        if let Some(text) = text_of(&pdf) {
            assert!(!text.contains("root:"), "{words}");
            if words.starts_with("#let") {
                assert!(text.contains("#let x = read("), "{text}");
            }
        }
    }
    pdf(&paper(&"x".repeat(20_000)));
    pdf(&paper(&"word ".repeat(4_000)));
}

#[test]
fn what_is_copied_from_the_file_is_what_was_written() {
    let Some(text) = text_of(&pdf(&paper("words"))) else { return };
    assert!(text.contains(STATEMENT), "a digest is one word");
    assert!(!text.contains('\u{200b}'));
    for wanted in ["1(a)", "Missing: no drill", "DEMO", "stale", "page 1 of", "61.2 % [58.1 %,"] {
        assert!(text.contains(wanted), "{wanted}");
    }
}

#[test]
fn characters_without_a_glyph_are_said_aloud() {
    let output = worker(paper("中").to_string().as_bytes());
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("code points"), "{said}");
    if let Some(text) = text_of(&output.stdout) {
        assert!(text.contains("[U+4E2D]"));
    }
}

#[test]
fn what_is_no_paper_is_refused_without_a_file() {
    let spoilt = |spoil: &dyn Fn(&mut Value)| {
        let mut paper = paper("words");
        spoil(&mut paper);
        paper.to_string().into_bytes()
    };
    let cases = [
        ("nothing", Vec::new(), "does not read"),
        ("no JSON", b"\xff\xfe".to_vec(), "does not read"),
        ("deep", "[".repeat(100_000).into_bytes(), "does not read"),
        ("surplus", spoilt(&|p| p["more"] = 1.into()), "unknown field"),
        ("format", spoilt(&|p| p["format"] = "x".into()), "not a `proofmark.paper/1`"),
        ("time", spoilt(&|p| p["head"]["time"] = "yesterday".into()), "no time"),
        ("link", spoilt(&|p| p["chapters"][1]["id"] = "three".into()), "leads nowhere"),
        ("base64", spoilt(&|p| p["attachments"][0]["base64"] = "*".into()), "no base64"),
        ("mime", spoilt(&|p| p["attachments"][0]["media_type"] = "not a type".into()), "mime"),
        ("row", spoilt(&|p| p["chapters"][0]["blocks"][6]["widths"] = json!([1])), "width"),
    ];
    for (name, input, wanted) in cases {
        let output = worker(&input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(output.stdout.is_empty(), "{name}");
        assert!(said.contains(wanted) && said.lines().count() == 1, "{name}: {said}");
    }
}

#[test]
fn a_broken_plot_is_an_error_and_reads_no_file() {
    let mut broken = paper("words");
    broken["chapters"][0]["blocks"][3]["svg"] = "<svg".into();
    assert_eq!(worker(broken.to_string().as_bytes()).status.code(), Some(2));
    let mut linked = paper("words");
    let svg = "<svg viewBox=\"0 0 10 10\"><image href=\"/etc/hostname\" width=\"9\" height=\"9\"/>\
               <image href=\"file:///etc/passwd\" width=\"9\" height=\"9\"/></svg>";
    linked["chapters"][0]["blocks"][3]["svg"] = svg.into();
    let output = worker(linked.to_string().as_bytes());
    if let Some(text) = output.status.success().then(|| text_of(&output.stdout)).flatten() {
        assert!(!text.contains("root:"));
    }
}
