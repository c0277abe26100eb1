// The binary as a program: its address, its page, its shutdown.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { io, Manager } from "socket.io-client";
import { request } from "../support/http.js";
import { runApplication, startApplication, startConformanceServer } from "../support/server.js";
import { describeOurs, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

describeOurs("the pages", () => {
  const server = serverForTests(startApplication);
  const paths = ["/", "/chat/", "/tracking/", "/game/", "/playground/"];

  it("are HTML, and their files exist", async () => {
    for (const path of paths) {
      const page = await request(`${server.url}${path}`);
      assert.equal(page.status, 200, path);
      assert.match(page.headers["content-type"], /^text\/html/);
      assert.match(page.body, /^<!doctype html>/i);
      const files = [...page.body.matchAll(/(?:href|src)="(\/[^"]*)"/g)].map(([, file]) => file);
      assert.ok(files.length > 8, path);
      for (const file of files) assert.equal((await request(`${server.url}${file}`)).status, 200, file);
    }
  });

  it("are the only ones", async () => {
    assert.equal((await request(`${server.url}/no-such-page`)).status, 404);
  });

  it("may do nothing but load files of the server and connect to it, and the playground to any server", async () => {
    for (const path of paths) {
      const { headers } = await request(`${server.url}${path}`);
      const policy = headers["content-security-policy"];
      assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/, path);
      assert.match(policy, path === "/playground/" ? / connect-src \*;/ : / connect-src 'self';/, path);
    }
  });

  it("refuse an event without a warning in the log", async () => {
    const logged = await startApplication({ args: ["--log", "warn,tidewire::demo=debug"] });
    const socket = io(`${logged.url}/playground`);
    assert.deepEqual(await socket.timeout(5_000).emitWithAck("fail"), { error: "this event always fails" });
    socket.disconnect();
    await logged.stop();
    assert.match(logged.errors(), /DEBUG.*an event was refused.*this event always fails/);
    assert.doesNotMatch(logged.errors(), /WARN.*(fail|refuse)/);
  });

  it("keep the limits of a connection when it leaves a namespace and comes back", async () => {
    const manager = new Manager(server.url);
    manager.socket("/figures"); // keeps the connection
    const socket = manager.socket("/playground");
    await next(socket, "connect");
    const answers = () => Promise.all(Array.from({ length: 150 }, () => socket.timeout(5_000).emitWithAck("fail")));
    const count = (list, text) => list.filter(({ error }) => error === text).length;
    assert.ok(count(await answers(), "this event always fails") >= 100);
    socket.disconnect().connect();
    await next(socket, "connect");
    const refused = count(await answers(), "That was too fast. Wait a moment.");
    assert.ok(refused > 100, `${refused} of 150 were refused`);
    manager._close();
  });

  it("let nobody into the room that a socket has for itself", async () => {
    const [one, other] = [0, 1].map(() => io(`${server.url}/playground`, { forceNew: true }));
    await Promise.all([one, other].map((socket) => next(socket, "connect")));
    const received = [];
    other.onAny((event) => received.push(event));
    assert.deepEqual(await one.timeout(5_000).emitWithAck("join-room", other.id), undefined);
    assert.deepEqual(await one.timeout(5_000).emitWithAck("say", other.id, "hello"), undefined);
    await other.timeout(5_000).emitWithAck("echo");
    assert.deepEqual(received, ["echo"]);
    for (const socket of [one, other]) socket.disconnect();
  });

  it("and what they connect to do not exist with --no-demo", async () => {
    const plain = await startApplication({ args: ["--no-demo"] });
    for (const path of [...paths, "/pages/theme.js"]) {
      assert.equal((await request(`${plain.url}${path}`)).status, 404, path);
    }
    for (const namespace of ["/chat", "/tracking", "/game", "/figures", "/playground"]) {
      const socket = io(plain.url + namespace, { reconnection: false });
      const [error] = await next(socket, "connect_error");
      assert.equal(error.message, "Invalid namespace", namespace);
      socket.disconnect();
    }
    await plain.stop();
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
