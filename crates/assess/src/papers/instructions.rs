//! Instructions for use (Art. 13(3)) with the declared figures of security.
//!
//! Owns the points, and the table of threats that was asked for instead of one score: what was
//! tried, how, what came out with which certainty, what is in force, and what makes it void. Must
//! never sum threats up. Registered in `papers`.

use proofmark_schema::system::{Access, System, Threat};
use proofmark_schema::taxonomy::{Coverage, ThreatClass};

use super::draft::{Chapter, Draft, Part, cell, code, declared, short, table, words};
use super::parts;
use super::points::{Point, command, next};
use super::{Kind, Sources};
use crate::document::{Cell, Located, Piece, located, metric_title, model_part, scale_words};
use crate::facts::{FactBook, FactError, Form};
use crate::plan::{data_asset, model_asset};
use crate::standing::{RiskState, measures};

pub(super) const KIND: Kind = Kind {
    id: "instructions",
    title: "Instructions for use",
    about: "what a deployer must know (Art. 13(3)), with the declared figures of security",
    write,
};

fn write(sources: &Sources<'_>, book: &mut FactBook) -> Result<Draft, FactError> {
    let mut chapters = vec![Chapter::plain("points", 1, "What a deployer must know")];
    for point in &POINTS {
        chapters.push(chapter(point, sources, book)?);
    }
    chapters.push(own(sources));
    Ok(Draft { front: super::failsafe::warnings(sources), chapters })
}

/// Points that a person must answer and did not.
pub(super) fn open_points(system: &System) -> Vec<&'static str> {
    let open = |p: &&Point| !p.asks.is_empty() && system.authored(p.id).is_none();
    POINTS.iter().filter(open).map(|p| p.id).collect()
}

