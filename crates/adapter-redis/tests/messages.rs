//! Messages that are not those of this version, limits, and channels of rooms.

use std::sync::Arc;
use std::time::Duration;

use adapter::cluster::PublishError;
use adapter::testing::{Probe, event, id};
use adapter::{BroadcastOptions, LocalSocket};
use tidewire_adapter_redis::{DecodeLimits, RedisAdapter, RedisAdapterBuilder, SubscriptionMode};
use tokio::runtime::Runtime;

use crate::support::{Clock, RedisServer, Server, namespace, runtime, settle, wait_until};

/// Starts a server with a socket.
fn start(runtime: &Runtime, builder: RedisAdapterBuilder, number: u8) -> (Server, Arc<Probe>) {
    let server = Server::start(runtime, builder, Clock::start(), 0);
    let probe = Probe::new(id(number));
    server.adapter.insert(Arc::clone(&probe) as Arc<dyn LocalSocket>);
    server.wait_until_ready(runtime);
    (server, probe)
}

fn all() -> BroadcastOptions {
    BroadcastOptions::new()
}

const GARBAGE: &[&[u8]] = &[
    b"",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"{\"type\":99999}",
    b"{\"type\":-1,\"uid\":7}",
    b"{\"requestId\":\"x\",\"type\":5}",
    b"{\"type\":3,\"data\":{\"packet\":{\"type\":2,\"data\":{}}},\"uid\":\"x\",\"nsp\":\"/\"}",
    b"\x93\xa1x\x80\x80",
    b"\x93\xa1x\x82\xa4type\x02\xa4data\x01\x83\xa5rooms\x01",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
];

#[test]
fn garbage_is_counted_and_dropped() {
    for mode in [None, Some(SubscriptionMode::Dynamic)] {
        let (redis, runtime) = (RedisServer::start(), runtime());
        let builder = || match mode {
            Some(mode) => RedisAdapter::builder(redis.url()).sharded(mode),
            None => RedisAdapter::builder(redis.url()),
        };
        let ((one, probe), (two, _)) = (start(&runtime, builder(), 1), start(&runtime, builder(), 2));
        let command: &[u8] = if mode.is_some() { b"SPUBLISH" } else { b"PUBLISH" };
        let before = one.redis.stats().invalid;
        let channels = ["socket.io#/#", "socket.io-request#/#", "socket.io-response#/#"];
        for channel in &channels[..if mode.is_some() { 1 } else { 3 }] {
            for garbage in GARBAGE {
                let receivers: usize = redis.command(&[command, channel.as_bytes(), garbage]);
                assert_eq!(receivers, 2);
            }
        }
        settle(&runtime, &[&one, &two]);
        let invalid = one.redis.stats().invalid - before;
        assert!(invalid >= 10, "{invalid} of {} are invalid", GARBAGE.len());
        two.adapter.broadcast(&event("hello"), &all());
        settle(&runtime, &[&one, &two]);
        assert_eq!(probe.texts(), ["hello"]);
        assert_eq!((one.redis.stats().links_lost, two.redis.stats().links_lost), (0, 0));
    }
}

#[test]
fn a_confirmation_of_an_old_version_is_ignored() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let (one, _) = start(&runtime, RedisAdapter::builder(redis.url()), 1);
    let confirmation = br#"{"requestId":"XyZ123"}"#;
    let _: usize = redis.command(&[b"PUBLISH", b"socket.io-response#/#", confirmation]);
    wait_until("the message", || one.redis.stats().received > 0);
    settle(&runtime, &[&one]);
    assert_eq!(one.redis.stats().invalid, 0);
}

