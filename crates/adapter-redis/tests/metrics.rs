//! What the metrics of a process show of its servers in a cluster, as a scrape of Prometheus sees it.

use std::time::Duration;

use adapter::cluster::OutgoingLimits;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use server::Server;
use tidewire_adapter_redis::RedisAdapter;

use crate::support::{RedisServer, runtime, wait_until};

const RECONNECTION_DELAY: Duration = Duration::from_millis(20);
const MAX_QUEUED: usize = 10;

struct Metrics(PrometheusHandle);

impl Metrics {
    fn page(&self) -> String {
        server::metrics::publish();
        self.0.render()
    }

    /// Returns the value of a series. It is `None` if there is no such series.
    fn find(&self, series: &str) -> Option<f64> {
        let page = self.page();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().expect("a number"))
    }

    fn get(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("{series} in {}", self.page()))
    }
}

// The numbers are those of the process, so only this test has servers that are counted.
#[test]
fn the_link_the_messages_and_the_servers_of_a_cluster_are_in_the_metrics() {
    let metrics = Metrics(PrometheusBuilder::new().install_recorder().expect("there is no other one"));
    let (mut redis, runtime) = (RedisServer::start(), runtime());
    let _runtime = runtime.enter();
    let start = || {
        let mut limits = OutgoingLimits::default();
        limits.max_messages = MAX_QUEUED;
        let adapter = RedisAdapter::builder(redis.url())
            .reconnection_delay(RECONNECTION_DELAY, RECONNECTION_DELAY)
            .count_interval(Duration::from_millis(50))
            .outgoing_limits(limits)
            .connect();
        Server::builder().adapter(runtime.block_on(adapter).expect("Redis runs")).build()
    };
    assert_eq!(metrics.find("tidewire_cluster_link_up"), None, "there is no cluster yet");
    let [one, two] = [start(), start()];
    wait_until("both servers", || metrics.get("tidewire_cluster_servers") == 2.0);
    assert_eq!(metrics.get("tidewire_cluster_link_up"), 1.0);
    one.emit("news", "x".repeat(1_000));
    // Each one gets what it has sent itself, too.
    wait_until("the event", || metrics.get("tidewire_cluster_received_bytes_total") > 2_000.0);
    wait_until("the event", || metrics.get("tidewire_cluster_sent_bytes_total") > 1_000.0);
    assert!(metrics.get("tidewire_cluster_messages_received_total") >= 2.0);
    assert!(metrics.get("tidewire_cluster_messages_sent_total") >= 1.0);
    let _: usize = redis.command(&[b"PUBLISH", b"socket.io#/#", b"no message"]);
    wait_until("the message", || metrics.get("tidewire_cluster_messages_invalid_total") >= 2.0);

    redis.stop();
    wait_until("the loss", || metrics.get("tidewire_cluster_links_lost_total") == 2.0);
    assert_eq!(metrics.get("tidewire_cluster_link_up"), 0.0);
    let failed = r#"tidewire_cluster_messages_failed_total{reason="queue_full"}"#;
    let (before, missing) =
        (metrics.get(failed), r#"tidewire_cluster_replies_missing_total{reason="disconnected"}"#);
    for number in 0..=MAX_QUEUED {
        two.emit("news", number);
    }
    assert!(metrics.get(failed) > before);
    // Also those of the other server.
    assert!(metrics.get("tidewire_cluster_queued_messages") >= MAX_QUEUED as f64);
    assert!(metrics.get("tidewire_cluster_queued_bytes") > 0.0);
    assert_eq!(metrics.get(missing), 0.0);
    runtime.block_on(two.fetch_sockets()).expect_err("the other server cannot be asked");
    assert_eq!(metrics.get(missing), 1.0);

    let page = metrics.page();
    let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: Vec<_> = names.filter(|name| name.starts_with("tidewire_cluster_")).collect();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let document = std::fs::read_to_string(document).expect("the document is in the repository");
    let mut listed: Vec<_> =
        document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    listed.retain(|name| name.starts_with("tidewire_cluster_"));
    for name in &names {
        assert!(listed.contains(name), "{name} is missing in docs/metrics.md");
    }
    for name in &listed {
        assert!(names.contains(name), "docs/metrics.md lists {name}, which does not exist");
    }
}
