//! Evidence of one kind for one part of a duty.
//!
//! Owns which signed statement counts: of the last run only while the files and terms it was made
//! with still stand, of drills and measures only about the same files. Must never guess. Called by
//! `duties` alone.

use std::collections::BTreeMap;

use proofmark_evidence::entry::Entry;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::clock::Regime;
use proofmark_schema::duties::{Duty, EvidenceKind, EvidenceRule, cell_id};
use proofmark_schema::measurement::{AssetDigest, CheckState, Measurement};
use proofmark_schema::system::{FeatureKind, ModelRole, System};
use proofmark_schema::taxonomy::Coverage;

use super::{DutiesError, Waived, rank};
use crate::assessment::{Assessment, ProbeRecord, load};
use crate::currency::currency;
use crate::drill::{DrillPredicate, drills};
use crate::events::Logged;
use crate::history::history;
use crate::incident::{Dated, Incident, Receipt, incidents};
use crate::judge;
use crate::matrix::{Matrix, matrix};
use crate::register::{RegisterError, stored_of};
use crate::treatment::{TreatmentsPredicate, treatments};

/// What the log and the declaration hold.
#[derive(Debug)]
pub struct Known<'a> {
    system: &'a System,
    assets: &'a [AssetDigest],
    assessment: Option<Assessment>,
    /// Why figures of the last run do not count; empty when they do.
    unfit: String,
    matrix: Matrix,
    drills: Vec<Logged<DrillPredicate>>,
    treatments: Vec<Logged<TreatmentsPredicate>>,
    incidents: Vec<Incident>,
    /// Statement digests of the leaves of a kind, in log order; papers by their name as well.
    leaves: BTreeMap<String, Vec<String>>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it gives.
    pub state: Coverage,
    /// In words.
    pub what: String,
    /// Digests of the signed statements, hex.
    pub statements: Vec<String>,
    /// Why nothing better was found.
    pub note: String,
}

impl<'a> Known<'a> {
    /// Reads the log; without one only the declaration counts.
    ///
    /// # Errors
    /// [`DutiesError`] if the log is damaged or a statement is gone.
    pub fn read(
        system: &'a System,
        assets: &'a [AssetDigest],
        log: Option<&Log>,
        store: &Store,
    ) -> Result<Self, DutiesError> {
        let nothing = judge::Evidence::default();
        let mut known = Self {
            system,
            assets,
            assessment: None,
            unfit: "no run has ended".to_owned(),
            matrix: matrix(system, &nothing, &[]),
            drills: Vec::new(),
            treatments: Vec::new(),
            incidents: Vec::new(),
            leaves: BTreeMap::new(),
        };
        let Some(log) = log else { return Ok(known) };
        known.drills = drills(log, store)?;
        known.treatments = treatments(log, store)?;
        known.incidents = incidents(log, store)?;
        known.leaves = leaves(log)?;
        let runs = history(log, store).map_err(crate::assessment::AssessError::from)?;
        if let Some(run) = runs.iter().rev().find(|r| r.ended.is_some()) {
            known.take(load(log, store, &run.run)?);
        }
        Ok(known)
    }

    /// The last run; its figures count while nothing they rest on changed.
    fn take(&mut self, run: Assessment) {
        let changed = currency(&run.system, &run.plan.assets, self.system, self.assets);
        self.unfit = if !changed.holds() {
            format!("{} is stale: {} changed since", run.record.run, changed.names().join(", "))
        } else if let Some(reason) = run.exploratory.first() {
            format!("{} is exploratory: {reason}", run.record.run)
        } else {
            String::new()
        };
        if self.unfit.is_empty() {
            self.matrix = run.matrix.clone();
            // Words about cells may have been bettered since.
            for row in &mut self.matrix.rows {
                for cell in &mut row.cells {
                    if cell.coverage != Coverage::Measured {
                        let declared = self.system.declared.get(&cell_id(row.threat, cell.verb));
                        cell.coverage = match declared {
                            Some(d) if d.waived.is_some() => Coverage::Waived,
                            Some(_) => Coverage::Declared,
                            None => Coverage::Missing,
                        };
                    }
                }
            }
        }
        self.assessment = Some(run);
    }

