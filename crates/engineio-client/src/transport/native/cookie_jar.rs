//! The cookies of one server.
//!
//! All requests of a connector go to the same host, so the rules for domains and paths do not matter, and neither does
//! `Secure`. The JavaScript client ignores these attributes too.

use std::time::{Duration, SystemTime};

use http::HeaderValue;
use ws_proto::Time;

/// The most cookies. RFC 6265 §6.1 asks for at least 50. Protects against a server that sends more and more.
const MAX_COOKIES: usize = 50;

/// The longest cookie, name and value together. RFC 6265 §6.1 asks for at least 4,096 bytes, with the attributes.
const MAX_COOKIE_LEN: usize = 4_096;

/// The longest list of cookies in a request. Servers refuse longer headers. The oldest cookies go first.
const MAX_TOTAL_LEN: usize = 16 * 1024;

/// The cookies that a server has set.
#[derive(Debug, Default)]
pub(super) struct CookieJar(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    expires: Option<Time>,
}

impl CookieJar {
    /// Keeps the cookie of a `Set-Cookie` header, or deletes it if it has expired. Ignores a header that is not valid.
    pub(super) fn store(&mut self, set_cookie: &HeaderValue, now: Time, wall_clock: SystemTime) {
        let Ok(text) = set_cookie.to_str() else { return };
        let mut parts = text.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > MAX_COOKIE_LEN {
            return;
        }
        let lifetime = lifetime(parts, wall_clock);
        self.0.retain(|cookie| cookie.name != name);
        if lifetime == Some(Duration::ZERO) {
            return;
        }
        let expires = lifetime.map(|lifetime| now + lifetime);
        self.0.push(Cookie { name: name.to_owned(), value: value.to_owned(), expires });
        while self.0.len() > MAX_COOKIES || self.total_len() > MAX_TOTAL_LEN {
            self.0.remove(0);
        }
    }

    /// Returns the value of the `Cookie` header. `None` if there is no cookie.
    pub(super) fn header(&self, now: Time) -> Option<String> {
        let valid = self.0.iter().filter(|cookie| cookie.expires.is_none_or(|expires| now < expires));
        let pairs: Vec<_> = valid.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn total_len(&self) -> usize {
        self.0.iter().map(|cookie| cookie.name.len() + cookie.value.len() + "=; ".len()).sum()
    }
}

/// Returns how long a cookie with these attributes lives: zero if it has expired, `None` if there is no end. `Max-Age`
/// has precedence over `Expires` (RFC 6265 §5.3).
fn lifetime<'a>(attributes: impl Iterator<Item = &'a str>, wall_clock: SystemTime) -> Option<Duration> {
    let (mut max_age, mut expires) = (None, None);
    for attribute in attributes {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("max-age")
            && let Ok(seconds) = value.parse::<i64>()
        {
            max_age = Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        } else if name.eq_ignore_ascii_case("expires")
            // Old servers write the date with hyphens.
            && let Ok(time) = httpdate::parse_http_date(value).or_else(|_| httpdate::parse_http_date(&value.replace('-', " ")))
        {
            expires = Some(time.duration_since(wall_clock).unwrap_or(Duration::ZERO));
        }
    }
    max_age.or(expires)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_micros(1_000_000);

    /// Sunday, 6 November 1994, 08:49:37 UTC.
    fn wall_clock() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn jar(cookies: &[&str]) -> CookieJar {
        let mut jar = CookieJar::default();
        for cookie in cookies {
            jar.store(&HeaderValue::from_str(cookie).expect("a header value"), NOW, wall_clock());
        }
        jar
    }

    #[test]
    fn cookies_are_sent_back_without_their_attributes() {
        let jar = jar(&["SERVERID=s1; path=/; HttpOnly", "io = abc=; Secure", "empty="]);
        assert_eq!(jar.header(NOW).as_deref(), Some("SERVERID=s1; io=abc=; empty="));
        assert_eq!(CookieJar::default().header(NOW), None);
    }

    #[test]
    fn a_cookie_replaces_the_one_with_its_name() {
        assert_eq!(jar(&["a=1", "b=2", "a=3"]).header(NOW).as_deref(), Some("b=2; a=3"));
    }

    #[test]
    fn a_cookie_ends_with_its_time() {
        for (cookie, lives_for) in [
            ("a=1; Max-Age=10", Some(10)),
            ("a=1; max-age=10; Expires=Sun, 06 Nov 1994 08:49:38 GMT", Some(10)),
            ("a=1; Expires=Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("a=1; expires=Sun, 06-Nov-1994 08:50:07 GMT", Some(30)),
            ("a=1; Max-Age=0", Some(0)),
            ("a=1; Max-Age=-1", Some(0)),
            ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("a=1; Max-Age=soon; Expires=tomorrow", None),
        ] {
            let jar = jar(&["a=0", cookie]);
            let at = |seconds: u64| NOW + Duration::from_secs(seconds);
            match lives_for {
                Some(0) => assert_eq!(jar.header(NOW), None, "{cookie}"),
                Some(seconds) => {
                    assert_eq!(jar.header(at(seconds - 1)).as_deref(), Some("a=1"), "{cookie}");
                    assert_eq!(jar.header(at(seconds)), None, "{cookie}");
                }
                None => assert_eq!(jar.header(at(1_000_000_000)).as_deref(), Some("a=1"), "{cookie}"),
            }
        }
    }

    #[test]
    fn what_is_no_cookie_is_ignored() {
        assert_eq!(jar(&["", "no value", "=no name", "; path=/"]).header(NOW), None);
    }

    #[test]
    fn a_server_cannot_make_the_jar_grow() {
        let mut jar = CookieJar::default();
        let mut store = |text: String| {
            jar.store(&HeaderValue::from_str(&text).expect("a header value"), NOW, wall_clock());
            (jar.0.len(), jar.total_len())
        };
        assert_eq!(store(format!("long={}", "x".repeat(MAX_COOKIE_LEN - 4))).0, 1);
        assert_eq!(store(format!("longer={}", "x".repeat(MAX_COOKIE_LEN - 5))).0, 1);
        for number in 0..200 {
            let (count, bytes) = store(format!("name{number}={}", "x".repeat(number * 20)));
            assert!(count <= MAX_COOKIES && bytes <= MAX_TOTAL_LEN, "{count} cookies, {bytes} bytes");
        }
        assert!(store("last=1".to_owned()).0 > 1);
        assert!(jar.header(NOW).expect("cookies").ends_with("; last=1"));
    }
}
