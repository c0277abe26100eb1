//! The hook that is told of every refused request.

use http::Method;
use tidewire_engineio::{AllowRequest, ConnectionError as Error, ConnectionErrorHook, Options, Transport};
use tokio::sync::mpsc;

use crate::support::{Server, websocket_request};

type Reports = mpsc::UnboundedReceiver<(Error, String)>;

/// Returns a server, and the errors that its hook gets, with the query of the request.
async fn server() -> (Server, Reports) {
    let (sender, reports) = mpsc::unbounded_channel();
    let hook = ConnectionErrorHook::new(move |error, request| {
        let _ = sender.send((error.clone(), request.uri.query().unwrap_or_default().to_owned()));
    });
    let allow = AllowRequest::new(|request| match request.uri.query().unwrap_or_default() {
        query if query.contains("forbid=words") => Err("not today".into()),
        query if query.contains("forbid") => Err(String::new()),
        _ => Ok(()),
    });
    let options =
        Options { on_connection_error: Some(hook), allow_request: Some(allow), ..Options::default() };
    (Server::start(options).await, reports)
}

fn request(method: &str, query: &str) -> Vec<u8> {
    format!("{method} /engine.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").into()
}

#[tokio::test]
async fn each_refusal_is_reported_with_the_code_and_the_context_of_node() {
    let (server, mut reports) = server().await;
    let unknown = "A".repeat(20);
    let forbidden = |message: &str| Error::Forbidden { message: message.into() };
    for (method, query, code, error) in [
        ("GET", "EIO=4&transport=x", 0, Error::UnknownTransport { transport: Some("x".into()) }),
        ("GET", "EIO=4", 0, Error::UnknownTransport { transport: None }),
        (
            "GET",
            &*format!("EIO=4&transport=polling&sid={unknown}"),
            1,
            Error::UnknownSid { sid: unknown.clone() },
        ),
        ("POST", "EIO=4&transport=polling", 2, Error::BadHandshakeMethod { method: Method::POST }),
        (
            "GET",
            "EIO=4&transport=websocket",
            3,
            Error::TransportHandshakeError {
                error: "a plain HTTP request for the transport websocket".into(),
            },
        ),
        ("GET", "EIO=4&transport=polling&forbid=words", 4, forbidden("not today")),
        ("GET", "EIO=4&transport=polling&forbid", 4, forbidden("")),
        ("GET", "EIO=3&transport=polling", 5, Error::UnsupportedProtocolVersion { protocol: 3 }),
    ] {
        let response = server.send(&request(method, query)).await.response().await;
        let (reported, reported_query) = reports.recv().await.expect("a report");
        assert_eq!((&reported, &*reported_query), (&error, query));
        assert_eq!(error.code(), code, "{query}");
        let message = if query.contains("words") { "not today" } else { error.message() };
        response.expect(
            if code == 4 { 403 } else { 400 },
            &format!(r#"{{"code":{code},"message":"{message}"}}"#),
        );
    }
    assert!(reports.try_recv().is_err(), "one report for each refusal");
}

#[tokio::test]
async fn a_request_that_does_not_fit_its_session_is_reported_with_both_sides() {
    let (mut server, mut reports) = server().await;
    let (client, _opened) = server.open_polling().await;
    let other_revision = client.query().replace("EIO=4", "EIO=3");
    server.get(&other_revision).await.response().await.expect(400, r#"{"code":3,"message":"Bad request"}"#);
    let (error, _) = reports.recv().await.expect("a report");
    assert_eq!(error, Error::ProtocolMismatch { protocol: 3, previous_protocol: 4 });

    let (_websocket, opened) = server.open_websocket().await;
    let query = format!("EIO=4&transport=polling&sid={}", opened.session.id().as_str());
    server.get(&query).await.response().await.expect(400, r#"{"code":3,"message":"Bad request"}"#);
    let (error, _) = reports.recv().await.expect("a report");
    let (transport, previous_transport) = (Transport::Polling, Transport::WebSocket);
    assert_eq!(error, Error::TransportMismatch { transport, previous_transport });
}

#[tokio::test]
async fn refused_websocket_handshakes_are_reported_too() {
    let (server, mut reports) = server().await;
    let refused = websocket_request("EIO=4&transport=websocket&forbid=words");
    server.send(refused.as_bytes()).await.response().await.expect(400, "not today");
    assert_eq!(reports.recv().await.expect("a report").0, Error::Forbidden { message: "not today".into() });

    let without_key = websocket_request("EIO=4&transport=websocket").replace("Sec-WebSocket-Key", "X-Key");
    assert_eq!(server.send(without_key.as_bytes()).await.response().await.status, 400);
    let (error, _) = reports.recv().await.expect("a report");
    assert!(matches!(&error, Error::TransportHandshakeError { .. }), "{error}");
    assert_eq!(server.engine.session_count(), 0);
}

#[test]
fn a_report_escapes_what_the_client_sent() {
    let error = Error::UnknownTransport { transport: Some("a\nb".into()) };
    assert_eq!(error.to_string(), r#"Transport unknown: "a\nb""#);
}
