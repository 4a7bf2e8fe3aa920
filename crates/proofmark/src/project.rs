//! A folder with a declaration. Owns finding, reading and explaining `proofmark.toml`.
//!
//! Must never measure; called by every verb that takes `-C DIR`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};
use proofmark_schema::measurement::AssetDigest;
use proofmark_schema::system::{self, System};

use crate::assets;
use crate::failure::{Failure, Outcome};
use crate::loader::Held;
use crate::onnxruntime;

/// A declared system and where it lies.
pub struct Project {
    /// Folder of the declaration; asset paths are relative to it.
    pub dir: PathBuf,
    /// The validated declaration.
    pub system: System,
    /// Digest of the declaration file.
    pub sha256: String,
    /// What was read already.
    pub held: Held,
}

impl Project {
    /// Refuses what this verb cannot do yet: it works on decisions over tables and images.
    pub fn decides(&self, verb: &str) -> Outcome<()> {
        let what = match (self.system.task().is_regression(), self.system.series().is_some()) {
            (false, false) => return Ok(()),
            (true, _) => "answers with a number",
            (false, true) => "reads series",
        };
        Err(Failure::new(
            "not-for-this-system",
            format!("this system {what}; `{verb}` works on decisions over tables and images"),
            "assess, gate, dossier, verify and replay work on it",
        ))
    }

    /// Reads `DIR/proofmark.toml`.
    pub fn load(dir: &Path) -> Outcome<Self> {
        let file = dir.join(FILE);
        if !file.is_file() {
            return Err(Failure::new(
                "no-declaration",
                format!("there is no `{}`", file.display()),
                format!("write one from what lies there: proofmark init {}", dir.display()),
            ));
        }
        onnxruntime::distrust(dir);
        let bytes = assets::read_limited(&file, DECLARATION_BYTES_MAX)?;
        let sha256 = assets::sha256(&bytes);
        let text = String::from_utf8(bytes).map_err(|error| {
            Failure::new(
                "declaration-not-utf8",
                format!(
                    "`{}` is not UTF-8 (byte {})",
                    file.display(),
                    error.utf8_error().valid_up_to()
                ),
                "save it as UTF-8",
            )
        })?;
        match system::parse(&text) {
            Ok(system) => {
                Ok(Self { dir: dir.to_path_buf(), system, sha256, held: Held::default() })
            }
            Err(diagnostics) => Err(refused(&file, &text, &diagnostics, &REFUSED)),
        }
    }

    /// Path of an asset named in the declaration.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.dir.join(relative)
    }

    /// Digest entry of the declaration itself.
    pub fn digest(&self) -> AssetDigest {
        AssetDigest { name: "declaration".into(), sha256: self.sha256.clone() }
    }
}

/// How a refused document is spoken of.
pub struct Refused {
    /// Code of the failure.
    pub code: &'static str,
    /// What did not happen.
    pub outcome: &'static str,
    /// What to do next.
    pub help: &'static str,
}

/// All problems of a document, each with its source line.
pub fn refused(
    file: &Path,
    text: &str,
    diagnostics: &[system::Diagnostic],
    how: &Refused,
) -> Failure {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    let mut details = String::new();
    for diagnostic in diagnostics {
        let mut labels = vec![LabeledSpan::new_primary_with_span(
            Some(diagnostic.label.clone()),
            diagnostic.span.clone(),
        )];
        if let Some((span, label)) = &diagnostic.also {
            labels.push(LabeledSpan::new_with_span(Some(label.clone()), span.clone()));
        }
        let rendered = MietteDiagnostic::new(diagnostic.message.clone())
            .with_code(diagnostic.code)
            .with_help(diagnostic.help.clone())
            .with_labels(labels);
        let report = miette::Report::new(rendered)
            .with_source_code(NamedSource::new(file.display().to_string(), text.to_owned()));
        // Writing into a String cannot fail.
        let _ = handler.render_report(&mut details, report.as_ref());
        details.push('\n');
    }
    let count = diagnostics.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    Failure::new(
        how.code,
        format!("`{}` has {count} {noun}; {}", file.display(), how.outcome),
        how.help,
    )
    .with_details(details)
}

const REFUSED: Refused = Refused {
    code: "declaration-refused",
    outcome: "nothing was measured",
    help: "mend what is marked above and run `proofmark check` again",
};

/// Name of the declaration.
pub const FILE: &str = "proofmark.toml";
/// A declaration is written by hand; more than this is a wrong file.
const DECLARATION_BYTES_MAX: u64 = 4 << 20;
