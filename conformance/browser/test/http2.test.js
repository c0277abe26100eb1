// A page loaded over HTTP/2. The browser opens its WebSockets on the same connection (RFC 8441), and so does the
// official client.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { inFiles, makeCertificate } from "../../node/support/certificate.js";
import { startApplication } from "../../node/support/server.js";
import { browserForTests, CLIENTS, COMPRESSED, FAILURES } from "../support/browser.js";
import { TRANSPORTS } from "../support/suite.js";

const certificate = makeCertificate("localhost");

describe("a page over HTTP/2", { skip: process.env.TIDEWIRE_REFERENCE === "1" && "Tidewire only" }, () => {
  // Its hooks run before those below, so the page is left before the server stops. A page that polls a server that stops
  // reports a failed request.
  const browser = browserForTests();
  let server, url, page;
  beforeEach(async () => {
    server = await startApplication({ args: inFiles(certificate).args });
    url = server.url.replace("127.0.0.1", "localhost");
    browser.tolerate(FAILURES.status(404)); // the page's icon
    page = await browser.openAt(url);
    assert.deepEqual(await page.protocols(), ["h2"]);
  });
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });
  const webSocketUrl = () => `${url.replace("http", "ws")}/ws`;

  it("has WebSockets over it, which echo, are compressed, and close cleanly", async () => {
    const seen = await page.run(async (url) => {
      const socket = await openWebSocket(url);
      const texts = ["", "a", "ü€😀".repeat(10_000), "x".repeat(1 << 20)];
      const equal = [];
      for (const text of texts) equal.push((await echoed(socket, text)) === text);
      const bytes = describeValue(await echoed(socket, Uint8Array.from([0, 128, 255]).buffer));
      const closed = nextEvent(socket, "close");
      socket.close(3001, "low tide");
      const { wasClean, code } = await closed;
      return { equal, bytes, extensions: socket.extensions, wasClean, code };
    }, webSocketUrl());
    assert.deepEqual(seen, {
      equal: [true, true, true, true],
      bytes: "ArrayBuffer 0,128,255",
      extensions: COMPRESSED,
      wasClean: true,
      code: 3001,
    });
    assert.deepEqual(page.handshakes, [200]);
  });

  // If there are more than a dozen, Chromium delays some of them for seconds, with every HTTP version.
  it("has many of them at once", async () => {
    const answers = await page.run(async (url) => {
      const sockets = await Promise.all(Array.from({ length: 10 }, () => openWebSocket(url)));
      return Promise.all(sockets.map((socket, number) => echoed(socket, `number ${number}`)));
    }, webSocketUrl());
    assert.deepEqual(answers, Array.from({ length: 10 }, (_, number) => `number ${number}`));
    assert.deepEqual(page.handshakes, Array(10).fill(200));
  });

  for (const [library, transport] of CLIENTS.flatMap((library) => TRANSPORTS.map((transport) => [library, transport]))) {
    it(`has Socket.IO over ${transport}, with ${library}`, async () => {
      await page.use(library);
      const client = await page.connect(url, transport);
      const answer = await client.listen("message");
      await client.run((socket) => void socket.emit("message", "hello"));
      assert.deepEqual(await answer(), ["Echo: hello"]);
      assert.equal(await client.transport(), transport === "polling" ? "polling" : "websocket");
      assert.deepEqual(page.handshakes, transport === "polling" ? [] : [200]);
      assert.deepEqual(await page.protocols(), ["h2"]);
    });
  }

  it("is told that the server is going away", async () => {
    await page.run(async (url) => {
      window.farewell = nextEvent(await openWebSocket(url), "close");
    }, webSocketUrl());
    await server.stop();
    server = undefined;
    const farewell = await page.run(async () => {
      const { wasClean, code } = await window.farewell;
      return { wasClean, code };
    });
    assert.deepEqual(farewell, { wasClean: true, code: 1001 });
    assert.deepEqual(page.handshakes, [200]);
  });
});
