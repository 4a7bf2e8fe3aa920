//! The verbs of `risk` that only read, and the texts and documents of the register.
//!
//! Owns their layout. Every figure comes from the overview; nothing is computed here.

use std::fmt::Write as _;
use std::process::ExitCode;

use proofmark_assess::matrix::Matrix;
use proofmark_assess::risk::{Act, Item, Risk, Risks, Said, Side, day};
use proofmark_assess::standing::measures::{Measured, Taken};
use proofmark_assess::standing::{Overview, Reason, RiskStanding, RiskState};
use proofmark_schema::risk as catalogue;
use proofmark_schema::risk::{Basis, Rating};
use proofmark_schema::system::nearest;
use proofmark_schema::taxonomy::{Coverage, Verb};
use serde_json::{Value, json};

use super::desk::{Desk, Place, PlaceAndTime};
use super::{MatrixArgs, Show};
use crate::cli::Format;
use crate::command::Global;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::output::human::{Grid, wrap};

/// All risks.
pub fn list(place: &PlaceAndTime, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(place)?;
    print_list(&desk, &[], &[], global);
    Ok(ExitCode::SUCCESS)
}

/// One risk in full.
pub fn show(args: &Show, global: Global) -> Outcome<ExitCode> {
    one(&Desk::open(&args.place)?, &args.id, args.history, global)
}

