//! Proofs about networks: does any input of a box break a condition on the outputs?
//!
//! Owns the order of work: look for a point that breaks it, bound the network over the box, split
//! until every part is proved or time is over. Must never say `Safe` without a proof of every
//! part, nor `Unsafe` without the caller's judgement of the point on the deployed engine. Called
//! by `proofmark attack` with `--property` or `--prove`. In the words of ISO/IEC 24029-2: the
//! property is stability or reachability, the method is complete but for time and rounding.
//!
//! # What is proved, and in which arithmetic
//! The statement is about the network with the weights of the file **in real arithmetic**, over
//! a box that encloses the one of the property (decimals are rounded outward). Bounds are
//! computed in doubles, and rounding is counted, as follows. Going backward, a bound is
//! `sum a_k v_k + c`, with `v_k` the true values of the net at any point of the box. Each step
//! replaces some `a_k` by a result `b` that is computed with an error of at most `gamma_n` times
//! the sum of the magnitudes of its terms (Higham 2002, section 3.1: any order of summation,
//! with or without fused operations). As `|v_k|` is at most `magnitude_k` over the whole box, the
//! bound is off by at most `gamma_n` times the `load`: the sum, over all steps, of `|a_k| (|W|
//! magnitude + |b|)` for linear maps, `|a_k| magnitude_k` elsewhere. The load is summed beside the
//! bound, and `operations * 2^-52 * load` is taken off, where `operations` is above the number of
//! roundings of any chain; `2^-52` is twice the unit roundoff, which pays for `gamma_n > n u`, for
//! the rounding of the load itself and for weights that are right to a few units only. Intercepts
//! of ReLU are rounded up by themselves, slopes and multipliers need not be exact. A bound that is
//! not a number proves nothing.
//!
//! A deployed engine computes in 32-bit floats. Its evaluation is that of a network whose linear
//! maps and sums are off by at most `gamma_n` (now with `u = 2^-24`) of the magnitudes of their
//! terms. Bounds before ReLU are made for every such network (the exact one is among them), and so
//! is `lower`, which takes `gamma_n |a_k| (|W| magnitude + |b|)` off for each linear map. What has
//! `lower > 0` is proved for real arithmetic and for every engine that computes in plain 32-bit
//! floats, sums in any order, fused or not. Not covered: 16-bit floats, transforms like
//! Winograd's, overflow. What is proved in real arithmetic alone is said to be so.

use ndarray::Axis;

use crown::{Domains, Frame, Scene};
use interval::Pains;
use tune::Effort;

mod boxes;
mod conv;
mod crown;
pub mod feed;
mod interval;
pub mod lowering;
mod net;
mod probe;
pub mod radius;
mod region;
mod search;
mod tune;
mod work;

pub use net::{Head, Net};
pub use region::{Edge, Limit, Region};

/// A question, and what may be spent on it.
pub struct Question<'a> {
    /// The network.
    pub net: &'a Net,
    /// A point of any of them breaks the property.
    pub regions: &'a [Region],
    /// Seed of the search for points.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// Says when time is over.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Most parts to look at.
    pub parts_limit: u64,
    /// Says whether a point of a region breaks it on the deployed engine.
    pub judge: &'a dyn Fn(usize, &[f32]) -> bool,
}

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No point of any region breaks it: proved.
    Safe,
    /// A point breaks it: judged.
    Unsafe,
    /// Neither was reached.
    Unknown,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Verdict.
    pub verdict: Verdict,
    /// Region and point that breaks it.
    pub witness: Option<(usize, Vec<f32>)>,
    /// Why nothing is known, in words.
    pub reason: Option<String>,
    /// Parts that were bounded.
    pub parts: u64,
    /// Parts still open.
    pub open: u64,
    /// The least bound of the left side of a limit over all parts, rounding in 32 bits included;
    /// `None` where nothing was bounded.
    pub margin: Option<f64>,
    /// Parts that are proved in real arithmetic alone.
    pub real_only: u64,
    /// Neurons whose sign is open over the box, the most of all boxes.
    pub open_neurons: usize,
}

impl Answer {
    /// Whether the proof holds for engines that compute in 32-bit floats.
    pub fn holds_in_f32(&self) -> bool {
        self.verdict == Verdict::Safe && self.real_only == 0
    }
}

