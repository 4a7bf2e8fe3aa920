//! The test report, with the persons responsible and what they signed.
//!
//! Owns what a report on tests shows, and what is said about a person's signature: what was
//! checked and what was not. Must never sign. Registered in `papers`.

use proofmark_schema::taxonomy::Coverage;

use super::draft::{Chapter, Draft, Part, cell, code, declared, short, table, words};
use super::parts;
use super::points::next;
use super::{Kind, Sources};
use crate::document::{Cell, ModelPart, Piece, model_part};
use crate::facts::{FactBook, FactError};
use crate::signature::Chain;

pub(super) const KIND: Kind = Kind {
    id: ID,
    title: "Test report",
    about: "what was tested, how, what came out, and who answers for it",
    write,
};

/// Its id.
pub const ID: &str = "test-report";
/// Chapter with signatures: it is no part of what is signed.
pub(super) const SIGNATURES: &str = "signatures";

fn write(sources: &Sources<'_>, book: &mut FactBook) -> Result<Draft, FactError> {
    let mut chapters = vec![plan(sources), verdicts(sources, book)?];
    for model in &sources.assessment.system.models {
        let part = model_part(sources.assessment, model, book)?;
        chapters.extend(model_chapters(part));
    }
    chapters.push(files(sources));
    chapters.push(persons(sources));
    chapters.push(signatures(sources));
    Ok(Draft { front: super::failsafe::warnings(sources), chapters })
}

fn plan(sources: &Sources<'_>) -> Chapter {
    let record = &sources.assessment.record;
    let mut chapter = Chapter::plain("plan", 1, "Plan and run");
    chapter.provision = "Art. 9(8)".to_owned();
    chapter.holds("the plan was logged before the run", Coverage::Measured);
    chapter.push(Part::Terms(vec![
        ("Plan statement", vec![code(record.plan.statement.hex())]),
        ("Plan registered", vec![Piece::Time(record.registered.clone())]),
        ("Run started", vec![Piece::Time(record.started.clone())]),
        ("Run ended", vec![Piece::Time(record.ended.clone().unwrap_or_default())]),
    ]));
    chapter.parts.extend(parts::probes(sources.assessment));
    chapter.parts.extend(parts::plans(sources));
    chapter
}

fn verdicts(sources: &Sources<'_>, book: &mut FactBook) -> Result<Chapter, FactError> {
    let assessment = sources.assessment;
    let mut chapter = Chapter::plain("verdicts", 1, "Criteria and verdicts");
    chapter.provision = "Art. 9(8); Annex IV, point 2(g)".to_owned();
    chapter.cites = parts::judged_files(assessment);
    match parts::verdicts(assessment, book)? {
        Some(table) => {
            let state = match parts::all_judged(assessment) && assessment.complete {
                true => Coverage::Measured,
                false => Coverage::Missing,
            };
            chapter.holds("a verdict for every criterion", state);
            chapter.push(table);
            chapter.parts.extend(parts::rationales(assessment));
        }
        None => chapter.lacks(
            cell("no criterion was registered, so nothing was judged"),
            next("declare `[criteria.<name>]`, then `proofmark assess`"),
        ),
    }
    Ok(chapter)
}

fn model_chapters(part: ModelPart) -> Vec<Chapter> {
    let mut model = Chapter::plain(&part.anchor, 1, "Model ");
    model.title = format!("Model {}", part.name);
    model.push(Part::List(part.words));
    part.checks.into_iter().for_each(|t| model.push(Part::Table(t)));
    part.tables.into_iter().for_each(|t| model.push(Part::Table(t)));
    part.confusion.into_iter().for_each(|t| model.push(Part::Table(t)));
    if let Some(plot) = part.calibration {
        let alt = format!(
            "Calibration of {}: observed share over stated probability; the table that follows \
             has the same figures",
            part.name
        );
        let caption = "Calibration; the table below has the same figures";
        model.push(Part::Plot { plot, alt, caption });
    }
    part.further.into_iter().for_each(|t| model.push(Part::Table(t)));
    if !part.notes.is_empty() {
        model.push(Part::List(part.notes));
    }
    let mut chapters = vec![model];
    for threat in part.threats {
        let mut chapter = Chapter::plain(&threat.anchor, 2, "");
        chapter.title = format!("{} under attack: {}", part.name, threat.name);
        chapter.push(Part::List(threat.words));
        for caution in threat.cautions {
            chapter.push(Part::Note { bad: false, content: caution });
        }
        let alt = format!(
            "Robust accuracy of {} under {} by budget; the table that follows has the same \
             figures",
            part.name, threat.name
        );
        let caption = "Robust accuracy by budget; the table below has the same figures";
        chapter.push(Part::Plot { plot: threat.curve, alt, caption });
        threat.tables.into_iter().for_each(|t| chapter.push(Part::Table(t)));
        chapters.push(chapter);
    }
    chapters
}

