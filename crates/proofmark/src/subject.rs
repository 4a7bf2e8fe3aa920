//! The subject of a probe: one model on one data set, loaded, bound, asked once for its clean
//! answers, its set-up checked.
//!
//! Owns what several probes of a run share. Must never measure or judge.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use proofmark_dataset::bind::Binding;
use proofmark_dataset::digest::{self, Rows as Digested};
use proofmark_dataset::groups;
use proofmark_dataset::series::Overlap;
use proofmark_dataset::stats::stats;
use proofmark_engine::engine::EngineKind;
use proofmark_evidence::rowkey::RowKey;
use proofmark_lab::constraint::Constraints;
use proofmark_lab::decision::Decision;
use proofmark_lab::evasion::assessment::Numbers;
use proofmark_lab::facts::{Facts, Group};
use proofmark_lab::harness::{Case, Clean};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::space::Space;
use proofmark_lab::target::{self, Target, TargetOptions};
use proofmark_lab::tolerance::{Banded, Bands};
use proofmark_lab::validity::{self, Alternative, Setup};
use proofmark_schema::measurement::{AssetDigest, EngineUse, Validity};
use proofmark_schema::plan::Plan;
use proofmark_schema::system::{self, DataRole, Feature, Scale, Task, Threat};

use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::{self, LoadedData, LoadedModel, Rows};
use crate::project::Project;
use crate::runner::Settings;

/// A model on a data set.
pub struct Subject {
    model: String,
    data: Arc<LoadedData>,
    binding: Binding,
    deviations: BTreeMap<String, f64>,
    digests: Vec<AssetDigest>,
    classes: Vec<(String, String)>,
    features: Vec<Feature>,
    declared: system::Constraints,
    second: Option<Target>,
    /// The deployed target.
    pub target: Target,
    /// Its clean answers.
    pub clean: Clean,
    /// The declared decision.
    pub decision: Decision,
    /// Groups of the rows.
    pub groups: Vec<Group>,
    /// Scores of the training framework for these rows.
    pub expected: Option<Vec<f32>>,
    /// Checks of the set-up.
    pub setup: Vec<Validity>,
    /// Remarks for people.
    pub notes: Vec<String>,
    /// Engine, version and CPU features.
    pub engine: EngineUse,
}

/// An attack on a subject: what [`Case`] borrows.
pub struct OwnedCase<'a> {
    subject: &'a Subject,
    space: Space,
    /// Regression: the targets seen through the bands of the threat.
    view: Option<View<'a>>,
    constraints: Option<Constraints>,
    criterion: proofmark_lab::criterion::Criterion,
    threat: &'a Threat,
    probe: &'a str,
}

struct View<'a> {
    first: Banded<'a>,
    second: Option<Banded<'a>>,
}

impl OwnedCase<'_> {
    /// What belongs to an attack on a number; `None` for classes.
    pub fn numbers(&self) -> Option<Numbers<'_>> {
        let unit = self.subject.unit();
        self.view.as_ref().map(|view| Numbers { view: &view.first, unit })
    }
    /// Rows that no tolerance is left for, in words.
    pub fn without_room(&self) -> Option<String> {
        let rows = self.view.as_ref()?.first.bands().without_room();
        (rows > 0).then(|| {
            format!("{rows} rows have a reference of 0: a share of it leaves them no tolerance")
        })
    }
    /// A remark where a budget is no bound at all: most often the scale is another one.
    pub fn boundless(&self) -> Option<String> {
        let reach = self.space.diameter(self.threat.norm);
        let boundless = self.threat.eps.iter().copied().find(|&eps| eps >= reach)?;
        Some(format!(
            "the budget {boundless} reaches every allowed value: is it in the unit of the scale?"
        ))
    }
    /// As the lab wants it.
    pub fn borrow(&self) -> Case<'_> {
        let (oracle, second, decision): (&dyn Oracle, Option<&dyn Oracle>, Decision) =
            match &self.view {
                Some(view) => {
                    let second = view.second.as_ref().map(|v| v as &dyn Oracle);
                    (&view.first, second, Bands::decision())
                }
                None => {
                    let second = self.subject.second.as_ref().map(|t| t as &dyn Oracle);
                    (&self.subject.target, second, self.subject.decision)
                }
            };
        Case {
            oracle,
            second,
            space: &self.space,
            labels: self.subject.labels(),
            decision,
            criterion: self.criterion,
            norm: self.threat.norm,
            access: self.threat.access,
            queries_limit: self.threat.queries,
            constraints: self.constraints.as_ref(),
            probe: self.probe,
        }
    }
}

