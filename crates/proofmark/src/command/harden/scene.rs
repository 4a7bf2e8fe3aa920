//! Who takes part: models, data, threat, and what is built from them before anything is attacked.
//!
//! Owns the choice from the declaration and the refusals. A measure named on the command line must
//! be possible; one taken by default is listed with the reason why it is not.

use std::path::Path;

use proofmark_engine::model::Model;
use proofmark_lab::criterion::Criterion;
use proofmark_lab::target;
use proofmark_schema::input_schema::InputSchema;
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::plan::Plan;
use proofmark_schema::system::{DataAsset, DataRole, ModelAsset, ModelRole, System, Threat};

use super::{Args, MeasureName, limits, trees, votes};
use crate::command::assess;
use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::{self, LoadedData, LoadedModel};
use crate::project::Project;
use crate::runner::Settings;
use crate::subject::{self, Subject};
use crate::{assets, hints};

/// The declaration with the flags that change it.
pub fn project(args: &Args) -> Outcome<Project> {
    let mut project = Project::load(&args.dir)?;
    project.decides("harden")?;
    if let Some(seed) = args.seed {
        project.system.seed = seed;
    }
    if let Some(limit) = args.limit {
        for data in project.system.data.iter_mut().filter(|d| d.role != DataRole::Train) {
            data.limit = Some(data.limit.map_or(limit, |declared| declared.min(limit)));
        }
    }
    Ok(project)
}

/// A measure as it takes part.
pub struct Taken {
    /// Which.
    pub name: MeasureName,
    /// What was built and what it does, for people.
    pub what: String,
    /// Why its effect is not measured.
    pub not_measured: Option<String>,
}

/// A file that a measure consists of.
pub struct Built {
    /// Measure.
    pub measure: MeasureName,
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: &'static str,
    /// Content.
    pub bytes: Vec<u8>,
    /// Rows or witnesses.
    pub personal: bool,
}

/// A model that stands in: the declared backup, or a smaller one made from it.
pub struct StandIn {
    /// Bound to the measured data.
    pub subject: Subject,
    /// As declared, or as it would be.
    pub asset: ModelAsset,
}

/// Everything that does not depend on an attack.
pub struct Scene<'a> {
    pub project: &'a Project,
    pub settings: Settings,
    pub plan: Plan,
    pub threat: Threat,
    pub data: DataAsset,
    pub train: Option<LoadedData>,
    pub limit: Option<usize>,
    pub decimals: u32,
    pub primary: Subject,
    pub primary_asset: ModelAsset,
    pub retrained: Option<StandIn>,
    pub backup: Option<StandIn>,
    pub small: Option<StandIn>,
    pub schema: Option<(InputSchema, limits::Admission)>,
    pub criterion: Criterion,
    pub taken: Vec<Taken>,
    pub built: Vec<Built>,
    pub notes: Vec<String>,
}

impl<'a> Scene<'a> {
    /// Chooses, loads and builds.
    pub fn open(args: &Args, project: &'a Project, settings: Settings) -> Outcome<Self> {
        let system = &project.system;
        let asset = of_role(system, ModelRole::Primary).cloned().ok_or_else(no_primary)?;
        let threat = threat(system, &asset.name, args.threat.as_deref())?.clone();
        let data = data(system, args.data.as_deref())?.clone();
        let plan = assess::plan(project)?;
        let rows = data.name.clone();
        let load = |asset: &ModelAsset| -> Outcome<Subject> {
            let model = loader::held_model(project, asset)?;
            subject::load_model(project, &model, &rows, settings)
        };
        let primary = load(&asset)?;
        let criterion = target::criterion(threat.goal.as_ref(), &data.classes)
            .or_fail("goal", "name two classes of the data")?;
        let train = system.data.iter().find(|d| d.role == DataRole::Train);
        let mut scene = Self {
            project,
            settings,
            plan,
            train: train.map(|asset| loader::data(project, asset)).transpose()?,
            limit: args.limit,
            decimals: args.decimals,
            primary,
            primary_asset: asset,
            retrained: None,
            backup: None,
            small: None,
            schema: None,
            criterion,
            taken: Vec::new(),
            built: Vec::new(),
            notes: Vec::new(),
            threat,
            data,
        };
        if let Some(backup) = of_role(system, ModelRole::Backup) {
            scene.backup = Some(StandIn { subject: load(backup)?, asset: backup.clone() });
        }
        if let Some(wanted) = &args.retrained {
            scene.retrained = Some(scene.retrained(wanted)?);
        }
        scene.take(args)?;
        Ok(scene)
    }

    /// Class that the attacker wants.
    pub fn wanted(&self) -> Option<usize> {
        self.criterion.target()
    }

    /// The budget that the table shows: of the first criterion about this attack, else the largest.
    pub fn table_eps(&self) -> f64 {
        let about = |c: &&proofmark_schema::system::Criterion| {
            c.model == self.primary_asset.name && c.threat.as_ref() == Some(&self.threat.name)
        };
        let declared = self.project.system.criteria.iter().find(about).and_then(|c| c.eps);
        declared.or(self.threat.eps.last().copied()).unwrap_or_default()
    }

    /// The measures whose effect is measured.
    pub fn measured(&self) -> Vec<MeasureName> {
        self.taken.iter().filter(|t| t.not_measured.is_none()).map(|t| t.name).collect()
    }

    /// Digests of every file that took part.
    pub fn digests(&self) -> Vec<AssetDigest> {
        let mut all = self.primary.facts(0).assets;
        all.push(self.project.digest());
        for other in [&self.retrained, &self.backup, &self.small].into_iter().flatten() {
            all.extend(other.subject.facts(0).assets);
        }
        all.extend(self.train.iter().flat_map(|t| t.digests.clone()));
        all.sort();
        all.dedup();
        all
    }

