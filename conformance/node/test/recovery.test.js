// Connection state recovery with the official client: what it gets back after its connection was lost, and when not.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import messagePackParser from "socket.io-msgpack-parser";
import { recoveryForTests } from "../support/recovery.js";
import { acknowledged, overEachTransport } from "../support/suite.js";
import { next, nextWhere } from "../support/wait.js";

const bytes = (...values) => Buffer.from(values);
const upTo = (last) => Array.from({ length: last }, (_, index) => index + 1);

for (const [format, parser] of [
  ["JSON", undefined],
  ["MessagePack", messagePackParser],
]) {
  overEachTransport(`a client that has lost its connection, with ${format},`, (transport) => {
    const server = recoveryForTests({ parser });

    it("gets back its id, its rooms, its data, and each event that it has missed, once and in order", async () => {
      const program = await server.program();
      const client = await server.connect(transport);
      const { id } = client.socket;
      assert.equal(Boolean(client.socket.recovered), false);
      assert.deepEqual(await acknowledged(client.socket, "recovered"), [false]);
      const data = { name: "Ada", list: [1, null, { key: "é" }], content: bytes(1, 2, 3) };
      await acknowledged(client.socket, "set data", data);
      await program.move(id, { join: "room" });
      await program.tell("received");
      await client.hasBeenTold("received");

      const recovered = await client.loseConnection(program, async () => {
        await program.tell("to all");
        await program.tell("to the room", { rooms: ["room"] });
        await program.tell("to another room", { rooms: ["other"] });
        await program.tell("private", { rooms: [id] });
        await program.tell("to two rooms of it", { rooms: ["room", id] });
        await program.tell("to all but its room", { except: ["room"] });
        await program.tell("volatile", { kind: "volatile" });
      });
      assert.deepEqual([recovered, client.socket.id], [true, id]);
      await program.tell("live", { rooms: ["room"] });
      await client.hasBeenTold("live");
      assert.deepEqual(client.told, ["received", "to all", "to the room", "private", "to two rooms of it", "live"]);
      assert.deepEqual(await acknowledged(client.socket, "recovered"), [true]);
      const [rooms] = await acknowledged(client.socket, "rooms");
      assert.deepEqual(new Set(rooms), new Set([id, "room"]));
      assert.deepEqual(await acknowledged(client.socket, "data"), [data]);
    });

    it("gets the missed events before those that are sent while it comes back", async () => {
      const program = await server.program();
      const client = await server.connect(transport);
      await program.tell("received");
      await client.hasBeenTold("received");
      let telling;
      await client.loseConnection(program, async () => {
        await Promise.all(upTo(20).map((number) => program.tell(number)));
        telling = (async () => {
          for (const number of upTo(100).slice(20)) await program.tell(number);
        })();
      });
      await telling;
      await client.hasBeenTold(100);
      assert.deepEqual(client.told, ["received", ...upTo(100)]);
    });

    it("gets binary events that it has missed", async () => {
      const program = await server.program();
      const client = await server.connect(transport);
      await program.tell("received");
      await client.hasBeenTold("received");
      const events = [bytes(1, 2, 3), { a: [bytes(4)], b: bytes() }, Buffer.alloc(3_000, 7)];
      const recovered = await client.loseConnection(program, async () => {
        for (const event of events) await program.tell(event);
      });
      await program.tell("live");
      await client.hasBeenTold("live");
      assert.equal(recovered, true);
      assert.deepEqual(client.told, ["received", ...events, "live"]);
    });

    it("recovers again and again, also without a missed event", async () => {
      const program = await server.program();
      const client = await server.connect(transport);
      const { id } = client.socket;
      await program.tell(1);
      await client.hasBeenTold(1);
      assert.equal(await client.loseConnection(program, () => program.tell(2)), true);
      assert.equal(await client.loseConnection(program), true);
      assert.equal(await client.loseConnection(program, () => program.tell(3)), true);
      await program.tell(4);
      await client.hasBeenTold(4);
      assert.deepEqual([client.socket.id, client.told], [id, upTo(4)]);
    });
  });
}

