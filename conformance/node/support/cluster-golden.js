/**
 * Prints the messages that the official adapters and emitters of clusters publish, for the tests of our codecs. The bus
 * and the database are objects of this file, and random ids are counted.
 *
 *     node support/cluster-golden.js > ../../crates/adapter/src/cluster/codec/golden.json
 */
import crypto from "node:crypto";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);

// The adapters name their servers and requests with random bytes.
let counter = 0;
crypto.randomBytes = (size) => Buffer.alloc(size, (counter += 1));

const { Server } = require("socket.io");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { Emitter: RedisEmitter } = require("@socket.io/redis-emitter");
const { createAdapter: createPostgresAdapter } = require("@socket.io/postgres-adapter");
const { Emitter: PostgresEmitter } = require("@socket.io/postgres-emitter");

const PACKAGES = [
  "socket.io-adapter",
  "@socket.io/redis-adapter",
  "@socket.io/redis-emitter",
  "@socket.io/postgres-adapter",
  "@socket.io/postgres-emitter",
];

const SOCKET = "AAAAAAAAAAAAAAAAAAAA";
const IMAGE = Buffer.from([0, 1, 255]);
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

/** A client of Redis, of the package `redis` 4, that records what is published. */
class Redis {
  listeners = [];

  constructor(bus) {
    this.bus = bus;
    bus.clients.push(this);
  }

  on() {}
  off() {}
  pSubscribe(pattern, listener) {
    this.listeners.push([pattern.slice(0, -1), true, listener]);
  }
  subscribe(channels, listener) {
    for (const channel of [channels].flat()) this.listeners.push([channel, false, listener]);
  }
  sSubscribe(channel, listener) {
    this.subscribe(channel, listener);
  }
  pUnsubscribe() {}
  unsubscribe() {}
  sUnsubscribe() {}
  async sendCommand() {
    return ["channel", "2"];
  }
  async publish(channel, payload) {
    this.bus.publish(channel, payload);
  }
  sPublish(channel, payload) {
    return this.publish(channel, payload);
  }
}

class RedisBus {
  clients = [];
  published = [];

  publish(channel, payload) {
    const bytes = Buffer.from(payload);
    this.published.push({ channel, bytes });
    for (const client of this.clients) {
      for (const [name, isPattern, listener] of client.listeners) {
        if (isPattern ? channel.startsWith(name) : channel === name) {
          setImmediate(() => listener(bytes, Buffer.from(channel)));
        }
      }
    }
  }
}

/** A pool of connections to PostgreSQL. */
class PostgresBus {
  listeners = [];
  published = [];
  rows = new Map();

  async connect() {
    return {
      on: (event, listener) => event === "notification" && this.listeners.push(listener),
      query: async () => {},
      removeAllListeners() {},
      release() {},
    };
  }

  async query(text, [first, second] = []) {
    if (text.startsWith("INSERT")) {
      const id = String(this.rows.size + 1);
      this.rows.set(id, Buffer.from(first));
      return { rows: [{ id }] };
    }
    if (text.startsWith("SELECT payload")) return { rows: [{ payload: this.rows.get(first) }] };
    if (!text.startsWith("SELECT pg_notify")) return {};
    const { attachmentId } = JSON.parse(second);
    const row = { channel: first, bytes: Buffer.from(second) };
    this.published.push(attachmentId ? { ...row, attachment: this.rows.get(attachmentId) } : row);
    for (const listener of this.listeners) setImmediate(() => listener({ payload: second }));
    return {};
  }
}

/** A socket of a server without connections. Its client acknowledges with `answer`. */
function addSocket(io, namespace, answer, data) {
  const nsp = io.of(namespace);
  const acks = new Map();
  const handshake = { headers: { host: "a" }, time: "now", auth: {}, query: {}, url: "/x?é" };
  const client = { conn: { writable: true }, writeToEngine() {} };
  acks.set = function (id, acknowledge) {
    Map.prototype.set.call(this, id, acknowledge);
    setImmediate(() => acknowledge(...answer));
  };
  const rooms = new Set([SOCKET, "news"]);
  const socket = { id: SOCKET, handshake, rooms, data, acks, client, join() {}, leave() {}, disconnect() {} };
  nsp.sockets.set(SOCKET, socket);
  nsp.adapter.addAll(SOCKET, rooms);
}

/** The rows: what the Rust side must read, and the bytes that it must write. */
const rows = [];

