//! The places where a library of ONNX Runtime may lie, in order.
//!
//! Owns the reading of folders and the rules of trust. Must never load a library or run a
//! program: Python's packages are found by their folders. Called by [`super`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Who named or holds a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `--onnxruntime`
    Flag,
    /// `PROOFMARK_ONNXRUNTIME`
    Variable,
    /// The folder that `engine fetch` fills.
    Cache,
    /// `ORT_DYLIB_PATH`, which other programs read too.
    OrtVariable,
    /// The Python environment that is active.
    Environment,
    /// The first Python on `PATH`.
    Python,
    /// The system's libraries.
    System,
}

/// A place, the library there, and whether it may be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub place: Place,
    /// The library, if there is one.
    pub path: Option<PathBuf>,
    /// Why it is not taken, if so.
    pub refused: Option<String>,
}

/// What the user says about ONNX Runtime.
pub(super) enum Named {
    Off(Place),
    At(Candidate),
    No,
}

/// What a search may see of the process; handed in, so that it can be tested.
pub(super) struct Surroundings<'a> {
    pub flag: Option<PathBuf>,
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub cwd: PathBuf,
    pub home: Option<PathBuf>,
    pub distrusted: Vec<PathBuf>,
}

impl Place {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Flag => "--onnxruntime",
            Self::Variable => VARIABLE,
            Self::Cache => "the folder of `engine fetch`",
            Self::OrtVariable => ORT_VARIABLE,
            Self::Environment => "the active Python environment",
            Self::Python => "the Python on PATH",
            Self::System => "the libraries of the system",
        }
    }

    /// A stable key for machines.
    pub fn key(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Variable => "variable",
            Self::Cache => "fetched",
            Self::OrtVariable => "ort-dylib-path",
            Self::Environment => "python-environment",
            Self::Python => "python-on-path",
            Self::System => "system",
        }
    }

    /// Whether the user named it, so that nothing else will do.
    pub fn named(self) -> bool {
        matches!(self, Self::Flag | Self::Variable)
    }
}

impl Candidate {
    /// The library, or why there is none to be taken.
    pub fn usable(&self) -> Result<&Path, String> {
        match (&self.refused, &self.path) {
            (Some(reason), _) => Err(reason.clone()),
            (None, Some(path)) => Ok(path),
            (None, None) => Err("nothing there".to_string()),
        }
    }
}

impl Surroundings<'_> {
    /// What flag and variable say; both are taken as they are, and a name that leads nowhere is
    /// an error rather than a reason to search on.
    pub fn named(&self) -> Outcome<Named> {
        let flag = self.flag.clone().map(|path| (Place::Flag, path));
        let variable = (self.variable)(VARIABLE).filter(|v| !v.is_empty());
        let named = flag.or_else(|| variable.map(|v| (Place::Variable, PathBuf::from(v))));
        let Some((place, path)) = named else { return Ok(Named::No) };
        if path.as_os_str() == OFF {
            return Ok(Named::Off(place));
        }
        if place == Place::Variable && !path.is_absolute() {
            return Err(Failure::new(
                "onnxruntime",
                format!("{VARIABLE} names `{}`, which is no absolute path", path.display()),
                "name its whole path, or say `off`; `proofmark engine list` shows libraries",
            ));
        }
        let path = self.cwd.join(path);
        let library = if path.is_dir() { library_below(&path) } else { Some(path.clone()) };
        let library = library.filter(|l| l.is_file()).ok_or_else(|| {
            Failure::new(
                "onnxruntime",
                format!("{} names `{}`: no library lies there", place.words(), path.display()),
                "`proofmark engine list` shows where libraries were found",
            )
        })?;
        Ok(Named::At(Candidate { place, path: Some(library), refused: None }))
    }

    /// What lies in the places that are searched, in order.
    pub fn found(&self) -> Vec<Candidate> {
        let mut found = vec![self.candidate(Place::Cache, self.cached())];
        if let Some(path) = self.absolute(ORT_VARIABLE) {
            let library = if path.is_dir() { library_below(&path) } else { Some(path) };
            found.push(self.candidate(Place::OrtVariable, library.filter(|l| l.is_file())));
        }
        for name in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
            if let Some(prefix) = self.absolute(name) {
                found.push(self.candidate(Place::Environment, library_of_python(&prefix)));
            }
        }
        let python = self.pythons().iter().find_map(|prefix| library_of_python(prefix));
        found.push(self.candidate(Place::Python, python));
        let system = SYSTEM.iter().find_map(|dir| library_in(Path::new(dir)));
        found.push(self.candidate(Place::System, system));
        found
    }

    fn candidate(&self, place: Place, path: Option<PathBuf>) -> Candidate {
        let refused = path.as_deref().and_then(|path| self.distrusted(path));
        Candidate { place, path, refused }
    }

    /// Why a library that a search found is not taken. The current folder and the folders of
    /// declarations come from anywhere (an archive, a repository); a home folder, or what lies
    /// above it, is the user's own even when it is the current one.
    fn distrusted(&self, path: &Path) -> Option<String> {
        let real = path.canonicalize().ok()?;
        let own = |dir: &Path| self.home.as_ref().is_some_and(|home| home.starts_with(dir));
        let inside = self.distrusted.iter().find(|dir| !own(dir) && real.starts_with(dir));
        if let Some(dir) = inside {
            return Some(format!(
                "`{}` lies in `{}`; name it with --onnxruntime if you trust it",
                path.display(),
                dir.display()
            ));
        }
        writable_by_all(&real).then(|| format!("anybody may write `{}`", path.display()))
    }

    fn cached(&self) -> Option<PathBuf> {
        let base = super::cache(self.variable, self.home.as_deref())?;
        library_in(&base.join(super::fetch::VERSION))
    }

    /// Where the first Python on `PATH` keeps its packages: its virtual environment, else where
    /// the program really lies. Relative entries of `PATH` are passed over.
    fn pythons(&self) -> Vec<PathBuf> {
        let Some(path) = (self.variable)("PATH") else { return Vec::new() };
        let program = std::env::split_paths(&path)
            .filter(|dir| dir.is_absolute())
            .flat_map(|dir| PYTHONS.map(|name| dir.join(name)))
            .find(|program| program.is_file());
        let Some(program) = program else { return Vec::new() };
        let mut prefixes = Vec::new();
        let parent = |p: &Path| p.parent().and_then(Path::parent).map(Path::to_path_buf);
        prefixes.extend(parent(&program));
        if program.parent().is_some_and(|dir| dir.ends_with("shims"))
            && let Some(root) = parent(&program)
            && let Ok(version) = std::fs::read_to_string(root.join("version"))
            && let Some(version) = version.lines().next()
        {
            prefixes.push(root.join("versions").join(version.trim()));
        }
        prefixes.extend(program.canonicalize().ok().as_deref().and_then(parent));
        prefixes.extend(self.home.as_ref().map(|home| home.join(".local")));
        prefixes
    }

    fn absolute(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).map(PathBuf::from).filter(|p| p.is_absolute())
    }
}

