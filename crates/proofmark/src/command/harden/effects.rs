//! What each measure changed, row by row, and what breaks two models at once.
//!
//! Owns which arms are held against each other: each measure alone against none, and all against
//! all but it. Must never speak of an effect unless its interval leaves zero out.

use proofmark_assess::treatment::{Effect, Says};
use proofmark_lab::facts::About;
use proofmark_lab::oracle::Oracle;
use proofmark_lab::treatment::{Figure, compare};
use proofmark_schema::measurement::{Measurement, Method};

use super::MeasureName;
use super::arms::{Bench, Seen, System, Who, subject};
use super::scene::Scene;
use crate::failure::{OrFail, Outcome};

/// Every effect, measure by measure.
pub fn of(scene: &Scene<'_>, bench: &Bench) -> Vec<Effect> {
    let mut all = Vec::new();
    for measure in scene.measured() {
        let id = measure.id();
        for [with, without] in
            [[format!("only {id}"), "none".into()], ["all".into(), format!("without {id}")]]
        {
            let (Some(a), Some(b)) = (bench.named(&with), bench.named(&without)) else { continue };
            if with == "all" && bench.arms.len() <= SINGLE {
                continue;
            }
            let pair = Pair { scene, bench, measure, with: &with, without: &without, threat: None };
            all.extend(pair.effects(a.system, b.system));
        }
        all.extend(beside(scene, bench, measure));
    }
    all
}

/// Comparisons outside of the table: stand-ins, and the attacker who sees the release only.
fn beside(scene: &Scene<'_>, bench: &Bench, measure: MeasureName) -> Vec<Effect> {
    let pair = |with, without, threat| Pair { scene, bench, measure, with, without, threat };
    let mut all = Vec::new();
    match measure {
        MeasureName::BackupTree => {
            let (small, backup) = (System::alone(Who::Small), System::alone(Who::Backup));
            let stand_in = if scene.small.is_some() {
                all.extend(
                    pair("stand-in smaller backup", "stand-in backup", None).effects(small, backup),
                );
                small
            } else {
                backup
            };
            let with = "stand-in with the primary out";
            all.extend(pair(with, "none", None).effects(stand_in, System::PLAIN));
        }
        MeasureName::Rounding => {
            let exact = System { seen: Seen::Scores, ..System::PLAIN };
            let rounded = System { rounding: true, ..exact };
            let label = System { seen: Seen::Decisions, ..System::PLAIN };
            let name = format!("{} (released scores only)", scene.threat.name);
            let without = "exact scores released";
            all.extend(
                pair("rounded scores released", without, Some(&name)).effects(rounded, exact),
            );
            all.extend(pair("labels released", without, Some(&name)).effects(label, exact));
        }
        _ => {}
    }
    all
}

struct Pair<'p, 'a> {
    scene: &'p Scene<'a>,
    bench: &'p Bench,
    measure: MeasureName,
    with: &'p str,
    without: &'p str,
    /// Name of the attacker when it is not the declared one.
    threat: Option<&'p str>,
}

impl Pair<'_, '_> {
    fn effects(&self, with: System, without: System) -> Vec<Effect> {
        let measured = &self.bench.measured;
        let (Some(a), Some(b)) = (measured.get(&with), measured.get(&without)) else {
            return Vec::new();
        };
        let scene = self.scene;
        let labels = scene.primary.labels();
        let mut figures = Vec::new();
        if self.threat.is_none() {
            figures.push(Figure::Accuracy);
        }
        for &eps in &scene.threat.eps {
            figures.push(Figure::RobustAccuracy { eps });
            if scene.wanted().is_some() {
                figures.push(Figure::RobustRecall { eps });
            }
        }
        let of = |figure: Figure| {
            let paired = compare(&a.outcomes, &b.outcomes, figure, labels, scene.criterion);
            let interval = paired.newcombe(CONFIDENCE);
            let threat = self.threat.unwrap_or(&scene.threat.name);
            Effect {
                measure: self.measure.id().to_owned(),
                metric: figure.metric().to_owned(),
                difference: paired.difference(),
                lower: interval.lower,
                upper: interval.upper,
                confidence: CONFIDENCE,
                n: paired.n(),
                says: Says::of(interval.lower, interval.upper),
                gained: paired.first,
                lost: paired.second,
                with: self.with.to_owned(),
                without: self.without.to_owned(),
                threat: figure.eps().map(|_| threat.to_owned()),
                eps: figure.eps(),
                method: "newcombe 1998, paired, method 10".to_owned(),
            }
        };
        figures.into_iter().map(of).filter(|e| e.n > 0).collect()
    }
}

