//! The report of an attack without a declaration, as one self-contained page.
//!
//! Owns layout and words of that page. Must never look like an assessment: it says at its head
//! that nothing was logged or signed. No script, no request to anywhere. Called by `attack`.

use askama::Template;
use proofmark_schema::attack::{AttackReport, RobustAt, Slice};
use proofmark_schema::measurement::CheckState;
use proofmark_schema::system::{Norm, Scale};

use crate::html::HtmlError;
use crate::svg::{Point, Steps, steps};

/// A witness of an image: three PNG files as base64, and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Row of the data.
    pub row: u64,
    /// The row as it is.
    pub original: String,
    /// The witness.
    pub witness: String,
    /// Their difference, stretched around mid-grey.
    pub difference: String,
    /// What was decided, how far it is, who found it.
    pub caption: String,
}

/// A table of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grid {
    /// Caption.
    pub caption: String,
    /// Heads of the columns.
    pub head: Vec<String>,
    /// Rows of cells.
    pub rows: Vec<Vec<String>>,
}

/// The page of a report, with pictures of some witnesses and tables of changed fields; `title`
/// is the name of the model's file.
///
/// # Errors
/// [`HtmlError`], which would be a fault of ours.
pub fn page(
    title: &str,
    report: &AttackReport,
    pictures: Vec<Picture>,
    changes: Vec<Grid>,
) -> Result<String, HtmlError> {
    let content = Content::of(title, report, pictures, changes);
    let style = concat!(include_str!("../assets/report.css"), include_str!("../assets/attack.css"));
    let page = Page { p: &content, style };
    page.render().map_err(|e| HtmlError::Render(e.to_string()))
}

#[derive(Template)]
#[template(path = "attack.html")]
struct Page<'a> {
    p: &'a Content,
    style: &'static str,
}

struct Content {
    title: String,
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    plot: Option<String>,
    reading: &'static str,
    tables: Vec<Grid>,
    pictures: Vec<Picture>,
    changes: Vec<Grid>,
    footer: String,
}

impl Content {
    fn of(title: &str, report: &AttackReport, pictures: Vec<Picture>, changes: Vec<Grid>) -> Self {
        let mut tables = vec![budgets(report)];
        tables.extend(profile_tables(report));
        tables.push(attacks(report));
        tables.extend(comparisons(report));
        tables.push(files(report));
        Self {
            title: title.to_owned(),
            facts: facts(report),
            warnings: warnings(report),
            plot: plot_of(report).as_ref().map(steps),
            reading: READING,
            tables,
            pictures,
            changes,
            footer: format!("{} edition {}", report.suite.id, report.suite.edition),
        }
    }
}

fn plot(content: &Option<String>) -> &str {
    content.as_deref().unwrap_or_default()
}

fn facts(report: &AttackReport) -> Vec<(&'static str, String)> {
    let goal = report.goal.map_or("any other decision".to_owned(), |goal| {
        let name = |class: usize| report.classes.get(class).cloned().unwrap_or_default();
        format!("from {} to {}", name(goal.from), name(goal.to))
    });
    let effort = report
        .profile
        .as_ref()
        .map(|p| format!("{} queries and {} gradients over all rows", p.queries, p.gradients));
    let mut facts = vec![
        ("Rows", format!("{}, {} decided rightly", report.n, report.correct)),
        ("Decision", report.decision.clone()),
        ("Attacker wants", goal),
        ("Distance", format!("{}, {}", norm(report.norm), scale(report.scale))),
        ("Engine", format!("{} {}", report.engine.name, report.engine.version)),
        ("Seed", report.seed.to_string()),
    ];
    facts.extend(effort.map(|e| ("Effort", e)));
    facts
}

fn warnings(report: &AttackReport) -> Vec<String> {
    let told = report.validity.iter().filter_map(|check| {
        let word = match check.state {
            CheckState::Warn => "Warning",
            CheckState::Refuse => "Refused",
            CheckState::Ok | CheckState::NotExamined => return None,
        };
        Some(format!("{word} ({}): {}. {}", check.check, check.reason, check.fix))
    });
    let unfinished = (!report.complete).then(|| "Not every row was attacked.".to_owned());
    told.chain(unfinished).collect()
}

/// The curve of minimal distances, where there is one.
fn plot_of(report: &AttackReport) -> Option<Steps> {
    let curve = &report.profile.as_ref()?.curve;
    let drawn = |eps: f64, y: f64, lower: f64, upper: f64| {
        let label = String::new();
        Point { x: eps, label, y, lower, upper }
    };
    let points = curve.iter().map(|p| drawn(p.eps, p.estimate, p.lower, p.upper));
    let proved: Option<Vec<f64>> = curve.iter().map(|p| p.proved).collect();
    let mut ticks: Vec<(f64, String)> =
        report.robust.iter().map(|at| (at.eps, at.eps.to_string())).collect();
    if ticks.is_empty() {
        let last = curve.last()?.eps;
        ticks = [0.5, 1.0].iter().map(|s| (s * last, format!("{:.3}", s * last))).collect();
    }
    (curve.len() > 1).then(|| Steps {
        id: "robust".into(),
        title: format!("Share of rows left standing over the {} distance", norm(report.norm)),
        desc: READING.into(),
        x_title: format!("{} distance, {}", norm(report.norm), scale(report.scale)),
        points: points.collect(),
        proved: proved.unwrap_or_default(),
        ticks,
    })
}