impl Subject {
    /// Name of the model.
    pub fn model_name(&self) -> &str {
        &self.model
    }

    /// Digests of the model and of the data it was bound to.
    pub fn digests(&self) -> &[AssetDigest] {
        &self.digests
    }

    /// Class index per row.
    pub fn labels(&self) -> &[usize] {
        self.data.labels()
    }

    /// Number of free coordinates.
    pub fn dims(&self) -> usize {
        self.target.dims()
    }

    /// The second engine, where there is one.
    pub fn second(&self) -> Option<&Target> {
        self.second.as_ref()
    }

    /// The rows as read.
    pub fn data(&self) -> &LoadedData {
        &self.data
    }

    /// The rows as the model reads them.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// What every measurement of this subject shares.
    pub fn facts(&self, seed: u64) -> Facts {
        Facts {
            model: self.model.clone(),
            data: self.data.asset.name.clone(),
            classes: self.data.classes(),
            assets: self.digests.clone(),
            engine: self.engine.clone(),
            seed,
            confidence: CONFIDENCE,
        }
    }

    /// The subject under a threat.
    pub fn case<'a>(&'a self, threat: &'a Threat, probe: &'a str) -> Outcome<OwnedCase<'a>> {
        let criterion = target::criterion(threat.goal.as_ref(), &self.classes)
            .or_fail("goal", "name two classes of the data")?;
        let space = self.space(threat.scale)?;
        something_moves(&space, threat)?;
        let view = self.view(threat)?;
        let constraints = self.constraints(threat.cost_limit)?;
        Ok(OwnedCase { subject: self, space, view, constraints, criterion, threat, probe })
    }

    /// What holds between the columns of a valid row, bound to these rows; `None` where nothing
    /// is declared.
    pub fn constraints(&self, cost_limit: Option<f64>) -> Outcome<Option<Constraints>> {
        let Rows::Table(table) = &self.data.rows else { return Ok(None) };
        let names = self.target.coordinates();
        Constraints::of_table(&self.declared, &self.features, names, table, cost_limit)
            .or_fail("constraints", "mend `[constraints]` in the declaration")
    }

    fn view<'a>(&'a self, threat: &Threat) -> Outcome<Option<View<'a>>> {
        let Some(targets) = self.targets() else { return Ok(None) };
        let tolerance = threat.tolerance.ok_or_else(|| {
            Failure::new(
                "tolerance",
                format!("threat `{}` does not say which shift matters", threat.name),
                "declare `tolerance`, in the unit of the label",
            )
        })?;
        let direction = threat.direction.unwrap_or_default();
        let bands = Arc::new(Bands::new(&self.clean, targets, tolerance, direction));
        let through = |target: &'a Target| Banded::new(target, Arc::clone(&bands), &self.clean);
        let second = self.second.as_ref().map(through);
        Ok(Some(View { first: through(&self.target), second }))
    }

    /// Labels that are numbers, for a regression.
    pub fn targets(&self) -> Option<&[f64]> {
        self.data.targets()
    }

    /// Unit of a label that is a number, as declared.
    pub fn unit(&self) -> Option<&str> {
        self.data.asset.unit.as_deref()
    }

    /// The files are the ones the plan names.
    pub fn is_planned(&self, plan: &Plan) -> Outcome<()> {
        match self.digests.iter().find(|d| !plan.assets.contains(d)) {
            None => Ok(()),
            Some(digest) => Err(Failure::new(
                "asset-changed",
                format!("`{}` changed after the plan was registered", digest.name),
                "run `proofmark assess` again",
            )),
        }
    }

    /// Keyed digest of every row, label included.
    pub fn row_digests(&self, key: &RowKey) -> Vec<String> {
        let rows = digested(&self.data);
        (0..rows.rows()).map(|row| key.digest(&digest::row_bytes(rows, row)).hex()).collect()
    }

    /// The space an attacker moves in.
    pub fn space(&self, scale: Scale) -> Outcome<Space> {
        let space = target::space(&self.binding, scale, &|name| self.deviations.get(name).copied())
            .or_fail("space", "mend bounds, mutable and scale in the declaration")?;
        let way = |name: &String| self.features.iter().find(|f| f.name == *name)?.direction;
        let ways: Vec<_> = self.target.coordinates().iter().map(way).collect();
        Ok(if ways.iter().any(Option::is_some) { space.directed(&ways) } else { space })
    }

    /// Rows that break what is declared to hold between their columns, in words.
    fn broken_rows(&self) -> Outcome<Vec<String>> {
        let (Rows::Table(table), Some(bound)) = (&self.data.rows, self.constraints(None)?) else {
            return Ok(Vec::new());
        };
        let mut rules: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for row in 0..table.n {
            for breach in bound.breaches(row) {
                let said = || {
                    let line = table.lines.get(row).copied().unwrap_or_default();
                    format!("row {row} (line {line}): {}", breach.found)
                };
                rules.entry(breach.rule).or_insert_with(|| (0, said())).0 += 1;
            }
        }
        let each = rules.into_iter();
        Ok(each
            .map(|(rule, (count, first))| format!("{count} rows break `{rule}`, first {first}"))
            .collect())
    }
}

