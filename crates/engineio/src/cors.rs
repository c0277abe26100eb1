//! CORS headers. The Node server's `cors` option sets the same ones.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_LENGTH, HeaderName, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use ws_proto::{AllowedOrigins, InvalidOrigin};

/// Which pages of other origins may read the responses, and what these pages may send.
///
/// The methods are the options of the npm package `cors`, which Node's `cors` option takes, with the same defaults.
///
/// Browsers enforce CORS, but not for WebSocket. CORS never rejects a request on the server: that is the purpose of
/// [`Options::allow_origins`](crate::Options::allow_origins).
///
/// ```
/// # use tidewire_engineio::{Cors, InvalidOrigin};
/// # fn cors() -> Result<Cors, InvalidOrigin> {
/// let cors = Cors::origins(["https://example.com", "https://*.example.com"])?.credentials(true);
/// # Ok(cors)
/// # }
/// # cors().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Origins,
    methods: HeaderValue,
    allowed_headers: Option<HeaderValue>,
    exposed_headers: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<Duration>,
    options_success_status: StatusCode,
}

#[derive(Clone)]
enum Origins {
    Any,
    /// The text is sent to all other origins as well.
    One(AllowedOrigins, HeaderValue),
    List(AllowedOrigins),
    Predicate(Arc<dyn Fn(&str) -> bool + Send + Sync>),
}

impl Cors {
    /// Allows pages of every origin (`*`). In Node: `origin: "*"`.
    #[must_use]
    pub fn any() -> Self {
        Self::new(Origins::Any)
    }

    /// Allows pages of every origin, and names the origin of each in its response. Browsers then accept
    /// [`credentials`](Self::credentials), so every page can act in the name of its visitors. In Node: `origin: true`.
    #[must_use]
    pub fn reflect() -> Self {
        Self::predicate(|_| true)
    }

    /// Allows pages of this origin. Responses to other pages name it as well. In Node: `origin: "https://…"`.
    ///
    /// [`AllowedOrigins::new`] has the forms that an origin may have. For all subdomains (`https://*.example.com`) use
    /// [`origins`](Self::origins).
    ///
    /// # Errors
    /// The text is not one origin.
    pub fn origin(origin: &str) -> Result<Self, InvalidOrigin> {
        let listed = AllowedOrigins::new([origin])?;
        let invalid = || InvalidOrigin(origin.to_owned());
        let value = HeaderValue::from_str(origin).map_err(|_| invalid())?;
        if origin.contains('*') { Err(invalid()) } else { Ok(Self::new(Origins::One(listed, value))) }
    }

    /// Allows pages of these origins, for instance `https://example.com` or `https://*.example.com`. A response to one
    /// of them has its origin as the browser wrote it. In Node: `origin: ["https://…", …]`.
    ///
    /// [`AllowedOrigins::new`] has the forms that an origin may have. [`Cors::from`] makes a `Cors` of a list that is
    /// also used elsewhere.
    ///
    /// # Errors
    /// One of the texts is not an origin.
    pub fn origins<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Self, InvalidOrigin> {
        AllowedOrigins::new(origins).map(Self::from)
    }

