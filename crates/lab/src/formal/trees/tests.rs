//! The search against all choices of leaves, one by one.

use proofmark_engine::trees::{
    Arithmetic, Branch, Child, Codes, Ensemble, Join, Labels, Link, Missing, Output, Test, Tree,
};
use proofmark_schema::system::{Norm, OutputKind};

use super::*;
use crate::stream::Stream;

const PLENTY: Budget = Budget { boxes: 1_000_000 };

fn go() -> bool {
    false
}

/// A random tree: `depth` questions at most.
fn tree(s: &mut Stream, columns: usize, depth: usize, output: u32, kinds: usize) -> Tree {
    let mut t = Tree {
        output: Output::One(output),
        branches: Vec::new(),
        leaves: Vec::new(),
        root: Child::leaf(0).unwrap(),
        weight: [1.0, 0.5][s.below(2)],
    };
    t.root = grow(s, &mut t, columns, depth, kinds);
    t
}

fn grow(s: &mut Stream, t: &mut Tree, columns: usize, depth: usize, kinds: usize) -> Child {
    if depth == 0 || s.below(5) == 0 {
        // Few values, so that sums tie.
        t.leaves.push((s.below(9) as f64 - 4.0) * 0.25);
        return Child::leaf(t.leaves.len() - 1).unwrap();
    }
    // Few thresholds, so that cuts coincide with each other and with values of rows.
    let at = s.below(7) as f64 * 0.5 - 1.5;
    let test = match s.below(kinds) {
        0 => Test::Below(at),
        1 => Test::AtMost(at),
        2 => Test::AtLeast(at),
        3 => Test::Above(at),
        4 => Test::Equal(at),
        5 => Test::Unequal(at),
        _ => Test::OneOf((0..4).filter(|_| s.below(2) == 0).collect()),
    };
    let missing = match s.below(4) {
        0 => Missing::Yes,
        1 => Missing::No,
        2 => Missing::Compare,
        _ => Missing::ZeroIs { to_yes: s.below(2) == 0 },
    };
    let yes = grow(s, t, columns, depth - 1, kinds);
    let no = grow(s, t, columns, depth - 1, kinds);
    let feature = s.below(columns) as u32;
    t.branches.push(Branch { feature, test, yes, no, missing });
    Child::branch(t.branches.len() - 1).unwrap()
}

fn ensemble(
    s: &mut Stream,
    trees: usize,
    columns: usize,
    outputs: usize,
    kinds: usize,
) -> Ensemble {
    let mut e = Ensemble::new(columns, Arithmetic::F64, "random");
    e.outputs = outputs;
    e.labels = Some(Labels::counted(outputs.max(2)));
    e.codes = [Codes::Whole, Codes::Floor, Codes::Truncated][s.below(3)];
    e.link = if outputs == 1 { Link::Logistic { scale: 1.0 } } else { Link::Softmax };
    e.base = (0..outputs).map(|_| 0.125 * s.symmetric()).collect();
    e.join = if s.below(4) == 0 { Join::Average(trees as u32) } else { Join::Sum };
    e.trees = (0..trees).map(|t| tree(s, columns, 3, (t % outputs) as u32, kinds)).collect();
    e
}

/// The nearest change by trying every choice of cells: one value in each cell of each column.
fn tried(searcher: &Searcher, q: &Question<'_>) -> f64 {
    let row = Row::new(&searcher.boxes, q.row, q.axes, q.norm);
    let columns = &searcher.boxes.columns;
    let mut best = f64::INFINITY;
    let mut cells = vec![0_u32; columns.len()];
    loop {
        let tolls: Vec<f64> = (0..columns.len())
            .map(|c| {
                let stays = row.values[c].is_nan();
                if stays && cells[c] > 0 { f64::INFINITY } else { row.toll(c, cells[c], cells[c]) }
            })
            .collect();
        let d = match q.norm {
            Norm::Linf => tolls.iter().copied().fold(0.0, f64::max),
            Norm::L1 => tolls.iter().sum(),
            Norm::L2 => tolls.iter().map(|t| t * t).sum::<f64>().sqrt(),
        };
        if d < best && changed(searcher, q, &row, &cells) {
            best = d;
        }
        let mut c = 0;
        loop {
            if c == columns.len() {
                return best;
            }
            cells[c] += 1;
            if cells[c] <= columns[c].last() {
                break;
            }
            cells[c] = 0;
            c += 1;
        }
    }
}

