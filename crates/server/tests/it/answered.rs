//! What is answered: by whom, marked how, recorded before it leaves, and falling back.

use std::sync::atomic::Ordering;

use proofmark_assess::order::{self, GuardOrder, OrderAction};
use proofmark_schema::guard::{GuardEvent, GuardVerdict, Responder};
use serde_json::{Value, json};

use crate::support::{
    Bench, LOCAL, Manner, Upstream, features, now, policy, probabilities, requests, tensors,
};

#[test]
fn the_json_scorer_and_the_protocol_give_the_same_answer() {
    let bench = Bench::start(&policy(&format!("{LOCAL}\n[release]\ndecimals = 6")));
    let one = bench.score();
    assert_eq!(one.status, 200, "{one:?}");
    let answer = one.json();
    assert_eq!(answer["format"], "proofmark.answer/1");
    assert_eq!(answer["answered_by"], "primary");
    assert_eq!(answer["model"], "mlp");
    assert_eq!(one.header("proofmark-answer-id"), answer["id"].as_str());
    assert_eq!(one.header("proofmark-degraded"), None);
    let scores = [&answer["scores"]["good"], &answer["scores"]["bad"]];

    let infer = bench.post("/v2/models/mlp/infer", &json!({"id": "q-1", "inputs": tensors()}));
    let tensor = infer.json();
    assert_eq!(tensor["id"], "q-1");
    assert_eq!(tensor["outputs"][0]["name"], "probabilities");
    assert_eq!([&tensor["outputs"][0]["data"][0], &tensor["outputs"][0]["data"][1]], scores);
    assert_eq!(tensor["outputs"][1]["data"][0], answer["decision"]);
    assert_eq!(tensor["parameters"]["proofmark_answered_by"], "primary");
    assert_eq!(
        infer.header("proofmark-answer-id"),
        tensor["parameters"]["proofmark_answer"].as_str()
    );

    let (body, header) = binary();
    let length = format!("inference-header-content-length: {header}\r\n");
    let got = bench.post_with("/v2/models/mlp/infer", &body, &length);
    assert_eq!(got.status, 200, "{got:?}");
    let split: usize = got.header("inference-header-content-length").unwrap().parse().unwrap();
    let head: Value = serde_json::from_slice(&got.body[..split]).unwrap();
    assert_eq!(head["outputs"][0]["parameters"]["binary_data_size"], 8);
    let bytes = &got.body[split..split + 8];
    for (at, want) in scores.iter().enumerate() {
        let value = f32::from_le_bytes(bytes[at * 4..at * 4 + 4].try_into().unwrap());
        assert!((f64::from(value) - want.as_f64().unwrap()).abs() < 1e-6);
    }
    assert_eq!(&got.body[split + 8..], [&3u32.to_le_bytes()[..], b"bad"].concat());

    let events = bench.end();
    let all = requests(&events);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|r| r.verdict == GuardVerdict::Answered && r.rows == 1));
    assert_eq!(all[0].input, all[1].input, "the same row, by two roads");
    assert_eq!(all[0].output, all[2].output);
    assert_eq!(all[0].id, answer["id"].as_str().unwrap());
    let ids: std::collections::BTreeSet<_> = all.iter().map(|r| &r.id).collect();
    assert_eq!(ids.len(), 3, "an id is never given twice");
    let record = serde_json::to_string(&events).unwrap();
    for secret in ["3000", "new car", "below 0 DM", "skilled"] {
        assert!(!record.contains(secret), "`{secret}` stands in the record");
    }
}

/// The row with its numbers and texts as binary tensors.
fn binary() -> (Vec<u8>, usize) {
    let mut inputs = tensors();
    let mut tail = Vec::new();
    for input in &mut inputs {
        let value = input.as_object_mut().unwrap().remove("data").unwrap()[0].clone();
        let bytes = match value {
            Value::Number(n) => (n.as_f64().unwrap() as f32).to_le_bytes().to_vec(),
            other => {
                let text = other.as_str().unwrap().as_bytes();
                [&(text.len() as u32).to_le_bytes()[..], text].concat()
            }
        };
        input["parameters"] = json!({"binary_data_size": bytes.len()});
        tail.extend(bytes);
    }
    let head = json!({"inputs": inputs, "parameters": {"binary_data_output": true}}).to_string();
    let length = head.len();
    ([head.into_bytes(), tail].concat(), length)
}