fn files(sources: &Sources<'_>) -> Chapter {
    let assessment = sources.assessment;
    let mut chapter = Chapter::plain("files", 1, "Files that were measured, and raw results");
    chapter.cites = parts::files(assessment, "model/");
    chapter.cites.extend(parts::files(assessment, "data/"));
    let row =
        |name: &str, sha256: &str, what: Cell| vec![vec![code(name)], what, vec![code(sha256)]];
    let mut rows = Vec::new();
    for asset in &assessment.plan.assets {
        rows.push(row(&asset.name, &asset.sha256, cell("measured")));
    }
    for artefact in assessment.results.iter().flat_map(|r| &r.said.artefacts) {
        let what = if artefact.personal { "raw result, with rows" } else { "raw result" };
        rows.push(row(&artefact.name, &artefact.sha256, cell(what)));
    }
    chapter.parts.extend(table(
        "Files, by the digest of their bytes",
        &["file", "what", "digest"],
        rows,
    ));
    chapter
}

fn persons(sources: &Sources<'_>) -> Chapter {
    let mut chapter = Chapter::plain("persons", 1, "Persons responsible");
    chapter.provision = "Annex IV, point 2(g)".to_owned();
    match parts::people(&sources.assessment.system) {
        Some(table) => {
            chapter.holds("persons are declared", Coverage::Declared);
            chapter.push(table);
        }
        None => chapter.lacks(
            cell("no person who answers for the tests is declared"),
            next("declare `[people.<id>]` with `name` and `role`"),
        ),
    }
    chapter
}

fn signatures(sources: &Sources<'_>) -> Chapter {
    let mut chapter = Chapter::plain(SIGNATURES, 1, "Signatures of persons");
    chapter.provision = "Annex IV, point 2(g)".to_owned();
    let rows = sources.signatures.iter().filter(|s| s.said.paper == ID).map(|s| {
        let said = &s.said;
        let about =
            if s.current { "this report" } else { "an EARLIER report: its content differs" };
        let mut certificate = vec![code(&said.subject), Piece::Break];
        certificate.extend([words("fingerprint "), short(&said.certificate)]);
        certificate.extend([Piece::Break, words("issued by "), code(&said.issuer)]);
        let mut when = vec![Piece::Time(s.time.clone()), words(" imported")];
        if let Some(time) = &said.signing_time {
            when.extend([Piece::Break, Piece::Time(time.clone()), words(" says the signer")]);
        }
        let mut person = vec![declared(&said.person.name), Piece::Break];
        person.push(declared(&said.person.role));
        vec![person, cell(about), certificate, when, checked(&said.chain), vec![short(&said.file)]]
    });
    let head = ["person", "signed", "certificate", "when", "checked", "digest of the signed file"];
    chapter.parts.extend(table(
        "Signatures that were imported and verified",
        &head,
        rows.collect(),
    ));
    signed_item(sources, &mut chapter);
    chapter.say(
        "A signature was made by a person with their own key, over the PDF of this report as it \
         was then; the program only verified it and put it into the log. The signed file and the \
         signature lie in the folder of signatures of this pack.",
    );
    chapter
}

fn checked(chain: &Chain) -> Cell {
    match chain {
        Chain::Unchecked => cell(
            "signature and digest against the certificate; who issued the certificate, and \
             whether it was withdrawn, was not checked",
        ),
        Chain::Verified { authority, fingerprint } => vec![
            words("signature and digest against the certificate, and the certificate up to "),
            code(authority),
            words(" "),
            short(fingerprint),
            words("; whether it was withdrawn was not checked"),
        ],
    }
}

/// Whether a person signed the test report as it is.
pub(super) fn signed_item(sources: &Sources<'_>, chapter: &mut Chapter) {
    let mut signed = sources.signatures.iter().filter(|s| s.said.paper == ID && s.current);
    if let Some(signed) = signed.next() {
        chapter.holds("test report signed by a person", Coverage::Imported);
        chapter.push(Part::Para(vec![
            words("The test report was signed by "),
            declared(&signed.said.person.name),
            words(", "),
            declared(&signed.said.person.role),
            words("; imported "),
            Piece::Time(signed.time.clone()),
        ]));
        return;
    }
    let what = match sources.signatures.iter().any(|s| s.said.paper == ID) {
        true => "a person signed an earlier test report, not this one",
        false => "no person has signed the test report",
    };
    let step = "`proofmark dossier sign --pack DIR --paper test-report --person ID --certificate \
                cert.pem --signature file.p7s`";
    chapter.lacks(cell(what), next(step));
}