fn budgets(report: &AttackReport) -> Grid {
    let rows = report.robust.iter().map(|at| {
        let mut row = vec![at.eps.to_string()];
        row.extend(standing(at));
        row.push(at.bracket.proved.map_or("nothing proved".into(), percent));
        row.push(format!("{} of {}", at.k_robust, report.n));
        row
    });
    let head = ["budget", "left standing, at most", "95 % interval", "proved, at least", "rows"];
    Grid {
        caption: "Robust accuracy by budget".into(),
        head: head.map(String::from).to_vec(),
        rows: rows.collect(),
    }
}

fn standing(at: &RobustAt) -> [String; 2] {
    [percent(at.estimate), format!("{} to {}", percent(at.lower), percent(at.upper))]
}

/// Quantiles of distances; classes and groups at every budget.
fn profile_tables(report: &AttackReport) -> Vec<Grid> {
    let Some(profile) = &report.profile else { return Vec::new() };
    let quantiles = profile
        .distances
        .iter()
        .map(|q| vec![format!("{:.0} %", 100.0 * q.p), format!("{:.6}", q.distance)]);
    let mut tables = vec![Grid {
        caption: format!(
            "Distance within which so many of the {} attacked rows have a witness",
            report.attackable
        ),
        head: vec!["rows".into(), "distance".into()],
        rows: quantiles.collect(),
    }];
    let slices = [("By class", &profile.classes), ("By group", &profile.groups)];
    for (caption, slices) in slices.into_iter().filter(|(_, slices)| !slices.is_empty()) {
        let mut head = vec!["rows of".to_owned(), "rows".into(), "decided rightly".into()];
        head.extend(report.robust.iter().map(|at| format!("left standing at {}", at.eps)));
        let rows = slices.iter().map(|slice| {
            let mut row = vec![name(slice), slice.n.to_string(), slice.correct.to_string()];
            row.extend(slice.robust.iter().map(|at| {
                let [estimate, interval] = standing(at);
                format!("{estimate} ({interval})")
            }));
            row
        });
        let rows = rows.collect();
        tables.push(Grid { caption: caption.into(), head, rows });
    }
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn name(slice: &Slice) -> String {
    match &slice.feature {
        Some(feature) => format!("{feature} = {}", slice.value),
        None => slice.value.clone(),
    }
}

fn attacks(report: &AttackReport) -> Grid {
    let found = |id: &str| {
        let by = report.profile.iter().flat_map(|p| &p.found_by);
        by.filter(|f| f.attack == id).map(|f| f.rows).sum::<u64>()
    };
    let rows = report.attacks.iter().map(|attack| {
        let did = match &attack.skipped {
            Some(reason) => format!("not run: {reason}"),
            None => found(&attack.id).to_string(),
        };
        vec![format!("{} (edition {})", attack.id, attack.edition), attack.settings.clone(), did]
    });
    Grid {
        caption: "Attacks in the order they ran".into(),
        head: vec!["attack".into(), "settings".into(), "nearest witnesses kept".into()],
        rows: rows.collect(),
    }
}

/// The same rows under another model.
fn comparisons(report: &AttackReport) -> Option<Grid> {
    let first = report.comparisons.first()?;
    let rows = report.comparisons.iter().map(|c| {
        let mut row = vec![c.eps.to_string()];
        row.extend([c.both, c.here, c.there, c.neither].map(|n| n.to_string()));
        let interval = format!("{} to {}", percent(c.lower), percent(c.upper));
        row.extend([percent(c.difference), interval, format!("{:.3e}", c.p)]);
        row
    });
    let head = ["budget", "both stand", "only this", "only the other", "neither"];
    let tail = ["difference", "95 % interval", "McNemar p"];
    Some(Grid {
        caption: format!("The same rows under the model {}", first.with),
        head: head.iter().chain(&tail).map(|h| (*h).to_owned()).collect(),
        rows: rows.collect(),
    })
}

fn files(report: &AttackReport) -> Grid {
    let rows = report.digests.iter().map(|d| vec![d.name.clone(), d.sha256.clone()]);
    Grid {
        caption: "Files".into(),
        head: vec!["file".into(), "SHA-256".into()],
        rows: rows.collect(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn norm(norm: Norm) -> &'static str {
    match norm {
        Norm::Linf => "L-inf",
        Norm::L2 => "L2",
        Norm::L1 => "L1",
    }
}

fn scale(scale: Scale) -> &'static str {
    match scale {
        Scale::Raw => "in the unit of the model input",
        Scale::Bounds => "as a share of the bounds",
        Scale::Std => "in standard deviations",
        Scale::U8 => "in steps of 8-bit pixels",
    }
}

const READING: &str = "Line: share of all rows decided rightly and without a witness within the \
                       distance; an upper bound of robust accuracy. Band: its 95 % interval. \
                       Dashed, where drawn: the share that is proved.";

#[cfg(test)]
mod tests;
