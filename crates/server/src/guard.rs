//! The guard as a whole: put together from checked parts, served until it is told to end.
//!
//! Owns the order of the start (record, state, models, listeners, first event) and of the end. Must
//! never serve a model whose digest is not the assessed one, or begin without a record. Called by
//! the command line, which hands in clock, files and keys.

mod maker;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use proofmark_dataset::bind::BindError;
use proofmark_engine::model::Model;
use proofmark_evidence::durable::{self, DurableError, OsFs};
use proofmark_evidence::keys::{KeyError, LogKey, StatementPublicKey, random_bytes};
use proofmark_evidence::rowkey::{RowKey, RowKeyError};
use proofmark_schema::guard::{
    ControlAction, ControlEvent, EndEvent, GuardEvent, GuardState, Responder, StartEvent,
};
use proofmark_schema::input_schema::InputSchema;
use proofmark_schema::system::{Feature, ModelAsset, System};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::admin::Admin;
use crate::answer::Releaser;
use crate::gate::{Gate, Unrecorded};
use crate::intake::Intake;
use crate::keys::{KeyFile, Keyring, KeysError};
use crate::known::{Check, Trust};
use crate::limit::Rate;
use crate::listener::{self, Connections};
use crate::local::{LocalError, model_inputs};
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::recorder::{Clock, RecordError, Recorder, RecorderOptions};
use crate::router::Router;
use crate::scorer::Rows;
use crate::state::{StateError, StateMachine, StateOptions};
use crate::tls::{self, TlsError};

use maker::Maker;

/// What a guard is made of.
pub struct Parts {
    /// The policy.
    pub policy: Policy,
    /// SHA-256 of the policy file.
    pub policy_sha256: String,
    /// Folder that the files of the policy are relative to.
    pub base: PathBuf,
    /// Folder of the guard's state.
    pub dir: PathBuf,
    /// Origin of the guard's log.
    pub origin: String,
    /// The declared system.
    pub system: System,
    /// The models that the policy names.
    pub models: Vec<ServedFile>,
    /// Narrower ranges, when the policy names an input schema.
    pub schema: Option<InputSchema>,
    /// Rows for the known answers, in batches.
    pub known: Vec<Rows>,
    /// Key of the guard's log.
    pub log_key: LogKey,
    /// Who may restart.
    pub authority: Option<StatementPublicKey>,
    /// The clock.
    pub clock: Clock,
    /// Program and version.
    pub program: String,
    /// Ids of the policy's weak points, for the record.
    pub weak_points: Vec<String>,
}

/// A model file that is served.
#[derive(Debug)]
pub struct ServedFile {
    /// Its declaration.
    pub asset: ModelAsset,
    /// The file.
    pub model: Model,
    /// Digest that it must have; `None` for an unassessed one of a demo.
    pub assessed: Option<String>,
}

/// A guard, ready to serve.
pub struct Guard {
    runtime: Runtime,
    gate: Arc<Gate>,
    admin: Admin,
    data: TcpListener,
    admin_socket: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    checks: Vec<Check>,
    keys_path: PathBuf,
    end: (watch::Sender<bool>, watch::Receiver<bool>),
}

/// Ends a guard in order.
#[derive(Clone, Debug)]
pub struct Ender(watch::Sender<bool>);

impl Ender {
    /// Ends it.
    pub fn end(&self) {
        let _ = self.0.send(true);
    }
}

