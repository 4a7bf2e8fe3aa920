//! Typing by the declaration, labels, domains and groups.

use proofmark_dataset::groups::groups;
use proofmark_dataset::table::{Table, TableError};
use proofmark_schema::system::{Feature, FeatureKind as Kind};

use crate::make::{asset, columns, feature, features, listed, mutable};

const TEXT: &str = "age;sex;rate;class\n30;female;1,5;good\n41;male;2,25;bad\n;female;3,75;good\n";

fn credit() -> Vec<Feature> {
    vec![
        feature("age", Kind::Integer),
        listed("sex", Kind::Category, &["female", "male"]),
        feature("rate", Kind::Number),
    ]
}

#[test]
fn columns_are_typed_by_the_declaration() {
    let mut asset = asset("class", &["good", "bad", "ugly"]);
    asset.missing = vec![String::new()];
    let table = Table::read(TEXT.as_bytes(), &asset, &credit()).unwrap();
    assert_eq!((table.n, &table.labels[..], &table.lines[..]), (3, &[0, 1, 0][..], &[2, 3, 4][..]));
    let age = table.column("age").unwrap().numbers().unwrap();
    assert!(age[0] == 30.0 && age[1] == 41.0 && age[2].is_nan(), "{age:?}");
    assert_eq!(table.column("rate").unwrap().numbers().unwrap(), [1.5, 2.25, 3.75]);
    let sex = table.column("sex").unwrap().texts().unwrap();
    assert_eq!(sex[1].as_deref(), Some("male"));
    let counts: Vec<usize> = table.classes.iter().map(|c| c.count).collect();
    assert_eq!(counts, [2, 1, 0], "a class without rows is kept");
    assert!(table.violations.is_empty());
}

#[test]
fn a_limit_takes_the_first_rows() {
    let mut asset = asset("class", &["good", "bad"]);
    asset.limit = Some(2);
    let table = Table::read(TEXT.as_bytes(), &asset, &credit()).unwrap();
    assert_eq!((table.n, table.labels.len(), table.lines.len()), (2, 2, 2));
    assert_eq!(table.column("rate").unwrap().numbers().unwrap().len(), 2);
}

#[test]
fn bad_tables_are_refused_with_line_and_column() {
    let whole = |names: &str| features(Kind::Integer, names);
    let cases: Vec<(&str, &str, Vec<Feature>, &str)> = vec![
        (
            "text in a number",
            "a,class\n1,x\nn/a,x\nn/a,x\n",
            whole("a"),
            "line 3, column `a`: `n/a` is not a whole number (and 1 more in this column); mend the \
             cell, add the text to `missing`, or check the type and `dialect.decimal`",
        ),
        (
            "fraction in an integer",
            "a,class\n1,x\n2.5,x\n",
            whole("a"),
            "line 3, column `a`: `2.5` is not a whole number; declare the feature as `number`, or \
             mend the cell",
        ),
        (
            "empty category",
            "a,class\nred,x\n,x\n",
            features(Kind::Category, "a"),
            "line 3, column `a`: `` is not a value; add `\"\"` to `missing`, or list it in \
             `values`",
        ),
        (
            "a label more than classes",
            "a,class\n1,x\n2,y\n3,z\n",
            whole("a"),
            "line 4, column `class`: label `z` is no class; known: `x` (class x), `y` (class y); \
             did you mean `x`?",
        ),
        (
            "label column not there",
            "a,klass\n1,x\n",
            whole("a"),
            "column `class` is declared but not in the file; did you mean `klass`?",
        ),
        (
            "feature not there",
            "a,class\n1,x\n",
            whole("a income"),
            "column `income` is declared but not in the file; the file has `a`, `class`",
        ),
        (
            "names in another case",
            "A,class\n1,x\n",
            whole("a"),
            "column `a` is declared but not in the file; did you mean `A`?",
        ),
        (
            "column that nothing declares",
            "a,class,secret,more\n1,x,2,3\n",
            whole("a"),
            "the file has columns that nothing declares: `secret`, `more`; declare them as \
             features or add them to `ignore`",
        ),
        (
            "one name twice",
            "a,class,a\n1,x,2\n",
            whole("a"),
            "the header names `a` twice, as columns 1 and 3; name all columns by \
             `dialect = { header = true, columns = [...] }`",
        ),
        (
            "no header",
            "1,x\n2,y\n",
            whole("a"),
            "the first line holds no declared column, so it is no header; pin \
             `dialect = { header = false, columns = [...] }` with 2 names",
        ),
        (
            "ragged row",
            "a,class\n1,x\n2,y,z\n",
            whole("a"),
            "line 3 has 3 fields, the first record has 2 (read with 2 columns by `,`, decimal `.`, \
             header, UTF-8, LF); mend the line, or remove it if it is a title or a sum; a wrong \
             dialect is pinned by `dialect`",
        ),
        ("empty file", "", whole("a"), "the file has no data row; export it again"),
    ];
    for (name, text, features, told) in cases {
        let refused = Table::read(text.as_bytes(), &asset("class", &["x", "y"]), &features);
        assert_eq!(refused.unwrap_err().to_string(), told, "{name}");
    }
}

