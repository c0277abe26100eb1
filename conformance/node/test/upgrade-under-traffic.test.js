// Numbered events in both directions while sessions upgrade to WebSocket or fail to. No event may be lost, duplicated
// or reordered.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PollingSession, engineUrl, RECORD_SEPARATOR } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { failingUpgrades, heldUpgrade } from "../support/slow-network.js";
import { acknowledged, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

/** Of four numbered events, one requests an acknowledgement and one carries bytes. */
const KINDS = ["plain", "acknowledged", "binary", "plain"];

const bytesOf = (number) => Buffer.from(`${number}.`.repeat(1 + (number % 50)));

const valuesOf = (number) => (KINDS[number % 4] === "binary" ? [number, bytesOf(number)] : [number]);

/** A server with a short upgrade timeout. */
const startImpatientServer = () => startConformanceServer({ args: ["--upgrade-timeout", "700"] });

const nextTurn = () => new Promise(setImmediate);

const upTo = (end) => Array.from({ length: end }, (_, number) => number);

/** A client that sends numbered events and receives others. It records the responses and their order. */
class Numbered {
  sent = 0;
  answered = [];
  pushed = 0;
  received = [];

  constructor(socket, pusher) {
    this.socket = socket;
    this.pusher = pusher;
    socket.on("echo-back", (...answer) => this.answered.push(answer));
    socket.on("to-room", (number) => this.received.push(number));
  }

  send() {
    const number = this.sent++;
    const acknowledge = (...answer) => this.answered.push(answer);
    if (KINDS[number % 4] === "acknowledged") this.socket.emit("echo-ack", ...valuesOf(number), acknowledge);
    else this.socket.emit("echo", ...valuesOf(number));
  }

  /** Another client makes the server send an event to this one. */
  push() {
    this.pusher.emit("to-room", { room: this.socket.id, data: this.pushed++ });
  }

  /**
   * Exchanges `count` events in each direction, a few in each turn of the event loop. When it returns, the server has
   * sent all of its events.
   */
  async exchange(count) {
    for (let i = 0; i < count; i++) {
      this.send();
      this.push();
      if (i % 4 === 0) await nextTurn();
    }
    await acknowledged(this.pusher, "echo-ack");
  }

  async expectAll() {
    await acknowledged(this.pusher, "echo-ack");
    await acknowledged(this.socket, "echo-ack");
    assert.deepEqual(this.answered, upTo(this.sent).map(valuesOf));
    assert.deepEqual(this.received, upTo(this.pushed));
  }
}

describe("under traffic the official client", () => {
  const server = serverForTests(startConformanceServer);

  const EVENTS = 400;
  const SESSIONS = 25;
  const STEP = 12;

  it(`keeps ${EVENTS * SESSIONS} numbered events of each end in order, through ${SESSIONS} upgrades at different moments`, async () => {
    const pusher = await server.connect("websocket");

    const moveAfter = async (before) => {
      const upgrade = heldUpgrade();
      const socket = server.client("polling", { transports: upgrade.transports });
      const numbered = new Numbered(socket, pusher);
      socket.connect();
      // From before the session exists.
      for (let i = 0; i < STEP; i++) numbered.send();
      await next(socket, "connect");
      const { engine } = socket.io;
      await numbered.exchange(before);

      upgrade.open();
      await numbered.exchange(STEP);
      await upgrade.opened;
      await numbered.exchange(STEP);
      assert.equal(engine.transport.name, "polling");

      const answered = next(engine, "upgrading");
      upgrade.probe();
      await numbered.exchange(STEP);
      await answered;
      await numbered.exchange(STEP);
      await upgrade.paused;
      // The client now sends nothing on either connection, and the server still waits for a poll.
      const { length } = numbered.received;
      await numbered.exchange(STEP);
      assert.equal(numbered.received.length, length);

      upgrade.upgrade();
      await numbered.exchange(EVENTS - numbered.sent);
      assert.equal(engine.transport.name, "websocket");
      while (numbered.pushed < EVENTS) numbered.push();
      await numbered.expectAll();
      assert.deepEqual([numbered.sent, numbered.pushed], [EVENTS, EVENTS]);
    };

    await Promise.all(upTo(SESSIONS).map((session) => moveAfter(session * STEP)));
  });

  it("keeps them in order also when nothing is held up", async () => {
    const pusher = await server.connect("websocket");
    const move = async () => {
      const socket = server.client("polling, then upgraded");
      const numbered = new Numbered(socket, pusher);
      socket.connect();
      numbered.send();
      await next(socket, "connect");
      while (socket.io.engine.transport.name === "polling") await numbered.exchange(1);
      await numbered.exchange(50);
      await numbered.expectAll();
    };
    await Promise.all(upTo(10).map(move));
  });
});

describe("under traffic the official client goes on polling", () => {
  const server = serverForTests(startImpatientServer);

  for (const [what, transports] of failingUpgrades) {
    it(`when its WebSocket ${what}`, async () => {
      const pusher = await server.connect("websocket");
      const socket = server.client("polling", { transports });
      const numbered = new Numbered(socket, pusher);
      const opened = next(socket.io, "open");
      socket.connect();
      numbered.send();
      await opened;
      const { engine } = socket.io;
      const failed = next(engine, "upgradeError");
      let over = false;
      const stop = () => (over = true);
      failed.then(stop, stop);
      await next(socket, "connect");
      while (!over) await numbered.exchange(5);
      await failed;
      await numbered.exchange(20);
      await numbered.expectAll();
      assert.equal(engine.transport.name, "polling");
    });
  }
});

describe("under traffic a session by hand", () => {
  const server = serverForTests(startImpatientServer);

  /** Polls and posts numbered events until it is paused. */
  class Talking {
    sent = 0;
    pushed = 0;
    received = [];
    paused = false;

    static async begin() {
      const talking = new Talking();
      talking.pusher = await server.connect("websocket");
      talking.session = await PollingSession.join(server.url);
      talking.polling = talking.poll();
      talking.posting = talking.post();
      return talking;
    }

    /** Returns the packets of the next numbered event, in their WebSocket form. */
    nextEvent() {
      const number = this.sent++;
      if (KINDS[number % 4] === "acknowledged") return [`42${number}["echo-ack",${number}]`];
      if (KINDS[number % 4] === "binary") {
        return [`451-["echo",${number},{"_placeholder":true,"num":0}]`, bytesOf(number)];
      }
      return [`42["echo",${number}]`];
    }

    push() {
      this.pusher.emit("to-room", { room: this.session.socketId, data: this.pushed++ });
    }

    async poll() {
      while (!this.paused) {
        const packets = await this.session.packets();
        this.received.push(...packets.filter((packet) => packet !== "6"));
      }
    }

    async post() {
      while (!this.paused) {
        const packets = [...this.nextEvent(), ...this.nextEvent(), ...this.nextEvent()];
        this.push();
        const body = packets.map(asText).join(RECORD_SEPARATOR);
        assert.equal((await this.session.post(body)).body, "ok");
      }
    }

    /** Waits until both ends have sent more events while the session still polls. */
    async goesOn() {
      const { length } = this.received;
      while (this.received.length < length + 5) await Promise.race([nextTurn(), this.polling, this.posting]);
    }

    candidate() {
      return Conversation.open(engineUrl(server.webSocketUrl, { transport: "websocket", sid: this.session.sid }).href);
    }

    /**
     * Opens a WebSocket and completes the probe. If the server still has the previous WebSocket, it rejects this one,
     * and the next is tried.
     */
    async probed() {
      for (;;) {
        const webSocket = await this.candidate();
        webSocket.send("2probe");
        const answer = await Promise.race([webSocket.receive().catch(() => {}), webSocket.closed]);
        if (answer === "3probe") return webSocket;
      }
    }

    async pause() {
      this.paused = true;
      await this.polling;
      await this.posting;
    }

    /** Asserts that all events of both ends have arrived once and in order. */
    expectAll() {
      const pushes = this.received.filter((packet) => packet.startsWith('42["to-room"'));
      assert.deepEqual(pushes, upTo(this.pushed).map((number) => `42["to-room",${number}]`));
      const answers = this.received.filter((packet) => !packet.startsWith('42["to-room"'));
      const expected = upTo(this.sent).flatMap((number) => {
        if (KINDS[number % 4] === "acknowledged") return [`43${number}[${number}]`];
        if (KINDS[number % 4] === "binary") {
          return [`451-["echo-back",${number},{"_placeholder":true,"num":0}]`, asText(bytesOf(number))];
        }
        return [`42["echo-back",${number}]`];
      });
      assert.deepEqual(answers, expected);
    }

    /** Completes the upgrade, sends events directly after the upgrade packet, and receives the rest. */
    async move(webSocket) {
      await this.pause();
      this.push();
      await acknowledged(this.pusher, "echo-ack");
      webSocket.send("5");
      for (let i = 0; i < 100; i++) {
        for (const packet of this.nextEvent()) webSocket.send(packet);
        this.push();
      }
      await acknowledged(this.pusher, "echo-ack");
      webSocket.send('420["echo-ack","the end"]');
      for (;;) {
        const packet = asText(await webSocket.receive());
        if (packet === '430["the end"]') break;
        this.received.push(packet);
      }
      webSocket.end();
    }
  }

  /** Returns a packet in its polling form. */
  const asText = (packet) => (typeof packet === "string" ? packet : `b${packet.toString("base64")}`);

  const reset = (webSocket) => webSocket.socket._socket.resetAndDestroy();

  const FAILURES = {
    "reset before the probe": async (talking) => reset(await talking.candidate()),
    "reset in the middle of the probe": async (talking) => {
      const webSocket = await talking.candidate();
      webSocket.socket._socket.write(Buffer.from("818600000000327072", "hex"));
      await talking.goesOn();
      reset(webSocket);
    },
    "reset behind the probe": async (talking) => {
      const webSocket = await talking.candidate();
      webSocket.send("2probe");
      reset(webSocket);
    },
    "reset behind the answer": async (talking) => reset(await talking.probed()),
    "closed behind the answer": async (talking) => {
      const webSocket = await talking.probed();
      webSocket.socket.close();
      await webSocket.ended();
    },
    "wrong at once": async (talking) => {
      const webSocket = await talking.candidate();
      webSocket.send('42["echo","unheard"]');
      await webSocket.ended();
    },
    "wrong behind the answer": async (talking) => {
      const webSocket = await talking.probed();
      webSocket.send('42["echo","unheard"]');
      await webSocket.ended();
    },
    "against the rules of WebSocket": async (talking) => {
      const webSocket = await talking.probed();
      webSocket.socket._socket.write(Buffer.from("810135", "hex")); // not masked
      await webSocket.ended();
    },
    "silent until it is too late": async (talking) => {
      const webSocket = await talking.candidate();
      await talking.goesOn();
      await webSocket.ended();
    },
    "probed and then silent until it is too late": async (talking) => {
      const webSocket = await talking.probed();
      await talking.goesOn();
      await webSocket.ended();
    },
    "one too many": async (talking) => {
      const first = await talking.probed();
      const second = await talking.candidate();
      second.send("2probe");
      await second.ended();
      first.send("2probe");
      assert.equal(await first.receive(), "3probe");
      first.end();
    },
  };

  for (const [what, fail] of Object.entries(FAILURES)) {
    it(`goes on polling with a candidate that is ${what}, and moves with the next one`, async () => {
      const talking = await Talking.begin();
      await talking.goesOn();
      await fail(talking);
      await talking.goesOn();
      await talking.move(await talking.probed());
      talking.expectAll();
    });
  }

  it("survives all of these one after the other", async () => {
    const talking = await Talking.begin();
    for (const fail of Object.values(FAILURES)) {
      await talking.goesOn();
      await fail(talking);
    }
    await talking.goesOn();
    await talking.move(await talking.probed());
    talking.expectAll();
  });
});
