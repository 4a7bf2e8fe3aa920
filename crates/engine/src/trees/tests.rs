//! The fast way against the plain walk, and ensembles that are none.

use proptest::prelude::*;

use super::*;

fn branch(i: usize) -> Child {
    Child::branch(i).unwrap()
}

fn leaf(i: usize) -> Child {
    Child::leaf(i).unwrap()
}

fn stump(test: Test, missing: Missing) -> Ensemble {
    let branch = Branch { feature: 0, test, yes: leaf(0), no: leaf(1), missing };
    let tree = Tree {
        output: Output::One(0),
        branches: vec![branch],
        leaves: vec![1.0, 0.0],
        root: Child::branch(0).unwrap(),
        weight: 1.0,
    };
    let mut e = Ensemble::new(1, Arithmetic::F32, "test");
    e.trees.push(tree);
    e
}

fn yes(e: &Ensemble, v: f64) -> bool {
    let forest = e.compile().unwrap();
    let got = forest.margins(Rows::new(&[v], 1).unwrap(), 1).unwrap().to_f64s()[0];
    let mut sums = [0.0f64];
    e.walk(|_| v, &mut sums, &mut [false]);
    assert_eq!(got, sums[0], "{e:?} at {v}");
    got == 1.0
}

#[test]
fn every_test_and_every_missing_rule_answers_as_written() {
    let nan = f64::NAN;
    let tests: &[(Test, &[(f64, bool)])] = &[
        (Test::Below(1.0), &[(1.0, false), (0.5, true), (-0.0, true), (f64::INFINITY, false)]),
        (Test::AtMost(1.0), &[(1.0, true), (1.5, false), (f64::NEG_INFINITY, true)]),
        (Test::AtLeast(1.0), &[(1.0, true), (0.5, false)]),
        (Test::Above(1.0), &[(1.0, false), (1.5, true)]),
        (Test::Below(0.0), &[(-0.0, false), (0.0, false), (-1e-40, true)]),
        (Test::AtMost(-0.0), &[(0.0, true), (-0.0, true), (1e-40, false)]),
        (Test::Equal(2.0), &[(2.0, true), (2.5, false), (f64::INFINITY, false)]),
        (Test::Unequal(2.0), &[(2.0, false), (2.5, true)]),
        (Test::OneOf([0, 3].into()), &[(0.0, true), (3.0, true), (1.0, false), (-1.0, false)]),
        (Test::OneOf([].into()), &[(0.0, false), (f64::INFINITY, false)]),
        (Test::Below(f64::NEG_INFINITY), &[(f64::NEG_INFINITY, false), (0.0, false)]),
        (Test::AtMost(f64::INFINITY), &[(f64::INFINITY, true), (0.0, true)]),
    ];
    for (test, cases) in tests {
        for missing in [Missing::Yes, Missing::No, Missing::Compare] {
            let e = stump(test.clone(), missing);
            for &(v, want) in *cases {
                assert_eq!(yes(&e, v), want, "{test:?} {missing:?} at {v}");
            }
            let lost = match missing {
                Missing::Yes => true,
                Missing::Compare => matches!(test, Test::Unequal(_)),
                _ => false,
            };
            assert_eq!(yes(&e, nan), lost, "{test:?} {missing:?}");
        }
        for to_yes in [true, false] {
            let e = stump(test.clone(), Missing::ZeroIs { to_yes });
            for v in [nan, 0.0, -0.0, 1e-36, -ZERO_MAX] {
                assert_eq!(yes(&e, v), to_yes, "{test:?} zero to {to_yes} at {v}");
            }
        }
    }
}

#[test]
fn numbers_become_codes_as_each_library_has_it() {
    let one = Test::OneOf([0, 2].into());
    for (codes, v, want) in [
        (Codes::Whole, 2.5, false),
        (Codes::Floor, 2.5, true),
        (Codes::Truncated, 2.5, true),
        (Codes::Floor, -0.5, false),
        (Codes::Truncated, -0.5, true),
        (Codes::Truncated, -1.0, false),
        (Codes::Whole, 1e20, false),
    ] {
        let mut e = stump(one.clone(), Missing::No);
        e.codes = codes;
        assert_eq!(yes(&e, v), want, "{codes:?} {v}");
    }
}