    /// Allows pages of the origins for which `is_allowed` returns `true`. It gets the `Origin` header as the browser
    /// wrote it, and must not block. In Node: `origin` is a function or a regular expression.
    #[must_use]
    pub fn predicate(is_allowed: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Origins::Predicate(Arc::new(is_allowed)))
    }

    fn new(origins: Origins) -> Self {
        Self {
            origins,
            methods: HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
            allowed_headers: None,
            exposed_headers: None,
            credentials: false,
            max_age: None,
            options_success_status: StatusCode::NO_CONTENT,
        }
    }

    /// Sets the methods that pages may use. Default `GET,HEAD,PUT,PATCH,POST,DELETE`.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = list(methods.into_iter().map(|method| method.as_str().to_owned()));
        self
    }

    /// Sets the headers that pages may send. Default: all that a preflight request asks for.
    #[must_use]
    pub fn allowed_headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.allowed_headers = Some(list(headers.into_iter().map(|name| name.as_str().to_owned())));
        self
    }

    /// Sets the headers of responses that pages may read, besides those that browsers always show. Default: none.
    #[must_use]
    pub fn exposed_headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed_headers = Some(list(headers.into_iter().map(|name| name.as_str().to_owned())));
        self
    }

    /// Allows pages to send their cookies. Default false. Browsers accept this only if the response names an origin,
    /// so it has no effect with [`any`](Self::any).
    #[must_use]
    pub fn credentials(mut self, allowed: bool) -> Self {
        self.credentials = allowed;
        self
    }

    /// Sets how long a browser may keep the response to a preflight request, in whole seconds. Default: the browser
    /// decides; most keep it for 5 s.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the status of the response to a preflight request. Default 204. Some old devices need 200.
    #[must_use]
    pub fn options_success_status(mut self, status: StatusCode) -> Self {
        self.options_success_status = status;
        self
    }

    /// Returns the CORS headers of the response to `request`.
    pub(crate) fn headers(&self, request: &Parts) -> HeaderMap {
        let mut headers = self.origin_headers(request);
        self.insert_exposed_headers(&mut headers);
        headers
    }

    /// Returns the whole response to a preflight request, or `None` if the method is not `OPTIONS`.
    pub(crate) fn preflight(&self, request: &Parts) -> Option<Response<()>> {
        if request.method != Method::OPTIONS {
            return None;
        }
        let mut headers = self.origin_headers(request);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let mut allowed = self.allowed_headers.as_ref();
        if allowed.is_none() {
            allowed = request.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
            let vary = match headers.get(VARY) {
                Some(_) => "Origin, Access-Control-Request-Headers",
                None => "Access-Control-Request-Headers",
            };
            headers.insert(VARY, HeaderValue::from_static(vary));
        }
        if let Some(allowed) = allowed.filter(|allowed| !allowed.is_empty()) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
        }
        if let Some(age) = self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, age.as_secs().into());
        }
        self.insert_exposed_headers(&mut headers);
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        let mut response = Response::new(());
        *response.status_mut() = self.options_success_status;
        *response.headers_mut() = headers;
        Some(response)
    }

    fn origin_headers(&self, request: &Parts) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(allowed) = self.allowed_origin(request) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        }
        if !matches!(self.origins, Origins::Any) {
            // Set this header even if the origin is not listed: a cache must not return a response for one origin to
            // another.
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers
    }

    fn allowed_origin(&self, request: &Parts) -> Option<HeaderValue> {
        let listed = |origins: &AllowedOrigins| {
            let origin = request.headers.get(ORIGIN)?;
            origins.allows(&request.uri, &request.headers).then(|| origin.clone())
        };
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            // A browser compares the header with its own spelling of the origin.
            Origins::One(origins, text) => listed(origins).or_else(|| Some(text.clone())),
            Origins::List(origins) => listed(origins),
            Origins::Predicate(is_allowed) => {
                let origin = request.headers.get(ORIGIN)?;
                is_allowed(origin.to_str().ok()?).then(|| origin.clone())
            }
        }
    }

    fn insert_exposed_headers(&self, headers: &mut HeaderMap) {
        if let Some(exposed) = self.exposed_headers.as_ref().filter(|exposed| !exposed.is_empty()) {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }
}

impl From<AllowedOrigins> for Cors {
    /// Allows pages of these origins.
    fn from(origins: AllowedOrigins) -> Self {
        Self::new(Origins::List(origins))
    }
}