    /// A model made here, bound to the measured data.
    pub fn made(&self, asset: &ModelAsset, bytes: &[u8]) -> Outcome<Subject> {
        let model = LoadedModel { asset: asset.clone(), model: reload(bytes)? };
        subject::load_model(self.project, &model, &self.data.name, self.settings)
    }

    fn retrained(&self, wanted: &str) -> Outcome<StandIn> {
        let (name, file) = match wanted.split_once('=') {
            Some((name, file)) => (name, Some(file)),
            None => (wanted, None),
        };
        let declared = self.project.system.model_named(name).ok_or_else(|| {
            let known: Vec<&str> =
                self.project.system.models.iter().map(|m| m.name.as_str()).collect();
            Failure::new(
                "retrained",
                format!("no model `{name}` is declared; there are {}", known.join(", ")),
                format!("declare it as a candidate: [models.{name}] with role = \"candidate\""),
            )
        })?;
        if declared.name == self.primary_asset.name && file.is_none() {
            return Err(Failure::new(
                "retrained",
                format!("`{name}` is the primary model itself"),
                "name the model that was trained with the adversarial rows",
            ));
        }
        let mut asset = declared.clone();
        let model = match file {
            Some(file) => {
                asset.expected = None;
                let model = assets::open_model_with(Path::new(file), &hints::declared(declared))?;
                LoadedModel { asset: asset.clone(), model }
            }
            None => loader::model(self.project, &asset)?,
        };
        let subject = subject::load_model(self.project, &model, &self.data.name, self.settings)?;
        Ok(StandIn { subject, asset })
    }

    /// Builds what each measure needs; what cannot be built is refused or listed.
    fn take(&mut self, args: &Args) -> Outcome<()> {
        let asked = !args.measures.is_empty();
        for name in MeasureName::ALL {
            if asked && !args.measures.contains(&name) {
                continue;
            }
            let made = match name {
                MeasureName::AdversarialRows => self.take_rows(),
                MeasureName::InputSchema => limits::take(self),
                MeasureName::Vote => votes::take(self),
                MeasureName::Rounding => Ok(self.take_rounding()),
                MeasureName::BackupTree => trees::take(self),
            };
            match made {
                Ok((what, not_measured)) => {
                    self.taken.push(Taken { name, what, not_measured });
                }
                Err(failure) if asked => return Err(failure),
                Err(failure) => {
                    let reason = format!("not built: {}; {}", failure.message, failure.help);
                    let what = String::new();
                    self.taken.push(Taken { name, what, not_measured: Some(reason) });
                }
            }
        }
        Ok(())
    }

    fn take_rows(&self) -> Outcome<(String, Option<String>)> {
        let train = self.train.as_ref().ok_or_else(no_train)?;
        let what = format!(
            "rows of data.{} moved by the attacker of threats.{}, labels kept, for the training \
             script",
            train.asset.name, self.threat.name
        );
        Ok(match &self.retrained {
            Some(retrained) => {
                (format!("{what}; measured on models.{}", retrained.asset.name), None)
            }
            None => {
                let todo = "not measured: retrain with this file and name the model \
                            (--retrained NAME)";
                (what, Some(todo.to_owned()))
            }
        })
    }

    fn take_rounding(&self) -> (String, Option<String>) {
        let what = format!(
            "released scores rounded to {} decimals; the decision is made before",
            self.decimals
        );
        (what, None)
    }
}

/// Bytes that were just written, read back as any model is.
pub fn reload(bytes: &[u8]) -> Outcome<Model> {
    let none = |location: &str| Err(format!("`{location}` is not part of a composed file"));
    Model::from_onnx(bytes, &none).or_fail("bug", "please report this")
}

/// The failure of everything that is made from training data.
pub fn no_train() -> Failure {
    Failure::new(
        "no-training-data",
        "no training data is declared",
        "declare it: [data.train] with role = \"train\"",
    )
}

/// The failure of everything that needs a second model.
pub fn no_backup() -> Failure {
    Failure::new(
        "no-backup",
        "no backup model is declared",
        "declare one: [models.NAME] with role = \"backup\"",
    )
}

fn no_primary() -> Failure {
    Failure::new(
        "no-primary",
        "no primary model is declared",
        "give the model that decides role = \"primary\"",
    )
}

fn of_role(system: &System, role: ModelRole) -> Option<&ModelAsset> {
    system.models.iter().find(|m| m.role == role)
}

fn threat<'s>(system: &'s System, primary: &str, named: Option<&str>) -> Outcome<&'s Threat> {
    let aimed = |t: &&Threat| t.models.is_empty() || t.models.iter().any(|m| m == primary);
    let found = match named {
        Some(name) => system.threat_named(name).filter(aimed),
        None => system.threats.iter().find(aimed),
    };
    found.ok_or_else(|| {
        let message = match named {
            Some(name) => format!("no threat `{name}` is aimed at the primary model `{primary}`"),
            None => format!("no threat is aimed at the primary model `{primary}`"),
        };
        let help = "declare the attacker, [threats.NAME]: what a measure does is measured against \
                    an attack";
        Failure::new("no-threat", message, help)
    })
}

fn data<'s>(system: &'s System, named: Option<&str>) -> Outcome<&'s DataAsset> {
    let found = match named {
        Some(name) => system.data_named(name),
        None => system.test_data(),
    };
    let help = "declare a data set with role = \"test\", or name one with --data";
    match found {
        Some(data) if data.role == DataRole::Train => Err(Failure::new(
            "data",
            format!("data.{} is training data: nothing is measured on it", data.name),
            help,
        )),
        Some(data) => Ok(data),
        None => Err(Failure::new("data", "there is no data set to measure on", help)),
    }
}
