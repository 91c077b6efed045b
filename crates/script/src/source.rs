use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::shelf::Shelf;

/// A script may be made of this many modules.
const MODULES_MAX: usize = 256;
/// Lua shortens longer names in its messages.
const CHUNK_CHARS_MAX: usize = 40;

/// The text of a script, shared by all who run it, and that of its modules: each is read once, so that
/// every worker runs the same.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    /// The file's name without directories, as Lua says it in messages.
    pub(crate) chunk: String,
    pub(crate) text: Vec<u8>,
    bytes_max: u64,
    /// By the name of their chunk. Locked while a script loads, never in an event.
    modules: Mutex<BTreeMap<String, Arc<[u8]>>>,
    pub(crate) shelf: Shelf,
}

impl Source {
    pub(crate) fn new(path: &Path, text: Vec<u8>, bytes_max: u64) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        Self {
            path: path.to_owned(),
            chunk: name.chars().filter(|c| !c.is_control()).take(CHUNK_CHARS_MAX).collect(),
            text,
            bytes_max,
            modules: Mutex::default(),
            shelf: Shelf::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that Lua knows by the name `chunk`.
    pub(crate) fn file(&self, chunk: &str) -> PathBuf {
        if chunk == self.chunk { self.path.clone() } else { self.folder().join(chunk) }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }

    /// The chunk's name and the text of a module beside the script: `a.b` or `a/b` is `a/b.lua`.
    pub(crate) fn module(&self, name: &str) -> Result<(String, Arc<[u8]>), String> {
        let parts: Vec<&str> = name.split(['/', '.']).collect();
        let is_plain = |part: &&str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        if !parts.iter().all(is_plain) {
            return Err("no such module".to_owned());
        }
        let chunk = format!("{}.lua", parts.join("/"));
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = modules.get(&chunk) {
            return Ok((chunk, Arc::clone(text)));
        }
        if modules.len() >= MODULES_MAX {
            return Err(format!("more than {MODULES_MAX} modules"));
        }
        let path = self.folder().join(&chunk);
        if !path.is_file() {
            return Err("no such module".to_owned());
        }
        let text: Arc<[u8]> = read(&path, self.bytes_max)?.into();
        modules.insert(chunk.clone(), Arc::clone(&text));
        Ok((chunk, text))
    }

    /// The file of the script and those of its modules.
    pub(crate) fn texts(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let modules = modules.iter().map(|(chunk, text)| (self.file(chunk), text.to_vec()));
        std::iter::once((self.path.clone(), self.text.clone())).chain(modules).collect()
    }

    /// Whether any of the texts names one of these calls.
    pub(crate) fn names(&self, calls: &[&[u8]]) -> bool {
        let modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::once(self.text.as_slice())
            .chain(modules.values().map(AsRef::as_ref))
            .any(|text| crate::edits::names(text, calls))
    }
}

/// A file of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => {
            "may not be read by this user (permission denied)".to_owned()
        }
        _ => error.to_string(),
    })?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a directory".to_owned());
    }
    let mut text = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    if u64::try_from(text.len()).is_ok_and(|len| len > bytes_max) {
        return Err(format!("is longer than {bytes_max} bytes"));
    }
    Ok(text)
}