#[test]
fn a_double_threshold_is_not_rounded_for_single_features() {
    // The nearest single of this threshold is above it.
    let t = 0.1f64;
    let near = 0.1f32;
    assert!(f64::from(near) > t);
    let mut e = stump(Test::AtMost(t), Missing::No);
    e.arithmetic = Arithmetic::Mixed;
    assert!(!yes(&e, f64::from(near)));
    assert!(yes(&e, f64::from(near.next_down())));
    e.arithmetic = Arithmetic::F64;
    assert!(yes(&e, 0.1));
    assert!(!yes(&e, 0.1f64.next_up()));
}

#[test]
fn more_thresholds_than_a_column_holds_are_told_apart() {
    let mut e = Ensemble::new(1, Arithmetic::F64, "test");
    for t in 0..70_000 {
        let mut one = stump(Test::AtMost(f64::from(t)), Missing::Yes);
        e.trees.append(&mut one.trees);
    }
    let forest = e.compile().unwrap();
    let data = [-1.0, 0.0, 65_534.0, 65_534.5, 65_535.0, 65_536.0, 69_999.0, 70_000.0, f64::NAN];
    let want = [7e4, 7e4, 4466.0, 4465.0, 4465.0, 4464.0, 1.0, 0.0, 7e4];
    let got = forest.margins(Rows::new(&data, 1).unwrap(), 1).unwrap();
    assert_eq!(got, Numbers::F64(want.to_vec()));
}

#[test]
fn what_is_no_ensemble_is_refused_and_its_twin_is_not() {
    let good = || stump(Test::AtMost(1.0), Missing::No);
    assert!(good().compile().is_ok());
    type Spoil = fn(&mut Ensemble);
    let spoil: &[(&str, Spoil)] = &[
        ("branch 0 twice", |e| e.trees[0].branches[0].yes = branch(0)),
        ("names branch 7 of 1", |e| e.trees[0].branches[0].no = branch(7)),
        ("names leaf 2 of 2", |e| e.trees[0].root = leaf(2)),
        ("column 9 of 1", |e| e.trees[0].branches[0].feature = 9),
        ("not a number", |e| e.trees[0].branches[0].test = Test::Below(f64::NAN)),
        ("not a number", |e| e.trees[0].leaves[1] = f64::NAN),
        ("not a number", |e| e.trees[0].weight = f64::INFINITY),
        ("do not ascend", |e| e.trees[0].branches[0].test = Test::OneOf([3, 3].into())),
        ("do not fit the outputs", |e| e.trees[0].output = Output::One(1)),
        ("do not fit the outputs", |e| {
            (e.outputs, e.trees[0].output) = (3, Output::Vector);
        }),
        ("do not fit the outputs", |e| {
            let (starts, targets) = (vec![0, 2, 1], vec![0, 0]);
            e.trees[0].output = Output::Listed { starts, targets };
        }),
        ("16777217 columns", |e| e.columns = COLUMNS_MAX + 1),
        ("0 outputs", |e| e.outputs = 0),
        ("base margins", |e| e.base = vec![0.0; 2]),
        ("labels", |e| e.labels = Some(Labels::counted(3))),
        ("category 4294967295 of 2", |e| {
            e.categories = vec![Some(Categories::Texts(vec!["a".into(), "b".into()]))];
            e.trees[0].branches[0].test = Test::OneOf([u32::MAX].into());
        }),
        ("deeper than", |e| {
            let deep = DEPTH_MAX + 1;
            let one = e.trees[0].branches[0].clone();
            let chain = (0..deep).map(|i| Branch {
                no: if i + 1 < deep { branch(i + 1) } else { leaf(1) },
                ..one.clone()
            });
            e.trees[0].branches = chain.collect();
        }),
    ];
    for (words, spoil) in spoil {
        let mut e = good();
        spoil(&mut e);
        let error = e.compile().unwrap_err().to_string();
        assert!(error.contains(words), "{error} lacks {words}");
    }
}

/// Values that thresholds are taken from as well, so that rows lie on them.
const POINTS: &[f64] = &[
    f64::NEG_INFINITY,
    -2.5,
    -0.1,
    -1e-36,
    -0.0,
    0.0,
    1e-36,
    0.1,
    1.0,
    2.0,
    2.0000001,
    3.0,
    7.0,
    f64::INFINITY,
];

