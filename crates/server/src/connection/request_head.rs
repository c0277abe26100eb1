//! The URL and the headers of a request, in as little memory as is simple.

use std::borrow::Cow;

/// The URL and the headers of a request in one allocation. Every connection keeps one, perhaps for days.
///
/// The text is the URL, then one line per header, and each part ends with a newline, which no part can contain. A line is the
/// name, a colon and the value. Instead of a name and its colon, a name of [`COMMON_NAMES`] is one control character. This
/// saves a fifth of the request of a browser.
pub(super) struct RequestHead(Box<str>);

/// The headers that browsers and proxies send. The code of a name is its index among the control characters that are not a
/// newline, so there can be no more than these.
const COMMON_NAMES: [&str; 30] = [
    "host",
    "connection",
    "upgrade",
    "origin",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "cookie",
    "pragma",
    "priority",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// More than the usual request of a browser takes. A longer one makes the text grow.
const USUAL_SIZE: usize = 1024;

impl RequestHead {
    /// Keeps these parts. A header that has a colon or a control character in its name, or a newline in its value, is left
    /// out. Names should be in lower case. HTTP has no other ones.
    pub(super) fn new<'h>(url: &str, headers: &mut dyn Iterator<Item = (&'h str, Cow<'h, str>)>) -> Self {
        let url = url.lines().next().unwrap_or_default();
        let mut head = String::with_capacity(USUAL_SIZE);
        head.extend([url, "\n"]);
        for (name, value) in headers.filter(|(name, value)| is_valid(name, value)) {
            match code(name) {
                Some(code) => head.push(code),
                None => head.extend([name, ":"]),
            }
            head.extend([&*value, "\n"]);
        }
        // Gives back what is left of the capacity.
        Self(head.into_boxed_str())
    }

    pub(super) fn url(&self) -> &str {
        self.0.split('\n').next().unwrap_or_default()
    }

    /// Returns the names and values of the headers, in order.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split_terminator('\n').skip(1).filter_map(|line| match name(line.chars().next()?) {
            Some(name) => Some((name, &line[1..])),
            None => line.split_once(':'),
        })
    }
}

fn is_valid(name: &str, value: &str) -> bool {
    !value.contains('\n') && !name.contains(|c| c == ':' || c <= '\x1f')
}

/// Returns the code of a name.
fn code(name: &str) -> Option<char> {
    let index = COMMON_NAMES.iter().position(|common| *common == name)?;
    let code = u8::try_from(index).ok()? + 1;
    Some(char::from(if code < b'\n' { code } else { code + 1 }))
}

/// Returns the name with this code.
fn name(code: char) -> Option<&'static str> {
    let index = match code {
        '\x01'..='\t' => code as usize - 1,
        '\x0b'..='\x1f' => code as usize - 2,
        _ => return None,
    };
    Some(COMMON_NAMES[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(url: &str, headers: &[(&'static str, &'static str)]) -> RequestHead {
        RequestHead::new(url, &mut headers.iter().map(|(name, value)| (*name, (*value).into())))
    }

    #[test]
    fn every_name_comes_back_as_it_was() {
        let names = COMMON_NAMES.iter().copied().chain(["x-token", "Host", "é"]);
        let headers: Vec<_> = names.map(|name| (name, format!("{name}: \r1"))).collect();
        let head = RequestHead::new("/?a=b", &mut headers.iter().map(|(name, value)| (*name, value.into())));
        let kept: Vec<_> = head.headers().map(|(name, value)| (name, value.to_owned())).collect();
        assert_eq!((head.url(), kept), ("/?a=b", headers));
    }

    #[test]
    fn a_common_name_takes_one_byte() {
        let head = head("/", &[("sec-websocket-version", "13"), ("x-token", "1")]);
        assert_eq!(head.0.len(), "/\n".len() + "?13\n".len() + "x-token:1\n".len());
    }

    #[test]
    fn a_header_that_would_be_read_as_another_one_is_left_out() {
        let headers = [("a:b", "1"), ("a\nb", "1"), ("\x01", "1"), ("a", "1\nb: 2"), ("host", "")];
        let head = head("/\nhost:1", &headers);
        assert_eq!((head.url(), head.headers().collect::<Vec<_>>()), ("/", vec![("host", "")]));
        assert_eq!(self::head("", &[("a", "b")]).headers().count(), 1);
    }
}
