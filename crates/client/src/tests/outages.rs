//! A thousand outages of random kinds, on virtual time. The engine is simulated, so a message arrives completely or not
//! at all. The tests of `engineio-client` cut the transports within a message.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engine::simulation::Attempt;
use crate::{AckError, Data, DisconnectReason, State};
use bytes::Bytes;
use engineio_proto::CloseReason;

const OUTAGES: u32 = 1_000;

/// The longest delay between two attempts, see [`Builder::reconnection_delay_max`].
const DELAY_MAX: Duration = Duration::from_secs(5);
/// How long an attempt may take, see [`Builder::timeout`].
const TIMEOUT: Duration = Duration::from_secs(20);
/// Some round trips, and the timers' resolution.
const SLACK: Duration = Duration::from_secs(1);

/// The text of an event. An attachment follows.
const PHOTO: &str = r#"51-["photo",{"_placeholder":true,"num":0}]"#;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    fn reason(&mut self) -> CloseReason {
        let reasons = [CloseReason::TransportClose, CloseReason::TransportError, CloseReason::PingTimeout];
        reasons[self.below(3) as usize]
    }
}

/// Makes one outage. Returns the longest time that the client may need to connect again.
async fn outage(network: &Network, random: &mut Random) -> Duration {
    let attempt = DELAY_MAX + SLACK;
    match random.below(11) {
        0 => network.cut(random.reason()),
        1 => {
            // What is sent in both directions is lost for a while, before anybody notices.
            network.state().loses_messages = true;
            tokio::time::sleep(Duration::from_millis(random.below(10_000))).await;
            network.cut(random.reason());
        }
        2 => {
            let refused = random.below(5) as u32;
            network.state().attempts.extend((0..refused).map(|_| Attempt::Refuse));
            network.cut(random.reason());
            return attempt * (refused + 1);
        }
        3 => {
            network.state().attempts.push_back(Attempt::Hang);
            network.cut(random.reason());
            return attempt * 2 + TIMEOUT;
        }
        4 => {
            let hang_ups = random.below(5) as u32;
            network.state().attempts.extend((0..hang_ups).map(|_| Attempt::HangUp));
            network.cut(random.reason());
            return attempt * (hang_ups + 1);
        }
        5 => network.send("2["),
        6 => network.send("1"),
        7 => {
            network.state().acknowledges = false;
            tokio::time::sleep(Duration::from_millis(random.below(10_000))).await;
            network.state().acknowledges = true;
            network.cut(random.reason());
        }
        8 => {
            let slow = Attempt::Slow(Duration::from_millis(random.below(30_000)));
            network.state().attempts.push_back(slow);
            network.cut(random.reason());
            return attempt * 2 + TIMEOUT;
        }
        // The server dies after the text of an event, before its attachment.
        9 => {
            network.send(PHOTO);
            settle().await;
            network.cut(random.reason());
        }
        // The server dies between its response to CONNECT and what follows.
        _ => {
            network.cut(random.reason());
            let known = network.state().attempt_times.len();
            while network.state().attempt_times.len() == known {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(random.below(30))).await;
            network.cut(random.reason());
            return attempt * 2;
        }
    }
    attempt
}

/// Checks that the events arrived at least once and in order: each is followed by itself or by the next one.
fn check_delivery(received: &[String], count: u32) {
    let mut next = 0;
    for message in received {
        let Some((_, rest)) = message.split_once(r#"["reading","#) else { continue };
        let number: u32 = rest.trim_end_matches(']').parse().unwrap();
        assert!(number == next || number + 1 == next, "{number} after {next}");
        next = number + 1;
    }
    assert_eq!(next, count, "all have arrived");
}

#[tokio::test(start_paused = true)]
async fn it_survives_a_thousand_outages_and_loses_no_event_and_no_acknowledgement() {
    let seed = std::env::var("TIDEWIRE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    eprintln!("TIDEWIRE_SEED={seed}");
    let mut random = Random(seed);
    let network = Network::new();
    let reconnects = async |socket: Socket, reason: DisconnectReason| {
        if reason == DisconnectReason::IoServerDisconnect {
            socket.connect();
        }
    };
    let photos = Log::default();
    let socket = Client::builder("http://simulated")
        .simulated(network.clone())
        .state(photos.clone())
        .on("photo", async |photos: State<Log>, Data(photo): Data<Bytes>| photos.say(photo.escape_ascii()))
        .retries(u32::MAX)
        .ack_timeout(secs(3))
        .on_disconnect(reconnects)
        .connect();
    let asking = socket.client().namespace("/asks").on_disconnect(reconnects).connect();
    let (mut readings, mut asks) = (0, Vec::new());
    let answered = Arc::new(AtomicUsize::new(0));
    for outage_number in 0..OUTAGES {
        within(socket.connected()).await.unwrap();
        within(asking.connected()).await.unwrap();
        network.send(PHOTO);
        network.send_binary(outage_number.to_string().as_bytes());
        for _ in 0..random.below(4) {
            socket.emit("reading", readings);
            readings += 1;
            let asked = asking.emit_with_ack::<u32>("ask", readings);
            let answered = Arc::clone(&answered);
            asks.push(tokio::spawn(async move {
                let result = asked.await;
                answered.fetch_add(1, Ordering::Relaxed);
                (readings, result)
            }));
            tokio::time::sleep(Duration::from_millis(random.below(3_000))).await;
        }
        settle().await;
        assert_eq!(photos.wait(1).await, [outage_number.to_string()], "a photo arrives once");
        let bound = outage(&network, &mut random).await;
        // It has noticed the outage.
        settle().await;
        let connected = async {
            socket.connected().await.unwrap();
            asking.connected().await.unwrap();
        };
        assert!(
            timeout(bound, connected).await.is_ok(),
            "outage {outage_number}: not connected after {bound:?}"
        );
        assert_eq!(network.open_links(), 1, "outage {outage_number}");
        assert!(network.state().attempts.is_empty());
    }
    tokio::time::sleep(secs(600)).await;
    assert_eq!(answered.load(Ordering::Relaxed), asks.len(), "each is told exactly once");
    for asked in asks {
        let (number, result) = asked.await.unwrap();
        assert!(result == Ok(number) || result == Err(AckError::Disconnected), "{number}: {result:?}");
    }
    check_delivery(&network.take_received(), readings);
    let shared = Arc::downgrade(socket.client().shared());
    for machine in shared.upgrade().unwrap().state().machine.sockets() {
        assert_eq!((machine.pending_acks(), machine.buffered()), (0, (0, 0)));
    }
    drop((socket, asking));
    settle().await;
    assert!(shared.upgrade().is_none(), "nothing is left of the client");
    assert_eq!(network.open_links(), 0);
}
