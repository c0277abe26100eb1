//! How the names of WebSocket headers are spelled in responses. Names are case-insensitive (RFC 9110 §5.1), but small
//! devices compare them with the text of RFC 6455.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// A request that spells the names as RFC 6455 does.
const SPELLINGS: &[u8] = b"GET / HTTP/1.1\r\nSec-WebSocket-Accept: a\r\nSec-WebSocket-Extensions: a\r\n\
    Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Version: a\r\n\r\n";

/// Makes hyper spell the names of WebSocket headers as RFC 6455 does. Title case, as hyper writes all other names, would
/// be `Sec-Websocket-Accept`.
pub(crate) fn spell_as_rfc_6455<B>(response: &mut Response<B>) {
    static EXTENSIONS: OnceLock<Extensions> = OnceLock::new();
    response.extensions_mut().extend(EXTENSIONS.get_or_init(parse_spellings).clone());
}

/// Lets hyper parse [`SPELLINGS`]. hyper writes names as an extension of the response says. Only hyper can create
/// this extension: it does so when it parses a request.
fn parse_spellings() -> Extensions {
    let parsed = Mutex::new(Extensions::new());
    let service = service_fn(|request: Request<Incoming>| {
        *parsed.lock().unwrap_or_else(PoisonError::into_inner) = request.into_parts().0.extensions;
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let io = TokioIo::new(tokio::io::join(SPELLINGS, tokio::io::sink()));
    let connection = pin!(http1::Builder::new().preserve_header_case(true).serve_connection(io, service));
    // All bytes are there, so the first poll calls the service.
    let _ = connection.poll(&mut Context::from_waker(Waker::noop()));
    std::mem::take(&mut *parsed.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_of_hyper_is_found_and_nothing_else() {
        assert_eq!(parse_spellings().len(), 1);
    }
}
