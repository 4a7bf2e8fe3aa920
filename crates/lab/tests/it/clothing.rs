//! The bundled image networks as targets.

use proofmark_engine::engine::EngineKind;
use proofmark_lab::criterion::Criterion;
use proofmark_lab::evasion::suite::Suite;
use proofmark_lab::harness::{Case, Clean, Done, RowRecord, merge, run};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::target::{self, readings};
use proofmark_lab::validity::{Alternative, Setup, examine_setup, refused};
use proofmark_schema::attack::Outcome;
use proofmark_schema::measurement::{CheckState, Validity};
use proofmark_schema::system::Norm;

use crate::world::{Rows, World, ctx, open};

const ROWS: usize = 24;

/// The set-up checks of the network on these images.
fn setup(world: &World, rows: &Rows, expected: bool) -> Vec<Validity> {
    let (asset, model) = world.model("cnn");
    let (data, _) = world.data("test", 1);
    let binding = world.bind(rows, &asset, &model);
    let pair = (&asset, &model);
    let oracle = open(pair, &data, &binding, EngineKind::Rten, 1);
    let second = open(pair, &data, &binding, EngineKind::Reference, 1);
    let decision = target::decision(&asset, &data.classes).unwrap();
    let clean = Clean::ask(&oracle, &decision).unwrap();
    let names: Vec<String> = data.classes.iter().map(|c| c.0.clone()).collect();
    let space = target::space(&binding, world.system.threats[0].scale, &|_| None).unwrap();
    let others = readings(&binding, &asset, None);
    let targets: Vec<_> =
        others.iter().map(|r| open(pair, &data, &r.binding, EngineKind::Rten, 1)).collect();
    let alternatives: Vec<Alternative<'_>> = others
        .iter()
        .zip(&targets)
        .map(|(r, t)| Alternative { name: r.name.clone(), fix: r.fix.clone(), oracle: t })
        .collect();
    let (scores, width) = world.expected(&asset, oracle.rows());
    let scores = oracle.expected(&scores, width).unwrap();
    let setup = Setup {
        targets: None,
        oracle: &oracle,
        second: Some(&second),
        labels: rows.labels(),
        decision,
        clean: &clean,
        classes: &names,
        space: Some(&space),
        domain: &[],
        alternatives: &alternatives,
        expected: expected.then_some(&scores[..]),
    };
    examine_setup(&setup).unwrap()
}

#[test]
fn the_network_as_declared_passes_every_set_up_gate() {
    let world = World::open("clothing");
    let (_, rows) = world.data("test", 60);
    for expected in [true, false] {
        let checks = setup(&world, &rows, expected);
        assert!(checks.iter().all(|c| c.state == CheckState::Ok), "{checks:#?}");
    }
}

#[test]
fn transposed_or_inverted_images_are_refused_with_the_reading_that_fits() {
    let world = World::open("clothing");
    let (_, rows) = world.data("test", 60);
    let Rows::Images(images) = rows else { panic!("images") };
    let mut transposed = images.clone();
    for (image, out) in images.data.chunks(784).zip(transposed.data.chunks_mut(784)) {
        for at in 0..784 {
            out[at] = image[at % 28 * 28 + at / 28];
        }
    }
    let mut inverted = images;
    inverted.data.iter_mut().for_each(|v| *v = 255.0 - *v);
    let cases = [(transposed, "height and width swapped"), (inverted, "pixels inverted")];
    for (images, words) in cases {
        let rows = Rows::Images(images);
        for expected in [true, false] {
            let checks = setup(&world, &rows, expected);
            assert!(refused(&checks), "{words}");
            assert!(checks[0].reason.contains(words), "{:?}", checks[0]);
            assert!(!checks[0].fix.is_empty());
        }
    }
}

#[test]
fn a_network_is_attacked_on_whole_pixels_alike_in_any_order_and_on_any_threads() {
    let world = World::open("clothing");
    let (data, rows) = world.data("test", ROWS);
    let (asset, model) = world.model("cnn");
    let binding = world.bind(&rows, &asset, &model);
    let threat = world.system.threat_named("pixels").unwrap();
    let space = target::space(&binding, threat.scale, &|_| None).unwrap();
    let second = open((&asset, &model), &data, &binding, EngineKind::Reference, 1);
    let go = |threads: usize, order: &[usize], done: &Done| -> Vec<RowRecord> {
        let oracle = open((&asset, &model), &data, &binding, EngineKind::Rten, threads);
        assert!(oracle.gradient().is_ok());
        let case = Case {
            oracle: &oracle,
            second: Some(&second),
            space: &space,
            labels: rows.labels(),
            decision: target::decision(&asset, &data.classes).unwrap(),
            criterion: Criterion::Leave,
            norm: Norm::Linf,
            access: threat.access,
            queries_limit: None,
            constraints: None,
            probe: "cnn/test/evasion/pixels",
        };
        let suite = Suite::named("quick", &case, Some(10)).unwrap();
        run(&case, &suite, &[2.0, 8.0], order, done, &ctx(), &mut |_| {}).unwrap()
    };
    let all: Vec<usize> = (0..ROWS).collect();
    let whole = go(1, &all, &Done::new());
    let bytes = |records: &[RowRecord]| serde_json::to_string(records).unwrap();
    let shuffled: Vec<usize> = (0..ROWS).map(|i| i * 7 % ROWS).collect();
    assert_eq!(bytes(&whole), bytes(&go(2, &shuffled, &Done::new())), "shuffled, two threads");
    let shards = [0, 1].map(|s| {
        let rows: Vec<usize> = all.iter().copied().filter(|r| r % 2 == s).collect();
        go(1, &rows, &Done::new())
    });
    assert_eq!(bytes(&whole), bytes(&merge(shards)), "sharded");
    let done: Done = whole[..9].iter().map(|r| (r.point.index as usize, r.clone())).collect();
    assert_eq!(bytes(&whole), bytes(&go(1, &all, &done)), "resumed");

    let broken = |eps: f64| whole.iter().filter(|r| r.attacked() && !r.robust_at(eps)).count();
    assert!(broken(2.0) <= broken(8.0) && broken(8.0) > 0, "{} {}", broken(2.0), broken(8.0));
    for record in whole.iter().filter(|r| r.point.outcome == Outcome::Broken) {
        let clean = second.clean(record.point.index as usize);
        for (x, c) in record.witness.as_ref().unwrap().iter().zip(clean) {
            let (level, from) = (f64::from(*x) * 255.0, f64::from(*c) * 255.0);
            assert!((level - level.round()).abs() < 1e-4, "{level} is no pixel");
            assert!((0.0..=255.0).contains(&level.round()));
            assert!((level.round() - from.round()).abs() <= 8.0);
        }
        assert!(!record.point.disputed, "row {}", record.point.index);
    }
}
