// What the recovery of Node's server does wrong. Each test is named after what ours does instead.
import assert from "node:assert/strict";
import messagePackParser from "socket.io-msgpack-parser";
import { recoveryForTests } from "../support/recovery.js";
import { acknowledged, describeOurs, ours, TRANSPORTS } from "../support/suite.js";
import { next, nextWhere, record } from "../support/wait.js";

const upTo = (last) => Array.from({ length: last }, (_, index) => index + 1);

describeOurs("recovery while a middleware runs", () => {
  const server = recoveryForTests({ args: ["--skip-middlewares", "no"] });

  ours("loses no event that is sent before, while and after it runs", async () => {
    const program = await server.program();
    const auth = {};
    const client = await server.connect("websocket", { auth });
    await program.tell("received");
    await client.hasBeenTold("received");
    auth.wait = true;
    const waiting = next(program.socket, "waiting");
    const tell = (numbers) => Promise.all(numbers.map((number) => program.tell(number)));
    const back = client.loseConnection(program, () => tell(upTo(20)));
    await waiting;
    await tell(upTo(40).slice(20));
    program.socket.emit("release");
    await tell(upTo(60).slice(40));
    assert.equal(await back, true);
    await client.hasBeenTold(60);
    assert.deepEqual(client.told, ["received", ...upTo(60)]);
  });

  ours("sends nothing to a client that the middleware refuses, and keeps its session", async () => {
    const program = await server.program();
    const auth = {};
    const client = await server.connect("websocket", { auth });
    const { id } = client.socket;
    await program.tell("received");
    await client.hasBeenTold("received");
    const packets = record(client.socket.io, "packet");
    const noticed = program.gone(id);
    client.relay.close();
    await noticed;
    await program.tell("secret", { rooms: [id] });
    packets.length = 0;
    auth.banned = true;
    const refused = nextWhere(client.socket, "connect_error", (error) => error.message === "banned");
    client.relay.open();
    await refused;
    assert.deepEqual(packets, [[{ type: 4, nsp: "/recovery", data: { message: "banned" } }]]);
    assert.deepEqual(client.told, ["received"]);

    auth.banned = false;
    const connected = next(client.socket, "connect");
    client.socket.connect();
    await connected;
    assert.deepEqual([client.socket.recovered, client.socket.id], [true, id]);
    await client.hasBeenTold("secret");
  });
});

for (const [format, parser] of [
  ["JSON", undefined],
  ["MessagePack", messagePackParser],
]) {
  for (const transport of TRANSPORTS) {
    describeOurs(`recovery over ${transport} with ${format}`, () => {
      const server = recoveryForTests({ parser });

      ours("works before the first event", async () => {
        const program = await server.program();
        await program.tell("older");
        const client = await server.connect(transport);
        const { id } = client.socket;
        assert.equal(await client.loseConnection(program, () => program.tell("missed")), true);
        await client.hasBeenTold("missed");
        assert.deepEqual([client.socket.id, client.told], [id, ["missed"]]);
      });

      for (const orderly of [false, true]) {
        const how = orderly ? "ended" : "reset";
        ours(`works when the client is back before the server has noticed that the connection was ${how}`, async () => {
          const program = await server.program();
          const client = await server.connect(transport);
          const { id } = client.socket;
          await program.move(id, { join: "room" });
          await program.tell("received");
          await client.hasBeenTold("received");
          const noticed = program.gone(id);
          await client.settles(); // otherwise there may be nothing to cut
          client.relay.hold();
          await program.tell("missed", { rooms: ["room"] });
          assert.equal(await client.loseConnectionUnnoticed({ orderly }), true);
          const [{ reason }] = await noticed;
          assert.deepEqual([client.socket.id, reason], [id, "transport close"]);
          await program.tell("live", { rooms: ["room"] });
          await client.hasBeenTold("live");
          assert.deepEqual(client.told, ["received", "missed", "live"]);
          assert.deepEqual(await acknowledged(client.socket, "recovered"), [true]);
        });
      }

      ours("delivers no event from before the client joined the room", async () => {
        const program = await server.program();
        const client = await server.connect(transport);
        const { id } = client.socket;
        await program.tell("received");
        await client.hasBeenTold("received");
        await client.settles(); // otherwise there may be nothing to cut
        client.relay.hold();
        await program.tell("before", { rooms: ["room"] });
        await program.move(id, { join: "room" });
        await program.tell("after", { rooms: ["room"] });
        assert.equal(await client.loseConnectionUnnoticed(), true);
        await client.hasBeenTold("after");
        assert.deepEqual(client.told, ["received", "after"]);
      });

      ours("delivers the events from before the client left the room", async () => {
        const program = await server.program();
        const client = await server.connect(transport);
        const { id } = client.socket;
        await program.move(id, { join: "room" });
        await program.tell("received");
        await client.hasBeenTold("received");
        await client.settles(); // otherwise there may be nothing to cut
        client.relay.hold();
        await program.tell("before", { rooms: ["room"] });
        await program.move(id, { leave: "room" });
        await program.tell("after", { rooms: ["room"] });
        assert.equal(await client.loseConnectionUnnoticed(), true);
        await program.tell("live");
        await client.hasBeenTold("live");
        assert.deepEqual(client.told, ["received", "before", "live"]);
      });

      ours("repeats no event if the connection breaks again while the missed events arrive", async () => {
        const program = await server.program();
        const client = await server.connect(transport);
        await program.tell("received");
        await client.hasBeenTold("received");
        // They fit in the share that one socket has of the log, also with MessagePack, whose packets take more memory there.
        const filling = "x".repeat(20_000);
        const missed = upTo(20).map((number) => number + filling);
        const back = client.loseConnection(program, async (id) => {
          for (const event of missed) await program.tell(event, { rooms: [id] });
          const { io } = client.socket;
          io.on("packet", function cut({ type, data }) {
            if (type !== 2 || data[0] !== "told") return;
            io.off("packet", cut);
            client.relay.cut();
          });
        });
        assert.equal(await back, true);
        await program.tell("live");
        await client.hasBeenTold("live");
        assert.deepEqual(client.told, ["received", ...missed, "live"]);
      });

      ours("works after a volatile event that ends with text", async () => {
        const program = await server.program();
        const client = await server.connect(transport);
        await program.tell("received");
        await client.hasBeenTold("received");
        // The server drops them while the client has no GET.
        const texts = record(client.socket, "volatile");
        while (texts.length === 0) {
          client.socket.emit("volatile", "a text");
          await acknowledged(client.socket, "recovered");
        }
        while (!client.told.includes("to all")) {
          await program.tell("to all", { kind: "volatile" });
          await acknowledged(client.socket, "recovered");
        }
        assert.equal(texts[0][0], "a text");
        assert.equal(await client.loseConnection(program, () => program.tell("missed")), true);
        await client.hasBeenTold("missed");
        assert.deepEqual(client.told, ["received", "to all", "missed"]);
      });

      ours("replays nothing older than the session, if the client has the offset of an earlier one", async () => {
        const program = await server.program();
        const client = await server.connect(transport);
        await program.tell("received");
        await client.hasBeenTold("received");
        const kicked = next(client.socket, "disconnect");
        client.socket.emit("kick");
        await kicked;
        await program.tell("older");
        const connected = next(client.socket, "connect");
        client.socket.connect();
        await connected;
        assert.equal(client.socket.recovered, false);
        assert.equal(await client.loseConnection(program, () => program.tell("missed")), true);
        await client.hasBeenTold("missed");
        assert.deepEqual(client.told, ["received", "missed"]);
      });
    });
  }
}
