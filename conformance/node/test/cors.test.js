// CORS headers in responses to pages of other origins.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import WebSocket from "ws";
import { engineUrl, request } from "../support/http.js";
import { runApplication, startApplication } from "../support/server.js";
import { ours, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

const ORIGIN = "https://app.example";
const ALLOW_ORIGIN = "access-control-allow-origin";
const headers = { origin: ORIGIN };
const preflight = {
  method: "OPTIONS",
  headers: { ...headers, "access-control-request-method": "POST", "access-control-request-headers": "x-token, content-type" },
};

describe("a browser on another origin", () => {
  const server = serverForTests(startApplication);

  it("is welcome by default", async () => {
    const response = await request(engineUrl(server.url), { headers });
    assert.deepEqual([response.status, response.headers[ALLOW_ORIGIN]], [200, "*"]);
  });

  it("may read the refusals as well", async () => {
    const response = await request(engineUrl(server.url, { sid: "A".repeat(20) }), { headers });
    assert.deepEqual([response.status, response.headers[ALLOW_ORIGIN]], [400, "*"]);
  });

  it("may write", async () => {
    const { sid } = JSON.parse((await request(engineUrl(server.url))).body.slice(1));
    const response = await request(engineUrl(server.url, { sid }), { method: "POST", headers, body: "40" });
    assert.deepEqual([response.status, response.headers[ALLOW_ORIGIN]], [200, "*"]);
  });

  it("gets a response to its preflight request", async () => {
    const response = await request(engineUrl(server.url), preflight);
    assert.deepEqual([response.status, response.body], [204, ""]);
    assert.equal(response.headers[ALLOW_ORIGIN], "*");
    assert.equal(response.headers["access-control-allow-methods"], "GET,HEAD,PUT,PATCH,POST,DELETE");
    assert.equal(response.headers["access-control-allow-headers"], "x-token, content-type");
    assert.match(response.headers.vary, /Access-Control-Request-Headers/i);
  });
});

describe("an allowed origin that is not written as browsers write it", () => {
  const written = ["HTTPS://App.example:443/", "http://localhost:80", "https://*.pages.example", "file://", "null"];
  const args = written.flatMap((origin) => ["--allow-origin", origin]);
  const server = serverForTests(startApplication, { args });

  for (const origin of [ORIGIN, "http://localhost", "https://a.pages.example", "file://", "null"]) {
    ours(`is the same for polling and for a WebSocket: ${origin}`, async () => {
      const response = await request(engineUrl(server.url), { headers: { origin } });
      assert.deepEqual([response.status, response.headers[ALLOW_ORIGIN]], [200, origin]);
      const conversation = await Conversation.open(`${server.webSocketUrl}/ws`, { headers: { origin } });
      conversation.send("hello");
      assert.equal(await conversation.receive(), "hello");
      conversation.socket.close();
    });
  }

  for (const text of ["*", "app.example", "https://app.example/path"]) {
    ours(`is refused at the start if it can be none: ${text}`, async () => {
      const { status, errors } = await runApplication(["--allow-origin", text]);
      assert.equal(status, 2);
      assert.match(errors, /is not an origin: a scheme, a host and optionally a port/);
    });
  }
});

describe("with one allowed origin", () => {
  const server = serverForTests(startApplication, { args: ["--allow-origin", ORIGIN] });

  it("its pages are welcome, and caches are told", async () => {
    const response = await request(engineUrl(server.url), { headers });
    assert.equal(response.headers[ALLOW_ORIGIN], ORIGIN);
    assert.match(response.headers.vary, /Origin/i);
  });

  it("its pages get a response to their preflight requests", async () => {
    const response = await request(engineUrl(server.url), preflight);
    assert.deepEqual([response.status, response.headers[ALLOW_ORIGIN]], [204, ORIGIN]);
  });

  it("other pages are not named", async () => {
    const response = await request(engineUrl(server.url), { headers: { origin: "https://other.example" } });
    assert.ok([undefined, ORIGIN].includes(response.headers[ALLOW_ORIGIN]), response.headers[ALLOW_ORIGIN]);
    assert.match(response.headers.vary, /Origin/i);
  });

  const other = { headers: { origin: "https://other.example" } };

  ours("other pages may not begin a session, whatever the transport", async () => {
    const response = await request(engineUrl(server.url), other);
    assert.equal(response.status, 403);
    assert.deepEqual(JSON.parse(response.body), { code: 4, message: "pages of this origin may not connect" });
    const url = engineUrl(server.webSocketUrl, { transport: "websocket" });
    const [error] = await next(new WebSocket(url, other), "error");
    assert.match(error.message, /400/);
  });

  ours("other pages may not use a session, whatever they know, and do not harm it", async () => {
    const { sid } = JSON.parse((await request(engineUrl(server.url), { headers })).body.slice(1));
    for (const method of ["GET", "POST"]) {
      const body = method === "POST" ? "40" : undefined;
      const response = await request(engineUrl(server.url, { sid }), { method, ...other, body });
      assert.deepEqual([response.status, response.headers[ALLOW_ORIGIN]], [403, undefined], method);
    }
    const url = engineUrl(server.webSocketUrl, { transport: "websocket", sid });
    const [error] = await next(new WebSocket(url, other), "error");
    assert.match(error.message, /400/);
    const response = await request(engineUrl(server.url, { sid }), { method: "POST", headers, body: "40" });
    assert.deepEqual([response.status, response.body], [200, "ok"]);
  });

  ours("other pages may not open a raw WebSocket, and are told so", async () => {
    const socket = new WebSocket(`${server.webSocketUrl}/ws`, other);
    const [, response] = await next(socket, "unexpected-response");
    assert.equal(response.statusCode, 403);
    response.setEncoding("utf8");
    assert.deepEqual(await next(response, "data"), ["pages of this origin may not connect\n"]);
  });

  for (const [who, options] of [["its pages", { headers }], ["who is no page", {}]]) {
    ours(`${who} may open a raw WebSocket`, async () => {
      const conversation = await Conversation.open(`${server.webSocketUrl}/ws`, options);
      conversation.send("hello");
      assert.equal(await conversation.receive(), "hello");
      conversation.socket.close();
    });
  }
});
