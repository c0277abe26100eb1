// HTTP/2: requests, WebSockets (RFC 8441) and Socket.IO on one connection, tested with Node's own client.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe } from "node:test";
import { inFiles, makeCertificate } from "../support/certificate.js";
import { Http2Connection, textOf } from "../support/http2.js";
import { startApplication } from "../support/server.js";
import { ours } from "../support/suite.js";
import { next } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

const localhost = makeCertificate("localhost");

for (const [name, encrypted] of [
  ["HTTP/2 over TLS", true],
  ["HTTP/2 in the clear, by prior knowledge", false],
]) {
  describe(name, { skip: process.env.TIDEWIRE_REFERENCE === "1" && "Tidewire only" }, () => {
    let server;
    before(async () => (server = await startApplication(encrypted ? { args: inFiles(localhost).args } : {})));
    after(() => server?.stop());

    const options = encrypted ? { ca: localhost.certificate } : {};
    const url = () => server.url.replace("127.0.0.1", "localhost");

    /** Runs `test` with a new connection. */
    async function connected(test) {
      const connection = await Http2Connection.open(url(), options);
      try {
        await test(connection);
      } finally {
        connection.destroy();
      }
    }

    ours("serves the page, and says that it takes WebSockets", () =>
      connected(async (connection) => {
        assert.equal(connection.mayConnect, true);
        if (encrypted) assert.equal(connection.session.alpnProtocol, "h2");
        const { status, body } = await connection.request("/");
        assert.equal(status, 200);
        assert.match(body, /<!doctype html>/i);
      }));

    ours("echoes text and bytes of every length, answers pings and closes", () =>
      connected(async (connection) => {
        const conversation = await connection.openWebSocket("/ws");
        for (const message of ["", "hällo", "x".repeat(125), "x".repeat(126), "x".repeat(65_536), "x".repeat(3_000_000)]) {
          conversation.send(message);
          assert.equal(await conversation.receive(), message);
        }
        const bytes = Buffer.from([0, 128, 255]);
        conversation.send(bytes);
        assert.deepEqual(await conversation.receive(), bytes);
        const pong = next(conversation.socket, "pong");
        conversation.socket.ping("there?");
        assert.equal(String((await pong)[0]), "there?");
        conversation.socket.close(3001, "low tide");
        assert.deepEqual(await conversation.ended(), { code: 3001, reason: "" });
        // The close ends the stream, not the connection.
        assert.equal(conversation.stream.rstCode, 0);
        assert.equal((await connection.request("/")).status, 200);
      }));

    ours("carries many WebSockets at once, and the end of one is nothing to the others", () =>
      connected(async (connection) => {
        const conversations = await Promise.all(Array.from({ length: 30 }, () => connection.openWebSocket("/ws")));
        const [first, second, ...others] = conversations;
        first.stream.close(8); // RST_STREAM, CANCEL
        second.stream.destroy();
        await Promise.all([first.ended(), second.ended()]);
        const answers = others.map(async (conversation, number) => {
          conversation.send(`number ${number}`);
          return conversation.receive();
        });
        assert.deepEqual(await Promise.all(answers), others.map((_, number) => `number ${number}`));
      }));

    ours("refuses what is no handshake, without the headers that HTTP/2 forbids", () =>
      connected(async (connection) => {
        const survivor = await connection.openWebSocket("/ws");
        for (const [headers, expected] of [
          [{ "sec-websocket-version": "8" }, 400],
          [{ "sec-websocket-protocol": "a, a" }, 400],
          [{ ":protocol": "webtransport" }, 501],
          [{ ":path": "/nowhere" }, 404],
        ]) {
          const { status, headers: answer, stream } = await connection.connect("/ws", headers);
          await textOf(stream);
          assert.equal(status, expected, JSON.stringify(headers));
          assert.equal(answer.connection, undefined);
          assert.equal(answer.upgrade, undefined);
        }
        assert.equal((await connection.request("/ws")).status, 400);
        survivor.send("still there");
        assert.equal(await survivor.receive(), "still there");
      }));

    ours("carries Socket.IO: polling, the upgrade, events", () =>
      connected(async (connection) => {
        const path = (transport, sid) => `/socket.io/?EIO=4&transport=${transport}${sid ? `&sid=${sid}` : ""}`;
        const { sid, upgrades } = JSON.parse((await connection.request(path("polling"))).body.slice(1));
        assert.deepEqual(upgrades, ["websocket"]);
        const poll = async () => (await connection.request(path("polling", sid))).body;
        const post = (body) => connection.request(path("polling", sid), { method: "POST", body });
        assert.equal((await post("40")).body, "ok");
        assert.match(await poll(), /^40\{"sid":"/);
        await post('42["message","by polling"]');
        assert.equal(await poll(), '42["message","Echo: by polling"]');

        const socket = await connection.openWebSocket(path("websocket", sid));
        const waiting = poll();
        socket.send("2probe");
        assert.equal(await socket.receive(), "3probe");
        assert.equal(await waiting, "6");
        socket.send("5");
        socket.send('42["message","by WebSocket"]');
        assert.equal(await socket.receive(), '42["message","Echo: by WebSocket"]');

        const direct = await connection.openWebSocket(path("websocket"));
        assert.match(await direct.receive(), /^0\{"sid":"/);
        direct.send("40");
        assert.match(await direct.receive(), /^40\{"sid":"/);
      }));

    ours("lets a client of HTTP/1.1 use the same port", async () => {
      const conversation = await Conversation.open(`${url().replace("http", "ws")}/ws`, options);
      conversation.send("hello");
      assert.equal(await conversation.receive(), "hello");
      conversation.end();
    });
  });
}

describe("HTTP/2, when the server stops", () => {
  ours("tells its WebSockets, and then the connection", async () => {
    const server = await startApplication();
    const connection = await Http2Connection.open(server.url);
    const goaway = once(connection.session, "goaway");
    const conversations = [await connection.openWebSocket("/ws"), await connection.openWebSocket("/ws")];
    const ended = Promise.all(conversations.map((conversation) => conversation.ended()));
    await server.stop();
    assert.deepEqual(
      (await ended).map(({ code }) => code),
      [1001, 1001],
    );
    assert.equal((await goaway)[0], 0);
  });
});
