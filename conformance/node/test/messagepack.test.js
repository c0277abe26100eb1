// The parser `socket.io-msgpack-parser` 3 on both sides. With the default parser, the other files test the same.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterEach, describe, it } from "node:test";
import messagePackParser from "socket.io-msgpack-parser";
import { LARGE_VALUES, goldenText } from "../support/messagepack-golden.js";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, ours, overEachTransport, reasonFor, serverForTests } from "../support/suite.js";
import { collect, next, record, within } from "../support/wait.js";
import { openEngine } from "../support/websocket.js";

const args = ["--parser", "messagepack"];
const parser = messagePackParser;
const bytes = (...values) => Buffer.from(values);
const encode = (packet) => new parser.Encoder().encode(packet)[0];

/** Returns the packet in a message. */
function decode(message) {
  const decoder = new parser.Decoder();
  let packet;
  decoder.on("decoded", (decoded) => (packet = decoded));
  decoder.add(message);
  return packet;
}

/** Returns the parser with a list of all messages that it decodes, without the news of sockets from an earlier test. */
function recording() {
  const messages = [];
  class Decoder extends parser.Decoder {
    add(message) {
      if (decode(message).data?.[0] !== "gone") messages.push(Buffer.from(message));
      super.add(message);
    }
  }
  return { messages, parser: { ...parser, Decoder } };
}

const VALUES = [
  ["numbers", [0, -1, 127, 128, -33, 65_536, 4_294_967_296, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 0.1, -2.5e-10, 1e18]],
  ["text", ["", "é☃😀", "\"\\\n\u0000\u2028", "x".repeat(100)]],
  ["literals", [true, false, null]],
  ["lists and objects", [[], {}, [[1], [[]]], { a: { b: [{ c: null }] }, "": 1 }]],
  ["an object that looks like a placeholder", [{ _placeholder: true, num: 0 }]],
  ["bytes", [bytes(), bytes(1, 2, 3), Buffer.alloc(300, 7)]],
  ["bytes deep inside", [{ z: [{ b: [bytes(7), { c: bytes(8) }] }], a: bytes(9) }]],
  ["ten binary values", Array.from({ length: 10 }, (_, index) => bytes(index))],
  ["many binary values", [Array.from({ length: 1_000 }, (_, index) => bytes(index % 256))]],
  ["values with long lengths", LARGE_VALUES],
  ["five hundred levels", [Array.from({ length: 500 }).reduce((inner) => [inner], "inside")]],
];

