// The binary's built-in application, tested from pages of another origin.
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { startApplication, startConformanceServer } from "../../node/support/server.js";
import { describeOurs } from "../../node/support/suite.js";
import { browserForTests, FAILURES } from "../support/browser.js";
import { overEachClient, serverForTests, TRANSPORTS } from "../support/suite.js";

const browser = browserForTests();

overEachClient((library) => {
  describe("the application", () => {
    const server = serverForTests(startApplication);

    for (const transport of TRANSPORTS) {
      it(`echoes, and connects two pages in a room, over ${transport}`, async () => {
        const [first, second] = await Promise.all(
          [1, 2].map(async () => (await browser.open(library)).connect(server.url, transport)),
        );
        const echo = await first.listen("message");
        await first.run((socket) => socket.emitWithAck("message", "ahoy"));
        assert.deepEqual(await echo(), ["Echo: ahoy"]);

        const joined = await first.listen("notification");
        await first.run((socket) => socket.emitWithAck("join-room", "harbour"));
        assert.deepEqual(await joined(), [`${await first.id()} joined harbour`]);

        const notified = await Promise.all([first.listen("notification"), second.listen("notification")]);
        await second.run((socket) => socket.emitWithAck("join-room", "harbour"));
        const notification = [`${await second.id()} joined harbour`];
        assert.deepEqual(await Promise.all(notified.map((wait) => wait())), [notification, notification]);

        await second.run((socket) => {
          socket.received = [];
          socket.on("receive-message", (message) => socket.received.push(message));
        });
        const received = await first.listen("receive-message");
        await second.run((socket) => socket.emitWithAck("message", { room: "harbour", message: "land in sight" }));
        assert.deepEqual(await received(), ["land in sight"]);
        assert.deepEqual(await second.run((socket) => socket.received), [], "the sender hears nothing of it");
      });
    }
  });

  describe("a page whose server is stopped and started again", () => {
    let server;
    afterEach(() => server?.stop());

    for (const transport of TRANSPORTS) {
      it(`finds its way back over ${transport}`, async () => {
        // `net::ERR_`: connection attempts while no server runs. `400`: a client whose poll failed still sends its close
        // packet by POST, perhaps to a new server that does not know the session. `503`: a server that stops accepts no new
        // session, and the client may be back before it has stopped.
        browser.tolerate(FAILURES.noServer, FAILURES.status(400), FAILURES.status(503), FAILURES.webSocket(503));
        server = await startApplication();
        const listen = `127.0.0.1:${server.port}`;
        const page = await browser.open(library);
        const reconnection = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };
        const client = await page.connect(server.url, transport, reconnection);
        const before = await client.id();

        const told = await client.listen("disconnect");
        await server.stop();
        const [reason] = await told();
        assert.match(reason, /^transport (close|error)$/);
        await client.run((socket) => void socket.emit("message", "while you were away"));
        const [echo, connected] = [await client.listen("message"), await client.listen("connect")];
        server = await startApplication({ listen });
        await connected();
        assert.deepEqual(await echo(), ["Echo: while you were away"]);
        assert.notEqual(await client.id(), before);
      });
    }
  });
});

describeOurs("the client that the binary contains", () => {
  const application = serverForTests(startApplication);
  const messagePack = serverForTests(startConformanceServer, () => ({ args: ["--parser", "messagepack"] }));

  for (const [file, name, server] of [
    ["tidewire.js", "JSON", application],
    ["tidewire-msgpack.js", "MessagePack", messagePack],
  ]) {
    for (const transport of TRANSPORTS) {
      it(`is a module that speaks ${name} over ${transport}`, async () => {
        const page = await browser.open();
        const answer = await page.run(
          async ([module, url, transport]) => {
            const { io } = await import(module);
            window.io = io;
            const socket = await connect(url, transport);
            if (!module.includes("msgpack")) return socket.emitWithAck("message", "hello");
            const values = [1.5, null, "ü", { list: [-1, 2 ** 40] }, Uint8Array.of(1, 2)];
            const echo = next(socket, "echo-back");
            socket.emit("echo", ...values);
            return (await echo).map(describeValue);
          },
          [`${application.url}/socket.io/${file}`, server.url, transport],
        );
        const values = ["1.5", "null", '"ü"', '{"list":[-1,1099511627776]}', "ArrayBuffer 1,2"];
        assert.deepEqual(answer, name === "JSON" ? undefined : values);
      });
    }
  }

  it("defines `io` in a page without modules", async () => {
    browser.tolerate(FAILURES.status(404)); // the page's icon
    const page = await browser.openAt(application.url);
    const connected = await page.run(async () => {
      delete window.io;
      const script = Object.assign(document.createElement("script"), { src: "/socket.io/tidewire.global.js" });
      const loaded = nextEvent(script, "load");
      document.head.append(script);
      await loaded;
      const socket = io(); // the server of the page
      await next(socket, "connect");
      socket.disconnect();
      return script.src.endsWith("tidewire.global.js") && typeof io.Manager;
    });
    assert.equal(connected, "function");
  });
});
