//! Folders of images: which files they hold, of which class, and what their pixels are.
//!
//! Owns the order of the rows, the classes by subfolder or by list, and the one meaning of pixels:
//! stored values, channels first, neither scaled nor turned nor matched to a profile. Must never
//! open a file or resize an image. Called by `proofmark`, which reads the files.

mod jpeg;
mod png;

use std::collections::{BTreeMap, BTreeSet};

use proofmark_schema::system::{DataAsset, DialectPins, Feature, Task};

use crate::csv::{self, CsvError, Hints};
use crate::images::{Images, outside};
use crate::table::count_classes;

/// An image of a folder: its name within the folder, parts separated by `/`, and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: String,
    /// Class index, in the order of `classes` of the data set.
    pub class: usize,
}

/// Why a folder of images could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FolderError {
    /// No image.
    #[error("the folder holds no image; PNG and JPEG are read")]
    Empty,
    /// Labels that are numbers.
    #[error(
        "a folder of images gives classes, but `task = \"regression\"` is declared; save the \
         images as one array and the numbers as `labels = \"labels.npy\"`"
    )]
    NotClasses,
    /// An image that lies in no subfolder.
    #[error(
        "`{name}` lies in no subfolder; put it into one named after its class, or name a list of \
         labels: `labels = \"labels.csv\"`"
    )]
    NoClass {
        /// File.
        name: String,
    },
    /// A subfolder or label that is no class.
    #[error("`{name}`: `{text}` is no class; known: {known}")]
    ClassUnknown {
        /// File.
        name: String,
        /// Subfolder or label.
        text: String,
        /// Known values, with their classes.
        known: String,
    },
    /// The list of labels cannot be read.
    #[error("the list of labels: {0}")]
    Labels(#[from] CsvError),
    /// The list of labels has other columns.
    #[error("the list of labels has the columns {found}; `file` and `label` are read")]
    LabelColumns {
        /// Columns of the list.
        found: String,
    },
    /// A file of the list that is not there, or one that is listed twice or not at all.
    #[error("`{name}` {problem}")]
    Listed {
        /// File.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The feature declares no shape: it is no image.
    #[error("feature `{feature}` declares no `shape`, so it is no image")]
    NoShape {
        /// Feature.
        feature: String,
    },
    /// A file that is no image.
    #[error("`{name}` cannot be read: {reason}")]
    Unreadable {
        /// File.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An image of another size.
    #[error(
        "`{name}` is {found}, `shape = [{}, {}, {}]` wants {} high and {} wide; resize the images \
         as the training code did", .shape[0], .shape[1], .shape[2], .shape[1], .shape[2]
    )]
    Size {
        /// File.
        name: String,
        /// Its size, in words.
        found: String,
        /// Declared shape.
        shape: [usize; 3],
    },
    /// An image of other channels.
    #[error("`{name}` is {found}, which does not give {channels} channels; {hint}")]
    Channels {
        /// File.
        name: String,
        /// What it is.
        found: &'static str,
        /// Declared channels.
        channels: usize,
        /// What to do.
        hint: &'static str,
    },
    /// Images of 8 and of 16 bits.
    #[error("`{name}` has {found} bits per value, the images before it {before}")]
    Depth {
        /// File.
        name: String,
        /// Bits.
        found: u8,
        /// Bits of the others.
        before: u8,
    },
    /// More pixels than are held.
    #[error("{images} images of that shape take over {limit} bytes; use `limit`")]
    TooLarge {
        /// Images.
        images: usize,
        /// Limit.
        limit: usize,
    },
}

/// The images that a folder with these files holds, in the order of the list of labels, or else
/// of their names; at most `limit` of the data set. Names that begin with a dot are left out.
///
/// # Errors
/// See [`FolderError`].
pub fn entries(
    files: &[String],
    labels: Option<&[u8]>,
    asset: &DataAsset,
) -> Result<Vec<Entry>, FolderError> {
    if asset.task != Task::Classification {
        return Err(FolderError::NotClasses);
    }
    let hidden = |name: &str| name.split('/').any(|part| part.starts_with('.'));
    let mut names: Vec<&str> = files.iter().map(String::as_str).filter(|n| !hidden(n)).collect();
    names.sort_unstable();
    let mut entries = match labels {
        Some(bytes) => listed(&names, bytes, asset)?,
        None => {
            let by_folder = |name: &&str| {
                let parts = name.split_once('/');
                let (class, _) =
                    parts.ok_or_else(|| FolderError::NoClass { name: (*name).to_owned() })?;
                entry(name, class, asset)
            };
            names.iter().map(by_folder).collect::<Result<_, _>>()?
        }
    };
    if let Some(limit) = asset.limit {
        entries.truncate(limit);
    }
    if entries.is_empty() { Err(FolderError::Empty) } else { Ok(entries) }
}

