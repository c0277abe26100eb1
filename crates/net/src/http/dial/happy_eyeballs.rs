//! Opens a TCP connection to the first address of a host that accepts one (RFC 8305, "Happy Eyeballs").

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::DialError;

/// How long an attempt runs before the next one starts in parallel: the "Connection Attempt Delay" (RFC 8305 §8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The maximum number of addresses of one host that are tried. A resolver may return hundreds, and each attempt uses a
/// descriptor.
const MAX_ADDRESSES: usize = 16;

/// Connects to `host` and sets `TCP_NODELAY`: this crate batches messages itself, so the kernel must send at once.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let resolve = |error| DialError::Resolve { host: host.to_owned(), error };
    let addresses = lookup_host((host, port)).await.map_err(resolve)?.collect();
    let connected = race(interleaved(addresses), TcpStream::connect).await;
    let stream = connected.map_err(|failed| match failed {
        Some((address, error)) => DialError::Connect { address, error },
        None => resolve(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    })?;
    // This fails only on a dead socket. The first read reports that.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Alternates between the address families, starting with the family of the first address (RFC 8305 §4). If one family
/// is unreachable, the second attempt already uses the other.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().copied() else { return addresses };
    let (preferred, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut other = other.into_iter();
    let mut mixed: Vec<_> =
        preferred.into_iter().flat_map(|address| [Some(address), other.next()]).flatten().collect();
    mixed.extend(other);
    mixed.truncate(MAX_ADDRESSES);
    mixed
}

/// Returns the first attempt that succeeds. Each attempt starts when the previous one has failed, or [`ATTEMPT_DELAY`]
/// after it started. If all fail, returns the first address and its error, or `None` if there is no address.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Option<(SocketAddr, io::Error)>>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let first = addresses.first().copied();
    let mut first_error = None;
    let mut waiting = addresses.into_iter();
    // Dropping the set aborts the attempts that still run.
    let mut attempts = JoinSet::new();
    loop {
        if let Some(address) = waiting.next() {
            let attempt = connect(address);
            attempts.spawn(async move { (address, attempt.await) });
        }
        let ended = if waiting.len() > 0 {
            let Ok(ended) = timeout(ATTEMPT_DELAY, attempts.join_next()).await else { continue };
            ended
        } else {
            attempts.join_next().await
        };
        match ended {
            Some(Ok((_, Ok(stream)))) => return Ok(stream),
            Some(Ok((address, Err(error)))) if Some(address) == first => first_error = Some(error),
            // Another address failed, or the runtime is shutting down and aborted an attempt.
            Some(Ok(_) | Err(_)) => {}
            None => {
                let error = first_error.unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into());
                return Err(first.map(|address| (address, error)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::{Arc, Mutex};

    use tokio::time::{Instant, sleep};

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|address| address.parse().expect("an address")).collect()
    }

    const MIXED: [&str; 5] = ["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"];

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        let mixed = ["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"];
        assert_eq!(interleaved(addresses(&MIXED)), addresses(&mixed));
        let other_first = ["10.0.0.1:1", "[::1]:1", "[::2]:1"];
        assert_eq!(interleaved(addresses(&other_first)), addresses(&other_first));
        assert!(interleaved(Vec::new()).is_empty());
        let many: Vec<_> = (0..100).map(|n| SocketAddr::from(([10, 0, 0, n], 1))).collect();
        assert_eq!(interleaved(many.clone()), many[..MAX_ADDRESSES]);
    }

    /// Returns when each address was tried, in milliseconds, and the result.
    async fn raced<F>(
        list: &[&str],
        connect: impl Fn(SocketAddr) -> F,
    ) -> (Vec<u128>, Result<SocketAddr, Option<SocketAddr>>)
    where
        F: Future<Output = io::Result<SocketAddr>> + Send + 'static,
    {
        let begin = Instant::now();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let won = race(addresses(list), |address| {
            begun.lock().unwrap().push(begin.elapsed().as_millis());
            connect(address)
        });
        let won = won.await.map_err(|failed| failed.map(|(address, _)| address));
        let begun = begun.lock().unwrap().clone();
        (begun, won)
    }

    #[tokio::test(start_paused = true)]
    async fn an_unresponsive_address_delays_the_next_by_a_quarter_of_a_second() {
        let silent: SocketAddr = MIXED[0].parse().unwrap();
        let connect =
            move |address| async move { if address == silent { pending().await } else { Ok(address) } };
        let (begun, won) = raced(&MIXED, connect).await;
        assert_eq!((begun, won), (vec![0, 250], Ok(MIXED[1].parse().unwrap())));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_at_once_when_one_fails() {
        let connect = |address: SocketAddr| async move {
            if address.is_ipv6() { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(address) }
        };
        let (begun, won) = raced(&MIXED, connect).await;
        assert_eq!((begun, won), (vec![0; 4], Ok(MIXED[3].parse().unwrap())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_may_still_win() {
        let connect = |address: SocketAddr| async move {
            sleep(Duration::from_millis(if address.is_ipv6() { 400 } else { 60_000 })).await;
            Ok(address)
        };
        let (begun, won) = raced(&["[::1]:1", "10.0.0.1:1", "10.0.0.2:1"], connect).await;
        assert_eq!((begun, won), (vec![0, 250], Ok("[::1]:1".parse().unwrap())));
    }

    #[tokio::test(start_paused = true)]
    async fn when_every_address_fails_the_error_is_of_the_first() {
        let connect = |_| async { Err::<SocketAddr, _>(io::ErrorKind::ConnectionRefused.into()) };
        let (begun, won) = raced(&MIXED, connect).await;
        assert_eq!((begun.len(), won), (5, Err(Some(MIXED[0].parse().unwrap()))));
        assert_eq!(raced(&[], connect).await.1, Err(None));
    }
}
