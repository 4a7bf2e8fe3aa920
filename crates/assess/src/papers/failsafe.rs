//! The fail-safe plan: what happens when the model fails, as the guard's policy says and the last
//! drill showed.
//!
//! Owns that nothing of the plan is promised: what is not in the recorded policy is a gap.
//! Registered in `papers`; its warnings stand before every paper.

use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::ModelRole;
use proofmark_schema::taxonomy::Coverage;

use super::draft::{Chapter, Draft, Part, cell, code, declared, table, words};
use super::guard_policy::GuardPolicyPredicate;
use super::parts;
use super::points::{command, next};
use super::{Kind, Sources};
use crate::document::{Cell, Piece, quoted};
use crate::events::Logged;
use crate::facts::{At, FactBook, FactError};

pub(super) const KIND: Kind = Kind {
    id: "fail-safe",
    title: "Fail-safe plan",
    about: "what happens when the model fails: policy of the guard and last drill (Art. 15(4))",
    write,
};

/// What every paper must say before anything else.
pub(super) fn warnings(sources: &Sources<'_>) -> Vec<Part> {
    let assessment = sources.assessment;
    let mut notes = Vec::new();
    let mut bad = |text: &str| notes.push(Part::Note { bad: true, content: cell(text) });
    if !assessment.complete {
        bad("Not complete: at least one planned probe failed; what it would have measured is \
             missing.");
    }
    if !assessment.exploratory.is_empty() {
        bad("Exploratory, unfit for declaration: a threshold, seed, budget, test set or decision \
             was changed after a result had been seen.");
    }
    if let Some(run) = &sources.overview.run {
        if run.expired {
            bad("The run is older than the declared period; its figures must be measured again.");
        }
        if !run.currency.terms.is_empty() {
            bad("The declaration of what is measured was changed after the run; this paper shows \
                 it as it was registered.");
        }
    }
    if sources.present.system.version != assessment.system.version {
        bad("The declared version is another one than the version that was assessed.");
    }
    notes
}

fn write(sources: &Sources<'_>, book: &mut FactBook) -> Result<Draft, FactError> {
    let mut chapters = vec![states(), backup(sources)];
    chapters.push(policy(sources, book)?);
    let mut drill = Chapter::plain("drill", 1, "Last drill");
    drill.provision = "Art. 15(4), 15(5)".to_owned();
    parts::last_drill(sources, &mut drill, book)?;
    chapters.push(drill);
    chapters.push(stop(sources));
    Ok(Draft { front: warnings(sources), chapters })
}

fn states() -> Chapter {
    let mut chapter = Chapter::plain("states", 1, "States of the guard");
    chapter.provision = "Art. 15(4)".to_owned();
    let rows = STATES
        .iter()
        .map(|(state, means, leaves)| vec![vec![code(*state)], cell(means), cell(leaves)]);
    let head = ["state", "what is released", "how it ends"];
    let caption = "What the guard can be in; what is set for this system stands below";
    chapter.parts.extend(table(caption, &head, rows.collect()));
    chapter
}

fn backup(sources: &Sources<'_>) -> Chapter {
    let mut chapter = Chapter::plain("backup", 1, "Backup");
    chapter.provision = "Art. 15(4)".to_owned();
    let system = &sources.assessment.system;
    let backups: Vec<Cell> = system
        .models
        .iter()
        .filter(|m| m.role == ModelRole::Backup)
        .map(|m| vec![declared(&m.name), words(", file "), code(&m.path)])
        .collect();
    if backups.is_empty() {
        chapter.lacks(
            cell("no backup model is declared"),
            next("declare a model with `role = \"backup\"`"),
        );
    } else {
        chapter.holds("a backup model is declared", Coverage::Declared);
        chapter.push(Part::List(backups));
        chapter.say(
            "Answers of the backup are marked. How well it decides stands in the test report.",
        );
    }
    chapter
}

fn policy(sources: &Sources<'_>, book: &mut FactBook) -> Result<Chapter, FactError> {
    let mut chapter = Chapter::plain("policy", 1, "Policy of the guard");
    chapter.provision = "Art. 15(4), 15(5)".to_owned();
    let Some(logged) = sources.guard else {
        chapter.lacks(
            cell("no guard has served under a policy that lies here"),
            next("write `guard.toml`, run `proofmark guard run`, then this command again"),
        );
        return Ok(chapter);
    };
    let said = &logged.said;
    let serves = sources.world.guard.as_ref().map(|g| g.policy.as_str());
    if serves == Some(said.policy.as_str()) {
        chapter.holds("the policy the guard last served under is in the log", Coverage::Measured);
    } else {
        let what = cell("the guard last served under another policy than the one in the log");
        chapter.lacks(what, command("proofmark guard check"));
    }
    chapter.push(Part::Terms(vec![
        ("Policy", vec![code(&said.policy)]),
        ("In force since", vec![Piece::Time(said.since.clone())]),
        ("Recorded", vec![Piece::Time(logged.time.clone())]),
    ]));
    let row = |m: &AssetDigest| vec![vec![code(&m.name)], vec![code(&m.sha256)]];
    let rows = said.models.iter().map(row).collect();
    chapter.parts.extend(table("Models that are served", &["model", "digest"], rows));
    chapter.parts.extend(settings(logged, book)?);
    Ok(chapter)
}

/// Every effective setting, each a fact.
fn settings(
    logged: &Logged<GuardPolicyPredicate>,
    book: &mut FactBook,
) -> Result<Option<Part>, FactError> {
    let statement = logged.stored.statement.hex();
    let mut rows = Vec::new();
    for (name, value) in logged.said.settings.iter().take(SETTINGS_MAX) {
        let step = name.replace('~', "~0").replace('/', "~1");
        let at = At::new(&statement, format!("/predicate/settings/{step}"));
        let shown = match value.trim().is_empty() {
            true => cell("empty"),
            false => quoted(book.words(&format!("guard/{name}"), &at)?),
        };
        rows.push(vec![vec![code(name)], shown]);
    }
    Ok(table("Effective settings, defaults included", &["setting", "value"], rows))
}

fn stop(sources: &Sources<'_>) -> Chapter {
    let mut chapter = Chapter::plain("stop", 1, "Stopping and starting again");
    chapter.provision = "Art. 14(4)(e)".to_owned();
    chapter.say(
        "Anyone with the token of the admin listener can stop the guard. It starts again only by \
         an order that a person signs:",
    );
    chapter.push(Part::List(vec![
        command("proofmark guard stop"),
        command("proofmark guard restart --by PERSON --reason WHY"),
    ]));
    match sources.assessment.system.upkeep.approver.as_deref() {
        Some(id) => {
            let person = sources.assessment.system.person(id);
            let name = person.map_or_else(|| id.to_owned(), |p| format!("{}, {}", p.name, p.role));
            chapter.holds("who may start it again", Coverage::Declared);
            chapter.push(Part::Terms(vec![("Approver", vec![declared(name)])]));
        }
        None => chapter.lacks(
            cell("nobody is declared who may start it again"),
            next("declare `approver` in `[use]`"),
        ),
    }
    chapter
}

/// States, what is released in each, and how each ends.
const STATES: [(&str, &str, &str); 4] = [
    ("NORMAL", "answers of the primary model", "the primary fails or misses its deadline"),
    (
        "DEGRADED",
        "answers of the backup model, marked",
        "the primary answers again, or the backup fails",
    ),
    ("SAFE", "the declared safe output, no decision", "a model answers again"),
    ("STOPPED", "nothing", "a person with authority starts it again"),
];
/// A policy has about a hundred settings; more is no policy.
const SETTINGS_MAX: usize = 400;
