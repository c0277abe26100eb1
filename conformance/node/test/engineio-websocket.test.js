// Engine.IO over a WebSocket, packet by packet.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PollingSession, engineUrl } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, reasonFor, serverForTests } from "../support/suite.js";
import { Conversation, joinNamespace, openEngine } from "../support/websocket.js";

describe("Engine.IO over a WebSocket", () => {
  const server = serverForTests(startConformanceServer, { args: ["--max-payload", "100000"] });

  const watched = async () => {
    const watcher = await server.connect("websocket");
    const raw = await joinNamespace(server.url);
    return { raw, reason: reasonFor(watcher, raw.socketId) };
  };

  it("announces the largest message", async () => {
    const raw = await joinNamespace(server.url);
    assert.equal(raw.handshake.maxPayload, 100_000);
    raw.end();
  });

  it("sends one packet a message, binary without a type", async () => {
    const raw = await joinNamespace(server.url);
    raw.send('451-["echo",{"_placeholder":true,"num":0}]');
    raw.send(Buffer.from([1, 2, 3]));
    assert.equal(await raw.receive(), '451-["echo-back",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await raw.receive(), Buffer.from([1, 2, 3]));
    raw.end();
  });

  it("takes binary as base64 in a text message too", async () => {
    const raw = await joinNamespace(server.url);
    raw.send('451-["echo",{"_placeholder":true,"num":0}]');
    raw.send("bAQID\r\nBA\r\n"); // a line break, and no padding
    assert.equal(await raw.receive(), '451-["echo-back",{"_placeholder":true,"num":0}]');
    assert.deepEqual(await raw.receive(), Buffer.from([1, 2, 3, 4]));
    raw.end();
  });

  for (const b64 of ["1", "0"]) {
    it(`sends binary as base64 in a text message to a client that asks for it with b64=${b64}`, async () => {
      const raw = await openEngine(server.url, { b64 });
      raw.send("40");
      await raw.receive();
      raw.send('451-["echo",{"_placeholder":true,"num":0}]');
      raw.send("bAQID");
      assert.equal(await raw.receive(), '451-["echo-back",{"_placeholder":true,"num":0}]');
      assert.equal(await raw.receive(), "bAQID");
      raw.end();
    });
  }

  it("sends binary as a binary message if b64 is empty", async () => {
    const raw = await openEngine(server.url, { b64: "" });
    raw.send("40");
    await raw.receive();
    raw.send('451-["echo",{"_placeholder":true,"num":0}]');
    raw.send("bAQID");
    await raw.receive();
    assert.deepEqual(await raw.receive(), Buffer.from([1, 2, 3]));
    raw.end();
  });

  it("sends base64 after an upgrade to a client that asks for it there", async () => {
    const session = await PollingSession.join(server.url);
    const raw = await Conversation.open(
      engineUrl(server.webSocketUrl, { transport: "websocket", sid: session.sid, b64: "1" }).href,
    );
    raw.send("2probe");
    assert.equal(await raw.receive(), "3probe");
    raw.send("5");
    raw.send('451-["echo",{"_placeholder":true,"num":0}]');
    raw.send(Buffer.from([1, 2, 3]));
    assert.equal(await raw.receive(), '451-["echo-back",{"_placeholder":true,"num":0}]');
    assert.equal(await raw.receive(), "bAQID");
    raw.end();
  });

  for (const transport of ["websocket", "polling, then upgraded"]) {
    it(`selects the first subprotocol that the official client offers over ${transport}`, async () => {
      const socket = await server.connect(transport, { protocols: ["first", "second"] });
      assert.equal(socket.io.engine.transport.name, "websocket");
      assert.equal(socket.io.engine.transport.ws.protocol, "first");
      assert.deepEqual(await acknowledged(socket, "echo-ack", "hello"), ["hello"]);
    });
  }

  it("ignores the close packet, which is for polling", async () => {
    const raw = await joinNamespace(server.url);
    raw.send("1");
    raw.send('420["echo-ack","still here"]');
    assert.equal(await raw.receive(), '430["still here"]');
    raw.end();
  });

  it("takes a message of exactly the limit", async () => {
    const raw = await joinNamespace(server.url);
    const [head, tail] = ['420["echo-ack","', '"]'];
    const text = "x".repeat(100_000 - head.length - tail.length);
    raw.send(head + text + tail);
    assert.equal(await raw.receive(), `430["${text}"]`);
    raw.end();
  });

  it("ends with 1007 for a text that is not UTF-8", async () => {
    const { raw, reason } = await watched();
    raw.send(Buffer.from([0x34, 0xff]), { binary: false });
    assert.equal((await raw.ended()).code, 1007);
    assert.equal(await reason, "transport error");
  });

  it("ends with 1009 for a larger message", async () => {
    const { raw, reason } = await watched();
    raw.send("4".repeat(100_001));
    assert.equal((await raw.ended()).code, 1009);
    assert.equal(await reason, "transport error");
  });

  for (const [what, message] of [
    ["an unknown packet type", "abc"],
    ["an empty message", ""],
  ]) {
    it(`ends without a code, as \`parse error\`, for ${what}`, async () => {
      const { raw, reason } = await watched();
      raw.send(message);
      assert.equal((await raw.ended()).code, 1005);
      assert.equal(await reason, "parse error");
    });
  }
});