function add(format, bus, names, expected) {
  const published = bus.published.splice(0);
  if (published.length !== expected.length) {
    throw new Error(`${format} ${names}: ${published.map(({ bytes }) => bytes.toString()).join("\n")}`);
  }
  published.forEach(({ channel, bytes, attachment }, index) => {
    const row = { format, ...names, message: expected[index], channel, hex: bytes.toString("hex") };
    rows.push(attachment ? { ...row, attachment: attachment.toString("hex") } : row);
  });
}

const receivers = (rooms = [], except = [], flags = {}) => ({ rooms, except, ...flags });
const event = (event, options = receivers()) => ({ name: "broadcast", event, ...options });
const BINARY = { "<binary>": "0001ff" };
const BUFFER = { type: "Buffer", data: [0, 1, 255] };

/** Everything that a program can ask a server or an emitter, except what has a reply. */
const COMMANDS = [
  [(io) => io.emit("hello", 1, "é"), event(["hello", 1, "é"])],
  [(io) => io.emit("none"), event(["none"])],
  [
    (io) => io.emit("numbers", 0, -1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, -32, -33, -128, -129),
    event(["numbers", 0, -1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, -32, -33, -128, -129]),
  ],
  [
    (io) => io.emit("more", -32768, -32769, -2147483648, -2147483649, 1.5, -0.1, 1.5e-7, null, true, false),
    event(["more", -32768, -32769, -2147483648, -2147483649, 1.5, -0.1, 1.5e-7, null, true, false]),
  ],
  [
    (io) => io.emit("lists", [], {}, [[1]], { a: { b: [] } }, Array(16).fill(0), "x".repeat(40), '"\\\n\u0001/'),
    event(["lists", [], {}, [[1]], { a: { b: [] } }, Array(16).fill(0), "x".repeat(40), '"\\\n\u0001/']),
  ],
  [(io) => io.to("news").emit("one room"), event(["one room"], receivers(["news"]))],
  [(io) => io.to(SOCKET).emit("one socket"), event(["one socket"], receivers([SOCKET]))],
  [(io) => io.to(["a", "b#"]).except("c").emit("rooms"), event(["rooms"], receivers(["a", "b#"], ["c"]))],
  [
    (io) => io.volatile.compress(false).emit("flags"),
    event(["flags"], receivers([], [], { volatile: true, compress: false })),
  ],
  [(io) => io.emit("binary", IMAGE, { a: [IMAGE] }), event(["binary", BINARY, { a: [BINARY] }])],
  [(io) => io.emit("like", { _placeholder: true, num: 0 }), event(["like", { _placeholder: true, num: 0 }])],
  [
    (io) => io.to("a").socketsJoin(["b", "c"]),
    { name: "sockets_join", ...receivers(["a"]), changed: ["b", "c"] },
  ],
  [
    (io) => io.except("a").socketsLeave("b"),
    { name: "sockets_leave", ...receivers([], ["a"]), changed: ["b"] },
  ],
  [(io) => io.in("a").disconnectSockets(true), { name: "disconnect_sockets", ...receivers(["a"]), close: true }],
  [(io) => io.disconnectSockets(), { name: "disconnect_sockets", ...receivers(), close: false }],
  [
    (io) => io.serverSideEmit("side", 1, { a: "b" }),
    { name: "server_side_emit", event: ["side", 1, { a: "b" }] },
  ],
];

/** What only a server can ask, with the reply of another one. */
const REQUESTS = [
  [
    (io) => io.fetchSockets(),
    () => [
      { name: "fetch_sockets", ...receivers() },
      {
        name: "fetch_sockets_response",
        sockets: [
          {
            id: SOCKET,
            handshake: { headers: { host: "a" }, time: "now", auth: {}, query: {}, url: "/x?é" },
            rooms: [SOCKET, "news"],
            data: { name: "x" },
          },
        ],
      },
    ],
  ],
  [
    (io) => io.timeout(1000).to("news").emit("ack", 1, () => {}),
    () => [
      event(["ack", 1], receivers(["news"], [], { timeout: 1000 })),
      { name: "broadcast_client_count", count: 1 },
      { name: "broadcast_ack", argument: "yes" },
    ],
  ],
  [
    (io) => io.timeout(500).emit("ack", IMAGE, () => {}),
    () => [
      event(["ack", BINARY], receivers([], [], { timeout: 500 })),
      { name: "broadcast_client_count", count: 1 },
      { name: "broadcast_ack", argument: "yes" },
    ],
  ],
  [
    (io) => io.serverSideEmit("question", 1, () => {}),
    () => [
      { name: "server_side_emit", event: ["question", 1] },
      { name: "server_side_emit_response", argument: { answer: 1 } },
    ],
  ],
];

