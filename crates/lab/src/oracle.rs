//! The target as the lab sees it: scores and loss gradients of candidate rows.
//!
//! Owns the trait. Implemented over `engine` in [`crate::target`] and by hand in tests. Must
//! never count queries itself: the harness's metered handle does.

/// The loss whose gradient is asked for. It is always to be *increased* by an attacker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Cross-entropy of the label on the logits.
    CrossEntropy,
    /// `max_{j != y} z_j - z_y - offset_y`, with the offset of the declared cut-off:
    /// for two classes and cut-off `t` on class `c`, `z_c - z_other` is compared with
    /// `ln(t / (1 - t))`. Positive exactly when the decision has left `y`.
    Margin,
    /// `z_t - z_y`, toward a class `t` of each row's own.
    Toward,
    /// Difference of logits ratio, away from the label: unchanged when all logits are scaled or
    /// shifted. At least three classes.
    Ratio,
    /// Difference of logits ratio toward a class of each row's own. At least four classes.
    RatioToward,
    /// The number that the target answers with, pushed up.
    Up,
    /// The number, negated: pushed down.
    Down,
}

/// How the coordinates of an image lie: channels, height and width, flattened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Channels.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Whether the channel is the innermost axis.
    pub channels_last: bool,
}

impl Picture {
    /// Coordinate of a pixel in a channel.
    pub fn at(&self, channel: usize, y: usize, x: usize) -> usize {
        match self.channels_last {
            true => (y * self.width + x) * self.channels + channel,
            false => (channel * self.height + y) * self.width + x,
        }
    }
}

/// Answer to a gradient query; one entry per asked row.
#[derive(Clone, Debug, Default)]
pub struct LossGrad {
    /// Loss per row.
    pub loss: Vec<f32>,
    /// Gradient, `rows x dims`, row-major.
    pub grad: Vec<f32>,
    /// Scores, `rows x classes`, as `scores` would give them.
    pub scores: Vec<f32>,
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
#[error("target failed: {reason}")]
pub struct OracleError {
    /// Reason, in words.
    pub reason: String,
}

/// A target bound to `n` data rows, each with a clean point in `dims` free coordinates.
///
/// Row `i` of the data fixes everything that the attacker cannot touch (immutable columns).
/// Coordinates are in the unit of the model input. A row's answer depends on the row and its
/// candidate alone, never on what else is in the batch: implementations evaluate at a fixed
/// width and pad.
pub trait Oracle: Send + Sync {
    /// Number of data rows.
    fn rows(&self) -> usize;
    /// Number of free coordinates.
    fn dims(&self) -> usize;
    /// Number of classes.
    fn classes(&self) -> usize;
    /// Clean coordinates of a row (`dims` values).
    fn clean(&self, row: usize) -> &[f32];
    /// Declared output for `rows[i]` at candidate `x[i*dims..]`: `rows.len() x classes`,
    /// probabilities or logits as declared; a single column is expanded to two.
    fn scores(&self, rows: &[usize], x: &[f32]) -> Result<Vec<f32>, OracleError>;
    /// Whether `loss_grad` works, else why not (names operator, node, opset).
    fn gradient(&self) -> Result<(), String>;
    /// Whether there is no gradient because nothing but steps leads to the output, as a `Sign` in
    /// front of a network does: what follows is masked, not out of reach.
    fn stepped(&self) -> bool {
        false
    }
    /// Loss and gradient at candidates. `labels[i]` is the class index to leave.
    fn loss_grad(
        &self,
        rows: &[usize],
        x: &[f32],
        labels: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError>;
    /// As [`Oracle::loss_grad`], for the losses toward a class: `targets[i]` is that of row `i`.
    ///
    /// # Errors
    /// Where [`Oracle::pushes`] refuses the loss; the target failed.
    fn loss_grad_toward(
        &self,
        _rows: &[usize],
        _x: &[f32],
        _labels: &[usize],
        _targets: &[usize],
        loss: Loss,
    ) -> Result<LossGrad, OracleError> {
        Err(OracleError { reason: format!("no loss {loss:?} here; please report this") })
    }
    /// Where the coordinates are the pixels of an image: how they lie.
    fn picture(&self) -> Option<Picture> {
        None
    }
    /// Whether this loss has a meaning here, else why not: classes are left, numbers are pushed.
    ///
    /// # Errors
    /// The reason, in words for the report.
    fn pushes(&self, loss: Loss) -> Result<(), String> {
        match loss {
            Loss::CrossEntropy | Loss::Margin => Ok(()),
            Loss::Toward | Loss::Ratio | Loss::RatioToward => {
                Err("this target gives no loss on single logits".into())
            }
            Loss::Up | Loss::Down => Err("the model decides; it has no number to push".into()),
        }
    }
    /// Rows whose clean values a search for `row` may start from; `None`: those decided as
    /// wanted.
    fn starts(&self, _row: usize) -> Option<Vec<usize>> {
        None
    }
    /// Whether each question costs, so that the checks after an attack ask none of their own.
    fn metered(&self) -> bool {
        false
    }
    /// Threads that a call uses at most.
    fn threads(&self) -> usize {
        1
    }
    /// The same target, each call of which stays on the calling thread, so that [`Oracle::threads`]
    /// callers may ask at once; `None` where that brings nothing. The answers are the same.
    fn alone(&self) -> Option<Box<dyn Oracle + '_>> {
        None
    }
}
