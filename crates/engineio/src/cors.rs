//! CORS headers. The Node server's `cors` option sets the same ones.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_LENGTH, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Which pages of other origins may read the responses.
///
/// Browsers enforce CORS, but not for WebSocket. To reject a request on the server, use
/// [`Options::allow_request`](crate::Options::allow_request).
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Origins,
    credentials: bool,
}

#[derive(Debug, Clone)]
enum Origins {
    Any,
    List(Vec<HeaderValue>),
}

impl Cors {
    /// Allows pages of every origin (`*`).
    #[must_use]
    pub fn any() -> Self {
        Self { origins: Origins::Any, credentials: false }
    }

    /// Allows pages of these origins, for instance `https://example.com`. An origin that is not a valid header value is
    /// ignored, because no browser sends it.
    #[must_use]
    pub fn origins<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Self {
        let list =
            origins.into_iter().filter_map(|origin| HeaderValue::from_str(origin.as_ref()).ok()).collect();
        Self { origins: Origins::List(list), credentials: false }
    }

    /// Allows pages to send their cookies. Default false. Browsers accept this only for origins that are listed.
    #[must_use]
    pub fn credentials(mut self, allowed: bool) -> Self {
        self.credentials = allowed;
        self
    }

    /// Adds the CORS headers to a response.
    pub(crate) fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        match &self.origins {
            Origins::Any => {
                response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Origins::List(list) => {
                if let Some(origin) = request.get(ORIGIN).filter(|origin| list.contains(origin)) {
                    response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
                // Set this header even if the origin is not listed: a cache must not return a response for one origin
                // to another.
                response.append(VARY, HeaderValue::from_static("Origin"));
            }
        }
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// Returns the whole response to a preflight request, or `None` if `method` is not `OPTIONS`.
    pub(crate) fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<http::Response<()>> {
        if method != Method::OPTIONS {
            return None;
        }
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        self.apply(request, headers);
        headers
            .insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"));
        if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        Some(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])
    }

    fn allowed(cors: &Cors, origin: &'static str) -> (Option<String>, bool) {
        let mut response = HeaderMap::new();
        cors.apply(&request(origin), &mut response);
        let allowed =
            response.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap().to_owned());
        (allowed, response.get(VARY).is_some_and(|value| value == "Origin"))
    }

    #[test]
    fn any_origin_is_a_star() {
        assert_eq!(allowed(&Cors::any(), "https://a.example"), (Some("*".into()), false));
    }

    #[test]
    fn a_listed_origin_is_reflected_and_another_is_not() {
        let cors = Cors::origins(["https://a.example", "https://b.example"]);
        assert_eq!(allowed(&cors, "https://b.example"), (Some("https://b.example".into()), true));
        assert_eq!(allowed(&cors, "https://evil.example"), (None, true));
    }

    #[test]
    fn a_preflight_is_answered_with_the_headers_that_were_asked_for() {
        let mut headers = request("https://a.example");
        headers.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x-token"));
        let response = Cors::any().credentials(true).preflight(&Method::OPTIONS, &headers).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "x-token");
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert!(Cors::any().preflight(&Method::GET, &headers).is_none());
    }
}
