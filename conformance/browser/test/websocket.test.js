// The browser's own WebSocket, connected to `/ws`.
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { startApplication } from "../../node/support/server.js";
import { browserForTests, COMPRESSED } from "../support/browser.js";
import { serverForTests } from "../support/suite.js";

const browser = browserForTests();

describe("the browser's WebSocket", () => {
  const server = serverForTests(startApplication);

  it("opens without subprotocol, and with compression for which nobody keeps context", async () => {
    const page = await browser.open();
    const opened = await page.run(async (url) => {
      const { protocol, extensions, readyState } = await openWebSocket(url);
      return { protocol, extensions, readyState };
    }, `${server.webSocketUrl}/ws`);
    assert.deepEqual(opened, { protocol: "", extensions: COMPRESSED, readyState: 1 });
  });

  it("gets its text back, whatever its length", async () => {
    const page = await browser.open();
    const equal = await page.run(async (url) => {
      const socket = await openWebSocket(url);
      const texts = ["", "a", "x".repeat(125), "x".repeat(126), "ü€😀".repeat(10_000), "x".repeat(1 << 20)];
      const equal = [];
      for (const text of texts) equal.push((await echoed(socket, text)) === text);
      return equal;
    }, `${server.webSocketUrl}/ws`);
    assert.deepEqual(equal, Array(6).fill(true));
  });

  it("gets its bytes back, as buffer and as Blob", async () => {
    const page = await browser.open();
    const seen = await page.run(async (url) => {
      const socket = await openWebSocket(url);
      const buffer = describeValue(await echoed(socket, Uint8Array.from([0, 128, 255]).buffer));
      socket.binaryType = "blob";
      const blob = await echoed(socket, new Blob([Uint8Array.from([1, 2])]));
      return [buffer, blob instanceof Blob && describeValue(await blob.arrayBuffer())];
    }, `${server.webSocketUrl}/ws`);
    assert.deepEqual(seen, ["ArrayBuffer 0,128,255", "ArrayBuffer 1,2"]);
  });

  it("closes cleanly, with the code that the page gave", async () => {
    const page = await browser.open();
    const closes = await page.run(async (url) => {
      const closes = [];
      for (const closing of [[], [1000], [3001, "low tide"], [4999, "ü".repeat(61)]]) {
        const socket = await openWebSocket(url);
        const closed = nextEvent(socket, "close");
        socket.close(...closing);
        const { wasClean, code } = await closed;
        closes.push([wasClean, code]);
      }
      return closes;
    }, `${server.webSocketUrl}/ws`);
    assert.deepEqual(closes, [
      [true, 1005],
      [true, 1000],
      [true, 3001],
      [true, 4999],
    ]);
  });
});

describe("the browser's WebSocket, when the server stops", () => {
  let server;
  afterEach(() => server?.stop());

  it("is told that the server is going away", async () => {
    server = await startApplication();
    const page = await browser.open();
    await page.run(async (url) => {
      window.farewell = nextEvent(await openWebSocket(url), "close");
    }, `${server.webSocketUrl}/ws`);
    await server.stop();
    const farewell = await page.run(async () => {
      const { wasClean, code } = await window.farewell;
      return { wasClean, code };
    });
    assert.deepEqual(farewell, { wasClean: true, code: 1001 });
  });
});
