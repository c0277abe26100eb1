// Engine.IO 3: engine.io-client 3 on each transport, and its wire byte by byte.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { EngineClient, Polling3, engine3Url } from "../support/engine3.js";
import { engineUrl, request } from "../support/http.js";
import { startEngineServer } from "../support/server.js";
import { serverForTests } from "../support/suite.js";
import { Conversation } from "../support/websocket.js";

const OCTETS = "application/octet-stream";

/** Returns the reason for which the server has ended the session `sid`. */
async function reasonOf(server, sid) {
  const watcher = await EngineClient.open(server.url, ["websocket"]);
  const reason = await watcher.ask(`why ${sid}`);
  watcher.close();
  return reason;
}

describe("engine.io-client 3", () => {
  const server = serverForTests(startEngineServer);

  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    for (const forceBase64 of [true, false]) {
      const name = `${transports.join(", then ")}${forceBase64 ? ", with base64" : ""}`;
      it(`exchanges text and bytes over ${name}`, async () => {
        const client = await EngineClient.open(server.url, transports, { forceBase64 });
        for (const text of ["hello", "€ 😀 \n \u2028 \\n", "x".repeat(50_000)]) {
          assert.equal(await client.ask(text), text);
        }
        // The XMLHttpRequest of the client in Node decodes every response as UTF-8, so bytes need base64 there.
        if (forceBase64 || transports.includes("websocket")) {
          const bytes = Buffer.from([0, 1, 127, 128, 254, 255]);
          assert.deepEqual(await client.ask(bytes), bytes);
          client.send("two");
          assert.equal(await client.receive(), "€");
          assert.deepEqual(await client.receive(), Buffer.from([1, 2, 3, 4]));
        }
        client.close();
        assert.equal(await reasonOf(server, client.sid), "transport close");
      });
    }

    it(`is told that the server closes, after the last message, over ${transports.join(", then ")}`, async () => {
      const client = await EngineClient.open(server.url, transports);
      assert.equal(await client.ask("close"), "bye");
      assert.equal(await client.ended(), "transport close");
      assert.equal(await reasonOf(server, client.sid), "forced close");
    });
  }

  it("keeps the order of messages during an upgrade", async () => {
    const client = new EngineClient(server.url, { transports: ["polling", "websocket"] });
    const sent = [];
    const send = () => {
      sent.push(`message ${sent.length}`);
      client.send(sent.at(-1));
    };
    const upgraded = new Promise((resolve) => client.socket.on("upgrade", resolve));
    client.socket.on("open", send);
    client.socket.on("message", () => sent.length < 200 && send());
    await upgraded;
    for (let number = 0; number < 200; number++) assert.equal(await client.receive(), `message ${number}`);
    client.close();
  });
});

describe("the heartbeat of Engine.IO 3", () => {
  const server = serverForTests(startEngineServer, { args: ["--ping-interval", "100", "--ping-timeout", "1500"] });

  for (const transport of ["polling", "websocket"]) {
    it(`is sent by the client, and keeps the session open, over ${transport}`, async () => {
      const client = await EngineClient.open(server.url, [transport]);
      for (let count = 0; count < 8; count++) await new Promise((resolve) => client.socket.once("pong", resolve));
      assert.equal(await client.ask("still here"), "still here");
      client.close();
    });
  }

  it("ends a session without pings, and tells the waiting poll", async () => {
    const session = await Polling3.open(server.url);
    assert.equal((await session.post("1:2")).body, "ok");
    assert.equal((await session.get()).body, "1:3");
    assert.equal((await session.get()).body, "1:1");
    assert.equal(await reasonOf(server, session.sid), "ping timeout");
  });

  it("is not replaced by messages", async () => {
    const raw = await Conversation.open(engine3Url(server.url, { transport: "websocket" }).href.replace("http", "ws"));
    const { sid } = JSON.parse((await raw.receive()).slice(1));
    const chatter = setInterval(() => raw.send("4x"), 20);
    await raw.ended();
    clearInterval(chatter);
    assert.equal(await reasonOf(server, sid), "ping timeout");
  });

  it("goes one way: a pong of the client ends the session", async () => {
    const session = await Polling3.open(server.url);
    assert.equal((await session.post("1:3")).body, "ok");
    assert.equal(await reasonOf(server, session.sid), "transport error");
  });
});

describe("the initial packet of Engine.IO 3", () => {
  const server = serverForTests(startEngineServer, { args: ["--initial-packet", "hé"] });

  it("is in the payload of the open packet", async () => {
    const { opening } = await Polling3.open(server.url);
    assert.match(opening.body, /^118:0\{"sid":"[\w-]{20}",.*\}3:4hé$/);
  });

  it("is the next message of a websocket", async () => {
    const client = await EngineClient.open(server.url, ["websocket"]);
    assert.equal(await client.receive(), "hé");
    client.close();
  });
});

