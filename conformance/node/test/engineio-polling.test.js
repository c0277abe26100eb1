// Engine.IO long-polling, request by request.
import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { connect as tcpConnect } from "node:net";
import { describe, it } from "node:test";
import { PollingSession, RECORD_SEPARATOR, request } from "../support/http.js";
import { textOf } from "../support/http2.js";
import { startConformanceServer } from "../support/server.js";
import { ours, reasonFor, serverForTests } from "../support/suite.js";

const SESSION_UNKNOWN = '{"code":1,"message":"Session ID unknown"}';

describe("long-polling", () => {
  const server = serverForTests(startConformanceServer);

  /** A session connected to `/`, and a promise of the reason with which the server ends it. */
  const watched = async () => {
    const watcher = await server.connect("websocket");
    const session = await PollingSession.join(server.url);
    return { session, reason: reasonFor(watcher, session.socketId) };
  };

  const assertGone = async (session) => assert.equal((await session.get()).body, SESSION_UNKNOWN);

  it("responds to a POST with ok, and its headers", async () => {
    const session = await PollingSession.open(server.url);
    const response = await session.post("40");
    assert.deepEqual([response.status, response.body], [200, "ok"]);
    assert.equal(response.headers["content-type"], "text/html");
    assert.equal(response.headers["content-length"], "2");
    assert.equal(response.headers["cache-control"], "no-store");
  });

  it("responds to a GET with what is waiting, and its headers", async () => {
    const session = await PollingSession.join(server.url);
    await session.post('420["echo-ack","ä"]');
    const response = await session.get();
    assert.equal(response.body, '430["ä"]');
    assert.equal(response.headers["content-type"], "text/plain; charset=UTF-8");
    assert.equal(response.headers["content-length"], String(Buffer.byteLength(response.body)));
    assert.equal(response.headers["cache-control"], "no-store");
  });

  it("holds a GET until there is something to say", async () => {
    const session = await PollingSession.join(server.url);
    const pending = session.get();
    await session.post('420["echo-ack","now"]');
    assert.equal((await pending).body, '430["now"]');
  });

  it("takes several packets in one body and responds to them in order", async () => {
    const session = await PollingSession.join(server.url);
    await session.post([0, 1, 2].map((number) => `42["echo",${number}]`).join(RECORD_SEPARATOR));
    assert.deepEqual(await session.packets(), [0, 1, 2].map((number) => `42["echo-back",${number}]`));
  });

  it("carries binary as base64 with its padding", async () => {
    const session = await PollingSession.join(server.url);
    const packets = ['451-["echo",{"_placeholder":true,"num":0}]', "bAQIDBA=="];
    await session.post(packets.join(RECORD_SEPARATOR));
    assert.deepEqual(await session.packets(), ['451-["echo-back",{"_placeholder":true,"num":0}]', "bAQIDBA=="]);
  });

  for (const [what, base64] of [
    ["with line breaks, also at its end", "bAQID\r\nBAUG\r\nBw==\r\n"],
    ["without padding", "bAQIDBAUGBw"],
    ["with the URL-safe alphabet", "b-_-_"],
    ["with both alphabets and other characters", "b +/\t-_*"],
    ["with data after its padding, which does not count", "bAQ==AQID"],
    ["that ends in the middle of a byte", "bAQIDB"],
    ["without any data", "b*"],
  ]) {
    it(`takes base64 ${what}`, async () => {
      const session = await PollingSession.join(server.url);
      const event = '51-["echo",{"_placeholder":true,"num":0}]';
      await session.post([`4${event}`, base64].join(RECORD_SEPARATOR));
      const [, attachment] = await session.packets();
      assert.equal(attachment, `b${Buffer.from(base64.slice(1), "base64").toString("base64")}`);
    });
  }

  it("reads bodies of any text type", async () => {
    const session = await PollingSession.join(server.url);
    for (const headers of [{}, { "content-type": "application/json" }, { "content-type": "text/plain" }]) {
      assert.equal((await session.post('420["echo-ack"]', headers)).body, "ok");
      assert.equal((await session.get()).body, "430[]");
    }
  });

  it("reads a body that is sent in pieces, in the middle of a character too", async () => {
    const session = await PollingSession.join(server.url);
    const outgoing = httpRequest(session.url, { method: "POST", agent: false });
    const responding = once(outgoing, "response");
    const body = Buffer.from('420["echo-ack","€"]');
    const middle = body.indexOf("€") + 1;
    await new Promise((written) => outgoing.write(body.subarray(0, middle), written));
    outgoing.end(body.subarray(middle));
    const [response] = await responding;
    assert.equal(response.statusCode, 200);
    response.resume();
    assert.equal((await session.get()).body, '430["€"]');
  });

  for (const [what, bytes] of [
    ["a byte that begins nothing", [0xff]],
    ["a character that is cut off", [0xf0, 0x9f, 0x98]],
    ["a lone surrogate", [0xed, 0xa0, 0x80]],
    ["an overlong character", [0xc0, 0x80]],
  ]) {
    it(`reads ${what} as the replacement character`, async () => {
      const session = await PollingSession.join(server.url);
      const text = Buffer.from(bytes);
      const body = Buffer.concat([Buffer.from('420["echo-ack","'), text, Buffer.from('"]')]);
      assert.equal((await session.post(body)).body, "ok");
      assert.equal((await session.get()).body, `430["${text.toString("utf8")}"]`);
    });
  }

  it("serves a whole session on one kept-alive connection", async () => {
    const sid = (await PollingSession.open(server.url)).sid;
    const url = `${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
    for (let round = 0; round < 3; round++) {
      const sent = await fetch(url, { method: "POST", body: round === 0 ? "40" : '420["echo-ack"]' });
      assert.equal(await sent.text(), "ok");
      const received = await fetch(url);
      assert.match(await received.text(), round === 0 ? /^40\{/ : /^430\[\]$/);
    }
  });

  it("refuses a second GET beside a pending one and ends the session", async () => {
    const { session, reason } = await watched();
    // The requests are sent at the same time; the one that arrives first is the pending one.
    const responses = await Promise.all([session.get(), session.get()]);
    responses.sort((one, other) => one.status - other.status);
    assert.deepEqual(responses.map(({ status, body }) => [status, body]), [[200, "1"], [400, ""]]);
    assert.equal(await reason, "transport error");
    await assertGone(session);
  });

  it("refuses a second POST beside a running one and ends the session", async () => {
    const { session, reason } = await watched();
    const headers = { "content-length": "100", expect: "100-continue" };
    const running = httpRequest(session.url, { method: "POST", agent: false, headers });
    running.on("error", () => {}); // the server may close the connection
    running.flushHeaders();
    await once(running, "continue");
    const response = await session.post("3");
    assert.deepEqual([response.status, response.body], [400, ""]);
    assert.equal(await reason, "transport error");
    running.destroy();
    await assertGone(session);
  });

  it("responds with 413 to a body that is too large and ends the session", async () => {
    const { session, reason } = await watched();
    const response = await session.post("4".repeat(1_000_001)).catch((error) => error);
    if (!(response instanceof Error)) assert.deepEqual([response.status, response.body], [413, ""]);
    else assert.match(response.code, /^(EPIPE|ECONNRESET)$/); // the server responded and closed before the client finished writing
    assert.equal(await reason, "transport error");
    await assertGone(session);
  });

  it("responds with 413 to a body that turns out too large without having said so, and ends the session", async () => {
    const { session, reason } = await watched();
    const outgoing = httpRequest(session.url, { method: "POST", agent: false, headers: { "transfer-encoding": "chunked" } });
    const responding = once(outgoing, "response").catch((error) => error);
    outgoing.on("error", () => {});
    for (let piece = 0; piece < 11; piece++) outgoing.write("4".repeat(100_000));
    outgoing.end();
    const response = await responding;
    if (!(response instanceof Error)) assert.equal(response[0].statusCode, 413);
    else assert.match(response.code, /^(EPIPE|ECONNRESET)$/); // as above
    outgoing.destroy();
    assert.equal(await reason, "transport error");
    await assertGone(session);
  });

  it("takes a body of exactly the limit", async () => {
    const session = await PollingSession.join(server.url);
    const [head, tail] = ['420["echo-ack","', '"]'];
    const text = "x".repeat(1_000_000 - head.length - tail.length);
    assert.equal((await session.post(head + text + tail)).body, "ok");
    assert.equal((await session.get()).body, `430["${text}"]`);
  });

  it("refuses a body of bytes and ends the session", async () => {
    const { session, reason } = await watched();
    const response = await session.post("4", { "content-type": "application/octet-stream" });
    assert.deepEqual([response.status, response.body], [400, ""]);
    assert.equal(await reason, "transport error");
    await assertGone(session);
  });

  it("takes a body for text if the content type only begins like that of bytes, or is missing", async () => {
    const session = await PollingSession.join(server.url);
    for (const type of ["application/octet-stream; charset=utf-8", "application/octet-stream2", "Application/Octet-Stream", "image/png", "", undefined]) {
      const response = await session.post('420["echo-ack","€"]', type === undefined ? {} : { "content-type": type });
      assert.deepEqual([response.status, response.body], [200, "ok"], type);
      assert.deepEqual(await session.packets(), ['430["€"]']);
    }
  });

  for (const [what, body] of [
    ["an unknown packet type", "abc"],
    ["an empty body", ""],
    ["an empty packet", `420["echo"]${RECORD_SEPARATOR}`],
  ]) {
    it(`says ok to ${what} and ends the session`, async () => {
      const { session, reason } = await watched();
      const response = await session.post(body);
      assert.deepEqual([response.status, response.body], [200, "ok"]);
      assert.equal(await reason, "parse error");
      await assertGone(session);
    });
  }

  it("ends the session for the close packet, and releases the pending GET with a noop", async () => {
    // The GET is sent first but may arrive second. Then there is no pending GET to release, and the test tries again.
    for (let attempt = 0; attempt < 20; attempt++) {
      const { session, reason } = await watched();
      const pending = session.get();
      assert.equal((await session.post("1")).body, "ok");
      assert.equal(await reason, "transport close");
      await assertGone(session);
      const { body } = await pending;
      if (body !== SESSION_UNKNOWN) return assert.equal(body, "6");
    }
    assert.fail("the GET was never the first to arrive");
  });

  it("ends the session when the client abandons a pending GET", async () => {
    const { session, reason } = await watched();
    const { pathname, search, host, hostname, port } = session.url;
    let over = false;
    reason.finally(() => (over = true)).catch(() => {});
    // If a request is cancelled before the server reads it, it was never pending. Then the test abandons another one.
    while (!over) {
      const stream = tcpConnect(Number(port), hostname);
      stream.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      await PollingSession.open(server.url);
      stream.destroy();
      await PollingSession.open(server.url);
    }
    assert.equal(await reason, "transport error");
    await assertGone(session);
  });

  it("ends the session when the client abandons a POST in the middle of its body", async () => {
    const { session, reason } = await watched();
    const { hostname, port, pathname, search } = session.url;
    const stream = tcpConnect(Number(port), hostname);
    stream.write(`POST ${pathname}${search} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n`);
    await once(stream, "data"); // the server reads the body
    stream.end("42[");
    assert.equal(await reason, "transport error");
    await assertGone(session);
  });

  it("closes by a noop and a close packet after a protocol violation", async () => {
    const { session, reason } = await watched();
    await session.post("40"); // connected already
    assert.deepEqual(await session.packets(), ["6", "1"]);
    assert.equal(await reason, "forced server close");
    await assertGone(session);
  });

  it("responds to a GET that asks for a session just closed like any unknown one", async () => {
    const session = await PollingSession.join(server.url);
    await session.post("1");
    const response = await request(session.url);
    assert.deepEqual([response.status, response.body], [400, SESSION_UNKNOWN]);
  });
});

describe("a POST that is still arriving when its session ends", () => {
  const server = serverForTests(startConformanceServer, { args: ["--ping-interval", "100", "--ping-timeout", "300"] });

  // Node destroys the connection.
  ours("gets a response", async () => {
    const watcher = await server.connect("websocket");
    const session = await PollingSession.join(server.url);
    const reason = reasonFor(watcher, session.socketId);
    const { hostname, port, pathname, search } = session.url;
    const stream = tcpConnect(Number(port), hostname);
    stream.write(`POST ${pathname}${search} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 7\r\n\r\n42[`);
    assert.equal(await reason, "ping timeout");
    stream.write('"a"]');
    const [head, body] = (await textOf(stream)).split("\r\n\r\n");
    assert.deepEqual([head.split("\r\n")[0], body], ["HTTP/1.1 400 Bad Request", SESSION_UNKNOWN]);
  });
});
