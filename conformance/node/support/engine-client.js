// Runs the client of Engine.IO, which is a separate program, and a server with the package `engine.io` to which it
// connects.
import { createServer } from "node:http";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, afterEach, before } from "node:test";
import { Server } from "engine.io";
import { launch } from "./server.js";
import { within, withResolvers } from "./wait.js";

/** Starts a server with the package `engine.io` and these options that runs as long as the enclosing `describe`. */
export function engineForTests(options) {
  const host = new Host(options);
  before(() => host.start());
  afterEach(() => host.forget());
  after(() => host.stop());
  return host;
}

class Host {
  #clients = [];
  #requests = [];

  constructor(options) {
    this.options = options;
  }

  async start() {
    this.http = createServer((_request, response) => response.writeHead(404).end());
    this.engine = new Server(this.options);
    this.engine.attach(this.http);
    this.http.prependListener("request", (request) => this.#requests.push(request));
    this.http.prependListener("upgrade", (request) => this.#requests.push(request));
    this.http.listen(0, "127.0.0.1");
    await once(this.http, "listening");
  }

  get url() {
    return `http://127.0.0.1:${this.http.address().port}`;
  }

  /** Starts a client. */
  client(options = {}) {
    const client = new EngineClient(this.url, options);
    this.#clients.push(client);
    return client;
  }

  /** Starts a client. Returns it with the server's end of its session, once the upgrade is done if there is one. */
  async connect(transport, options = {}) {
    const upgrades = transport === "polling, then upgraded";
    const client = this.client({ transports: upgrades ? ["polling", "websocket"] : [transport], ...options });
    const { sid } = await client.says("open");
    const session = new Session(this.engine.clients[sid]);
    if (upgrades) await client.says("upgrade");
    return { client, session };
  }

  /** Returns the requests of a session since the start of the test. A client of an earlier test may still send some. */
  requestsOf({ socket }) {
    const sidOf = ({ url }) => new URL(url, this.url).searchParams.get("sid");
    return this.#requests.filter((request) => [null, socket.id].includes(sidOf(request)));
  }

  forget() {
    for (const client of this.#clients.splice(0)) client.kill();
    this.#requests = [];
  }

  stop() {
    this.engine.close();
    this.http.close();
    this.http.closeAllConnections();
  }
}

/** The server's end of a session. It records what it receives. */
class Session {
  received = [];
  #waiting;

  constructor(socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", (reason) => resolve(reason)));
    socket.on("message", (message) => {
      this.received.push(message ?? ""); // an empty text is `undefined` in the package
      if (this.received.length >= this.#waiting?.count) this.#waiting.resolve();
    });
  }

  send(message) {
    this.socket.send(message);
  }

  /** Returns all messages, once there are `count`. */
  async messages(count) {
    if (this.received.length < count) {
      const { promise, resolve } = withResolvers();
      this.#waiting = { count, resolve };
      await within(10_000, `${count} messages`, promise).catch((error) => {
        error.message += `, got ${this.received.length}`;
        throw error;
      });
    }
    return this.received;
  }

  /** Returns the reason with which the server reports the end. */
  ended() {
    return within(10_000, "the end of the session", this.closed);
  }
}

/** The running client. Its output must be read in order. */
class EngineClient {
  #lines;
  #program;

  constructor(url, options) {
    this.#program = launch("TIDEWIRE_CONFORMANCE_ENGINE_CLIENT", [url, JSON.stringify(options)]);
    this.#lines = createInterface({ input: this.#program.process.stdout })[Symbol.asyncIterator]();
  }

  /** Returns the value of the next line that has this name. Lines before it are skipped. */
  async says(name) {
    for (;;) {
      const { done, value } = await within(10_000, `a line of the client with ${name}`, this.#lines.next());
      if (done) throw new Error(`the client never printed ${name}\n${this.#program.errors()}`);
      const line = JSON.parse(value);
      if (name in line) return line[name];
    }
  }

  kill() {
    this.#program.process.kill("SIGKILL");
  }
}
