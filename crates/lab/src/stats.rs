//! Statistics: intervals, discrimination, calibration, agreement.
//!
//! Owns every formula behind a figure. Must never look at a model: it is handed counts, scores
//! and labels. Called by the accuracy figures, the robust figures, the gates and `assess`.
//! Golden values: `tests/golden/make.py` (scipy, scikit-learn).

mod auc;
mod binomial;
mod brier;
mod calibration;
mod confusion;
mod meld;
mod paired;
mod quantile;
mod ratio;
mod regression;
mod special;

pub use auc::{Auc, delong};
pub use binomial::{
    Direction, Interval, clopper_pearson, mcnemar, n_to_decide, one_sided_lower, one_sided_upper,
    wilson,
};
pub use brier::{brier, brier_rows};
pub use calibration::{Bin, Calibration};
pub use confusion::Confusion;
pub use meld::{DRAWS, melded};
pub use paired::Paired;
pub use quantile::{bounded_mean, quantile};
pub use ratio::paired_ratio;
pub use regression::{Measured, mae, mean_error, quantile_error, r_squared, rmse, rows_for_mean};
pub use special::{beta_inc, beta_quantile, ln_gamma, normal_cdf, normal_quantile};

#[cfg(test)]
mod tests;
