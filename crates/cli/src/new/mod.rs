//! `tollgate new`: a rule file to begin with, and what editors need to complete it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tollgate_lint::FILES;

use crate::args::{Kind, NewArgs};
use crate::fault::{Fault, Faults, reading};

/// Where the annotations go, beside the rules.
const LIBRARY: &str = ".tollgate/library";

/// Of LuaLS: what scripts have and have not, and where the annotations are.
const LUARC: &str = r#"{
  "runtime.version": "LuaJIT",
  "runtime.builtin": {
    "io": "disable", "os": "disable", "package": "disable", "ffi": "disable", "jit": "disable", "debug": "disable"
  },
  "workspace.library": [".tollgate/library"]
}
"#;

/// Writes what was asked for, and says what to do with it.
///
/// # Errors
/// A file that is there already, or cannot be written.
pub(crate) fn new(args: &NewArgs) -> anyhow::Result<()> {
    write(&args.file, starter(args.kind), args.force)?;
    let file = args.file.display();
    let mut told = format!(
        "{file} is written. Next:\n  tollgate check {file}\n  tollgate replay --rules {file} -r in.pcap -w out.pcap\n"
    );
    if args.editor {
        let folder = args.file.parent().unwrap_or_else(|| Path::new(""));
        editor(folder, args.force)?;
        told +=
            "Editors with LuaLS complete it: .luarc.json and .tollgate/library are beside it.\n";
    }
    // Whether anybody reads this does not change what is written.
    drop(io::stdout().write_all(told.as_bytes()));
    Ok(())
}

const fn starter(kind: Kind) -> &'static str {
    match kind {
        Kind::Firewall => include_str!("firewall.lua"),
        Kind::Edit => include_str!("edit.lua"),
        Kind::Http => include_str!("http.lua"),
        Kind::Packets => include_str!("packets.lua"),
    }
}

fn editor(folder: &Path, force: bool) -> Result<(), Faults> {
    write(&folder.join(".luarc.json"), LUARC, force)?;
    // These are ours alone: an older version gives way.
    for (name, text) in FILES {
        write(&folder.join(LIBRARY).join(name), text, true)?;
    }
    Ok(())
}

fn write(file: &PathBuf, text: &str, force: bool) -> Result<(), Faults> {
    let fault = |message: String| Faults(vec![Fault::of_file(file, message)]);
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            fault("is there already; name another file, or write over it with --force".into())
        }
        io::ErrorKind::PermissionDenied => fault("may not be written by this user".into()),
        _ => fault(reading(error)),
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| {
            Faults(vec![Fault::of_file(folder, format!("cannot be made: {error}"))])
        })?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut open = options.open(file).map_err(|error| failed(&error))?;
    open.write_all(text.as_bytes()).map_err(|error| failed(&error))
}
