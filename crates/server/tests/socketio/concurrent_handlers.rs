//! Handlers that run concurrently because the program allows it.

use tidewire_server::{Data, DisconnectReason, DroppedEvents, Limits, Namespace, State};

use crate::support::{Client, Gate, Log, program, serve};

/// Registers two handlers: `wait` logs its start, waits at the gate, and logs its end; `event` only logs.
fn register(io: &Namespace) {
    io.on("wait", async |log: State<Log>, gate: State<Gate>, Data(number): Data<u64>| {
        log.say(format_args!("{number} begins"));
        gate.pass().await;
        log.say(format_args!("{number} ends"));
    });
    io.on("event", async |log: State<Log>| log.say("event"));
    io.on_disconnect(
        async |log: State<Log>, reason: DisconnectReason, DroppedEvents(dropped): DroppedEvents| {
            log.say(format_args!("{reason}, {dropped} dropped"));
        },
    );
}

#[tokio::test]
async fn a_concurrent_handler_delays_on_disconnect_but_no_event() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    io.on("job", async |log: State<Log>, gate: State<Gate>| {
        gate.pass().await;
        log.say("job done");
    })
    .concurrent();
    let mut client = Client::join(serve(&io).await).await;
    client.send_all(["42[\"job\"]", "42[\"event\"]", "41"]).await;
    program.lines.expect(["event"]).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["job done", "client namespace disconnect, 0 dropped"]).await;
}

#[tokio::test]
async fn as_many_handlers_run_at_once_as_the_namespace_allows() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    io.set_concurrency_limit(2);
    let mut client = Client::join(serve(&io).await).await;
    client.send_all(["42[\"wait\",1]", "42[\"wait\",2]", "42[\"wait\",3]", "42[\"event\"]"]).await;
    program.lines.expect(["1 begins", "2 begins"]).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["1 ends"]).await;
    program.lines.expect(["3 begins"]).await;
    program.gate.open();
    program.gate.open();
    let mut rest = vec![program.lines.next().await, program.lines.next().await, program.lines.next().await];
    rest.sort_unstable();
    assert_eq!(rest, ["2 ends", "3 ends", "event"]);
}

#[tokio::test]
async fn a_concurrent_handler_over_the_limit_blocks_later_events() {
    let (builder, mut program) = program();
    let io = builder.limits(Limits { max_concurrent_handlers: 1, ..Limits::default() }).build();
    register(&io);
    io.on("job", async |log: State<Log>, gate: State<Gate>| {
        log.say("job begins");
        gate.pass().await;
    })
    .concurrent();
    let mut client = Client::join(serve(&io).await).await;
    client.send_all(["42[\"job\"]", "42[\"job\"]", "42[\"event\"]"]).await;
    program.lines.expect(["job begins", "job begins"]).await;
    program.lines.expect_silence();
    program.gate.open();
    program.gate.open();
    program.lines.expect(["event"]).await;
}

#[tokio::test]
async fn on_disconnect_learns_how_many_events_were_dropped() {
    let (builder, mut program) = program();
    let io = builder.build();
    register(&io);
    let mut client = Client::join(serve(&io).await).await;
    client.send_all(["42[\"wait\",1]", "42[\"event\"]", "42[\"event\"]", "41"]).await;
    program.lines.expect(["1 begins"]).await;
    program.gate.open();
    program.lines.expect(["1 ends", "client namespace disconnect, 2 dropped"]).await;
}
