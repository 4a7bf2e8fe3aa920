//! One request from its header to its answer: allow-list, key, limits, validation, decision,
//! record, release, in that order.
//!
//! Owns that order. Must never send a byte upstream for an unknown path, read a body before the
//! key, release an answer before its record is durable, or release one while stopped. Called by
//! the listener, once per request.

mod door;
mod refusal;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use proofmark_dataset::digest::{columns_content, pixels_content};
use proofmark_dataset::table::Cells;
use proofmark_evidence::digest::Digest;
use proofmark_evidence::rowkey::RowKey;
use proofmark_schema::guard::{GuardEvent, GuardVerdict, RequestEvent, Responder, ShedEvent};
use serde_json::{Map, Value, json};

use crate::answer::{Releaser, Ruling};
use crate::intake::{Intake, IntakeError};
use crate::keys::{Holder, Keyring, Scope};
use crate::limit::Rate;
use crate::metrics::Metrics;
use crate::oip::{Asked, OipModel};
use crate::policy::Policy;
use crate::recorder::{Clock, RecordError, Recorder};
use crate::router::Router;
use crate::scorer::{RowData, Rows};
use crate::state::StateMachine;
use crate::upstream::{Exchange, Pool};

use door::{Entry, Route};
use refusal::Refusal;

/// What every response is.
pub type Reply = Response<Full<Bytes>>;

/// Everything that a request meets.
pub struct Gate {
    /// The policy.
    pub policy: Policy,
    /// The form of requests.
    pub intake: Intake,
    /// The protocol's view of the primary, when it is spoken.
    pub oip: Option<OipModel>,
    /// Keys; swapped when the key file changes.
    pub keyring: ArcSwap<Keyring>,
    /// Rate per key.
    pub rate: Rate,
    /// Who answers.
    pub router: Router,
    /// What leaves.
    pub releaser: Releaser,
    /// The record.
    pub recorder: Recorder,
    /// The state.
    pub state: Arc<StateMachine>,
    /// Secret under which rows are digested and answer ids are made.
    pub secret: RowKey,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Program and version.
    pub program: String,
    /// When the guard started.
    pub started: Instant,
    /// The upstream of a pass-through.
    pub through: Option<Pool>,
    /// Refusals that are counted, not recorded one by one.
    pub uncounted: Unrecorded,
}

/// Refusals before a key is known, and above a key's rate: counted, and put on record as one
/// number, since recording each would let anyone fill the disk.
#[derive(Debug, Default)]
pub struct Unrecorded {
    count: AtomicU64,
    since: std::sync::Mutex<Option<String>>,
}

/// A request that passed the door.
struct Case {
    began: Instant,
    entry: Entry,
    holder: Arc<Holder>,
}

/// A request that was read.
struct Heard {
    rows: Rows,
    wish: Wish,
}

/// How the answer is wanted.
enum Wish {
    Json { many: bool, id: Option<String> },
    Oip(Box<Asked>),
}

impl Gate {
    /// Answers one request.
    pub async fn serve(&self, request: Request<Incoming>) -> Reply {
        let began = Instant::now();
        let entry = match self.enter(&request) {
            Ok(entry) => entry,
            Err(refusal) => return self.turn_away(&refusal),
        };
        if let Some(pool) = &self.through {
            return self.pass_through(pool, request, &entry, began).await;
        }
        let scope = if entry.route.scores() { Scope::Score } else { Scope::Metadata };
        let holder = match self.holder(request.headers(), scope) {
            Ok(holder) => holder,
            Err(refusal) => return self.turn_away(&refusal),
        };
        if !entry.route.scores() {
            return self.describe(entry.route);
        }
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Err(wait) = self.rate.take(&holder.used, 1, now) {
            return self.turn_away(&Refusal::rate(wait));
        }
        let case = Case { began, entry, holder };
        let heard = match self.hear(&case, request.into_body()).await {
            Ok(heard) => heard,
            Err(refusal) => return self.refuse(&case, None, &refusal).await,
        };
        self.answer(&case, heard).await
    }

