// Runs a client of Socket.IO, which is a separate program that reads steps: `reference-socketio-client.js` describes it.
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach } from "node:test";
import { launch } from "./server.js";
import { within } from "./wait.js";

const OFFICIAL = fileURLToPath(new URL("../reference-socketio-client.js", import.meta.url));

/** The options of a client that uses this transport of `TRANSPORTS`. */
export const transportOptions = (transport) => ({
  transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
});

/** Returns functions that start clients. These run until the end of the test. */
export function clientsForTests() {
  const clients = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.kill();
  });
  const start = (program, url, options) => {
    const client = new DrivenClient(program, url, options);
    clients.push(client);
    return client;
  };
  return {
    /** Starts the client under test. */
    client: (url, options) => start("TIDEWIRE_CONFORMANCE_SOCKETIO_CLIENT", url, options),
    /** Starts the official client. */
    official: (url, options) => start(OFFICIAL, url, options),
  };
}

/** A running client. Its output must be read in order. */
class DrivenClient {
  #lines;
  #program;
  /** All that it has reported and that was read. */
  said = [];

  constructor(program, url, options = {}) {
    this.#program = launch(program, [url, JSON.stringify(options)], {}, "pipe");
    this.#lines = createInterface({ input: this.#program.process.stdout })[Symbol.asyncIterator]();
  }

  /** Runs steps. */
  does(...steps) {
    for (const step of steps) this.#program.process.stdin.write(`${JSON.stringify(step)}\n`);
  }

  /** Returns the next line. */
  async says() {
    const { done, value } = await within(10_000, "a line of the client", this.#lines.next());
    if (done) throw new Error(`the client printed no further line\n${this.#program.errors()}`);
    const line = JSON.parse(value);
    this.said.push(line);
    return line;
  }

  /** Returns the value of the next line that has this name, of this namespace. Lines before it are skipped. */
  async next(name, nsp) {
    try {
      for (;;) {
        const line = await this.says();
        if (name in line && (nsp === undefined || line.nsp === nsp)) return line[name];
      }
    } catch (error) {
      error.message += `\nwaited for "${name}" after ${JSON.stringify(this.said)}\n${this.#program.errors()}`;
      throw error;
    }
  }

  /** Returns the next event, except those that announce the end of another socket: these come at any time. */
  async event() {
    for (;;) {
      const event = await this.next("event");
      if (event[0] !== "gone") return event;
    }
  }

  /** Waits until the program has ended after its last step. */
  async ended() {
    const [status] = await within(10_000, "the end of the client", this.#program.ended);
    return status;
  }

  kill() {
    this.#program.process.kill("SIGKILL");
  }
}
