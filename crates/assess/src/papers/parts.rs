//! Tables that several papers share: verdicts, figures, features, data, measures, drills, people.
//!
//! Owns their columns and the pointers behind their figures. Must never print a figure that is no
//! fact. Called by every paper.

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::risk::{Basis, Rating, scales};
use proofmark_schema::system::{DataRole, Decision, FeatureKind, Misuse, ModelRole, System};
use proofmark_schema::taxonomy::{Coverage, Verb};

use super::Sources;
use super::draft::{Chapter, Part, cell, code, declared, heads, short, table, words};
use super::points::{command, next};
use crate::assessment::Assessment;
use crate::document::{Cell, Piece, Table, metric_title, verdict_rows};
use crate::drill::DrillPredicate;
use crate::events::Logged;
use crate::facts::{At, FactBook, FactError, Form};
use crate::judge::VerdictState;
use crate::plan::{data_asset, model_asset};
use crate::standing::RiskStanding;
use crate::standing::measures::{self, Measured};
use crate::treatment::{Order, Says};

/// Misuse that can be foreseen, or why there is none; `why` shows what its likelihood rests on.
pub(super) fn misuse(system: &System, chapter: &mut Chapter, why: bool) {
    let row = |m: &Misuse| {
        let mut cells = vec![vec![declared(&m.name)], vec![declared(&m.what)]];
        cells.push(vec![declared(&m.harm)]);
        cells.extend(why.then(|| vec![declared(&m.reason)]));
        cells
    };
    let rows = system.misuse.iter().map(row).collect();
    let mut head = vec!["misuse", "what", "harm"];
    head.extend(why.then_some("why so likely"));
    match (table("Misuse that can be foreseen", &head, rows), &system.upkeep.no_misuse) {
        (Some(table), _) => {
            chapter.holds("misuse that can be foreseen", Coverage::Declared);
            chapter.push(table);
        }
        (None, Some(reason)) => {
            chapter.holds("no misuse can be foreseen, with a reason", Coverage::Declared);
            chapter.push(Part::Para(vec![declared(reason)]));
        }
        (None, None) => chapter.lacks(
            cell("no misuse that can be foreseen is named, and no reason why there is none"),
            next("declare `[misuse.<name>]`, or `no_misuse` in `[use]`"),
        ),
    }
}

/// Criteria, verdicts and what they rest on.
pub(super) fn verdicts(
    assessment: &Assessment,
    book: &mut FactBook,
) -> Result<Option<Part>, FactError> {
    let mut rows = Vec::new();
    for row in verdict_rows(assessment, book)? {
        let mut head = vec![declared(&row.name), Piece::Break];
        head.extend(row.subject);
        rows.push(vec![
            head,
            vec![Piece::State(row.state)],
            row.threshold,
            row.bounds,
            row.figure,
            row.reason,
        ]);
    }
    let head = ["criterion", "verdict", "threshold", "one-sided bounds", "figure", "why"];
    Ok(table("Thresholds registered before the run, and what came out", &head, rows))
}

/// Files that the verdicts rest on: model and data of every criterion.
pub(super) fn judged_files(assessment: &Assessment) -> Vec<AssetDigest> {
    let names: Vec<String> = assessment
        .plan
        .criteria
        .iter()
        .flat_map(|c| [model_asset(&c.model), data_asset(&c.data)])
        .collect();
    assessment.plan.assets.iter().filter(|a| names.contains(&a.name)).cloned().collect()
}

/// Whether every criterion has a verdict that is no refusal.
pub(super) fn all_judged(assessment: &Assessment) -> bool {
    let open = [VerdictState::Missing, VerdictState::Refused];
    !assessment.verdicts.is_empty() && assessment.verdicts.iter().all(|v| !open.contains(&v.state))
}

/// Why each threshold fits and who approved it.
pub(super) fn rationales(assessment: &Assessment) -> Option<Part> {
    let row = |c: &proofmark_schema::system::Criterion| {
        vec![
            vec![declared(&c.name)],
            vec![metric_title(&c.metric)],
            vec![declared(c.rationale.trim())],
            vec![declared(&c.approver)],
        ]
    };
    let rows = assessment.plan.criteria.iter().map(row).collect();
    table(
        "Why each metric and threshold fits, and who approved it",
        &["criterion", "metric", "why", "approved by"],
        rows,
    )
}

