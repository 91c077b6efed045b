mod brief;
mod terms;

use tollgate_wire::{Direction, Flags, PerDirection, Seq};

use crate::half::Half;
use crate::tracker::check_flags;
use crate::{Invalid, Segment, State, Tracker};
pub use brief::Brief;
use terms::{Offer, Says, Terms};

/// SYN-ACKs with different numbers that are remembered. SYN cookies and anycast make more than one
/// legal; the client's ACK decides. Suricata keeps five.
const ANSWERS_MAX: usize = 4;

/// A half-open connection: the client's SYN was seen, SYN-ACKs of the server perhaps.
///
/// A SYN leaves without its payload ([`Segment::has_stray_payload`]): the server then acknowledges the
/// SYN alone and the client sends the bytes again, where they can be inspected. Whoever allows Fast
/// Open, and has inspected and forwarded them with the SYN, says so
/// ([`Handshake::forwarded_early`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The client's newest SYN, and its first if that had another number: until a SYN-ACK picks one,
    /// either may be the one that lives (RFC 9293 section 3.10.7.3).
    offer: Offer,
    previous: Option<Offer>,
    /// The server's numbers; the first `answers` count.
    answer_seqs: [Seq; ANSWERS_MAX],
    /// Bit `n` is set when answer `n` acknowledges `previous`.
    answers_previous: u8,
    answers: u8,
    /// The widest window, the largest shift and the options that all of the answers share.
    answer: Terms,
    aside: Aside,
    /// Bytes of payload that left with the client's first SYN.
    early: u16,
}

/// What to do with a segment of a half-open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Forward it, without payload if it is a SYN.
    Waiting,
    /// The handshake is complete: [`Handshake::establish`], then give the same segment to
    /// [`Tracker::segment`].
    Established,
    /// A RST ends it. Forward it, without payload.
    Reset,
}

/// The one thing of the server's, beside its SYN-ACKs, that has to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aside {
    Nothing,
    /// It sent an ACK of this number out of nowhere. A client that knows of no such connection
    /// answers it with a RST at exactly that number, which must reach the server.
    Challenge(Seq),
    /// It sent a bare SYN of this number: a simultaneous open (RFC 9293 section 3.5, figure 7).
    Syn(Seq),
    /// It did, and the client's SYN-ACK for it was seen, its own was not.
    ClientAnswered(Seq),
}

impl Handshake {
    /// Opens one for a client's SYN.
    ///
    /// # Errors
    ///
    /// The reason to drop a segment that is no proper SYN.
    pub fn open(syn: &Segment) -> Result<Self, Invalid> {
        check_flags(syn)?;
        if !syn.has(Flags::SYN) || syn.has(Flags::ACK) {
            return Err(Invalid::BeforeHandshake);
        }
        Ok(Self {
            offer: Offer { isn: syn.seq, terms: Terms::of(syn) },
            previous: None,
            answer_seqs: [Seq(0); ANSWERS_MAX],
            answers_previous: 0,
            answers: 0,
            answer: Terms::default(),
            aside: Aside::Nothing,
            early: 0,
        })
    }

    /// Tells that `len` bytes of payload, the first of the stream to the server, were committed and
    /// left with the SYN that opened the handshake (Fast Open, RFC 7413). The server may acknowledge
    /// them or not; the reassembler of the connection then begins behind them
    /// ([`Tracker::next`](crate::Tracker::next)).
    pub fn forwarded_early(&mut self, len: u16) {
        debug_assert!(self.previous.is_none(), "it is the opening SYN that carries them");
        self.early = len;
    }

    /// Takes the next segment, and says what to do with it.
    ///
    /// # Errors
    ///
    /// The reason to drop it. The handshake stands as it was.
    pub fn segment(
        &mut self,
        direction: Direction,
        segment: &Segment,
    ) -> Result<Progress, Invalid> {
        check_flags(segment)?;
        let syn = segment.has(Flags::SYN);
        let ack = segment.has(Flags::ACK);
        match direction {
            _ if segment.has(Flags::RST) => self.rst(direction, segment),
            Direction::ToServer if syn && ack => self.client_syn_ack(segment),
            Direction::ToServer if syn => self.client_syn(segment),
            Direction::ToServer if ack => self.client_ack(segment),
            Direction::ToClient if syn && ack => self.server_syn_ack(segment),
            Direction::ToClient if syn => self.server_syn(segment),
            Direction::ToClient if ack => self.server_ack(segment),
            _ => Err(Invalid::NoAck),
        }
    }

