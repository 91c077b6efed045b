//! A reset reaches real Linux endpoints in every state of a connection in which a rule can ask for it;
//! what they still send is answered, and the same addresses and ports are free again at once.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::time::Instant;

use crate::lab::{Side, join};
use crate::raw_peer::{ACK, ByHand, FIN, PSH, Segment};
use crate::scene::{
    AT_LAST_ACK, AT_MUCH_DATA, AT_MUCH_DATA_ONE_WAY, AT_ONCE, AT_SECOND_FIN, AT_SYN, AT_SYN_ACK,
    AT_THIRD_PACKET, AT_WORD, LOCAL, RESET, RESET_AFTER_END, Scene, close_both, connect_from,
    early_data_held, learn_soon, listen_until, read_to_end, read_until_reset, talk,
    write_until_reset,
};

#[test]
fn at_the_syn_a_client_is_refused_at_once() {
    let Some(scene) = Scene::new() else { return };
    let started = Instant::now();
    let refused = scene.lab.within(Side::Client, || connect_from(LOCAL, AT_SYN)).map(drop);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
    assert!(started.elapsed() < AT_ONCE);
    scene.ends_for_good(AT_SYN);
}

#[test]
fn at_the_syn_ack_a_client_is_refused_and_the_server_has_forgotten_it() {
    let Some(scene) = Scene::new() else { return };
    let (stop, stopped) = channel::<()>();
    let listening = listen_until(&scene.lab, AT_SYN_ACK, stopped);
    let started = Instant::now();
    let refused = scene.lab.within(Side::Client, || connect_from(LOCAL, AT_SYN_ACK)).map(drop);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
    assert!(started.elapsed() < AT_ONCE);
    scene.nothing_is_left(Side::Server, AT_SYN_ACK);
    drop(stop);
    join(listening);
    scene.ends_for_good(AT_SYN_ACK);
}

/// For the client it is established by then, for the server it is not.
#[test]
fn at_the_third_packet_the_client_is_reset_and_the_server_has_forgotten_it() {
    let Some(scene) = Scene::new() else { return };
    let (stop, stopped) = channel::<()>();
    let listening = listen_until(&scene.lab, AT_THIRD_PACKET, stopped);
    let learnt = scene.lab.within(Side::Client, || {
        // The RST may come before the thread that connects has been told that it may go on.
        let connected = connect_from(LOCAL, AT_THIRD_PACKET);
        connected.map_or_else(|error| Some(error.kind()), learn_soon)
    });
    assert_eq!(learnt, RESET);
    scene.nothing_is_left(Side::Server, AT_THIRD_PACKET);
    drop(stop);
    join(listening);
    scene.ends_for_good(AT_THIRD_PACKET);
}

#[test]
fn with_data_in_flight_both_ways_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(scene.play(AT_MUCH_DATA, talk, talk), (RESET, RESET));
    scene.ends_for_good(AT_MUCH_DATA);
}

/// What the ends count has parted long before, and the RSTs bear the numbers of those who get them.
#[test]
fn with_changed_data_in_flight_both_ways_both_are_reset() {
    let Some(scene) = Scene::changing() else { return };
    assert_eq!(scene.play(AT_MUCH_DATA, talk, talk), (RESET, RESET));
    assert!(scene.changes() > 10.0, "{}", scene.changes());
    scene.ends_for_good(AT_MUCH_DATA);
}

#[test]
fn after_one_end_with_changed_data_in_flight_to_it_both_are_reset() {
    let Some(scene) = Scene::changing() else { return };
    let ends = scene.play(
        AT_MUCH_DATA_ONE_WAY,
        |stream| {
            stream.shutdown(Shutdown::Write).expect("connected");
            read_until_reset(stream)
        },
        |mut stream| {
            assert_eq!(read_to_end(&mut stream), 0);
            write_until_reset(stream)
        },
    );
    assert_eq!(ends, (RESET, RESET_AFTER_END));
    assert!(scene.changes() > 10.0, "{}", scene.changes());
    scene.ends_for_good(AT_MUCH_DATA_ONE_WAY);
}

/// The client has closed its direction, and the server's is full of data on the way.
#[test]
fn after_the_clients_end_with_data_in_flight_to_it_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    let ends = scene.play(
        AT_MUCH_DATA_ONE_WAY,
        |stream| {
            stream.shutdown(Shutdown::Write).expect("connected");
            read_until_reset(stream)
        },
        |mut stream| {
            assert_eq!(read_to_end(&mut stream), 0);
            write_until_reset(stream)
        },
    );
    assert_eq!(ends, (RESET, RESET_AFTER_END));
    scene.ends_for_good(AT_MUCH_DATA_ONE_WAY);
}

#[test]
fn after_the_servers_end_with_data_in_flight_to_it_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    let ends = scene.play(
        AT_MUCH_DATA_ONE_WAY,
        |mut stream| {
            assert_eq!(read_to_end(&mut stream), 0);
            write_until_reset(stream)
        },
        |stream| {
            stream.shutdown(Shutdown::Write).expect("connected");
            read_until_reset(stream)
        },
    );
    assert_eq!(ends, (RESET_AFTER_END, RESET));
    scene.ends_for_good(AT_MUCH_DATA_ONE_WAY);
}