/// Inputs of the models, as declared.
pub(super) fn features(
    assessment: &Assessment,
    book: &mut FactBook,
) -> Result<Option<Part>, FactError> {
    let plan = assessment.record.plan.statement.hex();
    let mut rows = Vec::new();
    for (place, feature) in assessment.system.features.iter().enumerate() {
        let mut range = Vec::new();
        if feature.bounds.is_some() {
            let mut end = |at: usize| {
                let pointer = format!("/predicate/system/features/{place}/bounds/{at}");
                let id = format!("feature/{}#bounds/{at}", feature.name);
                book.fact(&id, &At::new(&plan, pointer), Form::Plain).map(Piece::Fact)
            };
            range.extend([end(0)?, words(" to "), end(1)?]);
        } else if !feature.values.is_empty() {
            range.push(declared(feature.values.join("; ")));
        } else {
            range.push(words("no range is declared"));
        }
        rows.push(vec![
            vec![declared(&feature.name)],
            cell(kind_words(feature.kind)),
            range,
            cell(if feature.mutable { "yes" } else { "no" }),
            cell(match (feature.input, feature.group) {
                (true, true) => "input, and figures per group",
                (true, false) => "input",
                (false, _) => "figures per group only; the models do not see it",
            }),
        ]);
    }
    let head = ["feature", "type", "range or values", "attacker can change it", "used as"];
    Ok(table("What the models are asked with, as declared", &head, rows))
}

fn kind_words(kind: FeatureKind) -> &'static str {
    match kind {
        FeatureKind::Number => "number",
        FeatureKind::Integer => "whole number",
        FeatureKind::Category => "category",
        FeatureKind::Ordinal => "ordered category",
        FeatureKind::Boolean => "true or false",
        FeatureKind::Text => "text",
        FeatureKind::Image => "image",
        FeatureKind::Series => "time series",
    }
}

/// Data sets with the digests that were measured.
pub(super) fn data(assessment: &Assessment) -> Option<Part> {
    let row = |d: &proofmark_schema::system::DataAsset| {
        let role = match d.role {
            DataRole::Train => "training: never measured on",
            DataRole::Validation => "validation: thresholds are chosen here",
            DataRole::Test => "test: figures come from here",
        };
        let classes: Vec<&str> = d.classes.iter().map(|(name, _)| name.as_str()).collect();
        vec![
            vec![declared(&d.name)],
            cell(role),
            vec![code(&d.path)],
            digest(assessment, &data_asset(&d.name)),
            match (d.task.is_regression(), &d.unit) {
                (false, _) => vec![declared(classes.join(", "))],
                (true, Some(unit)) => vec![words("a number in "), declared(unit)],
                (true, None) => cell("a number"),
            },
        ]
    };
    let rows = assessment.system.data.iter().map(row).collect();
    table("Data sets", &["data", "role", "file", "digest", "labels"], rows)
}

/// Models with the digests that were measured.
pub(super) fn models(assessment: &Assessment) -> Option<Part> {
    let row = |m: &proofmark_schema::system::ModelAsset| {
        let role = match m.role {
            ModelRole::Primary => "decides",
            ModelRole::Backup => "takes over when the primary fails",
            ModelRole::Candidate => "compared, not in use",
        };
        let rule = match &m.decision {
            Decision::Argmax => cell("the class with the highest score"),
            Decision::Value => cell("none: the answer is a number"),
            Decision::Cutoff { class, .. } => {
                vec![declared(class), words(" from a declared cut-off on")]
            }
        };
        vec![
            vec![declared(&m.name)],
            cell(role),
            vec![code(&m.path)],
            digest(assessment, &model_asset(&m.name)),
            rule,
        ]
    };
    let rows = assessment.system.models.iter().map(row).collect();
    table("Models", &["model", "role", "file", "digest", "decision"], rows)
}

fn digest(assessment: &Assessment, name: &str) -> Cell {
    match assessment.plan.assets.iter().find(|a| a.name == name) {
        Some(asset) => vec![short(&asset.sha256)],
        None => cell("was not measured"),
    }
}

/// The file of a model or data set, to cite it.
pub(super) fn files(assessment: &Assessment, kind: &str) -> Vec<AssetDigest> {
    assessment.plan.assets.iter().filter(|a| a.name.starts_with(kind)).cloned().collect()
}

/// Persons who answer for something.
pub(super) fn people(system: &System) -> Option<Part> {
    let row = |p: &proofmark_schema::system::Person| {
        vec![vec![declared(&p.name)], vec![declared(&p.role)], vec![code(&p.id)]]
    };
    let rows = system.people.iter().map(row).collect();
    table("Persons who answer for something", &["name", "function", "id"], rows)
}

/// Threats by verbs: coverage of every cell.
pub(super) fn matrix(assessment: &Assessment) -> Option<Part> {
    let rows = assessment.matrix.rows.iter().map(|row| {
        let mut cells = vec![cell(row.threat.title())];
        cells.extend(row.cells.iter().map(|c| vec![Piece::Coverage(c.coverage)]));
        cells
    });
    let mut head = heads(&["threat"]);
    head.extend(Verb::ALL.iter().map(|v| cell(v.id())));
    let caption = cell("What covers each threat, by verb; a covered cell is not a passed one");
    Some(Part::Table(Table { caption, head, rows: rows.collect() }))
}

