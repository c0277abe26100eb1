//! All time series whose labels are known beforehand. `docs/metrics.md` lists them for users.

#[cfg(feature = "metrics")]
use metrics::{Label, Unit};

/// The kind of a metric.
#[cfg(feature = "metrics")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric, which has a time series for each combination of its labels.
#[cfg(feature = "metrics")]
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Unit,
    pub(super) help: &'static str,
}

/// One time series.
#[cfg(feature = "metrics")]
#[derive(Debug)]
pub(super) struct Description {
    pub(super) family: &'static Family,
    pub(super) labels: &'static [Label],
}

macro_rules! series {
    ($($kind:ident $name:literal $unit:ident $help:literal {
        $($series:ident $(: $($label:ident = $value:literal),+)?;)+
    })+) => {
        /// A time series whose number is kept for each thread. Its name and labels are in `docs/metrics.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the table below describes them")]
        pub enum Series {
            $($($series,)+)+
        }

        /// The descriptions, in the order of [`Series`].
        #[cfg(feature = "metrics")]
        pub(super) static TABLE: &[Description] = &[
            $($(Description {
                family: const { &Family { name: $name, kind: Kind::$kind, unit: Unit::$unit, help: $help } },
                labels: const { &[$($(Label::from_static_parts(stringify!($label), $value),)+)?] },
            },)+)+
        ];

        /// The number of time series.
        #[cfg(feature = "metrics")]
        pub(super) const COUNT: usize = [$($(Series::$series,)+)+].len();
    };
}

