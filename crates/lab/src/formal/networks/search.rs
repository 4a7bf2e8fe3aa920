//! Branch and bound on the signs of ReLU neurons.
//!
//! Owns the queue, what is split and when a part counts as proved (Bunel et al. 2020; multipliers
//! of Wang et al. 2021; branching filtered by the bounds of the children after De Palma et al.
//! 2021, section 4.2). Parts are worked in rounds whose content does not depend on the threads.
//! Must never drop a part that is not proved.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use ndarray::Axis;

use super::crown::{Domains, Duals, Layer, Pass, Rows, Scene, Split};
use super::net::{Matrix, Op};
use super::region::Region;
use super::tune::{self, Effort};
use super::work;

/// A part of a region: the points where split neurons have the given signs.
#[derive(Clone)]
struct Part {
    region: usize,
    splits: Arc<[Split]>,
    beta: Arc<[f32]>,
    /// Slopes of the neurons that are open at the root.
    alpha: Arc<[f32]>,
    /// Bound for real arithmetic and for any evaluation in 32 bits.
    lower: f64,
    /// Bound for real arithmetic.
    real: f64,
}

/// The search over the regions of one box.
pub(crate) struct Search<'a> {
    scene: Scene<'a>,
    regions: &'a [Region],
    root: &'a Domains,
    /// Neurons that are open at the root, by ReLU node.
    open: Vec<(usize, Vec<usize>)>,
    queue: BinaryHeap<Part>,
    /// Parts that are proved in real arithmetic alone.
    aside: BinaryHeap<Part>,
    threads: usize,
    /// Parts looked at.
    pub visited: u64,
    /// The least bound of what was proved.
    pub margin: f64,
    /// Parts without an open neuron that are not proved.
    pub stuck: u64,
    /// Parts without an open neuron that are proved in real arithmetic alone.
    pub real: u64,
}

/// What splitting some parts gives.
struct Branched {
    children: Vec<Part>,
    stuck: u64,
    real: u64,
    points: Matrix,
}

/// What a round found on the way: the points where relaxed nets are least.
pub(crate) struct Round {
    pub points: Matrix,
    pub regions: Vec<usize>,
}

