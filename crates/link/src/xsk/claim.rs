//! Who has an interface: a lock file for each, which names its holder.
//!
//! The kernel lets go of the lock when the holder dies, however it dies. So a lock that is free next
//! to a pinned program means that the program's process is gone, and the program may be taken over.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{OpenError, interface::Interface};

const DIRECTORY: &str = "/run/tollgate";
const TRIES: usize = 8;

/// An interface that is ours, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    /// The interface's name in the file systems: unique over network namespaces, without dots, which
    /// the file system of BPF refuses.
    key: String,
    path: PathBuf,
    _lock: File,
}

impl Claim {
    pub(super) fn take(interface: &Interface) -> Result<Self, OpenError> {
        let system = |source| OpenError::System {
            interface: interface.name.clone(),
            what: "no lock file in /run/tollgate",
            source,
        };
        let key = key(interface).map_err(system)?;
        let path = Path::new(DIRECTORY).join(format!("{key}.lock"));
        for nth in 1..=TRIES {
            fs::create_dir_all(DIRECTORY).map_err(system)?;
            let mut lock = match open(&path) {
                // Whoever went last has removed the directory, just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(system)?,
            };
            match lock.try_lock() {
                Ok(()) => {}
                // Perhaps only `sweep` of another process looks at it, for a moment.
                Err(TryLockError::WouldBlock) if nth < TRIES => {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(held(interface, &mut lock)),
                Err(TryLockError::Error(source)) => return Err(system(source)),
            }
            // Its last holder may have removed the file between our opening and our locking it.
            if is_same(&lock, &path) {
                sign(&mut lock).map_err(system)?;
                return Ok(Self { key, path, _lock: lock });
            }
        }
        Err(system(io::ErrorKind::ResourceBusy.into()))
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // What cannot be removed is taken over by the next start.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_dir(DIRECTORY);
    }
}

/// Removes lock files that dead processes have left.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(lock) = File::options().read(true).open(&path) else { continue };
        if lock.try_lock().is_ok() && is_same(&lock, &path) {
            // Under the lock, so that nobody has claimed it meanwhile.
            let _ = fs::remove_file(&path);
        }
    }
}

fn key(interface: &Interface) -> io::Result<String> {
    let namespace = fs::metadata("/proc/thread-self/ns/net")?.ino();
    let name = interface.name.replace('.', "_");
    Ok(format!("{name}-if{}-net{namespace}", interface.index))
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

fn is_same(lock: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(named)) = (lock.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (named.dev(), named.ino())
}

fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    let program = fs::read_to_string("/proc/self/comm").unwrap_or_default();
    writeln!(lock, "{} {}", std::process::id(), program.trim())
}

fn held(interface: &Interface, lock: &mut File) -> OpenError {
    let mut signature = String::new();
    // A holder that has not signed yet is shown as process 0.
    let _ = lock.take(256).read_to_string(&mut signature);
    let (pid, program) = signature.trim().split_once(' ').unwrap_or(("0", "unknown"));
    OpenError::Held {
        interface: interface.name.clone(),
        pid: pid.parse().unwrap_or(0),
        program: program.to_owned(),
    }
}
