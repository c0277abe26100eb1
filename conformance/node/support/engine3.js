// Clients of Engine.IO 3: the published package, and requests that the test sends itself.
import eio from "engine.io-client-3";
import { request } from "./http.js";
import { next, within, withResolvers } from "./wait.js";

/** A session of engine.io-client 3. Its messages are received one after another. */
export class EngineClient {
  #waiting = [];
  #received = [];

  constructor(base, options) {
    this.socket = eio(base, options);
    this.socket.binaryType = "arraybuffer";
    const closed = withResolvers();
    this.socket.on("close", closed.resolve);
    this.closed = closed.promise;
    this.socket.on("message", (data) => {
      const message = typeof data === "string" ? data : Buffer.from(data);
      const waiting = this.#waiting.shift();
      if (waiting) waiting(message);
      else this.#received.push(message);
    });
  }

  /** Opens a session, and waits until it has upgraded if `transports` has two members. */
  static async open(base, transports, options = {}) {
    const client = new EngineClient(base, { transports, ...options });
    const upgraded = transports.length > 1 ? next(client.socket, "upgrade") : undefined;
    await next(client.socket, "open");
    client.sid = client.socket.id; // which the client forgets at the end
    await upgraded;
    return client;
  }

  send(message) {
    this.socket.send(message);
  }

  /** Returns the next message: a string for text, a Buffer for binary. */
  receive() {
    if (this.#received.length > 0) return Promise.resolve(this.#received.shift());
    const { promise, resolve } = withResolvers();
    this.#waiting.push(resolve);
    return within(8_000, "a message of Engine.IO 3", promise);
  }

  async ask(message) {
    this.send(message);
    return this.receive();
  }

  /** Returns the reason for which the client has closed. */
  ended() {
    return within(8_000, "the end of a session of Engine.IO 3", this.closed);
  }

  close() {
    this.socket.close();
  }
}

/** Returns the URL of a session of Engine.IO 3. */
export function engine3Url(base, query = {}) {
  const url = new URL("/engine.io/", base);
  for (const [key, value] of Object.entries({ EIO: "3", transport: "polling", ...query })) url.searchParams.set(key, value);
  return url;
}

/** A polling session whose requests the test sends itself. `first` are parameters that only the first request has. */
export class Polling3 {
  static async open(base, first = {}) {
    const session = new Polling3();
    session.base = base;
    session.opening = await request(engine3Url(base, first));
    session.sid = /sid\\?":\\?"([\w-]{20})/.exec(session.opening.body)[1];
    return session;
  }

  url(query = {}) {
    return engine3Url(this.base, { sid: this.sid, ...query });
  }

  get(headers = {}) {
    return request(this.url(), { headers });
  }

  /**
   * Ends a session with `payload` while a GET waits. Returns the session and the response to the GET. The GET is sent first
   * but may arrive second, and is refused then. So this tries again, with another session.
   */
  static async closeWhileItPolls(base, first, payload, type) {
    for (;;) {
      const session = await Polling3.open(base, first);
      const waiting = session.get();
      await session.post(payload, type);
      const response = await waiting;
      if (response.status === 200) return { session, response };
    }
  }

  post(body, type = "text/plain;charset=UTF-8") {
    return request(this.url(), { method: "POST", headers: { "content-type": type }, body });
  }
}
