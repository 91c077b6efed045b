//! A connection to fire events from, with real frames.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test binary uses its part"
)]

pub mod frames;
pub mod pair;
pub mod wire;

use std::net::SocketAddr;
use std::path::Path;

use tollgate_policy::{
    Alert, Data, Flow, FlowId, Generations, Interest, Living, Log, PacketView, Policy, Report,
    Reports, Traffic, Verdict, Wishes,
};
use tollgate_script::{LoadError, LuaPolicy, Rules, Settings};
use tollgate_wire::{
    Direction, Endpoint, Flags, FlowKey, Headers, IpVersion, PerDirection, Seq, Timestamp, Vlans,
};

pub fn load(text: &str) -> Result<Rules, LoadError> {
    Rules::parse(Path::new("test.lua"), text, Settings::default())
}

/// A script, a connection, and what came out.
pub struct Scene<P = LuaPolicy> {
    pub policy: P,
    pub client: Endpoint,
    pub server: Endpoint,
    pub id: u64,
    pub state: &'static str,
    pub tag: u32,
    /// Position of the next byte towards the server, and towards the client.
    pub offsets: [u64; 2],
    pub reports: Reports,
    /// Network time of the events.
    pub now: Timestamp,
    /// What `receive_data` wanted done last, if its data could be changed.
    pub wishes: Wishes,
}

impl Scene {
    pub fn new(text: &str) -> Self {
        Self::with(text, Settings::default())
    }

    pub fn with(text: &str, settings: Settings) -> Self {
        let rules = Rules::parse(Path::new("test.lua"), text, settings)
            .unwrap_or_else(|error| panic!("{error}"));
        Self::of(&rules)
    }

    pub fn of(rules: &Rules) -> Self {
        let endpoint = |text: &str| text.parse::<SocketAddr>().unwrap().into();
        Self {
            policy: rules.policy().unwrap(),
            client: endpoint("198.18.0.1:40000"),
            server: endpoint("198.18.0.2:80"),
            id: 1,
            state: "established",
            tag: 0,
            offsets: [0; 2],
            reports: Reports::new(1000),
            now: Timestamp::from_secs(7),
            wishes: Wishes::default(),
        }
    }

    /// The same with rules that can be exchanged.
    pub fn exchangeable(self) -> Scene<Generations<LuaPolicy>> {
        let Self { policy, client, server, id, state, tag, offsets, reports, wishes, now } = self;
        let policy = Generations::new(policy);
        Scene { policy, client, server, id, state, tag, offsets, reports, wishes, now }
    }
}

impl Scene<Generations<LuaPolicy>> {
    pub fn exchange(&mut self, rules: &Rules, living: Living) {
        let next = rules.successor(self.policy.current().lineage(), || ()).unwrap();
        self.policy.exchange(next, living, Timestamp::from_secs(7), &mut self.reports);
    }
}

impl<P: Policy> Scene<P> {
    pub fn between(mut self, client: &str, server: &str) -> Self {
        self.client = client.parse::<SocketAddr>().unwrap().into();
        self.server = server.parse::<SocketAddr>().unwrap().into();
        self
    }

    /// Another connection with the same policy.
    pub fn next(&mut self) {
        self.id += 1;
        self.tag = 0;
        self.offsets = [0; 2];
    }

