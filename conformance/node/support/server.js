// Starts and stops the programs under test. Each test file has its own, on a port that the system chooses.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { next, within } from "./wait.js";

// Kills the programs that a failed test left running.
const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** The binary `tidewire`, running its built-in application. */
export const startApplication = (options) => start("TIDEWIRE_BINARY", options);

/** The program that `reference-server.js` specifies. */
export const startConformanceServer = (options) => start("TIDEWIRE_CONFORMANCE_SERVER", options);

/** `reference-server.js` itself, on Node's packages. */
export const startNodeServer = (options) => start(fileURLToPath(new URL("../reference-server.js", import.meta.url)), options);

/** The server of `conformance/socketioxide`. */
export const startSocketioxideServer = (options) => start("TIDEWIRE_CONFORMANCE_SOCKETIOXIDE", options);

/** The program that `reference-engine.js` specifies. */
export const startEngineServer = (options) => start("TIDEWIRE_CONFORMANCE_ENGINE", options);

async function start(variable, { listen = "127.0.0.1:0", args = [], environment = {} } = {}) {
  const child = launch(variable, [...(listen ? ["--listen", listen] : []), ...args], environment);
  const listening = new Promise((resolve, reject) => {
    createInterface({ input: child.process.stdout }).on("line", (line) => {
      const urls = line.match(/https?:\/\/[^\s/]+:\d+/g);
      if (urls) resolve(urls);
    });
    child.ended.then(([status]) => reject(new Error(`it ended with ${status} before it listened\n${child.errors()}`)), reject);
  });
  const urls = await within(20_000, `the listening line of ${variable}`, listening);
  return new Server(child, urls);
}

/** Starts the binary and waits until it ends by itself. Returns `{ status, errors }`. */
export async function runApplication(args, environment = {}) {
  const child = launch("TIDEWIRE_BINARY", args, environment);
  child.process.stdout.resume();
  const [status] = await within(20_000, "the end of TIDEWIRE_BINARY", child.ended);
  return { status, errors: child.errors() };
}

/**
 * Starts the program named by the environment variable `variable`, or the program with this path. The caller reads its
 * standard output.
 */
export function launch(variable, args, environment = {}, input = "ignore") {
  const program = variable.includes("/") ? variable : process.env[variable];
  assert.ok(program, `${variable} names no program: run the suite by \`cargo xtask test --stage node\` or \`npm run reference\``);
  const [command, first] = program.endsWith(".js") ? [process.execPath, [program]] : [program, []];
  const { TIDEWIRE_LISTEN: _, ...inherited } = process.env;
  const child = spawn(command, [...first, ...args], {
    stdio: [input, "pipe", "pipe"],
    env: { ...inherited, ...environment },
  });
  running.add(child);
  child.once("close", () => running.delete(child));

  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
  return { process: child, ended: once(child, "close"), errors: () => errors };
}

class Server {
  #child;

  constructor(child, urls) {
    this.#child = child;
    /** Those of all servers of a cluster. */
    this.urls = urls;
    this.url = urls[0];
  }

  /** Returns what the program has written to standard error so far. */
  errors() {
    return this.#child.errors();
  }

  /** Waits until the program has written something that matches to standard error. */
  async written(pattern) {
    while (!pattern.test(this.errors())) await next(this.#child.process.stderr, "data");
  }

  get port() {
    return Number(new URL(this.url).port);
  }

  get webSocketUrl() {
    return this.url.replace("http", "ws");
  }

  signal(name) {
    this.#child.process.kill(name);
  }

  /** Kills the program, which cannot close its connections cleanly then. */
  async kill() {
    this.signal("SIGKILL");
    await within(15_000, "the end of the killed program", this.#child.ended);
  }

  /** Stops the program with a signal, as an operator would, and asserts that it ends cleanly. */
  async stop(signal = "SIGTERM") {
    this.signal(signal);
    const [status, killedBy] = await within(15_000, `the end of the program after ${signal}`, this.#child.ended);
    assert.deepEqual({ status, killedBy }, { status: 0, killedBy: null }, `after ${signal}: ${this.#child.errors()}`);
  }
}
