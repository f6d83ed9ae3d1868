//! Snapshot images as files, one an image: written whole or not at all, and verified when read.
//!
//! ```text
//!   snapshot-<group>-<index>.img, little-endian
//!    0  magic                  "QUORIMG\n"
//!    8  version                u16
//!   10  group                  u32
//!   14  entries covered        u64
//!   22  bytes of the image     u64
//!   30  checksum of the image  u32, CRC32C
//!   34  checksum of the above  u32, CRC32C
//!   38  the image
//! ```

use crate::bytes::Reader;
use crate::protocol::{GroupId, Index};
use crate::storage::{self, Storage, UNFINISHED};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The layout described here.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"QUORIMG\n";
const HEADER_BYTES: usize = 38;

/// The images in a folder. Saving may be done by another thread, with a clone of this.
#[derive(Clone)]
pub struct Images<S: Storage> {
    storage: S,
    folder: PathBuf,
}

/// Why an image cannot be used.
#[derive(Debug)]
pub enum Unusable {
    /// The machine failed, or there is no such file.
    Machine(io::Error),
    /// The file is of another version of this program.
    Version(PathBuf, u16),
    /// The file is not as it was written, or is another image under this name.
    Damaged(PathBuf),
}

impl<S: Storage> Images<S> {
    /// The images in `folder`.
    pub fn new(storage: S, folder: &Path) -> Images<S> {
        Images { storage, folder: folder.to_owned() }
    }

    /// Makes an image durable: content and name.
    pub fn save(&self, group: GroupId, index: Index, image: &[u8]) -> io::Result<()> {
        let header = header(group, index, image);
        storage::put(&self.storage, &self.folder, &name(group, index), &[&header, image])
    }

    /// Reads an image, and checks that it is the one that was saved.
    pub fn load(&self, group: GroupId, index: Index) -> Result<Arc<[u8]>, Unusable> {
        let path = self.folder.join(name(group, index));
        let bytes = self.storage.read(&path).map_err(Unusable::Machine)?;
        let damaged = || Unusable::Damaged(path.clone());
        let (found, image) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        if found == header(group, index, image) {
            return Ok(image.into());
        }
        let mut fields = Reader(found);
        let magic = fields.u64().map(u64::to_le_bytes);
        let version = fields.u8().and_then(|low| Ok(u16::from_le_bytes([low, fields.u8()?])));
        match (magic, version) {
            (Ok(MAGIC), Ok(version)) if version != VERSION => Err(Unusable::Version(path, version)),
            _ => Err(damaged()),
        }
    }

    /// Removes images of the group that are older than `needed`, the one that a *durable* record
    /// names. Newer ones stay: a record that names them may be on its way.
    pub fn retire(&self, group: GroupId, needed: Index) -> io::Result<()> {
        for file in self.storage.list(&self.folder)? {
            if parse(&file).is_some_and(|(of, index)| of == group && index < needed) {
                self.storage.remove(&self.folder.join(file))?;
            }
        }
        Ok(())
    }

    /// Removes images that a crash left unfinished. For the start, before anything is saved.
    pub fn remove_unfinished(&self) -> io::Result<()> {
        for file in self.storage.list(&self.folder)? {
            if file.strip_suffix(UNFINISHED).and_then(parse).is_some() {
                self.storage.remove(&self.folder.join(file))?;
            }
        }
        Ok(())
    }
}

/// The file of an image.
pub fn name(group: GroupId, index: Index) -> String {
    format!("snapshot-{}-{:016}.img", group.0, index.0)
}

fn parse(name: &str) -> Option<(GroupId, Index)> {
    let (group, index) = name.strip_prefix("snapshot-")?.strip_suffix(".img")?.split_once('-')?;
    let image = (GroupId(group.parse().ok()?), Index(index.parse().ok()?));
    (self::name(image.0, image.1) == name).then_some(image)
}

fn header(group: GroupId, index: Index, image: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&group.0.to_le_bytes());
    header.extend_from_slice(&index.0.to_le_bytes());
    header.extend_from_slice(&(image.len() as u64).to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(image).to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header.try_into().expect("the sizes above add up")
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Machine(error) => error.fmt(f),
            Unusable::Version(path, found) => {
                write!(f, "{}: found format {found}, expected format {VERSION}", path.display())
            }
            Unusable::Damaged(path) => write!(
                f,
                "{}: damaged: it is not the image that was saved under this name",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Unusable {}