describe("a session", () => {
  const server = recoveryForTests();

  it("ends when the client disconnects", async () => {
    const program = await server.program();
    const client = await server.connect("websocket");
    const { id } = client.socket;
    await program.tell("received");
    await client.hasBeenTold("received");
    const gone = program.gone(id);
    client.socket.disconnect();
    await gone;
    await expectNewSession(program, client, id);
  });

  for (const [what, event] of [
    ["the program disconnects the client", "kick"],
    ["the program closes the connection of the client", "kick-all"],
  ]) {
    it(`ends when ${what}`, async () => {
      const program = await server.program();
      const client = await server.connect("websocket");
      const { id } = client.socket;
      await program.tell("received");
      await client.hasBeenTold("received");
      const ended = next(client.socket, "disconnect");
      client.socket.emit(event);
      assert.deepEqual((await ended)[0], "io server disconnect");
      await expectNewSession(program, client, id);
    });
  }

  /** Connects the client again, and asserts that it has a new session. */
  async function expectNewSession(program, client, formerId) {
    await program.tell("missed");
    await program.tell("private", { rooms: [formerId] });
    const connected = next(client.socket, "connect");
    client.socket.connect();
    await connected;
    await program.tell("live");
    await client.hasBeenTold("live");
    assert.equal(client.socket.recovered, false);
    assert.notEqual(client.socket.id, formerId);
    assert.deepEqual(await acknowledged(client.socket, "recovered"), [false]);
    assert.deepEqual(client.told, ["received", "live"]);
  }

  it("that does not exist is not recovered", async () => {
    for (const auth of [{ pid: "AAAAAAAAAAAAAAAAAAAA", offset: "x" }, { pid: 1, offset: 2 }, { pid: "", offset: "" }]) {
      const client = await server.connect("websocket", { auth });
      assert.equal(Boolean(client.socket.recovered), false);
      assert.deepEqual(await acknowledged(client.socket, "recovered"), [false]);
    }
  });

  it("of each namespace of a connection is recovered", async () => {
    const program = await server.program();
    const client = await server.connect("websocket");
    const other = client.socket.io.socket("/custom");
    await next(other.connect(), "connect");
    const received = next(other, "in-room");
    other.emit("in-room", { room: other.id, data: 1 });
    await Promise.all([received, program.tell(1), client.hasBeenTold(1)]);
    const ids = [client.socket.id, other.id];
    const [back, recovered] = await Promise.all([next(other, "connect"), client.loseConnection(program, () => program.tell(2))]);
    assert.deepEqual(back, []);
    assert.deepEqual([recovered, other.recovered, client.socket.id, other.id], [true, true, ...ids]);
  });
});

describe("a session whose time is over", () => {
  const server = recoveryForTests({ duration: 1 });

  it("is not recovered", async () => {
    const program = await server.program();
    const client = await server.connect("polling");
    const { id } = client.socket;
    await program.tell("received");
    await client.hasBeenTold("received");
    const recovered = await client.loseConnection(program, () => program.tell("missed"));
    assert.equal(recovered, false);
    assert.notEqual(client.socket.id, id);
    await program.tell("live");
    await client.hasBeenTold("live");
    assert.deepEqual(client.told, ["received", "live"]);
  });
});

describe("the middleware of a namespace", () => {
  const skipping = recoveryForTests();
  const running = recoveryForTests({ args: ["--skip-middlewares", "no"] });

  for (const [what, server, expected] of [
    ["does not run when a client recovers", skipping, 0],
    ["runs when a client recovers, if the program wants it", running, 1],
  ]) {
    it(what, async () => {
      const program = await server.program();
      const client = await server.connect("websocket");
      await program.tell("received");
      await client.hasBeenTold("received");
      const before = await program.middlewareRuns();
      assert.equal(await client.loseConnection(program, () => program.tell("missed")), true);
      await client.hasBeenTold("missed");
      assert.equal((await program.middlewareRuns()) - before, expected);
    });
  }

  it("runs when a client is not recovered", async () => {
    const program = await skipping.program();
    const client = await skipping.connect("websocket");
    await program.tell("received");
    await client.hasBeenTold("received");
    client.socket.disconnect();
    const before = await program.middlewareRuns();
    const connected = next(client.socket, "connect");
    client.socket.connect();
    await connected;
    assert.equal((await program.middlewareRuns()) - before, 1);
  });

  it("can refuse a client that wants to recover", async () => {
    const program = await running.program();
    const auth = {};
    const client = await running.connect("websocket", { auth });
    await program.tell("received");
    await client.hasBeenTold("received");
    auth.banned = true;
    const refused = nextWhere(client.socket, "connect_error", (error) => error.message === "banned");
    client.relay.cut();
    await refused;
    assert.equal(client.socket.connected, false);
  });
});
