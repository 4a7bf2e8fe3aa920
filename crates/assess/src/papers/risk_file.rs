//! The risk file (Art. 9): every risk with its history, from the register.
//!
//! Owns what of the register is shown, and that figures behind a likelihood are facts of the
//! statements they were taken from. Must never rate. Registered in `papers`.

use proofmark_schema::risk::scales;
use proofmark_schema::taxonomy::Coverage;

use super::draft::{Chapter, Draft, Part, cell, code, declared, short, table, words};
use super::parts;
use super::points::{command, next};
use super::{Kind, Sources};
use crate::document::{Cell, Piece};
use crate::facts::{At, FactBook, FactError, Form};
use crate::risk::{Act, Item, Risk};
use crate::standing::{RiskStanding, RiskState};
use proofmark_schema::risk::{Basis, Rating, ScenarioKind};
use proofmark_schema::system::HarmClass;

pub(super) const KIND: Kind = Kind {
    id: "risk-file",
    title: "Risk file",
    about: "every risk with rating, treatment, acceptance and history (Art. 9)",
    write,
};

fn write(sources: &Sources<'_>, book: &mut FactBook) -> Result<Draft, FactError> {
    let mut chapters = vec![scope(sources), summary(sources), overall(sources), method()];
    let risks = &sources.overview.risks;
    if !risks.is_empty() {
        chapters.push(Chapter::plain("risks", 1, "Risks one by one"));
    }
    for standing in risks {
        chapters.push(risk(standing, sources, book)?);
    }
    let mut measures = Chapter::plain("measures", 1, "Measures and their effect");
    measures.provision = "Art. 9(4), 9(5)".to_owned();
    match parts::treatments(sources, book)? {
        Some(table) => {
            measures.holds("effects of measures, alone and together", Coverage::Measured);
            measures.push(table);
        }
        None => measures
            .lacks(cell("the effect of measures was not measured"), command("proofmark harden")),
    }
    chapters.push(measures);
    Ok(Draft { front: super::failsafe::warnings(sources), chapters })
}

fn scope(sources: &Sources<'_>) -> Chapter {
    let system = &sources.assessment.system;
    let mut chapter = Chapter::plain("scope", 1, "Purpose, misuse, harms");
    chapter.provision = "Art. 9(2)(a), 9(2)(b), 9(9)".to_owned();
    chapter.push(Part::Terms(vec![
        ("Intended purpose", vec![declared(&system.purpose)]),
        ("Risk owner", person(sources, system.upkeep.risk_owner.as_deref())),
        ("Approver", person(sources, system.upkeep.approver.as_deref())),
    ]));
    let row = |h: &proofmark_schema::system::Harm| {
        let vulnerable = match &h.vulnerable {
            Some(text) => vec![declared(text)],
            None => cell("not said"),
        };
        vec![
            vec![declared(&h.name)],
            cell(class_words(h.class)),
            cell(severity_word(h.severity)),
            vec![declared(&h.people)],
            vulnerable,
        ]
    };
    let rows = system.harms.iter().map(row).collect();
    let head = ["harm", "class", "severity", "people", "minors and vulnerable groups"];
    match table("Harms to people, as declared", &head, rows) {
        Some(table) => {
            chapter.holds("harms to people", Coverage::Declared);
            chapter.push(table);
        }
        None => chapter.lacks(cell("no harm is declared"), next("declare `[harms.<name>]`")),
    }
    for harm in system.harms.iter().filter(|h| h.vulnerable.is_none()) {
        let what = vec![
            words("what the harm means for minors and vulnerable groups: "),
            declared(&harm.name),
        ];
        chapter.lacks(what, next(&format!("declare `vulnerable` in `[harms.{}]`", harm.name)));
    }
    parts::misuse(&sources.assessment.system, &mut chapter, true);
    chapter
}

fn person(sources: &Sources<'_>, id: Option<&str>) -> Cell {
    let Some(id) = id else { return cell("not declared") };
    match sources.assessment.system.person(id) {
        Some(person) => vec![declared(format!("{}, {}", person.name, person.role))],
        None => vec![declared(id)],
    }
}

