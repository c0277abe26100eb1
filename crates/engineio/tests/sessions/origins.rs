//! Pages of origins that are not listed cannot send requests, whatever they know.

use tidewire_engineio::{AllowedOrigins, Cors, Options};

use crate::support::{Server, text, websocket_request};

const FORBIDDEN: &str = r#"{"code":4,"message":"pages of this origin may not connect"}"#;
const OURS: &str = "Origin: https://app.example\r\n";
const OTHER_ORIGIN: &str = "Origin: https://evil.example\r\n";

async fn server() -> Server {
    let origins = AllowedOrigins::new(["https://App.example:443"]).expect("an origin");
    let cors = Some(Cors::from(origins.clone()));
    Server::start(Options { cors, allow_origins: Some(origins), ..Options::default() }).await
}

fn open(origin: &str) -> Vec<u8> {
    let query = "EIO=4&transport=polling";
    format!("GET /engine.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{origin}\r\n").into()
}

fn handshake(query: &str, origin: &str) -> Vec<u8> {
    websocket_request(query).replace("Host: h\r\n", &format!("Host: h\r\n{origin}")).into()
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_session() {
    let server = server().await;
    server.send(&open(OTHER_ORIGIN)).await.response().await.expect(403, FORBIDDEN);
    let refused = server.send(&handshake("EIO=4&transport=websocket", OTHER_ORIGIN)).await.response().await;
    refused.expect(400, "pages of this origin may not connect");
    assert_eq!(server.engine.session_count(), 0);
    let accepted = server.send(&open(OURS)).await.response().await;
    assert_eq!(accepted.status, 200);
    assert!(accepted.head.contains("access-control-allow-origin: https://app.example"), "{}", accepted.head);
    assert_eq!(server.send(&open("")).await.response().await.status, 200);
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_use_a_session_whose_id_it_knows_and_does_not_harm_it() {
    let mut server = server().await;
    let (client, mut opened) = server.open_polling().await;
    client.request("GET", OTHER_ORIGIN, "").await.response().await.expect(403, FORBIDDEN);
    let post = format!("{OTHER_ORIGIN}Content-Length: 7\r\n");
    client.request("POST", &post, "4stolen").await.response().await.expect(403, FORBIDDEN);
    client.request("PUT", OTHER_ORIGIN, "").await.response().await.expect(403, FORBIDDEN);
    let query = client.query().replace("transport=polling", "transport=websocket");
    let refused = server.send(&handshake(&query, OTHER_ORIGIN)).await.response().await;
    refused.expect(400, "pages of this origin may not connect");

    let post = format!("{OURS}Content-Length: 5\r\n");
    client.request("POST", &post, "4ours").await.response().await.expect(200, "ok");
    opened.expect([text("ours")]).await;
}

#[tokio::test]
async fn a_page_of_another_origin_does_not_learn_which_sessions_exist() {
    let server = server().await;
    let query = "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA";
    let request =
        format!("GET /engine.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{OTHER_ORIGIN}\r\n");
    server.send(request.as_bytes()).await.response().await.expect(403, FORBIDDEN);
}

#[tokio::test]
async fn a_page_of_another_origin_takes_no_packets_with_a_get_that_has_no_origin() {
    // Browsers send no `Origin` with the GET of an `<img>`.
    let mut server = server().await;
    let (client, mut opened) = server.open_polling().await;
    opened.session.send_text("secret");
    client.request("GET", "Sec-Fetch-Site: cross-site\r\n", "").await.response().await.expect(403, FORBIDDEN);
    let refused = server.send(&open("Sec-Fetch-Site: same-site\r\n")).await.response().await;
    refused.expect(403, FORBIDDEN);

    // The packet is still there, and beside a waiting poll, too, the session is not harmed.
    client
        .request("GET", "Sec-Fetch-Site: same-origin\r\n", "")
        .await
        .response()
        .await
        .expect(200, "4secret");
    let waiting = client.get().await;
    opened.poll_waits().await;
    client.request("GET", "Sec-Fetch-Site: cross-site\r\n", "").await.response().await.expect(403, FORBIDDEN);
    opened.session.send_text("more");
    waiting.response().await.expect(200, "4more");
    opened.expect_silence();
}

#[tokio::test]
async fn a_page_of_the_server_itself_may_poll_even_if_every_request_must_come_from_a_page() {
    let origins = AllowedOrigins::same_host().allow_missing_origin(false);
    let server = Server::start(Options { allow_origins: Some(origins), ..Options::default() }).await;
    assert_eq!(server.send(&open("Sec-Fetch-Site: same-origin\r\n")).await.response().await.status, 200);
    server.send(&open("Sec-Fetch-Site: none\r\n")).await.response().await.expect(403, FORBIDDEN);
    server.send(&open("")).await.response().await.expect(403, FORBIDDEN);
}
