//! Random streams that depend on the seed, the probe, the attack, the budget and the row alone.
//!
//! Owns how a stream is keyed and the few distributions the lab draws from. Must never take
//! entropy from anywhere else: the same key gives the same numbers on every machine. Called by
//! the harness, the interval draws and the validity gates.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// A keyed stream of numbers.
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    /// The stream of `(seed, probe, part, budget index, row)`; `part` names an attack or a use.
    pub fn new(seed: u64, probe: &str, part: &str, budget: u64, row: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(seed.to_le_bytes());
        for text in [probe, part] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(budget.to_le_bytes());
        hash.update(row.to_le_bytes());
        let mut key = [0_u8; 32];
        key.copy_from_slice(&hash.finalize());
        Self { generator: ChaCha8Rng::from_seed(key) }
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.generator.next_u64() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform in `[-1, 1)`.
    pub fn symmetric(&mut self) -> f64 {
        2.0 * self.unit() - 1.0
    }

    /// `-1.0` or `1.0`.
    pub fn sign(&mut self) -> f64 {
        if self.generator.next_u32() & 1 == 0 { -1.0 } else { 1.0 }
    }

    /// Standard normal (Box and Muller 1958, the cosine branch).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Uniform in `0..bound` without bias (rejection); 0 when `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound < 2 {
            return 0;
        }
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let draw = self.generator.next_u64();
            if draw < zone {
                return (draw % bound) as usize;
            }
        }
    }
}

/// Keeps our streams apart from every other use of SHA-256 over the same fields.
const DOMAIN: &[u8] = b"proofmark.stream/1\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_every_part_of_its_key_and_on_nothing_else() {
        let first = |s, p, a, b, r| Stream::new(s, p, a, b, r).generator.next_u64();
        let base = first(1, "p", "a", 0, 0);
        assert_eq!(base, first(1, "p", "a", 0, 0));
        for other in [
            first(2, "p", "a", 0, 0),
            first(1, "q", "a", 0, 0),
            first(1, "p", "b", 0, 0),
            first(1, "p", "a", 1, 0),
            first(1, "p", "a", 0, 1),
            first(1, "pa", "", 0, 0),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        let mut stream = Stream::new(7, "t", "", 0, 0);
        let n = 20_000;
        let (mut sum, mut square, mut uniform, mut counts) = (0.0, 0.0, 0.0, [0_u32; 3]);
        for _ in 0..n {
            let z = stream.normal();
            sum += z;
            square += z * z;
            uniform += stream.unit();
            counts[stream.below(3)] += 1;
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.03, "mean {}", sum / n);
        assert!((square / n - 1.0).abs() < 0.05, "variance {}", square / n);
        assert!((uniform / n - 0.5).abs() < 0.01);
        assert!(counts.iter().all(|&c| (f64::from(c) / n - 1.0 / 3.0).abs() < 0.015));
    }
}
