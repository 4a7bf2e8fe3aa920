//! The places against folders made for them.

use std::collections::BTreeMap;
use std::fs;

use super::*;

#[test]
fn places_are_searched_in_order_and_links_give_way_to_versions() {
    let world = World::new();
    let cache = world.library(&format!("home/.cache/proofmark/onnxruntime/{}", VERSION), LIBRARY);
    let package = "lib/python3.12/site-packages/onnxruntime/capi";
    let venv = world.library(&format!("venv/{package}"), LIBRARY);
    world.library(&format!("venv/{package}"), "libonnxruntime_providers_shared.so");
    let python = world.library(&format!("usr/{package}"), LIBRARY);
    world.file("usr/bin/python3");
    let world = world.set("VIRTUAL_ENV", "venv").set("PATH", "usr/bin");
    let found = world.found();
    let of = |place| found.iter().find(|c| c.place == place).unwrap();
    assert_eq!(of(Place::Cache).path.as_ref(), Some(&cache));
    assert_eq!(of(Place::Environment).path.as_ref(), Some(&venv));
    assert_eq!(of(Place::Python).path.as_ref(), Some(&python));
    let order: Vec<Place> = found.iter().map(|c| c.place).collect();
    assert_eq!(order, [Place::Cache, Place::Environment, Place::Python, Place::System]);
}

#[test]
fn a_version_manager_is_followed_to_the_python_in_use() {
    let world = World::new();
    let capi = "pyenv/versions/3.11.9/lib/python3.11/site-packages/onnxruntime/capi";
    let library = world.library(capi, "libonnxruntime.so.1.20.0");
    world.file("pyenv/shims/python3");
    fs::write(world.root.path().join("pyenv/version"), "3.11.9\n").unwrap();
    let world = world.set("PATH", "pyenv/shims");
    let found = world.found();
    let python = found.iter().find(|c| c.place == Place::Python).unwrap();
    assert_eq!(python.path.as_ref(), Some(&library));
}

#[test]
fn a_search_never_takes_what_lies_in_the_project_or_the_current_folder() {
    let package = "lib/python3.12/site-packages/onnxruntime/capi";
    for (name, place, cwd, refused) in [
        ("inside the current folder", "work/project/venv", "work/project", true),
        ("inside the declared folder", "declared/venv", "work", true),
        ("elsewhere", "venv", "work", false),
        ("below the home folder, which is the current one", "home/venv", "home", false),
    ] {
        let world = World::new();
        world.library(&format!("{place}/{package}"), LIBRARY);
        fs::create_dir_all(world.root.path().join("declared")).unwrap();
        fs::create_dir_all(world.root.path().join(cwd)).unwrap();
        let mut world = world.set("VIRTUAL_ENV", place);
        world.cwd = cwd.to_string();
        let found = world.found();
        let venv = found.iter().find(|c| c.place == Place::Environment).unwrap();
        assert_eq!(venv.usable().is_err(), refused, "{name}: {venv:?}");
        let named = |c: &Candidate| c.usable().unwrap_err().contains("--onnxruntime");
        assert!(!refused || named(venv), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn what_anybody_may_write_is_not_taken() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let library = world.library("venv/lib/python3.12/site-packages/onnxruntime/capi", LIBRARY);
    fs::set_permissions(&library, fs::Permissions::from_mode(0o666)).unwrap();
    let world = world.set("VIRTUAL_ENV", "venv");
    let found = world.found();
    let venv = found.iter().find(|c| c.place == Place::Environment).unwrap();
    assert!(venv.usable().unwrap_err().contains("anybody may write"), "{venv:?}");
}

#[test]
fn what_the_user_names_ends_the_search() {
    let world = World::new();
    let library = world.library("lib", LIBRARY);
    let at = |flag: Option<&str>, variable: Option<&str>| {
        let mut variables = BTreeMap::new();
        if let Some(value) = variable {
            variables.insert(VARIABLE.to_string(), OsString::from(value));
        }
        let read = |name: &str| variables.get(name).cloned();
        let around = Surroundings {
            flag: flag.map(PathBuf::from),
            variable: &read,
            cwd: world.root.path().to_path_buf(),
            home: None,
            distrusted: vec![world.root.path().to_path_buf()],
        };
        around.named()
    };
    let whole = library.display().to_string();
    for (flag, variable) in [
        (Some("lib"), None),
        (Some(whole.as_str()), Some("off")),
        (None, Some(whole.as_str())),
        (None, library.parent().and_then(Path::to_str)),
    ] {
        let Named::At(candidate) = at(flag, variable).unwrap() else {
            panic!("{flag:?} {variable:?}");
        };
        assert_eq!(candidate.usable().unwrap(), library, "{flag:?} {variable:?}");
    }
    assert!(matches!(at(Some("off"), Some(&whole)).unwrap(), Named::Off(Place::Flag)));
    assert!(matches!(at(None, Some("off")).unwrap(), Named::Off(Place::Variable)));
    assert!(matches!(at(None, Some("")).unwrap(), Named::No));
    for (flag, variable) in [(Some("nothing"), None), (None, Some("lib")), (None, Some("/no/x"))] {
        assert!(at(flag, variable).is_err(), "{flag:?} {variable:?}");
    }
}

#[test]
fn names_of_libraries() {
    for (name, is) in [
        ("libonnxruntime.so", true),
        ("libonnxruntime.so.1.31.0", true),
        ("libonnxruntime.1.31.0.dylib", true),
        ("libonnxruntime.dylib", true),
        ("onnxruntime.dll", true),
        ("libonnxruntime_providers_shared.so", false),
        ("onnxruntime_pybind11_state.so", false),
        ("libonnxruntime.a", false),
    ] {
        assert_eq!(is_library(name), is, "{name}");
    }
}

/// Folders under a root that goes away, and variables.
struct World {
    root: tempfile::TempDir,
    variables: BTreeMap<String, OsString>,
    cwd: String,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("work")).unwrap();
        fs::create_dir_all(root.path().join("home")).unwrap();
        Self { root, variables: BTreeMap::new(), cwd: "work".into() }
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        path
    }

    fn library(&self, dir: &str, name: &str) -> PathBuf {
        self.file(&format!("{dir}/{name}"))
    }

    fn set(mut self, name: &str, dir: &str) -> Self {
        let path = self.root.path().join(dir).into_os_string();
        self.variables.insert(name.into(), path);
        self
    }

    /// What is found, but for libraries of the machine itself.
    fn found(&self) -> Vec<Candidate> {
        let root = self.root.path().canonicalize().unwrap();
        let read = |name: &str| self.variables.get(name).cloned();
        let around = Surroundings {
            flag: None,
            variable: &read,
            cwd: root.join(&self.cwd),
            home: Some(root.join("home")),
            distrusted: vec![root.join("declared"), root.join(&self.cwd)],
        };
        around.found()
    }
}

use crate::onnxruntime::fetch::VERSION;

const LIBRARY: &str = "libonnxruntime.so.1.31.0";
