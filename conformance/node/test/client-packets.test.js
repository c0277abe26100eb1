// Packet by packet: Tidewire's client of Socket.IO sends what the official client sends.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { describe, it } from "node:test";
import { Server as EngineServer } from "engine.io";
import { WebSocketServer } from "ws";
import { clientsForTests } from "../support/socketio-client.js";
import { next } from "../support/wait.js";

const FAST = { reconnectionDelay: 10, reconnectionDelayMax: 50 };

/**
 * A server that records every packet of a client, and answers as a Socket.IO server would. `connects` has more members for
 * the responses to CONNECT, such as `pid`. `refusals` has the data of a CONNECT_ERROR for each CONNECT, or `undefined` to
 * accept it; later ones are accepted.
 */
class Recorder {
  packets = [];
  connections = [];
  #events = new EventEmitter();

  static async start(connects = {}, refusals = []) {
    const recorder = new this();
    recorder.connects = connects;
    recorder.refusals = [...refusals];
    recorder.http = createServer((_request, response) => response.writeHead(404).end());
    recorder.attach(recorder.http);
    recorder.http.listen(0, "127.0.0.1");
    await once(recorder.http, "listening");
    recorder.url = `http://127.0.0.1:${recorder.http.address().port}`;
    return recorder;
  }

  record(packet) {
    this.packets.push(packet);
    const [, kind, nsp = "", id] = /^4([0-9])(?:\d+-)?(\/[^,]*,)?(\d+)?/.exec(packet) ?? [];
    if (kind === "0") {
      const refusal = this.refusals.shift();
      this.send(refusal ? `44${nsp}${JSON.stringify(refusal)}` : `40${nsp}${JSON.stringify({ sid: "socket", ...this.connects })}`);
    }
    if ((kind === "2" || kind === "5") && id !== undefined && !packet.includes("silent")) this.send(`43${nsp}${id}["ok"]`);
    this.#events.emit("packet");
  }

  /** Waits until `count` packets that contain `text` have arrived. */
  async received(text, count) {
    while (this.packets.filter((packet) => packet.includes(text)).length < count) await next(this.#events, "packet");
  }
}

class WebSocketRecorder extends Recorder {
  attach(http) {
    this.server = new WebSocketServer({ server: http });
    this.server.on("connection", (socket) => {
      this.connections.push(socket);
      socket.send('0{"sid":"engine","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}');
      socket.on("message", (data, isBinary) => this.record(isBinary ? `binary ${data.toString("hex")}` : data.toString()));
    });
  }

  /** Sends a packet of Engine.IO on the newest connection. A buffer is sent as it is. */
  send(packet) {
    this.connections.at(-1).send(packet);
  }

  cut() {
    this.connections.at(-1).terminate();
  }

  stop() {
    for (const socket of this.connections) socket.terminate();
    this.server.close();
    this.http.close();
  }
}

class PollingRecorder extends Recorder {
  #streams = new Set();

