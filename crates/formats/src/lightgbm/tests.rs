//! Facts of a small file written by hand, and files that lie.

use super::*;

const MODEL: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n\
max_feature_idx=1\nobjective=binary sigmoid:1\nfeature_names=a b\nfeature_infos=[0:1] 0:2:33\n\
tree_sizes=1\n\nTree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\nthreshold=0.5 0\n\
decision_type=10 1\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=0.1 -0.2 3e-1\n\
cat_boundaries=0 2\ncat_threshold=5 2\nis_linear=0\nshrinkage=1\n\n\nend of trees\n\n\
feature_importances:\na=1\n\npandas_categorical:[[\"x\", 7]]\n";

#[test]
fn a_model_is_read() {
    let model = read(MODEL.as_bytes()).expect("a model");
    assert_eq!((model.features, model.trees_per_round, model.average), (2, 1, false));
    assert_eq!(model.objective, ["binary", "sigmoid:1"]);
    let tree = &model.trees[0];
    assert_eq!(tree.sets, [[0, 2, 33]]);
    assert_eq!(
        (&tree.categorical[..], &tree.default_left[..]),
        (&[false, true][..], &[true, false][..])
    );
    assert_eq!(tree.missing, [MissingKind::Nan, MissingKind::None]);
    assert_eq!(model.pandas_categories, [[Value::Text("x".into()), Value::Int(7)]]);
    assert!(read(MODEL.replace('\n', "\r\n").as_bytes()).is_ok(), "line ends of Windows");
}

#[test]
fn files_that_lie_are_refused_by_name() {
    let cases = [
        ("tree\nversion", "forest\nversion", "begins with `tree`"),
        ("end of trees", "end of it", "before `end of trees`, after 1 trees"),
        ("max_feature_idx=1", "max_feature_idx=2", "`feature_names` is 2 items where 3"),
        ("max_feature_idx=1", "max_feature_idx=-1", "`max_feature_idx` is `-1`"),
        ("num_class=1", "num_class=0", "`num_class` is `0`"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2", "does not divide 1 trees"),
        ("feature_names=a b\n", "", "lacks `feature_names`"),
        ("Tree=0", "Tree=1", "line 12: tree `1` where 0 comes"),
        ("num_leaves=3", "num_leaves=2", "`leaf_value` has 3 items where 2"),
        ("num_leaves=3", "num_leaves=99999999999999", "`leaf_value` has 3 items"),
        ("threshold=0.5 0", "threshold=0.5", "`threshold` has 1 items where 2"),
        ("left_child=1 -1", "left_child=1 x", "`left_child` holds `x`"),
        ("decision_type=10 1", "decision_type=10 77", "`decision_type` holds 77"),
        ("cat_boundaries=0 2", "cat_boundaries=0 9", "`cat_threshold` is too short"),
        ("cat_boundaries=0 2", "cat_boundaries=0", "`cat_boundaries` has 1 items for 1 sets"),
        ("shrinkage=1", "num_leaves=3", "`num_leaves` stands twice"),
        ("[[\"x\", 7]]", "[[\"x\", 7]", "JSON"),
        ("[[\"x\", 7]]", "[1]", "no list of lists"),
    ];
    for (from, to, message) in cases {
        assert!(MODEL.contains(from), "{from}");
        let error = read(MODEL.replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
        assert!(error.contains(message), "{to}: {error}");
    }
    assert!(matches!(read(b"tree\n\xff"), Err(LightgbmError::NotUtf8 { offset: 5 })));
}
