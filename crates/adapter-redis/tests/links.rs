//! Links that are lost, and engines that are gone.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use adapter::cluster::{Message, PublishError};
use adapter::testing::{Probe, event, id};
use adapter::{
    BroadcastOptions, DeliveryPolicy, LinkChange, LocalSocket, Missing, MissingReason, Replies, Reply,
    Request,
};
use tidewire_adapter_redis::{
    ConfigError, ConnectError, OutgoingLimits, RedisAdapter, RedisAdapterBuilder, SubscriptionMode,
};
use tokio::runtime::Runtime;

use crate::support::{
    Clock, LIMIT, Proxy, RedisServer, Server, Traffic, namespace, own_address, runtime, settle, wait_until,
};

const RESTORED: LinkChange = LinkChange::Restored { gap: true };

fn builder(url: String) -> RedisAdapterBuilder {
    RedisAdapter::builder(url)
        .reconnection_delay(Duration::from_millis(5), Duration::from_millis(50))
        .ready_timeout(LIMIT)
}

/// Starts a server with a socket.
fn start(runtime: &Runtime, builder: RedisAdapterBuilder, number: u8) -> (Server, Arc<Probe>) {
    let server = Server::start(runtime, builder, Clock::start(), 0);
    let probe = Probe::new(id(number));
    server.adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    (server, probe)
}

fn all() -> BroadcastOptions {
    BroadcastOptions::new()
}

fn request_channel() -> &'static str {
    "socket.io-request#/#"
}

#[test]
fn a_connection_that_is_cut_without_notice_is_noticed_and_counted_once_after_that() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let proxy = Proxy::start(&runtime, redis.address());
    let impatient = builder(proxy.url())
        .ping_interval(Duration::from_millis(50))
        .response_timeout(Duration::from_millis(200));
    let (one, probe) = start(&runtime, impatient, 1);
    let (two, _) = start(&runtime, builder(redis.url()).count_interval(Duration::from_millis(50)), 2);
    for server in [&one, &two] {
        server.wait_until_ready(&runtime);
    }
    settle(&runtime, &[&one, &two]);
    proxy.set(Traffic::Silence);
    one.wait_for_link(LinkChange::Lost);
    assert_eq!(redis.subscribers(request_channel()), 2, "Redis still believes in the former connection");
    proxy.set(Traffic::Pass);
    one.wait_for_link(RESTORED);
    settle(&runtime, &[&one, &two]);
    assert_eq!(redis.subscribers(request_channel()), 2, "and does not count it any more");
    // It may have counted before the other one was there.
    wait_until("the count of both", || two.adapter.server_count() == Some(2));
    two.adapter.broadcast(&event("hello"), &all());
    settle(&runtime, &[&one, &two]);
    assert_eq!(probe.texts(), ["hello"], "one copy");
    assert_eq!(one.redis.stats().links_lost, 1);
}

#[test]
fn what_is_sent_while_the_engine_is_gone_arrives_in_its_order_when_it_is_back() {
    for mode in [None, Some(SubscriptionMode::Dynamic)] {
        let (mut redis, runtime) = (RedisServer::start(), runtime());
        let with_mode = |builder: RedisAdapterBuilder| match mode {
            Some(mode) => builder.sharded(mode),
            None => builder,
        };
        let (one, _) = start(&runtime, with_mode(builder(redis.url())), 1);
        let (two, probe) = start(&runtime, with_mode(builder(redis.url())), 2);
        for server in [&one, &two] {
            server.wait_until_ready(&runtime);
        }
        assert!(two.adapter.add_all(&id(2), &["room"]).is_ok());
        settle(&runtime, &[&one, &two]);
        redis.stop();
        for server in [&one, &two] {
            server.wait_for_link(LinkChange::Lost);
        }
        assert!(!one.redis.is_connected());
        // Rooms that come and go meanwhile have their channels later.
        assert!(two.adapter.add_all(&id(2), &["new"]).is_ok());
        two.adapter.del(&id(2), "room");
        let mut volatile = all();
        volatile.policy = DeliveryPolicy::Volatile;
        one.adapter.broadcast(&event("volatile"), &volatile);
        for number in 0..100 {
            one.adapter.broadcast(&event(&number.to_string()), &all());
        }
        assert_eq!(one.redis.stats().queued, 100);
        redis.start_again();
        for server in [&one, &two] {
            server.wait_for_link(RESTORED);
        }
        settle(&runtime, &[&one, &two]);
        // The other server may be back later than the sender, and misses the beginning then.
        let texts = probe.texts();
        let expected: Vec<_> = (100 - texts.len()..100).map(|number| number.to_string()).collect();
        assert_eq!(texts, expected);
        for room in ["new", "room"] {
            one.adapter.broadcast(&event(room), &all().to(room));
        }
        settle(&runtime, &[&one, &two]);
        assert_eq!(probe.texts(), ["new"]);
        assert_eq!((one.redis.stats().queued, one.redis.stats().refused, one.redis.stats().lost), (0, 0, 0));
    }
}