/** Runs two servers of one format. The second one replies. */
async function runServers(format, namespace, answer, data, response, createAdapter, bus, expectations) {
  const one = new Server({ adapter: createAdapter() });
  one.of(namespace);
  // A server of PostgreSQL hears the heartbeats of those that start after it has connected.
  await settle();
  const two = new Server({ adapter: createAdapter() });
  const [nsp, other] = [one.of(namespace), two.of(namespace)];
  await settle();
  addSocket(two, namespace, answer, data);
  other.on("question", (_, reply) => reply(response));
  await settle();
  bus.published.splice(0);
  const names = { namespace, one: nsp.adapter.uid, two: other.adapter.uid };
  for (const [run, expected] of expectations) {
    run(nsp);
    await settle();
    add(format, bus, names, expected);
  }
  // Their timers would keep the process alive.
  for (const io of [one, two]) io._nsps.forEach(({ adapter }) => adapter.close());
  await settle();
}

/** Requests with binary values in their replies. `data` is what such a value becomes in the data of a socket. */
function binaryRequests(data) {
  const [fetch, ack, , question] = REQUESTS.map(([run, expected]) => [run, expected()]);
  const sockets = [{ ...fetch[1][1].sockets[0], data: { image: data } }];
  return [
    [fetch[0], [fetch[1][0], { ...fetch[1][1], sockets }]],
    [ack[0], [...ack[1].slice(0, 2), { name: "broadcast_ack", argument: BINARY }]],
    [question[0], [question[1][0], { name: "server_side_emit_response", argument: BINARY }]],
  ];
}

async function redis() {
  const bus = new RedisBus();
  const adapter = () => createAdapter(new Redis(bus), new Redis(bus));
  const commands = COMMANDS.map(([run, expected]) => [run, [expected]]);
  const requests = REQUESTS.map(([run, expected]) => [run, expected()]);
  const allRooms = [
    (nsp) => nsp.adapter.allRooms(),
    [{ name: "all_rooms" }, { name: "all_rooms_response", changed: [SOCKET, "news"] }],
  ];
  const binary = [
    (nsp) => nsp.serverSideEmit("side", IMAGE),
    [{ name: "server_side_emit", event: ["side", BUFFER] }],
  ];
  await runServers("redis", "/", ["yes"], { name: "x" }, { answer: 1 }, adapter, bus, [
    ...commands,
    ...requests,
    allRooms,
    binary,
  ]);

  const second = new RedisBus();
  const specific = { publishOnSpecificResponseChannel: true };
  const specificAdapter = () => createAdapter(new Redis(second), new Redis(second), specific);
  const [fetch, acknowledged, [question, [asked]]] = binaryRequests(BUFFER);
  const answered = [question, [asked, { name: "server_side_emit_response", argument: BUFFER }]];
  const binaryReplies = [fetch, acknowledged, answered];
  await runServers("redis-specific", "/chat", [IMAGE], { image: IMAGE }, IMAGE, specificAdapter, second, binaryReplies);

  const third = new RedisBus();
  const nothing = [
    [REQUESTS[1][0], [...REQUESTS[1][1]().slice(0, 2), { name: "broadcast_ack", argument: null, is_missing: true }]],
    [REQUESTS[3][0], [REQUESTS[3][1]()[0], { name: "server_side_emit_response", argument: null, is_missing: true }]],
  ];
  const thirdAdapter = () => createAdapter(new Redis(third), new Redis(third));
  await runServers("redis", "/", [], {}, undefined, thirdAdapter, third, nothing);

  const emitterBus = new RedisBus();
  const emitter = new RedisEmitter(new Redis(emitterBus)).of("/chat");
  for (const [run, expected] of COMMANDS) {
    run(emitter);
    add("redis-emitter", emitterBus, { namespace: "/chat" }, [expected]);
  }
}

/** The commands and requests of the formats that have the messages of `ClusterAdapter`, or those with binary values. */
function clusterMessages(isBinary) {
  const commands = COMMANDS.map(([run, expected]) => [run, [expected]]);
  const side = [(nsp) => nsp.serverSideEmit("side", IMAGE), [{ name: "server_side_emit", event: ["side", BINARY] }]];
  const requests = REQUESTS.map(([run, expected]) => [run, expected()]);
  return isBinary ? [side, ...binaryRequests(BINARY)] : [...commands, ...requests];
}

