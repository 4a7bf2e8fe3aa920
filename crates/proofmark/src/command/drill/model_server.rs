//! A model server to be killed, held and made to lie: the primary model of the scratch copy
//! behind plain HTTP.
//!
//! Owns just enough of HTTP/1.1 for the guard's upstream client. A hidden verb, for drills only:
//! it asks for no key and listens on loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_server::intake::Intake;
use proofmark_server::local::{LocalModel, LocalScorer};
use proofmark_server::scorer::Question;
use serde_json::json;

use crate::command::guard::setup::Setup;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The policy whose primary model it serves, on `/score` in the mapped JSON form.
    #[arg(long)]
    config: PathBuf,
    /// Port; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// While this file exists, the scores of every row are turned round.
    #[arg(long)]
    lie_while: Option<PathBuf>,
}

struct Server {
    scorer: LocalScorer,
    intake: Intake,
    lie_while: Option<PathBuf>,
}

/// Serves until it is killed.
pub fn run(args: &Args) -> Outcome<ExitCode> {
    let setup = Setup::load(&args.config)?;
    let server = Arc::new(Server {
        scorer: scorer(&setup)?,
        intake: intake(&setup)?,
        lie_while: args.lie_while.clone(),
    });
    let listener = TcpListener::bind(("127.0.0.1", args.port)).or_fail("drill", "")?;
    let port = listener.local_addr().or_fail("drill", "")?.port();
    output::json(&json!({"port": port, "process": std::process::id()}));
    for stream in listener.incoming().flatten() {
        let server = server.clone();
        std::thread::spawn(move || server.connection(stream));
    }
    Ok(ExitCode::SUCCESS)
}

/// The primary model of a policy, in this process.
pub fn scorer(setup: &Setup) -> Outcome<LocalScorer> {
    let (file, _) = primary(setup)?;
    let classes = setup.project.system.test_data().map(|d| d.classes.clone()).unwrap_or_default();
    LocalScorer::open(&LocalModel {
        model: &file.model,
        expected: None,
        asset: &file.asset,
        features: &setup.project.system.features,
        classes: &classes,
        threads: 2,
        queue: 256,
    })
    .or_fail("drill", "run `proofmark guard check`")
}

/// The form of requests for every model of a policy.
pub fn intake(setup: &Setup) -> Outcome<Intake> {
    let models = setup.models(&setup.assessed()?, None)?;
    let files = models.iter().map(|(file, _)| file);
    Ok(proofmark_server::guard::intake(&setup.project.system, &setup.policy, files))
}

/// The file of the primary model, and whether it is the assessed one.
pub fn primary(setup: &Setup) -> Outcome<(proofmark_server::guard::ServedFile, bool)> {
    let models = setup.models(&setup.assessed()?, None)?;
    let name = &setup.policy.primary.model;
    let found = models.into_iter().find(|(file, _)| file.asset.name == *name);
    found.ok_or_else(|| Failure::new("drill", format!("models.{name} is not there"), ""))
}

impl Server {
    // Answers until the peer goes; errors end the connection.
    fn connection(&self, stream: TcpStream) {
        let Ok(write) = stream.try_clone() else { return };
        let _ = stream.set_nodelay(true);
        let (mut reader, mut writer) = (BufReader::new(stream), write);
        while let Some(body) = read_request(&mut reader) {
            let (status, text) = match self.answer(&body) {
                Ok(scores) => ("200 OK", json!({"scores": scores}).to_string()),
                Err(words) => ("422 Unprocessable Content", json!({"error": words}).to_string()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                text.len()
            );
            if writer.write_all(head.as_bytes()).is_err()
                || writer.write_all(text.as_bytes()).is_err()
            {
                return;
            }
        }
    }

    fn answer(&self, body: &[u8]) -> Result<Vec<Vec<f32>>, String> {
        let read = self.intake.read(body).map_err(|e| e.to_string())?;
        let question = Question { rows: read.rows, deadline: Instant::now() + PATIENCE };
        let scores = self.scorer.score_blocking(&question).map_err(|e| e.to_string())?;
        let lie = self.lie_while.as_ref().is_some_and(|file| file.exists());
        let rows = scores.values.chunks(scores.classes.max(1)).map(<[f32]>::to_vec);
        let turned = |mut row: Vec<f32>| {
            if lie {
                row.reverse();
            }
            row
        };
        Ok(rows.map(turned).collect())
    }
}

// The body of the next request; `None` at the end, or when it is not what the guard sends.
fn read_request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = None;
    let mut line = String::new();
    for _ in 0..HEADER_LINES_MAX {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end();
        if header.is_empty() {
            let length: u64 = length?;
            let mut body = Vec::new();
            reader.by_ref().take(length).read_to_end(&mut body).ok()?;
            return (body.len() as u64 == length).then_some(body);
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok().filter(|n| *n <= BODY_BYTES_MAX);
        }
    }
    None
}

/// The command that starts it.
pub fn command(config: &Path, port: u16, lie_while: &Path) -> Outcome<std::process::Command> {
    let program = std::env::current_exe().or_fail("drill", "this program does not find itself")?;
    let mut command = std::process::Command::new(program);
    command.args(["drill", "model-server", "--port", &port.to_string(), "--config"]);
    command.arg(config).arg("--lie-while").arg(lie_while);
    Ok(command)
}

const PATIENCE: Duration = Duration::from_secs(5);
const HEADER_LINES_MAX: usize = 64;
const LINE_BYTES_MAX: u64 = 8 * 1024;
/// As the guard's own limit of a body at its most.
const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
