//! The header of the PROXY protocol, with which a proxy begins a TCP connection to report the address of its client.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. The crate `proxy-header` parses a header. This file
//! reads exactly the bytes of the header, because TLS or HTTP begins with the next byte.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The first bytes of a header of version 2.
const SIGNATURE_V2: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const PREFIX_V1: &[u8] = b"PROXY ";

/// The longest header of version 1 (section 2.1).
const MAX_LEN_V1: usize = 107;

/// The most bytes that may follow the first 16 of a header of version 2: addresses, and additional fields of which the
/// longest are names from certificates.
const MAX_LEN_V2: usize = 4_096;

/// Why a connection has no valid header.
#[derive(Debug)]
pub(super) enum ProxyHeaderError {
    Missing,
    Invalid,
    TooLong,
    /// Also if the proxy has sent nothing, as many health checks do.
    Ended,
    Io(io::Error),
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the connection does not begin with a PROXY protocol header"),
            Self::Invalid => f.write_str("the PROXY protocol header is invalid"),
            Self::TooLong => f.write_str("the PROXY protocol header is too long"),
            Self::Ended => f.write_str("the connection ended before the end of its PROXY protocol header"),
            Self::Io(error) => write!(f, "cannot read the PROXY protocol header: {error}"),
        }
    }
}

impl std::error::Error for ProxyHeaderError {}

impl From<io::Error> for ProxyHeaderError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

/// Reads the header, version 1 or 2. Returns the address of the client. `None` if the proxy does not know it, or if the
/// connection is one of the proxy itself, for instance a health check.
pub(super) async fn read_proxy_header(
    stream: &mut TcpStream,
) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    // Every header is longer than this.
    let mut header = vec![0; SIGNATURE_V2.len()];
    stream.read_exact(&mut header).await?;
    if header == SIGNATURE_V2 {
        read_rest_v2(stream, &mut header).await?;
    } else if header.starts_with(PREFIX_V1) {
        read_rest_v1(stream, &mut header).await?;
    } else {
        return Err(ProxyHeaderError::Missing);
    }
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(&header, config) {
        Ok((parsed, length)) if length == header.len() => {
            Ok(parsed.proxied_address().map(|addresses| addresses.source))
        }
        _ => Err(ProxyHeaderError::Invalid),
    }
}

/// Reads to the end of the line. Nothing after the line may be read, and its length is not known in advance. So the
/// bytes are looked at before they are taken.
async fn read_rest_v1(stream: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), ProxyHeaderError> {
    let mut peeked = [0; MAX_LEN_V1];
    while header.last() != Some(&b'\n') {
        if header.len() >= MAX_LEN_V1 {
            return Err(ProxyHeaderError::TooLong);
        }
        let available = stream.peek(&mut peeked[header.len()..]).await?;
        if available == 0 {
            return Err(ProxyHeaderError::Ended);
        }
        let available = &peeked[header.len()..][..available];
        let taken = available.iter().position(|&byte| byte == b'\n').map_or(available.len(), |end| end + 1);
        read_more(stream, header, taken).await?;
    }
    Ok(())
}

async fn read_rest_v2(stream: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), ProxyHeaderError> {
    read_more(stream, header, 4).await?;
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if length > MAX_LEN_V2 {
        return Err(ProxyHeaderError::TooLong);
    }
    read_more(stream, header, length).await
}

