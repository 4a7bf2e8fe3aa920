//! Independent pieces of work on a few threads.
//!
//! Owns the split and the order of the answers, which does not depend on the threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Pieces of a round, dealt to the threads there are.
pub(crate) const PIECES: usize = 4;

/// A round in [`PIECES`]. The cut is part of the result, since a piece is tuned together: it must
/// not depend on the threads.
pub(crate) fn pieces<T>(items: &[T]) -> Vec<&[T]> {
    items.chunks(items.len().div_ceil(PIECES).max(1)).collect()
}

/// `of` each item, in the order of the items.
pub(crate) fn shared<I: Sync, T: Send>(
    threads: usize,
    items: &[I],
    of: &(dyn Fn(&I) -> T + Sync),
) -> Vec<T> {
    if threads <= 1 || items.len() <= 1 {
        return items.iter().map(of).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let work = || {
        while let Some((at, item)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            items.get(at).map(|item| (at, item))
        } {
            let answer = of(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, answer));
        }
    };
    std::thread::scope(|scope| {
        let others = threads.min(items.len()) - 1;
        (0..others).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}
