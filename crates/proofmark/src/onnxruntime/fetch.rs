//! `engine fetch`: the library of ONNX Runtime out of its pinned Python wheel.
//!
//! Owns the pins and the road of the bytes: pip downloads into a folder that goes away, the hash
//! is checked here whatever pip checked, one member is unpacked by our bounded reader and moved
//! into the cache folder in one step. Must never run anything out of the wheel, and never take a
//! wheel with another hash. Called by `engine fetch`.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use proofmark_engine::onnxruntime;
use proofmark_evidence::durable::{self, OsFs};
use proofmark_formats::zip::ZipArchive;

use super::places::is_library;
use crate::assets;
use crate::failure::{Failure, OrFail, Outcome};

/// The version that is fetched.
pub const VERSION: &str = "1.32.0";

/// A wheel, by platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    os: &'static str,
    arch: &'static str,
    /// Platform tag of the wheel.
    pub platform: &'static str,
    /// SHA-256 of the wheel, hex.
    pub sha256: String,
}

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The library.
    pub path: PathBuf,
    /// Its SHA-256, hex.
    pub sha256: String,
}

impl Pin {
    /// The wheel for this machine.
    pub fn here() -> Outcome<Self> {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        let found = PINS.iter().find(|(o, a, ..)| (*o, *a) == (os, arch));
        let found = found.filter(|_| !cfg!(target_env = "musl"));
        let Some(&(os, arch, platform, sha256)) = found else {
            return Err(Failure::new(
                "fetch",
                format!("there is no wheel of ONNX Runtime {VERSION} for {os} on {arch}"),
                "build the library and name it with --onnxruntime, or use --engine rten",
            ));
        };
        Ok(Self { os, arch, platform, sha256: sha256.to_string() })
    }

    /// What pip is asked to do, with `requirements` holding [`Pin::requirement`].
    pub fn arguments(&self, requirements: &Path, dest: &Path) -> Vec<OsString> {
        let fixed = "-m pip download --no-deps --only-binary=:all: --require-hashes --no-input \
                     --disable-pip-version-check --implementation cp";
        let mut all: Vec<OsString> = fixed.split_whitespace().map(OsString::from).collect();
        let mut pair = |flag: &str, value: &OsStr| all.extend([flag.into(), value.to_os_string()]);
        pair("--python-version", OsStr::new(PYTHON));
        pair("--abi", OsStr::new(ABI));
        pair("--platform", OsStr::new(self.platform));
        pair("--dest", dest.as_os_str());
        pair("--requirement", requirements.as_os_str());
        all
    }

    /// The line of the file of requirements.
    pub fn requirement(&self) -> String {
        format!("{PACKAGE}=={VERSION} --hash=sha256:{}\n", self.sha256)
    }
}

/// Downloads the wheel with that Python's pip and unpacks the library below `cache`.
pub fn download(pin: &Pin, python: &OsStr, cache: &Path) -> Outcome<Fetched> {
    let scratch = tempfile::tempdir().or_fail("fetch", "make room in the temporary folder")?;
    let requirements = scratch.path().join("requirements.txt");
    let dest = scratch.path().join("wheel");
    std::fs::write(&requirements, pin.requirement()).or_fail("fetch", "")?;
    std::fs::create_dir(&dest).or_fail("fetch", "")?;
    let ran = Command::new(python)
        .args(pin.arguments(&requirements, &dest))
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| by_hand(pin, &format!("`{}` does not run: {e}", python.display())))?;
    if !ran.status.success() {
        let words = String::from_utf8_lossy(&ran.stderr);
        let last: Vec<&str> = words.lines().rev().take(LINES_SHOWN).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        let failure = by_hand(pin, &format!("`{} -m pip` failed", python.display()));
        return Err(failure.with_details(last.join("\n")));
    }
    let wheels = std::fs::read_dir(&dest).or_fail("fetch", "")?;
    let mut wheels = wheels.filter_map(|entry| Some(entry.ok()?.path()));
    let (Some(wheel), None) = (wheels.next(), wheels.next()) else {
        return Err(by_hand(pin, "pip did not leave exactly one file"));
    };
    unpack(pin, &wheel, cache)
}

