// Options of the engine, as they show in requests and responses.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PollingSession, RECORD_SEPARATOR, engineUrl, exchange, request } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { acknowledged, serverForTests } from "../support/suite.js";
import { joinNamespace, openEngine } from "../support/websocket.js";

const ORIGIN = "https://app.example";

/** Sends the WebSocket handshake for `target`, with these header lines. */
const upgrade = (url, target, lines = "") =>
  exchange(
    url,
    `GET ${target} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${lines}\r\n`,
  );

describe("without `cors`", () => {
  const server = serverForTests(startConformanceServer, { args: ["--cors", "none"] });

  it("OPTIONS is a bad method, and no response has a CORS header", async () => {
    const options = await request(engineUrl(server.url), { method: "OPTIONS", headers: { origin: ORIGIN } });
    assert.deepEqual([options.status, options.body], [400, '{"code":2,"message":"Bad handshake method"}']);
    const open = await request(engineUrl(server.url), { headers: { origin: ORIGIN } });
    const { headers } = await upgrade(server.url, "/socket.io/?EIO=4&transport=websocket", `Origin: ${ORIGIN}\r\n`);
    for (const names of [options.headers, open.headers, headers].map(Object.keys)) {
      assert.deepEqual(names.filter((name) => name === "vary" || name.startsWith("access-control")), []);
    }
  });

  it("OPTIONS of a session gets 500 and changes nothing", async () => {
    const session = await PollingSession.join(server.url);
    assert.equal((await request(session.url, { method: "OPTIONS" })).status, 500);
    await session.post('420["echo-ack","alive"]');
    assert.deepEqual(await session.packets(), ['430["alive"]']);
  });
});

describe("with every option of `cors`", () => {
  const server = serverForTests(startConformanceServer, { args: ["--cors", "full"] });
  const ALWAYS = {
    "access-control-allow-origin": ORIGIN,
    vary: "Origin",
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-every,x-other",
  };
  const corsHeaders = (headers) =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => name === "vary" || name.startsWith("access-control")));

  it("a preflight request gets all of them", async () => {
    const response = await request(engineUrl(server.url), { method: "OPTIONS", headers: { origin: ORIGIN } });
    assert.deepEqual([response.status, response.body], [204, ""]);
    assert.deepEqual(corsHeaders(response.headers), {
      ...ALWAYS,
      "access-control-allow-methods": "GET,POST",
      "access-control-allow-headers": "x-token",
      "access-control-max-age": "600",
    });
  });

  it("a GET, a POST and a refusal get those that are not for preflight requests", async () => {
    const session = await PollingSession.open(server.url);
    const responses = [
      await request(engineUrl(server.url)),
      await session.post("40", { origin: ORIGIN }),
      await session.get(),
      await request(engineUrl(server.url, { sid: "A".repeat(20) }), { headers: { origin: "https://other.example" } }),
    ];
    for (const { headers } of responses) assert.deepEqual(corsHeaders(headers), ALWAYS);
  });

  it("a 101 gets them too", async () => {
    const response = await upgrade(server.url, "/socket.io/?EIO=4&transport=websocket", `Origin: ${ORIGIN}\r\n`);
    assert.equal(response.status, 101);
    assert.deepEqual(corsHeaders(response.headers), ALWAYS);
  });
});

