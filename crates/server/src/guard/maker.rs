//! Lanes, intake and protocol from the parts of a guard.
//!
//! Owns which features are read, which digest a served model must have, and how an upstream is
//! checked. Must never serve another file than the assessed one.

use std::sync::Arc;
use std::time::Duration;

use proofmark_dataset::bind::{self, ModelInput};
use proofmark_schema::guard::{Responder, ServedModel};
use proofmark_schema::system::{Feature, FeatureKind, System};

use super::{GuardError, Parts, ServedFile};
use crate::answer::Decider;
use crate::breaker::BreakerPolicy;
use crate::intake::Intake;
use crate::known::Check;
use crate::local::{LocalModel, LocalScorer, model_inputs};
use crate::oip::OipModel;
use crate::policy::{Mode, Source, Upstream};
use crate::router::Lane;
use crate::upstream::{Pool, UpstreamModel, UpstreamScorer, resolve};

/// Makes what the gate is put together from.
pub(super) struct Maker<'a> {
    parts: &'a Parts,
    classes: &'a [String],
}

impl<'a> Maker<'a> {
    pub(super) fn new(parts: &'a Parts, classes: &'a [String]) -> Self {
        Self { parts, classes }
    }

    /// The lane of a source, with the check of its upstream.
    pub(super) fn lane(
        &self,
        source: &Source,
        who: Responder,
    ) -> Result<(Lane, Vec<Check>), GuardError> {
        let file = self.file(source)?;
        let decider = Decider::new(&file.asset, self.classes);
        let decider = decider.ok_or_else(|| GuardError::Decision(source.model.clone()))?;
        let policy = self.parts.policy.breaker;
        let breaker = BreakerPolicy {
            failures: policy.failures,
            open: Duration::from_millis(policy.open_ms),
            probes: policy.probes,
        };
        let local = Arc::new(self.local(file)?);
        let Some(upstream) = &source.upstream else {
            return Ok((Lane::new(local, decider, breaker), Vec::new()));
        };
        let scorer = Arc::new(self.upstream(file, upstream)?);
        let policy = &self.parts.policy;
        let check = Check {
            who,
            declared: local,
            batches: self.parts.known.clone(),
            tolerance: policy.known_answers.tolerance,
            every: Duration::from_millis(policy.known_answers.every_ms),
            deadline: Duration::from_millis(policy.limits.deadline_ms),
        };
        Ok((Lane::new(scorer, decider, breaker), vec![check]))
    }

    fn local(&self, file: &ServedFile) -> Result<LocalScorer, GuardError> {
        let classes = self.parts.system.test_data().map(|d| d.classes.clone());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(LocalScorer::open(&LocalModel {
            model: &file.model,
            expected: file.assessed.as_deref(),
            asset: &file.asset,
            features: &self.parts.system.features,
            classes: &classes.unwrap_or_default(),
            threads,
            queue: LOCAL_QUEUE,
        })?)
    }

    fn upstream(
        &self,
        file: &ServedFile,
        upstream: &Upstream,
    ) -> Result<UpstreamScorer, GuardError> {
        let inputs = model_inputs(file.model.graph());
        let features = &self.parts.system.features;
        let system = &self.parts.system;
        let read = features.iter().map(|f| reads(system, file, &inputs, f)).collect();
        Ok(UpstreamScorer::new(UpstreamModel {
            upstream,
            address: resolve(&upstream.authority).map_err(GuardError::Upstream)?,
            asset: &file.asset,
            sha256: file.model.digest(),
            inputs,
            features,
            read,
            classes: self.classes,
        }))
    }

    /// The form of requests: every feature that a served model reads.
    pub(super) fn intake(&self) -> Intake {
        let parts = self.parts;
        let files = self.sources().map(|(file, _)| file);
        let mut intake = super::intake(&parts.system, &parts.policy, files);
        if let Some(schema) = &parts.schema {
            intake.narrow(schema);
        }
        intake
    }

    /// The protocol's view of the primary.
    pub(super) fn oip(&self, intake: &Intake) -> Result<OipModel, GuardError> {
        let file = self.file(&self.parts.policy.primary)?;
        let inputs = model_inputs(file.model.graph());
        let system = &self.parts.system;
        let model =
            OipModel::new(&file.asset, &system.version, &system.features, &inputs, self.classes);
        let model = model.map_err(|reason| GuardError::Binding {
            model: file.asset.name.clone(),
            reason: Box::new(reason),
        })?;
        let lost = |(place, field): (usize, &crate::intake::Field)| {
            (field.read && !model.carries(place)).then(|| field.name.clone())
        };
        match intake.fields().iter().enumerate().find_map(lost) {
            Some(name) => Err(GuardError::NotCarried(name)),
            None => Ok(model),
        }
    }

    /// The upstream of a pass-through.
    pub(super) fn through(&self) -> Result<Option<Pool>, GuardError> {
        let policy = &self.parts.policy;
        let (Mode::PassThrough, Some(upstream)) = (policy.mode, &policy.primary.upstream) else {
            return Ok(None);
        };
        let address = resolve(&upstream.authority).map_err(GuardError::Upstream)?;
        Ok(Some(Pool::new(address, &upstream.authority)))
    }

    /// What is served, for the record.
    pub(super) fn served(&self) -> Vec<ServedModel> {
        let roles = [Responder::Primary, Responder::Backup];
        let each = self.sources().zip(roles);
        each.map(|((file, _), role)| ServedModel {
            name: file.asset.name.clone(),
            role,
            sha256: Some(file.model.digest()),
        })
        .collect()
    }

    fn sources(&self) -> impl Iterator<Item = (&'a ServedFile, Vec<ModelInput>)> {
        let parts = self.parts;
        let files = parts
            .policy
            .sources()
            .filter_map(|source| parts.models.iter().find(|m| m.asset.name == source.model));
        files.map(|file| (file, model_inputs(file.model.graph())))
    }

    fn file(&self, source: &Source) -> Result<&'a ServedFile, GuardError> {
        let found = self.parts.models.iter().find(|m| m.asset.name == source.model);
        found.ok_or_else(|| GuardError::NoModel(source.model.clone()))
    }
}

/// Whether a model reads a feature.
pub(super) fn reads(
    system: &System,
    file: &ServedFile,
    inputs: &[ModelInput],
    feature: &Feature,
) -> bool {
    if feature.kind == FeatureKind::Image {
        return true;
    }
    let plan = bind::plan(&system.features, &file.asset, inputs);
    plan.is_ok_and(|plan| {
        plan.inputs.iter().any(|(_, columns)| columns.iter().any(|c| c.name == feature.name))
    })
}

/// Questions that may wait for the model in this process: at a millisecond each, a deadline.
const LOCAL_QUEUE: usize = 256;