    /// The same with the matrix of today, which knows drills and measures as well.
    #[must_use]
    pub fn with_matrix(mut self, matrix: Matrix) -> Self {
        self.matrix = matrix;
        self
    }

    /// A person's word that the duty does not apply.
    pub(super) fn not_applicable(&self, duty: &str) -> Option<Waived> {
        let text = self.system.papers.iter().find(|p| p.id == duty)?;
        let because = text.not_applicable.clone()?;
        Some(Waived { by: text.owner.clone(), because })
    }

    /// The best evidence of a kind.
    pub(super) fn find(&self, duty: &Duty, rule: &EvidenceRule) -> Found {
        match rule.kind {
            EvidenceKind::Metric => self.figures(&rule.ids, false),
            EvidenceKind::GroupMetric => self.figures(&rule.ids, true),
            EvidenceKind::Cell => self.cells(&rule.ids),
            EvidenceKind::Plan => self.plan(),
            EvidenceKind::Treatment => self.treatment(),
            EvidenceKind::Drill => self.drill(&rule.ids),
            EvidenceKind::Receipt => self.receipts(duty),
            EvidenceKind::Incident => self.cases(),
            EvidenceKind::GuardLog => {
                self.kind("guard", "entries of the guard", Coverage::Measured)
            }
            EvidenceKind::Signature => {
                self.kind("signature", "signatures of persons", Coverage::Imported)
            }
            EvidenceKind::Risk => self.kind("risk", "entries of the register", Coverage::Declared),
            EvidenceKind::Paper => self.papers(&rule.ids),
            EvidenceKind::Declaration => self.declared(&rule.ids),
            EvidenceKind::Text => self.text(&rule.ids),
        }
    }

    fn current(&self) -> Option<&Assessment> {
        self.assessment.as_ref().filter(|_| self.unfit.is_empty())
    }

    /// Figures of one of the metrics for every model in use, none refused by a check.
    fn figures(&self, metrics: &[String], per_group: bool) -> Found {
        let Some(run) = self.current() else { return missing(&self.unfit) };
        let counts = |record: &ProbeRecord, m: &Measurement| {
            let mut checks = m.validity.iter().chain(&record.said.validity);
            metrics.contains(&m.metric)
                && m.subject.group.is_some() == per_group
                && !checks.any(|v| v.state == CheckState::Refuse)
        };
        let mut statements = Vec::new();
        let mut without = Vec::new();
        for model in self.system.models.iter().filter(|m| m.role != ModelRole::Candidate) {
            let of_model = run.results.iter().filter(|record| {
                let figures = &record.said.measurements;
                figures.iter().any(|m| m.subject.model == model.name && counts(record, m))
            });
            let before = statements.len();
            statements.extend(of_model.map(|r| r.stored.statement.hex()));
            if statements.len() == before {
                without.push(model.name.as_str());
            }
        }
        let which = if per_group { " per group" } else { "" };
        if statements.is_empty() || !without.is_empty() {
            return missing(&format!(
                "no {}{which} for {}",
                metrics.join(" or "),
                without.join(", ")
            ));
        }
        statements.dedup();
        let what = format!("{}{which} of {}", metrics.join(" or "), run.record.run);
        Found { state: Coverage::Measured, what, statements, note: String::new() }
    }

    /// Every cell that the patterns name; as weak as the weakest.
    fn cells(&self, patterns: &[String]) -> Found {
        let mut counts: BTreeMap<u8, (Coverage, usize)> = BTreeMap::new();
        let (mut ids, mut missing_cells) = (Vec::new(), Vec::new());
        for row in &self.matrix.rows {
            for cell in &row.cells {
                let id = cell_id(row.threat, cell.verb);
                if !patterns.iter().any(|p| matches(p, &id)) {
                    continue;
                }
                counts.entry(rank(cell.coverage)).or_insert((cell.coverage, 0)).1 += 1;
                ids.extend(&cell.evidence);
                if cell.coverage == Coverage::Missing {
                    missing_cells.push(id);
                }
            }
        }
        let state = counts.first_key_value().map_or(Coverage::Missing, |(_, (state, _))| *state);
        let words = counts.values().rev().map(|(c, n)| format!("{n} {}", word(*c)));
        let what = format!("cells: {}", words.collect::<Vec<_>>().join(", "));
        let mut note = String::new();
        if !missing_cells.is_empty() {
            let shown: Vec<&str> = missing_cells.iter().take(SHOWN).map(String::as_str).collect();
            let more = missing_cells.len().saturating_sub(shown.len());
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            note = format!("nothing covers {}{rest}", shown.join(", "));
        }
        Found { state, what, statements: self.statements_of(&ids), note }
    }

