//! What clients learn of the errors of a program.

use std::io;

use serde_json::json;
use tidewire_server::{Auth, ConnectError, Data, HandlerError, Reply, Server, Value};

use crate::support::{Client, Lines, program, serve};

#[derive(Debug, thiserror::Error)]
enum AppError {
    #[error("room {0} has 30 members of 30")]
    RoomFull(String),
    #[error("the account {0} is closed")]
    Closed(String),
    #[error("cannot read the table of members")]
    Database(#[from] io::Error),
}

impl AppError {
    fn for_client(&self) -> Option<HandlerError> {
        match self {
            Self::RoomFull(_) => {
                let error = HandlerError::new("the room is full").code("room_full");
                Some(error.data(json!({ "max": 30 })))
            }
            Self::Closed(_) => Some(HandlerError::new("your account is closed").code("closed")),
            Self::Database(_) => None,
        }
    }
}

fn join(room: &str) -> Result<u32, AppError> {
    match room {
        "full" => Err(AppError::RoomFull(room.to_owned())),
        "closed" => Err(AppError::Closed(room.to_owned())),
        "lost" => Err(io::Error::other("users.db: permission denied").into()),
        _ => Ok(1),
    }
}

async fn server(register: impl Fn(&Server)) -> (Client, Lines) {
    let (builder, program) = program();
    let io = builder.map_errors(AppError::for_client).build();
    register(&io);
    (Client::join(serve(&io).await).await, program.lines)
}

const FULL: &str = r#"{"error":"the room is full","code":"room_full","data":{"max":30}}"#;
const CLOSED: &str = r#"{"error":"your account is closed","code":"closed"}"#;
const FAILED: &str = r#"{"error":"handler failed"}"#;

#[tokio::test]
async fn a_domain_error_that_passes_through_a_question_mark_chooses_what_the_client_is_told() {
    let (mut client, mut lines) = server(|io| {
        // The error of another type in the same handler stays internal.
        io.on("mixed", async |Data(room): Data<String>| -> Result<u32, HandlerError> {
            let count = join(&room)?;
            std::fs::read_to_string("/no/such/file")?;
            Ok(count)
        });
        // The domain error itself is the error of the handler.
        io.on("own", async |Data(room): Data<String>| Ok::<_, AppError>(Reply(join(&room)?)));
    })
    .await;
    for event in ["mixed", "own"] {
        for (room, reply, reported) in [
            ("full", FULL, "the room is full (room_full): room full has 30 members of 30"),
            ("closed", CLOSED, "your account is closed (closed): the account closed is closed"),
            ("lost", FAILED, "handler failed: cannot read the table of members: users.db: permission denied"),
        ] {
            client.expect_only(&format!(r#"427["{event}","{room}"]"#), &format!("437[{reply}]")).await;
            lines.expect([format!("error in {event}: {reported}")]).await;
        }
    }
    client.expect_only(r#"427["mixed","other"]"#, &format!("437[{FAILED}]")).await;
    assert!(lines.next().await.contains("No such file"));
    client.expect_only(r#"427["own","other"]"#, "437[1]").await;
    // The error hook learns the same if the client asks for no acknowledgement.
    client.send(r#"42["own","closed"]"#).await;
    lines.expect(["error in own: your account is closed (closed): the account closed is closed"]).await;
}

#[tokio::test]
async fn a_middleware_of_events_refuses_with_a_domain_error() {
    let (mut client, _lines) = server(|io| {
        io.event_middleware(async |Data(room): Data<String>| join(&room).map(|_| ()));
        io.on("say", async || Reply(2));
    })
    .await;
    client.expect_only(r#"427["say","full"]"#, &format!("437[{FULL}]")).await;
    client.expect_only(r#"427["say","lost"]"#, &format!("437[{FAILED}]")).await;
    client.expect_only(r#"427["say","other"]"#, "437[2]").await;
}

#[tokio::test]
async fn a_middleware_rejects_clients_with_domain_errors_and_reports_internal_ones() {
    let (mut client, mut lines) = server(|io| {
        io.of("/chat").middleware(async |Auth(auth): Auth<Value>| -> Result<(), ConnectError> {
            let room = serde_json::to_value(&auth)?["room"].as_str().unwrap_or_default().to_owned();
            if room.is_empty() {
                return Err(ConnectError::new("which room?").data("a name"));
            }
            join(&room)?;
            Ok(())
        });
    })
    .await;
    for (auth, refusal) in [
        ("{}", r#"{"message":"which room?","data":"a name"}"#),
        (
            r#"{"room":"full"}"#,
            r#"{"message":"the room is full","data":{"code":"room_full","data":{"max":30}}}"#,
        ),
        (r#"{"room":"closed"}"#, r#"{"message":"your account is closed","data":{"code":"closed"}}"#),
        (r#"{"room":"lost"}"#, r#"{"message":"handler failed"}"#),
    ] {
        client.expect_only(&format!("40/chat,{auth}"), &format!("44/chat,{refusal}")).await;
    }
    // Only the last one is a failure of the program.
    lines
        .expect(["error in -: handler failed: cannot read the table of members: users.db: permission denied"])
        .await;
    lines.expect_silence();
}
