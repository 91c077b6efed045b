//! The file system in which BPF programs are pinned, so that they outlive their process.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
};

use libbpf_rs::{Link, libbpf_sys};
use nix::mount::{MsFlags, mount};

use crate::xsk::OpenError;

const MOUNT_POINT: &str = "/sys/fs/bpf";
const DIRECTORY: &str = "/sys/fs/bpf/tollgate";
const TRIES: usize = 8;

/// Mounts it where nobody has. `interface` is for the message.
pub(in crate::xsk) fn ensure_mounted(interface: &str) -> Result<(), OpenError> {
    let refused = |source| OpenError::NoBpfFs {
        interface: interface.to_owned(),
        path: MOUNT_POINT.to_owned(),
        source,
    };
    if is_mounted().map_err(refused)? {
        return Ok(());
    }
    mount(Some("bpf"), MOUNT_POINT, Some("bpf"), MsFlags::empty(), None::<&str>)
        .map_err(|errno| refused(errno.into()))
}

/// Each line of mountinfo is "… mount-point options … - type source options" (proc(5)).
fn is_mounted() -> io::Result<bool> {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo")?;
    Ok(mounts.lines().any(|line| {
        let Some((place, kind)) = line.split_once(" - ") else { return false };
        place.split(' ').nth(4) == Some(MOUNT_POINT) && kind.starts_with("bpf ")
    }))
}

/// Unpins programs whose interface is gone, with its network namespace, say: nobody will come to take
/// them over. Those of interfaces that are there may be all that keeps a wire alive.
pub(in crate::xsk) fn sweep() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else { return };
    for entry in entries.flatten() {
        let Some(pin) = entry.file_name().to_str().map(Pin::new) else { continue };
        if Link::open(pin.path()).is_ok_and(|link| is_defunct(&link)) {
            // What cannot be removed now is left to the next start.
            let _ = pin.remove();
        }
    }
}

/// Whether a link is of XDP, and to no interface any more.
fn is_defunct(link: &Link) -> bool {
    let mut info = libbpf_sys::bpf_link_info::default();
    let Ok(mut len) = u32::try_from(size_of_val(&info)) else { return false };
    // SAFETY: both pointers are to locals that live across the call, and `len` is the first one's size.
    let failed = unsafe {
        libbpf_sys::bpf_link_get_info_by_fd(link.as_fd().as_raw_fd(), &raw mut info, &raw mut len)
    };
    if failed != 0 || info.type_ != libbpf_sys::BPF_LINK_TYPE_XDP {
        return false;
    }
    // SAFETY: the type says that this is the member that the kernel has written.
    let xdp = unsafe { info.__bindgen_anon_1.xdp };
    xdp.ifindex == 0
}

/// Where the program of one interface is pinned.
#[derive(Debug)]
pub(super) struct Pin {
    directory: PathBuf,
    link: PathBuf,
}

impl Pin {
    pub(super) fn new(key: &str) -> Self {
        let directory = Path::new(DIRECTORY).join(key);
        Self { link: directory.join("link"), directory }
    }

    /// Makes the directory, and gives the path to pin to.
    pub(super) fn create(&self) -> io::Result<&Path> {
        for _ in 1..TRIES {
            // Whoever goes last removes the directory above, and that may be just now.
            match fs::create_dir_all(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                made => return made.map(|()| self.link.as_path()),
            }
        }
        fs::create_dir_all(&self.directory).map(|()| self.link.as_path())
    }

    pub(super) fn exists(&self) -> bool {
        self.link.exists()
    }

    pub(super) fn path(&self) -> &Path {
        &self.link
    }

    /// Unpins what is pinned and removes the directories that are then empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match fs::remove_dir(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Other pairs may have theirs in it.
        let _ = fs::remove_dir(DIRECTORY);
        Ok(())
    }
}
