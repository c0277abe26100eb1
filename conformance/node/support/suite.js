// Building blocks of test files: a server per file, and one set of tests per transport.
import { after, afterEach, before, describe, it } from "node:test";
import { io } from "socket.io-client";
import messagePackParser from "socket.io-msgpack-parser";
import { next, nextWhere } from "./wait.js";

const reference = process.env.TIDEWIRE_REFERENCE === "1";
/** Whether tests that are long run too: `cargo xtask test --full`. */
const full = process.env.TIDEWIRE_FULL === "1";

/**
 * A test of behaviour that only Tidewire guarantees. When Node's packages are under test, it is reported as skipped.
 */
export const ours = (name, test) => it(name, { skip: reference && "Tidewire only" }, test);

/** Describes what only Tidewire has, with servers that Node's cannot be. */
export const describeOurs = (topic, define) => describe(topic, { skip: reference && "Tidewire only" }, define);

export const TRANSPORTS = ["polling", "websocket", "polling, then upgraded"];

/** Describes `topic` once per transport. */
export function overEachTransport(topic, define, transports = TRANSPORTS) {
  for (const transport of transports) describe(`${topic} over ${transport}`, () => define(transport));
}

/** The parsers of a server and its clients: what the server is started with, and the options of a client. */
export const PARSERS = {
  default: { name: "the default parser", args: [], clientOptions: {} },
  messagePack: { name: "MessagePack", args: ["--parser", "messagepack"], clientOptions: { parser: messagePackParser } },
};

/**
 * Describes `topic` once per transport with the default parser, and with MessagePack: over WebSocket, or over each
 * transport if all tests run.
 */
export function overEachTransportAndParser(topic, define, transports = TRANSPORTS) {
  overEachTransport(topic, (transport) => define(transport, PARSERS.default), transports);
  const withMessagePack = full ? transports : ["websocket"];
  overEachTransport(`${topic} with MessagePack`, (transport) => define(transport, PARSERS.messagePack), withMessagePack);
}

/**
 * Starts a server that runs as long as the enclosing `describe`. Its clients are closed after each test. `start` is a
 * start function from `server.js`. `parser` is one of `PARSERS`, for the server and its clients.
 */
export function serverForTests(start, { parser = PARSERS.default, args = [], ...options } = {}) {
  const context = new Context(parser);
  before(async () => (context.server = await start({ ...options, args: [...args, ...parser.args] })));
  afterEach(() => context.disconnectAll());
  after(() => context.server?.stop());
  return context;
}

class Context {
  #clients = [];
  #parser;
  server;

  constructor(parser) {
    this.#parser = parser;
  }

  get url() {
    return this.server.url;
  }

  get webSocketUrl() {
    return this.server.webSocketUrl;
  }

  /** Creates a client with its own connection, not yet connected. `options.namespace` defaults to `/`. */
  client(transport, { namespace = "/", ...options } = {}) {
    const socket = io(this.url + namespace, {
      transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
      autoConnect: false,
      forceNew: true,
      reconnection: false,
      ...this.#parser.clientOptions,
      ...this.server.clientOptions,
      ...options,
    });
    this.#clients.push(socket);
    return socket;
  }

  /** Creates a client and waits until it has connected and finished its upgrade, if there is one. */
  async connect(transport, options) {
    const socket = this.client(transport, options);
    const ready = [next(socket.io, "open"), settled(socket)];
    if (transport === "polling, then upgraded") {
      ready.push(ready[0].then(() => upgraded(socket.io.engine)));
    }
    socket.connect();
    await Promise.all(ready); // fails as soon as the connect is rejected
    return socket;
  }

  /** Connects to a second namespace over the connection of `socket`. */
  async share(socket, namespace, options) {
    const other = socket.io.socket(namespace, options);
    this.#clients.push(other);
    const connected = settled(other);
    other.connect();
    await connected;
    return other;
  }

  disconnectAll() {
    for (const client of this.#clients.splice(0)) {
      client.io.reconnection(false);
      client.disconnect();
      client.io._close(); // also when the socket itself never connected
    }
  }
}

/** Resolves when `socket` connects, and rejects when the server rejects it. */
async function settled(socket) {
  const refused = new Promise((_resolve, reject) => socket.once("connect_error", reject));
  await Promise.race([next(socket, "connect"), refused]);
}

/** Resolves when `engine` has finished its upgrade, and rejects when that fails. */
async function upgraded(engine) {
  if (engine.transport.name === "websocket") return;
  const failed = new Promise((_resolve, reject) => engine.once("upgradeError", reject));
  await Promise.race([next(engine, "upgrade"), failed]);
}

/** Emits an event and returns all values of its acknowledgement. `emitWithAck` would return only the first. */
export function acknowledged(socket, event, ...values) {
  return new Promise((resolve, reject) => {
    socket.timeout(8_000).emit(event, ...values, (error, ...answer) => (error ? reject(error) : resolve(answer)));
  });
}

/**
 * Returns the reason for which the socket `id` was disconnected, as the conformance server announces it to `watcher`.
 */
export async function reasonFor(watcher, id) {
  const [{ reason }] = await nextWhere(watcher, "gone", (gone) => gone.id === id);
  return reason;
}
