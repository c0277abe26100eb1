// Numbered events over connections whose bytes arrive in random pieces, and that break at a random byte. While a session
// lives, no event is lost, duplicated or reordered. After a break, no session is left.
//
// `TIDEWIRE_ROUNDS` is the number of rounds, `TIDEWIRE_SEED` the seed of the first. A failure names its seed.
import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { after, before, describe, it } from "node:test";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { inFiles, makeCertificate } from "../support/certificate.js";
import { ChoppyRelay, randomNumbers } from "../support/choppy-relay.js";
import { RECORD_SEPARATOR } from "../support/http.js";
import { Http2Connection } from "../support/http2.js";
import { startApplication } from "../support/server.js";
import { next, within } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

const ROUNDS = Number(process.env.TIDEWIRE_ROUNDS ?? 1);
const FIRST_SEED = Number(process.env.TIDEWIRE_SEED ?? 1);
const reference = process.env.TIDEWIRE_REFERENCE === "1";
const EVENTS = 60;

const localhost = makeCertificate("localhost");
const ca = localhost.certificate;

const pathOf = (transport, sid) => `/socket.io/?EIO=4&transport=${transport}${sid ? `&sid=${sid}` : ""}`;
const eventOf = (number) => `event ${number} ${"x".repeat((number * 37) % 500)}`;

/** One of the HTTP versions, towards one server: requests and WebSockets. */
class Http1 {
  constructor(url) {
    this.url = url;
  }

  request(path, { method = "GET", body } = {}) {
    return new Promise((resolve, reject) => {
      const send = this.url.startsWith("https") ? httpsRequest : httpRequest;
      const outgoing = send(this.url + path, { method, ca, agent: false }, async (response) => {
        try {
          let text = "";
          for await (const chunk of response.setEncoding("utf8")) text += chunk;
          resolve({ status: response.statusCode, body: text });
        } catch (error) {
          reject(error);
        }
      });
      outgoing.on("error", reject);
      outgoing.end(body);
    });
  }

  async openWebSocket(path) {
    const socket = new WebSocket(this.url.replace("http", "ws") + path, { ca });
    socket.on("error", () => {}); // the end follows
    const conversation = new Conversation(socket);
    await Promise.race([next(socket, "open"), failureOf(conversation)]);
    return conversation;
  }

  close() {}
}

async function failureOf(conversation) {
  await conversation.closed;
  throw new Error("the WebSocket has closed");
}

async function http2(url) {
  const connection = await Http2Connection.open(url, { ca });
  connection.close = connection.destroy;
  return connection;
}

const http1 = async (url) => new Http1(url);

/** Describes a Socket.IO connection by hand: where it begins, and where its WebSocket is, if it has one. */
const BY_HAND = {
  "polling over HTTP/2": [http2],
  "polling over HTTP/2, upgraded over HTTP/2": [http2, http2],
  "polling over HTTP/2, upgraded over HTTP/1.1": [http2, http1],
  "polling over HTTP/1.1, upgraded over HTTP/2": [http1, http2],
  "a WebSocket over HTTP/2": [undefined, http2],
};

/** A session by hand, which sends numbered events and receives their echoes. */
class Session {
  echoes = [];
  #connections = [];

  constructor(url, random) {
    this.url = url;
    this.random = random;
  }

  async #open(kind) {
    const connection = await kind(this.url);
    this.#connections.push(connection);
    return connection;
  }

  /** Records the echoes among packets. Returns whether all have arrived. */
  #take(packets) {
    for (const packet of packets) {
      const echo = /^42\["message","Echo: (.*)"\]$/.exec(packet);
      if (echo) this.echoes.push(echo[1]);
      else assert.match(packet, /^([26]|40\{"sid":.*)$/, "an unexpected packet");
    }
    return this.echoes.length === EVENTS;
  }

  async run([polling, webSocket]) {
    if (!polling) return this.#overWebSocket(await this.#open(webSocket));
    const http = await this.#open(polling);
    this.sid = JSON.parse((await http.request(pathOf("polling"))).body.slice(1)).sid;
    const path = pathOf("polling", this.sid);
    const post = async (packets) => {
      const response = await http.request(path, { method: "POST", body: packets.join(RECORD_SEPARATOR) });
      assert.equal(response.body, "ok");
    };
    const poll = async () => {
      const { status, body } = await http.request(path);
      assert.equal(status, 200, body);
      const packets = body.split(RECORD_SEPARATOR);
      if (packets.includes("2")) await post(["3"]);
      return this.#take(packets);
    };
    await post(["40"]);
    await poll();
    let sent = 0;
    const last = webSocket ? 10 + this.random(EVENTS - 20) : EVENTS;
    let paused = false;
    const posting = (async () => {
      while (sent < last) {
        const count = Math.min(1 + this.random(4), last - sent);
        await post(Array.from({ length: count }, () => `42["message","${eventOf(sent++)}"]`));
      }
    })();
    const candidate = webSocket && this.#candidate(webSocket);
    const pausing = candidate?.then(() => (paused = true), () => (paused = true));
    const polls = (async () => {
      while (!paused && !(await poll()));
    })();
    await Promise.all([posting, polls, pausing]);
    if (candidate) await this.#exchange(await candidate, sent, "5");
  }

  async #candidate(kind) {
    const conversation = await (await this.#open(kind)).openWebSocket(pathOf("websocket", this.sid));
    conversation.send("2probe");
    assert.equal(await conversation.receive(), "3probe");
    return conversation;
  }

  async #overWebSocket(connection) {
    const conversation = await connection.openWebSocket(pathOf("websocket"));
    this.sid = JSON.parse((await conversation.receive()).slice(1)).sid;
    await this.#exchange(conversation, 0, "40");
  }

  /** Sends `first`, the events from `sent` on, and receives the remaining echoes. */
  async #exchange(conversation, sent, first) {
    conversation.send(first);
    if (first === "40") this.#take([await conversation.receive()]);
    while (sent < EVENTS) conversation.send(`42["message","${eventOf(sent++)}"]`);
    const lost = failureOf(conversation);
    lost.catch(() => {});
    for (;;) {
      const packet = await Promise.race([conversation.receive(), lost]);
      if (packet === "2") conversation.send("3");
      if (this.#take([packet])) break;
    }
    conversation.end();
  }

  close() {
    for (const connection of this.#connections) connection.close();
  }
}

