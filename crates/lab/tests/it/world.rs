//! Loads an example as the command line does.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use proofmark_dataset::bind::{self, Binding, InputType, ModelInput, TableOptions};
use proofmark_dataset::images::Images;
use proofmark_dataset::table::Table;
use proofmark_engine::engine::EngineKind;
use proofmark_engine::graph::Dim;
use proofmark_engine::model::Model;
use proofmark_engine::value::DType;
use proofmark_lab::ctx::{Ctx, Silent};
use proofmark_lab::target::{Target, TargetOptions};
use proofmark_schema::system::{DataAsset, ModelAsset, System};

pub struct World {
    pub system: System,
    folder: PathBuf,
}

pub enum Rows {
    Table(Table),
    Images(Images),
}

impl Rows {
    pub fn labels(&self) -> &[usize] {
        match self {
            Self::Table(t) => &t.labels,
            Self::Images(i) => &i.labels,
        }
    }
}

impl World {
    pub fn open(example: &str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let folder = root.join(example);
        let text = std::fs::read_to_string(folder.join("proofmark.toml")).unwrap();
        let system = proofmark_schema::system::parse(&text).unwrap();
        Self { system, folder }
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(path)).unwrap()
    }

    pub fn data(&self, name: &str, limit: usize) -> (DataAsset, Rows) {
        let mut asset = self.system.data_named(name).unwrap().clone();
        asset.limit = Some(limit);
        let bytes = self.bytes(&asset.path);
        let rows = match &asset.labels {
            Some(labels) => {
                let labels = self.bytes(labels);
                let feature = &self.system.features[0];
                Rows::Images(Images::read(&bytes, &labels, &asset, feature).unwrap())
            }
            None => Rows::Table(Table::read(&bytes, &asset, &self.system.features).unwrap()),
        };
        (asset, rows)
    }

    pub fn model(&self, name: &str) -> (ModelAsset, Model) {
        let asset = self.system.model_named(name).unwrap().clone();
        let none = |_: &str| Err("no external data".to_string());
        let model = Model::from_onnx(&self.bytes(&asset.path), &none).unwrap();
        (asset, model)
    }

    pub fn bind(&self, rows: &Rows, asset: &ModelAsset, model: &Model) -> Binding {
        let inputs: Vec<ModelInput> = model
            .graph()
            .inputs
            .iter()
            .map(|input| ModelInput {
                name: input.name.clone(),
                dtype: match input.dtype.unwrap() {
                    DType::F64 => InputType::F64,
                    DType::I64 => InputType::I64,
                    DType::Str => InputType::Str,
                    _ => InputType::F32,
                },
                shape: input
                    .shape
                    .iter()
                    .flatten()
                    .map(|d| if let Dim::Fixed(n) = d { Some(*n) } else { None })
                    .collect(),
            })
            .collect();
        let features = &self.system.features;
        match rows {
            Rows::Table(t) => {
                bind::table(t, features, asset, &inputs, &TableOptions::default()).unwrap()
            }
            Rows::Images(i) => bind::images(i, &features[0], asset, &inputs).unwrap(),
        }
    }

    /// Expected scores of the first rows, and their width.
    pub fn expected(&self, asset: &ModelAsset, rows: usize) -> (Vec<f32>, usize) {
        let bytes = self.bytes(asset.expected.as_ref().unwrap());
        // NPY 1.0: magic, version, length of the header as u16, header, little-endian f32.
        let head = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let text = String::from_utf8_lossy(&bytes[10..head]).into_owned();
        let (_, shape) = text.split_once("'shape': (").unwrap();
        let mut sizes = shape.split([',', ')']).filter_map(|s| s.trim().parse::<usize>().ok());
        let (_, width) = (sizes.next().unwrap(), sizes.next().unwrap_or(1));
        let each = bytes[head..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        (each.take(rows * width).collect(), width)
    }
}

pub fn open(
    (asset, model): (&ModelAsset, &Model),
    data: &DataAsset,
    binding: &Binding,
    engine: EngineKind,
    threads: usize,
) -> Target {
    let options = TargetOptions { engine, threads };
    Target::open(model, asset, &data.classes, binding, options).unwrap()
}

pub fn ctx() -> Ctx<'static> {
    static GO: AtomicBool = AtomicBool::new(false);
    Ctx { seed: 20261122, progress: &Silent, cancel: &GO }
}
