//! A TCP endpoint: windows, SACK, timestamps and PAWS, fast retransmit and time-outs, probes. It trusts
//! its peer's words, as stacks do, and panics where a stack would be misled.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore};
use tollgate_wire::{Packet, Timestamp};

use crate::common::{ACK, FIN, Frame, PSH, RST, SYN};

/// Positions count from the SYN at 0; data begins at 1, the FIN follows it.
pub(crate) struct Endpoint {
    from_client: bool,
    pub(crate) data: Vec<u8>,
    pub(crate) received: Vec<u8>,
    isn: u32,
    peer_isn: Option<u32>,
    /// What both sides agreed on, and this side's terms.
    timestamps: bool,
    sacks: bool,
    scale: u8,
    peer_scale: u8,
    mss: u16,
    peer_mss: usize,
    probes_with_data: bool,

    una: usize,
    next: usize,
    /// The furthest that was ever sent, where an ACK without data stands.
    sent: usize,
    /// Acknowledged selectively; believed for ever.
    sacked: Vec<bool>,
    peer_edge: usize,
    duplicates: u32,
    timer: Timestamp,
    backoff: u32,

    early: BTreeMap<usize, (Vec<u8>, bool)>,
    peer_closed: bool,
    /// What the application has read, and how fast it does.
    read: usize,
    reads_max: usize,
    buffer: usize,
    /// The furthest that it has ever offered.
    offered: usize,
    ts_recent: u32,
    last_ack: usize,
    owes_ack: bool,
    pub(crate) v6: bool,
    pub(crate) vlans: Vec<u16>,
}

impl Endpoint {
    pub(crate) fn new(from_client: bool, rng: &mut SmallRng) -> Self {
        let mut data = vec![0; rng.random_range(0..12_000)];
        rng.fill_bytes(&mut data);
        // Half of the runs wrap.
        let isn = if rng.random() { u32::MAX - rng.random_range(0..9000) } else { rng.random() };
        let sacked = vec![false; data.len() + 2];
        Self {
            from_client,
            data,
            received: Vec::new(),
            isn,
            peer_isn: None,
            timestamps: rng.random(),
            sacks: rng.random(),
            scale: rng.random_range(0..8),
            peer_scale: 0,
            mss: rng.random_range(80..600),
            peer_mss: 536,
            probes_with_data: rng.random(),
            una: 0,
            next: 0,
            sent: 0,
            sacked,
            peer_edge: 1,
            duplicates: 0,
            timer: Timestamp::default(),
            backoff: 0,
            early: BTreeMap::new(),
            peer_closed: false,
            read: 0,
            reads_max: rng.random_range(20..2000),
            buffer: rng.random_range(600..12_000),
            offered: 0,
            ts_recent: 0,
            last_ack: 0,
            owes_ack: false,
            v6: false,
            vlans: Vec::new(),
        }
    }

    fn end(&self) -> usize {
        self.data.len() + 2
    }

    pub(crate) fn is_done(&self) -> bool {
        self.una == self.end() && self.peer_closed
    }

    /// A number that grows while it gets on.
    pub(crate) fn progress(&self) -> usize {
        self.una + self.received.len()
    }

    pub(crate) fn describe(&self) -> String {
        let Self { una, next, peer_edge, received, offered, .. } = self;
        let end = self.end();
        format!(
            "una {una} next {next} of {end}, room to {peer_edge}; got {}, offered {offered}",
            received.len()
        )
    }

    fn expects(&self) -> usize {
        usize::from(self.peer_isn.is_some()) + self.received.len() + usize::from(self.peer_closed)
    }

    fn window(&mut self, syn: bool) -> u16 {
        let free = self.buffer.saturating_sub(self.received.len() - self.read);
        // It never takes back what it has offered.
        let edge = (self.expects() + free).max(self.offered);
        let scale = if syn { 0 } else { self.scale };
        let window = ((edge - self.expects()) >> scale).min(usize::from(u16::MAX));
        self.offered = self.offered.max(self.expects() + (window << scale));
        window as u16
    }

