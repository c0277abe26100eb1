use bytes::Bytes;
use http::HeaderMap;
use tokio::task::yield_now;
use ws_proto::{ClientHandshake, DeflateOptions, WebSocketUri};

use super::*;
use crate::connection::Driver;

#[tokio::test]
async fn an_ended_connection_does_not_keep_the_compressor() {
    let options = DeflateOptions { own_context_takeover: true, ..DeflateOptions::default() };
    let offer = ClientHandshake::new([7; 16]).deflate(options);
    let request = offer.request(&WebSocketUri::parse("ws://h/").unwrap(), &HeaderMap::new()).unwrap();
    let accepted = ws_proto::verify_upgrade_request(
        request.method(),
        request.uri(),
        request.version(),
        request.headers(),
    )
    .unwrap();
    let options = DeflateOptions { peer_context_takeover: true, ..options };
    let response = accepted.response(None, accepted.deflate(&options).as_ref());
    let agreed = offer.verify_response(response.status(), response.headers()).unwrap();
    let (client, server) = tokio::io::duplex(1024);
    let upgraded = Upgraded { stream: Stream::boxed(client), leftover: Bytes::new() };
    let mut socket = Driver::spawn_client(upgraded, &Limits::default(), &agreed);
    assert!(socket.connection().with(|state| state.deflater.is_some()));
    drop(server);
    assert_eq!(socket.recv().await, None);
    while socket.connection().with(|state| state.phase != Phase::Finished) {
        yield_now().await;
    }
    assert!(socket.connection().with(|state| state.deflater.is_none()));
}