    /// Statements that hold those measurements.
    fn statements_of(&self, ids: &[&String]) -> Vec<String> {
        let Some(run) = self.current() else { return signed(ids) };
        let holds = |r: &&ProbeRecord| r.said.measurements.iter().any(|m| ids.contains(&&m.id));
        let mut statements = signed(ids);
        let found = run.results.iter().filter(holds).map(|r| r.stored.statement.hex());
        statements.extend(found);
        statements
    }

    fn plan(&self) -> Found {
        let Some(run) = self.current() else { return missing(&self.unfit) };
        if run.plan.criteria.is_empty() {
            return missing("no threshold is declared, `[criteria.…]`");
        }
        let what = format!(
            "{} thresholds registered at {}, before {} began at {}",
            run.plan.criteria.len(),
            run.record.registered,
            run.record.run,
            run.record.started
        );
        let statements = vec![run.record.plan.statement.hex()];
        Found { state: Coverage::Measured, what, statements, note: String::new() }
    }

    fn treatment(&self) -> Found {
        let Some(last) = self.treatments.iter().rfind(|t| t.said.limit.is_none()) else {
            return missing(match self.treatments.is_empty() {
                true => "no measures were measured",
                false => "measures were tried on the first rows only",
            });
        };
        if let Some(changed) = self.differs(&last.said.assets) {
            return missing(&format!("the last measures were measured with another `{changed}`"));
        }
        let what = format!("{}: {} measures", last.said.id, last.said.measures.len());
        let statements = vec![last.stored.statement.hex()];
        Found { state: Coverage::Measured, what, statements, note: String::new() }
    }

    /// The last drill of each fault went as it should, on the files that lie there now.
    fn drill(&self, faults: &[String]) -> Found {
        let mut wanted: Vec<&str> = faults.iter().map(String::as_str).collect();
        if wanted.is_empty() {
            let all = self.drills.iter().flat_map(|d| &d.said.experiments);
            wanted = all.map(|e| e.fault.as_str()).collect();
            wanted.sort_unstable();
            wanted.dedup();
        }
        if wanted.is_empty() {
            return missing("no drill was run");
        }
        let mut statements = Vec::new();
        for fault in &wanted {
            let of = |d: &Logged<DrillPredicate>| {
                d.said.experiments.iter().rev().find(|e| e.fault == *fault).cloned()
            };
            let last = self.drills.iter().rev().find_map(|d| of(d).map(|e| (d, e)));
            let Some((drill, experiment)) = last else {
                return missing(&format!("no drill of `{fault}`"));
            };
            if experiment.deviated {
                return missing(&format!("the last drill of `{fault}` did not go as it should"));
            }
            if let Some(changed) = self.differs(&drill.said.assets) {
                return missing(&format!("`{fault}` was drilled with another `{changed}`"));
            }
            statements.push(drill.stored.statement.hex());
        }
        statements.dedup();
        let what = format!("drill of {}", wanted.join(", "));
        Found { state: Coverage::Measured, what, statements, note: String::new() }
    }

    /// A file of now whose digest differs from the one a statement was made with.
    fn differs(&self, then: &[AssetDigest]) -> Option<&str> {
        let same = |t: &AssetDigest| {
            let now = self.assets.iter().find(|a| a.name == t.name && a.name != DECLARATION);
            now.is_none_or(|n| n.sha256 == t.sha256)
        };
        let changed = then.iter().find(|t| !same(t))?;
        self.assets.iter().find(|a| a.name == changed.name).map(|a| a.name.as_str())
    }

