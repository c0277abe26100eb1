// Runs Tidewire's WebSocket client, which is a separate program, and the server with the package `ws` to which it
// connects.
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { WebSocketServer } from "ws";
import { launch } from "./server.js";
import { within } from "./wait.js";
import { Conversation } from "./websocket.js";

/** Starts a server with the package `ws` that runs as long as the enclosing `describe`. */
export function hostForTests(options) {
  const context = {};
  before(async () => (context.host = await Host.start(options)));
  after(() => context.host?.stop());
  return { welcome: (...values) => context.host.welcome(...values), url: () => context.host.url };
}

/** A server with the package `ws`, with these options, on a port that the system chooses. */
class Host {
  static async start(options = {}) {
    const host = new Host(options);
    host.http.listen(0, "127.0.0.1");
    await once(host.http, "listening");
    return host;
  }

  constructor(options) {
    this.http = createServer((_request, response) => response.writeHead(426).end());
    this.server = new WebSocketServer({ server: this.http, ...options });
  }

  get url() {
    return `ws://127.0.0.1:${this.http.address().port}`;
  }

  /** Starts the client with these options. The server's end of its connection is in `conversation`. */
  async welcome(options, path = "/") {
    const connection = once(this.server, "connection");
    const client = new Client(this.url + path, options);
    const [socket, request] = await within(10_000, "the client", Promise.race([connection, client.failure()]));
    return { client, request, conversation: new Conversation(socket) };
  }

  stop() {
    for (const socket of this.server.clients) socket.terminate();
    this.server.close();
    this.http.close();
  }
}

/** The running client. Its output must be read in order. */
export class Client {
  #lines;
  #program;

  constructor(url, options = {}) {
    this.#program = launch("TIDEWIRE_CONFORMANCE_CLIENT", [url, JSON.stringify(options)]);
    this.#lines = createInterface({ input: this.#program.process.stdout })[Symbol.asyncIterator]();
  }

  /** Returns the next line: `{ connected }`, `{ refused }`, `{ failed }` or `{ closed }`. */
  async says() {
    const { done, value } = await within(10_000, "a line of the client", this.#lines.next());
    if (done) throw new Error(`the client printed no further line\n${this.#program.errors()}`);
    return JSON.parse(value);
  }

  /** Returns how the connection ended, as the client reports it: `{ code, reason }`. */
  async ended() {
    for (;;) {
      const { closed } = await this.says();
      if (closed) return closed;
    }
  }

  /** Rejects when the program ends. */
  async failure() {
    await this.#program.ended;
    throw new Error(`the client ended before it connected\n${this.#program.errors()}`);
  }
}
