//! Rules that are exchanged under connections: who is asked, who is told, and who is let go.
#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use proptest::prelude::*;
use tollgate_policy::{
    Data, Flow, FlowId, Generations, Interest, Living, PacketView, Policy, Reports, Verdict,
};
use tollgate_wire::{
    Direction, Flags, FlowKey, Headers, IpVersion, PerDirection, Seq, Timestamp, Vlans,
};

/// Everything that any rules were told, in order: the rules' name, the event, the connection.
type Heard = Rc<RefCell<Vec<(u32, &'static str, u64)>>>;

#[derive(Debug)]
struct Recorder {
    name: u32,
    interest: Interest,
    heard: Heard,
}

impl Policy for Recorder {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        _packet: &PacketView<'_>,
        _reports: &mut Reports,
    ) -> Verdict {
        self.heard.borrow_mut().push((self.name, "new", flow.id.0));
        Verdict::Accept
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        _data: &mut Data<'_>,
        _direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        self.heard.borrow_mut().push((self.name, "data", flow.id.0));
        Verdict::Accept
    }

    fn end_connection(&mut self, flow: &mut Flow<'_>, _reports: &mut Reports) {
        self.heard.borrow_mut().push((self.name, "end", flow.id.0));
    }

    fn exiting(&mut self, _now: Timestamp, _reports: &mut Reports) {
        self.heard.borrow_mut().push((self.name, "exiting", 0));
    }
}

/// Rules under exchange, fed as the engine feeds them.
struct Scene {
    rules: Generations<Recorder>,
    heard: Heard,
    last: u64,
    names: u32,
    interest: Interest,
}

impl Scene {
    fn new(interest: Interest) -> Self {
        let heard = Heard::default();
        let first = Recorder { name: 0, interest, heard: Rc::clone(&heard) };
        Self { rules: Generations::new(first), heard, last: 0, names: 0, interest }
    }

    fn open(&mut self) -> u64 {
        self.last += 1;
        self.event(self.last, |rules, flow, reports| {
            let frame = [0; 54];
            let headers = headers();
            let view = PacketView { frame: &frame, headers: &headers, received: Timestamp(0) };
            rules.new_connection(flow, &view, reports);
        });
        self.last
    }

    fn data(&mut self, id: u64) {
        self.event(id, |rules, flow, reports| {
            rules.receive_data(flow, &mut Data::new(0, false), Direction::ToServer, reports);
        });
    }

    fn close(&mut self, id: u64) {
        self.event(id, |rules, flow, reports| rules.end_connection(flow, reports));
    }

    fn exchange(&mut self, living: Living) {
        self.names += 1;
        let (interest, heard) = (self.interest, Rc::clone(&self.heard));
        let next = Recorder { name: self.names, interest, heard };
        self.rules.exchange(next, living, Timestamp(0), &mut Reports::new(0));
    }

    fn event(
        &mut self,
        id: u64,
        event: impl FnOnce(&mut Generations<Recorder>, &mut Flow<'_>, &mut Reports),
    ) {
        let mut tag = 0;
        let mut flow = flow(id, &mut tag);
        event(&mut self.rules, &mut flow, &mut Reports::new(0));
    }

    fn heard(&self) -> Vec<(u32, &'static str, u64)> {
        self.heard.take()
    }

    fn living(&self) -> Vec<u32> {
        self.rules.all().map(|rules| rules.name).collect()
    }
}

fn flow(id: u64, tag: &mut u32) -> Flow<'_> {
    Flow {
        id: FlowId(id),
        client: "192.0.2.1:1".parse::<SocketAddr>().unwrap().into(),
        server: "192.0.2.2:2".parse::<SocketAddr>().unwrap().into(),
        state: "",
        traffic: PerDirection::default(),
        now: Timestamp(0),
        tag,
    }
}

fn headers() -> Headers {
    let mut tag = 0;
    let flow = flow(0, &mut tag);
    let (key, source) = FlowKey::new(flow.client, flow.server, Vlans::default());
    Headers {
        key,
        source,
        ip_version: IpVersion::V4,
        ttl: 64,
        ip: 14,
        tcp: 34,
        payload: 54,
        end: 54,
        flags: Flags::SYN,
        seq: Seq(1),
        ack: Seq(0),
        window: 1024,
        urgent: 0,
    }
}

#[test]
fn connections_keep_the_rules_they_began_with() {
    let mut scene = Scene::new(Interest::EVENTS);
    let old = scene.open();
    scene.exchange(Living::Keep);
    let new = scene.open();
    scene.data(old);
    scene.data(new);
    assert_eq!(
        scene.heard(),
        [(0, "new", old), (1, "new", new), (0, "data", old), (1, "data", new)]
    );
    scene.close(new);
    assert_eq!((scene.heard(), scene.living()), (vec![(1, "end", new)], vec![0, 1]));
    // The old ones go with their last connection.
    scene.close(old);
    assert_eq!(scene.heard(), [(0, "end", old), (0, "exiting", 0)]);
    assert_eq!(scene.living(), [1]);
}

