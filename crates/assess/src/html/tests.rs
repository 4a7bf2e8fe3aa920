//! The page: no figure outside facts, every fact as in its statement, accessible, self-contained.

use std::collections::BTreeSet;

use proofmark_evidence::pack::facts::Facts;
use proofmark_schema::measurement::Quantity;

use crate::document::{Document, Sources, build};
use crate::facts::FactBook;
use crate::fixture::{Desk, FakeRunner, system};
use crate::history::history;
use crate::register;

/// A page, its facts and its document, from a run of the fake runner.
fn written(desk: &mut Desk, runner: &mut FakeRunner) -> (String, Facts, Document) {
    let assessment = desk.assess(&system(), runner).unwrap();
    let mut book = FactBook::default();
    let stored = assessment.results.iter().map(|r| r.stored);
    for stored in stored.chain([assessment.record.plan, assessment.verdict_statement]) {
        book.source(&register::statement(&desk.store, stored).unwrap()).unwrap();
    }
    let runs = history(&desk.log, &desk.store).unwrap();
    let sources = Sources {
        assessment: &assessment,
        runs: &runs,
        origin: desk.log.origin(),
        signer: desk.key.public().fingerprint(),
        demo: true,
        anchors: vec![],
        changed_since: false,
    };
    let document = build(&sources, &mut book).unwrap();
    let page = super::page(&document).unwrap();
    (page, book.finish(), document)
}

fn example() -> (String, Facts, Document) {
    let mut desk = Desk::new();
    let mut stopped = FakeRunner { cancel_at: Some(1), ..FakeRunner::default() };
    let mut other = system();
    other.version = "0.9.0".into();
    desk.assess(&other, &mut stopped).unwrap_err();
    written(&mut desk, &mut FakeRunner::default())
}

/// Start and end of every element `<name ...>...</name>` whose opening tag `wanted` accepts;
/// elements of that name are not nested in this page.
fn cut(page: &str, name: &str, wanted: &dyn Fn(&str) -> bool) -> String {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut rest = page;
    let mut kept = String::new();
    while let Some(start) = rest.find(&open) {
        let after = &rest[start..];
        let tag_end = after.find('>').unwrap() + 1;
        let is_name = after[open.len()..].starts_with([' ', '>']);
        if is_name && wanted(&after[..tag_end]) {
            kept.push_str(&rest[..start]);
            let end = after.find(&close).unwrap() + close.len();
            rest = &after[end..];
        } else {
            kept.push_str(&rest[..start + tag_end]);
            rest = &after[tag_end..];
        }
    }
    kept + rest
}

/// The words of the page without facts, names, ids, dates, references to the law and axis labels.
fn bare(page: &str) -> String {
    let all = |_: &str| true;
    let mut page = page[page.find("<body>").unwrap()..].to_owned();
    for name in ["code", "time", "title", "desc"] {
        page = cut(&page, name, &all);
    }
    page = cut(&page, "text", &|tag| tag.contains("class=\"tick\""));
    page = cut(&page, "span", &|tag| {
        ["data-fact", "class=\"declared\"", "class=\"law\""].iter().any(|c| tag.contains(c))
    });
    let mut text = String::new();
    let mut inside = false;
    for c in page.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text.replace("&#39;", "\u{2019}")
}

#[test]
fn no_figure_stands_outside_a_fact() {
    let (page, ..) = example();
    let bare = bare(&page);
    let digits: Vec<&str> =
        bare.split_whitespace().filter(|w| w.chars().any(|c| c.is_ascii_digit())).collect();
    assert_eq!(digits, Vec::<&str>::new());
    assert!(bare.contains("one-sided bounds"), "the words are still there");
}

