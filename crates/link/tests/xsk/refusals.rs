//! What cannot be opened, and what is said then.

use std::{os::fd::AsFd, process::Command};

use tollgate_link::xsk::{
    Mode, OpenError, Pair, PairConfig,
    steer::{SteerConfig, SteerProgram, Storage},
};

use crate::config;
use crate::lab::Lab;
use crate::life::assert_untouched;

#[test]
fn a_second_open_says_who_holds_the_interface() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, links) = Pair::open(&config()).unwrap();
    let error = Pair::open(&PairConfig::new("b", "a")).unwrap_err();
    match &error {
        OpenError::Held { interface, pid, .. } => {
            assert_eq!((interface.as_str(), *pid), ("b", std::process::id()));
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains(&format!("held by process {}", std::process::id())));

    // Links alone still hold the queues.
    pair.close().unwrap();
    assert!(matches!(Pair::open(&config()), Err(OpenError::Held { .. })));
    drop(links);
    drop(Pair::open(&config()).unwrap());
}

#[test]
fn a_foreign_program_is_named() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let mut storage = Storage::default();
    let foreign = SteerProgram::load(&mut storage, &SteerConfig::default()).unwrap();
    let index = nix::net::if_::if_nametoindex("b").unwrap();
    libbpf_rs::Xdp::new(foreign.as_fd())
        .attach(i32::try_from(index).unwrap(), libbpf_rs::XdpFlags::NONE)
        .unwrap();
    match Pair::open(&config()).unwrap_err() {
        OpenError::ForeignProgram { interface, program, .. } => {
            assert_eq!((interface.as_str(), program.as_str()), ("b", "steer"));
        }
        other => panic!("{other}"),
    }
    assert_untouched(&lab, &["a"]);
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let refused = |config: &PairConfig| Pair::open(config).unwrap_err().to_string();

    let error = refused(&PairConfig::new("a", "nowhere"));
    assert!(error.starts_with("nowhere: no such interface"), "{error}");
    let error = refused(&PairConfig::new("a", "a"));
    assert!(error.starts_with("a: given as both ports"), "{error}");
    let error = refused(&PairConfig { mode: Mode::ZeroCopy, ..config() });
    assert!(error.starts_with("a: queue 0 cannot do zero-copy"), "{error}");
    let error = refused(&PairConfig { ring: 100, ..config() });
    assert!(error.contains("power of two"), "{error}");
    let error = refused(&PairConfig { workers: 0, ..config() });
    assert!(error.contains("workers"), "{error}");

    lab.ip_gate(&["link", "set", "dev", "b", "mtu", "1400"]);
    let error = refused(&config());
    assert!(error.starts_with("a has an MTU of 1500 and b of 1400"), "{error}");
    for port in ["a", "b"] {
        lab.ip_gate(&["link", "set", "dev", port, "mtu", "9000"]);
    }
    let error = refused(&config());
    assert!(error.contains("MTU of 9000") && error.contains("mtu 3818"), "{error}");
    lab.ip_gate(&["link", "set", "dev", "b", "down"]);
    let error = refused(&config());
    assert!(error.starts_with("b: is down"), "{error}");
    assert_untouched(&lab, &["a", "b"]);
}

#[test]
#[ignore = "what the next test starts with fewer capabilities"]
fn child_that_may_not_open() {
    println!("refused: {}", Pair::open(&config()).unwrap_err());
}

#[test]
fn missing_capabilities_are_named() {
    let Some(lab) = Lab::new(1) else { return };
    let output = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", lab.gate()))
        .args(["setpriv", "--bounding-set=-net_raw,-bpf,-sys_admin"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "refusals::child_that_may_not_open", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("refused: a: not permitted, CAP_NET_RAW, CAP_BPF missing"), "{said}");
}
