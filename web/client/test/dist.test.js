// The files in `dist`.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "../build.js";

const dist = new URL("../dist/", import.meta.url);

describe("the files in dist", () => {
  it("are what a fresh build makes", async () => {
    const fresh = await build();
    assert.deepEqual((await readdir(dist)).sort(), Object.keys(fresh).sort());
    for (const [name, text] of Object.entries(fresh)) {
      const inTree = await readFile(new URL(name, dist), "utf8");
      assert.ok(inTree === text, `${name} is not up to date: run \`npm run build\` in web/client`);
    }
  });

  it("are small: the client has at most 8 KB with gzip", async () => {
    const { length } = gzipSync(await readFile(new URL("tidewire.js", dist)), { level: 9 });
    assert.ok(length <= 8 * 1024, `tidewire.js has ${length} bytes`);
  });

  it("export what the official client exports, except its transports", async () => {
    const official = await import("socket.io-client");
    const transports = ["Fetch", "NodeWebSocket", "NodeXHR", "WebSocket", "WebTransport", "XHR"];
    for (const name of ["tidewire.js", "tidewire-msgpack.js"]) {
      const ours = await import(new URL(name, dist));
      const expected = Object.keys(official).filter((key) => !transports.includes(key));
      assert.deepEqual(Object.keys(ours).sort(), expected.sort());
      assert.equal(ours.protocol, official.protocol);
      assert.equal(ours.default, ours.io);
      assert.equal(ours.io.Manager, ours.Manager);
    }
  });

  it("define `io` in a page without modules", async () => {
    const script = await readFile(new URL("tidewire.global.js", dist), "utf8");
    const page = {};
    new Function("globalThis", script)(page);
    assert.equal(typeof page.io, "function");
    assert.equal(typeof page.io.Manager, "function");
  });

  it("have types, which accept the events of a program", async () => {
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    const project = fileURLToPath(new URL("..", import.meta.url));
    await promisify(execFile)(process.execPath, [tsc, "--project", project]).catch(({ stdout }) => assert.fail(stdout));
  });
});