/// On a grid (whole numbers, 8-bit pixels) a budget below one step moves nothing, and whatever
/// stands still is robust: a figure that would say nothing.
fn something_moves(space: &Space, threat: &Threat) -> Outcome<()> {
    let Some(most) = threat.eps.iter().copied().reduce(f64::max) else { return Ok(()) };
    let held = |i: usize| space.step(i).is_some_and(|step| most < step * NEARLY);
    if space.dims() == 0 || !(0..space.dims()).all(held) {
        return Ok(());
    }
    let help = match threat.scale {
        Scale::U8 => "`0-255` counts steps of a pixel, e.g. 8; `bounds` takes shares of the range",
        _ => "raise the budget, or choose another scale",
    };
    let message = format!("the budget {most} moves nothing: it is less than one whole step");
    Err(Failure::new("budget", message, help))
}

/// Loads subjects, each once.
pub struct Subjects<'a> {
    project: &'a Project,
    settings: Settings,
    loaded: BTreeMap<(String, String), Rc<Subject>>,
}

impl<'a> Subjects<'a> {
    /// Nothing loaded yet.
    pub fn new(project: &'a Project, settings: Settings) -> Self {
        Self { project, settings, loaded: BTreeMap::new() }
    }

    /// The subject of those names.
    pub fn of(&mut self, model: &str, data: &str) -> Outcome<Rc<Subject>> {
        let key = (model.to_owned(), data.to_owned());
        if let Some(subject) = self.loaded.get(&key) {
            return Ok(Rc::clone(subject));
        }
        let subject = Rc::new(load(self.project, model, data, self.settings)?);
        self.loaded.insert(key, Rc::clone(&subject));
        Ok(subject)
    }
}

fn load(project: &Project, model: &str, data: &str, settings: Settings) -> Outcome<Subject> {
    let Some(asset) = project.system.model_named(model) else {
        return Err(Failure::new(
            "unknown-asset",
            format!("the model `{model}` is not declared"),
            "run `proofmark check`",
        ));
    };
    load_model(project, loader::held_model(project, asset)?.as_ref(), data, settings)
}

/// The subject of a model at hand, declared or made from declared ones.
pub fn load_model(
    project: &Project,
    model: &LoadedModel,
    data: &str,
    settings: Settings,
) -> Outcome<Subject> {
    let Some(set) = project.system.data_named(data) else {
        return Err(Failure::new(
            "unknown-asset",
            format!("the data set `{data}` is not declared"),
            "run `proofmark check`",
        ));
    };
    let asset = &model.asset.clone();
    let data = loader::held_data(project, set)?;
    let binding = loader::bind(project, &data, model)?;
    let classes = set.classes.clone();
    let open = |engine: EngineKind| {
        let options = TargetOptions { engine, threads: settings.threads };
        Target::open(&model.model, asset, &classes, &binding, options)
    };
    let target = open(settings.engine).or_fail("target", "see `proofmark model inspect`")?;
    let decision = target::decision(asset, &classes).or_fail("decision", "name a class")?;
    let clean = Clean::ask(&target, &decision).or_fail("target", "")?;
    let mut notes = notes(project, &target, &data)?;
    let second = second(&target, &open, &mut notes);
    let mut digests = data.digests.clone();
    digests
        .push(AssetDigest { name: format!("model/{}", asset.name), sha256: model.model.digest() });
    digests.sort();
    let groups = match &data.rows {
        Rows::Table(table) => target::groups(&groups::groups(table, &project.system.features)),
        Rows::Images(_) | Rows::Series(_) => Vec::new(),
    };
    let mut subject = Subject {
        model: asset.name.clone(),
        expected: expected(project, model, &data, &target)?,
        deviations: deviations(project, &data)?,
        engine: target.engine(),
        setup: Vec::new(),
        data,
        binding,
        digests,
        classes,
        features: project.system.features.clone(),
        declared: project.system.constraints.clone(),
        second,
        target,
        clean,
        decision,
        groups,
        notes,
    };
    let unexamined = subject.constraints(None)?.map_or(0, |bound| bound.unexamined());
    if unexamined > 0 {
        let said = format!("relations about missing cells are not examined: {unexamined} rows");
        subject.notes.push(said);
    }
    subject.setup = examine(project, &subject, model, settings)?;
    Ok(subject)
}

