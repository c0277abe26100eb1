//! When the handlers start.

use super::*;
use crate::Data;

/// Returns a handler that logs its number.
fn say(log: &Log) -> impl Fn(Data<u32>) -> std::future::Ready<()> + Send + Sync + 'static {
    let log = log.clone();
    move |Data(number)| {
        log.say(number);
        std::future::ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_of_the_builder_get_every_event_from_the_first_one_on() {
    let (network, builder) = client();
    network.state().accepts = false;
    let log = Log::default();
    let _socket = builder.on("x", say(&log)).connect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    for text in [r#"2["x",1]"#, r#"0{"sid":"s"}"#, r#"2["x",2]"#] {
        network.send(text);
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(log.lines(), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn events_wait_for_handlers_that_are_registered_later() {
    for emits in [false, true] {
        let (network, builder) = client();
        let log = Log::default();
        let socket = builder.connect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(socket.is_connected());
        network.send(r#"2["x",1]"#);
        tokio::time::sleep(Duration::from_millis(20)).await;
        socket.on("x", say(&log));
        network.send(r#"2["x",2]"#);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(log.lines().is_empty(), "the program may register more handlers");
        if emits {
            socket.emit("hello", ());
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            tokio::time::sleep(crate::socket_driver::START_DELAY).await;
        }
        assert_eq!(log.lines(), ["1", "2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_connect_handler_may_be_registered_after_connect() {
    let (_network, builder) = client();
    let log = Log::default();
    let socket = builder.connect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    socket.on_connect({
        let log = log.clone();
        move || {
            log.say("connect");
            std::future::ready(())
        }
    });
    socket.start();
    assert_eq!(log.wait(1).await, ["connect"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_connect_is_told_without_any_call_of_the_program() {
    let (network, builder) = client();
    network.state().attempts.push_back(crate::engine::simulation::Attempt::Refuse);
    let log = Log::default();
    let socket = builder.connect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    socket.on_connect_error({
        let log = log.clone();
        move |error: crate::ConnectError| {
            log.say(error);
            std::future::ready(())
        }
    });
    assert_eq!(log.wait(1).await, ["the simulation ended it"]);
}

/// A server that greets each client at once, and a program that registers its handler right after `connect()`, on two
/// workers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_greeting_is_lost_however_the_threads_run() {
    for round in 0..10_000 {
        let network = Network::new();
        network.state().latency = Duration::ZERO;
        network.state().greeting = Some(r#"2["greeting",7]"#.to_owned());
        let (sender, greeted) = tokio::sync::oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let socket = Client::builder("http://simulated").simulated(network).connect();
        socket.on("greeting", move |Data(number): Data<u32>| {
            let _ = sender.lock().unwrap().take().map(|sender| sender.send(number));
            std::future::ready(())
        });
        socket.start();
        let greeted = timeout(secs(10), greeted).await;
        assert_eq!(greeted.expect("the handler is called").unwrap(), 7, "round {round}");
    }
}
