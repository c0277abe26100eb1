//! The endpoint for Prometheus, on a listener of its own: what the server counts, and the process itself.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tidewire::server::{HttpLimits, Listener};

/// The upper bounds of the buckets of handlers, in seconds: from those that do not wait to those that wait for another
/// service.
const HANDLER_BUCKETS: [f64; 12] =
    [0.000_01, 0.000_05, 0.000_25, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// How often the durations of handlers are put into their buckets, so that they take no memory between two scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The format of the response.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The listener of the endpoint. It is bound before the server starts, so that a wrong address ends the process at once.
pub(crate) struct Endpoint {
    listener: Listener,
    metrics: PrometheusHandle,
}

impl Endpoint {
    /// Binds the listener, and installs the recorder of the process.
    pub(crate) async fn bind(address: &str) -> anyhow::Result<Self> {
        let listener = Listener::bind(address, HttpLimits::default()).await;
        let listener = listener.with_context(|| format!("cannot listen on {address} for metrics"))?;
        let durations = Matcher::Full("tidewire_handler_duration_seconds".to_owned());
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(durations, &HANDLER_BUCKETS)?
            .install_recorder()
            .context("cannot install the recorder of metrics")?;
        metrics::describe_gauge!("tidewire_build_info", "1, with the version of the binary as a label");
        metrics::gauge!("tidewire_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self { listener, metrics })
    }

    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves the metrics until the process ends.
    pub(crate) fn serve(self) {
        let Self { listener, metrics } = self;
        let upkeep = metrics.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP_INTERVAL).await;
                upkeep.run_upkeep();
            }
        });
        let process = Collector::default();
        process.describe();
        let scrape = move || {
            tidewire::metrics::publish();
            process.collect();
            let text = metrics.render();
            async move { ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response() }
        };
        let service = Router::new().route("/metrics", get(scrape));
        tokio::spawn(listener.serve(service, std::future::pending()));
    }
}
