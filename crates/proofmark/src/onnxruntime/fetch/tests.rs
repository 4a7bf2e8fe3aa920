//! Fetching with a pip that is a shell script: it leaves the wheel that the test made.

use std::fs;

use proofmark_formats::zip::ZipWriter;

use super::*;

const MEMBER: &str = "onnxruntime/capi/libonnxruntime.so.1.32.0";

#[test]
fn every_pin_is_a_digest_of_one_platform() {
    for (os, arch, platform, sha256) in PINS {
        assert!(sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{platform}");
        let other = PINS.iter().filter(|p| p.3 == sha256 || (p.0, p.1) == (os, arch)).count();
        assert_eq!(other, 1, "{platform}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_library_of_a_good_wheel_is_kept_and_nothing_else() {
    let world = World::new(&[(MEMBER, library(VERSION)), ("onnxruntime/setup.py", b"x".to_vec())]);
    let fetched = download(&world.pin(), &world.pip(0), &world.cache()).unwrap();
    assert_eq!(fetched.path, world.cache().join(VERSION).join("libonnxruntime.so.1.32.0"));
    assert_eq!(fs::read(&fetched.path).unwrap(), library(VERSION));
    assert_eq!(fetched.sha256, assets::sha256(&library(VERSION)));
    assert_eq!(world.kept(), ["1.32.0/libonnxruntime.so.1.32.0"]);
    let asked = fs::read_to_string(world.root.path().join("asked")).unwrap();
    for words in ["--no-deps", "--only-binary=:all:", "--require-hashes", "--platform"] {
        assert!(asked.contains(words), "{words}: {asked}");
    }
    assert!(asked.contains(&format!("onnxruntime==1.32.0 --hash=sha256:{}", world.sha256())));
    let again = unpack(&world.pin(), &world.wheel, &world.cache()).unwrap();
    assert_eq!(again.path, fetched.path);
}

#[cfg(target_os = "linux")]
#[test]
fn wheels_that_are_not_the_pinned_one_or_are_odd_leave_nothing() {
    let good = || vec![(MEMBER, library(VERSION))];
    let with = |name: &'static str| [good(), vec![(name, b"x".to_vec())]].concat();
    let lone = |name: &'static str, bytes: Vec<u8>| vec![(name, bytes)];
    for (name, members, said) in [
        ("a path upwards", with("onnxruntime/../../.bashrc"), "leaves its folder"),
        ("an absolute path", with("/etc/profile"), "leaves its folder"),
        ("a path of Windows", with("onnxruntime\\..\\x"), "leaves its folder"),
        ("two libraries", with("onnxruntime/capi/libonnxruntime.so"), "exactly one library"),
        ("no library", lone("onnxruntime/x.py", b"x".to_vec()), "exactly one library"),
        ("text as library", lone(MEMBER, b"text".to_vec()), "no shared library"),
        ("another version", lone(MEMBER, library("1.30.0")), "1.30.0"),
        ("cut short", lone(MEMBER, library(VERSION)[..200].to_vec()), "library"),
    ] {
        let world = World::new(&members);
        let failure = download(&world.pin(), &world.pip(0), &world.cache()).unwrap_err();
        assert!(failure.message.contains(said), "{name}: {}", failure.message);
        assert_eq!(world.kept(), [""; 0], "{name}");
    }
    let world = World::new(&good());
    let other = Pin { sha256: "0".repeat(64), ..world.pin() };
    let failure = download(&other, &world.pip(0), &world.cache()).unwrap_err();
    assert!(failure.message.contains("not the pinned"), "{}", failure.message);
    let bytes = fs::read(&world.wheel).unwrap();
    fs::write(&world.wheel, &bytes[..bytes.len() / 2]).unwrap();
    let failure = download(&other, &world.pip(0), &world.cache()).unwrap_err();
    assert!(failure.message.contains("not the pinned"), "{}", failure.message);
    let short = Pin { sha256: assets::sha256(&bytes[..bytes.len() / 2]), ..world.pin() };
    let failure = download(&short, &world.pip(0), &world.cache()).unwrap_err();
    assert!(failure.message.contains("is odd"), "{}", failure.message);
    assert_eq!(world.kept(), [""; 0]);
}

#[cfg(unix)]
#[test]
fn without_pip_the_steps_by_hand_are_told() {
    let world = World::new(&[(MEMBER, library(VERSION))]);
    for python in [world.pip(1), OsString::from("/nowhere/python3")] {
        let failure = download(&world.pin(), &python, &world.cache()).unwrap_err();
        assert!(failure.help.contains("by hand: 1.") && failure.help.contains("--wheel"));
    }
    let failure = download(&world.pin(), &world.pip(1), &world.cache()).unwrap_err();
    assert!(failure.details.contains("No module named pip"), "{}", failure.details);
}

/// A wheel, the folder that is filled from it, and a script that stands for Python.
struct World {
    root: tempfile::TempDir,
    wheel: PathBuf,
}

impl World {
    fn new(members: &[(&str, Vec<u8>)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut zip = ZipWriter::new();
        for (name, bytes) in members {
            zip.add(name, bytes).unwrap();
        }
        let wheel = root.path().join("onnxruntime.whl");
        fs::write(&wheel, zip.finish().unwrap()).unwrap();
        Self { root, wheel }
    }

    fn sha256(&self) -> String {
        assets::sha256(&fs::read(&self.wheel).unwrap())
    }

    fn pin(&self) -> Pin {
        Pin { os: "linux", arch: "x86_64", platform: "any", sha256: self.sha256() }
    }

    fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    #[cfg(unix)]
    fn pip(&self, code: i32) -> OsString {
        use std::os::unix::fs::PermissionsExt;
        let script = format!(
            "#!/bin/sh\nif [ {code} != 0 ]; then echo No module named pip >&2; exit {code}; fi\n\
             echo \"$@\" > '{0}/asked'\nwhile [ $# -gt 0 ]; do\n  case $1 in\n    --dest) cp \
             '{1}' \"$2\";;\n    --requirement) cat \"$2\" >> '{0}/asked';;\n  esac\n  \
             shift\ndone\n",
            self.root.path().display(),
            self.wheel.display()
        );
        let path = self.root.path().join(format!("python-{code}"));
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.into_os_string()
    }

    /// Files in the cache folder, relative to it.
    fn kept(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.cache()];
        while let Some(dir) = folders.pop() {
            for entry in fs::read_dir(&dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.cache()).unwrap();
                    found.push(name.display().to_string());
                }
            }
        }
        found
    }
}

/// The header of a library with one segment, which holds the name of its version.
fn library(version: &str) -> Vec<u8> {
    let mut bytes = vec![0; 300];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (bytes[16], bytes[32], bytes[54], bytes[56]) = (3, 64, 56, 1);
    (bytes[64 + 8], bytes[64 + 32]) = (120, 180);
    let mark = format!("VERS_{version}\0");
    bytes[130..130 + mark.len()].copy_from_slice(mark.as_bytes());
    bytes
}
