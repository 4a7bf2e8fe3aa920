//! Dialects: what is detected, what is pinned, what is refused.

use proofmark_dataset::csv::{self, CsvError, Hints, Records};
use proofmark_schema::system::DialectPins;
use proptest::prelude::*;

fn sniff(bytes: &[u8]) -> Result<Records, CsvError> {
    csv::read(bytes, &DialectPins::default(), &Hints::default())
}

fn fields(records: &Records) -> Vec<Vec<&str>> {
    let row = |r| (0..records.columns.len()).map(move |c| records.field(r, c).unwrap()).collect();
    (0..records.len()).map(row).collect()
}

#[test]
fn dialects_are_detected_and_told_in_one_line() {
    for (name, bytes, told, first) in [
        (
            "commas",
            "a,b\n1,2.5\n3,4\n",
            "2 columns by `,`, decimal `.`, header, UTF-8, LF",
            "1|2.5",
        ),
        (
            "german spreadsheet",
            "\u{feff}a;b\r\n1;2,5\r\n3;4,25\r\n",
            "2 columns by `;`, decimal `,`, header, UTF-8 with byte order mark, CRLF",
            "1|2,5",
        ),
        ("tabs", "a\tb\n1\t2\n", "2 columns by tab, decimal `.`, header, UTF-8, LF", "1|2"),
        ("bars", "a|b\n1|2\n", "2 columns by `|`, decimal `.`, header, UTF-8, LF", "1|2"),
        (
            "runs of blanks, no header",
            "A11  6 1.5\nA12 48 2\n\nA14\t7 3\n",
            "3 columns by blanks, decimal `.`, no header, UTF-8, LF",
            "A11|6|1.5",
        ),
        (
            "comma and blank",
            "39, State-gov, 77\n50, Private, 83\n",
            "3 columns by `,`, decimal `.`, no header, UTF-8, LF",
            "39|State-gov|77",
        ),
        ("one column", "a\n1\n2\n", "1 columns by `,`, decimal `.`, header, UTF-8, LF", "1"),
        (
            "old line ends",
            "a,b\r1,2\r3,4\r",
            "2 columns by `,`, decimal `.`, header, UTF-8, CR",
            "1|2",
        ),
        (
            "decimal commas and semicolons alike in number",
            "a;b;c\n1,5;2,5;x\n3,5;4,5;y\n",
            "3 columns by `;`, decimal `,`, header, UTF-8, LF",
            "1,5|2,5|x",
        ),
        (
            "quoted delimiter and newline",
            "a,b\n\"x, \"\"y\"\"\nz\",2\nw,3\n",
            "2 columns by `,`, decimal `.`, header, UTF-8, LF",
            "x, \"y\"\nz|2",
        ),
        (
            "decimal commas in quotes",
            "a,b\n\"1,5\",x\n\"2,25\",y\n",
            "2 columns by `,`, decimal `,`, header, UTF-8, LF",
            "1,5|x",
        ),
    ] {
        let records = sniff(bytes.as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(records.dialect.to_string(), told, "{name}");
        assert_eq!(fields(&records)[0].join("|"), first, "{name}");
    }
}

#[test]
fn lines_are_those_an_editor_shows() {
    for (name, text, lines) in [
        ("plain", "a,b\n1,2\n3,4\n", vec![2, 3]),
        ("crlf", "a,b\r\n1,2\r\n3,4\r\n", vec![2, 3]),
        ("blank lines", "a,b\n\n1,2\n\n\n3,4", vec![3, 6]),
        ("quoted newlines", "a,b\n\"1\n1\",2\n3,4\n", vec![2, 4]),
        ("quoted crlf", "a,b\r\n\"1\r\n\r\n1\",2\r\n3,4\r\n", vec![2, 5]),
        ("old line ends", "a,b\r1,2\r3,4", vec![2, 3]),
    ] {
        assert_eq!(sniff(text.as_bytes()).unwrap().lines(), lines, "{name}");
    }
}

#[test]
fn bad_files_are_refused_with_the_place() {
    let long = format!("a,b\n\"{}\",2\n", "x".repeat(2 << 20));
    let wide = ["x"; 17_000].join(",");
    for (name, bytes, told) in [
        ("empty", &b""[..], "the file has no data row; export it again"),
        ("blank", b"\xef\xbb\xbf \n\n", "the file has no data row; export it again"),
        ("header only", b"a,b\n", "the file has no data row; export it again"),
        (
            "ragged row",
            b"a,b,c\n1,2,3\n4,5\n6,7,8\n",
            "line 3 has 2 fields, the first record has 3 (read with 3 columns by `,`, decimal `.`, \
             header, UTF-8, LF); mend the line, or remove it if it is a title or a sum; a wrong \
             dialect is pinned by `dialect`",
        ),
        ("open quote", b"a,b\n1,2\n\"3,4\n5,6\n", "the quote opened on line 3 is never closed"),
        (
            "thousands or decimals",
            b"a;b\n1,234;x\n2,345;y\n",
            "`1,234` in column `a` may hold a decimal mark or a mark of thousands; pin \
             `dialect = { decimal = \",\" }` or `dialect = { decimal = \".\", \
             thousands = \",\" }`",
        ),
        (
            "a field that never ends",
            long.as_bytes(),
            "line 2 has a field of 2097152 bytes, at most 1048576; is a quote left open?",
        ),
        ("too wide", wide.as_bytes(), "the file has 17000 columns, at most 16384 are read"),
    ] {
        assert_eq!(sniff(bytes).map_err(|e| e.to_string()).unwrap_err(), told, "{name}");
    }
}

#[test]
fn pins_win_over_detection() {
    let pins = DialectPins {
        delimiter: Some(",".into()),
        decimal: Some('.'),
        header: Some(false),
        columns: None,
        ..DialectPins::default()
    };
    let records = csv::read(b"a;b,c\n1;2,3\n", &pins, &Hints::default()).unwrap();
    assert_eq!(records.columns, ["column_1", "column_2"]);
    assert_eq!(fields(&records), [["a;b", "c"], ["1;2", "3"]]);
    let told = "2 columns by `,`, decimal `.`, no header, UTF-8, LF \
                (pinned: delimiter, decimal, header)";
    assert_eq!(records.dialect.to_string(), told);

    let renamed = DialectPins {
        header: Some(true),
        columns: Some(vec!["x".into(), "y".into()]),
        ..DialectPins::default()
    };
    let records = csv::read(b"a,a\n1,2\n", &renamed, &Hints::default()).unwrap();
    assert_eq!((records.columns.join(" "), records.len()), ("x y".into(), 1));

    let three = DialectPins { columns: Some(vec!["x".into(); 3]), ..renamed };
    let refused = csv::read(b"a,a\n1,2\n", &three, &Hints::default()).unwrap_err();
    assert_eq!(refused, CsvError::PinnedColumns { pinned: 3, found: 2 });
    let odd = DialectPins { delimiter: Some("::".into()), ..DialectPins::default() };
    let refused = csv::read(b"a,b\n1,2\n", &odd, &Hints::default()).unwrap_err();
    assert_eq!(refused, CsvError::BadDelimiter { text: "::".into() });
}

#[test]
fn declared_names_decide_where_the_sample_is_even() {
    // Every record splits evenly by both; the header says which is meant.
    let text = b"x y,z w\n1 2,3 4\n5 6,7 8\n";
    for (columns, want) in [(["x y", "z w"], 2), (["x", "y,z"], 3)] {
        let hints = Hints { columns: &columns, ..Hints::default() };
        let records = csv::read(text, &DialectPins::default(), &hints).unwrap();
        assert_eq!(records.columns.len(), want, "{columns:?}");
    }
}

#[test]
fn suspicious_values_are_warned_about() {
    let mut text = String::from("age,income,city,flag\n");
    for i in 0..30 {
        text += &format!("{},{},x,0\n", 20 + i, 1000 + 10 * i);
    }
    text += "-999,9999999,?,1\n9,?,x,1\n30,?,NA,0\n";
    let found = sniff(text.as_bytes()).unwrap().sentinels();
    let told: Vec<String> =
        found.iter().map(|s| format!("{} {} {}", s.column, s.text, s.count)).collect();
    assert_eq!(told, ["age -999 1", "income ? 2", "income 9999999 1", "city NA 1", "city ? 1"]);
    let words = "`-999` in column `age` (1 row) may mean missing: add it to `missing` if it does";
    assert_eq!(found[0].to_string(), words);
}

#[test]
fn numbers_are_read_strictly() {
    for (text, decimal, want) in [
        ("1", '.', Some(1.0)),
        ("-1.5e3", '.', Some(-1500.0)),
        ("+.5", '.', Some(0.5)),
        ("1,5", ',', Some(1.5)),
        ("1.5", ',', None),
        ("1,5", '.', None),
        ("1.234,5", ',', None),
        ("1,2,3", ',', None),
        ("", '.', None),
        ("-", '.', None),
        ("e5", '.', None),
        ("inf", '.', None),
        ("NaN", '.', None),
        ("0x10", '.', None),
        ("1e999", '.', None),
        ("1 000", '.', None),
    ] {
        assert_eq!(csv::parse_number(text, decimal), want, "{text} {decimal}");
    }
}

/// Quotes a field as RFC 4180 asks.
fn quote(field: &str, delimiter: char) -> String {
    let special = |c: char| c == delimiter || matches!(c, '"' | '\n' | '\r');
    if field.contains(special) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.into()
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        delimiter in prop::sample::select(vec![',', ';', '\t', '|']),
        crlf in any::<bool>(),
        bom in any::<bool>(),
        rows in prop::collection::vec(
            prop::collection::vec("[a-z0-9,;|\"\n.é-]{0,8}[a-z]", 3), 1..20),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::from(if bom { "\u{feff}" } else { "" });
        let header = vec!["first name".to_owned(), "second".into(), "third".into()];
        for row in std::iter::once(&header).chain(&rows) {
            let fields: Vec<String> = row.iter().map(|f| quote(f, delimiter)).collect();
            text += &fields.join(&delimiter.to_string());
            text += end;
        }
        let columns: Vec<&str> = header.iter().map(String::as_str).collect();
        let hints = Hints { columns: &columns, numeric: &["none"], limit: None };
        let records = csv::read(text.as_bytes(), &DialectPins::default(), &hints).unwrap();
        let trimmed: Vec<Vec<&str>> =
            rows.iter().map(|r| r.iter().map(|f| f.trim()).collect()).collect();
        prop_assert_eq!(&records.columns, &header);
        prop_assert_eq!(fields(&records), trimmed);
    }

    #[test]
    fn any_bytes_end_in_records_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(records) = sniff(&bytes) {
            prop_assert_eq!(records.lines().len(), records.len());
        }
    }

    #[test]
    fn any_delimited_text_ends_in_records_or_an_error(text in "[ab1.,;|\t\"\n\r -]{0,200}") {
        if let Ok(records) = sniff(text.as_bytes()) {
            prop_assert!(fields(&records).iter().all(|r| r.len() == records.columns.len()));
            prop_assert!(records.lines().windows(2).all(|w| w[0] < w[1]));
        }
    }
}
