//! A small declaration with every kind of column, for the targets of the guard.

use std::sync::OnceLock;

use proofmark_dataset::bind::{InputType, ModelInput};
use proofmark_schema::system;
use proofmark_server::intake::Intake;
use proofmark_server::oip::OipModel;
use proofmark_server::policy::Limits;
use proofmark_server::scorer::{Cells, RowData, Rows};

/// Intake and protocol of the declaration.
pub fn declared() -> (&'static Intake, &'static OipModel) {
    static MADE: OnceLock<(Intake, OipModel)> = OnceLock::new();
    let (intake, model) = MADE.get_or_init(|| {
        let system = system::parse(DECLARATION).expect("the declaration of the fuzz target");
        let limits = Limits { rows: 4, ..Limits::default() };
        let intake = Intake::new(&system, &limits, &|_| true);
        let input = |name: &str, dtype| ModelInput {
            name: name.into(),
            dtype,
            shape: vec![None, Some(1)],
        };
        let inputs = [
            input("age", InputType::I64),
            input("amount", InputType::F32),
            input("job", InputType::Str),
            input("owner", InputType::Bool),
        ];
        let classes = ["good".to_owned(), "bad".to_owned()];
        let model = OipModel::new(&system.models[0], "1", &system.features, &inputs, &classes);
        (intake, model.expect("inputs that fit"))
    });
    (intake, model)
}

/// Every value lies inside the declaration.
pub fn inside(rows: &Rows) {
    let RowData::Table { n, columns } = rows.data() else { panic!("a table") };
    assert!((1..=4).contains(n));
    for column in columns {
        match (&column.cells, column.name.as_str()) {
            (Cells::Numbers(v), "age") => {
                assert!(v.iter().all(|v| (18.0..=100.0).contains(v) && v.fract() == 0.0));
            }
            (Cells::Numbers(v), _) => assert!(v.iter().all(|v| (0.0..=1e4).contains(v))),
            (Cells::Texts(v), "job") => {
                let known = |t: &Option<String>| matches!(t.as_deref(), Some("none" | "skilled"));
                assert!(v.iter().all(known));
            }
            (Cells::Texts(v), _) => {
                assert!(v.iter().all(|t| matches!(t.as_deref(), Some("no" | "yes"))));
            }
        }
    }
}

const DECLARATION: &str = r#"
format = "proofmark.system/1"
[system]
name = "fuzz"
version = "1"
provider = "nobody"
purpose = "to be fuzzed"
[data.test]
path = "test.csv"
role = "test"
label = "class"
classes = { good = "1", bad = "2" }
[features.age]
type = "integer"
bounds = [18, 100]
[features.amount]
type = "number"
bounds = [0, 10000]
[features.job]
type = "category"
values = ["none", "skilled"]
[features.owner]
type = "boolean"
values = ["no", "yes"]
[models.m]
path = "m.onnx"
role = "primary"
output = { name = "p", kind = "probability" }
decision = "argmax"
[criteria.c]
metric = "accuracy"
model = "m"
data = "test"
at_least = 0.5
confidence = 0.95
rationale = "to be fuzzed"
approver = "nobody"
"#;
