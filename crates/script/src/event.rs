use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mlua::Lua;
use tollgate_policy::{Data, Edit, Flow, FlowId, Log, PacketView, Reports, Traffic, Verdict};
use tollgate_wire::{Endpoint, Headers, PerDirection, Timestamp};

use crate::fault::{Failure, Fault};
use crate::limits::Budget;
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
    /// Where the headers of `bytes` are, if they are a frame.
    pub(crate) headers: Option<Headers>,
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
            headers: None,
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
        self.headers = None;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
    }

    pub(crate) fn packet(&mut self, packet: &PacketView<'_>) {
        self.headers = Some(*packet.headers);
        self.bytes.extend_from_slice(packet.frame);
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
    /// What the rules of this event change, and from where on they hold bytes back.
    pub(crate) edits: RefCell<Vec<Edit>>,
    pub(crate) hold_from: Cell<Option<u64>>,
    pub(crate) skips: RefCell<Skips>,
    /// What failed in a coroutine, whose stack is gone when its error arrives outside.
    pub(crate) failure: RefCell<Option<Failure>>,
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
            edits: RefCell::new(Vec::new()),
            hold_from: Cell::new(None),
            skips: RefCell::default(),
            failure: RefCell::new(None),
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