/// `PREFIX/lib/python3.12/site-packages/onnxruntime/capi`, and what Debian and Windows do.
fn library_of_python(prefix: &Path) -> Option<PathBuf> {
    let mut packages = vec![prefix.join("Lib").join("site-packages")];
    for lib in ["lib", "lib64"] {
        let lib = prefix.join(lib);
        for python in children(&lib, |name| name.starts_with("python3")) {
            packages.push(python.join("site-packages"));
            packages.push(python.join("dist-packages"));
        }
    }
    packages.iter().find_map(|dir| library_in(&dir.join("onnxruntime").join("capi")))
}

/// The library in a folder that the user named, or in the usual ones below it.
fn library_below(dir: &Path) -> Option<PathBuf> {
    let usual = [dir.to_path_buf(), dir.join("lib"), dir.join("onnxruntime").join("capi")];
    usual.iter().find_map(|dir| library_in(dir)).or_else(|| library_of_python(dir))
}

/// The library in a folder; the longest name, which carries the version, where there are links.
fn library_in(dir: &Path) -> Option<PathBuf> {
    let found = children(dir, is_library);
    found.into_iter().filter(|p| p.is_file()).max_by_key(|p| (p.as_os_str().len(), p.clone()))
}

/// Whether a file name is that of the library on some platform.
pub(super) fn is_library(name: &str) -> bool {
    let tail = name.strip_prefix("libonnxruntime.");
    let linux = tail.is_some_and(|t| t == "so" || t.starts_with("so."));
    let mac = tail.is_some_and(|t| t.ends_with("dylib"));
    linux || mac || name == "onnxruntime.dll"
}

/// Children of a folder whose name fits, in order of name; at most [`CHILDREN_MAX`] are read.
fn children(dir: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .take(CHILDREN_MAX)
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(&fits))
        .collect();
    found.sort();
    found
}

/// Whether the file or its folder may be written by everybody.
fn writable_by_all(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        const OTHERS_WRITE: u32 = 0o002;
        let open =
            |p: &Path| p.metadata().is_ok_and(|m| m.permissions().mode() & OTHERS_WRITE != 0);
        open(path) || path.parent().is_some_and(open)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

/// Path, folder, or [`OFF`].
pub const VARIABLE: &str = "PROOFMARK_ONNXRUNTIME";
/// Read by other programs that load ONNX Runtime.
const ORT_VARIABLE: &str = "ORT_DYLIB_PATH";
/// Switches the engine off.
const OFF: &str = "off";
/// Names of Python on `PATH`.
const PYTHONS: [&str; 4] = ["python3", "python", "python3.exe", "python.exe"];
/// Where packages of the system and its owner's own builds put libraries. Windows is left out:
/// the copy that it ships is old and bound to its own programs.
const SYSTEM: [&str; 8] = [
    "/usr/local/lib",
    "/usr/local/lib64",
    "/opt/onnxruntime/lib",
    "/opt/homebrew/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];
/// A folder of libraries of a whole distribution has some ten thousand files.
const CHILDREN_MAX: usize = 100_000;

#[cfg(test)]
mod tests;
