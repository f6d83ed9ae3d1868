//! The few file operations durability is made of. A node uses [`Disk`]; tests put a disk in its
//! place that fails, fills up, and loses in a crash whatever was not synced, in any order.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// A file system. Nothing is durable until synced: content by [`Storage::sync`], the name of a
/// file, new, changed or gone, by [`Storage::sync_folder`]. Errors name the path.
pub trait Storage: Clone + Send + 'static {
    /// A file open for writing.
    type File: Send + 'static;

    /// The names in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// The whole content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Makes an empty file, or empties the one there.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Opens a file that is there.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Writes all of `bytes` at `offset`. On an error nobody knows what was written.
    fn write_at(&self, file: &mut Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file, or lengthens it by zeros that take no space yet.
    fn set_len(&self, file: &mut Self::File, size_bytes: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    /// Gives a file another name, in place of the file that had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// What a file is called until it is whole.
pub const UNFINISHED: &str = ".new";

/// Bytes of a large file written between syncs, so that the log's own syncs, which may have to wait
/// for all that the file system has collected, never wait for a whole snapshot. After each, the disk
/// is left to the log for as long as it took.
const PIECE_BYTES: usize = 512 << 10;

/// Makes a file of these parts, one behind the other, or replaces the one there: whatever happens,
/// `name` stands for the old file, whole, or for the new one, whole; for the new one, durably, once
/// this returns.
pub fn put<S: Storage>(storage: &S, folder: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let unfinished = folder.join(format!("{name}{UNFINISHED}"));
    let mut file = storage.create(&unfinished)?;
    let mut offset = 0;
    for piece in parts.iter().flat_map(|part| part.chunks(PIECE_BYTES)) {
        let begun = Instant::now();
        storage.write_at(&mut file, piece, offset)?;
        offset += piece.len() as u64;
        if piece.len() == PIECE_BYTES {
            storage.sync(&mut file)?;
            thread::sleep(begun.elapsed());
        }
    }
    storage.sync(&mut file)?;
    storage.rename(&unfinished, &folder.join(name))?;
    storage.sync_folder(folder)
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

/// A file of the machine, which knows its name for the sake of errors.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    path: PathBuf,
}

impl Storage for Disk {
    type File = DiskFile;

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder).and_then(|entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        });
        names.map_err(failed("cannot be listed", folder))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path).map_err(failed("cannot be read", path))
    }

    fn create(&self, path: &Path) -> io::Result<DiskFile> {
        let file = File::create(path).map_err(failed("cannot be created", path))?;
        Ok(DiskFile { file, path: path.to_owned() })
    }

    fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().write(true).open(path);
        let file = file.map_err(failed("cannot be opened", path))?;
        Ok(DiskFile { file, path: path.to_owned() })
    }

    fn write_at(&self, file: &mut DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        let written = file.file.write_all_at(bytes, offset);
        written.map_err(failed("cannot be written", &file.path))
    }

    fn set_len(&self, file: &mut DiskFile, size_bytes: u64) -> io::Result<()> {
        file.file.set_len(size_bytes).map_err(failed("cannot be resized", &file.path))
    }

    fn sync(&self, file: &mut DiskFile) -> io::Result<()> {
        file.file.sync_data().map_err(failed("cannot be synced", &file.path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(failed("cannot be renamed into place", to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path).map_err(failed("cannot be removed", path))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("cannot be synced", folder))
    }
}

fn failed(what: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {what}: {error}", path.display()))
}
