//! Connection state recovery.

use engineio_proto::CloseReason;

use super::*;
use crate::Data;

const EVENTS: usize = 8;

/// An event of a server that adds an offset.
fn event(number: usize) -> String {
    format!(r#"2["n",{number},"o{number}"]"#)
}

/// Waits until the client has requested its namespace.
async fn request(network: &Network) -> Vec<String> {
    within(async {
        loop {
            let received = network.take_received();
            if !received.is_empty() {
                return received;
            }
            settle().await;
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn after_whichever_packet_the_connection_breaks_each_event_arrives_once_and_in_order() {
    for arrived in 0..=EVENTS {
        let (network, builder) = client();
        network.state().accepts = false;
        let log = Log::default();
        let events = log.clone();
        let socket = builder
            .on("n", move |Data((number, optional)): Data<(usize, Option<String>)>| {
                events.say(format!("{number} {optional:?}"));
                std::future::ready(())
            })
            .connect();
        assert_eq!(request(&network).await, ["0"]);
        network.send(r#"0{"sid":"first","pid":"p"}"#);
        for number in 0..arrived {
            network.send(&event(number));
        }
        within(socket.connected()).await.unwrap();
        settle().await;
        network.cut(CloseReason::TransportClose);

        let last = arrived.checked_sub(1).map_or(String::new(), |last| format!(r#","offset":"o{last}""#));
        assert_eq!(request(&network).await, [format!(r#"0{{"pid":"p"{last}}}"#)]);
        assert!(!socket.is_connected());
        for number in arrived..EVENTS {
            network.send(&event(number));
        }
        network.send(r#"0{"sid":"first","pid":"p"}"#);
        within(socket.connected()).await.unwrap();
        assert!(socket.is_recovered());
        // The parameter that is optional does not get the offset.
        let expected: Vec<_> = (0..EVENTS).map(|number| format!("{number} None")).collect();
        assert_eq!(log.wait(EVENTS).await, expected, "{arrived} events arrived before the connection broke");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_knows_the_session_no_more_is_not_asked_for_old_events_again() {
    let (network, builder) = client();
    network.state().accepts = false;
    let socket = builder.connect();
    request(&network).await;
    network.send(r#"0{"sid":"first","pid":"p"}"#);
    network.send(&event(1));
    within(socket.connected()).await.unwrap();
    settle().await;
    network.cut(CloseReason::TransportClose);
    assert_eq!(request(&network).await, [r#"0{"pid":"p","offset":"o1"}"#]);
    network.send(r#"0{"sid":"second","pid":"q"}"#);
    within(socket.connected()).await.unwrap();
    assert!(!socket.is_recovered());
    network.cut(CloseReason::TransportClose);
    assert_eq!(request(&network).await, [r#"0{"pid":"q"}"#]);
}