#[test]
fn requests_of_node_get_replies_also_from_a_server_without_sockets() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let server = Server::start(&runtime, RedisAdapter::builder(redis.url()), Clock::start(), 0);
    server.wait_until_ready(&runtime);
    let mut connection =
        redis::Client::open(redis.url()).expect("a URL").get_connection().expect("a connection");
    let mut replies = connection.as_pubsub();
    replies.subscribe("socket.io-response#/#").expect("it is subscribed");
    for (request, reply) in [
        (
            r#"{"uid":"abcdef","requestId":"KrFo5G","type":5,"opts":{"rooms":[],"except":[]}}"#,
            r#"{"requestId":"KrFo5G","sockets":[]}"#,
        ),
        (r#"{"uid":"abcdef","requestId":"KrFo5H","type":1}"#, r#"{"requestId":"KrFo5H","rooms":[]}"#),
        (
            r#"{"uid":"abcdef","requestId":"KrFo5I","type":7,"packet":{"type":2,"data":["x"],"nsp":"/"},"opts":{"rooms":[],"except":[],"flags":{"timeout":100}}}"#,
            r#"{"type":8,"requestId":"KrFo5I","clientCount":0}"#,
        ),
    ] {
        let _: usize = redis.command(&[b"PUBLISH", b"socket.io-request#/#", request.as_bytes()]);
        let message = replies.get_message().expect("a reply");
        assert_eq!(String::from_utf8_lossy(message.get_payload_bytes()), reply);
    }
}

#[test]
fn a_message_that_is_too_large_is_an_error_of_its_sender_and_dropped_by_its_receiver() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let mut limits = DecodeLimits::default();
    limits.max_message_bytes = 4096;
    let small = RedisAdapter::builder(redis.url()).message_limits(limits);
    let ((one, probe), (two, _)) =
        (start(&runtime, small, 1), start(&runtime, RedisAdapter::builder(redis.url()), 2));
    let large = "x".repeat(5000);
    one.adapter.broadcast(&event(&large), &all());
    let errors = one.host.take_publish_errors();
    assert!(matches!(errors[..], [(_, PublishError::TooLarge { max: 4096, .. })]), "{errors:?}");
    assert_eq!(one.redis.stats().refused, 1);
    let _ = probe.texts();
    two.adapter.broadcast(&event(&large), &all());
    two.adapter.broadcast(&event("small"), &all());
    settle(&runtime, &[&one, &two]);
    assert_eq!(probe.texts(), ["small"]);
    assert_eq!(one.redis.stats().invalid, 1);
}

#[test]
fn many_messages_of_one_thread_arrive_in_their_order() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let builder = || RedisAdapter::builder(redis.url());
    let ((one, probe), (two, _)) = (start(&runtime, builder(), 1), start(&runtime, builder(), 2));
    assert!(one.adapter.add_all(&id(1), &["room"]).is_ok());
    let names: Vec<_> = (0..20_000).map(|number| number.to_string()).collect();
    for (index, name) in names.iter().enumerate() {
        let options = if index % 3 == 0 { all().to("room") } else { all() };
        two.adapter.broadcast(&event(name), &options);
    }
    settle(&runtime, &[&one, &two]);
    assert_eq!(probe.texts(), names);
    assert_eq!(two.redis.stats().refused + two.redis.stats().lost, 0);
}

#[test]
fn joining_waits_until_the_channel_of_the_room_is_subscribed_and_it_ends_with_the_last_member() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let builder = || RedisAdapter::builder(redis.url()).sharded(SubscriptionMode::Dynamic);
    let ((one, probe), (two, _)) = (start(&runtime, builder(), 1), start(&runtime, builder(), 2));
    let subscribers = |room: &str| -> usize {
        let channel = format!("socket.io#/#{room}#");
        let (_, count): (String, usize) = redis.command(&[b"PUBSUB", b"SHARDNUMSUB", channel.as_bytes()]);
        count
    };
    assert_eq!(subscribers(&id(1)), 0, "the rooms of the sockets' own ids have no channels in this mode");
    let joined = one.adapter.add_all(&id(1), &["a", "b"]).expect("the limits allow it");
    assert!(!joined.is_now());
    runtime.block_on(joined);
    assert_eq!((subscribers("a"), subscribers("b")), (1, 1));
    assert!(one.adapter.add_all(&id(1), &["a"]).expect("the limits allow it").is_now());
    two.adapter.broadcast(&event("a"), &all().to("a"));
    two.adapter.broadcast(&event("own"), &all().to(&*id(1)));
    settle(&runtime, &[&one, &two]);
    assert_eq!(probe.texts(), ["a", "own"]);
    // It is deleted and created while Redis is asked.
    for _ in 0..100 {
        one.adapter.del(&id(1), "a");
        assert!(one.adapter.add_all(&id(1), &["a"]).is_ok());
    }
    one.adapter.del(&id(1), "b");
    settle(&runtime, &[&one, &two]);
    assert_eq!((subscribers("a"), subscribers("b")), (1, 0));
    one.adapter.del_all(&id(1));
    settle(&runtime, &[&one, &two]);
    assert_eq!(subscribers("a"), 0);
}

