//! All handles, messages and errors are `Send` and `Sync`.

use tidewire_ws::{
    CloseCause, ConnectError, ConnectionFailure, Connector, IncompleteMessage, Limits, Message,
    MessageReader, MessageWriter, PingError, PreparedMessage, Receiver, ReconnectEvent,
    ReconnectingWebSocket, Reconnection, SendError, Sender, Server, ServerBuilder, SinkError, Text,
    TrySendError, Upgrade, WebSocket,
};

fn can_be_sent_and_shared<T: Send + Sync>() {}

#[test]
fn handles_messages_and_errors_can_be_sent_to_other_threads_and_shared_with_them() {
    can_be_sent_and_shared::<(WebSocket, Sender, Receiver, MessageReader<'_>)>();
    can_be_sent_and_shared::<(MessageWriter<'_, Text>, MessageWriter<'_, bytes::Bytes>)>();
    can_be_sent_and_shared::<(Message, PreparedMessage, Text)>();
    can_be_sent_and_shared::<(
        Connector,
        Limits,
        ReconnectingWebSocket,
        Reconnection,
        ReconnectEvent,
        ConnectionFailure,
    )>();
    can_be_sent_and_shared::<(Server, ServerBuilder, Upgrade)>();
    can_be_sent_and_shared::<(
        CloseCause,
        ConnectError,
        IncompleteMessage,
        PingError,
        SendError,
        SinkError,
        TrySendError,
    )>();
}