    fn options(&self, syn: bool, now: Timestamp) -> Vec<u8> {
        let mut options = Vec::new();
        if syn {
            options.extend([2, 4]);
            options.extend(self.mss.to_be_bytes());
            options.extend([1, 3, 3, self.scale]);
            if self.sacks {
                options.extend([1, 1, 4, 2]);
            }
        }
        if self.timestamps {
            options.extend([1, 1, 8, 10]);
            options.extend(clock(now).to_be_bytes());
            options.extend(self.ts_recent.to_be_bytes());
        }
        let blocks = self.blocks();
        if !syn && self.sacks && !blocks.is_empty() {
            options.extend([1, 1, 5, 2 + 8 * blocks.len() as u8]);
            for (left, right) in blocks {
                for edge in [left, right] {
                    let seq = self.peer_isn.unwrap().wrapping_add(edge as u32);
                    options.extend(seq.to_be_bytes());
                }
            }
        }
        options
    }

    /// Runs of what came early, three at most.
    fn blocks(&self) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (&at, (payload, fin)) in &self.early {
            let end = at + payload.len() + usize::from(*fin);
            match runs.last_mut() {
                Some(last) if at <= last.1 => last.1 = last.1.max(end),
                _ => runs.push((at, end)),
            }
        }
        runs.truncate(3);
        runs
    }

    fn segment(&mut self, position: usize, payload: &[u8], flags: u8, now: Timestamp) -> Frame {
        let mut frame = if self.from_client {
            Frame::client(0, 0, flags, payload)
        } else {
            Frame::server(0, 0, flags, payload)
        };
        if self.v6 {
            frame = frame.between("[fd00::1]:4000", "[fd00::2]:80");
        }
        frame.vlans = self.vlans.clone();
        let syn = flags & SYN != 0;
        frame.seq = self.isn.wrapping_add(position as u32);
        if let Some(peer_isn) = self.peer_isn {
            frame.ack = peer_isn.wrapping_add(self.expects() as u32);
            frame.flags |= ACK;
            self.last_ack = self.expects();
        }
        frame.options = self.options(syn, now);
        frame.window = self.window(syn);
        self.owes_ack = false;
        frame
    }

    /// A segment of data from `at`, with the FIN if it reaches there.
    fn data_segment(&mut self, at: usize, len_max: usize, now: Timestamp) -> (Frame, usize) {
        let from = at - 1;
        let room = self.peer_edge.saturating_sub(at).max(1);
        let blocks = if self.sacks { self.blocks().len() } else { 0 };
        let options = if blocks > 0 { 4 + 8 * blocks } else { 0 };
        let len_max = len_max.min(self.peer_mss - options);
        let len = len_max.min(self.data.len() - from).min(room);
        let payload = self.data[from..from + len].to_vec();
        let fin = from + len == self.data.len() && len < room.max(1 + usize::from(len == 0));
        let flags = if fin { FIN } else { 0 } | if len > 0 { PSH } else { 0 };
        let end = at + len + usize::from(fin);
        self.sent = self.sent.max(end);
        (self.segment(at, &payload, flags, now), end)
    }

    /// After a time-out: begins anew, but for what was acknowledged selectively. If that is what comes first, it
    /// was taken back (RFC 2018 section 8), as Linux sees it.
    fn go_back(&mut self) {
        self.next = self.una;
        if self.sacked[self.una] {
            self.sacked.fill(false);
        }
    }

    pub(crate) fn send(&mut self, now: Timestamp, rng: &mut SmallRng) -> Vec<Frame> {
        let mut out = Vec::new();
        let speaks = self.from_client || self.peer_isn.is_some();
        if !speaks {
            return out;
        }
        // The application reads.
        let readable = self.received.len() - self.read;
        let before = self.buffer.saturating_sub(readable);
        self.read += rng.random_range(0..=self.reads_max).min(readable);
        let after = self.buffer.saturating_sub(self.received.len() - self.read);
        // RFC 9293 section 3.8.6.2.2, roughly; an update may be lost.
        self.owes_ack |= before < usize::from(self.mss) && after >= usize::from(self.mss);

        let rto = RETRANSMIT * (1 << self.backoff.min(4));
        let late = now.since(self.timer) > rto;
        if self.una == 0 {
            if self.next == 0 || late {
                let ack = if self.peer_isn.is_some() { ACK } else { 0 };
                out.push(self.segment(0, b"", SYN | ack, now));
                self.next = 1;
                self.sent = 1;
                self.timer = now;
            }
            return out;
        }
        if self.una < self.next && late {
            self.timer = now;
            self.backoff += 1;
            self.go_back();
        }
        let closed = self.una >= self.peer_edge && self.una < self.end();
        if closed && late {
            self.timer = now;
            self.backoff += 1;
            // As BSD does, or as Linux does: with data only what was sent before the window shrank.
            let frame = if self.probes_with_data || self.una < self.sent {
                let len = if self.probes_with_data { 1 } else { self.peer_mss };
                let (frame, end) = self.data_segment(self.una, len, now);
                self.next = self.next.max(end);
                frame
            } else {
                self.segment(self.una - 1, b"", 0, now)
            };
            out.push(frame);
        }
        if self.duplicates >= 3 {
            self.duplicates = 0;
            if self.una < self.next && self.una < self.peer_edge {
                let (frame, _) = self.data_segment(self.una, self.peer_mss, now);
                out.push(frame);
                self.timer = now;
            }
        }
        while self.next < self.end()
            && self.next < self.peer_edge
            && self.next - self.una < 8 * self.peer_mss
        {
            if self.sacked[self.next] {
                self.next += 1;
                continue;
            }
            let len = rng.random_range(1..=self.peer_mss);
            let (frame, end) = self.data_segment(self.next, len, now);
            if self.next == self.una {
                self.timer = now;
            }
            self.next = end;
            out.push(frame);
        }
        if out.is_empty() && self.owes_ack {
            out.push(self.segment(self.sent, b"", 0, now));
        }
        out
    }

    pub(crate) fn receive(&mut self, bytes: &[u8], now: Timestamp) {
        let packet = Packet::parse(bytes).unwrap();
        let (headers, options) = (*packet.headers(), packet.options());
        let has = |flag: u8| headers.flags.bits() & u16::from(flag) != 0;
        assert!(!has(RST), "an honest connection was reset");
        if has(SYN) && self.peer_isn.is_none() {
            self.peer_isn = Some(headers.seq.0);
            self.timestamps &= options.timestamps.is_some();
            self.sacks &= options.sack_permitted;
            self.peer_scale = options.window_scale.unwrap_or(0);
            self.peer_mss = usize::from(options.mss.unwrap());
            // Room for the options that every segment has.
            self.peer_mss -= if self.timestamps { 12 } else { 0 };
        }
        let Some(peer_isn) = self.peer_isn else { return };
        assert_eq!(
            options.timestamps.is_some(),
            self.timestamps || has(SYN) && options.timestamps.is_some()
        );
        let position = headers.seq.0.wrapping_sub(peer_isn) as i32 as i64;
        if let Some(timestamps) = options.timestamps.filter(|_| self.timestamps && !has(SYN)) {
            let old = timestamps.value.wrapping_sub(self.ts_recent).cast_signed() < -1;
            if old {
                self.owes_ack |= !packet.payload().is_empty();
                return;
            }
            assert!(timestamps.echo <= clock(now), "an echo of what was not said");
            if position <= self.last_ack as i64 {
                self.ts_recent = self.ts_recent.max(timestamps.value);
            }
        } else if let Some(timestamps) = options.timestamps {
            self.ts_recent = self.ts_recent.max(timestamps.value);
        }
        // A segment that lies before the window is answered and not believed.
        let len = packet.payload().len() as i64 + i64::from(has(FIN));
        if !has(SYN) && position + len < self.last_ack as i64 {
            self.owes_ack = true;
            return;
        }
        if has(ACK) {
            self.acknowledged(&packet, now);
        }
        let room = usize::from(self.mss) - (usize::from(headers.payload - headers.tcp) - 20);
        assert!(packet.payload().len() <= room, "longer than its receiver takes");
        self.take(position + i64::from(has(SYN)), packet.payload(), has(FIN), has(SYN));
    }

    fn acknowledged(&mut self, packet: &Packet<&[u8]>, now: Timestamp) {
        let (headers, options) = (packet.headers(), packet.options());
        let acked = headers.ack.0.wrapping_sub(self.isn) as usize;
        let syn = headers.flags.bits() & u16::from(SYN) != 0;
        let sent = self.sent;
        if acked > self.end() {
            // Far behind, as old ones may be.
            assert!(acked as u32 as i32 <= 0, "acknowledges {acked} of {}", self.end());
            return;
        }
        assert!(acked <= sent, "acknowledges {acked}, sent was {sent}");
        let scale = if syn { 0 } else { self.peer_scale };
        let edge = acked + (usize::from(headers.window) << scale);
        for (left, right) in options.sack.into_iter().flatten() {
            let (left, right) = (left.0.wrapping_sub(self.isn), right.0.wrapping_sub(self.isn));
            assert!((right as usize) <= sent, "selectively acknowledges what was not sent");
            if (left as usize) < right as usize && left as usize > acked {
                self.sacked[left as usize..right as usize].fill(true);
            }
        }
        if acked > self.una {
            self.una = acked;
            self.next = self.next.max(acked);
            self.timer = now;
            self.backoff = 0;
            self.duplicates = 0;
            self.peer_edge = edge;
        } else if acked == self.una {
            let bare = packet.payload().is_empty() && self.una < self.next;
            if bare && edge == self.peer_edge {
                self.duplicates += 1;
            }
            if edge > self.peer_edge {
                self.backoff = 0;
            }
            self.peer_edge = edge;
        }
    }

    fn take(&mut self, position: i64, payload: &[u8], fin: bool, syn: bool) {
        self.owes_ack |= syn || fin || !payload.is_empty();
        if payload.is_empty() && !fin {
            // An old number asks for an answer (a keep-alive, a probe).
            self.owes_ack |= !syn && position < self.expects() as i64;
            return;
        }
        assert!(position >= 1, "before the stream");
        let position = usize::try_from(position).unwrap();
        let end = position + payload.len() + usize::from(fin);
        assert!(end <= self.offered + 1, "beyond the window: {end}, offered {}", self.offered);
        let longer = self
            .early
            .get(&position)
            .is_none_or(|(old, fin_was)| (old.len(), *fin_was) < (payload.len(), fin));
        if longer {
            self.early.insert(position, (payload.to_vec(), fin));
        }
        while let Some((position, (payload, fin))) = self.early.pop_first() {
            let expected = self.received.len() + 1;
            if position > expected {
                self.early.insert(position, (payload, fin));
                break;
            }
            let known = (expected - position).min(payload.len());
            let old = &self.received[position - 1..][..known];
            assert_eq!(old, &payload[..known], "two copies of a byte differ");
            assert!(!self.peer_closed || known == payload.len(), "bytes after the end");
            self.received.extend(&payload[known..]);
            self.peer_closed |= fin && position + payload.len() == self.received.len() + 1;
        }
    }
}

/// A millisecond clock that has begun at some time.
fn clock(now: Timestamp) -> u32 {
    (now.nanos() / 1_000_000) as u32
}

const RETRANSMIT: Duration = Duration::from_millis(40);
