//! Polling with scripts and forms, byte by byte.

use tidewire_engineio::{AllowedOrigins, CloseReason, Options};

use crate::support::{Request, Seen, Server, frames, settings, text};

fn allowed() -> Options {
    Options { allow_eio3: true, ..Options::default() }
}

/// Returns the script. Checks that browsers execute it, and take it for nothing else.
async fn script(request: Request) -> String {
    let response = request.response().await;
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.head.contains("content-type: text/javascript; charset=utf-8\r\n"), "{}", response.head);
    assert!(response.head.contains("x-content-type-options: nosniff\r\n"), "{}", response.head);
    response.body
}

#[tokio::test]
async fn the_first_response_is_a_script_that_calls_the_function_of_the_client() {
    let mut server = Server::start(allowed()).await;
    for (query, start) in [
        ("EIO=3&transport=polling&b64=1&j=0", r#"___eio[0]("118:0{\"sid\":\""#),
        ("EIO=4&transport=polling&j=12", r#"___eio[12]("0{\"sid\":\""#),
        ("EIO=4&transport=polling&j=]);alert(1);//2", r#"___eio[12]("0{\"sid\":\""#),
    ] {
        let script = script(server.get(query).await).await;
        let opened = server.opened().await;
        let rest = r#"\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}");"#;
        assert_eq!(script, format!("{start}{}{rest}", opened.session.id().as_str()));
    }
}

#[tokio::test]
async fn messages_come_in_scripts_and_go_in_forms() {
    let mut server = Server::start(allowed()).await;
    let (client, mut opened) = server.open_polling_with("EIO=3", "&b64=1&j=3").await;
    opened.session.send_text("\"\u{2028}€</script>");
    opened.session.send_binary(&[1, 2]);
    let expected = "___eio[3](\"13:4\\\"\\u2028€</script>6:b4AQI=\");";
    assert_eq!(script(client.get().await).await, expected);

    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    for (form, message) in [
        ("d=3%3A4%E2%82%AC%5Cn", text("€\n")),
        (r"d=3%3A4%5C%5Cn", text(r"\n")),
        ("d=6:b4AQI%3D", Seen::Binary(vec![1, 2])),
    ] {
        let headers = format!("{headers}Content-Length: {}\r\n", form.len());
        let response = client.request("POST", &headers, form).await.response().await;
        response.expect(200, "ok");
        assert!(response.head.contains("content-type: text/html\r\n"), "{}", response.head);
        opened.expect([message]).await;
    }
}

#[tokio::test]
async fn a_form_without_packets_ends_the_session_instead_of_losing_them() {
    let mut server = Server::start(allowed()).await;
    for (revision, form) in [("EIO=3", "x=2:4a"), ("EIO=3", "d=2:4a&d=2:4b"), ("EIO=4", "4a"), ("EIO=4", "")]
    {
        let (client, mut opened) = server.open_polling_with(revision, "&j=0").await;
        client.post(form).await.expect(200, "ok");
        opened.expect_end(CloseReason::ParseError).await;
    }
}

#[tokio::test]
async fn a_form_that_is_too_long_is_refused() {
    let options = Options { allow_eio3: true, ..settings(|settings| settings.max_payload = 10) };
    let mut server = Server::start(options).await;
    let (client, mut opened) = server.open_polling_with("EIO=4", "&j=0").await;
    client.post_ok("d=4abcdefg").await;
    opened.expect([text("abcdefg")]).await;
    client.post("d=4abcdefgh").await.expect(413, "");
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn the_engine_ends_and_upgrades_a_session_with_scripts_too() {
    let mut server = Server::start(allowed()).await;
    let (client, opened) = server.open_polling_with("EIO=3", "&j=0").await;
    opened.session.close();
    assert_eq!(script(client.get().await).await, r#"___eio[0]("1:61:1");"#);

    let (client, opened) = server.open_polling_with("EIO=3", "&j=0").await;
    let waiting = client.get().await;
    opened.poll_waits().await;
    let mut websocket = client.candidate(&frames(["5"])).await;
    assert_eq!(script(waiting).await, r#"___eio[0]("1:1");"#);
    opened.session.send_text("moved");
    websocket.expect("4moved").await;
}

#[tokio::test]
async fn an_index_that_no_client_counts_to_is_refused() {
    let server = Server::start(allowed()).await;
    let longest = "1".repeat(20);
    let accepted = server.get(&format!("EIO=3&transport=polling&j={longest}")).await.response().await;
    assert!(accepted.body.starts_with(&format!("___eio[{longest}](")), "{}", accepted.body);
    let refused = server.get(&format!("EIO=3&transport=polling&j={longest}1")).await.response().await;
    refused.expect(400, r#"{"code":3,"message":"Bad request"}"#);
    assert_eq!(server.engine.session_count(), 1);
}

#[tokio::test]
async fn without_the_permission_the_parameter_is_ignored() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling_with("EIO=4", "&j=0").await;
    opened.session.send_text("text");
    let response = client.get().await.response().await;
    response.expect(200, "4text");
    assert!(response.head.contains("content-type: text/plain; charset=utf-8\r\n"), "{}", response.head);
    client.post_ok("4d=4a").await;
    opened.expect([text("d=4a")]).await;
}

#[tokio::test]
async fn a_script_of_a_page_of_another_origin_is_refused() {
    let origins = AllowedOrigins::new(["https://app.example"]).expect("an origin");
    let mut server = Server::start(Options { allow_origins: Some(origins), ..allowed() }).await;
    // Browsers send no `Origin` for a script.
    let cross_site = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n";
    const FORBIDDEN: &str = r#"{"code":4,"message":"pages of this origin may not connect"}"#;
    let request = format!(
        "GET /engine.io/?EIO=3&transport=polling&j=0 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{cross_site}\r\n"
    );
    server.send(request.as_bytes()).await.response().await.expect(403, FORBIDDEN);
    assert_eq!(server.engine.session_count(), 0);

    // Over plain `http`, and to old browsers, a request for a script looks like one of a program.
    let unknown = r#"{"code":4,"message":"JSONP needs a browser that says which page polls"}"#;
    server.get("EIO=3&transport=polling&j=0").await.response().await.expect(403, unknown);
    assert_eq!(server.engine.session_count(), 0);

    let own = "Sec-Fetch-Site: same-origin\r\n";
    script(server.send(request.replace(cross_site, own).as_bytes()).await).await;
    let mut opened = server.opened().await;
    let client = server.polling("EIO=3", &opened);
    client.request("GET", cross_site, "").await.response().await.expect(403, FORBIDDEN);
    client.get().await.response().await.expect(403, unknown);
    opened.session.send_text("ours");
    script(client.request("GET", own, "").await).await;
    opened.session.send_text("listed");
    script(client.request("GET", "Origin: https://app.example\r\n", "").await).await;
    let form = "Origin: https://evil.example\r\nContent-Length: 8\r\n";
    client.request("POST", form, "d=2%3A4a").await.response().await.expect(403, FORBIDDEN);
    client.post_ok("d=2%3A4b").await;
    opened.expect([text("b")]).await;
}