#[test]
fn every_fact_of_the_page_is_in_the_list_and_the_other_way_round() {
    let (page, facts, _) = example();
    let mut seen = BTreeSet::new();
    for part in page.split("data-fact=\"").skip(1) {
        let (id, rest) = part.split_once("\">").unwrap();
        let (text, _) = rest.split_once("</span>").unwrap();
        let record = &facts[id];
        assert_eq!(text, crate::svg::escape(&record.text), "{id}");
        seen.insert(id.to_owned());
    }
    let listed: BTreeSet<String> = facts.keys().cloned().collect();
    assert_eq!(seen, listed);
}

#[test]
fn figures_equal_the_measurements() {
    let mut desk = Desk::new();
    let (_, facts, _) = written(&mut desk, &mut FakeRunner::default());
    let runs = history(&desk.log, &desk.store).unwrap();
    let assessment = crate::assessment::load(&desk.log, &desk.store, &runs[0].run).unwrap();
    let mut compared = 0;
    for measurement in assessment.results.iter().flat_map(|r| &r.said.measurements) {
        let record = &facts[&crate::facts::fact_id(&measurement.id)];
        assert_eq!(
            record.value.as_f64().unwrap(),
            measurement.quantity.value(),
            "{}",
            measurement.id
        );
        if let Quantity::Estimate { lower, upper, .. } | Quantity::Bracket { lower, upper, .. } =
            &measurement.quantity
        {
            let value = |part: &str| {
                facts[&crate::facts::fact_id(&format!("{}#{part}", measurement.id))].value.as_f64()
            };
            assert_eq!((value("lower"), value("upper")), (Some(*lower), Some(*upper)));
        }
        compared += 1;
    }
    assert!(compared > 40, "{compared} figures");
}

#[test]
fn nothing_that_was_measured_is_left_out() {
    let mut desk = Desk::new();
    fn strange(measurement: &mut proofmark_schema::measurement::Measurement) {
        measurement.metric = format!("own-{}", measurement.metric);
    }
    let mut runner = FakeRunner { change: Some(strange), ..FakeRunner::default() };
    let (page, facts, _) = written(&mut desk, &mut runner);
    assert!(page.contains("Further figures"));
    let runs = history(&desk.log, &desk.store).unwrap();
    let assessment = crate::assessment::load(&desk.log, &desk.store, &runs[0].run).unwrap();
    for measurement in assessment.results.iter().flat_map(|r| &r.said.measurements) {
        assert!(facts.contains_key(&crate::facts::fact_id(&measurement.id)), "{}", measurement.id);
    }
}

