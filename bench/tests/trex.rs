//! The profiles for TRex are Python that TRex loads: at least they must be right without it.

use std::path::Path;
use std::process::Command;

#[test]
fn every_profile_builds_and_refuses_what_it_does_not_know() {
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("trex/check.py");
    let Ok(output) = Command::new("python3").arg(check).output() else {
        println!("skipped: there is no python3");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 4, "{said}");
}