fn listed(names: &[&str], bytes: &[u8], asset: &DataAsset) -> Result<Vec<Entry>, FolderError> {
    let hints = Hints { columns: &["file", "label"], numeric: &["none"], limit: None };
    let records = csv::read(bytes, &DialectPins::default(), &hints)?;
    let (Some(file), Some(label)) = (records.position("file"), records.position("label")) else {
        return Err(FolderError::LabelColumns { found: records.columns.join(", ") });
    };
    let wrong = |name: &str, problem| FolderError::Listed { name: name.to_owned(), problem };
    let mut left: BTreeSet<&str> = names.iter().copied().collect();
    let mut entries = Vec::with_capacity(records.len());
    for (name, label) in records.column(file).zip(records.column(label)) {
        if !left.remove(name) {
            let problem = if names.contains(&name) {
                "stands twice in the list of labels"
            } else {
                "stands in the list of labels, but not in the folder"
            };
            return Err(wrong(name, problem));
        }
        entries.push(entry(name, label, asset)?);
    }
    match left.first() {
        Some(name) => Err(wrong(name, "lies in the folder, but has no label in the list")),
        None => Ok(entries),
    }
}

fn entry(name: &str, text: &str, asset: &DataAsset) -> Result<Entry, FolderError> {
    let name = name.to_owned();
    match asset.classes.iter().position(|(_, value)| value == text) {
        Some(class) => Ok(Entry { name, class }),
        None => {
            let known: Vec<String> =
                asset.classes.iter().map(|(class, value)| format!("`{value}` ({class})")).collect();
            let (text, known) = (text.to_owned(), known.join(", "));
            Err(FolderError::ClassUnknown { name, text, known })
        }
    }
}

/// What an image looks like before anything is declared: shape as channels, height and width,
/// least and greatest value.
///
/// # Errors
/// [`FolderError::Unreadable`]; sides are at most 16,384.
pub fn look(name: &str, bytes: &[u8]) -> Result<([usize; 3], [f64; 2]), FolderError> {
    let unreadable = |reason| FolderError::Unreadable { name: name.to_owned(), reason };
    let seen = std::cell::Cell::new((0, 0));
    let size = |w: usize, h: usize| {
        seen.set((w, h));
        let fits = w.max(h) <= SIDE_MAX && w.saturating_mul(h) <= LOOK_PIXELS_MAX;
        if fits { Ok(()) } else { Err(unreadable(format!("it is {h} high and {w} wide"))) }
    };
    let pixels = decoded(bytes, &size, &unreadable)?;
    let channels = match pixels.channels {
        Channels::Grey => 1,
        Channels::GreyAlpha => 2,
        Channels::Colour => 3,
        Channels::ColourAlpha => 4,
    };
    let least = pixels.data.iter().min().copied().unwrap_or_default();
    let most = pixels.data.iter().max().copied().unwrap_or_default();
    let (width, height) = seen.get();
    Ok(([channels, height, width], [f64::from(least), f64::from(most)]))
}

/// The classes that a list of labels names, and how many of its files are among `names`; `None`
/// where it is no list of labels.
pub fn listed_labels(bytes: &[u8], names: &[String]) -> Option<(Vec<String>, usize)> {
    let hints = Hints { columns: &["file", "label"], numeric: &["none"], limit: None };
    let records = csv::read(bytes, &DialectPins::default(), &hints).ok()?;
    let (file, label) = (records.position("file")?, records.position("label")?);
    let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let found = records.column(file).filter(|name| known.contains(name)).count();
    let labels: BTreeSet<&str> = records.column(label).collect();
    Some((labels.into_iter().map(str::to_owned).collect(), found))
}

fn decoded(
    bytes: &[u8],
    size: &dyn Fn(usize, usize) -> Result<(), FolderError>,
    unreadable: &dyn Fn(String) -> FolderError,
) -> Result<Pixels, FolderError> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png::decode(bytes, size, unreadable)
    } else if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        jpeg::decode(bytes, size, unreadable)
    } else {
        Err(unreadable("it is neither PNG nor JPEG".to_owned()))
    }
}

/// A decoded image.
struct Pixels {
    /// Values in rows of pixels, channels within a pixel.
    data: Vec<u16>,
    channels: Channels,
    bits: u8,
    /// What was not applied, as counted at the end.
    untouched: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Channels {
    Grey,
    GreyAlpha,
    Colour,
    ColourAlpha,
}

/// Images of one folder, put together one by one.
pub struct Gather<'a> {
    asset: &'a DataAsset,
    feature: &'a Feature,
    shape: [usize; 3],
    data: Vec<f32>,
    labels: Vec<usize>,
    bits: Option<u8>,
    said: BTreeMap<&'static str, usize>,
}

