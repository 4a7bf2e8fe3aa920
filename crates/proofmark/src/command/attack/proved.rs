//! `attack --suite proved`: what holds for every change within a budget, beside what was found.
//!
//! Owns the arguments and the words. The proofs are the lab's, the witnesses the harness's.

use proofmark_lab::evasion::suite::{PROVED, Suite};
use proofmark_lab::harness::Case;
use proofmark_schema::attack::{AttackReport, NetworkProof};

use super::Asked;
use crate::failure::{OrFail, Outcome};
use crate::interrupt;
use crate::output::human::{Grid, wrap};
use crate::progress::Bars;
use crate::project::Project;
use crate::proofs::{self, Answers, Effort};
use crate::runner::Settings;
use crate::subject::Subject;

/// Arguments of the prover.
#[derive(clap::Args, Debug, Clone)]
pub struct ProvedArgs {
    /// `--suite proved`: parts bounded per row and budget before the row is left open; 0 for plain
    /// bounds alone, which large convolutions need.
    #[arg(long, value_name = "N", default_value_t = proofs::PARTS)]
    pub parts: u64,
}

/// The proofs and the suite that judges their points; `None` where another suite was asked for.
pub fn search(
    args: &Asked<'_>,
    project: &Project,
    settings: Settings,
    subject: &Subject,
    case: &Case<'_>,
    bars: &Bars,
) -> Outcome<Option<(Answers, Suite)>> {
    if args.suite != PROVED {
        return Ok(None);
    }
    let effort = Effort { parts: args.proved.parts, threads: settings.threads, seed: args.seed };
    bars.begin("prove");
    let found = proofs::prove(project, subject, case, &args.eps, effort, bars, interrupt::flag());
    bars.end();
    let mut answers = found?;
    let suite = answers.suite(case, args.steps).or_fail("suite", "proofmark attack --help")?;
    Ok(Some((answers, suite)))
}

/// What was proved, for people; empty without proofs.
pub fn as_text(report: &AttackReport) -> String {
    let Some(proof) = &report.proved else { return String::new() };
    let mut grid = Grid::new(&["budget", "proved right within it", "found wrong", "neither"]);
    for (proved, attacked) in proof.robust.iter().zip(&report.robust) {
        grid.row(vec![
            proved.eps.to_string(),
            proved.proved.to_string(),
            (report.correct - attacked.k_robust).to_string(),
            proved.open.to_string(),
        ]);
    }
    grid.render() + &wrap(&said(proof), 92, "  ")
}

fn said(proof: &NetworkProof) -> String {
    let more = if proof.robust.iter().any(|at| at.open > 0) {
        "; `--parts` lets the search go on"
    } else {
        ""
    };
    format!(
        "{} rows, {} parts; a row is left open after the round in which it has had {}{more}. \
         Proofs hold for {}.",
        proof.searched, proof.parts, proof.parts_limit, proof.arithmetic
    )
}