/// Whether the cells decide otherwise, by the leaves that hold them.
fn changed(searcher: &Searcher, q: &Question<'_>, row: &Row<'_>, cells: &[u32]) -> bool {
    let boxes = &searcher.boxes;
    let mut leaves = Vec::new();
    for tree in boxes.trees.windows(2) {
        let holds = |leaf: &u32| {
            boxes.sides_of(*leaf).iter().all(|s| {
                let c = s.column as usize;
                match row.values[c].is_nan() {
                    true => s.missing,
                    false => s.low <= cells[c] && cells[c] <= s.high,
                }
            })
        };
        let held: Vec<u32> = (tree[0]..tree[1]).filter(holds).collect();
        assert!(!held.is_empty(), "every row has its leaf");
        leaves.push(held[0]);
    }
    let decided = searcher.reading.decide(&searcher.sums(&leaves));
    q.goal.map_or(decided != q.from, |goal| decided == goal)
}

fn axes(s: &mut Stream, columns: usize, grids: bool) -> Vec<Axis> {
    let axis = |s: &mut Stream| {
        let mut a = Axis::FREE;
        if grids {
            match s.below(5) {
                0 => a = Axis::FIXED,
                1 => a.grid = Some(Grid { origin: 0.0, step: 1.0 }),
                2 => (a.lower, a.upper) = (-1.0, 1.0),
                3 => a.down = false,
                _ => a.unit = 2.0,
            }
        }
        a
    };
    (0..columns).map(|_| axis(s)).collect()
}

#[test]
fn the_search_finds_what_trying_every_cell_finds() {
    let mut changes = 0;
    for round in 0..400_u64 {
        let s = &mut Stream::new(11, "trees", "brute", 0, round);
        let (columns, outputs) = (1 + s.below(3), [1, 1, 2, 3][s.below(4)]);
        let trees = (1 + s.below(6)).max(outputs);
        // Most ensembles ask for order alone, as most libraries do.
        let kinds = [4, 7][s.below(2)];
        let e = ensemble(s, trees, columns, outputs, kinds);
        let classes: Vec<usize> = (0..outputs.max(2)).collect();
        let cut = Decision::cutoff(OutputKind::Probability, s.below(2), 0.3);
        let decision = match s.below(2) {
            0 if outputs < 3 => cut,
            _ => Decision::argmax(OutputKind::Probability),
        };
        let searcher = Searcher::new(&e, Judged::Answers, &decision, &classes).unwrap();
        for norm in [Norm::Linf, Norm::L1, Norm::L2] {
            let grids = s.below(2) == 0;
            let axes = axes(s, columns, grids);
            let value = |s: &mut Stream| match s.below(6) {
                0 => f64::NAN,
                1 => s.below(4) as f64,
                2 => s.below(7) as f64 * 0.5 - 1.5,
                _ => s.symmetric() * 2.0,
            };
            let row: Vec<f64> = (0..columns).map(|_| value(s)).collect();
            let from = searcher.decide(&row);
            let goal = (s.below(3) == 0).then(|| (from + 1) % classes.len());
            let q = Question { row: &row, axes: &axes, norm, from, goal, slack: 0.0 };
            let found = searcher.nearest(&q, PLENTY, None, &go);
            let want = tried(&searcher, &q);
            let got = found.upper.unwrap_or(f64::INFINITY);
            let near = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-12 * b.abs();
            assert!(near(got, want), "round {round} {norm:?}: {got}, tried {want}");
            assert!(near(found.lower, want), "round {round} {norm:?}: lower {}", found.lower);
            assert!(found.settled() || norm != Norm::Linf, "round {round}");
            changes += usize::from(want.is_finite());
            // Less than enough: an interval that holds the answer.
            let some = searcher.nearest(&q, Budget { boxes: 3 }, None, &go);
            assert!(some.lower <= want * (1.0 + 1e-12), "round {round}: {} {want}", some.lower);
            assert!(some.upper.is_none_or(|u| u >= want * (1.0 - 1e-12)), "round {round}");
            // What rounding could do is never farther.
            let near = searcher.nearest(&Question { slack: 0.1, ..q }, PLENTY, None, &go);
            assert!(near.lower <= want * (1.0 + 1e-12));
        }
    }
    assert!(changes > 500, "most rows can be changed: {changes}");
}

#[test]
fn candidates_lie_in_the_cells_and_decide_otherwise() {
    let mut asked = 0;
    for round in 0..200_u64 {
        let s = &mut Stream::new(12, "trees", "points", 0, round);
        let e = ensemble(s, 4, 3, 1, 4);
        let decision = Decision::argmax(OutputKind::Probability);
        let searcher = Searcher::new(&e, Judged::Answers, &decision, &[0, 1]).unwrap();
        let clean: Vec<f32> = (0..3).map(|_| (s.symmetric() * 2.0) as f32).collect();
        let row: Vec<f64> = clean.iter().map(|&v| f64::from(v)).collect();
        let axes = [Axis::FREE; 3];
        let from = searcher.decide(&row);
        let q = Question { row: &row, axes: &axes, norm: Norm::Linf, from, goal: None, slack: 0.0 };
        let found = searcher.nearest(&q, PLENTY, None, &go);
        for point in searcher.candidates(&q, &found, &clean) {
            asked += 1;
            let wide: Vec<f64> = point.iter().map(|&v| f64::from(v)).collect();
            assert_ne!(searcher.decide(&wide), from, "round {round}");
            let d = wide.iter().zip(&row).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(d >= found.lower, "round {round}: {d} {}", found.lower);
            assert!(d <= found.lower + 1e-4, "round {round}: {d} {}", found.lower);
        }
    }
    assert!(asked > 100, "{asked}");
}

