//! Connections of UDP: bounds, failures, and time.
mod common;

use common::Scene;
use common::frames::{Stage, udp};
use tollgate_policy::{Policy as _, Verdict};
use tollgate_script::{OnRuleError, Settings};
use tollgate_wire::Timestamp;

const A: &str = "198.18.0.1";
const B: (&str, u16) = ("198.18.0.2", 7);

fn verdict(scene: &mut Scene, port: u16, secs: f64) -> Verdict {
    scene.show_frame_at(Stage::Datagram, &udp((A, port), B, b"x"), secs).0
}

#[test]
fn a_flood_of_connections_ends_the_one_that_is_silent_for_longest() {
    let text = "ended, first = 0, false
        haka.rule{ hook = udp_connection.events.end_connection, eval = function(flow)
            first = first or flow.srcport ended = ended + 1 end }
        haka.rule{ hook = haka.events.exiting, eval = function() print(first, ended) end }";
    let mut scene = Scene::new(text);
    for port in 1..=17_000 {
        assert_eq!(verdict(&mut scene, port, 7.0), Verdict::Accept);
        if port % 64 == 0 {
            // The first goes on talking.
            verdict(&mut scene, 1, 7.0);
        }
    }
    let memory = scene.policy.used_memory_bytes();
    assert!(memory < 64 << 20, "{memory}");
    scene.policy.exiting(Timestamp::from_secs(8), &mut scene.reports);
    assert_eq!(scene.said(), ["2\t616"]);
}

#[test]
fn all_that_are_open_end_with_the_program_and_with_time() {
    let text = "haka.rule{ hook = udp_connection.events.end_connection, eval = function(flow) print(flow.srcport) end }";
    let mut scene = Scene::new(text);
    for port in 1..=200 {
        verdict(&mut scene, port, f64::from(port));
    }
    scene.policy.tick(Timestamp::from_secs(159), &mut scene.reports);
    assert_eq!(scene.said().len(), 99);
    scene.policy.exiting(Timestamp::from_secs(160), &mut scene.reports);
    assert_eq!(scene.said().len(), 101);
}

#[test]
fn a_rule_that_fails_drops_its_connection_and_no_other() {
    let text = "haka.rule{ hook = udp_connection.events.receive_data, eval = function(flow, data)
            if flow.srcport == 1 then error('no') end end }
        haka.rule{ hook = udp_connection.events.end_connection, eval = function(flow) print('end', flow.srcport) error('never') end }";
    let mut scene = Scene::new(text);
    assert_eq!(verdict(&mut scene, 1, 7.0), Verdict::DropPacket);
    assert_eq!(verdict(&mut scene, 2, 7.0), Verdict::Accept);
    assert_eq!(verdict(&mut scene, 1, 8.0), Verdict::DropPacket);
    assert_eq!(scene.said(), ["error udp: test.lua:2: no"]);
    // Both end, and what fails then keeps nobody from ending.
    scene.policy.tick(Timestamp::from_secs(70), &mut scene.reports);
    assert_eq!(
        scene.said(),
        ["end\t1", "error udp: test.lua:3: never", "end\t2", "error udp: test.lua:3: never"]
    );
    let settings = Settings { on_rule_error: OnRuleError::Pass, ..Settings::default() };
    let mut scene = Scene::with(text, settings);
    assert_eq!(verdict(&mut scene, 1, 7.0), Verdict::Accept);
    assert_eq!(verdict(&mut scene, 1, 8.0), Verdict::Accept);
}

#[test]
fn a_flow_is_dropped_from_outside_its_own_events_too() {
    let text = "local kept
        haka.rule{ hook = udp_connection.events.receive_data, eval = function(flow, data)
            if kept and flow ~= kept then kept:drop() print(kept.state.current, flow.state.current) end
            kept = kept or flow end }";
    let mut scene = Scene::new(text);
    assert_eq!(verdict(&mut scene, 1, 7.0), Verdict::Accept);
    assert_eq!(verdict(&mut scene, 2, 7.0), Verdict::Accept);
    assert_eq!(scene.said(), ["dropped\testablished"]);
    assert_eq!(verdict(&mut scene, 1, 8.0), Verdict::DropPacket);
}