#[test]
fn connections_move_when_they_are_told_to() {
    let mut scene = Scene::new(Interest::EVENTS);
    let (kept, old) = (scene.open(), scene.open());
    scene.exchange(Living::Keep);
    scene.heard();
    scene.exchange(Living::Move);
    assert_eq!(scene.heard(), [(0, "exiting", 0), (1, "exiting", 0)]);
    scene.data(old);
    scene.close(old);
    scene.data(kept);
    assert_eq!(scene.heard(), [(2, "data", old), (2, "end", old), (2, "data", kept)]);
    assert_eq!((scene.living(), scene.rules.exchanges()), (vec![2], 2));
}

#[test]
fn rules_without_connections_go_at_once() {
    let mut scene = Scene::new(Interest::EVENTS);
    let id = scene.open();
    scene.close(id);
    scene.exchange(Living::Keep);
    assert_eq!(scene.heard(), [(0, "new", id), (0, "end", id), (0, "exiting", 0)]);
    assert_eq!(scene.living(), [1]);
}

#[test]
fn connections_of_the_oldest_move_when_too_many_rules_would_live() {
    let mut scene = Scene::new(Interest::EVENTS);
    let opened: Vec<u64> = (0..10)
        .map(|_| {
            let id = scene.open();
            scene.exchange(Living::Keep);
            id
        })
        .collect();
    assert_eq!(scene.living(), [6, 7, 8, 9, 10]);
    scene.heard();
    for id in &opened {
        scene.data(*id);
    }
    let asked: Vec<u32> = scene.heard().iter().map(|(name, ..)| *name).collect();
    assert_eq!(asked, [6, 6, 6, 6, 6, 6, 6, 7, 8, 9]);
}

#[test]
fn the_program_stops_and_all_are_told_once() {
    let mut scene = Scene::new(Interest::EVENTS);
    let id = scene.open();
    scene.exchange(Living::Keep);
    scene.heard();
    scene.rules.exiting(Timestamp(0), &mut Reports::new(0));
    scene.close(id);
    assert_eq!(scene.heard(), [(0, "exiting", 0), (1, "exiting", 0), (0, "end", id)]);
}

#[test]
fn what_nobody_listens_to_is_not_told() {
    let mut scene = Scene::new(Interest::empty());
    let id = scene.open();
    scene.data(id);
    scene.close(id);
    assert_eq!(scene.heard(), []);
    let counted = Interest::NEW_CONNECTION | Interest::END_CONNECTION;
    assert_eq!(scene.rules.interest(), counted);

    // The interest is that of all who live.
    let id = scene.open();
    scene.interest = Interest::RECEIVE_DATA;
    scene.exchange(Living::Keep);
    assert_eq!(scene.rules.interest(), counted | Interest::RECEIVE_DATA);
    scene.data(id);
    assert_eq!(scene.heard(), []);

    let packets_only = Interest::STATELESS | Interest::RECEIVE_FRAME;
    assert_eq!(Scene::new(packets_only).rules.interest(), packets_only);
}

/// What may happen, in random order.
#[derive(Clone, Debug)]
enum Step {
    Open,
    Data(usize),
    Close(usize),
    Exchange(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Open),
        4 => any::<usize>().prop_map(Step::Data),
        3 => any::<usize>().prop_map(Step::Close),
        1 => any::<bool>().prop_map(Step::Exchange),
    ]
}

proptest! {
    /// The same as a table that knows the rules of each connection.
    #[test]
    fn every_connection_has_the_rules_that_a_table_would_give_it(
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut scene = Scene::new(Interest::EVENTS);
        let mut table: BTreeMap<u64, u32> = BTreeMap::new();
        for step in steps {
            let nth = |table: &BTreeMap<u64, u32>, at: usize| {
                table.iter().nth(at % table.len().max(1)).map(|(id, name)| (*id, *name))
            };
            match step {
                Step::Open => {
                    table.insert(scene.open(), scene.names);
                }
                Step::Data(at) => {
                    let Some((id, name)) = nth(&table, at) else { continue };
                    scene.heard();
                    scene.data(id);
                    prop_assert_eq!(scene.heard(), [(name, "data", id)]);
                }
                Step::Close(at) => {
                    let Some((id, name)) = nth(&table, at) else { continue };
                    scene.heard();
                    scene.close(id);
                    prop_assert_eq!(scene.heard()[0], (name, "end", id));
                    table.remove(&id);
                }
                Step::Exchange(moved) => {
                    scene.exchange(if moved { Living::Move } else { Living::Keep });
                    if moved {
                        table.values_mut().for_each(|name| *name = scene.names);
                    }
                }
            }
            // The connections of rules that were one too many have moved to the next.
            let living = scene.living();
            for name in table.values_mut() {
                *name = living[0].max(*name);
            }
            let wanted: std::collections::BTreeSet<u32> =
                table.values().copied().chain([scene.names]).collect();
            prop_assert_eq!(living, wanted.into_iter().collect::<Vec<_>>());
        }
    }
}