/// The first bytes come with the packet that ends the handshake: the server has not heard of it yet.
#[test]
fn with_data_on_the_third_packet_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    let (stop, stopped) = channel::<()>();
    let listening = listen_until(&scene.lab, AT_WORD, stopped);
    let client = ByHand::begin(&scene.lab, AT_WORD);
    client.say(0, PSH | ACK, b"now");
    let rst = client.reset(AT_ONCE).expect("a RST for the client");
    assert_eq!(rst.seq, client.next.ack, "with the number that it expects");
    scene.nothing_is_left(Side::Server, AT_WORD);
    drop(stop);
    join(listening);
    scene.ends_well();
}

/// Data and FIN of both ends are on the way at once, the client's in one segment.
#[test]
fn with_data_beside_the_fin_both_are_reset_and_the_server_gets_none_of_it() {
    let Some(scene) = Scene::new() else { return };
    let (close, closes) = channel();
    let serving = scene.serve(AT_WORD, move |mut stream| {
        closes.recv().expect("the test goes on");
        stream.write_all(b"bye").expect("connected");
        stream.shutdown(Shutdown::Write).expect("connected");
        let learnt = learn_soon(stream.try_clone().expect("a second handle"));
        assert!(!matches!(stream.read(&mut [0; 8]), Ok(1..)), "nothing of it has arrived");
        learnt
    });
    let client = ByHand::connect(&scene.lab, AT_WORD);
    close.send(()).expect("the server waits");
    let ends = |segment: &Segment| segment.to == client.next.from && segment.has(FIN);
    client.wire.find(AT_ONCE, ends).expect("the server's end");
    // It acknowledges nothing of the server's.
    client.say(0, FIN | PSH | ACK, b"now");
    let first = client.reset(AT_ONCE).expect("a RST for a client that has seen nothing");
    let second = client.reset(AT_ONCE).expect("a RST for one that has seen all");
    let exactly = [first, second].map(|rst| rst.seq.wrapping_sub(client.next.ack));
    assert_eq!(exactly, [0, 4]);
    assert_eq!(join(serving), [RESET]);
    scene.nothing_is_left(Side::Server, AT_WORD);
    scene.ends_well();
}

#[test]
fn after_the_clients_end_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    let ends = scene.play(
        AT_WORD,
        |stream| {
            stream.shutdown(Shutdown::Write).expect("connected");
            learn_soon(stream)
        },
        |mut stream| {
            assert_eq!(read_to_end(&mut stream), 0);
            stream.write_all(b"now").expect("one may still speak");
            learn_soon(stream)
        },
    );
    assert_eq!(ends, (RESET, RESET_AFTER_END));
    scene.ends_for_good(AT_WORD);
}

#[test]
fn after_the_servers_end_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    let ends = scene.play(
        AT_WORD,
        |mut stream| {
            assert_eq!(read_to_end(&mut stream), 0);
            stream.write_all(b"now").expect("one may still speak");
            learn_soon(stream)
        },
        |stream| {
            stream.shutdown(Shutdown::Write).expect("connected");
            learn_soon(stream)
        },
    );
    assert_eq!(ends, (RESET_AFTER_END, RESET));
    scene.ends_for_good(AT_WORD);
}

#[test]
fn at_the_second_fin_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(close_both(&scene, AT_SECOND_FIN, false), (RESET, RESET));
    scene.ends_for_good(AT_SECOND_FIN);
}

/// The client has closed by then, and waits for stragglers of the server's: that ends as well.
#[test]
fn at_the_last_ack_the_server_is_reset_and_the_client_waits_no_longer() {
    let Some(scene) = Scene::new() else { return };
    assert_eq!(close_both(&scene, AT_LAST_ACK, true), (None, RESET));
    scene.ends_for_good(AT_LAST_ACK);
}

#[test]
fn with_early_data_held_both_are_reset_and_the_server_gets_none_of_it() {
    let Some(scene) = Scene::new() else { return };
    let exactly = early_data_held(&scene, AT_WORD, AT_ONCE);
    assert_eq!(exactly, Some(0), "a RST with the number that the client expects");
    scene.ends_well();
}

/// Both have closed before either has heard of it; the rule acts when the server acknowledges.
#[test]
fn in_a_simultaneous_close_both_are_reset() {
    let Some(scene) = Scene::new() else { return };
    let (close, closes) = channel();
    let serving = scene.serve(AT_LAST_ACK, move |stream| {
        closes.recv().expect("the test goes on");
        stream.shutdown(Shutdown::Write).expect("connected");
        learn_soon(stream)
    });
    let client = ByHand::connect(&scene.lab, AT_LAST_ACK);
    close.send(()).expect("the server waits");
    let fin =
        client.wire.find(AT_ONCE, |segment| segment.to == client.next.from && segment.has(FIN));
    assert_eq!(fin.expect("the server's FIN").seq, client.next.ack);
    // It acknowledges nothing of the server's.
    client.say(0, FIN | ACK, b"");
    let first = client.reset(AT_ONCE).expect("a RST for a client that has not seen the FIN");
    let second = client.reset(AT_ONCE).expect("a RST for one that has");
    let exactly = [first, second].map(|rst| rst.seq.wrapping_sub(client.next.ack));
    assert_eq!(exactly, [0, 1]);
    assert_eq!(join(serving), [RESET]);
    scene.nothing_is_left(Side::Server, AT_LAST_ACK);
    scene.ends_well();
}