overEachTransport("MessagePack", (transport) => {
  const server = serverForTests(startConformanceServer, { args });
  const connect = (options) => server.connect(transport, { parser, ...options });

  for (const [what, values] of VALUES) {
    it(`carries events and acknowledgements with ${what}, in the bytes of the official parser`, async () => {
      const { messages, parser } = recording();
      const socket = await connect({ parser });
      messages.length = 0;
      const answer = next(socket, "echo-back");
      socket.emit("echo", ...values);
      assert.deepEqual(await answer, values);
      assert.deepEqual(messages, [encode({ type: 2, data: ["echo-back", ...values], nsp: "/" })]);
      messages.length = 0;
      assert.deepEqual(await acknowledged(socket, "echo-ack", ...values), values);
      assert.deepEqual(messages, [encode({ id: 0, type: 3, data: values, nsp: "/" })]);
    });
  }

  it("carries typed arrays and array buffers", async () => {
    const socket = await connect();
    const values = [new Uint8Array([1, 2]), new Uint8Array([3, 4]).buffer];
    const back = await acknowledged(socket, "echo-ack", ...values);
    assert.deepEqual(back.map((value) => Buffer.from(value)), [bytes(1, 2), bytes(3, 4)]);
  });

  it("carries acknowledgements that the server requests", async () => {
    const { messages, parser } = recording();
    const socket = await connect({ parser });
    socket.on("question", (question, acknowledge) => acknowledge({ question, bytes: bytes(1, 2, 3) }));
    const answer = next(socket, "answered");
    messages.length = 0;
    socket.emit("ask-me", bytes(9, 8));
    assert.deepEqual(await answer, [{ question: bytes(9, 8), bytes: bytes(1, 2, 3) }]);
    const { id } = decode(messages[0]);
    assert.deepEqual(messages[0], encode({ type: 2, data: ["question", bytes(9, 8)], id, nsp: "/" }));
  });

  it("carries an acknowledgement that never comes", async () => {
    const socket = await connect();
    const answer = next(socket, "answered");
    socket.emit("ask-me", "silence");
    assert.deepEqual(await answer, ["timeout"]);
  });

  it("connects with credentials, and tells the reason of a refusal", async () => {
    const welcomed = server.client(transport, { namespace: "/admin", auth: { token: "secret", list: [1, null] }, parser });
    const welcome = next(welcomed, "welcome");
    welcomed.connect();
    assert.deepEqual(await welcome, [{ token: "secret", list: [1, null] }]);

    const socket = await connect();
    const refused = socket.io.socket("/admin", { auth: {} });
    const refusal = next(refused, "connect_error");
    refused.connect();
    const [error] = await refusal;
    assert.deepEqual([error.message, error.data], ["not authorized", { code: 401 }]);

    const unknown = socket.io.socket("/unknown");
    const rejection = next(unknown, "connect_error");
    unknown.connect();
    assert.deepEqual([(await rejection)[0].message, (await rejection)[0].data], ["Invalid namespace", undefined]);
    assert.deepEqual(await acknowledged(socket, "echo-ack", "still here"), ["still here"]);
  });

  it("shares a connection between namespaces", async () => {
    const socket = await connect();
    const custom = await server.share(socket, "/custom");
    const child = await server.share(socket, "/room-7");
    assert.deepEqual(await child.emitWithAck("where"), "/room-7");
    assert.deepEqual(await Promise.all([socket, custom].map((one) => one.emitWithAck("echo-ack", one.nsp))), ["/", "/custom"]);
    const { messages, parser } = recording();
    const other = await connect({ parser, namespace: "/custom" });
    messages.length = 0;
    const received = next(other, "broadcast");
    custom.emit("broadcast", [bytes(1)]);
    assert.deepEqual(await received, [[bytes(1)]]);
    assert.deepEqual(messages, [encode({ type: 2, data: ["broadcast", [bytes(1)]], nsp: "/custom" })]);
  });

  it("carries broadcasts to rooms, whatever the transport of a receiver", async () => {
    const sender = await connect();
    const receivers = await Promise.all(["polling", "websocket", "websocket"].map((transport) => server.connect(transport, { parser })));
    const base64 = await server.connect("websocket", { parser, forceBase64: true });
    for (const socket of [...receivers.slice(0, 2), base64]) await acknowledged(socket, "join", "room");
    const overheard = record(receivers[2], "to-room");
    const received = [...receivers.slice(0, 2), base64].map((socket) => collect(socket, "to-room", 2));
    sender.emit("to-room", { room: "room", data: { content: bytes(0, 1, 255) } });
    sender.emit("to-room", { room: "room", data: "second" });
    for (const events of await Promise.all(received)) assert.deepEqual(events, [[{ content: bytes(0, 1, 255) }], ["second"]]);
    await acknowledged(receivers[2], "echo-ack");
    assert.deepEqual(overheard, []);
  });

  it("keeps the order of a hundred events", async () => {
    const socket = await connect();
    const seen = [];
    socket.on("echo-back", (value) => seen.push(value));
    const values = Array.from({ length: 100 }, (_, number) => (number % 3 === 0 ? bytes(number) : number));
    for (const value of values) socket.emit("echo", value);
    await acknowledged(socket, "echo-ack");
    assert.deepEqual(seen, values);
  });

  it("carries disconnections by either side", async () => {
    const watcher = await server.connect("websocket", { parser });
    const [first, second, third] = await Promise.all([connect(), connect(), connect()]);
    const reasons = [first, second, third].map((socket) => reasonFor(watcher, socket.id));
    first.disconnect();
    const told = [next(second, "disconnect"), next(third, "disconnect")];
    second.emit("kick");
    third.emit("kick-all");
    assert.deepEqual((await Promise.all(told)).map(([reason]) => reason), ["io server disconnect", "io server disconnect"]);
    assert.deepEqual(await Promise.all(reasons), [
      "client namespace disconnect",
      "server namespace disconnect",
      "server namespace disconnect",
    ]);
  });

  it("middleware and observers of events see the events", async () => {
    const socket = await connect({ namespace: "/events" });
    const answer = collect(socket, "echo-back", 2);
    socket.emit("old name", bytes(1));
    socket.emit("echo", 1, bytes(2));
    assert.deepEqual(await answer, [["renamed"], [1, bytes(2)]]);
    const observed = await socket.emitWithAck("observed");
    assert.deepEqual(observed.sent, ["echo-back", "echo-back"]);
  });
});

