// Packet by packet: Tidewire's client of Socket.IO sends what the official client sends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { describe, it } from "node:test";
import { WebSocketServer } from "ws";
import { clientsForTests } from "../support/socketio-client.js";

const FAST = { reconnectionDelay: 10, reconnectionDelayMax: 50 };

/**
 * A WebSocket server that records every packet of a client, and answers as a Socket.IO server would. `{ sid, pid }` of
 * the response to CONNECT come from `connects`.
 */
class Recorder {
  packets = [];
  connections = [];

  static async start(connects = {}) {
    const recorder = new Recorder();
    recorder.connects = connects;
    recorder.http = createServer((_request, response) => response.writeHead(404).end());
    recorder.server = new WebSocketServer({ server: recorder.http });
    recorder.server.on("connection", (socket) => recorder.#accept(socket));
    recorder.http.listen(0, "127.0.0.1");
    await once(recorder.http, "listening");
    recorder.url = `http://127.0.0.1:${recorder.http.address().port}`;
    return recorder;
  }

  #accept(socket) {
    this.connections.push(socket);
    socket.send('0{"sid":"engine","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}');
    socket.on("message", (data, isBinary) => {
      const packet = isBinary ? `binary ${data.toString("hex")}` : data.toString();
      this.packets.push(packet);
      const [, kind, nsp = "", id] = /^4([0-9])(?:\d+-)?(\/[^,]*,)?(\d+)?/.exec(packet) ?? [];
      if (kind === "0") socket.send(`40${nsp}${JSON.stringify({ sid: "socket", ...this.connects })}`);
      if ((kind === "2" || kind === "5") && id !== undefined && !packet.includes("silent")) socket.send(`43${nsp}${id}["ok"]`);
    });
  }

  /** Sends a packet on the newest connection. */
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

/** What a program does with a client. `recorder` is the server. */
const SCRIPTS = {
  "buffers, acknowledgements and binary data": {
    options: { autoConnect: false },
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
  "retries": {
    options: { ...FAST, retries: 2, ackTimeout: 50 },
    async run(client) {
      await client.next("connect");
      client.does({ emit: ["a", 1] }, { emit: ["silent"] }, { ask: ["b", { $bytes: "01" }] });
      await client.next("answer");
    },
  },
};

describe("packet by packet, our client of Socket.IO", () => {
  const { client, official } = clientsForTests();

  for (const [name, { options: scriptOptions, connects, run }] of Object.entries(SCRIPTS)) {
    it(`sends what the official client sends: ${name}`, async () => {
      const recorded = [];
      for (const start of [official, client]) {
        const recorder = await Recorder.start(connects);
        try {
          const started = start(recorder.url, { transports: ["websocket"], ...scriptOptions });
          await run(started, recorder);
          recorded.push(recorder.packets);
        } finally {
          recorder.stop();
        }
      }
      assert.deepEqual(recorded[1], recorded[0]);
      assert.ok(recorded[0].length > 0);
    });
  }
});
