//! A guard of the credit example on free ports, a raw client, and an upstream that can misbehave.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use proofmark_engine::model::Model;
use proofmark_evidence::durable::OsFs;
use proofmark_evidence::keys::{LogKey, StatementKey};
use proofmark_schema::guard::{GuardEvent, RequestEvent};
use proofmark_schema::system::{self, System};
use proofmark_server::guard::{Ender, Guard, GuardError, KEYS_NAME, Parts, ServedFile};
use proofmark_server::keys::{KeyFile, NewKey, Scope};
use proofmark_server::policy::{self, Policy};
use proofmark_server::recorder::Recorder;
use proofmark_server::scorer::{Cells, Column, Rows};
use serde_json::{Value, json};

/// A guard that runs, its keys and its client.
pub struct Bench {
    pub data: SocketAddr,
    pub admin: SocketAddr,
    pub key: String,
    pub dir: tempfile::TempDir,
    pub recorder: Recorder,
    pub authority: StatementKey,
    ender: Ender,
    thread: Option<JoinHandle<Result<(), GuardError>>>,
}

/// What is special about a bench.
pub struct Plan {
    pub policy: String,
    pub assessed: Option<String>,
    pub known: bool,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()))
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The policy of the tests; `more` follows it.
pub fn policy(more: &str) -> Plan {
    let policy = format!(
        "format = \"proofmark.guard/1\"\n\
         [listen]\naddress = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{more}\n"
    );
    Plan { policy, assessed: None, known: false }
}

/// Both models in this process.
pub const LOCAL: &str = "[primary]\nmodel = \"mlp\"\n[backup]\nmodel = \"gbm\"\n\
    [limits]\ndeadline_ms = 5000\nrequests_per_second = 100000\nburst = 100000";

pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/credit")
}

pub fn declared() -> System {
    let text = std::fs::read_to_string(example().join("proofmark.toml")).unwrap();
    system::parse(&text).unwrap()
}

pub fn model(name: &str, assessed: Option<String>) -> ServedFile {
    let asset = declared().model_named(name).unwrap().clone();
    let bytes = std::fs::read(example().join(&asset.path)).unwrap();
    ServedFile {
        model: Model::from_onnx(&bytes, &|_| Err(String::new())).unwrap(),
        asset,
        assessed,
    }
}

pub fn now() -> String {
    "2026-11-22T18:00:00.000Z".to_owned()
}

pub fn parts(plan: &Plan, dir: &Path, authority: &StatementKey) -> Parts {
    let system = declared();
    let policy: Policy = policy::parse(&plan.policy, Some(&system)).unwrap();
    Parts {
        policy,
        policy_sha256: "0".repeat(64),
        base: dir.to_path_buf(),
        dir: dir.join("guard"),
        origin: "proofmark/DEMO/credit/guard".into(),
        system,
        models: vec![model("mlp", plan.assessed.clone()), model("gbm", None)],
        schema: None,
        known: if plan.known { vec![row_as_rows()] } else { vec![] },
        log_key: LogKey::generate().unwrap(),
        authority: Some(authority.public()),
        clock: Arc::new(now),
        program: "test".into(),
        weak_points: vec![],
    }
}

impl Bench {
    pub fn start(plan: &Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = StatementKey::generate().unwrap();
        std::fs::create_dir_all(dir.path().join("guard")).unwrap();
        let key = add_key(dir.path(), &[Scope::Score], "2027-01-01T00:00:00Z");
        let guard = Guard::open(parts(plan, dir.path(), &authority)).unwrap();
        let (data, admin) = guard.addresses().unwrap();
        let (ender, recorder) = (guard.ender(), guard.recorder());
        let thread = Some(std::thread::spawn(move || guard.run()));
        Self { data, admin, key, dir, recorder, authority, ender, thread }
    }

    /// Sends bytes as they are and reads one response.
    pub fn raw(&self, bytes: &[u8]) -> Response {
        raw(self.data, bytes)
    }

    /// Posts JSON with the key.
    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.post_with(path, body.to_string().as_bytes(), "")
    }

    pub fn post_with(&self, path: &str, body: &[u8], headers: &str) -> Response {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n{headers}connection: close\r\n\r\n",
            self.key,
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub fn score(&self) -> Response {
        self.post("/score", &json!({"features": features()}))
    }

    pub fn admin_get(&self, path: &str) -> Response {
        let head = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        raw(self.admin, head.as_bytes())
    }

    pub fn admin_post(&self, path: &str, body: &[u8]) -> Response {
        let token = std::fs::read_to_string(self.dir.path().join("guard/admin.token")).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        raw(self.admin, &[head.as_bytes(), body].concat())
    }

    pub fn state(&self) -> String {
        self.admin_get("/state").json()["state"].as_str().unwrap().to_owned()
    }

    /// Ends the guard and returns every event of its log.
    pub fn end(mut self) -> Vec<GuardEvent> {
        self.ender.end();
        let ended = self.thread.take().unwrap().join().unwrap();
        drop(ended);
        events(&self.dir.path().join("guard"))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.ender.end();
    }
}

pub fn events(guard: &Path) -> Vec<GuardEvent> {
    let mut events = Vec::new();
    for volume in proofmark_assess::guard_events::volumes(guard) {
        let log = proofmark_evidence::log::Log::open(&volume).unwrap();
        log.for_each_leaf(|_, leaf| {
            events.push(GuardEvent::parse(leaf).unwrap());
            Ok(())
        })
        .unwrap();
    }
    events
}