    fn fire<R>(&mut self, event: impl FnOnce(&mut P, &mut Flow<'_>, &mut Reports) -> R) -> R {
        let traffic = |packets, bytes| Traffic { packets, bytes };
        let mut flow = Flow {
            id: FlowId(self.id),
            client: self.client,
            server: self.server,
            state: self.state,
            traffic: PerDirection { to_server: traffic(3, 150), to_client: traffic(2, 90) },
            now: self.now,
            tag: &mut self.tag,
        };
        event(&mut self.policy, &mut flow, &mut self.reports)
    }

    pub fn open(&mut self) -> Verdict {
        let (frame, headers) = frame(self.client, self.server, Flags::SYN, b"");
        self.open_with(&frame, &headers)
    }

    /// The same with a SYN of the caller's.
    pub fn open_with(&mut self, frame: &[u8], headers: &Headers) -> Verdict {
        self.fire(|policy, flow, reports| {
            policy.new_connection(flow, &view(frame, headers), reports)
        })
    }

    /// The SYN of `open` as a packet of the connection, which the engine shows next.
    pub fn syn_again(&mut self) -> Verdict {
        let (frame, headers) = frame(self.client, self.server, Flags::SYN, b"");
        self.fire(|policy, flow, reports| {
            policy.receive_packet(flow, &view(&frame, &headers), Direction::ToServer, reports)
        })
    }

    pub fn packet(&mut self, direction: Direction, payload: &[u8]) -> Verdict {
        let (from, to) = match direction {
            Direction::ToServer => (self.client, self.server),
            Direction::ToClient => (self.server, self.client),
        };
        let (frame, headers) = frame(from, to, Flags::ACK | Flags::PSH, payload);
        self.fire(|policy, flow, reports| {
            policy.receive_packet(flow, &view(&frame, &headers), direction, reports)
        })
    }

    /// Data towards the server; `chunks` lie in different segments.
    pub fn data(&mut self, chunks: &[&[u8]], end: bool) -> Verdict {
        self.data_in(Direction::ToServer, chunks, end)
    }

    pub fn data_in(&mut self, direction: Direction, chunks: &[&[u8]], end: bool) -> Verdict {
        let offset = &mut self.offsets[usize::from(direction == Direction::ToClient)];
        let mut data = Data::new(*offset, end);
        for chunk in chunks {
            data.push(chunk);
        }
        *offset += u64::try_from(data.len()).unwrap();
        self.show(data, direction)
    }

    /// Shows `data`, which may be changed if the rules have asked for it, as the engine does.
    pub fn show(&mut self, mut data: Data<'_>, direction: Direction) -> Verdict {
        if self.policy.interest().contains(Interest::EDIT_DATA) {
            data = data.writable();
        }
        let verdict = self
            .fire(|policy, flow, reports| policy.receive_data(flow, &mut data, direction, reports));
        self.wishes = data.into_wishes();
        verdict
    }

    pub fn end(&mut self) {
        self.fire(|policy, flow, reports| policy.end_connection(flow, reports));
    }

    /// What was printed, `haka.log`ged (`level section: text`) and alerted since the last call.
    pub fn said(&mut self) -> Vec<String> {
        self.reports
            .drain()
            .map(|report| match report {
                Report::Log(Log { section, message, .. }) if section == "print" => message,
                Report::Log(Log { level, section, message, .. }) => {
                    format!("{} {section}: {message}", level.name())
                }
                Report::Alert(alert) => {
                    format!("alert {}: {}", alert.number, alert.description.unwrap_or_default())
                }
                Report::Connection(_) => panic!("the engine's"),
            })
            .collect()
    }

    pub fn alerts(&mut self) -> Vec<Alert> {
        self.reports
            .drain()
            .filter_map(|report| match report {
                Report::Alert(alert) => Some(*alert),
                _ => None,
            })
            .collect()
    }
}

fn view<'a>(frame: &'a [u8], headers: &'a Headers) -> PacketView<'a> {
    PacketView { frame, headers, received: Timestamp::from_secs(7) }
}

/// An Ethernet frame with IPv4 (options: none) or IPv6, TCP with a 12-byte option field.
pub fn frame(from: Endpoint, to: Endpoint, flags: Flags, payload: &[u8]) -> (Vec<u8>, Headers) {
    let mut bytes = vec![0; 14];
    let tcp_len = u16::try_from(32 + payload.len()).unwrap();
    let v6 = from.addr.is_ipv6();
    match (from.addr, to.addr) {
        (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) => {
            bytes.extend([0x45, 0x12]);
            bytes.extend((20 + tcp_len).to_be_bytes());
            bytes.extend([0xab, 0xcd, 0x40, 0, 61, 6, 0x12, 0x34]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) => {
            bytes.extend([0x61, 0x2a, 0xbc, 0xde]);
            bytes.extend(tcp_len.to_be_bytes());
            bytes.extend([6, 61]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        _ => panic!("mixed versions"),
    }
    let tcp = u16::try_from(bytes.len()).unwrap();
    bytes.extend(from.port.to_be_bytes());
    bytes.extend(to.port.to_be_bytes());
    bytes.extend(0xffff_fff0_u32.to_be_bytes());
    bytes.extend(77_u32.to_be_bytes());
    bytes.extend([0x80, u8::try_from(flags.bits()).unwrap()]);
    bytes.extend([0x20, 0, 0xbe, 0xef, 0, 5]);
    bytes.extend([1; 12]);
    bytes.extend(payload);
    let (key, source) = FlowKey::new(from, to, Vlans::default());
    let headers = Headers {
        key,
        source,
        ip_version: if v6 { IpVersion::V6 } else { IpVersion::V4 },
        ttl: 61,
        ip: 14,
        tcp,
        payload: tcp + 32,
        end: u32::from(tcp) + u32::from(tcp_len),
        flags,
        seq: Seq(0xffff_fff0),
        ack: Seq(77),
        window: 0x2000,
        urgent: 5,
    };
    (bytes, headers)
}