/// Measures with their measured effect, and whether they are in force.
pub(super) fn treatments(
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Option<Part>, FactError> {
    let mut rows = Vec::new();
    for measured in measures::measures(sources.world, &sources.present) {
        let force = vec![words(if measured.force.is_on() { "in force" } else { "not in force" })];
        let step = cell(order_words(measured.measure.order));
        let effects = effects(&measured, sources, book)?;
        if effects.is_empty() {
            rows.push(vec![
                vec![declared(&measured.measure.title)],
                step,
                cell("effect was not measured"),
                cell("none"),
                force,
            ]);
            continue;
        }
        for (metric, figure) in effects {
            let head = vec![declared(&measured.measure.title)];
            rows.push(vec![head, step.clone(), metric, figure, force.clone()]);
        }
    }
    let head = ["measure", "step", "figure", "difference it makes", "state"];
    Ok(table("Measures, each with its measured effect on the same rows", &head, rows))
}

fn effects(
    measured: &Measured,
    sources: &Sources<'_>,
    book: &mut FactBook,
) -> Result<Vec<(Cell, Cell)>, FactError> {
    let logged = sources.world.treatments.iter();
    let mut logged = logged.filter(|t| t.stored.statement.hex() == measured.statement);
    let Some(said) = logged.next() else { return Ok(Vec::new()) };
    let mut rows = Vec::new();
    for (place, effect) in said.said.effects.iter().enumerate() {
        if effect.measure != measured.measure.id {
            continue;
        }
        let mut fact = |field: &str| {
            let id = format!("treatment/{}/{}/{place}#{field}", measured.id, effect.measure);
            let at = At::new(&measured.statement, format!("/predicate/effects/{place}/{field}"));
            book.fact(&id, &at, Form::Number).map(Piece::Fact)
        };
        let mut metric = vec![metric_title(&effect.metric)];
        if let Some(threat) = &effect.threat {
            metric.extend([words(" under "), declared(threat)]);
        }
        if effect.eps.is_some() {
            metric.extend([words(" at budget "), fact("eps")?]);
        }
        let figure = vec![
            fact("difference")?,
            words(" ["),
            fact("lower")?,
            words(", "),
            fact("upper")?,
            words("]"),
            Piece::Break,
            words(match effect.says {
                Says::Better => "better",
                Says::Worse => "worse",
                Says::NoMeasuredEffect => "no measured effect",
            }),
        ];
        rows.push((metric, figure));
    }
    Ok(rows)
}

/// A step of the legal order in words.
pub(super) fn order_words(order: Order) -> &'static str {
    match order {
        Order::Design => "design",
        Order::Control => "mitigation and control",
        Order::Information => "information and training",
    }
}

/// The journal of a drill.
pub(super) fn drill(
    logged: &Logged<DrillPredicate>,
    book: &mut FactBook,
) -> Result<Vec<Part>, FactError> {
    let statement = logged.stored.statement.hex();
    let mut rows = Vec::new();
    for (place, experiment) in logged.said.experiments.iter().enumerate() {
        let mut fact = |field: &str| {
            let id = format!("drill/{}/{place}#{field}", logged.said.id);
            let at = At::new(&statement, format!("/predicate/experiments/{place}/{field}"));
            let fact = book.fact_if_any(&id, &at, Form::Number)?;
            Ok(fact.map_or_else(|| cell("none"), |f| vec![Piece::Fact(f)]))
        };
        let (gap, limit) = (fact("gap_ms")?, fact("gap_limit_ms")?);
        let (failover, recovery) = (fact("failover_ms")?, fact("recovery_ms")?);
        let mut held = cell(if experiment.deviated { "DEVIATED" } else { "held" });
        if let Some(reason) = &experiment.reason {
            held.extend([Piece::Break, declared(reason)]);
        }
        let mut fault = vec![code(&experiment.fault), Piece::Break];
        fault.push(declared(&experiment.hypothesis));
        rows.push(vec![fault, gap, limit, failover, recovery, held]);
    }
    let head =
        ["fault and what should happen", "gap", "its limit", "fall-back", "recovery", "held"];
    let said = &logged.said;
    let mut parts = vec![Part::Terms(vec![
        ("Drill", vec![code(&said.id)]),
        ("Run by", vec![declared(&said.operator)]),
        ("Started", vec![Piece::Time(said.started.clone())]),
        ("Ended", vec![Piece::Time(said.ended.clone())]),
    ])];
    let caption = "Faults that were set on purpose; times in milliseconds";
    parts.extend(table(caption, &head, rows));
    Ok(parts)
}

