"""Runs python-socketio against the conformance server. `python-clients.test.js` starts it and breaks its connection.

Arguments: the URL, `sync` or `asyncio`, and the transports, separated by commas. It prints `break` when the connection
should be lost, `repair` when the next one should succeed, and `done` at the end. Any failure is an exception.
"""

import asyncio
import inspect
import queue
import sys

import socketio

SECONDS = 8
BYTES = bytes([0, 1, 30, 128, 255])


class Client:
    """Either client of the package. All methods can be awaited."""

    def __init__(self, kind, url, transports):
        # Not percent-encoded: the package sends the query as it is.
        self.url = url + '?user={"id":1}'
        self.transports = transports
        options = {"reconnection_delay": 0.02, "reconnection_delay_max": 0.1}
        if kind == "sync":
            self.socket, make_queue = socketio.Client(**options), queue.Queue
        else:
            self.socket, make_queue = socketio.AsyncClient(**options), asyncio.Queue
        self.queues = {}
        for event in ["echo-back", "answered", "in-room", "welcome"]:
            self.queues[event] = make_queue()
            for namespace in ["/", "/custom", "/admin"]:
                self.socket.on(event, self.recorder(event), namespace=namespace)
        self.queues["disconnect"] = make_queue()
        self.socket.on("disconnect", self.recorder("disconnect"))
        self.queues["connect"] = make_queue()
        self.socket.on("connect", self.recorder("connect"))
        self.socket.on("question", lambda question: (question, BYTES))

    def recorder(self, event):
        return lambda *values: self.queues[event].put_nowait(list(values))

    async def receive(self, event):
        if isinstance(self.queues[event], queue.Queue):
            return self.queues[event].get(timeout=SECONDS)
        return await asyncio.wait_for(self.queues[event].get(), SECONDS)

    async def connect(self, namespaces=("/",), **options):
        await finished(
            self.socket.connect(
                self.url, transports=self.transports, namespaces=list(namespaces), wait_timeout=SECONDS, **options
            )
        )

    async def emit(self, *arguments, **options):
        await finished(self.socket.emit(*arguments, **options))

    async def call(self, *arguments, **options):
        return await finished(self.socket.call(*arguments, timeout=SECONDS, **options))

    async def disconnect(self):
        await finished(self.socket.disconnect())


async def finished(result):
    return await result if inspect.isawaitable(result) else result


def expect(actual, expected):
    assert actual == expected, f"{actual!r}, expected {expected!r}"


async def exchanges_events(client):
    await client.connect(["/", "/custom"])
    expect(client.socket.transport(), client.transports[-1])
    for values in [("hällo €😀",), (BYTES,), (1, {"deep": [BYTES, "text", BYTES]}, None), ("x" * 100_000,)]:
        await client.emit("echo", values)
        expect(await client.receive("echo-back"), list(values))
        await client.emit("echo", values, namespace="/custom")
        expect(await client.receive("echo-back"), list(values))
    expect(list(await client.call("echo-ack", (1, BYTES))), [1, BYTES])
    await client.emit("ask", "what?")
    expect(await client.receive("answered"), ["what?", BYTES])
    await client.call("join", "den")
    await client.emit("in-room", {"room": "den", "data": [1]})
    expect(await client.receive("in-room"), [[1]])


async def disconnects_with(client, id):
    """Waits until the server has noticed the end of this socket, which may be after the start of the next one."""
    while True:
        gone = {socket["id"]: socket["reason"] for socket in await client.call("disconnects")}
        if id in gone:
            return gone


async def is_disconnected_by_the_server_and_by_itself(client):
    first = client.socket.get_sid()
    await client.emit("kick-all")
    expect(await client.receive("disconnect"), [client.socket.reason.SERVER_DISCONNECT])
    await finished(client.socket.wait())

    await client.connect()
    second = client.socket.get_sid()
    await client.disconnect()
    expect(await client.receive("disconnect"), [client.socket.reason.CLIENT_DISCONNECT])

    await client.connect()
    gone = await disconnects_with(client, second)
    expect(gone[first], "server namespace disconnect")
    # The package closes the connection directly after its packet, or even before it. While a POST is on its way, it sends
    # neither this packet nor that of the close: then the server notices the end by its ping timeout.
    reasons = ["client namespace disconnect", "transport close", "transport error"]
    if client.transports == ["polling"]:
        reasons.append("ping timeout")
    assert gone[second] in reasons, gone[second]
    await client.disconnect()
    await client.receive("disconnect")


async def is_rejected_and_accepted_by_a_middleware(client):
    try:
        await client.connect(["/admin"], auth={"token": "wrong"})
    except socketio.exceptions.ConnectionError:
        pass
    else:
        raise AssertionError("the namespace accepts everyone")
    await client.disconnect()
    await client.connect(["/admin"], auth={"token": "secret"})
    expect(await client.receive("welcome"), [{"token": "secret"}])
    await client.disconnect()


async def reconnects_when_its_connection_is_lost(client):
    while not client.queues["connect"].empty():
        client.queues["connect"].get_nowait()
    await client.connect()
    await client.receive("connect")
    sid = client.socket.get_sid()
    print("break", flush=True)
    await client.receive("disconnect")
    print("repair", flush=True)
    await client.receive("connect")
    assert client.socket.get_sid() != sid
    expect(await client.call("echo-ack", "again"), "again")
    await client.disconnect()


async def main(url, kind, transports):
    client = Client(kind, url, transports.split(","))
    await exchanges_events(client)
    await is_disconnected_by_the_server_and_by_itself(client)
    await is_rejected_and_accepted_by_a_middleware(client)
    await reconnects_when_its_connection_is_lost(client)
    print("done", flush=True)


asyncio.run(main(*sys.argv[1:]))
