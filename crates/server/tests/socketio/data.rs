//! The data of a socket, and its extensions.

use std::collections::BTreeMap;
use std::thread;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidewire_server::{Data, DataError, Socket, State, Value};

use crate::support::{Client, Joined, Log, program, serve};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Player {
    name: String,
    score: u32,
    picture: Bytes,
}

/// Returns a socket and its client.
async fn connected() -> (Socket, Client) {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let client = Client::join(serve(&io).await).await;
    (program.joined().await, client)
}

#[tokio::test]
async fn data_is_an_empty_object_until_it_is_set() {
    let (socket, _client) = connected().await;
    assert_eq!(socket.data(), Ok(Player::default()));
    assert_eq!(socket.data::<BTreeMap<String, u8>>(), Ok(BTreeMap::new()));
    let error = socket.data::<Vec<u8>>().expect_err("it is no list");
    assert!(
        error.to_string().starts_with("the data of the socket has another type: invalid type"),
        "{error}"
    );
    assert!(error.to_string().ends_with("(read as `alloc::vec::Vec<u8>`; no data has been set)"), "{error}");
}

#[tokio::test]
async fn data_keeps_its_binary_values_and_can_be_read_as_a_value() {
    let (socket, _client) = connected().await;
    let player = Player { name: "Ann".into(), score: 3, picture: Bytes::from_static(b"\x89PNG") };
    socket.set_data(&player).expect("it fits");
    assert_eq!(socket.data(), Ok(player));
    let value: Value = socket.data().expect("any type");
    assert_eq!(value.get("picture").and_then(Value::as_bytes), Some(&b"\x89PNG"[..]));
    // A tuple is one value, not a list of arguments.
    socket.clone().set_data(("a", 1)).expect("it fits");
    assert_eq!(socket.data(), Ok(("a".to_owned(), 1)));
    let error = socket.data::<u32>().expect_err("it is a list");
    assert!(matches!(error, DataError::Deserialize { .. }), "{error:?}");
}

#[tokio::test]
async fn data_that_cannot_be_serialized_changes_nothing() {
    let (socket, _client) = connected().await;
    socket.set_data("before").expect("it fits");
    let map = BTreeMap::from([((1, 2), "the key is no text")]);
    let error = socket.set_data(&map).expect_err("the key is no text");
    assert!(error.to_string().starts_with("the data for the socket cannot be serialized: "), "{error}");
    assert_eq!(socket.data(), Ok("before".to_owned()));
}

#[tokio::test]
async fn data_may_have_more_binary_values_than_an_event() {
    let (socket, _client) = connected().await;
    let pictures: Vec<_> = (0..11).map(|number| Bytes::from(vec![number])).collect();
    socket.set_data(&pictures).expect("it fits");
    assert_eq!(socket.data(), Ok(pictures));
}

#[tokio::test]
async fn no_update_of_the_data_is_lost() {
    let (socket, _client) = connected().await;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket.clone();
            thread::spawn(move || {
                for _ in 0..250 {
                    socket.update_data(|player: &mut Player| player.score += 1).expect("it fits");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!(socket.data::<Player>().map(|player| player.score), Ok(1_000));
}

#[tokio::test]
async fn an_update_may_use_the_socket() {
    let (socket, _client) = connected().await;
    let read = socket.update_data(|player: &mut Player| {
        player.score = 2;
        socket.data::<Player>().map(|before| before.score)
    });
    assert_eq!(read, Ok(Ok(0)));
    assert_eq!(socket.data::<Player>().map(|player| player.score), Ok(2));
}

#[tokio::test]
async fn a_socket_keeps_one_extension_of_each_type() {
    struct Name(String);
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("name", async |socket: Socket, Data(name): Data<String>| {
        socket.set_extension(Name(name));
        socket.set_extension(7_u32);
    });
    io.on("who", async |socket: Socket, log: State<Log>| {
        let name = socket.extension::<Name>().map(|name| name.0.clone());
        log.say(format_args!("{name:?} {:?} {:?}", socket.extension::<u32>(), socket.extension::<u64>()));
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send_all(["42[\"who\"]", "42[\"name\",\"ann\"]", "42[\"name\",\"bob\"]", "42[\"who\"]"]).await;
    program.lines.expect(["None None None", "Some(\"bob\") Some(7) None"]).await;
}
