//! Good declarations and what they become.

use proofmark_schema::system::{self, Decision, Feature, FeatureKind, Scale};

pub const TABLE: &str = include_str!("declarations/table.toml");
pub const IMAGES: &str = include_str!("declarations/images.toml");

#[test]
fn a_full_table_is_read() {
    insta::assert_debug_snapshot!("table", system::parse(TABLE).unwrap());
}

#[test]
fn full_images_are_read() {
    insta::assert_debug_snapshot!("images", system::parse(IMAGES).unwrap());
}

#[test]
fn what_is_read_goes_through_json_unchanged() {
    for text in [TABLE, IMAGES] {
        let read = system::parse(text).unwrap();
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<system::System>(&json).unwrap(), read);
    }
}

#[test]
fn defaults_come_from_the_declaration_itself() {
    let images = system::parse(IMAGES).unwrap();
    let model = images.model_named("plain").unwrap();
    assert_eq!(model.output.classes, ["shirt", "trouser", "pullover"]);
    assert_eq!(model.expected_data.as_deref(), Some("test"));
    assert_eq!(model.decision, Decision::Argmax);
    assert_eq!(images.threat_named("noise").unwrap().scale, Scale::U8);
    assert_eq!(images.threat_named("noise").unwrap().suite, "quick");
}

#[test]
fn names_of_groups_are_values_or_half_open_bins() {
    let table = system::parse(TABLE).unwrap();
    let names = |name: &str| table.feature_named(name).map(Feature::group_names).unwrap();
    assert_eq!(names("sex"), ["female", "male", "missing"]);
    assert_eq!(names("age"), ["[-inf,25)", "[25,35)", "[35,50)", "[50,inf)", "missing"]);
    assert!(table.image().is_none());
    assert_eq!(table.test_data().map(|d| d.name.as_str()), Some("test"));
    assert!(FeatureKind::Integer.is_numeric() && !FeatureKind::Ordinal.is_numeric());
}

#[test]
fn spans_lead_back_to_the_text() {
    let (_, spans) = system::parse_spanned(TABLE).unwrap();
    for (path, want) in [
        (&["models", "mlp", "path"][..], "\"mlp.onnx\""),
        (&["criteria", "c1", "at_least"], "0.60"),
        (&["threats", "applicant", "eps", "1"], "0.05"),
        (&["models", "mlp", "decision", "at"], "0.30"),
        (&["features", "age"], "age"),
    ] {
        let span = spans.of(path).unwrap();
        assert_eq!(&TABLE[span], want, "{path:?}");
    }
    assert_eq!(spans.of(&["models", "mlp", "nothing"]), None);
}
