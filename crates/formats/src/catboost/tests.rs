//! Facts of a small file written by hand, and files that lie.

use super::*;

const MODEL: &str = r#"{"features_info":{"float_features":[{"borders":[0.5],"flat_feature_index":0,
"nan_value_treatment":"AsTrue"}],"categorical_features":[{"flat_feature_index":1,"values":[-2]}],
"ctrs":[{"borders":[3],"ctr_type":"Borders","elements":[{"cat_feature_index":0,
"combination_element":"cat_feature_value"}],"identifier":"t","prior_denomerator":1,
"prior_numerator":0.5,"scale":15,"shift":0,"target_border_idx":0}]},
"ctr_data":{"t":{"counter_denominator":0,"hash_map":["7",1,2,"18446744073709551615",0,0],
"hash_stride":3}},"model_info":{
"params":"{\"loss_function\":{\"type\":\"Quantile\",\"params\":{\"alpha\":\"0.1\"}}}",
"class_params":{"class_names":[]}},
"oblivious_trees":[{"leaf_values":[1,2,3,4],"splits":[{"border":0.5,"float_feature_index":0,
"split_index":0,"split_type":"FloatFeature"},{"cat_feature_index":0,"split_index":1,
"split_type":"OneHotFeature","value":-2}]}],"scale_and_bias":[2,[0.25]]}"#;

#[test]
fn a_model_is_read() {
    let model = read(MODEL.as_bytes()).expect("a model");
    assert_eq!((model.loss.as_str(), model.scale), ("Quantile:alpha=0.1", 2.0));
    assert_eq!(model.bias, [0.25]);
    assert_eq!(model.floats[0].nan, NanTreatment::AsTrue);
    assert_eq!(model.categories[0].values, [u32::MAX - 1]);
    assert_eq!(model.tables[0].rows, [(7, vec![1.0, 2.0])], "an empty place is no category");
    let Trees::Oblivious(trees) = &model.trees else { panic!("oblivious trees") };
    assert_eq!(trees[0].splits[1], Split::OneHot { feature: 0, value: u32::MAX - 1 });
    let older = MODEL.replace("[2,[0.25]]", "[2,0.25]");
    assert_eq!(read(older.as_bytes()).expect("a model of 2019").bias, [0.25]);
}

#[test]
fn files_that_lie_are_refused_by_name() {
    let deep = format!("\"splits\":[{}", r#"{"split_type":"Other"},"#.repeat(17));
    let cases = [
        ("\"features_info\"", "\"features\"", "`features_info` is missing"),
        ("\"model_info\"", "\"model\"", "`model_info` is missing"),
        ("\"oblivious_trees\"", "\"forest\"", "`trees` is missing"),
        ("AsTrue", "AsMaybe", "unknown `AsMaybe`"),
        ("\"Borders\"", "\"Magic\"", "unknown `Magic`"),
        ("\"hash_stride\":3", "\"hash_stride\":4", "not a whole number of rows"),
        ("\"hash_stride\":3", "\"hash_stride\":0", "not a whole number of rows"),
        ("[\"7\",1,2", "[\"x\",1,2", "holds no hash"),
        ("[\"7\",1,2", "[\"7\",\"x\",2", "holds no count"),
        ("\"flat_feature_index\":0", "\"flat_feature_index\":99999999", "is 99999999"),
        ("\"value\":-2", "\"value\":99999999999", "`value` is no hash"),
        ("\"splits\":[", deep.as_str(), "has 19 levels"),
        ("[2,[0.25]]", "[2,\"x\"]", "`scale_and_bias` is not"),
        ("\"leaf_values\":[1,2,3,4]", "\"leaf_values\":{}", "tree 0: `leaf_values` is an object"),
    ];
    for (from, to, message) in cases {
        assert!(MODEL.contains(from), "{from}");
        let error = read(MODEL.replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
        assert!(error.contains(message), "{to}: {error}");
    }
}
