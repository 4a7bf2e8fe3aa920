//! Flips do what bits say, and are counted as what they did.

use super::*;

#[test]
fn a_flip_is_undone_by_itself_and_its_part_is_named() {
    for bit in 0..32 {
        let once = flipped(1.5, bit);
        assert_ne!(once.to_bits(), 1.5_f32.to_bits());
        assert_eq!(flipped(once, bit), 1.5);
    }
    assert_eq!((flipped(1.0, 31), part_of(31)), (-1.0, "sign"));
    assert!(flipped(1.5, 30).is_nan(), "an exponent of ones");
    assert_eq!(part_of(30), "exponent, highest bit");
    assert_eq!((flipped(1.0, 23), part_of(23)), (0.5, "exponent, other bits"));
    assert_eq!((flipped(1.0, 22), part_of(22)), (1.5, "mantissa, upper half"));
    assert_eq!(part_of(0), "mantissa, lower half");
    assert_eq!((1..=5).map(flips).collect::<Vec<_>>(), [1, 2, 4, 8, 16]);
}

#[test]
fn rows_are_taken_whole() {
    let binding = Binding {
        n: 3,
        inputs: vec![BoundInput {
            name: "x".into(),
            shape: vec![3, 2],
            data: BoundData::F32(vec![0.0, 1.0, 10.0, 11.0, 20.0, 21.0]),
        }],
        free: proofmark_dataset::bind::Free::Columns(Vec::new()),
        unread: Vec::new(),
    };
    let two = only(&binding, &[2, 0]);
    assert_eq!((two.n, &two.inputs[0].shape), (2, &vec![2, 2]));
    assert_eq!(two.inputs[0].data, BoundData::F32(vec![20.0, 21.0, 0.0, 1.0]));
}
