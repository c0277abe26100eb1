//! Malformed requests, and too many requests.

use crate::raw_client::{Connection, ENGINE, Polling, UPGRADE, WebSocket, request};
use crate::support::Server;

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

#[test]
fn an_invalid_request_gets_the_error_code_of_node() {
    let server = Server::start();
    let canary = server.canary();
    let unknown = r#"{"code":0,"message":"Transport unknown"}"#;
    let session = r#"{"code":1,"message":"Session ID unknown"}"#;
    let method = r#"{"code":2,"message":"Bad handshake method"}"#;
    let bad = r#"{"code":3,"message":"Bad request"}"#;
    let version = r#"{"code":5,"message":"Unsupported protocol version"}"#;
    for (verb, target, body) in [
        ("GET", "/socket.io/?EIO=4", unknown),
        ("GET", "/socket.io/?EIO=4&transport=constructor", unknown),
        ("GET", "/socket.io/?EIO=4&transport=webtransport", unknown),
        ("GET", "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", session),
        ("GET", "/socket.io/?EIO=4&transport=polling&sid=__proto__", session),
        ("GET", "/socket.io/?EIO=4&transport=polling&sid=%20", session),
        // An empty session id is none.
        ("POST", "/socket.io/?EIO=4&transport=polling&sid=", method),
        ("POST", POLLING, method),
        ("PUT", POLLING, method),
        ("GET", ENGINE, bad),
        ("GET", "/socket.io/?EIO=3&transport=polling", version),
        ("GET", "/socket.io/?EIO=4&EIO=5&transport=polling", version),
        ("GET", "/socket.io/?transport=polling", version),
    ] {
        request(server.address, verb, target, "Content-Length: 0\r\n\r\n").expect(400, body);
    }
    // The response to HEAD has the length of a body that is not sent.
    assert_eq!(request(server.address, "HEAD", POLLING, "\r\n").status(), 400);
    request(server.address, "OPTIONS", POLLING, "\r\n").expect(204, "");
    canary.noticed_nothing();
}

#[test]
fn an_invalid_upgrade_is_rejected_in_plain_text_and_the_connection_ends() {
    let server = Server::start();
    let canary = server.canary();
    for (target, headers, status, body) in [
        (
            "/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAAAAAA",
            UPGRADE,
            400,
            "Session ID unknown",
        ),
        (POLLING, UPGRADE, 400, "Bad request"),
        ("/socket.io/?EIO=3&transport=websocket", UPGRADE, 400, "Unsupported protocol version"),
        ("/socket.io/?EIO=4&transport=tcp", UPGRADE, 400, "Transport unknown"),
    ] {
        let mut connection = request(server.address, "GET", target, format!("{headers}\r\n"));
        connection.expect(status, body);
        connection.expect_end();
    }
    for (from, to, status) in [
        ("Version: 13", "Version: 12", 426),
        ("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: short", 400),
        ("Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Other: x\r\n", 400),
        ("Connection: Upgrade", "Connection: close", 400),
        ("Connection: Upgrade", "Content-Length: 5\r\nConnection: Upgrade", 400),
        ("Connection: Upgrade", "Transfer-Encoding: chunked\r\nConnection: Upgrade", 400),
    ] {
        let headers = UPGRADE.replace(from, to);
        for target in [ENGINE, "/ws"] {
            let response = request(server.address, "GET", target, format!("{headers}\r\n")).response();
            assert_eq!(response.expect("a response").status, status, "{to}");
        }
    }
    canary.noticed_nothing();
}

#[test]
fn an_endless_head_is_rejected_at_its_limits() {
    let server = Server::start();
    let canary = server.canary();
    let long = "x".repeat(40_000);
    let many = (0..101).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    for (target, rest, statuses) in [
        ("/", format!("X: {long}\r\n\r\n"), &[431][..]),
        ("/", format!("{many}\r\n"), &[431]),
        (&*format!("{POLLING}&t={long}"), "\r\n".into(), &[414, 431]),
        (&*format!("{POLLING}&t={}", &long[..9_000]), "\r\n".into(), &[200]),
    ] {
        let status = request(server.address, "GET", target, rest).response().expect("a response").status;
        assert!(statuses.contains(&status), "{status}");
    }
    canary.noticed_nothing();
}

#[test]
fn malformed_http_is_rejected() {
    let server = Server::start();
    let canary = server.canary();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Name: h\r\n\r\n",
        b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nOrigin: http://a\x01b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let mut connection = Connection::open(server.address);
        connection.write(bytes);
        if let Some(response) = connection.response() {
            assert!((400..=505).contains(&response.status), "{response:?}");
        }
        connection.expect_end();
    }
    canary.noticed_nothing();
}