impl<'a> Search<'a> {
    /// Bounds every region of the box; those not proved are queued.
    pub(crate) fn begin(
        scene: Scene<'a>,
        root: &'a Domains,
        regions: &'a [Region],
        list: &[usize],
        threads: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Self {
        let open = root.layers.iter().enumerate().filter_map(|(k, layer)| {
            let layer = layer.as_ref()?;
            let cells = layer.low.iter().zip(&layer.high).enumerate();
            Some((k, cells.filter(|(_, (l, u))| **l < 0.0 && **u > 0.0).map(|(j, _)| j).collect()))
        });
        let mut search = Self {
            scene,
            regions,
            root,
            open: open.collect(),
            queue: BinaryHeap::new(),
            aside: BinaryHeap::new(),
            threads,
            visited: 0,
            margin: f64::INFINITY,
            stuck: 0,
            real: 0,
        };
        let whole = |&region: &usize| Part {
            region,
            splits: Arc::new([]),
            beta: Arc::new([]),
            alpha: search.starts(),
            lower: f64::NEG_INFINITY,
            real: f64::NEG_INFINITY,
        };
        let parts: Vec<Part> = list.iter().map(whole).collect();
        let chunks: Vec<&[Part]> = parts.chunks(PARENTS).collect();
        let bounded = work::shared(threads, &chunks, &|chunk| search.bound(chunk, ROOT, stop).0);
        bounded.into_iter().flatten().for_each(|part| search.keep(part));
        search
    }

    /// The parts that are not proved.
    pub(crate) fn open_parts(&self) -> usize {
        self.queue.len()
    }

    /// Parts that are proved in real arithmetic alone.
    pub(crate) fn aside_parts(&self) -> usize {
        self.aside.len()
    }

    /// Memory of one waiting part, about.
    pub(crate) fn part_bytes(&self) -> u64 {
        let splits = self.queue.peek().map_or(0, |part| part.splits.len());
        (size_of::<Part>() + 4 * self.starts_len() + 16 * (splits + 8) + 64) as u64
    }

    fn starts_len(&self) -> usize {
        self.open.iter().map(|(_, list)| list.len()).sum()
    }

    /// The least bound of what is open.
    pub(crate) fn lower(&self) -> f64 {
        self.queue.peek().map_or(f64::INFINITY, |part| part.lower)
    }

    /// Regions with open parts.
    pub(crate) fn open_regions(&self) -> Vec<usize> {
        let mut list: Vec<usize> = self.queue.iter().map(|part| part.region).collect();
        list.sort_unstable();
        list.dedup();
        list
    }

    /// Splits the worst parts once; `None` when nothing is open.
    pub(crate) fn round(&mut self, stop: &(dyn Fn() -> bool + Sync)) -> Option<Round> {
        let most = PARENTS * work::PIECES;
        let mut parents = Vec::with_capacity(most);
        let source = if self.queue.is_empty() { &mut self.aside } else { &mut self.queue };
        while parents.len() < most
            && let Some(part) = source.pop()
        {
            parents.push(part);
        }
        if parents.is_empty() {
            return None;
        }
        let pieces = work::pieces(&parents);
        let done = work::shared(self.threads, &pieces, &|some| self.branch(some, stop));
        if stop() {
            // half-done bounds are valid, but the parents are simplest to keep
            parents.into_iter().for_each(|part| self.keep(part));
            return Some(Round { points: Matrix::zeros((0, 0)), regions: Vec::new() });
        }
        let width = self.scene.net.inputs();
        let (mut points, mut regions) = (Matrix::zeros((0, width)), Vec::new());
        for branched in done {
            self.visited += branched.children.len() as u64;
            regions.extend(branched.children.iter().map(|part| part.region));
            points.append(Axis(0), branched.points.view()).unwrap_or_default();
            branched.children.into_iter().for_each(|part| self.keep(part));
            self.stuck += branched.stuck;
            self.real += branched.real;
        }
        Some(Round { points, regions })
    }

    /// Queues what is open; notes the margin of what is proved.
    fn keep(&mut self, part: Part) {
        if part.lower > 0.0 {
            self.margin = self.margin.min(part.lower);
        } else if part.real > 0.0 {
            self.aside.push(part);
        } else {
            self.queue.push(part);
        }
    }

    /// Slopes at the root of the open neurons.
    fn starts(&self) -> Arc<[f32]> {
        let of = |(k, list): &(usize, Vec<usize>)| {
            let layer = self.root.layers[*k].as_ref();
            list.iter().map(move |&j| layer.map_or(0.0, |l| l.start[[0, j]] as f32)).collect()
        };
        self.open.iter().flat_map(|item| -> Vec<f32> { of(item) }).collect()
    }

    /// Bounds before ReLU of each part: the root's, with the signs of the splits.
    fn domains(&self, parts: &[(&Part, Option<Split>)]) -> Domains {
        let repeat = |m: &Matrix| m.select(Axis(0), &vec![0; parts.len()]);
        let layers = self.root.layers.iter().map(|layer| {
            let layer = layer.as_ref()?;
            Some(Layer {
                low: repeat(&layer.low),
                high: repeat(&layer.high),
                slope: repeat(&layer.slope),
                intercept: repeat(&layer.intercept),
                start: repeat(&layer.start),
            })
        });
        let mut layers: Vec<Option<Layer>> = layers.collect();
        for (d, (part, extra)) in parts.iter().enumerate() {
            for split in part.splits.iter().chain(extra) {
                let Some(layer) = &mut layers[split.node as usize] else { continue };
                let at = [d, split.neuron as usize];
                let (low, high) = (layer.low[at], layer.high[at]);
                if split.positive {
                    layer.set(at, low.max(0.0), high);
                } else {
                    layer.set(at, low, high.min(0.0));
                }
            }
        }
        Domains { low: repeat(&self.root.low), high: repeat(&self.root.high), layers }
    }

    /// A row for each limit of each part's region, with slopes and multipliers.
    fn rows(&self, parts: &[(&Part, Option<Split>)], domains: &Domains) -> (Rows, Duals) {
        let each = parts.iter().enumerate().flat_map(|(d, (part, _))| {
            self.regions[part.region].limits.iter().map(move |limit| (limit, d))
        });
        let mut rows = Region::rows(self.scene.net, each);
        for (splits, &d) in rows.splits.iter_mut().zip(&rows.domain) {
            splits.extend(parts[d].0.splits.iter().chain(&parts[d].1));
        }
        let mut duals = tune::start(domains, &rows);
        for (r, &d) in rows.domain.iter().enumerate() {
            let part = parts[d].0;
            let mut values = part.alpha.iter();
            for (k, list) in &self.open {
                let (Some(alpha), Some(layer)) = (&mut duals.alpha[*k], &domains.layers[*k]) else {
                    continue;
                };
                for (&j, &value) in list.iter().zip(&mut values) {
                    if layer.low[[d, j]] < 0.0 && layer.high[[d, j]] > 0.0 {
                        alpha[[r, j]] = f64::from(value);
                    }
                }
            }
            let held = part.beta.iter().map(|&b| f64::from(b)).chain(parts[d].1.map(|_| 0.0));
            duals.beta[r] = held.collect();
        }
        (rows, duals)
    }

    /// Bounds parts anew; gives them with their bounds, and the points where they are least.
    fn bound(
        &self,
        parts: &[Part],
        effort: Effort,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> (Vec<Part>, Matrix) {
        let list: Vec<(&Part, Option<Split>)> = parts.iter().map(|part| (part, None)).collect();
        let domains = self.domains(&list);
        let (rows, duals) = self.rows(&list, &domains);
        let tuned = self.scene.tune(&domains, &rows, duals, effort, stop);
        let mut best: Vec<Option<usize>> = vec![None; parts.len()];
        for (r, &d) in rows.domain.iter().enumerate() {
            if best[d].is_none_or(|held| tuned.lower[r] > tuned.lower[held]) {
                best[d] = Some(r);
            }
        }
        let mut points = Matrix::zeros((parts.len(), self.scene.net.inputs()));
        let renewed = parts.iter().zip(best).enumerate().map(|(d, (part, best))| {
            // a region without a limit is violated by every point
            let Some(r) = best else { return part.clone() };
            points.row_mut(d).assign(&tuned.values[0].row(r));
            let alpha = self.open.iter().flat_map(|(k, list)| {
                let alpha = tuned.duals.alpha[*k].as_ref();
                list.iter().map(move |&j| alpha.map_or(0.0, |a| a[[r, j]] as f32))
            });
            Part {
                alpha: alpha.collect(),
                beta: tuned.duals.beta[r].iter().map(|&b| b as f32).collect(),
                lower: part.lower.max(tuned.lower[r]),
                real: part.real.max(tuned.real[r]),
                ..part.clone()
            }
        });
        (renewed.collect(), points)
    }

    /// Splits each part at the neuron that promises most, and bounds the children.
    fn branch(&self, parents: &[Part], stop: &(dyn Fn() -> bool + Sync)) -> Branched {
        let list: Vec<(&Part, Option<Split>)> = parents.iter().map(|part| (part, None)).collect();
        let domains = self.domains(&list);
        let (rows, duals) = self.rows(&list, &domains);
        let pass = self.scene.backward(&domains, &rows, Some(&duals));
        let through = self.open.last().map_or(0, |(k, _)| *k);
        let values = self.scene.relaxed(&domains, &rows, Some(&duals), &pass, through);
        let likely: Vec<Vec<Split>> =
            (0..parents.len()).map(|d| self.likely(d, &domains, &rows, &pass, &values)).collect();
        let (mut stuck, mut real) = (0, 0);
        let mut children = Vec::with_capacity(2 * parents.len());
        for (parent, choice) in parents.iter().zip(self.chosen(parents, &likely)) {
            let Some(split) = choice else {
                // every sign is fixed: what is left is a linear programme, climbed for longer
                let (last, _) = self.bound(std::slice::from_ref(parent), LAST, stop);
                if last.iter().any(|part| part.lower > 0.0) {
                    children.extend(last);
                } else if last.iter().any(|part| part.real > 0.0) {
                    real += 1;
                } else {
                    stuck += 1;
                }
                continue;
            };
            for positive in [true, false] {
                let splits = parent.splits.iter().copied().chain([Split { positive, ..split }]);
                children.push(Part {
                    splits: splits.collect(),
                    beta: parent.beta.iter().copied().chain([0.0]).collect(),
                    ..parent.clone()
                });
            }
        }
        let (children, points) = self.bound(&children, CHILD, stop);
        Branched { children, stuck, real, points }
    }

    /// The neurons that weigh most in a part's bound, by two scores.
    fn likely(
        &self,
        d: usize,
        domains: &Domains,
        rows: &Rows,
        pass: &Pass,
        values: &[Matrix],
    ) -> Vec<Split> {
        let own = (0..rows.domain.len()).filter(|&r| rows.domain[r] == d);
        let Some(r) = own.max_by(|&a, &b| pass.lower[a].total_cmp(&pass.lower[b])) else {
            return Vec::new();
        };
        let mut scored: Vec<(f64, f64, Split)> = Vec::new();
        for (k, list) in &self.open {
            let (Op::Relu { from }, Some(layer), Some(a)) =
                (&self.scene.net.nodes[*k].op, &domains.layers[*k], &pass.at[*k])
            else {
                continue;
            };
            for &j in list {
                if layer.low[[d, j]] < 0.0 && layer.high[[d, j]] > 0.0 {
                    let (a, z, bent) = (a[[r, j]], values[*from][[r, j]], values[*k][[r, j]]);
                    // what the bound gains at its own point if the neuron were exact there
                    let gap = (a * (z.max(0.0) - bent)).max(0.0);
                    let intercept = -a.min(0.0) * layer.intercept[[d, j]];
                    let split = Split { node: *k as u32, neuron: j as u32, positive: true };
                    scored.push((gap, intercept, split));
                }
            }
        }
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut list: Vec<Split> = scored.iter().take(LIKELY).map(|s| s.2).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (_, _, split) in scored.iter().take(LIKELY) {
            if !list.contains(split) {
                list.push(*split);
            }
        }
        list
    }

    /// Of the likely neurons the one whose children have the best bounds before any climbing.
    fn chosen(&self, parents: &[Part], likely: &[Vec<Split>]) -> Vec<Option<Split>> {
        let mut tries: Vec<(&Part, Option<Split>)> = Vec::new();
        let mut owner: Vec<(usize, usize)> = Vec::new();
        for (p, list) in likely.iter().enumerate().filter(|(_, list)| list.len() > 1) {
            for (i, split) in list.iter().enumerate() {
                for positive in [true, false] {
                    tries.push((&parents[p], Some(Split { positive, ..*split })));
                    owner.push((p, i));
                }
            }
        }
        let mut lower = vec![f64::NEG_INFINITY; tries.len()];
        if !tries.is_empty() {
            let domains = self.domains(&tries);
            let (rows, duals) = self.rows(&tries, &domains);
            let pass = self.scene.backward(&domains, &rows, Some(&duals));
            rows.domain.iter().zip(&pass.lower).for_each(|(&d, &l)| lower[d] = lower[d].max(l));
        }
        let mut best: Vec<Option<(f64, Split)>> =
            likely.iter().map(|list| list.first().map(|s| (f64::NEG_INFINITY, *s))).collect();
        for (pair, owner) in lower.chunks(2).zip(owner.chunks(2)) {
            let (p, i) = owner[0];
            let score: f64 = pair.iter().map(|l| l.min(0.0)).sum();
            if best[p].is_none_or(|(held, _)| score > held) {
                best[p] = Some((score, likely[p][i]));
            }
        }
        best.into_iter().map(|best| best.map(|(_, split)| split)).collect()
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Part {}
impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Part {
    /// The worst bound comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.lower.total_cmp(&self.lower)
    }
}

/// Parts that are split together.
const PARENTS: usize = 32;
/// Neurons of each score whose children are tried.
const LIKELY: usize = 3;
/// Effort at the root.
const ROOT: Effort = Effort { steps: 100, rate: 0.1, rate_beta: 0.1, decay: 0.98 };
/// Effort for a child.
const CHILD: Effort = Effort { steps: 16, rate: 0.1, rate_beta: 0.2, decay: 0.9 };
/// Effort where nothing is left to split.
const LAST: Effort = Effort { steps: 300, rate: 0.1, rate_beta: 0.2, decay: 0.98 };
