//! Writes HTTP/1.1 requests as a browser sends them, and finds where their responses end.

use std::borrow::Cow;
use std::io::Write;

use anyhow::{Context, Result, bail, ensure};

use super::websocket::{HANDSHAKE_ACCEPT, HANDSHAKE_KEY};

/// The headers that a browser adds to every request. With the rest of a handshake they take about 800 bytes.
const BROWSER: &str = "\
Pragma: no-cache\r\n\
Cache-Control: no-cache\r\n\
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
Origin: http://app.example.com\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de-DE;q=0.8,de;q=0.7,en-US;q=0.6\r\n\
Cookie: _ga=GA1.1.1483920477.1752489123; session=eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoiMTIzNDU2Nzg5MCJ9.dozjgNryP4J3jVmNHl0w5N; theme=dark; consent=all; last_seen=2026-01-01T00%3A00%3A00Z\r\n\
Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-site\r\n";

/// The extensions that a browser offers.
pub const BROWSER_OFFER: &str = "permessage-deflate; client_max_window_bits";

/// A WebSocket handshake of about 800 bytes, with an offer of extensions.
pub fn upgrade_request(path: &str, offer: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n{BROWSER}\r\n"
    )
    .into_bytes()
}

/// A GET that leaves the connection open.
pub fn get(out: &mut Vec<u8>, path: &str) {
    write!(out, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n{BROWSER}\r\n")
        .expect("a Vec takes everything");
}

/// A POST of text that leaves the connection open.
pub fn post(out: &mut Vec<u8>, path: &str, body: &[u8]) {
    write!(
        out,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n{BROWSER}\
         Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .expect("a Vec takes everything");
    out.extend_from_slice(body);
}

/// Returns the end of a message head, after the empty line.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|position| position + 4)
}

/// Returns the value of a header. Its name is compared without regard to case.
pub fn value<'b>(head: &'b [u8], name: &str) -> Option<&'b [u8]> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// Returns the body of a complete response to a GET or POST, and its end in `bytes`. Returns `None` if the response is
/// incomplete.
pub fn answer(bytes: &[u8]) -> Result<Option<(Cow<'_, [u8]>, usize)>> {
    let Some(start) = head_end(bytes) else { return Ok(None) };
    let head = &bytes[..start];
    ensure!(head.starts_with(b"HTTP/1.1 200 "), "the answer is {}", String::from_utf8_lossy(bytes));
    if value(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        return chunks(bytes, start);
    }
    let Some(length) = value(head, "content-length") else {
        bail!("an answer without Content-Length: {}", String::from_utf8_lossy(head));
    };
    let length: usize = std::str::from_utf8(length)?.parse().context("Content-Length is no number")?;
    let end = start + length;
    Ok(bytes.get(start..end).map(|body| (body.into(), end)))
}

/// Decodes a chunked body that starts at `at`.
fn chunks(bytes: &[u8], mut at: usize) -> Result<Option<(Cow<'_, [u8]>, usize)>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = bytes[at..].windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line])?, 16)
            .context("the length of a chunk is no number")?;
        let start = at + line + 2;
        let Some(chunk) = bytes.get(start..start + length + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..length]);
        at = start + length + 2;
        if length == 0 {
            return Ok(Some((body.into(), at)));
        }
    }
}

/// Checks that `head` accepts the handshake of [`upgrade_request`].
pub fn check_upgrade(head: &[u8]) -> Result<()> {
    let accepted = value(head, "sec-websocket-accept") == Some(HANDSHAKE_ACCEPT.as_bytes());
    ensure!(
        head.starts_with(b"HTTP/1.1 101 ") && accepted,
        "the handshake was refused: {}",
        String::from_utf8_lossy(head)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_as_long_as_that_of_a_browser() {
        let length = upgrade_request("/socket.io/?EIO=4&transport=websocket", BROWSER_OFFER).len();
        assert!((750..=850).contains(&length), "{length} bytes");
    }

    #[test]
    fn an_answer_ends_where_it_says() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-Length: 2\r\n\r\nokHTTP";
        let end = bytes.len() - 4;
        assert_eq!(answer(bytes).unwrap(), Some((b"ok"[..].into(), end)));
        assert!((0..end).all(|cut| answer(&bytes[..cut]).unwrap().is_none()));

        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\nA\r\nk123456789\r\n0\r\n\r\nHTTP";
        let end = bytes.len() - 4;
        assert_eq!(answer(bytes).unwrap(), Some((b"ok123456789"[..].into(), end)));
        assert!((0..end).all(|cut| answer(&bytes[..cut]).unwrap().is_none()));
    }
}