#[test]
fn whatever_happens_to_the_primary_the_backup_answers_marked() {
    let upstream = Upstream::start(probabilities(0.9, 0.1));
    let bench = Bench::start(&upstream.policy("[breaker]\nfailures = 1000"));
    let sound = bench.score();
    assert_eq!(sound.json()["answered_by"], "primary", "{sound:?}");
    assert_eq!(sound.json()["decision"], "good");
    let says = |text: &str| Manner::Says(text.to_owned());
    let output = |shape: Value, data: Value| {
        says(
            &json!({"outputs": [{"name": "probabilities", "shape": shape, "data": data}]})
                .to_string(),
        )
    };
    for (name, manner, reason) in [
        ("closes", Manner::Closes, "broken"),
        ("hangs", Manner::Hangs, "deadline"),
        ("fails", Manner::Fails(500), "broken"),
        ("redirects", Manner::Fails(302), "broken"),
        ("no JSON", says("<html>"), "broken"),
        ("no output", says("{\"outputs\": []}"), "broken"),
        (
            "another output",
            says("{\"outputs\":[{\"name\":\"x\",\"shape\":[1,2],\"data\":[0,1]}]}"),
            "broken",
        ),
        ("shape", output(json!([2, 2]), json!([0.1, 0.9, 0.1, 0.9])), "broken"),
        ("too few", output(json!([1, 2]), json!([0.1])), "broken"),
        ("no number", output(json!([1, 2]), json!(["a", "b"])), "broken"),
        ("no probability", output(json!([1, 2]), json!([7.0, -6.0])), "broken"),
        ("not finite", output(json!([1, 2]), json!([1e300, 1e300])), "broken"),
        (
            "another id",
            says(
                &json!({"id": "other", "outputs": [
            {"name": "probabilities", "shape": [1, 2], "data": [0.1, 0.9]}]})
                .to_string(),
            ),
            "broken",
        ),
    ] {
        upstream.now(manner);
        let got = bench.score();
        let answer = got.json();
        assert_eq!(got.status, 200, "{name}: {got:?}");
        assert_eq!(answer["answered_by"], "backup", "{name}");
        assert_eq!(answer["model"], "gbm", "{name}");
        assert_eq!(answer["reason"], reason, "{name}");
        assert_eq!(got.header("proofmark-degraded"), Some("backup"), "{name}");
    }
    upstream.now(probabilities(0.9, 0.1));
    assert_eq!(bench.score().json()["answered_by"], "primary", "it comes back");
    let events = bench.end();
    let degraded = requests(&events).iter().filter(|r| r.verdict == GuardVerdict::Degraded).count();
    assert_eq!(degraded, 13);
}

#[test]
fn a_failing_primary_moves_the_state_and_a_sound_one_moves_it_back() {
    let upstream = Upstream::start(Manner::Closes);
    let bench = Bench::start(&upstream.policy("[breaker]\nfailures = 2\nopen_ms = 50\nprobes = 1"));
    assert_eq!(bench.state(), "NORMAL");
    bench.score();
    bench.score();
    assert_eq!(bench.state(), "DEGRADED");
    let before = upstream.count();
    assert_eq!(bench.score().json()["reason"], "breaker-open");
    assert_eq!(upstream.count(), before, "an open breaker asks nobody");
    upstream.now(probabilities(0.9, 0.1));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(bench.score().json()["answered_by"], "primary");
    assert_eq!(bench.state(), "NORMAL");
    let events = bench.end();
    let changes: Vec<String> = events
        .iter()
        .filter_map(|e| match e {
            GuardEvent::State(s) => Some(format!("{}>{}", s.from, s.to)),
            _ => None,
        })
        .collect();
    assert_eq!(changes, ["NORMAL>DEGRADED", "DEGRADED>NORMAL"]);
}

#[test]
fn with_no_model_left_the_safe_output_leaves() {
    let upstream = Upstream::start(Manner::Closes);
    let more = "[safe]\ndecision = \"refer\"\nmessage = \"A person decides.\"";
    let plan = upstream.policy(more);
    let plan = crate::support::Plan {
        policy: plan.policy.replace(
            "[backup]\nmodel = \"gbm\"",
            &format!(
                "[backup]\nmodel = \"gbm\"\nupstream = \"http://{}\"\n\
             upstream_path = \"/v2/models/gbm/infer\"",
                upstream.address
            ),
        ),
        ..plan
    };
    let bench = Bench::start(&plan);
    let got = bench.score();
    assert_eq!(got.status, 200);
    assert_eq!(got.header("proofmark-degraded"), Some("safe"));
    let answer = got.json();
    assert_eq!(answer["decision"], "refer");
    assert_eq!(answer["answered_by"], "safe");
    assert_eq!(answer["message"], "A person decides.");
    assert!(answer.get("scores").is_none());
    let infer = bench.post("/v2/models/mlp/infer", &json!({"inputs": tensors()})).json();
    assert_eq!(infer["outputs"].as_array().unwrap().len(), 1, "no scores: {infer:#}");
    assert_eq!(infer["outputs"][0]["data"][0], "refer");
    for _ in 0..6 {
        bench.score();
    }
    assert_eq!(bench.state(), "SAFE");
    assert_eq!(bench.admin_get("/healthz/safe").status, 503);
    let events = bench.end();
    assert!(requests(&events).iter().all(|r| r.by == Responder::Safe));
}

