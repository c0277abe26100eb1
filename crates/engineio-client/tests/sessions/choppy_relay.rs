//! A TCP relay that passes random amounts of bytes at random moments.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Pseudo-random numbers, the same for the same seed (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }
}

/// Starts a relay to `server`. If `cuts` is set, a connection ends without notice after about that many bytes of the
/// server, once in three connections.
pub(crate) async fn relay_to(server: SocketAddr, mut dice: Dice, cuts: Option<u64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut dice, mut other) = (dice.fork(), dice.fork());
            let limit = cuts.filter(|_| dice.below(3) == 0).map_or(u64::MAX, |cuts| dice.below(2 * cuts));
            tokio::spawn(async move {
                let Ok(upstream) = TcpStream::connect(server).await else { return };
                let (client_in, client_out) = client.into_split();
                let (server_in, server_out) = upstream.into_split();
                tokio::select! {
                    () = pass(client_in, server_out, &mut dice, u64::MAX) => {}
                    () = pass(server_in, client_out, &mut other, limit) => {}
                }
            });
        }
    });
    address
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, dice: &mut Dice, mut limit: u64) {
    let mut buffer = [0; 4096];
    loop {
        let most = match dice.below(4) {
            0 => 1,
            1 => 1 + dice.below(40) as usize,
            _ => buffer.len(),
        };
        let Ok(read) = from.read(&mut buffer[..most]).await else { return };
        let passed = read.min(usize::try_from(limit).unwrap_or(usize::MAX));
        if read == 0 || to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        limit -= passed as u64;
        if limit == 0 {
            return;
        }
        match dice.below(64) {
            0 => tokio::time::sleep(Duration::from_micros(dice.below(2_000))).await,
            1..8 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}
