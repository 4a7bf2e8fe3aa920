//! A paper as one self-contained page.
//!
//! Owns layout: markup, style, escaping. Must never add a figure: each stands in a
//! `<span data-fact="ID">`, made from a fact alone. No script, no request to anywhere. Called by
//! `dossier`.

use askama::Template;
use proofmark_schema::paper::{Block, Chapter, Fact, Figure, Inline, Paper, Piece};
use proofmark_schema::taxonomy::Coverage;

use crate::document::coverage_word;
use crate::html::HtmlError;
use crate::svg::escape;

/// The page.
///
/// # Errors
/// [`HtmlError`], which would be a fault of ours.
pub fn page(paper: &Paper) -> Result<String, HtmlError> {
    let style =
        concat!(include_str!("../../assets/report.css"), include_str!("../../assets/paper.css"));
    let page = Page { p: paper, h: &paper.head, style };
    page.render().map_err(|e| HtmlError::Render(e.to_string()))
}

#[derive(Template)]
#[template(path = "paper.html")]
struct Page<'a> {
    p: &'a Paper,
    h: &'a proofmark_schema::paper::Head,
    style: &'static str,
}

impl Page<'_> {
    /// Whether a chapter is listed in the contents.
    fn is_listed(&self, chapter: &Chapter) -> bool {
        chapter.level == 1
    }
}

fn inline(content: &Inline) -> String {
    content.iter().map(piece).collect()
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Text { text } => escape(text),
        Piece::Declared { text } => span("declared", text),
        Piece::Law { text } => span("law", text),
        Piece::Code { text } => format!("<code>{}</code>", escape(text)),
        Piece::Time { text } => time(text),
        Piece::Fact(found) => fact(found),
        Piece::Figure(found) => figure(found),
        Piece::Verdict { state } => {
            let state = escape(state);
            format!("<span class=\"state {state}\">{state}</span>")
        }
        Piece::Coverage { state } => coverage(state),
        Piece::Link { to, words } => {
            format!("<a href=\"#{}\">{}</a>", escape(to), inline(words))
        }
        Piece::Break => "<br>".to_owned(),
    }
}

fn block(block: &Block) -> String {
    match block {
        Block::Para { content } => format!("<p>{}</p>", inline(content)),
        Block::List { items } => {
            let items: String = items.iter().map(|i| format!("<li>{}</li>", inline(i))).collect();
            format!("<ul>{items}</ul>")
        }
        Block::Terms { items } => {
            let item = |t: &proofmark_schema::paper::Term| {
                format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(&t.term), inline(&t.content))
            };
            let items: String = items.iter().map(item).collect();
            format!("<dl class=\"terms\">{items}</dl>")
        }
        Block::Table(t) => table(t),
        Block::Plot { svg, caption, .. } => {
            format!("<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption))
        }
        Block::Note { bad, content } => {
            let class = if *bad { "note bad" } else { "note" };
            format!("<p class=\"{class}\">{}</p>", inline(content))
        }
        Block::Authored { text, owner } => format!(
            "<div class=\"authored\"><p class=\"declared lines\">{}</p><p class=\"owner\">written \
             by <span class=\"declared\">{}</span></p></div>",
            escape(text),
            escape(owner)
        ),
        Block::Gap { what, next } => gap(what, next),
    }
}

fn gap(what: &Inline, next: &Inline) -> String {
    let mut html = format!("<p class=\"gap\"><strong>Missing:</strong> {}", inline(what));
    if !next.is_empty() {
        html.push_str(&format!("<br>next: {}", inline(next)));
    }
    html.push_str("</p>");
    html
}

fn table(table: &proofmark_schema::paper::Table) -> String {
    let width = if table.head.len() > COLUMNS_SIDE_BY_SIDE { "many" } else { "few" };
    let head: String =
        table.head.iter().map(|h| format!("<th scope=\"col\">{}</th>", inline(h))).collect();
    let mut rows = String::new();
    for row in &table.rows {
        rows.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let cell = inline(cell);
            rows.push_str(&match place {
                0 => format!("<th scope=\"row\">{cell}</th>"),
                _ => format!("<td>{cell}</td>"),
            });
        }
        rows.push_str("</tr>\n");
    }
    let caption = inline(&table.caption);
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"table\">\n\
         <table class=\"{width}\">\n<caption><span class=\"cap\">{caption}</span></caption>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>"
    )
}

/// Head of a chapter: state, whether its figures are current, provision.
fn standing(chapter: &Chapter) -> String {
    let mut html = String::new();
    if let Some(state) = &chapter.state {
        html.push_str(&coverage(state));
        html.push(' ');
    }
    match (chapter.cites.is_empty(), chapter.stale.is_empty()) {
        (true, _) => {}
        (false, true) => html.push_str("<span class=\"currency current\">current</span> "),
        (false, false) => html.push_str("<span class=\"currency stale\">stale</span> "),
    }
    html.push_str(&span("law", &chapter.provision));
    format!("<p class=\"standing\">{html}</p>")
}

fn stale(chapter: &Chapter) -> String {
    if chapter.stale.is_empty() {
        return String::new();
    }
    let digest =
        |d: &str| format!("<code>{}</code>", escape(&d.chars().take(12).collect::<String>()));
    let change = |c: &proofmark_schema::paper::Change| {
        let now = match &c.now {
            Some(now) => format!("now {}", digest(now)),
            None => "not there any more".to_owned(),
        };
        format!("<li><code>{}</code>: cited {}, {now}</li>", escape(&c.name), digest(&c.cited))
    };
    let changes: String = chapter.stale.iter().map(change).collect();
    format!(
        "<div class=\"note bad\"><p>The figures of this chapter are about files that are no longer \
         what was measured.</p><ul>{changes}</ul><p>next: <code>proofmark assess</code></p></div>"
    )
}

fn span(class: &str, text: &str) -> String {
    format!("<span class=\"{class}\">{}</span>", escape(text))
}

fn time(text: &str) -> String {
    let text = escape(text);
    format!("<time datetime=\"{text}\">{text}</time>")
}

fn fact(fact: &Fact) -> String {
    format!("<span data-fact=\"{}\">{}</span>", escape(&fact.id), escape(&fact.text))
}

fn figure(figure: &Figure) -> String {
    let mut html = format!("<span class=\"figure\">{}", fact(&figure.value));
    if let Some((lower, upper)) = &figure.interval {
        let ends = format!("[{}, {}]", fact(lower), fact(upper));
        html.push_str(&format!(" <span class=\"interval\">{ends}</span>"));
    }
    if let Some((k, n)) = &figure.count {
        html.push_str(&format!(" <span class=\"count\">{} of {}</span>", fact(k), fact(n)));
    }
    if let Some(rows) = &figure.rows {
        html.push_str(&format!(" <span class=\"count\">{} rows</span>", fact(rows)));
    }
    if let Some(proved) = &figure.proved {
        html.push_str(&format!(" <span class=\"count\">proved at least {}</span>", fact(proved)));
    }
    html.push_str("</span>");
    html
}

fn coverage(state: &Coverage) -> String {
    let word = coverage_word(*state);
    format!(
        "<span class=\"coverage {word}\"><svg class=\"shape\" viewBox=\"0 0 16 16\" \
         aria-hidden=\"true\"><use href=\"#shape-{word}\"/></svg>{word}</span>"
    )
}

/// So many figures with their intervals fit beside each other on a desktop screen.
const COLUMNS_SIDE_BY_SIDE: usize = 5;