    /// Reads and validates the body.
    async fn hear(&self, case: &Case, body: Incoming) -> Result<Heard, Refusal> {
        if !self.state.releases() {
            return Err(Refusal::stopped(&self.policy.safe.message));
        }
        let limits = &self.policy.limits;
        let entry = &case.entry;
        let length = entry.length.ok_or_else(Refusal::no_length)?;
        if length > limits.body_bytes as u64 {
            return Err(Refusal::too_large(length, limits.body_bytes));
        }
        let limit = Duration::from_millis(limits.body_ms);
        let body = tokio::time::timeout(limit, read(body, limits.body_bytes))
            .await
            .unwrap_or_else(|_| Err(Refusal::slow()))?;
        let heard = match (entry.route, &self.oip) {
            (Route::Infer, Some(oip)) => {
                let asked = oip.read(&self.intake, &body, entry.json_length)?;
                Heard { rows: asked.rows.clone(), wish: Wish::Oip(Box::new(asked)) }
            }
            _ => {
                let body = self.intake.read(&body)?;
                Heard { rows: body.rows, wish: Wish::Json { many: body.many, id: body.id } }
            }
        };
        let more = heard.rows.len().saturating_sub(1) as u64;
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        match self.rate.take(&case.holder.used, more, now) {
            Ok(()) => Ok(heard),
            Err(wait) => Err(Refusal::rate(wait)),
        }
    }

    /// Decides, records, and only then releases.
    async fn answer(&self, case: &Case, heard: Heard) -> Reply {
        let input = self.digest_rows(&heard.rows);
        let ruling = match self.router.decide(heard.rows.clone(), Instant::now()).await {
            Ok(ruling) => ruling,
            Err(words) => {
                let refusal = Refusal::of_model(&words);
                return self.refuse(case, Some((&heard.rows, input)), &refusal).await;
            }
        };
        let id = self.answer_id(&input);
        let event = RequestEvent {
            by: ruling.by,
            verdict: verdict(&ruling),
            reason: ruling.reason.map(str::to_owned),
            output: Some(self.digest_output(&ruling).hex()),
            decisions: self.words(&ruling),
            ..self.event(case, &id, Some((&heard.rows, input)))
        };
        if let Err(error) = self.record(&GuardEvent::Request(Box::new(event))).await {
            return self.turn_away(&Refusal::unrecorded(&error));
        }
        // A stop may have come while the models were asked.
        if !self.state.releases() {
            return self.turn_away(&Refusal::stopped(&self.policy.safe.message));
        }
        self.metrics.answered(ruling.by, case.began.elapsed());
        self.release(&heard.wish, &ruling, &id)
    }