fn summary(sources: &Sources<'_>) -> Chapter {
    let mut chapter = Chapter::plain("summary", 1, "All risks");
    chapter.provision = "Art. 9(1), 9(2)".to_owned();
    match parts::risks(sources, true) {
        Some(table) => {
            chapter.holds("a register of risks", Coverage::Declared);
            chapter.push(table);
        }
        None => {
            chapter.lacks(cell("the register of risks is empty"), command("proofmark risk seed"))
        }
    }
    for reason in &sources.overview.missing {
        let what = vec![words("the register lacks a scenario: "), code(&reason.about)];
        chapter.lacks(what, next(&reason.next));
    }
    let rows = sources
        .overview
        .void
        .iter()
        .map(|(risk, _, why)| vec![vec![code(risk)], vec![declared(why)]]);
    let caption = "Statements that broke a rule of the register; they do not count";
    chapter.parts.extend(table(caption, &["risk", "why"], rows.collect()));
    chapter
}

fn overall(sources: &Sources<'_>) -> Chapter {
    let mut chapter = Chapter::plain("overall", 1, "Residual risk of all together");
    chapter.provision = "Art. 9(5)".to_owned();
    let standing = &sources.overview.overall;
    if let Some(said) = &sources.world.risks.overall {
        chapter.push(Part::Terms(vec![
            ("Judged by", vec![declared(format!("{}, {}", said.by.name, said.by.role))]),
            ("On", vec![Piece::Time(said.time.clone())]),
            ("Until", vec![Piece::Time(said.said.expires.clone())]),
            ("Why", vec![declared(&said.said.reason)]),
        ]));
    }
    if standing.holds {
        chapter.holds("accepted by a person", Coverage::Declared);
    } else {
        for reason in &standing.reasons {
            chapter.lacks(cell(overall_words(&reason.code)), command(&reason.next));
        }
    }
    chapter
}

fn overall_words(code: &str) -> &'static str {
    match code {
        "overall-missing" => "the residual risk of all together is not accepted by a person",
        "overall-expired" => "the acceptance of all together has ended",
        _ => "a risk was settled anew, or is open, since all together were accepted",
    }
}

fn method() -> Chapter {
    let scales = scales();
    let mut chapter = Chapter::plain("method", 1, "How risks are rated");
    chapter.push(Part::Para(vec![declared(&scales.why)]));
    let rows = scales.likelihood.iter().map(|b| vec![cell(&b.title), cell(&b.means)]).collect();
    chapter.parts.extend(table(
        "Likelihood, as expected successes in a year",
        &["word", "meaning"],
        rows,
    ));
    let rows = scales.severity.iter().map(|s| vec![cell(&s.title), cell(&s.means)]).collect();
    chapter.parts.extend(table("Severity of the harm to people", &["word", "meaning"], rows));
    chapter
}

