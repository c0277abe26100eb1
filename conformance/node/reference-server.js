// The conformance server: the features that the tests need and the binary's own application does not use. This program
// is the specification; `crates/server/examples/conformance` behaves the same.
//
// Arguments: --listen HOST:PORT, --ping-interval MS, --ping-timeout MS, --upgrade-timeout MS, --connect-timeout MS,
// --max-payload BYTES, --cookie default|full, --added-headers yes, --per-message-deflate THRESHOLD, --cors none|full,
// --allow-eio3 yes, --initial-packet TEXT, --add-trailing-slash no, --allow-request yes|async (then the query parameter
// `forbidden` is the reason why a session must not open), --client-files DIR (here, the package has the files),
// --parser messagepack, --connection-state-recovery MS (the longest disconnection), --skip-middlewares no
// Namespaces: `/`, `/custom`, `/admin` (only with `auth.token === "secret"`). These three and `/recovery` handle the same events. `/events`
// and `/hooks` have middleware and observers of events; in Rust, those of `/hooks` belong to the namespace. `/stream`,
// `/concurrent` and `/slow` have the handlers that their names say, and `/failing` and `/limited` exist only in Rust.
// `/recovery` has a middleware, and what the tests of connection state recovery need
// in addition. `/api` has what the others do not use. Clients create `/room-1` and so on, and with
// `auth.token === "secret"` those that begin with `/open-`.
import { createServer } from "node:http";
import { Server } from "socket.io";
import messagePackParser from "socket.io-msgpack-parser";
import { readArguments, serve } from "./support/reference-listener.js";

const milliseconds = { type: "string" };
const { listen, values } = readArguments({
  "ping-interval": milliseconds,
  "ping-timeout": milliseconds,
  "upgrade-timeout": milliseconds,
  "connect-timeout": milliseconds,
  "max-payload": { type: "string" },
  cookie: { type: "string" },
  "added-headers": { type: "string" },
  "per-message-deflate": { type: "string" },
  cors: { type: "string" },
  "initial-packet": { type: "string" },
  "allow-eio3": { type: "string" },
  "add-trailing-slash": { type: "string" },
  "allow-request": { type: "string" },
  "client-files": { type: "string" },
  parser: { type: "string" },
  "connection-state-recovery": milliseconds,
  "skip-middlewares": { type: "string" },
});

const cookies = {
  default: true,
  full: {
    name: "route",
    path: "/socket.io/",
    domain: "example.com",
    httpOnly: false,
    secure: true,
    sameSite: "none",
    maxAge: 86_400,
    expires: new Date(1_700_000_000_000),
    priority: "high",
    partitioned: true,
  },
};

const cors = {
  none: false,
  full: {
    origin: "https://app.example",
    methods: ["GET", "POST"],
    allowedHeaders: ["x-token"],
    exposedHeaders: ["x-every", "x-other"],
    credentials: true,
    maxAge: 600,
  },
};

function allowRequest(request, callback) {
  const reason = new URL(request.url, "http://here").searchParams.get("forbidden");
  const decide = () => callback(reason, reason === null);
  if (values["allow-request"] === "async") setTimeout(decide, 1);
  else decide();
}

const httpServer = createServer((_request, response) => response.writeHead(404).end());
const io = new Server(httpServer, {
  cors: cors[values.cors] ?? { origin: "*" },
  serveClient: "client-files" in values,
  cleanupEmptyChildNamespaces: true,
  pingInterval: Number(values["ping-interval"] ?? 25_000),
  pingTimeout: Number(values["ping-timeout"] ?? 20_000),
  upgradeTimeout: Number(values["upgrade-timeout"] ?? 10_000),
  connectTimeout: Number(values["connect-timeout"] ?? 45_000),
  maxHttpBufferSize: Number(values["max-payload"] ?? 1_000_000),
  cookie: cookies[values.cookie],
  allowEIO3: values["allow-eio3"] === "yes",
  initialPacket: values["initial-packet"],
  addTrailingSlash: values["add-trailing-slash"] !== "no",
  allowRequest: values["allow-request"] && allowRequest,
  ...("connection-state-recovery" in values && {
    connectionStateRecovery: {
      maxDisconnectionDuration: Number(values["connection-state-recovery"]),
      skipMiddlewares: values["skip-middlewares"] !== "no",
    },
  }),
  ...(values.parser === "messagepack" && { parser: messagePackParser }),
  perMessageDeflate: "per-message-deflate" in values && { threshold: Number(values["per-message-deflate"]) },
});

if (values["added-headers"]) {
  io.engine.on("initial_headers", (headers) => (headers["x-initial"] = "yes"));
  io.engine.on("headers", (headers) => (headers["x-every"] = "yes"));
}

const connectionErrors = []; // { code, message, context } of every refused request, oldest first
io.engine.on("connection_error", ({ code, message, context }) => {
  const { name, transport, sid, method, previousTransport, protocol, message: reason } = context;
  connectionErrors.push({ code, message, context: { name, transport, sid, method, previousTransport, protocol, message: reason } });
});

