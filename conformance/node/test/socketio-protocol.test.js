// Literal Socket.IO packets: the responses, and the packets that end the connection.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { reasonFor, serverForTests } from "../support/suite.js";
import { joinNamespace, openEngine } from "../support/websocket.js";

const placeholder = (number) => JSON.stringify({ _placeholder: true, num: number });
const bytes = Buffer.from([1, 2, 3]);
const RESERVED = ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/** Messages that a client connected to `/` sends one after another: `[description, messages]`. */
const UNDECODABLE = [
  ["an empty packet", ["4"]],
  ["an unknown packet type", ["49"]],
  ["a letter for a type", ["4x"]],
  ["an event that is no JSON", ["42[nonsense"]],
  ["an event with something after its JSON", ['42["echo"]]']],
  ["an event that is an object", ['42{"event":"echo"}']],
  ["an event that is a string", ['42"echo"']],
  ["an event without a name", ["42[]"]],
  ["an event whose name is null", ["42[null]"]],
  ["an event whose name is an object", ["42[{}]"]],
  ...RESERVED.map((name) => [`the reserved event name ${name}`, [`42["${name}"]`]]),
  ["an acknowledgement that is an object", ["430{}"]],
  ["a disconnection with a payload", ["41{}"]],
  ["a connection whose payload is an array", ["40/custom,[]"]],
  ["a connection whose payload is a string", ['40/custom,"token"']],
  ["attachments without a number", ['45["echo"]']],
  ["attachments without a dash", ['451["echo"]']],
  ["attachments whose number is no number", ['45x-["echo"]']],
  ["no attachments in a packet that is for them", ['450-["echo"]']],
  ["more attachments than there may be", [`4511-["echo"]`]],
  ["a placeholder beyond the attachments", [`451-["echo",${placeholder(1)}]`, bytes]],
  ["a placeholder below the attachments", [`451-["echo",${placeholder(-1)}]`, bytes]],
  ["a placeholder that is no number", ['451-["echo",{"_placeholder":true,"num":"0"}]', bytes]],
  ["binary that nobody announced", [bytes]],
  ["text where an attachment was announced", [`451-["echo",${placeholder(0)}]`, '42["echo"]']],
];

const VIOLATIONS = [
  ["a second connection to the same namespace", ["40"]],
  ["an event for a namespace that was not joined", ['42/custom,["echo"]']],
  ["an event for a namespace that does not exist", ['42/nowhere,["echo"]']],
  ["an acknowledgement for a namespace that was not joined", ["43/custom,0[]"]],
  ["a disconnection from a namespace that was not joined", ["41/custom,"]],
  ["a refusal by the client", ['44{"message":"no"}']],
];

/** A connection that has connected to `/` and disconnected again. The server has processed the disconnect. */
async function left(server) {
  const watcher = await server.connect("websocket");
  const raw = await joinNamespace(server.url);
  const reason = reasonFor(watcher, raw.socketId);
  raw.send("41");
  assert.equal(await reason, "client namespace disconnect");
  return raw;
}

describe("the connection ends", () => {
  const server = serverForTests(startConformanceServer);

  const assertEnds = async (messages, expected) => {
    const watcher = await server.connect("websocket");
    const raw = await joinNamespace(server.url);
    const reason = reasonFor(watcher, raw.socketId);
    for (const message of messages) raw.send(message);
    assert.equal((await raw.ended()).code, 1005);
    assert.match(await reason, expected);
  };

  for (const [what, messages] of UNDECODABLE) {
    it(`as \`forced close\` after ${what}`, () => assertEnds(messages, /^forced close$/));
  }

  for (const [what, messages] of VIOLATIONS) {
    // Node reports a different reason over WebSocket, because the close of a WebSocket is processed first.
    it(`as \`forced server close\` after ${what}`, () => assertEnds(messages, /^forced (server )?close$/));
  }

  it("after an event before any namespace was joined", async () => {
    const raw = await openEngine(server.url);
    raw.send('42["echo"]');
    assert.equal((await raw.ended()).code, 1005);
  });

  it("after an event on a namespace that was left", async () => {
    const raw = await left(server);
    raw.send('42["echo"]');
    assert.equal((await raw.ended()).code, 1005);
  });

  it("for every namespace of it", async () => {
    const watcher = await server.connect("websocket", { namespace: "/custom" });
    const raw = await joinNamespace(server.url);
    raw.send("40/custom,");
    const { sid } = JSON.parse((await raw.receive()).slice("40/custom,".length));
    const reason = reasonFor(watcher, sid);
    raw.send("49");
    assert.equal(await reason, "forced close");
  });
});

