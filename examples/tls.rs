//! `https` and `wss`, with a certificate that can be renewed while the server runs:
//! `cargo run -p tidewire --features tls --example tls -- [chain.pem key.pem]`.
//!
//! Without files, the server makes a certificate for `localhost` when it starts. No client trusts it, so this is for tries:
//! `curl -k https://localhost:3000/socket.io/?EIO=4\&transport=polling`.
//!
//! If a certificate need not change while the server runs, or a proxy in front of the server has it, you need none of this:
//! `ServerTls::from_pem_files("chain.pem", "key.pem")` is enough.
#![allow(clippy::print_stdout, reason = "the example says what it does with certificates")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use tidewire::server::{Reply, Server, ServerTls, Socket};

/// How often the files are read again. A certificate is renewed weeks before it expires, so there is no hurry.
const RELOAD: Duration = Duration::from_secs(6 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let tls = match (arguments.next(), arguments.next()) {
        (Some(chain), Some(key)) => {
            let tls = ServerTls::from_pem_files(&chain, &key)?;
            tokio::spawn(reload(tls.clone(), chain, key));
            tls
        }
        _ => {
            let (chain, key) = self_signed()?;
            ServerTls::from_pem(chain.as_bytes(), key.as_bytes())?
        }
    };
    server(tls).listen("127.0.0.1:3000").await?;
    Ok(())
}

fn server(tls: ServerTls) -> Server {
    let io = Server::builder().tls(tls).build();
    io.on("is it secure", async |socket: Socket| Reply(socket.handshake().secure()));
    io
}

/// Reads the files again and again. This needs no signal and no file notification, so it works with every tool that renews
/// certificates, and with the secrets of Kubernetes.
async fn reload(tls: ServerTls, chain: PathBuf, key: PathBuf) {
    loop {
        tokio::time::sleep(RELOAD).await;
        match ServerTls::from_pem_files(&chain, &key) {
            Ok(renewed) => tls.reload(&renewed),
            // A tool may be writing the files at this moment. The next attempt comes.
            Err(error) => println!("the former certificate stays: {error}"),
        }
    }
}

/// Makes a certificate for `localhost` and its key, both in PEM.
fn self_signed() -> Result<(String, String), rcgen::Error> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// TLS belongs to the listener, so these tests have a port.
#[cfg(test)]
mod tests {
    use tidewire::client::{self, Client, ClientTls, ConnectError};

    use super::*;

    type Tested<T = ()> = Result<T, Box<dyn Error>>;

    /// Connects a client that trusts only this certificate.
    async fn connect(port: u16, trusted: &str) -> Tested<client::Socket> {
        let tls =
            ClientTls::builder().without_system_roots().root_certificates(trusted.as_bytes())?.build()?;
        let socket =
            Client::builder(format!("https://localhost:{port}")).tls(tls).reconnection(false).connect();
        tokio::time::timeout(Duration::from_secs(10), socket.connected()).await??;
        Ok(socket)
    }

    async fn start(chain: &str, key: &str) -> Tested<(u16, ServerTls)> {
        let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes())?;
        let io = server(tls.clone());
        let listener = io.bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
        Ok((port, tls))
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_certificate_has_a_secure_connection() -> Tested {
        let (chain, key) = self_signed()?;
        let (port, _) = start(&chain, &key).await?;
        let socket = connect(port, &chain).await?;
        let answer = socket.timeout(Duration::from_secs(10)).emit_with_ack::<bool>("is it secure", ());
        assert!(answer.await?);
        Ok(())
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_for_new_connections_and_the_others_go_on() -> Tested {
        let (first, key) = self_signed()?;
        let (port, tls) = start(&first, &key).await?;
        let early = connect(port, &first).await?;
        let (second, second_key) = self_signed()?;
        tls.reload(&ServerTls::from_pem(second.as_bytes(), second_key.as_bytes())?);
        connect(port, &second).await?;
        let refused = connect(port, &first).await.map(|_| "it is trusted").unwrap_err();
        assert!(refused.downcast_ref::<ConnectError>().is_some(), "{refused}");
        assert!(early.is_connected());
        Ok(())
    }
}
