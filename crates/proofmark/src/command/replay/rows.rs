//! Rows judged again: clean answers and stored witnesses.
//!
//! Owns the comparison row by row, and reading results out of a pack.

use std::fmt;
use std::path::{Path, PathBuf};

use proofmark_assess::assessment::Assessment;
use proofmark_assess::predicate::{MEASUREMENTS, MeasurementsPredicate, PLAN, PlanPredicate};
use proofmark_evidence::digest::Digest;
use proofmark_evidence::dsse::Bundle;
use proofmark_evidence::pack::verify_pack;
use proofmark_evidence::statement::Statement;
use proofmark_evidence::store::{ArtefactState, Store};
use proofmark_formats::npz::Npz;
use proofmark_lab::harness::Case;
use proofmark_lab::oracle::Oracle;
use proofmark_schema::plan::Plan;
use tempfile::TempDir;

use crate::failure::{Failure, OrFail, Outcome};
use crate::runner::index_or_none;
use crate::subject::Subject;

/// A run as it was signed.
pub struct Signed {
    /// Id.
    pub run: String,
    /// Plan.
    pub plan: Plan,
    /// Outcome of every probe.
    pub results: Vec<MeasurementsPredicate>,
}

impl From<Assessment> for Signed {
    fn from(assessment: Assessment) -> Self {
        let results = assessment.results.into_iter().map(|record| record.said).collect();
        Self { run: assessment.record.run, plan: assessment.plan, results }
    }
}

/// What came of the comparison.
#[derive(Default)]
pub struct Compared {
    /// Rows compared.
    pub rows: usize,
    /// Rows whose scores are the same bytes.
    pub identical: usize,
    /// Rows whose decision differs.
    pub differing: Vec<usize>,
}

impl Compared {
    /// Whether every row gave the same.
    pub fn identical(&self) -> bool {
        self.identical == self.rows && self.differing.is_empty()
    }
    /// Whether at most this share of the rows is decided otherwise.
    pub fn close(&self, share: f64) -> bool {
        self.differing.len() as f64 <= share * self.rows as f64
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows == 0 {
            return f.write_str("no rows to judge");
        }
        write!(f, "{} rows judged again, {} identical", self.rows, self.identical)?;
        if !self.differing.is_empty() {
            let shown: Vec<String> =
                self.differing.iter().take(SHOWN_MAX).map(usize::to_string).collect();
            write!(f, ", decided otherwise: {}", shown.join(", "))?;
            if self.differing.len() > SHOWN_MAX {
                write!(f, " and {} more", self.differing.len() - SHOWN_MAX)?;
            }
        }
        Ok(())
    }
}

/// The bytes of an artefact of a result; `None` once erased.
pub fn stored(store: &Store, said: &MeasurementsPredicate, name: &str) -> Outcome<Option<Vec<u8>>> {
    let Some(artefact) = said.artefacts.iter().find(|a| a.name == name) else {
        return Ok(None);
    };
    let digest: Digest = artefact.sha256.parse().or_fail("replay", "the statement is damaged")?;
    match store.state(&digest).or_fail("replay", "run `proofmark log fsck`")? {
        ArtefactState::Erased(_) => Ok(None),
        ArtefactState::Present => store.open(&digest).map(Some).or_fail("replay", ""),
        ArtefactState::Absent => Err(Failure::new(
            "replay",
            format!("`{name}` of {} is not there", said.probe.id),
            "a pack holds rows only when it was written with `dossier --with-rows`",
        )),
    }
}

/// Clean rows against stored scores and decisions.
pub fn clean(subject: &Subject, bytes: &[u8]) -> Outcome<Compared> {
    let (scores, decisions) = two(bytes, "scores", "decisions")?;
    let classes = subject.clean.classes();
    let mut compared = Compared { rows: subject.clean.rows(), ..Compared::default() };
    if scores.len() != compared.rows * classes || decisions.len() != compared.rows {
        return Err(misfit());
    }
    for row in 0..compared.rows {
        let then = scores.get(row * classes..(row + 1) * classes).unwrap_or_default();
        compared.identical += usize::from(same_bits(then, subject.clean.scores(row)));
        if decisions.get(row) != Some(&index_or_none(subject.clean.decision(row))) {
            compared.differing.push(row);
        }
    }
    Ok(compared)
}

