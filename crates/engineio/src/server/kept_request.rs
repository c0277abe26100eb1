//! The request that a handler keeps, perhaps for as long as its session lives.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri};

/// The request, its extensions and the table of its headers, without their entries.
const REQUEST_COST: usize = 512;
/// A header in its table: the name, the value, a hash and two links.
const FIELD_COST: usize = size_of::<(HeaderName, HeaderValue, [usize; 4])>();
/// What an allocation takes besides its bytes.
const ALLOCATION_COST: usize = 16;

/// Returns about how much memory a request takes, in bytes.
pub(super) fn request_memory(request: &Parts) -> usize {
    let headers = &request.headers;
    let text = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ALLOCATION_COST);
    // The table has free entries. Further values of a name are in another table, with entries that are smaller.
    let fields = headers.capacity() + (headers.len() - headers.keys_len());
    REQUEST_COST + uri_length(&request.uri) + text.sum::<usize>() + fields * FIELD_COST
}

/// Copies the parts of a request that refer to the HTTP parser's read buffer. The request then does not keep the buffer,
/// which has 8 KiB and more.
pub(super) fn release_read_buffer(request: &mut Parts) {
    if let Ok(uri) = Uri::try_from(request.uri.to_string()) {
        request.uri = uri;
    }
    for value in request.headers.values_mut() {
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
}

fn uri_length(uri: &Uri) -> usize {
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    authority + uri.path_and_query().map_or(0, |url| url.as_str().len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;

    use super::*;

    /// A request as hyper creates it: its text refers to `buffer`.
    fn parsed(buffer: &Bytes, fields: usize) -> Parts {
        let (mut request, ()) = Request::new(()).into_parts();
        request.uri = Uri::from_maybe_shared(buffer.slice(..8)).expect("a path");
        for number in 0..fields {
            let name = HeaderName::try_from(format!("name-{number}")).expect("a name");
            let value = HeaderValue::from_maybe_shared(buffer.slice(8..9)).expect("a value");
            request.headers.append(name, value);
        }
        request
    }

    #[test]
    fn a_kept_request_does_not_keep_the_read_buffer() {
        let buffer = Bytes::from(format!("/?query={}", "x".repeat(8_000)).into_bytes());
        let mut request = parsed(&buffer, 3);
        let cookie = HeaderValue::from_maybe_shared(buffer.slice(9..20)).expect("a value");
        request.headers.insert("cookie", cookie);
        assert!(!buffer.is_unique());
        release_read_buffer(&mut request);
        assert!(buffer.is_unique(), "nothing refers to it");
        assert_eq!((request.uri.to_string(), request.headers.len()), ("/?query=".to_owned(), 4));
        assert_eq!(request.headers["name-1"], "x");
        assert_eq!(request.headers["cookie"], "x".repeat(11));
    }

    #[test]
    fn the_memory_of_a_request_is_about_what_its_table_takes() {
        let buffer = Bytes::from_static(b"/?query=x");
        let of = |fields| request_memory(&parsed(&buffer, fields));
        assert!((512..600).contains(&of(0)), "{}", of(0));
        // 104 bytes in the table, of which up to half are free, and about 40 for the name and the value.
        for fields in [1, 10, 50, 100] {
            assert!((fields * 130..1_300 + fields * 300).contains(&of(fields)), "{fields}: {}", of(fields));
        }
    }
}