    /// Either [`State::SynSent`] or [`State::SynReceived`].
    #[must_use]
    pub const fn state(&self) -> State {
        if self.answers > 0 { State::SynReceived } else { State::SynSent }
    }

    /// The connection that the last segment completed; call it after [`Progress::Established`].
    #[must_use]
    pub fn establish(&self) -> Tracker {
        let (client, server) = (self.offer.terms, self.answer);
        let agreed = client.says & server.says;
        let (client_start, server_start) = (self.offer.isn + 1, self.answer_seqs[0] + 1);
        let half = |start, ack, terms: Terms| {
            let mut half = Half::new(start, ack, u32::from(terms.window), terms.shift(agreed));
            half.begin_timestamps(terms.clock());
            half
        };
        let mut halves = PerDirection {
            to_server: half(client_start, server_start, client),
            to_client: half(server_start, client_start, server),
        };
        let early = client_start + u32::from(self.early);
        halves.to_server.commit(early, false);
        halves.to_server.forward(early);
        Tracker::established(
            halves,
            agreed.contains(Says::TIMESTAMPS),
            agreed.contains(Says::SIGNED),
        )
    }

    /// Whether what left as `seq` in `direction` may be in flight: a SYN or SYN-ACK that is
    /// remembered, or what stands right behind it.
    #[must_use]
    pub fn is_in_flight(&self, direction: Direction, seq: Seq) -> bool {
        let behind = |isn: Seq, len: u16| (0..=i32::from(len) + 1).contains(&seq.distance(isn));
        match direction {
            Direction::ToServer => {
                let previous = self.previous_isn();
                behind(self.client_isn(), self.early)
                    || previous.is_some_and(|isn| behind(isn, self.early))
            }
            // A bare SYN of the server's stands aside.
            Direction::ToClient => {
                let aside = match self.aside {
                    Aside::Syn(isn) | Aside::ClientAnswered(isn) => Some(isn),
                    Aside::Nothing | Aside::Challenge(_) => None,
                };
                self.server_isns().chain(aside).any(|isn| behind(isn, 0))
            }
        }
    }

    /// The client's number: that of its newest SYN.
    #[must_use]
    pub const fn client_isn(&self) -> Seq {
        self.offer.isn
    }

    /// The client's number in an older SYN that is not forgotten yet.
    pub(crate) fn previous_isn(&self) -> Option<Seq> {
        self.previous.map(|offer| offer.isn)
    }

    /// The numbers of the server's SYN-ACKs.
    pub(crate) fn server_isns(&self) -> impl Iterator<Item = Seq> {
        self.answer_seqs.into_iter().take(usize::from(self.answers))
    }

    /// Whether the client signs its segments, so that none can be forged.
    pub(crate) const fn is_signed(&self) -> bool {
        self.offer.terms.says.contains(Says::SIGNED)
    }

    fn client_syn(&mut self, segment: &Segment) -> Result<Progress, Invalid> {
        let terms = Terms::of(segment);
        if segment.seq == self.offer.isn {
            self.offer.terms.repeat(terms, true);
            return Ok(Progress::Waiting);
        }
        if let Some(previous) = self.previous.as_mut().filter(|offer| offer.isn == segment.seq) {
            previous.terms.repeat(terms, true);
            return Ok(Progress::Waiting);
        }
        let ahead = segment.seq.distance(self.offer.isn);
        if self.answers > 0
            && (0..=i32::from(self.answer.window)).contains(&ahead.saturating_sub(1))
        {
            return Err(Invalid::SynOther);
        }
        self.push_offer(Offer { isn: segment.seq, terms });
        Ok(Progress::Waiting)
    }