#[test]
fn what_does_not_fit_into_the_queue_is_refused_and_the_namespace_learns_it() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let proxy = Proxy::start(&runtime, redis.address());
    let mut limits = OutgoingLimits::default();
    limits.max_messages = 3;
    let (one, probe) = start(&runtime, builder(proxy.url()).outgoing_limits(limits), 1);
    let (two, other) = start(&runtime, builder(redis.url()), 2);
    for server in [&one, &two] {
        server.wait_until_ready(&runtime);
    }
    settle(&runtime, &[&one, &two]);
    proxy.set(Traffic::Cut);
    one.wait_for_link(LinkChange::Lost);
    for number in 0..5 {
        assert_eq!(one.adapter.broadcast(&event(&number.to_string()), &all()), Some(1));
    }
    let errors = one.host.take_publish_errors();
    assert_eq!(errors.len(), 2);
    for (message, error) in errors {
        assert!(matches!(message, Message::Broadcast { .. }));
        assert!(matches!(error, PublishError::QueueFull { messages: 3, .. }), "{error}");
    }
    assert_eq!((one.redis.stats().queued, one.redis.stats().refused), (3, 2));
    assert_eq!(probe.texts().len(), 5, "its own clients are served");
    proxy.set(Traffic::Pass);
    one.wait_for_link(RESTORED);
    settle(&runtime, &[&one, &two]);
    assert_eq!(other.texts(), ["0", "1", "2"]);
}

#[test]
fn a_message_that_was_on_its_way_when_the_link_was_lost_is_reported() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let proxy = Proxy::start(&runtime, redis.address());
    let impatient = builder(proxy.url()).response_timeout(Duration::from_millis(100));
    let (one, _) = start(&runtime, impatient, 1);
    one.wait_until_ready(&runtime);
    settle(&runtime, &[&one]);
    proxy.set(Traffic::Silence);
    one.adapter.broadcast(&event("lost"), &all());
    one.wait_for_link(LinkChange::Lost);
    let errors = one.host.take_publish_errors();
    assert!(matches!(errors[..], [(Message::Broadcast { .. }, PublishError::LinkLost)]), "{errors:?}");
    assert_eq!(one.redis.stats().lost, 1);
}

#[test]
fn a_connection_that_redis_ends_is_replaced() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let (one, probe) = start(&runtime, builder(redis.url()), 1);
    let (two, _) = start(&runtime, builder(redis.url()), 2);
    for server in [&one, &two] {
        server.wait_until_ready(&runtime);
    }
    for kind in ["pubsub", "normal"] {
        let _: i64 = redis.command(&[b"CLIENT", b"KILL", b"TYPE", kind.as_bytes(), b"SKIPME", b"yes"]);
        // The publisher notices it when it sends.
        for server in [&one, &two] {
            server.adapter.broadcast(&event("noise"), &all());
        }
        for server in [&one, &two] {
            server.wait_for_link(LinkChange::Lost);
            server.wait_for_link(RESTORED);
        }
        settle(&runtime, &[&one, &two]);
        let _ = probe.texts();
        two.adapter.broadcast(&event(kind), &all());
        settle(&runtime, &[&one, &two]);
        assert_eq!(probe.texts(), [kind]);
        assert_eq!(redis.subscribers(request_channel()), 2);
    }
}

#[test]
fn an_engine_that_is_down_at_the_start_is_an_error_by_choice() {
    let runtime = runtime();
    let url = format!("redis://{}/", own_address());
    let error = runtime.block_on(RedisAdapter::connect(url.clone())).expect_err("nobody listens");
    assert!(matches!(error, ConnectError::Failed(_)));
    assert_eq!(error.to_string(), "cannot connect to Redis");
    assert!(error.source().is_some_and(|source| source.to_string().contains("refused")), "{error:?}");

    let error = RedisAdapter::new("http://localhost").expect_err("another scheme");
    assert!(matches!(error, ConfigError::InvalidUrl(_)));
    let error = RedisAdapter::new(url).expect_err("there is no runtime");
    assert!(matches!(error, ConfigError::NoRuntime));
}

