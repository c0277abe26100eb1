// What the browser allows pages of other origins to do.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startApplication } from "../../node/support/server.js";
import { ours } from "../../node/support/suite.js";
import { browserForTests, FAILURES } from "../support/browser.js";
import { serverForTests } from "../support/suite.js";

const browser = browserForTests();

/** Returns the error of a connection attempt that must fail. */
const refusal = (page, url, transport) =>
  page.run(
    async ([url, transport]) => {
      const socket = client(url, transport);
      const refused = next(socket, "connect_error");
      socket.connect();
      const [{ message, type }] = await refused;
      return { message, type };
    },
    [url, transport],
  );

describe("by default", () => {
  const server = serverForTests(startApplication);

  it("a page may send headers of its own, which makes the browser ask first", async () => {
    const page = await browser.open();
    const client = await page.connect(server.url, "polling", { extraHeaders: { "x-token": "abc" } });
    assert.equal(await client.run((socket) => socket.emitWithAck("join-room", "any").then(() => "joined")), "joined");
  });

  it("a page may read why a request was refused", async () => {
    const page = await browser.open();
    const answer = await page.run(async (url) => {
      const response = await fetch(`${url}/socket.io/?EIO=4&transport=polling&sid=unknown`);
      return { status: response.status, body: await response.json() };
    }, server.url);
    assert.deepEqual(answer, { status: 400, body: { code: 1, message: "Session ID unknown" } });
    await browser.reports(FAILURES.status(400));
  });
});

describe("with --allow-origin", () => {
  describe("of this page", () => {
    const server = serverForTests(startApplication, () => ({ args: ["--allow-origin", browser.origin] }));

    it("polling works, and the upgrade", async () => {
      const page = await browser.open();
      const client = await page.connect(server.url, "polling, then upgraded", { extraHeaders: { "x-token": "abc" } });
      assert.deepEqual(await client.run((socket) => socket.history), ["polling", "websocket"]);
    });
  });

  describe("of another page", () => {
    const server = serverForTests(startApplication, () => ({ args: ["--allow-origin", "https://elsewhere.example"] }));

    it("polling is blocked by the browser", async () => {
      const error = await refusal(await browser.open(), server.url, "polling");
      assert.deepEqual(error, { message: "xhr poll error", type: "TransportError" });
      await browser.reports(FAILURES.blockedByCors(browser.origin));
    });

    // Browsers do not apply CORS to WebSockets.
    ours("a WebSocket is refused by the server", async () => {
      const error = await refusal(await browser.open(), server.url, "websocket");
      assert.deepEqual(error, { message: "websocket error", type: "TransportError" });
      await browser.reports(FAILURES.webSocket(400));
    });

    ours("so is a raw WebSocket", async () => {
      const page = await browser.open();
      const code = await page.run(async (url) => (await nextEvent(new WebSocket(url), "close")).code, `${server.webSocketUrl}/ws`);
      assert.equal(code, 1006);
      await browser.reports(FAILURES.webSocket(403));
    });
  });
});