#[test]
fn more_rooms_than_are_remembered_are_all_subscribed() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let builder = || RedisAdapter::builder(redis.url()).sharded(SubscriptionMode::Dynamic);
    let ((one, _), (two, _)) = (start(&runtime, builder(), 1), start(&runtime, builder(), 2));
    let rooms: Vec<_> = (0..10_000).map(|number| format!("room {number}")).collect();
    let names: Vec<_> = rooms.iter().map(String::as_str).collect();
    let _ = one.adapter.add_all(&id(1), &names);
    let more = Probe::new(id(3));
    one.adapter.insert(Arc::clone(&more) as Arc<dyn LocalSocket>);
    let _ = one.adapter.add_all(&id(3), &["one more"]);
    settle(&runtime, &[&one, &two]);
    let channels: Vec<String> = redis.command(&[b"PUBSUB", b"SHARDCHANNELS", b"socket.io#/#*"]);
    let expected = 10_001 + 1 + 2;
    assert_eq!(channels.len(), expected, "those of the rooms, the main one, and those of the two servers");
    one.adapter.del_all(&id(1));
    settle(&runtime, &[&one, &two]);
    let channels: Vec<String> = redis.command(&[b"PUBSUB", b"SHARDCHANNELS", b"socket.io#/#*"]);
    assert_eq!(channels.len(), expected - 10_000);
}

#[test]
fn two_clusters_with_different_keys_share_one_redis() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let builder =
        |key: &str| RedisAdapter::builder(redis.url()).key(key).count_interval(Duration::from_millis(20));
    let ((one, probe), (two, _)) = (start(&runtime, builder("a"), 1), start(&runtime, builder("b"), 2));
    two.adapter.broadcast(&event("hello"), &all());
    settle(&runtime, &[&one]);
    settle(&runtime, &[&two]);
    assert_eq!(probe.texts(), [""; 0]);
    wait_until("the number of servers", || one.adapter.server_count() == Some(1));
    let (three, _) = start(&runtime, builder("a"), 3);
    wait_until("the number of servers", || one.adapter.server_count() == Some(2));
    drop(three);
    wait_until("the number of servers", || one.adapter.server_count() == Some(1));
}

