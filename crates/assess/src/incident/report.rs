//! Reports to authorities: the facts of a case in the fields of a form.
//!
//! Owns filling a form and its two shapes, `proofmark.incident-report/1` and a page to read. Must
//! never fill a gap: what is asked for and not known is printed as one. Called by the command line.

use askama::Template;
use proofmark_schema::clock::Regime;
use proofmark_schema::incident::forms::{Form, NeedKind, forms};
use proofmark_schema::incident::{
    CausalLink, Controller, Finder, Ground, IncidentFacts, Party, Suspicion,
};
use proofmark_schema::system::System;
use serde::{Deserialize, Serialize};

use super::Incident;
use crate::clock::{Clock, ClockError};
use crate::svg::escape;

/// Format of [`Report`].
pub const FORMAT: &str = "proofmark.incident-report/1";

/// A report as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// Id, e.g. `inc-1-r1`.
    pub id: String,
    /// Incident.
    pub incident: String,
    /// Whether it is signed with a throw-away key.
    pub demo: bool,
    /// Form.
    pub form: String,
    /// Title of the form.
    pub title: String,
    /// Regime.
    pub regime: Regime,
    /// Provision.
    pub provision: String,
    /// When it was made, RFC 3339 in UTC.
    pub made: String,
    /// By whom.
    pub by: String,
    /// Clocks it answers, with their ends.
    pub clocks: Vec<Answered>,
    /// Clocks whose whole content it tells as well.
    pub covers: Vec<String>,
    /// Fields of the form.
    pub fields: Vec<Field>,
    /// Fields that are asked for and empty.
    pub gaps: Vec<String>,
    /// Whether the law takes it with gaps.
    pub may_be_incomplete: bool,
    /// What to know when filing.
    pub note: String,
}

/// A clock that a report answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Rule.
    pub clock: String,
    /// Provision.
    pub provision: String,
    /// Who is told.
    pub recipient: String,
    /// End of the period.
    pub due: Option<String>,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Id.
    pub id: String,
    /// Words for people.
    pub title: String,
    /// How much it is wanted.
    pub need: NeedKind,
    /// What is known: label and text.
    pub lines: Vec<Line>,
    /// Whether it is asked for and something it needs is not known.
    pub gap: bool,
}

/// One line of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// What it is.
    pub label: String,
    /// What is known; empty: nothing yet.
    pub text: String,
}

/// What a report is made from.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The case.
    pub incident: &'a Incident,
    /// The system.
    pub system: &'a System,
    /// Clocks it answers; all of one form.
    pub clocks: &'a [Clock],
    /// Clocks whose content it tells as well.
    pub covers: &'a [String],
    /// Who makes it.
    pub by: &'a str,
    /// When, RFC 3339 in UTC.
    pub now: &'a str,
}

/// Fills the form of `draft`.
///
/// # Errors
/// [`ReportError`] if there is no such form, no clock, or it cannot tell what it should cover.
pub fn report(draft: &Draft<'_>) -> Result<Report, ReportError> {
    let first = draft.clocks.first().ok_or(ReportError::NoClock)?;
    let form = form(&first.form)?;
    let id = next_id(draft.incident);
    let fields = fill(form, draft, &id);
    for covered in draft.covers {
        let rule = draft.incident.rules.named(covered);
        let rule = rule.ok_or_else(|| ReportError::Form(covered.clone()))?;
        let open: Vec<String> = gaps(&fill(self::form(&rule.form)?, draft, &id));
        if !open.is_empty() {
            let (clock, gaps) = (covered.clone(), open.join(", "));
            return Err(ReportError::NotTold { clock, gaps });
        }
    }
    let answered = |c: &Clock| Answered {
        clock: c.rule.clone(),
        provision: c.provision.clone(),
        recipient: c.recipient.clone(),
        due: c.due.clone(),
    };
    Ok(Report {
        format: FORMAT.to_owned(),
        id,
        incident: draft.incident.id.clone(),
        demo: draft.system.demo,
        form: form.id.clone(),
        title: form.title.clone(),
        regime: form.regime,
        provision: form.provision.clone(),
        made: draft.now.to_owned(),
        by: draft.by.to_owned(),
        clocks: draft.clocks.iter().map(answered).collect(),
        covers: draft.covers.to_vec(),
        gaps: gaps(&fields),
        fields,
        may_be_incomplete: form.may_be_incomplete,
        note: form.note.clone(),
    })
}

/// The page.
///
/// # Errors
/// [`ReportError::Render`], which would be a fault of ours.
pub fn page(report: &Report) -> Result<String, ReportError> {
    Page { r: report }.render().map_err(|e| ReportError::Render(e.to_string()))
}