async function sharded() {
  for (const subscriptionMode of ["static", "dynamic", "dynamic-private"]) {
    const bus = new RedisBus();
    const adapter = () => createShardedAdapter(new Redis(bus), new Redis(bus), { subscriptionMode });
    const format = `sharded-${subscriptionMode}`;
    // Only the channels of rooms depend on the mode.
    const isDynamic = subscriptionMode === "dynamic";
    const messages = clusterMessages(false).slice(...(isDynamic ? [] : [5, 8]));
    await runServers(format, "/", ["yes"], { name: "x" }, { answer: 1 }, adapter, bus, messages);
    if (!isDynamic) continue;
    await runServers(format, "/chat", [IMAGE], { image: IMAGE }, IMAGE, adapter, bus, clusterMessages(true));
  }
}

/** With `payloadThreshold: 100`, messages that do not fit into a notification. */
const LONG = [
  [(nsp) => nsp.emit("long", "é".repeat(50)), [event(["long", "é".repeat(50)])]],
  [
    (nsp) => nsp.emit("numbers", Number.MAX_SAFE_INTEGER, 2 ** 53, -(2 ** 53), -(2 ** 60), 1e300, 1.5),
    [event(["numbers", Number.MAX_SAFE_INTEGER, 2 ** 53, -(2 ** 53), -(2 ** 60), 1e300, 1.5])],
  ],
  [
    (nsp) => nsp.to("a".repeat(60)).socketsJoin("b"),
    [{ name: "sockets_join", ...receivers(["a".repeat(60)]), changed: ["b"] }],
  ],
];
const LONG_OPTIONS = { payloadThreshold: 100, cleanupInterval: 2 ** 30 };

async function postgres() {
  const bus = new PostgresBus();
  const adapter = () => createPostgresAdapter(bus, { cleanupInterval: 2 ** 30 });
  await runServers("postgres", "/", ["yes"], { name: "x" }, { answer: 1 }, adapter, bus, clusterMessages(false));
  const second = new PostgresBus();
  const secondAdapter = () => createPostgresAdapter(second, { cleanupInterval: 2 ** 30 });
  const [side, , ...rest] = clusterMessages(true);
  const [fetch] = binaryRequests(BUFFER);
  const binary = [side, fetch, ...rest];
  await runServers("postgres", "/chat", [IMAGE], { image: IMAGE }, IMAGE, secondAdapter, second, binary);
  const third = new PostgresBus();
  const thirdAdapter = () => createPostgresAdapter(third, LONG_OPTIONS);
  const long = [...LONG, ...binaryRequests(BINARY)];
  await runServers("postgres-100", "/", [IMAGE], { image: IMAGE }, IMAGE, thirdAdapter, third, long);

  const heartbeats = new PostgresBus();
  const options = { heartbeatInterval: 10, cleanupInterval: 2 ** 30 };
  const io = new Server({ adapter: createPostgresAdapter(heartbeats, options) });
  io.of("/").adapter.init();
  await settle();
  io.of("/").adapter.close();
  await settle();
  const published = heartbeats.published.splice(0).map((row) => [JSON.parse(row.bytes.toString()).type, row]);
  for (const [type, name] of [[1, "initial_heartbeat"], [2, "heartbeat"], [13, "close"]]) {
    heartbeats.published.push(published.find(([found]) => found === type)[1]);
    add("postgres", heartbeats, { namespace: "/", one: io.of("/").adapter.uid }, [{ name }]);
  }

  const emitterBus = new PostgresBus();
  for (const [format, options, messages] of [
    ["postgres-emitter", {}, COMMANDS],
    ["postgres-100-emitter", LONG_OPTIONS, LONG.map(([run, [expected]]) => [run, expected])],
  ]) {
    const emitter = new PostgresEmitter(emitterBus, "/chat", options);
    for (const [run, expected] of messages) {
      run(emitter);
      await settle();
      add(format, emitterBus, { namespace: "/chat" }, [expected]);
    }
  }
}

export async function goldenText() {
  await redis();
  await sharded();
  await postgres();
  const packages = PACKAGES.map((name) => [name, require(`${name}/package.json`).version]);
  const lines = rows.splice(0).map((row) => JSON.stringify(row));
  return `{"packages":${JSON.stringify(Object.fromEntries(packages))},"rows":[\n${lines.join(",\n")}\n]}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(await goldenText());
  process.exit();
}
