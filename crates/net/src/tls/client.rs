//! The client's end of TLS: whom to trust.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, ConfigBuilder, InvalidMessage, RootCertStore,
};
use tokio_rustls::{TlsConnector, TlsStream};

use super::error::{TlsConfigError, TlsError};
use super::{CLIENT_PROTOCOLS, HTTP_1_1, alpn, certificates, private_key};
use crate::io::Stream;

/// How a client speaks TLS: whom it trusts, and who it says it is. A clone shares it, and the sessions that it remembers.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts whom the system trusts: what is in `/etc/ssl/certs` (or where `SSL_CERT_FILE` and `SSL_CERT_DIR` say), on
    /// macOS and Windows the system's own verifier. It is loaded once, a file of 200 KiB on Debian, and then remembered.
    ///
    /// # Errors
    /// [`TlsError::SystemRoots`] if there is nobody to trust.
    pub fn system() -> Result<Self, TlsError> {
        static SYSTEM: OnceLock<ClientTls> = OnceLock::new();
        if let Some(system) = SYSTEM.get() {
            return Ok(system.clone());
        }
        let system = Self::builder().build().map_err(|error| TlsError::SystemRoots(error.into()))?;
        Ok(SYSTEM.get_or_init(|| system).clone())
    }

    /// Trusts whom it is told to, beside the system or instead of it.
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder { system: true, roots: Vec::new(), client_auth_cert: None }
    }

    /// What rustls can be told beyond that. Its protocols by ALPN have to be empty or `http/1.1`.
    #[must_use]
    pub fn from_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self(config.into())
    }

    /// Speaks TLS on a stream that leads to `host`.
    pub(crate) async fn connect(&self, stream: Stream, host: &str) -> Result<Stream, TlsError> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsError::InvalidName(host.to_owned()))?;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        let stream = connector.connect(name, stream).await.map_err(classify_handshake_error)?;
        if let Some(protocol) = stream.get_ref().1.alpn_protocol()
            && protocol != HTTP_1_1
        {
            return Err(TlsError::UnexpectedAlpn(String::from_utf8_lossy(protocol).into_owned()));
        }
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Whom a client trusts, and who it says it is.
#[must_use]
pub struct ClientTlsBuilder {
    system: bool,
    roots: Vec<CertificateDer<'static>>,
    client_auth_cert: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl ClientTlsBuilder {
    /// Trusts the authorities whose certificates are in this PEM data as well.
    ///
    /// # Errors
    /// There is no certificate in it, or it is malformed.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, TlsConfigError> {
        self.roots.extend(certificates(pem)?);
        Ok(self)
    }

    /// Trusts nobody but those of [`root_certificates`](Self::root_certificates).
    pub fn without_system_roots(mut self) -> Self {
        self.system = false;
        self
    }

    /// What is shown to a server that asks for a client's certificate: a chain with our own certificate first, and its
    /// key, in PEM.
    ///
    /// # Errors
    /// One of them is missing or malformed.
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        self.client_auth_cert = Some((certificates(chain)?, private_key(key)?));
        Ok(self)
    }

    /// Puts it together.
    ///
    /// # Errors
    /// A certificate cannot be used, or there is nobody to trust.
    pub fn build(self) -> Result<ClientTls, TlsConfigError> {
        // Not the process's default: which that is, is for the program to say.
        let provider = Arc::new(ring::default_provider());
        let verified = Self::config_with_verifier(self.system, self.roots, &provider)?;
        let mut config = match self.client_auth_cert {
            Some((chain, key)) => verified.with_client_auth_cert(chain, key)?,
            None => verified.with_no_client_auth(),
        };
        config.alpn_protocols = alpn(CLIENT_PROTOCOLS);
        Ok(ClientTls(Arc::new(config)))
    }

    fn config_with_verifier(
        system: bool,
        roots: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsConfigError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()?;
        if system {
            let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(provider))?;
            return Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)));
        }
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root)?;
        }
        if store.is_empty() {
            return Err(TlsConfigError::NoCertificate);
        }
        Ok(builder.with_root_certificates(store))
    }
}

impl fmt::Debug for ClientTlsBuilder {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTlsBuilder").field("system", &self.system).finish_non_exhaustive()
    }
}

/// Sorts the reasons for which a handshake fails.
fn classify_handshake_error(error: io::Error) -> TlsError {
    match error.get_ref().and_then(|reason| reason.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            TlsError::Certificate { reason: describe_certificate_error(reason), error: Box::new(error) }
        }
        Some(rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        )) => TlsError::NotTls(error),
        _ => TlsError::Handshake(error),
    }
}

/// rustls has words for most reasons, but only names for some of the commonest: an unknown issuer, one that only has the
/// name of a known one (two that sign themselves as `localhost`), and what `openssl req -x509` makes if nothing else is
/// said. Times it has as seconds since 1970, and names as its types show themselves.
fn describe_certificate_error(reason: &CertificateError) -> String {
    match reason {
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "somebody who is trusted has the name of its issuer, but has not signed it (BadSignature)".to_owned()
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "it is that of an authority (CA:TRUE), and a server must not show one as its own (CaUsedAsEndEntity)".to_owned()
        }
        CertificateError::Other(other) => other.to_string(),
        CertificateError::UnknownIssuer => "nobody who is trusted has issued it (UnknownIssuer)".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = format_seconds(time.as_secs().saturating_sub(not_after.as_secs()));
            format!("by the clock of this machine it expired {since} ago (Expired)")
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let until = format_seconds(not_before.as_secs().saturating_sub(time.as_secs()));
            format!("by the clock of this machine it will be valid only in {until} (NotValidYet)")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let host = expected.to_str();
            format!("it is not for {host}, but for {} (NotValidForName)", format_presented_names(presented))
        }
        reason => reason.to_string(),
    }
}

/// A time in the largest unit of which there are two.
fn format_seconds(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];
    let (length, unit) =
        UNITS.into_iter().find(|(length, _)| seconds >= 2 * length).unwrap_or((1, "seconds"));
    format!("{} {unit}", seconds / length)
}

/// The first names of a certificate, which rustls has as `DnsName("host")`. They are the peer's, and may go to a log.
fn format_presented_names(presented: &[String]) -> String {
    const SHOWN: usize = 5;
    let plain = |name: &String| {
        let name = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name);
        name.strip_prefix("IpAddress(").and_then(|name| name.strip_suffix(')')).unwrap_or(name).to_owned()
    };
    let mut shown: Vec<_> = presented.iter().take(SHOWN).map(plain).collect();
    match presented.len() {
        0 => shown.push("nobody".to_owned()),
        all if all > SHOWN => shown.push(format!("{} others", all - SHOWN)),
        _ => {}
    }
    shown.join(", ").escape_debug().to_string()
}
