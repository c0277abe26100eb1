// Engine.IO over plain HTTP: which requests are rejected, and with which error.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PollingSession, engineUrl, exchange, request } from "../support/http.js";
import { startApplication } from "../support/server.js";
import { ours, serverForTests } from "../support/suite.js";
import { fateOfUpgrade, openEngine } from "../support/websocket.js";

const UNKNOWN_SESSION = { sid: "A".repeat(20) };
const TRANSPORT_UNKNOWN = '{"code":0,"message":"Transport unknown"}';
const SESSION_UNKNOWN = '{"code":1,"message":"Session ID unknown"}';
const BAD_METHOD = '{"code":2,"message":"Bad handshake method"}';
const BAD_REQUEST = '{"code":3,"message":"Bad request"}';
const UNSUPPORTED = '{"code":5,"message":"Unsupported protocol version"}';

const REFUSALS = [
  ["an unknown transport", "GET", { transport: "carrier-pigeon" }, TRANSPORT_UNKNOWN],
  ["no transport", "GET", { transport: undefined }, TRANSPORT_UNKNOWN],
  ["a transport that is a property of every object", "GET", { transport: "__proto__" }, TRANSPORT_UNKNOWN],
  ["a transport named constructor", "GET", { transport: "constructor" }, TRANSPORT_UNKNOWN],
  ["webtransport by a request", "GET", { transport: "webtransport" }, TRANSPORT_UNKNOWN],
  ["an unknown transport before an unknown session", "GET", { transport: "x", ...UNKNOWN_SESSION }, TRANSPORT_UNKNOWN],
  ["an empty transport", "GET", { transport: "" }, TRANSPORT_UNKNOWN],
  ["an unknown session, when reading", "GET", UNKNOWN_SESSION, SESSION_UNKNOWN],
  ["an unknown session, when writing", "POST", UNKNOWN_SESSION, SESSION_UNKNOWN],
  ["an unknown session before another revision", "GET", { EIO: "3", ...UNKNOWN_SESSION }, SESSION_UNKNOWN],
  ["a handshake by POST", "POST", {}, BAD_METHOD],
  ["a handshake by PUT", "PUT", {}, BAD_METHOD],
  ["a handshake by DELETE", "DELETE", {}, BAD_METHOD],
  ["a handshake by POST with an empty session id", "POST", { sid: "" }, BAD_METHOD],
  ["the method before the revision", "POST", { EIO: "3" }, BAD_METHOD],
  ["the websocket transport by a plain request", "GET", { transport: "websocket" }, BAD_REQUEST],
  ["revision 3", "GET", { EIO: "3" }, UNSUPPORTED],
  ["an empty revision", "GET", { EIO: "" }, UNSUPPORTED],
  ["no revision", "GET", { EIO: undefined }, UNSUPPORTED],
  ["a revision that only begins with 4", "GET", { EIO: "4.0" }, UNSUPPORTED],
];