    /// Receipts for reports that the duty is about.
    fn receipts(&self, duty: &Duty) -> Found {
        let regime = match duty.base.as_str() {
            "AIA" => Regime::Aia,
            "CRA" => Regime::Cra,
            _ => Regime::Gdpr,
        };
        let mut statements = Vec::new();
        for incident in &self.incidents {
            let own = incident.rules.rules.iter().any(|r| r.duty == duty.id);
            let counts = |receipt: &&Dated<Receipt>| {
                let report = incident.report(&receipt.said.report);
                let clocks = report.map_or(&[][..], |r| r.said.clocks.as_slice());
                let mut rules = clocks.iter().filter_map(|c| incident.rules.named(c));
                rules.any(|r| if own { r.duty == duty.id } else { r.regime == regime })
            };
            let found = incident.receipts.iter().filter(counts);
            statements.extend(found.map(|r| r.stored.statement.hex()));
        }
        if statements.is_empty() {
            return missing("");
        }
        let what = format!("{} receipts of authorities", statements.len());
        Found { state: Coverage::Imported, what, statements, note: String::new() }
    }

    fn cases(&self) -> Found {
        let statements: Vec<String> = self
            .incidents
            .iter()
            .filter_map(|i| i.deeds.first())
            .map(|d| d.stored.statement.hex())
            .collect();
        if statements.is_empty() {
            return missing("");
        }
        let what = format!("{} cases of incidents", statements.len());
        Found { state: Coverage::Declared, what, statements, note: String::new() }
    }

    fn kind(&self, kind: &str, what: &str, state: Coverage) -> Found {
        match self.leaves.get(kind) {
            Some(statements) => {
                let what = format!("{} {what}", statements.len());
                // The last ones say where it stands now.
                let statements = statements.iter().rev().take(SHOWN).cloned().collect();
                Found { state, what, statements, note: String::new() }
            }
            None => missing(""),
        }
    }

    fn papers(&self, names: &[String]) -> Found {
        let names = if names.is_empty() { vec!["paper".to_owned()] } else { paper_keys(names) };
        let found = names.iter().find(|n| self.leaves.contains_key(*n));
        found.map_or_else(|| missing(""), |n| self.kind(n, "papers written", Coverage::Declared))
    }

    fn text(&self, ids: &[String]) -> Found {
        let texts = self.system.papers.iter().filter(|p| ids.contains(&p.id));
        let mut best = missing("");
        for text in texts {
            let (state, said) = match &text.not_applicable {
                Some(_) => (Coverage::Waived, "set aside"),
                None if text.text.trim().is_empty() => continue,
                None => (Coverage::Declared, "text"),
            };
            if rank(state) > rank(best.state) {
                let what = format!("{said} of {}, `[papers.\"{}\"]`", text.owner, text.id);
                best = Found { state, what, statements: Vec::new(), note: String::new() };
            }
        }
        best
    }

    fn declared(&self, fields: &[String]) -> Found {
        let mut words = Vec::new();
        for field in fields {
            match self.field(field) {
                Ok(said) => words.push(said),
                Err(lacks) => return missing(&lacks),
            }
        }
        let what = format!("declared: {}", words.join(", "));
        Found { state: Coverage::Declared, what, statements: Vec::new(), note: String::new() }
    }

    /// What the declaration says in a field, or what it lacks.
    fn field(&self, field: &str) -> Result<String, String> {
        let system = self.system;
        let filled = |name: &str, text: &str| match text.trim().is_empty() {
            true => Err(format!("`{name}` is empty")),
            false => Ok(name.to_owned()),
        };
        let counted = |n: usize, what: &str, lacks: &str| match n {
            0 => Err(lacks.to_owned()),
            n => Ok(format!("{n} {what}")),
        };
        match field {
            "purpose" => filled("purpose", &system.purpose),
            "provider" => filled("provider", &system.provider),
            "version" => filled("version", &system.version),
            "data" => counted(system.data.len(), "data sets", "no data set is declared"),
            "threats" => counted(system.threats.len(), "threats", "no threat is declared"),
            "decision" => counted(system.models.len(), "decision rules", "no model is declared"),
            "rationale" => counted(
                system.criteria.iter().filter(|c| !c.rationale.trim().is_empty()).count(),
                "criteria with their reason",
                "no criterion is declared",
            ),
            "retest" => match system.upkeep.retest_days {
                Some(days) => Ok(format!("tests again after {days} days")),
                None => Err("`[use] retest_days` is not declared".to_owned()),
            },
            "misuse" => match &system.upkeep.no_misuse {
                Some(_) => Ok("why no misuse is foreseeable".to_owned()),
                None => counted(system.misuse.len(), "misuse scenarios", "no misuse is declared"),
            },
            "vulnerable" => self.vulnerable(),
            "features" => self.inputs(),
            other => Err(format!("`{other}` is no field of the declaration")),
        }
    }

