//! A live endpoint under attack: metered, killed in mid-run, resumed, compared with its file; rows
//! of tables and images.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use proofmark_formats::npy::{self, NpyArray, NpyData};
use serde_json::{Value, json};

use crate::schemas::{Schemas, id_of};
use crate::support::{Ran, proofmark_with};

/// A scorer of rows or images in a thread; what it worked on is counted row by row.
struct Server {
    address: String,
    seen: Arc<Mutex<Seen>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    rows: BTreeMap<String, usize>,
    requests: usize,
    headers: Vec<String>,
}

impl Server {
    /// Answers `requests` requests and is gone then; every third is turned away first when
    /// `moody`.
    fn start(address: &str, requests: usize, moody: bool) -> Self {
        let listener = TcpListener::bind(address).expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let (seen, end) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (theirs, ends) = (Arc::clone(&seen), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            for (turn, stream) in listener.incoming().enumerate() {
                let gone = theirs.lock().expect("seen").requests >= requests;
                if gone || ends.load(Ordering::Relaxed) {
                    return;
                }
                let turned_away = moody && turn % 3 == 1;
                serve(stream.expect("stream"), &theirs, turned_away);
            }
        });
        Self { address, seen, end, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}/score", self.address)
    }

    fn rows(&self) -> BTreeMap<String, usize> {
        self.seen.lock().expect("seen").rows.clone()
    }

    fn stop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(&self.address));
        self.thread.take().map(JoinHandle::join);
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, turned_away: bool) {
    let mut reader = BufReader::new(stream.try_clone().expect("clone"));
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(text) = lower.strip_prefix("content-length:") {
            length = text.trim().parse().expect("length");
        }
        if lower.starts_with("authorization:") {
            seen.lock().expect("seen").headers.push(line.trim().to_owned());
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("body");
    if turned_away {
        let head = "HTTP/1.1 429 Slow\r\nretry-after: 0\r\ncontent-length: 0\r\n";
        write!(stream, "{head}connection: close\r\n\r\n").expect("write");
        return;
    }
    let mut held = seen.lock().expect("seen");
    let answer = match body.is_empty() {
        true => METADATA.to_owned(),
        false => {
            held.requests += 1;
            answered(&serde_json::from_slice(&body).expect("json"), &mut held.rows).to_string()
        }
    };
    drop(held);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", answer.len());
    write!(stream, "{head}connection: close\r\n\r\n{answer}").expect("write");
}

/// One input of whole pixels, channels first.
const METADATA: &str = r#"{"name": "m", "inputs":
    [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 3, 6, 5]}]}"#;

fn answered(request: &Value, seen: &mut BTreeMap<String, usize>) -> Value {
    let both = |z: f64| [1.0 / (1.0 + z.exp()), 1.0 / (1.0 + (-z).exp())];
    let mut saw = |row: &Value| *seen.entry(row.to_string()).or_default() += 1;
    if let Some(images) = request["instances"].as_array() {
        let each = images.iter().map(|image| {
            saw(image);
            // height, width, channels
            let lines = image.as_array().expect("lines").iter();
            let pixels = lines.flat_map(|line| line.as_array().expect("pixels"));
            let pixels: Vec<&Vec<Value>> = pixels.map(|p| p.as_array().expect("pixel")).collect();
            assert!(pixels.len() == 30 && pixels.iter().all(|p| p.len() == 3), "{image}");
            let z = |p: &&Vec<Value>| p[0].as_f64().expect("v") - p[1].as_f64().expect("v");
            both(pixels.iter().map(z).sum())
        });
        return json!({ "predictions": each.collect::<Vec<_>>() });
    }
    if let Some([input]) = request["inputs"].as_array().map(Vec::as_slice) {
        assert_eq!(input["shape"].as_array().expect("shape")[1..], [json!(3), json!(6), json!(5)]);
        let data = input["data"].as_array().expect("data");
        let each = data.chunks(90).flat_map(|image| {
            saw(&json!(image));
            let sum = |some: &[Value]| some.iter().map(|v| v.as_u64().expect("whole")).sum::<u64>();
            both((sum(&image[..30]) as f64 - sum(&image[30..60]) as f64) / 255.0)
        });
        let data: Vec<f64> = each.collect();
        let shape = [data.len() / 2, 2];
        return json!({ "outputs":
            [{ "name": "p", "datatype": "FP64", "shape": shape, "data": data }] });
    }
    let rows = request["rows"].as_array().expect("rows");
    let results = rows.iter().map(|row| {
        saw(row);
        let z = row["a"].as_f64().expect("a") * 0.5 + row["b"].as_f64().expect("b") - 4.0;
        let [no, yes] = both(z);
        json!({ "scores": { "no": no, "yes": yes } })
    });
    json!({ "results": results.collect::<Vec<_>>() })
}

