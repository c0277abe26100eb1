// Engine.IO over HTTP/1.1, byte by byte: whole responses, as they are on the wire. The date, the order and the case of
// header names, and the division of bodies into chunks may differ from Node.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { startApplication } from "../support/server.js";
import { ours, serverForTests } from "../support/suite.js";
import { within } from "../support/wait.js";

const OK = "HTTP/1.1 200 OK";
const BAD_REQUEST = "HTTP/1.1 400 Bad Request";
const CORS = "access-control-allow-origin: *";
const CLOSE = "connection: close";
const HANDSHAKE = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const UNKNOWN = "A".repeat(20);
const SESSION_UNKNOWN = '{"code":1,"message":"Session ID unknown"}';
const OPEN = '"upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}';

describe("the bytes of Engine.IO", () => {
  const server = serverForTests(startApplication);

  /** Sends a request on a connection of its own. */
  const send = async (method, query, headers = [], body = "") => {
    const { hostname, port } = new URL(server.url);
    const stream = connect(Number(port), hostname);
    await once(stream, "connect");
    const length = body ? [`Content-Length: ${Buffer.byteLength(body)}`] : [];
    const head = [`${method} /socket.io/?${query} HTTP/1.1`, "Host: x", ...headers, ...length];
    stream.write(`${head.join("\r\n")}\r\n\r\n${body}`);
    return stream;
  };

  /** Returns the response of a connection that the server then closes. */
  const response = async (stream) => {
    const pieces = [];
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("error", () => {});
    await within(8_000, "the end of the response", once(stream, "close"));
    return comparable(Buffer.concat(pieces).toString("latin1"));
  };

  const exchange = async (method, query, headers = [], body = "") =>
    response(await send(method, query, ["Connection: close", ...headers], body));

  /** Opens a session, and returns its query. */
  const open = async () => {
    const opened = await exchange("GET", "EIO=4&transport=polling");
    return `EIO=4&transport=polling&sid=${/"sid":"([\w-]{20})"/.exec(opened)[1]}`;
  };

  const UNCACHED = [CORS, "cache-control: no-store", CLOSE];
  const withBody = (status, fields, type, body) =>
    [status, ...fields, `content-length: ${body.length}`, `content-type: ${type}`, "", body].join("\r\n");
  const payload = (body) => withBody(OK, UNCACHED, "text/plain; charset=UTF-8", body);
  const accepted = withBody(OK, UNCACHED, "text/html", "ok");
  const refusal = (body) => withBody(BAD_REQUEST, [CORS, CLOSE], "application/json", body);
  const empty = (status) => [`HTTP/1.1 ${status}`, CORS, CLOSE, "content-length: 0", "", ""].join("\r\n");

  it("open a session with the open packet", async () => {
    const opened = await exchange("GET", "EIO=4&transport=polling");
    const body = `0{"sid":"${"x".repeat(20)}",${OPEN}`;
    assert.equal(opened.replace(/"sid":"[\w-]{20}"/, `"sid":"${"x".repeat(20)}"`), payload(body));
  });

  it("acknowledge a POST with ok, and deliver packets to a poll", async () => {
    const session = await open();
    assert.equal(await exchange("POST", session, ["Content-Type: text/plain;charset=UTF-8"], "40"), accepted);
    const connected = await exchange("GET", session);
    const body = `40{"sid":"${"x".repeat(20)}"}`;
    assert.equal(connected.replace(/"sid":"[\w-]{20}"/, `"sid":"${"x".repeat(20)}"`), payload(body));
    const events = '42["message","a"]\x1e42["message","b"]';
    assert.equal(await exchange("POST", session, [], events), accepted);
    assert.equal(await exchange("GET", session), payload('42["message","Echo: a"]\x1e42["message","Echo: b"]'));
  });

  it("release a poll with a noop when the client closes", async () => {
    let session, released;
    do {
      session = await open();
      const poll = response(await send("GET", session, ["Connection: close"]));
      assert.equal(await exchange("POST", session, [], "1"), accepted);
      released = await poll;
      // The POST comes on a connection of its own, and may overtake the poll. Then no poll was waiting.
    } while (released === refusal(SESSION_UNKNOWN));
    assert.equal(released, payload("6"));
    assert.equal(await exchange("GET", session), refusal(SESSION_UNKNOWN));
  });

  const REFUSALS = [
    ["an unknown transport", "GET", "EIO=4&transport=x", '{"code":0,"message":"Transport unknown"}'],
    ["an unknown session", "GET", `EIO=4&transport=polling&sid=${UNKNOWN}`, SESSION_UNKNOWN],
    ["a handshake by POST", "POST", "EIO=4&transport=polling", '{"code":2,"message":"Bad handshake method"}'],
    ["a WebSocket transport without a handshake", "GET", "EIO=4&transport=websocket", '{"code":3,"message":"Bad request"}'],
    ["another revision", "GET", "EIO=3&transport=polling", '{"code":5,"message":"Unsupported protocol version"}'],
  ];
  for (const [what, method, query, body] of REFUSALS) {
    it(`refuse ${what}`, async () => assert.equal(await exchange(method, query), refusal(body)));
  }

  it("refuse a WebSocket handshake in plain text, and close", async () => {
    const stream = await send("GET", `EIO=4&transport=websocket&sid=${"A".repeat(20)}`, HANDSHAKE);
    const refused = (await response(stream)).split("\r\n").filter((line) => line !== CORS).join("\r\n");
    assert.equal(refused, withBody(BAD_REQUEST, [CLOSE], "text/html", "Session ID unknown"));
  });

  it("end a session with an empty 400 for a second poll, and a close packet for the first", async () => {
    const session = await open();
    const first = response(await send("GET", session, ["Connection: close"]));
    // The server has the first poll when it has handled a later POST.
    assert.equal(await exchange("POST", session, [], "3"), accepted);
    assert.equal(await exchange("GET", session), empty("400 Bad Request"));
    assert.equal(await first, payload("1"));
  });

  for (const [what, status, method, headers, body] of [
    ["a body of another content type", "400 Bad Request", "POST", ["Content-Type: application/octet-stream"], "4x"],
    ["a body that is too long", "413 Payload Too Large", "POST", [], "4".repeat(1_000_001)],
    ["an unknown method", "500 Internal Server Error", "PUT", [], ""],
  ]) {
    it(`respond without a body to ${what}`, async () => {
      assert.equal(await exchange(method, await open(), headers, body), empty(status));
    });
  }

  it("respond to a preflight request", async () => {
    const asked = [
      "Origin: https://a.example",
      "Access-Control-Request-Method: POST",
      "Access-Control-Request-Headers: x-a",
    ];
    const response = await exchange("OPTIONS", "EIO=4&transport=polling", asked);
    assert.match(response, /^HTTP\/1\.1 204 No Content\r\n/);
    const methods = "access-control-allow-methods: GET,HEAD,PUT,PATCH,POST,DELETE";
    for (const line of [CORS, methods, "access-control-allow-headers: x-a"]) {
      assert.ok(response.split("\r\n").includes(line), `${line} in ${response}`);
    }
  });

  ours("spell the header names of the 101 as RFC 6455 does", async () => {
    const stream = await send("GET", "EIO=4&transport=websocket", HANDSHAKE);
    const [piece] = await within(8_000, "the response", once(stream, "data"));
    stream.destroy();
    const lines = piece.toString("latin1").split("\r\n\r\n")[0].split("\r\n");
    const head = lines.filter((line) => !line.startsWith("Date: "));
    assert.equal(head[0], "HTTP/1.1 101 Switching Protocols");
    assert.deepEqual(head.slice(1).sort(), [
      "Access-Control-Allow-Origin: *",
      "Connection: Upgrade",
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
      "Upgrade: websocket",
    ]);
  });
});

/**
 * The response with its header names in lower case, sorted, and without the date. Node sends some bodies in chunks, where
 * the length is known: they are compared as one.
 */
function comparable(text) {
  const end = text.indexOf("\r\n\r\n");
  const [status, ...fields] = text.slice(0, end).split("\r\n");
  let body = text.slice(end + 4);
  let lines = fields.map((field) => field.replace(/^[^:]+/, (name) => name.toLowerCase()));
  if (lines.includes("transfer-encoding: chunked")) {
    const chunks = body.matchAll(/([\da-f]+)\r\n([^\r]*)\r\n/g);
    body = Array.from(chunks, ([, size, chunk]) => {
      assert.equal(parseInt(size, 16), chunk.length);
      return chunk;
    }).join("");
    lines = lines.map((line) => line.replace("transfer-encoding: chunked", `content-length: ${body.length}`));
  }
  return [status, ...lines.filter((line) => !line.startsWith("date:")).sort(), "", body].join("\r\n");
}
