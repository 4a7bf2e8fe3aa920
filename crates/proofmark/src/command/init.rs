//! `init`: a first declaration from the assets that lie in a folder.
//!
//! Owns what is recognised and what is told about files that must not be loaded. A pickle is
//! recognised by content and never opened.

mod folders;
mod found;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use proofmark_formats::sniff::Kind;
use serde_json::json;

use super::Global;
use crate::cli::Format;
use crate::failure::{Failure, OrFail, Outcome};
use crate::{arrays, output, project};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Folder with models and data.
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// Runs the verb.
pub fn run(args: &Args, global: Global) -> Outcome<ExitCode> {
    let file = args.dir.join(project::FILE);
    if file.exists() {
        return Err(Failure::new(
            "declaration-exists",
            format!("`{}` is there already; it is not overwritten", file.display()),
            format!("check it: proofmark check -C {}", args.dir.display()),
        ));
    }
    let files = list(&args.dir)?;
    let found = found::survey(&args.dir, &files)?;
    for note in &found.notes {
        output::note(global.quiet, note);
    }
    if found.template.models.is_empty()
        && let Some(pickle) = found.pickles.first()
    {
        return Err(only_a_pickle(pickle));
    }
    if found.template.models.is_empty() && found.template.data.is_empty() {
        return Err(Failure::new(
            "nothing-found",
            format!("there is neither a model nor data in `{}`", args.dir.display()),
            "put a model (.onnx, or the file of XGBoost, LightGBM or CatBoost) and the test data \
             there, then run `proofmark init` again",
        ));
    }
    let text = found.template.render();
    arrays::write_file(&file, text.as_bytes())?;
    let open = text.lines().filter(|l| l.trim_start().starts_with("# SAY")).count();
    if global.format == Format::Json {
        output::json(&json!({"format": "proofmark.init/1", "declaration": file,
            "models": found.template.models.len(), "data": found.template.data.len(),
            "to_say": open}));
    } else {
        output::data(&format!(
            "wrote `{}`; models found: {}, data files: {}\n\
             {open} places wait for a person: search for `# SAY:`\n\
             then: proofmark check -C {}\n",
            file.display(),
            found.template.models.len(),
            found.template.data.len(),
            args.dir.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)
        .or_fail("unreadable", "name a folder that exists: proofmark init DIR")?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && !hidden(path))
        .collect();
    files.sort();
    if files.len() > FILES_MAX {
        return Err(Failure::new(
            "too-many-files",
            format!("`{}` holds {} files", dir.display(), files.len()),
            "make a folder with the model and its test data only",
        ));
    }
    Ok(files)
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Whether a kind of file runs code when it is loaded.
fn is_pickle(kind: &Kind) -> bool {
    matches!(kind, Kind::Pickle { .. } | Kind::ZipWithPickle | Kind::PossiblyJoblib { .. })
}

fn only_a_pickle(path: &Path) -> Failure {
    Failure::new(
        "only-a-pickle",
        format!(
            "`{}` is the only model here and it is a pickle: loading it runs code, so it is not \
             loaded",
            path.display()
        ),
        format!(
            "export it where it was trained, then run `proofmark init` again:\n{}",
            sklearn_recipe(path)
        ),
    )
}

/// How a scikit-learn model becomes ONNX, with the scores that parity is checked against.
pub fn sklearn_recipe(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!(
        r#"
    import joblib, numpy, pandas
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    model = joblib.load("{name}")
    X = pandas.read_csv("test.csv").drop(columns=["LABEL"])  # sep=";", decimal="," if so
    kinds = [(c, FloatTensorType([None, 1]) if X[c].dtype.kind in "iuf"
                 else StringTensorType([None, 1])) for c in X.columns]
    onnx = to_onnx(model, initial_types=kinds, options={{"zipmap": False}}, target_opset=18)
    open("{stem}.onnx", "wb").write(onnx.SerializeToString())
    numpy.save("expected.npy", model.predict_proba(X).astype(numpy.float32))
"#
    )
}

/// A folder of assets holds a handful of files; thousands mean the wrong folder.
const FILES_MAX: usize = 1_000;