/// Figures of no arm: common-mode failures, and the sheets of the stand-ins.
pub fn figures(scene: &Scene<'_>, bench: &Bench) -> Outcome<Vec<Measurement>> {
    let mut all = Vec::new();
    for who in [Who::Backup, Who::Small, Who::Retrained] {
        all.extend(common_mode(scene, bench, who)?);
    }
    for who in [Who::Backup, Who::Small] {
        let system = System::alone(who);
        let sheet = bench.measured.get(&system).map(|m| m.measurements.as_slice());
        all.extend(renamed("stand-in", sheet.unwrap_or_default()));
    }
    for (slug, rounding, seen) in [
        ("exact-scores-released", false, Seen::Scores),
        ("rounded-scores-released", true, Seen::Scores),
        ("labels-released", false, Seen::Decisions),
    ] {
        let system = System { seen, rounding, ..System::PLAIN };
        let sheet = bench.measured.get(&system).map(|m| m.measurements.as_slice());
        let robust = sheet.unwrap_or_default().iter().filter(|m| m.subject.eps.is_some());
        all.extend(renamed(slug, &robust.cloned().collect::<Vec<_>>()));
    }
    Ok(all)
}

/// The share of witnesses against the primary that another model also lets through.
fn common_mode(scene: &Scene<'_>, bench: &Bench, who: Who) -> Outcome<Vec<Measurement>> {
    let Some(other) = subject(scene, who) else { return Ok(Vec::new()) };
    let Some(plain) = bench.measured.get(&System::PLAIN) else { return Ok(Vec::new()) };
    let (names, theirs) = (scene.primary.target.coordinates(), other.target.coordinates());
    let places: Option<Vec<usize>> =
        theirs.iter().map(|name| names.iter().position(|n| n == name)).collect();
    let Some(places) = places.filter(|p| p.len() == names.len()) else { return Ok(Vec::new()) };
    let (mut rows, mut x) = (Vec::new(), Vec::new());
    for record in &plain.outcomes.records {
        if let Some(witness) = &record.witness {
            rows.push(record.point.index as usize);
            x.extend(places.iter().filter_map(|&i| witness.get(i)));
        }
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let scores = other.target.scores(&rows, &x).or_fail("target", "")?;
    let labels = other.labels();
    let fooled = |(&row, scores): (&usize, &[f32])| {
        let label = labels.get(row).copied().unwrap_or_default();
        scene.criterion.broken(label, other.decision.decide(scores))
    };
    let each = rows.iter().zip(scores.chunks(other.clean.classes()));
    let outcomes: Vec<bool> = each.map(fooled).collect();
    let k = outcomes.iter().filter(|f| **f).count() as u64;
    let was_right = |row: &usize| other.clean.decision(*row) == labels.get(*row).copied();
    let sound: Vec<bool> =
        rows.iter().zip(&outcomes).filter(|(r, _)| was_right(r)).map(|(_, f)| *f).collect();
    let k_sound = sound.iter().filter(|f| **f).count() as u64;
    let facts = other.facts(scene.project.system.seed);
    let method = Method { id: "common-mode".into(), edition: 1 };
    let about = About { threat: Some(&scene.threat.name), ..About::default() };
    let make = |metric: &str, k: u64, n: u64| {
        facts.measurement(metric, "proportion", about, facts.share(k, n), &method, &[])
    };
    let mut made = vec![make("common_mode", k, outcomes.len() as u64)];
    if !sound.is_empty() {
        made.push(make("common_mode_of_sound", k_sound, sound.len() as u64));
    }
    Ok(renamed("witnesses-against-the-primary", &made))
}

/// The same figures under ids that no assessment and no other arm has.
pub fn renamed(slug: &str, measurements: &[Measurement]) -> Vec<Measurement> {
    let renamed =
        |m: &Measurement| Measurement { id: format!("harden/{slug}/{}", m.id), ..m.clone() };
    measurements.iter().map(renamed).collect()
}

/// Two-sided confidence of every interval of a difference.
const CONFIDENCE: f64 = 0.95;
/// Arms with one measure: none, all, without, only.
const SINGLE: usize = 4;