/// The last drill, or the gap.
pub(super) fn last_drill(
    sources: &Sources<'_>,
    chapter: &mut Chapter,
    book: &mut FactBook,
) -> Result<(), FactError> {
    let Some(last) = sources.world.drills.last() else {
        let what = cell("no drill was run: nobody knows whether the fall-back works");
        chapter.lacks(what, command("proofmark drill"));
        return Ok(());
    };
    let deviated = last.said.experiments.iter().any(|e| e.deviated);
    chapter.holds("a drill was run and signed", Coverage::Measured);
    drill(last, book)?.into_iter().for_each(|part| chapter.push(part));
    if deviated {
        chapter.push(Part::Note {
            bad: true,
            content: cell("In this drill something did not happen as it should."),
        });
    }
    Ok(())
}

/// Probes of the run with the machine they ran on.
pub(super) fn probes(assessment: &Assessment) -> Option<Part> {
    let row = |r: &crate::assessment::ProbeRecord| {
        let engine = r.said.measurements.first().map(|m| &m.engine);
        let engine = match engine {
            Some(e) => vec![code(format!("{} {}", e.name, e.version)), Piece::Break, code(&e.cpu)],
            None => cell("gave no figure"),
        };
        vec![
            vec![code(&r.said.probe.id)],
            engine,
            vec![Piece::Time(r.said.started.clone())],
            vec![Piece::Time(r.said.ended.clone())],
            vec![short(&r.stored.statement.hex())],
        ]
    };
    let rows = assessment.results.iter().map(row).collect();
    table(
        "Every probe of the run: engine, processor features, times, statement",
        &["probe", "engine and processor", "started", "ended", "statement"],
        rows,
    )
}

/// The plan the log holds before another one, and the files that differ between the two.
pub(super) fn plans(sources: &Sources<'_>) -> Option<Part> {
    let row = |run: &crate::history::RunRecord| {
        let cited = run.run == sources.assessment.record.run;
        vec![
            vec![code(&run.run)],
            vec![short(&run.plan.statement.hex())],
            vec![Piece::Time(run.registered.clone())],
            match &run.ended {
                Some(time) => vec![Piece::Time(time.clone())],
                None => cell("never ended"),
            },
            cell(if cited { "this paper" } else { "not cited here" }),
        ]
    };
    let rows = sources.world.runs.iter().map(row).collect();
    table(
        "Every run in the log: another plan digest means other files, thresholds or seeds",
        &["run", "plan", "registered", "ended", "cited"],
        rows,
    )
}

/// Every risk with its residual risk today.
pub(super) fn risks(sources: &Sources<'_>, linked: bool) -> Option<Part> {
    let row = |standing: &RiskStanding| {
        let risk = &standing.risk;
        let title = declared(&risk.scenario.title);
        let head = match linked {
            true => vec![
                Piece::Link { to: risk_anchor(&risk.id), words: risk.id.clone() },
                Piece::Break,
                title,
            ],
            false => vec![code(&risk.id), Piece::Break, title],
        };
        let harm = match &risk.scenario.harm {
            Some(harm) => vec![declared(&harm.name), words(": "), declared(&harm.people)],
            None => cell("no harm is named"),
        };
        vec![
            head,
            harm,
            rating(standing.residual.rating.as_ref()),
            vec![words(standing.state.word())],
        ]
    };
    let rows = sources.overview.risks.iter().map(row).collect();
    table("Risks, with what is left of each today", &["risk", "harm", "residual", "state"], rows)
}

/// The anchor of a risk in the risk file.
pub(super) fn risk_anchor(id: &str) -> String {
    super::draft::anchor(&["risk", id])
}

/// A rating in words; the figures behind it stand beside it as facts.
pub(super) fn rating(rating: Option<&Rating>) -> Cell {
    let Some(rating) = rating else { return cell("cannot be told") };
    let scales = scales();
    let likelihood = scales.likelihood.iter().find(|b| b.level == rating.likelihood);
    let severity = scales.severity.iter().find(|s| s.level == rating.severity);
    let basis = match rating.basis {
        Basis::Measured(_) => "likelihood measured",
        Basis::Entered { .. } => "likelihood entered",
    };
    vec![
        words(rating.level.word()),
        Piece::Break,
        words(likelihood.map(|b| b.title.as_str()).unwrap_or("unknown")),
        words(", "),
        words(severity.map(|s| s.title.as_str()).unwrap_or("unknown")),
        Piece::Break,
        words(basis),
    ]
}