/// Id of the next report of a case.
pub fn next_id(incident: &Incident) -> String {
    format!("{}-r{}", incident.id, incident.reports.len().saturating_add(1))
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// No clock.
    #[error("no clock runs, so no report is due; name one with --clock for a follow-up")]
    NoClock,
    /// No such form.
    #[error("there is no form `{0}`")]
    Form(String),
    /// It does not tell all.
    #[error("the report does not tell all of {clock}: {gaps} not known; leave --covers away")]
    NotTold {
        /// Clock.
        clock: String,
        /// Gaps.
        gaps: String,
    },
    /// A clock.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The template failed.
    #[error("the report cannot be rendered: {0}; please report this as a bug")]
    Render(String),
}

fn form(id: &str) -> Result<&'static Form, ReportError> {
    forms().named(id).ok_or_else(|| ReportError::Form(id.to_owned()))
}

fn gaps(fields: &[Field]) -> Vec<String> {
    fields.iter().filter(|f| f.gap).map(|f| f.id.clone()).collect()
}

fn fill(form: &Form, draft: &Draft<'_>, id: &str) -> Vec<Field> {
    let one = |need: &proofmark_schema::incident::forms::Need| {
        let lines = lines(&need.field, form, draft, id);
        // A field is whole when every line of it is known.
        let empty = lines.iter().any(|l| l.text.is_empty());
        Field {
            id: need.field.clone(),
            title: forms().title(&need.field).unwrap_or_default().to_owned(),
            need: need.need,
            gap: need.need == NeedKind::Asked && empty,
            lines,
        }
    };
    form.needs.iter().map(one).collect()
}

fn line(label: &str, text: impl Into<String>) -> Line {
    Line { label: label.to_owned(), text: text.into() }
}

fn lines(field: &str, form: &Form, draft: &Draft<'_>, id: &str) -> Vec<Line> {
    let facts = &draft.incident.facts;
    match field {
        "report" => reference(form, draft, id),
        "reporter" => {
            vec![line("legal entity", &draft.system.provider), line("reporter", &facts.reporter)]
        }
        "data-protection" => vec![line("data-protection officer", &facts.data_protection)],
        "system" => system(form, draft),
        "times" => times(facts),
        "found" => {
            vec![line("where", &facts.found_where), line("by", finder(facts.found_by))]
        }
        "member-states" => vec![line("Member States", facts.member_states.join(", "))],
        "malicious" => vec![line("suspected", suspicion(facts.malicious))],
        "harm" => harm(form, facts),
        "causal-link" => vec![line("link", link(facts))],
        "nature" => vec![line("what happened", &facts.what), line("nature", &facts.nature)],
        "impact" => vec![line("severity and impact", &facts.impact)],
        "technique" => vec![line("technique, actor, indicators", &facts.technique)],
        "cause" => vec![line("cause", &facts.cause)],
        "measures" => {
            vec![line("taken", &facts.measures_taken), line("planned", &facts.measures_planned)]
        }
        "user-measures" => vec![line("users can", &facts.user_measures)],
        "sensitivity" => vec![line("sensitivity", &facts.sensitivity)],
        "fix" => vec![line("fix", &facts.fix)],
        "records" => vec![
            line("people and records, consequences", &facts.records),
            line("controller", controller(facts.controller)),
        ],
        "other-authorities" => vec![line("told as well", &facts.other_authorities)],
        "evidence" => evidence(draft.incident),
        other => vec![line(other, "")],
    }
}

fn reference(form: &Form, draft: &Draft<'_>, id: &str) -> Vec<Line> {
    let incident = draft.incident;
    let same: Vec<&str> = incident
        .reports
        .iter()
        .filter(|r| r.said.form == form.id)
        .map(|r| r.said.id.as_str())
        .collect();
    let kind = match same.len() {
        0 => "first report".to_owned(),
        _ => format!("follow-up of {}", same.join(", ")),
    };
    let of_regime = |r: &&super::Dated<super::Receipt>| {
        let report = incident.report(&r.said.report);
        let other = report.and_then(|r| forms().named(&r.said.form));
        other.is_some_and(|f| f.regime == form.regime)
    };
    let references: Vec<&str> =
        incident.receipts.iter().filter(of_regime).map(|r| r.said.reference.as_str()).collect();
    let theirs = if references.is_empty() { "none yet".to_owned() } else { references.join(", ") };
    vec![line("type", kind), line("own reference", id), line("reference of the authority", theirs)]
}

