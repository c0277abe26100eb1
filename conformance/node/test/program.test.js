// The binary as a program: its address, its page, its shutdown.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { io } from "socket.io-client";
import { request } from "../support/http.js";
import { runApplication, startApplication, startConformanceServer } from "../support/server.js";
import { serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

describe("the page at /", () => {
  const server = serverForTests(startApplication);

  it("is HTML that says what is served", async () => {
    const answer = await request(server.url);
    assert.equal(answer.status, 200);
    assert.match(answer.headers["content-type"], /^text\/html/);
    for (const part of [/^<!doctype html>/i, /\/socket\.io\//, /\/ws/]) assert.match(answer.body, part);
  });

  it("is the only one", async () => {
    assert.equal((await request(`${server.url}/no-such-page`)).status, 404);
  });
});

describe("the program", () => {
  it("takes its address from TIDEWIRE_LISTEN", async () => {
    const server = await startApplication({ listen: null, environment: { TIDEWIRE_LISTEN: "127.0.0.1:0" } });
    assert.notEqual(server.port, 3000);
    assert.equal((await request(server.url)).status, 200);
    await server.stop();
  });

  it("prefers --listen to TIDEWIRE_LISTEN", async () => {
    const server = await startApplication({ environment: { TIDEWIRE_LISTEN: "nowhere" } });
    assert.equal((await request(server.url)).status, 200);
    await server.stop();
  });

  it("says what is wrong with an address and ends with a status that is not 0", async () => {
    const { status, errors } = await runApplication(["--listen", "nowhere"]);
    assert.notEqual(status, 0);
    assert.match(errors, /nowhere/);
  });

  it("says which address is taken and ends with a status that is not 0", async () => {
    const server = await startApplication();
    const { status, errors } = await runApplication(["--listen", `127.0.0.1:${server.port}`]);
    assert.notEqual(status, 0);
    assert.match(errors, new RegExp(`127\\.0\\.0\\.1:${server.port}`));
    await server.stop();
  });
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  describe(`${signal} ends the program with status 0`, () => {
    it("when nobody is connected", async () => {
      const server = await startApplication();
      await server.stop(signal);
    });

    it("when a WebSocket is open, which is closed", async () => {
      const server = await startApplication();
      const conversation = await Conversation.open(`${server.webSocketUrl}/ws`);
      await server.stop(signal);
      assert.equal((await conversation.ended()).code, 1001);
    });

    it("when a WebSocket takes its time to answer the close, and not before it has", async () => {
      const server = await startApplication();
      const conversation = await Conversation.open(`${server.webSocketUrl}/ws`);
      conversation.socket.pause();
      let over = false;
      const stopped = server.stop(signal).then(() => (over = true));
      await new Promise((resolve) => setTimeout(resolve, 200)); // the client delays its close frame
      assert.equal(over, false);
      conversation.socket.resume();
      await stopped;
      assert.equal((await conversation.ended()).code, 1001);
    });

    for (const transport of ["polling", "websocket"]) {
      it(`when a client is connected over ${transport}, which hears of it`, async () => {
        const server = await startConformanceServer();
        const socket = io(server.url, { transports: [transport], reconnection: false, forceNew: true });
        await next(socket, "connect");
        const told = next(socket, "disconnect");
        await server.stop(signal);
        assert.match((await told)[0], transport === "polling" ? /^transport (close|error)$/ : /^transport close$/);
      });
    }
  });
}