  attach(http) {
    http.on("connection", (stream) => {
      this.#streams.add(stream);
      stream.on("close", () => this.#streams.delete(stream));
    });
    this.server = new EngineServer({ transports: ["polling"] });
    this.server.attach(http, { path: "/socket.io" });
    this.server.on("connection", (socket) => {
      this.connections.push(socket);
      socket.on("packet", ({ type, data = "" }) => {
        this.record(Buffer.isBuffer(data) ? `binary ${data.toString("hex")}` : `${PACKET_TYPES.indexOf(type)}${data}`);
      });
    });
  }

  /** Sends a message of Engine.IO in the newest session. A buffer is sent as it is. */
  send(packet) {
    this.connections.at(-1).send(typeof packet === "string" ? packet.slice(1) : packet);
  }

  cut() {
    const session = this.connections.at(-1);
    // The engine would hold a poll that arrives only now for half a minute.
    delete this.server.clients[session.id];
    for (const stream of this.#streams) stream.destroy();
    session.close(true);
  }

  stop() {
    this.server.close();
    this.http.close();
    for (const stream of this.#streams) stream.destroy();
  }
}

/** The packet types of Engine.IO by their number. */
const PACKET_TYPES = ["open", "close", "ping", "pong", "message"];

const RECORDERS = { websocket: WebSocketRecorder, polling: PollingRecorder };

/** What a program does with a client. `recorder` is the server. `transports` are those of the script, or else all. */
const SCRIPTS = {
  "buffers, acknowledgements and binary data": {
    options: { autoConnect: false },
    // Whether a volatile event is sent over polling depends on when the response to the last POST arrives.
    transports: ["websocket"],
    async run(client) {
      client.does({ emit: ["a", 1] }, { emit: ["volatile"], volatile: true }, { ask: ["b", "x"] });
      client.does({ emit: ["c", { $bytes: "01" }, [{ $bytes: "0203" }]] }, { connect: true });
      await client.next("connect");
      await client.next("answer");
      client.does({ ask: ["d", { deep: { $bytes: "" } }], timeout: 5_000 });
      await client.next("answer");
      // Nothing is on its way, so the connection is ready for a volatile event.
      client.does({ emit: ["e"], volatile: true });
      client.does({ emit: ["f", null, "ä"] }, { ask: ["last"] });
      await client.next("answer");
    },
  },
  "events of the server with acknowledgements": {
    async run(client, recorder) {
      await client.next("connect");
      recorder.send('427["ask","x",{"y":[1]}]');
      recorder.send('420["none"]');
      recorder.send('42["no acknowledgement"]');
      await client.next("event");
      await client.next("event");
      await client.next("event");
      // A handler reports an event before its acknowledgement is sent.
      await recorder.received("430[", 1);
      await recorder.received("437[", 1);
      client.does({ ask: ["last"] });
      await client.next("answer");
    },
  },
  "namespaces with credentials": {
    options: { auth: { token: "1" }, auths: { "/admin": { list: [1], token: "2" } } },
    async run(client) {
      await client.next("connect");
      client.does({ nsp: "/admin", emit: ["early"] }, { nsp: "/admin", connect: true });
      await client.next("connect", "/admin");
      client.does({ nsp: "/admin", ask: ["b"] });
      await client.next("answer", "/admin");
      client.does({ nsp: "/admin", disconnect: true }, { emit: ["c"] }, { ask: ["last"] });
      await client.next("answer", "/");
    },
  },
  "a program that disconnects and connects": {
    // Over polling, the old session ends while the new one opens, in either order.
    transports: ["websocket"],
    async run(client) {
      await client.next("connect");
      client.does({ emit: ["a"] }, { disconnect: true });
      await client.next("disconnect");
      client.does({ emit: ["buffered"] }, { connect: true });
      await client.next("connect");
      client.does({ ask: ["last"] });
      await client.next("answer");
    },
  },
  "a connection that breaks": {
    options: FAST,
    async run(client, recorder) {
      await client.next("connect");
      client.does({ ask: ["silent"] }, { emit: ["a"] }, { ask: ["b"] });
      await client.next("answer");
      recorder.cut();
      await client.next("disconnect");
      client.does({ emit: ["buffered"] }, { ask: ["buffered too"] });
      await client.next("connect");
      await client.next("answer");
    },
  },
  "recovery": {
    options: FAST,
    connects: { pid: "private" },
    async run(client, recorder) {
      await client.next("connect");
      recorder.cut();
      await client.next("disconnect");
      await client.next("connect");
      recorder.send('42["event",1,"offset-1"]');
      recorder.send('42["event",2,"offset-2"]');
      await client.next("event");
      await client.next("event");
      recorder.cut();
      await client.next("disconnect");
      await client.next("connect");
      client.does({ ask: ["last"] });
      await client.next("answer");
    },
  },
  "binary data": {
    async run(client, recorder) {
      await client.next("connect");
      client.does({ emit: ["a", { $bytes: "" }, [{ $bytes: "0203" }]] }, { ask: ["b", { deep: { $bytes: "ff" } }] });
      await client.next("answer");
      recorder.send('452-7["c",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]');
      recorder.send(Buffer.from([1]));
      recorder.send(Buffer.from([]));
      assert.deepEqual((await client.next("event")).slice(1), [{ $bytes: "" }, { $bytes: "01" }]);
      // A handler reports an event before its acknowledgement is sent.
      await recorder.received("462-7[", 1);
      await recorder.received("binary 01", 1);
      client.does({ ask: ["last"] });
      await client.next("answer");
    },
  },
  "retries": {
    options: { ...FAST, retries: 2, ackTimeout: 300 },
    async run(client) {
      await client.next("connect");
      client.does({ emit: ["a", 1] }, { emit: ["silent"] }, { ask: ["b", { $bytes: "01" }] });
      await client.next("answer");
      // The recorder answers the text of an event, before its attachment arrives.
      client.does({ ask: ["last"] });
      await client.next("answer");
    },
  },
  "a connection that breaks, with `retries`": {
    options: { ...FAST, retries: 2, ackTimeout: 20_000 },
    async run(client, recorder) {
      await client.next("connect");
      client.does({ ask: ["silent"] }, { ask: ["b"] });
      for (const tries of [1, 2, 3]) {
        await recorder.received("silent", tries);
        recorder.cut();
        await client.next("disconnect");
        if (tries === 2) client.does({ emit: ["queued while it was not connected"] });
        if (tries < 3) await client.next("connect");
      }
      await client.next("answer");
      client.does({ ask: ["last"] });
      await client.next("answer");
    },
  },
  "a server that disconnects sockets": {
    options: FAST,
    async run(client, recorder) {
      await client.next("connect");
      client.does({ nsp: "/admin", connect: true });
      await client.next("connect", "/admin");
      recorder.send("41/admin,");
      await client.next("disconnect", "/admin");
      client.does({ nsp: "/admin", emit: ["buffered"] }, { ask: ["the other socket is connected"] });
      await client.next("answer", "/");
      client.does({ nsp: "/admin", connect: true });
      await client.next("connect", "/admin");
      recorder.send("41/admin,");
      await client.next("disconnect", "/admin");
      // With its last socket, the connection ends.
      recorder.send("41");
      await client.next("disconnect", "/");
      client.does({ emit: ["buffered too"] }, { connect: true });
      await client.next("connect", "/");
      client.does({ ask: ["last"] });
      await client.next("answer", "/");
    },
  },
  "a server that refuses sockets": {
    options: FAST,
    refusals: [{ message: "no", data: { code: 1 } }, undefined, { message: "not there" }],
    async run(client) {
      assert.equal(await client.next("connect_error", "/"), "no");
      client.does({ emit: ["buffered"] }, { connect: true });
      await client.next("connect", "/");
      client.does({ nsp: "/admin", emit: ["buffered"] }, { nsp: "/admin", connect: true });
      assert.equal(await client.next("connect_error", "/admin"), "not there");
      client.does({ ask: ["the other socket is connected"] });
      await client.next("answer", "/");
      client.does({ nsp: "/admin", connect: true });
      await client.next("connect", "/admin");
      client.does({ nsp: "/admin", ask: ["last"] });
      await client.next("answer", "/admin");
    },
  },
  "a server that sends packets that are not valid": {
    options: FAST,
    async run(client, recorder) {
      const invalid = ["49", "4x", "42[", '42{"a":1}', "42[]", "42[null]", '450-["a"', '43{"a":1}', "44[", Buffer.from([1])];
      for (const packet of invalid) {
        await client.next("connect");
        client.does({ ask: ["before"] });
        await client.next("answer");
        recorder.send(packet);
        assert.equal(await client.next("disconnect"), "parse error", packet);
        client.does({ emit: ["buffered"] });
      }
      await client.next("connect");
      client.does({ ask: ["last"] });
      await client.next("answer");
    },
  },
};

/** What both clients report in the same order: all but what `reconnect…` events and other sockets say in between. */
const reports = (client, nsp) =>
  client.said.filter((line) => line.nsp === nsp).map(({ ack: _, ...line }) => line);

describe("packet by packet, our client of Socket.IO", () => {
  const { client, official } = clientsForTests();

  for (const [name, { options, connects, refusals, transports = ["websocket", "polling"], run }] of Object.entries(SCRIPTS)) {
    for (const transport of transports) {
      it(`sends what the official client sends over ${transport}: ${name}`, async () => {
        const recorded = [];
        const reported = [];
        for (const start of [official, client]) {
          const recorder = await RECORDERS[transport].start(connects, refusals);
          try {
            const started = start(recorder.url, { transports: [transport], ...options });
            await run(started, recorder);
            recorded.push(recorder.packets);
            reported.push(["/", "/admin"].map((nsp) => reports(started, nsp)));
          } finally {
            recorder.stop();
          }
        }
        assert.deepEqual(recorded[1], recorded[0]);
        assert.deepEqual(reported[1], reported[0]);
        assert.ok(recorded[0].length > 0);
      });
    }
  }
});