describe("the table of MessagePack messages", () => {
  it("has the bytes of the official parser", () => {
    const file = new URL("../../../crates/socketio-proto/src/message_pack/golden.json", import.meta.url);
    assert.equal(readFileSync(file, "utf8"), goldenText(), "node support/messagepack-golden.js prints it");
  });
});

/** Messages for which the connection ends. */
const INVALID = [
  ["a text", `4${JSON.stringify({ type: 2, data: ["echo"], nsp: "/" })}`],
  ["a packet of the default parser", '42["echo"]'],
  ["no byte", bytes()],
  ["a byte that begins no value", bytes(0xc1)],
  ["half of a packet", encode({ type: 2, data: ["echo", "text"], nsp: "/" }).subarray(0, 20)],
  ["a byte after a packet", Buffer.concat([encode({ type: 2, data: ["echo"], nsp: "/" }), bytes(0)])],
  ["a list with more elements than bytes", Buffer.from("83a47479706502a46461746192a16501ddffffffff00a36e7370a12f", "hex")],
  ["a text that is longer than the message", Buffer.from("83a47479706502a3" + "6e7370dbffffffff2f", "hex")],
  ["no map", encode([2, ["echo"], "/"])],
  ["an unknown type", encode({ type: 5, data: ["echo"], nsp: "/" })],
  ["a type that is no number", encode({ type: "2", data: ["echo"], nsp: "/" })],
  ["no namespace", encode({ type: 2, data: ["echo"] })],
  ["a namespace that is no text", encode({ type: 2, data: ["echo"], nsp: null })],
  ["an id that is no number", encode({ type: 2, data: ["echo"], id: "1", nsp: "/" })],
  ["an id that is null", encode({ type: 2, data: ["echo"], id: null, nsp: "/" })],
  ["an event without data", encode({ type: 2, nsp: "/" })],
  ["an event whose data is an object", encode({ type: 2, data: { 0: "echo" }, nsp: "/" })],
  ["an acknowledgement whose data is a text", encode({ type: 3, data: "x", id: 1, nsp: "/" })],
  ["a disconnect with data", encode({ type: 1, data: [], nsp: "/" })],
  ["a second connect", encode({ type: 0, nsp: "/" })],
  ["an event for another namespace", encode({ type: 2, data: ["echo"], nsp: "/custom" })],
  ["a connect error", encode({ type: 4, data: "no", nsp: "/" })],
  ["a hundred thousand levels", Buffer.concat([Buffer.from("83a3" + "6e7370a12fa47479706502a464617461", "hex"), Buffer.alloc(100_000, 0x91), bytes(0xc0)])],
];

/** Messages for which only Tidewire ends the connection. */
const INVALID_FOR_US = [
  ["an event with a reserved name", encode({ type: 2, data: ["disconnect"], nsp: "/" })],
  ["an event without a name", encode({ type: 2, data: [], nsp: "/" })],
  ["an event whose name is bytes", encode({ type: 2, data: [bytes(1)], nsp: "/" })],
  ["a negative id", encode({ type: 2, data: ["echo"], id: -1, nsp: "/" })],
  ["a namespace without a slash", encode({ type: 0, nsp: "custom" })],
  ["a namespace with a comma", encode({ type: 0, nsp: "/a,b" })],
  ["bytes beside an object that looks like a placeholder", encode({ type: 2, data: ["echo", bytes(1), { _placeholder: true, num: 0 }], nsp: "/" })],
  ["two thousand levels", encode({ type: 2, data: ["echo", Array.from({ length: 2_000 }).reduce((inner) => [inner], 1)], nsp: "/" })],
  ["forty thousand binary values without bytes", encode({ type: 2, data: ["echo", Array.from({ length: 40_000 }, () => bytes())], nsp: "/" })],
  ["a list as a key", Buffer.from("84a47479706502a46461746191a46563686fa36e7370a12f9001", "hex")],
];

