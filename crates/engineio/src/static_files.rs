//! Files that the engine serves under its path, for instance those of a JavaScript client.
//!
//! A request selects one of a fixed list of names. Nothing is read from a disk while the server runs.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::compression::{CompressedForms, Encoding};

/// Files in memory that the engine serves at `<path>/<name>`, for any method and query. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct StaticFiles(Arc<[StaticFile]>);

/// A file of [`StaticFiles`]. Cheap to clone.
#[derive(Clone)]
pub struct StaticFile {
    name: String,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Present { content_type: HeaderValue, etag: HeaderValue, bytes: Bytes, compressed: CompressedForms },
    Missing(&'static str),
}

impl StaticFile {
    /// Creates a file. With the feature `compression`, it is compressed here, once, with gzip and deflate. `etag` is the
    /// whole value of the header, with its quotes.
    #[must_use]
    pub fn new(name: impl Into<String>, content_type: HeaderValue, etag: HeaderValue, bytes: Bytes) -> Self {
        let compressed = CompressedForms::of(&bytes);
        Self { name: name.into(), content: Content::Present { content_type, etag, bytes, compressed } }
    }

    /// Creates a name without a file. Its requests get status 404 with this text.
    #[must_use]
    pub fn missing(name: impl Into<String>, text: &'static str) -> Self {
        Self { name: name.into(), content: Content::Missing(text) }
    }

    /// Returns the response to a request with these headers.
    pub(crate) fn response(&self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let Content::Present { content_type, etag, bytes, compressed } = &self.content else {
            return self.not_found();
        };
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
        headers.insert(ETAG, etag.clone());
        // A cache must not return a compressed response to a client that cannot read it.
        headers.insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
        if is_unchanged(request, etag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, content_type.clone());
        let encoding = Encoding::negotiate(request);
        let encoded = encoding.and_then(|encoding| compressed.get(encoding));
        if let (Some(encoding), Some(_)) = (encoding, encoded) {
            headers.insert(CONTENT_ENCODING, encoding.header_value());
        }
        *response.body_mut() = Full::new(encoded.unwrap_or(bytes).clone());
        response
    }

    fn not_found(&self) -> Response<Full<Bytes>> {
        let Content::Missing(text) = self.content else { return Response::default() };
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = StatusCode::NOT_FOUND;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

impl StaticFiles {
    /// Returns these files and one more. It replaces the file with the same name, if there is one.
    #[must_use]
    pub fn with(&self, file: StaticFile) -> Self {
        let mut files: Vec<_> = self.0.iter().filter(|other| other.name != file.name).cloned().collect();
        files.push(file);
        Self(files.into())
    }

    /// Returns the file for the path of a request. `path` is the path of the engine.
    pub(crate) fn find(&self, path: &str, request: &str) -> Option<&StaticFile> {
        if self.0.is_empty() {
            return None;
        }
        let path = path.trim_matches('/');
        let name = request.strip_prefix('/')?.strip_prefix(path)?;
        let name = if path.is_empty() { name } else { name.strip_prefix('/')? };
        self.0.iter().find(|file| file.name == name)
    }
}

impl FromIterator<StaticFile> for StaticFiles {
    fn from_iter<I: IntoIterator<Item = StaticFile>>(files: I) -> Self {
        Self(files.into_iter().collect())
    }
}

impl fmt::Debug for StaticFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Returns whether the client already has the file with this tag (RFC 9110 §13.1.2).
fn is_unchanged(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let tags = request.get_all(IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        // The comparison is weak.
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use http_body_util::BodyExt;

    use super::*;

    fn files() -> StaticFiles {
        let content_type = HeaderValue::from_static("text/plain");
        let etag = HeaderValue::from_static("\"1\"");
        StaticFiles::from_iter([
            StaticFile::new("a.js", content_type.clone(), etag.clone(), "abc".repeat(100).into()),
            StaticFile::new("short.js", content_type, etag, "x".into()),
            StaticFile::missing("b.js", "no b"),
        ])
    }

    #[test]
    fn only_the_exact_names_under_the_path_are_files() {
        for (path, request, found) in [
            ("/x", "/x/a.js", true),
            ("/x/", "/x/a.js", true),
            ("x/y", "/x/y/a.js", true),
            ("/", "/a.js", true),
            ("/x", "/x/b.js", true),
            ("/x", "/xa.js", false),
            ("/x", "/x//a.js", false),
            ("/x", "/x/a.js/", false),
            ("/x", "/x/", false),
            ("/x", "/x", false),
            ("/x", "/x/../x/a.js", false),
            ("/x", "/x/%61.js", false),
            ("/x", "/x/A.js", false),
            ("/x", "/x/c.js", false),
        ] {
            assert_eq!(files().find(path, request).is_some(), found, "{path} {request}");
        }
        assert!(StaticFiles::default().find("/x", "/x/a.js").is_none());
    }

    #[test]
    fn the_client_that_has_the_file_gets_304() {
        for (tag, status) in [
            ("\"1\"", 304),
            ("W/\"1\"", 304),
            ("\"0\", W/\"1\"", 304),
            ("*", 304),
            ("\"2\"", 200),
            ("1", 200),
            ("\"1", 200),
            ("", 200),
        ] {
            let request = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(tag))]);
            let response = files().find("/x", "/x/a.js").expect("a file").response(&request);
            assert_eq!(response.status(), status, "{tag}");
            assert_eq!(response.headers()[ETAG], "\"1\"", "{tag}");
        }
    }

    async fn body(response: Response<Full<Bytes>>) -> Bytes {
        response.into_body().collect().await.expect("a body in memory").to_bytes()
    }

    #[tokio::test]
    async fn a_file_is_compressed_as_the_client_asks_unless_that_makes_it_longer() {
        for (name, accepted, encoding) in [
            ("a.js", "gzip", Some("gzip")),
            ("a.js", "deflate", Some("deflate")),
            ("a.js", "br", None),
            ("a.js", "", None),
            ("short.js", "gzip", None),
        ] {
            let request = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            let response = files().find("/", &format!("/{name}")).expect("a file").response(&request);
            let found = response.headers().get(CONTENT_ENCODING).map(|value| value.to_str().expect("text"));
            assert_eq!(found, encoding, "{name} {accepted}");
            let body = body(response).await;
            let mut plain = Vec::new();
            match encoding {
                Some("gzip") => flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain),
                Some(_) => flate2::read::ZlibDecoder::new(&*body).read_to_end(&mut plain),
                None => (&*body).read_to_end(&mut plain),
            }
            .expect("a whole body");
            assert_eq!(plain, if name == "a.js" { "abc".repeat(100) } else { "x".to_owned() }.into_bytes());
        }
    }
}
