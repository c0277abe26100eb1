// The upgrade from long-polling to WebSocket, packet by packet, and the effects of a failed upgrade.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PollingSession, engineUrl, request } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";
import { Conversation, fateOfUpgrade } from "../support/websocket.js";

describe("the upgrade of the official client", () => {
  const server = serverForTests(startConformanceServer);

  it("happens by itself and keeps the session and the socket", async () => {
    const socket = server.client("polling, then upgraded");
    const opened = next(socket.io, "open");
    const connected = next(socket, "connect");
    socket.connect();
    await opened;
    const { engine } = socket.io;
    const session = engine.id;
    assert.equal(engine.transport.name, "polling");
    const [transport] = await next(engine, "upgrade");
    await connected;
    assert.equal(transport.name, "websocket");
    assert.equal(engine.id, session);
    assert.deepEqual(await acknowledged(socket, "rooms"), [[socket.id]]);
  });
});

describe("the upgrade by hand", () => {
  const server = serverForTests(startConformanceServer);

  const candidate = (session) =>
    Conversation.open(engineUrl(server.webSocketUrl, { transport: "websocket", sid: session.sid }).href);

  const upgraded = async () => {
    const session = await PollingSession.join(server.url);
    const webSocket = await candidate(session);
    webSocket.send("2probe");
    assert.equal(await webSocket.receive(), "3probe");
    webSocket.send("5");
    return { session, webSocket };
  };

  it("is offered in the handshake", async () => {
    const session = await PollingSession.open(server.url);
    assert.deepEqual(session.handshake.upgrades, ["websocket"]);
  });

  it("releases the pending request with a noop and goes on over the WebSocket", async () => {
    const session = await PollingSession.join(server.url);
    const pending = session.packets();
    const webSocket = await candidate(session);
    webSocket.send("2probe");
    assert.equal(await webSocket.receive(), "3probe");
    assert.deepEqual(await pending, ["6"]);
    webSocket.send("5");
    webSocket.send('420["echo-ack","upgraded"]');
    assert.equal(await webSocket.receive(), '430["upgraded"]');
    webSocket.end();
  });

  it("leaves polling at work in both directions until it is done", async () => {
    const session = await PollingSession.join(server.url);
    const webSocket = await candidate(session);
    webSocket.send("2probe");
    await webSocket.receive();
    assert.equal((await session.post('420["echo-ack","meanwhile"]')).body, "ok");
    let packets = await session.packets();
    while (packets.every((packet) => packet === "6")) packets = await session.packets();
    assert.deepEqual(packets.filter((packet) => packet !== "6"), ['430["meanwhile"]']);
    webSocket.send("5");
    webSocket.send('421["echo-ack","afterwards"]');
    assert.equal(await webSocket.receive(), '431["afterwards"]');
    webSocket.end();
  });

  it("brings along what was waiting for the next poll", async () => {
    const session = await PollingSession.join(server.url);
    const webSocket = await candidate(session);
    webSocket.send("2probe");
    await webSocket.receive();
    await session.post('42["echo",1]\u001e42["echo",2]');
    webSocket.send("5");
    assert.equal(await webSocket.receive(), '42["echo-back",1]');
    assert.equal(await webSocket.receive(), '42["echo-back",2]');
    webSocket.end();
  });

  it("ends polling for the session", async () => {
    const { session, webSocket } = await upgraded();
    webSocket.send('420["echo-ack"]');
    await webSocket.receive();
    for (const answer of [await session.get(), await session.post("3")]) {
      assert.equal(answer.status, 400);
      assert.equal(answer.body, '{"code":3,"message":"Bad request"}');
    }
    webSocket.send('421["echo-ack","unharmed"]');
    assert.equal(await webSocket.receive(), '431["unharmed"]');
    webSocket.end();
  });

  it("is not repeated: a second WebSocket for the session gets nowhere", async () => {
    const { session, webSocket } = await upgraded();
    webSocket.send('420["echo-ack"]');
    await webSocket.receive();
    const second = engineUrl(server.webSocketUrl, { transport: "websocket", sid: session.sid }).href;
    assert.match(await fateOfUpgrade(second), /^(closed|refused 400)$/);
    webSocket.send('421["echo-ack","unharmed"]');
    assert.equal(await webSocket.receive(), '431["unharmed"]');
    webSocket.end();
  });

  for (const [what, packet] of [
    ["a message instead of the probe", '42["echo"]'],
    ["a ping that is no probe", "2"],
    ["an empty message", "4"],
  ]) {
    it(`fails alone: ${what}`, async () => {
      const session = await PollingSession.join(server.url);
      const webSocket = await candidate(session);
      webSocket.send(packet);
      await webSocket.ended();
      await session.post('420["echo-ack","unharmed"]');
      assert.deepEqual(await session.packets(), ['430["unharmed"]']);
    });
  }

  it("needs no probe, and releases the pending request with a close packet", async () => {
    // The GET is sent first but may arrive after the upgrade. Then it is refused, and the test tries again.
    for (let attempt = 0; attempt < 20; attempt++) {
      const session = await PollingSession.join(server.url);
      const pending = session.get();
      const webSocket = await candidate(session);
      webSocket.send("5");
      webSocket.send('420["echo-ack","upgraded"]');
      assert.equal(await webSocket.receive(), '430["upgraded"]');
      webSocket.end();
      const { status, body } = await pending;
      if (status === 200) return assert.equal(body, "1");
    }
    assert.fail("the GET was never the first to arrive");
  });

  it("fails alone when the WebSocket breaks after the probe, and may be tried again", async () => {
    const session = await PollingSession.join(server.url);
    const broken = await candidate(session);
    broken.send("2probe");
    assert.equal(await broken.receive(), "3probe");
    broken.socket.close();
    await broken.ended();
    await session.post('420["echo-ack","unharmed"]');
    let packets = await session.packets();
    while (packets.every((packet) => packet === "6")) packets = await session.packets();
    assert.deepEqual(packets.filter((packet) => packet !== "6"), ['430["unharmed"]']);

    const again = await candidate(session);
    again.send("2probe");
    assert.equal(await again.receive(), "3probe");
    again.send("5");
    again.send('421["echo-ack","second attempt"]');
    assert.equal(await again.receive(), '431["second attempt"]');
    again.end();
  });

  it("needs a session that exists", async () => {
    const url = engineUrl(server.webSocketUrl, { transport: "websocket", sid: "A".repeat(20) }).href;
    assert.equal(await fateOfUpgrade(url), "refused 400");
  });

  it("is ended together with a session that the client closes meanwhile", async () => {
    const session = await PollingSession.join(server.url);
    const webSocket = await candidate(session);
    webSocket.send("2probe");
    await webSocket.receive();
    await session.post("1");
    await webSocket.ended();
    assert.equal((await request(session.url)).body, '{"code":1,"message":"Session ID unknown"}');
  });
});
