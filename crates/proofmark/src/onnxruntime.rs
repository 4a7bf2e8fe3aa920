//! Where a library of ONNX Runtime comes from: named by the user, fetched, or found.
//!
//! Owns the order of the places and their safety. Loading a library runs its code, so a search
//! must never take one that the current folder, the folder of a declaration, or anybody but the
//! owner of the machine may have put there; what the user names is taken as it is. Called by
//! whatever needs an engine, through [`prepare`], and by `engine list|fetch`.

pub mod fetch;
mod places;
pub mod silent;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use proofmark_engine::engine::EngineKind;
use proofmark_engine::onnxruntime;

use crate::failure::{Failure, Outcome};
use crate::output;

pub use places::{Candidate, Place};
use places::{Named, Surroundings};

/// Keeps what `--onnxruntime` says; called once, before any verb runs.
pub fn remember(flag: Option<&Path>) {
    let _ = FLAG.set(flag.map(Path::to_path_buf));
}

/// Keeps a folder of a declaration: nothing that a search finds in there is loaded.
pub fn distrust(dir: &Path) {
    if let Ok(dir) = dir.canonicalize() {
        DISTRUSTED.lock().unwrap_or_else(PoisonError::into_inner).push(dir);
    }
}

/// Makes the wanted engine ready: loads ONNX Runtime for `auto`, where it is found, and for
/// `onnxruntime`, where it must be. Gives the engine back, so that no caller forgets.
pub fn prepare(kind: EngineKind, quiet: bool) -> Outcome<EngineKind> {
    let pinned = kind == EngineKind::OnnxRuntime;
    if !(pinned || kind == EngineKind::Auto) || onnxruntime::loaded().is_some() {
        return Ok(kind);
    }
    let search = Search::here()?;
    let mut tried = Vec::new();
    for candidate in &search.candidates {
        match candidate.load() {
            Ok(()) => {
                if !silent::held() {
                    output::note(quiet, silent::UNSET);
                }
                return Ok(kind);
            }
            Err(words) if candidate.place.named() => {
                let place = candidate.place.words();
                return Err(unusable(&format!("{words} (named by {place})")));
            }
            Err(words) => {
                if candidate.path.is_some() {
                    output::note(quiet, &format!("ONNX Runtime passed over: {words}"));
                }
                tried.push(format!("{}: {words}", candidate.place.words()));
            }
        }
    }
    match (pinned, search.off) {
        (false, _) => Ok(kind),
        (true, Some(place)) => {
            Err(unusable(&format!("ONNX Runtime is switched off by {}", place.words())))
        }
        (true, None) => {
            Err(unusable("no library of ONNX Runtime was found").with_details(tried.join("\n")))
        }
    }
}

/// What a search sees, in order. Nothing is loaded.
pub struct Search {
    /// Every place and what lies there.
    pub candidates: Vec<Candidate>,
    /// Who switched the engine off, if so; there are no candidates then.
    pub off: Option<Place>,
}

impl Search {
    /// The places of this process.
    pub fn here() -> Outcome<Self> {
        let cwd = std::env::current_dir().unwrap_or_default();
        let mut distrusted = DISTRUSTED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        distrusted.push(cwd.clone());
        let home = std::env::home_dir();
        let flag = FLAG.get().cloned().flatten();
        let variable = |name: &str| std::env::var_os(name);
        Self::of(&Surroundings { flag, variable: &variable, cwd, home, distrusted })
    }

    fn of(around: &Surroundings<'_>) -> Outcome<Self> {
        Ok(match around.named()? {
            Named::Off(place) => Self { candidates: Vec::new(), off: Some(place) },
            Named::At(candidate) => Self { candidates: vec![candidate], off: None },
            Named::No => Self { candidates: around.found(), off: None },
        })
    }
}

impl Candidate {
    fn load(&self) -> Result<(), String> {
        let path = self.usable()?;
        onnxruntime::load(path).map(|_| ()).map_err(|e| e.to_string())
    }
}

/// Where `engine fetch` puts the library of a version.
fn cache(
    around: &dyn Fn(&str) -> Option<std::ffi::OsString>,
    home: Option<&Path>,
) -> Option<PathBuf> {
    let absolute = |name: &str| around(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = match std::env::consts::OS {
        "windows" => absolute("LOCALAPPDATA"),
        "macos" => home.map(|h| h.join("Library").join("Caches")),
        _ => absolute("XDG_CACHE_HOME").or_else(|| home.map(|h| h.join(".cache"))),
    };
    base.map(|b| b.join("proofmark").join("onnxruntime"))
}

fn unusable(message: &str) -> Failure {
    let help = "`proofmark engine list` shows every place; `proofmark engine fetch` gets the \
                library, `--onnxruntime PATH` names one, `--engine rten` needs none";
    Failure::new("onnxruntime", message, help)
}

static FLAG: OnceLock<Option<PathBuf>> = OnceLock::new();
static DISTRUSTED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
