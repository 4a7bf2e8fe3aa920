//! From names in the declaration to loaded models and typed rows.
//!
//! Owns the road file → bytes → digest → `dataset`/`engine`. Must never measure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use proofmark_dataset::bind::{self, Binding, InputType, ModelInput, TableOptions};
use proofmark_dataset::images::Images;
use proofmark_dataset::series::SeriesSet;
use proofmark_dataset::table::Table;
use proofmark_engine::graph::{Dim, Graph, OWN};
use proofmark_engine::model::Model;
use proofmark_engine::pipeline::fitting_outputs;
use proofmark_engine::trees;
use proofmark_engine::value::DType;
use proofmark_lab::target;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::{DataAsset, Feature, FeatureKind, ModelAsset, OutputKind};

use crate::failure::{Failure, OrFail, Outcome};
use crate::folder;
use crate::project::Project;
use crate::{assets, hints};

/// Rows of a data set.
pub enum Rows {
    /// A table.
    Table(Table),
    /// Images.
    Images(Images),
    /// Windows of series.
    Series(SeriesSet),
}

/// A loaded data set.
pub struct LoadedData {
    /// As declared.
    pub asset: DataAsset,
    /// Rows.
    pub rows: Rows,
    /// Digests of the file or files.
    pub digests: Vec<AssetDigest>,
    /// What was left out or not applied in reading images, in words.
    pub notes: Vec<String>,
}

