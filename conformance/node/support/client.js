// Our WebSocket client, which is a program of its own, and the server of the package `ws` that it comes to.
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before } from "node:test";
import { WebSocketServer } from "ws";
import { launch } from "./server.js";
import { within } from "./wait.js";
import { Conversation } from "./websocket.js";

/** A server of the package `ws` that lives as long as the enclosing `describe`. */
export function hostForTests(options) {
  const context = {};
  before(async () => (context.host = await Host.start(options)));
  after(() => context.host?.stop());
  return { welcome: (...values) => context.host.welcome(...values), url: () => context.host.url };
}

/** The same, of these options and on a port of the system's choice. */
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

  /** Our client comes with these options; the server's end of it is in `conversation`. */
  async welcome(options, path = "/") {
    const connection = once(this.server, "connection");
    const client = new Client(this.url + path, options);
    const [socket, request] = await within(10_000, "our client", Promise.race([connection, client.failure()]));
    return { client, request, conversation: new Conversation(socket) };
  }

  stop() {
    for (const socket of this.server.clients) socket.terminate();
    this.server.close();
    this.http.close();
  }
}

/** Our client, running. What it prints is to be waited for in its order. */
export class Client {
  #lines;
  #program;

  constructor(url, options = {}) {
    this.#program = launch("TIDEWIRE_CONFORMANCE_CLIENT", [url, JSON.stringify(options)]);
    this.#lines = createInterface({ input: this.#program.process.stdout })[Symbol.asyncIterator]();
  }

  /** The next line: `{ connected }`, `{ refused }`, `{ failed }` or `{ closed }`. */
  async says() {
    const { done, value } = await within(10_000, "a line of our client", this.#lines.next());
    if (done) throw new Error(`our client has said no more\n${this.#program.errors()}`);
    return JSON.parse(value);
  }

  /** How the connection ended, as it says: `{ code, reason }`. */
  async ended() {
    for (;;) {
      const { closed } = await this.says();
      if (closed) return closed;
    }
  }

  /** Fails when the program ends. */
  async failure() {
    await this.#program.ended;
    throw new Error(`our client has not connected\n${this.#program.errors()}`);
  }
}
