//! A relay that cuts the connections between clients and a server.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The TCP connections between a client and the server.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    links: Arc<Mutex<Vec<Link>>>,
}

struct Link {
    pump: JoinHandle<()>,
    /// Kept open by a cut that the server does not notice.
    to_server: Arc<TcpStream>,
}

impl Relay {
    pub(crate) async fn new(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let links = Arc::new(Mutex::new(Vec::new()));
        let opened = Arc::clone(&links);
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let to_server = Arc::new(TcpStream::connect(server).await.expect("it listens"));
                let pump = tokio::spawn(pump(client, Arc::clone(&to_server)));
                opened.lock().expect("no panic").push(Link { pump, to_server });
            }
        });
        Self { address, links }
    }

    /// Cuts all connections. If the server does not notice, its sides stay open and are returned.
    pub(crate) fn cut(&self, is_noticed: bool) -> Vec<Arc<TcpStream>> {
        let links = std::mem::take(&mut *self.links.lock().expect("no panic"));
        let cut = links.into_iter().map(|Link { pump, to_server }| {
            pump.abort();
            to_server
        });
        let to_server: Vec<_> = cut.collect();
        if is_noticed { Vec::new() } else { to_server }
    }
}

async fn pump(mut client: TcpStream, server: Arc<TcpStream>) {
    let (mut up, mut down) = (vec![0; 4096], vec![0; 4096]);
    let (mut from_client, mut to_client) = client.split();
    loop {
        tokio::select! {
            read = from_client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let mut sent = 0;
                while sent < count {
                    if server.writable().await.is_err() { return }
                    match server.try_write(&up[sent..count]) {
                        Ok(more) => sent += more,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            }
            ready = server.readable() => {
                if ready.is_err() { return }
                match server.try_read(&mut down) {
                    Ok(count @ 1..) => if to_client.write_all(&down[..count]).await.is_err() { return },
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    _ => return,
                }
            }
        }
    }
}