/// A random ensemble from a list of numbers, sound by construction.
fn grown(mut next: impl FnMut(usize) -> usize) -> Ensemble {
    let arithmetic = [Arithmetic::F32, Arithmetic::F64, Arithmetic::Mixed][next(3)];
    let mut e = Ensemble::new(4, arithmetic, "test");
    e.outputs = 1 + next(3);
    e.codes = [Codes::Whole, Codes::Floor, Codes::Truncated][next(3)];
    e.join = [Join::Sum, Join::Sum, Join::Average(3), Join::Min, Join::Max][next(5)];
    e.base = if next(2) == 0 { vec![] } else { vec![0.3; e.outputs] };
    e.base_last = next(2) == 0;
    let kind = next(3);
    for _ in 0..1 + next(6) {
        let n = next(9);
        // Branch `i` has the children 2i + 1 and 2i + 2 where these are branches, else new leaves.
        let mut leaves = 0;
        let mut child = |i: usize| {
            if i < n {
                branch(i)
            } else {
                leaves += 1;
                leaf(leaves - 1)
            }
        };
        let root = child(0);
        let children: Vec<(Child, Child)> =
            (0..n).map(|i| (child(2 * i + 1), child(2 * i + 2))).collect();
        let branches = children
            .into_iter()
            .map(|(yes, no)| Branch {
                feature: next(4) as u32,
                test: test(&mut next),
                yes,
                no,
                missing: [
                    Missing::Yes,
                    Missing::No,
                    Missing::Compare,
                    Missing::ZeroIs { to_yes: true },
                    Missing::ZeroIs { to_yes: false },
                ][next(5)],
            })
            .collect();
        let output = match kind {
            0 => Output::One(next(e.outputs) as u32),
            1 => [Output::One(0), Output::Vector][next(2)].clone(),
            _ => {
                let mut starts = vec![0u32];
                (0..leaves).for_each(|i| starts.push(starts[i] + next(3) as u32));
                let n = starts[leaves];
                let targets = (0..n).map(|_| next(e.outputs) as u32).collect();
                Output::Listed { starts, targets }
            }
        };
        let values = match &output {
            Output::One(_) => leaves,
            Output::Vector => leaves * e.outputs,
            Output::Listed { targets, .. } => targets.len(),
        };
        let leaves = (0..values).map(|_| next(1000) as f64 / 7.0 - 50.0).collect();
        let weight = [1.0, 0.7][next(2)];
        e.trees.push(Tree { output, branches, leaves, root, weight });
    }
    e
}

fn test(next: &mut impl FnMut(usize) -> usize) -> Test {
    let t = POINTS[next(POINTS.len())];
    match next(8) {
        0 => Test::Below(t),
        1 => Test::AtMost(t),
        2 => Test::AtLeast(t),
        3 => Test::Above(t),
        4 => Test::Equal(t),
        5 => Test::Unequal(t),
        6 => Test::OneOf([0, 2, 7].into()),
        _ => Test::OneOf([1].into()),
    }
}

proptest! {
    #[test]
    fn the_fast_way_gives_the_bits_of_the_plain_walk(
        seed in proptest::collection::vec(0usize..10_000, 400),
        rows in 1usize..40,
    ) {
        let mut at = 0;
        let e = grown(|n| { at += 1; seed[at % seed.len()].wrapping_add(at / seed.len()) % n });
        let forest = e.compile().unwrap();
        let pick = |i: usize| match seed[(i * 7) % seed.len()] % (POINTS.len() + 2) {
            j if j < POINTS.len() => POINTS[j],
            _ => f64::NAN,
        };
        let data: Vec<f64> = (0..rows * e.columns).map(pick).collect();
        let slow = e.compile_slow().unwrap();
        let rows = Rows::new(&data, e.columns).unwrap();
        prop_assert_eq!(forest.sums(rows).unwrap(), slow.sums(rows).unwrap());
        prop_assert_eq!(forest.margins(rows, 1).unwrap(), slow.margins(rows, 1).unwrap());
    }

    #[test]
    fn a_row_depends_neither_on_its_batch_nor_on_threads(
        seed in proptest::collection::vec(0usize..10_000, 400),
    ) {
        let mut at = 0;
        let e = grown(|n| { at += 1; seed[at % seed.len()].wrapping_add(at / seed.len()) % n });
        let forest = e.compile().unwrap();
        let n = 600;
        let data: Vec<f32> = (0..n * e.columns)
            .map(|i| POINTS[(seed[i % seed.len()] + i / seed.len()) % POINTS.len()] as f32)
            .collect();
        let all = forest.margins(Rows::new(&data, e.columns).unwrap(), 1).unwrap();
        prop_assert_eq!(&forest.margins(Rows::new(&data, e.columns).unwrap(), 3).unwrap(), &all);
        let one = data.chunks(e.columns).flat_map(|row| {
            forest.margins(Rows::new(row, e.columns).unwrap(), 1).unwrap().to_f64s()
        });
        prop_assert_eq!(one.collect::<Vec<_>>(), all.to_f64s());
    }
}
