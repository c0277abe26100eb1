//! The cookie with the session id, for load balancers. Node's option `cookie` sets the same one.

use std::time::{Duration, SystemTime};

use engineio_proto::SessionId;
use http::HeaderValue;

/// The cookie that carries the session id, so that a load balancer can send all requests of a session to one server.
///
/// It is set in the response that opens a polling session, and nowhere else, as in Node. The default is the cookie `io`
/// of Node: `io=<session id>; Path=/; HttpOnly; SameSite=Lax`. Every attribute of the npm package `cookie` can be set.
///
/// The session id is a secret. A page that may read the cookie ([`http_only(false)`](Self::http_only)), or a site that
/// gets it ([`domain`](Self::domain)), can act in the name of the client.
///
/// ```
/// # use tidewire_engineio::{Cookie, InvalidCookie, SameSite};
/// # fn cookie() -> Result<Cookie, InvalidCookie> {
/// let cookie = Cookie::new("route")?.path("/socket.io/")?.same_site(SameSite::None).secure(true);
/// # Ok(cookie)
/// # }
/// # cookie().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    name: String,
    max_age: Option<Duration>,
    domain: String,
    path: String,
    expires: Option<SystemTime>,
    http_only: bool,
    secure: bool,
    partitioned: bool,
    priority: Option<CookiePriority>,
    same_site: Option<SameSite>,
}

/// The attribute `SameSite`: which requests that pages of other sites cause carry the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// None of them.
    Strict,
    /// Only navigations to the site.
    Lax,
    /// All of them. Browsers accept this only together with [`Cookie::secure`].
    None,
}

/// The attribute `Priority`: which cookies Chromium removes first when a site has too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookiePriority {
    /// These cookies are removed first.
    Low,
    /// The priority of cookies without the attribute.
    Medium,
    /// These cookies are removed last.
    High,
}

/// A part of a cookie has characters that would end it, or is a time that has no form in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCookie {
    part: &'static str,
    value: String,
}

impl std::fmt::Display for InvalidCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} cannot be the {} of a cookie", self.value, self.part)
    }
}

impl std::error::Error for InvalidCookie {}

/// The year 10000, the first that HTTP dates cannot express, in seconds since 1970.
const YEAR_10000: u64 = 253_402_300_800;

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: "io".into(),
            max_age: None,
            domain: String::new(),
            path: "/".into(),
            expires: None,
            http_only: true,
            secure: false,
            partitioned: false,
            priority: None,
            same_site: Some(SameSite::Lax),
        }
    }
}

impl Cookie {
    /// Returns a cookie with this name, and otherwise the defaults.
    ///
    /// # Errors
    /// The name is not a token (RFC 6265 §4.1.1).
    pub fn new(name: &str) -> Result<Self, InvalidCookie> {
        let is_token = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if is_token {
            Ok(Self { name: name.to_owned(), ..Self::default() })
        } else {
            Err(InvalidCookie { part: "name", value: name.to_owned() })
        }
    }

