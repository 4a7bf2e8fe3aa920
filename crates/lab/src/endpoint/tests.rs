//! Endpoints by script: what is asked, what is counted, what reads.

use std::sync::atomic::{AtomicUsize, Ordering};

use proofmark_schema::system::{Access, Norm, OutputKind, Scale};
use serde_json::{Value, json};

use super::json::JsonMap;
use super::oip::OipMap;
use super::*;
use crate::criterion::Criterion;
use crate::decision::Decision;
use crate::evasion::suite::{STANDARD, Suite, attack};
use crate::harness::{self, Case, Done};
use crate::space::{Column, Deployed, Space};
use crate::toys;

/// Answers `p = logistic(a - 2)`, as the script says; counts what it worked on.
struct Server {
    script: Mutex<Vec<Result<u16, Silence>>>,
    worked: AtomicUsize,
    waits: Mutex<Vec<Duration>>,
}

impl Server {
    fn new(script: Vec<Result<u16, Silence>>) -> Self {
        let (script, waits) = (Mutex::new(script), Mutex::new(Vec::new()));
        Self { script, worked: AtomicUsize::new(0), waits }
    }
}

impl Transport for Server {
    fn send(&self, body: &[u8]) -> Result<Reply, Silence> {
        let mut script = self.script.lock().unwrap();
        let status = if script.is_empty() { 200 } else { script.remove(0)? };
        let request: Value = serde_json::from_slice(body).unwrap();
        let rows = request["rows"].as_array().unwrap();
        if status == 200 {
            self.worked.fetch_add(rows.len(), Ordering::Relaxed);
        }
        let scores = rows.iter().map(|row| {
            let z = row["a"].as_f64().unwrap() - 2.0;
            json!({ "p": 1.0 / (1.0 + (-z).exp()) })
        });
        let body = json!({ "out": scores.collect::<Vec<_>>() }).to_string().into_bytes();
        let retry_after = (status == 429).then_some(Duration::from_secs(7));
        Ok(Reply { status, body, retry_after })
    }
    fn pause(&self, wait: Duration) -> Result<(), Silence> {
        self.waits.lock().unwrap().push(wait);
        Ok(())
    }
}

#[derive(Default)]
struct Memory(Mutex<(Vec<Answer>, usize)>);

impl Ledger for Memory {
    fn sending(&self, _rows: usize) -> Result<(), String> {
        Ok(())
    }
    fn became(&self, fate: &Fate<'_>) -> Result<(), String> {
        let mut held = self.0.lock().unwrap();
        match fate {
            Fate::Answered(answers) => held.0.extend(answers.iter().cloned()),
            Fate::Lost(rows) => held.1 += rows,
            Fate::Refused(_) => {}
        }
        Ok(())
    }
}

fn words() -> Words {
    Words { classes: vec!["no".into(), "yes".into()], abstain: vec!["refer".into()] }
}

fn map() -> JsonMap {
    JsonMap::new("{\"rows\": {{rows}}}", "/out/*/p", Reads::Probabilities, words()).unwrap()
}

fn sheet(values: &[f64]) -> Sheet {
    let cells = values.iter().map(|v| vec![Cell::Text("x".into()), Cell::Number(*v)]).collect();
    Sheet::new(vec!["t".into(), "a".into()], cells, vec![1]).unwrap()
}

const LIMITS: Limits = Limits { total: None, batch: 2, retries: 2 };

#[test]
fn nothing_is_asked_twice_and_a_resumed_run_asks_only_what_is_new() {
    let (server, memory, map) = (Server::new(vec![]), Memory::default(), map());
    let values = [0.0, 1.0, 2.5, 3.0];
    let links = || (&server as &dyn Transport, &memory as &dyn Ledger);
    let remote =
        Remote::new(sheet(&values), 2, &map, links(), LIMITS, Vec::new(), Spent::default());
    let first = remote.scores(&[0, 1, 0, 2], &[0.0, 1.0, 0.0, 0.25]).unwrap();
    assert_eq!(first[0..2], first[4..6]);
    assert_eq!(server.worked.load(Ordering::Relaxed), 3);
    assert_eq!(remote.spent().requests, 2);
    let kept = memory.0.lock().unwrap().0.clone();
    let spent = remote.spent();
    let again = Remote::new(sheet(&values), 2, &map, links(), LIMITS, kept, spent);
    assert_eq!(again.scores(&[0, 1, 0, 2], &[0.0, 1.0, 0.0, 0.25]).unwrap(), first);
    again.scores(&[3], &[3.0]).unwrap();
    // The two clean rows were asked once more before the new one: is it still the same model?
    assert_eq!(server.worked.load(Ordering::Relaxed), 6);
    assert_eq!((again.spent().answered, again.spent().kept), (6, 3));
}

