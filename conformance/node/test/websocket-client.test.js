// Tidewire's WebSocket client, against a server with the npm package `ws`.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { describe, it } from "node:test";
import { Client, hostForTests } from "../support/client.js";
import { ours } from "../support/suite.js";
import { next } from "../support/wait.js";

const MESSAGES = [
  ["text", "hello"],
  ["empty text", ""],
  ["text of many scripts", "größer € 日本語 👩‍👩‍👧 \u{10ffff}\u0000"],
  ["bytes", Buffer.from([0, 1, 254, 255])],
  ["no bytes", Buffer.alloc(0)],
  ["text of 125 bytes, the last short length", "x".repeat(125)],
  ["text of 126 bytes, the first medium length", "x".repeat(126)],
  ["text of 65,535 bytes, the last medium length", "x".repeat(65_535)],
  ["text of 65,536 bytes, the first long length", "x".repeat(65_536)],
  ["1 MiB of text", "tide".repeat(262_144)],
  ["1 MiB of bytes", Buffer.alloc(1_048_576, Buffer.from([0, 1, 2, 3, 4, 5, 6]))],
];

describe("our client", () => {
  const host = hostForTests();

  it("sends back what it gets", async () => {
    const { conversation } = await host.welcome();
    for (const [what, message] of MESSAGES) {
      conversation.send(message);
      assert.deepEqual(await conversation.receive(), message, what);
    }
    conversation.end();
  });

  it("sends back a thousand messages in order", async () => {
    const { conversation } = await host.welcome();
    for (let number = 0; number < 1_000; number++) conversation.send(String(number));
    for (let number = 0; number < 1_000; number++) assert.equal(await conversation.receive(), String(number));
    conversation.end();
  });

  it("puts fragments together, and answers a ping between them", async () => {
    const { conversation } = await host.welcome();
    for (const payload of ["", "tide", "x".repeat(125)]) {
      const pong = next(conversation.socket, "pong");
      conversation.send("one, ", { fin: false });
      conversation.socket.ping(payload);
      conversation.send("two, ", { fin: false });
      conversation.send("three", { fin: true });
      assert.equal((await pong)[0].toString(), payload);
      assert.equal(await conversation.receive(), "one, two, three");
    }
    conversation.end();
  });

  it("asks with its path, its headers and no origin", async () => {
    const headers = { authorization: "Bearer secret", cookie: "a=1; b=2" };
    const { request, conversation } = await host.welcome({ headers }, "/a%20path?query=1&other");
    assert.equal(request.url, "/a%20path?query=1&other");
    assert.equal(request.headers.authorization, "Bearer secret");
    assert.equal(request.headers.cookie, "a=1; b=2");
    assert.equal(request.headers.origin, undefined);
    assert.equal(request.headers.host, new URL(host.url()).host);
    conversation.end();
  });

  for (const [code, reason] of [[1000, ""], [1000, "done"], [1001, "away"], [1011, "broken"], [3000, ""], [4999, "größer €"]]) {
    it(`answers a close of ${code} "${reason}" with the same code`, async () => {
      const { client, conversation } = await host.welcome();
      conversation.socket.close(code, reason);
      assert.equal((await conversation.ended()).code, code);
      assert.deepEqual(await client.ended(), { code, reason });
    });

    it(`closes with ${code} "${reason}"`, async () => {
      const { client, conversation } = await host.welcome({ close: { on: "enough", code, reason } });
      conversation.send("enough");
      assert.deepEqual(await conversation.ended(), { code, reason });
      assert.equal((await client.ended()).code, code);
    });
  }

  it("answers a close without a code with one without a code, and closes so", async () => {
    const answering = await host.welcome();
    answering.conversation.socket.close();
    assert.equal((await answering.conversation.ended()).code, 1005);
    assert.equal((await answering.client.ended()).code, 1005);
    const closing = await host.welcome({ close: { on: "enough" } });
    closing.conversation.send("enough");
    assert.equal((await closing.conversation.ended()).code, 1005);
    assert.equal((await closing.client.ended()).code, 1005);
  });

  it("sends back what came before the close", async () => {
    const { client, conversation } = await host.welcome();
    conversation.send("last words");
    assert.equal(await conversation.receive(), "last words");
    conversation.socket.close(1000);
    assert.equal((await client.ended()).code, 1000);
  });

  it("notices a connection that ends without a word", async () => {
    const { client, conversation } = await host.welcome();
    conversation.send("hello");
    await conversation.receive();
    conversation.socket.terminate();
    assert.equal((await client.ended()).code, 1006);
  });

  it("sees that nobody listens", async () => {
    const { port } = new URL(host.url());
    const nobody = createServer().listen(0, "127.0.0.1");
    await once(nobody, "listening");
    const free = nobody.address().port;
    nobody.close();
    await once(nobody, "close");
    assert.notEqual(String(free), port);
    assert.ok((await new Client(`ws://127.0.0.1:${free}/`).says()).failed);
  });
});

describe("our client and subprotocols", () => {
  const host = hostForTests({ handleProtocols: (offered) => (offered.has("b") ? "b" : false) });

  it("offers them in their order and takes the one that is selected", async () => {
    const { client, request, conversation } = await host.welcome({ protocols: ["a", "b"] });
    assert.match(request.headers["sec-websocket-protocol"], /^a, ?b$/);
    assert.equal(conversation.socket.protocol, "b");
    assert.equal((await client.says()).connected.protocol, "b");
    conversation.end();
  });

  ours("goes on when none is selected", async () => {
    const { client, conversation } = await host.welcome({ protocols: ["a"] });
    assert.equal((await client.says()).connected.protocol, "");
    conversation.send("hello");
    assert.equal(await conversation.receive(), "hello");
    conversation.end();
  });
});

describe("our client, refused", () => {
  const refusing = (answer) => hostForTests({ verifyClient: (_info, decide) => decide(false, ...answer) });
  const unauthorized = refusing([401, "no token", { "www-authenticate": "Bearer" }]);
  const moved = refusing([302, "elsewhere", { location: "ws://elsewhere.example/" }]);

  it("has the status, the headers and the body", async () => {
    const { refused } = await new Client(unauthorized.url()).says();
    assert.deepEqual([refused.status, refused.body], [401, "no token"]);
    assert.equal(refused.headers["www-authenticate"], "Bearer");
  });

  it("follows no redirection, and knows where it leads", async () => {
    const { refused } = await new Client(moved.url()).says();
    assert.deepEqual([refused.status, refused.headers.location], [302, "ws://elsewhere.example/"]);
  });
});

describe("our client at a server that takes no more than 1,000 bytes", () => {
  const host = hostForTests({ maxPayload: 1_000 });

  it("is told so", async () => {
    const { client, conversation } = await host.welcome();
    conversation.socket.on("error", () => {}); // `ws` reports the error here too
    conversation.send("x".repeat(1_001));
    assert.equal((await client.ended()).code, 1009);
  });
});