/// Eight images of three channels; the label is what the scorer decides.
fn pictures(folder: &std::path::Path) -> [String; 2] {
    let (n, size) = (8_usize, 30_usize);
    let pixel = |image: usize, channel: usize, at: usize| {
        ((image * 37 + channel * (90 + 11 * image) + at * 29) % 256) as u8
    };
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for image in 0..n {
        let sums: Vec<u32> = (0..3)
            .map(|channel| {
                let own: Vec<u8> = (0..size).map(|at| pixel(image, channel, at)).collect();
                pixels.extend_from_slice(&own);
                own.iter().map(|&v| u32::from(v)).sum()
            })
            .collect();
        labels.push(i64::from(sums[0] > sums[1]));
    }
    let write = |name: &str, shape: Vec<usize>, data: NpyData| {
        let bytes = npy::write(&NpyArray::new(shape, data).expect("array")).expect("npy");
        let path = folder.join(name);
        fs::write(&path, bytes).expect("file");
        path.display().to_string()
    };
    [
        write("x.npy", vec![n, 3, 6, 5], NpyData::U8(pixels)),
        write("y.npy", vec![n], NpyData::I64(labels)),
    ]
}

/// Rows of two numbers and a text; the label is what the scorer decides.
fn data(folder: &std::path::Path) -> String {
    let mut text = "a,b,t,y\n".to_owned();
    for i in 0..8 {
        let (a, b) = (0.25 + f64::from(i % 4) * 1.3, 0.5 + f64::from(i) * 0.8);
        let label = if a * 0.5 + b - 4.0 > 0.0 { "yes" } else { "no" };
        text.push_str(&format!("{a:.2},{b:.2},w{i},{label}\n"));
    }
    let path = folder.join("rows.csv");
    fs::write(&path, text).expect("rows");
    path.display().to_string()
}

fn attack(server: &str, data: &str, more: &[&str]) -> Ran {
    let args = [
        "attack",
        "--endpoint",
        server,
        "--protocol",
        "json",
        "--template",
        "{\"rows\": {{rows}}}",
        "--scores-at",
        "/results/*/scores",
        "--data",
        data,
        "--label",
        "y",
        "--norm",
        "linf",
        "--eps",
        "0.05,0.5",
        "--scale",
        "raw",
        "--suite",
        "hopskipjump",
        "--access",
        "decision",
        "--queries",
        "40",
        "--batch",
        "3",
        "--header-env",
        "authorization=ENDPOINT_KEY",
        "--format",
        "json",
    ];
    proofmark_with(&[&args[..], more].concat(), &[("ENDPOINT_KEY", "Bearer s3cret")])
}

fn without_costs(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).expect("report");
    value.as_object_mut().expect("object").remove("endpoint");
    value
}