/// A chain of `depth` questions `v < 0`, `v < 1`, ... of one column; leaf `i` adds `i % 2`, less a
/// half.
fn chain(depth: usize) -> Ensemble {
    let mut e = Ensemble::new(1, Arithmetic::F64, "chain");
    e.labels = Some(Labels::counted(2));
    let leaf = |i: usize| Child::leaf(i).unwrap();
    let branches = (0..depth).map(|i| Branch {
        feature: 0,
        test: Test::Below(i as f64),
        yes: leaf(i),
        no: if i + 1 < depth { Child::branch(i + 1).unwrap() } else { leaf(depth) },
        missing: Missing::Yes,
    });
    let root = if depth > 0 { Child::branch(0).unwrap() } else { leaf(0) };
    e.trees.push(Tree {
        output: Output::One(0),
        branches: branches.collect(),
        leaves: (0..=depth).map(|i| (i % 2) as f64 - 0.5).collect(),
        root,
        weight: 1.0,
    });
    e
}

fn searched(e: &Ensemble, row: &[f64], budget: Budget) -> Nearest {
    let decision = Decision::argmax(OutputKind::Score);
    let searcher = Searcher::new(e, Judged::Answers, &decision, &[0, 1]).unwrap();
    let axes = vec![Axis::FREE; row.len()];
    let from = searcher.decide(row);
    let q = Question { row, axes: &axes, norm: Norm::Linf, from, goal: None, slack: 0.0 };
    searcher.nearest(&q, budget, None, &go)
}

#[test]
fn odd_ensembles_get_an_answer() {
    // A constant: nothing changes it, and that is known.
    for e in [
        chain(0),
        Ensemble { labels: Some(Labels::counted(2)), ..Ensemble::new(1, Arithmetic::F32, "none") },
    ] {
        let found = searched(&e, &[3.0], PLENTY);
        assert_eq!((found.lower, found.upper, found.settled()), (f64::INFINITY, None, true));
    }
    // A stump.
    let found = searched(&chain(1), &[0.25], PLENTY);
    assert_eq!((found.lower, found.upper), (0.25, Some(0.25)));
    // As deep as a tree may be, and with thousands of leaves.
    let deep = chain(4_000);
    let found = searched(&deep, &[1234.25], PLENTY);
    assert_eq!((found.lower, found.upper), (0.25, Some(0.25)));
    // A missing value stays missing: the only column cannot change anything.
    let found = searched(&deep, &[f64::NAN], PLENTY);
    assert_eq!((found.upper, found.settled()), (None, true));
    // An infinite value cannot be moved from.
    assert_eq!(searched(&deep, &[f64::INFINITY], PLENTY).upper, None);
    // No budget at all is an interval, not an answer.
    let mut many = chain(1);
    many.trees = (0..40)
        .map(|i| {
            let mut tree = chain(3).trees.remove(0);
            tree.branches.iter_mut().for_each(|b| {
                if let Test::Below(t) = &mut b.test {
                    *t += 0.01 * f64::from(i)
                }
            });
            tree
        })
        .collect();
    let found = searched(&many, &[0.5], Budget { boxes: 0 });
    assert!(found.lower <= searched(&many, &[0.5], PLENTY).lower);
}

#[test]
fn what_is_not_a_sum_or_no_number_is_refused_by_name() {
    let decision = Decision::argmax(OutputKind::Score);
    let open = |e: &Ensemble| Searcher::new(e, Judged::Answers, &decision, &[0, 1]).unwrap_err();
    let mut nan = chain(2);
    nan.trees[0].branches[0].test = Test::Below(f64::NAN);
    assert!(matches!(open(&nan), TreesError::Broken { .. }), "{}", open(&nan));
    let mut infinite = chain(2);
    infinite.trees[0].leaves[1] = f64::INFINITY;
    assert_eq!(open(&infinite), TreesError::Infinite);
    let least = Ensemble { join: Join::Min, ..chain(2) };
    assert!(matches!(open(&least), TreesError::Join { .. }));
    let squared = Ensemble { link: Link::SignedSquare, ..chain(2) };
    assert!(open(&squared).to_string().contains("SignedSquare"));
}