/// Unpacks the library of a wheel that lies there already.
pub fn unpack(pin: &Pin, wheel: &Path, cache: &Path) -> Outcome<Fetched> {
    let refused = |words: String| {
        let help = "nothing was kept; fetch it again, and look at where pip downloads from";
        Failure::new("fetch", format!("`{}` {words}", wheel.display()), help)
    };
    let bytes = durable::read_bounded(wheel, WHEEL_BYTES_MAX).or_fail("fetch", "")?;
    let found = assets::sha256(&bytes);
    if found != pin.sha256 {
        let wanted = &pin.sha256;
        return Err(refused(format!("has SHA-256 {found}, not the pinned {wanted}")));
    }
    let archive = ZipArchive::open(&bytes, UNPACKED_BYTES_MAX)
        .map_err(|e| refused(format!("is odd: {e}")))?;
    if let Some(entry) = archive.entries().iter().find(|e| leaves(e.name())) {
        return Err(refused(format!("holds `{}`, which leaves its folder", entry.name())));
    }
    let mut libraries = archive.entries().iter().filter_map(|entry| {
        let name = entry.name().strip_prefix(MEMBER_FOLDER)?;
        is_library(name).then_some((name, entry))
    });
    let (Some((name, entry)), None) = (libraries.next(), libraries.next()) else {
        return Err(refused("does not hold exactly one library".to_string()));
    };
    let library = entry.read().map_err(|e| refused(format!("is odd: {e}")))?;
    keep(name, &library, cache).map_err(refused)
}

/// Puts the library in place once it is what it should be.
fn keep(name: &str, library: &[u8], cache: &Path) -> Result<Fetched, String> {
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let trial = scratch.path().join(name);
    std::fs::write(&trial, library).map_err(|e| e.to_string())?;
    let version = onnxruntime::inspect(&trial).map_err(|e| format!("holds a library: {e}"))?;
    if version != VERSION {
        return Err(format!("holds ONNX Runtime {version}, not {VERSION}"));
    }
    let path = cache.join(VERSION).join(name);
    durable::write(&OsFs, &path, library).map_err(|e| e.to_string())?;
    Ok(Fetched { path, sha256: assets::sha256(library) })
}

/// Whether a member would be written outside the folder that it is unpacked in.
fn leaves(name: &str) -> bool {
    let odd = |c: Component<'_>| !matches!(c, Component::Normal(_) | Component::CurDir);
    name.contains('\\') || name.contains(':') || Path::new(name).components().any(odd)
}

/// The same by hand, for a machine without pip or network.
fn by_hand(pin: &Pin, message: &str) -> Failure {
    let help = format!(
        "by hand: 1. on a machine with pip: python3 -m pip download --no-deps \
         --only-binary=:all: --implementation cp --python-version {PYTHON} --abi {ABI} \
         --platform {} {PACKAGE}=={VERSION}\n2. here: proofmark engine fetch --wheel FILE.whl",
        pin.platform
    );
    Failure::new("fetch", message, help)
}

/// The folder that fetched libraries lie in.
pub fn cache() -> Outcome<PathBuf> {
    let folder = super::cache(&|name| std::env::var_os(name), std::env::home_dir().as_deref());
    folder.ok_or_else(|| {
        Failure::new("no-home", "there is no folder to keep the library in", "set XDG_CACHE_HOME")
    })
}

/// Name of the package.
const PACKAGE: &str = "onnxruntime";
/// One wheel per platform is pinned, whatever Python runs pip: the library is the same in all.
const PYTHON: &str = "3.12";
const ABI: &str = "cp312";
/// Where the library lies in the wheel.
const MEMBER_FOLDER: &str = "onnxruntime/capi/";
/// Operating system, architecture, platform tag, SHA-256 of the wheel as the index lists it.
const PINS: [(&str, &str, &str, &str); 5] = [
    (
        "linux",
        "x86_64",
        "manylinux_2_28_x86_64",
        "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
    ),
    (
        "linux",
        "aarch64",
        "manylinux_2_28_aarch64",
        "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
    ),
    (
        "macos",
        "aarch64",
        "macosx_14_0_arm64",
        "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
    ),
    (
        "windows",
        "x86_64",
        "win_amd64",
        "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
    ),
    (
        "windows",
        "aarch64",
        "win_arm64",
        "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
    ),
];
/// Wheels of the processor build are below 40 MiB; those with CUDA, which are not pinned, 300.
const WHEEL_BYTES_MAX: u64 = 256 << 20;
/// What the members of such a wheel claim together stays below 100 MiB.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;
/// Of pip's complaints the last lines hold the cause.
const LINES_SHOWN: usize = 12;

#[cfg(test)]
mod tests;
