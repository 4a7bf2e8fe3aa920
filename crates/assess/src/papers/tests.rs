//! Papers: no figure outside facts, gaps that show, stale chapters are exactly the citing ones.

use std::collections::BTreeSet;

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::paper::{Block, Chapter, Inline, Piece};
use proofmark_schema::system::{Authored, Person, System};
use proofmark_schema::taxonomy::Coverage;

use super::*;
use crate::fixture::{Desk, FakeRunner, assets, system};
use crate::register;
use crate::standing::overview;

#[path = "../../../schema/tests/support/json_schema.rs"]
mod json_schema;

const NOW: &str = "2026-11-23T00:00:00Z";

/// Every paper from a run of the fake runner, over the files of now.
fn written(system: &System, present: &[AssetDigest]) -> Vec<Written> {
    let mut desk = Desk::new();
    let assessment = desk.assess(system, &mut FakeRunner::default()).unwrap();
    let world = World::read(&desk.log, &desk.store).unwrap();
    let present = Present { system, assets: present, now: NOW };
    let overview = overview(&world, &present);
    let stored = assessment.results.iter().map(|r| r.stored);
    let stored: Vec<_> =
        stored.chain([assessment.record.plan, assessment.verdict_statement]).collect();
    let source = |s: &register::Stored| Source {
        statement: s.statement.hex(),
        what: "a statement".into(),
        time: "2026-11-22T15:00:00Z".into(),
        file: "attestations/x.sigstore.json".into(),
    };
    let statements: Vec<_> =
        stored.iter().map(|s| register::statement(&desk.store, *s).unwrap()).collect();
    let listed: Vec<_> = stored.iter().map(source).collect();
    let tool = Tool { name: "proofmark".into(), version: "0.1.0".into() };
    let sources = Sources {
        assessment: &assessment,
        world: &world,
        overview: &overview,
        present,
        plan_changes: &[],
        guard: None,
        signatures: &[],
        origin: desk.log.origin(),
        signer: desk.key.public().fingerprint(),
        demo: true,
        tool: &tool,
        statements: &listed,
        time: "2026-11-22T15:00:00Z",
    };
    PAPERS.iter().map(|kind| write(kind, &sources, &statements).unwrap()).collect()
}

fn example() -> Vec<Written> {
    written(&system(), &assets())
}

/// Words of a paper that may hold no figure.
fn bare(chapter: &Chapter) -> Vec<String> {
    fn words(inline: &Inline, out: &mut Vec<String>) {
        for piece in inline {
            match piece {
                Piece::Text { text } => out.push(text.clone()),
                Piece::Link { words: inner, .. } => words(inner, out),
                _ => {}
            }
        }
    }
    let mut out = vec![chapter.title.clone()];
    for block in &chapter.blocks {
        match block {
            Block::Para { content } | Block::Note { content, .. } => words(content, &mut out),
            Block::List { items } => items.iter().for_each(|i| words(i, &mut out)),
            Block::Terms { items } => {
                out.extend(items.iter().map(|t| t.term.clone()));
                items.iter().for_each(|t| words(&t.content, &mut out));
            }
            Block::Gap { what, next } => {
                words(what, &mut out);
                words(next, &mut out);
            }
            Block::Table(table) => {
                words(&table.caption, &mut out);
                table
                    .head
                    .iter()
                    .chain(table.rows.iter().flatten())
                    .for_each(|c| words(c, &mut out));
            }
            Block::Plot { caption, .. } => out.push(caption.clone()),
            Block::Authored { .. } => {}
        }
    }
    out
}

#[test]
fn no_figure_stands_outside_a_fact() {
    for written in example() {
        let mut looked = 0;
        for chapter in &written.paper.chapters {
            for words in bare(chapter) {
                looked += 1;
                let digit = words.chars().any(|c| c.is_ascii_digit());
                assert!(!digit, "{} {}: `{words}`", written.paper.id, chapter.id);
            }
        }
        assert!(looked > 10, "{}", written.paper.id);
    }
}

