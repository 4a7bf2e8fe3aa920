//! The report as one self-contained page.
//!
//! Owns layout: markup, style, escaping. Must never add a figure: each stands in a
//! `<span data-fact="ID">`, made from a [`crate::facts::Fact`] alone. No script, no request to
//! anywhere. Called by `pack`.

use askama::Template;
use proofmark_schema::taxonomy::Coverage;

use crate::document::{Cell, Document, Figure, Piece, coverage_word, matrix_verbs};
use crate::facts::Fact;
use crate::judge::VerdictState;
use crate::svg::escape;

/// The page.
///
/// # Errors
/// [`HtmlError`], which would be a fault of ours.
pub fn page(document: &Document) -> Result<String, HtmlError> {
    let page =
        Page { d: document, h: &document.header, style: include_str!("../assets/report.css") };
    page.render().map_err(|e| HtmlError::Render(e.to_string()))
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// The template failed.
    #[error("the report cannot be rendered: {0}; please report this as a bug")]
    Render(String),
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    d: &'a Document,
    h: &'a crate::document::Header,
    style: &'static str,
}

impl Page<'_> {
    /// Heads of the compact matrix.
    fn verbs(&self) -> [&'static str; 5] {
        matrix_verbs()
    }
}

/// A cell as markup.
fn cell(cell: &Cell) -> String {
    cell.iter().map(piece).collect()
}

/// Tables of many columns put intervals on their own line.
fn width(columns: usize) -> &'static str {
    if columns > COLUMNS_SIDE_BY_SIDE { "many" } else { "few" }
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Text(text) => escape(text),
        Piece::Declared(text) => span("declared", text),
        Piece::Law(text) => span("law", text),
        Piece::Code(text) => format!("<code>{}</code>", escape(text)),
        Piece::Time(text) => time(text),
        Piece::Fact(f) => fact(f),
        Piece::Figure(f) => figure(f),
        Piece::State(state) => format!("<span class=\"state {state}\">{state}</span>"),
        Piece::Coverage(coverage) => coverage_mark(coverage_word(*coverage)),
        Piece::Link { to, words } => {
            format!("<a href=\"#{}\">{}</a>", escape(to), escape(words))
        }
        Piece::Break => "<br>".to_owned(),
    }
}

fn span(class: &str, text: &str) -> String {
    format!("<span class=\"{class}\">{}</span>", escape(text))
}

fn time(text: &str) -> String {
    let text = escape(text);
    format!("<time datetime=\"{text}\">{text}</time>")
}

fn fact(fact: &Fact) -> String {
    format!("<span data-fact=\"{}\">{}</span>", escape(fact.id()), escape(fact.text()))
}

fn figure(figure: &Figure) -> String {
    let mut text = format!("<span class=\"figure\">{}", fact(&figure.value));
    if let Some((lower, upper)) = &figure.interval {
        let (lower, upper) = (fact(lower), fact(upper));
        text.push_str(&format!(" <span class=\"interval\">[{lower}, {upper}]</span>"));
    }
    if let Some((k, n)) = &figure.count {
        let (k, n) = (fact(k), fact(n));
        text.push_str(&format!(" <span class=\"count\">{k} of {n}</span>"));
    }
    if let Some(rows) = &figure.rows {
        text.push_str(&format!(" <span class=\"count\">{} rows</span>", fact(rows)));
    }
    if let Some(proved) = &figure.proved {
        text.push_str(&format!(" <span class=\"count\">proved at least {}</span>", fact(proved)));
    }
    text.push_str("</span>");
    text
}

fn state(state: &VerdictState) -> String {
    piece(&Piece::State(*state))
}

fn coverage(coverage: &Coverage) -> String {
    piece(&Piece::Coverage(*coverage))
}

/// A shape and a word; the shape is for the eye only.
fn coverage_mark(word: &str) -> String {
    format!(
        "<span class=\"coverage {word}\"><svg class=\"shape\" viewBox=\"0 0 16 16\" \
         aria-hidden=\"true\"><use href=\"#shape-{word}\"/></svg>{word}</span>"
    )
}

/// So many figures with their intervals fit beside each other on a desktop screen.
const COLUMNS_SIDE_BY_SIDE: usize = 5;

#[cfg(test)]
mod tests;
