//! Attachments that a packet has announced.

use std::time::Duration;

use tidewire_server::{Data, DisconnectReason, Limits, Server, State};

use crate::support::{Client, Gate, Log, Program, program};

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