#[test]
fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let (redis, runtime) = (RedisServer::start_with(&["--requirepass", "right"]), runtime());
    let url = |password: &str| redis.url().replace("redis://", &format!("redis://:{password}@"));
    let error = runtime.block_on(RedisAdapter::connect(url("wrong"))).expect_err("it is wrong");
    let text = format!("{error}: {:?}", error.source());
    assert!(!text.contains("wrong@") && text.contains("assword"), "{text}");
    runtime.block_on(RedisAdapter::connect(url("right"))).expect("it is right");
}

#[test]
fn a_channel_that_the_user_may_not_use_is_reported_and_the_others_work() {
    let (redis, runtime, clock) = (RedisServer::start(), runtime(), Clock::start());
    // Redis compares patterns literally with those that a user may use.
    let rules = "on >secret resetchannels &socket.io-re* &socket.io#/#* +@pubsub +@connection +info";
    let mut command = vec!["ACL", "SETUSER", "server"];
    command.extend(rules.split(' '));
    let _: String = redis.command(&command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
    let url = redis.url().replace("redis://", "redis://server:secret@");
    let (one, probe) = start(&runtime, builder(url), 1);
    one.wait_until_ready(&runtime);
    let emitter = RedisAdapter::builder(redis.url()).build_emitter().expect("the URL is valid");
    wait_until("the refusal of the pattern of the namespace /links", || {
        one.redis.stats().subscriptions_refused == 1
    });
    runtime.block_on(emitter.emit("hello", ())).expect("Redis takes it");
    let mut texts = Vec::new();
    wait_until("the event", || {
        texts.extend(probe.texts());
        !texts.is_empty()
    });
    assert_eq!((texts.len(), one.redis.stats().links_lost), (1, 0));
    let namespaces = {
        let _guard = runtime.enter();
        namespace(&one.redis, "/other", clock, 0)
    };
    runtime.block_on(namespaces.0.ready());
    wait_until("another refusal", || one.redis.stats().subscriptions_refused == 2);
    assert!(one.redis.is_connected());
}

#[test]
fn clients_wait_a_limited_time_for_an_engine_that_is_down_and_it_is_found_later() {
    let runtime = runtime();
    let mut redis = RedisServer::start();
    redis.stop();
    let patient = builder(redis.url()).ready_timeout(Duration::from_millis(100));
    let (one, probe) = start(&runtime, patient, 1);
    runtime.block_on(one.adapter.ready());
    assert!(!one.redis.is_connected());
    one.wait_for_link(LinkChange::Lost);
    let (send, replies) = std::sync::mpsc::channel();
    let replies_to = Replies::new(move |reply| send.send(reply).expect("the test waits"));
    let request = Request { timeout: Duration::from_secs(60), now: one.now(), replies: replies_to };
    one.adapter.fetch_sockets(&all(), request);
    let missing = Missing::Server { node: None, reason: MissingReason::Disconnected };
    assert_eq!(replies.iter().collect::<Vec<_>>(), [Reply::Missing(missing)], "it ends at once");
    redis.start_again();
    one.wait_for_link(RESTORED);
    one.wait_until_ready(&runtime);
    let (two, _) = start(&runtime, builder(redis.url()), 2);
    two.wait_until_ready(&runtime);
    two.adapter.broadcast(&event("hello"), &all());
    settle(&runtime, &[&one, &two]);
    assert_eq!(probe.texts(), ["hello"]);
}

#[test]
fn a_server_that_is_closed_and_dropped_leaves_nothing_in_redis() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let (one, _) = start(&runtime, builder(redis.url()), 1);
    one.wait_until_ready(&runtime);
    assert_eq!(redis.subscribers(request_channel()), 1);
    one.adapter.broadcast(&event("last"), &all());
    let published = one.redis.stats().published;
    runtime.block_on(one.adapter.close());
    assert_eq!(redis.subscribers(request_channel()), 0);
    assert_eq!(one.redis.stats().published, published + 2, "the event, and that it leaves");
    drop(one);
    // Only the connection of this command is left.
    wait_until("the end of the connections", || {
        let clients: String = redis.command(&[b"CLIENT", b"LIST"]);
        clients.lines().count() == 1
    });
}

#[test]
fn clients_that_could_connect_before_the_first_link_learn_that_they_may_have_missed_something() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let (one, _) = start(&runtime, builder(redis.url()).ready_timeout(Duration::ZERO), 1);
    one.wait_for_link(LinkChange::Lost);
    one.wait_for_link(RESTORED);
}
