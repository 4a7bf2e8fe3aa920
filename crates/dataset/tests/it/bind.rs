//! Binding of tables and images to model inputs.

use proofmark_dataset::bind::{
    self, BindError, Binding, BoundData, BoundInput, Free, InputType as Type, ModelInput,
    TableOptions,
};
use proofmark_dataset::images::Images;
use proofmark_dataset::table::Table;
use proofmark_schema::system::{Feature, FeatureKind as Kind, InputSpec, Layout, ModelAsset};
use proptest::prelude::*;

use crate::make::{asset, feature, features, input, listed, model, mutable};

const TEXT: &str = "job,amount,own,age,class\na,100,yes,30,x\nb,250.5,no,?,y\n?,300,yes,41,x\n";

fn credit() -> Vec<Feature> {
    vec![
        mutable("amount", Kind::Number, [50.0, 1000.0]),
        mutable("age", Kind::Integer, [18.0, 99.0]),
        listed("own", Kind::Boolean, &["no", "yes"]),
        feature("job", Kind::Category),
    ]
}

fn read() -> Table {
    let mut asset = asset("class", &["x", "y"]);
    asset.missing = vec!["?".into()];
    Table::read(TEXT.as_bytes(), &asset, &credit()).unwrap()
}

fn bind_to(model: &ModelAsset, inputs: &[ModelInput]) -> Result<Binding, BindError> {
    bind::table(&read(), &credit(), model, inputs, &TableOptions::default())
}

fn with_columns(columns: &[&str]) -> ModelAsset {
    let columns = columns.iter().map(|c| (*c).to_owned()).collect();
    ModelAsset { input: InputSpec { columns, ..InputSpec::default() }, ..model() }
}

/// Equal, with NaN equal to NaN.
fn same(input: &BoundInput, want: &[f32]) -> bool {
    let BoundData::F32(data) = &input.data else { return false };
    data.len() == want.len()
        && data.iter().zip(want).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
}

#[test]
fn named_inputs_get_the_column_of_their_name() {
    let inputs = [
        input("job", Type::Str, &[0, 1]),
        input("amount", Type::F32, &[0, 1]),
        input("age", Type::F64, &[0]),
        input("own", Type::Bool, &[0, 1]),
    ];
    let bound = bind_to(&model(), &inputs).unwrap();
    assert_eq!(bound.n, 3);
    assert!(bound.unread.is_empty());
    let texts = ["a", "b", ""].map(str::to_owned).to_vec();
    assert_eq!(bound.inputs[0].data, BoundData::Str(texts));
    assert_eq!(bound.inputs[0].shape, [3, 1]);
    assert!(same(&bound.inputs[1], &[100.0, 250.5, 300.0]));
    assert_eq!(bound.inputs[2].shape, [3]);
    assert!(matches!(&bound.inputs[2].data, BoundData::F64(d) if d[1].is_nan() && d[2] == 41.0));
    assert_eq!(bound.inputs[3].data, BoundData::Bool(vec![true, false, true]));
    let Free::Columns(free) = &bound.free else { panic!() };
    let told: Vec<_> = free
        .iter()
        .map(|f| (f.feature.as_str(), f.column, f.lower, f.upper, f.unit_raw, f.integer))
        .collect();
    assert_eq!(told, [("amount", 0, 50.0, 1000.0, 1.0, false), ("age", 0, 18.0, 99.0, 1.0, true)]);
}

#[test]
fn a_matrix_gets_its_columns_in_the_listed_order() {
    let nan = f32::NAN;
    let matrix = [input("x", Type::F32, &[0, 3])];
    let listed = with_columns(&["age", "own", "amount"]);
    let bound = bind_to(&listed, &matrix).unwrap();
    assert_eq!(bound.inputs[0].shape, [3, 3]);
    let want = [30.0, 1.0, 100.0, nan, 0.0, 250.5, 41.0, 1.0, 300.0];
    assert!(same(&bound.inputs[0], &want), "{:?}", bound.inputs[0]);
    assert_eq!(bound.unread, ["job"]);
    let Free::Columns(free) = &bound.free else { panic!() };
    let told: Vec<_> = free.iter().map(|f| (f.feature.as_str(), f.column)).collect();
    assert_eq!(told, [("age", 0), ("amount", 2)], "coordinates follow the order of the input");

    let permuted = bind_to(&with_columns(&["amount", "own", "age"]), &matrix).unwrap();
    let want = [100.0, 1.0, 30.0, 250.5, 0.0, nan, 300.0, 1.0, 41.0];
    assert!(same(&permuted.inputs[0], &want), "{:?}", permuted.inputs[0]);
}