fn chapter(
    point: &Point,
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Chapter, FactError> {
    let assessment = sources.assessment;
    let mut chapter = point.empty();
    match point.id {
        "AIA-13-3-a" => chapter.push(Part::Terms(vec![
            ("Provider", vec![declared(&assessment.system.provider)]),
            ("System", vec![declared(&assessment.system.name)]),
            ("Version", vec![declared(&assessment.system.version)]),
        ])),
        "AIA-13-3-b-i" => {
            chapter.holds("intended purpose", Coverage::Declared);
            chapter.push(Part::Para(vec![declared(&assessment.system.purpose)]));
        }
        "AIA-13-3-b-ii" => security(sources, &mut chapter, book)?,
        "AIA-13-3-b-iii" => risky_use(sources, &mut chapter),
        "AIA-13-3-b-v" => groups(sources, &mut chapter, book)?,
        "AIA-13-3-b-vi" => {
            chapter.parts.extend(parts::features(assessment, book)?);
            chapter.parts.extend(parts::data(assessment));
            chapter.holds("inputs as declared", Coverage::Declared);
        }
        _ => {}
    }
    if !point.asks.is_empty() {
        point.answer(&assessment.system, &mut chapter);
    }
    Ok(chapter)
}

fn security(
    sources: &Sources<'_>,
    chapter: &mut Chapter,
    book: &mut FactBook,
) -> Result<(), FactError> {
    let assessment = sources.assessment;
    let mut any = false;
    for model in &assessment.system.models {
        let part = model_part(assessment, model, book)?;
        if let Some(table) = part.tables.into_iter().next() {
            any = true;
            chapter.push(Part::Para(vec![words("Model "), declared(&model.name), words(":")]));
            chapter.push(Part::Table(table));
        }
    }
    if any {
        chapter.holds("accuracy with its metrics", Coverage::Measured);
    } else {
        chapter.lacks(cell("accuracy was not measured"), command("proofmark assess"));
    }
    match declared_block(sources, book)? {
        Some(block) => chapter.push(block),
        None => chapter.lacks(cell("no threat is declared"), next("declare `[threats.<name>]`")),
    }
    for row in &assessment.matrix.rows {
        let measured = row.cells.iter().any(|c| c.coverage == Coverage::Measured);
        match (measured, row.cells.iter().find(|c| c.coverage == Coverage::Missing)) {
            (true, _) => chapter.holds(row.threat.title(), Coverage::Measured),
            (false, Some(open)) => {
                let what = vec![words(row.threat.title()), words(": nothing was measured")];
                let id = proofmark_schema::duties::cell_id(row.threat, open.verb);
                let step = match open.next.is_empty() {
                    true => vec![words("declare "), code(format!("[declared.\"{id}\"]"))],
                    false => next(&open.next),
                };
                chapter.lacks(what, step);
            }
            (false, None) => chapter.holds(row.threat.title(), Coverage::Declared),
        }
    }
    Ok(())
}

/// One row per threat, model and budget: never one score.
pub(super) fn declared_block(
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Option<Part>, FactError> {
    let mut rows = Vec::new();
    for found in located(sources.assessment) {
        let subject = &found.m.subject;
        let whole = subject.group.is_none() && subject.class.is_none() && subject.eps.is_some();
        if !whole || found.part() != "robustness" || !DECLARED.contains(&found.m.metric.as_str()) {
            continue;
        }
        let name = subject.threat.as_deref().unwrap_or_default();
        let Some(threat) = sources.assessment.system.threat_named(name) else { continue };
        rows.push(row(&found, threat, sources, book)?);
    }
    let head = [
        "threat",
        "attacker",
        "suite and edition",
        "figure with interval",
        "proved bound",
        "control in force",
        "void when",
    ];
    Ok(table("Declared security, threat by threat; there is no one score", &head, rows))
}

fn row(
    found: &Located<'_>,
    threat: &Threat,
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Vec<Cell>, FactError> {
    let mut fact = |name: &str, place: &str, form| {
        book.fact(&format!("{}#{name}", found.id), &found.at(place), form).map(Piece::Fact)
    };
    let eps = fact("eps", "subject/eps", Form::Plain)?;
    let edition = fact("edition", "probe/edition", Form::Plain)?;
    let mut attacker = match &threat.actor {
        Some(actor) => vec![declared(actor), words("; ")],
        None => Vec::new(),
    };
    attacker.extend([words(access_words(threat.access)), words("; budget "), eps]);
    attacker.extend([words(" "), words(scale_words(threat.scale))]);
    let mut figure = found.figure(book)?;
    let proved = match figure.proved.take() {
        Some(proved) => vec![words("at least "), Piece::Fact(proved)],
        None => cell("none yet: nothing was proved from below"),
    };
    Ok(vec![
        vec![
            declared(&threat.name),
            words(" ("),
            words(ThreatClass::Evasion.title()),
            words(") on "),
            declared(&found.m.subject.model),
        ],
        attacker,
        vec![code(&found.m.probe.id), words(", edition "), edition],
        vec![metric_title(&found.m.metric), Piece::Break, Piece::Figure(Box::new(figure))],
        proved,
        controls(sources),
        void(found, sources),
    ])
}

fn access_words(access: Access) -> &'static str {
    match access {
        Access::WhiteBox => "holds the model file",
        Access::Score => "sees scores only",
        Access::Decision => "sees decisions only",
    }
}

/// Measures against evasion that are in force, or that nothing is.
fn controls(sources: &Sources<'_>) -> Cell {
    let row = format!("{}/", ThreatClass::Evasion.id());
    let mut cells = Vec::new();
    for measured in measures::measures(sources.world, &sources.present) {
        let serves = measured.measure.cells.iter().any(|c| c.starts_with(&row));
        if serves && measured.force.is_on() {
            if !cells.is_empty() {
                cells.push(words("; "));
            }
            cells.push(declared(&measured.measure.title));
        }
    }
    if cells.is_empty() {
        cell("none: no measure with a measured effect is in force")
    } else {
        cells
    }
}

fn void(found: &Located<'_>, sources: &Sources<'_>) -> Cell {
    let subject = &found.m.subject;
    let mut conditions = vec![words("another file than ")];
    for (place, name) in [model_asset(&subject.model), data_asset(&subject.data)].iter().enumerate()
    {
        if place > 0 {
            conditions.push(words(" or "));
        }
        conditions.push(code(name));
        if let Some(asset) = found.m.assets.iter().find(|a| a.name == *name) {
            conditions.extend([words(" "), short(&asset.sha256)]);
        }
    }
    conditions.push(words("; another decision rule or guard policy"));
    if let Some(time) = sources.overview.run.as_ref().and_then(|r| r.expires.clone()) {
        conditions.extend([words("; after "), Piece::Time(time)]);
    }
    if !sources.assessment.exploratory.is_empty() {
        conditions.push(words("; unfit for declaration already: the run is exploratory"));
    }
    conditions
}

fn risky_use(sources: &Sources<'_>, chapter: &mut Chapter) {
    let system = &sources.assessment.system;
    parts::misuse(system, chapter, false);
    if sources.overview.risks.is_empty() {
        chapter.lacks(cell("the register of risks is empty"), command("proofmark risk seed"));
        return;
    }
    let open = |s: &&crate::standing::RiskStanding| s.state != RiskState::Excluded;
    let row = |s: &crate::standing::RiskStanding| {
        let harm = match &s.risk.scenario.harm {
            Some(harm) => vec![declared(&harm.name), words(": "), declared(&harm.people)],
            None => cell("no harm is named"),
        };
        vec![
            vec![declared(&s.risk.scenario.title)],
            harm,
            parts::rating(s.residual.rating.as_ref()),
        ]
    };
    let rows = sources.overview.risks.iter().filter(open).map(row).collect();
    chapter.holds("risks of the register", Coverage::Declared);
    let head = ["circumstance", "harm", "what is left of the risk"];
    chapter.parts.extend(table("Circumstances that can lead to harm", &head, rows));
}

fn groups(
    sources: &Sources<'_>,
    chapter: &mut Chapter,
    book: &mut FactBook,
) -> Result<(), FactError> {
    let assessment = sources.assessment;
    let grouped = assessment.system.features.iter().any(|f| f.group);
    let mut any = false;
    for model in &assessment.system.models {
        let part = model_part(assessment, model, book)?;
        for group in part.tables.into_iter().skip(1) {
            any = true;
            chapter.push(Part::Para(vec![words("Model "), declared(&model.name), words(":")]));
            chapter.push(Part::Table(group));
        }
    }
    match (any, grouped) {
        (true, _) => chapter.holds("figures per class and group", Coverage::Measured),
        (false, _) => chapter.lacks(
            cell("no figure per group was measured"),
            next("set `group = true` on a feature, then `proofmark assess`"),
        ),
    }
    Ok(())
}

/// What we add to the law's list: how to check, how to report.
fn own(sources: &Sources<'_>) -> Chapter {
    let mut chapter = Chapter::plain("check", 1, "How to check these figures");
    chapter.say(
        "This paper lies in a pack with its proofs. Take the fingerprint of the signing key by \
         another road than the pack, then run, in the folder of the pack:",
    );
    let signer = sources.signer.hex();
    chapter.push(Part::List(vec![
        command(&format!("proofmark verify . --signer {signer}")),
        command(&format!("sh verify.sh --signer {signer} .")),
    ]));
    chapter
}

/// Figures under attack that are declared: shares of rows that stay decided rightly.
const DECLARED: [&str; 2] = ["robust_accuracy", "robust_recall"];

macro_rules! point {
    ($id:literal, $mark:literal, $title:literal, $asks:literal) => {
        Point {
            id: $id,
            mark: $mark,
            provision: concat!("Art. 13(3)", $mark),
            title: $title,
            asks: $asks,
        }
    };
}

/// Points of Art. 13(3), in order.
pub(super) const POINTS: [Point; 12] = [
    point!(
        "AIA-13-3-a",
        "(a)",
        "Provider",
        "name and contact of the provider, and of its representative where there is one"
    ),
    point!("AIA-13-3-b-i", "(b)(i)", "Intended purpose", ""),
    point!("AIA-13-3-b-ii", "(b)(ii)", "Accuracy, robustness and cybersecurity", ""),
    point!("AIA-13-3-b-iii", "(b)(iii)", "Circumstances that can lead to risks", ""),
    point!(
        "AIA-13-3-b-iv",
        "(b)(iv)",
        "Explaining the output",
        "what the system can say to explain an output"
    ),
    point!("AIA-13-3-b-v", "(b)(v)", "Performance for groups of persons", ""),
    point!("AIA-13-3-b-vi", "(b)(vi)", "Inputs and data", ""),
    point!(
        "AIA-13-3-b-vii",
        "(b)(vii)",
        "Reading the output",
        "how an output is read and used rightly"
    ),
    point!(
        "AIA-13-3-c",
        "(c)",
        "Pre-determined changes",
        "changes that the provider has foreseen and assessed"
    ),
    point!(
        "AIA-13-3-d",
        "(d)",
        "Human oversight",
        "measures of oversight, and what helps to read the output"
    ),
    point!(
        "AIA-13-3-e",
        "(e)",
        "Resources, lifetime, upkeep",
        "hardware it needs, how long it is meant to last, and how it is kept and updated"
    ),
    point!("AIA-13-3-f", "(f)", "Logs", "how a deployer collects, stores and reads the logs"),
];
