//! Why facts or a deed are refused, in words for a person.
//!
//! Owns the two error types of [`super::check`]; must never repeat hostile input at length.

use super::check::{LIST_MAX, TEXT_BYTES_MAX};
use crate::clock::period::InstantError;

/// What is wrong with facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// A malformed time.
    #[error(transparent)]
    Instant(#[from] InstantError),
    /// A time that has not come.
    #[error("`{name}` says {at}, which is in the future (now {now}); check the time and its zone")]
    Future {
        /// Fact.
        name: &'static str,
        /// Time.
        at: String,
        /// Now.
        now: String,
    },
    /// Times the wrong way round.
    #[error("`{earlier}` ({a}) comes after `{later}` ({b}); one of them is wrong")]
    Order {
        /// What comes first.
        earlier: &'static str,
        /// Its time.
        a: String,
        /// What comes second.
        later: &'static str,
        /// Its time.
        b: String,
    },
    /// Nothing where something is needed.
    #[error("`{0}` is empty; say it")]
    Empty(&'static str),
    /// A text beyond the limit.
    #[error("`{name}` has {bytes} bytes, at most {TEXT_BYTES_MAX}; put the rest into a file")]
    Long {
        /// Fact.
        name: &'static str,
        /// Bytes.
        bytes: usize,
    },
    /// Characters that play tricks.
    #[error("`{0}` holds control characters or marks that turn text around; type it anew")]
    Control(&'static str),
    /// A list beyond the limit.
    #[error("a list of the case has more than {LIST_MAX} entries; open a second case")]
    Many,
    /// The same twice.
    #[error("the same Member State, harm or awareness stands there twice")]
    Twice,
    /// No Member State.
    #[error("`{0}` is no Member State of the Union; write two letters, e.g. `DE`")]
    MemberState(String),
    /// Facts that exclude each other.
    #[error("the facts contradict each other: {0}")]
    Contradiction(&'static str),
}

/// Why something may not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeedError {
    /// Another id.
    #[error("the next incident is `{next}`, not `{id}`")]
    Id {
        /// Given.
        id: String,
        /// Wanted.
        next: String,
    },
    /// Closed already.
    #[error("incident `{id}` was closed at {at}; open a new one, `proofmark incident open`")]
    Closed {
        /// Incident.
        id: String,
        /// When.
        at: String,
    },
    /// A serious incident without a freeze.
    #[error("a serious incident freezes the system first; please report this as a bug")]
    NoFreeze,
    /// An update of nothing.
    #[error("nothing new is said; name what changed")]
    NothingNew,
    /// An update that lets clocks end later.
    #[error(
        "with these facts {0} would end later or no longer count; say why with --because, as a \
         person of the declaration"
    )]
    Postponed(String),
    /// No such clock.
    #[error("there is no clock `{0}`; `proofmark incident show ID` lists them")]
    Clock(String),
    /// A clock that does not run.
    #[error("clock {clock} does not run ({state}), so there is nothing to set aside")]
    NotOpen {
        /// Clock.
        clock: String,
        /// State.
        state: &'static str,
    },
    /// A report for no clock.
    #[error("no clock runs, so no report is due; name one with --clock for a follow-up")]
    NoClock,
    /// A report on a clock that did not start.
    #[error("clock {clock} asks for no report: {why}")]
    NothingToReport {
        /// Clock.
        clock: String,
        /// Why.
        why: String,
    },
    /// Clocks of different forms in one report.
    #[error("clock {clock} is answered with the form `{form}`; write a report of its own")]
    OtherForm {
        /// Clock.
        clock: String,
        /// Its form.
        form: String,
    },
    /// A report that tells what it cannot tell.
    #[error("no report on these clocks can tell all of {clock}; write a report of its own")]
    CannotTell {
        /// Clock.
        clock: String,
    },
    /// A receipt for no report.
    #[error(
        "there is no report `{id}` a receipt could be for (written: {known}); write it with \
         `proofmark incident report`"
    )]
    NoReport {
        /// Report.
        id: String,
        /// Reports there are.
        known: String,
    },
    /// A Member State that is not concerned.
    #[error("`{state}` is not among the Member States of this case ({known})")]
    State {
        /// State.
        state: String,
        /// States of the case.
        known: String,
    },
    /// A receipt that does not say of which authority.
    #[error("several Member States are concerned ({known}); say whose receipt it is")]
    WhichState {
        /// States of the case.
        known: String,
    },
    /// A receipt older than the event.
    #[error("the receipt is older than the event that started {clock}; check its time")]
    BeforeEvent {
        /// Clock.
        clock: String,
    },
    /// A late report that does not say why.
    #[error("the report on {clock} is late and the law asks why; say it with --late-because")]
    LateWithoutReason {
        /// Clock.
        clock: String,
    },
    /// The same receipt again.
    #[error("this receipt is recorded already")]
    SameReceipt,
    /// No hold.
    #[error("incident `{0}` holds nothing")]
    NoHold(String),
    /// A change without notice.
    #[error(
        "the system is held for evidence: tell the authority first, then name its notice or \
         receipt with --notice; containing damage is always allowed, `proofmark incident contain`"
    )]
    NoNotice,
    /// No such receipt.
    #[error("there is no receipt `{0}`; `proofmark incident show ID` lists them")]
    NoReceipt(String),
    /// A receipt of another regime.
    #[error("receipt `{0}` is not for a report under the AI Act, so it lifts no hold")]
    OtherReceipt(String),
    /// A release that rests on nothing.
    #[error("a hold is lifted with --receipt, or with --because by a person of the declaration")]
    WithoutReceipt,
    /// A close during a hold.
    #[error("incident `{0}` still holds the system; lift that first, `proofmark incident release`")]
    StillHeld(String),
    /// A close while clocks run.
    #[error(
        "clocks still run: {0}; report and record the receipts, or decide with reason, \
         `proofmark incident waive`"
    )]
    ClocksRun(String),
    /// A close that rests on nothing.
    #[error("a case is closed with --retest, or with --because by a person of the declaration")]
    NoRetest,
    /// A re-test that did not pass.
    #[error("run `{0}` did not pass every criterion, or is incomplete or exploratory")]
    Failed(String),
    /// A run from before the incident.
    #[error("run `{0}` began before the incident was opened; assess again")]
    OldRun(String),
    /// No person of the declaration.
    #[error(
        "`{name}` is no person of the declaration ({known}); only one who is named there may set \
         something aside, `[people.<id>]`"
    )]
    Nobody {
        /// Given.
        name: String,
        /// People there are.
        known: String,
    },
}