impl Trust for Gate {
    fn router(&self) -> &Router {
        &self.router
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// Record and state of a guard, served or not: what stop and restart work on.
///
/// # Errors
/// [`GuardError`] when another process holds the record, or it is damaged.
pub fn open_state(
    dir: &Path,
    origin: &str,
    key: LogKey,
    authority: Option<StatementPublicKey>,
    backup: bool,
    clock: &Clock,
) -> Result<(Recorder, StateMachine), GuardError> {
    let options =
        RecorderOptions { dir: dir.to_owned(), origin: origin.to_owned(), key, queue: QUEUE };
    let recorder = Recorder::open(options, clock.clone())?;
    let options = StateOptions {
        dir: dir.to_owned(),
        origin: origin.to_owned(),
        authority,
        backup,
        fs: Arc::new(OsFs),
    };
    let state = StateMachine::open(options, recorder.clone(), clock.clone())?;
    Ok((recorder, state))
}

impl Guard {
    /// Puts a guard together and binds its addresses.
    ///
    /// # Errors
    /// [`GuardError`] with what does not fit; nothing is served then.
    pub fn open(parts: Parts) -> Result<Self, GuardError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("guard")
            .build()
            .map_err(|e| GuardError::Runtime(e.to_string()))?;
        durable::create_dir_all(&OsFs, &parts.dir)?;
        let tls = match &parts.policy.listen.tls {
            Some(files) => Some(tls::acceptor(
                &parts.base.join(&files.certificate),
                &parts.base.join(&files.key),
            )?),
            None => None,
        };
        let bind = |address: SocketAddr| {
            let bound = runtime.block_on(TcpListener::bind(address));
            bound.map_err(|e| GuardError::Bind(address, e.to_string()))
        };
        let (data, admin_socket) =
            (bind(parts.policy.listen.address)?, bind(parts.policy.listen.admin)?);
        let keys_path = parts.dir.join(KEYS_NAME);
        let token = admin_token(&parts.dir)?;
        let (gate, checks) = assemble(parts)?;
        let gate = Arc::new(gate);
        let admin = Admin::new(gate.clone(), token);
        let end = watch::channel(false);
        Ok(Self { runtime, gate, admin, data, admin_socket, tls, checks, keys_path, end })
    }

    /// The addresses it listens on: data, admin.
    ///
    /// # Errors
    /// [`GuardError::Runtime`] when the system does not tell.
    pub fn addresses(&self) -> Result<(SocketAddr, SocketAddr), GuardError> {
        let told = |socket: &TcpListener| {
            socket.local_addr().map_err(|e| GuardError::Runtime(e.to_string()))
        };
        Ok((told(&self.data)?, told(&self.admin_socket)?))
    }

    /// What ends it in order, from any thread.
    pub fn ender(&self) -> Ender {
        Ender(self.end.0.clone())
    }

    /// The record, shared: whoever closes it makes the guard hold back every answer.
    pub fn recorder(&self) -> Recorder {
        self.gate.recorder.clone()
    }

    /// State that it begins in.
    pub fn state(&self) -> GuardState {
        self.gate.state.state()
    }

    /// Serves until it is ended; answers under way are finished and recorded.
    ///
    /// # Errors
    /// [`GuardError::Record`] when the last event could not be recorded.
    pub fn run(self) -> Result<(), GuardError> {
        let Self { runtime, gate, admin, data, admin_socket, tls, checks, keys_path, end } = self;
        let (sender, end) = end;
        runtime.block_on(async {
            for check in checks {
                // Before the first request: a wrong upstream never answers one.
                check.once(gate.as_ref(), 0).await;
                tokio::spawn(check.run(gate.clone(), end.clone()));
            }
            tokio::spawn(watch_keys(gate.clone(), keys_path, end.clone()));
            tokio::spawn(settle(gate.clone(), end.clone()));
            let limits = &gate.policy.limits;
            let header = Duration::from_millis(limits.header_ms);
            let few = Connections { header, most: ADMIN_CONNECTIONS };
            let idle = Arc::new(Metrics::new());
            let side = listener::serve(admin_socket, None, few, idle, end.clone(), move |r| {
                admin.clone().serve(r)
            });
            let side = tokio::spawn(side);
            let many = Connections { header, most: limits.connections };
            let serving = gate.clone();
            let handle = move |request| {
                let gate = serving.clone();
                async move { gate.serve(request).await }
            };
            listener::serve(data, tls, many, gate.metrics.clone(), end, handle).await;
            let _ = side.await;
            gate.settle().await;
        });
        drop(sender);
        let state = gate.state.state();
        gate.state.close();
        let time = (gate.clock)();
        let event = GuardEvent::End(EndEvent { time, state, reason: "ended in order".into() });
        let recorded = gate.recorder.record_blocking(&event);
        gate.recorder.close();
        recorded?;
        Ok(())
    }
}

/// Everything that a request meets, and the checks beside it.
fn assemble(parts: Parts) -> Result<(Gate, Vec<Check>), GuardError> {
    let backed = parts.policy.backup.is_some();
    let classes = parts.system.test_data().ok_or(GuardError::NoClasses)?;
    let classes: Vec<String> = classes.classes.iter().map(|(name, _)| name.clone()).collect();
    let maker = Maker::new(&parts, &classes);
    let (primary, mut checks) = maker.lane(&parts.policy.primary, Responder::Primary)?;
    let mut backup = None;
    if let Some(source) = &parts.policy.backup {
        let (lane, check) = maker.lane(source, Responder::Backup)?;
        backup = Some(lane);
        checks.extend(check);
    }
    let intake = maker.intake();
    let oip = if parts.policy.protocol.oip { Some(maker.oip(&intake)?) } else { None };
    let through = maker.through()?;
    let models = maker.served();
    let (recorder, state) = open_state(
        &parts.dir,
        &parts.origin,
        parts.log_key,
        parts.authority,
        backed,
        &parts.clock,
    )?;
    recorder.record_blocking(&GuardEvent::Start(StartEvent {
        time: (parts.clock)(),
        policy: parts.policy_sha256,
        program: parts.program.clone(),
        models,
        resumed_state: state.resumed(),
        weak_points: parts.weak_points,
    }))?;
    let (policy, metrics, state) = (parts.policy, Arc::new(Metrics::new()), Arc::new(state));
    let keys = KeyFile::load(&parts.dir.join(KEYS_NAME))?;
    let gate = Gate {
        rate: Rate::new(policy.limits.requests_per_second, policy.limits.burst),
        releaser: Releaser {
            classes: classes.into(),
            release: policy.release,
            safe: policy.safe.clone(),
        },
        router: Router {
            primary,
            backup,
            vote: policy.release.vote,
            deadline: Duration::from_millis(policy.limits.deadline_ms),
            state: state.clone(),
            metrics: metrics.clone(),
        },
        state,
        intake,
        oip,
        keyring: ArcSwap::from_pointee(Keyring::new(&keys, None)),
        recorder,
        secret: RowKey::load_or_create(&OsFs, &parts.dir.join(ROWS_NAME))?,
        clock: parts.clock,
        metrics,
        program: parts.program,
        started: Instant::now(),
        through,
        uncounted: Unrecorded::default(),
        policy,
    };
    Ok((gate, checks))
}

/// The form of requests for these models: every feature that one of them reads may come in.
pub fn intake<'a>(
    system: &System,
    policy: &Policy,
    files: impl Iterator<Item = &'a ServedFile>,
) -> Intake {
    let files: Vec<_> = files.map(|f| (f, model_inputs(f.model.graph()))).collect();
    let read = |feature: &Feature| {
        files.iter().any(|(file, inputs)| maker::reads(system, file, inputs, feature))
    };
    Intake::new(system, &policy.limits, &read)
}

