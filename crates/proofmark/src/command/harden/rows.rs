//! The measure `adversarial-rows`: the training rows as the attacker would move them, as a file
//! that the training script reads like its own.
//!
//! Owns the writing in the dialect of the training data. Labels are kept, other columns are copied
//! as they stand. The harness judges which of the rows are witnesses; the list beside the file
//! says so row by row. Must never take a row from the measured data.

use std::sync::{Arc, Mutex};

use proofmark_dataset::csv::{self, Delimiter, Hints, LineEnd, Records};
use proofmark_dataset::images::Images;
use proofmark_dataset::table::Table;
use proofmark_formats::npy::{self, NpyArray, NpyData};
use proofmark_lab::ctx::Ctx;
use proofmark_lab::evasion::suite::Suite;
use proofmark_lab::harness::{self, Case, Done, RowRecord};
use proofmark_lab::oracle::Oracle;
use proofmark_lab::treatment::{Press, Pressed};
use proofmark_schema::system::{Access, Layout};
use serde_json::json;

use super::arms::{Ground, failed};
use super::scene::{Built, Scene};
use super::{MeasureName, bug};
use crate::failure::{Failure, OrFail, Outcome};
use crate::loader::{self, Rows};
use crate::subject::{self, Subject};
use crate::{assets, output};

/// The files, and a sentence about them.
pub struct Made {
    pub files: Vec<Built>,
    pub said: String,
}

/// One row to train on.
struct Moved {
    row: usize,
    eps: f64,
    witness: bool,
    x: Vec<f32>,
}

/// Attacks the training data when the measure is taken.
pub fn build(scene: &Scene<'_>, ground: &Ground<'_>) -> Outcome<Option<Made>> {
    let taken = scene.taken.iter().any(|t| t.name == MeasureName::AdversarialRows);
    let Some(train) = scene.train.as_ref().filter(|_| taken) else { return Ok(None) };
    output::note(ground.quiet, &format!("training rows of data.{} under attack", train.asset.name));
    ground.bars.begin("training rows");
    let model = loader::held_model(scene.project, &scene.primary_asset)?;
    let trained = subject::load_model(scene.project, &model, &train.asset.name, scene.settings)?;
    let moved = attack(scene, ground, &trained);
    ground.bars.end();
    let moved = moved?;
    let witnesses = moved.iter().filter(|m| m.witness).count();
    let said = format!(
        "{} rows written, {witnesses} of them witnesses at the declared decision",
        moved.len()
    );
    let mut files = match &trained.data().rows {
        Rows::Table(table) => vec![table_file(scene, &trained, table, &moved)?],
        Rows::Images(images) => image_files(scene, &trained, images, &moved)?,
        Rows::Series(_) => Vec::new(),
    };
    files.push(list(scene, &trained, &moved)?);
    Ok(Some(Made { files, said }))
}

/// At every budget the worst point that is found of each attackable row; rows that this leaves
/// standing are attacked by the declared suite as well.
fn attack(scene: &Scene<'_>, ground: &Ground<'_>, subject: &Subject) -> Outcome<Vec<Moved>> {
    let threat = &scene.threat;
    let space = subject.space(threat.scale)?;
    let probe = format!("harden/{}/{}/rows", subject.data().asset.name, threat.name);
    let constraints = subject.constraints(threat.cost_limit)?;
    let case = Case {
        oracle: &subject.target,
        second: None,
        space: &space,
        labels: subject.labels(),
        decision: subject.decision,
        criterion: scene.criterion,
        norm: threat.norm,
        // The provider trains on what an attacker with the model would find.
        access: Access::WhiteBox,
        queries_limit: None,
        constraints: constraints.as_ref(),
        probe: &probe,
    };
    let ctx = Ctx { seed: scene.project.system.seed, progress: ground.bars, cancel: ground.cancel };
    let rows: Vec<usize> =
        (0..subject.target.rows()).take(scene.limit.unwrap_or(usize::MAX)).collect();
    let mut moved: Vec<Moved> = Vec::new();
    for &eps in &threat.eps {
        let pressed = Arc::new(Mutex::new(Pressed::new()));
        let press = Press::new(subject.decision, Arc::clone(&pressed));
        let suite = Suite::named(&threat.suite, &case, None)
            .or_fail("suite", "choose another suite for this threat")?
            .led_by(Box::new(press));
        let records = harness::run(&case, &suite, &[eps], &rows, &Done::new(), &ctx, &mut |_| {})
            .map_err(failed)?;
        let pressed = pressed.lock().unwrap_or_else(|e| e.into_inner());
        for record in &records {
            moved.extend(of_row(record, eps, &pressed, subject, &moved));
        }
    }
    moved.sort_by(|a, b| a.row.cmp(&b.row).then(a.eps.total_cmp(&b.eps)));
    Ok(moved)
}

