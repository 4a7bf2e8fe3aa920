//! What real exports look like: each quirk with a twin that has none.

use proofmark_dataset::csv::{self, Hints, Records};
use proofmark_dataset::found;
use proofmark_dataset::table::Table;
use proofmark_schema::system::{DataAsset, DialectPins, FeatureKind as Kind, TextEncoding};

use crate::make::{asset, columns, feature, features};

fn read(bytes: &[u8], pins: &DialectPins, numeric: &[&str]) -> Result<Records, String> {
    let hints = Hints { numeric, ..Hints::default() };
    csv::read(bytes, pins, &hints).map_err(|e| e.to_string())
}

fn utf16(text: &str, big: bool, bom: bool) -> Vec<u8> {
    let units = bom.then_some(0xfeff).into_iter().chain(text.encode_utf16());
    units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
}

#[test]
fn encodings_are_told_apart() {
    let none = DialectPins::default();
    let pin = |encoding| DialectPins { encoding: Some(encoding), ..DialectPins::default() };
    let text = "name;n\nMüller;1\nGröße;2\n";
    let plain = "2 columns by `;`, decimal `.`, header, ";
    for (name, bytes, pins, told) in [
        ("utf-8", text.as_bytes().to_vec(), none.clone(), "UTF-8, LF"),
        ("utf-16 le", utf16(text, false, true), none.clone(), "UTF-16 with byte order mark, LF"),
        ("utf-16 be", utf16(text, true, true), none.clone(), "UTF-16 with byte order mark, LF"),
        (
            "utf-16 pinned",
            utf16(text, false, false),
            pin(TextEncoding::Utf16),
            "UTF-16, LF (pinned: encoding)",
        ),
        (
            "latin-1",
            text.chars().map(|c| c as u8).collect(),
            none.clone(),
            "Windows-1252 (assumed: not UTF-8), LF",
        ),
        (
            "latin-1 pinned",
            text.chars().map(|c| c as u8).collect(),
            pin(TextEncoding::Windows1252),
            "Windows-1252, LF (pinned: encoding)",
        ),
    ] {
        let records = read(&bytes, &pins, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(records.dialect.to_string(), format!("{plain}{told}"), "{name}");
        assert_eq!(records.field(0, 0), Some("Müller"), "{name}");
        assert_eq!(records.field(1, 0), Some("Größe"), "{name}");
    }
    let euro = read(b"price;n\n\x80 5;1\n", &none, &[]).unwrap();
    assert_eq!(euro.field(0, 0), Some("€ 5"));
}

#[test]
fn what_is_no_text_is_refused() {
    let none = DialectPins::default();
    for (name, bytes, told) in [
        (
            "utf-8 with one damaged byte",
            "a,b\nMüller,2\n".bytes().chain(*b"M\xfcller,3\n").collect(),
            "the file is not UTF-8: byte 15 on line 3 (other characters of it are UTF-8, so this \
             one is damaged); save it as UTF-8",
        ),
        (
            "a byte that Windows-1252 does not have",
            b"a,b\n\x81,2\n".to_vec(),
            "the file is not UTF-8: byte 4 on line 2 (no character of Windows-1252 either); save \
             it as UTF-8",
        ),
        (
            "control characters",
            b"a,b\n\xff\x01,2\n".to_vec(),
            "the file is not UTF-8: byte 4 on line 2 (it holds control characters, so it may be \
             no text at all); save it as UTF-8",
        ),
        (
            "zero byte",
            b"a,b\nlong enough to be a text,2\nx\0,3\n".to_vec(),
            "line 3 holds a NUL character; the file is damaged or no text: export it again",
        ),
        (
            "utf-16 without a mark",
            utf16("a,b\n1,2\n", false, false),
            "line 1 holds a NUL character; it looks like UTF-16 without a byte order mark: pin \
             `dialect = { encoding = \"utf-16\" }`",
        ),
        (
            "half a character of utf-16",
            [utf16("a,b\n1,2\n", false, true), vec![0x41]].concat(),
            "the file is not UTF-8: byte 16 on line 3 (it is broken UTF-16); save it as UTF-8",
        ),
    ] {
        assert_eq!(read(&bytes, &none, &[]).unwrap_err(), told, "{name}");
    }
}

#[test]
fn thousands_are_read_where_a_column_proves_them() {
    let none = DialectPins::default();
    type Want<'a> = Result<(&'a str, [f64; 2]), &'a str>;
    let cases: [(&str, &str, Want<'_>); 10] = [
        ("american", "a;b\n1,234.5;x\n2,000;y\n", Ok((", thousands `,` in `a`", [1234.5, 2000.0]))),
        ("german", "a;b\n1.234,5;x\n2.000;y\n", Ok((", thousands `.` in `a`", [1234.5, 2000.0]))),
        ("millions", "a;b\n1,234,567;x\n12;y\n", Ok((", thousands `,` in `a`", [1234567.0, 12.0]))),
        ("blanks", "a;b\n1 234;x\n12 345,5;y\n", Ok((", thousands ` ` in `a`", [1234.0, 12345.5]))),
        (
            "narrow blanks",
            "a;b\n1\u{202f}234;x\n999;y\n",
            Ok((", thousands ` ` in `a`", [1234.0, 999.0])),
        ),
        ("swiss", "a;b\n1'234.5;x\n2;y\n", Ok((", thousands `'` in `a`", [1234.5, 2.0]))),
        ("no marks", "a;b\n1234.5;x\n2;y\n", Ok(("", [1234.5, 2.0]))),
        ("decimals of three digits", "a;b\n1.234;x\n2.5;y\n", Ok(("", [1.234, 2.5]))),
        (
            "either",
            "a;b\n1,234;x\n2,345;y\n",
            Err("`1,234` in column `a` may hold a decimal mark or a mark of thousands; pin \
             `dialect = { decimal = \",\" }` or `dialect = { decimal = \".\", \
             thousands = \",\" }`"),
        ),
        ("two groups of four", "a;b\n1,2345.5;x\n2;y\n", Err("not a number")),
    ];
    for (name, text, want) in cases {
        let records = read(text.as_bytes(), &none, &["a"]);
        let records = match (records, want) {
            (Err(told), Err(want)) => {
                assert_eq!(told, want, "{name}");
                continue;
            }
            (records, _) => records.unwrap_or_else(|e| panic!("{name}: {e}")),
        };
        let number = |row| records.number_in(0, records.field(row, 0).unwrap());
        match want {
            Ok((told, numbers)) => {
                assert_eq!([number(0), number(1)], numbers.map(Some), "{name}");
                assert!(records.dialect.to_string().ends_with(&format!("LF{told}")), "{name}");
            }
            Err(_) => assert_eq!(number(0), None, "{name}"),
        }
    }
}

#[test]
fn pinned_thousands_settle_what_nothing_proves() {
    let pins = DialectPins { decimal: Some('.'), thousands: Some(','), ..DialectPins::default() };
    let records = read(b"a;b\n1,234;x\n2,345;y\n", &pins, &["a"]).unwrap();
    assert_eq!(records.number_in(0, "1,234"), Some(1234.0));
    assert_eq!(records.number_in(0, "12,34"), None);
    assert_eq!(records.number_in(0, "-1,234.25"), Some(-1234.25));
}

#[test]
fn lines_above_the_table_are_left_out_and_counted() {
    let names: &[&str] = &["a", "b", "c"];
    for (name, text, skipped, first) in [
        ("none", "a,b,c\n1,2,x\n", 0, (2, "1")),
        ("spreadsheet separator", "sep=;\na;b;c\n1;2;x\n", 1, (3, "1")),
        ("comment", "# made by hand\n# twice\na,b,c\n1,2,x\n", 2, (4, "1")),
        ("cross validator", "|1x3 Cross validator\na,b,c\n1,2,x\n", 1, (3, "1")),
        ("titles", "Report of May\n\na,b,c\n1,2,x\n", 1, (4, "1")),
        ("a header with a mark", "#id,b,c\n1,2,x\n", 0, (2, "1")),
        ("a mark in the table", "a|b|c\n|2|x\n", 0, (2, "")),
    ] {
        let hints = Hints { columns: names, ..Hints::default() };
        let records = csv::read(text.as_bytes(), &DialectPins::default(), &hints)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(records.dialect.skipped, skipped, "{name}");
        assert_eq!((records.lines()[0], records.field(0, 0).unwrap()), first, "{name}");
        assert_eq!(records.dialect.to_string().contains("above left out"), skipped > 0, "{name}");
    }
    // A title of as many fields as the table could be data.
    let hints = Hints { columns: names, ..Hints::default() };
    let refused = csv::read(b"x,y,z\na,b,c\n1,2,3\n", &DialectPins::default(), &hints).unwrap();
    assert_eq!((refused.dialect.skipped, refused.len()), (0, 3));
}

#[test]
fn blanks_before_quotes_do_not_tear_fields_apart() {
    for (name, text, fields) in [
        ("after commas", "a, b, c\n1, \"x, y\", 2\n", ["1", "x, y", "2"]),
        ("at the begin", "a,b,c\n  \"x, y\",1,2\n", ["x, y", "1", "2"]),
        ("none", "a,b,c\n1,\"x, y\",2\n", ["1", "x, y", "2"]),
        ("a quote within a field", "a,b,c\n1,5 \"inch\",2\n", ["1", "5 \"inch\"", "2"]),
        ("doubled quotes", "a,b,c\n1, \"x \"\"y\"\" , z\",2\n", ["1", "x \"y\" , z", "2"]),
        ("newline", "a,b,c\n1, \"x\ny\",2\n", ["1", "x\ny", "2"]),
    ] {
        let records = read(text.as_bytes(), &DialectPins::default(), &[]).unwrap();
        let got: Vec<&str> = (0..3).map(|c| records.field(0, c).unwrap()).collect();
        assert_eq!(got, fields, "{name}");
    }
}

#[test]
fn an_index_is_left_out_only_where_it_counts() {
    let asset = asset("class", &["x", "y"]);
    let read = |text: &str| Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "a"));
    for (name, text) in [
        ("pandas", "Unnamed: 0,a,class\n0,5,x\n1,6,y\n"),
        ("no name", ",a,class\n0,5,x\n1,6,y\n"),
        ("from one", "Unnamed: 0,a,class\n1,5,x\n2,6,y\n"),
    ] {
        let table = read(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(table.notes[0].contains("left out as an index"), "{name}: {:?}", table.notes);
    }
    for (name, text) in [
        ("does not count", "Unnamed: 0,a,class\n0,5,x\n7,6,y\n"),
        ("another name", "number,a,class\n0,5,x\n1,6,y\n"),
    ] {
        assert!(read(text).unwrap_err().to_string().contains("nothing declares"), "{name}");
    }
    let ignoring = DataAsset { ignore: vec!["Unnamed: 0".into()], ..asset.clone() };
    let text = b"Unnamed: 0,a,class\n0,5,x\n1,6,y\n";
    let table = Table::read(text, &ignoring, &features(Kind::Integer, "a")).unwrap();
    assert!(table.notes.is_empty());
}

