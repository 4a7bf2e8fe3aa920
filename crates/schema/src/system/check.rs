//! What must hold between the sections of a declaration.
//!
//! Owns the cross-checks: names resolve, types fit, a robust figure on a table has scale, bounds
//! and goal. A check runs only where the values it needs were read well, so that one slip gives
//! one diagnostic.

use std::ops::Range;

mod faults;
mod regression;

use super::constraints;
use super::diagnostic::{Diagnostic, list, suggest};
use super::parse::unresolved;
use super::reader::Reader;
use super::{
    Criterion, DataAsset, DataRole, Decision, Feature, FeatureKind, ModelAsset, ModelRole,
    OutputKind, Scale, System, Threat,
};

/// Reports everything that does not fit together.
pub(super) fn check(reader: &Reader, system: &System) {
    let check = Check { reader, system };
    check.presence();
    check.roles();
    check.features();
    system.data.iter().for_each(|d| check.data(d));
    system.models.iter().for_each(|m| check.model(m));
    system.threats.iter().for_each(|t| check.threat(t));
    system.faults.iter().for_each(|f| check.fault(f));
    system.criteria.iter().for_each(|c| check.criterion(c));
    check.people_and_harms();
    constraints::check(reader, &system.features, &system.constraints);
}

struct Check<'a> {
    reader: &'a Reader,
    system: &'a System,
}

