//! NPY and IDX files whose headers lie.

use proofmark_formats::idx::{self, IdxError};
use proofmark_formats::npy::{self, NpyData, NpyError, STRINGS_MAX};

fn npy_file(header: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(body);
    bytes
}

fn described(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
    npy_file(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"), body)
}

#[test]
fn headers_are_parsed_strictly() {
    let cases = [
        ("empty", "", "expected a dictionary"),
        ("code", "__import__('os').system('x')", "expected a dictionary"),
        ("call", "{'descr': str('<f4'), 'fortran_order': False, 'shape': ()}", "quoted string"),
        ("unclosed", "{'descr': '<f4', 'fortran_order': False, 'shape': ()", "expected `,` or `}`"),
        ("behind", "{'descr': '<f4', 'fortran_order': False, 'shape': ()} + 1", "only blanks"),
        ("missing", "{'descr': '<f4', 'shape': ()}", "`fortran_order` is missing"),
        ("twice", "{'descr': '<f4', 'descr': '<f8'}", "`descr` is given twice"),
        ("unknown", "{'what': 1}", "`what` is not a key"),
        ("escape", r"{'descr': '\x3cf4'}", "without escapes"),
        ("no boolean", "{'fortran_order': 1}", "`True` or `False`"),
        ("negative", "{'shape': (-1,)}", "not negative"),
        ("float", "{'shape': (1.0,)}", "expected `,`"),
        ("no tuple", "{'shape': (1)}", "is no tuple"),
        ("list", "{'shape': [1]}", "a tuple"),
        ("huge", "{'shape': (99999999999999999999,)}", "a dimension"),
        ("commas", "{'shape': (1,,)}", "a dimension"),
        ("structured", "{'descr': [('a', '<f4')]}", "structured"),
    ];
    for (name, header, part) in cases {
        let message = npy::read(&npy_file(header, b"")).unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
    let rank = format!("{{'shape': ({})}}", "1,".repeat(65));
    assert!(npy::read(&npy_file(&rank, b"")).is_err());
    // order, quotes, blanks and the long integers of Python 2 are free
    let free = "{ \"shape\" : ( 2L , ) ,'fortran_order':True,\t'descr':'<u2'}   \n";
    let array = npy::read(&npy_file(free, &[1, 0, 2, 0])).unwrap();
    assert_eq!((array.shape(), array.data()), (&[2][..], &NpyData::U16(vec![1, 2])));
}

#[test]
fn sizes_that_lie_are_refused() {
    let cases = [
        ("short", described("<f4", "(3,)", &[0; 11]), "takes 12 bytes but 11 follow"),
        ("long", described("<f4", "(3,)", &[0; 13]), "takes 12 bytes but 13 follow"),
        ("overflow", described("<f4", "(4294967296, 4294967296)", b""), "more than 2147483648"),
        (
            "zero hides",
            described("<f4", "(0, 4294967296, 4294967296)", b""),
            "more than 2147483648",
        ),
        ("huge", described("<f8", "(2147483648,)", b""), "takes 17179869184 bytes but 0"),
        ("wide", described("<U999999999", "(2000000000,)", b""), "more than 10000000"),
        ("many empty", described("|S0", "(1000000000000,)", b""), "more than 10000000"),
        ("wider", described("<U99999999999", "(1,)", b""), "`<U99999999999` is not read"),
        ("half byte", described("<f", "(1,)", b""), "`<f` is not read"),
        ("order", described("|f4", "(1,)", &[0; 4]), "`|f4` is not read"),
        ("native", described("=f4", "(1,)", &[0; 4]), "`=f4` is not read"),
        ("boolean", described("|b1", "(2,)", &[1, 7]), "element 1, byte"),
        ("not unicode", described("<U1", "(1,)", &[0, 0xd8, 0, 0]), "not a valid UTF-32 text"),
        ("not text", described("|S2", "(1,)", &[0xff, 0xfe]), "not a valid UTF-8 text"),
        ("objects", described("|O", "(1,)", b"\x80\x04N."), "is a pickle"),
    ];
    for (name, bytes, part) in cases {
        let message = npy::read(&bytes).unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
    let none = described("|S0", "(3,)", b"");
    assert_eq!(npy::read(&none).unwrap().data().to_strings(), ["", "", ""]);
    const { assert!(STRINGS_MAX < 1 << 24) };
}

#[test]
fn element_errors_name_the_byte_in_the_file() {
    let bytes = described("|b1", "(3,)", &[0, 1, 9]);
    let offset = bytes.len() - 1;
    let error = npy::read(&bytes).unwrap_err();
    assert_eq!(error, NpyError::Element { index: 2, offset, kind: "boolean" });
}

#[test]
fn versions_and_lengths_are_checked() {
    let cases: [(&str, &[u8], NpyError); 6] = [
        ("empty", b"", NpyError::NotNpy),
        ("magic only", b"\x93NUMPY", NpyError::HeaderTruncated { needed: 8, available: 6 }),
        ("version", b"\x93NUMPY\x04\x00", NpyError::Version { major: 4, minor: 0 }),
        (
            "no length",
            b"\x93NUMPY\x02\x00\x10\x00",
            NpyError::HeaderTruncated { needed: 12, available: 10 },
        ),
        (
            "length lies",
            b"\x93NUMPY\x01\x00\xff\xff{",
            NpyError::HeaderTruncated { needed: 65_545, available: 11 },
        ),
        (
            "bomb",
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
            NpyError::HeaderTooLarge { found: 0xffff_ffff },
        ),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(npy::read(bytes), Err(error), "{name}");
    }
}

#[test]
fn conversions_are_exact_or_refused() {
    let whole = NpyData::F64(vec![-1.0, 9_007_199_254_740_992.0]);
    assert_eq!(whole.to_i64().unwrap(), [-1, 1 << 53]);
    assert_eq!(whole.to_strings(), ["-1", "9007199254740992"]);
    let refused = [
        NpyData::F64(vec![0.5]),
        NpyData::F64(vec![f64::NAN]),
        NpyData::F32(vec![f32::INFINITY]),
        NpyData::F64(vec![9_223_372_036_854_775_808.0]),
        NpyData::U64(vec![1 << 63]),
        NpyData::Str(vec!["1".to_owned()]),
    ];
    for data in refused {
        assert!(data.to_i64().is_err(), "{data:?}");
    }
    assert_eq!(NpyData::Bool(vec![true, false]).to_f32().unwrap(), [1.0, 0.0]);
    assert_eq!(NpyData::F32(vec![0.1]).to_strings(), ["0.1"]);
    assert!(NpyData::Str(Vec::new()).to_f64().is_err());
}

#[test]
fn idx_headers_that_lie_are_refused() {
    let image = |dims: &[u32], body: usize| {
        let mut bytes = vec![0, 0, 8, u8::try_from(dims.len()).unwrap()];
        bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend(vec![0; body]);
        bytes
    };
    assert!(idx::read(&image(&[2, 2], 4), 9).is_ok());
    assert_eq!(idx::read(&image(&[0, 5], 0), 9).unwrap().shape(), [0, 5]);
    let shape = vec![2, 3];
    let cases: [(&str, Vec<u8>, IdxError); 8] = [
        ("empty", Vec::new(), IdxError::NotIdx),
        ("text", b"label,x".to_vec(), IdxError::NotIdx),
        ("type", vec![0, 0, 7, 1], IdxError::ElementType { code: 7 }),
        ("rank 0", vec![0, 0, 8, 0], IdxError::Rank { found: 0 }),
        ("rank 9", image(&[1; 9], 1), IdxError::Rank { found: 9 }),
        (
            "no dimensions",
            vec![0, 0, 8, 2, 0, 0, 0, 1, 0],
            IdxError::HeaderTruncated { needed: 12, available: 9 },
        ),
        (
            "short",
            image(&[2, 3], 5),
            IdxError::Length { shape: shape.clone(), expected: 6, found: 5 },
        ),
        ("long", image(&[2, 3], 7), IdxError::Length { shape, expected: 6, found: 7 }),
    ];
    for (name, bytes, error) in cases {
        assert_eq!(idx::read(&bytes, 99), Err(error), "{name}");
    }
    // found by fuzzing: a zero hid a product that overflows in whoever multiplies the shape
    for dims in [[0, u32::MAX, u32::MAX, u32::MAX], [u32::MAX, u32::MAX, u32::MAX, 0]] {
        let error = idx::read(&image(&dims, 0), 99);
        assert!(matches!(error, Err(IdxError::TooLarge { .. })), "{error:?}");
    }
    let huge = vec![u32::MAX as usize; 3];
    assert_eq!(idx::read(&image(&[u32::MAX; 3], 0), 99), Err(IdxError::TooLarge { shape: huge }));
}
