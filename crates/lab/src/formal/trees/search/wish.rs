//! What leaves wish for: how near a box the aim could be, and whether one row grants it.
//!
//! Owns the bound of a box and the greedy choice of leaves that share a row. Must never give a
//! radius at which the trees could not reach the aim, each on its own. Called by [`super::Work`].

use super::*;

impl Work<'_> {
    /// The least radius at which the trees, each on its own, reach the aim; with the leaf that
    /// each would take.
    pub(super) fn wish(&mut self, aim: usize, whole: f64) -> Option<f64> {
        let mut wish = std::mem::take(&mut self.wish);
        let worth = self.wished(&mut wish, aim, whole);
        wish.worth = worth.unwrap_or(f64::INFINITY);
        self.wish = wish;
        worth
    }

    fn wished(&self, wish: &mut Wish, aim: usize, whole: f64) -> Option<f64> {
        let sum = &self.sums[aim];
        wish.best.clear();
        wish.chosen.clear();
        wish.spread.clear();
        wish.later.clear();
        wish.dist.clear();
        wish.dist.resize(self.leaves.len(), f64::INFINITY);
        let (mut at_once, mut at_most, mut waiting) = (0_i64, 0_i64, 0_usize);
        for (t, ends) in self.trees.windows(2).enumerate() {
            let (mut best, mut most, mut least) = (None, None, i64::MAX);
            let first_later = wish.later.len();
            for l in ends[0]..ends[1] {
                let d = self.distance(&self.leaves[l as usize], whole);
                if d >= self.upper {
                    continue;
                }
                wish.dist[l as usize] = d;
                let gain = sum.gains[l as usize];
                most = most.max(Some(gain));
                least = least.min(gain);
                if d > whole {
                    wish.later.push((d, t as u32, l));
                } else if best.is_none_or(|(held, _)| gain > held) {
                    best = Some((gain, l));
                }
            }
            // No row of the box reaches any leaf of this tree nearer than the nearest change.
            let most = most?;
            if let Some((held, _)) = best {
                let kept = |&(_, _, l): &(f64, u32, u32)| sum.gains[l as usize] > held;
                retain_from(&mut wish.later, first_later, kept);
            }
            let (gain, leaf) = best.unwrap_or((NONE, u32::MAX));
            waiting += usize::from(best.is_none());
            at_once += if best.is_some() { gain } else { 0 };
            at_most += most;
            wish.best.push(gain);
            wish.chosen.push(leaf);
            wish.spread.push(most.saturating_sub(least).max(1));
        }
        if at_most < sum.need {
            return None;
        }
        if waiting == 0 && at_once >= sum.need {
            return Some(whole);
        }
        let by_distance =
            |a: &(f64, u32, u32), b: &(f64, u32, u32)| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2));
        wish.later.sort_unstable_by(by_distance);
        for &(d, t, l) in &wish.later {
            let (t, gain) = (t as usize, sum.gains[l as usize]);
            if gain <= wish.best[t] {
                continue;
            }
            if wish.best[t] == NONE {
                waiting -= 1;
                at_once += gain;
            } else {
                at_once += gain - wish.best[t];
            }
            wish.best[t] = gain;
            wish.chosen[t] = l;
            if waiting == 0 && at_once >= sum.need {
                return Some(d);
            }
        }
        None
    }

    /// Lets the joint box begin as the whole hull.
    fn clear_joint(&mut self) {
        let joint = &mut self.joint;
        for &column in &joint.touched {
            joint.is_touched[column as usize] = false;
        }
        joint.touched.clear();
        joint.leaves.clear();
    }

    /// Narrows the joint box to a leaf. What it holds then may be empty.
    fn narrow(&mut self, leaf: u32) {
        let Leaf { start, end, .. } = self.leaves[leaf as usize];
        for at in start as usize..end as usize {
            let side = self.sides[at];
            let c = side.column as usize;
            if !self.joint.is_touched[c] {
                self.joint.is_touched[c] = true;
                self.joint.touched.push(side.column);
                self.joint.low[c] = self.hull.low[c];
                self.joint.high[c] = self.hull.high[c];
                self.joint.toll[c] = self.hull.toll[c];
            }
            let (low, high) = (side.low.max(self.joint.low[c]), side.high.min(self.joint.high[c]));
            if (low, high) != (self.joint.low[c], self.joint.high[c]) {
                self.joint.low[c] = low;
                self.joint.high[c] = high;
                let toll = if low > high { f64::INFINITY } else { self.row.toll(c, low, high) };
                self.joint.toll[c] = self.row.powered(toll);
            }
        }
        self.joint.leaves.push(leaf);
    }

    /// Joins the wishes of all trees; the distance, where a row can have them all.
    pub(super) fn all(&mut self, whole: f64) -> Option<f64> {
        self.clear_joint();
        for t in 0..self.wish.chosen.len() {
            self.narrow(self.wish.chosen[t]);
        }
        Some(self.joint_distance(whole)).filter(|d| d.is_finite())
    }

    fn joint_distance(&self, whole: f64) -> f64 {
        let joint = &self.joint;
        let touched = joint.touched.iter().map(|&c| c as usize);
        if !self.row.adds() {
            return touched.fold(whole, |a, c| a.max(joint.toll[c]));
        }
        // Added afresh, in the order of the columns, so that no distance depends on the road.
        let of = |c: usize| if joint.is_touched[c] { joint.toll[c] } else { self.hull.toll[c] };
        (0..self.hull.toll.len()).fold(0.0, |a, c| a + of(c))
    }

    /// Gives the trees their best leaves one after another, those first that have most to lose,
    /// each within what the others left and within `limit`; the distance, where the aim is
    /// reached.
    pub(super) fn greedy(&mut self, aim: usize, whole: f64, limit: f64) -> Option<f64> {
        self.clear_joint();
        let mut order = std::mem::take(&mut self.wish.order);
        order.clear();
        order.extend(0..self.wish.best.len() as u32);
        order.sort_by_key(|&t| (std::cmp::Reverse(self.wish.spread[t as usize]), t));
        let at = self.greedily(&order, aim, whole, limit);
        self.wish.order = order;
        at
    }

    fn greedily(&mut self, order: &[u32], aim: usize, whole: f64, limit: f64) -> Option<f64> {
        let need = self.sums[aim].need;
        let mut hope = 0_i64;
        for &t in order {
            hope += self.most(aim, t, limit)?;
        }
        let mut distance = whole;
        for &t in order {
            if hope < need {
                return None;
            }
            let mut best: Option<(i64, f64, u32)> = None;
            for l in self.trees[t as usize]..self.trees[t as usize + 1] {
                let gain = self.sums[aim].gains[l as usize];
                let no_less = best.is_none_or(|(held, _, _)| gain >= held);
                if self.wish.dist[l as usize] > limit || !no_less {
                    continue;
                }
                let d = self.beyond(l, distance);
                let wins = best.is_none_or(|(held, near, _)| gain > held || d < near);
                if d <= limit && d < f64::INFINITY && wins {
                    best = Some((gain, d, l));
                }
            }
            let (gain, d, l) = best?;
            hope -= self.most(aim, t, limit)? - gain;
            self.narrow(l);
            distance = d;
        }
        (hope >= need).then(|| self.joint_distance(whole))
    }

    /// The most that a tree adds within a limit.
    fn most(&self, aim: usize, tree: u32, limit: f64) -> Option<i64> {
        if limit <= self.wish.worth {
            // What it wished for is the best within the worth.
            return Some(self.wish.best[tree as usize]);
        }
        let (from, to) = (self.trees[tree as usize], self.trees[tree as usize + 1]);
        let near = |l: &u32| {
            let d = self.wish.dist[*l as usize];
            d <= limit && d < f64::INFINITY
        };
        (from..to).filter(near).map(|l| self.sums[aim].gains[l as usize]).max()
    }

    /// Distance of the joint box narrowed to a leaf.
    fn beyond(&self, leaf: u32, distance: f64) -> f64 {
        let Leaf { start, end, .. } = self.leaves[leaf as usize];
        let mut sum = distance;
        for side in &self.sides[start as usize..end as usize] {
            let c = side.column as usize;
            let (low, high, toll) = match self.joint.is_touched[c] {
                true => (self.joint.low[c], self.joint.high[c], self.joint.toll[c]),
                false => (self.hull.low[c], self.hull.high[c], self.hull.toll[c]),
            };
            let (low, high) = (side.low.max(low), side.high.min(high));
            if low > high {
                return f64::INFINITY;
            }
            let share = self.row.powered(self.row.toll(c, low, high));
            sum = if self.row.adds() { sum + share - toll } else { sum.max(share) };
        }
        if sum.is_nan() { f64::INFINITY } else { sum.max(distance) }
    }
}
