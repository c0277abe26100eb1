//! Handlers that keep their thread, so that other connections must wait.

use std::sync::mpsc;
use std::time::Duration;

use tidewire_server::{Observation, ObservedHandler, Reply, Server, Socket};

use crate::support::{BLOCKED, Client, Logged, serve};

/// Keeps the thread for longer than a handler may.
fn block() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Returns the handlers that the log blames.
fn blamed(logged: &Logged) -> Vec<String> {
    let lines = logged.all_lines().into_iter().filter(|line| line.contains(BLOCKED));
    lines
        .map(|line| {
            assert!(line.contains("WARN") && line.contains("millis="), "{line}");
            let (_, rest) = line.split_once("handler=").expect("a handler");
            rest.split(' ').next().unwrap_or_default().to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_handler_that_keeps_its_thread_is_named_in_the_log() {
    let (logged, _logging) = Logged::start();
    let io = Server::new();
    io.on("compute", async || {
        block();
        Reply(1)
    });
    let mut client = Client::join(serve(&io).await).await;
    client.expect_only(r#"420["compute"]"#, "430[1]").await;
    assert!(blamed(&logged).contains(&"compute".to_owned()), "{:?}", logged.all_lines());
}

#[tokio::test]
async fn after_a_turn_with_several_handlers_took_too_long_each_is_measured() {
    let (logged, _logging) = Logged::start();
    let io = Server::new();
    io.on("compute", async || block());
    io.on_fallback(async || block());
    io.on("done", async || {});
    let mut client = Client::join(serve(&io).await).await;
    for id in 0..2 {
        let done = format!(r#"42{id}["done"]"#);
        client.send_all([r#"42["compute"]"#, r#"42["unknown"]"#, &*done]).await;
        client.expect(&format!("43{id}[]")).await;
    }
    for event in ["compute", "unknown"] {
        assert!(blamed(&logged).contains(&event.to_owned()), "{:?}", logged.all_lines());
    }
}

#[tokio::test]
async fn middleware_and_the_other_handlers_are_named_too() {
    let (logged, _logging) = Logged::start();
    let io = Server::new();
    io.of("/middleware").middleware(async || block());
    io.of("/on_connection").on_connection(async || block());
    io.of("/on_disconnect").on_disconnect(async || block());
    io.of("/event_middleware").event_middleware(async || block());
    let address = serve(&io).await;
    // The first turn of each connection in which a handler runs is measured.
    for name in ["middleware", "on_connection", "on_disconnect", "event_middleware"] {
        let mut client = Client::open(address).await;
        client.connect(&format!("/{name},")).await;
        match name {
            "on_disconnect" => client.send("41/on_disconnect,").await,
            "event_middleware" => client.send(r#"42/event_middleware,["event"]"#).await,
            _ => {}
        }
        client.expect_only("40/nowhere,", r#"44/nowhere,{"message":"Invalid namespace"}"#).await;
    }
    for name in ["middleware", "on_connection", "on_disconnect", "event_middleware"] {
        assert!(blamed(&logged).contains(&name.to_owned()), "{name}: {:?}", logged.all_lines());
    }
}

#[tokio::test]
async fn the_warnings_of_one_server_do_not_suppress_those_of_another() {
    let (logged, _logging) = Logged::start();
    // More than the ten lines that are logged at once.
    for (event, calls) in [("often", 12), ("once", 1)] {
        let io = Server::new();
        io.on(event, async || {
            block();
            Reply(1)
        });
        let mut client = Client::join(serve(&io).await).await;
        for _ in 0..calls {
            client.expect_only(&format!(r#"420["{event}"]"#), "430[1]").await;
        }
    }
    assert!(blamed(&logged).contains(&"once".to_owned()), "{:?}", logged.all_lines());
}

#[tokio::test]
async fn an_observer_learns_which_handler_keeps_its_thread_and_for_how_long() {
    let (sender, blocked) = mpsc::channel();
    let io = Server::builder()
        .observer(move |observation: &Observation<'_>| {
            if let Observation::HandlerBlocked {
                socket: Some(socket),
                handler: ObservedHandler::Event(event),
                duration,
                ..
            } = observation
            {
                let _ = sender.send((socket.id(), (*event).to_owned(), *duration));
            }
        })
        .build();
    io.on("quick", async || {});
    io.on("compute", async |socket: Socket| {
        block();
        Reply(socket.id().to_string())
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["quick"]"#, r#"420["compute"]"#, r#"42["quick"]"#]).await;
    let acknowledgement = client.recv().await.expect("an acknowledgement");
    let (id, _, duration) =
        blocked.try_iter().find(|(_, event, _)| event == "compute").expect("it was observed");
    assert_eq!(acknowledgement, format!("430[\"{id}\"]"));
    assert!(duration >= Duration::from_millis(20), "{duration:?}");
}
