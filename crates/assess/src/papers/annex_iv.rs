//! The technical documentation of Annex IV, every point with its state.
//!
//! Owns the points and what of each is taken from measurements, the log and the declaration. Must
//! never leave a point out. Registered in `papers`.

use proofmark_schema::duties::cell_id;
use proofmark_schema::taxonomy::Coverage;

use super::draft::{Chapter, Draft, Part, cell, code, declared, table, words};
use super::parts;
use super::points::{Point, command, next};
use super::{Kind, Sources};
use crate::document::{Piece, model_part};
use crate::facts::{FactBook, FactError};
use crate::matrix;
use crate::standing::RiskState;

pub(super) const KIND: Kind = Kind {
    id: "annex-iv",
    title: "Technical documentation",
    about: "every point of Annex IV with its state and what is missing",
    write,
};

fn write(sources: &Sources<'_>, book: &mut FactBook) -> Result<Draft, FactError> {
    let mut chapters = vec![Chapter::plain("general", 1, "General description")];
    for point in &POINTS {
        if let Some((id, title)) =
            SECTIONS.iter().find(|(before, ..)| *before == point.id).map(|s| (s.1, s.2))
        {
            chapters.push(Chapter::plain(id, 1, title));
        }
        chapters.push(chapter(point, sources, book)?);
    }
    Ok(Draft { front: super::failsafe::warnings(sources), chapters })
}