#[test]
fn a_column_twice_is_read_where_both_are_the_same() {
    let asset = asset("class", &["x", "y"]);
    let read = |text: &str| Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "a"));
    let table = read("a,class,a\n1,x,1\n2,y,2\n").unwrap();
    assert_eq!(table.notes, ["the header names `a` twice; both columns are the same"]);
    assert!(read("a,class,a\n1,x,1\n2,y,3\n").is_err());
}

#[test]
fn codes_with_leading_zeros_stay_texts() {
    let text = "zip;n;class\n01067;1;x\n10115;2;y\n";
    let found = found::table(text.as_bytes()).unwrap();
    let kinds: Vec<Kind> = found.columns.iter().map(|c| c.kind).collect();
    assert_eq!(kinds[..2], [Kind::Category, Kind::Integer]);
    let twin = found::table(b"zip;n;class\n11067;1;x\n10115;2;y\n").unwrap();
    assert_eq!(twin.columns[0].kind, Kind::Integer);
    let asset = asset("class", &["x", "y"]);
    let as_text = [feature("zip", Kind::Category), feature("n", Kind::Integer)];
    let table = Table::read(text.as_bytes(), &asset, &as_text).unwrap();
    assert_eq!(table.column("zip").unwrap().texts().unwrap()[0].as_deref(), Some("01067"));
    assert!(table.notes.is_empty());
    let table = Table::read(text.as_bytes(), &asset, &features(Kind::Integer, "zip n")).unwrap();
    assert_eq!(
        table.notes,
        ["column `zip` is read as numbers, but 1 cells such as `01067` begin with 0: declare a \
          code as a category"]
    );
}

