//! A program without a `tracing` subscriber.

use std::process::Command;

use tidewire_server::{ConnectError, Data, HandlerError, Server};

use crate::support::{Client, request_in_memory, serve};

/// Set in the processes that these tests start. They run one test, so no other one sets a subscriber there.
const CHILD: &str = "TIDEWIRE_TEST_WITHOUT_LOG";

/// Runs the test with this name as a program of its own, and returns what that writes to standard error.
fn errors_of(test: &str, how: &str) -> String {
    let program = std::env::current_exe().expect("a path");
    let mut command = Command::new(program);
    command.args(["--exact", "--nocapture", test]).env(CHILD, how);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// The program: handlers fail, clients are refused.
async fn run_program(io: Server) {
    io.on("fail", async || Err::<(), HandlerError>(std::io::Error::other("the disk is full").into()));
    io.on("number", async |_: Data<u8>| {});
    io.of("/closed").middleware(async || Err::<(), _>(ConnectError::new("nobody")));
    let mut client = Client::join(serve(&io).await).await;
    for _ in 0..15 {
        client
            .expect_only(
                r#"427["number","seven"]"#,
                r#"437[{"error":"argument 0: invalid type: string \"seven\", expected u8"}]"#,
            )
            .await;
    }
    client.expect_only(r#"427["fail"]"#, r#"437[{"error":"handler failed"}]"#).await;
    client.expect_only("40/closed,", r#"44/closed,{"message":"nobody"}"#).await;
    request_in_memory(&io, "GET /socket.io/?EIO=4").await;
}

#[tokio::test]
async fn errors_and_refusals_reach_standard_error_unless_the_program_has_a_hook() {
    match std::env::var(CHILD).as_deref() {
        Ok("plain") => run_program(Server::new()).await,
        Ok("hooks") => {
            let builder = Server::builder().on_error(|_, _, _| {}).on_connection_error(|_, _| {});
            run_program(builder.observer(|_: &tidewire_server::Observation<'_>| {}).build()).await;
        }
        Ok("silent") => {
            let none = tracing::subscriber::NoSubscriber::new();
            tracing::subscriber::set_global_default(none).expect("it is the first one");
            run_program(Server::new()).await;
        }
        _ => {
            let name = "no_log::errors_and_refusals_reach_standard_error_unless_the_program_has_a_hook";
            let errors = errors_of(name, "plain");
            for line in [
                "tidewire: a handler of `fail` failed: handler failed: the disk is full",
                "tidewire: refused a client in namespace `/closed`: nobody",
                "tidewire: refused a request for /socket.io: Transport unknown: the request names none",
            ] {
                assert_eq!(errors.matches(line).count(), 1, "{line}: {errors}");
            }
            assert_eq!(errors.matches("tracing_subscriber::fmt::init()").count(), 1, "{errors}");
            assert_eq!(errors.matches("refused the event `number`: argument 0").count(), 10, "{errors}");
            for how in ["hooks", "silent"] {
                let errors = errors_of(name, how);
                assert!(!errors.contains("tidewire: "), "{how}: {errors}");
            }
        }
    }
}
