// Building blocks of test files: a server per file, and one set of tests per transport.
import { after, afterEach, before, describe, it } from "node:test";
import { io } from "socket.io-client";
import { next, nextWhere } from "./wait.js";

const reference = process.env.TIDEWIRE_REFERENCE === "1";

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

/**
 * Starts a server that runs as long as the enclosing `describe`. Its clients are closed after each test. `start` is a
 * start function from `server.js`.
 */
export function serverForTests(start, options) {
  const context = new Context();
  before(async () => (context.server = await start(options)));
  afterEach(() => context.disconnectAll());
  after(() => context.server?.stop());
  return context;
}

class Context {
  #clients = [];
  server;

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
