//! What must hold between sections about labels that are numbers, and about series.
//!
//! Owns: one task for all data sets, outputs that fit it, tolerances of threats, metrics of
//! criteria. Called by `check`.

use super::super::criteria::is_error;
use super::super::diagnostic::list;
use super::super::{Criterion, DataAsset, Diagnostic, ModelAsset, OutputKind, Threat};
use super::Check;

impl Check<'_> {
    /// All data sets are labelled alike, and every model answers in that kind.
    pub(super) fn same_task(&self, data: &DataAsset) {
        let Some(test) = self.test() else { return };
        if test.task != data.task {
            let path = ["data", &data.name, "task"];
            let span = self.at(&path).or_else(|| self.at(&["data", &data.name]));
            let message = format!("`{}` has another task than `{}`", data.name, test.name);
            let help = "write the same `task` for every data set";
            self.report("task-mismatch", span.unwrap_or(0..0), message, "differs", help);
        }
        if test.name == data.name {
            self.system.models.iter().for_each(|m| self.output_of_task(m));
        }
    }

    fn output_of_task(&self, model: &ModelAsset) {
        let Some(span) = self.at(&["models", &model.name, "output", "kind"]) else { return };
        let (regression, value) =
            (self.system.task().is_regression(), model.output.kind == OutputKind::Value);
        if regression == value {
            return;
        }
        let (message, help) = if regression {
            (
                format!("the labels are numbers, and `{}` answers with classes", model.name),
                "write `output = { kind = \"value\" }`",
            )
        } else {
            (
                format!("`{}` answers with a number, and the labels are classes", model.name),
                "write `task = \"regression\"` at the data sets, or another `kind`",
            )
        };
        self.report("output-does-not-fit", span, message, "does not fit the labels", help);
    }

    /// The axis order of an input is that of images, or that of series.
    pub(super) fn layout(&self, model: &ModelAsset, series: bool) {
        let Some(span) = self.at(&["models", &model.name, "input", "layout"]) else { return };
        if series != model.input.series.is_some() {
            let (message, help) = if series {
                ("this is an axis order of images", "write `steps-channels` or `channels-steps`")
            } else {
                ("this is an axis order of series", "write `nchw` or `nhwc`")
            };
            self.report("layout-does-not-fit", span, message, "not for this input", help);
        }
    }

    /// A shift needs a tolerance; decisions have none.
    pub(super) fn tolerance(&self, threat: &Threat) {
        let regression = self.system.task().is_regression();
        let at = |key: &[&str]| self.at(&[&["threats", threat.name.as_str()], key].concat());
        let written = |key| self.reader.was_written(&["threats", &threat.name, key]);
        if regression && threat.tolerance.is_none() && !written("tolerance") {
            let span = at(&[]).unwrap_or(0..0);
            let message = format!("threat `{}` does not say which shift matters", threat.name);
            let help = "write `tolerance = 5000` (unit of the label) or \
                        `tolerance = { relative = 0.1 }`";
            self.report("tolerance-missing", span, message, "no tolerance", help);
        }
        if let Some(span) = at(&["goal"]).filter(|_| regression && threat.goal.is_some()) {
            let message = "the labels are numbers, so there are no classes to go from and to";
            let help = "write `goal = { direction = \"up\" }`, `down` or `either`";
            self.report("goal-of-classes", span, message, "not for a regression", help);
        }
        let foreign = [
            (at(&["tolerance"]), "tolerance", threat.tolerance.is_some()),
            (at(&["goal", "direction"]), "direction", threat.direction.is_some()),
        ];
        for (span, key, present) in foreign {
            if let Some(span) = span.filter(|_| present && !regression) {
                let message = format!("`{key}` is about labels that are numbers");
                let help = "write `task = \"regression\"` at the data sets, or remove it";
                self.report("key-of-regression", span, message, "labels are classes", help);
            }
        }
    }

    /// The metric fits the labels; a quantile is one of those measured.
    pub(super) fn criterion_task(&self, criterion: &Criterion) {
        let Some(span) = self.at(&["criteria", &criterion.name, "metric"]) else { return };
        let regression = self.system.task().is_regression();
        let error = is_error(&criterion.metric);
        if criterion.metric == "robust_accuracy" {
            return;
        }
        if error != regression {
            let metric = &criterion.metric;
            let (message, help) = if regression {
                let help = "use `mae`, `rmse`, `quantile_error` or `robust_accuracy`";
                (format!("`{metric}` is about decisions, and the labels are numbers"), help)
            } else {
                let help = "use a metric of decisions, e.g. `accuracy`";
                (format!("`{metric}` is about numbers, and the labels are classes"), help)
            };
            self.report("metric-does-not-fit", span, message, "another kind of label", help);
            return;
        }
        let (Some(quantile), Some(data)) =
            (criterion.quantile, self.system.data_named(&criterion.data))
        else {
            return;
        };
        if data.quantiles.contains(&quantile) {
            return;
        }
        let Some(at) = self.at(&["criteria", &criterion.name, "quantile"]) else { return };
        let known: Vec<String> = data.quantiles.iter().map(f64::to_string).collect();
        let message = format!("the quantile {quantile} is not measured on `{}`", data.name);
        let help = format!("it has {}; add it to `quantiles` there", list(&known));
        let problem = Diagnostic::new("unknown-quantile", at, message, "never measured", help);
        self.reader.report(problem.and(self.at(&["data", &data.name]), "the data set"));
    }
}
