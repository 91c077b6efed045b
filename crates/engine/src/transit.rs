//! Frames that are under way within a turn because rules look at them one by one; none is left here
//! when the turn ends.

use std::collections::VecDeque;

use tollgate_link::Port;
use tollgate_policy::{Route, Side};

/// What has still to be done with frames before the turn ends.
#[derive(Debug)]
pub(crate) struct Transit<F> {
    /// Rules see what leaves: it waits in `departing` until they have.
    pub(crate) gated: bool,
    /// What rules make leaves in one order with all other frames, whatever the port.
    in_order: bool,
    /// What is to leave, in order.
    departing: VecDeque<Departing<F>>,
    /// What rules have made during the events of connections and of sending, and is to be received
    /// when what is under way has had its effect; in order.
    reentering: VecDeque<Made<F>>,
    /// Of the frame that rules are looking at: 0 if nobody but its sender made it.
    pub(crate) generation: u8,
    /// Frames that rules have made this turn.
    made: u32,
}

/// A frame on its way out.
#[derive(Debug)]
pub(crate) struct Departing<F> {
    pub(crate) frame: F,
    /// Where it leaves.
    pub(crate) port: Port,
    pub(crate) generation: u8,
    /// Rules have seen it.
    pub(crate) asked: bool,
}

/// A frame that a rule made.
#[derive(Debug)]
pub(crate) struct Made<F> {
    pub(crate) frame: F,
    /// Where it came in, or is to be thought to.
    pub(crate) port: Port,
    pub(crate) route: Route,
    pub(crate) generation: u8,
}

impl<F> Transit<F> {
    pub(crate) const fn new(in_order: bool) -> Self {
        Self {
            gated: false,
            in_order,
            departing: VecDeque::new(),
            reentering: VecDeque::new(),
            generation: 0,
            made: 0,
        }
    }

    /// A turn begins.
    pub(crate) const fn begin(&mut self) {
        self.made = 0;
        self.generation = 0;
    }

    /// Whether what leaves can go straight into its port's batch: nobody looks at it, and its order among
    /// the frames of the other port is nobody's concern.
    #[inline]
    pub(crate) const fn is_direct(&self) -> bool {
        !self.gated && !self.in_order
    }

    /// Whether the frame at hand must leave before any other does, at either port.
    pub(crate) const fn leaves_at_once(&self) -> bool {
        self.in_order && self.generation > 0
    }

    /// The generation of a frame that rules make now, if they may make another one; it counts then.
    pub(crate) const fn next_generation(&mut self) -> Option<u8> {
        if self.made >= MADE_PER_TURN_MAX || self.generation >= GENERATIONS_MAX {
            return None;
        }
        self.made += 1;
        Some(self.generation + 1)
    }

    /// Lets a frame wait for its turn to leave.
    pub(crate) fn depart(&mut self, frame: F, port: Port) {
        let generation = self.generation;
        self.departing.push_back(Departing { frame, port, generation, asked: false });
    }

    /// Puts a frame before all that are to leave.
    pub(crate) fn depart_first(&mut self, departing: Departing<F>) {
        self.departing.push_front(departing);
    }

    pub(crate) fn next_departing(&mut self) -> Option<Departing<F>> {
        self.departing.pop_front()
    }

    /// Lets a frame be received when what is under way has had its effect.
    pub(crate) fn reenter(&mut self, made: Made<F>) {
        self.reentering.push_back(made);
    }

    pub(crate) fn next_reentering(&mut self) -> Option<Made<F>> {
        self.reentering.pop_front()
    }
}

/// The policy's word for a port.
pub(crate) const fn side(port: Port) -> Side {
    match port {
        Port::A => Side::A,
        Port::B => Side::B,
    }
}

/// The link's word for a side.
pub(crate) const fn port(side: Side) -> Port {
    match side {
        Side::A => Port::A,
        Side::B => Port::B,
    }
}

/// How often a frame may be made on seeing one that was made: a rule that answers each with another
/// is in a loop. A guess: what a tunnel in a tunnel needs, and room.
const GENERATIONS_MAX: u8 = 8;
/// A guess: some tens for each frame of a batch.
const MADE_PER_TURN_MAX: u32 = 4096;
