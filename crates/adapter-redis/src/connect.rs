//! Connections to Redis.

use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline, ProtocolVersion,
    PushInfo, PushKind, RedisError, RedisResult, Value, cmd,
};
use tokio::sync::Notify;

use crate::builder::Settings;
use crate::error::{ConfigError, ConnectError};
use crate::shared::Shared;

/// Where Redis is.
#[derive(Debug)]
pub(crate) enum Redis {
    Single(Box<Client>),
    Cluster(Vec<ConnectionInfo>),
}

/// One connection, or one to each node of a Redis Cluster. Clones share it, and it ends with the last one.
#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The connections of a server.
pub(crate) struct Link {
    pub(crate) publisher: Connection,
    pub(crate) subscriber: Connection,
    /// Is notified when the subscriber's connection ends.
    pub(crate) lost: Arc<Notify>,
    pub(crate) identity: Option<Identity>,
}

/// Who the subscriber is for Redis.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Changes when Redis is started again, so that ids of connections begin anew.
    run_id: String,
    client_id: u64,
}

/// What a server says of itself.
#[derive(Debug, Default)]
struct ServerInfo {
    run_id: Option<String>,
    /// The version of Redis that the server is compatible with.
    version: Option<String>,
}

impl Redis {
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let info = |url: &str| connection_info(url).map_err(ConfigError::invalid_url);
        let first = info(&settings.url)?;
        match &settings.cluster {
            None => {
                let client = Client::open(first).map_err(ConfigError::invalid_url)?;
                Ok(Self::Single(Box::new(client)))
            }
            Some(others) => {
                let others = others.iter().map(|url| info(url));
                let nodes = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>()?;
                // Finds out now whether the URLs fit together.
                ClusterClient::new(nodes.clone()).map_err(ConfigError::invalid_url)?;
                Ok(Self::Cluster(nodes))
            }
        }
    }

    /// Connects without a subscriber.
    pub(crate) async fn connect(&self, settings: &Settings) -> RedisResult<Connection> {
        self.connect_with(settings, None::<fn(PushInfo) -> Result<(), ()>>).await
    }

    /// Connects. `former` is the subscriber of the link before, which Redis may take for alive.
    pub(crate) async fn link(
        &self,
        shared: &Arc<Shared>,
        former: Option<&Identity>,
    ) -> Result<Link, ConnectError> {
        let settings = &shared.settings;
        let mut publisher = self.connect(settings).await?;
        let info = publisher.server_info().await;
        if settings.format.is_sharded()
            && let Some(version) = &info.version
            && major(version).is_some_and(|major| major < 7)
        {
            return Err(ConnectError::TooOld { version: version.clone() });
        }
        let lost = Arc::new(Notify::new());
        let on_push = {
            let (shared, lost) = (Arc::clone(shared), Arc::clone(&lost));
            move |push: PushInfo| -> Result<(), ()> {
                handle_push(&shared, &lost, &push);
                Ok(())
            }
        };
        let mut subscriber = self.connect_with(settings, Some(on_push)).await?;
        let mut identity = None;
        if let (Connection::Single(connection), Some(run_id)) = (&mut subscriber, info.run_id)
            && let Ok(client_id) = cmd("CLIENT").arg("ID").query_async(connection).await
        {
            identity = Some(Identity { run_id, client_id });
        }
        // Node counts connections. One that was cut without notice would be counted until Redis notices it.
        if let (Some(former), Some(current)) = (former, &identity)
            && former.run_id == current.run_id
            && let Connection::Single(connection) = &mut publisher
        {
            let kill = cmd("CLIENT").arg("KILL").arg("ID").arg(former.client_id).to_owned();
            // It has ended already, or the user may not do this.
            let _: RedisResult<Value> = kill.query_async(connection).await;
        }
        Ok(Link { publisher, subscriber, lost, identity })
    }

    async fn connect_with(
        &self,
        settings: &Settings,
        on_push: Option<impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static>,
    ) -> RedisResult<Connection> {
        match self {
            Self::Single(client) => {
                let mut config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(settings.connect_timeout))
                    .set_response_timeout(Some(settings.response_timeout));
                if let Some(on_push) = on_push {
                    config = config.set_push_sender(on_push);
                }
                let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
                Ok(Connection::Single(connection))
            }
            Self::Cluster(nodes) => {
                // What is sent again after a lost reply would arrive twice. An error ends the link instead, and the next one
                // knows which node has which slots.
                let mut builder = ClusterClient::builder(nodes.clone())
                    .retries(0)
                    .use_protocol(ProtocolVersion::RESP3)
                    .connection_timeout(settings.connect_timeout)
                    .response_timeout(settings.response_timeout);
                if let Some(on_push) = on_push {
                    builder = builder.push_sender(on_push);
                }
                let connecting = builder.build()?;
                let connecting = connecting.get_async_connection();
                match tokio::time::timeout(settings.connect_timeout, connecting).await {
                    Ok(connected) => Ok(Connection::Cluster(connected?)),
                    Err(elapsed) => Err(RedisError::from(std::io::Error::from(elapsed))),
                }
            }
        }
    }
}

fn connection_info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

