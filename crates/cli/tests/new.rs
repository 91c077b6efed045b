//! What `tollgate new` writes is good, runs, and writes over nothing.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod common;

use std::fs;
use std::path::Path;

use common::{ACK, FIN, PSH, SYN, Said, Talk, capture, say, tollgate};
use tempfile::TempDir;

const KINDS: [&str; 4] = ["firewall", "edit", "http", "packets"];

fn with(folder: &Path, arguments: &[&str]) -> Said {
    say(tollgate().current_dir(folder).args(arguments))
}

/// A conversation with a web server, one with telnet.
fn packets() -> Vec<Vec<u8>> {
    let mut web = Talk::new(([192, 168, 20, 5], 40_000), ([198, 18, 0, 2], 80));
    let mut telnet = Talk::new(([192, 168, 20, 5], 40_001), ([198, 18, 0, 2], 23));
    let mut frames = web.open();
    frames.push(web.up(PSH | ACK, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
    frames.push(web.down(
        PSH | ACK,
        b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 13\r\n\r\nsecret-12ab34",
    ));
    frames.push(web.up(FIN | ACK, b""));
    frames.push(web.down(FIN | ACK, b""));
    frames.push(web.up(ACK, b""));
    frames.push(telnet.up(SYN, b""));
    frames
}

#[test]
fn every_starter_is_good_and_does_what_it_says() {
    let directory = TempDir::new().unwrap();
    let folder = directory.path();
    fs::write(folder.join("in.pcap"), capture(&packets())).unwrap();
    for kind in KINDS {
        let file = format!("{kind}.lua");
        let said = with(folder, &["new", &file, "--kind", kind]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains(&format!("tollgate check {file}")), "{said:?}");
        let said = with(folder, &["check", "--strict", &file]);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        let replay = ["replay", "--rules", &file, "-r", "in.pcap", "-w", "out.pcap", "-q"];
        let said = with(folder, &replay);
        assert_eq!(said.code, Some(0), "{said:?}");
        let out = fs::read(folder.join("out.pcap")).unwrap();
        let has = |text: &str| out.windows(text.len()).any(|part| part == text.as_bytes());
        let did = match kind {
            "firewall" => said.out.contains("refused: no rule allows it") && has("secret-12ab34"),
            "edit" => said.out.contains("removed 13 bytes") && has("[removed]"),
            "http" => said.out.contains("GET /a: 200") && has("X-Forwarded-For") && !has("Server"),
            _ => said.out.contains("no telnet: 192.168.20.5") && has("secret-12ab34"),
        };
        assert!(did, "{kind}: {said:?}");
    }
}

#[test]
fn nothing_is_written_over_unless_it_is_asked_for() {
    let directory = TempDir::new().unwrap();
    let folder = directory.path();
    assert_eq!(with(folder, &["new"]).code, Some(0));
    fs::write(folder.join("rules.lua"), "-- mine").unwrap();
    let said = with(folder, &["new"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
    let told = "rules.lua: is there already; name another file, or write over it with --force\n";
    assert_eq!(said.err, told);
    assert_eq!(fs::read_to_string(folder.join("rules.lua")).unwrap(), "-- mine");
    assert_eq!(with(folder, &["new", "--force"]).code, Some(0));
    assert!(fs::read_to_string(folder.join("rules.lua")).unwrap().contains("haka.rule_group"));

    let said = with(folder, &["new", "rules.txt"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("a name that ends in .lua, such as rules.txt.lua"), "{said:?}");
    let said = with(folder, &["new", "--kind", "fire", "x.lua"]);
    assert!(said.code == Some(2) && said.err.contains("firewall, edit, http, packets"), "{said:?}");
    fs::write(folder.join("file"), "").unwrap();
    let said = with(folder, &["new", "file/rules.lua"]);
    assert!(said.code == Some(1) && said.err.starts_with("file: cannot be made"), "{said:?}");
}

#[test]
fn editors_get_the_annotations_that_check_reads() {
    let directory = TempDir::new().unwrap();
    let folder = directory.path();
    let said = with(folder, &["new", "site/rules.lua", "--editor"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let read = |name: &str| fs::read_to_string(folder.join("site").join(name)).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&read(".luarc.json")).unwrap();
    let library = settings["workspace.library"][0].as_str().unwrap().to_owned();
    for (name, text) in tollgate_lint::FILES {
        assert_eq!(read(&format!("{library}/{name}")), text);
    }
    // Settings of the user's own stay.
    fs::write(folder.join("site/.luarc.json"), "{}").unwrap();
    let said = with(folder, &["new", "site/other.lua", "--editor"]);
    assert!(said.code == Some(1) && said.err.contains(".luarc.json: is there already"), "{said:?}");
    assert_eq!(read(".luarc.json"), "{}");
}
