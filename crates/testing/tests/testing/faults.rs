//! The faults of a link.

use std::time::Duration;

use server::{Data, Reply, Server, Socket};
use tidewire_testing::{self as testing, ConnectError, DisconnectReason, Error};
use tokio::time::{Instant, sleep};

use crate::Tested;

fn echo() -> Server {
    let io = Server::new();
    io.on("echo", async |Data(number): Data<u32>| Reply(number));
    io
}

#[tokio::test]
async fn a_cut_ends_the_connection_on_both_sides_at_once() -> Tested {
    let io = echo();
    let mut alice = testing::connect(&io).await?;
    let mut bob = testing::connect(&io).await?;
    let socket = alice.server_socket()?;
    alice.link().cut();
    assert_eq!(alice.disconnected().await?, DisconnectReason::TransportClose);
    assert_eq!(socket.disconnected().await, server::DisconnectReason::TransportClose);
    assert_eq!(bob.emit_with_ack::<u32>("echo", 1).await?, 1, "other clients have links of their own");
    alice.reconnect().await?;
    assert_eq!(alice.emit_with_ack::<u32>("echo", 2).await?, 2);
    Ok(())
}

#[tokio::test]
async fn while_a_link_is_down_the_client_cannot_connect() -> Tested {
    let mut alice = testing::connect(&echo()).await?;
    alice.link().down();
    alice.disconnected().await?;
    let error = alice.reconnect().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Failed(_)) && error.to_string().contains("the link is down"),
        "{error}"
    );
    alice.link().restore();
    alice.reconnect().await?;
    assert_eq!(alice.emit_with_ack::<u32>("echo", 1).await?, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stalled_link_passes_nothing_and_after_its_end_everything_in_order() -> Tested {
    let io = echo();
    io.on("note", async |socket: Socket, Data(number): Data<u32>| socket.emit("noted", number));
    let mut alice = testing::connect(&io).await?;
    alice.link().stall();
    for number in 0..3 {
        alice.emit("note", number).await?;
        io.emit("news", number);
    }
    assert!(matches!(alice.recv_any().await, Err(Error::TimedOut { .. })));
    alice.link().restore();
    for number in 0..3 {
        assert_eq!(alice.recv::<u32>("news").await?, number);
        assert_eq!(alice.recv::<u32>("noted").await?, number);
    }
    alice.expect_nothing().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_still_sends() -> Tested {
    let io = echo();
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    io.on("note", move |Data(number): Data<u32>| {
        let _ = sender.send(number);
        std::future::ready(())
    });
    let mut alice = testing::connect(&io).await?;
    alice.link().stop_reading();
    alice.emit("note", 1).await?;
    assert_eq!(received.recv().await, Some(1));
    io.emit("news", 1);
    assert!(matches!(alice.recv_any().await, Err(Error::TimedOut { .. })));
    alice.link().restore();
    assert_eq!(alice.recv::<u32>("news").await?, 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_server_keeps_what_a_slow_reader_does_not_read_and_gives_it_up_at_its_limit() -> Tested {
    const MEGABYTE: usize = 1024 * 1024;
    let io = Server::builder().max_write_buffer_size(4 * MEGABYTE).build();
    let slow = testing::connect(&io).await?;
    let mut fast = testing::connect(&io).await?;
    let socket = slow.server_socket()?;
    slow.link().stop_reading();
    io.emit("picture", "x".repeat(MEGABYTE));
    fast.recv::<String>("picture").await?;
    let unread = socket.buffered_amount();
    assert!(unread > MEGABYTE - 256 * 1024, "{unread} bytes: only the buffers of the link are filled");
    for _ in 0..4 {
        io.emit("picture", "x".repeat(MEGABYTE));
        fast.recv::<String>("picture").await?;
    }
    assert_eq!(socket.disconnected().await, server::DisconnectReason::TransportError);
    assert!(fast.socket().is_connected());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_in_each_direction_and_does_not_reduce_the_throughput() -> Tested {
    let io = echo();
    let mut alice = testing::connect(&io).await?;
    let delay = Duration::from_millis(100);
    alice.link().delay(delay);
    let begin = Instant::now();
    assert_eq!(alice.emit_with_ack::<u32>("echo", 1).await?, 1);
    let round_trip = begin.elapsed();
    assert!((delay * 2..delay * 2 + Duration::from_millis(5)).contains(&round_trip), "{round_trip:?}");

    let begin = Instant::now();
    for number in 0..50 {
        io.emit("news", number);
        sleep(Duration::from_millis(1)).await;
    }
    for number in 0..50 {
        assert_eq!(alice.recv::<u32>("news").await?, number);
    }
    let took = begin.elapsed();
    assert!((delay..delay * 2).contains(&took), "they are on the way at the same time: {took:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_after_a_delay_does_not_overtake_what_was_sent_during_it() -> Tested {
    let io = echo();
    let mut alice = testing::connect(&io).await?;
    alice.link().delay(Duration::from_secs(1));
    io.emit("news", 1);
    // The link has read the first event before the delay ends.
    sleep(Duration::from_millis(10)).await;
    alice.link().restore();
    io.emit("news", 2);
    let begin = Instant::now();
    assert_eq!(alice.recv::<u32>("news").await?, 1);
    assert!(begin.elapsed() > Duration::from_millis(900), "what is on the way keeps its time");
    assert_eq!(alice.recv::<u32>("news").await?, 2);
    Ok(())
}