#[test]
fn an_endpoint_killed_in_mid_run_is_resumed_and_nothing_is_counted_twice() {
    let folder = tempfile::tempdir().expect("folder");
    let data = data(folder.path());
    let mut whole = Server::start("127.0.0.1:0", usize::MAX, true);
    let ran = attack(&whole.url(), &data, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("report");
    let all = whole.rows();
    let sent: usize = all.values().sum();
    assert_eq!(report["endpoint"]["rows_answered"], sent, "{}", report["endpoint"]);
    assert!(report["endpoint"]["retries"].as_u64() > Some(0), "{}", report["endpoint"]);
    // Eight rows are asked twice to see whether the endpoint answers alike.
    assert_eq!(sent, all.len() + 8);
    assert!(report["robust"][1]["k_robust"].as_u64() < Some(8), "{report:#}");
    let key = &whole.seen.lock().expect("seen").headers[0].clone();
    assert!(key.ends_with("Bearer s3cret"));
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("s3cret"));
    let address = whole.address.clone();
    whole.stop();

    let state = folder.path().join("state.jsonl").display().to_string();
    let quick = ["--state", &state, "--retries", "0"];
    let mut first = Server::start(&address, 20, false);
    let ran = attack(&first.url(), &data, &quick);
    first.stop();
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("the same command goes on"), "{said}");
    let mut second = Server::start(&address, usize::MAX, false);
    let ran = attack(&second.url(), &data, &quick);
    second.stop();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(without_costs(&ran.stdout), without_costs(&serde_json::to_string(&report).unwrap()));
    let (one, two) = (first.rows(), second.rows());
    let both: usize = one.values().chain(two.values()).sum();
    // Eight kept answers are asked again before anything new: is it the same endpoint?
    assert_eq!(both, sent + 8, "else the two runs together ask what one run asks");
    let resumed: Value = serde_json::from_str(&ran.stdout).expect("report");
    assert_eq!(resumed["endpoint"]["rows_answered"], sent + 8);

    // Once more: everything is known, so that nobody need be there.
    let ran = attack(&second.url(), &data, &quick);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let text = fs::read_to_string(&state).expect("journal");
    let head = serde_json::from_str(text.lines().next().expect("head")).expect("head");
    let id = id_of("proofmark.endpoint/1").expect("id");
    assert_eq!(Schemas::committed().faults(&id, &head), [""; 0]);
    // A torn line is dropped and its request counted as lost.
    fs::write(&state, &text[..text.len() - 4]).expect("tear");
    let mut third = Server::start(&address, usize::MAX, false);
    let ran = attack(&third.url(), &data, &quick);
    third.stop();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let resumed: Value = serde_json::from_str(&ran.stdout).expect("report");
    assert!(resumed["endpoint"]["rows_lost"].as_u64() > Some(0), "{}", resumed["endpoint"]);
    let ran = attack("http://127.0.0.1:9/score", &data, &quick);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("other questions"), "{}", ran.stderr);
}

