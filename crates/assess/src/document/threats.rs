//! Figures of one model under its threats.

use proofmark_schema::measurement::Quantity;
use proofmark_schema::plan::{Plan, ProbeKind};
use proofmark_schema::system::{
    Access, Direction, ModelAsset, Norm, Reference, Scale, Threat, Tolerance,
};

use super::figures::{Located, located, order, title};
use super::models::{NO_FIGURE, Shown, named_class, push_once, table};
use super::{Cell, Piece, Plot, Table, ThreatPart, anchor, heads, scale_words, words};
use crate::assessment::Assessment;
use crate::facts::{At, Fact, FactBook, FactError, Form};
use crate::svg;

pub(super) fn parts(
    assessment: &Assessment,
    model: &ModelAsset,
    shown: &mut Shown<'_>,
    book: &mut FactBook,
) -> Result<Vec<ThreatPart>, FactError> {
    let mut parts = Vec::new();
    for (place, probe) in assessment.plan.probes.iter().enumerate() {
        let ProbeKind::Evasion { threat: name, .. } = &probe.kind else { continue };
        if probe.model != model.name {
            continue;
        }
        let Some(threat) = assessment.system.threat_named(name) else { continue };
        let known =
            |part: &str| matches!(part, "robustness" | "found_by" | "distance" | "shift" | "cost");
        let figures = shown.take(|l| {
            let subject = &l.m.subject;
            subject.threat.as_deref() == Some(name)
                && subject.data == probe.data
                && known(l.part())
                && !(subject.class.is_some() && subject.group.is_some())
        });
        let context = Context { assessment, model, threat, place, figures: &figures };
        parts.push(context.part(book)?);
    }
    Ok(parts)
}

struct Context<'a> {
    assessment: &'a Assessment,
    model: &'a ModelAsset,
    threat: &'a Threat,
    /// Place of the probe in the plan.
    place: usize,
    figures: &'a [Located<'a>],
}

impl<'a> Context<'a> {
    fn part(&self, book: &mut FactBook) -> Result<ThreatPart, FactError> {
        let eps = self.eps(book)?;
        let tables = [
            self.by_budget("Per class under attack", words("class"), &eps, named_class, book)?,
            self.by_budget("Per group under attack", words("group"), &eps, named_group, book)?,
            self.distances(book)?,
            self.shifts(&eps, book)?,
            self.cost(book)?,
        ];
        Ok(ThreatPart {
            anchor: self.anchor("threat"),
            name: self.threat.name.clone(),
            words: self.about(book)?,
            curve: self.curve(&eps, book)?,
            cautions: self.cautions(&eps),
            tables: tables.into_iter().flatten().collect(),
        })
    }

