//! From a paper to the bytes of a PDF.
//!
//! Owns the standards (PDF/A-3a with tags, PDF/UA-1), the date and the identifier in the file, and
//! that Typst's caches are emptied after every compile, also a failed one. Must never let words of
//! a paper become markup: the template reads them as data. Called by `main`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_schema::paper::{Block, Paper, PaperError};
use serde_json::{Value, json};
use typst::diag::SourceDiagnostic;
use typst::foundations::{Datetime, Smart};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use crate::glyphs;
use crate::world::{self, Closed};

/// A PDF.
pub struct Set {
    /// Its bytes.
    pub pdf: Vec<u8>,
    /// Characters that stand as their code points.
    pub replaced: usize,
}

/// Why a paper cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The paper.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// Its time.
    #[error("the paper: `{0}` is no time in UTC")]
    Time(String),
    /// An attachment.
    #[error("the paper: attachment `{0}` is no base64")]
    Attachment(String),
    /// Typst refused.
    #[error("the paper cannot be set: {0}; please report this as a bug")]
    Typst(String),
}

/// Sets `paper`.
///
/// # Errors
/// [`SetError`] with the first fault.
pub fn set(paper: Paper) -> Result<Set, SetError> {
    paper.check()?;
    let date = utc(&paper.head.time).ok_or_else(|| SetError::Time(paper.head.time.clone()))?;
    let ident = format!("{}\n{}\n{}", paper.head.log, paper.head.run, paper.id);
    let (files, replaced) = files(paper)?;
    let world = Closed::new(TEMPLATE, files)
        .ok_or_else(|| SetError::Typst("a path of ours is none".to_owned()))?;
    let compiled = typst::compile::<PagedDocument>(&world).output;
    let exported = compiled.and_then(|document| typst_pdf::pdf(&document, &options(ident, date)));
    typst::comemo::evict(0);
    let pdf = exported.map_err(|faults| SetError::Typst(words(&faults)))?;
    Ok(Set { pdf, replaced })
}

fn options(ident: String, date: Datetime) -> PdfOptions {
    let standards = PdfStandards::new(&[PdfStandard::A_3a, PdfStandard::Ua_1]);
    PdfOptions {
        ident: Smart::Custom(ident),
        creator: Smart::Custom(Some(format!("proofmark {}", env!("CARGO_PKG_VERSION")))),
        timestamp: Some(Timestamp::new_utc(date)),
        standards: standards.unwrap_or_default(),
        ..PdfOptions::default()
    }
}

/// What the template reads: the paper without the content of its attachments, and those.
#[expect(clippy::type_complexity, reason = "path and bytes")]
fn files(mut paper: Paper) -> Result<(Vec<(String, Vec<u8>)>, usize), SetError> {
    let mut files = Vec::new();
    for attachment in &mut paper.attachments {
        let bytes = STANDARD.decode(std::mem::take(&mut attachment.base64));
        let bytes = bytes.map_err(|_| SetError::Attachment(attachment.name.clone()))?;
        files.push((format!("/attached/{}", attachment.name), bytes));
    }
    for block in blocks(&mut paper) {
        if let Block::Plot { svg, .. } = block {
            *svg = standalone(svg);
        }
    }
    let mut value = serde_json::to_value(&paper)
        .map_err(|_| SetError::Typst("the paper does not serialise".to_owned()))?;
    let replaced = glyphs::show_all(&mut value, world::fonts().book());
    value["standards"] = json!(["PDF/A-3a", "PDF/UA-1"]);
    let bytes = serde_json::to_vec::<Value>(&value)
        .map_err(|_| SetError::Typst("the paper does not serialise".to_owned()))?;
    files.push(("/paper.json".to_owned(), bytes));
    Ok((files, replaced))
}

fn blocks(paper: &mut Paper) -> impl Iterator<Item = &mut Block> {
    paper.front.iter_mut().chain(paper.chapters.iter_mut().flat_map(|c| &mut c.blocks))
}

/// A plot of a page as a file of its own: the page's style sheet is not there.
fn standalone(svg: &str) -> String {
    let Some((head, body)) = svg.split_once('>') else { return svg.to_owned() };
    format!("{head} xmlns=\"http://www.w3.org/2000/svg\"><style>{PLOT_STYLE}</style>{body}")
}

/// `2026-11-22T15:00:00Z`, with or without parts of seconds.
fn utc(text: &str) -> Option<Datetime> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut day = day.split('-');
    let (year, month, date) = (day.next()?, day.next()?, day.next()?);
    let mut time = time.split(['.', ':']);
    let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
    Datetime::from_ymd_hms(
        year.parse().ok()?,
        month.parse().ok()?,
        date.parse().ok()?,
        hour.parse().ok()?,
        minute.parse().ok()?,
        second.parse().ok()?,
    )
}

fn words(faults: &[SourceDiagnostic]) -> String {
    let mut lines: Vec<String> = faults.iter().map(|f| f.message.to_string()).collect();
    lines.dedup();
    lines.truncate(FAULTS_SHOWN);
    lines.join("; ")
}

const TEMPLATE: &str = include_str!("../assets/paper.typ");
/// What the style sheet of the page says about plots, in the colours of print.
const PLOT_STYLE: &str = "text{font-family:'Libertinus Serif';font-size:13px;fill:#1b1f24}\
    .gridline{stroke:#c8ced6;stroke-width:1;fill:none}\
    .axis{stroke:#1b1f24;stroke-width:1.5;fill:none}\
    .series{stroke:#0b5394;stroke-width:2.5;fill:none}\
    .whisker{stroke:#0b5394;stroke-width:1.5;fill:none}\
    .mark{fill:#ffffff;stroke:#0b5394;stroke-width:2.5}\
    .reference{stroke:#1b1f24;stroke-width:1.5;stroke-dasharray:7 5;fill:none}\
    .tick{fill:#4f5863}";
/// More of the same help nobody.
const FAULTS_SHOWN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let date = utc("2026-11-22T15:01:02.5Z").unwrap();
        assert_eq!((date.year(), date.hour(), date.second()), (Some(2026), Some(15), Some(2)));
        for bad in ["", "2026-11-22", "2026-11-22T15:00:00", "2026-13-22T15:00:00Z", "xTyZ"] {
            assert!(utc(bad).is_none(), "{bad}");
        }
    }
}