    fn release(&self, wish: &Wish, ruling: &Ruling, id: &str) -> Reply {
        let decider = self.router.lane(ruling.by).map(|lane| &lane.decider);
        let (body, header) = match (wish, &self.oip) {
            (Wish::Oip(asked), Some(oip)) => {
                let response = oip.respond(asked, ruling, decider, &self.releaser, id);
                (response.body, response.header)
            }
            (Wish::Json { many, id: request }, _) => {
                (self.releaser.json(ruling, decider, id, request.as_deref(), *many), None)
            }
            (Wish::Oip(_), None) => (Vec::new(), None),
        };
        let kind = if header.is_some() { "application/octet-stream" } else { JSON };
        let mut reply = respond(StatusCode::OK, kind, body);
        let headers = reply.headers_mut();
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(ANSWER_ID, id);
        }
        if let Some(mark) = mark(ruling.by) {
            headers.insert(DEGRADED, HeaderValue::from_static(mark));
        }
        if let Some(length) = header {
            headers.insert(JSON_LENGTH, HeaderValue::from(length));
        }
        reply
    }

    /// A refusal of someone who is known: recorded, then sent.
    async fn refuse(&self, case: &Case, rows: Option<(&Rows, Digest)>, refusal: &Refusal) -> Reply {
        if refusal.code == refusal::RATE {
            return self.turn_away(refusal);
        }
        let digest = rows.map_or_else(|| Digest::from_bytes([0; 32]), |(_, digest)| digest);
        let id = self.answer_id(&digest);
        let event =
            RequestEvent { reason: Some(refusal.code.to_owned()), ..self.event(case, &id, rows) };
        if let Err(error) = self.record(&GuardEvent::Request(Box::new(event))).await {
            return self.turn_away(&Refusal::unrecorded(&error));
        }
        self.metrics.refused(refusal.code);
        refusal.reply()
    }

    /// A refusal that is counted: no key, or too many requests.
    fn turn_away(&self, refusal: &Refusal) -> Reply {
        self.metrics.refused(refusal.code);
        // What the recorder refused it counts itself.
        if refusal.code != refusal::RECORD {
            self.uncounted.add(&self.clock);
        }
        refusal.reply()
    }

    fn event(&self, case: &Case, id: &str, rows: Option<(&Rows, Digest)>) -> RequestEvent {
        let count = rows.map_or(0, |(rows, _)| rows.len());
        RequestEvent {
            time: (self.clock)(),
            id: id.to_owned(),
            key: Some(case.holder.id.clone()),
            route: case.entry.route.name().to_owned(),
            model: Some(self.policy.primary.model.clone()),
            by: Responder::None,
            verdict: GuardVerdict::Refused,
            reason: None,
            rows: u32::try_from(count).unwrap_or(u32::MAX),
            input: rows.map(|(_, digest)| digest.hex()),
            output: None,
            decisions: Vec::new(),
            fields: rows.map(|(rows, _)| self.kept_fields(rows)).unwrap_or_default(),
            latency_us: u64::try_from(case.began.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }

    async fn record(&self, event: &GuardEvent) -> Result<(), RecordError> {
        match tokio::time::timeout(RECORD_WAIT, self.recorder.record(event)).await {
            Ok(result) => result.map(|_| ()),
            Err(_) => Err(RecordError::Failed("it does not come to an end".into())),
        }
    }

    /// Keyed digest of all rows.
    fn digest_rows(&self, rows: &Rows) -> Digest {
        let mut bytes = Vec::with_capacity(ROW_BYTES_TYPICAL);
        bytes.extend_from_slice(ROWS_TAG);
        bytes.extend_from_slice(&(rows.len() as u64).to_be_bytes());
        match rows.data() {
            RowData::Table { n, columns } => {
                (0..*n).for_each(|row| columns_content(&mut bytes, columns, row));
            }
            RowData::Images { pixels, .. } => pixels_content(&mut bytes, pixels),
        }
        self.secret.digest(&bytes)
    }

    /// Keyed digest of what was decided: every score before rounding, every decision.
    fn digest_output(&self, ruling: &Ruling) -> Digest {
        let mut bytes = OUTPUT_TAG.to_vec();
        let scores = ruling.scores.iter().flat_map(|s| &s.values);
        bytes.extend(scores.flat_map(|s| s.to_bits().to_be_bytes()));
        for decision in &ruling.decisions {
            bytes.extend_from_slice(self.releaser.word(*decision).as_bytes());
            bytes.push(0);
        }
        self.secret.digest(&bytes)
    }

    /// 128 bits that only this guard can make, never twice.
    fn answer_id(&self, input: &Digest) -> String {
        let mut bytes = ANSWER_TAG.to_vec();
        bytes.extend_from_slice(&self.recorder.ticket().to_be_bytes());
        bytes.extend_from_slice(input.as_bytes());
        let mut id = self.secret.digest(&bytes).hex();
        id.truncate(ANSWER_DIGITS);
        id
    }

    fn words(&self, ruling: &Ruling) -> Vec<String> {
        ruling.decisions.iter().map(|d| self.releaser.word(*d).to_owned()).collect()
    }

    /// The declared fields that the policy keeps in clear: one value per row.
    fn kept_fields(&self, rows: &Rows) -> Map<String, Value> {
        let RowData::Table { columns, .. } = rows.data() else { return Map::new() };
        let kept = columns.iter().filter(|c| self.policy.record_fields.contains(&c.name));
        let value = |cells: &Cells| match cells {
            Cells::Numbers(v) => json!(v),
            Cells::Texts(v) => json!(v),
        };
        kept.map(|c| (c.name.clone(), value(&c.cells))).collect()
    }

    /// Puts the counted refusals on record as one number; called from time to time.
    pub async fn settle(&self) {
        let Some((count, since)) = self.uncounted.take() else { return };
        let event = ShedEvent { time: (self.clock)(), count, since: since.clone() };
        if self.record(&GuardEvent::Shed(event)).await.is_err() {
            self.uncounted.put_back(count, since);
        }
    }

    /// Bytes in, bytes out, on an allowed path.
    async fn pass_through(
        &self,
        pool: &Pool,
        request: Request<Incoming>,
        entry: &Entry,
        began: Instant,
    ) -> Reply {
        let most = self.policy.limits.body_bytes;
        if entry.length.is_some_and(|length| length > most as u64) {
            return Refusal::too_large(entry.length.unwrap_or_default(), most).reply();
        }
        let path = request.uri().path().to_owned();
        let limit = Duration::from_millis(self.policy.limits.body_ms);
        let read = tokio::time::timeout(limit, read(request.into_body(), most)).await;
        let body = match read.unwrap_or_else(|_| Err(Refusal::slow())) {
            Ok(body) => body,
            Err(refusal) => return refusal.reply(),
        };
        let deadline = began + Duration::from_millis(self.policy.limits.deadline_ms);
        let exchange = Exchange { path: &path, body, most: THROUGH_BYTES_MAX };
        match pool.post(exchange, deadline).await {
            Ok(answer) => {
                self.metrics.answered(Responder::Primary, began.elapsed());
                let mut reply = Response::new(Full::new(answer.body));
                *reply.status_mut() = answer.status;
                for name in [CONTENT_TYPE, JSON_LENGTH] {
                    if let Some(value) = answer.headers.get(&name) {
                        reply.headers_mut().insert(name, value.clone());
                    }
                }
                reply
            }
            Err(error) => Refusal::upstream(&error.to_string()).reply(),
        }
    }

    /// Health and metadata of the protocol.
    fn describe(&self, route: Route) -> Reply {
        let Some(oip) = &self.oip else { return Refusal::unknown_path().reply() };
        let ready = self.state.releases() && self.recorder.healthy();
        let value = match route {
            Route::Server => OipModel::server(&self.program),
            Route::Model => oip.metadata(self.policy.release.scores),
            Route::Live => json!({"live": true}),
            _ if ready => json!({"ready": true}),
            _ => return Refusal::not_ready().reply(),
        };
        respond(StatusCode::OK, JSON, value.to_string().into_bytes())
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("state", &self.state.state()).finish_non_exhaustive()
    }
}

impl Unrecorded {
    fn add(&self, clock: &Clock) {
        if self.count.fetch_add(1, Ordering::AcqRel) == 0 {
            *self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(clock());
        }
    }

    fn take(&self) -> Option<(u64, String)> {
        let count = self.count.swap(0, Ordering::AcqRel);
        let mut since = self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (count > 0).then(|| (count, since.take().unwrap_or_default()))
    }

    fn put_back(&self, count: u64, since: String) {
        self.count.fetch_add(count, Ordering::AcqRel);
        *self.since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(since);
    }
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Syntax(_) => Self::unreadable(&error.to_string()),
            IntakeError::Refused(words) => Self::invalid(&words),
        }
    }
}

