// WebSockets with the npm package `ws`, and literal frames for cases in which the package refuses to violate the
// protocol.
import { connect as tcpConnect } from "node:net";
import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { engineUrl, isNewsOfOthers } from "./http.js";
import { next, within, withResolvers } from "./wait.js";

/** An open WebSocket whose messages are received one after another. */
export class Conversation {
  #waiting = [];
  #received = [];

  static async open(url, options = {}) {
    const conversation = new Conversation(new WebSocket(url, options));
    await next(conversation.socket, "open");
    return conversation;
  }

  constructor(socket) {
    this.socket = socket;
    const closed = withResolvers();
    this.closed = closed.promise;
    socket.on("close", (code, reason) => closed.resolve({ code, reason: reason.toString() }));
    socket.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString("utf8");
      if (isNewsOfOthers(message)) return;
      const waiting = this.#waiting.shift();
      if (waiting) waiting(message);
      else this.#received.push(message);
    });
  }

  /** Sends a text message for a string, or a binary message for a Buffer. */
  send(...values) {
    this.socket.send(...values);
  }

  /** Returns the next message: a string for text, a Buffer for binary. */
  receive() {
    if (this.#received.length > 0) return Promise.resolve(this.#received.shift());
    const { promise, resolve } = withResolvers();
    this.#waiting.push(resolve);
    return within(8_000, "a WebSocket message", promise);
  }

  /** Returns how the connection ended: `{ code, reason }`. */
  ended() {
    return within(8_000, "the end of a WebSocket", this.closed);
  }

  end() {
    this.socket.terminate();
  }
}

/** An Engine.IO session over WebSocket: the open packet is in `handshake`. */
export async function openEngine(base, query = {}) {
  const conversation = await Conversation.open(engineUrl(base, { transport: "websocket", ...query }).href.replace("http", "ws"));
  const open = await conversation.receive();
  conversation.handshake = JSON.parse(open.slice(1));
  return conversation;
}

/** Like `openEngine`, but also connects to the namespace `/`. The id of the socket is in `socketId`. */
export async function joinNamespace(base) {
  const conversation = await openEngine(base);
  conversation.send("40");
  conversation.socketId = JSON.parse((await conversation.receive()).slice(2)).sid;
  return conversation;
}

/** Returns the outcome of an upgrade that must fail: "refused STATUS" or "closed". */
export function fateOfUpgrade(url) {
  const { promise, resolve } = withResolvers();
  const socket = new WebSocket(url);
  socket.on("unexpected-response", (_request, response) => {
    resolve(`refused ${response.statusCode}`);
    response.destroy();
  });
  socket.on("message", (data) => resolve(`conversation: ${data}`));
  socket.on("error", () => resolve("closed"));
  socket.on("close", () => resolve("closed"));
  return within(8_000, "the fate of an upgrade", promise).finally(() => socket.terminate());
}

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** Encodes one client frame, valid or not. */
export function frame(opcode, payload, { fin = true, masked = true, reserved = 0 } = {}) {
  const bytes = Buffer.from(payload);
  const length =
    bytes.length < 126 ? [bytes.length] : bytes.length < 65536 ? [126, bytes.length >> 8, bytes.length & 255] : undefined;
  const header = Buffer.from([(fin ? 128 : 0) | (reserved << 4) | opcode, ...length]);
  if (!masked) return Buffer.concat([header, bytes]);
  header[1] |= 128;
  const key = randomBytes(4);
  return Buffer.concat([header, key, bytes.map((byte, index) => byte ^ key[index % 4])]);
}

/** Sends `frames`. Returns the server's frames when it has sent `count` of them or has closed the connection. */
export function exchangeFrames(url, frames, count = Infinity) {
  const { hostname, port, pathname } = new URL(url);
  const { promise, resolve, reject } = withResolvers();
  const stream = tcpConnect(Number(port), hostname);
  stream.write(
    `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  let received = Buffer.alloc(0);
  let open = false;
  stream.on("data", (chunk) => {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf("\r\n\r\n");
    if (!open && end >= 0) {
      open = true;
      received = received.subarray(end + 4);
      for (const bytes of frames) stream.write(bytes);
    }
    if (open && parseFrames(received).length >= count) resolve(parseFrames(received));
  });
  stream.on("end", () => stream.end());
  stream.on("close", () => resolve(parseFrames(received)));
  stream.on("error", reject);
  return within(8_000, "the answer to raw frames", promise).finally(() => stream.destroy());
}

/**
 * Parses the complete server frames with payloads below 64 KiB: `{ opcode, payload }`, and `code` for a close frame.
 */
function parseFrames(bytes) {
  const frames = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const extended = bytes[at + 1] === 126;
    if (extended && at + 4 > bytes.length) break;
    const start = at + (extended ? 4 : 2);
    const end = start + (extended ? bytes.readUInt16BE(at + 2) : bytes[at + 1]);
    if (end > bytes.length) break;
    const opcode = bytes[at] & 15;
    const payload = bytes.subarray(start, end);
    frames.push({ opcode, payload, ...(opcode === CLOSE && payload.length >= 2 && { code: payload.readUInt16BE(0) }) });
    at = end;
  }
  return frames;
}