    /// Sets the path below which browsers send the cookie. Default `/`. An empty path leaves the attribute out.
    ///
    /// # Errors
    /// The path has a semicolon, a control character, or characters other than those of ASCII.
    pub fn path(mut self, path: &str) -> Result<Self, InvalidCookie> {
        if !path.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b';') {
            return Err(InvalidCookie { part: "path", value: path.to_owned() });
        }
        self.path = path.to_owned();
        Ok(self)
    }

    /// Sets the domain whose hosts get the cookie, for instance `example.com`. Default: only the host of the request.
    ///
    /// # Errors
    /// The text is not a host name.
    pub fn domain(mut self, domain: &str) -> Result<Self, InvalidCookie> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !domain.strip_prefix('.').unwrap_or(domain).split('.').all(is_label) {
            return Err(InvalidCookie { part: "domain", value: domain.to_owned() });
        }
        self.domain = domain.to_owned();
        Ok(self)
    }

    /// Sets whether scripts of pages may not read the cookie. Default true.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Sets whether browsers send the cookie only over TLS. Default false.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Sets which requests of other sites carry the cookie. Default [`SameSite::Lax`]. `None` leaves the attribute out.
    #[must_use]
    pub fn same_site(mut self, same_site: impl Into<Option<SameSite>>) -> Self {
        self.same_site = same_site.into();
        self
    }

    /// Sets how long browsers keep the cookie, in whole seconds. Default: until the browser ends.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets when browsers remove the cookie. Default: when the browser ends. [`max_age`](Self::max_age) takes
    /// precedence in browsers.
    ///
    /// # Errors
    /// The time is before the year 1970 or after the year 9999.
    pub fn expires(mut self, time: SystemTime) -> Result<Self, InvalidCookie> {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) if since.as_secs() < YEAR_10000 => {
                self.expires = Some(time);
                Ok(self)
            }
            _ => Err(InvalidCookie { part: "time of expiry", value: format!("{time:?}") }),
        }
    }

    /// Sets the priority. Default: no attribute.
    #[must_use]
    pub fn priority(mut self, priority: CookiePriority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets whether browsers keep a cookie of its own for each site that embeds the page (CHIPS). They accept this only
    /// together with [`secure`](Self::secure). Default false.
    #[must_use]
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// Returns the value of `Set-Cookie`, with the attributes in Node's order.
    ///
    /// This is written by hand, because the crate `cookie` knows no `Priority` and has another order.
    pub(crate) fn set_cookie(&self, id: &SessionId) -> HeaderValue {
        let mut text = format!("{}={}", self.name, id.as_str());
        let mut push = |attribute: &str, value: &str| {
            text.push_str("; ");
            text.push_str(attribute);
            text.push_str(value);
        };
        if let Some(age) = self.max_age {
            push("Max-Age=", &age.as_secs().to_string());
        }
        if !self.domain.is_empty() {
            push("Domain=", &self.domain);
        }
        if !self.path.is_empty() {
            push("Path=", &self.path);
        }
        if let Some(time) = self.expires {
            push("Expires=", &httpdate::fmt_http_date(time));
        }
        for (set, attribute) in
            [(self.http_only, "HttpOnly"), (self.secure, "Secure"), (self.partitioned, "Partitioned")]
        {
            if set {
                push(attribute, "");
            }
        }
        match self.priority {
            Some(CookiePriority::Low) => push("Priority=", "Low"),
            Some(CookiePriority::Medium) => push("Priority=", "Medium"),
            Some(CookiePriority::High) => push("Priority=", "High"),
            None => {}
        }
        match self.same_site {
            Some(SameSite::Strict) => push("SameSite=", "Strict"),
            Some(SameSite::Lax) => push("SameSite=", "Lax"),
            Some(SameSite::None) => push("SameSite=", "None"),
            None => {}
        }
        HeaderValue::from_str(&text).expect("every part was checked and is visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cookie: &Cookie) -> String {
        cookie.set_cookie(&SessionId::from_random([0; 15])).to_str().unwrap().to_owned()
    }

    #[test]
    fn the_default_is_the_cookie_of_node() {
        assert_eq!(text(&Cookie::default()), "io=AAAAAAAAAAAAAAAAAAAA; Path=/; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn every_attribute_is_written_as_the_npm_package_cookie_writes_it() {
        let cookie = Cookie::new("route")
            .and_then(|cookie| cookie.path("/socket.io/"))
            .and_then(|cookie| cookie.domain("example.com"))
            .and_then(|cookie| cookie.expires(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)))
            .unwrap()
            .max_age(Duration::from_millis(86_400_900))
            .secure(true)
            .partitioned(true)
            .priority(CookiePriority::High)
            .same_site(SameSite::None);
        assert_eq!(
            text(&cookie),
            "route=AAAAAAAAAAAAAAAAAAAA; Max-Age=86400; Domain=example.com; Path=/socket.io/; \
            Expires=Tue, 14 Nov 2023 22:13:20 GMT; HttpOnly; Secure; Partitioned; Priority=High; SameSite=None"
        );
        let bare = Cookie::default().http_only(false).same_site(None).path("").unwrap();
        assert_eq!(text(&bare), "io=AAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn no_part_can_add_an_attribute_or_a_header() {
        for name in ["", "a b", "a;b", "a=b", "a\r\nb", "\u{e4}"] {
            assert!(Cookie::new(name).is_err(), "{name:?}");
        }
        for path in ["/;Secure", "/\r\n", "/\u{e4}"] {
            assert!(Cookie::default().path(path).is_err(), "{path:?}");
        }
        for domain in ["", ".", "a..b", "-a.example", "a;b", "a.example/", "\u{e4}.example"] {
            assert!(Cookie::default().domain(domain).is_err(), "{domain:?}");
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR_10000);
        assert!(Cookie::default().expires(before).is_err() && Cookie::default().expires(after).is_err());
        let last = after - Duration::from_secs(1);
        assert!(text(&Cookie::default().expires(last).unwrap()).contains("31 Dec 9999 23:59:59 GMT"));
    }
}
