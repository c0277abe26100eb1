//! permessage-deflate, agreed on by a client and a server of ours.

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use ws_proto::{DeflateAgreement, DeflateOptions, Role, verify};

/// What comes of it for the end in this role when both want the same.
pub(crate) fn agreement(role: Role, options: &DeflateOptions) -> DeflateAgreement {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "localhost"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(SEC_WEBSOCKET_EXTENSIONS, options.offer());
    let accepted = verify(&Method::GET, &Uri::from_static("/"), Version::HTTP_11, &headers);
    let accepted = accepted.expect("our handshake is valid");
    let at_server = accepted.deflate(options).expect("our offer can be kept");
    let response = accepted.response(None, Some(&at_server));
    let at_client = options.accept_answer(response.headers()).expect("our answer is valid");
    match role {
        Role::Server => at_server,
        Role::Client => at_client.expect("it is an agreement"),
    }
}