describe("`initialPacket`", () => {
  const server = serverForTests(startConformanceServer, { args: ["--initial-packet", "hello €"] });

  it("is in the payload of the open packet", async () => {
    const [open, ...others] = (await request(engineUrl(server.url))).body.split(RECORD_SEPARATOR);
    assert.match(open, /^0\{"sid":/);
    assert.deepEqual(others, ["4hello €"]);
  });

  it("is the message after the open packet on a WebSocket", async () => {
    const conversation = await openEngine(server.url);
    assert.equal(await conversation.receive(), "4hello €");
    conversation.end();
  });
});

describe("`addTrailingSlash: false`", () => {
  const server = serverForTests(startConformanceServer, { args: ["--add-trailing-slash", "no"] });

  it("takes every path that begins with the option `path`", async () => {
    for (const path of ["/socket.io", "/socket.io/", "/socket.iofoo", "/socket.io/anything"]) {
      const response = await request(`${server.url}${path}?EIO=4&transport=polling`);
      assert.match(response.body, /^0\{"sid":/, path);
      assert.equal((await upgrade(server.url, `${path}?EIO=4&transport=websocket`)).status, 101, path);
    }
    assert.equal((await request(`${server.url}/socket.i?EIO=4&transport=polling`)).status, 404);
  });
});

for (const [how, value] of [["", "yes"], [" that waits", "async"]]) describe(`\`allowRequest\`${how}`, () => {
  const server = serverForTests(startConformanceServer, { args: ["--allow-request", value] });

  it("refuses sessions with the message of the program, or `Forbidden`", async () => {
    for (const [forbidden, message] of [["banned", "banned"], ["", "Forbidden"]]) {
      const response = await request(engineUrl(server.url, { forbidden }));
      assert.deepEqual([response.status, response.body], [403, `{"code":4,"message":"${message}"}`]);
      assert.equal(response.headers["content-type"], "application/json");
      const refused = await upgrade(server.url, `/socket.io/?EIO=4&transport=websocket&forbidden=${forbidden}`);
      assert.deepEqual([refused.status, refused.body], [400, message]);
      assert.deepEqual([refused.headers["content-type"], refused.headers.connection], ["text/html", "close"]);
    }
  });

  it("is asked only for requests that open a session, and after the checks of the method and the transport", async () => {
    const session = await PollingSession.join(server.url);
    session.url.searchParams.set("forbidden", "too late");
    assert.equal((await session.post('420["echo-ack",1]')).body, "ok");
    assert.deepEqual(await session.packets(), ["430[1]"]);
    const target = `/socket.io/?EIO=4&transport=websocket&sid=${session.sid}&forbidden=x`;
    assert.equal((await upgrade(server.url, target)).status, 101);
    for (const [query, method, code] of [
      [{ transport: "x" }, "GET", 0],
      [{}, "POST", 2],
      [{ transport: "websocket" }, "GET", 3],
      [{ EIO: "3" }, "GET", 4],
    ]) {
      const response = await request(engineUrl(server.url, { ...query, forbidden: "x" }), { method });
      assert.equal(JSON.parse(response.body).code, code);
    }
  });
});

describe("`connection_error`", () => {
  const server = serverForTests(startConformanceServer, { args: ["--allow-request", "yes"] });

  it("has the code, the message and the context of each refused request", async () => {
    const webSocket = await joinNamespace(server.url);
    const { sid } = webSocket.handshake;
    for (const [query, method] of [
      [{ transport: "x" }, "GET"],
      [{ sid: "unknown" }, "GET"],
      [{}, "POST"],
      [{ transport: "websocket" }, "GET"],
      [{ sid }, "GET"],
      [{ forbidden: "banned" }, "GET"],
      [{ EIO: "3" }, "GET"],
    ]) {
      assert.ok((await request(engineUrl(server.url, query), { method })).status >= 400);
    }
    await upgrade(server.url, "/socket.io/?EIO=4&transport=websocket&sid=lost");
    const socket = await server.connect("websocket");
    const [errors] = await acknowledged(socket, "connection-errors");
    assert.deepEqual(
      errors.map(({ code, message, context }) => [code, message, context]),
      [
        [0, "Transport unknown", { transport: "x" }],
        [1, "Session ID unknown", { sid: "unknown" }],
        [2, "Bad handshake method", { method: "POST" }],
        [3, "Bad request", { name: "TRANSPORT_HANDSHAKE_ERROR" }],
        [3, "Bad request", { name: "TRANSPORT_MISMATCH", transport: "polling", previousTransport: "websocket" }],
        [4, "Forbidden", { message: "banned" }],
        [5, "Unsupported protocol version", { protocol: 3 }],
        [1, "Session ID unknown", { sid: "lost" }],
      ],
    );
    webSocket.end();
  });
});
