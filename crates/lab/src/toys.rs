//! Models small enough to know the truth about, for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use proofmark_schema::system::{Access, Norm, OutputKind, Scale};

use crate::criterion::Criterion;
use crate::ctx::{Ctx, Silent};
use crate::decision::{Decision, Rule};
use crate::harness::Case;
use crate::oracle::{Loss, LossGrad, Oracle, OracleError, Picture};
use crate::space::{Column, Deployed, Space};
use crate::stream::Stream;

/// Logits and their Jacobian (`classes x dims`) at a point.
pub type Logits = Box<dyn Fn(&[f64]) -> (Vec<f64>, Vec<Vec<f64>>) + Send + Sync>;

/// How a toy misbehaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    Plain,
    /// No gradient at all.
    Blind,
    /// Gradients are zero: a masked model.
    Masked,
    /// Every call adds other noise.
    Random,
}

/// A model by hand.
pub struct Toy {
    pub data: Vec<Vec<f32>>,
    pub logits: Logits,
    pub classes: usize,
    pub decision: Decision,
    pub manner: Manner,
    pub picture: Option<Picture>,
    pub calls: AtomicU64,
}

impl Toy {
    pub fn new(data: Vec<Vec<f32>>, classes: usize, logits: Logits) -> Self {
        let decision = Decision::argmax(OutputKind::Logit);
        let (manner, calls) = (Manner::Plain, AtomicU64::new(0));
        Self { data, logits, classes, decision, manner, picture: None, calls }
    }

    pub fn manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    pub fn decided_by(mut self, rule: Rule) -> Self {
        self.decision.rule = rule;
        self
    }

    /// Labels that the model itself decides, except every `wrong`-th, which is off by one.
    pub fn labels(&self, wrong: usize) -> Vec<usize> {
        let rows = 0..self.data.len();
        rows.map(|i| {
            let (z, _) = (self.logits)(&wide(&self.data[i]));
            let z: Vec<f32> = z.iter().map(|&v| v as f32).collect();
            let decided = self.decision.decide(&z).unwrap();
            if wrong > 0 && i % wrong == wrong - 1 { (decided + 1) % self.classes } else { decided }
        })
        .collect()
    }

    fn loss(
        &self,
        z: &[f64],
        jacobian: &[Vec<f64>],
        (y, t): (usize, usize),
        loss: Loss,
    ) -> (f64, Vec<f64>) {
        let dims = self.data[0].len();
        // A sum of logits with weights, and its slope.
        let mix = |parts: &[(usize, f64)]| -> (f64, Vec<f64>) {
            let value = parts.iter().map(|&(c, w)| w * z[c]).sum();
            let slope = |i: usize| parts.iter().map(|&(c, w)| w * jacobian[c][i]).sum();
            (value, (0..dims).map(slope).collect())
        };
        let mut ranks: Vec<usize> = (0..z.len()).collect();
        ranks.sort_by(|&a, &b| z[b].total_cmp(&z[a]));
        let ratio = |over: (f64, Vec<f64>), under: (f64, Vec<f64>)| {
            let value = over.0 / (under.0 + 1e-12);
            let each = over.1.iter().zip(&under.1);
            (value, each.map(|(a, b)| (a - value * b) / (under.0 + 1e-12)).collect())
        };
        match loss {
            Loss::Up | Loss::Down => {
                let side = if loss == Loss::Up { 1.0 } else { -1.0 };
                (side * z[0], jacobian[0].iter().map(|g| side * g).collect())
            }
            Loss::Toward => mix(&[(t, 1.0), (y, -1.0)]),
            Loss::Ratio => {
                let rival = ranks[usize::from(ranks[0] == y)];
                ratio(mix(&[(rival, 1.0), (y, -1.0)]), mix(&[(ranks[0], 1.0), (ranks[2], -1.0)]))
            }
            Loss::RatioToward => {
                let under = [(ranks[0], 1.0), (ranks[2], -0.5), (ranks[3], -0.5)];
                ratio(mix(&[(t, 1.0), (y, -1.0)]), mix(&under))
            }
            Loss::CrossEntropy => {
                let narrow: Vec<f32> = z.iter().map(|&v| v as f32).collect();
                let p = crate::decision::softmax(&narrow);
                let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = z.iter().map(|v| (v - top).exp()).sum();
                let weight = |c: usize| p[c] - if c == y { 1.0 } else { 0.0 };
                let slope =
                    (0..dims).map(|i| (0..z.len()).map(|c| weight(c) * jacobian[c][i]).sum());
                (top + sum.ln() - z[y], slope.collect())
            }
            Loss::Margin => {
                let others = (0..z.len()).filter(|&c| c != y);
                let best = others.max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap();
                let offset = match self.decision.rule {
                    Rule::Argmax | Rule::Value | Rule::Within => 0.0,
                    Rule::Cutoff { class, at } => {
                        let odds = (at / (1.0 - at)).ln();
                        if class == best { odds } else { -odds }
                    }
                };
                let slope = (0..dims).map(|i| jacobian[best][i] - jacobian[y][i]);
                (z[best] - z[y] - offset, slope.collect())
            }
        }
    }
}