// `/admin` rejects clients with a message and data. It sends a welcome event with the auth payload to those that it
// accepts.
io.of("/admin").use((socket, next) => {
  if (socket.handshake.auth.token === "secret") return next();
  next(Object.assign(new Error("not authorized"), { data: { code: 401 } }));
});
io.of("/admin").on("connection", (socket) => socket.emit("welcome", socket.handshake.auth));

// Namespaces on demand.
const created = []; // the name of every new namespace
io.on("new_namespace", (namespace) => created.push(namespace.name));
const waiting = []; // calls that let the checks of `auth.wait` go on
const rooms = io.of(/^\/room-\d+$/);
const open = io.of(async (name, auth, next) => {
  if (auth.wait) await new Promise((resolve) => waiting.push(resolve));
  if (auth.fail) return next(new Error("no"), true);
  next(null, name.startsWith("/open-") && auth.token === "secret");
});
for (const parent of [rooms, open]) {
  parent.use((socket, next) => next(socket.handshake.auth.banned ? new Error("banned") : undefined));
  parent.on("connection", (socket) => {
    socket.on("where", (acknowledge) => acknowledge(socket.nsp.name));
    socket.on("join", (room, acknowledge) => {
      socket.join(room);
      acknowledge();
    });
    socket.on("tell-all", (data) => parent.emit("told", data));
    socket.on("tell-room", ({ room, data }) => parent.to(room).emit("told", data));
  });
}
io.of("/room-0");
io.on("connection", (socket) => {
  socket.on("namespaces", (acknowledge) => acknowledge(created));
  socket.on("release", () => waiting.splice(0).forEach((release) => release()));
});

const gone = []; // { id, reason } of every disconnected socket, oldest first

for (const namespace of [io.of("/"), io.of("/custom"), io.of("/admin"), io.of("/recovery")]) {
  namespace.on("connection", (socket) => {
    // Arguments and acknowledgements.
    socket.on("echo", (...values) => socket.emit("echo-back", ...values));
    socket.on("echo-ack", (...values) => values.pop()(...values));
    socket.on("ask-me", (question) => {
      socket.timeout(200).emit("question", question, (error, answer) => {
        socket.emit("answered", error ? "timeout" : answer);
      });
    });
    socket.on("ask", (question) => socket.emit("question", question, (...answer) => socket.emit("answered", ...answer)));
    socket.on("numbered", async (number) => {
      if (number % 100 < 10) await new Promise((done) => setTimeout(done, Math.random() * 5));
      socket.emit("numbered-back", number);
    });

    // Rooms and the receivers of broadcasts.
    socket.on("recovered", (acknowledge) => acknowledge(socket.recovered));
    socket.on("rooms", (acknowledge) => acknowledge([...socket.rooms]));
    socket.on("join", (room, acknowledge) => {
      socket.join(room);
      acknowledge?.();
    });
    socket.on("leave", (room, acknowledge) => {
      socket.leave(room);
      acknowledge?.();
    });
    socket.on("to-room", ({ room, data }) => socket.to(room).emit("to-room", data));
    socket.on("in-room", ({ room, data }) => namespace.in(room).emit("in-room", data));
    socket.on("all-but", ({ except, data }) => namespace.except(except).emit("all-but", data));
    socket.on("broadcast", (data) => socket.broadcast.emit("broadcast", data));
    socket.on("local-room", ({ room, data }) => namespace.local.to(room).emit("local-room", data));
    socket.on("volatile", (data) => socket.volatile.emit("volatile", data));
    socket.on("uncompressed", (data) => socket.compress(false).emit("uncompressed", data));
    socket.on("uncompressed-room", ({ room, data }) => namespace.to(room).compress(false).emit("uncompressed", data));
    socket.on("ask-room", async ({ room, data }, acknowledge) => {
      try {
        acknowledge(await namespace.to(room).timeout(200).emitWithAck("question", data), true);
      } catch (error) {
        acknowledge(error.responses, false);
      }
    });
    socket.on("fetch-room", async (room, acknowledge) => {
      const sockets = await namespace.in(room).fetchSockets();
      acknowledge(sockets.map(({ id, rooms, handshake }) => [id, [...rooms], handshake.query.transport]));
    });

    socket.on("connection-errors", (acknowledge) => acknowledge(connectionErrors));

    // Disconnects. Each socket that disconnects is announced to all that are still connected.
    socket.on("kick", () => socket.disconnect());
    socket.on("kick-all", () => socket.disconnect(true));
    socket.on("disconnects", (acknowledge) => acknowledge(gone));
    socket.on("disconnect", (reason) => {
      gone.push({ id: socket.id, reason });
      namespace.emit("gone", { id: socket.id, reason });
    });
  });
}