/// Handles what Redis sends without being asked. It runs in the task of the connection, so the connection is read as fast as
/// messages are handled, and nothing is queued.
fn handle_push(shared: &Shared, lost: &Notify, push: &PushInfo) {
    match (&push.kind, &push.data[..]) {
        (
            PushKind::Message | PushKind::SMessage,
            [Value::BulkString(channel), Value::BulkString(payload)],
        ) => shared.handle_push(channel, channel, payload),
        (
            PushKind::PMessage,
            [Value::BulkString(pattern), Value::BulkString(channel), Value::BulkString(payload)],
        ) => shared.handle_push(pattern, channel, payload),
        (PushKind::Disconnection, _) => lost.notify_one(),
        // Redis has moved the channel to another node, if this is not the confirmation that the server has waited for.
        (PushKind::SUnsubscribe, [Value::BulkString(channel), ..]) => {
            let is_wanted = std::str::from_utf8(channel).is_ok_and(|name| shared.routes.contains(name));
            if is_wanted {
                lost.notify_one();
            }
        }
        _ => {}
    }
}

impl Connection {
    async fn server_info(&mut self) -> ServerInfo {
        let info = cmd("INFO").arg("server").to_owned();
        let value = match self {
            Self::Single(connection) => info.query_async(connection).await,
            Self::Cluster(connection) => {
                let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::RandomPrimary);
                connection.route_command(info, any).await
            }
        };
        // The user may not ask.
        let Ok(text) = value.and_then(|value| Ok(redis::from_redis_value::<String>(value)?)) else {
            return ServerInfo::default();
        };
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        ServerInfo { run_id: field("run_id"), version: field("redis_version") }
    }

    /// Sends PING to the server, or to all nodes.
    pub(crate) async fn ping(&mut self) -> RedisResult<()> {
        let ping = cmd("PING");
        match self {
            Self::Single(connection) => ping.query_async::<Value>(connection).await?,
            Self::Cluster(connection) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                connection.route_command(ping, all).await?
            }
        };
        Ok(())
    }

    /// Sends commands, and returns a reply for each, which may be an error.
    pub(crate) async fn send(&mut self, commands: Vec<ChannelCommand>) -> RedisResult<Vec<Value>> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in &commands {
                    pipeline.add_command(command.to_cmd());
                }
                connection.send_packed_commands(&pipeline, 0, commands.len()).await
            }
            Self::Cluster(connection) => send_to_nodes(connection, commands).await,
        }
    }
}

/// A command with a channel.
#[derive(Debug)]
pub(crate) struct ChannelCommand {
    pub(crate) name: &'static str,
    pub(crate) channel: String,
    pub(crate) payload: Option<Vec<u8>>,
}

impl ChannelCommand {
    fn to_cmd(&self) -> Cmd {
        match self.name {
            "NUMSUB" | "SHARDNUMSUB" => cmd("PUBSUB").arg(self.name).arg(&self.channel).to_owned(),
            name => {
                let mut command = cmd(name);
                command.arg(&self.channel);
                if let Some(payload) = &self.payload {
                    command.arg(payload);
                }
                command
            }
        }
    }
}

/// Sends commands to the nodes of a Redis Cluster: those with the same channel in their order, if the channel belongs to a node.
/// All others go to the same node in their order.
async fn send_to_nodes(
    connection: &ClusterConnection,
    commands: Vec<ChannelCommand>,
) -> RedisResult<Vec<Value>> {
    /// What goes to the same node.
    struct Group {
        route: SingleNodeRoutingInfo,
        pipeline: Pipeline,
        places: Vec<usize>,
    }

    let mut values = vec![Value::Nil; commands.len()];
    let mut groups: Vec<(String, Group)> = Vec::new();
    let mut others = Vec::new();
    for (place, command) in commands.iter().enumerate() {
        let key = match command.name {
            "NUMSUB" | "SHARDNUMSUB" | "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "UNSUBSCRIBE"
            | "PUNSUBSCRIBE" | "SUNSUBSCRIBE" => {
                others.push(place);
                continue;
            }
            "SPUBLISH" => &*command.channel,
            // Any node will do, but always the same.
            _ => "",
        };
        let index = groups.iter().position(|(group, _)| group == key).unwrap_or_else(|| {
            let route = Route::with_key(key, SlotAddr::Master);
            let route = SingleNodeRoutingInfo::SpecificNode(route);
            groups.push((key.to_owned(), Group { route, pipeline: Pipeline::new(), places: Vec::new() }));
            groups.len() - 1
        });
        let group = &mut groups[index].1;
        group.pipeline.add_command(command.to_cmd());
        group.places.push(place);
    }
    // Before the requests that are counted.
    for place in others {
        values[place] = send_to_cluster(connection.clone(), &commands[place]).await?;
    }
    let sent = groups.into_iter().map(|(_, group)| {
        let mut connection = connection.clone();
        async move {
            let count = group.places.len();
            let replies = connection.route_pipeline(group.pipeline, 0, count, group.route).await?;
            Ok::<_, RedisError>((group.places, replies))
        }
    });
    for (places, replies) in try_join_all(sent).await? {
        for (place, reply) in places.into_iter().zip(replies) {
            values[place] = reply;
        }
    }
    Ok(values)
}

async fn send_to_cluster(mut connection: ClusterConnection, command: &ChannelCommand) -> RedisResult<Value> {
    let channel = &command.channel;
    match command.name {
        "SUBSCRIBE" => connection.subscribe(channel).await?,
        "PSUBSCRIBE" => connection.psubscribe(channel).await?,
        "SSUBSCRIBE" => connection.ssubscribe(channel).await?,
        "UNSUBSCRIBE" => connection.unsubscribe(channel).await?,
        "PUNSUBSCRIBE" => connection.punsubscribe(channel).await?,
        "SUNSUBSCRIBE" => connection.sunsubscribe(channel).await?,
        _ => {
            let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
            return connection.route_command(command.to_cmd(), all).await;
        }
    }
    Ok(Value::Okay)
}
