//! The guard's effective policy in the system's log: what the fail-safe plan quotes.
//!
//! Owns the predicate, and that a policy is recorded once, when the guard has begun to serve under
//! it. Must never record a policy file that no guard serves. Called by `dossier`.

use std::collections::BTreeMap;

use proofmark_evidence::entry::EntryKind;
use proofmark_evidence::log::Log;
use proofmark_evidence::store::Store;
use proofmark_schema::measurement::AssetDigest;
use serde::{Deserialize, Serialize};

use crate::events::{self, Logged};
use crate::predicate::Tool;
use crate::register::{self, Register, RegisterError, stored_of};
use crate::standing::World;

/// Predicate type of a policy that a guard serves under.
pub const GUARD_POLICY: &str = "urn:proofmark:predicate:guard-policy:v1";

/// A policy that a guard serves under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardPolicyPredicate {
    /// Program.
    pub tool: Tool,
    /// When the guard began to serve under it, RFC 3339 in UTC.
    pub since: String,
    /// SHA-256 of the policy, hex.
    pub policy: String,
    /// Settings by dotted name, defaults included.
    pub settings: BTreeMap<String, String>,
    /// Models it serves.
    pub models: Vec<AssetDigest>,
}

/// The policy as last recorded; records the one of now when it is another.
///
/// # Errors
/// [`RegisterError`] if the log is damaged or cannot be written.
pub fn record(
    register: &mut Register<'_>,
    world: &World,
) -> Result<Option<Logged<GuardPolicyPredicate>>, RegisterError> {
    let last = last(register.log, register.store)?;
    let Some(guard) = world.guard.as_ref().filter(|g| !g.settings.is_empty()) else {
        return Ok(last);
    };
    let model = |(name, sha256): &(String, String)| AssetDigest {
        name: format!("model/{name}"),
        sha256: sha256.clone(),
    };
    let now = GuardPolicyPredicate {
        tool: register.tool.clone(),
        since: guard.time.clone(),
        policy: guard.policy.clone(),
        settings: guard.settings.clone(),
        models: guard.models.iter().map(model).collect(),
    };
    let same = |l: &Logged<GuardPolicyPredicate>| {
        l.said.policy == now.policy
            && l.said.settings == now.settings
            && l.said.models == now.models
    };
    if last.as_ref().is_some_and(same) {
        return Ok(last);
    }
    let mut subjects = now.models.clone();
    subjects.push(AssetDigest { name: "guard/policy".to_owned(), sha256: now.policy.clone() });
    events::record(register, EntryKind::Guard, GUARD_POLICY, &now, &subjects).map(Some)
}

/// The last recorded policy; orders to the guard are entries of the same kind and passed over.
fn last(log: &Log, store: &Store) -> Result<Option<Logged<GuardPolicyPredicate>>, RegisterError> {
    let mut entries = Vec::new();
    log.for_each_leaf(|index, leaf| {
        if let Ok(entry) = proofmark_evidence::entry::Entry::parse(leaf)
            && entry.kind == EntryKind::Guard
        {
            entries.push((index, entry));
        }
        Ok(())
    })?;
    for (index, entry) in entries.into_iter().rev() {
        let Some(stored) = stored_of(&entry) else { continue };
        if register::statement(store, stored)?.predicate_type == GUARD_POLICY {
            let read = register::read(store, &entry, GUARD_POLICY)?;
            let (time, said) = (entry.time, read.predicate);
            return Ok(Some(Logged { index, time, stored, said }));
        }
    }
    Ok(None)
}