#[test]
fn the_page_stands_alone() {
    let (page, ..) = example();
    for banned in ["<script", "http://", "https://", "src=", "url(", "@import", "<link", "onload"] {
        assert!(!page.contains(banned), "{banned}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_page_says_what_it_must() {
    let (page, ..) = example();
    for wanted in [
        "<strong>DEMO</strong>",
        "the order of plan and run is attested by the provider&#39;s own key only",
        "never ended",
        "not cited here",
        "this report",
        "a stronger attack may turn more rows",
        "sh verify.sh",
        "proofmark verify . --signer",
        "proofmark replay run-",
        "2026/1744",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("is robust"), "the page never calls a model robust");
}

#[test]
fn no_success_never_reads_as_robust() {
    let mut desk = Desk::new();
    let mut runner = FakeRunner { harmless: true, ..FakeRunner::default() };
    let (page, ..) = written(&mut desk, &mut runner);
    let text = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(
        "no attack of suite <code>quick</code> found a way at this budget; not a proof."
    ));
}

#[test]
fn the_page_is_accessible_in_its_markup() {
    let (page, ..) = example();
    for wanted in
        ["<html lang=\"en\">", "<main id=\"main\">", "<nav aria-label", "<header>", "<h1>"]
    {
        assert_eq!(page.matches(wanted).count(), 1, "{wanted}");
    }
    let tables = page.matches("<table").count();
    assert_eq!(page.matches("<caption>").count(), tables);
    assert_eq!(page.matches("tabindex=\"0\"").count(), tables);
    let heads = page.matches("<th ").count() + page.matches("<th>").count();
    assert_eq!(page.matches("<th scope=\"").count(), heads);
    let plots = page.matches("class=\"plot\"").count();
    assert!(plots >= 2);
    assert_eq!(page.matches("role=\"img\" aria-labelledby=").count(), plots);
    let ids: Vec<&str> =
        page.split(" id=\"").skip(1).map(|p| p.split('"').next().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids are unique: {ids:?}");
    for link in page.split("href=\"#").skip(1).map(|p| p.split('"').next().unwrap()) {
        assert!(ids.contains(&link), "#{link}");
    }
}

/// Relative luminance of `#rrggbb` (WCAG 2.2, definition of relative luminance).
fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn text_stands_out_from_its_ground_in_every_scheme() {
    let css = include_str!("../../assets/report.css");
    let schemes: Vec<&str> = css.split(":root {").skip(1).collect();
    assert_eq!(schemes.len(), 3, "light, dark and print");
    for scheme in schemes {
        let colour = |name: &str| {
            let at = scheme.find(&format!("--{name}: #")).unwrap() + name.len() + 4;
            luminance(&scheme[at..at + 7])
        };
        for ground in ["paper", "wash"] {
            for text in ["ink", "quiet", "accent", "good", "bad", "open"] {
                let (a, b) = (colour(ground), colour(text));
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
            }
        }
    }
}

#[test]
fn a_failed_probe_and_a_refusal_are_told_in_words() {
    let mut desk = Desk::new();
    let mut runner = FakeRunner { fail: Some("mlp/test/evasion/applicant"), ..Default::default() };
    let (page, ..) = written(&mut desk, &mut runner);
    for wanted in
        ["Not complete:", "row 3 is ragged", "mend the file", "failed: nothing was measured"]
    {
        assert!(page.contains(wanted), "{wanted}");
    }
}

#[test]
fn text_from_outside_is_escaped() {
    let mut desk = Desk::new();
    let mut hostile = system();
    hostile.provider = "<script>alert(1)</script>\"'&".into();
    hostile.criteria[0].rationale = "</td><b>x".into();
    let assessment = desk.assess(&hostile, &mut FakeRunner::default()).unwrap();
    let mut book = FactBook::default();
    let stored = assessment.results.iter().map(|r| r.stored);
    for stored in stored.chain([assessment.record.plan, assessment.verdict_statement]) {
        book.source(&register::statement(&desk.store, stored).unwrap()).unwrap();
    }
    let sources = Sources {
        assessment: &assessment,
        runs: &[],
        origin: "o",
        signer: desk.key.public().fingerprint(),
        demo: false,
        anchors: vec![],
        changed_since: false,
    };
    let page = super::page(&build(&sources, &mut book).unwrap()).unwrap();
    assert!(!page.contains("<script") && !page.contains("<b>x"));
    assert!(page.contains("&lt;script&gt;") || page.contains("&#60;script&#62;"));
}

#[test]
fn the_words_of_the_report() {
    let (page, ..) = example();
    let body = &page[page.find("<body>").unwrap()..];
    let mut text = String::new();
    let mut inside = false;
    for c in body.chars() {
        match c {
            '<' => {
                inside = true;
                text.push(' ');
            }
            '>' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(words).filter(|l| !l.is_empty()).collect();
    // Keys differ from run to run, and with them the digests that name them.
    let masked = lines.join("\n");
    let is_digest = |word: &str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let mask = |word: &str| if is_digest(word) { "[digest]".to_owned() } else { word.to_owned() };
    let lines: Vec<String> = masked
        .lines()
        .map(|line| line.split(' ').map(mask).collect::<Vec<_>>().join(" "))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// Writes the page where the environment says, to look at it.
#[test]
fn the_page_can_be_looked_at() {
    if let Some(path) = std::env::var_os("PROOFMARK_LOOK_AT") {
        std::fs::write(path, example().0).unwrap();
    }
}
