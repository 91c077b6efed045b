//! A half reset reaches the server as a reset does, and the client is told nothing.

use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::lab::{Lab, Side, join};
use crate::raw_peer::{FIN, RST, SERVER, Wire};
use crate::scene::{
    AT_MUCH_DATA, AT_SECOND_FIN, AT_SYN, AT_SYN_ACK, AT_WORD, HALF, LOCAL, QUIET, RESET,
    RESET_AFTER_END, Scene, close_both, connect_from, early_data_held, learn, learn_soon,
    listen_until, read_to_end, talk,
};

/// Asserts that the client is told of no end while `work` is done.
fn hears_nothing_during<T>(lab: &Lab, port: u16, work: impl FnOnce() -> T) -> T {
    let wire = Wire::open(lab, Side::Client);
    let result = work();
    let told = wire.find(Duration::from_millis(100), |segment| {
        segment.from == (SERVER, port) && segment.has(RST | FIN)
    });
    assert_eq!(told, None);
    result
}

#[test]
fn a_half_reset_during_the_handshake_lets_the_client_wait_in_vain() {
    let Some(scene) = Scene::new() else { return };
    for port in [AT_SYN + HALF, AT_SYN_ACK + HALF] {
        let (stop, stopped) = channel::<()>();
        let listening = listen_until(&scene.lab, port, stopped);
        let silent = hears_nothing_during(&scene.lab, port, || {
            scene.lab.within(Side::Client, move || connect_from(LOCAL, port)).map(drop)
        });
        // Not answered for as long as was waited.
        let kind = silent.map_err(|error| error.raw_os_error());
        assert_eq!(kind, Err(Some(nix::libc::EINPROGRESS)), "port {port}");
        scene.nothing_is_left(Side::Server, port);
        drop(stop);
        join(listening);
    }
    scene.ends_well();
}

#[test]
fn a_half_reset_with_data_in_flight_is_seen_by_the_server_only() {
    let Some(scene) = Scene::new() else { return };
    let port = AT_MUCH_DATA + HALF;
    let ends = hears_nothing_during(&scene.lab, port, || {
        scene.play(
            port,
            |stream| {
                let learnt = talk(stream.try_clone().expect("a second handle"));
                // It is up, and what it wants to say waits for an acknowledgment.
                assert!(stream.peer_addr().is_ok());
                learnt
            },
            talk,
        )
    });
    assert_eq!(ends, (None, RESET));
    scene.nothing_is_left(Side::Server, port);
    scene.ends_well();
}

#[test]
fn a_half_reset_after_the_clients_end_is_seen_by_the_server_only() {
    let Some(scene) = Scene::new() else { return };
    let port = AT_WORD + HALF;
    let ends = hears_nothing_during(&scene.lab, port, || {
        scene.play(
            port,
            |stream| {
                stream.shutdown(Shutdown::Write).expect("connected");
                learn(&stream, QUIET)
            },
            |mut stream| {
                assert_eq!(read_to_end(&mut stream), 0);
                stream.write_all(b"now").expect("one may still speak");
                learn_soon(stream)
            },
        )
    });
    assert_eq!(ends, (None, RESET_AFTER_END));
    scene.nothing_is_left(Side::Server, port);
    scene.ends_well();
}

#[test]
fn a_half_reset_after_the_servers_end_is_seen_by_the_server_only() {
    let Some(scene) = Scene::new() else { return };
    let port = AT_WORD + HALF;
    let ends = scene.play(
        port,
        |mut stream| {
            assert_eq!(read_to_end(&mut stream), 0);
            stream.write_all(b"now").expect("one may still speak");
            learn(&stream, QUIET)
        },
        |stream| {
            stream.shutdown(Shutdown::Write).expect("connected");
            learn_soon(stream)
        },
    );
    assert_eq!(ends, (None, RESET));
    scene.nothing_is_left(Side::Server, port);
    scene.ends_well();
}

#[test]
fn a_half_reset_at_the_second_fin_is_seen_by_the_server_only() {
    let Some(scene) = Scene::new() else { return };
    let port = AT_SECOND_FIN + HALF;
    let ends = hears_nothing_during(&scene.lab, port, || close_both(&scene, port, false));
    assert_eq!(ends, (None, RESET));
    scene.nothing_is_left(Side::Server, port);
    scene.ends_well();
}

#[test]
fn a_half_reset_with_early_data_held_is_seen_by_the_server_only() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(early_data_held(&scene, AT_WORD + HALF, QUIET), None);
    scene.ends_well();
}