/// Joins methods or names of headers, which are tokens, without spaces as in Node.
fn list(tokens: impl Iterator<Item = String>) -> HeaderValue {
    let tokens: Vec<String> = tokens.collect();
    HeaderValue::from_str(&tokens.join(",")).expect("tokens and commas are valid in a header value")
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::One(_, text) => f.debug_tuple("One").field(text).finish(),
            Self::List(origins) => f.debug_tuple("List").field(origins).finish(),
            Self::Predicate(_) => f.write_str("Predicate(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(HeaderName, &'static str)]) -> Parts {
        let (mut parts, ()) = http::Request::options("/engine.io/").body(()).unwrap().into_parts();
        parts.headers =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        parts
    }

    /// The headers as lines, in their order.
    fn lines(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    fn actual(cors: &Cors, origin: &'static str) -> Vec<String> {
        lines(&cors.headers(&request(&[(ORIGIN, origin)])))
    }

    #[test]
    fn any_origin_is_a_star() {
        assert_eq!(actual(&Cors::any(), "https://a.example"), ["access-control-allow-origin: *"]);
    }

    #[test]
    fn the_single_origin_is_sent_to_all_pages() {
        let cors = Cors::origin("https://a.example").unwrap();
        for origin in ["https://a.example", "https://evil.example"] {
            let expected = ["access-control-allow-origin: https://a.example", "vary: Origin"];
            assert_eq!(actual(&cors, origin), expected);
        }
        assert!(Cors::origin("https://*.example").is_err());
        assert!(Cors::origin("example.com").is_err());
    }

    #[test]
    fn a_listed_origin_is_reflected_and_another_is_not() {
        let cors = Cors::origins(["https://a.example", "https://*.b.example"]).unwrap();
        for origin in ["https://a.example", "https://www.b.example"] {
            let expected = [format!("access-control-allow-origin: {origin}"), "vary: Origin".into()];
            assert_eq!(actual(&cors, origin), expected);
        }
        assert_eq!(actual(&cors, "https://evil.example"), ["vary: Origin"]);
        assert_eq!(lines(&cors.headers(&request(&[]))), ["vary: Origin"]);
    }

    #[test]
    fn an_origin_is_reflected_as_the_browser_wrote_it() {
        for listed in ["https://example.com:443", "HTTPS://Example.com", "https://example.com/"] {
            let one = Cors::origin(listed).unwrap();
            for cors in [one, Cors::origins([listed]).unwrap()] {
                let expected = ["access-control-allow-origin: https://example.com", "vary: Origin"];
                assert_eq!(actual(&cors, "https://example.com"), expected, "{listed}");
            }
        }
        let local = Cors::origins(["http://localhost:80", "file://", "null"]).unwrap();
        for origin in ["http://localhost", "file://", "null"] {
            let allowed = &actual(&local, origin)[0];
            assert_eq!(*allowed, format!("access-control-allow-origin: {origin}"));
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused_at_the_start() {
        assert_eq!(Cors::origins(["example.com"]).unwrap_err(), InvalidOrigin("example.com".into()));
    }

    #[test]
    fn a_predicate_decides_about_the_text_of_the_header() {
        let cors = Cors::predicate(|origin| origin.ends_with(".example"));
        assert_eq!(actual(&cors, "https://a.example")[0], "access-control-allow-origin: https://a.example");
        assert_eq!(actual(&cors, "https://evil"), ["vary: Origin"]);
        assert_eq!(actual(&Cors::reflect(), "https://b")[0], "access-control-allow-origin: https://b");
    }

    #[test]
    fn a_preflight_gets_the_headers_that_it_asks_for() {
        let request = request(&[(ORIGIN, "https://a.example"), (ACCESS_CONTROL_REQUEST_HEADERS, "x-token")]);
        let cors = Cors::origins(["https://a.example"]).unwrap().credentials(true);
        let response = cors.preflight(&request).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let expected = [
            "access-control-allow-origin: https://a.example",
            "vary: Origin, Access-Control-Request-Headers",
            "access-control-allow-credentials: true",
            "access-control-allow-methods: GET,HEAD,PUT,PATCH,POST,DELETE",
            "access-control-allow-headers: x-token",
            "content-length: 0",
        ];
        assert_eq!(lines(response.headers()), expected);
    }

    #[test]
    fn every_option_has_its_header() {
        let cors = Cors::any()
            .methods([Method::GET, Method::POST])
            .allowed_headers([HeaderName::from_static("x-a"), HeaderName::from_static("x-b")])
            .exposed_headers([HeaderName::from_static("x-c")])
            .max_age(Duration::from_secs(600))
            .options_success_status(StatusCode::OK);
        let response = cors.preflight(&request(&[(ACCESS_CONTROL_REQUEST_HEADERS, "x-z")])).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let expected = [
            "access-control-allow-origin: *",
            "access-control-allow-methods: GET,POST",
            "access-control-allow-headers: x-a,x-b",
            "access-control-max-age: 600",
            "access-control-expose-headers: x-c",
            "content-length: 0",
        ];
        assert_eq!(lines(response.headers()), expected);
        assert_eq!(
            actual(&cors, "https://a.example"),
            ["access-control-allow-origin: *", "access-control-expose-headers: x-c"]
        );
    }

    #[test]
    fn only_options_is_a_preflight() {
        let mut request = request(&[]);
        request.method = Method::GET;
        assert!(Cors::any().preflight(&request).is_none());
    }
}