/// The witness of a row, else the point nearest to being one, unless it is known or the clean one.
fn of_row(
    record: &RowRecord,
    eps: f64,
    pressed: &Pressed,
    subject: &Subject,
    known: &[Moved],
) -> Option<Moved> {
    let row = record.point.index as usize;
    let within = record.point.distance.upper.is_some_and(|d| d <= eps);
    let witness = record.witness.as_ref().filter(|_| within && record.attacked());
    let x = witness.or_else(|| pressed.get(&row))?;
    let told = known.iter().any(|m| m.row == row && m.x == *x);
    (!told && x.as_slice() != subject.target.clean(row)).then(|| Moved {
        row,
        eps,
        witness: witness.is_some(),
        x: x.clone(),
    })
}

fn table_file(
    scene: &Scene<'_>,
    subject: &Subject,
    table: &Table,
    moved: &[Moved],
) -> Outcome<Built> {
    let asset = &subject.data().asset;
    let bytes = assets::read_data(&scene.project.path(&asset.path))?;
    let features = &scene.project.system.features;
    let mut columns: Vec<&str> = features.iter().map(|f| f.name.as_str()).collect();
    columns.extend(asset.label.as_deref());
    columns.extend(asset.ignore.iter().map(String::as_str));
    let numeric: Vec<&str> =
        features.iter().filter(|f| f.kind.is_numeric()).map(|f| f.name.as_str()).collect();
    let hints = Hints { columns: &columns, numeric: &numeric, limit: asset.limit };
    let records = bug(csv::read(&bytes, &asset.dialect, &hints))?;
    let text = write(&records, subject.target.coordinates(), moved);
    let bytes = text.into_bytes();
    // What is shipped must be read back as it was meant, by the reader of the training data.
    if !moved.is_empty() {
        let mut whole = asset.clone();
        whole.limit = None;
        let back = bug(Table::read(&bytes, &whole, features))?;
        let same = back.n == moved.len()
            && moved.iter().zip(&back.labels).all(|(m, l)| table.labels.get(m.row) == Some(l))
            && back.dialect.delimiter == table.dialect.delimiter;
        let new = back.violations.len() > table.violations.len();
        if !same || new {
            return Err(Failure::new(
                "adversarial-rows",
                "the written rows do not read back as meant",
                "please report this with the first lines of the training data",
            ));
        }
    }
    Ok(Built {
        measure: MeasureName::AdversarialRows,
        name: TABLE.to_owned(),
        media_type: "text/csv",
        bytes,
        personal: true,
    })
}

/// The rows in the dialect of `records`, with the moved values in place of the clean ones.
fn write(records: &Records, coordinates: &[String], moved: &[Moved]) -> String {
    let dialect = &records.dialect;
    let end = match dialect.line_end {
        LineEnd::Lf => "\n",
        LineEnd::CrLf => "\r\n",
        LineEnd::Cr => "\r",
    };
    let delimiter = match dialect.delimiter {
        Delimiter::Char(c) => char::from(c),
        Delimiter::Blanks => ' ',
    };
    let line = |fields: Vec<String>| {
        let fields: Vec<String> = fields.iter().map(|f| quoted(f, delimiter)).collect();
        fields.join(&delimiter.to_string()) + end
    };
    let mut text = String::from(if dialect.bom { "\u{feff}" } else { "" });
    if dialect.header {
        text.push_str(&line(records.columns.clone()));
    }
    for m in moved {
        let mut fields: Vec<String> = (0..records.columns.len())
            .map(|column| records.field(m.row, column).unwrap_or_default().to_owned())
            .collect();
        for (name, &value) in coordinates.iter().zip(&m.x) {
            let Some(field) = records.position(name).and_then(|at| fields.get_mut(at)) else {
                continue;
            };
            // Where nothing moved the text of the file stays, to the last digit.
            let before = records.number(field).map(|v| v as f32);
            if !value.is_nan() && before != Some(value) {
                *field = value.to_string().replace('.', &dialect.decimal.to_string());
            }
        }
        text.push_str(&line(fields));
    }
    text
}

fn quoted(field: &str, delimiter: char) -> String {
    let plain = !field.contains([delimiter, '"', '\n', '\r']);
    if plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}

