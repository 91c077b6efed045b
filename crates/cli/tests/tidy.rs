//! House rules that no compiler checks: the crate graph, the length of files, words that must not
//! stay, and that documents name only files that exist.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of code (no comments, no blanks, no tests) that a file may have; a longer one says why on
/// top, with the words "Longer than".
const LINES_MAX: usize = 400;
/// Lines that ARCHITECTURE.md may have.
const ARCHITECTURE_LINES_MAX: usize = 150;

/// Which of our crates each may depend on. `bench` may on all but the program.
const GRAPH: [(&str, &[&str]); 10] = [
    ("tollgate-wire", &[]),
    ("tollgate-link", &["tollgate-wire"]),
    ("tollgate-tcp", &["tollgate-wire"]),
    ("tollgate-policy", &["tollgate-wire"]),
    ("tollgate-engine", &["tollgate-wire", "tollgate-link", "tollgate-tcp", "tollgate-policy"]),
    ("tollgate-inspect", &[]),
    ("tollgate-lint", &[]),
    // Who judges Tollgate shares its rings, and not its parser.
    ("tollgate-gen", &["tollgate-link"]),
    ("tollgate-script", &["tollgate-wire", "tollgate-policy", "tollgate-inspect"]),
    (
        "tollgate",
        &[
            "tollgate-wire",
            "tollgate-link",
            "tollgate-tcp",
            "tollgate-policy",
            "tollgate-engine",
            "tollgate-inspect",
            "tollgate-lint",
            "tollgate-script",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below the given directories that ends in `suffix`, paths from the root.
fn files(directories: &[&str], suffix: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<_> = directories.iter().map(PathBuf::from).collect();
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(root().join(&directory)) else { continue };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = directory.join(&name);
            if root().join(&path).is_dir() {
                if name != "target" && name != "corpus" && name != "artifacts" {
                    open.push(path);
                }
            } else if name.ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn rust() -> Vec<(PathBuf, String)> {
    files(&["crates", "bench", "fuzz", "examples"], ".rs")
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

fn report(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

#[test]
fn crates_depend_downwards_only() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed: BTreeMap<_, _> = GRAPH.into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let ours: Vec<_> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            // Tests may reach sideways: a dev-dependency cannot end up in the program.
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .map(|dependency| dependency["name"].as_str().unwrap())
            .filter(|dependency| dependency.starts_with("tollgate"))
            .collect();
        seen.insert(name.to_owned());
        match allowed.get(name) {
            Some(allowed) => faults.extend(
                ours.iter()
                    .filter(|dependency| !allowed.contains(dependency))
                    .map(|dependency| format!("{name} must not depend on {dependency}")),
            ),
            None if ours.contains(&"tollgate") && !name.starts_with("example-") => {
                faults.push(format!("{name} must not depend on the program"));
            }
            None => {}
        }
    }
    report("the crate graph of ARCHITECTURE.md is broken", &faults);
    for (name, _) in GRAPH {
        assert!(seen.contains(name), "{name} is gone; mend this list");
    }
}

#[test]
fn files_are_short_or_say_why() {
    let mut faults = Vec::new();
    for (path, text) in rust() {
        // Tests stand at the bottom of a file, by house rule.
        let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
        let lines = code
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count();
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        if lines > LINES_MAX && !is_test && !text.contains("Longer than") {
            faults.push(format!(
                "{}: {lines} lines of code; split it, or say on top why it is \"Longer than\" {LINES_MAX}",
                path.display()
            ));
        }
    }
    report("files too long", &faults);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let words = [
        ["to", "do!("].concat(),
        ["unimple", "mented!("].concat(),
        ["FIX", "ME"].concat(),
        ["TO", "DO"].concat(),
    ];
    let mut faults = Vec::new();
    for (path, text) in rust() {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                faults.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    report("finish it or file it", &faults);
}

#[test]
fn unsafe_code_lives_only_in_the_xsk_backend() {
    let mut faults = Vec::new();
    for (path, text) in rust() {
        if path.starts_with("crates/link/src/xsk") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let mut words = code.split_whitespace();
            if words.any(|word| word == "unsafe") && !code.contains('"') {
                faults.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    report("unsafe outside crates/link/src/xsk", &faults);
    for name in ["wire", "tcp", "policy", "engine", "inspect", "script", "cli"] {
        let path = PathBuf::from(format!("crates/{name}/src/lib.rs"));
        assert!(read(&path).contains("#![forbid(unsafe_code)]"), "{path:?} does not forbid unsafe");
    }
}

#[test]
fn documents_name_only_files_that_exist() {
    let mut documents: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "bench/README.md", "deploy/README.md"]
            .into_iter()
            .map(PathBuf::from)
            .filter(|path| root().join(path).exists())
            .collect();
    documents.extend(files(&["docs"], ".md"));
    let tops: BTreeSet<String> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut faults = Vec::new();
    for document in &documents {
        let text = read(document);
        for name in text.split('`').skip(1).step_by(2) {
            // From the root, or from where the document is.
            let beside = document.with_file_name(name);
            let exists = root().join(name).exists() || root().join(beside).exists();
            if names_a_path(name, &tops) && !exists {
                faults.push(format!("{}: `{name}` does not exist", document.display()));
            }
        }
    }
    report("documents point nowhere", &faults);
}

/// Whether the words between two backticks are meant as a path from the root: no spaces or
/// wildcards, and the first part is there, or the last looks like a file of ours with a directory
/// before it.
fn names_a_path(name: &str, tops: &BTreeSet<String>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(['/', '.']) {
        return false;
    }
    let top = name.split('/').next().unwrap_or_default();
    let is_ours = ["crates", "bpf", "bench", "deploy", "docs", "fuzz", "examples"].contains(&top);
    if name.contains('/') { is_ours || tops.contains(top) } else { name.ends_with(".md") }
}

#[test]
fn the_architecture_stays_short() {
    let lines = read(Path::new("ARCHITECTURE.md")).lines().count();
    assert!(lines <= ARCHITECTURE_LINES_MAX, "ARCHITECTURE.md has {lines} lines");
}

#[test]
fn nothing_names_a_machine_or_a_place_outside_the_tree() {
    let outside = [["/wo", "rk/"].concat(), ["/tm", "p/target-"].concat()];
    let mut faults = Vec::new();
    let mut all = files(&["crates", "bench", "fuzz", "bpf", "deploy", "docs", "examples"], "");
    all.extend(["README.md", "ARCHITECTURE.md", "Makefile", "Cargo.toml"].map(PathBuf::from));
    for path in all {
        let Ok(bytes) = fs::read(root().join(&path)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        faults.extend(
            outside
                .iter()
                .filter(|word| text.contains(word.as_str()))
                .map(|word| format!("{}: {word}", path.display())),
        );
    }
    report("paths of one machine", &faults);
}