describe("a request to Engine.IO", () => {
  const server = serverForTests(startApplication);

  for (const [what, method, query, body] of REFUSALS) {
    it(`is refused for ${what}`, async () => {
      const response = await request(engineUrl(server.url, query), { method });
      assert.equal(response.status, 400);
      assert.equal(response.headers["content-type"], "application/json");
      assert.equal(response.body, body);
    });
  }

  it("is refused in another revision than that of its session, which lives on", async () => {
    const session = await PollingSession.join(server.url);
    const response = await request(engineUrl(server.url, { EIO: "3", sid: session.sid }));
    assert.deepEqual([response.status, response.body], [400, BAD_REQUEST]);
    await session.post('420["message","hello"]');
    assert.match((await session.get()).body, /Echo: hello/);
  });

  it("is refused over polling for a session that began as a WebSocket", async () => {
    const webSocket = await openEngine(server.url);
    const response = await request(engineUrl(server.url, { sid: webSocket.handshake.sid }));
    assert.deepEqual([response.status, response.body], [400, BAD_REQUEST]);
    webSocket.end();
  });

  // Node leaves the request without a response.
  ours("is refused without a handshake for a session on a WebSocket, which lives on", async () => {
    const webSocket = await openEngine(server.url);
    const url = engineUrl(server.url, { transport: "websocket", sid: webSocket.handshake.sid });
    for (const method of ["GET", "POST", "PUT"]) {
      const response = await request(url, { method, body: method === "GET" ? undefined : "41" });
      assert.deepEqual([response.status, response.body], [400, BAD_REQUEST], method);
    }
    webSocket.send("40");
    assert.match(await webSocket.receive(), /^40\{"sid"/);
    webSocket.end();
  });

  it("is refused by the HTTP parser if `Origin` has a control character, but may have a tab or a byte above 127", async () => {
    const withOrigin = (origin) =>
      exchange(server.url, `GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nOrigin: ${origin}\r\n\r\n`);
    for (const character of ["\x01", "\x1f", "\x7f"]) {
      assert.equal((await withOrigin(`http://a${character}b`)).status, 400);
    }
    for (const character of ["\t", "é"]) assert.equal((await withOrigin(`http://a${character}b`)).status, 200);
  });

  it("with another method on a live session gets 500 and changes nothing", async () => {
    const session = await PollingSession.join(server.url);
    const response = await request(session.url, { method: "PUT" });
    assert.deepEqual([response.status, response.body], [500, ""]);
    await session.post('420["message","hello"]');
    assert.match((await session.get()).body, /Echo: hello/);
  });

  it("opens a session: the keys, their order, and the headers", async () => {
    const response = await request(engineUrl(server.url));
    assert.equal(response.status, 200);
    assert.match(
      response.body,
      /^0\{"sid":"[\w-]{20}","upgrades":\["websocket"\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$/,
    );
    assert.equal(response.headers["content-type"], "text/plain; charset=UTF-8");
    assert.equal(response.headers["content-length"], String(response.body.length));
    assert.equal(response.headers["cache-control"], "no-store");
    assert.equal(response.headers["set-cookie"], undefined);
  });

  it("opens a session of its own every time", async () => {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => PollingSession.open(server.url)));
    assert.equal(new Set(sessions.map((session) => session.sid)).size, 20);
  });

  it("opens a session if the session id is empty", async () => {
    const response = await request(engineUrl(server.url, { sid: "" }));
    assert.equal(response.status, 200);
    assert.match(response.body, /^0\{"sid"/);
    const webSocket = await openEngine(server.url, { sid: "" });
    assert.match(webSocket.handshake.sid, /^[\w-]{20}$/);
    webSocket.end();
  });

  it("may have a longer path", async () => {
    const response = await request(`${server.url}/socket.io/anything?EIO=4&transport=polling`);
    assert.equal(response.status, 200);
    assert.match(response.body, /^0\{"sid"/);
  });

  it("needs the slash after the path", async () => {
    assert.equal((await request(`${server.url}/socket.io?EIO=4&transport=polling`)).status, 404);
  });

  it("takes the last of several equal parameters", async () => {
    const url = `${server.url}/socket.io/?EIO=3&transport=x&EIO=4&transport=polling&t=abc`;
    assert.equal((await request(url)).status, 200);
  });

  it("understands percent signs in the query", async () => {
    assert.equal((await request(`${server.url}/socket.io/?%45IO=4&transport=%70olling`)).status, 200);
  });
});

describe("an upgrade request to Engine.IO", () => {
  const server = serverForTests(startApplication);

  const upgrade = (query) => {
    const { pathname, search, host } = engineUrl(server.url, { transport: "websocket", ...query });
    return exchange(
      server.url,
      `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
  };

  for (const [what, query, message] of [
    ["an unknown session", UNKNOWN_SESSION, "Session ID unknown"],
    ["an unknown transport", { transport: "x" }, "Transport unknown"],
    ["an unknown session that polls", { transport: "polling", ...UNKNOWN_SESSION }, "Session ID unknown"],
    ["webtransport", { transport: "webtransport" }, "Transport unknown"],
  ]) {
    it(`is refused in plain words for ${what}`, async () => {
      const response = await upgrade(query);
      assert.equal(response.status, 400);
      assert.equal(response.headers["content-type"], "text/html");
      assert.equal(response.headers.connection, "close");
      assert.equal(response.body, message);
    });
  }

  ours("is refused in plain words, before any 101, for another revision", async () => {
    const response = await upgrade({ EIO: "3" });
    assert.deepEqual([response.status, response.body], [400, "Unsupported protocol version"]);
  });

  it("never becomes a conversation in another revision", async () => {
    const url = engineUrl(server.webSocketUrl, { transport: "websocket", EIO: "3" }).href;
    assert.match(await fateOfUpgrade(url), /^(closed|refused 400)$/);
  });

  it("never becomes a conversation under the name of polling", async () => {
    assert.match(await fateOfUpgrade(engineUrl(server.webSocketUrl).href), /^(closed|refused 400)$/);
  });

  // Node treats the new WebSocket as an upgrade and waits for its probe.
  ours("to a session that is a WebSocket already gets nowhere, and the session lives on", async () => {
    const webSocket = await openEngine(server.url);
    const url = engineUrl(server.webSocketUrl, { transport: "websocket", sid: webSocket.handshake.sid }).href;
    assert.match(await fateOfUpgrade(url), /^(closed|refused 400)$/);
    webSocket.send("40");
    assert.match(await webSocket.receive(), /^40\{"sid":"[\w-]{20}"\}$/);
    webSocket.end();
  });

  it("without the needed headers is refused", async () => {
    const { pathname, search, host } = engineUrl(server.url, { transport: "websocket" });
    const response = await exchange(
      server.url,
      `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
    );
    assert.ok([400, 426].includes(response.status), `status ${response.status}`);
  });

  it("opens a session without upgrades", async () => {
    const webSocket = await openEngine(server.url);
    assert.deepEqual(Object.keys(webSocket.handshake), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.deepEqual(webSocket.handshake.upgrades, []);
    webSocket.end();
  });
});