#[test]
fn unanswered_requests_are_tried_again_and_counted_where_they_may_have_been_worked_on() {
    let lost = || Err(Silence::Lost("timed out".into()));
    let shut = || Err(Silence::NotSent("refused".into()));
    // (script, answered, lost, requests, retries, waits in ms)
    let cases = [
        (vec![lost()], Some((2, 2, 2, 1, vec![250]))),
        (vec![shut(), shut()], Some((2, 0, 3, 2, vec![250, 500]))),
        (vec![Ok(429), Ok(503)], Some((2, 0, 3, 2, vec![7000, 500]))),
        (vec![Ok(500)], Some((2, 2, 2, 1, vec![250]))),
        (vec![lost(), lost(), lost()], None),
        (vec![Ok(400)], None),
    ];
    for (script, expected) in cases {
        let shown = format!("{script:?}");
        let (server, memory, map) = (Server::new(script), Memory::default(), map());
        let links = (&server as &dyn Transport, &memory as &dyn Ledger);
        let none = Spent::default();
        let remote = Remote::new(sheet(&[0.0, 1.0]), 2, &map, links, LIMITS, Vec::new(), none);
        let scores = remote.scores(&[0, 1], &[0.0, 1.0]);
        let spent = remote.spent();
        let Some((answered, lost, requests, retries, waits)) = expected else {
            assert!(scores.is_err(), "{shown}");
            continue;
        };
        assert!(scores.is_ok(), "{shown}: {scores:?}");
        let got = (spent.answered, spent.lost, spent.requests, spent.retries);
        assert_eq!(got, (answered, lost, requests, retries), "{shown}");
        assert_eq!(memory.0.lock().unwrap().1 as u64, lost, "{shown}");
        let waited: Vec<u64> =
            server.waits.lock().unwrap().iter().map(|w| w.as_millis() as u64).collect();
        assert_eq!(waited, waits, "{shown}");
    }
}

#[test]
fn the_total_is_never_passed() {
    let (server, memory, map) = (Server::new(vec![]), Memory::default(), map());
    let limits = Limits { total: Some(3), ..LIMITS };
    let links = (&server as &dyn Transport, &memory as &dyn Ledger);
    let remote =
        Remote::new(sheet(&[0.0; 4]), 2, &map, links, limits, Vec::new(), Spent::default());
    let error = remote.scores(&[0, 1, 2, 3], &[0.0; 4]).unwrap_err();
    assert!(error.reason.starts_with("2 of the 3 queries"), "{error}");
    assert_eq!(server.worked.load(Ordering::Relaxed), 2);
}

#[test]
fn an_attack_on_an_endpoint_finds_what_it_finds_on_the_model() {
    let (server, memory, map) = (Server::new(vec![]), Memory::default(), map());
    let links = (&server as &dyn Transport, &memory as &dyn Ledger);
    let values = [0.5, 1.0, 2.5, 3.75];
    let remote = Remote::new(sheet(&values), 2, &map, links, LIMITS, Vec::new(), Spent::default());
    let column = Column { lower: 0.0, upper: 4.0, std: 1.0, deployed: Deployed::Real };
    let space = Space::new(&[column], Scale::Raw).unwrap();
    let case = Case {
        oracle: &remote,
        second: None,
        space: &space,
        labels: &[0, 0, 1, 1],
        decision: Decision::argmax(OutputKind::Probability),
        criterion: Criterion::Leave,
        norm: Norm::Linf,
        access: Access::Decision,
        queries_limit: Some(200),
        constraints: None,
        probe: "endpoint",
    };
    let suite = Suite::of("t", 1, vec![attack("hopskipjump", STANDARD).unwrap()]);
    let rows = [0, 1, 2, 3];
    let found =
        harness::run(&case, &suite, &[1e-6], &rows, &Done::new(), &toys::ctx(), &mut |_| {});
    for (record, value) in found.unwrap().iter().zip(values) {
        let (upper, exact) = (record.point.distance.upper.unwrap(), (value - 2.0_f64).abs());
        assert!(upper >= exact - 1e-6 && upper < exact + 5e-3, "{value}: {upper}");
    }
    let asked: std::collections::HashSet<_> =
        memory.0.lock().unwrap().0.iter().map(|a| (a.row, a.bits.clone())).collect();
    assert_eq!(asked.len() as u64, remote.spent().answered, "a point was asked twice");
}

