//! Observers learn which clients recover, and why others do not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tidewire_server::{Auth, ConnectError, ConnectionStateRecovery, Observation};

use super::client::{Recovering, answer_sync};
use crate::support::{program, serve, soon, until};

#[tokio::test]
async fn each_refusal_has_a_reason() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let (builder, _program) = program();
    let io = builder
        .connection_state_recovery(ConnectionStateRecovery {
            skip_middlewares: false,
            max_missed_events: 2,
            ..ConnectionStateRecovery::default()
        })
        .ping_interval(Duration::from_secs(300))
        .observer(move |observation: &Observation<'_>| {
            let line = match observation {
                Observation::SocketConnecting { .. } => "connecting".to_owned(),
                Observation::SocketConnected { socket, .. } => format!("connected {}", socket.recovered()),
                Observation::SocketRecovered { missed, .. } => format!("recovered {missed}"),
                Observation::RecoveryRefused { reason, .. } => reason.to_string(),
                Observation::SocketRefused { .. } => "refused".to_owned(),
                _ => return,
            };
            record.lock().expect("no panic").push(line);
        })
        .build();
    io.middleware(
        async |Auth(auth): Auth<Value>| {
            if auth["banned"] == true { Err(ConnectError::new("banned")) } else { Ok(()) }
        },
    );
    answer_sync(&io);
    let address = serve(&io).await;
    let lines = || std::mem::take(&mut *seen.lock().expect("no panic"));

    let client = Recovering::new(address).await;
    assert_eq!(lines(), ["connecting", "connected false"]);
    io.emit("1", ());
    let (client, _) = client.back(address).await;
    assert_eq!(lines(), ["connecting", "connected true", "recovered 1"]);

    let unknown = Recovering { pid: "x".repeat(20), ..Recovering::new(address).await };
    lines();
    let _ = unknown.back(address).await;
    assert_eq!(lines(), ["the session is not known", "connecting", "connected false"]);

    let invalid = Recovering { offset: Some("hello".to_owned()), ..Recovering::new(address).await };
    lines();
    let _ = invalid.back(address).await;
    assert_eq!(lines(), ["the offset is not one of this namespace", "connecting", "connected false"]);

    let mut refused = crate::support::Client::open(address).await;
    refused.send(&format!(r#"40{{"pid":"{}","banned":true}}"#, client.pid)).await;
    refused.expect(r#"44{"message":"banned"}"#).await;
    soon(until(|| seen.lock().expect("no panic").len() == 3)).await;
    assert_eq!(lines(), ["connecting", "a middleware has refused the client", "refused"]);

    for number in 0..3 {
        io.emit("many", number);
    }
    let (client, missed) = client.back(address).await;
    assert_eq!((client.recovered, missed.len()), (false, 0));
    assert_eq!(lines(), ["the client has missed too many events", "connecting", "connected false"]);
}
