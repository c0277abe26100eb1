// Node's own client of HTTP/2, with WebSockets by extended CONNECT (RFC 8441); their frames are those of the package `ws`.
import { connect } from "node:http2";
import WebSocket from "ws";
import { next, within, withResolvers } from "./wait.js";
import { Conversation } from "./websocket.js";

/** One connection, which all requests and WebSockets share. Over `http:` it is HTTP/2 by prior knowledge. */
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
    session.on("error", () => {}); // which the streams tell as well
  }

  get mayConnect() {
    return this.session.remoteSettings.enableConnectProtocol;
  }

  /** `{ status, headers, body }` of a request. */
  async request(path, { method = "GET", body, headers = {} } = {}) {
    const stream = this.session.request({ ":method": method, ":path": path, ...headers }, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    const [answer] = await next(stream, "response");
    return { status: answer[":status"], headers: answer, body: await textOf(stream) };
  }

  /** The answer to an extended CONNECT, and its stream. */
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

  /** An open WebSocket. */
  async openWebSocket(path) {
    const { status, stream } = await this.connect(path);
    if (status !== 200) throw new Error(`refused with ${status}: ${await textOf(stream)}`);
    // `ws` has no public way to be given a stream; this is what its own client does behind a handshake.
    const socket = new WebSocket(null, undefined, { autoPong: true, closeTimeout: 30_000 });
    socket._isServer = false;
    const conversation = new Conversation(socket);
    conversation.stream = stream;
    socket.setSocket(stream, Buffer.alloc(0), { allowSynchronousEvents: true, maxPayload: 0, skipUTF8Validation: false });
    return conversation;
  }

  /** Ends it when nothing is under way any more. */
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