async fn read_more(
    stream: &mut TcpStream,
    header: &mut Vec<u8>,
    length: usize,
) -> Result<(), ProxyHeaderError> {
    let start = header.len();
    header.resize(start + length, 0);
    stream.read_exact(&mut header[start..]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// Sends `bytes` in two parts. Returns the result as a text, and what is left to read.
    async fn read(bytes: &[u8], split_at: usize) -> (String, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        client.set_nodelay(true).unwrap();
        let (first, second) = bytes.split_at(split_at);
        client.write_all(first).await.unwrap();
        let write = async {
            // Lets the reader see the first part alone.
            tokio::task::yield_now().await;
            client.write_all(second).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let (result, ()) = tokio::join!(read_proxy_header(&mut stream), write);
        let text = match result {
            Ok(address) => address.map_or("unknown".to_owned(), |address| address.to_string()),
            Err(error) => format!("{error:?}"),
        };
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        (text, rest)
    }

    fn v2(command: u8, family: u8, length: u16, payload: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE_V2.to_vec();
        header.extend([command, family]);
        header.extend(length.to_be_bytes());
        header.extend(payload);
        header
    }

    const IPV4: [u8; 12] = [203, 0, 113, 7, 127, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb];

    fn headers() -> Vec<(Vec<u8>, &'static str)> {
        let ipv6 =
            [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0x12, 0x34, 1, 0xbb]];
        let with_fields = [&IPV4[..], &[0x04, 0, 2, 0, 0, 0x01, 0, 2], b"h2"].concat();
        vec![
            (b"PROXY TCP4 203.0.113.7 127.0.0.1 4660 443\r\n".to_vec(), "203.0.113.7:4660"),
            (b"PROXY TCP6 2001:db8::7 ::1 4660 443\r\n".to_vec(), "[2001:db8::7]:4660"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "unknown"),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".to_vec(), "unknown"),
            (v2(0x21, 0x11, 12, &IPV4), "203.0.113.7:4660"),
            (v2(0x21, 0x21, 36, &ipv6.concat()), "[2001:db8::7]:4660"),
            (v2(0x21, 0x11, 22, &with_fields), "203.0.113.7:4660"),
            // LOCAL, UNSPEC and AF_UNIX.
            (v2(0x20, 0x11, 12, &IPV4), "unknown"),
            (v2(0x20, 0x00, 0, &[]), "unknown"),
            (v2(0x21, 0x00, 0, &[]), "unknown"),
            (v2(0x21, 0x31, 216, &[b'a'; 216]), "unknown"),
        ]
    }

    #[tokio::test]
    async fn exactly_the_header_is_read_wherever_it_is_split() {
        for (header, expected) in headers() {
            let wire = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            for split_at in 0..=header.len() {
                let (address, rest) = read(&wire, split_at).await;
                assert_eq!(
                    (&*address, &*rest),
                    (expected, &b"GET / HTTP/1.1\r\n"[..]),
                    "{split_at} {header:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_header_that_is_cut_off_is_an_error() {
        for (header, _) in headers() {
            for length in 0..header.len() {
                assert_eq!(read(&header[..length], 0).await.0, "Ended", "{length} {header:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let endless = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
        for (wire, expected) in [
            (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), "Missing"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00".to_vec(), "Missing"),
            (b"proxy tcp4 203.0.113.7 127.0.0.1 4660 443\r\n".to_vec(), "Missing"),
            (b"PROXY TCP4 203.0.113.7 127.0.0.1 4660 443\n".to_vec(), "Invalid"),
            (b"PROXY TCP4 203.0.113.7\r\n".to_vec(), "Invalid"),
            (b"PROXY TCP4 2001:db8::7 ::1 4660 443\r\n".to_vec(), "Invalid"),
            (b"PROXY TCP4 203.0.113.7 127.0.0.1 65536 443\r\n".to_vec(), "Invalid"),
            (b"PROXY TCP5 203.0.113.7 127.0.0.1 4660 443\r\n".to_vec(), "Invalid"),
            (b"PROXY TCP\r\n\r\n".to_vec(), "Invalid"),
            (b"PROXY \r\n\r\n\r\n\r\n\r\n".to_vec(), "Invalid"),
            (endless, "TooLong"),
            (v2(0x11, 0x11, 12, &IPV4), "Invalid"),
            (v2(0x22, 0x11, 12, &IPV4), "Invalid"),
            (v2(0x21, 0x41, 12, &IPV4), "Invalid"),
            (v2(0x21, 0x11, 11, &IPV4[..11]), "Invalid"),
            (v2(0x21, 0x11, 0, &[]), "Invalid"),
            (v2(0x21, 0x31, 12, &IPV4), "Invalid"),
            (v2(0x21, 0x11, 4_097, &[0; 4_097]), "TooLong"),
        ] {
            assert_eq!(read(&wire, 0).await.0, expected, "{wire:?}");
        }
    }
}
