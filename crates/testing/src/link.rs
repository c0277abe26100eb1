//! The connection between a client and its server, and its faults.

mod pump;

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use tokio::io::{DuplexStream, duplex, split};
use tokio::sync::watch;

use crate::serve::Serve;
use pump::{Direction, pump};

/// What the buffers at each end hold in one direction, like the buffers of a small TCP socket.
const BUFFER_SIZE: usize = 64 * 1024;

/// The connection between a client and its server, with faults on demand, see [`Client::link`](crate::Client::link). Cheap
/// to clone; all clones are the same link.
///
/// A fault begins with the call and holds until [`restore`](Self::restore), also for the connections that the client opens
/// later. It does not touch the messages that have arrived before.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use server as tidewire_server;
/// use tidewire_server::Server;
/// use tidewire_testing::{self as testing, DisconnectReason};
///
/// let io = Server::new();
/// let mut alice = testing::connect(&io).await?;
/// alice.link().cut();
/// assert_eq!(alice.disconnected().await?, DisconnectReason::TransportClose);
/// alice.reconnect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Link(watch::Sender<Condition>);

/// The state of a link.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Condition {
    is_stalled: bool,
    is_unread: bool,
    is_down: bool,
    delay: Duration,
    /// How often the connections were cut.
    cuts: u64,
}

impl Condition {
    /// Returns whether bytes pass in this direction.
    fn passes(self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => !self.is_stalled,
            Direction::ToClient => !self.is_stalled && !self.is_unread,
        }
    }
}

impl Link {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// Cuts the connection. Both ends notice it at once, without a closing handshake, as if the process at the other end had
    /// been killed. What is on the way is lost. The client may connect again.
    pub fn cut(&self) {
        self.0.send_modify(|condition| condition.cuts += 1);
    }

    /// Cuts the connection, and refuses new ones until [`restore`](Self::restore), as if the server were down.
    pub fn down(&self) {
        self.0.send_modify(|condition| {
            condition.cuts += 1;
            condition.is_down = true;
        });
    }

    /// Lets nothing pass in either direction, as if the network had swallowed all packets. Neither end is told: each notices
    /// it by its timeouts. After [`restore`](Self::restore), everything arrives that was sent meanwhile.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// # use server as tidewire_server;
    /// use tidewire_server::Server;
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// let mut alice = testing::connect(&io).await?;
    /// alice.link().stall();
    /// io.emit("news", "late");
    /// tokio::time::sleep(Duration::from_secs(10)).await;
    /// assert!(alice.try_recv().is_none());
    /// alice.link().restore();
    /// assert_eq!(alice.recv::<String>("news").await?, "late");
    /// # Ok(())
    /// # }
    /// ```
    pub fn stall(&self) {
        self.0.send_modify(|condition| condition.is_stalled = true);
    }

    /// Makes the client a slow reader: it reads nothing, but still sends. The buffers of the connection hold 64 KiB, and
    /// then the server has to keep what it sends to this client.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use server as tidewire_server;
    /// use tidewire_server::Server;
    /// use tidewire_testing as testing;
    ///
    /// let io = Server::new();
    /// let mut alice = testing::connect(&io).await?;
    /// alice.link().stop_reading();
    /// io.emit("picture", "x".repeat(1024 * 1024));
    /// assert!(alice.server_socket()?.buffered_amount() > 512 * 1024);
    /// alice.link().restore();
    /// assert_eq!(alice.recv::<String>("picture").await?.len(), 1024 * 1024);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop_reading(&self) {
        self.0.send_modify(|condition| condition.is_unread = true);
    }

    /// Delays everything that is sent from now on by this time, in each direction. The order is kept. A round trip takes
    /// twice as long.
    pub fn delay(&self, delay: Duration) {
        self.0.send_modify(|condition| condition.delay = delay);
    }

    /// Ends all faults. What a [delay](Self::delay) holds back still arrives at its time. A connection that was cut stays
    /// cut: the client has to connect again.
    pub fn restore(&self) {
        self.0.send_modify(|condition| {
            *condition = Condition { cuts: condition.cuts, ..Condition::default() };
        });
    }

    /// Opens a connection to the server.
    pub(crate) fn open(&self, serve: &Serve) -> io::Result<DuplexStream> {
        let condition = self.0.subscribe();
        if condition.borrow().is_down {
            return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the link is down"));
        }
        let (client, near) = duplex(BUFFER_SIZE);
        let (far, server) = duplex(BUFFER_SIZE);
        serve(server);
        tokio::spawn(carry(near, far, condition));
        Ok(client)
    }
}

/// Carries bytes between the ends of a connection, until both have finished or it is cut. The return closes both ends.
async fn carry(near: DuplexStream, far: DuplexStream, condition: watch::Receiver<Condition>) {
    let cut = cut(condition.clone());
    let (from_client, to_client) = split(near);
    let (from_server, to_server) = split(far);
    let to_server = pump(from_client, to_server, Direction::ToServer, condition.clone());
    let to_client = pump(from_server, to_client, Direction::ToClient, condition);
    tokio::select! {
        biased;
        () = cut => {}
        _ = async { tokio::join!(to_server, to_client) } => {}
    }
}

/// Returns a future that waits until the connections that are open now are cut.
fn cut(mut condition: watch::Receiver<Condition>) -> impl Future<Output = ()> {
    let cuts = condition.borrow().cuts;
    async move {
        if condition.wait_for(|condition| condition.cuts != cuts).await.is_err() {
            // Nobody is left who could cut it.
            pending::<()>().await;
        }
    }
}
