// Acknowledgements in both directions.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, overEachTransportAndParser, serverForTests } from "../support/suite.js";
import { next, record } from "../support/wait.js";

overEachTransportAndParser("an acknowledgement", (transport, parser) => {
  const server = serverForTests(startConformanceServer, { parser });

  it("carries no value, one, or several", async () => {
    const socket = await server.connect(transport);
    for (const values of [[], [null], ["one"], [1, "two", { three: [3] }], [[1, 2, 3]]]) {
      assert.deepEqual(await acknowledged(socket, "echo-ack", ...values), values);
    }
  });

  it("finds its own event among a hundred", async () => {
    const socket = await server.connect(transport);
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    const answers = await Promise.all(numbers.map((number) => socket.emitWithAck("echo-ack", number)));
    assert.deepEqual(answers, numbers);
  });

  it("is counted per namespace", async () => {
    const socket = await server.connect(transport);
    const custom = await server.share(socket, "/custom");
    const answers = [socket, custom, socket, custom].map((one, index) => one.emitWithAck("echo-ack", index));
    assert.deepEqual(await Promise.all(answers), [0, 1, 2, 3]);
  });

  it("may be asked of the client by the server", async () => {
    const socket = await server.connect(transport);
    socket.on("question", (question, acknowledge) => acknowledge(`${question} is 42`));
    const answer = next(socket, "answered");
    socket.emit("ask-me", "the answer");
    assert.deepEqual(await answer, ["the answer is 42"]);
  });

  it("may be binary when the server asks", async () => {
    const socket = await server.connect(transport);
    socket.on("question", (question, acknowledge) => acknowledge({ question, bytes: Buffer.from([1, 2, 3]) }));
    const answer = next(socket, "answered");
    socket.emit("ask-me", Buffer.from([9, 8]));
    assert.deepEqual(await answer, [{ question: Buffer.from([9, 8]), bytes: Buffer.from([1, 2, 3]) }]);
  });

  it("that never comes ends the server's wait", async () => {
    const socket = await server.connect(transport);
    const asked = next(socket, "question");
    const answer = next(socket, "answered");
    socket.emit("ask-me", "silence");
    assert.equal((await asked)[0], "silence");
    assert.deepEqual(await answer, ["timeout"]);
  });

  it("that comes too late is ignored", async () => {
    const socket = await server.connect(transport);
    let answerLate;
    socket.on("question", (_question, acknowledge) => (answerLate = acknowledge));
    const answers = record(socket, "answered");
    const first = next(socket, "answered");
    socket.emit("ask-me", "late");
    await first;
    answerLate("much too late");
    await acknowledged(socket, "echo-ack", "marker");
    assert.deepEqual(answers, [["timeout"]]);
  });

  it("is awaited from each of two clients separately", async () => {
    const sockets = [await server.connect(transport), await server.connect(transport)];
    const answers = sockets.map((socket, index) => {
      socket.on("question", (_question, acknowledge) => acknowledge(index));
      return next(socket, "answered");
    });
    for (const socket of sockets) socket.emit("ask-me", "who are you?");
    assert.deepEqual(await Promise.all(answers), [[0], [1]]);
  });
});
