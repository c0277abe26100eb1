//! The Rust client of Engine.IO that the tests in `conformance/node` run. `reference-engine-client.js` is the same
//! program on the npm package `engine.io-client`, and has the description.
#![allow(clippy::print_stdout, reason = "it tells the test how it went")]

use std::process::ExitCode;
use std::task::Context;

use serde_json::{Value, json};
use tidewire_engineio_client::{
    Closed, Connector, EngineHandler, Handshake, Message, Session, Time, Transport, TransportError,
};

struct Program(Session);

impl EngineHandler for Program {
    fn on_open(&mut self, handshake: &Handshake, _: Time, _: &mut Context<'_>) {
        let transport = self.0.transport().name();
        println!("{}", json!({ "open": { "sid": handshake.session_id, "transport": transport } }));
    }

    fn on_message(&mut self, message: Message<'_>, _: Time, _: &mut Context<'_>) {
        let session = &self.0;
        match message {
            Message::Text("close") => session.close(),
            Message::Text(text) => match text.strip_prefix("send ").and_then(|count| count.parse().ok()) {
                Some(count) => (0_usize..count).for_each(|number| session.send_text(&number.to_string())),
                None => session.send_text(text),
            },
            Message::Binary(data) => session.send_binary(&data),
        }
    }

    fn on_upgrade(&mut self, transport: Transport) {
        println!("{}", json!({ "upgrade": transport.name() }));
    }

    fn on_upgrade_error(&mut self, _: Transport, error: TransportError) {
        println!("{}", json!({ "upgradeError": error.to_string() }));
    }

    fn on_close(&mut self, closed: Closed, _: Time, _: &mut Context<'_>) {
        let error = closed.error.map(|error| error.to_string());
        println!("{}", json!({ "close": { "reason": closed.reason.as_str(), "error": error } }));
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, options] = arguments.as_slice() else {
        eprintln!("usage: engine-client URL OPTIONS, for instance http://127.0.0.1:3000 '{{}}'");
        return ExitCode::FAILURE;
    };
    let options: Value = match serde_json::from_str(options) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("these options are no JSON: {error}");
            return ExitCode::FAILURE;
        }
    };
    match connector(url, &options).connect() {
        Ok((session, driver)) => {
            driver.run(Program(session)).await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn connector(url: &str, options: &Value) -> Connector {
    let mut connector = Connector::new(url);
    let flag = |name: &str| options[name].as_bool();
    if let Some(transports) = options["transports"].as_array() {
        let names = transports.iter().filter_map(Value::as_str);
        connector = connector.transports(names.filter_map(Transport::from_name).collect::<Vec<_>>());
    }
    if let Some(path) = options["path"].as_str() {
        connector = connector.path(path);
    }
    if let Some(upgrade) = flag("upgrade") {
        connector = connector.upgrade(upgrade);
    }
    if let Some(try_all) = flag("tryAllTransports") {
        connector = connector.try_all_transports(try_all);
    }
    if let Some(with_credentials) = flag("withCredentials") {
        connector = connector.with_credentials(with_credentials);
    }
    for (name, value) in options["query"].as_object().into_iter().flatten() {
        connector = connector.query(name, value.as_str().unwrap_or_default());
    }
    for (name, value) in options["extraHeaders"].as_object().into_iter().flatten() {
        connector = connector.extra_header(name, value.as_str().unwrap_or_default());
    }
    connector
}
