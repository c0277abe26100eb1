// Tidewire's client of Engine.IO, against a server with the npm package `engine.io`.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { engineForTests } from "../support/engine-client.js";
import { TRANSPORTS, overEachTransport } from "../support/suite.js";
import { collect, next } from "../support/wait.js";

const MESSAGES = [
  "hello",
  "",
  "größer € 日本語 👩‍👩‍👧 \u{10ffff}\u0000",
  Buffer.from([0, 1, 254, 255]),
  Buffer.alloc(0),
  "x".repeat(125),
  "x".repeat(126),
  "x".repeat(65_536),
  "tide".repeat(100_000),
  Buffer.alloc(400_000, Buffer.from([0, 1, 2, 3, 4, 5, 6])),
];

const upTo = (end) => Array.from({ length: end }, (_, number) => String(number));

overEachTransport("our client of Engine.IO", (transport) => {
  const host = engineForTests();

  it("sends back what it gets", async () => {
    const { session } = await host.connect(transport);
    for (const message of MESSAGES) session.send(message);
    const received = await session.messages(MESSAGES.length);
    // A difference between long messages is not worth printing.
    MESSAGES.forEach((message, index) => assert.ok(isDeepStrictEqual(received[index], message), `message ${index}`));
  });

  it("sends and gets a thousand messages in order", async () => {
    const { session } = await host.connect(transport);
    session.send("send 1000");
    for (const number of upTo(1_000)) session.send(number);
    assert.deepEqual(await session.messages(2_000), [...upTo(1_000), ...upTo(1_000)]);
  });

  it("closes after what it has sent", async () => {
    const { client, session } = await host.connect(transport);
    session.send("send 100");
    session.send("close");
    assert.equal(await session.ended(), "transport close");
    assert.deepEqual(session.received, upTo(100));
    assert.equal((await client.says("close")).reason, "forced close");
  });

  it("gets what the server has sent before it closes", async () => {
    const { client, session } = await host.connect(transport);
    session.send("last words");
    session.socket.close();
    assert.equal((await client.says("close")).reason, "transport close");
    assert.equal(await session.ended(), "forced close");
  });

  it("sends its path, its query and its headers with each request", async () => {
    const query = { token: "a b&ä" };
    const { session } = await host.connect(transport, { query, extraHeaders: { "x-name": "value" } });
    session.send("hello");
    await session.messages(1);
    for (const { url, headers } of host.requestsOf(session)) {
      const { pathname, searchParams } = new URL(url, "http://host");
      assert.equal(pathname, "/engine.io/");
      assert.equal(searchParams.get("token"), query.token);
      assert.equal(searchParams.get("EIO"), "4");
      assert.equal(headers["x-name"], "value");
    }
    assert.ok(host.requestsOf(session).slice(1).every(({ url }) => url.includes(`sid=${session.socket.id}`)));
  });
});

overEachTransport("with a fast heartbeat our client of Engine.IO", (transport) => {
  const host = engineForTests({ pingInterval: 25, pingTimeout: 2_000 });

  it("answers each ping", async () => {
    const { session } = await host.connect(transport);
    await collect(session.socket, "heartbeat", 10);
    session.send("hello");
    assert.deepEqual(await session.messages(1), ["hello"]);
  });
});

describe("with a server that takes short payloads our client of Engine.IO", () => {
  const host = engineForTests({ maxHttpBufferSize: 200 });

  it("divides what it sends", async () => {
    const { session } = await host.connect("polling");
    session.send("send 500");
    assert.deepEqual(await session.messages(500), upTo(500));
    const lengths = host.requestsOf(session).filter(({ method }) => method === "POST").map(({ headers }) => Number(headers["content-length"]));
    assert.ok(lengths.every((length) => length <= 200), String(lengths));
  });
});

describe("with sticky cookies our client of Engine.IO", () => {
  const host = engineForTests({ cookie: { name: "io" } });

  it("sends the cookies of the server on each transport", async () => {
    const { session } = await host.connect("polling, then upgraded", { withCredentials: true });
    session.send("hello");
    await session.messages(1);
    const [first, ...later] = host.requestsOf(session).map(({ headers }) => headers.cookie);
    assert.equal(first, undefined);
    assert.ok(later.length >= 2);
    assert.deepEqual(new Set(later), new Set([`io=${session.socket.id}`]));
  });

  it("keeps none if the program wants none", async () => {
    const { session } = await host.connect("polling, then upgraded", { withCredentials: false });
    session.send("hello");
    await session.messages(1);
    assert.ok(host.requestsOf(session).every(({ headers }) => headers.cookie === undefined));
  });
});

describe("upgrades of our client of Engine.IO", () => {
  const host = engineForTests({ upgradeTimeout: 1_000 });

  it("lose and reorder nothing, at 25 moments under traffic", async () => {
    await Promise.all(
      upTo(25).map(async (moment) => {
        const { client, session } = await host.connect("polling", { transports: ["polling", "websocket"] });
        // Its answers are already under way when the upgrade begins.
        for (let number = 0; number < 300; number++) {
          session.send(String(number));
          if (number % (Number(moment) + 1) === 0) await new Promise(setImmediate);
        }
        assert.deepEqual(await session.messages(300), upTo(300));
        await client.says("upgrade");
        if (session.socket.transport.name === "polling") await next(session.socket, "upgrade");
        assert.equal(session.socket.transport.name, "websocket");
      }),
    );
  });

  it("that fail leave the session on polling", async () => {
    const fail = (_request, socket) => socket.destroy();
    host.http.prependListener("upgrade", fail);
    const { client, session } = await host.connect("polling", { transports: ["polling", "websocket"] });
    await client.says("upgradeError");
    host.http.off("upgrade", fail);
    session.send("send 100");
    assert.deepEqual(await session.messages(100), upTo(100));
    assert.equal(session.socket.transport.name, "polling");
  });
});

describe("a server that refuses", () => {
  const host = engineForTests({ allowRequest: (request, decide) => decide("not today", !request.url.includes("refuse")) });

  for (const transport of TRANSPORTS.slice(0, 2)) {
    it(`a session over ${transport} ends our client of Engine.IO with a transport error`, async () => {
      const client = host.client({ transports: [transport], query: { refuse: "1" } });
      assert.equal((await client.says("close")).reason, "transport error");
    });

    it(`further requests over ${transport} ends it, too`, async () => {
      const { client, session } = await host.connect(transport);
      session.socket.transport.onClose(); // the server forgets the session
      if (transport === "websocket") session.socket.transport.socket?.terminate();
      const reasons = transport === "polling" ? ["transport error", "transport close"] : ["transport close"];
      assert.ok(reasons.includes((await client.says("close")).reason));
    });
  }

  it("WebSockets is left for polling if the program wants it", async () => {
    const refuse = (_request, socket) => socket.destroy();
    host.http.prependListener("upgrade", refuse);
    const options = { transports: ["websocket", "polling"], tryAllTransports: true };
    const { session } = await host.connect("polling", options);
    session.send("hello");
    assert.deepEqual(await session.messages(1), ["hello"]);
    host.http.off("upgrade", refuse);
  });
});