#[test]
fn a_matrix_may_take_the_declared_order_when_the_width_agrees() {
    let numbers = features(Kind::Number, "b a");
    let asset = asset("class", &["x", "y"]);
    let table = Table::read(b"a,b,class\n1,2,x\n3,4,y\n", &asset, &numbers).unwrap();
    let options = TableOptions::default();
    let matrix = [input("x", Type::F32, &[0, 2])];
    let bound = bind::table(&table, &numbers, &model(), &matrix, &options).unwrap();
    assert!(same(&bound.inputs[0], &[2.0, 1.0, 4.0, 3.0]), "declared order, not that of the file");
    let single = [input("x", Type::F32, &[0, 1])];
    let one = features(Kind::Number, "a");
    let bound = bind::table(&table, &one, &model(), &single, &options).unwrap();
    assert!(same(&bound.inputs[0], &[1.0, 3.0]));
}

/// skl2onnx writes `_` for what a name in a graph may not hold.
#[test]
fn an_input_finds_the_column_it_was_written_for() {
    let columns = ["hours-per-week", "1 st", "a_b", "a b", "ü %", "c d", "c-d"];
    let numbers: Vec<Feature> = columns.iter().map(|name| feature(name, Kind::Number)).collect();
    let cases = [
        ("hours_per_week", Some("hours-per-week")),
        ("_1_st", Some("1 st")),
        ("a_b", Some("a_b")),
        ("ü__", Some("ü %")),
        ("c_d", None),
        ("hours per week", None),
    ];
    for (name, want) in cases {
        let inputs = [input(name, Type::F32, &[0, 1]), input("a_b", Type::F32, &[0, 1])];
        let plan = bind::plan(&numbers, &model(), &inputs);
        let found = plan.ok().map(|p| p.inputs[0].1[0].name.clone());
        assert_eq!(found.as_deref(), want, "{name}");
    }
}

#[test]
fn a_matrix_beside_texts_gets_what_they_leave_and_never_one_column_by_elimination() {
    let pair = [input("x", Type::F32, &[0, 3]), input("job", Type::Str, &[0, 1])];
    let bound = bind_to(&model(), &pair).unwrap();
    assert_eq!(bound.inputs[0].shape, [3, 3]);
    let want = [100.0, 30.0, 1.0, 250.5, f32::NAN, 0.0, 300.0, 41.0, 1.0];
    assert!(same(&bound.inputs[0], &want), "{:?}", bound.inputs[0]);
    let Free::Columns(free) = &bound.free else { panic!() };
    let told: Vec<_> = free.iter().map(|f| (f.input.as_str(), f.column)).collect();
    assert_eq!(told, [("x", 0), ("x", 1)]);
    let one = [input("x", Type::F32, &[0, 1]), input("job", Type::Str, &[0, 1])];
    let bound = bind_to(&with_columns(&["age"]), &one).unwrap();
    assert!(same(&bound.inputs[0], &[30.0, f32::NAN, 41.0]));
    // Three of four inputs are found by name; the fourth is misspelt, not left over.
    let names = ["job", "amuont", "age", "own"];
    let types = [Type::Str, Type::F32, Type::F64, Type::Bool];
    let inputs: Vec<ModelInput> =
        names.iter().zip(types).map(|(n, t)| input(n, t, &[0, 1])).collect();
    let error = bind_to(&model(), &inputs).unwrap_err();
    assert!(matches!(error, BindError::InputUnknown { .. }), "{error}");
    let narrow = [input("x", Type::F32, &[0, 2]), input("job", Type::Str, &[0, 1])];
    assert!(matches!(bind_to(&model(), &narrow), Err(BindError::Width { .. })));
    let two = [input("x", Type::F32, &[0, 2]), input("z", Type::F32, &[0, 1])];
    assert!(matches!(bind_to(&model(), &two), Err(BindError::Shape { .. })));
}