/// python-socketio sends such queries, and Node accepts them.
#[test]
fn a_query_may_contain_characters_that_are_not_percent_encoded() {
    let server = Server::start();
    let canary = server.canary();
    let json = r#"&user={"id":1}"#;
    for characters in [json, "\"", "<", ">", "{", "}", "|", "^", "`", "\\", "é"] {
        let query = format!("&x={characters}");
        let session = Polling::open_with(server.address, &query);
        session.post("40").expect(200, "ok");
        let response = session.get().response().expect("a response");
        assert!(response.body.starts_with(r#"40{"sid":""#), "{characters}: {response:?}");
        session.expect_alive();
        drop(WebSocket::session_with(server.address, &query));
        let mut socket = WebSocket::open(server.address, &format!("/ws?x={characters}"));
        socket.text("echo");
        socket.expect("echo");
    }
    // The target of each request on a connection, also after a body.
    let mut connection = Connection::open(server.address);
    let get = format!("GET {POLLING}{json} HTTP/1.1\r\nHost: h\r\n\r\n");
    let post =
        format!("POST {POLLING}{json}&sid=x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nGET /?\"<>");
    connection.write(format!("{get}{post}{get}"));
    for status in [200, 400, 200] {
        assert_eq!(connection.response().expect("a response").status, status);
    }
    canary.noticed_nothing();
}

/// Small devices compare the names exactly.
#[test]
fn header_names_are_spelled_as_in_the_rfcs() {
    let server = Server::start();
    let offers = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let version = UPGRADE.replace("Version: 13", "Version: 12");
    let names_of = |target, headers: &str| {
        let head =
            request(server.address, "GET", target, format!("{headers}\r\n")).head().expect("a response");
        let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        head.lines().skip(1).map(name).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    };
    let contains = |names: &[String], expected: &[&str]| {
        for name in expected {
            assert!(names.iter().any(|spelled| spelled == name), "{name}: {names:?}");
        }
    };
    let handshake = ["Upgrade", "Connection", "Sec-WebSocket-Accept"];
    contains(&names_of(ENGINE, UPGRADE), &handshake);
    contains(&names_of("/ws", UPGRADE), &handshake);
    contains(&names_of("/ws", &format!("{UPGRADE}{offers}")), &["Sec-WebSocket-Extensions"]);
    contains(&names_of("/ws", &version), &["Sec-WebSocket-Version"]);
    let repeated = format!("{UPGRADE}Sec-WebSocket-Version: 13\r\n");
    contains(&names_of("/ws", &repeated), &["Sec-WebSocket-Version"]);
    contains(
        &names_of(POLLING, "Origin: http://localhost\r\n"),
        &["Access-Control-Allow-Origin", "Content-Type", "Content-Length"],
    );
}

/// RFC 9112 §3.2 and §6.1.
#[test]
fn a_request_that_proxies_may_understand_differently_is_refused_and_ends_the_connection() {
    let server = Server::start();
    let canary = server.canary();
    let chunks = "\r\n5\r\nGET /\r\n0\r\n\r\n";
    for target in ["/", "/ws", "/nowhere", POLLING] {
        for (version, headers, status) in [
            ("1.1", "".to_owned(), 400),
            ("1.1", "Host: h\r\nHost: h\r\n".to_owned(), 400),
            ("1.1", "Host: a b\r\n".to_owned(), 400),
            ("1.1", format!("Host: h\r\nTransfer-Encoding: gzip, chunked\r\n{chunks}"), 501),
            (
                "1.1",
                format!("Host: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n{chunks}"),
                501,
            ),
            ("1.1", format!("Host: h\r\nTransfer-Encoding: chunked, chunked\r\n{chunks}"), 400),
            ("1.0", "Host: h\r\nHost: h\r\n".to_owned(), 400),
        ] {
            let mut connection = Connection::open(server.address);
            connection.write(format!(
                "POST {target} HTTP/{version}\r\n{headers}\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"
            ));
            assert_eq!(connection.response().expect("a response").status, status, "{target} {headers}");
            connection.expect_end();
        }
    }
    let mut connection = Connection::open(server.address);
    connection.write("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(connection.response().expect("a response").status, 200);
    canary.noticed_nothing();
}

#[test]
fn pipelined_requests_get_responses_in_order() {
    let server = Server::start();
    let canary = server.canary();
    let mut connection = Connection::open(server.address);
    let requests: Vec<_> = (0..200)
        .map(|number| match number % 4 {
            0 => format!("GET {POLLING} HTTP/1.1\r\nHost: h\r\n\r\n"),
            1 => "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n".into(),
            2 => format!("POST {POLLING} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /"),
            _ => format!("OPTIONS {POLLING} HTTP/1.1\r\nHost: h\r\n\r\n"),
        })
        .collect();
    connection.write(requests.concat());
    for number in 0..200 {
        let status = connection.response().expect("a response to each").status;
        assert_eq!(status, [200, 404, 400, 204][number % 4], "{number}");
    }
    canary.noticed_nothing();
}

#[test]
fn unread_responses_stop_the_reading_of_requests() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.peak_memory();
    let mut connection = Connection::open(server.address);
    connection.stream.set_write_timeout(Some(std::time::Duration::from_millis(500))).expect("an option");
    let page = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1_000);
    let mut written = 0;
    while written < 64 << 20 && connection.try_write(page.as_bytes()) {
        written += page.len();
    }
    assert!(written < 64 << 20, "the server takes request after request");
    assert!(server.peak_memory() < before + 8, "{} MB, {before} before", server.peak_memory());
    canary.noticed_nothing();
}

#[test]
fn other_paths_belong_to_no_session() {
    let server = Server::start();
    let canary = server.canary();
    for target in
        ["/socket.io?EIO=4&transport=polling", "/engine.io/?EIO=4&transport=polling", "/../socket.io/"]
    {
        // RFC 6455 §4.2.2 requires this for WebSocket requests as well.
        for headers in ["", UPGRADE] {
            let response = request(server.address, "GET", target, format!("{headers}\r\n")).response();
            assert_eq!(response.expect("a response").status, 404, "{target}");
        }
    }
    let session = Polling::joined(server.address);
    for method in ["PUT", "DELETE", "HEAD"] {
        let response =
            request(server.address, method, &session.target, "\r\n").response().expect("a response");
        assert_eq!(response.status, 500, "{method}");
    }
    session.expect_alive();
    canary.noticed_nothing();
}
