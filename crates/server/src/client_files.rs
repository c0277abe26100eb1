//! The files of a JavaScript client, which the server offers to browsers. In Node: `serveClient`.

use std::error::Error;
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engineio::{StaticFile, StaticFiles};
use http::HeaderValue;

/// The names of the files. No other name is ever read or served.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.min.js",
    "socket.io.esm.min.js",
    "socket.io.msgpack.min.js",
    "socket.io.js.map",
    "socket.io.min.js.map",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js.map",
];

/// The response if the program has not set the files.
const NOT_CONFIGURED: &str = "This server does not serve the files of the JavaScript client. \
    To serve them, use Builder::client_files, or --client-files of the binary.\n";

/// The response for a file that the directory does not contain.
const NOT_IN_DIRECTORY: &str = "The directory of the JavaScript client does not contain this file.\n";

/// The files of a JavaScript client, for [`Builder::client_files`](crate::Builder::client_files). Cheap to clone.
///
/// The files are in memory, each one plain, with gzip and with deflate: about 1.8 MB for version 4.8 of the official
/// client.
#[derive(Clone)]
pub struct ClientFiles(StaticFiles);

/// The files of the JavaScript client could not be read.
#[derive(Debug)]
pub struct ClientFilesError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for ClientFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}", self.path.display())
    }
}

impl Error for ClientFilesError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

impl ClientFiles {
    /// Creates a list without files. The requests of the files of the official client get status 404 with a text that says
    /// so.
    pub fn new() -> Self {
        Self(NAMES.into_iter().map(|name| StaticFile::missing(name, NOT_CONFIGURED)).collect())
    }

    /// Reads the files of the JavaScript client from a directory: the folder `dist` of the npm package
    /// `socket.io-client`, for instance `node_modules/socket.io-client/dist`. Changes of the directory have no effect
    /// later.
    ///
    /// These names are read: `socket.io.js`, `socket.io.min.js`, `socket.io.esm.min.js`, `socket.io.msgpack.min.js`,
    /// and each with `.map`. A file that does not exist gets status 404. This function blocks while it reads and
    /// compresses the files.
    ///
    /// The `ETag` is the version of the client, as in Node. The version is taken from the first lines of a script, or
    /// from `package.json` in the parent directory. If there is none, the `ETag` is a hash of the files.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, or if the directory contains none of the files.
    pub fn from_dir(directory: impl AsRef<Path>) -> Result<Self, ClientFilesError> {
        let directory = directory.as_ref();
        let mut contents = Vec::new();
        for name in NAMES {
            let path = directory.join(name);
            match fs::read(&path) {
                Ok(bytes) => contents.push((name, Some(Bytes::from(bytes)))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => contents.push((name, None)),
                Err(source) => return Err(ClientFilesError { path, source }),
            }
        }
        let present = || contents.iter().filter_map(|(name, bytes)| Some((*name, bytes.as_ref()?)));
        if present().next().is_none() {
            // Names a file, so that the reader sees what is expected in the directory.
            let source = io::ErrorKind::NotFound.into();
            return Err(ClientFilesError { path: directory.join(NAMES[0]), source });
        }
        let version = present()
            .find_map(|(_, bytes)| banner_version(bytes))
            .or_else(|| package_version(directory))
            .unwrap_or_else(|| hash(present()));
        let etag = HeaderValue::try_from(format!("\"{version}\"")).expect("versions are checked");
        let files = contents.into_iter().map(|(name, bytes)| match bytes {
            Some(bytes) => StaticFile::new(name, content_type(name), etag.clone(), bytes),
            None => StaticFile::missing(name, NOT_IN_DIRECTORY),
        });
        Ok(Self(files.collect()))
    }

    /// Adds a file, which the server then serves as `<path>/<name>`, for instance `/socket.io/my-client.js`. It replaces the
    /// file with the same name, if there is one.
    ///
    /// The file is compressed here. Its `ETag` is a hash of its content. Its type follows from the end of its name: `.js`,
    /// `.map` for a source map, or `.ts`; any other file is plain text.
    #[must_use]
    pub fn with_file(&self, name: impl Into<String>, content: impl Into<Bytes>) -> Self {
        let (name, content) = (name.into(), content.into());
        let etag = hash([("", &content)].into_iter());
        let etag = HeaderValue::try_from(format!("\"{etag}\"")).expect("a hash is ASCII");
        let content_type = content_type(&name);
        Self(self.0.with(StaticFile::new(name, content_type, etag, content)))
    }

    pub(crate) fn into_static_files(self) -> StaticFiles {
        self.0
    }
}

impl fmt::Debug for ClientFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFiles").finish_non_exhaustive()
    }
}

impl Default for ClientFiles {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the content type for the name of a file. Node has the same type for scripts.
fn content_type(name: &str) -> HeaderValue {
    HeaderValue::from_static(match name.rsplit('.').next() {
        Some("js") => "application/javascript; charset=utf-8",
        Some("map") => "application/json; charset=utf-8",
        Some("ts") => "application/typescript; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    })
}

/// Returns the version in the comment at the beginning of a script.
fn banner_version(script: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&script[..script.len().min(300)]);
    let (_, rest) = head.strip_prefix("/*!")?.split_once("Socket.IO v")?;
    let rest = rest.trim_start();
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    checked_version(&rest[..end])
}

/// Returns the version of the npm package that the directory is part of.
fn package_version(directory: &Path) -> Option<String> {
    // `..` of the path, not its parent: the path may be relative, or a link.
    let package = fs::read_to_string(directory.join("../package.json")).ok()?;
    let package: serde_json::Value = package.parse().ok()?;
    checked_version(package["version"].as_str()?)
}

/// Returns the text if it may be part of a header.
fn checked_version(version: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    (!version.is_empty() && version.bytes().all(is_allowed)).then(|| version.to_owned())
}

fn hash<'f>(files: impl Iterator<Item = (&'f str, &'f Bytes)>) -> String {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}
