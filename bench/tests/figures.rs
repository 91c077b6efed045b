//! The README says what was measured: its tables are those of the newest records.

use std::{fs, path::Path};

use tollgate_bench::figures::readme::renewed;

#[test]
fn the_readme_agrees_with_the_newest_records() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let now = fs::read_to_string(root.join("README.md")).expect("the README is there");
    let wanted = renewed(&now, &root.join("bench/record")).expect("the records can be read");
    assert!(now == wanted, "README.md is older than bench/record: make figures");
}