series! {
    // Connections.
    Gauge "tidewire_connections" Count "Open connections" {
        WebSocketOpen: protocol = "websocket", transport = "websocket";
        PollingOpen: protocol = "engine.io", transport = "polling";
        EngineWebSocketOpen: protocol = "engine.io", transport = "websocket";
    }
    Counter "tidewire_connections_opened_total" Count "Connections that have opened, by their first transport" {
        WebSocketOpened: protocol = "websocket", transport = "websocket";
        PollingOpened: protocol = "engine.io", transport = "polling";
        EngineWebSocketOpened: protocol = "engine.io", transport = "websocket";
    }
    Counter "tidewire_connections_closed_total" Count "Connections that have ended" {
        WebSocketClosedHandshake: protocol = "websocket", reason = "closing_handshake";
        WebSocketClosedEof: protocol = "websocket", reason = "eof";
        WebSocketClosedProtocol: protocol = "websocket", reason = "protocol_error";
        WebSocketClosedCloseTimeout: protocol = "websocket", reason = "close_timeout";
        WebSocketClosedIdleTimeout: protocol = "websocket", reason = "idle_timeout";
        WebSocketClosedMemoryBudget: protocol = "websocket", reason = "memory_budget";
        WebSocketClosedIo: protocol = "websocket", reason = "io_error";
        WebSocketClosedAborted: protocol = "websocket", reason = "aborted";
        EngineClosedPingTimeout: protocol = "engine.io", reason = "ping_timeout";
        EngineClosedTransportError: protocol = "engine.io", reason = "transport_error";
        EngineClosedTransportClose: protocol = "engine.io", reason = "transport_close";
        EngineClosedParseError: protocol = "engine.io", reason = "parse_error";
        EngineClosedForced: protocol = "engine.io", reason = "forced_close";
        EngineClosedShutdown: protocol = "engine.io", reason = "server_shutting_down";
        EngineClosedAborted: protocol = "engine.io", reason = "aborted";
    }
    Counter "tidewire_upgrades_total" Count "Sessions that have moved from long-polling to WebSocket" {
        Upgrades;
    }
    Counter "tidewire_received_bytes_total" Bytes "Bytes that were received from clients, without HTTP heads and TLS" {
        WebSocketReceived: protocol = "websocket", transport = "websocket";
        PollingReceived: protocol = "engine.io", transport = "polling";
        EngineWebSocketReceived: protocol = "engine.io", transport = "websocket";
    }
    Counter "tidewire_sent_bytes_total" Bytes "Bytes that were sent to clients, without HTTP heads and TLS" {
        WebSocketSent: protocol = "websocket", transport = "websocket";
        PollingSent: protocol = "engine.io", transport = "polling";
        EngineWebSocketSent: protocol = "engine.io", transport = "websocket";
    }
    Gauge "tidewire_queued_bytes" Bytes "Bytes that wait until their clients read" {
        WebSocketQueued: protocol = "websocket", transport = "websocket";
        PollingQueued: protocol = "engine.io", transport = "polling";
        EngineWebSocketQueued: protocol = "engine.io", transport = "websocket";
    }
    Counter "tidewire_messages_received_total" Count "Messages that programs have received on raw WebSockets and raw Engine.IO sessions" {
        WebSocketMessagesReceived: protocol = "websocket";
        EngineMessagesReceived: protocol = "engine.io";
    }
    Counter "tidewire_messages_sent_total" Count "Messages that programs have sent on raw WebSockets and raw Engine.IO sessions" {
        WebSocketMessagesSent: protocol = "websocket";
        EngineMessagesSent: protocol = "engine.io";
    }
    // Refused before there is a connection.
    Counter "tidewire_http_connections_refused_total" Count "Connections that were closed before their first HTTP request" {
        AcceptFailed: reason = "accept_failed";
        AddressConnectionLimit: reason = "address_limit";
        UntrustedProxy: reason = "untrusted_proxy";
        ProxyHeaderRefused: reason = "proxy_header";
        TlsFailed: reason = "tls";
    }
    Counter "tidewire_requests_refused_total" Count "Requests that got no connection, most of them handshakes" {
        WebSocketHandshakeRefused: protocol = "websocket", reason = "invalid_handshake";
        WebSocketOriginRefused: protocol = "websocket", reason = "origin";
        WebSocketForbidden: protocol = "websocket", reason = "forbidden";
        WebSocketMaxConnections: protocol = "websocket", reason = "max_connections";
        WebSocketAddressLimit: protocol = "websocket", reason = "address_limit";
        EngineUnknownTransport: protocol = "engine.io", reason = "unknown_transport";
        EngineUnknownSid: protocol = "engine.io", reason = "unknown_sid";
        EngineBadHandshakeMethod: protocol = "engine.io", reason = "bad_handshake_method";
        EngineBadRequest: protocol = "engine.io", reason = "bad_request";
        EngineForbidden: protocol = "engine.io", reason = "forbidden";
        EngineUnsupportedVersion: protocol = "engine.io", reason = "unsupported_protocol_version";
        EngineHeadTooLong: protocol = "engine.io", reason = "head_too_long";
        EngineMaxSessions: protocol = "engine.io", reason = "max_sessions";
        EngineHeadMemory: protocol = "engine.io", reason = "memory_budget";
        EngineAddressLimit: protocol = "engine.io", reason = "address_limit";
        EngineClosing: protocol = "engine.io", reason = "closing";
        EngineCheckTimedOut: protocol = "engine.io", reason = "allow_request_timeout";
        EngineTooManyChecks: protocol = "engine.io", reason = "max_pending_allow_requests";
        EngineNoRandomBytes: protocol = "engine.io", reason = "no_random_bytes";
    }
    // Policies.
    Counter "tidewire_slow_readers_disconnected_total" Count "Sessions that ended because the client read too slowly" {
        SlowReaders;
    }
    Counter "tidewire_memory_budget_victims_total" Count "Connections that ended because the memory budget was exceeded" {
        MemoryBudgetVictims;
    }
    Counter "tidewire_limits_reached_total" Count "How often a limit has closed or refused something that no other metric counts" {
        MaxHalfOpenSessions: limit = "max_half_open_sessions";
        MaxQueuedEvents: limit = "max_queued_events_hard";
        MaxSockets: limit = "max_sockets";
        MaxNamespaces: limit = "max_client_namespaces";
    }
    // Socket.IO.
    Counter "tidewire_sockets_disconnected_total" Count "Sockets of Socket.IO that were connected and have disconnected" {
        DisconnectedByServer: reason = "server_namespace_disconnect";
        DisconnectedByClient: reason = "client_namespace_disconnect";
        DisconnectedTransportClose: reason = "transport_close";
        DisconnectedTransportError: reason = "transport_error";
        DisconnectedPingTimeout: reason = "ping_timeout";
        DisconnectedParseError: reason = "parse_error";
        DisconnectedForcedClose: reason = "forced_close";
        DisconnectedForcedServerClose: reason = "forced_server_close";
        DisconnectedShutdown: reason = "server_shutting_down";
    }
    Counter "tidewire_sockets_refused_total" Count "Clients that were refused by a namespace: they got a connect_error" {
        SocketsRefusedByNamespace: reason = "namespace";
        SocketsRefusedByMiddleware: reason = "middleware";
    }
    Counter "tidewire_events_received_total" Count "Events of Socket.IO that clients have sent" {
        EventsReceived;
    }
    Counter "tidewire_events_sent_total" Count "Events of Socket.IO for clients, once for each receiver, with those that were dropped" {
        EventsSent;
    }
    Counter "tidewire_events_dropped_total" Count "Events of Socket.IO for clients that were dropped" {
        EventsDroppedVolatile: reason = "volatile";
        EventsDroppedReplaced: reason = "replaced";
        EventsDroppedOverflow: reason = "overflow";
    }
    Counter "tidewire_events_unhandled_total" Count "Received events that have no handler" {
        EventsUnhandled;
    }
    Counter "tidewire_acks_received_total" Count "Acknowledgements of clients" {
        AcksReceived;
    }
    Counter "tidewire_acks_timed_out_total" Count "Events that clients have not acknowledged in time" {
        AcksTimedOut;
    }
    Counter "tidewire_recoveries_total" Count "Sessions that were recovered" {
        Recoveries;
    }
    Counter "tidewire_recoveries_refused_total" Count "Sessions that were not recovered" {
        RecoveryRefusedUnknown: reason = "unknown_session";
        RecoveryRefusedGap: reason = "missing_events";
        RecoveryRefusedLimit: reason = "limit";
        RecoveryRefusedMiddleware: reason = "middleware";
        RecoveryRefusedOther: reason = "other";
    }
    // The cluster. What its drivers count is in `cluster.rs`.
    Counter "tidewire_cluster_messages_failed_total" Count "Messages for other servers that the message bus has not taken, or has lost" {
        ClusterTooLarge: reason = "too_large";
        ClusterQueueFull: reason = "queue_full";
        ClusterLinkLost: reason = "link_lost";
        ClusterRefused: reason = "refused";
        ClusterNotReturned: reason = "not_returned";
    }
    Counter "tidewire_cluster_replies_missing_total" Count "Replies of other servers that did not arrive" {
        ClusterReplyTimedOut: reason = "timed_out";
        ClusterReplyDisconnected: reason = "disconnected";
        ClusterReplyLimit: reason = "limit";
    }
    Counter "tidewire_events_refused_total" Count "Received events that handlers have refused: the client was told why" {
        EventsRefused;
    }
    Counter "tidewire_errors_total" Count "Errors of handlers, and invalid packets" {
        Errors;
    }
    Counter "tidewire_handlers_blocked_total" Count "Handlers that were found to keep their thread for more than 5 ms" {
        HandlersBlocked;
    }
}

