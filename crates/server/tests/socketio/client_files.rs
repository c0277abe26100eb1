//! The files of the JavaScript client.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::routing::get;
use http::HeaderMap;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tidewire_server::{ClientFiles, Cors, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Client, serve, soon};

const BANNER: &str = "/*!\n * Socket.IO v4.8.4\n * (c) 2014-2026 Guillermo Rauch\n */\n";
const PATH: &str = "/socket.io/socket.io.min.js";

/// Creates an empty directory for the test with this name.
fn empty_directory(test: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("client-files-{test}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory");
    directory
}

/// Creates a directory with one file.
fn directory(test: &str, name: &str, content: &str) -> PathBuf {
    let directory = empty_directory(test);
    fs::write(directory.join(name), content).expect("written");
    directory
}

fn script() -> String {
    format!("{BANNER}{}", "io();".repeat(200))
}

fn server_with_script(test: &str) -> Server {
    let directory = directory(test, "socket.io.min.js", &script());
    Server::builder().client_files(ClientFiles::from_dir(directory).expect("files")).build()
}

/// Sends a request with these header lines. Returns the head of the response in lower case, and the body.
async fn request(address: SocketAddr, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = Vec::new();
    soon(stream.read_to_end(&mut response)).await.expect("a response");
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
    let body = response.split_off(end + 4);
    (String::from_utf8(response).expect("an ASCII head").to_lowercase(), body)
}

#[track_caller]
fn assert_has(head: &str, lines: &[&str]) {
    for line in lines {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
}

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

#[tokio::test]
async fn the_server_serves_them_by_itself_as_a_service_and_as_a_layer() {
    let io = server_with_script("mounted");
    let own = serve(&io).await;

    let (listener, as_layer) = listening().await;
    let router = Router::new().route("/hello", get(async || "from the router")).layer(io.layer());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let (listener, as_service) = listening().await;
    let service = TowerToHyperService::new(io.service());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
        }
    });

    for address in [own, as_layer, as_service] {
        for method in ["GET", "POST"] {
            let (head, body) = request(address, method, &format!("{PATH}?v=1"), "").await;
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            assert_has(
                &head,
                &[
                    "etag: \"4.8.4\"",
                    "cache-control: public, max-age=0",
                    "content-type: application/javascript; charset=utf-8",
                    "vary: accept-encoding",
                ],
            );
            assert!(!head.contains("content-encoding") && !head.contains("access-control"), "{head}");
            assert_eq!(body, script().as_bytes());
        }
        let (head, body) = request(address, "HEAD", PATH, "").await;
        assert_has(&head, &[&format!("content-length: {}", script().len())]);
        assert!(body.is_empty());
        let (head, body) = request(address, "GET", PATH, "If-None-Match: \"4.8.4\"\r\n").await;
        assert!(head.starts_with("http/1.1 304 ") && body.is_empty(), "{head}");
        let (head, body) = request(address, "GET", PATH, "Accept-Encoding: br, gzip;q=0.5\r\n").await;
        assert_has(&head, &["content-encoding: gzip"]);
        assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() < script().len() / 2);
    }
}