impl LoadedData {
    /// Number of rows.
    pub fn n(&self) -> usize {
        match &self.rows {
            Rows::Table(table) => table.n,
            Rows::Images(images) => images.n,
            Rows::Series(series) => series.n,
        }
    }
    /// Class index per row.
    pub fn labels(&self) -> &[usize] {
        match &self.rows {
            Rows::Table(table) => &table.labels,
            Rows::Images(images) => &images.labels,
            Rows::Series(series) => &series.labels,
        }
    }
    /// Labels that are numbers, for a regression.
    pub fn targets(&self) -> Option<&[f64]> {
        let targets = match &self.rows {
            Rows::Table(table) => &table.targets,
            Rows::Images(images) => &images.targets,
            Rows::Series(series) => &series.targets,
        };
        self.asset.task.is_regression().then_some(targets.as_slice())
    }
    /// Class names, in order.
    pub fn classes(&self) -> Vec<String> {
        self.asset.classes.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// A loaded model.
pub struct LoadedModel {
    /// As declared.
    pub asset: ModelAsset,
    /// The file.
    pub model: Model,
}

/// What was read already: a run asks for its files to digest them, and again to measure.
#[derive(Default)]
pub struct Held {
    /// Tables made from rows of another form, by their path: the table as text, and the digest
    /// of the file that the rows are in.
    pub tables: BTreeMap<String, (Vec<u8>, String)>,
    data: Mutex<Vec<Arc<LoadedData>>>,
    models: Mutex<Vec<Arc<LoadedModel>>>,
}

/// A data set of the project, read once: what is measured are the bytes that were digested.
pub fn held_data(project: &Project, asset: &DataAsset) -> Outcome<Arc<LoadedData>> {
    held(&project.held.data, |known| known.asset == *asset, || data(project, asset))
}

/// A model of the project, read once.
pub fn held_model(project: &Project, asset: &ModelAsset) -> Outcome<Arc<LoadedModel>> {
    held(&project.held.models, |known| known.asset == *asset, || model(project, asset))
}

fn held<T>(
    list: &Mutex<Vec<Arc<T>>>,
    is: impl Fn(&T) -> bool,
    read: impl FnOnce() -> Outcome<T>,
) -> Outcome<Arc<T>> {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = list.iter().find(|known| is(known)) {
        return Ok(Arc::clone(known));
    }
    let fresh = Arc::new(read()?);
    list.push(Arc::clone(&fresh));
    Ok(fresh)
}

/// Loads a data set.
pub fn data(project: &Project, asset: &DataAsset) -> Outcome<LoadedData> {
    if asset.is_folder() {
        return of_folder(project, asset);
    }
    let (bytes, sha256) = match project.held.tables.get(&asset.path) {
        Some(table) => table.clone(),
        None => {
            let bytes = assets::read_data(&project.path(&asset.path))?;
            let sha256 = assets::sha256(&bytes);
            (bytes, sha256)
        }
    };
    let mut digests = vec![AssetDigest { name: format!("data/{}", asset.name), sha256 }];
    let rows = match &asset.labels {
        None => Rows::Table(Table::read(&bytes, asset, &project.system.features).map_err(|e| {
            Failure::new(
                "data-unreadable",
                format!("data.{} (`{}`): {e}", asset.name, asset.path),
                "mend the file or the declaration; a wrong dialect is pinned with `dialect`",
            )
        })?),
        Some(path) => {
            let labels = assets::read_data(&project.path(path))?;
            digests.push(AssetDigest {
                name: format!("data/{}/labels", asset.name),
                sha256: assets::sha256(&labels),
            });
            if let Some(feature) = project.system.series() {
                let read = SeriesSet::read(&bytes, &labels, asset, feature);
                let rows = Rows::Series(read.map_err(|e| {
                    Failure::new(
                        "data-unreadable",
                        format!("data.{} (`{}`): {e}", asset.name, asset.path),
                        "check steps, channels and layout in the declaration against the file",
                    )
                })?);
                return Ok(LoadedData { asset: asset.clone(), rows, digests, notes: Vec::new() });
            }
            let feature = image_feature(project)?;
            Rows::Images(Images::read(&bytes, &labels, asset, feature).map_err(|e| {
                Failure::new(
                    "data-unreadable",
                    format!("data.{} (`{}`): {e}", asset.name, asset.path),
                    "check shape, bounds and classes in the declaration against the file",
                )
            })?)
        }
    };
    let loaded = LoadedData { asset: asset.clone(), rows, digests, notes: Vec::new() };
    if loaded.n() == 0 {
        return Err(Failure::new(
            "data-empty",
            format!("data.{} (`{}`) has no rows", asset.name, asset.path),
            "nothing can be measured on an empty set",
        ));
    }
    Ok(loaded)
}

fn of_folder(project: &Project, asset: &DataAsset) -> Outcome<LoadedData> {
    let feature = image_feature(project)?;
    let folder::Pictures { images, notes, digests } = folder::images(project, asset, feature)?;
    Ok(LoadedData { asset: asset.clone(), rows: Rows::Images(images), digests, notes })
}

/// Loads a model.
pub fn model(project: &Project, asset: &ModelAsset) -> Outcome<LoadedModel> {
    let model = assets::open_model_with(&project.path(&asset.path), &hints::declared(asset))?;
    let broken = broken_weights(&model);
    if let Some(first) = broken.first() {
        return Err(Failure::new(
            "model-not-finite",
            format!(
                "models.{} (`{}`): {} weights hold NaN or infinity, first `{first}`",
                asset.name,
                asset.path,
                broken.len()
            ),
            "the file is damaged or training diverged; export it again",
        ));
    }
    output_is_there(asset, &model)?;
    let mut asset = asset.clone();
    columns_as_named(&mut asset, &model, &project.system.features)?;
    Ok(LoadedModel { asset, model })
}

/// An ensemble whose file names its columns reads them in that order: it need not be declared,
/// and must not be declared otherwise.
fn columns_as_named(asset: &mut ModelAsset, model: &Model, features: &[Feature]) -> Outcome<()> {
    let Some(names) = named_columns(model.graph()) else { return Ok(()) };
    let columns = &mut asset.input.columns;
    if columns.is_empty() {
        if names.iter().all(|name| features.iter().any(|f| f.name == *name)) {
            *columns = names;
        }
        return Ok(());
    }
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    if *columns == names || sorted(columns) != sorted(&names) {
        return Ok(());
    }
    Err(Failure::new(
        "column-order",
        format!(
            "models.{} (`{}`): `input.columns` has the columns in another order than the file",
            asset.name, asset.path
        ),
        format!("leave it out, or write columns = {names:?}"),
    ))
}

/// Names of the columns of the matrix that an ensemble of its own file reads.
pub fn named_columns(graph: &Graph) -> Option<Vec<String>> {
    let node = graph.nodes.iter().find(|n| n.domain == OWN && n.op == "TreeEnsemble")?;
    let names = &trees::of_node(node, graph)?.names;
    let input = graph.inputs.iter().find(|i| i.name == trees::FEATURES)?;
    match input.shape.as_deref()? {
        [_, Dim::Fixed(width)] => names.get(..*width).filter(|n| !n.is_empty()).map(<[_]>::to_vec),
        _ => None,
    }
}

/// The judged output is one of the model's.
fn output_is_there(asset: &ModelAsset, model: &Model) -> Outcome<()> {
    let outputs = &model.graph().outputs;
    match &asset.output.name {
        Some(name) if outputs.iter().all(|o| o.name != *name) => {
            let known: Vec<String> = outputs.iter().map(|o| format!("`{}`", o.name)).collect();
            Err(Failure::new(
                "no-output",
                format!("models.{} (`{}`) has no output `{name}`", asset.name, asset.path),
                format!("it has {}", known.join(", ")),
            ))
        }
        _ => Ok(()),
    }
}

/// Which of several outputs, and which of its columns, is said, and is there.
fn head_is_named(model: &LoadedModel) -> Outcome<()> {
    let (asset, outputs) = (&model.asset, &model.model.graph().outputs);
    let of = |shape: Option<&[Dim]>| match shape {
        Some([_, Dim::Fixed(width)]) => Some(*width),
        _ => None,
    };
    let value = asset.output.kind == OutputKind::Value;
    let judged = match &asset.output.name {
        Some(name) => outputs.iter().find(|o| o.name == *name),
        // Labels beside scores are told by their type; what is left must be one.
        None if outputs.len() > 1 => {
            let fit = fitting_outputs(model.model.graph(), target::answer(asset.output.kind));
            let mut fit = fit.into_iter();
            match (fit.next(), fit.next()) {
                (_, Some(_)) => return Err(ambiguous(model)),
                (one, None) => one,
            }
        }
        None => outputs.first(),
    };
    let Some(output) = judged else { return Ok(()) };
    let fault = |message: String, help: String| Err(Failure::new("output-column", message, help));
    let name = &output.name;
    match (of(output.shape.as_deref()), asset.output.column) {
        (Some(width), Some(column)) if column >= width => fault(
            format!("the output `{name}` of models.{} has no column {column}", asset.name),
            format!("it has {width} columns, 0 to {}", width.saturating_sub(1)),
        ),
        (Some(width), None) if value && width > 1 => fault(
            format!("the output `{name}` of models.{} has {width} columns", asset.name),
            format!("choose one: `column = 0` to `column = {}`", width - 1),
        ),
        _ => Ok(()),
    }
}

fn ambiguous(model: &LoadedModel) -> Failure {
    let (asset, outputs) = (&model.asset, &model.model.graph().outputs);
    let known = outputs.iter().map(|o| match o.shape.as_deref() {
        Some([_, Dim::Fixed(width)]) => format!("`{}` with {width} column(s)", o.name),
        _ => format!("`{}`", o.name),
    });
    let known: Vec<String> = known.collect();
    Failure::new(
        "output-ambiguous",
        format!("models.{} (`{}`) has {} outputs", asset.name, asset.path, outputs.len()),
        format!(
            "choose one by `output = {{ name = ... }}` (`--output` on the command line): {}",
            known.join(", ")
        ),
    )
}

/// A judged output of fixed width has a column per class, or one for the last of two.
fn classes_fit(data: &LoadedData, model: &LoadedModel) -> Outcome<()> {
    let asset = &model.asset;
    head_is_named(model)?;
    if asset.output.kind == OutputKind::Value || asset.output.column.is_some() {
        return Ok(());
    }
    let judged =
        model.model.graph().outputs.iter().find(|o| Some(&o.name) == asset.output.name.as_ref());
    let shape = judged.and_then(|o| o.shape.as_deref()).unwrap_or_default();
    let ([_, Dim::Fixed(width)], false) = (shape, asset.output.kind == OutputKind::Label) else {
        return Ok(());
    };
    let classes = data.asset.classes.len();
    if *width == classes || (*width == 1 && classes == 2) {
        return Ok(());
    }
    Err(Failure::new(
        "classes",
        format!(
            "the output `{}` of models.{} has {width} columns, data.{} declares {classes} classes",
            asset.output.name.as_deref().unwrap_or_default(),
            asset.name,
            data.asset.name
        ),
        "declare a class per column, also those that do not occur in the data",
    ))
}

/// Constants with NaN, and tensors with infinities. A single infinity is a bound that exporters
/// write on purpose (`Clip`).
fn broken_weights(model: &Model) -> Vec<String> {
    let constants = &model.graph().constants;
    let broken = |name: &String| {
        let values = constants.get(name).and_then(|v| v.to_f64s()).unwrap_or_default();
        values.iter().any(|v| v.is_nan()) || values.len() > 1
    };
    model.non_finite_weights().into_iter().filter(broken).collect()
}

/// Binds rows to a model's inputs.
pub fn bind(project: &Project, data: &LoadedData, model: &LoadedModel) -> Outcome<Binding> {
    let inputs = model_inputs(model.model.graph());
    classes_fit(data, model)?;
    let features = &project.system.features;
    let bound = match &data.rows {
        Rows::Table(table) => {
            bind::table(table, features, &model.asset, &inputs, &TableOptions::default())
        }
        Rows::Images(images) => {
            bind::images(images, image_feature(project)?, &model.asset, &inputs)
        }
        Rows::Series(series) => {
            let feature = project.system.series().ok_or_else(|| {
                Failure::new("binding", "no feature is a series", "please report this as a bug")
            })?;
            bind::series(series, feature, &model.asset, &inputs)
        }
    };
    bound.map_err(|e| {
        Failure::new(
            "binding",
            format!("models.{} does not fit data.{}: {e}", model.asset.name, data.asset.name),
            "see `proofmark model inspect` for what the model reads",
        )
    })
}

/// The inputs of a graph as plain facts.
pub fn model_inputs(graph: &Graph) -> Vec<ModelInput> {
    graph
        .inputs
        .iter()
        .filter_map(|input| {
            let dtype = match input.dtype? {
                DType::F32 => InputType::F32,
                DType::F64 => InputType::F64,
                DType::I64 => InputType::I64,
                DType::I32 | DType::U8 | DType::I8 => InputType::I32,
                DType::Bool => InputType::Bool,
                DType::Str => InputType::Str,
            };
            let shape = input.shape.as_ref().map_or_else(Vec::new, |dims| {
                dims.iter()
                    .map(|d| match d {
                        Dim::Fixed(n) => Some(*n),
                        Dim::Dynamic(_) => None,
                    })
                    .collect()
            });
            Some(ModelInput { name: input.name.clone(), dtype, shape })
        })
        .collect()
}

/// Digests of everything the declaration names, itself included; everything is read, typed and
/// bound, so that bad input is refused before a plan is registered.
pub fn digests(project: &Project) -> Outcome<Vec<AssetDigest>> {
    let mut list = vec![project.digest()];
    let mut sets = Vec::new();
    for asset in &project.system.data {
        let set = held_data(project, asset)?;
        list.extend(set.digests.iter().cloned());
        sets.push(set);
    }
    for asset in &project.system.models {
        let model = held_model(project, asset)?;
        for set in &sets {
            bind(project, set, &model)?;
        }
        let sha256 = model.model.digest();
        list.push(AssetDigest { name: format!("model/{}", asset.name), sha256 });
        if let Some(path) = &asset.expected {
            let bytes = assets::read_data(&project.path(path))?;
            let name = format!("expected/{}", asset.name);
            list.push(AssetDigest { name, sha256: assets::sha256(&bytes) });
        }
    }
    list.sort();
    Ok(list)
}

/// Scores of the training framework: (rows, columns, row-major values).
pub fn expected(project: &Project, path: &str) -> Outcome<(usize, usize, Vec<f32>)> {
    let bytes = assets::read_data(&project.path(path))?;
    let array = proofmark_formats::npy::read(&bytes)
        .or_fail("expected", "write it with numpy.save: float32, shape (rows, classes)")?;
    let shape = array.shape().to_vec();
    let values = array.data().to_f32().or_fail("expected", "write it as float32")?;
    match shape.as_slice() {
        [rows] => Ok((*rows, 1, values)),
        [rows, columns] => Ok((*rows, *columns, values)),
        _ => Err(Failure::new(
            "expected",
            format!("`{path}` has shape {shape:?}, (rows, classes) is wanted"),
            "write one row of scores per data row",
        )),
    }
}

fn image_feature(project: &Project) -> Outcome<&Feature> {
    project.system.features.iter().find(|f| f.kind == FeatureKind::Image).ok_or_else(|| {
        Failure::new(
            "no-image-feature",
            "the data set has a label file, but no feature of type `image` is declared",
            "declare [features.image] with type, shape and bounds",
        )
    })
}
