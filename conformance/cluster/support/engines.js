// The databases that carry the messages of a cluster. Each has an address of its own, and its files in a temporary folder.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "../../node/support/wait.js";

// Ends what a failed test left running. The test runner stops a file with SIGTERM.
const running = new Set();
process.once("exit", () => running.forEach((engine) => engine.abandon()));
process.once("SIGTERM", () => process.exit(1));

// PostgreSQL refuses to run as root, who becomes `nobody`.
const user = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

const postgresFolder = process.env.TIDEWIRE_POSTGRES_BIN ?? "/usr/lib/postgresql/15/bin";

const redis = (program) => ({
  command: program,
  args: ({ host, port }, folder) => [
    ...["--port", port, "--bind", host, "--dir", folder],
    ...["--save", "", "--appendonly", "no"],
  ],
  isReady: "Ready to accept connections",
  output: "stdout",
  url: ({ host, port }) => `redis://${host}:${port}`,
  signal: "SIGTERM",
});

const PROGRAMS = {
  redis: redis(process.env.TIDEWIRE_REDIS ?? "/usr/bin/redis-server"),
  valkey: redis(process.env.TIDEWIRE_VALKEY ?? "valkey-server"),
  postgres: {
    command: join(postgresFolder, "postgres"),
    prepare(folder) {
      const args = ["-D", folder, "-U", "tidewire", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
      execFileSync(join(postgresFolder, "initdb"), args, { ...user, stdio: ["ignore", "ignore", "inherit"] });
    },
    args: ({ host, port }, folder) => [
      ...["-D", folder, "-p", port, "-c", `listen_addresses=${host}`, "-c", "unix_socket_directories="],
      ...["-c", "fsync=off"],
    ],
    isReady: "database system is ready to accept connections",
    output: "stderr",
    url: ({ host, port }) => `postgres://tidewire@${host}:${port}/postgres`,
    // Ends connections, and does not wait for them.
    signal: "SIGINT",
  },
};

/** A running database. `name` is one of `redis`, `valkey` and `postgres`. */
export class Engine {
  #program;
  #child;
  #address = ownAddress();
  #folder = mkdtempSync(join(tmpdir(), "tidewire-cluster-"));

  static async start(name) {
    const engine = new Engine();
    engine.#program = PROGRAMS[name];
    if (user.uid) chownSync(engine.#folder, user.uid, user.gid);
    engine.#program.prepare?.(engine.#folder);
    running.add(engine);
    await engine.start();
    return engine;
  }

  get url() {
    return this.#program.url(this.#address);
  }

  get process() {
    return this.#child.pid;
  }

  /** Starts the database again, on the same address. */
  async start() {
    const { command, args, isReady, output } = this.#program;
    const child = spawn(command, args(this.#address, this.#folder), { ...user, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    let text = "";
    const ready = new Promise((resolve, reject) => {
      for (const name of ["stdout", "stderr"]) {
        child[name].setEncoding("utf8").on("data", (more) => {
          text += more;
          if (name === output && text.includes(isReady)) resolve();
        });
      }
      child.once("error", (error) => reject(new Error(`cannot run ${command}: ${error.message}`)));
      child.once("close", (status) => reject(new Error(`${command} ended with ${status} before it was ready\n${text}`)));
    });
    await within(20_000, `the start of ${command}`, ready);
  }

  /** Stops the database. It keeps its files. */
  async stop() {
    const ended = once(this.#child, "close");
    this.#child.kill(this.#program.signal);
    await within(20_000, "the end of the database", ended);
  }

  /** Stops the database and removes its files. */
  async remove() {
    running.delete(this);
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Ends the database when the tests end early. */
  abandon() {
    // PostgreSQL ends its processes then.
    this.#child?.kill(this.#program.signal === "SIGINT" ? "SIGQUIT" : "SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

let nextPort = 20_000;

/**
 * An address that nobody else takes, also while the database is stopped: all of 127.0.0.0/8 belongs to this machine, this host is
 * only that of this process, and the system gives out no such port. A port that was free a moment ago may be that of a connection
 * now.
 */
function ownAddress() {
  const { pid } = process; // at most 2^22
  const host = `127.${128 + (pid >> 16)}.${(pid >> 8) & 255}.${pid & 255}`;
  return { host, port: String(nextPort++) };
}
