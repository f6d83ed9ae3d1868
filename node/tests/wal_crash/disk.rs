//! A disk in memory that fails when told to, and forgets in a crash whatever was not synced.

use fastrand::Rng;
use node::storage::Storage;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// What is written and lost at once. Small, so that a batch has many.
const SECTOR_BYTES: usize = 64;

/// The disk; clones share it.
#[derive(Clone, Default)]
pub struct TestDisk(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// The names after each change that is not synced.
    unsynced_names: Vec<BTreeMap<PathBuf, usize>>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    struck: bool,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

/// What an operation does that fails.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Nothing.
    Nothing,
    /// Half its work: a write is short, the disk being full.
    Half,
    /// All of it, and then it reports an error.
    All,
}

/// What a crash leaves of that which was not synced.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// All of it: only the process was killed.
    All,
    /// Nothing.
    Nothing,
    /// Some sectors and not others, and the first few changes of names.
    Some(u64),
}

/// A file handle.
pub struct Handle(usize);

impl TestDisk {
    /// Has the operation with this number fail, counted from the start.
    pub fn fail(&self, operation: u64, fault: Fault) {
        self.state().fault = Some((operation, fault));
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Whether the fault has happened.
    pub fn struck(&self) -> bool {
        self.state().struck
    }

    /// The disk as the next start finds it.
    pub fn after(&self, crash: Crash) -> TestDisk {
        let mut state = self.state().clone();
        (state.fault, state.struck, state.operations) = (None, false, 0);
        let all = state.unsynced_names.len();
        let (mut random, kept) = match crash {
            // The machine goes on, and what it has not synced it may still lose later.
            Crash::All => return TestDisk(Arc::new(Mutex::new(state))),
            Crash::Nothing => (Rng::with_seed(0), 0),
            Crash::Some(seed) => {
                let mut random = Rng::with_seed(seed);
                let kept = random.u64(..all as u64 + 1) as usize;
                (random, kept)
            }
        };
        if let Some(last) = kept.checked_sub(1) {
            state.durable_names = state.unsynced_names.swap_remove(last);
        }
        for file in &mut state.files {
            file.now = match crash {
                Crash::Some(_) => mixed(file, &mut random),
                Crash::All | Crash::Nothing => file.durable.clone(),
            };
            file.durable = file.now.clone();
        }
        state.names = state.durable_names.clone();
        state.unsynced_names.clear();
        TestDisk(Arc::new(Mutex::new(state)))
    }

    /// The bytes of a file, if there is one.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(path).map(|file| state.files[*file].now.clone())
    }

    /// Puts a file there, durably.
    pub fn set(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(Content { now: bytes.clone(), durable: bytes });
        state.names.insert(path.to_owned(), file);
        state.durable_names = state.names.clone();
    }

    /// A copy that shares nothing.
    pub fn copy(&self) -> TestDisk {
        self.after(Crash::All)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics in here")
    }

    /// Does a changing operation, or fails as told. `half`: what is done if half is done.
    fn operate<T>(
        &self,
        half: impl FnOnce(&mut State),
        whole: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let operation = state.operations;
        state.operations += 1;
        let Some((_, fault)) = state.fault.filter(|(at, _)| *at == operation) else {
            return whole(&mut state);
        };
        state.struck = true;
        match fault {
            Fault::Nothing => return Err(io::Error::other("test: an error")),
            Fault::Half => half(&mut state),
            Fault::All => drop(whole(&mut state)?),
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, "test: no space left on device"))
    }
}

impl State {
    fn rename(&mut self, change: impl FnOnce(&mut BTreeMap<PathBuf, usize>)) {
        change(&mut self.names);
        self.unsynced_names.push(self.names.clone());
    }

    fn write(&mut self, file: usize, bytes: &[u8], offset: u64) {
        let (now, offset) = (&mut self.files[file].now, offset as usize);
        now.resize(now.len().max(offset + bytes.len()), 0);
        now[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

impl Storage for TestDisk {
    type File = Handle;

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(folder));
        let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into();
        Ok(inside.map(name).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.bytes(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, path: &Path) -> io::Result<Handle> {
        let create = |state: &mut State| {
            let file = state.files.len();
            state.files.push(Content::default());
            state.rename(|names| _ = names.insert(path.to_owned(), file));
            Ok(Handle(file))
        };
        self.operate(|_| {}, create)
    }

    fn open(&self, path: &Path) -> io::Result<Handle> {
        let state = self.state();
        let file = state.names.get(path).copied();
        file.map(Handle).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write_at(&self, file: &mut Handle, bytes: &[u8], offset: u64) -> io::Result<()> {
        let half = &bytes[..bytes.len() / 2];
        let half = |state: &mut State| state.write(file.0, half, offset);
        self.operate(half, |state| {
            state.write(file.0, bytes, offset);
            Ok(())
        })
    }

    fn set_len(&self, file: &mut Handle, size_bytes: u64) -> io::Result<()> {
        let resize = |state: &mut State| {
            state.files[file.0].now.resize(size_bytes as usize, 0);
            Ok(())
        };
        self.operate(|_| {}, resize)
    }

    fn sync(&self, file: &mut Handle) -> io::Result<()> {
        let half = |state: &mut State| {
            let Content { now, durable } = &mut state.files[file.0];
            durable.resize(now.len(), 0);
            let middle = now.len() / 2;
            durable[middle..].copy_from_slice(&now[middle..]);
        };
        self.operate(half, |state| {
            let Content { now, durable } = &mut state.files[file.0];
            durable.clone_from(now);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |state: &mut State| {
            let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            state.rename(|names| {
                names.remove(from);
                names.insert(to.to_owned(), file);
            });
            Ok(())
        };
        self.operate(|_| {}, rename)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let remove = |state: &mut State| {
            assert!(state.names.contains_key(path), "{} is not there", path.display());
            state.rename(|names| _ = names.remove(path));
            Ok(())
        };
        self.operate(|_| {}, remove)
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        let sync = |state: &mut State| {
            state.durable_names = state.names.clone();
            state.unsynced_names.clear();
            Ok(())
        };
        self.operate(|_| {}, sync)
    }
}

/// Some sectors as they are in memory, some as they are on the disk.
fn mixed(file: &Content, random: &mut Rng) -> Vec<u8> {
    let sizes = [file.now.len(), file.durable.len()];
    let mut mixed = vec![0; sizes[random.u64(..2) as usize]];
    for start in (0..mixed.len()).step_by(SECTOR_BYTES) {
        let from = [&file.now, &file.durable][random.u64(..2) as usize];
        let end = (start + SECTOR_BYTES).min(mixed.len()).min(from.len());
        if let Some(sector) = from.get(start..end) {
            mixed[start..end].copy_from_slice(sector);
        }
    }
    mixed
}