describe("the connection stays", () => {
  const server = serverForTests(startConformanceServer);

  /**
   * Sends `messages` from a client connected to `/`. Asserts that it receives exactly `answers` and that the connection
   * still works.
   */
  const assertAnswers = async (messages, answers) => {
    const raw = await joinNamespace(server.url);
    for (const message of messages) raw.send(message);
    for (const answer of answers) assert.deepEqual(await raw.receive(), answer);
    raw.send('42999["echo-ack","last"]');
    assert.equal(await raw.receive(), '43999["last"]');
    raw.end();
  };

  for (const [what, messages, answers] of [
    ["after an acknowledgement that nobody waits for", ["4312345[]"], []],
    ["after an event that nobody handles", ['42["nobody"]'], []],
    ["after an event whose name is a number", ["42[5]"], []],
    ["after an event named connection", ['42["connection"]'], []],
    ["after an event with the largest id that JavaScript holds", ['429007199254740991["echo-ack"]'], ["439007199254740991[]"]],
    ["after an event with ten attachments", [`4510-["echo",${placeholder(9)}]`, ...Array(10).fill(bytes)], ['451-["echo-back",{"_placeholder":true,"num":0}]', bytes]],
    ["after a namespace that does not exist", ["40/nowhere,"], ['44/nowhere,{"message":"Invalid namespace"}']],
    ["after a namespace that does not exist, without the comma", ["40/nowhere"], ['44/nowhere,{"message":"Invalid namespace"}']],
    ["after a namespace with a query, which is another namespace", ["40/custom?a=b,"], ['44/custom?a=b,{"message":"Invalid namespace"}']],
    ["after a refusal by middleware", ['40/admin,{"token":"wrong"}'], ['44/admin,{"message":"not authorized","data":{"code":401}}']],
    ["with white space in its JSON", ['420[ "echo-ack" , 1 ]'], ["430[1]"]],
    ["with escapes in its event name", ['420["echo-\\u0061ck","🎉"]'], ['430["🎉"]']],
  ]) {
    it(what, () => assertAnswers(messages, answers));
  }

  it("after the main namespace was left, and may join it again", async () => {
    const raw = await left(server);
    raw.send("40");
    const { sid } = JSON.parse((await raw.receive()).slice(2));
    assert.match(sid, /^[\w-]{20}$/);
    assert.notEqual(sid, raw.socketId);
    raw.end();
  });

  it("with several namespaces joined, each with an id of its own", async () => {
    const raw = await joinNamespace(server.url);
    raw.send('40/custom,{"any":"credentials"}');
    const answer = await raw.receive();
    assert.match(answer, /^40\/custom,\{"sid":"[\w-]{20}"\}$/);
    assert.ok(!answer.includes(raw.socketId));
    raw.send('42/custom,7["echo-ack",1]');
    assert.equal(await raw.receive(), "43/custom,7[1]");
    raw.send("41/custom,");
    raw.send('420["echo-ack"]');
    assert.equal(await raw.receive(), "430[]");
    raw.end();
  });

  it("after the server disconnected a namespace, and says so on the wire", async () => {
    const raw = await joinNamespace(server.url);
    raw.send("40/custom,");
    await raw.receive();
    raw.send('42/custom,["kick"]');
    assert.equal(await raw.receive(), "41/custom,");
    raw.send('42["kick"]');
    assert.equal(await raw.receive(), "41");
    raw.end();
  });

  it("until the server has said goodbye to each namespace, when it ends the whole", async () => {
    const raw = await joinNamespace(server.url);
    raw.send("40/custom,");
    await raw.receive();
    raw.send('42["kick-all"]');
    assert.deepEqual([await raw.receive(), await raw.receive()].sort(), ["41", "41/custom,"]);
    assert.equal((await raw.ended()).code, 1005);
  });
});
