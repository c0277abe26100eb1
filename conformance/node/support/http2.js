// Node's own HTTP/2 client, with WebSockets over extended CONNECT (RFC 8441). The package `ws` reads and writes their
// frames.
import { connect } from "node:http2";
import WebSocket from "ws";
import { next, within, withResolvers } from "./wait.js";
import { Conversation } from "./websocket.js";

/** One connection, shared by all requests and WebSockets. With `http:` it is HTTP/2 with prior knowledge. */
export class Http2Connection {
  static async open(url, options = {}) {
    const session = connect(url, options);
    const { promise: settled, resolve } = withResolvers();
    session.once("remoteSettings", resolve);
    await within(8_000, "the settings of the server", Promise.race([settled, failureOf(session)]));
    return new Http2Connection(session);
  }

  constructor(session) {
    this.session = session;
    session.on("error", () => {}); // the streams report the error too
  }

  get mayConnect() {
    return this.session.remoteSettings.enableConnectProtocol;
  }

  /** Sends a request. Returns `{ status, headers, body }`. */
  async request(path, { method = "GET", body, headers = {} } = {}) {
    const stream = this.session.request({ ":method": method, ":path": path, ...headers }, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    const [answer] = await next(stream, "response");
    return { status: answer[":status"], headers: answer, body: await textOf(stream) };
  }

  /** Sends an extended CONNECT request. Returns the response and its stream. */
  async connect(path, headers = {}) {
    const stream = this.session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": path,
      "sec-websocket-version": "13",
      ...headers,
    });
    const [answer] = await next(stream, "response");
    return { status: answer[":status"], headers: answer, stream };
  }

  /** Opens a WebSocket. */
  async openWebSocket(path) {
    const { status, stream } = await this.connect(path);
    if (status !== 200) throw new Error(`refused with ${status}: ${await textOf(stream)}`);
    // `ws` has no public way to use an existing stream. This is what its own client does after a handshake.
    const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: 30_000 });
    socket._isServer = false;
    const conversation = new Conversation(socket);
    conversation.stream = stream;
    socket.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 0, skipUTF8Validation: false });
    return conversation;
  }

  /** Closes the connection when no stream is open. */
  async close() {
    const closed = within(8_000, "the end of the connection", new Promise((resolve) => this.session.once("close", resolve)));
    this.session.close();
    await closed;
  }

  destroy() {
    this.session.destroy();
  }
}

async function failureOf(session) {
  const [error] = await new Promise((resolve) => session.once("error", (...values) => resolve(values)));
  throw error;
}

export async function textOf(stream) {
  stream.setEncoding("utf8");
  const collected = (async () => {
    let text = "";
    for await (const chunk of stream) text += chunk;
    return text;
  })();
  return within(8_000, "the end of an answer", collected);
}
