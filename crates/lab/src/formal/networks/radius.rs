//! How far a row can be moved before the decision changes, proved from below.
//!
//! Owns the boxes around a row and the order of questions: each budget in turn by the complete
//! search, then halving by plain bounds between the last budget that is proved and the first that
//! is not. Must never count a proof that leaves the deployed arithmetic out, nor call a point a
//! witness: the harness judges those. Called by whoever opens a model for `--suite proved`.
//!
//! A box of radius `eps` holds the balls of the same radius in every distance, so its proof is
//! one for all of them; for L2 and L1 it proves more than was asked, and so succeeds less often.
//! Grids, one-hot groups and relations between columns are not used: what is proved holds for
//! more rows than an attacker can make.

use ndarray::Array2;
use proofmark_engine::trees::Link;
use proofmark_schema::attack::{AttackReport, ExactAt, NetworkProof, Outcome, Point, RobustAt};
use proofmark_schema::system::OutputKind;

use super::lowering::{self, LowerError};
use super::{Edge, Head, Limit, Net, Question, Region, Verdict};
use crate::decision::{Decision, Rule};
use crate::formal::proposals::NETWORKS;
use crate::formal::reading::{Aim, Judged, Margins, Reading, ReadingError};
use crate::formal::trees::Axis;

#[cfg(test)]
mod tests;

/// Why nothing can be proved of a model's decision.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RadiusError {
    /// An operator that is not bounded.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// Data and model that do not fit.
    #[error("{0}")]
    Rows(String),
    /// A decision that is no inequality of the network's last values.
    #[error(transparent)]
    Decision(#[from] ReadingError),
    /// Several answers through one saturating function each.
    #[error(
        "the model ends in a Sigmoid for each of {0} classes: in 32 bits several can be 1, and the \
         order of the logits says nothing then"
    )]
    Saturates(usize),
}

/// A network and the decision that is read from it.
#[derive(Clone, Debug)]
pub struct Prover {
    net: Net,
    reading: Reading,
    slack: f64,
}

/// One row to be proved.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Values of the network's input.
    pub row: &'a [f64],
    /// What the attacker can do with each.
    pub axes: &'a [Axis],
    /// Class that the row is decided as.
    pub from: usize,
    /// Class that the attacker wants; `None`: any other.
    pub goal: Option<usize>,
    /// Budgets, ascending.
    pub budgets: &'a [f64],
    /// Seed of the search for points.
    pub seed: u64,
    /// Most parts to look at per budget; 0: plain bounds alone, without search.
    pub parts: u64,
    /// Threads.
    pub threads: usize,
}

/// What is known of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Radius {
    /// No change is as near as this: the decision stands in the whole closed box. 0 where nothing
    /// was proved.
    pub lower: f64,
    /// A point in the first box that is not proved, where the decision changes in doubles.
    pub point: Option<Vec<f32>>,
    /// Why the first budget that is not proved is not, where there is no point.
    pub reason: Option<String>,
    /// Parts that were bounded.
    pub parts: u64,
    /// Whether someone stopped it.
    pub stopped: bool,
}

impl Prover {
    /// A network whose output holds the classes in these columns.
    ///
    /// # Errors
    /// [`RadiusError`].
    pub fn new(net: Net, decision: &Decision, columns: &[usize]) -> Result<Self, RadiusError> {
        let outputs = net.outputs();
        let link = match (net.head(), outputs) {
            (Head::None, _) => Link::Identity,
            (Head::Softmax, _) => Link::Softmax,
            (Head::Sigmoid, 1) => Link::Logistic { scale: 1.0 },
            (Head::Sigmoid, many) => return Err(RadiusError::Saturates(many)),
        };
        let margins = Margins { outputs, link, mirrored: false };
        let reading = Reading::of(margins, Judged::Answers, decision, columns)?;
        let slack = match (link, decision.kind) {
            // Compared as they are answered; a probability of logits is taken in doubles.
            (Link::Identity, OutputKind::Logit) => LOGIT_SLACK.max(match decision.rule {
                Rule::Cutoff { at, .. } => 8.0 * f64::EPSILON / (at * (1.0 - at)),
                _ => 0.0,
            }),
            _ => reading.rounding(link, decision),
        };
        Ok(Self { net, reading, slack })
    }

    /// Values of the network's input.
    pub fn inputs(&self) -> usize {
        self.net.inputs()
    }

    /// Whether the network answers at a row what the model answers there.
    pub fn agrees(&self, row: &[f64], answer: &[f64]) -> bool {
        lowering::agrees(&self.net, row, answer)
    }

    /// ReLU neurons.
    pub fn neurons(&self) -> usize {
        self.net.neurons()
    }

    /// The class of a row, in doubles.
    pub fn decide(&self, row: &[f64]) -> Option<usize> {
        let x = Array2::from_shape_vec((1, row.len()), row.to_vec()).ok()?;
        let y = self.net.run(&x);
        y.iter().all(|v| v.is_finite()).then(|| self.reading.decide(&y.row(0).to_vec()))
    }

