//! Orders of people to the guard: what needs authority is a signed statement.
//!
//! Owns the predicate, its signing and its check. Must never accept an order for another guard,
//! another stop, out of its time, or without the provider's signature. Called by the command line,
//! which signs, and by the server, which obeys.

use proofmark_evidence::digest::Digest;
use proofmark_evidence::dsse::{Bundle, DsseError};
use proofmark_evidence::keys::{StatementKey, StatementPublicKey};
use proofmark_evidence::statement::Statement;
use proofmark_evidence::time;
use serde::{Deserialize, Serialize};

/// Predicate type of an order.
pub const GUARD_ORDER: &str = "urn:proofmark:predicate:guard-order:v1";

/// An order to the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardOrder {
    /// Id of the order: random, 128 bits in hexadecimal.
    pub id: String,
    /// What to do.
    pub action: OrderAction,
    /// Person who orders it (`people.<id>` or a name).
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, RFC 3339 in UTC.
    pub time: String,
    /// Origin of the log of the guard that is meant.
    pub guard: String,
    /// Id of the stop that it ends.
    pub stop: String,
}

/// What an order asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderAction {
    /// Serve again after a stop.
    Restart,
}

/// What an order must fit to be obeyed.
#[derive(Clone, Copy, Debug)]
pub struct OrderContext<'a> {
    /// Public half of the provider's statement key.
    pub authority: &'a StatementPublicKey,
    /// Origin of this guard's log.
    pub guard: &'a str,
    /// Id of the stop in force.
    pub stop: &'a str,
    /// When it was stopped.
    pub stopped: &'a str,
    /// Now.
    pub now: &'a str,
}

/// Signs an order; returns the bundle's bytes.
///
/// # Errors
/// [`OrderError`] if a text is empty or the statement cannot be signed.
pub fn sign(order: &GuardOrder, key: &StatementKey) -> Result<Vec<u8>, OrderError> {
    if order.by.trim().is_empty() || order.reason.trim().is_empty() {
        return Err(OrderError::Nameless);
    }
    let value = serde_json::to_value(order).map_err(|e| OrderError::Shape(e.to_string()))?;
    let statement = Statement::new(GUARD_ORDER, value)
        .subject(order.guard.clone(), Digest::of(order.stop.as_bytes()));
    Ok(Bundle::sign(&statement, key)?.to_json()?)
}

/// Reads an order and checks signature, guard, stop and time.
///
/// # Errors
/// [`OrderError`] that says which of them does not fit.
pub fn verify(bundle: &[u8], context: &OrderContext<'_>) -> Result<GuardOrder, OrderError> {
    let statement = Bundle::parse(bundle)?.verify(context.authority)?;
    if statement.predicate_type != GUARD_ORDER {
        return Err(OrderError::Shape(format!("its type is `{}`", statement.predicate_type)));
    }
    let order: GuardOrder = serde_json::from_value(statement.predicate)
        .map_err(|e| OrderError::Shape(e.to_string()))?;
    if order.by.trim().is_empty() || order.reason.trim().is_empty() {
        return Err(OrderError::Nameless);
    }
    if order.guard != context.guard {
        return Err(OrderError::OtherGuard(order.guard));
    }
    if order.stop != context.stop {
        return Err(OrderError::OtherStop(order.stop));
    }
    let at = |text: &str| {
        time::millis(text).ok_or_else(|| OrderError::Shape(format!("`{text}` is no time")))
    };
    let (ordered, stopped, now) = (at(&order.time)?, at(context.stopped)?, at(context.now)?);
    // Whole seconds: the command line's clock has no finer ones.
    if ordered.div_euclid(1000) < stopped.div_euclid(1000) {
        return Err(OrderError::BeforeStop { order: order.time, stop: context.stopped.to_owned() });
    }
    if ordered > now.saturating_add(SKEW_MILLIS_MAX) {
        return Err(OrderError::Future(order.time));
    }
    if now.saturating_sub(ordered) > AGE_MILLIS_MAX {
        return Err(OrderError::Old(order.time));
    }
    Ok(order)
}

/// Why an order is not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The envelope or its signature.
    #[error("the order is not signed by this system's authority: {0}")]
    Signature(#[from] DsseError),
    /// Not an order.
    #[error("not an order to a guard: {0}")]
    Shape(String),
    /// Nobody answers for it.
    #[error("an order needs a person and a reason")]
    Nameless,
    /// For another guard.
    #[error("the order is for the guard `{0}`")]
    OtherGuard(String),
    /// For another stop, e.g. one that was ended already.
    #[error("the order ends the stop `{0}`, which is not in force; sign a new one")]
    OtherStop(String),
    /// Older than the stop.
    #[error("the order of {order} is older than the stop of {stop}; sign a new one")]
    BeforeStop {
        /// Time of the order.
        order: String,
        /// Time of the stop.
        stop: String,
    },
    /// From the future.
    #[error("the order is of {0}, which is yet to come; set the clocks")]
    Future(String),
    /// Too old.
    #[error("the order of {0} is more than a day old; sign a new one")]
    Old(String),
}

/// Clocks of two machines may differ by this much.
const SKEW_MILLIS_MAX: i64 = 5 * 60 * 1000;
/// An order that lies about longer no longer says what a person wants now.
const AGE_MILLIS_MAX: i64 = 24 * 60 * 60 * 1000;