impl<'a> Gather<'a> {
    /// Gets ready for that many images.
    ///
    /// # Errors
    /// [`FolderError::NoShape`] and [`FolderError::TooLarge`].
    pub fn begin(
        asset: &'a DataAsset,
        feature: &'a Feature,
        images: usize,
    ) -> Result<Self, FolderError> {
        let no_shape = || FolderError::NoShape { feature: feature.name.clone() };
        let shape = feature.shape.ok_or_else(no_shape)?;
        let size = shape.iter().try_fold(4usize, |size, d| size.checked_mul(*d));
        let bytes = size.and_then(|size| size.checked_mul(images));
        if bytes.is_none_or(|bytes| bytes > PIXEL_BYTES_MAX) {
            return Err(FolderError::TooLarge { images, limit: PIXEL_BYTES_MAX });
        }
        let (data, labels, said) = (Vec::new(), Vec::new(), BTreeMap::new());
        Ok(Self { asset, feature, shape, data, labels, bits: None, said })
    }

    /// Decodes one file and puts it behind the others.
    ///
    /// # Errors
    /// See [`FolderError`]; every one names the file.
    pub fn push(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), FolderError> {
        let name = &entry.name;
        let unreadable = |reason| FolderError::Unreadable { name: name.clone(), reason };
        let [_, height, width] = self.shape;
        let size = |w: usize, h: usize| {
            let found = format!("{h} high and {w} wide");
            let same = (w, h) == (width, height);
            if same {
                Ok(())
            } else {
                Err(FolderError::Size { name: name.clone(), found, shape: self.shape })
            }
        };
        let pixels = decoded(bytes, &size, &unreadable)?;
        if let Some(before) = self.bits.filter(|before| *before != pixels.bits) {
            let (name, found) = (name.clone(), pixels.bits);
            return Err(FolderError::Depth { name, found, before });
        }
        self.bits = Some(pixels.bits);
        for what in &pixels.untouched {
            *self.said.entry(what).or_default() += 1;
        }
        self.place(name, &pixels)?;
        self.labels.push(entry.class);
        Ok(())
    }

    /// Channels first, as many as declared.
    fn place(&mut self, name: &str, pixels: &Pixels) -> Result<(), FolderError> {
        let wanted = self.shape.first().copied().unwrap_or_default();
        let (stored, found) = match pixels.channels {
            Channels::Grey => (1, "grey"),
            Channels::GreyAlpha => (2, "grey with transparency"),
            Channels::Colour => (3, "colour"),
            Channels::ColourAlpha => (4, "colour with transparency"),
        };
        let opaque = u16::MAX >> (16 - u16::from(pixels.bits));
        let each = || pixels.data.chunks_exact(stored);
        let solid = || each().all(|pixel| pixel.last() == Some(&opaque));
        let refuse = |hint| {
            let (name, channels) = (name.to_owned(), wanted);
            Err(FolderError::Channels { name, found, channels, hint })
        };
        let alpha = matches!(pixels.channels, Channels::GreyAlpha | Channels::ColourAlpha);
        if alpha && wanted != 4 {
            if !solid() {
                return refuse("put it on a ground of one colour where it is saved");
            }
            *self
                .said
                .entry("a transparency that is solid throughout was left out")
                .or_default() += 1;
        }
        let sources: &[usize] = match (pixels.channels, wanted) {
            (Channels::Grey | Channels::GreyAlpha, 1) => &[0],
            (Channels::Grey | Channels::GreyAlpha, 3) => {
                *self.said.entry("grey was repeated for three channels").or_default() += 1;
                &[0, 0, 0]
            }
            (Channels::Colour | Channels::ColourAlpha, 3) => &[0, 1, 2],
            (Channels::ColourAlpha, 4) => &[0, 1, 2, 3],
            (Channels::Colour | Channels::ColourAlpha, 1) => {
                return refuse("convert it to grey as the training code did");
            }
            _ => return refuse("declare the channels that the files have"),
        };
        for source in sources {
            let channel = each().map(|p| f32::from(p.get(*source).copied().unwrap_or_default()));
            self.data.extend(channel);
        }
        Ok(())
    }

    /// The images, and what was not applied or was added, in words.
    pub fn finish(self) -> (Images, Vec<String>) {
        let said = self.said.iter().map(|(what, n)| {
            let files = if *n == 1 { "image" } else { "images" };
            format!("{n} {files}: {what}")
        });
        let size: usize = self.shape.iter().product();
        let images = Images {
            n: self.labels.len(),
            shape: self.shape,
            classes: count_classes(&self.asset.classes, &self.labels),
            violations: outside(&self.data, size.max(1), self.feature).into_iter().collect(),
            data: self.data,
            labels: self.labels,
            targets: Vec::new(),
            whole: true,
        };
        (images, said.collect())
    }
}

const PROFILE: &str = "a colour profile or gamma is not applied: pixels are those stored";
const ORIENTATION: &str = "an orientation (EXIF) is not applied: pixels are those stored";
/// Pixels of a side of an image that is only looked at.
const SIDE_MAX: usize = 1 << 14;
/// Pixels of an image that is only looked at.
const LOOK_PIXELS_MAX: usize = 16 << 20;
/// Bytes of all pixels as floats: the model's inputs are as large again.
const PIXEL_BYTES_MAX: usize = 1 << 30;