    /// Budgets as planned, each a fact of the plan.
    fn eps(&self, book: &mut FactBook) -> Result<Vec<(f64, Fact)>, FactError> {
        let values = planned_eps(&self.assessment.plan, self.place);
        let plan = self.assessment.record.plan.statement.hex();
        let mut eps = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let pointer = format!("/predicate/plan/probes/{}/kind/eps/{index}", self.place);
            let id = format!("{}#eps/{index}", self.probe_id());
            eps.push((*value, book.fact(&id, &At::new(&plan, pointer), Form::Plain)?));
        }
        Ok(eps)
    }

    fn probe_id(&self) -> String {
        let probe = self.assessment.plan.probes.get(self.place);
        probe.map(|p| p.id.clone()).unwrap_or_default()
    }

    fn anchor(&self, what: &str) -> String {
        let place = self.place.to_string();
        anchor(&[what, &self.model.name, &self.threat.name, &place])
    }

    fn about(&self, book: &mut FactBook) -> Result<Vec<Cell>, FactError> {
        let threat = self.threat;
        let norm = match threat.norm {
            Norm::Linf => "the greatest change of any feature",
            Norm::L2 => "the Euclidean length of the change",
            Norm::L1 => "the sum of all changes",
        };
        let access = match threat.access {
            Access::WhiteBox => "holds the model file and its gradients",
            Access::Score => "sees scores only",
            Access::Decision => "sees decisions only",
        };
        let budget =
            vec![words("budget: "), words(norm), words(", "), words(scale_words(threat.scale))];
        let goal = match (&threat.goal, &threat.tolerance) {
            (None, Some(tolerance)) => self.tolerance(tolerance, book)?,
            (Some(goal), _) => vec![
                words("goal: a row of "),
                Piece::Declared(goal.from.clone()),
                words(" decided as "),
                Piece::Declared(goal.to.clone()),
                words(
                    "; only rows of the first class that are decided rightly are attacked, all \
                     others count as they are",
                ),
            ],
            (None, None) => vec![words("goal: any wrong decision")],
        };
        let plan = self.assessment.record.plan.statement.hex();
        let pointer = format!("/predicate/plan/probes/{}/kind/edition", self.place);
        let id = format!("{}#edition", self.probe_id());
        let edition = book.fact(&id, &At::new(&plan, pointer), Form::Plain)?;
        let suite = vec![
            words("attacks: suite "),
            Piece::Code(threat.suite.clone()),
            words(", edition "),
            Piece::Fact(edition),
        ];
        let mut about = vec![vec![words("attacker: "), words(access)], budget, goal, suite];
        let place = self.assessment.system.threats.iter().position(|t| t.name == threat.name);
        if let (Some(place), Some(_)) = (place, threat.queries) {
            let pointer = format!("/predicate/system/threats/{place}/queries");
            let id = format!("{}#queries", self.probe_id());
            let most = book.fact(&id, &At::new(&plan, pointer), Form::Plain)?;
            about.push(vec![
                words("queries: at most "),
                Piece::Fact(most),
                words(" per row and budget"),
            ]);
        }
        Ok(about)
    }

    /// The figure of a metric at a budget, over all rows.
    fn at(&self, metric: &str, eps: Option<f64>) -> Option<&Located<'a>> {
        self.figures.iter().find(|l| {
            let subject = &l.m.subject;
            l.m.metric == metric
                && subject.eps == eps
                && subject.group.is_none()
                && subject.class.is_none()
        })
    }

    fn curve(&self, eps: &[(f64, Fact)], book: &mut FactBook) -> Result<Plot, FactError> {
        let mut points = Vec::new();
        let metrics = self.overall_metrics();
        let found = self.figures.iter().any(|l| l.m.metric == FOUND_BY);
        let clean = self.clean();
        let mut rows = Vec::new();
        if let Some(clean) = &clean {
            let mut row = vec![vec![words("no attack")]];
            for metric in &metrics {
                row.push(match metric.as_str() {
                    ROBUST => clean.cell(book)?,
                    _ => vec![words("does not apply")],
                });
            }
            row.extend(found.then(|| vec![words("does not apply")]));
            rows.push(row);
        }
        for (value, fact) in eps {
            if let Some(located) = self.at(ROBUST, Some(*value)) {
                let (y, lower, upper) = located.drawn();
                let label = fact.text().to_owned();
                points.push(svg::Point { x: *value, label, y, lower, upper });
            }
            let mut row = vec![vec![Piece::Fact(fact.clone())]];
            for metric in &metrics {
                row.push(cell(self.at(metric, Some(*value)), book)?);
            }
            if found {
                row.push(self.found_by(*value, book)?);
            }
            rows.push(row);
        }
        let unit = scale_words(self.threat.scale);
        let svg = svg::curve(&svg::Curve {
            id: self.anchor("curve"),
            title: format!(
                "Robust accuracy of {} under {} by budget",
                self.model.name, self.threat.name
            ),
            desc: "Circles with whiskers: share of all rows decided rightly and not turned by any \
                   attack that was tried, with its interval, over the budget. Dashed line: \
                   accuracy on the same rows without attack. The table has the figures."
                .to_owned(),
            x_title: if self.threat.scale == Scale::Raw {
                "budget".to_owned()
            } else {
                format!("budget, {unit}")
            },
            points,
            reference: clean.as_ref().map(|c| (c.drawn().0, "without attack".to_owned())),
        });
        let caption = vec![
            words("Robust accuracy under "),
            Piece::Declared(self.threat.name.clone()),
            words(", by budget: the share that the attacks tried here left standing"),
        ];
        let mut head = heads(&["budget"]);
        head.extend(metrics.iter().map(|m| vec![title(m)]));
        head.extend(found.then(|| vec![title(FOUND_BY)]));
        Ok(Plot { svg, table: Table { caption, head, rows } })
    }

    /// Metrics under attack that are given over all rows, robust accuracy among them.
    fn overall_metrics(&self) -> Vec<String> {
        let mut metrics = vec![ROBUST.to_owned()];
        for located in self.figures {
            let subject = &located.m.subject;
            let whole = subject.eps.is_some() && subject.group.is_none() && subject.class.is_none();
            if whole && located.part() == "robustness" && !metrics.contains(&located.m.metric) {
                metrics.push(located.m.metric.clone());
            }
        }
        metrics.sort_by_key(|m| order(m));
        metrics
    }

    /// Accuracy without attack: on the attacked rows if it was measured there, else on all rows
    /// of the same data.
    fn clean(&self) -> Option<Located<'a>> {
        let attacked = self.at("clean_accuracy", None).cloned();
        attacked.or_else(|| {
            located(self.assessment).into_iter().find(|l| {
                let subject = &l.m.subject;
                l.m.metric == "accuracy"
                    && subject.model == self.model.name
                    && Some(&subject.data) == self.data()
                    && subject.threat.is_none()
                    && subject.group.is_none()
                    && subject.class.is_none()
            })
        })
    }

    fn data(&self) -> Option<&String> {
        self.assessment.plan.probes.get(self.place).map(|p| &p.data)
    }

    fn found_by(&self, eps: f64, book: &mut FactBook) -> Result<Cell, FactError> {
        let mut cell = Vec::new();
        for located in self.figures.iter() {
            if located.m.metric != FOUND_BY || located.m.subject.eps != Some(eps) {
                continue;
            }
            if !cell.is_empty() {
                cell.push(Piece::Break);
            }
            let attack = located.m.subject.class.clone().unwrap_or_default();
            cell.extend([Piece::Code(attack), words(" ")]);
            cell.extend(located.cell(book)?);
        }
        if cell.is_empty() {
            cell.push(words("nothing found"));
        }
        Ok(cell)
    }

    /// Invariant 6: the absence of a success is a fact about the attacks.
    fn cautions(&self, eps: &[(f64, Fact)]) -> Vec<Cell> {
        let mut cautions = vec![vec![words(
            "These figures are upper bounds of robustness: a stronger attack may turn more rows.",
        )]];
        let proved =
            |l: &Located<'_>| matches!(l.m.quantity, Quantity::Bracket { proved: Some(_), .. });
        if !self.figures.iter().any(proved) {
            cautions.push(vec![words("Nothing was proved from below.")]);
        }
        for (value, fact) in eps {
            let none = |l: &&Located<'_>| l.m.quantity.value() == 0.0;
            if self.at("attack_success", Some(*value)).filter(none).is_some() {
                cautions.push(vec![
                    words("At budget "),
                    Piece::Fact(fact.clone()),
                    words(" no attack of suite "),
                    Piece::Code(self.threat.suite.clone()),
                    words(" found a way at this budget; not a proof."),
                ]);
            }
        }
        cautions
    }

    /// Rows by class or group, one column per metric and budget.
    fn by_budget(
        &self,
        caption: &str,
        corner: Piece,
        eps: &[(f64, Fact)],
        head: fn(&Located<'_>) -> Cell,
        book: &mut FactBook,
    ) -> Result<Option<Table>, FactError> {
        let wanted = |l: &&Located<'a>| matches!(l.part(), "robustness") && !head(l).is_empty();
        let figures: Vec<&Located<'a>> = self.figures.iter().filter(wanted).collect();
        let (mut rows, mut metrics) = (Vec::new(), Vec::new());
        for located in &figures {
            push_once(&mut rows, head(located));
            if !metrics.contains(&located.m.metric) {
                metrics.push(located.m.metric.clone());
            }
        }
        let budgets: Vec<Option<&(f64, Fact)>> =
            std::iter::once(None).chain(eps.iter().map(Some)).collect();
        let mut columns = Vec::new();
        for metric in &metrics {
            for budget in &budgets {
                let at = budget.map(|(value, _)| *value);
                if figures.iter().any(|l| l.m.metric == *metric && l.m.subject.eps == at) {
                    columns.push((metric.clone(), *budget));
                }
            }
        }
        let mut body = Vec::new();
        for row in rows {
            let mut line = vec![row.clone()];
            for (metric, budget) in &columns {
                let at = budget.map(|(value, _)| *value);
                let found = figures
                    .iter()
                    .find(|l| head(l) == row && l.m.metric == *metric && l.m.subject.eps == at);
                line.push(cell(found.copied(), book)?);
            }
            body.push(line);
        }
        let mut heads = vec![vec![corner]];
        for (metric, budget) in columns {
            let mut head = vec![title(&metric)];
            if let Some((_, fact)) = budget {
                head.extend([words(" at "), Piece::Fact(fact.clone())]);
            }
            heads.push(head);
        }
        Ok(table(vec![words(caption)], heads, body))
    }

    fn distances(&self, book: &mut FactBook) -> Result<Option<Table>, FactError> {
        let mut rows = Vec::new();
        for located in self.figures.iter().filter(|l| l.part() == "distance") {
            rows.push(vec![vec![title(&located.m.metric)], located.cell(book)?]);
        }
        let caption = "Distance at which rows were turned";
        Ok(table(vec![words(caption)], heads(&["of the attackable rows", "distance"]), rows))
    }

    /// When a shift of the answer counts, as declared.
    fn tolerance(&self, tolerance: &Tolerance, book: &mut FactBook) -> Result<Cell, FactError> {
        let system = &self.assessment.system;
        let place = system.threats.iter().position(|t| t.name == self.threat.name);
        let plan = self.assessment.record.plan.statement.hex();
        let place = place.unwrap_or_default();
        let pointer = format!("/predicate/system/threats/{place}/tolerance/size");
        let id = format!("{}#tolerance", self.probe_id());
        let size = Piece::Fact(book.fact(&id, &At::new(&plan, pointer), Form::Plain)?);
        let way = match self.threat.direction.unwrap_or_default() {
            Direction::Up => "goal: the answer moved up by more than ",
            Direction::Down => "goal: the answer moved down by more than ",
            Direction::Either => "goal: the answer moved, either way, by more than ",
        };
        let mut goal = match tolerance.relative {
            true => vec![words(way), words("a share of "), size],
            false => vec![words(way), size],
        };
        let unit = self.data().and_then(|d| system.data_named(d)).and_then(|d| d.unit.clone());
        if let Some(unit) = unit.filter(|_| !tolerance.relative) {
            goal.extend([words(" "), Piece::Declared(unit)]);
        }
        goal.push(words(match tolerance.from {
            Reference::Answer => " from the answer without attack",
            Reference::Label => " from the label",
        }));
        goal.push(words("; only rows answered within the tolerance of their label are attacked"));
        Ok(goal)
    }

    /// How far answers could be moved, by budget.
    fn shifts(&self, eps: &[(f64, Fact)], book: &mut FactBook) -> Result<Option<Table>, FactError> {
        let of = |metric: &str, at: f64| {
            let here = |l: &&Located<'_>| l.m.metric == metric && l.m.subject.eps == Some(at);
            self.figures.iter().find(here)
        };
        let mut rows = Vec::new();
        for metric in SHIFTS {
            if !eps.iter().any(|(at, _)| of(metric, *at).is_some()) {
                continue;
            }
            let mut row = vec![vec![title(metric)]];
            for (at, _) in eps {
                row.push(cell(of(metric, *at), book)?);
            }
            rows.push(row);
        }
        let mut head = heads(&["lower bounds of the worst case"]);
        head.extend(eps.iter().map(|(_, fact)| vec![words("at "), Piece::Fact(fact.clone())]));
        let caption = "Largest shift of the answer that was found, of the sampled rows attacked";
        Ok(table(vec![words(caption)], head, rows))
    }

    fn cost(&self, book: &mut FactBook) -> Result<Option<Table>, FactError> {
        let mut rows = Vec::new();
        for located in self.figures.iter().filter(|l| l.part() == "cost") {
            rows.push(vec![vec![title(&located.m.metric)], located.cell(book)?]);
        }
        Ok(table(vec![words("What the attacks spent")], heads(&["cost", "figure"]), rows))
    }
}

fn named_group(located: &Located<'_>) -> Cell {
    let group = located.m.subject.group.iter();
    group.map(|(feature, value)| Piece::Declared(format!("{feature} = {value}"))).collect()
}

fn cell(located: Option<&Located<'_>>, book: &mut FactBook) -> Result<Cell, FactError> {
    match located {
        Some(located) => located.cell(book),
        None => Ok(vec![words(NO_FIGURE)]),
    }
}

const SHIFTS: [&str; 3] = ["shift_p50", "shift_p90", "shift_max"];
const ROBUST: &str = "robust_accuracy";
const FOUND_BY: &str = "found_by";

fn planned_eps(plan: &Plan, place: usize) -> &[f64] {
    match plan.probes.get(place).map(|p| &p.kind) {
        Some(ProbeKind::Evasion { eps, .. }) => eps,
        _ => &[],
    }
}