fn system(form: &Form, draft: &Draft<'_>) -> Vec<Line> {
    let (system, facts) = (draft.system, &draft.incident.facts);
    let mut lines = vec![
        line("system", &system.name),
        line("version", &draft.incident.version),
        line("purpose", &system.purpose),
    ];
    if let Some(freeze) = &draft.incident.freeze {
        for model in &freeze.said.frozen.models {
            lines.push(line(&format!("model {}, SHA-256", model.name), &model.sha256));
        }
    }
    if form.regime == Regime::Aia {
        let ground = match facts.ground {
            Ground::AnnexIii => "Annex III",
            Ground::AnnexI => "Annex I",
            Ground::None => "not high-risk",
            Ground::Open => "",
        };
        lines.push(line("high-risk ground", ground));
        let registered = match facts.registration.is_empty() {
            true => "not registered",
            false => &facts.registration,
        };
        lines.push(line("registration", registered));
    }
    lines
}

fn times(facts: &IncidentFacts) -> Vec<Line> {
    let maybe = |t: &Option<String>| t.clone().unwrap_or_default();
    let mut lines =
        vec![line("occurred", maybe(&facts.occurred)), line("detected", maybe(&facts.detected))];
    for aware in &facts.aware {
        let who = match aware.who {
            Party::Provider => "provider aware",
            Party::Deployer => "deployer aware",
        };
        lines.push(line(who, &aware.at));
    }
    let recovered = facts.recovered.clone().unwrap_or_else(|| "not yet".to_owned());
    lines.push(line("recovered", recovered));
    lines
}

fn harm(form: &Form, facts: &IncidentFacts) -> Vec<Line> {
    let mut words: Vec<&str> = facts.harm.iter().map(|h| h.title()).collect();
    if facts.death {
        words.push("a person died");
    }
    if facts.widespread {
        words.push("widespread infringement");
    }
    let mut lines = vec![line("persons affected", &facts.people)];
    if form.regime == Regime::Aia {
        lines.insert(0, line("category", words.join("; ")));
    }
    lines
}

fn link(facts: &IncidentFacts) -> String {
    let word = match facts.causal_link {
        CausalLink::Established => "established",
        CausalLink::Likely => "likely or suspected",
        CausalLink::Open => "not known yet",
    };
    match &facts.causal_link_since {
        Some(since) => format!("{word} since {since}"),
        None => word.to_owned(),
    }
}

fn evidence(incident: &Incident) -> Vec<Line> {
    let preserved = match &incident.freeze {
        Some(freeze) => format!(
            "frozen at {}: {} models, declaration{}, checkpoints of the logs; statement {}",
            freeze.at,
            freeze.said.frozen.models.len(),
            if freeze.said.frozen.guard_policy.is_some() { ", policy of the guard" } else { "" },
            freeze.stored.statement.hex()
        ),
        None => String::new(),
    };
    let changed: Vec<String> = incident
        .changes
        .iter()
        .map(|c| format!("{} at {} after notice {}", c.said.what, c.at, c.said.notice))
        .collect();
    let contained: Vec<String> =
        incident.containments.iter().map(|c| format!("{} at {}", c.said.what, c.said.at)).collect();
    let or_none = |list: Vec<String>| match list.is_empty() {
        true => "none".to_owned(),
        false => list.join("; "),
    };
    vec![
        line("preserved", preserved),
        line("changes since", or_none(changed)),
        line("containment", or_none(contained)),
    ]
}

fn finder(by: Option<Finder>) -> &'static str {
    match by {
        Some(Finder::Lab) => "a test of our own",
        Some(Finder::Monitoring) => "monitoring",
        Some(Finder::Deployer) => "the deployer",
        Some(Finder::Affected) => "someone affected",
        Some(Finder::ThirdParty) => "someone else",
        Some(Finder::Authority) => "an authority",
        None => "",
    }
}

fn suspicion(suspicion: Suspicion) -> &'static str {
    match suspicion {
        Suspicion::Yes => "yes",
        Suspicion::No => "no",
        Suspicion::Open => "",
    }
}

fn controller(controller: Controller) -> &'static str {
    match controller {
        Controller::Provider => "the provider",
        Controller::Deployer => "the deployer",
        Controller::Open => "",
    }
}

#[derive(Template)]
#[template(path = "incident.html")]
struct Page<'a> {
    r: &'a Report,
}

impl Page<'_> {
    /// What stands in a line.
    fn text(&self, field: &Field, line: &Line) -> String {
        let text = escape(&line.text).replace('\n', "<br>");
        match (line.text.is_empty(), field.need) {
            (false, _) => text,
            (true, NeedKind::Asked) => "<strong class=\"gap\">GAP: not known yet</strong>".into(),
            (true, NeedKind::IfKnown) => "not known".into(),
            (true, NeedKind::Later) => "follows".into(),
        }
    }

    fn clock(&self, clock: &Answered) -> String {
        let due = match &clock.due {
            Some(due) => format!("<time datetime=\"{0}\">{0}</time>", escape(due)),
            None => "no fixed end".to_owned(),
        };
        format!(
            "<td>{}</td><td>{}</td><td>{due}</td>",
            escape(&clock.provision),
            escape(&clock.recipient)
        )
    }
}
