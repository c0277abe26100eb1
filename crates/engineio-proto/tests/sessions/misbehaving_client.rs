//! Clients that know the session id and do wrong things on candidates of their own. They are made by hand: the client's
//! machine would not do any of it.

use tidewire_engineio_proto::Packet;
use ws_proto::Event;

use crate::simulation::World;
use crate::wire::packet;

#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) plan: Plan,
    pub(crate) step: Step,
}

/// What a stranger has in mind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// To say something wrong, at once or after the probe.
    SayWrong { probe: bool, what: Wrong },
    /// To leave in order, at once or after the probe.
    Leave { probe: bool },
    /// To break the rules of WebSocket.
    BreakFraming,
    /// Nothing.
    Nothing,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wrong {
    Packet(Packet<'static>),
    /// What is no packet.
    Text(&'static str),
}

/// How far a stranger has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Opened,
    Probed,
    Answered,
    /// It says nothing more.
    Done,
}

impl Stranger {
    pub(crate) fn new(how: u8) -> Self {
        // An upgrade packet after the probe is not among them: it would be right.
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
            0 | 2 => Plan::SayWrong { probe: false, what: Wrong::Packet(Packet::Upgrade) },
            1 | 3..10 => Plan::SayWrong { probe, what: wrong[usize::from(how / 16) % wrong.len()].clone() },
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
    /// The next step of the stranger on this connection.
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

    /// A stranger sees nothing of the session but the answer to its probe.
    pub(crate) fn stranger_reads(&mut self, number: usize, events: &[Event<'static>]) {
        let Some(stranger) = &mut self.connections[number].stranger else { unreachable!("a stranger's") };
        for event in events {
            match packet(event) {
                Some(packet) => {
                    assert_eq!(packet, Ok(Packet::Pong("probe")));
                    let step = std::mem::replace(&mut stranger.step, Step::Answered);
                    assert_eq!(step, Step::Probed, "the answer comes once");
                }
                None => stranger.step = Step::Done,
            }
        }
    }
}