    /// A client's SYN-ACK is its half of a simultaneous open.
    fn client_syn_ack(&mut self, segment: &Segment) -> Result<Progress, Invalid> {
        let (Aside::Syn(server) | Aside::ClientAnswered(server)) = self.aside else {
            return Err(Invalid::SynAckMismatch);
        };
        if segment.seq != self.offer.isn || segment.ack != server + 1 {
            return Err(Invalid::SynAckMismatch);
        }
        self.offer.terms.repeat(Terms::of(segment), true);
        if self.choose(segment) {
            return Ok(Progress::Established);
        }
        self.aside = Aside::ClientAnswered(server);
        Ok(Progress::Waiting)
    }

    fn client_ack(&mut self, segment: &Segment) -> Result<Progress, Invalid> {
        if self.answers == 0 {
            return Err(Invalid::BeforeHandshake);
        }
        if self.choose(segment) { Ok(Progress::Established) } else { Err(Invalid::HandshakeAck) }
    }

    /// A bare SYN of the server may cross the client's. If it answers the client's instead (a split
    /// handshake), no SYN-ACK of the server follows, and the connection never opens.
    fn server_syn(&mut self, segment: &Segment) -> Result<Progress, Invalid> {
        match self.aside {
            _ if self.answers > 0 => return Err(Invalid::SynOther),
            Aside::ClientAnswered(seq) if seq != segment.seq => return Err(Invalid::SynOther),
            Aside::ClientAnswered(_) => {}
            _ => self.aside = Aside::Syn(segment.seq),
        }
        Ok(Progress::Waiting)
    }

    fn server_syn_ack(&mut self, segment: &Segment) -> Result<Progress, Invalid> {
        let to_previous = match self.previous {
            _ if self.acknowledges(self.offer, segment) => false,
            Some(previous) if self.acknowledges(previous, segment) => true,
            _ => return Err(Invalid::SynAckMismatch),
        };
        if segment.options.signed && !self.is_signed() {
            return Err(Invalid::UnexpectedSignature);
        }
        let terms = Terms::of(segment);
        let known = self.answers().any(|answer| answer == (segment.seq, to_previous));
        if known {
            self.answer.repeat(terms, self.answers == 1);
        } else {
            let slot = self.answer_seqs.get_mut(usize::from(self.answers));
            *slot.ok_or(Invalid::SynAckTooMany)? = segment.seq;
            self.answers_previous |= u8::from(to_previous) << self.answers;
            if self.answers == 0 {
                self.answer = terms;
            } else {
                self.answer.alternative(terms);
            }
            self.answers += 1;
        }
        // The client's SYN-ACK has already acknowledged this number: both are synchronised.
        if self.aside == Aside::ClientAnswered(segment.seq) && !to_previous {
            self.keep_answer(segment.seq);
            return Ok(Progress::Established);
        }
        Ok(Progress::Waiting)
    }

    /// An ACK of the server before the client's. A server that still holds an older connection of
    /// the same addresses challenges the SYN so (RFC 5961 section 4), and the client's RST clears it.
    /// With Fast Open a server may speak before the client's ACK.
    fn server_ack(&mut self, segment: &Segment) -> Result<Progress, Invalid> {
        let crosses = matches!(self.aside, Aside::Syn(_) | Aside::ClientAnswered(_));
        if crosses && self.answers == 0 {
            return Err(Invalid::SplitHandshake);
        }
        if segment.len == 0 && !segment.has(Flags::FIN) {
            if !crosses {
                self.aside = Aside::Challenge(segment.ack);
            }
            return Ok(Progress::Waiting);
        }
        let start = self.answer_seqs[0] + 1;
        let near = segment.seq.distance(start);
        let fast_open = self.offer.terms.says.contains(Says::FAST_OPEN);
        let early = fast_open && self.answers == 1 && self.answers_previous == 0;
        if early
            && self.acknowledges(self.offer, segment)
            && (0..=i32::from(self.offer.terms.window)).contains(&near)
        {
            return Ok(Progress::Established);
        }
        Err(Invalid::BeforeHandshake)
    }

