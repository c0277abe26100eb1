//! Events from programs that are no servers.

use std::sync::Arc;

use adapter::LocalSocket;
use adapter::testing::{Happening, Probe, id};
use tidewire_adapter_redis::{ConnectError, Emitter, EmitterError, RedisAdapter};

use crate::support::{Clock, RedisServer, Server, namespace, own_address, runtime, settle, wait_until};

#[test]
fn an_emitter_reaches_the_clients_of_all_servers() {
    let (mut redis, runtime, clock) = (RedisServer::start(), runtime(), Clock::start());
    let start = |number| {
        let server = Server::start(&runtime, RedisAdapter::builder(redis.url()), clock, 0);
        let probe = Probe::new(id(number));
        server.adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
        server.wait_until_ready(&runtime);
        (server, probe)
    };
    let ((one, first), (two, second)) = (start(1), start(2));
    let (chat, _chat_host) = {
        let _guard = runtime.enter();
        namespace(&one.redis, "/chat", clock, 0)
    };
    runtime.block_on(chat.ready());
    let chat_probe = Probe::new(id(3));
    chat.insert(Arc::clone(&chat_probe) as Arc<dyn LocalSocket>);
    let texts = || {
        settle(&runtime, &[&one, &two]);
        [&first, &second, &chat_probe].map(|probe| probe.texts())
    };
    let emitter = runtime.block_on(Emitter::connect(redis.url())).expect("Redis is there");
    let none: Vec<String> = Vec::new();

    runtime
        .block_on(async {
            emitter.emit("all", ()).await?;
            emitter.to(&*id(1)).emit("first", ()).await?;
            emitter.except(&*id(1)).volatile().compress(false).emit("second", ()).await?;
            emitter.of("chat").emit("chat", ()).await
        })
        .expect("Redis takes them");
    assert_eq!(texts(), [vec!["all", "first"], vec!["all", "second"], vec!["chat"]]);

    runtime
        .block_on(async {
            emitter.sockets_join(["a", "b"]).await?;
            emitter.in_(&*id(2)).sockets_leave(["a"]).await?;
            emitter.to("a").emit("a", ()).await?;
            emitter.to("a").to("b").except("nobody").emit("a or b", ()).await
        })
        .expect("Redis takes them");
    assert_eq!(texts(), [vec!["a".to_owned(), "a or b".to_owned()], vec!["a or b".to_owned()], none.clone()]);

    runtime
        .block_on(async {
            emitter.to("a").disconnect_sockets(true).await?;
            emitter.server_side_emit("reload", (1, "x")).await
        })
        .expect("Redis takes them");
    settle(&runtime, &[&one, &two]);
    assert_eq!(first.take_log(), [Happening::Disconnected { close_connection: true }]);
    assert_eq!(second.take_log(), []);
    for server in [&one, &two] {
        let events: Vec<_> = server.host.take_events().into_iter().map(|event| event.json).collect();
        assert_eq!(events, [r#"["reload",1,"x"]"#]);
    }

    // A link that is lost is an error of one call, and the next one connects again.
    redis.stop();
    let error = runtime.block_on(emitter.emit("gone", ())).expect_err("Redis is gone");
    assert!(matches!(error, EmitterError::Failed(_)));
    redis.start_again();
    wait_until("the link", || runtime.block_on(emitter.emit("back", ())).is_ok());
}

#[test]
fn an_emitter_says_why_it_cannot_send() {
    let runtime = runtime();
    let url = format!("redis://{}/", own_address());
    let error = runtime.block_on(Emitter::connect(url.clone())).expect_err("nobody listens");
    assert!(matches!(error, ConnectError::Failed(_)));
    let emitter = RedisAdapter::builder(url).build_emitter().expect("the URL is valid");
    let error = runtime.block_on(emitter.emit("connect", ())).expect_err("the name is reserved");
    assert!(matches!(error, EmitterError::Encode(_)), "{error}");
}
