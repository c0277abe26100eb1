//! The client's TLS configuration and handshake.

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

/// The TLS configuration of a client: the trusted root certificates and the client certificate, if any. Clones share
/// the configuration and the cache of TLS sessions.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Creates a configuration that trusts the root certificates of the system. On Linux they are read from
    /// `/etc/ssl/certs`, or from the paths in `SSL_CERT_FILE` and `SSL_CERT_DIR`. On macOS and Windows the system's own
    /// verifier is used. The first call loads the certificates, a file of 200 KiB on Debian; later calls return the
    /// same configuration.
    ///
    /// # Errors
    /// [`TlsError::SystemRoots`] if the system's root certificates cannot be loaded or there are none.
    pub fn system() -> Result<Self, TlsError> {
        static SYSTEM: OnceLock<ClientTls> = OnceLock::new();
        if let Some(system) = SYSTEM.get() {
            return Ok(system.clone());
        }
        let system = Self::builder().build().map_err(|error| TlsError::SystemRoots(error.into()))?;
        Ok(SYSTEM.get_or_init(|| system).clone())
    }

    /// Creates a builder for a configuration with other root certificates, in addition to those of the system or
    /// instead of them, or with a client certificate.
    pub fn builder() -> ClientTlsBuilder {
        ClientTlsBuilder { system: true, roots: Vec::new(), client_auth_cert: None }
    }

    /// Creates a configuration from a rustls configuration, which offers all other options. Its `alpn_protocols` must
    /// be empty or contain only `http/1.1`.
    #[must_use]
    pub fn from_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self(config.into())
    }

    /// Performs the TLS handshake on `stream`, which is connected to `host`.
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

/// Builds a [`ClientTls`]: sets root certificates and the client certificate.
#[must_use]
pub struct ClientTlsBuilder {
    system: bool,
    roots: Vec<CertificateDer<'static>>,
    client_auth_cert: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl ClientTlsBuilder {
    /// Trusts the certificate authorities in this PEM data, in addition to the others.
    ///
    /// # Errors
    /// `pem` contains no certificate, or is malformed.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, TlsConfigError> {
        self.roots.extend(certificates(pem)?);
        Ok(self)
    }

    /// Trusts only the certificates added with [`root_certificates`](Self::root_certificates), not those of the system.
    pub fn without_system_roots(mut self) -> Self {
        self.system = false;
        self
    }

    /// Sets the certificate that is sent to a server that requests a client certificate: a PEM chain that begins with
    /// the client's own certificate, and its private key in PEM.
    ///
    /// # Errors
    /// The chain or the key is missing or malformed.
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        self.client_auth_cert = Some((certificates(chain)?, private_key(key)?));
        Ok(self)
    }

    /// Builds the configuration.
    ///
    /// # Errors
    /// A certificate cannot be used, or there are no root certificates.
    pub fn build(self) -> Result<ClientTls, TlsConfigError> {
        // Do not use the process-wide default provider: only the program may choose it.
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
    /// Omits the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTlsBuilder").field("system", &self.system).finish_non_exhaustive()
    }
}

/// Converts the error of a failed handshake.
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

/// Describes a certificate error in plain words. rustls describes most errors, but prints only a name for three common
/// ones: the issuer is unknown; the issuer has the name of a trusted certificate but a different key (such as two
/// self-signed certificates for `localhost`); a server uses a CA certificate, which `openssl req -x509` issues by
/// default. rustls prints times as seconds since 1970, and host names in the debug format.
fn describe_certificate_error(reason: &CertificateError) -> String {
    match reason {
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "a trusted certificate has the name of its issuer, but a different key (BadSignature)".to_owned()
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "it is a CA certificate (CA:TRUE), issue a server certificate without CA:TRUE (CaUsedAsEndEntity)"
                .to_owned()
        }
        CertificateError::Other(other) => other.to_string(),
        CertificateError::UnknownIssuer => "its issuer is not trusted (UnknownIssuer)".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            let since = format_seconds(time.as_secs().saturating_sub(not_after.as_secs()));
            format!("by the clock of this machine it expired {since} ago (Expired)")
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let until = format_seconds(not_before.as_secs().saturating_sub(time.as_secs()));
            format!("by the clock of this machine it becomes valid in {until} (NotValidYet)")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let host = expected.to_str();
            format!("it is not for {host}, but for {} (NotValidForName)", format_presented_names(presented))
        }
        reason => reason.to_string(),
    }
}

/// Formats a time in the largest unit that gives at least two.
fn format_seconds(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];
    let (length, unit) =
        UNITS.into_iter().find(|(length, _)| seconds >= 2 * length).unwrap_or((1, "seconds"));
    format!("{} {unit}", seconds / length)
}

/// Formats the first names of a certificate. rustls provides them as `DnsName("host")`. The peer controls them and they
/// may be logged, so they are escaped.
fn format_presented_names(presented: &[String]) -> String {
    const SHOWN: usize = 5;
    let plain = |name: &String| {
        let name = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")")).unwrap_or(name);
        name.strip_prefix("IpAddress(").and_then(|name| name.strip_suffix(')')).unwrap_or(name).to_owned()
    };
    let mut shown: Vec<_> = presented.iter().take(SHOWN).map(plain).collect();
    match presented.len() {
        0 => shown.push("no name".to_owned()),
        all if all > SHOWN => shown.push(format!("{} more", all - SHOWN)),
        _ => {}
    }
    shown.join(", ").escape_debug().to_string()
}