#[tokio::test]
async fn without_the_files_the_response_says_what_is_missing() {
    let not_configured = serve(&Server::new()).await;
    let one_file = serve(&server_with_script("one-file")).await;
    for (address, path, status, text) in [
        (not_configured, PATH, 404, "This server does not serve the files"),
        (not_configured, "/socket.io/socket.io.esm.min.js.map", 404, "Builder::client_files"),
        (one_file, "/socket.io/socket.io.js", 404, "does not contain this file"),
        // Other names are never files, even if the directory has them.
        (not_configured, "/socket.io/package.json", 400, r#"{"code":0,"#),
        (one_file, "/socket.io/../socket.io/socket.io.min.js", 400, r#"{"code":0,"#),
        (one_file, "/socket.io/./socket.io.min.js", 400, r#"{"code":0,"#),
        (one_file, "/socket.io/socket.io.min.js/", 400, r#"{"code":0,"#),
        (one_file, "/socket.io/socket%2eio.min.js", 400, r#"{"code":0,"#),
    ] {
        let (head, body) = request(address, "GET", path, "").await;
        let body = String::from_utf8(body).expect("text");
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{path}: {head}");
        assert!(body.contains(text), "{path}: {body}");
    }
}

#[tokio::test]
async fn the_etag_is_the_version_of_the_client_or_a_hash() {
    let etag = async |directory: &Path| {
        let files = ClientFiles::from_dir(directory).expect("files");
        let address = serve(&Server::builder().client_files(files).build()).await;
        let (head, _) = request(address, "GET", "/socket.io/socket.io.js", "").await;
        let etag = head.split_once("\r\netag: ").expect("an ETag").1;
        etag.split_once("\r\n").expect("a line").0.to_owned()
    };
    let package = directory("package", "package.json", r#"{"name":"socket.io-client","version":"4.7.5"}"#);
    let dist = package.join("dist");
    fs::create_dir(&dist).expect("a directory");
    let script = dist.join("socket.io.js");
    fs::write(&script, BANNER).expect("written");
    assert_eq!(etag(&dist).await, "\"4.8.4\"");
    fs::write(&script, "no banner").expect("written");
    assert_eq!(etag(&dist).await, "\"4.7.5\"");
    fs::write(package.join("package.json"), "{\"version\":\"4\\r\\nx: y\"}").expect("written");
    let hashed = etag(&dist).await;
    assert_eq!((hashed.len(), etag(&dist).await), (18, hashed.clone()));
    fs::write(&script, "/*!\n * Socket.IO v\" \n").expect("written");
    assert_ne!(etag(&dist).await, hashed);
}

#[tokio::test]
async fn the_directory_is_read_once() {
    let directory = directory("once", "socket.io.min.js", &script());
    let files = ClientFiles::from_dir(&directory).expect("files");
    fs::remove_dir_all(&directory).expect("removed");
    let address = serve(&Server::builder().client_files(files).build()).await;
    let (_, body) = request(address, "GET", PATH, "").await;
    assert_eq!(body, script().as_bytes());
}

#[test]
fn an_error_names_the_file_that_cannot_be_read() {
    let directory = directory("errors", "other.js", "");
    let error = ClientFiles::from_dir(&directory).expect_err("none of the files");
    assert_eq!(error.to_string(), format!("cannot read {}", directory.join("socket.io.js").display()));
    assert!(error.source().expect("a source").to_string().contains("not found"));
    let unreadable = directory.join("socket.io.min.js.map");
    fs::create_dir(&unreadable).expect("a directory");
    let error = ClientFiles::from_dir(&directory).expect_err("a directory is no file");
    assert_eq!(error.to_string(), format!("cannot read {}", unreadable.display()));
    assert!(ClientFiles::from_dir(directory.join("absent")).is_err());
}

#[tokio::test]
async fn pages_of_other_origins_may_load_them_if_cors_says_so() {
    let cors = Cors::origins(["https://app.example"]).expect("an origin").credentials(true);
    let directory = directory("cors", "socket.io.min.js", &script());
    let files = ClientFiles::from_dir(directory).expect("files");
    let never = |_: &mut HeaderMap, _: &http::request::Parts| panic!("a file is no session");
    let io = Server::builder()
        .cors(cors)
        .client_files(files)
        .allow_request(|_| Err("nobody".to_owned()))
        .on_headers(never)
        .on_initial_headers(never)
        .on_connection_error(|_, _| panic!("a file is no session"))
        .build();
    let address = serve(&io).await;
    let (head, body) = request(address, "GET", PATH, "Origin: https://app.example\r\n").await;
    assert_has(
        &head,
        &[
            "access-control-allow-origin: https://app.example",
            "access-control-allow-credentials: true",
            "vary: origin",
            "vary: accept-encoding",
        ],
    );
    assert_eq!(body, script().as_bytes());
    let (head, body) = request(address, "OPTIONS", PATH, "Origin: https://app.example\r\n").await;
    assert!(head.starts_with("http/1.1 204 ") && body.is_empty(), "{head}");
}

#[tokio::test]
async fn clients_connect_as_before() {
    let address = serve(&server_with_script("clients")).await;
    Client::join(address).await;
    let handshake = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (head, _) = request(address, "GET", PATH, handshake).await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
}

#[tokio::test]
async fn a_program_may_add_files_of_its_own() {
    let files = ClientFiles::new()
        .with_file("own.js", "old")
        .with_file("own.js.map", "{}")
        .with_file("own.d.ts", "export {};")
        .with_file("own.txt", "text")
        .with_file("own.js", script());
    let address = serve(&Server::builder().client_files(files).build()).await;
    let mut etags = Vec::new();
    for (name, content_type, content) in [
        ("own.js", "application/javascript", script().as_str()),
        ("own.js.map", "application/json", "{}"),
        ("own.d.ts", "application/typescript", "export {};"),
        ("own.txt", "text/plain", "text"),
    ] {
        let (head, body) = request(address, "GET", &format!("/socket.io/{name}?v=1"), "").await;
        assert!(head.starts_with("http/1.1 200"), "{name}: {head}");
        assert_has(
            &head,
            &[&format!("content-type: {content_type}; charset=utf-8"), "cache-control: public, max-age=0"],
        );
        assert_eq!(String::from_utf8_lossy(&body), content, "{name}");
        let etag =
            head.split("etag: ").nth(1).and_then(|rest| rest.lines().next()).expect("a tag").to_owned();
        let condition = format!("If-None-Match: {etag}\r\n");
        let (head, _) = request(address, "GET", &format!("/socket.io/{name}"), &condition).await;
        assert!(head.starts_with("http/1.1 304"), "{name}: {head}");
        etags.push(etag);
    }
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 4, "each tag depends on the content");

    let (head, body) = request(address, "GET", PATH, "").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("Builder::client_files"));
}