/// Answers a question.
pub fn decide(question: &Question<'_>) -> Answer {
    let mut run = Run {
        probe: probe::Probe::new(question.net, question.regions, question.seed),
        question,
        refused: 0,
        answer: Answer {
            verdict: Verdict::Unknown,
            witness: None,
            reason: None,
            parts: 0,
            open: 0,
            margin: None,
            real_only: 0,
            open_neurons: 0,
        },
    };
    run.all();
    if run.answer.verdict != Verdict::Unknown {
        run.answer.reason = None;
    }
    run.answer
}

/// Lower bounds of limits over one box, without any search: for tests and plain bounds.
///
/// `steps` of climbing for every bound; 0 is CROWN, `None` is interval arithmetic.
pub fn bounds(net: &Net, region: &Region, steps: Option<usize>, threads: usize) -> Vec<f64> {
    let stop = || false;
    let effort = steps.map(|steps| Effort { steps, ..LAYERS });
    let pains = Pains { effort, threads };
    let (domains, frame) = interval::bounds(net, region.outer(), None, pains, &stop);
    let rows = Region::rows(net, region.limits.iter().map(|limit| (limit, 0)));
    let scene = Scene { net, frame: &frame };
    match effort {
        None => least(net, &frame, &domains, region),
        Some(Effort { steps: 0, .. }) => scene.backward(&domains, &rows, None).lower,
        Some(effort) => {
            scene.tune(&domains, &rows, tune::start(&domains, &rows), effort, &stop).lower
        }
    }
}

/// Limits by interval arithmetic: the last layer's own interval is what its values are within.
fn least(net: &Net, frame: &Frame, domains: &Domains, region: &Region) -> Vec<f64> {
    let spans = interval::ends(net, domains);
    let unit = net.operations() as f64 * f64::EPSILON;
    let of = |limit: &Limit| {
        let (low, high) = &spans;
        let mut sum = limit.constant;
        let mut load = limit.constant.abs();
        for &(j, f) in &limit.outputs {
            sum += if f > 0.0 { f * low[[0, j]] } else { f * high[[0, j]] };
            load += f.abs() * low[[0, j]].abs().max(high[[0, j]].abs());
        }
        for &(i, f) in &limit.inputs {
            sum += if f > 0.0 { f * domains.low[[0, i]] } else { f * domains.high[[0, i]] };
            load += f.abs() * frame.magnitude[0][i];
        }
        sum - unit * load
    };
    region.limits.iter().map(of).collect()
}

/// A question while it is worked on.
struct Run<'a> {
    question: &'a Question<'a>,
    probe: probe::Probe<'a>,
    /// Points that break it in doubles and not on the deployed engine.
    refused: u64,
    answer: Answer,
}