#[test]
fn what_does_not_fit_is_refused_with_both_sides() {
    let cases: Vec<(&str, ModelAsset, Vec<ModelInput>, &str)> = vec![
        (
            "wrong width",
            model(),
            vec![input("x", Type::F32, &[0, 7])],
            "model input `x` reads 7 columns, the declaration gives 4: amount, age, own, job; list \
             the columns of the training code in order as `input = { columns = [...] }`",
        ),
        (
            "open width",
            model(),
            vec![input("x", Type::F32, &[0, 0])],
            "model input `x` leaves its width open, so the order of columns cannot be checked; \
             list it as `input = { columns = [...] }`",
        ),
        (
            "name in another case",
            model(),
            vec![input("Amount", Type::F32, &[0, 1]), input("age", Type::F32, &[0, 1])],
            "model input `Amount` has no column of that name; did you mean `amount`? names are \
             case-sensitive",
        ),
        (
            "several matrices",
            model(),
            vec![input("num", Type::F32, &[0, 2]), input("cat", Type::Str, &[0, 2])],
            "model input `num` has shape [n, 2], but the data give [n, 1] per column; with several \
             inputs each reads one column of its name",
        ),
        (
            "category as a float",
            with_columns(&["job"]),
            vec![input("x", Type::F32, &[0, 1])],
            "line 2, column `job`: `a` is no 32-bit floats for model input `x`",
        ),
        (
            "number as a text",
            model(),
            vec![input("amount", Type::Str, &[0, 1])],
            "column `amount` is a number, model input `amount` reads texts; declare the feature as \
             a category, so that its text is kept as it stands in the file",
        ),
        (
            "number as a boolean",
            model(),
            vec![input("amount", Type::Bool, &[0, 1])],
            "column `amount` is a number, model input `amount` reads booleans; declare the feature \
             as a boolean with `values = [<false>, <true>]`",
        ),
        (
            "missing integer",
            model(),
            vec![input("age", Type::I64, &[0, 1])],
            "line 3, column `age` is missing, and model input `age` (64-bit integers) cannot hold \
             a missing value",
        ),
        (
            "fraction as an integer",
            model(),
            vec![input("amount", Type::I64, &[0, 1])],
            "line 3, column `amount`: `250.5` is no 64-bit integers for model input `amount`",
        ),
        (
            "unknown column",
            with_columns(&["amount", "wealth"]),
            vec![input("x", Type::F32, &[0, 2])],
            "the table has no column `wealth`",
        ),
        ("no input", model(), vec![], "the model has no input"),
    ];
    for (name, model, inputs, told) in cases {
        let refused = bind_to(&model, &inputs).unwrap_err();
        assert_eq!(refused.to_string(), told, "{name}");
    }
}

#[test]
fn missing_texts_become_what_the_caller_says() {
    let options = TableOptions { missing_text: "unknown".into() };
    let inputs = [input("job", Type::Str, &[0, 1])];
    let bound = bind::table(&read(), &credit(), &model(), &inputs, &options).unwrap();
    assert!(matches!(&bound.inputs[0].data, BoundData::Str(d) if d[2] == "unknown"));
    assert_eq!(bound.unread, ["amount", "age", "own"]);
}

#[test]
fn categories_that_are_numbers_may_feed_numbers() {
    let codes = [feature("code", Kind::Category)];
    let asset = asset("class", &["x", "y"]);
    let table = Table::read(b"code,class\n7,x\n12,y\n", &asset, &codes).unwrap();
    let inputs = [input("code", Type::I32, &[0, 1])];
    let bound = bind::table(&table, &codes, &model(), &inputs, &TableOptions::default()).unwrap();
    assert_eq!(bound.inputs[0].data, BoundData::I32(vec![7, 12]));
    assert_eq!(bound.free, Free::Columns(vec![]));
}

#[test]
fn a_mutable_number_without_bounds_is_refused() {
    let open = [Feature { mutable: true, ..feature("a", Kind::Number) }];
    let asset = asset("class", &["x", "y"]);
    let table = Table::read(b"a,class\n7,x\n", &asset, &open).unwrap();
    let inputs = [input("a", Type::F32, &[0, 1])];
    let refused = bind::table(&table, &open, &model(), &inputs, &TableOptions::default());
    assert_eq!(refused.unwrap_err(), BindError::Unbounded { feature: "a".into() });
}

fn pictures(shape: [usize; 3], n: usize) -> Images {
    let size: usize = shape.iter().product();
    let data = (0..n * size).map(|i| (i % 256) as f32).collect();
    let labels = vec![0; n];
    Images {
        n,
        shape,
        data,
        labels,
        targets: Vec::new(),
        classes: Vec::new(),
        whole: true,
        violations: Vec::new(),
    }
}

fn picture_feature(shape: [usize; 3]) -> Feature {
    Feature { shape: Some(shape), ..mutable("image", Kind::Image, [0.0, 255.0]) }
}

