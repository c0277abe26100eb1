// The files of the JavaScript client, which pages load from the server.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { gunzipSync, inflateSync } from "node:zlib";
import { request } from "../support/http.js";
import { runApplication, startApplication, startConformanceServer } from "../support/server.js";
import { describeOurs, ours, serverForTests } from "../support/suite.js";

const root = dirname(createRequire(import.meta.url).resolve("socket.io-client/package.json"));
const dist = join(root, "dist");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const args = ["--client-files", dist];
const scripts = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];
const names = scripts.flatMap((script) => [script, `${script}.map`]);

describe("the client's files", () => {
  const server = serverForTests(startConformanceServer, { args });
  const get = (name, options) => request(`${server.url}/socket.io/${name}`, options);

  for (const name of names) {
    it(`${name} is served as in the package`, async () => {
      const response = await get(name);
      assert.equal(response.status, 200);
      assert.equal(response.headers["cache-control"], "public, max-age=0");
      assert.equal(response.headers.etag, `"${version}"`);
      const type = name.endsWith(".map") ? "json" : "javascript";
      assert.equal(response.headers["content-type"], `application/${type}; charset=utf-8`);
      assert.equal(response.headers["content-encoding"], undefined);
      assert.equal(response.headers["access-control-allow-origin"], "*");
      assert.ok(response.bytes.equals(readFileSync(join(dist, name))));
    });
  }

  for (const [accepted, encoding, decode] of [
    ["gzip", "gzip", gunzipSync],
    ["deflate", "deflate", inflateSync],
    ["gzip, deflate", "gzip", gunzipSync],
    ["deflate, gzip;q=0.5", "deflate", inflateSync],
    ["gzip, deflate, br, zstd", "gzip", gunzipSync], // as Chromium and Firefox send it
  ]) {
    it(`are compressed for "${accepted}"`, async () => {
      for (const name of names) {
        const response = await get(name, { headers: { "accept-encoding": accepted } });
        assert.equal(response.headers["content-encoding"], encoding, name);
        assert.ok(decode(response.bytes).equals(readFileSync(join(dist, name))), name);
      }
    });
  }

  it("are the same for every query and method", async () => {
    for (const [name, method] of [
      ["socket.io.js?v=1&EIO=4&transport=polling", "GET"],
      ["socket.io.js", "POST"],
    ]) {
      const response = await get(name, { method });
      assert.equal(response.status, 200, method);
      assert.ok(response.bytes.equals(readFileSync(join(dist, "socket.io.js"))), method);
    }
  });

  it("are not sent again to those who have them", async () => {
    for (const etag of [`"${version}"`, `W/"${version}"`]) {
      const response = await get("socket.io.min.js", { headers: { "if-none-match": etag } });
      assert.deepEqual([response.status, response.body], [304, ""], etag);
    }
    assert.equal((await get("socket.io.min.js", { headers: { "if-none-match": '"4.0.0"' } })).status, 200);
  });

  it("are the only ones", async () => {
    for (const name of ["package.json", "socket.io.mjs", "socket.io.js.gz", "../package.json", "%73ocket.io.js", ""]) {
      const response = await get(name);
      if (name === "../package.json") assert.equal(response.status, 404);
      else assert.deepEqual([response.status, JSON.parse(response.body).code], [400, 0], name);
    }
  });

  ours("a cache is told that the response depends on the encoding", async () => {
    assert.equal((await get("socket.io.js")).headers.vary, "accept-encoding");
  });

  ours("are not compressed with Brotli", async () => {
    const response = await get("socket.io.js", { headers: { "accept-encoding": "br" } });
    assert.equal(response.headers["content-encoding"], undefined);
  });
});

describe("the client's files, and the CORS options", () => {
  const server = serverForTests(startConformanceServer, { args: [...args, "--cors", "full"] });

  it("are readable for the pages that may connect", async () => {
    const origin = "https://app.example";
    const response = await request(`${server.url}/socket.io/socket.io.js`, { headers: { origin } });
    assert.equal(response.status, 200);
    assert.equal(response.headers["access-control-allow-origin"], origin);
    assert.equal(response.headers["access-control-allow-credentials"], "true");
    assert.match(response.headers.vary, /^Origin/i);
  });
});

describe("a server without the client's files", () => {
  const server = serverForTests(startConformanceServer);

  ours("says so", async () => {
    for (const name of names) {
      const response = await request(`${server.url}/socket.io/${name}`);
      assert.equal(response.status, 404);
      assert.match(response.body, /does not serve the files of the JavaScript client/);
    }
  });
});

describe("the binary", () => {
  const server = serverForTests(startApplication, { args });

  it("serves them with --client-files", async () => {
    const response = await request(`${server.url}/socket.io/socket.io.min.js`);
    assert.ok(response.bytes.equals(readFileSync(join(dist, "socket.io.min.js"))));
  });

  ours("ends with an error that names the missing file", async () => {
    const { status, errors } = await runApplication(["--client-files", root]);
    assert.notEqual(status, 0);
    assert.ok(errors.includes(join(root, "socket.io.js")), errors);
  });
});

describeOurs("our own client, which the binary contains", () => {
  const server = serverForTests(startApplication);
  const dist = new URL("../../../web/client/dist/", import.meta.url);
  const types = { js: "application/javascript", map: "application/json", ts: "application/typescript" };

  for (const name of readdirSync(dist)) {
    it(`${name} is served as it was built, compressed, and once`, async () => {
      const built = readFileSync(new URL(name, dist));
      const get = (headers) => request(`${server.url}/socket.io/${name}`, { headers });
      const plain = await get({});
      assert.equal(plain.status, 200);
      assert.ok(plain.bytes.equals(built));
      assert.equal(plain.headers["content-type"], `${types[name.split(".").at(-1)]}; charset=utf-8`);
      assert.equal(plain.headers["cache-control"], "public, max-age=0");
      assert.equal(plain.headers["access-control-allow-origin"], "*");
      const compressed = await get({ "accept-encoding": "gzip" });
      assert.ok((compressed.headers["content-encoding"] ? gunzipSync(compressed.bytes) : compressed.bytes).equals(built));
      assert.equal((await get({ "if-none-match": plain.headers.etag })).status, 304);
    });
  }

  it("is not served under a name of the official client", async () => {
    for (const name of names) assert.equal((await request(`${server.url}/socket.io/${name}`)).status, 404, name);
  });
});