pub fn requests(events: &[GuardEvent]) -> Vec<&RequestEvent> {
    events
        .iter()
        .filter_map(|e| match e {
            GuardEvent::Request(r) => Some(r.as_ref()),
            _ => None,
        })
        .collect()
}

pub fn add_key(dir: &Path, scopes: &[Scope], expires: &str) -> String {
    let path = dir.join("guard").join(KEYS_NAME);
    let mut file = KeyFile::load(&path).unwrap();
    let key = NewKey::generate(scopes.to_vec(), None, now(), expires.into()).unwrap();
    file.keys.push(key.record.clone());
    file.save(&OsFs, &path).unwrap();
    key.text
}

pub fn raw(to: SocketAddr, bytes: &[u8]) -> Response {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The guard may answer and close before it read everything.
    let _ = stream.write_all(bytes);
    read_response(&mut stream)
}

/// Reads one response by its content-length.
pub fn read_response(stream: &mut impl Read) -> Response {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(response) = whole(&bytes) {
            return response;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => {
                let headers = Vec::new();
                return Response { status: 0, headers, body: bytes };
            }
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

fn whole(bytes: &[u8]) -> Option<Response> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(": "))
        .map(|(n, v)| (n.to_lowercase(), v.to_owned()))
        .collect();
    let length = headers.iter().find(|(n, _)| n == "content-length");
    let length: usize = length.and_then(|(_, v)| v.parse().ok()).unwrap_or(0);
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some(Response { status, headers, body })
}

/// A row of the example.
pub fn features() -> Value {
    json!({
        "checking_status": "below 0 DM", "duration": 24,
        "credit_history": "existing credits paid back so far", "purpose": "new car",
        "amount": 3000, "savings": "below 100 DM", "employment_since": "1 to 3 years",
        "installment_rate": 3, "other_debtors": "none", "residence_since": 2,
        "property": "car or other", "age": 33, "other_installment_plans": "none",
        "housing": "rent", "existing_credits": 1, "job": "skilled", "people_liable": 1,
        "telephone": "no"
    })
}

pub fn row_as_rows() -> Rows {
    let (system, row) = (declared(), features());
    let column = |f: &system::Feature| {
        let value = &row[&f.name];
        let cells = if f.kind.is_numeric() {
            Cells::Numbers(vec![value.as_f64().unwrap_or(f64::NAN)])
        } else {
            Cells::Texts(vec![value.as_str().map(str::to_owned)])
        };
        Column { name: f.name.clone(), kind: f.kind, cells }
    };
    Rows::table(1, system.features.iter().map(column).collect()).unwrap()
}

/// The same row as tensors.
pub fn tensors() -> Vec<Value> {
    let (system, row) = (declared(), features());
    let read = system.features.iter().filter(|f| f.input);
    read.map(|f| {
        let datatype = if f.kind.is_numeric() { "FP32" } else { "BYTES" };
        json!({"name": f.name, "shape": [1, 1], "datatype": datatype, "data": [row[&f.name]]})
    })
    .collect()
}

/// How an upstream behaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Manner {
    /// Answers with this body.
    Says(String),
    /// Reads and never answers.
    Hangs,
    /// Closes without an answer.
    Closes,
    /// Answers with a status.
    Fails(u16),
}

/// A model server of the Open Inference Protocol, or what is left of one.
pub struct Upstream {
    pub address: SocketAddr,
    pub manner: Arc<Mutex<Manner>>,
    pub asked: Arc<AtomicUsize>,
}

impl Upstream {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(manner));
        let asked = Arc::new(AtomicUsize::new(0));
        let shared = (manner.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (manner, asked) = shared.clone();
                std::thread::spawn(move || serve(stream, &manner, &asked));
            }
        });
        Self { address, manner, asked }
    }

    pub fn now(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// `[primary]` in front of this upstream, with `gbm` in this process as backup.
    pub fn policy(&self, more: &str) -> Plan {
        policy(&format!(
            "[primary]\nmodel = \"mlp\"\nupstream = \"http://{}\"\n\
             [backup]\nmodel = \"gbm\"\n\
             [limits]\ndeadline_ms = 1000\nrequests_per_second = 100000\nburst = 100000\n{more}",
            self.address
        ))
    }
}

/// What a sound upstream says about one row.
pub fn probabilities(good: f64, bad: f64) -> Manner {
    Manner::Says(
        json!({"model_name": "mlp", "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 2], "data": [good, bad]}
        ]})
        .to_string(),
    )
}

fn serve(mut stream: TcpStream, manner: &Mutex<Manner>, asked: &AtomicUsize) {
    let mut held = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        let Ok(n) = stream.read(&mut buffer) else { return };
        if n == 0 {
            return;
        }
        held.extend_from_slice(&buffer[..n]);
        let Some(end) = held.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&held[..end]).to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: "));
        let length: usize = length.and_then(|l| l.parse().ok()).unwrap_or(0);
        if held.len() < end + 4 + length {
            continue;
        }
        held.clear();
        asked.fetch_add(1, Ordering::SeqCst);
        let manner = manner.lock().unwrap().clone();
        let reply = |status: u16, body: &str| {
            format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let text = match manner {
            Manner::Says(body) => reply(200, &body),
            Manner::Fails(status) => reply(status, "{}"),
            Manner::Closes => return,
            Manner::Hangs => {
                std::thread::sleep(Duration::from_secs(30));
                return;
            }
        };
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// Longer than any limit that a test sets.
pub const PATIENCE: Duration = Duration::from_secs(20);
