"""The Socket.IO events of the bench with python-socketio: `python socket_io.py PORT`."""

import sys

import socketio
import uvicorn

# Run one handler at a time: Socket.IO promises the order of events.
io = socketio.AsyncServer(
    async_mode="asgi", async_handlers=False, cors_allowed_origins="*", max_http_buffer_size=2 << 20
)


@io.on("echo")
async def echo(sid, text):
    await io.emit("echo", text, to=sid)


@io.on("ack")
async def ack(sid, text):
    return text


@io.on("join")
async def join(sid):
    await io.enter_room(sid, "room")


@io.on("relay")
async def relay(sid, value):
    await io.emit("relay", value, room="nobody", skip_sid=sid)


@io.on("broadcast")
async def broadcast(sid, text):
    await io.emit("broadcast", text, room="room")


uvicorn.run(
    socketio.ASGIApp(io),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="error",
    loop="uvloop",
    ws_max_size=2 << 20,
    # No compression, as in all other servers.
    ws_per_message_deflate=False,
)
