//! Small declarations and files for tests.

use arrow_array::RecordBatch;
use arrow_ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterPropertiesBuilder;
use proofmark_schema::system::{
    DataAsset, DataRole, Decision, DialectPins, Feature, FeatureKind, InputSpec, ModelAsset,
    ModelRole, OutputKind, OutputSpec,
};

use proofmark_dataset::bind::{InputType, ModelInput};

/// A table with that label column; the classes stand for themselves.
pub fn asset(label: &str, classes: &[&str]) -> DataAsset {
    DataAsset {
        name: "test".into(),
        path: "test.csv".into(),
        role: DataRole::Test,
        label: Some(label.into()),
        labels: None,
        classes: classes.iter().map(|c| (format!("class {c}"), (*c).to_owned())).collect(),
        ignore: Vec::new(),
        missing: Vec::new(),
        dialect: DialectPins::default(),
        limit: None,
        task: Default::default(),
        unit: None,
        quantiles: Vec::new(),
    }
}

/// Pins for a file without a header.
pub fn columns(names: &str) -> DialectPins {
    let names = names.split(' ').map(str::to_owned).collect();
    DialectPins { header: Some(false), columns: Some(names), ..DialectPins::default() }
}

/// A feature that a model reads.
pub fn feature(name: &str, kind: FeatureKind) -> Feature {
    Feature {
        name: name.into(),
        kind,
        bounds: None,
        values: Vec::new(),
        mutable: false,
        group: false,
        group_edges: Vec::new(),
        input: true,
        shape: None,
        series: None,
        direction: None,
        cost: None,
    }
}

/// A number that an attacker can change within bounds.
pub fn mutable(name: &str, kind: FeatureKind, bounds: [f64; 2]) -> Feature {
    Feature { bounds: Some(bounds), mutable: true, ..feature(name, kind) }
}

/// A feature with listed values.
pub fn listed(name: &str, kind: FeatureKind, values: &[&str]) -> Feature {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    Feature { values, ..feature(name, kind) }
}

/// Features of one type by name.
pub fn features(kind: FeatureKind, names: &str) -> Vec<Feature> {
    names.split_whitespace().map(|name| feature(name, kind)).collect()
}

/// A model that says nothing about its inputs.
pub fn model() -> ModelAsset {
    ModelAsset {
        name: "m".into(),
        path: "m.onnx".into(),
        role: ModelRole::Primary,
        output: OutputSpec {
            name: None,
            kind: OutputKind::Probability,
            classes: Vec::new(),
            column: None,
        },
        decision: Decision::Argmax,
        expected: None,
        expected_data: None,
        input: InputSpec::default(),
        dump: Default::default(),
    }
}

/// A model input; 0 stands for an open dimension.
pub fn input(name: &str, dtype: InputType, shape: &[usize]) -> ModelInput {
    let shape = shape.iter().map(|d| (*d != 0).then_some(*d)).collect();
    ModelInput { name: name.into(), dtype, shape }
}

/// A Parquet file of those rows, packed with zstd.
pub fn parquet(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let properties = properties.set_compression(Compression::ZSTD(Default::default()));
    let mut bytes = Vec::new();
    let mut writer =
        ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// An Arrow file of those rows.
pub fn ipc(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}
