//! Acknowledgements, in both directions.

use super::*;
use crate::{Ack, AckError, Data, HandlerError, Reply, Value};
use engineio_proto::CloseReason;

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_deserialized() {
    let (_network, socket) = connected().await;
    let answer: (i32, String) = within(socket.emit_with_ack("ask", (7, "x"))).await.unwrap();
    assert_eq!(answer, (7, "x".to_owned()));
    let wrong = within(socket.emit_with_ack::<i32>("ask", "no number")).await;
    assert!(matches!(wrong, Err(AckError::Invalid(_))), "{wrong:?}");
    let raw = within(socket.emit_with_ack::<()>("ask", (1, 2)).raw()).await.unwrap();
    assert_eq!(raw.json_elements(), "1,2");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_handler_of_the_server_is_an_error_of_the_acknowledgement() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Refusal {
        error: String,
    }

    let (_network, socket) = connected().await;
    let refusal = serde_json::json!({ "error": "slow down", "code": "rate", "data": { "wait": 5 } });
    let wait: Value = within(socket.emit_with_ack("ask", serde_json::json!({ "wait": 5 }))).await.unwrap();
    let failed =
        AckError::Failed { message: "slow down".into(), code: Some("rate".into()), data: Some(wait) };
    assert_eq!(within(socket.emit_with_ack::<u32>("ask", &refusal)).await, Err(failed.clone()));
    assert_eq!(within(socket.emit_with_ack::<()>("ask", &refusal)).await, Err(failed.clone()));
    assert_eq!(failed.to_string(), "the handler of the server failed: slow down (rate)");
    let short = within(socket.emit_with_ack::<()>("ask", serde_json::json!({ "error": "no" }))).await;
    assert_eq!(short.unwrap_err().to_string(), "the handler of the server failed: no");
    // Servers of Node also send numbers as codes.
    let numbered = serde_json::json!({ "error": "no such page", "code": 404, "data": null });
    let numbered = within(socket.emit_with_ack::<()>("ask", numbered)).await;
    let failed = AckError::Failed { message: "no such page".into(), code: Some("404".into()), data: None };
    assert_eq!(numbered, Err(failed));
    // A list is not an error, whatever it contains.
    assert_eq!(within(socket.emit_with_ack::<()>("ask", ["a", "b", "c"])).await, Ok(()));
    let list = within(socket.emit_with_ack::<u32>("ask", ["a", "b", "c"])).await;
    assert!(matches!(list, Err(AckError::Invalid(_))), "{list:?}");
    // A type that takes the object gets it.
    let asked = within(socket.emit_with_ack("ask", &refusal)).await;
    assert_eq!(asked, Ok(Refusal { error: "slow down".into() }));
    // Other acknowledgements of `()` are none of the program's business.
    assert_eq!(within(socket.emit_with_ack::<()>("ask", (1, 2))).await, Ok(()));
    assert_eq!(within(socket.emit_with_ack::<()>("ask", serde_json::json!({ "error": 1 }))).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_has_a_timeout_if_the_program_wants_one() {
    let (network, builder) = client();
    let socket = builder.ack_timeout(secs(60)).connect();
    within(socket.connected()).await.unwrap();
    network.state().acknowledges = false;
    let start = tokio::time::Instant::now();
    let (short, default) = tokio::join!(
        async {
            let asked = socket.timeout(secs(5)).emit_with_ack::<()>("a", ()).await;
            (asked, start.elapsed().as_secs())
        },
        async {
            let asked = socket.emit_with_ack::<()>("b", ()).await;
            (asked, start.elapsed().as_secs())
        },
    );
    assert_eq!((short, default), ((Err(AckError::Timeout), 5), (Err(AckError::Timeout), 60)));
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_acknowledgement_has_timed_out_leaves_the_buffer() {
    let (network, builder) = client();
    let socket = builder.auto_connect(false).connect();
    let asked = socket.timeout(secs(5)).emit_with_ack::<()>("a", ());
    assert_eq!(within(asked).await, Err(AckError::Timeout));
    socket.connect();
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_sent_event_fails_with_its_connection_and_a_late_answer_is_ignored() {
    let (network, socket) = connected().await;
    network.state().acknowledges = false;
    let asked = socket.emit_with_ack::<()>("a", ());
    network.cut(CloseReason::TransportClose);
    assert_eq!(within(asked).await, Err(AckError::Disconnected));
    within(socket.connected()).await.unwrap();
    settle().await;
    let next = socket.emit_with_ack::<i32>("b", ());
    network.send("30[1]");
    network.send("31[2]");
    assert_eq!(within(next).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_does_not_stop_the_event() {
    let (network, builder) = client();
    let socket = builder.auto_connect(false).connect();
    drop(socket.emit_with_ack::<()>("a", ()));
    socket.connect();
    within(socket.connected()).await.unwrap();
    assert_eq!(network.take_received(), ["0", r#"20["a"]"#]);
    assert_eq!(pending_acks(&socket), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_acknowledges_with_its_return_value() {
    let (network, socket) = connected().await;
    socket.on("value", async |Data(number): Data<i32>| Reply(number + 1));
    socket.on("nothing", async || {});
    socket.on("error", async || Err::<(), _>(HandlerError::new("no")));
    socket.on("panic", async || {
        if true {
            panic!("oh");
        }
    });
    socket.on("later", async |ack: Ack<(i32, i32)>| {
        tokio::spawn(async move {
            tokio::time::sleep(secs(1)).await;
            ack.send((1, 2));
        });
    });
    socket.start();
    for (id, event) in ["value", "nothing", "error", "panic", "later"].iter().enumerate() {
        network.send(&format!(r#"2{id}["{event}",6]"#));
    }
    tokio::time::sleep(secs(2)).await;
    assert_eq!(
        network.take_received(),
        ["30[7]", "31[]", r#"32[{"error":"no"}]"#, r#"33[{"error":"handler failed"}]"#, "34[1,2]"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_is_acknowledged_on_its_own_connection_or_not_at_all() {
    let (network, socket) = connected().await;
    socket.on("slow", async || {
        tokio::time::sleep(secs(60)).await;
        Reply("late")
    });
    socket.on("fast", async || Reply("at once"));
    socket.start();
    network.send(r#"25["slow"]"#);
    settle().await;
    network.cut(CloseReason::TransportClose);
    settle().await;
    within(socket.connected()).await.unwrap();
    network.send(r#"25["fast"]"#);
    tokio::time::sleep(secs(120)).await;
    assert_eq!(network.take_received(), ["0", r#"35["at once"]"#]);
}
