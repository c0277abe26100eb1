// python-socketio, the client of Python programs, with and without asyncio. `python/client.py` has the tests.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Relay } from "../support/relay.js";
import { startConformanceServer } from "../support/server.js";
import { within } from "../support/wait.js";

const program = fileURLToPath(new URL("../python/client.py", import.meta.url));
const packages = process.env.TIDEWIRE_PYTHON_PACKAGES;

describe("python-socketio", { concurrency: true }, () => {
  let server;
  before(async () => (server = await startConformanceServer()));
  after(() => server?.stop());

  for (const kind of ["sync", "asyncio"]) {
    for (const transports of ["polling", "websocket", "polling,websocket"]) {
      it(`(${kind}) exchanges events, is disconnected and rejected, and reconnects over ${transports}`, async () => {
        assert.ok(packages, "TIDEWIRE_PYTHON_PACKAGES names no folder: run the suite by `cargo xtask test --stage node`");
        const relay = await Relay.start(server.url);
        const python = spawn("python3", [program, relay.url, kind, transports], {
          stdio: ["ignore", "pipe", "pipe"],
          env: { ...process.env, PYTHONPATH: packages, PYTHONDONTWRITEBYTECODE: "1", PYTHONIOENCODING: "utf-8", NO_PROXY: "*" },
        });
        try {
          const ended = once(python, "close");
          const lines = [];
          let errors = "";
          python.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
          createInterface({ input: python.stdout }).on("line", (line) => {
            lines.push(line);
            if (line === "break") relay.break();
            if (line === "repair") relay.repair();
          });
          // The server may notice the end of a client by its ping timeout, after 45 s: see `python/client.py`.
          const [status] = await within(90_000, "the end of python/client.py", ended).catch((error) => {
            error.message += `, which has printed ${JSON.stringify(lines)}\n${errors}`;
            throw error;
          });
          assert.deepEqual([status, lines], [0, ["break", "repair", "done"]], errors);
        } finally {
          python.kill("SIGKILL");
          relay.stop();
        }
      });
    }
  }
});
