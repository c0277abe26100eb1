// The built-in application of the binary, tested with the official client.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startApplication } from "../support/server.js";
import { heldUpgrade } from "../support/slow-network.js";
import { acknowledged, ours, overEachTransport, serverForTests } from "../support/suite.js";
import { next, record } from "../support/wait.js";

overEachTransport("the application", (transport) => {
  const server = serverForTests(startApplication);

  /** Waits for an echo. After it, everything sent to `socket` earlier has arrived. */
  const roundTrip = async (socket) => {
    const echoed = next(socket, "message");
    socket.emit("message", "marker");
    await echoed;
  };

  it("echoes a message to its sender", async () => {
    const socket = await server.connect(transport);
    const answer = next(socket, "message");
    socket.emit("message", "hello");
    assert.deepEqual(await answer, ["Echo: hello"]);
  });

  it("echoes to nobody else", async () => {
    const [sender, other] = [await server.connect(transport), await server.connect(transport)];
    const overheard = record(other, "message");
    await roundTrip(sender);
    await acknowledged(other, "leave-room", "none");
    assert.deepEqual(overheard, []);
  });

  it("tells a room who joined it, the joiner included", async () => {
    const [first, second] = [await server.connect(transport), await server.connect(transport)];
    const alone = next(first, "notification");
    first.emit("join-room", "general");
    assert.deepEqual(await alone, [`${first.id} joined general`]);

    const both = Promise.all([next(first, "notification"), next(second, "notification")]);
    second.emit("join-room", "general");
    const text = `${second.id} joined general`;
    assert.deepEqual(await both, [[text], [text]]);
  });

  it("tells nobody outside the room", async () => {
    const [member, outsider] = [await server.connect(transport), await server.connect(transport)];
    const overheard = record(outsider, "notification");
    await acknowledged(member, "join-room", "closed");
    await roundTrip(outsider);
    assert.deepEqual(overheard, []);
  });

  it("passes a message for a room to everyone in it but the sender", async () => {
    const [sender, first, second] = await Promise.all([1, 2, 3].map(() => server.connect(transport)));
    for (const socket of [sender, first, second]) await acknowledged(socket, "join-room", "talk");
    const overheard = record(sender, "receive-message");
    const received = Promise.all([next(first, "receive-message"), next(second, "receive-message")]);
    sender.emit("message", { room: "talk", message: "good morning" });
    assert.deepEqual(await received, [["good morning"], ["good morning"]]);
    await roundTrip(sender);
    assert.deepEqual(overheard, []);
  });

  it("passes a message for a room on even when the sender is not in it", async () => {
    const [sender, member] = [await server.connect(transport), await server.connect(transport)];
    await acknowledged(member, "join-room", "open");
    const received = next(member, "receive-message");
    sender.emit("message", { room: "open", message: "from outside" });
    assert.deepEqual(await received, ["from outside"]);
  });

  const BINARY = [
    ["bytes", Buffer.from("picture")],
    ["no bytes", Buffer.alloc(0)],
    ["nested bytes, and members in their order", { z: [Buffer.from("z")], a: { b: Buffer.from("b"), c: null }, m: 1.5 }],
    ["ten attachments", Array.from({ length: 10 }, (_, index) => Buffer.from([index]))],
  ];
  for (const [what, message] of BINARY) {
    it(`passes on a message for a room as it came: ${what}`, async () => {
      const [sender, member] = [await server.connect(transport), await server.connect(transport)];
      await acknowledged(member, "join-room", "pictures");
      const received = next(member, "receive-message");
      sender.emit("message", { room: "pictures", message });
      const [arrived] = await received;
      assert.deepEqual(arrived, message);
      assert.deepEqual(Object.keys(arrived), Object.keys(message));
    });
  }

  it("sends nothing more to a socket that has left the room", async () => {
    const [sender, leaver] = [await server.connect(transport), await server.connect(transport)];
    await acknowledged(leaver, "join-room", "talk");
    await acknowledged(leaver, "leave-room", "talk");
    const overheard = record(leaver, "receive-message");
    await acknowledged(sender, "message", { room: "talk", message: "too late" });
    await roundTrip(leaver);
    assert.deepEqual(overheard, []);
  });

  it("acknowledges every event, with no values", async () => {
    const socket = await server.connect(transport);
    const events = [
      ["join-room", "general"],
      ["message", "hello"],
      ["message", { room: "general", message: "hello" }],
      ["leave-room", "general"],
    ];
    for (const event of events) assert.deepEqual(await acknowledged(socket, ...event), []);
  });

  it("keeps text as it is, whatever the script", async () => {
    const socket = await server.connect(transport);
    for (const text of ["", "größer €", "日本語", "👩‍👩‍👧 emoji 🎉", 'quotes " and \\ and \u0000\n\u2028', "\u{10ffff}"]) {
      const answer = next(socket, "message");
      socket.emit("message", text);
      assert.deepEqual(await answer, [`Echo: ${text}`]);
    }
  });

  // A Rust text has no half characters. Node keeps them.
  ours("replaces half of a character in the name of a room by U+FFFD", async () => {
    const [member, sender] = [await server.connect(transport), await server.connect(transport)];
    const notified = next(member, "notification");
    member.emit("join-room", "cut \ud83d");
    assert.deepEqual(await notified, [`${member.id} joined cut \ufffd`]);
    for (const room of ["cut \ud83d", "cut \ufffd"]) {
      const received = next(member, "receive-message");
      sender.emit("message", { room, message: "found" });
      assert.deepEqual(await received, ["found"]);
    }
  });

  it("echoes 200 KB of text", async () => {
    const socket = await server.connect(transport);
    const text = "tide €".repeat(25_000);
    const answer = next(socket, "message");
    socket.emit("message", text);
    assert.equal((await answer)[0], `Echo: ${text}`);
  });
});

