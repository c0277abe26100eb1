// Engine.IO over a WebSocket with permessage-deflate.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { io } from "socket.io-client";
import { Relay } from "../support/relay.js";
import { startConformanceServer } from "../support/server.js";
import { serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";

const LONG = "tide ".repeat(20_000);

/** Lets a client take `LONG` over a relay. Returns the bytes that the server sent, and the extensions of the WebSocket. */
const taken = async (url, options) => {
  const relay = await Relay.start(url);
  const socket = io(relay.url, { forceNew: true, reconnection: false, ...options });
  await next(socket, "connect");
  if (socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade");
  const before = relay.received;
  const back = await new Promise((resolve) => socket.emit("echo-ack", LONG, resolve));
  const { extensions } = socket.io.engine.transport.ws;
  assert.equal(back, LONG);
  socket.disconnect();
  relay.stop();
  return { bytes: relay.received - before, extensions };
};

describe("permessage-deflate", () => {
  describe("if the server enables it", () => {
    const server = serverForTests(startConformanceServer, { args: ["--per-message-deflate", "1024"] });

    for (const transports of [["websocket"], ["polling", "websocket"]]) {
      it(`compresses what socket.io-client takes over ${transports.join(", then ")}`, async () => {
        const { bytes, extensions } = await taken(server.url, { transports });
        assert.match(extensions, /^permessage-deflate/);
        assert.ok(bytes < LONG.length / 20, `${bytes} bytes`);
      });
    }

    it("compresses nothing for a client that does not offer it", async () => {
      const { bytes, extensions } = await taken(server.url, { transports: ["websocket"], perMessageDeflate: false });
      assert.equal(extensions, "");
      assert.ok(bytes > LONG.length, `${bytes} bytes`);
    });

    it("carries events of every length in order, in both directions", async () => {
      const socket = await server.connect("websocket");
      const texts = Array.from({ length: 300 }, (_, number) => `${number} `.repeat((number % 10) ** 3));
      const received = [];
      const all = new Promise((resolve) => {
        socket.on("echo-back", (text, bytes) => {
          received.push([text, bytes.toString()]);
          if (received.length === texts.length) resolve();
        });
      });
      for (const text of texts) socket.emit("echo", text, Buffer.from(text));
      await all;
      assert.deepEqual(received, texts.map((text) => [text, text]));
    });
  });

  describe("by default", () => {
    const server = serverForTests(startConformanceServer);

    it("is not used", async () => {
      const { bytes, extensions } = await taken(server.url, { transports: ["websocket"] });
      assert.equal(extensions, "");
      assert.ok(bytes > LONG.length, `${bytes} bytes`);
    });
  });
});