#[test]
fn a_dot_after_the_labels_is_read_away_and_said() {
    let asset = asset("income", &["<=50K", ">50K"]);
    let read = |text: &str| Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "a"));
    let table = read("a,income\n1,<=50K.\n2,>50K\n").unwrap();
    assert_eq!(table.labels, [0, 1]);
    let told = "1 labels such as `<=50K.` end in a full stop that no class has: read without it";
    assert_eq!(table.notes, [told]);
    assert!(read("a,income\n1,<=50K\n").unwrap().notes.is_empty());
    for almost in ["<=50K..", "<=50K,", "<=50", "."] {
        let refused = read(&format!("a,income\n1,\"{almost}\"\n"));
        assert!(matches!(refused, Err(TableError::Label { line: 2, .. })), "{almost}");
    }
}

#[test]
fn values_outside_the_domain_are_kept_and_told() {
    let features = [
        mutable("age", Kind::Integer, [18.0, 40.0]),
        listed("sex", Kind::Category, &["female"]),
        feature("rate", Kind::Number),
    ];
    let mut asset = asset("class", &["good", "bad"]);
    asset.missing = vec![String::new()];
    let table = Table::read(TEXT.as_bytes(), &asset, &features).unwrap();
    let [age, sex] = &table.violations[..] else { panic!("{:?}", table.violations) };
    assert_eq!((age.column.as_str(), age.expected.as_str()), ("age", "18 to 40"));
    assert_eq!((&age.rows[..], &age.examples[..]), (&[1][..], &[(3, "41".to_owned())][..]));
    assert_eq!((sex.column.as_str(), sex.expected.as_str()), ("sex", "one of `female`"));
    assert_eq!(table.column("age").unwrap().numbers().unwrap()[1], 41.0, "never clipped");
}

#[test]
fn warnings_leave_out_what_is_declared_missing_or_ignored() {
    let mut text = String::from("id,a,b,class\n");
    for i in 0..20 {
        text += &format!("{i},{i},{i},x\n");
    }
    text += "-999,-999,-999,x\n";
    let mut asset = asset("class", &["x", "y"]);
    asset.ignore = vec!["id".into()];
    let table = Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "a b")).unwrap();
    assert_eq!(table.warnings.len(), 2);
    asset.missing = vec!["-999".into()];
    let table = Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "a b")).unwrap();
    assert!(table.warnings.is_empty());
    let listed = [listed("guarantor", Kind::Category, &["none", "one"])];
    let text = b"guarantor,class\nnone,x\none,x\n";
    let words = Table::read(text, &crate::make::asset("class", &["x", "y"]), &listed).unwrap();
    assert!(words.warnings.is_empty(), "a declared value is no surprise");
    assert!(table.column("a").unwrap().numbers().unwrap()[20].is_nan());
}

#[test]
fn groups_are_declared_values_and_half_open_bins() {
    let mut asset = asset("class", &["x", "y"]);
    asset.missing = vec!["?".into()];
    asset.dialect = columns("age sex job class");
    let text = b"24 m a x\n25 f b x\n34.9 d a y\n50 m ? y\n? ? c x\n";
    let features = [
        Feature {
            group: true,
            group_edges: vec![25.0, 35.0, 50.0],
            ..feature("age", Kind::Number)
        },
        Feature { group: true, ..listed("sex", Kind::Category, &["f", "m", "none"]) },
        Feature { group: true, ..feature("job", Kind::Category) },
    ];
    let table = Table::read(text, &asset, &features).unwrap();
    let found = groups(&table, &features);
    let told: Vec<(String, Vec<usize>)> =
        found.iter().map(|g| (g.names.join(" "), g.counts())).collect();
    assert_eq!(
        told,
        [
            ("[-inf,25) [25,35) [35,50) [50,inf) missing".to_owned(), vec![1, 2, 0, 1, 1]),
            ("f m none d missing".to_owned(), vec![1, 2, 0, 1, 1]),
            ("a b c missing".to_owned(), vec![2, 1, 1, 1]),
        ]
    );
    assert_eq!(found[0].title(1).as_deref(), Some("age=[25,35)"));
    assert_eq!(found[0].rows("[25,35)"), [1, 2]);
    assert_eq!(found[1].rows("nobody"), [0usize; 0]);
}