    /// Proves what can be proved of one row.
    pub fn radius(&self, ask: &Ask<'_>, stop: &(dyn Fn() -> bool + Sync)) -> Radius {
        let mut known = Radius { lower: 0.0, point: None, reason: None, parts: 0, stopped: false };
        let aims = self.reading.aims(ask.from, ask.goal);
        let mut failed = None;
        for &eps in ask.budgets {
            if ask.parts == 0 {
                if self.plain(ask, eps, &aims) {
                    known.lower = eps * WIDER;
                    continue;
                }
                known.reason = Some("plain bounds alone do not reach".into());
                failed = Some(eps);
                break;
            }
            let regions: Vec<Region> =
                aims.iter().map(|aim| self.region(ask, eps, &[*aim])).collect();
            let answer = super::decide(&Question {
                net: &self.net,
                regions: &regions,
                seed: ask.seed,
                threads: ask.threads,
                stop,
                parts_limit: ask.parts,
                judge: &|_, _| true,
            });
            known.parts += answer.parts;
            known.stopped = stop();
            if answer.holds_in_f32() {
                known.lower = eps * WIDER;
                continue;
            }
            failed = Some(eps);
            known.reason = match answer.verdict {
                Verdict::Safe => Some("proved in real arithmetic alone".into()),
                _ => answer.reason,
            };
            known.point = answer.witness.map(|(_, point)| point);
            break;
        }
        if let Some(high) = failed.filter(|_| !known.stopped) {
            known.lower = self.halved(ask, &aims, known.lower / WIDER, high, stop) * WIDER;
        }
        known
    }

    /// The largest radius between two that plain bounds prove, by halving.
    fn halved(
        &self,
        ask: &Ask<'_>,
        aims: &[Aim],
        mut low: f64,
        mut high: f64,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> f64 {
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if stop() || middle <= low || middle >= high {
                break;
            }
            match self.plain(ask, middle, aims) {
                true => low = middle,
                false => high = middle,
            }
        }
        low
    }

    /// Whether CROWN bounds, without any search, prove a radius.
    fn plain(&self, ask: &Ask<'_>, eps: f64, aims: &[Aim]) -> bool {
        let region = self.region(ask, eps, aims);
        let bounds = super::bounds(&self.net, &region, Some(0), ask.threads);
        !bounds.is_empty() && bounds.iter().all(|bound| *bound > 0.0)
    }

    /// The box around a row, and conditions of which each changes the decision.
    fn region(&self, ask: &Ask<'_>, eps: f64, aims: &[Aim]) -> Region {
        let ends = ask.row.iter().zip(ask.axes).map(|(&x, axis)| ends(x, axis, eps * WIDER));
        let (lower, upper) = ends.map(|(l, u)| (Edge::exact(l), Edge::exact(u))).unzip();
        let limits = aims.iter().map(|aim| {
            // `up - down >= threshold - slack`, as something that is at most 0
            let one = |place: Option<usize>, factor: f64| place.map(|j| (j, factor));
            Limit {
                inputs: Vec::new(),
                outputs: one(aim.up, -1.0).into_iter().chain(one(aim.down, 1.0)).collect(),
                constant: (aim.threshold - self.slack).next_down(),
            }
        });
        Region { lower, upper, limits: limits.collect() }
    }
}

/// Ends of one input within a radius, wide enough for every 32-bit value that an attacker can put
/// there.
fn ends(x: f64, axis: &Axis, radius: f64) -> (f64, f64) {
    let reach = radius * axis.unit;
    let grid = axis.grid.map_or(0.0, |grid| GRID_SLACK * grid.step);
    let pad = 4.0 * f64::from(f32::EPSILON) * (x.abs() + reach) + grid;
    let low =
        if axis.down { (x - reach - pad).max(axis.lower.min(x) - pad).next_down() } else { x };
    let high = if axis.up { (x + reach + pad).min(axis.upper.max(x) + pad).next_up() } else { x };
    (low, high)
}

/// What a prover did, over all rows.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// ReLU neurons.
    pub neurons: u64,
    /// Rows that were looked at.
    pub searched: u64,
    /// Parts that were bounded.
    pub parts: u64,
    /// Most parts per row and budget.
    pub parts_limit: u64,
}

/// Writes into the report of an attack what was proved beside it. The lower ends of its points'
/// distances must be there.
pub fn told(report: &mut AttackReport, about: About) {
    let right = || report.points.iter().filter(|p| p.outcome != Outcome::Wrong);
    let holds = |p: &&Point, eps: f64| {
        p.outcome == Outcome::NotAttackable || p.distance.lower.is_some_and(|l| l > eps)
    };
    let at = |at: &RobustAt| {
        let proved = right().filter(|p| holds(p, at.eps)).count() as u64;
        ExactAt { eps: at.eps, proved, open: at.k_robust.saturating_sub(proved) }
    };
    report.proved = Some(NetworkProof {
        method: METHOD.into(),
        arithmetic: ARITHMETIC.into(),
        edition: NETWORKS.edition,
        neurons: about.neurons,
        searched: about.searched,
        robust: report.robust.iter().map(at).collect(),
        parts: about.parts,
        parts_limit: about.parts_limit,
    });
}

/// How lower bounds are proved.
const METHOD: &str = "alpha-beta-CROWN bounds with branch and bound at the budgets, CROWN between";
/// What they hold for.
const ARITHMETIC: &str = "the weights of the file in real arithmetic and in every engine of plain \
                          32-bit floats; boxes rounded outward";
/// What is proved is proved a billionth further, so that a bound is above its budget.
const WIDER: f64 = 1.0 + 1e-9;
/// How far off its grid a value may be, in steps; above what the space of an attacker allows.
const GRID_SLACK: f64 = 2e-3;
/// Roundings of a softmax of two logits in doubles, and of the comparison.
const LOGIT_SLACK: f64 = 1e-9;
/// Halvings between two budgets.
const HALVINGS: usize = 6;
