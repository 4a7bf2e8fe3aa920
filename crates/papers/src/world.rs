//! The closed world that Typst sees: one template, one paper, the fonts in this binary.
//!
//! Owns what Typst may read. Must never touch the file system, the network, the clock, packages
//! or fonts of the machine: a request for anything else is "not found".

use std::collections::HashMap;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Feature, Features, Library, LibraryExt, World};
use typst_kit::fonts::FontStore;

/// What Typst may see.
pub struct Closed {
    library: LazyHash<Library>,
    fonts: FontStore,
    main: Source,
    files: HashMap<FileId, Bytes>,
}

impl Closed {
    /// The template and the files it may read, by path.
    pub fn new(template: &str, files: Vec<(String, Vec<u8>)>) -> Option<Self> {
        let main = Source::new(file_id("/paper.typ")?, template.to_owned());
        let mut named = HashMap::new();
        for (path, bytes) in files {
            named.insert(file_id(&path)?, Bytes::new(bytes));
        }
        // Heads of rows are tagged through an interface that Typst still calls extra.
        let features: Features = [Feature::A11yExtras].into_iter().collect();
        let library = LazyHash::new(Library::builder().with_features(features).build());
        Some(Self { library, fonts: fonts(), main, files: named })
    }
}

/// The fonts in this binary.
pub fn fonts() -> FontStore {
    let mut fonts = FontStore::new();
    fonts.extend(typst_kit::fonts::embedded());
    fonts
}

fn file_id(path: &str) -> Option<FileId> {
    let path = VirtualPath::new(path).ok()?;
    Some(FileId::new(RootedPath::new(VirtualRoot::Project, path)))
}

impl World for Closed {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        self.fonts.book()
    }

    fn main(&self) -> FileId {
        self.main.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main.id() { Ok(self.main.clone()) } else { Err(absent(id)) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.files.get(&id).cloned().ok_or_else(|| absent(id))
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.font(index)
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}

fn absent(id: FileId) -> FileError {
    FileError::NotFound(id.get().vpath().get_without_slash().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_paper_can_be_read() {
        let files = vec![("/paper.json".to_owned(), b"{}".to_vec())];
        let world = Closed::new("= Title", files).unwrap();
        assert!(world.file(file_id("/paper.json").unwrap()).is_ok());
        for path in ["/etc/passwd", "/paper.txt", "/"] {
            assert!(world.file(file_id(path).unwrap()).is_err(), "{path}");
            assert!(world.source(file_id(path).unwrap()).is_err(), "{path}");
        }
        assert!(world.today(None).is_none());
        assert!(world.fonts.book().families().count() >= 3);
    }
}
