//! Attachments that a packet has announced.

use std::time::Duration;

use bytes::Bytes;
use tidewire_server::{Data, DisconnectReason, Limits, Server, State};

use crate::support::{Client, Gate, Log, Program, program, serve};

const TWO: &str = r#"452-["event",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

fn listening(limits: Limits) -> (Server, Program) {
    let (builder, program) = program();
    let io = builder.limits(limits).build();
    io.on("wait", async |gate: State<Gate>| gate.pass().await);
    io.on("event", async |log: State<Log>, Data((one, two)): Data<(Vec<u8>, Vec<u8>)>| {
        log.say(format_args!("{one:?} {two:?}"));
    });
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    (io, program)
}

impl Client {
    /// Responds to pings for this time, and expects no other packet.
    async fn linger(&mut self, time: Duration) {
        assert!(tokio::time::timeout(time, self.next()).await.is_err(), "something came");
    }
}

#[tokio::test(start_paused = true)]
async fn each_may_take_its_time() {
    let (io, mut program) = listening(Limits::default());
    let mut client = Client::join_in_memory(&io, 1 << 20).await;
    for _ in 0..3 {
        client.send(TWO).await;
        client.linger(Duration::from_secs(44)).await;
        client.send_binary(&[1]).await;
        client.linger(Duration::from_secs(44)).await;
        client.send_binary(&[2]).await;
        program.lines.expect(["[1] [2]"]).await;
        client.linger(Duration::from_secs(1_000)).await;
    }
}

#[tokio::test]
async fn one_may_be_as_long_as_a_message_if_the_program_allows_long_messages() {
    for (limit, len, is_received) in [(12_000_000, 11_000_000, true), (6_000_000, 5_500_000, false)] {
        let (builder, mut program) = program();
        let io = builder.max_http_buffer_size(limit).build();
        io.on("event", async |log: State<Log>, Data((one, two)): Data<(Bytes, Bytes)>| {
            log.say(format_args!("{} {}", one.len(), two.len()));
        });
        io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
        let mut client = Client::join(serve(&io).await).await;
        client.send(TWO).await;
        client.send_binary(&vec![1; len]).await;
        // Two of them exceed the limit of all attachments of a packet, which is at least ten million bytes.
        client.send_binary(&vec![2; if is_received { 1_000_000 } else { len }]).await;
        match is_received {
            true => program.lines.expect([format!("{len} 1000000")]).await,
            false => {
                let error = "error in -: handler failed: the attachments of one packet exceed 10000000 bytes";
                program.lines.expect([error, "forced close"]).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_come_ends_the_connection() {
    for before in 0..2 {
        let (io, mut program) = listening(Limits::default());
        let mut client = Client::join_in_memory(&io, 1 << 20).await;
        client.send(TWO).await;
        for _ in 0..before {
            client.send_binary(&[1]).await;
        }
        client.linger(Duration::from_secs(44)).await;
        program.lines.expect_silence();
        client.expect_end().await;
        program.lines.expect(["forced server close"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_the_server_does_not_read_is_not_late() {
    let (io, mut program) = listening(Limits { max_queued_events: 1, ..Limits::default() });
    let mut client = Client::join_in_memory(&io, 1 << 20).await;
    client.send_all([r#"42["wait"]"#, r#"42["wait"]"#, TWO]).await;
    // When the clock advances, the server has read these packets and has stopped reading.
    tokio::time::sleep(Duration::from_millis(1)).await;
    client.send_binary(&[1]).await;
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    program.lines.expect_silence();
    program.gate.open();
    program.gate.open();
    // Afterwards the timeout applies to each attachment again.
    client.linger(Duration::from_secs(44)).await;
    client.send_binary(&[2]).await;
    program.lines.expect(["[1] [2]"]).await;
}
