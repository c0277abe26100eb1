// What test files are made of: a server for the file's tests, and one set of tests per transport.
import { after, afterEach, before, describe, it } from "node:test";
import { io } from "socket.io-client";
import { next, nextWhere } from "./wait.js";

const reference = process.env.TIDEWIRE_REFERENCE === "1";

/** A test of something that Tidewire promises and Node does not: skipped, visibly, when the reference is under test. */
export const ours = (name, test) => it(name, { skip: reference && "Tidewire only" }, test);

export const TRANSPORTS = ["polling", "websocket", "polling, then upgraded"];

/** Describes `topic` once per transport. */
export function overEachTransport(topic, define, transports = TRANSPORTS) {
  for (const transport of transports) describe(`${topic} over ${transport}`, () => define(transport));
}

/**
 * A server that lives as long as the enclosing `describe`, and the clients of each test, which end with the test.
 * `start` is one of the starters of `server.js`.
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

  /** A client of its own connection that has not been told to connect; `options.namespace` is `/` unless given. */
  client(transport, { namespace = "/", ...options } = {}) {
    const socket = io(this.url + namespace, {
      transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
      autoConnect: false,
      forceNew: true,
      reconnection: false,
      ...options,
    });
    this.#clients.push(socket);
    return socket;
  }

  /** A client that is connected, and has finished its upgrade if it makes one. */
  async connect(transport, options) {
    const socket = this.client(transport, options);
    const ready = [next(socket.io, "open"), settled(socket)];
    if (transport === "polling, then upgraded") {
      ready.push(ready[0].then(() => socket.io.engine.transport.name === "websocket" || next(socket.io.engine, "upgrade")));
    }
    socket.connect();
    await Promise.all(ready); // a refusal fails at once, whatever the others are still waiting for
    return socket;
  }

  /** A second namespace on the connection of `socket`. */
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

/** Resolves when `socket` connects, and fails when it is refused. */
async function settled(socket) {
  const refused = new Promise((_resolve, reject) => socket.once("connect_error", reject));
  await Promise.race([next(socket, "connect"), refused]);
}

/** The acknowledgement of an event: all of its values, where `emitWithAck` gives the first. */
export function acknowledged(socket, event, ...values) {
  return new Promise((resolve, reject) => {
    socket.timeout(8_000).emit(event, ...values, (error, ...answer) => (error ? reject(error) : resolve(answer)));
  });
}

/** Why the server says that the socket `id` is gone, as `watcher` hears it from the conformance server. */
export async function reasonFor(watcher, id) {
  const [{ reason }] = await nextWhere(watcher, "gone", (gone) => gone.id === id);
  return reason;
}
