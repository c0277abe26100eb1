//! `--tls-cert` and `--tls-key`: the certificate of the server. On SIGHUP, the files are read again.

use std::io;
use std::path::PathBuf;

use anyhow::Context;
use tidewire::server::ServerTls;
use tokio::signal::unix::{SignalKind, signal};

/// The certificate of the server, and the files that it comes from.
pub(crate) struct Certificate {
    tls: ServerTls,
    files: Files,
}

#[derive(Clone)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    pub(crate) fn load(chain: PathBuf, key: PathBuf) -> anyhow::Result<Self> {
        let files = Files { chain, key };
        Ok(Self { tls: files.read()?, files })
    }

    pub(crate) fn tls(&self) -> ServerTls {
        self.tls.clone()
    }

    /// Reads the files again at each SIGHUP, from now on. If they cannot be used, the former certificate stays.
    pub(crate) fn reload_on_hangup(self) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let files = self.files.clone();
                // The files may be on a slow disk.
                let read = tokio::task::spawn_blocking(move || files.read()).await;
                match read.map_err(anyhow::Error::from).and_then(|read| read) {
                    Ok(renewed) => {
                        self.tls.reload(&renewed);
                        tracing::info!(chain = %self.files.chain.display(), "the certificate was read again");
                    }
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "the former certificate stays in use");
                    }
                }
            }
        });
        Ok(())
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<ServerTls> {
        let Self { chain, key } = self;
        ServerTls::from_pem_files(chain, key).with_context(|| {
            format!("cannot use the certificate {} with the key {}", chain.display(), key.display())
        })
    }
}