#[test]
fn rows_that_no_one_allows_leave_the_lower_bound_and_no_witness() {
    let e = chain(5);
    let decision = Decision::argmax(OutputKind::Score);
    let searcher = Searcher::new(&e, Judged::Answers, &decision, &[0, 1]).unwrap();
    let (row, axes) = ([0.25], [Axis::FREE]);
    let from = searcher.decide(&row);
    let q = Question { row: &row, axes: &axes, norm: Norm::Linf, from, goal: None, slack: 0.0 };
    let mut none = |_: &[f32]| false;
    let found = searcher.nearest(&q, PLENTY, Some(&mut none), &go);
    assert_eq!((found.lower, found.upper), (0.25, None));
    assert!(!found.settled(), "another row of the cells might be allowed");
    // Only beyond 2: the nearest change is not allowed, a farther one is.
    let mut far = |point: &[f32]| point[0] >= 2.0;
    let found = searcher.nearest(&q, PLENTY, Some(&mut far), &go);
    assert_eq!((found.lower, found.upper), (0.25, Some(2.75)));
}

#[test]
fn a_graph_is_looked_through_only_where_numbers_stay_what_they_are() {
    use proofmark_engine::graph::{Attribute, Node};
    use proofmark_engine::value::{Inputs, Tensor, Value};
    let graph = proofmark_engine::trees::graph(Ensemble { columns: 2, ..chain(3) }).unwrap();
    let found = model::find(&graph, proofmark_engine::trees::MARGIN).unwrap();
    assert_eq!((found.judged, found.input.as_str()), (Judged::Margins, "features"));
    assert!(matches!(model::find(&graph, "features"), Err(TreesError::NoTrees { .. })));
    let x = Tensor::new(vec![2, 2], vec![1.0, 2.0, 3.0, f64::NAN]).unwrap();
    let rows: Inputs = [("features".to_string(), Value::F64(x))].into();
    let free = [("features".to_string(), 1)];
    let feed = model::feed(&graph, &found.input, &rows, &free).unwrap();
    assert_eq!(feed.places, [None, Some(0)]);
    assert_eq!((feed.columns, feed.values[2], feed.values[3].is_nan()), (2, 3.0, true));

    // An operator that changes the numbers is named.
    let mut behind = graph.clone();
    let node = |op: &str, inputs: &[&str], output: &str| Node {
        name: op.into(),
        op: op.into(),
        domain: String::new(),
        inputs: inputs.iter().map(|i| (*i).to_string()).collect(),
        outputs: vec![output.into()],
        attributes: [("axis".to_string(), Attribute::Int(1))].into(),
    };
    behind.nodes.push(node("Softmax", &["margin"], "soft"));
    let refused = model::find(&behind, "soft").unwrap_err();
    assert_eq!(refused, TreesError::Behind { op: "Softmax".into() });
    let mut before = graph;
    before.nodes[0].inputs[0] = "changed".into();
    before.nodes.insert(0, node("Neg", &["features"], "changed"));
    let refused = model::feed(&before, "changed", &rows, &free).unwrap_err();
    assert_eq!(refused, TreesError::Before { op: "Neg".into() });
    // Nothing of it is free: whatever it is, it is a fixed number per row.
    let still = model::feed(&before, "changed", &rows, &[]).unwrap();
    assert_eq!((still.values[0], still.places), (-1.0, vec![None, None]));
}

#[test]
fn a_pixel_is_the_deployed_one_and_crosses_where_it_does() {
    // in 32 bits 100/255 is above the quotient, and equal to a threshold that was made of it
    let level = |k: u8| f64::from(f32::from(k) / 255.0);
    let mut e = chain(2);
    e.trees[0].branches[0].test = Test::Below(level(100));
    let mut tree = Tree { leaves: vec![-1.0, 1.0], ..e.trees[0].clone() };
    tree.branches.truncate(1);
    tree.branches[0].yes = Child::leaf(0).unwrap();
    tree.branches[0].no = Child::leaf(1).unwrap();
    tree.root = Child::branch(0).unwrap();
    e.trees = vec![tree];
    let decision = Decision::argmax(OutputKind::Score);
    let searcher = Searcher::new(&e, Judged::Answers, &decision, &[0, 1]).unwrap();
    let grid = Some(Grid { origin: 0.0, step: 1.0 / 255.0 });
    let axis = Axis { lower: 0.0, upper: 1.0, grid, ..Axis::FREE };
    for (from, steps) in [(99, 1.0), (90, 10.0), (100, 1.0), (120, 21.0)] {
        let row = [level(from)];
        let decided = searcher.decide(&row);
        let q = Question {
            row: &row,
            axes: &[axis],
            norm: Norm::Linf,
            from: decided,
            goal: None,
            slack: 0.0,
        };
        let found = searcher.nearest(&q, PLENTY, None, &go);
        assert!((found.lower * 255.0 - steps).abs() < 1e-9, "{from}: {found:?}");
    }
}