let middlewareRuns = 0;
const waitingInMiddleware = []; // calls that let a client with `auth.wait` go on
io.of("/recovery").use(async (socket, next) => {
  const { wait, banned } = socket.handshake.auth;
  middlewareRuns++;
  if (wait) {
    const released = new Promise((resolve) => waitingInMiddleware.push(resolve));
    io.of("/recovery").emit("waiting");
    await released;
  }
  next(banned ? new Error("banned") : undefined);
});
io.of("/recovery").on("connection", (socket) => {
  const namespace = io.of("/recovery");
  socket.on("release", () => waitingInMiddleware.splice(0).forEach((release) => release()));
  socket.on("middleware-runs", (acknowledge) => acknowledge(middlewareRuns));
  socket.on("tell", ({ rooms = [], except = [], kind, data }, acknowledge) => {
    const receivers = namespace.to(rooms).except(except);
    if (kind === "ask") receivers.timeout(200).emit("told", data, () => {});
    else (kind === "volatile" ? receivers.volatile : receivers).emit("told", data);
    acknowledge();
  });
  socket.on("move", ({ socket: id, join, leave }, acknowledge) => {
    if (join) namespace.in(id).socketsJoin(join);
    if (leave) namespace.in(id).socketsLeave(leave);
    const moved = namespace.sockets.get(id);
    acknowledge(moved ? [...moved.rooms] : null);
  });
  socket.on("set data", (data, acknowledge) => {
    socket.data = data;
    acknowledge();
  });
  socket.on("data", (acknowledge) => acknowledge(socket.data));
});

for (const namespace of [io.of("/events"), io.of("/hooks")]) {
  namespace.on("connection", (socket) => {
    const observed = { received: [], sent: [] }; // the names of all events, oldest first
    socket.onAny((name) => observed.received.push(name));
    socket.onAnyOutgoing((name) => observed.sent.push(name));
    socket.use((event, next) => {
      if (event[0] === "refused") return next(new Error("refused"));
      if (event[0] === "old name") event.splice(0, 2, "echo", "renamed");
      setTimeout(next, Number(event[1]) % 3);
    });
    socket.on("error", () => {});
    for (const name of ["echo", "refused"]) socket.on(name, (...values) => socket.emit("echo-back", ...values));
    socket.once("once", () => socket.emit("once-back"));
    socket.on("until off", () => socket.emit("until-off-back"));
    socket.on("off", () => socket.removeAllListeners("until off"));
    socket.on("join", (room, acknowledge) => {
      socket.join(room);
      acknowledge();
    });
    socket.on("to-all", () => namespace.emit("to-all"));
    socket.on("observed", (acknowledge) => acknowledge(observed));
    socket.on("disconnecting", (reason) => {
      for (const room of socket.rooms) socket.to(room).emit("leaving", room, reason);
    });
  });
}

io.of("/api").on("connection", (socket) => {
  const namespace = io.of("/api");
  socket.conn.on("upgrade", (transport) => socket.emit("upgraded", transport.name));
  socket.on("connection", (acknowledge) => {
    const { secure, xdomain } = socket.handshake;
    acknowledge({ transport: socket.conn.transport.name, secure, xdomain });
  });
  socket.on("join", (rooms, acknowledge) => {
    socket.join(rooms);
    acknowledge();
  });
  socket.on("to", ({ rooms, except }) => namespace.to(rooms).except(except).emit("told"));
  socket.on("send", (...values) => socket.send(...values));
  socket.on("send to all", (...values) => namespace.send(...values));
  socket.on("set data", (data, acknowledge) => {
    socket.data = data;
    acknowledge();
  });
  socket.on("data", (acknowledge) => acknowledge(socket.data));
  socket.on("disconnect sockets", (room, close) => namespace.in(room).disconnectSockets(close));
  socket.on("sockets", (acknowledge) => acknowledge([...namespace.sockets.keys()]));
  socket.on("watch", (acknowledge) => {
    socket.onAny((name) => socket.emit("seen", name));
    acknowledge();
  });
  socket.on("recovered", (acknowledge) => acknowledge(socket.recovered));
  socket.on("unwatch", (acknowledge) => {
    socket.offAny();
    acknowledge();
  });
});

io.of("/stream").on("connection", (socket) => {
  let number = 0;
  socket.onAny((name, ...values) => {
    const acknowledge = typeof values.at(-1) === "function" ? values.pop() : () => {};
    acknowledge(number++, name, values);
  });
  socket.on("disconnect", () => io.of("/stream").emit("ended", socket.id));
});

const held = []; // calls that let the handlers of `wait` go on
io.of("/concurrent").on("connection", (socket) => {
  socket.on("wait", async (number, acknowledge) => {
    socket.emit("begun", number);
    await new Promise((resolve) => held.push(resolve));
    socket.emit("finished", number);
    acknowledge(number);
  });
  socket.on("release", (count) => held.splice(0, count).forEach((release) => release()));
});

io.of("/slow").on("connection", (socket) => {
  socket.on("wait for capacity", (count, bytes, acknowledge) => {
    for (let number = 0; number < count; number++) socket.emit("part", number, bytes);
    socket.broadcast.emit("behind");
    acknowledge();
  });
  socket.on("fleeting", async (count, bytes) => {
    for (let number = 0; number < count; number++) {
      io.of("/slow").volatile.emit("fleeting", number, bytes);
      await new Promise(setImmediate);
    }
    io.of("/slow").emit("ended");
  });
  socket.on("ping", (acknowledge) => acknowledge());
});

serve(httpServer, listen, () => io.close());