describe("a room with a member that upgrades", () => {
  const server = serverForTests(startApplication);

  it("passes on binary messages in both directions, equal and in order", async () => {
    const upgrade = heldUpgrade();
    const other = await server.connect("websocket");
    const upgrading = server.client("polling", { transports: upgrade.transports });
    const connected = next(upgrading, "connect");
    upgrading.connect();
    await connected;
    const members = [upgrading, other];
    for (const member of members) await acknowledged(member, "join-room", "pictures");
    const seen = members.map((member) => record(member, "receive-message"));

    const picture = (number) => ({ number, content: Buffer.alloc(100 * number, number), list: [Buffer.from([number]), null] });
    let sent = 0;
    const send = () => {
      for (let count = 0; count < 10; count++, sent++) {
        for (const member of members) member.emit("message", { room: "pictures", message: picture(sent) });
      }
    };
    send();
    upgrade.open();
    await upgrade.opened;
    send();
    upgrade.probe();
    await upgrade.paused;
    send();
    upgrade.upgrade();
    send();
    // The answers come after everything that was sent before.
    for (const member of [...members, ...members]) await acknowledged(member, "leave-room", "none");
    const expected = Array.from({ length: sent }, (_, number) => [picture(number)]);
    for (const messages of seen) assert.deepEqual(messages, expected);
    assert.equal(upgrading.io.engine.transport.name, "websocket");
  });
});

describe("a room whose members use different transports", () => {
  const server = serverForTests(startApplication);

  it("reaches all of them", async () => {
    const polling = await server.connect("polling");
    const webSocket = await server.connect("websocket");
    await acknowledged(polling, "join-room", "mixed");
    await acknowledged(webSocket, "join-room", "mixed");
    const toWebSocket = next(webSocket, "receive-message");
    polling.emit("message", { room: "mixed", message: "from polling" });
    assert.deepEqual(await toWebSocket, ["from polling"]);
    const toPolling = next(polling, "receive-message");
    webSocket.emit("message", { room: "mixed", message: "from a WebSocket" });
    assert.deepEqual(await toPolling, ["from a WebSocket"]);
  });
});
