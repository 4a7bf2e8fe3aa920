//! What `init` writes: refused until a person has spoken, then accepted.

use proofmark_schema::system::{
    self, FeatureKind, FoundColumn, FoundData, FoundImages, FoundModel, FoundTable, FoundTensor,
    Template,
};

fn column(name: &str, kind: FeatureKind, values: &[&str], distinct: usize) -> FoundColumn {
    let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
    let range = kind.is_numeric().then_some([250.0, 18424.0]);
    FoundColumn { name: name.into(), kind, range, values, distinct, missing: Vec::new() }
}

fn tensor(name: &str, dtype: &str, shape: &[Option<usize>]) -> FoundTensor {
    FoundTensor { name: name.into(), dtype: dtype.into(), shape: shape.to_vec() }
}

fn table() -> Template {
    let mut purpose = column("purpose", FeatureKind::Category, &["car", "radio/\"TV\""], 2);
    purpose.missing = vec!["?".into()];
    let table = FoundTable {
        open_mark: None,
        rows: 1000,
        dialect: "6 columns by `;`, decimal `,`, header, UTF-8, LF".into(),
        header: true,
        columns: vec![
            column("id", FeatureKind::Integer, &[], 1000),
            column("credit amount", FeatureKind::Integer, &[], 921),
            purpose,
            column("telephone", FeatureKind::Boolean, &["no", "yes"], 2),
            column("sex", FeatureKind::Category, &["female", "male"], 2),
            column("class", FeatureKind::Integer, &["1", "2"], 2),
        ],
    };
    let model = FoundModel {
        path: "models/MLP v2.onnx".into(),
        inputs: vec![tensor("x", "f32", &[None, Some(1)])],
        outputs: vec![
            tensor("label", "i64", &[None]),
            tensor("probabilities", "f32", &[None, Some(2)]),
        ],
        expected: Some("expected.npy".into()),
        columns: Vec::new(),
    };
    let data = FoundData { path: "test.csv".into(), table: Some(table), images: None };
    Template { folder: "Credit AG".into(), data: vec![data], models: vec![model] }
}

fn images() -> Template {
    let images = FoundImages {
        rows: 10,
        shape: [1, 28, 28],
        range: [0.0, 255.0],
        labels: Some("t10k-labels-idx1-ubyte.gz".into()),
        label_values: vec!["0".into(), "1".into()],
        folder: false,
    };
    let path = "t10k-images-idx3-ubyte.gz".into();
    let model = |path: &str| FoundModel {
        path: path.into(),
        inputs: vec![tensor("image", "f32", &[None, Some(28), Some(28), Some(1)])],
        outputs: vec![tensor("out", "f32", &[None, Some(2)])],
        expected: None,
        columns: Vec::new(),
    };
    Template {
        folder: "clothing".into(),
        data: vec![FoundData { path, table: None, images: Some(images) }],
        models: vec![model("a.onnx"), model("old/a.onnx")],
    }
}

#[test]
fn columns_that_a_model_names_are_not_asked_for_and_never_ignored() {
    let mut template = table();
    template.models[0].inputs = vec![tensor("features", "f32", &[None, Some(2)])];
    template.models[0].columns = vec!["id".into(), "credit amount".into()];
    let text = template.render();
    assert!(text.contains("# found: the model names its columns: [\"id\", \"credit amount\"]"));
    assert!(text.contains("[features.id]") && !text.contains("ignore ="), "{text}");
    assert!(!text.contains("in the order of the training code"), "{text}");
    // Names that the table does not have are no help: the columns are asked for.
    template.models[0].columns = vec!["Column_0".into(), "Column_1".into()];
    let text = template.render();
    assert!(text.contains("the 2 columns of the input in the order of the training code"));
    assert!(text.contains("ignore = [\"id\"]"), "{text}");
}

#[test]
fn a_template_of_a_table() {
    insta::assert_snapshot!("table", table().render());
}

#[test]
fn a_template_of_images() {
    insta::assert_snapshot!("images", images().render());
}