impl Check<'_> {
    fn report(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.reader.report(Diagnostic::new(code, span, message, label, help));
    }

    fn presence(&self) {
        let (s, end) = (self.system, 0..0);
        let wanted = [
            (s.data.is_empty(), "data set", "[data.test]"),
            (s.features.is_empty(), "feature", "[features.<column>]"),
            (s.models.is_empty(), "model", "[models.<name>]"),
        ];
        for (missing, what, header) in wanted {
            if missing {
                let message = format!("the declaration has no {what}");
                let help = format!("add a section `{header}`");
                self.report("missing-section", end.clone(), message, "whole file", help);
            }
        }
        let tested = s.data.iter().any(|d| d.role == DataRole::Test);
        let known = s.data.iter().all(|d| self.at(&["data", &d.name, "role"]).is_some());
        if let Some(first) = s.data.first().filter(|_| !tested && known) {
            let span = self.at(&["data", &first.name, "role"]).unwrap_or(end);
            let message = "no data set has the role `test`";
            let help = "figures come from test data: add `[data.test]` with `role = \"test\"`";
            self.report("no-test-data", span, message, "not the test data", help);
        }
    }

    fn people_and_harms(&self) {
        let s = self.system;
        let harms = || s.harms.iter().map(|h| h.name.as_str());
        let people = || s.people.iter().map(|p| p.id.as_str());
        for threat in &s.threats {
            let path = ["threats", &threat.name, "harm"];
            self.resolves(&path, "harm", threat.harm.as_deref(), &mut harms());
        }
        for misuse in &s.misuse {
            let path = ["misuse", &misuse.name, "harm"];
            self.resolves(&path, "harm", Some(misuse.harm.as_str()), &mut harms());
        }
        for (key, person) in
            [("risk_owner", &s.upkeep.risk_owner), ("approver", &s.upkeep.approver)]
        {
            self.resolves(&["use", key], "person", person.as_deref(), &mut people());
        }
        for text in &s.papers {
            let path = ["papers", &text.id, "owner"];
            self.resolves(&path, "person", Some(text.owner.as_str()), &mut people());
        }
        let (owner, approver) = (&s.upkeep.risk_owner, &s.upkeep.approver);
        if let Some(span) = self.at(&["use", "approver"]).filter(|_| owner == approver) {
            let message = "the risk owner approves the own risks";
            let help = "author and approver must be two people";
            self.report("same-person", span, message, "the same person", help);
        }
        if let Some(span) = self.at(&["use", "no_misuse"]).filter(|_| !s.misuse.is_empty()) {
            let message = "misuse is declared, and said to be none";
            let help = "remove `no_misuse`";
            self.report("both-texts", span, message, "not so", help);
        }
    }

    fn resolves(
        &self,
        path: &[&str],
        what: &str,
        name: Option<&str>,
        known: &mut dyn Iterator<Item = &str>,
    ) {
        let known: Vec<&str> = known.collect();
        let (Some(span), Some(name)) = (self.at(path), name) else { return };
        if !known.contains(&name) {
            self.reader.report(unresolved(span, what, name, known));
        }
    }

    fn roles(&self) {
        let models = &self.system.models;
        let primary: Vec<&ModelAsset> =
            models.iter().filter(|m| m.role == ModelRole::Primary).collect();
        if let [first, second, ..] = primary.as_slice() {
            let message = format!("models `{}` and `{}` are both primary", first.name, second.name);
            let help = "one model decides; make the other `backup` or `candidate`";
            let span = self.at(&["models", &second.name, "role"]).unwrap_or(0..0);
            let also = self.at(&["models", &first.name, "role"]);
            let problem = Diagnostic::new("two-primaries", span, message, "the second one", help);
            self.reader.report(problem.and(also, "the first one"));
        }
        let known = models.iter().all(|m| self.at(&["models", &m.name, "role"]).is_some());
        if let Some(first) = models.first().filter(|_| primary.is_empty() && known) {
            let span = self.at(&["models", &first.name, "role"]).unwrap_or(0..0);
            let message = "no model has the role `primary`";
            let help = "the model that decides is `role = \"primary\"`";
            self.report("no-primary", span, message, "not primary", help);
        }
    }

    fn features(&self) {
        let features = &self.system.features;
        let array = features.iter().find(|f| is_array(f.kind));
        let other = features.iter().find(|f| array.is_some_and(|i| i.name != f.name));
        if let (Some(array), Some(other)) = (array, other) {
            let what = if array.kind == FeatureKind::Image { "image" } else { "series" };
            let span = self.at(&["features", &other.name]).unwrap_or(0..0);
            let message = format!("`{}` stands beside the {what} `{}`", other.name, array.name);
            let help = match array.kind {
                FeatureKind::Image => "an image system has one feature: the image",
                _ => "a system of series has one feature: the series, with its channels",
            };
            let problem = Diagnostic::new("mixed-features", span, message, "not supported", help);
            let also = self.at(&["features", &array.name]);
            self.reader.report(problem.and(also, format!("the {what}")));
        }
        let typed = features.iter().all(|f| self.at(&["features", &f.name, "type"]).is_some());
        if typed && !features.is_empty() && !features.iter().any(|f| f.input) {
            let span =
                features.first().and_then(|f| self.at(&["features", &f.name])).unwrap_or(0..0);
            let message = "no feature is read by a model";
            let help = "remove `input = false` where the model reads the column";
            self.report("no-input", span, message, "not read", help);
        }
    }

    fn data(&self, data: &DataAsset) {
        let at = |key: &str| self.at(&["data", &data.name, key]);
        if let (Some(span), Some(array)) = (at("path"), self.array())
            && data.is_table() == array
        {
            let series = self.system.series().is_some();
            let (has, wants) = match array {
                true if series => ("series", ".npy, .npz"),
                true => ("images", ".npy, .npz, .idx"),
                false => ("a table", ".csv"),
            };
            let message = format!("the features declare {has}, but `{}` is none", data.path);
            let help = format!("name a file of type {wants}, or change the features");
            self.report("file-does-not-fit", span, message, "another kind of file", help);
        }
        self.columns(data);
        self.same_task(data);
        let Some(test) = self.test().filter(|t| t.name != data.name) else { return };
        let names =
            |d: &DataAsset| -> Vec<String> { d.classes.iter().map(|c| c.0.clone()).collect() };
        let first = self.at(&["data", &test.name, "classes"]);
        if let (Some(span), Some(first)) = (at("classes"), first)
            && names(data) != names(test)
        {
            let message = format!(
                "`{}` has other classes, or another order, than `{}`",
                data.name, test.name
            );
            let help = format!("name the classes {} in this order", list(&names(test)));
            let problem = Diagnostic::new("class-mismatch", span, message, "differs", help);
            self.reader.report(problem.and(Some(first), "the test data"));
        }
    }

    /// Names of columns that collide, and names that a pinned header does not have.
    fn columns(&self, data: &DataAsset) {
        let label = data.label.as_deref().map(|l| (l, self.at(&["data", &data.name, "label"])));
        let ignored = data.ignore.iter().enumerate().map(|(i, name)| {
            (name.as_str(), self.at(&["data", &data.name, "ignore", &i.to_string()]))
        });
        let named: Vec<(&str, Option<Range<usize>>)> = label.into_iter().chain(ignored).collect();
        for (name, span) in &named {
            let Some(span) = span.clone() else { continue };
            if self.system.feature_named(name).is_none() {
                continue;
            }
            let message = format!("`{name}` is declared as a feature too");
            let help = "a column is a feature, the label or ignored: one of the three";
            let problem = Diagnostic::new("column-twice", span, message, "also a feature", help);
            self.reader.report(problem.and(self.at(&["features", name]), "the feature"));
        }
        let Some(columns) = &data.dialect.columns else { return };
        let known = || columns.iter().map(String::as_str);
        for (name, span) in named {
            if let Some(span) = span.filter(|_| !columns.iter().any(|c| c == name)) {
                self.reader.report(unresolved(span, "column", name, known()));
            }
        }
        for feature in &self.system.features {
            if columns.contains(&feature.name) || !data.is_table() {
                continue;
            }
            let span = self.at(&["features", &feature.name]).unwrap_or(0..0);
            self.reader.report(unresolved(span, "column", &feature.name, known()));
        }
    }

    fn model(&self, model: &ModelAsset) {
        let at = |key: &[&str]| self.at(&[&["models", model.name.as_str()], key].concat());
        let known = self.class_names();
        for (index, class) in model.output.classes.iter().enumerate() {
            if let Some(span) = at(&["output", "classes", &index.to_string()]) {
                self.class_known(span, class);
            }
        }
        if let Some(span) = at(&["output", "classes"]) {
            let left: Vec<&str> = known
                .iter()
                .copied()
                .filter(|k| !model.output.classes.iter().any(|c| c == k))
                .collect();
            let strange = model.output.classes.iter().any(|c| !known.contains(&c.as_str()));
            if !left.is_empty() && !strange {
                let message = format!("the output of `{}` leaves out {}", model.name, list(&left));
                let help = "list every class once, in the order of the output's columns";
                self.report("class-left-out", span, message, "incomplete", help);
            }
        }
        if let (Decision::Cutoff { class, .. }, Some(span)) =
            (&model.decision, at(&["decision", "class"]))
            && self.class_known(span.clone(), class)
            && known.len() > 2
        {
            let message = format!("a cut-off decides between two classes, not {}", known.len());
            let help = "write `decision = \"argmax\"`";
            self.report("cutoff-many-classes", span, message, "one of many", help);
        }
        self.expected(model);
        self.input(model);
    }

    fn expected(&self, model: &ModelAsset) {
        let Some(span) = self.at(&["models", &model.name, "expected_data"]) else { return };
        let Some(name) = &model.expected_data else { return };
        if self.system.data_named(name).is_none() {
            let known = self.system.data.iter().map(|d| d.name.as_str());
            self.reader.report(unresolved(span, "data set", name, known));
        }
    }

    fn input(&self, model: &ModelAsset) {
        let at = |key: &str| self.at(&["models", &model.name, "input", key]);
        let Some(array) = self.array() else { return };
        let series = self.system.series();
        let foreign: &[&str] = match (array, series) {
            (true, None) => &["columns"],
            (true, Some(_)) => &["columns", "range"],
            (false, _) => &["layout", "range", "mean", "std"],
        };
        self.layout(model, series.is_some());
        for key in foreign {
            if let Some(span) = at(key) {
                let is = if *key == "columns" { "columns" } else { "images" };
                let not = match (array, series) {
                    (true, None) => "images",
                    (true, Some(_)) => "series",
                    (false, _) => "a table",
                };
                let message = format!("`{key}` is about {is}, and this system has {not}");
                self.report("input-does-not-fit", span, message, "not used", "remove it");
            }
        }
        for (index, column) in model.input.columns.iter().enumerate() {
            let Some(span) =
                self.at(&["models", &model.name, "input", "columns", &index.to_string()])
            else {
                continue;
            };
            let inputs = self.system.features.iter().filter(|f| f.input).map(|f| f.name.as_str());
            match self.system.feature_named(column) {
                None => self.reader.report(unresolved(span, "feature", column, inputs)),
                Some(feature) if !feature.input => {
                    let message = format!("`{column}` is declared as not read by any model");
                    let help = format!("remove `input = false` at `features.{column}`");
                    self.report("column-not-input", span, message, "not an input", help);
                }
                Some(_) => {}
            }
        }
        let of_image = self.system.features.iter().find_map(|f| f.shape).map(|s| s[0]);
        let of_series = series.and_then(|f| f.series.as_ref()).map(|s| s.channels.len());
        let Some(channels) = of_image.or(of_series) else { return };
        let what = if of_image.is_some() { "image" } else { "series" };
        for (key, length) in [("mean", model.input.mean.len()), ("std", model.input.std.len())] {
            if let Some(span) = at(key).filter(|_| length != channels) {
                let message =
                    format!("`{key}` has {length} values, the {what} {channels} channels");
                let help = "write one value per channel";
                self.report("channel-count", span, message, "not one per channel", help);
            }
        }
    }

    fn threat(&self, threat: &Threat) {
        let at = |key: &[&str]| self.at(&[&["threats", threat.name.as_str()], key].concat());
        for (index, model) in threat.models.iter().enumerate() {
            if let Some(span) = at(&["models", &index.to_string()]) {
                self.model_known(span, model);
            }
        }
        if let Some(goal) = &threat.goal {
            for (key, class) in [("from", &goal.from), ("to", &goal.to)] {
                if let Some(span) = at(&["goal", key]) {
                    self.class_known(span, class);
                }
            }
        }
        self.tolerance(threat);
        constraints::check_cost(self.reader, &self.system.features, threat);
        let (Some(image), Some(array)) = (self.image(), self.array()) else { return };
        let scale = at(&["scale"]);
        if let Some(span) = scale.clone().filter(|_| threat.scale == Scale::U8 && !image) {
            let has = if array { "series" } else { "a table" };
            let message = format!("`0-255` is a scale of images, and this system has {has}");
            let help = "write `scale = \"bounds\"`: shares of each feature's bounds";
            self.report("scale-of-images", span, message, "no image", help);
        }
        if let Some(span) = scale.filter(|_| threat.scale == Scale::Std && image) {
            let message = "`std` is a scale of tables, and this system has images";
            let help = "write `scale = \"0-255\"` or `scale = \"raw\"`";
            self.report("scale-of-tables", span, message, "no table", help);
        }
        let name = at(&[]).unwrap_or(0..0);
        if !self.system.features.iter().any(|f| f.mutable) && self.mutable_known() {
            let message = format!("threat `{}` has nothing that it can change", threat.name);
            let help = "declare `mutable = true` on the features that an attacker can change";
            self.report("nothing-mutable", name.clone(), message, "no mutable feature", help);
        }
        if !array && !self.system.task().is_regression() {
            self.threat_on_table(threat, name);
        }
    }

    /// No robust figure on a table without a goal.
    fn threat_on_table(&self, threat: &Threat, name: Range<usize>) {
        let written = self.reader.was_written(&["threats", &threat.name, "goal"]);
        if threat.goal.is_none() && !written {
            let message = format!("threat `{}` on a table has no goal", threat.name);
            let help =
                "say what the attacker wants, e.g. `goal = { from = \"bad\", to = \"good\" }`";
            self.report("goal-missing", name, message, "no goal", help);
        }
    }

    fn criterion(&self, criterion: &Criterion) {
        let at = |key: &[&str]| self.at(&[&["criteria", criterion.name.as_str()], key].concat());
        if let Some(span) = at(&["model"]) {
            self.model_known(span, &criterion.model);
        }
        if let Some(span) = at(&["data"]) {
            self.criterion_data(criterion, span);
        }
        if let (Some(span), Some(name)) = (at(&["threat"]), &criterion.threat) {
            match self.system.threat_named(name) {
                None => {
                    let known = self.system.threats.iter().map(|t| t.name.as_str());
                    self.reader.report(unresolved(span, "threat", name, known));
                }
                Some(threat) => self.criterion_threat(criterion, threat, span),
            }
        }
        if let Some(span) = at(&["group"]) {
            self.criterion_group(criterion, span);
        }
        self.criterion_fault(criterion);
        self.criterion_output(criterion);
        self.criterion_task(criterion);
    }

    fn criterion_data(&self, criterion: &Criterion, span: Range<usize>) {
        let known = self.system.data.iter().map(|d| d.name.as_str());
        match self.system.data_named(&criterion.data) {
            None => self.reader.report(unresolved(span, "data set", &criterion.data, known)),
            Some(d) if self.at(&["data", &d.name, "role"]).is_some() => {
                let (code, what) = match d.role {
                    DataRole::Test => return,
                    DataRole::Train => ("criterion-on-training", "training data"),
                    DataRole::Validation => ("criterion-on-validation", "validation data"),
                };
                let message = format!("`{}` is {what}: no criterion is judged on it", d.name);
                let problem = Diagnostic::new(code, span, message, what, "name the test data");
                let also = self.at(&["data", &d.name, "role"]);
                self.reader.report(problem.and(also, "its role"));
            }
            Some(_) => {}
        }
    }

    fn criterion_threat(&self, criterion: &Criterion, threat: &Threat, span: Range<usize>) {
        let budgets = self.at(&["threats", &threat.name, "eps"]);
        if let (Some(at), Some(eps)) =
            (self.at(&["criteria", &criterion.name, "eps"]), criterion.eps)
            && budgets.is_some()
            && !threat.eps.contains(&eps)
        {
            let all: Vec<String> = threat.eps.iter().map(f64::to_string).collect();
            let message = format!("{eps} is no budget of threat `{}`", threat.name);
            let help = format!("its budgets: {}", list(&all));
            let problem =
                Diagnostic::new("eps-not-of-threat", at, message, "never attacked with", help);
            self.reader.report(problem.and(budgets, "the budgets"));
        }
        let listed = &threat.models;
        let strange = listed.iter().any(|m| self.system.model_named(m).is_none());
        let aimed = listed.is_empty() || strange || listed.contains(&criterion.model);
        if !aimed && self.at(&["threats", &threat.name, "models"]).is_some() {
            let message = format!("threat `{}` is not aimed at `{}`", threat.name, criterion.model);
            let help = "add the model to `models` of the threat, or name another threat";
            let also = self.at(&["threats", &threat.name, "models"]);
            let problem =
                Diagnostic::new("threat-not-aimed", span.clone(), message, "not aimed", help);
            self.reader.report(problem.and(also, "its models"));
        }
        let written = self.reader.was_written(&["threats", &threat.name, "goal"]);
        if criterion.metric == "robust_recall" && threat.goal.is_none() && !written {
            let message = "`robust_recall` is about the class that the goal starts from";
            let help = format!("declare a `goal` at `threats.{}`", threat.name);
            self.report("goal-missing", span, message, "this threat has no goal", help);
        }
    }

    fn criterion_group(&self, criterion: &Criterion, span: Range<usize>) {
        let Some((name, value)) = &criterion.group else { return };
        let Some(feature) = self.system.feature_named(name) else {
            let groups = self.system.features.iter().filter(|f| f.group).map(|f| f.name.as_str());
            self.reader.report(unresolved(span, "feature", name, groups));
            return;
        };
        if !feature.group {
            let message = format!("`{name}` makes no groups");
            let help = format!("write `group = true` at `features.{name}`");
            let problem = Diagnostic::new("not-a-group", span, message, "no group feature", help);
            self.reader.report(problem.and(self.at(&["features", name]), "the feature"));
            return;
        }
        let groups = feature.group_names();
        let names = if feature.kind.is_numeric() { "group_edges" } else { "values" };
        let typed = self.at(&["features", name, "type"]).is_some();
        if typed && !groups.contains(value) && self.at(&["features", name, names]).is_some() {
            let message = format!("`{value}` is no group of `{name}`");
            let help = suggest(value, "groups", groups.iter().map(String::as_str));
            self.report("unknown-group", span, message, "not a group", help);
        }
    }

    fn criterion_output(&self, criterion: &Criterion) {
        let Some(span) = self.at(&["criteria", &criterion.name, "metric"]) else { return };
        let Some(model) = self.system.model_named(&criterion.model) else { return };
        if self.at(&["models", &model.name, "output", "kind"]).is_none() {
            return;
        }
        let kind = model.output.kind;
        let unfit = match criterion.metric.as_str() {
            "auc" => kind == OutputKind::Label,
            "brier" => matches!(kind, OutputKind::Label | OutputKind::Score),
            _ => false,
        };
        let metric = &criterion.metric;
        if unfit {
            let message = format!("`{metric}` cannot be read from the output of `{}`", model.name);
            let help = "judge an output of kind `probability` or `logit`, or another metric";
            let problem =
                Diagnostic::new("metric-does-not-fit", span.clone(), message, "needs scores", help);
            let also = self.at(&["models", &model.name, "output", "kind"]);
            self.reader.report(problem.and(also, "the output"));
        }
        if metric == "auc" && self.class_names().len() > 2 {
            let message = "`auc` is defined for two classes";
            let help = "use `balanced_accuracy` or `mcc` for more classes";
            self.report("metric-does-not-fit", span, message, "more than two classes", help);
        }
    }

    fn class_known(&self, span: Range<usize>, class: &str) -> bool {
        let known = self.class_names();
        if known.is_empty() || known.contains(&class) {
            return !known.is_empty();
        }
        self.reader.report(unresolved(span, "class", class, known));
        false
    }

    fn model_known(&self, span: Range<usize>, name: &str) {
        if self.system.model_named(name).is_none() {
            let known = self.system.models.iter().map(|m| m.name.as_str());
            self.reader.report(unresolved(span, "model", name, known));
        }
    }

    /// Whether the system is about images; `None` when no feature could be read.
    fn image(&self) -> Option<bool> {
        self.any_kind(|k| k == FeatureKind::Image)
    }

    /// Whether the system is about arrays: images or series.
    fn array(&self) -> Option<bool> {
        self.any_kind(is_array)
    }

    fn any_kind(&self, wanted: fn(FeatureKind) -> bool) -> Option<bool> {
        let known = |f: &&Feature| self.at(&["features", &f.name, "type"]).is_some();
        let mut kinds = self.system.features.iter().filter(known).map(|f| f.kind).peekable();
        kinds.peek()?;
        Some(kinds.any(wanted))
    }

    /// Whether every feature's `mutable` could be read where it is written.
    fn mutable_known(&self) -> bool {
        self.system.features.iter().all(|f| {
            let path = ["features", f.name.as_str(), "mutable"];
            self.at(&path).is_some() || !self.reader.was_written(&path)
        })
    }

    fn test(&self) -> Option<&DataAsset> {
        self.system.data.iter().find(|d| d.role == DataRole::Test)
    }

    /// Classes of the test data; none when they could not be read well.
    fn class_names(&self) -> Vec<&str> {
        let Some(test) = self.test() else { return Vec::new() };
        if self.at(&["data", &test.name, "classes"]).is_none() {
            return Vec::new();
        }
        test.classes.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn at(&self, path: &[&str]) -> Option<Range<usize>> {
        self.reader.span(path)
    }
}

fn is_array(kind: FeatureKind) -> bool {
    matches!(kind, FeatureKind::Image | FeatureKind::Series)
}
