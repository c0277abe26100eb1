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
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tidewire::server::{Reply, Server, ServerTls, Socket};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// How often the files are read again. A certificate is renewed weeks before it expires, so there is no hurry.
const RELOAD: Duration = Duration::from_secs(6 * 60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let certificate = match (arguments.next(), arguments.next()) {
        (Some(chain), Some(key)) => {
            let certificate = Certificate::from_pem(&std::fs::read(&chain)?, &std::fs::read(&key)?)?;
            tokio::spawn(reload(Arc::clone(&certificate), chain, key));
            certificate
        }
        _ => {
            let (chain, key) = self_signed()?;
            Certificate::from_pem(chain.as_bytes(), key.as_bytes())?
        }
    };
    server(certificate)?.listen("127.0.0.1:3000").await?;
    Ok(())
}

/// The certificate of the server. Each TLS handshake asks for the present one; connections that are open go on as they are.
#[derive(Debug)]
struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    fn from_pem(chain: &[u8], key: &[u8]) -> Result<Arc<Self>, Box<dyn Error>> {
        Ok(Arc::new(Self(RwLock::new(parse(chain, key)?))))
    }

    /// Replaces the certificate. If the new one is not valid, the old one stays.
    fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), Box<dyn Error>> {
        let renewed = parse(chain, key)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A server with several names chooses by `ClientHello::server_name` here.
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Parses a chain of certificates and its key. A key that belongs to another certificate is an error.
fn parse(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, Box<dyn Error>> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider())?))
}

/// The cryptography that Tidewire uses, too.
fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn server(certificate: Arc<Certificate>) -> Result<Server, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    let io = Server::builder().tls(ServerTls::from_config(config)).build();
    io.on("is it secure", async |socket: Socket| Reply(socket.handshake().secure()));
    Ok(io)
}

/// Reads the files again and again. This needs no signal and no file notification, so it works with every tool that renews
/// certificates, and with the secrets of Kubernetes.
async fn reload(certificate: Arc<Certificate>, chain: PathBuf, key: PathBuf) {
    loop {
        tokio::time::sleep(RELOAD).await;
        let read =
            async { Ok::<_, Box<dyn Error>>((tokio::fs::read(&chain).await?, tokio::fs::read(&key).await?)) };
        let replaced = read.await.and_then(|(chain, key)| certificate.replace(&chain, &key));
        // A tool may be writing the files at this moment. The next attempt comes.
        if let Err(error) = replaced {
            println!("the former certificate stays: {error}");
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

    async fn start(chain: &str, key: &str) -> Tested<(u16, Arc<Certificate>)> {
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes())?;
        let io = server(Arc::clone(&certificate))?;
        let listener = io.bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
        Ok((port, certificate))
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
        let (port, certificate) = start(&first, &key).await?;
        let early = connect(port, &first).await?;
        let (second, second_key) = self_signed()?;
        assert!(
            certificate.replace(second.as_bytes(), key.as_bytes()).is_err(),
            "the key of another certificate"
        );
        connect(port, &first).await?;
        certificate.replace(second.as_bytes(), second_key.as_bytes())?;
        connect(port, &second).await?;
        let refused = connect(port, &first).await.map(|_| "it is trusted").unwrap_err();
        assert!(refused.downcast_ref::<ConnectError>().is_some(), "{refused}");
        assert!(early.is_connected());
        Ok(())
    }
}
