//! Figures of one model: accuracy, classes, groups, calibration, confusion, checks.

use proofmark_schema::measurement::{CheckState, Validity};
use proofmark_schema::system::{Decision, ModelAsset, ModelRole};

use super::figures::{Located, located, named, order, title};
use super::{Cell, ModelPart, Piece, Plot, Table, anchor, heads, quoted, threats, words};
use crate::assessment::{Assessment, ProbeRecord};
use crate::facts::{At, Fact, FactBook, FactError, Form};
use crate::judge::says_weak;
use crate::plan::model_asset;
use crate::svg;

pub(crate) fn part(
    assessment: &Assessment,
    model: &ModelAsset,
    book: &mut FactBook,
) -> Result<ModelPart, FactError> {
    let all = located(assessment);
    let ours: Vec<Located<'_>> =
        all.into_iter().filter(|l| l.m.subject.model == model.name).collect();
    let mut shown = Shown { left: ours };
    let several = data_sets(&shown.left).len() > 1;
    let overall = overall(&mut shown, several, book)?;
    let faults = under_faults(&mut shown, book)?;
    let classes = per_class(&mut shown, book)?;
    let groups = per_group(&mut shown, book)?;
    let calibration = calibration(&mut shown, model, book)?;
    let confusion = confusion(&mut shown, assessment, book)?;
    let threats = threats::parts(assessment, model, &mut shown, book)?;
    Ok(ModelPart {
        anchor: anchor(&["model", &model.name]),
        name: model.name.clone(),
        words: about(assessment, model, book)?,
        tables: overall.into_iter().chain(classes).chain(groups).chain(faults).collect(),
        calibration,
        confusion,
        threats,
        checks: checks(assessment, model, book)?,
        notes: notes(assessment, model, book)?,
        further: further(&mut shown, book)?,
    })
}

/// Measurements of a model that no table has shown yet.
pub(super) struct Shown<'a> {
    left: Vec<Located<'a>>,
}

