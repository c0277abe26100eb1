//! The server's state machine.

use std::cell::Cell;
use std::rc::Rc;

use arbitrary::{Result, Unstructured};
use socketio_proto::server::{
    ConnectRequest, Connection, Limits, Protocol, Received, RecoveryRequest, Socket, SocketState, Violation,
};
use ws_proto::Time;

use super::{Message, NAMESPACES, duration, message};

struct Member {
    namespace: &'static str,
    is_disconnected: Rc<Cell<bool>>,
}

impl Socket for Member {
    fn namespace(&self) -> &str {
        self.namespace
    }

    fn is_disconnected(&self) -> bool {
        self.is_disconnected.get()
    }
}

pub(super) fn run(choices: &mut Unstructured<'_>) -> Result<()> {
    let mut limits = Limits::default();
    limits.max_disconnecting_sockets = choices.int_in_range(0..=4)?;
    let mut now = Time::ZERO;
    let protocol = *choices.choose(&[Protocol::V4, Protocol::V5])?;
    let mut connection = Connection::new(protocol, &limits, &Default::default(), now);
    if let Some(request) = connection.connect_main() {
        assert_eq!(protocol, Protocol::V4);
        assert_eq!(request.namespace(), "/");
        handle_request(request, choices)?;
    }
    let mut has_ended = false;
    while !choices.is_empty() {
        let was_closed = connection.is_closed();
        let violation = match choices.int_in_range(0..=9_u8)? {
            0..=3 => receive(&mut connection, &message(choices)?, now, choices)?,
            4 => {
                connection.set_read_paused(choices.arbitrary()?, now);
                None
            }
            5 => {
                now = now + duration(choices)?;
                let violation = connection.handle_timeout(now);
                assert_eq!(connection.handle_timeout(now), None, "what is due is due once");
                violation
            }
            6 => {
                connection.close();
                None
            }
            _ => {
                change(&mut connection, choices)?;
                None
            }
        };
        assert!(violation.is_none() || !was_closed && !has_ended, "a connection ends once");
        has_ended |= violation.is_some();
        assert!(!has_ended || connection.is_closed());
        check(&mut connection, &limits);
    }
    connection.close();
    connection.for_each(|entry| {
        entry.remove();
    });
    assert!(connection.is_empty());
    Ok(())
}

fn receive(
    connection: &mut Connection<Member>,
    message: &Message,
    now: Time,
    choices: &mut Unstructured<'_>,
) -> Result<Option<Violation>> {
    let received = match message {
        Message::Text(text) => connection.handle_text(text, now),
        Message::Binary(data) => connection.handle_binary(&data[..], now),
    };
    match received {
        Ok(None) => {}
        Ok(Some(Received::Connect(request))) => {
            assert!(request.auth().as_str().starts_with('{'));
            let has_query = request.namespace().contains(['?', '#']);
            assert!(request.protocol() == Protocol::V5 || !has_query, "the query is the auth payload");
            handle_request(request, choices)?;
        }
        Ok(Some(Received::Event { socket, .. } | Received::Ack { socket, .. })) => {
            assert_eq!(socket.state(), SocketState::Connected);
        }
        Ok(Some(Received::Disconnect(entry))) => {
            assert!(matches!(entry.state(), SocketState::Disconnected { .. }));
            assert!(!entry.socket().is_disconnected(), "nobody leaves twice");
        }
        Err(violation) => {
            assert!(!violation.to_string().is_empty() && connection.is_closed());
            return Ok(Some(violation));
        }
    }
    Ok(None)
}

/// Ignores a request, or inserts its socket and perhaps accepts it.
fn handle_request(request: ConnectRequest<'_, '_, Member>, choices: &mut Unstructured<'_>) -> Result<()> {
    let _ = RecoveryRequest::from_auth(request.auth());
    let namespace = NAMESPACES.iter().find(|name| **name == request.namespace());
    if let Some(namespace) = namespace.filter(|_| choices.ratio(7_u8, 8).unwrap_or(false)) {
        let mut entry = request.insert(Member { namespace, is_disconnected: Rc::default() });
        assert_eq!(entry.state(), SocketState::Connecting);
        if choices.arbitrary()? {
            assert!(entry.accept());
            assert_eq!(entry.state(), SocketState::Connected);
        }
    }
    Ok(())
}

/// The actions of the application or the driver for each socket.
fn change(connection: &mut Connection<Member>, choices: &mut Unstructured<'_>) -> Result<()> {
    let what: [u8; 4] = choices.arbitrary()?;
    let mut index = 0;
    connection.for_each(|mut entry| {
        let state = entry.state();
        index += 1;
        match what[index % what.len()] % 8 {
            0 | 1 => assert_eq!(entry.accept(), !matches!(state, SocketState::Disconnected { .. })),
            2 => entry.socket().is_disconnected.set(true),
            3 if state == SocketState::Connecting => entry.remove(),
            4 | 5 if matches!(state, SocketState::Disconnected { .. }) => entry.remove(),
            _ => {}
        }
    });
    Ok(())
}

fn check(connection: &mut Connection<Member>, limits: &Limits) {
    for namespace in NAMESPACES {
        let (mut all, mut open) = (0, 0);
        connection.for_each(|entry| {
            if entry.socket().namespace == namespace {
                all += 1;
                open += usize::from(!matches!(entry.state(), SocketState::Disconnected { .. }));
            }
        });
        assert!(open <= 1, "a client has one socket in a namespace");
        assert!(all <= limits.max_disconnecting_sockets.max(1), "sockets that leave have a limit");
    }
    if connection.is_closed() {
        assert_eq!(connection.poll_timeout(), None);
    }
}