fn risk(
    standing: &RiskStanding,
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Chapter, FactError> {
    let risk = &standing.risk;
    let mut chapter = Chapter::plain(&parts::risk_anchor(&risk.id), 2, "");
    chapter.title = risk.id.clone();
    chapter.provision = "Art. 9(2), 9(5)".to_owned();
    chapter.push(Part::Terms(described(risk, sources)));
    chapter.push(Part::Terms(vec![
        ("Before treatment", parts::rating(risk.inherent.as_ref().map(|r| &r.said))),
        ("After treatment, today", parts::rating(standing.residual.rating.as_ref())),
        ("State", vec![words(standing.state.word())]),
    ]));
    if let Some(table) = likelihoods(standing, sources, book)? {
        chapter.push(table);
    }
    treatments(standing, &mut chapter);
    settled(standing, &mut chapter);
    for reason in &standing.reasons {
        chapter.lacks(cell(reason_words(&reason.code)), command(&reason.next));
    }
    for gap in &standing.gaps {
        let what = if gap.contains("vulnerable") {
            "what it means for minors and vulnerable groups is not said"
        } else {
            "no harm is named"
        };
        chapter.lacks(cell(what), next("declare it in `[harms.<name>]`"));
    }
    chapter.parts.extend(history(risk));
    Ok(chapter)
}

fn described(risk: &Risk, sources: &Sources<'_>) -> Vec<(&'static str, Cell)> {
    let scenario = &risk.scenario;
    let codes = |list: &[String]| -> Cell {
        let mut cell = Vec::new();
        for name in list {
            if !cell.is_empty() {
                cell.push(words(", "));
            }
            cell.push(code(name));
        }
        if cell.is_empty() { super::draft::cell("none") } else { cell }
    };
    let harm = match &scenario.harm {
        Some(harm) => vec![
            declared(&harm.name),
            words(" ("),
            words(class_words(harm.class)),
            words("): "),
            declared(&harm.people),
        ],
        None => cell("no harm is named"),
    };
    vec![
        ("Scenario", vec![declared(&scenario.title)]),
        ("Kind", cell(kind_words(scenario.kind))),
        ("Row of the law", cell(scenario.row.map_or("none", |r| r.title()))),
        ("Actor", vec![declared(&scenario.actor)]),
        ("What it touches", codes(&scenario.assets)),
        ("Techniques", codes(&scenario.techniques)),
        ("Harm", harm),
        ("Criteria", codes(&scenario.links.criteria)),
        ("Owner", person(sources, Some(&scenario.owner))),
    ]
}

/// The figures behind measured likelihoods, from the statements of the register.
fn likelihoods(
    standing: &RiskStanding,
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Option<Part>, FactError> {
    let risk = &standing.risk;
    let mut rows = Vec::new();
    for (side, said) in [("before treatment", &risk.inherent), ("after, entered", &risk.residual)] {
        let Some(said) = said else { continue };
        if let Basis::Measured(_) = &said.said.basis {
            let place = "/predicate/said/rating/basis";
            rows.push(measured(side, &said.statement, place, &risk.id, book)?);
        }
    }
    if let Some(accepted) = &risk.acceptance
        && let Basis::Measured(_) = &accepted.said.residual.basis
    {
        let place = "/predicate/said/residual/basis";
        rows.push(measured("as accepted", &accepted.statement, place, &risk.id, book)?);
    }
    rows.extend(today(standing.residual.rating.as_ref(), sources, book)?);
    let head = [
        "side",
        "share of attempts that succeed",
        "attempts in a year, declared",
        "expected successes in a year",
    ];
    Ok(table("Figures behind the likelihood", &head, rows))
}

fn measured(
    side: &str,
    statement: &str,
    place: &str,
    risk: &str,
    book: &mut FactBook,
) -> Result<Vec<Cell>, FactError> {
    let mut range = |field: &str, form| {
        let mut end = |at: usize| {
            let id = format!("risk/{risk}/{side}#{field}/{at}");
            book.fact(&id, &At::new(statement, format!("{place}/{field}/{at}")), form)
        };
        Ok::<Cell, FactError>(vec![Piece::Fact(end(0)?), words(" to "), Piece::Fact(end(1)?)])
    };
    Ok(vec![
        cell(side),
        range("success", Form::Percent)?,
        range("attempts_per_year", Form::Number)?,
        range("successes_per_year", Form::Number)?,
    ])
}

/// The figure that the rating of today rests on; the products are in words above only, since no
/// statement holds them yet.
fn today(
    rating: Option<&Rating>,
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Option<Vec<Cell>>, FactError> {
    let Some(Basis::Measured(basis)) = rating.map(|r| &r.basis) else { return Ok(None) };
    let all = crate::document::located(sources.assessment);
    let Some(found) = all.into_iter().find(|l| l.m.id == basis.measurement) else {
        return Ok(None);
    };
    let mut figure = vec![crate::document::metric_title(&basis.metric), words(" ")];
    figure.extend(found.cell(book)?);
    Ok(Some(vec![
        cell("today, from the latest run"),
        figure,
        cell("as declared"),
        cell("by the band of the scale"),
    ]))
}

fn treatments(standing: &RiskStanding, chapter: &mut Chapter) {
    let rows = standing.treatments.iter().map(|taken| {
        let treatment = &taken.treatment;
        let effect = match &taken.measured {
            None if treatment.measure.is_some() => cell("names a measure that was never measured"),
            None => cell("names no measure; nothing was measured"),
            Some(m) if m.effects.is_empty() => cell("its effect was not measured"),
            Some(m) => vec![
                words(if m.force.is_on() { "in force" } else { "not in force" }),
                words("; effects stand under measures"),
            ],
        };
        let higher = treatment.not_enough.iter().flat_map(|n| {
            vec![words(parts::order_words(n.step)), words(": "), declared(&n.reason), Piece::Break]
        });
        vec![
            vec![declared(&treatment.what)],
            cell(parts::order_words(treatment.order)),
            higher.collect(),
            effect,
            vec![code(&treatment.owner)],
        ]
    });
    let head = ["treatment", "step", "why a higher step is not enough", "effect", "owner"];
    chapter.parts.extend(table("Treatments, in the order of the law", &head, rows.collect()));
}

fn settled(standing: &RiskStanding, chapter: &mut Chapter) {
    let risk = &standing.risk;
    let by = |name: &str, role: &str| vec![declared(format!("{name}, {role}"))];
    let settled = matches!(standing.state, RiskState::Accepted | RiskState::Excluded);
    if let Some(a) = &risk.acceptance {
        chapter.push(Part::Terms(vec![
            ("Accepted by", by(&a.by.name, &a.by.role)),
            ("On", vec![Piece::Time(a.time.clone())]),
            ("Until", vec![Piece::Time(a.said.expires.clone())]),
            ("Why", vec![declared(&a.said.reason)]),
        ]));
    }
    if let Some(e) = &risk.exclusion {
        chapter.push(Part::Terms(vec![
            ("Excluded by", by(&e.by.name, &e.by.role)),
            ("On", vec![Piece::Time(e.time.clone())]),
            ("Until", vec![Piece::Time(e.said.expires.clone())]),
            ("Why", vec![declared(&e.said.reason)]),
        ]));
    }
    if settled {
        let measured =
            matches!(standing.residual.rating.as_ref().map(|r| &r.basis), Some(Basis::Measured(_)));
        let state = if measured { Coverage::Measured } else { Coverage::Declared };
        chapter.holds("settled by a named person", state);
    }
}

fn history(risk: &Risk) -> Option<Part> {
    let row = |item: &Item| {
        let said = &item.logged.said;
        let what = match &said.said {
            Act::Enter { .. } => "entered",
            Act::Rate { .. } => "rated",
            Act::Treat { .. } => "treatment chosen",
            Act::Withdraw { .. } => "treatment given up",
            Act::Accept { .. } => "accepted",
            Act::Exclude { .. } => "excluded",
            Act::Review { .. } => "reviewed",
            Act::Reopen { .. } => "re-opened",
            Act::Overall { .. } => "all together accepted",
        };
        let counts = match item.void {
            Some(_) => "void: broke a rule",
            None => "counts",
        };
        vec![
            vec![Piece::Time(item.logged.time.clone())],
            cell(what),
            vec![declared(&said.by.name)],
            cell(counts),
            vec![short(&item.logged.stored.statement.hex())],
        ]
    };
    let rows = risk.history.iter().map(row).collect();
    table("Everything that was said about it", &["when", "what", "by", "counts", "statement"], rows)
}

/// Why a risk is open, in words without figures; the register has them in full.
fn reason_words(code: &str) -> &'static str {
    match code {
        "unrated" => "it is not rated, and not excluded with a reason",
        "residual-unknown" => "what is left of it today cannot be told",
        "unaccepted" => "what is left of it is not accepted by a person",
        "criterion-unmet" => "a criterion that belongs to it was not reached",
        "residual-rose" => "what is left of it rose since it was accepted",
        "terms-changed" => "the terms of its threat changed since it was accepted",
        "guard-fell-back" => "the guard fell back since it was settled",
        "incident" => "an incident touches it",
        _ => "something happened since it was settled, or a date has passed",
    }
}

fn class_words(class: HarmClass) -> &'static str {
    match class {
        HarmClass::Health => "health",
        HarmClass::Safety => "safety",
        HarmClass::FundamentalRights => "fundamental rights",
        HarmClass::Property => "property",
    }
}

fn severity_word(level: u8) -> &'static str {
    let found = scales().severity.iter().find(|s| s.level == level);
    found.map(|s| s.title.as_str()).unwrap_or("unknown")
}

fn kind_words(kind: ScenarioKind) -> &'static str {
    match kind {
        ScenarioKind::Attack => "attack: somebody means it",
        ScenarioKind::Failure => "failure: nobody means it",
        ScenarioKind::Misuse => "misuse that can be foreseen",
    }
}