#[test]
fn a_stop_holds_everything_back_until_a_signed_order() {
    let bench = Bench::start(&policy(LOCAL));
    assert_eq!(bench.score().status, 200);
    let stop = json!({"by": "Ada", "reason": "odd answers"}).to_string();
    assert_eq!(
        crate::support::raw(
            bench.admin,
            format!(
                "POST /stop HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n\r\n{stop}",
                stop.len()
            )
            .as_bytes()
        )
        .status,
        401,
        "without the token"
    );
    let stopped = bench.admin_post("/stop", stop.as_bytes());
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let got = bench.score();
    assert_eq!((got.status, got.json()["code"].as_str()), (503, Some("stopped")));
    assert!(got.json()["message"].as_str().unwrap().contains("a person will decide"));
    assert!(got.json().get("scores").is_none() && got.header("proofmark-answer-id").is_none());
    assert_eq!(bench.admin_get("/healthz/ready").status, 503);

    assert_eq!(bench.admin_post("/restart", b"{}").status, 403, "no order");
    let order = GuardOrder {
        id: "1".repeat(32),
        action: OrderAction::Restart,
        by: "Ada".into(),
        reason: "cause found".into(),
        time: now(),
        guard: "proofmark/DEMO/credit/guard".into(),
        stop: stopped.json()["stop"].as_str().unwrap().into(),
    };
    let forged = order::sign(&order, &proofmark_evidence::keys::StatementKey::generate().unwrap());
    assert_eq!(bench.admin_post("/restart", &forged.unwrap()).status, 403, "another's signature");
    assert_eq!(bench.score().status, 503);
    let signed = order::sign(&order, &bench.authority).unwrap();
    let restarted = bench.admin_post("/restart", &signed);
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_eq!(bench.score().status, 200);
}

#[test]
fn without_a_record_there_is_no_answer() {
    let bench = Bench::start(&policy(LOCAL));
    assert_eq!(bench.score().status, 200);
    bench.recorder.close();
    for path in ["/score", "/v2/models/mlp/infer"] {
        let body = match path {
            "/score" => json!({"features": features()}),
            _ => json!({"inputs": tensors()}),
        };
        let got = bench.post(path, &body);
        assert_eq!((got.status, got.json()["code"].as_str()), (503, Some("record")), "{path}");
        assert!(got.header("proofmark-answer-id").is_none());
        assert!(got.json().get("decision").is_none() && got.json().get("outputs").is_none());
    }
}

#[test]
fn wrong_known_answers_close_the_upstream() {
    let upstream = Upstream::start(probabilities(0.01, 0.99));
    let mut plan = upstream.policy("[known_answers]\nevery_ms = 100");
    plan.known = true;
    let bench = Bench::start(&plan);
    let got = bench.score().json();
    assert_eq!(got["answered_by"], "backup", "{got:#}");
    assert_eq!(got["reason"], "wrong-answers");
    assert!(upstream.asked.load(Ordering::SeqCst) >= 1);
    assert_eq!(bench.state(), "DEGRADED");
}

#[test]
fn a_vote_that_splits_refers_to_a_person() {
    let upstream = Upstream::start(probabilities(0.99, 0.01));
    let bench = Bench::start(&upstream.policy("[release]\nvote = true"));
    // Here the trees say `bad`.
    let got = bench.score().json();
    assert_eq!(got["decision"], "refer", "{got:#}");
    assert_eq!(got["reason"], "vote-split");
    assert!(got.get("scores").is_none());
    upstream.now(probabilities(0.1, 0.9));
    let got = bench.score().json();
    assert_eq!(
        (got["decision"].as_str(), got["answered_by"].as_str()),
        (Some("bad"), Some("primary"))
    );
    upstream.now(Manner::Closes);
    let got = bench.score().json();
    assert_eq!(
        (got["decision"].as_str(), got["reason"].as_str()),
        (Some("refer"), Some("no-vote"))
    );
}

#[test]
fn nobody_gets_anothers_answer() {
    let bench = Bench::start(&policy(&format!("{LOCAL}\n[release]\ndecimals = 6")));
    let ask = |amount: u64| {
        let mut row = features();
        row["amount"] = json!(amount);
        let body = json!({"id": amount.to_string(), "features": row});
        bench.post("/score", &body).json()
    };
    let amounts = [300, 900, 2_700, 8_100, 12_000, 15_000, 18_000, 20_000];
    let alone: Vec<Value> = amounts.iter().map(|a| ask(*a)["scores"].clone()).collect();
    assert!(alone.windows(2).all(|w| w[0] != w[1]), "{alone:?}");
    std::thread::scope(|scope| {
        for (amount, want) in amounts.iter().zip(&alone) {
            let ask = &ask;
            scope.spawn(move || {
                for _ in 0..20 {
                    let got = ask(*amount);
                    assert_eq!(&got["scores"], want, "{amount}");
                    assert_eq!(got["request"], amount.to_string());
                }
            });
        }
    });
}

#[test]
fn fields_in_clear_are_those_of_the_policy() {
    let bench = Bench::start(&policy(&format!("{LOCAL}\n[record]\nfields = [\"purpose\"]")));
    bench.score();
    let events = bench.end();
    let kept = &requests(&events)[0].fields;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept["purpose"], json!(["new car"]));
}
