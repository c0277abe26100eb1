// Tidewire's WebSocket client with permessage-deflate, against a server with the npm package `ws`.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hostForTests } from "../support/client.js";

const KEPT = { threshold: 0 };
const BARE = { threshold: 0, ownContextTakeover: false, peerContextTakeover: false };
const WINDOWS = [9, 10, 11, 12, 13, 14, 15];

for (const [what, serverSide, deflate, extensions] of [
  ["with context", { threshold: 0 }, KEPT, ["permessage-deflate"]],
  ["without context, as we want it", { threshold: 0 }, BARE, ["server_no_context_takeover", "client_no_context_takeover"]],
  [
    "without context, as the server wants it",
    { threshold: 0, serverNoContextTakeover: true, clientNoContextTakeover: true },
    KEPT,
    ["server_no_context_takeover", "client_no_context_takeover"],
  ],
  ["with the server's context only", { threshold: 0, clientNoContextTakeover: true }, KEPT, ["client_no_context_takeover"]],
  ["with our context only", { threshold: 0, serverNoContextTakeover: true }, KEPT, ["server_no_context_takeover"]],
  ["from 1,024 bytes on, at both ends", { threshold: 1_024 }, { threshold: undefined }, ["permessage-deflate"]],
  ...WINDOWS.map((bits) => [
    `with windows of ${bits} bits, as we want it`,
    { threshold: 0 },
    { ...KEPT, ownMaxWindowBits: bits, peerMaxWindowBits: bits },
    bits < 15 ? [`server_max_window_bits=${bits}`, `client_max_window_bits=${bits}`] : [],
  ]),
  ...WINDOWS.map((bits) => [
    `with windows of ${bits} bits, as the server wants it`,
    { threshold: 0, serverMaxWindowBits: bits, clientMaxWindowBits: bits },
    KEPT,
    [`server_max_window_bits=${bits}`, `client_max_window_bits=${bits}`],
  ]),
  ["with different windows and no context", { threshold: 0, serverMaxWindowBits: 10 }, { ...BARE, ownMaxWindowBits: 12 }, [
    "server_max_window_bits=10",
    "client_max_window_bits=12",
  ]],
]) {
  describe(`our client compresses ${what}`, () => {
    const host = hostForTests({ perMessageDeflate: serverSide });

    it("and sends back what it gets, with a fraction of it on the wire", async () => {
      const { client, conversation } = await host.welcome({ deflate });
      const { connected } = await client.says();
      const agreed = connected.headers["sec-websocket-extensions"];
      for (const extension of extensions) assert.ok(agreed.includes(extension), `${extension} in ${agreed}`);
      const messages = ["", "a", "hello ".repeat(1_000), Buffer.from("hello ".repeat(200)), "é☃😀".repeat(50_000)];
      const stream = conversation.socket._socket;
      const [received, sent] = [stream.bytesRead, stream.bytesWritten];
      for (const message of [...messages, ...messages]) {
        conversation.send(message);
        assert.deepEqual(await conversation.receive(), message);
      }
      assert.ok(stream.bytesRead - received < 50_000, `${stream.bytesRead - received} bytes came`);
      assert.ok(stream.bytesWritten - sent < 50_000, `${stream.bytesWritten - sent} bytes went`);
      // Fragments with a ping between them.
      conversation.send("hello ".repeat(300), { fin: false });
      conversation.socket.ping("tide");
      conversation.send("and goodbye", { fin: true });
      assert.equal(await conversation.receive(), `${"hello ".repeat(300)}and goodbye`);
      conversation.socket.close(1000);
      assert.deepEqual(await client.ended(), { code: 1000, reason: "" });
    });
  });
}

describe("our client and compression", () => {
  const willing = hostForTests({ perMessageDeflate: true });
  const unwilling = hostForTests({ perMessageDeflate: false });
  const impossible = hostForTests({ perMessageDeflate: { clientMaxWindowBits: 8, threshold: 0 } });

  it("goes without where it has not asked for it", async () => {
    const { request, conversation } = await willing.welcome();
    assert.equal(request.headers["sec-websocket-extensions"], undefined);
    assert.equal(conversation.socket.extensions, "");
    conversation.send("hello".repeat(1_000));
    assert.equal(await conversation.receive(), "hello".repeat(1_000));
    conversation.end();
  });

  it("goes without where the server does not want it", async () => {
    const { client, conversation } = await unwilling.welcome({ deflate: KEPT });
    assert.equal((await client.says()).connected.headers["sec-websocket-extensions"], undefined);
    conversation.send("hello".repeat(1_000));
    assert.equal(await conversation.receive(), "hello".repeat(1_000));
    conversation.end();
  });

  it("sends as it is what would need a window of 8 bits, which zlib has not", async () => {
    const { conversation } = await impossible.welcome({ deflate: KEPT });
    const message = "hello ".repeat(1_000);
    conversation.send(message);
    assert.equal(await conversation.receive(), message);
    conversation.end();
  });

  it("compresses nothing below its threshold", async () => {
    const { conversation } = await willing.welcome({ deflate: { ...BARE, threshold: 200 } });
    const stream = conversation.socket._socket;
    for (const [length, compressed] of [[199, false], [200, true]]) {
      const before = stream.bytesRead;
      conversation.send("x".repeat(length));
      await conversation.receive();
      assert.equal(stream.bytesRead - before < length, compressed, `${length} bytes`);
    }
    conversation.end();
  });

  it("closes with 1009 at a message that becomes longer than 16 MiB", async () => {
    const { conversation } = await willing.welcome({ deflate: KEPT });
    conversation.send(Buffer.alloc(16 * 1_048_576 + 1));
    assert.equal((await conversation.ended()).code, 1009);
  });
});
