//! With a paused clock, timeouts of minutes pass at once.

use std::time::{Duration, Instant as RealInstant};

use server::{Server, Socket};
use tidewire_testing::{self as testing, Client, DisconnectReason};
use tokio::time::{Instant, sleep};

use crate::Tested;

/// The most real time that a test on a paused clock may take. It is generous for a busy machine, and less than the time that
/// passes on the clock.
const AT_ONCE: Duration = Duration::from_secs(30);

fn server() -> Server {
    Server::builder().ping_interval(Duration::from_secs(25)).ping_timeout(Duration::from_secs(20)).build()
}

#[tokio::test(start_paused = true)]
async fn a_silent_network_is_noticed_by_both_ends_after_their_ping_timeout() -> Tested {
    let (real, begin) = (RealInstant::now(), Instant::now());
    let io = server();
    let mut alice = Client::builder(&io).timeout(Duration::from_secs(120)).connect().await?;
    let socket = alice.server_socket()?;
    alice.link().stall();
    assert_eq!(socket.disconnected().await, server::DisconnectReason::PingTimeout);
    assert_eq!(begin.elapsed().as_secs(), 45);
    assert_eq!(alice.disconnected().await?, DisconnectReason::PingTimeout);
    assert_eq!(begin.elapsed().as_secs(), 45);
    assert!(real.elapsed() < AT_ONCE);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_stays_connected_for_a_day() -> Tested {
    let real = RealInstant::now();
    let io = server();
    io.on("tick", async |socket: Socket| {
        sleep(Duration::from_secs(3_600)).await;
        socket.emit("tock", ());
    });
    let mut alice = Client::builder(&io).timeout(Duration::from_secs(7_200)).connect().await?;
    sleep(Duration::from_secs(24 * 3_600)).await;
    alice.emit("tick", ()).await?;
    let begin = Instant::now();
    alice.recv::<()>("tock").await?;
    assert_eq!(begin.elapsed().as_secs(), 3_600);
    assert!(real.elapsed() < AT_ONCE * 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn messages_take_no_time() -> Tested {
    let io = server();
    let mut alice = testing::connect(&io).await?;
    let begin = Instant::now();
    for number in 0..100 {
        io.emit("news", number);
        assert_eq!(alice.recv::<u32>("news").await?, number);
        alice.expect_nothing().await?;
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reconnects_by_itself_comes_back_after_an_outage() -> Tested {
    let io = server();
    io.on_connection(async |socket: Socket| socket.emit("welcome", ()));
    let mut alice =
        Client::builder(&io).reconnection(true).timeout(Duration::from_secs(120)).connect().await?;
    alice.recv::<()>("welcome").await?;
    alice.link().down();
    assert_eq!(alice.disconnected().await?, DisconnectReason::TransportClose);
    sleep(Duration::from_secs(60)).await;
    assert!(!alice.socket().is_connected());
    alice.link().restore();
    let begin = Instant::now();
    alice.recv::<()>("welcome").await?;
    assert!(begin.elapsed() < Duration::from_secs(10), "the delays are those of a real client");
    Ok(())
}
