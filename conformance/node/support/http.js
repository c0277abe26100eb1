// Plain HTTP requests, and Engine.IO long-polling on top of them.
import { request as httpRequest } from "node:http";
import { connect as tcpConnect } from "node:net";
import { within } from "./wait.js";

/** Sends one request on a new connection. Returns `{ status, headers, bytes, body }`; `body` is the bytes as text. */
export function request(url, { method = "GET", headers = {}, body } = {}) {
  const received = new Promise((resolve, reject) => {
    const outgoing = httpRequest(url, { method, headers, agent: false }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, bytes, body: bytes.toString("utf8") });
      });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
  return within(10_000, `the response to ${method} ${url}`, received);
}

/**
 * Sends `text` unchanged. Returns all bytes until the server closes the connection, or until the end of a response
 * without a further body.
 */
export function exchange(url, text) {
  const { hostname, port } = new URL(url);
  const response = new Promise((resolve, reject) => {
    const stream = tcpConnect(Number(port), hostname, () => stream.write(text));
    let received = "";
    stream.setEncoding("latin1");
    stream.on("data", (chunk) => {
      received += chunk;
      if (complete(received)) {
        resolve(parseResponse(received));
        stream.destroy();
      }
    });
    stream.on("close", () => resolve(parseResponse(received)));
    stream.on("error", reject);
  });
  return within(10_000, "the response to a raw request", response);
}

function complete(received) {
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /^content-length: *(\d+)/im.exec(received.slice(0, end))?.[1];
  return received.startsWith("HTTP/1.1 101") || (length !== undefined && received.length >= end + 4 + Number(length));
}

function parseResponse(received) {
  const [head, ...rest] = received.split("\r\n\r\n");
  const [statusLine, ...lines] = head.split("\r\n");
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(statusLine.split(" ")[1]), headers, body: rest.join("\r\n\r\n") };
}

/**
 * Returns whether a packet is the conformance server's announcement that a socket has disconnected. All sockets receive
 * it, so a session may receive announcements of sockets from an earlier test.
 */
export const isNewsOfOthers = (packet) => typeof packet === "string" && packet.startsWith('42["gone",');

export const RECORD_SEPARATOR = "\x1e";

/** Returns the URL of a new Engine.IO session. `query` replaces or adds parameters; `undefined` removes one. */
export function engineUrl(base, query = {}) {
  const url = new URL("/socket.io/", base);
  for (const [key, value] of Object.entries({ EIO: "4", transport: "polling", ...query })) {
    if (value !== undefined) url.searchParams.set(key, value);
  }
  return url;
}

/** A long-polling session whose requests the test sends itself. */
export class PollingSession {
  static async open(base) {
    const response = await request(engineUrl(base));
    const session = new PollingSession();
    session.handshake = JSON.parse(response.body.slice(1));
    session.sid = session.handshake.sid;
    session.url = engineUrl(base, { sid: session.sid });
    return session;
  }

  /** Opens a session and connects to the namespace `/`. The id of the socket is in `socketId`. */
  static async join(base) {
    const session = await PollingSession.open(base);
    await session.post("40");
    const [connected] = await session.packets();
    session.socketId = JSON.parse(connected.slice(2)).sid;
    return session;
  }

  get() {
    return request(this.url);
  }

  post(body, headers = { "content-type": "text/plain;charset=UTF-8" }) {
    return request(this.url, { method: "POST", headers, body });
  }

  async packets() {
    for (;;) {
      const packets = (await this.get()).body.split(RECORD_SEPARATOR).filter((packet) => !isNewsOfOthers(packet));
      if (packets.length > 0) return packets;
    }
  }
}
