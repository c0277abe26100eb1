// Each transport from a page of another origin: its name, and the data that it carries.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startConformanceServer } from "../../node/support/server.js";
import { browserForTests, FAILURES } from "../support/browser.js";
import { overEachClient, serverForTests, TRANSPORTS } from "../support/suite.js";

const browser = browserForTests();
const server = serverForTests(startConformanceServer);

const EXPECTED = {
  polling: { history: ["polling"], used: ["polling"] },
  websocket: { history: ["websocket"], used: ["websocket"] },
  "polling, then upgraded": { history: ["polling", "websocket"], used: ["polling", "websocket"] },
};

overEachClient((library) => {
  for (const transport of TRANSPORTS) {
    describe(transport, () => {
      it("is what the page uses, and no other", async () => {
        const page = await browser.open(library);
        const client = await page.connect(server.url, transport);
        assert.equal(await client.run((socket) => socket.emitWithAck("echo-ack", "hello")), "hello");
        const { history, used } = EXPECTED[transport];
        assert.deepEqual(await client.run((socket) => socket.history), history);
        assert.equal(await client.transport(), history.at(-1));
        assert.deepEqual(page.transports, used);
      });

      it("carries events and acknowledgements in both directions", async () => {
        const client = await (await browser.open(library)).connect(server.url, transport);
        const values = ["text", 1.5, null, true, ["nested", { deeper: "ü€😀" }]];
        const echo = await client.listen("echo-back");
        await client.run((socket, values) => void socket.emit("echo", ...values), values);
        assert.deepEqual(await echo(), values);
        const answered = await client.run(async (socket) => {
          socket.on("question", (question, answer) => answer(`${question}? 42`));
          // The server waits only 200 ms for an acknowledgement, because other tests need that. A busy machine may need a
          // second try.
          for (let tries = 0; tries < 20; tries++) {
            const answered = next(socket, "answered");
            socket.emit("ask-me", "what");
            const text = JSON.stringify(await answered);
            if (!text.includes("timeout")) return text;
          }
          return "never answered in time";
        });
        assert.match(answered, /what\? 42/);
      });

      it("carries binary in both directions", async () => {
        const client = await (await browser.open(library)).connect(server.url, transport);
        const seen = await client.run(async (socket) => {
          const bytes = Uint8Array.from([0, 1, 127, 128, 255]);
          const echo = next(socket, "echo-back");
          socket.emit("echo", bytes.buffer, { view: bytes.subarray(1, 3), blob: new Blob([bytes]) }, "text");
          const [buffer, { view, blob }, text] = await echo;
          const acknowledged = await socket.emitWithAck("echo-ack", bytes.buffer);
          return [buffer, view, blob, text, acknowledged].map(describeValue);
        });
        const all = "ArrayBuffer 0,1,127,128,255";
        assert.deepEqual(seen, [all, "ArrayBuffer 1,127", all, '"text"', all]);
      });

      it("carries what is large", async () => {
        const client = await (await browser.open(library)).connect(server.url, transport);
        const equal = await client.run(async (socket) => {
          const text = "tide ü€😀".repeat(20_000);
          const bytes = new Uint8Array(300_000).map((_, index) => index % 251);
          const sameText = (await socket.emitWithAck("echo-ack", text)) === text;
          const back = new Uint8Array(await socket.emitWithAck("echo-ack", bytes));
          return [sameText, back.length === bytes.length && back.every((byte, index) => byte === bytes[index])];
        });
        assert.deepEqual(equal, [true, true]);
      });

      it("keeps events in order from the first moment on", async () => {
        const page = await browser.open(library);
        const seen = await page.run(
          async ([url, transport]) => {
            const socket = client(url, transport);
            const seen = [];
            const all = new Promise((done) => socket.on("echo-back", (number) => seen.push(number) === 400 && done()));
            // The first half is buffered until the connection opens. The second half is sent during the upgrade, if there
            // is one.
            for (let number = 0; number < 200; number++) socket.emit("echo", number);
            socket.once("connect", async () => {
              for (let number = 200; number < 400; number++) {
                socket.emit("echo", number);
                if (number % 10 === 0) await new Promise((resolve) => setTimeout(resolve));
              }
            });
            socket.connect();
            await all;
            return seen;
          },
          [server.url, transport],
        );
        assert.deepEqual(seen, Array.from({ length: 400 }, (_, number) => number));
      });

      it("tells the page why it was refused, with the data, and lets it in with the right token", async () => {
        // A rejected client polls once more and closes its session at the same time. The server may receive the close
        // first. The upgrade may be under way.
        browser.tolerate(FAILURES.status(400), FAILURES.abandoned);
        const page = await browser.open(library);
        const error = await page.run(
          async ([url, transport]) => {
            const socket = client(url, transport, { auth: { token: "guess" } });
            const refusal = next(socket, "connect_error");
            socket.connect();
            const [{ message, data }] = await refusal;
            return { message, data };
          },
          [`${server.url}/admin`, transport],
        );
        assert.deepEqual(error, { message: "not authorized", data: { code: 401 } });

        const welcome = await page.run(
          async ([url, transport]) => {
            const socket = client(url, transport, { auth: { token: "secret" } });
            const welcome = next(socket, "welcome");
            socket.connect();
            return welcome;
          },
          [`${server.url}/admin`, transport],
        );
        assert.deepEqual(welcome, [{ token: "secret" }]);
      });

      it("ends when the page says so", async () => {
        const watcher = await (await browser.open(library)).connect(server.url, "websocket");
        const client = await (await browser.open(library)).connect(server.url, transport);
        const end = await watcher.listenForEnd(await client.id());
        await client.run((socket) => void socket.disconnect());
        assert.equal(await end(), "client namespace disconnect");
      });
    });
  }

  it("a page that is closed is gone at once", async () => {
    const watcher = await (await browser.open(library)).connect(server.url, "websocket");
    const page = await browser.open(library);
    const end = await watcher.listenForEnd(await (await page.connect(server.url, "polling, then upgraded")).id());
    await page.close();
    assert.equal(await end(), "transport close");
  });
});