/// The plain loops as second path, unless they are the first already.
fn second(
    target: &Target,
    open: &dyn Fn(EngineKind) -> Result<Target, target::TargetError>,
    notes: &mut Vec<String>,
) -> Option<Target> {
    let other = match target.engine().name.as_str() {
        "reference" => EngineKind::ReferenceF64,
        _ => EngineKind::Reference,
    };
    match open(other) {
        Ok(second) => Some(second),
        Err(error) => {
            notes.push(format!("no second engine: {error}"));
            None
        }
    }
}

fn notes(project: &Project, target: &Target, data: &LoadedData) -> Outcome<Vec<String>> {
    let mut notes = Vec::new();
    let engine = target.engine();
    notes.push(format!("engine {} {}", engine.name, engine.version));
    notes.extend(target.engine_note().map(str::to_owned));
    match target.gradient() {
        Ok(()) => notes.extend(target.tap().map(|tap| format!("gradients: {tap}"))),
        Err(reason) => notes.push(format!("no gradients, black-box attacks only: {reason}")),
    }
    if let Rows::Table(table) = &data.rows {
        notes.push(format!("`{}` read as: {}", data.asset.path, table.dialect));
        notes.extend(table.notes.iter().cloned());
    }
    notes.extend(data.notes.iter().map(|note| format!("data.{}: {note}", data.asset.name)));
    let by_std = project.system.threats.iter().any(|t| t.scale == Scale::Std);
    if by_std && !project.system.data.iter().any(|d| d.role == DataRole::Train) {
        notes.push("no training data: standard deviations are those of the measured rows".into());
    }
    let rows = digested(data);
    let repeated = digest::duplicates(rows).rows.len();
    if repeated > 0 {
        notes.push(format!("{repeated} rows repeat an earlier row of data.{}", data.asset.name));
    }
    let train = project.system.data.iter().find(|d| d.role == DataRole::Train);
    if let Some(train) = train.filter(|t| t.name != data.asset.name) {
        let train = loader::held_data(project, train)?;
        let shared = digest::overlap(rows, digested(&train)).rows.len();
        if shared > 0 {
            notes.push(format!(
                "{shared} rows of data.{} also lie in data.{}: figures flatter the model",
                data.asset.name, train.asset.name
            ));
        }
    }
    Ok(notes)
}

fn digested(data: &LoadedData) -> &dyn Digested {
    match &data.rows {
        Rows::Table(table) => table,
        Rows::Images(images) => images,
        Rows::Series(series) => series,
    }
}

/// Scores of the training framework in the shape of ours; the first rows when the declaration
/// limits the data set.
fn expected(
    project: &Project,
    model: &LoadedModel,
    data: &LoadedData,
    target: &Target,
) -> Outcome<Option<Vec<f32>>> {
    let Some(path) = &model.asset.expected else { return Ok(None) };
    if model.asset.expected_data.as_deref().is_some_and(|name| name != data.asset.name) {
        return Ok(None);
    }
    let (rows, columns, mut scores) = loader::expected(project, path)?;
    let wanted = data.n();
    let limited = data.asset.limit.is_some() && rows > wanted;
    if rows != wanted && !limited {
        return Err(Failure::new(
            "expected",
            format!("`{path}` holds {rows} rows, data.{} has {wanted}", data.asset.name),
            "write one row of scores per data row, in the same order",
        ));
    }
    scores.truncate(wanted * columns);
    match target.expected(&scores, columns) {
        Some(scores) => Ok(Some(scores)),
        None => Err(Failure::new(
            "expected",
            format!(
                "`{path}` has {columns} columns for {}",
                match data.asset.task {
                    Task::Regression => "one number".to_owned(),
                    Task::Classification => format!("{} classes", data.asset.classes.len()),
                }
            ),
            "write one column per class, one for the last of two classes, or one number",
        )),
    }
}

