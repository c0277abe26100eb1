//! Addresses of clients behind a proxy, and the limits on what one address may open.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use tidewire_server::{AddressLimits, Builder, PeerAddress, Server, Socket, State, TrustedProxies};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Client, Log, Program, program, serve, soon};

const URL: &str = "ws://localhost/socket.io/?EIO=4&transport=websocket";

/// A server that trusts the test as a proxy.
fn behind_proxy(limits: AddressLimits) -> (Builder, Program) {
    let (builder, program) = program();
    let proxies = TrustedProxies::new(["127.0.0.1"]).expect("an address");
    (builder.trusted_proxies(proxies).address_limits(limits), program)
}

/// Connects in the name of a client with this address. Returns the status if the server refuses.
async fn open(server: SocketAddr, address: &str) -> Result<Client, u16> {
    let mut request = URL.into_client_request().expect("a request");
    request.headers_mut().insert("x-forwarded-for", address.parse().expect("a value"));
    let stream = TcpStream::connect(server).await.expect("it listens");
    match soon(tokio_tungstenite::client_async(request, Box::new(stream) as Box<_>)).await {
        Ok((stream, _)) => Ok(Client::opened(stream).await),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_address_of_a_client_is_the_one_that_the_proxy_reports() {
    let (builder, mut program) = behind_proxy(AddressLimits::default());
    let io: Server = builder.build();
    io.on_connection(async |socket: Socket, log: State<Log>| {
        log.say(socket.handshake().address().expect("it is known"));
    });
    let server = serve(&io).await;
    let mut client = open(server, "198.51.100.1, 2001:db8::7").await.expect("it is accepted");
    client.connect("").await;
    program.lines.expect(["2001:db8::7"]).await;
}

#[tokio::test]
async fn clients_in_no_namespace_are_limited_for_each_address() {
    let limits = AddressLimits { max_unauthenticated: 2, ..AddressLimits::default() };
    let (builder, program) = behind_proxy(limits);
    let io: Server = builder.build();
    let server = serve(&io).await;
    let mut first = open(server, "203.0.113.1").await.expect("it is accepted");
    let mut second = open(server, "203.0.113.1").await.expect("it is accepted");
    assert_eq!(open(server, "203.0.113.1").await.err(), Some(429));
    assert!(open(server, "203.0.113.2").await.is_ok());
    first.connect("").await;
    let third = open(server, "203.0.113.1").await.expect("it is accepted");
    assert_eq!(open(server, "203.0.113.1").await.err(), Some(429));
    second.connect("").await;
    assert!(open(server, "203.0.113.1").await.is_ok());
    drop((third, program));
}

#[tokio::test]
async fn in_an_axum_server_a_layer_passes_the_address_on() {
    let (builder, mut program) = behind_proxy(AddressLimits { max_sessions: 1, ..AddressLimits::default() });
    let io: Server = builder.build();
    io.on_connection(async |socket: Socket, log: State<Log>| {
        log.say(socket.handshake().address().expect("it is known"));
    });
    let pass_on =
        axum::middleware::map_request(async |peer: ConnectInfo<SocketAddr>, mut request: Request| {
            request.extensions_mut().insert(PeerAddress(peer.0));
            request
        });
    let app = axum::Router::new().layer(io.layer()).layer(pass_on);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = listener.local_addr().expect("it is bound");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = open(server, "203.0.113.1").await.expect("it is accepted");
    client.connect("").await;
    program.lines.expect(["203.0.113.1"]).await;
    assert_eq!(open(server, "203.0.113.1").await.err(), Some(429));
}
