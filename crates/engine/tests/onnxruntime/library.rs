//! Files that are no library, or not a whole one, are refused without a crash.

use std::path::{Path, PathBuf};

use proofmark_engine::engine::{EngineKind, compile};
use proofmark_engine::onnxruntime;

use crate::cases::{graph, node};
use crate::ready;

#[test]
fn what_is_no_library_is_refused_with_its_reason() {
    let folder = Scratch::new("refused");
    let elf = [b"\x7fELF\x02\x01".to_vec(), vec![0; 200]].concat();
    for (name, bytes, said) in [
        ("empty", Vec::new(), "no shared library"),
        ("text", b"not a library, whatever its name says".to_vec(), "no shared library"),
        ("header-only", elf, "shared library"),
    ] {
        let path = folder.write(&format!("libonnxruntime.so.{name}"), &bytes);
        let error = onnxruntime::load(&path).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(name), "{name}: {error}");
    }
    let gone = onnxruntime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
    assert!(gone.to_string().contains("`/nowhere/libonnxruntime.so`"), "{gone}");
    let dir = onnxruntime::load(&folder.0).unwrap_err().to_string();
    assert!(dir.contains("it is no file"), "{dir}");
}

/// The loader of the system maps a truncated library and dies at its first missing page.
#[test]
fn a_truncated_library_is_refused_and_the_whole_one_still_loads() {
    let Some(path) = std::env::var_os("PROOFMARK_ONNXRUNTIME").map(PathBuf::from) else {
        assert!(!ready());
        return;
    };
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let whole = std::fs::read(&path).unwrap();
    let folder = Scratch::new("truncated");
    let name = path.file_name().unwrap().to_str().unwrap();
    for part in [1000, whole.len() / 2, whole.len() - 1] {
        let cut = folder.write(name, &whole[..part]);
        let error = onnxruntime::load(&cut).unwrap_err().to_string();
        assert!(error.contains("truncated"), "{part}: {error}");
    }
    assert!(ready());
    let other = folder.write(name, &whole);
    let error = onnxruntime::load(&other).unwrap_err().to_string();
    assert!(error.contains("holds") && error.contains("already"), "{error}");
    let facts = onnxruntime::load(&path).unwrap();
    assert_eq!(Some(&facts), onnxruntime::loaded());
    assert_eq!(EngineKind::OnnxRuntime.facts().version, facts.version);
    assert_eq!(EngineKind::Auto.facts().name, "onnxruntime");
}

#[test]
fn what_is_left_to_the_reference_is_named() {
    if !ready() {
        return;
    }
    let mut tree = graph(&[("x", &[2, 2])], &[], vec![node("Scaler", &["x"], &["y"], &[])]);
    tree.nodes[0].domain = "ai.onnx.ml".into();
    let error = compile(&tree, EngineKind::OnnxRuntime, 1).err().unwrap().to_string();
    assert!(error.contains("`Scaler`") && error.contains("left to the reference"), "{error}");
    let odd = graph(&[("x", &[2])], &[], vec![node("Wobble", &["x"], &["y"], &[])]);
    let error = compile(&odd, EngineKind::OnnxRuntime, 1).err().unwrap().to_string();
    assert!(error.contains("Wobble") && !error.contains('\n'), "{error}");
}

/// A folder that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("proofmark-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