    /// Only what every stack in that state honours ends the handshake (RFC 9293 section 3.10.7).
    fn rst(&self, direction: Direction, segment: &Segment) -> Result<Progress, Invalid> {
        let ack = segment.has(Flags::ACK);
        match direction {
            Direction::ToServer => {
                if segment.seq == self.offer.isn + 1 {
                    return Ok(Progress::Reset);
                }
                let previous = self.previous.map(|offer| offer.isn + 1);
                if Some(segment.seq) == previous || self.aside == Aside::Challenge(segment.seq) {
                    return Ok(Progress::Waiting);
                }
                Err(Invalid::RstOffEdge)
            }
            Direction::ToClient => {
                if ack && self.acknowledges(self.offer, segment) {
                    // Linux and Windows ignore a RST whose timestamp echo was never sent; others may
                    // not look.
                    // Control that is read in two ways does not pass.
                    let possible = self.offer.terms.may_echo(segment);
                    return if possible { Ok(Progress::Reset) } else { Err(Invalid::Paws) };
                }
                if self.server_isns().any(|isn| segment.seq == isn + 1) {
                    return Ok(Progress::Reset);
                }
                let previous = self.previous.map(|offer| offer.isn + 1);
                if ack && Some(segment.ack) == previous {
                    return Ok(Progress::Waiting);
                }
                Err(if ack { Invalid::RstAck } else { Invalid::RstOffEdge })
            }
        }
    }

    /// Makes the pair of numbers that the client's `segment` acknowledges the only one. False when
    /// there is none.
    fn choose(&mut self, segment: &Segment) -> bool {
        let offer_of = |to_previous| if to_previous { self.previous } else { Some(self.offer) };
        // The ACK itself may be lost before us, so that data beyond the first byte is what comes.
        let reach = 0..=i32::from(self.answer.window) + 1;
        let chosen = self
            .answers()
            .filter(|&(isn, _)| segment.ack == isn + 1)
            .filter_map(|(_, to_previous)| offer_of(to_previous))
            .find(|offer| reach.contains(&segment.data_seq().distance(offer.isn + 1)));
        let Some(offer) = chosen else { return false };
        if self.previous.is_some_and(|first| first.isn != offer.isn) {
            self.early = 0;
        }
        self.offer = offer;
        self.previous = None;
        self.keep_answer(segment.ack - 1);
        true
    }

    /// Whether `segment` acknowledges `offer`, and of its payload no more than left.
    fn acknowledges(&self, offer: Offer, segment: &Segment) -> bool {
        // The payload left with the first SYN, which is the previous one if there is one.
        let first = self.previous.unwrap_or(self.offer);
        let early = if offer.isn == first.isn { i32::from(self.early) } else { 0 };
        (0..=early).contains(&segment.ack.distance(offer.isn + 1))
    }

    fn keep_answer(&mut self, isn: Seq) {
        self.answer_seqs[0] = isn;
        self.answers = 1;
        self.answers_previous = 0;
    }

    /// Each of the server's numbers, and whether it answers the older SYN.
    fn answers(&self) -> impl Iterator<Item = (Seq, bool)> {
        let bits = self.answers_previous;
        self.server_isns().enumerate().map(move |(index, isn)| (isn, bits & (1 << index) != 0))
    }

    /// Makes `offer` the newest. The first one stays beside it, so that nobody who forges SYNs can
    /// push out the one that came before them; the one between, and answers to it, are forgotten.
    fn push_offer(&mut self, offer: Offer) {
        if self.previous.is_none() {
            self.previous = Some(self.offer);
            self.answers_previous = (1 << self.answers) - 1;
        } else {
            let mut kept = 0_u8;
            for (isn, _) in { *self }.answers().filter(|&(_, to_previous)| to_previous) {
                if let Some(slot) = self.answer_seqs.get_mut(usize::from(kept)) {
                    *slot = isn;
                    kept += 1;
                }
            }
            self.answers = kept;
            self.answers_previous = (1 << kept) - 1;
        }
        self.offer = offer;
    }
}