#[test]
fn the_page_shows_every_fact_as_its_statement_has_it_and_no_other_digit() {
    for written in example() {
        let page = html::page(&written.paper).unwrap();
        let mut seen = BTreeSet::new();
        for part in page.split("data-fact=\"").skip(1) {
            let (id, rest) = part.split_once("\">").unwrap();
            let (text, _) = rest.split_once("</span>").unwrap();
            assert_eq!(text, written.facts[id].text, "{id}");
            seen.insert(id.to_owned());
        }
        let listed: BTreeSet<String> = written.facts.keys().cloned().collect();
        assert_eq!(seen, listed, "{}", written.paper.id);
        let digits = digits_of(&page);
        assert_eq!(digits, Vec::<String>::new(), "{}", written.paper.id);
    }
}

/// Words of the page with digits, without facts, names, ids, dates, law and axis labels.
fn digits_of(page: &str) -> Vec<String> {
    let mut text = page[page.find("<body").unwrap()..].to_owned();
    for (open, close) in [
        ("<code>", "</code>"),
        ("<time ", "</time>"),
        ("<title ", "</title>"),
        ("<desc ", "</desc>"),
        ("<text class=\"tick\"", "</text>"),
        ("<span data-fact=", "</span>"),
        ("<span class=\"declared\"", "</span>"),
        ("<p class=\"declared lines\"", "</p>"),
        ("<span class=\"law\"", "</span>"),
    ] {
        let mut kept = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(open) {
            kept.push_str(&rest[..at]);
            let after = &rest[at..];
            rest = &after[after.find(close).unwrap() + close.len()..];
        }
        text = kept + rest;
    }
    let mut words = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => (inside, words) = (true, words + " "),
            '>' => inside = false,
            c if !inside => words.push(c),
            _ => {}
        }
    }
    let words = words.replace("&#39;", "");
    words
        .split_whitespace()
        .filter(|w| w.chars().any(|c| c.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn changing_one_file_makes_exactly_the_citing_chapters_stale() {
    let fresh = example();
    assert!(fresh.iter().all(|w| w.stale().is_empty()));
    for name in ["model/mlp", "model/trees", "data/test"] {
        let mut now = assets();
        now.iter_mut().filter(|a| a.name == name).for_each(|a| a.sha256 = "0".repeat(64));
        let mut some = 0;
        for (written, fresh) in written(&system(), &now).iter().zip(&fresh) {
            for (chapter, before) in written.paper.chapters.iter().zip(&fresh.paper.chapters) {
                let cites = before.cites.iter().any(|a| a.name == name);
                assert_eq!(!chapter.stale.is_empty(), cites, "{name}: {}", chapter.id);
                some += usize::from(cites);
            }
        }
        assert!(some > 3, "{name}: {some} chapters");
        let all: usize = fresh.iter().map(|w| w.paper.chapters.len()).sum();
        assert!(some < all / 2, "{name}: {some} of {all}");
    }
    let mut gone = assets();
    gone.retain(|a| a.name != "model/mlp");
    let stale = written(&system(), &gone);
    let change = stale.iter().flat_map(|w| &w.paper.chapters).flat_map(|c| &c.stale).next();
    assert_eq!(change.unwrap().now, None);
}

#[test]
fn text_makes_a_point_declared_at_most_and_its_absence_a_gap() {
    let state = |written: &[Written], id: &str| {
        let chapters = written.iter().flat_map(|w| &w.paper.chapters);
        chapters.clone().find(|c| c.id == id).unwrap().state
    };
    assert_eq!(state(&example(), "AIA-IV-1b"), Some(Coverage::Missing));
    let mut told = system();
    told.people.push(Person { id: "qm".into(), name: "Q. M.".into(), role: "quality".into() });
    let authored = |id: &str, not: Option<&str>| Authored {
        id: id.into(),
        text: "7 systems".into(),
        owner: "qm".into(),
        not_applicable: not.map(str::to_owned),
    };
    told.papers = vec![authored("AIA-IV-1b", None), authored("AIA-IV-1f", Some("no product"))];
    let written = written(&told, &assets());
    assert_eq!(state(&written, "AIA-IV-1b"), Some(Coverage::Declared));
    assert_eq!(state(&written, "AIA-IV-1f"), Some(Coverage::Waived));
    // Figures are there, and the text is not: the weakest decides.
    assert_eq!(state(&written, "AIA-IV-2g"), Some(Coverage::Missing));
}

#[test]
fn every_point_of_the_law_is_there_and_the_base_is_named() {
    let papers = example();
    let ids: Vec<&str> = papers.iter().map(|w| w.paper.id.as_str()).collect();
    assert_eq!(ids, ["annex-iv", "instructions", "risk-file", "test-report", "fail-safe"]);
    let annex: Vec<&str> = papers[0]
        .paper
        .chapters
        .iter()
        .filter(|c| c.provision.starts_with("Annex IV"))
        .map(|c| c.mark.as_str())
        .collect();
    assert_eq!(annex.len(), 23);
    assert_eq!((annex[0], annex[16], annex[22]), ("1(a)", "3", "9"));
    for written in &papers {
        written.paper.check().unwrap();
        let base = written.paper.legal_base.join(" ");
        assert!(base.contains("2024/1689") && base.contains("2026/1744"), "{base}");
        assert!(written.gaps() > 0, "{} shows what is missing", written.paper.id);
        for block in written.paper.chapters.iter().flat_map(|c| &c.blocks) {
            if let Block::Gap { next, .. } = block {
                assert!(!next.is_empty(), "a gap without a next step");
            }
        }
    }
}

#[test]
fn security_is_declared_threat_by_threat() {
    let papers = example();
    let tables = papers[1].paper.chapters.iter().flat_map(|c| &c.blocks).filter_map(|b| match b {
        Block::Table(table) if table.head.len() == 7 => Some(table),
        _ => None,
    });
    let block = tables.clone().next().unwrap();
    assert_eq!(block.rows.len(), 2, "one row per budget");
    let proved = format!("{:?}", block.rows[0][4]);
    assert!(proved.contains("none yet"), "{proved}");
    assert!(format!("{:?}", block.rows[0][3]).contains("interval: Some"));
    assert!(format!("{:?}", block.rows[0][6]).contains("model/mlp"));
}

#[test]
fn words_from_outside_are_escaped_in_the_page() {
    let mut hostile = system();
    hostile.purpose = "<script>alert(1)</script>\"'&".into();
    for written in written(&hostile, &assets()) {
        let page = html::page(&written.paper).unwrap();
        assert!(!page.contains("<script"));
        for banned in ["http://", "https://", "src=", "url(", "@import", "<link"] {
            assert!(!page.contains(banned), "{banned}");
        }
        assert_eq!(page.matches("<h1>").count(), 1);
        let tables = page.matches("<table").count();
        assert_eq!(page.matches("<caption>").count(), tables);
        let ids: Vec<&str> =
            page.split(" id=\"").skip(1).map(|p| p.split('"').next().unwrap()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
        for link in page.split("href=\"#").skip(1).map(|p| p.split('"').next().unwrap()) {
            assert!(ids.contains(&link), "#{link}");
        }
    }
}

#[test]
fn papers_hold_to_their_schema() {
    let schemas = json_schema::Schemas::committed();
    let id = json_schema::id_of("proofmark.paper/1").unwrap();
    for written in example() {
        let value = serde_json::to_value(&written.paper).unwrap();
        assert_eq!(schemas.faults(&id, &value), [""; 0], "{}", written.paper.id);
        let mut more = value.clone();
        more["surplus"] = 1.into();
        assert!(!schemas.faults(&id, &more).is_empty());
    }
}