#[test]
fn a_namespace_with_characters_of_patterns_gets_no_messages_of_other_namespaces() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let builder = || RedisAdapter::builder(redis.url());
    let ((one, probe), (two, _)) = (start(&runtime, builder(), 1), start(&runtime, builder(), 2));
    let clock = Clock::start();
    let (_guard, mut others) = (runtime.enter(), Vec::new());
    for name in ["/*", "/**", "/?", "/[a-z]", "/\\*", "/a]", "/[^b]*"] {
        let (receiver, sender) =
            (namespace(&one.redis, name, clock, 0), namespace(&two.redis, name, clock, 0));
        let socket = Probe::new(id(3));
        receiver.0.insert(Arc::clone(&socket) as Arc<dyn LocalSocket>);
        others.push((name, receiver, sender, socket));
    }
    let (a_receiver, a_sender) =
        (namespace(&one.redis, "/a", clock, 0), namespace(&two.redis, "/a", clock, 0));
    settle(&runtime, &[&one, &two]);
    let before = one.redis.stats();
    for _ in 0..100 {
        a_sender.0.broadcast(&event("hello"), &all());
    }
    settle(&runtime, &[&one, &two]);
    let after = one.redis.stats();
    assert!(after.received - before.received < 200, "{} messages", after.received - before.received);
    assert_eq!(after.invalid, before.invalid);
    for (name, _, sender, socket) in &others {
        sender.0.broadcast(&event("own"), &all());
        sender.0.broadcast(&event("room"), &all().to(&*id(3)));
        settle(&runtime, &[&one, &two]);
        assert_eq!(socket.texts(), ["own", "room"], "{name}");
    }
    assert_eq!(probe.texts(), [""; 0]);
    drop(a_receiver);
}

#[test]
fn a_namespace_whose_name_ends_with_that_of_a_room_does_not_take_its_messages() {
    let (redis, runtime) = (RedisServer::start(), runtime());
    let builder = || RedisAdapter::builder(redis.url()).sharded(SubscriptionMode::Dynamic);
    let ((one, probe), (two, _)) = (start(&runtime, builder(), 1), start(&runtime, builder(), 2));
    runtime.block_on(one.adapter.add_all(&id(1), &["room"]).expect("the limits allow it"));
    let _guard = runtime.enter();
    let is_reached = |what: &str| {
        two.adapter.broadcast(&event(what), &all().to("room"));
        settle(&runtime, &[&one, &two]);
        assert_eq!(probe.texts(), [what]);
    };
    is_reached("before");
    // Both have the channel `socket.io#/#room#`.
    let clock = Clock::start();
    let (other, _host) = namespace(&one.redis, "/#room", clock, 0);
    let (other_sender, _other_host) = namespace(&two.redis, "/#room", clock, 0);
    let member = Probe::new(id(9));
    other.insert(Arc::clone(&member) as Arc<dyn LocalSocket>);
    settle(&runtime, &[&one, &two]);
    is_reached("while it exists");
    other_sender.broadcast(&event("other"), &all());
    settle(&runtime, &[&one, &two]);
    assert_eq!(member.texts(), ["other"]);
    runtime.block_on(other.close());
    settle(&runtime, &[&one, &two]);
    is_reached("after its end");
    // The room goes while the namespace exists.
    let (other, _host) = namespace(&one.redis, "/#room", clock, 0);
    let member = Probe::new(id(9));
    other.insert(Arc::clone(&member) as Arc<dyn LocalSocket>);
    settle(&runtime, &[&one, &two]);
    one.adapter.del(&id(1), "room");
    settle(&runtime, &[&one, &two]);
    other_sender.broadcast(&event("again"), &all());
    settle(&runtime, &[&one, &two]);
    assert_eq!(member.texts(), ["again"]);
}

#[test]
fn a_namespace_that_is_closed_before_it_is_subscribed_costs_redis_nothing() {
    const NAMESPACES: usize = 10_000;
    let (redis, runtime) = (RedisServer::start(), runtime());
    let (one, _) = start(&runtime, RedisAdapter::builder(redis.url()), 1);
    let _guard = runtime.enter();
    for number in 0..NAMESPACES {
        let (adapter, _host) = namespace(&one.redis, &format!("/room-{number}"), Clock::start(), 0);
        drop(adapter.close());
    }
    settle(&runtime, &[&one]);
    let statistics: String = redis.command(&[b"INFO", b"commandstats"]);
    let subscribed = statistics.lines().find_map(|line| line.strip_prefix("cmdstat_psubscribe:calls="));
    let subscribed = subscribed.and_then(|rest| rest.split(',').next()?.parse::<usize>().ok());
    let subscribed = subscribed.expect("the server has subscribed");
    assert!(subscribed < NAMESPACES / 2, "{subscribed} of {NAMESPACES}");
}
