//! Progress on stderr: a bar on a terminal, nothing otherwise or with `--quiet`.
//!
//! Owns the bars. Libraries report through [`proofmark_lab::ctx::Progress`].

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use proofmark_lab::ctx::Progress;

/// Draws one bar at a time.
pub struct Bars {
    shown: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars, drawn only when stderr is a terminal and `quiet` is off.
    pub fn new(quiet: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let shown = !quiet && !plain && std::io::stderr().is_terminal();
        Self { shown, bar: Mutex::new(None) }
    }
    /// Begins the bar of a probe.
    pub fn begin(&self, title: &str) {
        self.begin_as(title, TEMPLATE);
    }
    /// Begins a count of which nobody knows the end.
    pub fn begin_counting(&self, title: &str) {
        self.begin_as(title, COUNT);
    }
    fn begin_as(&self, title: &str, template: &str) {
        if !self.shown {
            return;
        }
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(TICK_MS));
        self.replace(Some(bar));
    }
    /// Removes the bar.
    pub fn end(&self) {
        self.replace(None);
    }
    fn replace(&self, next: Option<ProgressBar>) {
        let mut slot = self.bar.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(old) = slot.take() {
            old.finish_and_clear();
        }
        *slot = next;
    }
}

impl Progress for Bars {
    fn step(&self, what: &str, done: u64, total: u64) {
        let slot = self.bar.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(bar) = slot.as_ref() {
            bar.set_length(total);
            bar.set_position(done.min(total));
            bar.set_message(what.to_owned());
        }
    }
}

const TEMPLATE: &str = "{prefix} {wide_bar} {pos}/{len} {msg} {elapsed}";
const COUNT: &str = "{prefix} {spinner} {human_pos} {msg} {elapsed}";
/// Redraw often enough to look alive, seldom enough to cost nothing.
const TICK_MS: u64 = 200;