#[test]
fn a_folder_is_proposed_with_its_subfolders_as_classes() {
    let mut template = images();
    template.data[0].path = "pictures/test/".into();
    let found = template.data[0].images.as_mut().unwrap();
    (found.labels, found.folder) = (None, true);
    found.label_values = vec!["T-shirt, plain".into(), "boot".into()];
    let text = template.render();
    for line in [
        "[data.test]",
        "path = \"pictures/test/\"",
        "role = \"test\"",
        "classes = { \"T-shirt, plain\" = \"T-shirt, plain\", boot = \"boot\" }",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
    let problems = system::parse(&text).unwrap_err();
    assert!(problems.iter().all(|p| p.code == "not-said"), "{problems:#?}");
    template.data[0].images.as_mut().unwrap().label_values.clear();
    let text = template.render();
    assert!(text.contains("columns `file` and `label`") && text.contains("labels = \"?\""));
}

#[test]
fn a_number_that_may_be_a_thousand_is_asked_about() {
    let mut template = table();
    template.data[0].table.as_mut().unwrap().open_mark = Some("1.234".into());
    let text = template.render();
    assert!(text.contains("is `1.234` below ten, or over a thousand?"), "{text}");
    assert!(text.lines().any(|l| l == "dialect = { decimal = \"?\" }"), "{text}");
    let problems = system::parse(&text).unwrap_err();
    assert!(problems.iter().all(|p| p.code == "not-said"), "{problems:#?}");
    let said = text.replacen("decimal = \"?\"", "decimal = \",\", thousands = \".\"", 1);
    assert_eq!(system::parse(&said).unwrap_err().len(), problems.len() - 1);
}

#[test]
fn a_template_is_refused_for_what_is_not_said_and_nothing_else() {
    for (name, template) in [("table", table()), ("images", images())] {
        let text = template.render();
        let problems = system::parse(&text).unwrap_err();
        let codes: Vec<&str> = problems.iter().map(|p| p.code).collect();
        assert!(codes.iter().all(|c| *c == "not-said"), "{name}: {problems:#?}");
        let marks =
            text.lines().filter(|l| !l.starts_with('#')).map(|l| l.matches("\"?\"").count());
        assert_eq!(codes.len(), marks.sum::<usize>(), "{name}: every mark is told");
    }
}

#[test]
fn a_template_is_accepted_once_every_question_is_answered() {
    let mut text = table().render();
    for (from, to) in [
        ("provider = \"?\"", "provider = \"Example Bank AG\""),
        ("purpose = \"?\"", "purpose = \"credit\""),
        ("classes = \"?\"", "classes = { good = \"1\", bad = \"2\" }"),
        ("missing = \"?\"", "missing = [\"?\"]"),
        ("mutable = \"?\"", "mutable = true\nbounds = [250, 20000]"),
        ("values = \"?\"", "values = [\"no\", \"yes\"]"),
        ("group = \"?\"", "group = true"),
        ("input = \"?\"", "input = false"),
        ("decision = \"?\"", "decision = { class = \"bad\", at = 0.3 }"),
        ("eps = \"?\"", "eps = [0.05]"),
        ("from = \"?\", to = \"?\"", "from = \"bad\", to = \"good\""),
        ("access = \"?\"", "access = \"white-box\""),
        ("at_least = \"?\"", "at_least = 0.6"),
        ("confidence = \"?\"", "confidence = 0.95"),
        ("rationale = \"?\"", "rationale = \"as good as the score card\""),
        ("approver = \"?\"", "approver = \"head of risk\""),
    ] {
        assert!(text.contains(from), "{from} in\n{text}");
        text = text.replacen(from, to, 1);
    }
    let read = system::parse(&text).unwrap();
    assert_eq!(read.name, "credit-ag");
    assert_eq!(read.models[0].name, "mlp-v2");
    assert_eq!(read.features.len(), 4);
}

#[test]
fn bounds_and_values_cover_every_file() {
    let mut template = table();
    let mut train = template.data[0].clone();
    train.path = "train.csv".into();
    let columns = &mut train.table.as_mut().unwrap().columns;
    columns[1].range = Some([100.0, 9000.5]);
    columns[1].kind = FeatureKind::Number;
    columns[2].values.push("boat".into());
    template.data.push(train);
    let text = template.render();
    assert!(text.contains("values from 100 to 18424"), "{text}");
    assert!(text.contains("type = \"number\""), "{text}");
    assert!(text.contains("values = [\"boat\", \"car\", 'radio/\"TV\"']"), "{text}");
}

#[test]
fn a_map_of_scores_is_judged_before_the_labels() {
    let mut template = table();
    template.models[0].outputs =
        vec![tensor("output_label", "str", &[None]), tensor("output_probability", "map", &[])];
    let text = template.render();
    let output = "output = { name = \"output_probability\", kind = \"probability\" }";
    assert!(text.contains(output), "{text}");
    assert!(text.contains("`output_probability` map of label to score"), "{text}");
}

#[test]
fn the_order_of_the_file_is_shown_where_columns_are_asked_for() {
    let mut template = table();
    template.models[0].inputs = vec![tensor("x", "f32", &[None, Some(4)])];
    let text = template.render();
    let order = "# found: columns as the file orders them: \
                 [\"credit amount\", \"purpose\", \"telephone\", \"sex\"]";
    assert!(text.contains(order), "{text}");
    assert!(text.contains("input = { columns = \"?\" }"), "it stays a person's word: {text}");
}

#[test]
fn hostile_names_stay_within_their_quotes() {
    let mut template = table();
    template.folder = "\n[x]\n".into();
    let columns = &mut template.data[0].table.as_mut().unwrap().columns;
    columns[1].name = "a]\n[features.\"b\"\u{7}".into();
    columns[2].missing = vec!["\n= 1".into()];
    let problems = system::parse(&template.render()).unwrap_err();
    let syntax: Vec<_> = problems.iter().filter(|p| p.code == "toml-syntax").collect();
    assert!(syntax.is_empty(), "{syntax:#?}");
    assert!(problems.iter().any(|p| p.code == "bad-name"), "a name with a line break is refused");
}
