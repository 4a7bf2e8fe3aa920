//! Facts and guesses for a first declaration.

use proofmark_dataset::found;
use proofmark_formats::npy::{self, NpyArray, NpyData};
use proofmark_schema::system::FeatureKind as Kind;

#[test]
fn columns_are_described_and_their_types_guessed() {
    let mut text = String::from("id;amount;rate;owner;colour;note;class\n");
    for i in 0..30 {
        let colour = ["red", "blue", ""][i % 3];
        let owner = ["yes", "no"][i % 2];
        text += &format!("{i};{};{},5;{owner};{colour};note {i};{}\n", 100 + i, i, 1 + i % 2);
    }
    text += "30;-999;?;no;red;note x;1\n";
    let found = found::table(text.as_bytes()).unwrap();
    assert_eq!((found.rows, found.header), (31, true));
    assert_eq!(found.dialect, "7 columns by `;`, decimal `,`, header, UTF-8, LF");
    let told: Vec<_> =
        found.columns.iter().map(|c| (c.name.as_str(), c.kind, c.range, c.distinct)).collect();
    assert_eq!(
        told,
        [
            ("id", Kind::Integer, Some([0.0, 30.0]), 31),
            ("amount", Kind::Integer, Some([100.0, 129.0]), 30),
            ("rate", Kind::Number, Some([0.5, 29.5]), 30),
            ("owner", Kind::Boolean, None, 2),
            ("colour", Kind::Category, None, 2),
            ("note", Kind::Text, None, 31),
            ("class", Kind::Integer, Some([1.0, 2.0]), 2),
        ]
    );
    let missing: Vec<&[String]> = found.columns.iter().map(|c| &c.missing[..]).collect();
    assert_eq!(missing[1], ["-999"]);
    assert_eq!(missing[2], ["?"]);
    assert_eq!(missing[4], [""]);
    assert_eq!(found.columns[4].values, ["blue", "red"]);
}

#[test]
fn images_are_described() {
    let bytes = |shape: &[usize], data| npy::write(&NpyArray::new(shape.to_vec(), data).unwrap());
    let labels = bytes(&[2], NpyData::I64(vec![10, 9])).unwrap();
    for (name, shape, want) in [
        ("grey", &[2, 6, 5][..], [1, 6, 5]),
        ("vectors", &[2, 4], [1, 1, 4]),
        ("channels first", &[2, 3, 6, 5], [3, 6, 5]),
        ("channels last", &[2, 6, 5, 3], [3, 6, 5]),
    ] {
        let count: usize = shape.iter().product();
        let mut pixels = vec![7u8; count];
        pixels[1] = 250;
        let data = bytes(shape, NpyData::U8(pixels)).unwrap();
        let found = found::images(&data, Some(&labels)).unwrap();
        assert_eq!((found.rows, found.shape, found.range), (2, want, [7.0, 250.0]), "{name}");
        assert_eq!(found.label_values, ["9", "10"], "{name}");
    }
    let list = bytes(&[8], NpyData::U8(vec![0; 8])).unwrap();
    let told = "the images have 1 dimensions; (n, h, w), (n, c, h, w), (n, h, w, c) or, for \
                vectors, (n, k) are read";
    assert_eq!(found::images(&list, None).unwrap_err().to_string(), told);
}