describe("the wire of Engine.IO 3", () => {
  const server = serverForTests(startEngineServer, { args: ["--max-payload", "5000"] });
  const open = (first) => Polling3.open(server.url, first);

  it("has the length of each packet in front of it", async () => {
    const { opening, sid } = await open();
    const packet = `0{"sid":"${sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":5000}`;
    assert.equal(opening.body, `${packet.length}:${packet}`);
    assert.equal(opening.headers["content-type"], "text/plain; charset=UTF-8");
    assert.equal(opening.headers["cache-control"], "no-store");
  });

  it("is what a request without EIO gets, and with any other than 4", async () => {
    for (const EIO of ["", "2", "5", "04"]) {
      const { body } = await request(engine3Url(server.url, { EIO }));
      assert.match(body, /^\d+:0\{/, EIO);
    }
  });

  it("counts UTF-16 in text", async () => {
    const session = await open();
    assert.equal((await session.post("2:4€3:4😀1:4")).body, "ok");
    const { body } = await session.get();
    assert.equal(body, "2:4€3:4😀1:4");
  });

  it("has a binary payload in both directions", async () => {
    const session = await open();
    const payload = Buffer.from("\0\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04", "latin1");
    assert.equal((await session.post(payload, OCTETS)).body, "ok");
    const answer = await session.get();
    assert.deepEqual(answer.bytes, payload);
    assert.equal(answer.headers["content-type"], OCTETS);
    assert.equal(answer.headers["cache-control"], "no-store");
  });

  it("has base64 for all polls of a client that has asked for it once", async () => {
    const session = await open({ b64: "1" });
    for (let count = 0; count < 2; count++) {
      assert.equal((await session.post("4:4two")).body, "ok");
      const answer = await session.get();
      assert.equal(answer.body, "2:4€10:b4AQIDBA==");
      assert.equal(answer.headers["content-type"], "text/plain; charset=UTF-8");
    }
  });

  it("is compressed in both forms", async () => {
    const session = await open();
    const text = `2001:4${"x".repeat(2000)}`;
    const binary = Buffer.concat([Buffer.from([1, 2, 0, 0, 1, 255, 4]), Buffer.alloc(2000, "x")]);
    for (const [payload, type] of [[text, "text/plain"], [binary, OCTETS]]) {
      await session.post(payload, type);
      const answer = await session.get({ "accept-encoding": "gzip" });
      assert.equal(answer.headers["content-encoding"], "gzip");
      assert.deepEqual(gunzipSync(answer.bytes), Buffer.from(payload));
    }
  });

  it("releases a poll that waits when the session closes, upgrades or probes", async () => {
    const { session: closed, response } = await Polling3.closeWhileItPolls(server.url, {}, "1:1");
    assert.equal(response.body, "1:6");
    assert.equal(await reasonOf(server, closed.sid), "transport close");

    const session = await open();
    const probe = session.get();
    const raw = await Conversation.open(session.url({ transport: "websocket" }).href.replace("http", "ws"));
    raw.send("2probe");
    assert.equal(await raw.receive(), "3probe");
    assert.equal((await probe).body, "1:6");
    raw.send("5");
    raw.send("4moved");
    assert.equal(await raw.receive(), "4moved");
    raw.send("4two");
    assert.equal(await raw.receive(), "4€");
    assert.deepEqual(await raw.receive(), Buffer.from([4, 1, 2, 3, 4]));
    raw.send(Buffer.from([4, 9]));
    assert.deepEqual(await raw.receive(), Buffer.from([4, 9]));
    raw.send("2");
    assert.equal(await raw.receive(), "3");
    raw.end();
  });

  it("has what was sent before a close on the websocket of a client that upgrades in the meantime", async () => {
    const session = await open();
    const raw = await Conversation.open(session.url({ transport: "websocket" }).href.replace("http", "ws"));
    raw.send("2probe");
    assert.equal(await raw.receive(), "3probe");
    assert.equal((await session.post("6:4close")).body, "ok");
    raw.send("5");
    assert.equal(await raw.receive(), "4bye");
    assert.equal((await raw.ended()).code, 1005);
    assert.equal(await reasonOf(server, session.sid), "forced close");
  });

  it("has base64 on a websocket that asks for it", async () => {
    const raw = await Conversation.open(engine3Url(server.url, { transport: "websocket", b64: "1" }).href.replace("http", "ws"));
    await raw.receive();
    raw.send("b4AQI=");
    assert.equal(await raw.receive(), "b4AQI=");
    raw.end();
  });

  it("ends a session at an invalid packet, and keeps those before it", async () => {
    for (const payload of ["7:4before1:x", "7:4before", "7:4before9:4after", ""]) {
      const session = await open();
      assert.equal((await session.post(payload)).body, "ok");
      if (payload === "7:4before") assert.equal((await session.get()).body, "7:4before");
      else assert.equal(await reasonOf(server, session.sid), "parse error", payload);
    }
  });

  it("has the limit of a body in both forms", async () => {
    for (const [payload, type] of [["x".repeat(5001), "text/plain"], [Buffer.alloc(5001), OCTETS]]) {
      const session = await open();
      assert.equal((await session.post(payload, type)).status, 413);
      assert.equal(await reasonOf(server, session.sid), "transport error");
    }
  });

  it("is not mixed with Engine.IO 4 in one session", async () => {
    const session = await open();
    const refused = '{"code":3,"message":"Bad request"}';
    assert.equal((await request(session.url({ EIO: "4" }))).body, refused);
    const url = engineUrl(server.url);
    url.pathname = "/engine.io/";
    const { sid } = JSON.parse((await request(url)).body.split("\x1e")[0].slice(1));
    assert.equal((await request(engine3Url(server.url, { sid }))).body, refused);
    assert.equal((await request(engine3Url(server.url, { sid, EIO: "4" }), { method: "POST", body: "4a" })).body, "ok");
  });
});