impl Oracle for Toy {
    fn rows(&self) -> usize {
        self.data.len()
    }
    fn dims(&self) -> usize {
        self.data[0].len()
    }
    fn classes(&self) -> usize {
        self.classes
    }
    fn clean(&self, row: usize) -> &[f32] {
        &self.data[row]
    }
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError> {
        assert_eq!(x.len(), rows.len() * self.dims());
        let mut out = Vec::new();
        for point in x.chunks(self.dims()) {
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            let (z, _) = (self.logits)(&wide(point));
            let jitter = if self.manner == Manner::Random {
                Stream::new(0, "toy", "jitter", 0, call).normal()
            } else {
                0.0
            };
            out.extend(z.iter().enumerate().map(|(c, v)| (v + jitter * c as f64) as f32));
        }
        Ok(out)
    }
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        let number = self.decision.rule == Rule::Value;
        let least = match loss {
            Loss::RatioToward => 4,
            Loss::Ratio => 3,
            _ => 0,
        };
        if self.classes < least {
            return Err(format!("its loss needs {least} classes"));
        }
        match matches!(loss, Loss::Up | Loss::Down) == number {
            true => Ok(()),
            false => Err("another kind of answer".into()),
        }
    }
    fn gradient(&self) -> Result<(), String> {
        match self.manner {
            Manner::Blind => Err("operator `Step` of node `s` has no gradient".into()),
            _ => Ok(()),
        }
    }
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        self.loss_grad_toward(rows, x, labels, labels, loss)
    }
    fn picture(&self) -> Option<Picture> {
        self.picture
    }
    fn loss_grad_toward(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        targets: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        let scores = self.scores(rows, x)?;
        let mut answer = LossGrad { scores, ..LossGrad::default() };
        let each = labels.iter().copied().zip(targets.iter().copied());
        for (point, pair) in x.chunks(self.dims()).zip(each) {
            let (z, jacobian) = (self.logits)(&wide(point));
            let (value, slope) = self.loss(&z, &jacobian, pair, loss);
            answer.loss.push(value as f32);
            let keep = if self.manner == Manner::Masked { 0.0 } else { 1.0 };
            answer.grad.extend(slope.iter().map(|g| (g * keep) as f32));
        }
        Ok(answer)
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// Rows drawn uniformly from `[low, high]^dims`, whole numbers if wanted.
pub fn rows(n: usize, dims: usize, low: f64, high: f64, whole: bool) -> Vec<Vec<f32>> {
    let mut stream = Stream::new(42, "toy", "rows", dims as u64, n as u64);
    let mut draw = || {
        let v = low + (high - low) * stream.unit();
        (if whole { v.round() } else { v }) as f32
    };
    (0..n).map(|_| (0..dims).map(|_| draw()).collect()).collect()
}

/// Two classes, `z = [0, w.x + b]`.
pub fn linear(data: Vec<Vec<f32>>, w: &[f64], b: f64) -> Toy {
    let w = w.to_vec();
    let logits: Logits = Box::new(move |x| {
        let z = b + x.iter().zip(&w).map(|(x, w)| x * w).sum::<f64>();
        (vec![0.0, z], vec![vec![0.0; w.len()], w.clone()])
    });
    Toy::new(data, 2, logits)
}

/// A tanh network with one hidden layer and random weights.
pub fn mlp(data: Vec<Vec<f32>>, hidden: usize, classes: usize, gain: f64) -> Toy {
    let dims = data[0].len();
    let mut stream = Stream::new(5, "toy", "mlp", hidden as u64, classes as u64);
    let mut matrix = |r: usize, c: usize, s: f64| -> Vec<Vec<f64>> {
        (0..r).map(|_| (0..c).map(|_| s * stream.normal()).collect()).collect()
    };
    let first = matrix(hidden, dims + 1, gain / (dims as f64).sqrt());
    let second = matrix(classes, hidden, 2.0);
    let logits: Logits = Box::new(move |x| {
        let h: Vec<f64> = first
            .iter()
            .map(|w| (w[dims] + x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>()).tanh())
            .collect();
        let z = second.iter().map(|v| v.iter().zip(&h).map(|(v, h)| v * h).sum()).collect();
        let slope = |v: &Vec<f64>, i: usize| -> f64 {
            let each = v.iter().zip(&h).zip(&first);
            each.map(|((v, h), w)| v * (1.0 - h * h) * w[i]).sum()
        };
        (z, second.iter().map(|v| (0..dims).map(|i| slope(v, i)).collect()).collect())
    });
    Toy::new(data, classes, logits)
}

/// Votes of thresholds: flat everywhere, like a tree ensemble.
pub fn steps(data: Vec<Vec<f32>>, thresholds: &[(usize, f64, f64)], bias: f64) -> Toy {
    let (dims, thresholds) = (data[0].len(), thresholds.to_vec());
    let logits: Logits = Box::new(move |x| {
        let votes = thresholds.iter().map(|&(i, t, v)| if x[i] >= t { v } else { 0.0 });
        (vec![0.0, bias + votes.sum::<f64>()], vec![vec![0.0; dims]; 2])
    });
    Toy::new(data, 2, logits).manner(Manner::Blind)
}

/// The same answer always.
pub fn constant(data: Vec<Vec<f32>>) -> Toy {
    let dims = data[0].len();
    Toy::new(data, 2, Box::new(move |_| (vec![0.0, 3.0], vec![vec![0.0; dims]; 2])))
}

/// A box with the raw unit.
pub fn space(dims: usize, low: f64, high: f64, deployed: Deployed) -> Space {
    let column = Column { lower: low, upper: high, std: 1.0, deployed };
    Space::uniform(dims, column, Scale::Raw).unwrap()
}

/// A white-box case that any wrong decision breaks.
pub fn case<'a>(toy: &'a Toy, space: &'a Space, labels: &'a [usize], norm: Norm) -> Case<'a> {
    Case {
        oracle: toy,
        second: None,
        space,
        labels,
        decision: toy.decision,
        criterion: Criterion::Leave,
        norm,
        access: Access::WhiteBox,
        queries_limit: None,
        constraints: None,
        probe: "toy/test/evasion",
    }
}

/// Never cancelled.
pub static GO: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// A context with a seed.
pub fn ctx() -> Ctx<'static> {
    Ctx { seed: 11, progress: &Silent, cancel: &GO }
}