#[test]
fn signs_of_percent_and_money_are_refused_with_a_hint() {
    let asset = asset("class", &["x", "y"]);
    for (cell, hint) in [
        ("12%", "write it without the sign: whether `5%` is 5 or 0.05"),
        ("€ 12", "write the amount without its currency"),
        ("$1,200", "write the amount without its currency"),
        ("1,23,456", "pin `dialect.decimal` and `dialect.thousands`"),
        ("many", "check the type and `dialect.decimal`"),
    ] {
        let text = format!("a;class\n{cell};x\n1.5;y\n");
        let refused = Table::read(text.as_bytes(), &asset, &features(Kind::Number, "a"));
        let told = refused.unwrap_err().to_string();
        assert!(told.starts_with("line 2, column `a`: `") && told.contains(hint), "{told}");
    }
}

#[test]
fn the_test_half_of_adult_reads_like_its_training_half() {
    let train = "39, State-gov, <=50K\n50, Private, >50K\n28, Private, <=50K\n";
    let test = "|1x3 Cross validator\n25, Private, <=50K.\n38, State-gov, >50K.\n";
    let pins = columns("age work income");
    let asset = DataAsset { dialect: pins, ..asset("income", &["<=50K", ">50K"]) };
    let wanted = [feature("age", Kind::Integer), feature("work", Kind::Category)];
    let train = Table::read(train.as_bytes(), &asset, &wanted).unwrap();
    let test = Table::read(test.as_bytes(), &asset, &wanted).unwrap();
    assert_eq!((train.n, train.dialect.skipped, train.notes.len()), (3, 0, 0));
    assert_eq!((test.n, test.dialect.skipped, &test.labels[..]), (2, 1, &[0, 1][..]));
    assert_eq!(test.lines, [2, 3]);
    assert_eq!(test.notes.len(), 1);
}

