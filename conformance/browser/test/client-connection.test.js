// How a connection ends, and how a client comes back. The official client and ours do the same.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CuttingRelay } from "../../node/support/cutting-relay.js";
import { startConformanceServer } from "../../node/support/server.js";
import { browserForTests, FAILURES } from "../support/browser.js";
import { overEachClient, overEachTransport, serverForTests, TRANSPORTS } from "../support/suite.js";

const browser = browserForTests();
const server = serverForTests(startConformanceServer);

overEachClient((library) => {
  describe("the end of a connection", () => {
    overEachTransport(
      browser,
      server,
      library,
      "has the reason of the side that ended it",
      async (socket) => {
        const reasons = [];
        socket.on("disconnect", (reason) => reasons.push([reason, socket.connected, socket.id, socket.active]));
        socket.disconnect();
        socket.connect();
        await next(socket, "connect");
        const kicked = next(socket, "disconnect");
        socket.emit("kick");
        await kicked;
        socket.connect();
        await next(socket, "connect");
        const closed = next(socket, "disconnect");
        socket.emit("kick-all");
        await closed;
        return reasons;
      },
      [
        ["io client disconnect", false, undefined, false],
        ["io server disconnect", false, undefined, false],
        ["io server disconnect", false, undefined, false],
      ],
    );

    for (const transport of TRANSPORTS) {
      it(`follows when the network is lost, and the client comes back, over ${transport}`, async () => {
        browser.tolerate(FAILURES.noServer, FAILURES.status(400));
        const options = { reconnection: true, reconnectionDelay: 10 };
        const client = await (await browser.open(library)).connect(server.url, transport, options);
        const seen = await client.run(async (socket) => {
          const before = socket.id;
          const [ended, back] = [next(socket, "disconnect"), next(socket, "connect")];
          const attempt = next(socket.io, "reconnect");
          window.dispatchEvent(new Event("offline"));
          const [reason, details] = await ended;
          await back;
          return [reason, details.description, await attempt, before !== socket.id, await socket.emitWithAck("echo-ack", 1)];
        });
        assert.deepEqual(seen, ["transport close", "network connection lost", [1], true, 1]);
      });
    }

    it("is told to the server when the page is left, if the program wants this", async () => {
      const watcher = await (await browser.open(library)).connect(server.url, "websocket");
      const page = await browser.open(library);
      const relay = await CuttingRelay.start(server.url);
      try {
        const client = await page.connect(relay.url, "polling", { closeOnBeforeunload: true });
        const end = await watcher.listenForEnd(await client.id());
        // The browser cancels all requests of the page. If none has reached the server, only its ping timeout tells it.
        await relay.poll();
        await page.leave();
        // The server may see the end of the poll before the close packet.
        assert.match(await end(), /^transport (close|error)$/);
      } finally {
        relay.stop();
      }
    });
  });

  describe("a connection that fails", () => {
    it("is tried again as often as the program says, with growing delays", async () => {
      browser.tolerate(FAILURES.noServer);
      const page = await browser.open(library);
      const seen = await page.run(async () => {
        const options = { reconnection: true, reconnectionAttempts: 2, reconnectionDelay: 5, reconnectionDelayMax: 20 };
        const socket = client("http://127.0.0.1:1", "websocket", options); // Nothing listens here.
        const seen = [];
        socket.on("connect_error", () => seen.push(`connect_error, active ${socket.active}`));
        const end = new Promise((done) => {
          for (const event of ["error", "reconnect_attempt", "reconnect_failed", "reconnect_error"]) {
            socket.io.on(event, (value) => {
              seen.push(event === "reconnect_attempt" ? `${event} ${value}` : event);
              if (seen.at(-2) === "reconnect_failed") done();
            });
          }
        });
        socket.connect();
        await end;
        return seen;
      });
      const failure = ["error", "connect_error, active true"];
      assert.deepEqual(seen, [
        ...failure,
        "reconnect_attempt 1",
        ...failure,
        "reconnect_error",
        "reconnect_attempt 2",
        ...failure,
        "reconnect_failed",
        "reconnect_error",
      ]);
    });

    it("may use the next transport", async () => {
      browser.tolerate(FAILURES.webSocket(), FAILURES.status(404));
      const page = await browser.open(library);
      const client = await page.run(async (url) => {
        const options = {
          transports: ["websocket", "polling"],
          tryAllTransports: true,
          transportOptions: { websocket: { path: "/nothing/" } },
        };
        const socket = client(url, "websocket", options);
        socket.connect();
        await settled(socket);
        return socket.io.engine.transport.name;
      }, server.url);
      assert.equal(client, "polling");
    });
  });

  it("events that are retried arrive in order, also when the connection breaks", async () => {
    browser.tolerate(FAILURES.noServer, FAILURES.status(400));
    const options = { retries: 10, ackTimeout: 2_000, reconnection: true, reconnectionDelay: 10 };
    const client = await (await browser.open(library)).connect(server.url, "websocket", options);
    const answers = await client.run(async (socket) => {
      const answers = [];
      for (let number = 0; number < 50; number++) {
        const answer = new Promise((done) => socket.emit("echo-ack", number, (error, value) => done(error?.message ?? value)));
        if (number % 20 === 10) socket.io.engine.close();
        answers.push(answer);
        if (number % 5 === 0) await answer;
      }
      return Promise.all(answers);
    });
    assert.deepEqual(answers, Array.from({ length: 50 }, (_, number) => number));
  });

  it("a client whose server starts again comes back to each namespace", async () => {
    // `503`: the client may be back before its server has stopped.
    browser.tolerate(FAILURES.noServer, FAILURES.status(400), FAILURES.status(503), FAILURES.webSocket(503));
    let server = await startConformanceServer();
    try {
      const listen = `127.0.0.1:${server.port}`;
      const options = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };
      const client = await (await browser.open(library)).connect(server.url, "polling, then upgraded", options);
      await client.run(async (socket) => {
        window.custom = socket.io.socket("/custom");
        custom.connect();
        await next(custom, "connect");
        window.back = Promise.all([socket, custom].map((each) => next(each, "disconnect").then(() => next(each, "connect"))));
      });
      await server.stop();
      server = await startConformanceServer({ listen });
      assert.deepEqual(await client.run(async (socket) => (await back, custom.emitWithAck("echo-ack", "back"))), "back");
    } finally {
      await server.stop();
    }
  });
});
