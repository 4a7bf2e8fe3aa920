//! What must hold between faults, models, features and criteria.
//!
//! Owns the resolving of names in `[faults.<name>]` and of faults in criteria. Called by `check`.

use std::ops::Range;

use super::super::parse::unresolved;
use super::super::{Criterion, Fault};
use super::{Check, Diagnostic};

impl Check<'_> {
    pub(super) fn fault(&self, fault: &Fault) {
        let at = |key: &[&str]| self.at(&[&["faults", fault.name.as_str()], key].concat());
        for (index, model) in fault.models.iter().enumerate() {
            if let Some(span) = at(&["models", &index.to_string()]) {
                self.model_known(span, model);
            }
        }
        let known = || self.system.features.iter().filter(|f| f.input).map(|f| f.name.as_str());
        for (index, column) in fault.columns.iter().enumerate() {
            if let Some(span) = at(&["columns", &index.to_string()])
                && !known().any(|name| name == column)
            {
                self.reader.report(unresolved(span, "input feature", column, known()));
            }
        }
        if fault.factor.is_some() && fault.kind != UNIT_SWAP && !fault.kind.is_empty() {
            let span = at(&["factor"]).unwrap_or_default();
            let message = format!("a fault of kind `{}` has no factor", fault.kind);
            let help = "remove `factor`, or write `kind = \"unit-swap\"`";
            self.report("factor-not-used", span, message, "not used", help);
        }
    }

    /// The fault that a criterion names, and its severity.
    pub(super) fn criterion_fault(&self, criterion: &Criterion) {
        let at = |key: &str| self.at(&["criteria", &criterion.name, key]);
        let (Some(span), Some(name)) = (at("fault"), &criterion.fault) else { return };
        // `weather/fog` is one member of the fault `weather`.
        let own = name.split('/').next().unwrap_or_default();
        let Some(fault) = self.system.fault_named(own) else {
            let known = self.system.faults.iter().map(|f| f.name.as_str());
            self.reader.report(unresolved(span, "fault", own, known));
            return;
        };
        if !fault.models.is_empty() && !fault.models.contains(&criterion.model) {
            let message = format!("fault `{own}` is not set on `{}`", criterion.model);
            let help = "add the model to `models` of the fault, or name another fault";
            let also = self.at(&["faults", own, "models"]);
            let problem = Diagnostic::new("fault-not-aimed", span, message, "not set", help);
            self.reader.report(problem.and(also, "its models"));
        }
        let severity = criterion.severity;
        if let (Some(span), Some(severity)) = (at("severity"), severity)
            && !fault.severities.contains(&severity)
        {
            self.severity_unknown(own, severity, span);
        }
    }

    fn severity_unknown(&self, fault: &str, severity: u8, span: Range<usize>) {
        let message = format!("{severity} is no severity of fault `{fault}`");
        let help = "name one of the severities of the fault; without a list it has 1 to 5";
        let problem =
            Diagnostic::new("severity-not-of-fault", span, message, "never measured", help);
        let also = self.at(&["faults", fault, "severities"]);
        self.reader.report(problem.and(also, "the severities"));
    }
}

const UNIT_SWAP: &str = "unit-swap";