impl<'a> Shown<'a> {
    /// Takes out what a table will show.
    pub fn take(&mut self, wanted: impl Fn(&Located<'_>) -> bool) -> Vec<Located<'a>> {
        let (taken, left) = std::mem::take(&mut self.left).into_iter().partition(wanted);
        self.left = left;
        taken
    }
}

fn about(
    assessment: &Assessment,
    model: &ModelAsset,
    book: &mut FactBook,
) -> Result<Vec<Cell>, FactError> {
    let role = match model.role {
        ModelRole::Primary => "the one that decides",
        ModelRole::Backup => "takes over when the primary fails",
        ModelRole::Candidate => "compared, not in use",
    };
    let decision = match &model.decision {
        Decision::Argmax => vec![words("decision: the class with the highest score")],
        Decision::Value => vec![words("answers with a number; it decides nothing")],
        Decision::Cutoff { class, .. } => vec![
            words("decision: "),
            Piece::Declared(class.clone()),
            words(" when its score is at least "),
            Piece::Fact(cut_off(assessment, model, book)?),
        ],
    };
    let digest = assessment.plan.assets.iter().find(|a| a.name == model_asset(&model.name));
    let mut lines = vec![vec![words("role: "), words(role)], decision];
    lines.extend(limits(assessment, model, book)?);
    if let Some(asset) = digest {
        lines.push(vec![words("file digest "), Piece::Code(asset.sha256.clone())]);
    }
    let mut figures = assessment.results.iter().flat_map(|r| &r.said.measurements);
    if let Some(first) = figures.find(|m| m.subject.model == model.name) {
        let engine = &first.engine;
        let name = format!("{} {}", engine.name, engine.version);
        lines.push(vec![
            words("answered by "),
            Piece::Code(name),
            words(" with CPU features "),
            Piece::Code(engine.cpu.clone()),
        ]);
    }
    Ok(lines)
}

fn cut_off(
    assessment: &Assessment,
    model: &ModelAsset,
    book: &mut FactBook,
) -> Result<Fact, FactError> {
    let place = assessment.system.models.iter().position(|m| m.name == model.name);
    let place = place.unwrap_or_default();
    let plan = assessment.record.plan.statement.hex();
    let pointer = format!("/predicate/system/models/{place}/decision/cutoff/at");
    let id = format!("model/{}#cut-off", model.name);
    book.fact(&id, &At::new(&plan, pointer), Form::Plain)
}

/// Data sets of which the declaration takes the first rows only.
fn limits(
    assessment: &Assessment,
    model: &ModelAsset,
    book: &mut FactBook,
) -> Result<Vec<Cell>, FactError> {
    let plan = assessment.record.plan.statement.hex();
    let used =
        |name: &str| assessment.plan.probes.iter().any(|p| p.model == model.name && p.data == name);
    let mut lines = Vec::new();
    for (place, data) in assessment.system.data.iter().enumerate() {
        if data.limit.is_none() || !used(&data.name) {
            continue;
        }
        let pointer = format!("/predicate/system/data/{place}/limit");
        let id = format!("model/{}#limit/{}", model.name, data.name);
        let most = book.fact(&id, &At::new(&plan, pointer), Form::Plain)?;
        lines.push(vec![
            words("measured on no more than the first "),
            Piece::Fact(most),
            words(" rows of "),
            Piece::Declared(data.name.clone()),
        ]);
    }
    Ok(lines)
}

/// One row per overall metric, parity last.
fn overall(
    shown: &mut Shown<'_>,
    several: bool,
    book: &mut FactBook,
) -> Result<Option<Table>, FactError> {
    let mut plain = shown.take(|l| {
        let subject = &l.m.subject;
        matches!(l.part(), "accuracy" | "parity")
            && subject.group.is_none()
            && subject.class.is_none()
            && subject.threat.is_none()
    });
    plain.sort_by_key(|l| (l.m.subject.data.clone(), order(&l.m.metric)));
    let mut rows = Vec::new();
    for located in &plain {
        let mut head = named(located, book)?;
        if several {
            head.extend([words(" on "), Piece::Declared(located.m.subject.data.clone())]);
        }
        rows.push(vec![head, located.cell(book)?]);
    }
    let numbers = plain.iter().any(|l| l.m.metric == "mae");
    let caption = vec![words(match numbers {
        true => "Errors without attack, in the unit of the label",
        false => "Accuracy without attack, at the declared decision",
    })];
    Ok(table(caption, heads(&["metric", "figure"]), rows))
}

/// One table for all faults: a row per fault and severity, then per class and group of it.
fn under_faults(shown: &mut Shown<'_>, book: &mut FactBook) -> Result<Option<Table>, FactError> {
    let of_fault = shown.take(|l| l.m.subject.fault.is_some() && l.part() == "fault");
    let caption = vec![words("Under errors and faults that were set on purpose")];
    grid(caption, words("fault"), &of_fault, named_fault, book)
}

fn named_fault(located: &Located<'_>) -> Cell {
    let subject = &located.m.subject;
    let mut cell: Cell = subject.fault.iter().map(|f| Piece::Declared(f.clone())).collect();
    if let Some(severity) = subject.severity {
        cell.extend([words(", severity "), Piece::Declared(severity.to_string())]);
    }
    if let Some((feature, value)) = &subject.group {
        cell.extend([words(", "), Piece::Declared(format!("{feature} = {value}"))]);
    }
    if let Some(class) = &subject.class {
        cell.extend([words(", class "), Piece::Declared(class.clone())]);
    }
    cell
}

fn per_class(shown: &mut Shown<'_>, book: &mut FactBook) -> Result<Option<Table>, FactError> {
    let of_class = shown.take(|l| {
        let subject = &l.m.subject;
        matches!(l.part(), "accuracy" | "class")
            && subject.group.is_none()
            && subject.threat.is_none()
    });
    let caption = vec![words("Per class")];
    grid(caption, words("class"), &of_class, named_class, book)
}

/// One table per group feature.
fn per_group(shown: &mut Shown<'_>, book: &mut FactBook) -> Result<Vec<Table>, FactError> {
    let grouped = shown.take(|l| l.m.subject.group.is_some() && l.m.subject.threat.is_none());
    let mut features: Vec<String> = Vec::new();
    for located in &grouped {
        if let Some((feature, _)) = &located.m.subject.group
            && !features.contains(feature)
        {
            features.push(feature.clone());
        }
    }
    let mut tables = Vec::new();
    for feature in features {
        let of = |l: &&Located<'_>| l.m.subject.group.as_ref().is_some_and(|(f, _)| *f == feature);
        let ours: Vec<Located<'_>> = grouped.iter().filter(of).cloned().collect();
        let caption = vec![words("Per group of "), Piece::Declared(feature.clone())];
        let head = Piece::Declared(feature.clone());
        tables.extend(grid(caption, head, &ours, named_group, book)?);
    }
    Ok(tables)
}

pub(super) fn named_class(located: &Located<'_>) -> Cell {
    located.m.subject.class.iter().map(|c| Piece::Declared(c.clone())).collect()
}

pub(super) fn named_group(located: &Located<'_>) -> Cell {
    located.m.subject.group.iter().map(|(_, v)| Piece::Declared(v.clone())).collect()
}

/// A table with one row per `head` and one column per metric (and class, in a group table).
fn grid(
    caption: Cell,
    corner: Piece,
    figures: &[Located<'_>],
    head: impl Fn(&Located<'_>) -> Cell,
    book: &mut FactBook,
) -> Result<Option<Table>, FactError> {
    let mut rows: Vec<Cell> = Vec::new();
    let mut columns: Vec<Cell> = Vec::new();
    let mut sorted: Vec<&Located<'_>> = figures.iter().collect();
    sorted.sort_by_key(|l| order(&l.m.metric));
    let column = |l: &Located<'_>| {
        let mut column = vec![title(&l.m.metric)];
        if let Some(quantile) = l.m.subject.quantile {
            column.push(Piece::Declared(format!(" {quantile}")));
        }
        let fault = l.m.subject.fault.is_some();
        if let (Some(_), Some(class), false) = (&l.m.subject.group, &l.m.subject.class, fault) {
            column.extend([words(": "), Piece::Declared(class.clone())]);
        }
        column
    };
    for located in figures {
        push_once(&mut rows, head(located));
    }
    for located in &sorted {
        push_once(&mut columns, column(located));
    }
    let mut body = Vec::new();
    for row in rows {
        let mut line = vec![row.clone()];
        for wanted in &columns {
            let found = sorted.iter().find(|l| head(l) == row && column(l) == *wanted);
            line.push(match found {
                Some(located) => located.cell(book)?,
                None => vec![words(NO_FIGURE)],
            });
        }
        body.push(line);
    }
    let heads = std::iter::once(vec![corner]).chain(columns).collect();
    Ok(table(caption, heads, body))
}

fn calibration(
    shown: &mut Shown<'_>,
    model: &ModelAsset,
    book: &mut FactBook,
) -> Result<Option<Plot>, FactError> {
    let bins = shown.take(|l| l.part() == "calibration");
    let is = |l: &&Located<'_>, metric: &str| l.m.metric == metric;
    let mut rows = Vec::new();
    let mut points = Vec::new();
    for stated in bins.iter().filter(|l| is(l, "calibration_predicted")) {
        let same =
            |l: &&Located<'_>| is(l, "calibration_observed") && l.m.subject == stated.m.subject;
        let Some(observed) = bins.iter().find(same) else { continue };
        rows.push(vec![named_class(stated), stated.cell(book)?, observed.cell(book)?]);
        let (y, lower, upper) = observed.drawn();
        let (x, ..) = stated.drawn();
        points.push(svg::Point { x, label: String::new(), y, lower, upper });
    }
    let caption = vec![words("Calibration: what was stated against what happened")];
    let head = heads(&["bin of stated probability", "mean stated", "observed"]);
    let Some(table) = table(caption, head, rows) else { return Ok(None) };
    let svg = svg::calibration(&svg::Calibration {
        id: anchor(&["calibration", &model.name]),
        title: format!("Calibration of {}", model.name),
        desc: "Squares with whiskers: observed share over stated probability, per bin, with \
               its interval. On the dashed diagonal the two agree. The table has the figures."
            .to_owned(),
        points,
    });
    Ok(Some(Plot { svg, table }))
}

fn confusion(
    shown: &mut Shown<'_>,
    assessment: &Assessment,
    book: &mut FactBook,
) -> Result<Option<Table>, FactError> {
    let counts = shown.take(|l| l.part() == "confusion" && l.m.subject.group.is_none());
    let Some(first) = counts.first() else { return Ok(None) };
    let data = assessment.system.data_named(&first.m.subject.data);
    let classes: Vec<&str> =
        data.into_iter().flat_map(|d| &d.classes).map(|(name, _)| name.as_str()).collect();
    let mut rows = Vec::new();
    for actual in &classes {
        let mut row = vec![vec![Piece::Declared((*actual).to_owned())]];
        for decided in &classes {
            let pair = format!("{actual}:{decided}");
            let found = counts.iter().find(|l| l.m.subject.class.as_deref() == Some(&pair));
            row.push(match found {
                Some(located) => located.cell(book)?,
                None => vec![words(NO_FIGURE)],
            });
        }
        rows.push(row);
    }
    let head = std::iter::once(vec![words("label")])
        .chain(classes.iter().map(|c| vec![words("decided "), Piece::Declared((*c).to_owned())]))
        .collect();
    let caption = vec![words("Confusion: rows by label (down) and decision (across)")];
    Ok(table(caption, head, rows))
}

/// Checks that warn, refuse or could not be made, and probes that failed.
fn checks(
    assessment: &Assessment,
    model: &ModelAsset,
    book: &mut FactBook,
) -> Result<Option<Table>, FactError> {
    let mut rows = Vec::new();
    let mut said: Vec<(String, String)> = Vec::new();
    for result in assessment.results.iter().filter(|r| r.said.probe.model == model.name) {
        let statement = result.stored.statement.hex();
        let mut add = |pointer: String, validity: &Validity, rows: &mut Vec<Vec<Cell>>| {
            let key = (validity.check.clone(), validity.reason.clone());
            if validity.state == CheckState::Ok || said.contains(&key) {
                return Ok(());
            }
            said.push(key);
            rows.push(check(result, &statement, &pointer, validity, book)?);
            Ok(())
        };
        for (index, validity) in result.said.validity.iter().enumerate() {
            add(format!("/predicate/validity/{index}"), validity, &mut rows)?;
        }
        for (place, measurement) in result.said.measurements.iter().enumerate() {
            for (index, validity) in measurement.validity.iter().enumerate() {
                let pointer = format!("/predicate/measurements/{place}/validity/{index}");
                add(pointer, validity, &mut rows)?;
            }
        }
        if result.said.failed.is_some() {
            let mut quote = |field: &str| {
                let at = At::new(&statement, format_args!("/predicate/failed/{field}"));
                let id = format!("{}#failed/{field}", result.said.probe.id);
                book.words(&id, &at).map(quoted)
            };
            rows.push(vec![
                vec![Piece::Code(result.said.probe.id.clone())],
                vec![words("failed: nothing was measured")],
                quote("reason")?,
                quote("fix")?,
            ]);
        }
    }
    let caption = vec![words("Checks that did not hold, and what to do about them")];
    Ok(table(caption, heads(&["check", "effect", "why", "likely fix"]), rows))
}

fn check(
    result: &ProbeRecord,
    statement: &str,
    pointer: &str,
    validity: &Validity,
    book: &mut FactBook,
) -> Result<Vec<Cell>, FactError> {
    let effect = match validity.state {
        CheckState::Ok => "holds",
        CheckState::Warn if says_weak(validity) => {
            "the figures may flatter: no pass may rest on them, a failure stands"
        }
        CheckState::Warn => "the figures stand, with this caution",
        CheckState::Refuse => "verdicts on these figures are refused",
        CheckState::NotExamined => "could not be examined",
    };
    let mut quote = |field: &str, said: &str| {
        if said.is_empty() {
            return Ok(vec![words("none given")]);
        }
        let place = pointer.trim_start_matches("/predicate/");
        let id = format!("{}#{place}/{field}", result.said.probe.id);
        let at = At::new(statement, format_args!("{pointer}/{field}"));
        book.words(&id, &at).map(quoted)
    };
    Ok(vec![
        vec![
            Piece::Code(validity.check.clone()),
            words(" in "),
            Piece::Code(result.said.probe.id.clone()),
        ],
        vec![words(effect)],
        quote("reason", &validity.reason)?,
        quote("fix", &validity.fix)?,
    ])
}

fn notes(
    assessment: &Assessment,
    model: &ModelAsset,
    book: &mut FactBook,
) -> Result<Vec<Cell>, FactError> {
    let mut notes: Vec<(&str, Cell)> = Vec::new();
    for result in assessment.results.iter().filter(|r| r.said.probe.model == model.name) {
        let statement = result.stored.statement.hex();
        let probe = Piece::Code(result.said.probe.id.clone());
        for (index, said) in result.said.notes.iter().enumerate() {
            if let Some((_, note)) = notes.iter_mut().find(|(known, _)| known == said) {
                note.extend([words(", "), probe.clone()]);
                continue;
            }
            let at = At::new(&statement, format_args!("/predicate/notes/{index}"));
            let id = format!("{}#notes/{index}", result.said.probe.id);
            let mut note = quoted(book.words(&id, &at)?);
            note.extend([words(" in "), probe.clone()]);
            notes.push((said, note));
        }
    }
    Ok(notes.into_iter().map(|(_, note)| note).collect())
}

/// Whatever no table above has shown: nothing that was measured is left out.
fn further(shown: &mut Shown<'_>, book: &mut FactBook) -> Result<Option<Table>, FactError> {
    let mut rows = Vec::new();
    for located in shown.take(|_| true) {
        rows.push(vec![vec![Piece::Code(located.id.clone())], located.cell(book)?]);
    }
    Ok(table(vec![words("Further figures")], heads(&["measurement", "figure"]), rows))
}

fn data_sets<'a>(all: &'a [Located<'a>]) -> Vec<&'a str> {
    let mut names: Vec<&str> = all.iter().map(|l| l.m.subject.data.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Where a table has a place and the lab gave nothing for it.
pub(super) const NO_FIGURE: &str = "no figure";

/// A table, unless it has no rows.
pub(super) fn table(caption: Cell, head: Vec<Cell>, rows: Vec<Vec<Cell>>) -> Option<Table> {
    (!rows.is_empty()).then_some(Table { caption, head, rows })
}

pub(super) fn push_once(cells: &mut Vec<Cell>, cell: Cell) {
    if !cells.contains(&cell) {
        cells.push(cell);
    }
}
