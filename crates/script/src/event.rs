use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use mlua::Lua;
use tollgate_policy::{
    Data, Edit, Flow, FlowId, FrameEdit, Injected, Log, Reports, Side, Traffic, Verdict,
};
use tollgate_wire::{Endpoint, PerDirection, Timestamp};

use crate::ahead::Sleepers;
use crate::budget::{Breath, Budget};
use crate::collector::Collector;
use crate::fault::{Failure, Fault};
use crate::heads::Heads;
use crate::skips::Skips;

/// A buffer that has grown beyond this is given back after its event.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// The running event, as a copy: what Lua reads must not borrow from the engine.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) now: Timestamp,
    pub(crate) flow: FlowId,
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
    pub(crate) state: &'static str,
    pub(crate) traffic: PerDirection<Traffic>,
    /// Frames that rules have been shown so far: the last one's number.
    pub(crate) number: u64,
    /// Whether `bytes` are a frame.
    pub(crate) is_frame: bool,
    /// Where the last frame that came without a connection came in.
    pub(crate) from: Side,
    /// The frame, or the data of the stream.
    pub(crate) bytes: Vec<u8>,
    /// Position of the first byte in the stream, if it is data.
    pub(crate) offset: u64,
}

impl Event {
    pub(crate) fn none() -> Self {
        let nobody = Endpoint::new([0, 0, 0, 0].into(), 0);
        Self {
            now: Timestamp::default(),
            flow: FlowId(0),
            client: nobody,
            server: nobody,
            state: "",
            traffic: PerDirection::default(),
            number: 0,
            is_frame: false,
            from: Side::A,
            bytes: Vec::new(),
            offset: 0,
        }
    }

    /// Enters an event of `flow`, without bytes so far.
    pub(crate) fn begin(&mut self, flow: &Flow<'_>) {
        self.now = flow.now;
        self.flow = flow.id;
        self.client = flow.client;
        self.server = flow.server;
        self.state = flow.state;
        self.traffic = flow.traffic;
        self.empty();
    }

    /// Enters an event without a connection, and without bytes so far.
    pub(crate) fn begin_at(&mut self, now: Timestamp) {
        self.now = now;
        self.empty();
    }

    fn empty(&mut self) {
        self.is_frame = false;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }

    pub(crate) fn packet(&mut self, frame: &[u8]) {
        self.is_frame = true;
        self.bytes.extend_from_slice(frame);
    }

    pub(crate) fn frame(&mut self, frame: &FrameEdit<'_>, is_new: bool) {
        self.number += u64::from(is_new);
        self.begin_at(frame.received());
        self.from = frame.from();
        self.packet(frame.bytes());
    }

    pub(crate) fn data(&mut self, data: &Data<'_>) {
        self.offset = data.offset();
        for chunk in data.chunks() {
            self.bytes.extend_from_slice(chunk);
        }
    }
}

/// What the Rust side of a Lua state and its lent functions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) event: RefCell<Event>,
    /// The engine's reports for the time of an event; at load, those of the script.
    pub(crate) reports: RefCell<Reports>,
    pub(crate) verdict: Cell<Verdict>,
    pub(crate) budget: Rc<Budget>,
    pub(crate) breath: Breath,
    pub(crate) collector: Collector,
    /// What the rules of this event change, and from where on they hold bytes back.
    pub(crate) edits: RefCell<Vec<Edit>>,
    pub(crate) hold_from: Cell<Option<u64>>,
    pub(crate) skips: RefCell<Skips>,
    pub(crate) sleepers: RefCell<Sleepers>,
    pub(crate) heads: RefCell<Heads>,
    /// Whether a timeout has ever decided about a connection.
    pub(crate) is_doomed: Cell<bool>,
    /// What stands in place of the event's frame, if rules have changed it.
    pub(crate) frame: RefCell<Option<Vec<u8>>>,
    /// Frames that rules have made, the oldest first.
    pub(crate) injected: RefCell<VecDeque<Injected>>,
    /// The instant at which one was made last, and how many were made at it.
    pub(crate) injected_at: Cell<(Timestamp, u32)>,
    /// What failed in a coroutine, whose stack is gone when its error arrives outside.
    pub(crate) failure: RefCell<Option<Failure>>,
    /// `file:line: ` of the last error that was no text.
    pub(crate) raised: RefCell<String>,
    pub(crate) faults: RefCell<Vec<Fault>>,
    pub(crate) messages: RefCell<Vec<Log>>,
    memory_bytes_max: usize,
}

impl Shared {
    pub(crate) fn new(memory_bytes_max: usize) -> Rc<Self> {
        Rc::new(Self {
            event: RefCell::new(Event::none()),
            reports: RefCell::new(Reports::new(REPORTS_AT_LOAD_MAX)),
            verdict: Cell::new(Verdict::Accept),
            budget: Rc::new(Budget::default()),
            breath: Breath::default(),
            collector: Collector::new(memory_bytes_max),
            edits: RefCell::new(Vec::new()),
            hold_from: Cell::new(None),
            skips: RefCell::default(),
            sleepers: RefCell::default(),
            heads: RefCell::default(),
            is_doomed: Cell::new(false),
            frame: RefCell::new(None),
            injected: RefCell::new(VecDeque::new()),
            injected_at: Cell::default(),
            failure: RefCell::new(None),
            raised: RefCell::default(),
            faults: RefCell::new(Vec::new()),
            messages: RefCell::new(Vec::new()),
            memory_bytes_max,
        })
    }

    /// Whether more than three quarters of the memory are in use, garbage included.
    pub(crate) fn memory_is_full(&self, lua: &Lua) -> bool {
        self.memory_bytes_max > 0 && lua.used_memory() > self.memory_bytes_max / 4 * 3
    }
}

/// A script that logs without end at load is cut off here.
const REPORTS_AT_LOAD_MAX: usize = 1024;