/// Stored witnesses, asked again, and judged as the attack judged them.
pub fn witnesses(subject: &Subject, case: &Case<'_>, bytes: &[u8]) -> Outcome<Compared> {
    let file = Npz::open(bytes).or_fail("replay", "the artefact is damaged")?;
    let whole = |name: &str| -> Outcome<Vec<i64>> {
        file.array(name).or_fail("replay", "")?.data().to_i64().or_fail("replay", "")
    };
    let (rows, decisions) = (whole("rows")?, whole("decisions")?);
    let x = file.array("x").or_fail("replay", "")?.data().to_f32().or_fail("replay", "")?;
    let scores =
        file.array("scores").or_fail("replay", "")?.data().to_f32().or_fail("replay", "")?;
    let rows: Vec<usize> = rows.iter().filter_map(|&r| usize::try_from(r).ok()).collect();
    let (dims, classes) = (subject.dims(), subject.clean.classes());
    let fits = x.len() == rows.len() * dims
        && decisions.len() == rows.len()
        && scores.len() == rows.len() * classes
        && rows.iter().all(|&r| r < subject.clean.rows());
    if !fits {
        return Err(misfit());
    }
    let mut compared = Compared { rows: rows.len(), ..Compared::default() };
    let now = subject.target.scores(&rows, &x).or_fail("replay", "")?;
    let pairs = now.chunks(classes).zip(scores.chunks(classes));
    compared.identical = pairs.filter(|(got, then)| same_bits(then, got)).count();
    // A number is judged against the band of its row, which only the case knows.
    let judged = match subject.targets() {
        Some(_) => case.oracle.scores(&rows, &x).or_fail("replay", "")?,
        None => now.clone(),
    };
    let judged = judged.chunks(case.oracle.classes().max(1));
    for ((row, scores), decided) in rows.iter().zip(judged).zip(&decisions) {
        if index_or_none(case.decision.decide(scores)) != *decided {
            compared.differing.push(*row);
        }
    }
    Ok(compared)
}

/// What was signed in a verified pack, with its files laid out as a store that goes away with
/// the returned folder. Read from the attestations: a pack names earlier runs of the log, but
/// does not hold their statements.
pub fn of_pack(pack: &Path, run: &str) -> Outcome<(Signed, Store, TempDir)> {
    let report = verify_pack(pack, None);
    if !report.is_consistent() {
        return Err(Failure::new(
            "pack",
            report.verdict(),
            format!("see what is wrong: proofmark verify {}", pack.display()),
        ));
    }
    let folder = tempfile::tempdir().or_fail("pack", "check the free space")?;
    let store = Store::new(folder.path());
    for path in files(&pack.join("artefacts"))? {
        store.put(&crate::assets::read_data(&path)?).or_fail("pack", "check the free space")?;
    }
    let signed = signed(&files(&pack.join("attestations"))?)?;
    if run != super::LATEST && run != signed.run {
        return Err(Failure::new(
            "run",
            format!("the pack holds {}, not `{run}`", signed.run),
            "leave the run out, or name another pack",
        ));
    }
    Ok((signed, store, folder))
}

/// Plan and results of the attestations, results in the order of their names.
fn signed(attestations: &[PathBuf]) -> Outcome<Signed> {
    let (mut plan, mut results) = (None, Vec::new());
    for path in attestations {
        let help = "make the pack again: proofmark dossier";
        let bytes = crate::assets::read_data(path)?;
        let payload = Bundle::parse(&bytes).and_then(|b| b.payload()).or_fail("pack", help)?;
        let statement = Statement::parse(&payload).or_fail("pack", help)?;
        let said = statement.predicate;
        match statement.predicate_type.as_str() {
            PLAN => {
                let read: PlanPredicate = serde_json::from_value(said).or_fail("pack", help)?;
                plan = Some(read.plan);
            }
            MEASUREMENTS => {
                let read: MeasurementsPredicate =
                    serde_json::from_value(said).or_fail("pack", help)?;
                results.push(read);
            }
            _ => {}
        }
    }
    match (plan, results.first().map(|said| said.run.clone())) {
        (Some(plan), Some(run)) => Ok(Signed { run, plan, results }),
        _ => Err(Failure::new("pack", "the pack holds no results", "name another pack")),
    }
}

/// The files of a folder by name; none where there is no folder.
fn files(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut files = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .or_fail("pack", "check its permissions")?;
    files.sort();
    Ok(files)
}

fn two(bytes: &[u8], floats: &str, whole: &str) -> Outcome<(Vec<f32>, Vec<i64>)> {
    let file = Npz::open(bytes).or_fail("replay", "the artefact is damaged")?;
    let floats = file.array(floats).or_fail("replay", "")?.data().to_f32().or_fail("replay", "")?;
    let whole = file.array(whole).or_fail("replay", "")?.data().to_i64().or_fail("replay", "")?;
    Ok((floats, whole))
}

fn misfit() -> Failure {
    Failure::new(
        "replay",
        "the stored rows do not fit the model and data",
        "the declaration may have changed since the run",
    )
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
}

/// Rows listed on a terminal; JSON lists all.
const SHOWN_MAX: usize = 20;
