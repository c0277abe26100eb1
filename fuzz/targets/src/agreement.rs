//! Negotiates permessage-deflate between our client and our server.

use http::HeaderMap;
use ws_proto::{
    ClientHandshake, DeflateAgreement, DeflateOptions, Role, WebSocketUri, verify_upgrade_request,
};

/// Returns the agreement for the end in this role, if both ends have the same options.
pub(crate) fn agreement(role: Role, options: &DeflateOptions) -> DeflateAgreement {
    let offer = ClientHandshake::new([7; 16]).deflate(*options);
    let uri = WebSocketUri::parse("ws://localhost/").expect("a URI");
    let request = offer.request(&uri, &HeaderMap::new()).expect("our offer is valid");
    let accepted =
        verify_upgrade_request(request.method(), request.uri(), request.version(), request.headers());
    let accepted = accepted.expect("our handshake is valid");
    let at_server = accepted.deflate(options).expect("our server accepts our offer");
    let response = accepted.response(None, Some(&at_server));
    let agreed = offer.verify_response(response.status(), response.headers()).expect("our response is valid");
    match role {
        Role::Server => at_server,
        Role::Client => *agreed.deflate().expect("it is an agreement"),
    }
}