/// Either search.
enum Search<'a> {
    Signs(search::Search<'a>),
    Boxes(boxes::Boxes<'a>),
}

impl Run<'_> {
    fn all(&mut self) {
        let regions = self.question.regions;
        let every: Vec<usize> = (0..regions.len()).collect();
        if self.probed(&every, 0) {
            return;
        }
        let mut left = 0;
        for group in groups(regions) {
            if !self.group(&group) {
                left += 1;
            }
            if self.answer.verdict == Verdict::Unsafe {
                return;
            }
        }
        if left == 0 {
            self.answer.verdict = Verdict::Safe;
        } else if self.refused > 0 {
            let reason = self.answer.reason.take().unwrap_or_default();
            self.answer.reason = Some(format!(
                "{reason}; {} points break it in doubles and not on the deployed engine",
                self.refused
            ));
        }
    }

    /// One round of random starts; whether a point was judged to break the property.
    fn probed(&mut self, list: &[usize], round: u64) -> bool {
        let found = self.probe.round(list, round, PROBE_STEPS, self.question.stop);
        self.judged(found)
    }

    fn judged(&mut self, found: Vec<probe::Found>) -> bool {
        for (region, point) in found.into_iter().take(JUDGED_MAX) {
            if (self.question.judge)(region, &point) {
                self.answer.verdict = Verdict::Unsafe;
                self.answer.witness = Some((region, point));
                return true;
            }
            self.refused += 1;
        }
        false
    }

    fn unknown(&mut self, reason: &str) -> bool {
        self.answer.reason.get_or_insert_with(|| reason.to_owned());
        false
    }

    /// Proves the regions of one box; false where it was left.
    fn group(&mut self, list: &[usize]) -> bool {
        let question = self.question;
        let stop = question.stop;
        let (net, regions) = (question.net, question.regions);
        if let Some(&i) = list.iter().find(|&&i| regions[i].limits.is_empty()) {
            return match self.probe.inner[i] {
                None => self.unknown("no 32-bit input lies in a region without limits"),
                Some(_) => self.unknown("a region without limits was not entered"),
            };
        }
        if stop() {
            return self.unknown(TIME);
        }
        let few = net.inputs() <= INPUTS_FEW;
        let mut list = list.to_vec();
        for steps in [None, Some(0), Some(LAYERS.steps)] {
            // what is cheap comes first: many properties need no more
            let dear = steps == Some(LAYERS.steps);
            if dear && (1..PROBES_FIRST).any(|round| !stop() && self.probed(&list, round)) {
                return false;
            }
            let effort = steps.map(|steps| Effort { steps, ..LAYERS });
            let pains = Pains { effort, threads: question.threads };
            let corners = regions[list[0]].outer();
            let (root, frame) = interval::bounds(net, corners, None, pains, stop);
            let scene = Scene { net, frame: &frame };
            self.close(scene, &root, &mut list);
            if list.is_empty() {
                return true;
            }
            let open = root.layers.iter().flatten().map(|layer| {
                layer.low.iter().zip(&layer.high).filter(|(l, h)| **l < 0.0 && **h > 0.0).count()
            });
            let open = open.sum();
            // boxes are bounded anew by every part; signs are split under the best bounds
            if few {
                self.answer.open_neurons = self.answer.open_neurons.max(open);
                let boxes = boxes::Boxes::begin(scene, regions, &list, question.threads);
                return self.work(Search::Boxes(boxes), &list);
            }
            if dear {
                self.answer.open_neurons = self.answer.open_neurons.max(open);
                let threads = question.threads;
                let signs = search::Search::begin(scene, &root, regions, &list, threads, stop);
                return self.work(Search::Signs(signs), &list);
            }
            if stop() {
                break;
            }
        }
        self.answer.open += list.len() as u64;
        self.unknown(TIME)
    }

    /// Takes off the list what plain bounds prove, for real arithmetic and for 32 bits.
    fn close(&mut self, scene: Scene<'_>, root: &Domains, list: &mut Vec<usize>) {
        let regions = self.question.regions;
        list.retain(|&i| {
            let rows = Region::rows(scene.net, regions[i].limits.iter().map(|limit| (limit, 0)));
            let lower = scene.backward(root, &rows, None).lower;
            let best = lower.into_iter().fold(f64::NEG_INFINITY, f64::max);
            if best > 0.0 {
                self.least(best);
            }
            best.is_nan() || best <= 0.0
        });
        self.answer.parts += 1;
    }

    fn work(&mut self, mut search: Search<'_>, list: &[usize]) -> bool {
        let stop = self.question.stop;
        let before = self.answer.parts;
        let mut round = 0_u64;
        // parts looked at when everything was proved in real arithmetic
        let mut real = None;
        loop {
            if search.open_parts() == 0 {
                let spent = search.visited();
                let most = 2 * *real.get_or_insert(spent) + PARTS_FOR_SINGLE;
                if spent >= most || stop() {
                    break;
                }
            }
            let Some(found) = search.round(stop) else { break };
            self.answer.parts = before + search.visited();
            round += 1;
            if self.looked(found) {
                return false;
            }
            if round.is_multiple_of(PROBE_EVERY)
                && self.probed(&search.regions(list), PROBES_FIRST + round / PROBE_EVERY)
            {
                return false;
            }
            let open = search.open_parts() as u64;
            let reason = match () {
                () if open == 0 => continue,
                () if stop() => TIME,
                () if self.answer.parts >= self.question.parts_limit => "the limit of parts",
                () if open * search.part_bytes() > QUEUE_BYTES_MAX => "the limit of memory",
                () => continue,
            };
            self.answer.open += open;
            self.least(search.margin().min(search.lower()));
            return self.unknown(reason);
        }
        self.least(search.margin());
        self.answer.real_only += search.real_only();
        if search.stuck() > 0 {
            self.answer.open += search.stuck();
            return self.unknown("parts that cannot be split further are too close to call");
        }
        true
    }

    fn least(&mut self, bound: f64) {
        if bound.is_finite() {
            let held = self.answer.margin.unwrap_or(f64::INFINITY);
            self.answer.margin = Some(held.min(bound));
        }
    }

    /// Looks at the points where relaxed nets were least.
    fn looked(&mut self, round: search::Round) -> bool {
        let own = |&r: &usize| self.probe.inner[round.regions[r]].is_some();
        let rows: Vec<usize> = (0..round.regions.len()).filter(own).collect();
        if rows.is_empty() {
            return false;
        }
        let owner: Vec<usize> = rows.iter().map(|&r| round.regions[r]).collect();
        let points = round.points.select(Axis(0), &rows);
        let found = self.probe.climb(points, &owner, 0, self.question.stop);
        self.judged(found)
    }
}

