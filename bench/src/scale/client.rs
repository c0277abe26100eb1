//! Clients that connect, and then only answer pings.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Kind;
use crate::wire::http::{self, BROWSER_OFFER};
use crate::wire::websocket::{self, CLOSE, PING, PONG, TEXT};

/// The longest wait for any response of the server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens connections of one kind.
pub(super) struct Connector {
    kind: Kind,
    server: SocketAddr,
    request: Vec<u8>,
    tls: Option<Arc<ClientConfig>>,
}

/// The stream of a client.
trait Stream: Read + Write {
    fn socket(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        &self.sock
    }
}

pub(super) struct Client {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Connector {
    /// `certificate` is the folder with the certificate of the server.
    pub(super) fn new(kind: Kind, server: SocketAddr, certificate: Option<&Path>) -> Result<Self> {
        let path = if kind == Kind::Raw { "/ws" } else { "/socket.io/?EIO=4&transport=websocket" };
        let request = http::upgrade_request(path, BROWSER_OFFER);
        Ok(Self { kind, server, request, tls: certificate.map(trusting).transpose()? })
    }

    /// Opens connections from these addresses. The steps of one follow those of the others, so that client and server need
    /// not wait for each other after each step.
    pub(super) fn connect(&self, own: impl Iterator<Item = IpAddr>) -> Result<Vec<Client>> {
        let mut clients = own.map(|own| self.begin(own)).collect::<Result<Vec<_>>>()?;
        for client in &mut clients {
            client.skip_upgrade()?;
            if self.kind != Kind::Raw {
                ensure!(client.text()?.starts_with(b"0{"), "no open");
                client.send(TEXT, b"40")?;
            }
        }
        for client in &mut clients {
            if self.kind != Kind::Raw {
                ensure!(client.text()?.starts_with(b"40{"), "no connect");
            }
            client.stream.socket().set_nonblocking(true)?;
        }
        Ok(clients)
    }

    /// Connects and sends the request.
    fn begin(&self, own: IpAddr) -> Result<Client> {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddr::new(own, 0))?;
        connect(&socket, &self.server).context("cannot connect")?;
        // Reset the connection at the end, so that the kernel keeps nothing of it.
        set_socket_linger(&socket, Some(Duration::ZERO))?;
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some(config) => {
                let connection = ClientConnection::new(Arc::clone(config), self.server.ip().into())?;
                Box::new(StreamOwned::new(connection, socket))
            }
            None => Box::new(socket),
        };
        let mut client = Client { stream, unread: Vec::new() };
        client.stream.write_all(&self.request)?;
        client.stream.flush()?;
        Ok(client)
    }
}

/// Returns the configuration of a client that trusts one certificate only.
fn trusting(certificate: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate.join("chain.pem"))?)?;
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

impl Client {
    /// Answers the pings that have arrived, of the session and of WebSocket.
    pub(super) fn answer_pings(&mut self) -> Result<()> {
        while self.receive()? {}
        while let Some((first, payload)) = self.frame() {
            match (first, &payload[..]) {
                (TEXT, b"2") => self.send(TEXT, b"3")?,
                (PING, payload) => self.send(PONG, payload)?,
                _ => ensure!(first != CLOSE, "the server has closed a connection"),
            }
        }
        Ok(())
    }

    fn send(&mut self, first: u8, payload: &[u8]) -> Result<()> {
        let mut out = Vec::new();
        websocket::put_client_frame(&mut out, first, payload);
        self.stream.write_all(&out)?;
        self.stream.flush()?;
        Ok(())
    }

    /// Reads once. Returns `false` if there is nothing to read.
    fn receive(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(anyhow::anyhow!("the server has closed a connection")),
            Ok(count) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn skip_upgrade(&mut self) -> Result<()> {
        loop {
            if let Some(end) = http::head_end(&self.unread) {
                http::check_upgrade(&self.unread[..end])?;
                self.unread.drain(..end);
                return Ok(());
            }
            ensure!(self.receive()?, "the handshake was not answered");
        }
    }

    /// Waits for a text.
    fn text(&mut self) -> Result<Vec<u8>> {
        loop {
            match self.frame() {
                Some((TEXT, payload)) => return Ok(payload),
                Some((first, _)) => anyhow::bail!("the server has sent a frame that begins with {first:#x}"),
                None => ensure!(self.receive()?, "the server does not answer"),
            }
        }
    }

    /// Returns the first byte and the payload of the next complete frame.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let found = websocket::header(&self.unread)?;
        let payload = self.unread.get(found.start..found.end)?.to_vec();
        self.unread.drain(..found.end);
        Some((found.first, payload))
    }
}
