// Events and their arguments, in both directions.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { ours, overEachTransport, serverForTests } from "../support/suite.js";
import { collect, next } from "../support/wait.js";

const ARGUMENTS = [
  ["no argument", []],
  ["one string", ["hello"]],
  ["null", [null]],
  ["numbers", [0, -1, 1.5, 1e21, 9007199254740991, -2.5e-7]],
  ["booleans", [true, false]],
  ["an array, as one argument", [[1, [2, [3]]]]],
  ["an empty array and an empty object", [[], {}]],
  ["nested objects", [{ a: { b: [{ c: null }] }, "key with \" and €": "🎉" }]],
  ["twelve arguments of all kinds", [1, "two", [3], { four: 4 }, null, true, "", 8.5, [], {}, "é", "👩‍👩‍👧"]],
  ["text that looks like the protocol", ["42[\"x\"]", "451-", "\u001e", "0/admin,", { _placeholder: false, num: 0 }]],
];

overEachTransport("an event", (transport) => {
  const server = serverForTests(startConformanceServer);

  for (const [what, values] of ARGUMENTS) {
    it(`carries ${what}`, async () => {
      const socket = await server.connect(transport);
      const answer = next(socket, "echo-back");
      socket.emit("echo", ...values);
      assert.deepEqual(await answer, values);
    });
  }

  it("carries text that is not valid Unicode, at most with a replacement character for each half pair", async () => {
    const socket = await server.connect(transport);
    const cut = "hello 🎉".slice(0, -1);
    const answer = next(socket, "echo-back");
    socket.emit("echo", cut, { ["key " + cut]: [cut + cut] }, "whole 🎉");
    const [first, second, third] = await answer;
    const [[key, [value]]] = Object.entries(second);
    const received = [first, key, value].map((text) => text.toWellFormed());
    assert.deepEqual(received, ["hello \ufffd", "key hello \ufffd", "hello \ufffdhello \ufffd"]);
    assert.equal(third, "whole 🎉");
  });

  it("carries 200 KB in many small values", async () => {
    const socket = await server.connect(transport);
    const values = Array.from({ length: 5_000 }, (_, index) => ({ index, text: `value number ${index} €` }));
    const answer = next(socket, "echo-back");
    socket.emit("echo", values);
    assert.deepEqual(await answer, [values]);
  });

  it("is one of five hundred that come back in order", async () => {
    const socket = await server.connect(transport);
    const answers = collect(socket, "echo-back", 500);
    for (let number = 0; number < 500; number++) socket.emit("echo", number);
    assert.deepEqual(await answers, Array.from({ length: 500 }, (_, number) => [number]));
  });

  it("that nobody handles harms nothing", async () => {
    const socket = await server.connect(transport);
    const answer = next(socket, "echo-back");
    socket.emit("nobody handles this", 1);
    socket.emit("error", "an event like any other");
    socket.emit("connection");
    socket.emit("echo", "still here");
    assert.deepEqual(await answer, ["still here"]);
  });

  ours("is handled when the one before it has been, five thousand times, even when handlers wait", async () => {
    const socket = await server.connect(transport);
    const answers = collect(socket, "numbered-back", 5_000);
    for (let number = 0; number < 5_000; number++) socket.emit("numbered", number);
    assert.deepEqual(await answers, Array.from({ length: 5_000 }, (_, number) => [number]));
  });
});