/** Asserts that the echoes are those of the first events, in order. */
function expectPrefix(echoes) {
  assert.deepEqual(echoes, Array.from(echoes, (_, number) => eventOf(number)));
}

for (const [name, encrypted] of [
  ["in the clear", false],
  ["with TLS", true],
]) {
  describe(`on an unreliable network, ${name},`, { skip: reference && encrypted && "Tidewire only" }, () => {
    let server;
    before(async () => (server = await startApplication(encrypted ? { args: inFiles(localhost).args } : {})));
    after(() => server?.stop()); // asserts that the server ends cleanly

    /** Asserts that the session ends. A polling session is closed first: its client may have been between two polls. */
    async function expectNoSession(sid) {
      if (!sid) return;
      const direct = new Http1(server.url.replace("127.0.0.1", "localhost"));
      const closed = async () => {
        await direct.request(pathOf("polling", sid), { method: "POST", body: "1" });
        for (;;) {
          const { body } = await direct.request(pathOf("polling", sid));
          if (body === '{"code":1,"message":"Session ID unknown"}') return;
        }
      };
      await within(8_000, "the end of the session", closed());
    }

    /** Runs `attempt(relay, random)` in each round, once without and once with a break. */
    function rounds(what, attempt) {
      it(what, async () => {
        for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
          for (const breaks of [false, true]) {
            const random = randomNumbers(2 * seed + Number(breaks));
            const credit = breaks ? 200 + random(25_000) : Infinity;
            const relay = await ChoppyRelay.start(server.url, random, credit);
            try {
              await within(30_000, "the end of the events", attempt(relay, random));
            } catch (error) {
              error.message += ` (TIDEWIRE_SEED=${seed})`;
              throw error;
            } finally {
              relay.stop();
            }
          }
        }
      });
    }

    for (const [what, kinds] of Object.entries(BY_HAND)) {
      if (reference) continue; // Node's server does not speak HTTP/2
      rounds(`${what} keeps every event in order`, async (relay, random) => {
        const session = new Session(relay.url, random);
        try {
          const failure = await Promise.race([
            session.run(kinds).then(() => undefined, (error) => error),
            relay.broken.then(() => "broken"),
          ]);
          if (failure && !relay.isBroken) throw failure;
          expectPrefix(session.echoes);
          if (!failure) assert.equal(session.echoes.length, EVENTS);
        } finally {
          session.close();
        }
        await expectNoSession(session.sid);
      });
    }

    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      rounds(`the official client keeps every event in order over ${transports.join(" and ")}`, async (relay) => {
        const socket = io(relay.url, { transports, ca, forceNew: true, reconnection: false });
        const echoes = [];
        let sid;
        socket.io.on("open", () => (sid = socket.io.engine.id));
        const all = new Promise((resolve) => {
          socket.on("message", (text) => {
            if (echoes.push(text.slice("Echo: ".length)) === EVENTS) resolve();
          });
        });
        const ended = Promise.race([next(socket, "disconnect"), next(socket, "connect_error")]);
        ended.catch(() => {});
        for (let number = 0; number < EVENTS; number++) socket.emit("message", eventOf(number));
        const reason = await Promise.race([all, ended]);
        if (reason && !relay.isBroken) throw new Error(`disconnected: ${reason}`);
        if (typeof reason?.[0] === "string") assert.match(reason[0], /^transport (close|error)$/);
        expectPrefix(echoes);
        if (!reason) assert.equal(echoes.length, EVENTS);
        socket.disconnect();
        socket.io._close();
        await expectNoSession(sid);
      });
    }
  });
}
