//! A feed of prices that is never behind: `cargo run -p tidewire --example trading_feed`.
//!
//! A client that reads slowly gets the latest price of each instrument, and not all those before. So it shows the present, and
//! the server does not collect the past for it. The numbers of the prices show what a client has missed.
//!
//! A page subscribes each time it connects: `socket.on("connect", () => socket.emit("subscribe", ["ACME", "GLOBEX"]))`. The
//! present price comes at once, so it needs no other code after a reconnect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidewire::server::{Data, HandlerError, Server, Socket, State};

/// The server keeps at most 1,024 keys for a client that reads slowly. Events with further keys would queue up.
const MAX_SUBSCRIPTIONS: usize = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let market = Market::new(["ACME", "GLOBEX", "INITECH"]);
    let io = server(&market);
    tokio::spawn(trade(io.clone(), market));
    io.listen("127.0.0.1:3000").await?;
    Ok(())
}

/// The event `price`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Price {
    instrument: String,
    /// Counts the prices of this instrument. If it grows by more than one, the client has not got those between: a chart
    /// shows a gap or asks for the history, a ticker does nothing.
    number: u64,
    /// An amount of money is not a float.
    cents: u64,
}

/// The latest price of each instrument. Clients cannot add instruments, so they cannot make it grow.
#[derive(Clone)]
struct Market(Arc<Mutex<BTreeMap<String, Price>>>);

impl Market {
    fn new<const N: usize>(instruments: [&str; N]) -> Self {
        let prices = instruments
            .map(|name| (name.to_owned(), Price { instrument: name.to_owned(), number: 0, cents: 10_000 }));
        Self(Arc::new(Mutex::new(prices.into())))
    }

    /// Stores a new price, and sends it to all who have subscribed to the instrument.
    ///
    /// `emit` does not wait, so it may be called with the lock held. Therefore all clients get the prices in the order of
    /// their numbers, also if several tasks publish.
    fn publish(&self, io: &Server, instrument: &str, cents: u64) {
        let mut prices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(price) = prices.get_mut(instrument) else { return };
        price.number += 1;
        price.cents = cents;
        io.to(room(instrument)).keep_latest(instrument).emit("price", &*price);
    }

    /// Sends the present price to a client, and from now on all later ones.
    ///
    /// The lock is held from `join` to `emit`, so no price is missing between them. The present price has the same key as the
    /// later ones: a client that is behind gets only one of them.
    async fn subscribe(&self, socket: &Socket, instrument: &str) -> Result<(), HandlerError> {
        let joined = {
            let prices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(price) = prices.get(instrument) else {
                return Err(HandlerError::new(format!("unknown instrument: {instrument}")));
            };
            let joined = socket.join(room(instrument));
            socket.keep_latest(instrument).emit("price", price);
            joined
        };
        // A limit of the server may have refused the room.
        Ok(joined.await?)
    }
}

/// The prefix separates these rooms from those that have the id of a socket as their name.
fn room(instrument: &str) -> String {
    format!("instrument:{instrument}")
}

fn server(market: &Market) -> Server {
    let io = Server::builder().state(market.clone()).build();
    io.on("subscribe", async |socket: Socket, market: State<Market>, Data(names): Data<Vec<String>>| {
        for name in &names {
            // One of its rooms is that of its own id.
            if socket.rooms().len() > MAX_SUBSCRIPTIONS {
                return Err(HandlerError::new(format!("at most {MAX_SUBSCRIPTIONS} instruments")));
            }
            market.subscribe(&socket, name).await?;
        }
        Ok(())
    });
    io.on("unsubscribe", async |socket: Socket, Data(names): Data<Vec<String>>| {
        for name in names {
            socket.leave(room(&name));
        }
    });
    io
}

/// Stands for an exchange. The prices go up and down as in a drunkard's walk.
async fn trade(io: Server, market: Market) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        let mut steps = [0; 3];
        getrandom::fill(&mut steps).expect("the operating system has random bytes");
        let prices = market.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (price, step) in prices.values().zip(steps) {
            let cents = (price.cents + u64::from(step % 21)).saturating_sub(10);
            market.publish(&io, &price.instrument, cents);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidewire::testing;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    #[tokio::test]
    async fn a_subscriber_gets_the_present_price_and_then_each_new_one() -> Tested {
        let market = Market::new(["ACME", "GLOBEX"]);
        let io = server(&market);
        market.publish(&io, "ACME", 101);
        let mut ann = testing::connect(&io).await?;
        ann.emit("subscribe", ["ACME"]).await?;
        for number in 1..100 {
            let price: Price = ann.recv("price").await?;
            assert_eq!(price, Price { instrument: "ACME".to_owned(), number, cents: 100 + number });
            market.publish(&io, "ACME", 101 + number);
            market.publish(&io, "GLOBEX", 1);
        }
        ann.recv::<Price>("price").await?;
        ann.emit("unsubscribe", ["ACME"]).await?;
        ann.sync().await?;
        market.publish(&io, "ACME", 1);
        ann.expect_nothing().await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_slow_reader_gets_only_the_latest_prices_and_never_an_older_one_after_a_newer_one() -> Tested {
        const INSTRUMENTS: [&str; 3] = ["ACME", "GLOBEX", "INITECH"];
        let market = Market::new(INSTRUMENTS);
        let io = server(&market);
        let (mut slow, mut fast) = (testing::connect(&io).await?, testing::connect(&io).await?);
        for client in [&mut slow, &mut fast] {
            client.emit("subscribe", INSTRUMENTS).await?;
            for _ in INSTRUMENTS {
                client.recv::<Price>("price").await?;
            }
        }
        for round in 1..=3 {
            slow.link().stop_reading();
            // The buffers of the connection hold less than that, so from here on the connection is behind.
            slow.server_socket()?.emit("chart", "x".repeat(256 * 1024));
            for number in 100 * (round - 1) + 1..=100 * round {
                for instrument in INSTRUMENTS {
                    market.publish(&io, instrument, number);
                    let price: Price = fast.recv("price").await?;
                    let got = (&*price.instrument, price.number);
                    assert_eq!(got, (instrument, number), "the others get all");
                }
            }
            slow.link().restore();
            for instrument in INSTRUMENTS {
                let price: Price = slow.recv("price").await?;
                assert_eq!((&*price.instrument, price.number), (instrument, 100 * round));
            }
            slow.recv::<String>("chart").await?;
            slow.expect_nothing().await?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_client_can_subscribe_only_to_what_exists() -> Tested {
        let io = server(&Market::new(["ACME"]));
        let mut ann = testing::connect(&io).await?;
        let refused: Value = ann.emit_with_ack("subscribe", ["NONE"]).await?;
        assert_eq!(refused, json!({ "error": "unknown instrument: NONE" }));
        Ok(())
    }
}