/// Reads the key file again when it changed; a key that is gone or revoked opens nothing from
/// then on, which is recorded.
async fn watch_keys(gate: Arc<Gate>, path: PathBuf, mut end: watch::Receiver<bool>) {
    let mut seen = None;
    loop {
        tokio::select! {
            _ = end.wait_for(|end| *end) => return,
            () = tokio::time::sleep(KEYS_EVERY) => {}
        }
        let from = path.clone();
        let read = move || std::fs::read(&from).ok().map(|bytes| (bytes, KeyFile::load(&from)));
        let Ok(read) = tokio::task::spawn_blocking(read).await else { continue };
        let file = match read {
            Some((bytes, _)) if seen.as_ref() == Some(&bytes) => continue,
            // A file that does not read changes nothing: half a key file must lock nobody in.
            Some((_, Err(_))) => continue,
            Some((bytes, Ok(file))) => {
                seen = Some(bytes);
                file
            }
            None if seen.is_none() => continue,
            None => {
                seen = None;
                KeyFile::empty()
            }
        };
        let before = gate.keyring.load_full();
        let ring = Keyring::new(&file, Some(&before));
        let gone = ring.newly_revoked(&before);
        gate.keyring.store(Arc::new(ring));
        for id in gone {
            let event = GuardEvent::Control(ControlEvent {
                time: (gate.clock)(),
                action: ControlAction::BlockKey,
                by: "guard".into(),
                reason: format!("key {id} was revoked"),
                id: Some(id),
            });
            // The key is blocked whether or not this can be recorded.
            let _ = gate.recorder.record(&event).await;
        }
    }
}

