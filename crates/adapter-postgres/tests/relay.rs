//! A relay between an adapter and the database, which can fail.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Passes everything on.
    Open,
    /// Passes nothing on, and closes nothing.
    Frozen,
    /// Closes all connections, and accepts none.
    Closed,
}

#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Relay {
    /// Starts a relay to this address.
    pub(crate) fn start(runtime: &Handle, target: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("it listens");
        let state = Arc::new(watch::Sender::new(State::Open));
        let watched = Arc::clone(&state);
        let _guard = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a socket");
        runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                tokio::spawn(pass_on(stream, target, watched.subscribe()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn pass_on(mut client: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    if *state.borrow_and_update() == State::Closed {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    loop {
        let current = *state.borrow_and_update();
        match current {
            State::Closed => return,
            State::Frozen => drop(state.changed().await),
            State::Open => tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                _ = state.changed() => {}
            },
        }
    }
}