#[test]
fn a_point_in_a_file_of_semicolons_is_not_guessed() {
    let read = |text: &str, pins: &DialectPins| {
        csv::read(text.as_bytes(), pins, &Hints::default()).map(|r| r.number_in(0, "1.234"))
    };
    let none = DialectPins::default();
    let open = "a;b\n1.234;x\n2.500;y\n";
    let told = read(open, &none).unwrap_err().to_string();
    assert!(told.starts_with("`1.234` in column `a` may hold a decimal mark or a mark"), "{told}");
    assert!(told.ends_with("`dialect = { decimal = \",\", thousands = \".\" }`"), "{told}");
    // Another delimiter, another number or a pin says what it is.
    assert_eq!(read("a,b\n1.234,x\n2.500,y\n", &none), Ok(Some(1.234)));
    assert_eq!(read("a;b\n1.234;x\n2.5;y\n", &none), Ok(Some(1.234)));
    // The mark of thousands is still to be proved or pinned: the cell is refused by line.
    assert_eq!(read("a;b\n1.234;x\n2,5;y\n", &none), Ok(None));
    let point = DialectPins { decimal: Some('.'), ..none.clone() };
    assert_eq!(read(open, &point), Ok(Some(1.234)));
    let comma = DialectPins { decimal: Some(','), thousands: Some('.'), ..none.clone() };
    assert_eq!(read(open, &comma), Ok(Some(1234.0)));
    // A first declaration is proposed all the same, and asks.
    let found = found::table(open.as_bytes()).unwrap();
    assert_eq!(found.open_mark.as_deref(), Some("1.234"));
    assert_eq!(found::table(b"a;b\n1.234;x\n2.5;y\n").unwrap().open_mark, None);
}