/// A whole body, at most `most` bytes.
async fn read(mut body: Incoming, most: usize) -> Result<Bytes, Refusal> {
    let mut first: Option<Bytes> = None;
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::cut_off())?.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + more.len() + data.len() > most {
            return Err(Refusal::too_large(most as u64 + 1, most));
        }
        match first.take() {
            // Nearly every body comes in one piece, which is then shared and not copied.
            None if more.is_empty() => first = Some(data),
            whole => {
                more.extend_from_slice(whole.as_deref().unwrap_or_default());
                more.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| more.freeze()))
}

fn verdict(ruling: &Ruling) -> GuardVerdict {
    match ruling.by {
        Responder::Primary => GuardVerdict::Answered,
        Responder::Backup => GuardVerdict::Degraded,
        Responder::Safe => GuardVerdict::Safe,
        Responder::None => GuardVerdict::Refused,
    }
}

fn mark(by: Responder) -> Option<&'static str> {
    match by {
        Responder::Backup => Some("backup"),
        Responder::Safe => Some("safe"),
        Responder::Primary | Responder::None => None,
    }
}

/// A response with the headers that every one of them has.
pub(crate) fn respond(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

pub(crate) const JSON: &str = "application/json";
const ANSWER_ID: HeaderName = HeaderName::from_static("proofmark-answer-id");
const DEGRADED: HeaderName = HeaderName::from_static("proofmark-degraded");
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
const ROWS_TAG: &[u8] = b"proofmark.guard-rows/1\n";
const OUTPUT_TAG: &[u8] = b"proofmark.guard-output/1\n";
const ANSWER_TAG: &[u8] = b"proofmark.guard-answer/1\n";
/// 128 bits in hexadecimal.
const ANSWER_DIGITS: usize = 32;
/// Canonical bytes of a row of some twenty columns.
const ROW_BYTES_TYPICAL: usize = 1_024;
/// A record that takes longer than this is as good as none: a disk that hangs.
const RECORD_WAIT: Duration = Duration::from_secs(2);
/// Bytes of an answer that is passed through.
const THROUGH_BYTES_MAX: usize = 64 << 20;
