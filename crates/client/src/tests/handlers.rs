//! Handlers, observers and streams.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::{Data, DisconnectReason, DroppedEvents, EventName, Limits, State};
use engineio_proto::CloseReason;
use futures_util::StreamExt;

fn log_replaced() {
    panic!("this handler was replaced");
}

fn say(
    log: &Log,
) -> impl Fn(EventName, Data<serde_json::Value>) -> std::future::Ready<()> + Send + Sync + 'static {
    let log = log.clone();
    move |EventName(name), Data(value)| {
        log.say(format!("{name} {value}"));
        std::future::ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn events_run_one_after_another_in_their_order() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("slow", {
        let log = log.clone();
        move || {
            let log = log.clone();
            async move {
                tokio::time::sleep(secs(1)).await;
                log.say("slow is done");
            }
        }
    });
    socket.on_fallback(say(&log));
    socket.start();
    for text in [r#"2["a",1]"#, r#"2["slow"]"#, r#"2["b",2]"#] {
        network.send(text);
    }
    assert_eq!(log.wait(3).await, ["a 1", "slow is done", "b 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_concurrent_handler_does_not_hold_up_the_next_event() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket
        .on("slow", {
            let log = log.clone();
            move || {
                let log = log.clone();
                async move {
                    tokio::time::sleep(secs(1)).await;
                    log.say("slow is done");
                }
            }
        })
        .concurrent();
    socket.on_fallback(say(&log));
    socket.start();
    network.send(r#"2["slow"]"#);
    network.send(r#"2["b",2]"#);
    assert_eq!(log.wait(2).await, ["b 2", "slow is done"]);
}

#[tokio::test(start_paused = true)]
async fn no_event_is_lost_when_the_connection_breaks_and_the_disconnect_handler_comes_after_them() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("event", {
        let log = log.clone();
        move |Data(number): Data<u32>| {
            let log = log.clone();
            async move {
                tokio::time::sleep(secs(10)).await;
                log.say(format!("event {number}"));
            }
        }
    });
    socket.on_disconnect({
        let log = log.clone();
        move |reason: DisconnectReason, DroppedEvents(dropped): DroppedEvents| {
            log.say(format!("{reason}, {dropped} dropped"));
            std::future::ready(())
        }
    });
    socket.on_connect({
        let log = log.clone();
        move || {
            log.say("connect");
            std::future::ready(())
        }
    });
    for number in 1..4 {
        network.send(&format!(r#"2["event",{number}]"#));
    }
    settle().await;
    network.cut(CloseReason::TransportError);
    tokio::time::sleep(secs(5)).await;
    network.send(r#"2["event",4]"#);
    let expected = ["event 1", "event 2", "event 3", "transport error, 0 dropped", "connect", "event 4"];
    assert_eq!(log.wait(6).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_by_the_program_drops_the_events_that_have_not_started_and_counts_them() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("event", async || tokio::time::sleep(secs(10)).await);
    socket.on_disconnect({
        let log = log.clone();
        move |reason: DisconnectReason, DroppedEvents(dropped): DroppedEvents| {
            log.say(format!("{reason}, {dropped} dropped"));
            std::future::ready(())
        }
    });
    socket.start();
    for _ in 0..3 {
        network.send(r#"2["event"]"#);
    }
    settle().await;
    socket.disconnect();
    assert_eq!(log.wait(1).await, ["io client disconnect, 2 dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_disconnects_its_socket_is_the_last_one() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("bye", async |socket: Socket| socket.disconnect());
    socket.on_fallback(say(&log));
    socket.start();
    for text in [r#"2["a",1]"#, r#"2["bye"]"#, r#"2["b",2]"#] {
        network.send(text);
    }
    settle().await;
    assert_eq!(log.lines(), ["a 1"]);
}

#[tokio::test(start_paused = true)]
async fn once_off_and_observers_work_as_in_javascript() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("x", say(&log));
    socket.once("x", {
        let log = log.clone();
        move || {
            log.say("once");
            std::future::ready(())
        }
    });
    socket.on_any({
        let log = log.clone();
        move |_, event| log.say(format!("any {}", event.name()))
    });
    socket.on_any_outgoing({
        let log = log.clone();
        move |socket, event| {
            log.say(format!("outgoing {} {}", event.name(), event.is_ack_requested()));
            socket.emit("not observed", ());
        }
    });
    socket.start();
    network.send(r#"2["x",1]"#);
    network.send(r#"2["x",2]"#);
    assert_eq!(log.wait(4).await, ["any x", "once", "any x", "x 2"]);
    socket.off("x");
    socket.off_any();
    network.send(r#"2["x",3]"#);
    settle().await;
    assert!(log.lines().is_empty());
    socket.emit("out", ());
    let _ = within(socket.emit_with_ack::<()>("ask", ())).await;
    assert_eq!(log.wait(2).await, ["outgoing out false", "outgoing ask true"]);
    socket.off_any_outgoing();
    socket.emit("out", ());
    assert!(log.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_second_handler_for_an_event_replaces_the_first() {
    let (network, socket) = connected().await;
    let log = Log::default();
    socket.on("x", async |_: Data<()>| log_replaced());
    socket.on("x", say(&log));
    socket.start();
    network.send(r#"2["x",1]"#);
    assert_eq!(log.wait(1).await, ["x 1"]);
}

#[tokio::test(start_paused = true)]
async fn errors_of_handlers_and_panics_are_reported_and_the_client_goes_on() {
    let (network, builder) = client();
    let log = Log::default();
    let socket = builder
        .on_error({
            let log = log.clone();
            move |error, socket, event| log.say(format!("{} {event:?}: {error}", socket.namespace()))
        })
        .on("panics", async |Data(fail): Data<bool>| assert!(!fail, "as told"))
        .on("fails", async || Err::<(), _>(crate::HandlerError::new("no")))
        .on_connect(async || Err::<(), _>(crate::HandlerError::new("no room")))
        .on_any(|_, event| assert_ne!(event.name(), "observed", "seen"))
        .connect();
    within(socket.connected()).await.unwrap();
    for text in [r#"2["panics",true]"#, r#"2["panics","no bool"]"#, r#"2["fails"]"#, r#"2["observed"]"#] {
        network.send(text);
    }
    let lines = log.wait(5).await;
    assert_eq!(lines[0], "/ None: no room");
    assert!(lines[1].starts_with(r#"/ Some("panics"): handler failed: panicked: as told"#), "{}", lines[1]);
    assert!(
        lines[2].starts_with(r#"/ Some("panics"): argument 0"#) || lines[2].contains("no bool"),
        "{}",
        lines[2]
    );
    assert_eq!(lines[3], r#"/ Some("fails"): no"#);
    assert!(lines[4].contains("seen"), "{}", lines[4]);
    assert!(socket.is_connected());
}

#[tokio::test(start_paused = true)]
async fn state_is_shared_by_all_handlers() {
    let (network, builder) = client();
    let log = Log::default();
    let socket = builder
        .state(log.clone())
        .on("x", async |log: State<Log>, Data(number): Data<u32>| log.say(number))
        .connect();
    within(socket.connected()).await.unwrap();
    network.send(r#"2["x",1]"#);
    assert_eq!(log.wait(1).await, ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_without_its_state_is_refused_where_the_program_connects_or_registers_it() {
    fn refused(register: impl FnOnce()) -> String {
        let panic = catch_unwind(AssertUnwindSafe(register)).expect_err("the handler is refused");
        panic.downcast_ref::<String>().expect("a message").clone()
    }
    let (_network, builder) = client();
    // The state may follow the handler.
    let socket = builder.on("x", async |_: State<Log>| {}).state(Log::default()).connect();
    let (_other, builder) = client();
    let builder = builder.on("x", async |_: State<Log>| {});
    let reason = "cannot be called: no state of type `";
    for (handler, message) in [
        ("the handler of `x` in namespace `/`", refused(|| drop(builder.connect()))),
        ("the handler of `y` in namespace `/`", refused(|| drop(socket.on("y", async |_: State<u8>| {})))),
        ("`on_connect` in namespace `/admin`", {
            let admin = socket.client().namespace("/admin").on_connect(async |_: State<u8>| {});
            refused(|| drop(admin.connect()))
        }),
    ] {
        assert!(message.starts_with(handler) && message.contains(reason), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_learns_of_an_error_is_the_choice_of_the_program() {
    let (network, builder) = client();
    let socket = builder
        .map_errors(|_: &std::num::ParseIntError| crate::HandlerError::new("no number").code("number"))
        .on("parse", async |Data(text): Data<String>| text.parse::<u8>())
        .connect();
    within(socket.connected()).await.unwrap();
    network.send(r#"27["parse","seven"]"#);
    settle().await;
    let sent = network.take_received();
    assert_eq!(sent.last().unwrap(), r#"37[{"error":"no number","code":"number"}]"#);
}

#[tokio::test(start_paused = true)]
async fn the_stream_gets_the_events_without_a_handler_across_connections() {
    let (network, socket) = connected().await;
    let log = Log::default();
    let mut events = socket.events();
    socket.on("handled", say(&log));
    network.send(r#"2["a",1]"#);
    network.send(r#"2["handled",2]"#);
    network.send(r#"27["ask","x"]"#);
    let event = within(events.next()).await.unwrap();
    assert_eq!((event.name(), event.data::<u32>()), ("a", Ok(1)));
    let event = within(events.next()).await.unwrap();
    assert!(event.is_ack_requested());
    event.ack("y");
    assert_eq!(network.take_received(), [r#"37["y"]"#]);
    assert_eq!(log.lines(), ["handled 2"]);
    network.cut(CloseReason::TransportClose);
    settle().await;
    within(socket.connected()).await.unwrap();
    network.send(r#"2["b",2]"#);
    assert_eq!(within(StreamExt::next(&mut events)).await.unwrap().name(), "b");
    let ended = tokio::spawn(async move { events.next().await.is_none() });
    within(socket.client().close()).await;
    assert!(within(ended).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_stops_the_reading_and_loses_nothing() {
    let (network, builder) = client();
    let limits = Limits { max_queued_events: 10, max_stream_bytes: 1_000, ..Limits::default() };
    let socket = builder.limits(limits).connect();
    within(socket.connected()).await.unwrap();
    let mut events = socket.events();
    for number in 0..500 {
        network.send(&format!(r#"2["x",{number}]"#));
    }
    settle().await;
    let queued = network.unread();
    assert!(queued > 400, "{queued} events wait in the network");
    for number in 0..500 {
        assert_eq!(within(events.next()).await.unwrap().data::<u32>(), Ok(number));
    }
}

#[tokio::test(start_paused = true)]
async fn while_an_acknowledgement_is_awaited_reading_goes_on_up_to_the_hard_limit() {
    let (network, builder) = client();
    let limits = Limits { max_queued_events: 10, max_queued_events_hard: 100, ..Limits::default() };
    let log = Log::default();
    let socket = builder
        .limits(limits)
        .on_disconnect({
            let log = log.clone();
            move |reason: DisconnectReason| {
                log.say(reason);
                std::future::ready(())
            }
        })
        .on("ask", {
            let log = log.clone();
            move |socket: Socket| {
                let log = log.clone();
                async move {
                    let answer = socket.emit_with_ack::<u32>("question", 7).await;
                    log.say(format!("{answer:?}"));
                }
            }
        })
        .connect();
    within(socket.connected()).await.unwrap();
    network.state().acknowledges = false;
    network.send(r#"2["ask"]"#);
    for _ in 0..50 {
        network.send(r#"2["x"]"#);
    }
    network.send("30[8]");
    assert_eq!(log.wait(1).await, ["Ok(8)"], "the answer comes after more events than the soft limit");
    network.send(r#"2["ask"]"#);
    for _ in 0..200 {
        network.send(r#"2["x"]"#);
    }
    assert_eq!(log.wait(2).await, ["Err(Disconnected)", "forced close"]);
}

#[tokio::test(start_paused = true)]
async fn observers_can_be_put_in_front_and_handlers_can_be_looked_for() {
    let (network, socket) = connected().await;
    let log = Log::default();
    let [first, second, sent, later] = [log.clone(), log.clone(), log.clone(), log.clone()];
    socket.on_any(move |_, _| second.say("second"));
    socket.prepend_any(move |_, _| first.say("first"));
    socket.on_any_outgoing(move |_, _| later.say("later sent"));
    socket.prepend_any_outgoing(move |_, _| sent.say("sent"));
    socket.on("x", async || {});
    socket.once("y", async || {});
    assert!(["x", "y"].iter().all(|event| socket.has_handler(event)) && !socket.has_handler("z"));
    socket.emit("out", ());
    network.send(r#"2["x"]"#);
    assert_eq!(log.wait(4).await, ["sent", "later sent", "first", "second"]);
    network.send(r#"2["y"]"#);
    settle().await;
    assert!(!socket.has_handler("y"), "it was called once");
    socket.off("x");
    assert!(!socket.has_handler("x"));
}
