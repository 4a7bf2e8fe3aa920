//! The measure `vote`: primary and backup decide together; one file where that is possible.
//!
//! Owns the translation of two declarations into a vote. The rule is the lab's, the file the
//! engine's; before the file is shipped both must decide alike on every measured row.

use proofmark_engine::compose::{Cut, VOTE, Voter, vote};
use proofmark_engine::write::to_onnx;
use proofmark_lab::harness::Clean;
use proofmark_lab::target;
use proofmark_lab::treatment::{Member, Vote, VoteRule};
use proofmark_schema::system::{
    Decision, InputSpec, ModelAsset, ModelRole, OutputKind, OutputSpec,
};

use super::MeasureName;
use super::scene::{Built, Scene, no_backup};
use crate::failure::{Failure, OrFail, Outcome};
use crate::loader;
use crate::subject::Subject;

/// Checks that the two can vote, and composes them into one file.
pub fn take(scene: &mut Scene<'_>) -> Outcome<(String, Option<String>)> {
    let backup = scene.backup.as_ref().ok_or_else(no_backup)?;
    let rule = rule(scene);
    let ballot = ballot(&scene.primary, &backup.subject, rule)?;
    let by_rule = Clean::ask(&ballot, &ballot.decision()).or_fail("target", "")?;
    let words = match rule {
        VoteRule::Conservative { to } => {
            let to = scene.data.classes.get(to).map_or("?", |c| c.0.as_str());
            format!(
                "`{to}`, which the attacker wants, is decided only when models.{} and models.{} \
                 both decide it",
                scene.primary_asset.name, backup.asset.name
            )
        }
        VoteRule::Agreement => format!(
            "a decision is given only where models.{} and models.{} agree; elsewhere a person \
             decides",
            scene.primary_asset.name, backup.asset.name
        ),
    };
    let one_file = composed(scene).and_then(|(asset, bytes)| {
        let subject = scene.made(&asset, &bytes)?;
        let other = differing(&by_rule, &subject.clean);
        if other > 0 {
            return Err(Failure::new("vote", format!("it decides {other} rows otherwise"), ""));
        }
        Ok((bytes, subject.clean.rows()))
    });
    Ok(match one_file {
        Ok((bytes, rows)) => {
            scene.built.push(Built {
                measure: MeasureName::Vote,
                name: FILE.to_owned(),
                media_type: "application/onnx",
                bytes,
                personal: false,
            });
            (format!("{words}; `{FILE}` decides like this rule on all {rows} rows"), None)
        }
        Err(failure) => (format!("{words}; no single file: {}", failure.message), None),
    })
}

/// The rule that fits the threat.
pub fn rule(scene: &Scene<'_>) -> VoteRule {
    scene.wanted().map_or(VoteRule::Agreement, |to| VoteRule::Conservative { to })
}

/// Two subjects as one target.
pub fn ballot<'s>(first: &'s Subject, second: &'s Subject, rule: VoteRule) -> Outcome<Vote<'s>> {
    let member = |subject: &'s Subject| Member {
        oracle: &subject.target,
        decision: subject.decision,
        coordinates: subject.target.coordinates(),
    };
    Vote::new(member(first), member(second), rule)
        .or_fail("vote", "a vote needs two models that read the same mutable features")
}

/// The same on the second engines, where both have one.
pub fn second_ballot<'s>(
    first: &'s Subject,
    second: &'s Subject,
    rule: VoteRule,
) -> Option<Vote<'s>> {
    let member = |subject: &'s Subject| {
        let oracle = subject.second()?;
        let decision = subject.decision;
        Some(Member { oracle, decision, coordinates: subject.target.coordinates() })
    };
    Vote::new(member(first)?, member(second)?, rule).ok()
}

/// How the composed file is declared.
pub fn declared(scene: &Scene<'_>, adverse: usize) -> ModelAsset {
    let name = |class: usize| scene.data.classes.get(class).map_or("", |c| c.0.as_str()).to_owned();
    ModelAsset {
        name: "vote".to_owned(),
        path: FILE.to_owned(),
        role: ModelRole::Candidate,
        output: OutputSpec {
            name: Some(VOTE.to_owned()),
            kind: OutputKind::Score,
            classes: vec![name(0), name(1)],
            column: None,
        },
        decision: Decision::Cutoff { class: name(adverse), at: 0.0 },
        expected: None,
        expected_data: None,
        input: InputSpec::default(),
        dump: Default::default(),
    }
}

fn composed(scene: &Scene<'_>) -> Outcome<(ModelAsset, Vec<u8>)> {
    let backup = scene.backup.as_ref().ok_or_else(no_backup)?;
    let no = |message: &str| Failure::new("vote", message, "use the guard's `release.vote`");
    let (Some(to), 2) = (scene.wanted(), scene.data.classes.len()) else {
        return Err(no("only a vote between two classes with a declared goal is one file"));
    };
    let adverse = usize::from(to == 0);
    let first = loader::model(scene.project, &scene.primary_asset)?;
    let second = loader::model(scene.project, &backup.asset)?;
    let graph = vote(
        &voter(scene, &scene.primary_asset, first.model.graph(), adverse)?,
        &voter(scene, &backup.asset, second.model.graph(), adverse)?,
        adverse,
    )
    .or_fail("vote", "use the guard's `release.vote`")?;
    let mut asset = declared(scene, adverse);
    asset.input = scene.primary_asset.input.clone();
    Ok((asset, to_onnx(&graph).or_fail("vote", "use the guard's `release.vote`")?))
}

fn voter<'g>(
    scene: &Scene<'_>,
    asset: &'g ModelAsset,
    graph: &'g proofmark_engine::graph::Graph,
    adverse: usize,
) -> Outcome<Voter<'g>> {
    let classes = &scene.data.classes;
    let name = classes.get(adverse).map_or("", |c| c.0.as_str());
    let column = match asset.output.classes.as_slice() {
        [] => adverse,
        named => named.iter().position(|c| c == name).unwrap_or(adverse),
    };
    let cut = match &asset.decision {
        Decision::Argmax | Decision::Value => Cut::Argmax,
        Decision::Cutoff { class, at } if class == name => Cut::Adverse(*at),
        Decision::Cutoff { at, .. } => Cut::Other(*at),
    };
    let answer = target::answer(asset.output.kind);
    Ok(Voter { graph, output: asset.output.name.as_deref(), answer, adverse: column, cut })
}

/// Rows decided otherwise.
fn differing(a: &Clean, b: &Clean) -> usize {
    a.decisions().iter().zip(b.decisions()).filter(|(a, b)| a != b).count()
}

/// Name of the file.
pub const FILE: &str = "vote.onnx";