impl Search<'_> {
    fn round(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Option<search::Round> {
        match self {
            Self::Signs(search) => search.round(stop),
            Self::Boxes(boxes) => boxes.round(stop),
        }
    }
    fn visited(&self) -> u64 {
        match self {
            Self::Signs(search) => search.visited,
            Self::Boxes(boxes) => boxes.visited,
        }
    }
    fn margin(&self) -> f64 {
        match self {
            Self::Signs(search) => search.margin,
            Self::Boxes(boxes) => boxes.margin,
        }
    }
    fn lower(&self) -> f64 {
        match self {
            Self::Signs(search) => search.lower(),
            Self::Boxes(boxes) => boxes.lower(),
        }
    }
    fn real_only(&self) -> u64 {
        match self {
            Self::Signs(search) => search.real + search.aside_parts() as u64,
            Self::Boxes(boxes) => boxes.real + boxes.aside_parts() as u64,
        }
    }
    fn stuck(&self) -> u64 {
        match self {
            Self::Signs(search) => search.stuck,
            Self::Boxes(boxes) => boxes.stuck,
        }
    }
    fn open_parts(&self) -> usize {
        match self {
            Self::Signs(search) => search.open_parts(),
            Self::Boxes(boxes) => boxes.open_parts(),
        }
    }
    fn part_bytes(&self) -> u64 {
        match self {
            Self::Signs(search) => search.part_bytes(),
            Self::Boxes(boxes) => boxes.part_bytes(),
        }
    }
    fn regions(&self, all: &[usize]) -> Vec<usize> {
        match self {
            Self::Signs(search) => search.open_regions(),
            Self::Boxes(_) => all.to_vec(),
        }
    }
}

/// Regions by box, in the order of their first.
fn groups(regions: &[Region]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, region) in regions.iter().enumerate() {
        let same = |group: &&mut Vec<usize>| {
            let first = &regions[group[0]];
            first.lower == region.lower && first.upper == region.upper
        };
        match groups.iter_mut().rev().take(GROUPS_COMPARED).find(same) {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

/// Climbing for the bounds of each neuron at the root.
const LAYERS: Effort = Effort { steps: 20, rate: 0.2, rate_beta: 0.0, decay: 0.95 };
/// Rounds of random starts before the dear bounds.
const PROBES_FIRST: u64 = 3;
/// Gradient steps of a start.
const PROBE_STEPS: usize = 60;
/// Rounds of search between two rounds of random starts.
const PROBE_EVERY: u64 = 16;
/// Points of one round that are judged on the deployed engine.
const JUDGED_MAX: usize = 16;
/// Parts spent at least on proving in 32 bits what is proved in real arithmetic.
const PARTS_FOR_SINGLE: u64 = 512;
/// Inputs up to which boxes are halved: beyond, signs of neurons are split.
const INPUTS_FEW: usize = 12;
/// Memory of the parts that wait.
const QUEUE_BYTES_MAX: u64 = 3 << 29;
/// Earlier boxes that a region's is compared with: alternatives of one box come together.
const GROUPS_COMPARED: usize = 8;
/// Why most questions stay open.
const TIME: &str = "the time limit";

#[cfg(test)]
mod tests;
