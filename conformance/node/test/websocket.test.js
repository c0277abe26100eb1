// The plain WebSocket at /ws, tested with the npm package `ws`.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startApplication } from "../support/server.js";
import { ours, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";
import { BINARY, CLOSE, Conversation, PING, PONG, TEXT, exchangeFrames, frame } from "../support/websocket.js";

describe("the WebSocket at /ws", () => {
  const server = serverForTests(startApplication);
  const open = (options) => Conversation.open(`${server.webSocketUrl}/ws`, options);

  for (const [what, message] of [
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
  ]) {
    it(`echoes ${what}`, async () => {
      const conversation = await open();
      conversation.send(message);
      assert.deepEqual(await conversation.receive(), message);
      conversation.end();
    });
  }

  it("echoes a thousand messages in order", async () => {
    const conversation = await open();
    for (let number = 0; number < 1_000; number++) conversation.send(String(number));
    for (let number = 0; number < 1_000; number++) assert.equal(await conversation.receive(), String(number));
    conversation.end();
  });

  it("puts a fragmented message together", async () => {
    const conversation = await open();
    conversation.send("one, ", { fin: false });
    conversation.send("two, ", { fin: false });
    conversation.send("three", { fin: true });
    assert.equal(await conversation.receive(), "one, two, three");
    conversation.send(Buffer.from([1, 2]), { fin: false });
    conversation.send(Buffer.from([3]), { fin: true });
    assert.deepEqual(await conversation.receive(), Buffer.from([1, 2, 3]));
    conversation.end();
  });

  it("answers a ping with its payload, between the fragments of a message too", async () => {
    const conversation = await open();
    for (const payload of ["", "tide", "x".repeat(125)]) {
      const pong = next(conversation.socket, "pong");
      conversation.send("begun, ", { fin: false });
      conversation.socket.ping(payload);
      assert.equal((await pong)[0].toString(), payload);
      conversation.send("done", { fin: true });
      assert.equal(await conversation.receive(), "begun, done");
    }
    conversation.end();
  });

  for (const [code, reason] of [[1000, ""], [1000, "done"], [1001, "away"], [3000, ""], [4999, "größer €"]]) {
    it(`answers a close of ${code} "${reason}" with the same code`, async () => {
      const conversation = await open();
      conversation.socket.close(code, reason);
      assert.equal((await conversation.ended()).code, code);
    });
  }

  it("answers a close without a code with one without a code", async () => {
    const conversation = await open();
    conversation.socket.close();
    assert.equal((await conversation.ended()).code, 1005);
  });

  it("echoes what was sent before the close", async () => {
    const conversation = await open();
    conversation.send("last words");
    conversation.socket.close(1000);
    assert.equal(await conversation.receive(), "last words");
    assert.equal((await conversation.ended()).code, 1000);
  });

  it("speaks no subprotocol when none is asked for", async () => {
    const conversation = await open();
    assert.equal(conversation.socket.protocol, "");
    conversation.end();
  });

  it("may have a query", async () => {
    const conversation = await Conversation.open(`${server.webSocketUrl}/ws?token=1`);
    conversation.send("hello");
    assert.equal(await conversation.receive(), "hello");
    conversation.end();
  });

  for (const [what, perMessageDeflate] of [
    ["as ws offers it", true],
    ["for the shortest messages too", { threshold: 0 }],
    ["without context", { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true }],
    ["with small windows", { threshold: 0, clientMaxWindowBits: 9, serverMaxWindowBits: 9 }],
  ]) {
    ours(`compresses messages ${what}`, async () => {
      const conversation = await Conversation.open(`${server.webSocketUrl}/ws`, { perMessageDeflate });
      assert.ok("permessage-deflate" in conversation.socket._extensions, conversation.socket.extensions);
      const messages = ["", "a", "hello ".repeat(1_000), Buffer.from("hello ".repeat(200)), "é☃😀".repeat(50_000)];
      for (const message of [...messages, ...messages]) {
        conversation.send(message);
        assert.deepEqual(await conversation.receive(), message);
      }
      conversation.end();
    });
  }
});

describe("frames that break the protocol", () => {
  const server = serverForTests(startApplication);

  for (const [what, code, frames] of [
    ["a frame without a mask", 1002, [frame(TEXT, "hello", { masked: false })]],
    ["a reserved opcode", 1002, [frame(3, "hello")]],
    ["a reserved control opcode", 1002, [frame(11, "")]],
    ["a reserved bit", 1002, [frame(TEXT, "hello", { reserved: 2 })]],
    ["a continuation of nothing", 1002, [frame(0, "hello")]],
    ["a new message inside another", 1002, [frame(TEXT, "hel", { fin: false }), frame(TEXT, "lo")]],
    ["a ping in fragments", 1002, [frame(PING, "", { fin: false })]],
    ["a ping that is too long", 1002, [frame(PING, "x".repeat(126))]],
    ["a close with half a code", 1002, [frame(CLOSE, [3])]],
    ["a close with a code that is never sent", 1002, [frame(CLOSE, [3, 237])]],
    ["a close with an unknown code", 1002, [frame(CLOSE, [3, 231])]],
    ["a close whose reason is not UTF-8", 1007, [frame(CLOSE, [3, 232, 0xff])]],
    ["text that is not UTF-8", 1007, [frame(TEXT, [0xc3, 0x28])]],
    ["text that is a lone surrogate", 1007, [frame(TEXT, [0xed, 0xa0, 0x80])]],
    ["text that ends inside a character", 1007, [frame(TEXT, [0xe2, 0x82])]],
  ]) {
    it(`end the connection with ${code}: ${what}`, async () => {
      const answers = await exchangeFrames(`${server.url}/ws`, frames);
      const last = answers.at(-1);
      assert.deepEqual([last?.opcode, last?.code], [CLOSE, code]);
    });
  }

  it("do not include a character that is split between fragments", async () => {
    const frames = [frame(TEXT, [0xe2, 0x82], { fin: false }), frame(0, [0xac])];
    const [answer] = await exchangeFrames(`${server.url}/ws`, frames, 1);
    assert.deepEqual([answer.opcode, answer.payload.toString()], [TEXT, "€"]);
  });

  it("do not include frames that arrive byte by byte", async () => {
    const bytes = Buffer.concat([frame(PING, "p"), frame(BINARY, [1, 2]), frame(TEXT, "t".repeat(300))]);
    const answers = await exchangeFrames(`${server.url}/ws`, [...bytes].map((byte) => Buffer.from([byte])), 3);
    assert.deepEqual(answers.map(({ opcode }) => opcode), [PONG, BINARY, TEXT]);
  });

  ours("are answered after everything that was in order before them", async () => {
    const answers = await exchangeFrames(`${server.url}/ws`, [frame(TEXT, "fine"), frame(3, "")]);
    assert.deepEqual(answers.map(({ opcode }) => opcode), [TEXT, CLOSE]);
  });
});
