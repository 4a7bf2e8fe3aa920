//! Cross-references of the catalogue: provisions, links, and ids that other files cite.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proofmark_schema::duties::{Duty, duties};

#[test]
fn every_provision_has_the_form_of_a_citation_and_agrees_with_the_id() {
    for duty in &duties().duties {
        let cited = Provision::parse(&duty.provision)
            .unwrap_or_else(|| panic!("{}: `{}` is no citation", duty.id, duty.provision));
        let (base, id) = duty.id.split_once('-').expect("an id names its act");
        assert_eq!(base, duty.base, "{}", duty.id);
        let named = parts_of(id);
        let agree = cited.parts.iter().zip(&named).all(|(c, n)| c == n);
        // Ids may go on with a letter of ours where the law has unnumbered sentences.
        let longer = named.len() <= cited.parts.len() + 1;
        assert!(agree && longer, "{}: {:?} and {:?}", duty.id, cited.parts, named);
    }
    for bad in ["", "Art.", "Article 9", "Art. 9(2", "Art. 9 (2)", "Annex 4(1)", "Art. 9(2)()"] {
        assert!(Provision::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn links_between_duties_resolve_and_none_points_at_itself() {
    for duty in &duties().duties {
        for other in &duty.see {
            assert_ne!(other, &duty.id);
            assert!(duties().named(other).is_some(), "{}: {other}", duty.id);
        }
    }
}

#[test]
fn every_id_of_the_field_note_is_in_the_catalogue() {
    let missing: Vec<&&str> = NOTED.iter().filter(|id| duties().named(id).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn words_are_short_and_no_duty_is_described_twice() {
    let mut seen = BTreeSet::new();
    for Duty { id, title, duty, .. } in &duties().duties {
        assert!(title.chars().count() <= 50, "{id}: {title}");
        assert!(duty.chars().count() <= 240 && duty.ends_with('.'), "{id}: {duty}");
        assert!(seen.insert(duty), "{id}: the same words as another");
    }
}

#[test]
fn every_duty_that_the_repository_cites_is_in_the_catalogue() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for top in ["crates", "docs", "examples", "README.md", "ARCHITECTURE.md"] {
        collect(&root.join(top), &mut files);
    }
    let mut unknown = BTreeSet::new();
    let mut cited = 0;
    for file in files.iter().filter(|f| !f.ends_with("tests/it/duties.rs")) {
        let text = fs::read_to_string(file).unwrap_or_default();
        for id in ids_in(&text) {
            cited += 1;
            // A row of the matrix is named by its paragraph: a prefix of ids is fine.
            let known = duties().duties.iter().any(|d| {
                d.id == id || d.id.strip_prefix(&id).is_some_and(|rest| rest.starts_with('-'))
            });
            if !known {
                unknown.insert(format!("{}: {id}", file.display()));
            }
        }
    }
    assert!(cited > 100, "{cited}");
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// `Art. 13(3)(b)(ii)`, `Annex IV(2)(g)`, with the subparagraph in words where it has no number.
struct Provision {
    parts: Vec<String>,
}

impl Provision {
    fn parse(text: &str) -> Option<Self> {
        let (cited, words) = match text.split_once(", ") {
            Some((cited, words)) => (cited, Some(words)),
            None => (text, None),
        };
        if words.is_some_and(|w| !["second subparagraph", "third subparagraph"].contains(&w)) {
            return None;
        }
        let rest = cited.strip_prefix("Art. ");
        let (article, rest) = match rest {
            Some(rest) => (true, rest),
            None => (false, cited.strip_prefix("Annex ")?),
        };
        let (first, groups) = rest.split_at(rest.find('(').unwrap_or(rest.len()));
        let number = first.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let shaped = match article {
            true => !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()),
            false => !first.is_empty() && first.bytes().all(|b| b"IVX".contains(&b)),
        };
        let mut parts = vec![first.to_owned()];
        for group in groups.split_inclusive(')') {
            let inner = group.strip_prefix('(')?.strip_suffix(')')?;
            if inner.is_empty() || !inner.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return None;
            }
            parts.push(inner.to_owned());
        }
        shaped.then_some(Self { parts })
    }
}

/// `IV-2g` as `IV`, `2`, `g`; `15-5-e` as `15`, `5`, `e`.
fn parts_of(id: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (place, part) in id.split('-').enumerate() {
        let letter = part.len() > 1 && part.ends_with(|c: char| c.is_ascii_lowercase());
        let digits = part.starts_with(|c: char| c.is_ascii_digit());
        if place > 0 && letter && digits && id.starts_with("IV") {
            let (number, letter) = part.split_at(part.len() - 1);
            parts.extend([number.to_owned(), letter.to_owned()]);
        } else {
            parts.push(part.to_owned());
        }
    }
    parts
}

fn ids_in(text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for (at, _) in text.match_indices("AIA-") {
        let rest = &text[at + 4..];
        let body: String =
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let starts = body.starts_with(|c: char| c.is_ascii_digit()) || body.starts_with("IV-");
        if starts {
            ids.push(format!("AIA-{}", body.trim_end_matches('-')));
        }
    }
    ids
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    let Ok(listing) = fs::read_dir(path) else {
        let text = ["rs", "md", "toml", "html", "json", "typ", "snap"];
        if path.extension().and_then(|e| e.to_str()).is_some_and(|e| text.contains(&e)) {
            files.push(path.to_owned());
        }
        return;
    };
    for item in listing.flatten() {
        if item.file_name() != "target" {
            collect(&item.path(), files);
        }
    }
}

/// Ids of the duties of Articles 4a and 9 to 15 and of Annex IV, as the maintainers number them.
const NOTED: [&str; 92] = [
    "AIA-9-1",
    "AIA-9-2-a",
    "AIA-9-2-b",
    "AIA-9-2-c",
    "AIA-9-4",
    "AIA-9-2-d",
    "AIA-9-5",
    "AIA-9-6",
    "AIA-9-7",
    "AIA-9-8",
    "AIA-9-3",
    "AIA-9-10",
    "AIA-9-9",
    "AIA-10-2-a",
    "AIA-10-2-d",
    "AIA-10-2-b",
    "AIA-10-2-c",
    "AIA-10-2-e",
    "AIA-10-2-f",
    "AIA-10-2-g",
    "AIA-10-2-h",
    "AIA-10-3",
    "AIA-10-4",
    "AIA-4a-1",
    "AIA-10-6",
    "AIA-11-1",
    "AIA-11-1-s",
    "AIA-11-2",
    "AIA-12-1",
    "AIA-12-2-a",
    "AIA-12-2-b",
    "AIA-12-2-c",
    "AIA-12-3",
    "AIA-13-1",
    "AIA-13-2",
    "AIA-13-3-a",
    "AIA-13-3-b-ii",
    "AIA-13-3-b-iii",
    "AIA-13-3-b-v",
    "AIA-13-3-b-vi",
    "AIA-13-3-c",
    "AIA-13-3-e",
    "AIA-13-3-b-iv",
    "AIA-13-3-b-vii",
    "AIA-13-3-d",
    "AIA-13-3-f",
    "AIA-14-1",
    "AIA-14-2",
    "AIA-14-3",
    "AIA-14-4-a",
    "AIA-14-4-c",
    "AIA-14-4-b",
    "AIA-14-4-d",
    "AIA-14-4-e",
    "AIA-14-5",
    "AIA-15-1",
    "AIA-15-2",
    "AIA-15-3",
    "AIA-15-4-a",
    "AIA-15-4-b",
    "AIA-15-4-c",
    "AIA-15-5-a",
    "AIA-15-5-b",
    "AIA-15-5-c",
    "AIA-15-5-d",
    "AIA-15-5-e",
    "AIA-15-5-f",
    "AIA-15-5-g",
    "AIA-15-5-h",
    "AIA-IV-1a",
    "AIA-IV-1b",
    "AIA-IV-1c",
    "AIA-IV-1d",
    "AIA-IV-1e",
    "AIA-IV-1f",
    "AIA-IV-1g",
    "AIA-IV-1h",
    "AIA-IV-2a",
    "AIA-IV-2b",
    "AIA-IV-2c",
    "AIA-IV-2d",
    "AIA-IV-2e",
    "AIA-IV-2f",
    "AIA-IV-2g",
    "AIA-IV-2h",
    "AIA-IV-3",
    "AIA-IV-4",
    "AIA-IV-5",
    "AIA-IV-6",
    "AIA-IV-7",
    "AIA-IV-8",
    "AIA-IV-9",
];
