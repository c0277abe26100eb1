//! Clients that have the session id and violate the protocol on candidates of their own. They are written by hand,
//! because the client's state machine does none of this.

use tidewire_engineio_proto::Packet;
use ws_proto::Event;

use crate::simulation::World;
use crate::wire::packet;

#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) plan: Plan,
    pub(crate) step: Step,
}

/// The plan of a stranger.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// Sends an invalid packet, at once or after the probe.
    SayWrong { probe: bool, what: Wrong },
    /// Closes cleanly, at once or after the probe.
    Leave { probe: bool },
    /// Violates the WebSocket protocol.
    BreakFraming,
    /// Does nothing.
    Nothing,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wrong {
    Packet(Packet<'static>),
    /// Text that is not a packet.
    Text(&'static str),
}

/// The progress of a stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Opened,
    Probed,
    Answered,
    /// The stranger sends nothing more.
    Done,
}

impl Stranger {
    pub(crate) fn new(how: u8) -> Self {
        // An upgrade packet is missing here, because it is valid, also without a probe.
        let wrong = [
            Wrong::Packet(Packet::Open("{}")),
            Wrong::Packet(Packet::Close),
            Wrong::Packet(Packet::Ping("")),
            Wrong::Packet(Packet::Pong("probe")),
            Wrong::Packet(Packet::Message("hello")),
            Wrong::Packet(Packet::Ping("probed")),
            Wrong::Text(""),
            Wrong::Text("x"),
        ];
        let probe = how & 1 == 0;
        let plan = match how % 16 {
            0..10 => Plan::SayWrong { probe, what: wrong[usize::from(how / 16) % wrong.len()].clone() },
            10..12 => Plan::Leave { probe },
            12 => Plan::BreakFraming,
            _ => Plan::Nothing,
        };
        Self { plan, step: Step::Opened }
    }

    fn probes(&self) -> bool {
        matches!(self.plan, Plan::SayWrong { probe: true, .. } | Plan::Leave { probe: true })
    }

    pub(crate) fn can_act(&self) -> bool {
        self.plan != Plan::Nothing && matches!(self.step, Step::Opened | Step::Answered)
    }
}

impl World {
    /// Executes the next step of the stranger on this connection.
    pub(crate) fn stranger_acts(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let Some(mut stranger) = connection.stranger.take() else { unreachable!("it is a stranger's") };
        if stranger.step == Step::Opened && stranger.probes() {
            connection.client_says(&Packet::Ping("probe"));
            stranger.step = Step::Probed;
        } else {
            stranger.step = Step::Done;
            match &stranger.plan {
                Plan::SayWrong { what: Wrong::Packet(packet), .. } => connection.client_says(packet),
                Plan::SayWrong { what: Wrong::Text(text), .. } => connection.client_says_text(text),
                Plan::Leave { .. } => connection.close_by_client(self.now),
                Plan::BreakFraming => connection.client_breaks_framing(),
                Plan::Nothing => unreachable!("it does not act"),
            }
        }
        self.connections[number].stranger = Some(stranger);
    }

    /// A stranger receives nothing of the session except the pong to its probe.
    pub(crate) fn stranger_reads(&mut self, number: usize, events: &[Event<'static>]) {
        let revision = self.format().revision;
        let Some(stranger) = &mut self.connections[number].stranger else { unreachable!("a stranger's") };
        for event in events {
            match packet(revision, event) {
                Some(packet) => {
                    assert_eq!(packet, Ok(Packet::Pong("probe")));
                    let step = std::mem::replace(&mut stranger.step, Step::Answered);
                    assert_eq!(step, Step::Probed, "the pong comes once");
                }
                None => stranger.step = Step::Done,
            }
        }
    }
}