#[cfg(feature = "metrics")]
pub(super) static SOCKETS: Family = Family {
    name: "tidewire_sockets",
    kind: Kind::Gauge,
    unit: Unit::Count,
    help: "Connected sockets of Socket.IO",
};

#[cfg(feature = "metrics")]
pub(super) static SOCKETS_CONNECTED: Family = Family {
    name: "tidewire_sockets_connected_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    help: "Sockets of Socket.IO that have connected",
};

#[cfg(feature = "metrics")]
pub(super) static MEMORY_USED: Family = Family {
    name: "tidewire_memory_budget_used_bytes",
    kind: Kind::Gauge,
    unit: Unit::Bytes,
    help: "Memory that counts in the memory budgets",
};

#[cfg(feature = "metrics")]
pub(super) static MEMORY_USED_RATIO: Family = Family {
    name: "tidewire_memory_budget_used_ratio",
    kind: Kind::Gauge,
    unit: Unit::Count,
    help: "The used part of the memory budget, from 0 to 1; of several budgets the largest part",
};

#[cfg(feature = "metrics")]
pub(super) static HANDLER_DURATION: Family = Family {
    name: "tidewire_handler_duration_seconds",
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    help: "The time from the call of an event handler to its end, of a sample of the events",
};

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for Description { family, .. } in TABLE {
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            let is_in_bytes = family.unit == Unit::Bytes;
            assert_eq!(family.name.contains("_bytes"), is_in_bytes, "{}", family.name);
        }
    }

    #[test]
    fn no_series_is_described_twice() {
        for (index, one) in TABLE.iter().enumerate() {
            let same =
                |other: &&Description| other.family.name == one.family.name && other.labels == one.labels;
            assert_eq!(TABLE.iter().position(|other| same(&other)), Some(index), "{one:?}");
        }
    }
}