/// Standard deviations per numeric column: of the training data where declared.
fn deviations(project: &Project, data: &LoadedData) -> Outcome<BTreeMap<String, f64>> {
    let wanted = project.system.threats.iter().any(|t| t.scale == Scale::Std);
    if !wanted {
        return Ok(BTreeMap::new());
    }
    let train = project.system.data.iter().find(|d| d.role == DataRole::Train);
    let loaded = train.map(|asset| loader::held_data(project, asset)).transpose()?;
    let table = match &loaded.as_deref().unwrap_or(data).rows {
        Rows::Table(table) => table,
        Rows::Images(_) => return Ok(BTreeMap::new()),
        Rows::Series(series) => {
            // Of a channel over all windows and steps.
            let of = |(at, name): (usize, &String)| {
                let values: Vec<f64> = series.channel(at).map(f64::from).collect();
                Some((name.clone(), stats(&values)?.std))
            };
            return Ok(series.channels.iter().enumerate().filter_map(of).collect());
        }
    };
    let each =
        table.columns.iter().filter_map(|c| Some((c.name.clone(), stats(c.numbers()?)?.std)));
    Ok(each.collect())
}

fn examine(
    project: &Project,
    subject: &Subject,
    model: &LoadedModel,
    settings: Settings,
) -> Outcome<Vec<Validity>> {
    let threat = project
        .system
        .threats
        .iter()
        .find(|t| t.models.is_empty() || t.models.contains(&subject.model));
    let space = threat.map(|t| subject.space(t.scale)).transpose()?;
    let series = project.system.series().and_then(|feature| feature.series.as_ref());
    let readings = target::readings(&subject.binding, &model.asset, series);
    let options = TargetOptions { engine: settings.engine, threads: settings.threads };
    let others: Vec<(String, String, Target)> = readings
        .into_iter()
        .filter_map(|r| {
            let (model, asset) = (&model.model, &model.asset);
            let target = Target::open(model, asset, &subject.classes, &r.binding, options).ok()?;
            Some((r.name, r.fix, target))
        })
        .collect();
    let alternatives: Vec<Alternative<'_>> = others
        .iter()
        .map(|(name, fix, oracle)| Alternative { name: name.clone(), fix: fix.clone(), oracle })
        .collect();
    let classes = subject.data.classes();
    let mut domain = domain(&subject.data);
    domain.extend(subject.broken_rows()?);
    let setup = Setup {
        oracle: &subject.target,
        second: subject.second.as_ref().map(|t| t as &dyn Oracle),
        labels: subject.labels(),
        targets: subject.targets(),
        decision: subject.decision,
        clean: &subject.clean,
        classes: &classes,
        space: space.as_ref(),
        domain: &domain,
        alternatives: &alternatives,
        expected: subject.expected.as_deref(),
    };
    let mut checks = validity::examine_setup(&setup).or_fail("target", "")?;
    checks.extend(shared_steps(&subject.data).map(|said| validity::dependent_rows(&said)));
    Ok(checks)
}

/// Windows of a series that were cut so that neighbours share steps, in words.
fn shared_steps(data: &LoadedData) -> Option<String> {
    let Rows::Series(series) = &data.rows else { return None };
    let Overlap { windows, steps, apart } = series.overlap()?;
    Some(format!(
        "{windows} of {} windows share steps with the one before (up to {steps} of {}); {apart} \
         stand apart",
        series.n, series.steps
    ))
}

/// Violations of declared types and bounds, in words.
fn domain(data: &LoadedData) -> Vec<String> {
    let violations = match &data.rows {
        Rows::Table(table) => &table.violations,
        Rows::Images(images) => &images.violations,
        Rows::Series(series) => &series.violations,
    };
    violations
        .iter()
        .map(|v| {
            let example = v.examples.first();
            let example = example.map(|(line, text)| format!(", e.g. `{text}` in line {line}"));
            format!(
                "{} rows of `{}` are outside the declared domain ({}){}",
                v.rows.len(),
                v.column,
                v.expected,
                example.unwrap_or_default()
            )
        })
        .collect()
}

/// A budget of one step must not fail for its rounding.
const NEARLY: f64 = 1.0 - 1e-6;
/// Two-sided confidence of every printed interval.
const CONFIDENCE: f64 = 0.95;