#[test]
fn images_are_mapped_normalised_and_turned() {
    let shape = [2, 1, 3];
    let spec = InputSpec {
        layout: Layout::Nhwc,
        range: Some([0.0, 1.0]),
        mean: vec![0.5, 0.25],
        std: vec![0.5, 2.0],
        ..InputSpec::default()
    };
    let model = ModelAsset { input: spec, ..model() };
    let inputs = [input("x", Type::F32, &[0, 1, 3, 2])];
    let bound =
        bind::images(&pictures(shape, 1), &picture_feature(shape), &model, &inputs).unwrap();
    assert_eq!(bound.inputs[0].shape, [1, 1, 3, 2]);
    let value = |pixel: f64, mean: f64, std: f64| ((pixel / 255.0 - mean) / std) as f32;
    let first = |p: f64| value(p, 0.5, 0.5);
    let second = |p: f64| value(p, 0.25, 2.0);
    // Stored channels first: channel 0 holds pixels 0 1 2, channel 1 holds 3 4 5.
    let want = [first(0.0), second(3.0), first(1.0), second(4.0), first(2.0), second(5.0)];
    assert!(same(&bound.inputs[0], &want), "{:?}", bound.inputs[0]);
    let Free::Image(free) = bound.free else { panic!() };
    assert_eq!((free.count, free.levels), (6, Some(255)));
    assert_eq!((&free.lower[..], &free.upper[..]), (&[-1.0, -0.125][..], &[1.0, 0.375][..]));
    assert!((free.unit_raw[0] - 2.0 / 255.0).abs() < 1e-15);
    assert!((free.unit_raw[1] - 0.5 / 255.0).abs() < 1e-15);
}

#[test]
fn images_keep_their_unit_when_nothing_is_said() {
    let shape = [1, 2, 2];
    let images = Images { whole: false, ..pictures(shape, 2) };
    let feature = Feature { mutable: false, ..picture_feature(shape) };
    let inputs = [input("x", Type::F32, &[0, 1, 2, 2])];
    let bound = bind::images(&images, &feature, &model(), &inputs).unwrap();
    assert!(same(&bound.inputs[0], &images.data));
    assert_eq!(bound.free, Free::Columns(vec![]), "an immutable image gives nothing to move");
}

#[test]
fn images_of_another_layout_are_refused_with_the_fix() {
    let shape = [3, 8, 8];
    for (name, inputs, told) in [
        (
            "channels last",
            vec![input("x", Type::F32, &[0, 8, 8, 3])],
            "model input `x` has shape [n, 8, 8, 3], but the data give [n, 3, 8, 8]; channels come \
             last here: `input = { layout = \"nhwc\" }`",
        ),
        (
            "another size",
            vec![input("x", Type::F32, &[0, 3, 32, 32])],
            "model input `x` has shape [n, 3, 32, 32], but the data give [n, 3, 8, 8]; check \
             `shape` of the image feature and which model this is",
        ),
        (
            "flat, of another size",
            vec![input("x", Type::F32, &[0, 100])],
            "model input `x` has shape [n, 100], but the data give [n, 3, 8, 8]; check `shape` of \
             the image feature and which model this is",
        ),
        (
            "integers",
            vec![input("x", Type::I64, &[0, 3, 8, 8])],
            "an image model has one float input, this one has 64-bit integers",
        ),
        (
            "two inputs",
            vec![input("x", Type::F32, &[0]), input("y", Type::F32, &[0])],
            "an image model has one float input, this one has 2 inputs",
        ),
    ] {
        let refused = bind::images(&pictures(shape, 1), &picture_feature(shape), &model(), &inputs);
        assert_eq!(refused.unwrap_err().to_string(), told, "{name}");
    }
}

#[test]
fn a_model_on_flat_vectors_gets_the_pixels_in_order() {
    let shape = [3, 8, 8];
    let (images, feature) = (pictures(shape, 2), picture_feature(shape));
    let image = [input("x", Type::F32, &[0, 3, 8, 8])];
    let image = bind::images(&images, &feature, &model(), &image).unwrap();
    let flat = [input("x", Type::F32, &[0, 192])];
    let flat = bind::images(&images, &feature, &model(), &flat).unwrap();
    assert_eq!(flat.inputs[0].shape, [2, 192]);
    assert_eq!(flat.inputs[0].data, image.inputs[0].data);
    assert_eq!(flat.free, image.free);
}

proptest! {
    #[test]
    fn permuting_file_columns_changes_no_input(
        rows in prop::collection::vec([-100i32..100, -100i32..100, -100i32..100], 1..20),
        order in Just([0usize, 1, 2]).prop_shuffle(),
    ) {
        let features = features(Kind::Integer, "a b c");
        let names = ["a", "b", "c"];
        let write = |order: [usize; 3]| {
            let line = |cells: [String; 3]| {
                format!("{},x\n", order.map(|i| cells[i].clone()).join(","))
            };
            let head = line(names.map(str::to_owned)).replace(",x", ",class");
            let body: Vec<String> =
                rows.iter().map(|r| line(r.map(|v| v.to_string()))).collect();
            format!("{head}{}", body.concat())
        };
        let bind = |text: String| {
            let asset = asset("class", &["x", "y"]);
            let table = Table::read(text.as_bytes(), &asset, &features).unwrap();
            let inputs = [input("m", Type::F64, &[0, 3])];
            bind::table(&table, &features, &model(), &inputs, &TableOptions::default()).unwrap()
        };
        prop_assert_eq!(bind(write([0, 1, 2])), bind(write(order)));
    }
}