fn chapter(
    point: &Point,
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Chapter, FactError> {
    let system = &sources.assessment.system;
    let mut chapter = point.empty();
    match point.id {
        "AIA-IV-1a" => identity(sources, &mut chapter),
        "AIA-IV-1e" => machine(sources, &mut chapter),
        "AIA-IV-1h" => {
            instructions(sources, &mut chapter);
            return Ok(chapter);
        }
        "AIA-IV-2a" => {
            chapter.cites = parts::files(sources.assessment, "model/");
            chapter.parts.extend(parts::models(sources.assessment));
        }
        "AIA-IV-2b" => trade_offs(sources, &mut chapter, book)?,
        "AIA-IV-2c" => compute(sources, &mut chapter),
        "AIA-IV-2d" => {
            chapter.cites = parts::files(sources.assessment, "data/");
            chapter.parts.extend(parts::data(sources.assessment));
        }
        "AIA-IV-2e" => parts::last_drill(sources, &mut chapter, book)?,
        "AIA-IV-2g" => tests(sources, &mut chapter, book)?,
        "AIA-IV-2h" => {
            security(sources, &mut chapter, book)?;
            return Ok(chapter);
        }
        "AIA-IV-3" => capabilities(sources, &mut chapter, book)?,
        "AIA-IV-4" => metrics(sources, &mut chapter),
        "AIA-IV-5" => {
            risks(sources, &mut chapter);
            return Ok(chapter);
        }
        "AIA-IV-6" => changes(sources, &mut chapter),
        "AIA-IV-9" => monitoring(sources, &mut chapter),
        _ => {}
    }
    point.answer(system, &mut chapter);
    Ok(chapter)
}

fn identity(sources: &Sources<'_>, chapter: &mut Chapter) {
    let system = &sources.assessment.system;
    chapter.holds("purpose, provider and version are declared", Coverage::Declared);
    chapter.push(Part::Terms(vec![
        ("Name", vec![declared(&system.name)]),
        ("Version", vec![declared(&system.version)]),
        ("Provider", vec![declared(&system.provider)]),
        ("Intended purpose", vec![declared(&system.purpose)]),
    ]));
}

fn machine(sources: &Sources<'_>, chapter: &mut Chapter) {
    let results = &sources.assessment.results;
    let Some(m) = results.iter().flat_map(|r| &r.said.measurements).next() else { return };
    chapter.push(Part::Terms(vec![
        ("Engine of the tests", vec![code(format!("{} {}", m.engine.name, m.engine.version))]),
        ("Processor features", vec![code(&m.engine.cpu)]),
    ]));
    chapter.say("This is the machine of the tests, not the one the system is meant for.");
}

fn instructions(sources: &Sources<'_>, chapter: &mut Chapter) {
    let open = super::instructions::open_points(&sources.assessment.system);
    chapter.push(Part::Para(vec![
        words("The instructions for use of this version are written with this paper: "),
        code("papers/instructions.html"),
    ]));
    if open.is_empty() {
        chapter.holds("instructions for use, every point answered", Coverage::Declared);
        return;
    }
    let mut what = cell("the instructions for use have gaps: ");
    for (place, id) in open.iter().enumerate() {
        if place > 0 {
            what.push(words(", "));
        }
        what.push(code(*id));
    }
    chapter.lacks(what, next("answer them in `[papers.\"…\"]` of the declaration"));
}

fn trade_offs(
    sources: &Sources<'_>,
    chapter: &mut Chapter,
    book: &mut FactBook,
) -> Result<(), FactError> {
    chapter.parts.extend(parts::features(sources.assessment, book)?);
    match parts::treatments(sources, book)? {
        Some(table) => {
            chapter.holds("trade-offs of measures, measured on the same rows", Coverage::Measured);
            chapter.push(table);
        }
        None => chapter.lacks(
            cell("trade-offs between measures were not measured"),
            command("proofmark harden"),
        ),
    }
    Ok(())
}

fn compute(sources: &Sources<'_>, chapter: &mut Chapter) {
    if let Some(table) = parts::probes(sources.assessment) {
        chapter.holds("what testing took is in the log", Coverage::Measured);
        chapter.push(table);
    }
}

fn tests(
    sources: &Sources<'_>,
    chapter: &mut Chapter,
    book: &mut FactBook,
) -> Result<(), FactError> {
    let assessment = sources.assessment;
    chapter.cites = parts::judged_files(assessment);
    match parts::verdicts(assessment, book)? {
        Some(table) => {
            if parts::all_judged(assessment) && assessment.complete {
                chapter.holds("thresholds fixed before the run, and verdicts", Coverage::Measured);
            } else {
                chapter.lacks(
                    cell("a criterion has no verdict, or a probe failed"),
                    command("proofmark assess"),
                );
            }
            chapter.push(table);
        }
        None => chapter.lacks(
            cell("no criterion was registered, so nothing was judged"),
            next("declare `[criteria.<name>]`, then `proofmark assess`"),
        ),
    }
    for model in &assessment.system.models {
        let part = model_part(assessment, model, book)?;
        chapter.push(Part::Para(vec![words("Model "), declared(&model.name), words(":")]));
        part.tables.into_iter().take(1).for_each(|t| chapter.push(Part::Table(t)));
    }
    chapter.push(Part::Para(vec![
        words("Figures per class and group stand under "),
        Piece::Link { to: "AIA-IV-3".to_owned(), words: "capabilities".to_owned() },
        words(", everything else in the test report: "),
        code("papers/test-report.html"),
    ]));
    super::test_report::signed_item(sources, chapter);
    Ok(())
}

fn security(
    sources: &Sources<'_>,
    chapter: &mut Chapter,
    book: &mut FactBook,
) -> Result<(), FactError> {
    let assessment = sources.assessment;
    chapter.parts.extend(parts::matrix(assessment));
    for row in &assessment.matrix.rows {
        match missing(row) {
            None => {
                let declared = row.cells.iter().any(|c| c.coverage == Coverage::Declared);
                let state = if declared { Coverage::Declared } else { Coverage::Measured };
                chapter.holds(row.threat.title(), state);
            }
            Some((what, next)) => chapter.lacks(what, next),
        }
    }
    chapter.parts.extend(super::instructions::declared_block(sources, book)?);
    chapter.parts.extend(parts::treatments(sources, book)?);
    Ok(())
}

fn missing(row: &matrix::Row) -> Option<(crate::document::Cell, crate::document::Cell)> {
    let mut open = row.cells.iter().filter(|c| c.coverage == Coverage::Missing).peekable();
    let first = *open.peek()?;
    let verbs: Vec<&str> = open.map(|c| c.verb.id()).collect();
    let what = vec![words(row.threat.title()), words(": nothing to "), words(&verbs.join(", "))];
    let command = match first.next.is_empty() {
        true => vec![
            words("declare "),
            code(format!("[declared.\"{}\"]", cell_id(row.threat, first.verb))),
        ],
        false => next(&first.next),
    };
    Some((what, command))
}

fn capabilities(
    sources: &Sources<'_>,
    chapter: &mut Chapter,
    book: &mut FactBook,
) -> Result<(), FactError> {
    let assessment = sources.assessment;
    let mut any = false;
    for model in &assessment.system.models {
        let part = model_part(assessment, model, book)?;
        chapter.push(Part::Para(vec![words("Model "), declared(&model.name), words(":")]));
        for table in part.tables {
            any = true;
            chapter.push(Part::Table(table));
        }
        for threat in part.threats {
            let alt = format!(
                "Robust accuracy of {} under {} by budget, falling where the attacks succeed; \
                 the table that follows has the same figures",
                model.name, threat.name
            );
            chapter.push(Part::Plot {
                plot: threat.curve,
                alt,
                caption: "Robust accuracy by budget; the table below has the same figures",
            });
        }
    }
    if any {
        chapter.holds("accuracy overall and per group", Coverage::Measured);
    } else {
        chapter.lacks(cell("accuracy was not measured"), command("proofmark assess"));
    }
    chapter.parts.extend(parts::features(assessment, book)?);
    risk_item(sources, chapter);
    Ok(())
}

fn risk_item(sources: &Sources<'_>, chapter: &mut Chapter) {
    match parts::risks(sources, false) {
        Some(table) => {
            chapter.holds("sources of risk are in the register", Coverage::Declared);
            chapter.push(table);
        }
        None => {
            chapter.lacks(cell("the register of risks is empty"), command("proofmark risk seed"))
        }
    }
}

fn metrics(sources: &Sources<'_>, chapter: &mut Chapter) {
    match parts::rationales(sources.assessment) {
        Some(table) => {
            chapter.holds("every criterion says why its metric fits", Coverage::Declared);
            chapter.push(table);
        }
        None => chapter.lacks(
            cell("no criterion says why its metric fits"),
            next("declare `[criteria.<name>]` with `rationale`"),
        ),
    }
}

fn risks(sources: &Sources<'_>, chapter: &mut Chapter) {
    chapter.push(Part::Para(vec![
        words("The risk file of this version is written with this paper: "),
        code("papers/risk-file.html"),
    ]));
    risk_item(sources, chapter);
    for standing in &sources.overview.risks {
        let settled = matches!(standing.state, RiskState::Accepted | RiskState::Excluded);
        if !settled && let Some(reason) = standing.reasons.first() {
            let what = vec![code(&standing.risk.id), words(" is "), words(standing.state.word())];
            chapter.lacks(what, command(&reason.next));
        }
    }
    for reason in &sources.overview.missing {
        let what = vec![words("the register lacks a scenario: "), code(&reason.about)];
        chapter.lacks(what, next(&reason.next));
    }
    if sources.overview.overall.holds {
        chapter.holds("the residual risk of all together is accepted", Coverage::Declared);
    } else {
        let what = cell("the residual risk of all together is not accepted");
        chapter.lacks(what, command("proofmark risk overall"));
    }
}

fn changes(sources: &Sources<'_>, chapter: &mut Chapter) {
    if let Some(table) = parts::plans(sources) {
        chapter.holds("every run and plan is in the log", Coverage::Measured);
        chapter.push(table);
    }
    let rows = changed_files(sources);
    match table(
        "Files that differ between one plan and the next",
        &["run", "file", "was", "is"],
        rows,
    ) {
        Some(table) => chapter.push(table),
        None => chapter.say("No file changed between the runs in the log."),
    }
}

fn changed_files(sources: &Sources<'_>) -> Vec<Vec<crate::document::Cell>> {
    let mut rows = Vec::new();
    for (run, changes) in sources.plan_changes {
        for change in changes {
            let digest = |d: &Option<String>| match d {
                Some(d) => vec![super::draft::short(d)],
                None => cell("not there"),
            };
            rows.push(vec![
                vec![code(run)],
                vec![code(&change.asset)],
                digest(&change.was),
                digest(&change.is),
            ]);
        }
    }
    rows
}

fn monitoring(sources: &Sources<'_>, chapter: &mut Chapter) {
    let expires = sources.overview.run.as_ref().and_then(|r| r.expires.clone());
    let mut terms = Vec::new();
    if let Some(time) = expires {
        terms.push(("Figures are measured again by", vec![Piece::Time(time)]));
    } else {
        chapter.lacks(
            cell("no period is declared after which figures are measured again"),
            next("declare `retest_days` in `[use]`"),
        );
    }
    if !terms.is_empty() {
        chapter.push(Part::Terms(terms));
    }
}

/// Sections that begin before a point: point, anchor, title.
const SECTIONS: [(&str, &str, &str); 3] = [
    ("AIA-IV-2a", "elements", "Elements and development"),
    ("AIA-IV-3", "use", "Capabilities, metrics, risks"),
    ("AIA-IV-6", "life", "Life cycle, standards, declaration, monitoring"),
];

macro_rules! point {
    ($id:literal, $mark:literal, $title:literal, $asks:literal) => {
        Point {
            id: $id,
            mark: $mark,
            provision: concat!("Annex IV, point ", $mark, "; Art. 11(1)"),
            title: $title,
            asks: $asks,
        }
    };
}

/// Every point of Annex IV, in order.
pub(super) const POINTS: [Point; 23] = [
    point!(
        "AIA-IV-1a",
        "1(a)",
        "Purpose, provider, version",
        "how this version relates to former ones"
    ),
    point!(
        "AIA-IV-1b",
        "1(b)",
        "Interaction with other hardware and software",
        "which hardware, software and other AI systems it works with"
    ),
    point!(
        "AIA-IV-1c",
        "1(c)",
        "Versions of software and firmware",
        "which versions it needs, and how they are kept up to date"
    ),
    point!(
        "AIA-IV-1d",
        "1(d)",
        "Forms of supply",
        "how it is put on the market: package, download, interface, built in"
    ),
    point!("AIA-IV-1e", "1(e)", "Hardware", "which hardware it is meant to run on"),
    point!(
        "AIA-IV-1f",
        "1(f)",
        "Pictures of the product",
        "pictures, marking and inner layout where it is part of a product"
    ),
    point!(
        "AIA-IV-1g",
        "1(g)",
        "User interface of the deployer",
        "what the deployer sees and handles"
    ),
    point!("AIA-IV-1h", "1(h)", "Instructions for use", ""),
    point!(
        "AIA-IV-2a",
        "2(a)",
        "Development and third parties' parts",
        "the steps of development, and parts that others trained, and how they were changed"
    ),
    point!(
        "AIA-IV-2b",
        "2(b)",
        "Design and its reasons",
        "the logic, the choices and their reasons, for which groups, what is optimised, what \
         quality is expected, and what was traded for what"
    ),
    point!(
        "AIA-IV-2c",
        "2(c)",
        "Architecture and computing resources",
        "how the parts fit together, and what was used to develop, train and test it"
    ),
    point!(
        "AIA-IV-2d",
        "2(d)",
        "Data sheets",
        "where data come from, their scope and traits, how they were chosen, labelled, cleaned"
    ),
    point!(
        "AIA-IV-2e",
        "2(e)",
        "Human oversight",
        "which oversight is needed, and what helps people to read the output"
    ),
    point!(
        "AIA-IV-2f",
        "2(f)",
        "Pre-determined changes",
        "which changes are foreseen, and how compliance holds through them"
    ),
    point!(
        "AIA-IV-2g",
        "2(g)",
        "Validation and testing",
        "how tests are run, on which data and its traits, and what was done about discrimination"
    ),
    point!("AIA-IV-2h", "2(h)", "Cybersecurity measures", ""),
    point!(
        "AIA-IV-3",
        "3",
        "Capabilities, limits, oversight, inputs",
        "what it can and cannot do, unwanted outcomes that can be foreseen, oversight, inputs"
    ),
    point!(
        "AIA-IV-4",
        "4",
        "Why the metrics fit",
        "why these metrics fit this system, and which others were looked at"
    ),
    point!("AIA-IV-5", "5", "Risk management", ""),
    point!("AIA-IV-6", "6", "Changes over the life cycle", "what changed in the system and why"),
    point!(
        "AIA-IV-7",
        "7",
        "Standards and other solutions",
        "harmonised standards that are applied, or the solutions adopted instead"
    ),
    point!(
        "AIA-IV-8",
        "8",
        "EU declaration of conformity",
        "the declaration of conformity, or where its signed copy lies"
    ),
    point!(
        "AIA-IV-9",
        "9",
        "Monitoring after market entry",
        "how performance is watched after market entry, and the plan of that monitoring"
    ),
];
