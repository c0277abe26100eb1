//! Many numbered events of one socket, and the broadcasts that they cause. Nothing may overtake anything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidewire_server::{Data, ObservedEvent, ReceivedEvent, Server, Socket, State};

use crate::support::{Client, program, soon};

const EVENTS: u32 = 50_000;

/// The numbers that a part of the program has seen.
#[derive(Debug, Default, Clone)]
struct Numbers(Arc<Mutex<Vec<u32>>>);

impl Numbers {
    fn push(&self, number: u32) {
        self.0.lock().expect("no panic").push(number);
    }

    /// Expects all numbers in order, each one `times` in succession.
    #[track_caller]
    fn expect_all(&self, times: usize) {
        let seen = self.0.lock().expect("no panic");
        assert_eq!(seen.len(), EVENTS as usize * times);
        let inversions = seen.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert_eq!(inversions, 0);
        assert!(seen.chunks(times).zip(0..).all(|(chunk, number)| chunk.iter().all(|seen| *seen == number)));
    }
}

/// Waits for some numbers, in different ways. The others do not wait.
async fn wait_sometimes(number: u32) {
    match number % 97 {
        13 => tokio::task::yield_now().await,
        31 => tokio::time::sleep(Duration::from_millis(1)).await,
        32 => tokio::spawn(async {}).await.expect("no panic"),
        77 => {
            for _ in 0..number % 5 {
                tokio::task::yield_now().await;
            }
        }
        _ => {}
    }
}

/// Sends all numbers. Returns when the server has handled them.
async fn send_all(client: &mut Client) {
    let mut number = 0;
    while number < EVENTS {
        client.send_all((number..number + 1_000).map(|number| format!("42[\"number\",{number}]"))).await;
        number += 1_000;
        client.expect_only("420[\"done\",0]", "430[]").await;
    }
}

/// A server whose handlers have this state. `done` is acknowledged after all events before it.
fn server(handled: &Numbers) -> Server {
    let io = program().0.state(handled.clone()).build();
    io.on("done", async || {});
    io
}

/// A catch-all listener that records the numbers, and ignores other events.
fn observer(numbers: &Numbers) -> impl Fn(&Socket, ObservedEvent<'_>) + Send + Sync + 'static {
    let numbers = numbers.clone();
    move |_, event| {
        if event.name() == "number" {
            numbers.push(event.arguments().deserialize().expect("a number"));
        }
    }
}

/// A middleware that waits at other numbers than the handlers, and records them.
fn waiting_middleware(
    passed: &Numbers,
) -> impl Fn(ReceivedEvent) -> BoxFuture<'static, ()> + Send + Sync + 'static {
    let passed = passed.clone();
    move |event: ReceivedEvent| {
        let passed = passed.clone();
        Box::pin(async move {
            if event.name() == "number" {
                let number: u32 = event.data().expect("a number");
                wait_sometimes(number + 18).await;
                passed.push(number);
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_events_are_handled_in_order_and_one_after_another() {
    let handled = Numbers::default();
    let io = server(&handled);
    io.on("number", async |handled: State<Numbers>, Data(number): Data<u32>| {
        handled.push(number);
        wait_sometimes(number).await;
        handled.push(number);
    });
    send_all(&mut Client::join_in_memory(&io, 1 << 20).await).await;
    handled.expect_all(2);
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_broadcasts_of_one_sender_reach_each_member_of_a_room_in_order() {
    let [received, passed, sent] = [(); 3].map(|()| Numbers::default());
    let io = server(&Numbers::default());
    io.on_any(observer(&received));
    io.on_any_outgoing(observer(&sent));
    io.event_middleware(waiting_middleware(&passed));
    io.on("join", async |socket: Socket| drop(socket.join("room")));
    io.on("number", async |io: Server, socket: Socket, Data(number): Data<u32>| {
        wait_sometimes(number).await;
        // Both ways to reach a room.
        if number % 2 == 0 {
            io.to("room").emit("number", number);
        } else {
            socket.to("room").emit("number", number);
        }
    });
    let mut members = Vec::new();
    for _ in 0..2 {
        let mut member = Client::join_in_memory(&io, 1 << 20).await;
        member.expect_only("420[\"join\"]", "430[]").await;
        members.push(tokio::spawn(async move {
            for number in 0..EVENTS {
                member.expect(&format!("42[\"number\",{number}]")).await;
            }
        }));
    }
    send_all(&mut Client::join_in_memory(&io, 1 << 20).await).await;
    for member in members {
        soon(member).await.expect("every number in order");
    }
    received.expect_all(1);
    passed.expect_all(1);
    sent.expect_all(2);
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_events_keep_their_order_through_middleware_and_observers() {
    let [received, passed, handled, sent] = [(); 4].map(|()| Numbers::default());
    let io = program().0.state(handled.clone()).build();
    io.on_any(observer(&received));
    io.on_any_outgoing(observer(&sent));
    io.event_middleware(waiting_middleware(&passed));
    io.on("number", async |socket: Socket, handled: State<Numbers>, Data(number): Data<u32>| {
        wait_sometimes(number).await;
        handled.push(number);
        socket.emit("number", number);
    });
    let mut client = Client::join_in_memory(&io, 1 << 20).await;
    let mut number = 0;
    while number < EVENTS {
        client.send_all((number..number + 1_000).map(|number| format!("42[\"number\",{number}]"))).await;
        for number in number..number + 1_000 {
            client.expect(&format!("42[\"number\",{number}]")).await;
        }
        number += 1_000;
    }
    for numbers in [received, passed, handled, sent] {
        numbers.expect_all(1);
    }
}