#[test]
fn answers_are_read_where_the_pointer_says_or_refused() {
    // (pointer, reads, rows, body, scores of the last row or words of the error)
    type Told = Result<Vec<f32>, &'static str>;
    let cases: Vec<(&str, Reads, usize, &str, Told)> = vec![
        ("/p", Reads::Probabilities, 1, r#"{"p": 0.25}"#, Ok(vec![0.75, 0.25])),
        ("/p", Reads::Probabilities, 2, r#"{"p": [0.5, 0.25]}"#, Ok(vec![0.75, 0.25])),
        (
            "/p",
            Reads::Probabilities,
            2,
            r#"{"p": [[0.5, 0.5], [0.75, 0.25]]}"#,
            Ok(vec![0.75, 0.25]),
        ),
        ("/p/*", Reads::Probabilities, 1, r#"{"p": [[0.75, 0.25]]}"#, Ok(vec![0.75, 0.25])),
        (
            "/r/*/s",
            Reads::Probabilities,
            1,
            r#"{"r": [{"s": {"yes": 0.25, "no": 0.75}}]}"#,
            Ok(vec![0.75, 0.25]),
        ),
        ("/z", Reads::Numbers, 1, r#"{"z": -3}"#, Ok(vec![0.0, -3.0])),
        ("/l", Reads::Label, 1, r#"{"l": "yes"}"#, Ok(vec![0.0, 1.0])),
        ("/l", Reads::Label, 1, r#"{"l": "refer"}"#, Ok(vec![f32::NAN, f32::NAN])),
        ("/l", Reads::Label, 1, r#"{"l": "maybe"}"#, Err("none of `no`, `yes`")),
        ("/p", Reads::Probabilities, 1, r#"{"p": 1.5}"#, Err("no probabilities")),
        ("/p", Reads::Probabilities, 1, r#"{"q": 1}"#, Err("nothing at `/p`")),
        ("/p", Reads::Probabilities, 3, r#"{"p": [1, 1]}"#, Err("no list of rows")),
        ("/p/*/s", Reads::Probabilities, 3, r#"{"p": [{"s": 1}]}"#, Err("1 answers for 3 rows")),
        ("/p", Reads::Probabilities, 1, r#"{"p": 1e300}"#, Err("no finite number")),
        ("/p", Reads::Probabilities, 1, r#"{"p": null}"#, Err("null is no score")),
        ("/p", Reads::Probabilities, 1, "{", Err("EOF")),
    ];
    for (pointer, reads, rows, body, told) in cases {
        let map = JsonMap::new("{{rows}}", pointer, reads, words()).unwrap();
        match (map.answers(body.as_bytes(), rows), told) {
            (Ok(scores), Ok(expected)) => {
                let last = &scores[scores.len() - 2..];
                let same =
                    last.iter().zip(&expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
                assert!(same, "{pointer} {body}: {scores:?}");
            }
            (Err(error), Err(words)) => assert!(error.contains(words), "{pointer} {body}: {error}"),
            (got, told) => panic!("{pointer} {body}: {got:?}, expected {told:?}"),
        }
    }
}

#[test]
fn templates_hold_rows_as_objects_or_lists_and_broken_ones_are_refused() {
    let columns = ["a".to_owned(), "b \"q\"".to_owned()];
    let rows =
        [vec![Cell::Number(3.0), Cell::Text("x".into())], vec![Cell::Number(0.5), Cell::Missing]];
    let cases = [
        ("{\"r\": {{rows}}}", r#"{"r":[{"a":3,"b \"q\"":"x"},{"a":0.5,"b \"q\"":null}]}"#),
        ("{\"r\": {{values}}, \"k\": 1}", r#"{"r":[[3,"x"],[0.5,null]],"k":1}"#),
        ("{{row}}", r#"{"a":3,"b \"q\"":"x"}"#),
        ("[{{value}}]", r#"[[3,"x"]]"#),
    ];
    for (template, expected) in cases {
        let map = JsonMap::new(template, "/p", Reads::Numbers, words()).unwrap();
        let body: Value = serde_json::from_slice(&map.request(&columns, &rows).unwrap()).unwrap();
        assert_eq!(body, serde_json::from_str::<Value>(expected).unwrap(), "{template}");
    }
    for broken in ["{}", "{{rows}} {{row}}", "{\"r\": {{rows}}", "{\"r\": \"{{rows}}\"}"] {
        let map = JsonMap::new(broken, "/p", Reads::Numbers, words());
        assert!(map.is_err(), "{broken}");
    }
    assert!(JsonMap::new("{{rows}}", "p", Reads::Numbers, words()).is_err());
    assert!(JsonMap::new("{{rows}}", "/*/a/*", Reads::Numbers, words()).is_err());
}

fn answer_of(name: &str, datatype: &str, data: Value) -> Vec<u8> {
    let output = json!({ "name": name, "datatype": datatype, "shape": [2], "data": data });
    json!({ "outputs": [output] }).to_string().into_bytes()
}

#[test]
fn the_inference_protocol_fills_tensors_after_the_metadata() {
    let metadata = json!({ "name": "m", "inputs": [
        { "name": "a", "datatype": "FP32", "shape": [-1, 1] },
        { "name": "n", "datatype": "INT64", "shape": [-1] },
        { "name": "t", "datatype": "BYTES", "shape": [-1, 1] },
    ]});
    let metadata = metadata.to_string().into_bytes();
    let columns = ["t", "a", "n"].map(str::to_owned);
    let map = OipMap::new(&metadata, &columns, None, Reads::Probabilities, words()).unwrap();
    let row = vec![Cell::Text("x".into()), Cell::Number(0.5), Cell::Number(3.0)];
    let body: Value =
        serde_json::from_slice(&map.request(&columns, &[row.clone(), row]).unwrap()).unwrap();
    assert_eq!(body["inputs"][0]["data"], json!([0.5, 0.5]));
    assert_eq!(body["inputs"][1]["data"], json!([3, 3]));
    assert_eq!(body["inputs"][2]["shape"], json!([2, 1]));
    assert_eq!(OipMap::input_names(&metadata), ["a", "n", "t"]);
    let answer = json!({ "outputs": [
        { "name": "decision", "datatype": "BYTES", "shape": [2], "data": ["no", "yes"] },
        { "name": "p", "datatype": "FP32", "shape": [2, 2], "data": [0.75, 0.25, 0.5, 0.5] },
    ]});
    let answer = answer.to_string().into_bytes();
    assert_eq!(map.answers(&answer, 2).unwrap(), [0.75, 0.25, 0.5, 0.5]);
    // Whole numbers are labels: never probabilities, and two tensors of floats are not guessed.
    let whole = answer_of("label", "INT64", json!([0, 1]));
    assert!(map.answers(&whole, 2).unwrap_err().contains("name one"));
    let mut both: Value = serde_json::from_slice(&answer).unwrap();
    let again = both["outputs"][1].clone();
    both["outputs"].as_array_mut().unwrap().push(again);
    assert!(map.answers(both.to_string().as_bytes(), 2).unwrap_err().contains("name one"));
    let label = OipMap::new(&metadata, &columns, Some("decision"), Reads::Label, words()).unwrap();
    assert_eq!(label.answers(&answer, 2).unwrap(), [1.0, 0.0, 0.0, 1.0]);
    assert!(label.answers(&answer, 3).is_err());
    let whole = vec![Cell::Text("x".into()), Cell::Number(0.5), Cell::Number(3.5)];
    assert!(map.request(&columns, &[whole]).unwrap_err().contains("not whole"));
    let missing = OipMap::new(&metadata, &columns[..2], None, Reads::Label, words());
    assert!(missing.unwrap_err().contains("`n`"));
    let matrix = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [-1, 2] }] });
    let matrix = matrix.to_string().into_bytes();
    let map = OipMap::new(&matrix, &columns[..2], None, Reads::Label, words()).unwrap();
    let row = vec![Cell::Number(1.5), Cell::Number(2.0)];
    let body: Value = serde_json::from_slice(&map.request(&columns[..2], &[row]).unwrap()).unwrap();
    assert_eq!(body["inputs"][0]["data"], json!([1.5, 2.0]));
}
