//! Who survives: fronts of non-dominated points, and crowding within the last front.
//!
//! Deb et al., "NSGA-II" (2002), section III. Fronts are found by going through the points in
//! lexicographic order (Zhang et al., "An efficient approach to non-dominated sorting", 2015),
//! which gives the same fronts as the original sort and is faster.

/// Place of a survivor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    /// Front, from 0.
    pub front: usize,
    /// Crowding distance; infinite at the ends of a front.
    pub room: f64,
}

impl Standing {
    /// Whether this place wins a tournament.
    pub(super) fn before(self, other: Self) -> bool {
        self.front < other.front || (self.front == other.front && self.room > other.room)
    }
}

/// Indices and places of the `most` best points, all goals to be lowered.
pub(super) fn survivors(goals: &[[f64; 3]], most: usize) -> Vec<(usize, Standing)> {
    let mut chosen = Vec::with_capacity(most);
    for (front, members) in sort(goals).into_iter().enumerate() {
        let rooms = crowding(goals, &members);
        let mut placed: Vec<(usize, Standing)> = members
            .iter()
            .zip(rooms)
            .map(|(&index, room)| (index, Standing { front, room }))
            .collect();
        let left = most - chosen.len();
        if placed.len() > left {
            placed.sort_by(|a, b| b.1.room.total_cmp(&a.1.room).then(a.0.cmp(&b.0)));
            placed.truncate(left);
        }
        chosen.extend(placed);
        if chosen.len() >= most {
            break;
        }
    }
    chosen
}

/// Fronts of non-dominated points, the best first.
fn sort(goals: &[[f64; 3]]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..goals.len()).collect();
    let compare = |a: &[f64; 3], b: &[f64; 3]| {
        a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])).then(a[2].total_cmp(&b[2]))
    };
    order.sort_by(|&a, &b| compare(&goals[a], &goals[b]).then(a.cmp(&b)));
    let mut fronts: Vec<Vec<usize>> = Vec::new();
    for index in order {
        // Only points that come before can dominate; the last of a front is the likeliest.
        let held = |front: &Vec<usize>| {
            front.iter().rev().any(|&other| dominates(&goals[other], &goals[index]))
        };
        match fronts.iter().position(|front| !held(front)) {
            Some(at) => fronts[at].push(index),
            None => fronts.push(vec![index]),
        }
    }
    fronts
}

/// Nowhere worse and somewhere better.
fn dominates(a: &[f64; 3], b: &[f64; 3]) -> bool {
    a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2] && (a[0] < b[0] || a[1] < b[1] || a[2] < b[2])
}

/// Crowding distance of each member: how far its neighbours are, goal by goal, in shares of the
/// front's width.
fn crowding(goals: &[[f64; 3]], members: &[usize]) -> Vec<f64> {
    let mut rooms = vec![0.0; members.len()];
    let mut order: Vec<usize> = (0..members.len()).collect();
    for goal in [0, 1, 2] {
        let value = |at: usize| goals[members[at]][goal];
        order.sort_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
        let (Some(&first), Some(&last)) = (order.first(), order.last()) else { return rooms };
        let width = value(last) - value(first);
        if !(width.is_finite() && width > 0.0) {
            continue;
        }
        rooms[first] = f64::INFINITY;
        rooms[last] = f64::INFINITY;
        for near in order.windows(3) {
            rooms[near[1]] += (value(near[2]) - value(near[0])) / width;
        }
    }
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;

    /// Fronts by peeling off what nothing left dominates.
    fn peeled(goals: &[[f64; 3]]) -> Vec<usize> {
        let mut front = vec![usize::MAX; goals.len()];
        for level in 0..goals.len() {
            let left: Vec<usize> = (0..goals.len()).filter(|&i| front[i] >= level).collect();
            for &i in &left {
                if !left.iter().any(|&j| dominates(&goals[j], &goals[i])) {
                    front[i] = level;
                }
            }
        }
        front
    }

    #[test]
    fn fronts_are_those_of_peeling_and_survivors_the_best_of_them() {
        let mut stream = Stream::new(3, "t", "fronts", 0, 0);
        for coarse in [4.0, 1000.0] {
            let mut draw = || (stream.unit() * coarse).floor();
            let goals: Vec<[f64; 3]> = (0..60).map(|_| [draw(), draw(), draw()]).collect();
            let wanted = peeled(&goals);
            for (level, front) in sort(&goals).iter().enumerate() {
                for &index in front {
                    assert_eq!(wanted[index], level, "point {index} on a grid of {coarse}");
                }
            }
            let chosen = survivors(&goals, 25);
            assert_eq!(chosen.len(), 25);
            let worst = chosen.iter().map(|(_, s)| s.front).max().unwrap();
            let kept: Vec<usize> = chosen.iter().map(|(i, _)| *i).collect();
            for (index, &front) in wanted.iter().enumerate() {
                assert!(front >= worst || kept.contains(&index), "point {index} was dropped");
            }
        }
    }

    #[test]
    fn the_ends_of_a_front_are_never_crowded_out() {
        let goals: Vec<[f64; 3]> =
            (0..20).map(|i| [f64::from(i), f64::from(19 - i), 0.0]).collect();
        let kept: Vec<usize> = survivors(&goals, 5).into_iter().map(|(i, _)| i).collect();
        assert!(kept.contains(&0) && kept.contains(&19), "{kept:?}");
    }
}