/// Titles that a spreadsheet pads with delimiters, a delimiter at the end of every line.
#[test]
fn lines_and_columns_without_a_table_in_them_are_left_out() {
    let asset = asset("class", &["x", "y"]);
    let wanted = [feature("a", Kind::Number), feature("b", Kind::Category)];
    let read = |text: &str| Table::read(text.as_bytes(), &asset, &wanted);
    let want = read("a;b;class\n1,5;p;x\n2,5;q;y\n").unwrap();
    for (name, text, skipped, note) in [
        ("padded title", "List of 2023;;\n;;\na;b;class\n1,5;p;x\n2,5;q;y\n", 2, None),
        (
            "delimiter at the end",
            "a;b;class;\n1,5;p;x;\n2,5;q;y;\n",
            0,
            Some("column 4 has neither a name nor a value: left out"),
        ),
    ] {
        let got = read(text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((&got.columns, &got.labels), (&want.columns, &want.labels), "{name}");
        assert_eq!(got.dialect.skipped, skipped, "{name}");
        assert_eq!(got.notes.first().map(String::as_str), note, "{name}");
        let found = found::table(text.as_bytes()).unwrap();
        let names: Vec<&str> = found.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!((names, found.rows), (vec!["a", "b", "class"], 2), "{name}");
    }
    // A row above the header is no title.
    let told = read("1;p;x\na;b;class\n2,5;q;y\n").unwrap_err().to_string();
    assert!(told.contains("no header"), "{told}");
}

#[test]
fn what_is_wrong_with_a_line_is_told_and_what_to_do() {
    let asset = asset("class", &["x", "y"]);
    let wanted = [feature("a", Kind::Number), feature("b", Kind::Category)];
    for (name, text, told) in [
        ("blank row", "a;b;class\n1,5;p;x\n;;\n", "no field of this line holds anything: remove"),
        ("header again", "a;b;class\n1,5;p;x\na;b;class\n2;q;y\n", "the line repeats the header"),
        ("other letters", "A;B;Class\n1,5;p;x\n2,5;q;y\n", "did you mean `A`?"),
        ("open quote", "a;b;class\n1,5;\"p;x\n2,5;q;y\n", "the quote opened on line 2 is never"),
        ("a sum below", "a;b;class\n1,5;p;x\n(1 row)\n", "remove it if it is a title or a sum"),
        ("not whole", "a;b;class\n1;p;x\n2,5;q;y\n", "declare the feature as `number`"),
        ("spreadsheet error", "a;b;class\n#NV;p;x\n2,5;q;y\n", "an error value of a spreadsheet"),
    ] {
        let whole = [feature("a", Kind::Integer), feature("b", Kind::Category)];
        let wanted = if name == "not whole" { &whole } else { &wanted };
        let refused = Table::read(text.as_bytes(), &asset, wanted).unwrap_err().to_string();
        assert!(refused.contains(told), "{name}: {refused}");
    }
}