/// One risk of an open desk.
pub fn one(desk: &Desk, id: &str, history: bool, global: Global) -> Outcome<ExitCode> {
    let overview = desk.overview();
    let standing = overview.named(id).ok_or_else(|| no_risk(&desk.world.risks, id))?;
    if global.format == Format::Json {
        let mut document = json!({
            "format": "proofmark.risk/1",
            "now": desk.now,
            "overridden": desk.overridden,
            "risk": risk_json(standing),
        });
        if history && let Some(object) = document.as_object_mut() {
            let items: Vec<Value> = standing.risk.history.iter().map(item_json).collect();
            object.insert("history".to_owned(), Value::from(items));
        }
        output::json(&document);
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = desk.as_of();
    text.push_str(&in_full(standing));
    if history {
        text.push_str("\nhistory\n");
        standing.risk.history.iter().for_each(|item| text.push_str(&item_text(item)));
    }
    output::data(&text);
    Ok(ExitCode::SUCCESS)
}

/// What `seed` prints.
pub fn after_seed(
    place: &Place,
    entered: &[String],
    rated: &[String],
    global: Global,
) -> Outcome<ExitCode> {
    let place = PlaceAndTime { place: place.clone(), now: None };
    print_list(&Desk::open(&place)?, entered, rated, global);
    Ok(ExitCode::SUCCESS)
}

/// The matrix of today.
pub fn matrix(args: &MatrixArgs, global: Global) -> Outcome<ExitCode> {
    let desk = Desk::open(&args.place)?;
    let overview = desk.overview();
    let matrix = desk.matrix(&overview);
    if global.format == Format::Json {
        output::json(&json!({
            "format": "proofmark.matrix/1",
            "system": desk.project.system.name,
            "version": desk.project.system.version,
            "now": desk.now,
            "overridden": desk.overridden,
            "run": overview.run.as_ref().map(|r| &r.run),
            "current": overview.run.as_ref().is_some_and(|r| r.is_current()),
            "matrix": matrix,
        }));
    } else {
        let cells = if args.brief { String::new() } else { cells_text(&matrix) };
        output::data(&format!("{}{}{cells}", desk.as_of(), matrix_text(&matrix)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The bundled techniques.
pub fn techniques(global: Global) -> Outcome<ExitCode> {
    let all = catalogue::techniques();
    if global.format == Format::Json {
        output::json(&serde_json::to_value(all).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let mut grid = Grid::new(&["id", "technique", "rows"]);
    for t in &all.techniques {
        let rows: Vec<&str> = t.rows.iter().map(|r| r.id()).collect();
        grid.row(vec![t.id.clone(), t.title.clone(), rows.join(", ")]);
    }
    let sources: Vec<&str> = all.sources.iter().map(|s| s.title.as_str()).collect();
    output::data(&format!("edition {}: {}\n{}", all.edition, sources.join("; "), grid.render()));
    Ok(ExitCode::SUCCESS)
}

/// The bundled scales.
pub fn scales(global: Global) -> Outcome<ExitCode> {
    let scales = catalogue::scales();
    if global.format == Format::Json {
        output::json(&serde_json::to_value(scales).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let mut text =
        format!("edition {}\n{}\nlikelihood\n", scales.edition, wrap(&scales.why, 92, ""));
    let mut grid = Grid::new(&["level", "word", "expected successes a year"]);
    for band in &scales.likelihood {
        grid.row(vec![band.level.to_string(), band.title.clone(), band.means.clone()]);
    }
    let _ = write!(text, "{}\nseverity\n", grid.render());
    let mut grid = Grid::new(&["level", "word", "means"]);
    for step in &scales.severity {
        grid.row(vec![step.level.to_string(), step.title.clone(), step.means.clone()]);
    }
    let _ = write!(text, "{}\nlevel, by likelihood (down) and severity (across)\n", grid.render());
    let mut grid = Grid::new(&["", "1", "2", "3", "4", "5"]);
    for (index, row) in scales.levels.iter().enumerate() {
        let words = row.iter().map(|level| level.word().to_owned());
        grid.row(std::iter::once((index + 1).to_string()).chain(words).collect());
    }
    text.push_str(&grid.render());
    output::data(&text);
    Ok(ExitCode::SUCCESS)
}

/// Whether a risk needs nothing for now.
pub fn settled(standing: &RiskStanding) -> bool {
    matches!(standing.state, RiskState::Accepted | RiskState::Excluded)
}

/// No such risk.
pub fn no_risk(risks: &Risks, id: &str) -> Failure {
    let help = match nearest(id, risks.risks.iter().map(|r| r.id.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None if risks.risks.is_empty() => "enter scenarios first: proofmark risk seed".to_owned(),
        None => "`proofmark risk list` shows them".to_owned(),
    };
    Failure::new("no-risk", format!("there is no risk `{id}`"), help)
}

/// Findings with their next command, one below the other.
pub fn reasons(list: &[Reason]) -> String {
    let mut text = String::new();
    for reason in list {
        let body = wrap(&format!("{}: {}", reason.about, reason.what), 92, "    ");
        let _ = write!(text, "  - {}", body.trim_start_matches(' '));
        if !reason.next.is_empty() {
            text.push_str(&wrap(&format!("next: {}", reason.next), 90, "      "));
        }
    }
    text
}

/// The matrix for people: the table.
pub fn matrix_text(matrix: &Matrix) -> String {
    let mut text = String::from("seven threats by five verbs, as they stand today\n");
    let verbs: Vec<&str> = Verb::ALL.iter().map(|v| v.id()).collect();
    let mut grid = Grid::new(&[&["threat"], verbs.as_slice()].concat());
    for row in &matrix.rows {
        let cells = row.cells.iter().map(|cell| word(cell.coverage).to_owned());
        grid.row(std::iter::once(row.threat.title().to_owned()).chain(cells).collect());
    }
    let count = |c| matrix.count(c);
    let _ = writeln!(
        text,
        "{}  {} measured, {} imported, {} declared, {} waived, {} missing",
        grid.render(),
        count(Coverage::Measured),
        count(Coverage::Imported),
        count(Coverage::Declared),
        count(Coverage::Waived),
        count(Coverage::Missing)
    );
    text
}

/// Every cell in full.
fn cells_text(matrix: &Matrix) -> String {
    let mut text = String::new();
    for row in &matrix.rows {
        for cell in &row.cells {
            let _ =
                writeln!(text, "\n{}/{}: {}", row.threat.id(), cell.verb.id(), word(cell.coverage));
            for (name, said) in [
                ("measure", &cell.measure),
                ("owner", &cell.owner),
                ("evidence", &cell.evidence.join(", ")),
                ("note", &cell.note),
                ("next", &cell.next),
            ] {
                if !said.is_empty() {
                    text.push_str(&labelled(name, said));
                }
            }
        }
    }
    text
}

fn print_list(desk: &Desk, entered: &[String], rated: &[String], global: Global) {
    let overview = desk.overview();
    if global.format == Format::Json {
        output::json(&list_json(desk, &overview, entered, rated));
        return;
    }
    let mut text = desk.as_of();
    if !entered.is_empty() || !rated.is_empty() {
        let _ = writeln!(text, "entered {}, rated {}", entered.len(), rated.len());
    }
    let mut grid = Grid::new(&["risk", "state", "inherent", "residual", "basis", "owner"]);
    for standing in &overview.risks {
        let risk = &standing.risk;
        let inherent = risk.inherent.as_ref().map(|r| &r.said);
        let residual = standing.residual.rating.as_ref();
        grid.row(vec![
            risk.id.clone(),
            standing.state.word().to_owned(),
            inherent.map(short).unwrap_or_else(dash),
            residual.map(short).unwrap_or_else(dash),
            residual.or(inherent).map(|r| basis(r).to_owned()).unwrap_or_else(dash),
            risk.scenario.owner.clone(),
        ]);
    }
    text.push_str(&grid.render());
    text.push_str("  (level, likelihood by severity)\n");
    let open: Vec<Reason> = overview
        .missing
        .iter()
        .chain(overview.risks.iter().flat_map(|r| &r.reasons))
        .chain(&overview.overall.reasons)
        .cloned()
        .collect();
    if open.is_empty() {
        text.push_str("\neverything is settled\nnext: proofmark gate\n");
    } else {
        let _ = write!(text, "\nopen\n{}", reasons(&open));
    }
    for (risk, index, why) in &overview.void {
        let _ = writeln!(text, "\nentry {index} of the log about `{risk}` is void: {why}");
    }
    output::data(&text);
}

fn in_full(standing: &RiskStanding) -> String {
    let (risk, scenario) = (&standing.risk, &standing.risk.scenario);
    let mut text = format!("{}: {}\n", risk.id, standing.state.word());
    let mut line = |name: &str, said: &str| {
        if !said.is_empty() {
            text.push_str(&labelled(name, said));
        }
    };
    line("scenario", &scenario.title);
    line("actor", &scenario.actor);
    line("touches", &scenario.assets.join(", "));
    line("technique", &scenario.techniques.join(", "));
    if let Some(harm) = &scenario.harm {
        line("harm", &format!("{} (severity {}): {}", harm.name, harm.severity, harm.people));
        line("vulnerable", harm.vulnerable.as_deref().unwrap_or("not said: a gap"));
    }
    let links = &scenario.links;
    line("criteria", &links.criteria.join(", "));
    line("follows", &links.after.join(", "));
    line("owner", &scenario.owner);
    if let Some(inherent) = &risk.inherent {
        line("inherent", &rating_text(&inherent.said));
    }
    match &standing.residual.rating {
        Some(rating) => {
            line("residual", &format!("{}; {}", rating_text(rating), standing.residual.from));
        }
        None => line("residual", &format!("not known: {}", standing.residual.from)),
    }
    for taken in &standing.treatments {
        line("treatment", &taken_text(taken));
    }
    if let Some(accepted) = &risk.acceptance {
        let until = day::date(&accepted.said.expires);
        let who = &accepted.by.name;
        line("accepted", &format!("by {who} until {until}: {}", accepted.said.reason));
        let waived: Vec<&str> = accepted.said.waives.iter().map(|w| w.criterion.as_str()).collect();
        line("as it stands", &waived.join(", "));
    }
    if let Some(excluded) = &risk.exclusion {
        let until = day::date(&excluded.said.expires);
        line(
            "excluded",
            &format!("by {} until {until}: {}", excluded.by.name, excluded.said.reason),
        );
    }
    if let Some(due) = &standing.review_due {
        line("review", day::date(due));
    }
    standing.gaps.iter().for_each(|gap| line("gap", gap));
    text.push_str(&reasons(&standing.reasons));
    text
}

fn taken_text(taken: &Taken) -> String {
    let treatment = &taken.treatment;
    let order = order_word(taken);
    let measured = match &taken.measured {
        Some(m) => format!(" [{}; {}]", m.summary(&[]), m.force.words()),
        None => " [no measured effect: it is text]".to_owned(),
    };
    format!("{} ({order}): {}{measured}", treatment.id, treatment.what)
}

fn order_word(taken: &Taken) -> &'static str {
    match taken.treatment.order {
        proofmark_assess::treatment::Order::Design => "design",
        proofmark_assess::treatment::Order::Control => "control",
        proofmark_assess::treatment::Order::Information => "information",
    }
}

fn labelled(name: &str, said: &str) -> String {
    let body = wrap(said, 78, "               ");
    format!("  {name:<13}{}", body.trim_start_matches(' '))
}

fn rating_text(rating: &Rating) -> String {
    let scales = catalogue::scales();
    let words = format!(
        "{}: likelihood {} ({}), severity {} ({})",
        rating.level.word(),
        rating.likelihood,
        scales.likelihood_word(rating.likelihood),
        rating.severity,
        scales.severity_word(rating.severity)
    );
    match &rating.basis {
        Basis::Entered { reason } => format!("{words}; entered: {reason}"),
        Basis::Measured(m) => {
            let ([a, b], [l, h], [x, y]) = (m.success, m.attempts_per_year, m.successes_per_year);
            let budget = m.eps.map(|e| format!(" at budget {e}")).unwrap_or_default();
            format!(
                "{words}; measured: {:.1} to {:.1} % of attempts on {}{budget} succeed ({}, {}), \
                 times {l} to {h} attempts a year gives {x:.1} to {y:.1} successes a year \
                 (likelihood {} to {}; the upper end counts)",
                a * 100.0,
                b * 100.0,
                m.model,
                m.metric.replace('_', " "),
                m.run,
                m.likelihood_lower,
                rating.likelihood
            )
        }
    }
}

fn short(rating: &Rating) -> String {
    format!("{} {}x{}", rating.level.word(), rating.likelihood, rating.severity)
}

fn basis(rating: &Rating) -> &'static str {
    match rating.basis {
        Basis::Measured(_) => "measured",
        Basis::Entered { .. } => "entered",
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn item_text(item: &Item) -> String {
    let said = &item.logged.said;
    let mut text = format!(
        "  {} entry {}: {} by {}\n",
        item.logged.time,
        item.logged.index,
        act_text(&said.said),
        said.by.name
    );
    if let Some(why) = &item.void {
        text.push_str(&wrap(&format!("void: {why}"), 88, "      "));
    }
    text
}

fn act_text(act: &Act) -> String {
    match act {
        Act::Enter { seed: Some(_), .. } => "seeded".to_owned(),
        Act::Enter { seed: None, .. } => "entered".to_owned(),
        Act::Rate { side, rating, reason, .. } => {
            let side = if *side == Side::Inherent { "inherent" } else { "residual" };
            format!("rated {side} {}, {reason}", short(rating))
        }
        Act::Treat { treatment } => format!("treatment `{}`: {}", treatment.id, treatment.what),
        Act::Withdraw { treatment, reason } => format!("gave up `{treatment}`, {reason}"),
        Act::Accept { reason, expires, residual, .. } => {
            format!("accepted {} until {}, {reason}", short(residual), day::date(expires))
        }
        Act::Exclude { reason, expires } => {
            format!("excluded until {}, {reason}", day::date(expires))
        }
        Act::Review { reason, next } => format!("reviewed, next {}, {reason}", day::date(next)),
        Act::Reopen { reason } => format!("re-opened, {reason}"),
        Act::Overall { reason, .. } => format!("accepted all together, {reason}"),
    }
}

fn word(coverage: Coverage) -> &'static str {
    match coverage {
        Coverage::Measured => "MEASURED",
        Coverage::Imported => "imported",
        Coverage::Declared => "declared",
        Coverage::Waived => "waived",
        Coverage::Missing => "-",
    }
}

fn list_json(desk: &Desk, overview: &Overview, entered: &[String], rated: &[String]) -> Value {
    let void: Vec<Value> = overview.void.iter().map(void_json).collect();
    json!({
        "format": "proofmark.risks/1",
        "system": desk.project.system.name,
        "version": desk.project.system.version,
        "now": desk.now,
        "overridden": desk.overridden,
        "entered": entered,
        "rated": rated,
        "run": overview.run,
        "risks": overview.risks.iter().map(risk_json).collect::<Vec<_>>(),
        "overall": {
            "holds": overview.overall.holds,
            "expires": overview.overall.expires,
            "reasons": overview.overall.reasons,
        },
        "missing": overview.missing,
        "void": void,
    })
}

fn void_json((risk, index, why): &(String, u64, String)) -> Value {
    json!({ "risk": risk, "index": index, "why": why })
}

fn risk_json(standing: &RiskStanding) -> Value {
    let risk = &standing.risk;
    json!({
        "id": risk.id,
        "state": standing.state,
        "scenario": risk.scenario,
        "inherent": risk.inherent.as_ref().map(|r| rated_json(r, &r.said)),
        "residual": {
            "rating": standing.residual.rating,
            "from": standing.residual.from,
            "next": standing.residual.next,
        },
        "treatments": standing.treatments.iter().map(taken_json).collect::<Vec<_>>(),
        "acceptance": acceptance_json(risk),
        "exclusion": risk.exclusion.as_ref().map(|e| json!({
            "by": e.by.name, "time": e.time, "index": e.index,
            "reason": e.said.reason, "expires": e.said.expires,
        })),
        "review_due": standing.review_due,
        "reasons": standing.reasons,
        "gaps": standing.gaps,
    })
}

fn rated_json<T>(said: &Said<T>, rating: &Rating) -> Value {
    json!({ "by": said.by.name, "time": said.time, "index": said.index, "rating": rating })
}

fn acceptance_json(risk: &Risk) -> Value {
    risk.acceptance.as_ref().map_or(Value::Null, |a| {
        json!({
            "by": a.by.name, "time": a.time, "index": a.index, "reason": a.said.reason,
            "expires": a.said.expires, "residual": a.said.residual, "run": a.said.run,
            "waives": a.said.waives,
        })
    })
}

fn taken_json(taken: &Taken) -> Value {
    let measured = |m: &Measured| {
        json!({
            "treatment": m.id, "statement": m.statement, "in_force": m.force.is_on(),
            "why": m.force.words(), "effects": m.effects,
        })
    };
    json!({ "treatment": taken.treatment, "measured": taken.measured.as_ref().map(measured) })
}

fn item_json(item: &Item) -> Value {
    json!({
        "index": item.logged.index,
        "time": item.logged.time,
        "statement": item.logged.stored.statement.hex(),
        "by": item.logged.said.by,
        "said": item.logged.said.said,
        "void": item.void,
    })
}
