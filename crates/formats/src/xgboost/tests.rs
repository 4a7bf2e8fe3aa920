//! Facts of small files written by hand, and files that lie.

use super::*;

const MODEL: &str = r#"{"learner":{"attributes":{"best_iteration":"0"},"feature_names":["a","b"],
"feature_types":["float","c"],"gradient_booster":{"model":{CATS"gbtree_model_param":
{"num_trees":"1"},"iteration_indptr":[0,1],"tree_info":[0],"trees":[{"base_weights":[0,0,0],
"categories":[2,0],"categories_nodes":[0],"categories_segments":[0],"categories_sizes":[2],
"default_left":[true,false,false],"left_children":[1,-1,-1],"right_children":[2,-1,-1],
"split_conditions":[0,0.5,-0.5],"split_indices":[1,0,0],"split_type":[1,0,0],
"tree_param":{"size_leaf_vector":"0"}}]},"name":"gbtree"},"learner_model_param":
{"base_score":"[5E-1]","num_class":"0","num_feature":"2"},"objective":{"name":"binary:logistic"}},
"version":[3,1,0]}"#;

fn model(replacements: &[(&str, &str)]) -> Result<Model, XgboostError> {
    let mut text = MODEL.to_owned();
    for (from, to) in replacements {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    read(text.replace("CATS", "").as_bytes())
}

#[test]
fn a_model_is_read() {
    let model = model(&[]).expect("a model");
    assert_eq!((model.features, model.classes, model.targets), (2, 0, 1));
    assert_eq!((model.version.as_str(), model.base_score.as_slice()), ("3.1.0", &[0.5][..]));
    assert_eq!(model.attribute("best_iteration"), Some("0"));
    let Booster::Trees { trees, .. } = &model.booster else { panic!("trees") };
    assert_eq!(trees[0].categories, [Some(vec![0, 2]), None, None]);
    assert_eq!(trees[0].default_left, [true, false, false]);
}

#[test]
fn files_that_lie_are_refused_by_name() {
    let cases = [
        ("right_children\":[2,-1,-1]", "right_children\":[2,-1]", "`right_children` has 2 items"),
        ("split_indices\":[1,0,0]", "split_indices\":[-1,0,0]", "`split_indices` is out of range"),
        ("categories_sizes\":[2]", "categories_sizes\":[3]", "`categories_sizes` is more"),
        ("categories_segments\":[0]", "categories_segments\":[1]", "`categories` is shorter"),
        ("categories_nodes\":[0]", "categories_nodes\":[1]", "name other nodes"),
        ("categories_nodes\":[0]", "categories_nodes\":[9]", "names a node wrongly"),
        ("\"categories\":[2,0]", "\"categories\":[2,16777216]", "`categories` is out of range"),
        ("split_type\":[1,0,0]", "split_type\":[2,0,0]", "`split_type` is 2"),
        ("num_trees\":\"1\"", "num_trees\":\"7\"", "the model says 7 trees and holds 1"),
        ("tree_info\":[0]", "tree_info\":[]", "`tree_info` has not one item per tree"),
        ("iteration_indptr\":[0,1]", "iteration_indptr\":[0,2]", "does not end at the last"),
        ("num_feature\":\"2\"", "num_feature\":\"3\"", "`feature_names` has 2 items where 3"),
        ("num_feature\":\"2\"", "num_feature\":\"99999999999\"", "`num_feature` is 99999999999"),
        ("size_leaf_vector\":\"0\"", "size_leaf_vector\":\"2\"", "`base_weights` has 3 items"),
        ("[5E-1]", "[5E-1,x]", "`base_score` is neither"),
        ("\"name\":\"gbtree\"", "\"name\":\"gbforest\"", "unknown booster `gbforest`"),
        ("\"learner_model_param\"", "\"other\"", "`learner_model_param` is missing"),
    ];
    for (from, to, message) in cases {
        let error = model(&[(from, to)]).expect_err(to).to_string();
        assert!(error.contains(message), "{to}: {error}");
    }
}

/// As release 3.2 saves the texts `äö`, `b`, `cé`, `dd`: lengths count letters, not bytes.
#[test]
fn texts_that_the_library_garbles_are_not_taken_for_texts() {
    let stored = |values: &str, offsets: &str| {
        let enc =
            format!(r#"[{{"type":5,"values":[]}},{{"offsets":{offsets},"values":{values}}}]"#);
        let text = MODEL.replace("CATS", &format!(r#""cats":{{"enc":{enc}}},"#));
        read(text.as_bytes()).expect("a model").categories[1].clone()
    };
    let garbled = stored("[98,99,-61,-87,100,100,-61]", "[0,1,3,5,7]");
    assert_eq!(garbled, StoredCategories::Garbled);
    let good = stored("[98,99,99]", "[0,1,3]");
    assert_eq!(good, StoredCategories::Texts(vec!["b".into(), "cc".into()]));
}

#[test]
fn dumps_that_lie_are_refused_by_name() {
    let dump_of = |node: &str| dump(format!("[{node}]").as_bytes());
    let leaves = r#""children":[{"nodeid":1,"leaf":1},{"nodeid":2,"leaf":-0}]"#;
    let node = |rest: &str| dump_of(&format!(r#"{{"nodeid":0,"split":"f1",{rest},{leaves}}}"#));
    assert!(node(r#""split_condition":1,"yes":1,"no":2,"missing":2"#).is_ok());
    let cases = [
        (r#""split_condition":1,"yes":1,"no":1,"missing":1"#, "the same child"),
        (r#""split_condition":1,"yes":1,"no":3,"missing":1"#, "none of its two children"),
        (r#""split_condition":1,"yes":1,"no":2"#, "`missing` is no node"),
        (r#""split_condition":"x","yes":1,"no":2,"missing":1"#, "neither a number nor"),
        (r#""split_condition":[-1],"yes":1,"no":2,"missing":1"#, "a category out of range"),
        (r#""yes":2,"no":1"#, "indicator"),
    ];
    for (rest, message) in cases {
        let error = node(rest).expect_err(rest).to_string();
        assert!(error.contains(message), "{rest}: {error}");
    }
    assert!(matches!(dump(b"{}"), Err(XgboostError::NotADump { .. })));
    assert!(dump_of(r#"{"nodeid":0}"#).is_err());
}
