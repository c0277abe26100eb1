// The opening handshake at /ws, line by line.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exchange } from "../support/http.js";
import { startApplication } from "../support/server.js";
import { ours, serverForTests } from "../support/suite.js";

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const GOOD = {
  Host: "127.0.0.1",
  Upgrade: "websocket",
  Connection: "Upgrade",
  "Sec-WebSocket-Key": KEY,
  "Sec-WebSocket-Version": "13",
};

describe("the opening handshake", () => {
  const server = serverForTests(startApplication);

  /** Returns the response to a valid request with some `changes`; `undefined` removes a header. */
  const handshake = (changes = {}, line = "GET /ws HTTP/1.1") => {
    const headers = Object.entries({ ...GOOD, ...changes }).filter(([, value]) => value !== undefined);
    return exchange(server.url, `${line}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`);
  };

  it("is answered with 101 and the proof", async () => {
    const answer = await handshake();
    assert.equal(answer.status, 101);
    assert.equal(answer.headers.upgrade.toLowerCase(), "websocket");
    assert.equal(answer.headers.connection.toLowerCase(), "upgrade");
    assert.equal(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert.equal(answer.headers["sec-websocket-protocol"], undefined);
    assert.equal(answer.headers["sec-websocket-extensions"], undefined);
  });

  for (const [what, changes] of [
    ["with the name of the protocol in capitals", { Upgrade: "WebSocket" }],
    ["with the names of the headers in small letters", { Upgrade: undefined, upgrade: "websocket" }],
    ["among other connection options", { Connection: "keep-alive, Upgrade" }],
    ["with an origin", { Origin: "https://app.example" }],
    ["with an extension that nobody knows", { "Sec-WebSocket-Extensions": "x-unknown; a=1" }],
  ]) {
    it(`is accepted ${what}`, async () => assert.equal((await handshake(changes)).status, 101));
  }

  for (const [what, status, changes] of [
    ["no key", 400, { "Sec-WebSocket-Key": undefined }],
    ["an empty key", 400, { "Sec-WebSocket-Key": "" }],
    ["a short key", 400, { "Sec-WebSocket-Key": "c2hvcnQ=" }],
    ["a long key", 400, { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZSBpcyB0b28gbG9uZw==" }],
    ["a key that is not base64", 400, { "Sec-WebSocket-Key": "!!!!!!!!!!!!!!!!!!!!!!==" }],
  ]) {
    it(`is refused with ${status} for ${what}`, async () => {
      const answer = await handshake(changes);
      assert.equal(answer.status, status);
      assert.equal(answer.headers["sec-websocket-accept"], undefined);
    });
  }

  it("is refused for another protocol", async () => {
    const answer = await handshake({ Upgrade: "h2c" });
    assert.ok([400, 426].includes(answer.status), `status ${answer.status}`);
  });

  it("is refused with 405 for another method", async () => {
    assert.equal((await handshake({}, "POST /ws HTTP/1.1")).status, 405);
  });

  for (const version of ["12", "0", "x", undefined]) {
    it(`is refused for version ${version}, and told which one is spoken`, async () => {
      const answer = await handshake({ "Sec-WebSocket-Version": version });
      assert.ok([400, 426].includes(answer.status), `status ${answer.status}`);
      assert.match(answer.headers["sec-websocket-version"], /\b13\b/);
    });
  }

  ours("is refused with 426 for another version", async () => {
    const answer = await handshake({ "Sec-WebSocket-Version": "12" });
    assert.equal(answer.status, 426);
    assert.equal(answer.headers["sec-websocket-version"], "13");
  });

  ours("is refused over HTTP 1.0", async () => {
    const { status } = await handshake({}, "GET /ws HTTP/1.0");
    assert.ok(status >= 400 && status < 600, `status ${status}`);
  });

  ours("selects no subprotocol, as the application knows none", async () => {
    const answer = await handshake({ "Sec-WebSocket-Protocol": "chat, superchat" });
    assert.equal(answer.status, 101);
    assert.equal(answer.headers["sec-websocket-protocol"], undefined);
  });

  ours("is asked for when /ws is fetched like a page", async () => {
    const answer = await handshake({ Upgrade: undefined, Connection: "close" });
    assert.equal(answer.status, 426);
    assert.equal(answer.headers.upgrade?.toLowerCase(), "websocket");
  });
});