/// Images and labels as the training data hold them: channels first, in the unit of the file.
fn image_files(
    scene: &Scene<'_>,
    subject: &Subject,
    images: &Images,
    moved: &[Moved],
) -> Outcome<Vec<Built>> {
    use proofmark_dataset::bind::Free;
    let Free::Image(free) = &subject.binding().free else {
        return Err(Failure::new("adversarial-rows", "the images are not movable", ""));
    };
    let [channels, height, width] = images.shape;
    let size = channels * height * width;
    let lowest = scene.project.system.image().and_then(|f| f.bounds).map_or(0.0, |b| b[0]);
    let mut pixels = vec![0.0_f32; moved.len() * size];
    for (m, out) in moved.iter().zip(pixels.chunks_mut(size.max(1))) {
        for (at, &value) in m.x.iter().enumerate() {
            let (channel, place) = match free.layout {
                Layout::Nchw => (at / (height * width).max(1), at),
                Layout::Nhwc => {
                    let (pixel, channel) = (at / channels.max(1), at % channels.max(1));
                    (channel, channel * height * width + pixel)
                }
            };
            let (Some(low), Some(unit)) = (free.lower.get(channel), free.unit_raw.get(channel))
            else {
                continue;
            };
            let raw = lowest + (f64::from(value) - low) / unit;
            if let Some(pixel) = out.get_mut(place) {
                *pixel = if images.whole { raw.round() as f32 } else { raw as f32 };
            }
        }
    }
    let whole = images.whole && pixels.iter().all(|v| (0.0..=255.0).contains(v));
    let data = match whole {
        true => NpyData::U8(pixels.iter().map(|&v| v as u8).collect()),
        false => NpyData::F32(pixels),
    };
    let classes = &subject.data().asset.classes;
    let label = |m: &Moved| {
        let class = images.labels.get(m.row).copied().unwrap_or_default();
        let text = classes.get(class).and_then(|c| c.1.parse().ok());
        text.unwrap_or(class as i64)
    };
    let labels = NpyData::I64(moved.iter().map(label).collect());
    let n = moved.len();
    let file = |name: &str, shape: Vec<usize>, data| -> Outcome<Built> {
        let bytes = bug(npy::write(&bug(NpyArray::new(shape, data))?))?;
        let (measure, media_type) = (MeasureName::AdversarialRows, "application/x-npy");
        Ok(Built { measure, name: String::from(name), media_type, bytes, personal: true })
    };
    Ok(vec![file(IMAGES, vec![n, channels, height, width], data)?, file(LABELS, vec![n], labels)?])
}

/// Which training row each line comes from, and whether it is a witness.
fn list(scene: &Scene<'_>, subject: &Subject, moved: &[Moved]) -> Outcome<Built> {
    let rows: Vec<_> =
        moved.iter().map(|m| json!({"row": m.row, "eps": m.eps, "witness": m.witness})).collect();
    let document = json!({
        "format": "proofmark.adversarial-rows/1",
        "system": scene.project.system.name,
        "model": scene.primary_asset.name,
        "data": subject.data().asset.name,
        "threat": scene.threat.name,
        "suite": scene.threat.suite,
        "seed": scene.project.system.seed,
        "assets": subject.facts(0).assets,
        "rows": rows,
    });
    let mut bytes = bug(serde_json::to_vec(&document))?;
    bytes.push(b'\n');
    Ok(Built {
        measure: MeasureName::AdversarialRows,
        name: LIST.to_owned(),
        media_type: "application/json",
        bytes,
        personal: true,
    })
}

/// Name of the table.
pub const TABLE: &str = "adversarial-rows.csv";
/// Names of the images and their labels.
pub const IMAGES: &str = "adversarial-images.npy";
/// Labels of the images.
pub const LABELS: &str = "adversarial-labels.npy";
/// Name of the list beside them.
pub const LIST: &str = "adversarial-rows.json";

#[cfg(test)]
mod tests {
    use proofmark_schema::system::DialectPins;

    use super::*;

    #[test]
    fn rows_are_written_in_the_dialect_they_were_read_in() {
        let cases = [
            (
                "comma",
                "id,amount,note\n7,100,\"a, b\"\n8,200,c\n",
                "id,amount,note\n8,150,c\n7,1.5,\"a, b\"\n",
            ),
            (
                "semicolon, decimal comma",
                "id;amount;note\r\n7;100,5;a\r\n8;2,25;c\r\n",
                "id;amount;note\r\n8;150;c\r\n7;1,5;a\r\n",
            ),
            (
                "byte order mark",
                "\u{feff}id,amount,note\n7,100,a\n8,200,c\n",
                "\u{feff}id,amount,note\n8,150,c\n7,1.5,a\n",
            ),
        ];
        let moved = |row, x: f32| Moved { row, eps: 0.1, witness: true, x: vec![x] };
        for (name, file, wanted) in cases {
            let decimal = file.contains("100,5").then_some(',');
            let pins = DialectPins { decimal, ..DialectPins::default() };
            let hints =
                Hints { columns: &["id", "amount", "note"], numeric: &["amount"], limit: None };
            let records = csv::read(file.as_bytes(), &pins, &hints).unwrap();
            let text = write(&records, &["amount".into()], &[moved(1, 150.0), moved(0, 1.5)]);
            assert_eq!(text, wanted, "{name}");
        }
    }

    #[test]
    fn what_did_not_move_keeps_its_text() {
        let hints = Hints { columns: &["a", "b"], numeric: &["a"], limit: None };
        let records = csv::read(b"a,b\n0.10,x\n1e2,y\n", &DialectPins::default(), &hints).unwrap();
        let moved = [0.1_f32, 100.0].iter().enumerate().map(|(row, &x)| Moved {
            row,
            eps: 0.1,
            witness: false,
            x: vec![x],
        });
        let text = write(&records, &["a".into()], &moved.collect::<Vec<_>>());
        assert_eq!(text, "a,b\n0.10,x\n1e2,y\n");
    }
}
