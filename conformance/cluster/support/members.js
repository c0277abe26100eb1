// The servers of a cluster, and their clients.
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import assert from "node:assert/strict";
import { io } from "socket.io-client";
import { launch } from "../../node/support/server.js";
import { next, within, withResolvers } from "../../node/support/wait.js";
import { pack } from "./bytes.js";

const WAIT_LIMIT = 15_000;

/** Where the programs are: the one under test, and the one on Node's packages. */
const PROGRAMS = {
  tidewire: "TIDEWIRE_CONFORMANCE_CLUSTER",
  node: fileURLToPath(new URL("../node-server.js", import.meta.url)),
};

/** A server of a cluster. `kind` is `tidewire` or `node`. */
export class Member {
  #child;
  #answers = new Map();
  #lastId = 0;
  #clients = [];
  /** Is called with each message that the server could not send to others, or perhaps not. */
  onFailure = () => {};

  static async start(kind, args) {
    const member = new Member();
    member.#child = launch(PROGRAMS[kind], args, {}, "pipe");
    const { promise, resolve, reject } = withResolvers();
    createInterface({ input: member.#child.process.stdout }).on("line", (line) => {
      if (line.startsWith("{")) member.#handleAnswer(JSON.parse(line));
      else resolve(/http:\/\/[^\s/]+:\d+/.exec(line)?.[0]);
    });
    member.#child.process.stdin.on("error", () => {}); // it has ended, which a test notices otherwise
    member.#child.ended.then(() => reject(new Error(`${kind} ended before it listened\n${member.errors()}`)), reject);
    member.url = await within(20_000, `the listening line of ${kind}`, promise);
    return member;
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  get process() {
    return this.#child.process.pid;
  }

  errors() {
    return this.#child.errors();
  }

  /** The resident memory in bytes. */
  memory() {
    const status = readFileSync(`/proc/${this.process}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
  }

  /** Makes the server do something, and returns the result. `operations` in `node-server.js` has the commands. */
  async run(operation, command = {}) {
    const id = (this.#lastId += 1);
    const answer = new Promise((resolve) => this.#answers.set(id, resolve));
    this.#child.process.stdin.write(`${JSON.stringify({ id, operation, ...command, args: pack(command.args ?? []) })}\n`);
    const { value, error } = await within(WAIT_LIMIT, `the result of ${operation}`, answer);
    if (error !== undefined) throw new Error(`${operation}: ${error}`);
    return value;
  }

  #handleAnswer({ id, ...answer }) {
    if (id === "failure") this.onFailure(answer);
    this.#answers.get(id)?.(answer);
    this.#answers.delete(id);
  }

  /**
   * Connects a client. The server puts it into `rooms`. `received` has all its events. It acknowledges an event with
   * `answer`, or with its name.
   */
  async connect(name, { rooms = [], namespace = "/", answer = name } = {}) {
    const client = io(this.url + namespace, {
      ...{ transports: ["websocket"], forceNew: true, reconnection: false },
      auth: { name, rooms },
      query: { from: name },
    });
    this.#clients.push(client);
    client.received = [];
    client.onAny((event, ...args) => {
      const acknowledge = typeof args.at(-1) === "function" ? args.pop() : undefined;
      client.received.push([event, ...args]);
      if (answer !== null) acknowledge?.(answer);
    });
    await next(client, "ready");
    client.received.length = 0;
    return client;
  }

  disconnectAll() {
    for (const client of this.#clients.splice(0)) client.disconnect();
  }

  signal(name) {
    this.#child.process.kill(name);
  }

  /** Stops all threads of the server. The signal alone stops them only later, if the machine is busy. */
  async suspend() {
    this.signal("SIGSTOP");
    const threads = `/proc/${this.#child.process.pid}/task`;
    const isStopped = (thread) => / [Tt] /.test(readFileSync(`${threads}/${thread}/stat`, "utf8").replace(/^.*\)/s, ""));
    await until("all threads are stopped", () => readdirSync(threads).every(isStopped));
  }

  async kill() {
    this.signal("SIGKILL");
    await within(WAIT_LIMIT, "the end of a killed server", this.#child.ended);
  }

  async stop() {
    this.disconnectAll();
    this.signal("SIGTERM");
    const [status, killedBy] = await within(WAIT_LIMIT, "the end of a server", this.#child.ended);
    assert.deepEqual({ status, killedBy }, { status: 0, killedBy: null }, this.errors());
  }
}

/** Waits until `check` returns something true, and returns it. It is called again and again. */
export async function until(what, check, limit = WAIT_LIMIT) {
  const deadline = Date.now() + limit;
  for (;;) {
    const result = await check();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited ${limit} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Waits until each of `clients` has received as many events of this name as it should, and returns the arguments of all. */
export async function received(clients, event, count = 1) {
  const of = (client) => client.received.filter(([name]) => name === event);
  const seen = () => clients.map((client) => of(client).length);
  await until(`${count} × "${event}"`, () => seen().every((length) => length >= count)).catch((error) => {
    throw new Error(`${error.message}, saw ${seen()}`);
  });
  return clients.map((client) => of(client).map(([, ...args]) => args));
}