/// Puts the counted refusals on record from time to time.
async fn settle(gate: Arc<Gate>, mut end: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = end.wait_for(|end| *end) => return,
            () = tokio::time::sleep(SETTLE_EVERY) => {}
        }
        gate.settle().await;
    }
}

/// The token of the admin listener, made at the first start.
///
/// # Errors
/// [`GuardError`] when it cannot be read or written.
pub fn admin_token(dir: &Path) -> Result<String, GuardError> {
    let path = dir.join(TOKEN_NAME);
    match durable::read_bounded(&path, TOKEN_BYTES_MAX) {
        Ok(bytes) => {
            let token = String::from_utf8_lossy(&bytes).trim().to_owned();
            if token.len() < TOKEN_DIGITS {
                return Err(GuardError::Token(path));
            }
            Ok(token)
        }
        Err(error) if error.is_not_found() => {
            let token = hex::encode(random_bytes::<32>()?.as_slice());
            durable::write_private(&OsFs, &path, token.as_bytes())?;
            Ok(token)
        }
        Err(error) => Err(error.into()),
    }
}

/// Why a guard does not begin.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// An address is taken or not ours.
    #[error("cannot listen on {0}: {1}; is another guard running there?")]
    Bind(SocketAddr, String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A model.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Features and inputs.
    #[error("models.{model} does not fit the declared features: {reason}")]
    Binding {
        /// Model.
        model: String,
        /// Why.
        reason: Box<BindError>,
    },
    /// A model that is not there.
    #[error("models.{0} was not handed in; please report this as a bug")]
    NoModel(String),
    /// The decision names a class that the data do not have.
    #[error("the decision of models.{0} names a class that the data do not have")]
    Decision(String),
    /// No data set says the classes.
    #[error("no data set with the role `test` is declared, so the classes are not known")]
    NoClasses,
    /// Tensors of the primary do not carry what the backup reads.
    #[error(
        "the backup reads `{0}`, which is no input of the primary, so requests of the Open \
         Inference Protocol cannot be handed over; set `oip = false`"
    )]
    NotCarried(String),
    /// An upstream that does not resolve.
    #[error("the upstream {0}")]
    Upstream(String),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The secret of the digests.
    #[error(transparent)]
    Secret(#[from] RowKeyError),
    /// Randomness.
    #[error(transparent)]
    Random(#[from] KeyError),
    /// Files.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The token is cut.
    #[error("`{}` holds no whole token; remove it and start again", .0.display())]
    Token(PathBuf),
    /// No runtime.
    #[error("the runtime: {0}")]
    Runtime(String),
}

/// Name of the key file.
pub const KEYS_NAME: &str = "keys.json";
/// Name of the admin token.
pub const TOKEN_NAME: &str = "admin.token";
/// Name of the secret under which rows are digested.
pub const ROWS_NAME: &str = "rows.key";
/// Name of the key of the guard's log.
pub const LOG_KEY_NAME: &str = "log.key";
/// Records that may wait; at a hundred microseconds each, a fifth of a second.
const QUEUE: usize = 2_048;
/// How often the key file is looked at: a revoked key works this much longer at most.
const KEYS_EVERY: Duration = Duration::from_millis(500);
/// How often counted refusals are put on record.
const SETTLE_EVERY: Duration = Duration::from_secs(10);
/// Connections of the admin listener.
const ADMIN_CONNECTIONS: usize = 16;
/// Digits of a token.
const TOKEN_DIGITS: usize = 64;
const TOKEN_BYTES_MAX: u64 = 1_024;
