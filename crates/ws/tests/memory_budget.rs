//! The memory that many connections use together, and which of them must end.

use std::future::pending;
use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use tidewire_ws::{CloseCause, CloseCode, DeflateOptions, MemoryBudget, WebSocket};
use tokio::sync::mpsc;
use ws_proto::{Event, Opcode};

use crate::support::{Client, connect_with_budget, echo, fragment, frame, soon};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn expect_close_1013(client: &mut Client) {
    let Some(Event::Close(Some(frame))) = client.recv().await else { panic!("a Close") };
    assert_eq!((frame.code, &*frame.reason), (CloseCode::TRY_AGAIN_LATER, "memory budget exceeded"));
    assert_eq!(client.recv().await, None, "the server ends the stream");
}

#[tokio::test]
async fn of_ten_connections_the_one_that_holds_the_most_ends_and_the_others_finish() {
    let budget = MemoryBudget::new(MIB);
    let (ends, mut ended) = mpsc::unbounded_channel();
    let mut clients = Vec::new();
    for number in 0..10 {
        let ends = ends.clone();
        let client = connect_with_budget(&budget, None, 64 * KIB, move |mut socket: WebSocket| async move {
            while let Some(message) = socket.recv().await {
                let _ = socket.send(message).await;
            }
            let _ = ends.send((number, socket.close_cause().unwrap()));
        });
        clients.push(client.await);
    }
    let mut sent = [80 * KIB; 10];
    sent[4] = 150 * KIB;
    let mut total = 0;
    for (client, sent) in clients.iter_mut().zip(sent) {
        client.write(&fragment(Opcode::Binary, &vec![7; sent], false)).await;
        total += sent;
        until(|| budget.used() == total).await;
    }
    for (number, more) in [(8, 70 * KIB), (9, 69 * KIB), (0, 20 * KIB)] {
        clients[number].write(&fragment(Opcode::Continuation, &vec![7; more], false)).await;
        sent[number] += more;
    }
    expect_close_1013(&mut clients[4]).await;
    assert_eq!(ended.recv().await, Some((4, CloseCause::MemoryBudget)));
    for (number, client) in clients.iter_mut().enumerate().filter(|(number, _)| *number != 4) {
        client.write(&fragment(Opcode::Continuation, &[7], true)).await;
        assert_eq!(client.recv().await, Some(Event::Binary(vec![7; sent[number] + 1].into())), "{number}");
    }
    until(|| budget.used() == 0).await;
    assert!(ended.try_recv().is_err());
}

#[tokio::test]
async fn a_compressed_message_counts_with_what_it_has_become() {
    let budget = MemoryBudget::new(4 * MIB);
    let mut client = connect_with_budget(&budget, Some(DeflateOptions::default()), 64 * KIB, echo).await;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 15 * MIB]).unwrap();
    encoder.flush().unwrap();
    let compressed = encoder.get_ref();
    // More than 64 KiB, so that it is inflated as it arrives: a stored block in front of it.
    let mut first = fragment(Opcode::Binary, &stored_block(&[0; 65_000]), false);
    first[0] |= 0x40;
    client.write(&first).await;
    client.write(&fragment(Opcode::Continuation, &stored_block(&[0; 5_000]), false)).await;
    until(|| budget.used() > 70_000).await;
    client.write(&fragment(Opcode::Continuation, compressed, false)).await;
    expect_close_1013(&mut client).await;
    until(|| budget.used() == 0).await;
}

/// A DEFLATE block without compression (RFC 1951 §3.2.4), which is not the last one.
fn stored_block(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short block");
    [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat()
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected_without_a_close_frame() {
    let budget = MemoryBudget::new(MIB);
    let (ends, mut ended) = mpsc::unbounded_channel();
    let small = connect_with_budget(&budget, None, 64 * KIB, |socket: WebSocket| async move {
        let _socket = socket;
        pending::<()>().await;
    });
    let small = small.await;
    let client = connect_with_budget(&budget, None, KIB, move |mut socket: WebSocket| async move {
        let sent = socket.send(vec![7; 2 * MIB]).await;
        let _ = ends.send((sent, socket.recv().await, socket.close_cause()));
    });
    let _client = client.await;
    let (sent, received, cause) = soon(ended.recv()).await.unwrap();
    assert_eq!((sent, received, cause), (Ok(()), None, Some(CloseCause::MemoryBudget)));
    until(|| budget.used() == 0).await;
    drop(small);
}

#[tokio::test]
async fn a_connection_whose_handle_is_in_another_task_counts_too() {
    let budget = MemoryBudget::new(300 * KIB);
    let (ends, mut ended) = mpsc::unbounded_channel();
    let handler = move |mut socket: WebSocket| async move {
        tokio::spawn(async move {
            while let Some(message) = socket.recv().await {
                let _ = ends.send(Ok(message.len()));
            }
            let _ = ends.send(Err(socket.close_cause()));
        });
    };
    let mut client = connect_with_budget(&budget, None, 64 * KIB, handler).await;
    client.write(&frame(Opcode::Binary, &vec![7; 200 * KIB])).await;
    assert_eq!(ended.recv().await, Some(Ok(200 * KIB)));
    until(|| budget.used() == 0).await;
    client.write(&fragment(Opcode::Binary, &vec![7; 400 * KIB], false)).await;
    assert_eq!(soon(ended.recv()).await, Some(Err(Some(CloseCause::MemoryBudget))));
    until(|| budget.used() == 0).await;
}