    fn vulnerable(&self) -> Result<String, String> {
        let harms = &self.system.harms;
        let silent = harms.iter().find(|h| h.vulnerable.as_deref().unwrap_or("").trim().is_empty());
        match (harms.len(), silent) {
            (0, _) => Err("no harm is declared".to_owned()),
            (_, Some(harm)) => Err(format!("`harms.{}` says nothing of them", harm.name)),
            (n, None) => Ok(format!("{n} harms say what they mean for them")),
        }
    }

    fn inputs(&self) -> Result<String, String> {
        let inputs: Vec<_> = self.system.features.iter().filter(|f| f.input).collect();
        let open = inputs.iter().find(|f| match f.kind {
            FeatureKind::Number | FeatureKind::Integer | FeatureKind::Image => f.bounds.is_none(),
            FeatureKind::Category | FeatureKind::Ordinal => f.values.is_empty(),
            FeatureKind::Boolean | FeatureKind::Text => false,
            FeatureKind::Series => {
                f.series.iter().flat_map(|s| &s.channels).any(|c| c.bounds.is_none())
            }
        });
        match (inputs.len(), open) {
            (0, _) => Err("no input is declared".to_owned()),
            (_, Some(feature)) => {
                Err(format!("`features.{}` has neither bounds nor values", feature.name))
            }
            (n, None) => Ok(format!("{n} inputs with bounds or values")),
        }
    }
}

/// Ids that are digests of statements themselves.
fn signed(ids: &[&String]) -> Vec<String> {
    let is_digest = |id: &str| id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let mut digests: Vec<String> =
        ids.iter().filter(|id| is_digest(id)).map(|id| (*id).clone()).collect();
    digests.sort();
    digests.dedup();
    digests
}

fn missing(note: &str) -> Found {
    Found {
        state: Coverage::Missing,
        what: String::new(),
        statements: Vec::new(),
        note: note.to_owned(),
    }
}

/// Statement digests by kind of leaf; a paper also under its own name.
fn leaves(log: &Log) -> Result<BTreeMap<String, Vec<String>>, RegisterError> {
    let mut leaves: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut fault = None;
    log.for_each_leaf(|_, leaf| {
        match Entry::parse(leaf) {
            Ok(entry) => {
                let digest = stored_of(&entry).map(|s| s.statement.hex()).unwrap_or_default();
                if let Some(name) = entry.extra.get(PAPER_KEY).and_then(|v| v.as_str()) {
                    leaves.entry(paper_key(name)).or_default().push(digest.clone());
                }
                leaves.entry(entry.kind.as_str().to_owned()).or_default().push(digest);
            }
            Err(error) => fault = fault.take().or(Some(error)),
        }
        Ok(())
    })?;
    fault.map_or(Ok(leaves), |error| Err(error.into()))
}

fn paper_key(name: &str) -> String {
    format!("paper/{name}")
}

fn paper_keys(names: &[String]) -> Vec<String> {
    names.iter().map(|n| paper_key(n)).collect()
}

/// `evasion/*` matches every verb, `*/*` every cell.
fn matches(pattern: &str, id: &str) -> bool {
    let fits = |p: &str, part: &str| p == "*" || p == part;
    match (pattern.split_once('/'), id.split_once('/')) {
        (Some((threat, verb)), Some((t, v))) => fits(threat, t) && fits(verb, v),
        _ => false,
    }
}

fn word(coverage: Coverage) -> &'static str {
    crate::document::coverage_word(coverage)
}

/// Name of the declaration among assets.
const DECLARATION: &str = "declaration";
/// Key under which the leaf of a paper names it.
const PAPER_KEY: &str = "paper";
/// So many names are shown before the rest is counted.
const SHOWN: usize = 5;
