//! Conversations with our own server.

use crate::support::{Client, EchoServer, POLLING, WEBSOCKET, until};

#[tokio::test]
async fn text_and_bytes_come_back_on_each_transport() {
    let server = EchoServer::start().await;
    let long = "tide €".repeat(20_000);
    for transports in [&WEBSOCKET[..], &POLLING] {
        let mut client = Client::open(&server.connector().transports(transports)).await;
        assert_eq!(client.session.transport(), transports[0]);
        for text in ["hello", "", "größer € 日本語 \u{10ffff}\u{0}", &long] {
            client.session.send_text(text);
            assert_eq!(client.text().await, text);
        }
        for data in [&[0, 1, 254, 255][..], &[], long.as_bytes()] {
            client.session.send_binary(data);
            assert_eq!(client.binary().await, data);
        }
        client.session.close();
        client.done().await;
    }
    until(|| server.server.session_count() == 0).await;
}

#[tokio::test]
async fn messages_that_are_sent_before_the_session_is_open_arrive_in_order() {
    let server = EchoServer::start().await;
    for transports in [&WEBSOCKET[..], &POLLING] {
        let mut client = Client::start(&server.connector().transports(transports));
        for number in 0..1_000 {
            client.session.send_text(&number.to_string());
        }
        let handshake = client.opened().await;
        assert_eq!(client.session.id(), Some(&*handshake.session_id));
        for number in 0..1_000 {
            assert_eq!(client.text().await, number.to_string());
        }
    }
}

#[tokio::test]
async fn a_session_on_polling_upgrades_and_goes_on() {
    let server = EchoServer::start().await;
    let mut client = Client::open(&server.connector()).await;
    client.session.send_text("before");
    let mut texts = Vec::new();
    let mut has_upgraded = false;
    while texts.is_empty() || !has_upgraded {
        match client.next().await {
            crate::support::Seen::Text(text) => texts.push(text),
            crate::support::Seen::Upgrade(_) => has_upgraded = true,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.session.transport(), WEBSOCKET[0]);
    client.session.send_text("after");
    assert_eq!((texts, client.text().await), (vec!["before".to_owned()], "after".to_owned()));
}

#[tokio::test]
async fn a_hundred_clients_share_one_connector() {
    let server = EchoServer::start().await;
    let connector = server.connector();
    let mut clients: Vec<_> = (0..100).map(|_| Client::start(&connector)).collect();
    for client in &mut clients {
        client.opened().await;
        client.session.send_text("hello");
    }
    for client in &clients {
        until(|| client.session.transport() == WEBSOCKET[0]).await;
        client.session.close();
    }
    for client in clients {
        client.driver.await.expect("the driver does not panic");
    }
    until(|| server.server.session_count() == 0).await;
}