#[test]
fn a_total_of_queries_is_never_passed_and_can_be_raised() {
    let folder = tempfile::tempdir().expect("folder");
    let data = data(folder.path());
    let mut server = Server::start("127.0.0.1:0", usize::MAX, false);
    let state = folder.path().join("state.jsonl").display().to_string();
    let ran = attack(&server.url(), &data, &["--state", &state, "--queries-total", "50"]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    let sent: usize = server.rows().values().sum();
    assert!((48..=50).contains(&sent), "{sent} rows for a total of 50");
    let ran = attack(&server.url(), &data, &["--state", &state, "--queries-total", "5000"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let all = server.rows();
    assert_eq!(all.values().sum::<usize>(), all.len() + 16, "8 known answers, 8 kept");
    server.stop();
}

fn attack_images(server: &str, files: &[String; 2], more: &[&str]) -> Ran {
    let [data, label] = files;
    let args = ["attack", "--endpoint", server, "--data", data, "--label", label];
    let how = ["--norm", "linf", "--eps", "2,40", "--scale", "0-255", "--suite", "square"];
    let cost = ["--access", "score", "--queries", "60", "--batch", "4", "--format", "json"];
    proofmark_with(&[&args[..], &how, &cost, more].concat(), &[])
}

#[test]
fn images_go_out_in_the_shape_that_the_endpoint_takes() {
    let folder = tempfile::tempdir().expect("folder");
    let files = pictures(folder.path());
    let nested = ["--protocol", "json", "--template", "{\"instances\": {{values}}}"];
    let nested = [&nested[..], &["--scores-at", "/predictions/*", "--row-shape", "6,5,3"]].concat();
    let mut whole = Server::start("127.0.0.1:0", usize::MAX, false);
    let ran = attack_images(&whole.url(), &files, &nested);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("a row is sent as [6, 5, 3], channels last"), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("report");
    let sent: usize = whole.rows().values().sum();
    assert_eq!(sent, whole.rows().len() + 8, "eight rows are asked twice, nothing else");
    let robust = |report: &Value, at: usize| report["robust"][at]["k_robust"].as_u64();
    assert!(robust(&report, 1) < robust(&report, 0), "{}", report["robust"]);
    let address = whole.address.clone();
    whole.stop();

    // Ninety pixels are kept by their digest; a run that goes on is the same.
    let state = folder.path().join("state.jsonl").display().to_string();
    let kept = [&nested[..], &["--state", &state, "--retries", "0"]].concat();
    let mut first = Server::start(&address, 20, false);
    let ran = attack_images(&first.url(), &files, &kept);
    first.stop();
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    let mut second = Server::start(&address, usize::MAX, false);
    let ran = attack_images(&second.url(), &files, &kept);
    second.stop();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(without_costs(&ran.stdout), without_costs(&serde_json::to_string(&report).unwrap()));
    let both: usize = first.rows().values().chain(second.rows().values()).sum();
    assert_eq!(both, sent + 8);

    // The metadata name the shape; whole pixels go as they are stored.
    let mut tensors = Server::start("127.0.0.1:0", usize::MAX, false);
    let url = format!("http://{}/v2/models/m/infer", tensors.address);
    let ran = attack_images(&url, &files, &["--protocol", "oip"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("a row is sent as [3, 6, 5], channels first"), "{}", ran.stderr);
    let tensor: Value = serde_json::from_str(&ran.stdout).expect("report");
    assert!(robust(&tensor, 1) < robust(&tensor, 0), "{}", tensor["robust"]);

    // (arguments, words)
    let wrong: [(&[&str], &str); 4] = [
        (&["--protocol", "oip", "--row-shape", "6,5,3"], "is sent rows of [6, 5, 3]"),
        (&["--protocol", "oip", "--mutable", "a"], "`--mutable` does nothing with images"),
        (&["--protocol", "oip", "--row-shape", "4,4,3"], "do not go into rows of [4, 4, 3]"),
        (
            &["--protocol", "json", "--template", "{{rows}}", "--scores-at", "/*"],
            "pixels have no names",
        ),
    ];
    for (more, words) in wrong {
        let ran = attack_images(&url, &files, more);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(ran.code == 2 && said.contains(words), "{said}");
    }
    tensors.stop();
}

#[test]
fn an_endpoint_that_serves_another_model_is_refused() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/credit");
    let (model, data) = (format!("{examples}/gbm.onnx"), format!("{examples}/test.csv"));
    // Answers as the model does not: by the amount alone.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/score", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer_half(stream);
        }
    });
    let columns = "duration,amount,installment_rate,residence_since,checking_status";
    let ran = proofmark_with(
        &[
            "attack",
            "--endpoint",
            &url,
            "--protocol",
            "json",
            "--template",
            "{\"rows\": {{rows}}}",
            "--scores-at",
            "/p",
            "--data",
            &data,
            "--label",
            "class",
            "--columns",
            columns,
            "--norm",
            "linf",
            "--eps",
            "0.05",
            "--scale",
            "bounds",
            "--limit",
            "5",
            "--model",
            &model,
            "--output",
            "probabilities",
            "--mutable",
            "amount,duration",
        ],
        &[],
    );
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("row 0") && said.contains("serves another model"), "{said}");
}

fn answer_half(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("clone"));
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 0 && !line.trim().is_empty() {
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().expect("length");
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("body");
    let request: Value = serde_json::from_slice(&body).expect("json");
    let rows = request["rows"].as_array().map_or(0, Vec::len);
    let answer = json!({ "p": vec![0.5; rows] }).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", answer.len());
    write!(stream, "{head}connection: close\r\n\r\n{answer}").expect("write");
}
