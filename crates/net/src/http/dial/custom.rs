//! A function of the program that opens streams.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::io::Stream;

type OpenStream = dyn Fn() -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>> + Send + Sync;

/// Opens the streams of a [`Dialer`](super::Dialer) with a function of the program.
#[derive(Clone)]
pub(super) struct CustomDial(Arc<OpenStream>);

impl CustomDial {
    pub(super) fn new<F, Fut, S>(dial: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self(Arc::new(move || {
            let opening = dial();
            Box::pin(async move { Ok(Stream::boxed(opening.await?)) })
        }))
    }

    pub(super) async fn dial(&self) -> io::Result<Stream> {
        (self.0)().await
    }
}

impl fmt::Debug for CustomDial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomDial")
    }
}