describe("an invalid MessagePack message", () => {
  const server = serverForTests(startConformanceServer, { args });

  /** Opens a connection by hand. */
  const join = async () => {
    const conversation = await openEngine(server.url);
    conversation.send(encode({ type: 0, nsp: "/" }));
    conversation.socketId = decode(await conversation.receive()).data.sid;
    return conversation;
  };

  const ends = (message) => async () => {
    const witness = await server.connect("websocket", { parser });
    const conversation = await join();
    const reason = reasonFor(witness, conversation.socketId);
    conversation.send(message);
    await conversation.ended();
    assert.match(await reason, /^forced (server )?close$/);
    assert.deepEqual(await acknowledged(witness, "echo-ack", "still here"), ["still here"]);
  };

  for (const [what, message] of INVALID) it(`ends the connection: ${what}`, ends(message));
  for (const [what, message] of INVALID_FOR_US) ours(`ends the connection: ${what}`, ends(message));

  it("is one with the default parser: a client that uses it is disconnected", async () => {
    const socket = server.client("websocket");
    const ended = next(socket.io, "close");
    socket.connect();
    await ended;
    assert.equal(socket.connected, false);
  });
});

describe("MessagePack values that JSON does not have", () => {
  const server = serverForTests(startConformanceServer, { args });

  it("a whole number without 64 bits arrives as it is", async () => {
    const socket = await server.connect("websocket", { parser });
    const sent = Buffer.concat([Buffer.from("83a47479706502a46461746192a46563686fcb", "hex"), float(1e15), Buffer.from("a36e7370a12f", "hex")]);
    const answer = next(socket, "echo-back");
    socket.io.engine.send(sent);
    assert.deepEqual(await answer, [1e15]);
  });

  it("other members of a packet, and unusual keys, are accepted", async () => {
    const socket = await server.connect("websocket", { parser });
    const answer = next(socket, "echo-back");
    // { nsp: "/", 1: [nil], data: ["echo", { 1: 2, null: 3, true: 4 }], type: 2 }
    socket.io.engine.send(Buffer.from("84a36e7370a12f0191c0a46461746192a46563686f830102c003c304a47479706502", "hex"));
    assert.deepEqual(await answer, [{ 1: 2, null: 3, true: 4 }]);
  });

  it("text that is not UTF-8 arrives with replacement characters", async () => {
    const socket = await server.connect("websocket", { parser });
    const answer = next(socket, "echo-back");
    socket.io.engine.send(Buffer.from("83a36e7370a12fa46461746192a46563686fa361ff62a47479706502", "hex"));
    assert.deepEqual(await answer, ["a\ufffdb"]);
  });

  ours("are received as their nearest values", async () => {
    const socket = await server.connect("websocket", { parser });
    const sent = [undefined, [undefined], { a: undefined, b: 1 }, new Date(960_854_400_000), NaN, -Infinity];
    const received = [null, [null], { b: 1 }, "2000-06-13T00:00:00.000Z", null, null];
    assert.deepEqual(await acknowledged(socket, "echo-ack", ...sent), received);
  });

  ours("a whole number that needs more than 64 bits arrives as it is", async () => {
    const socket = await server.connect("websocket", { parser });
    const answer = next(socket, "echo-back");
    const sent = Buffer.concat([Buffer.from("83a47479706502a46461746192a46563686fcb", "hex"), float(1e300), Buffer.from("a36e7370a12f", "hex")]);
    socket.io.engine.send(sent);
    assert.deepEqual(await answer, [1e300]);
  });
});

function float(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

describe("socket.io-client 2 with MessagePack", () => {
  const require = createRequire(import.meta.url);
  const connect2 = require("socket.io-client-2");
  const parser2 = require("socket.io-msgpack-parser-2");
  const server = serverForTests(startConformanceServer, { args: [...args, "--allow-eio3", "yes"] });
  const sockets = [];
  afterEach(() => sockets.splice(0).forEach((socket) => socket.close()));

  // Its parser sends bytes and other namespaces in a form that version 3 of the parser rejects.
  it("exchanges events in the main namespace, and receives bytes", async () => {
    const socket = connect2(server.url, { transports: ["websocket"], forceNew: true, reconnection: false, parser: parser2 });
    sockets.push(socket);
    await next(socket, "connect");
    const answer = within(8_000, "the acknowledgement", new Promise((done) => socket.emit("echo-ack", 1, { a: [null] }, (...values) => done(values))));
    assert.deepEqual(await answer, [1, { a: [null] }]);
    const modern = await server.connect("websocket", { parser });
    const received = next(socket, "broadcast");
    modern.emit("broadcast", { content: bytes(3) });
    assert.deepEqual(await received, [{ content: bytes(3) }]);
  });
});
