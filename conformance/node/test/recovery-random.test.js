// Connections that break at random bytes while a program sends events, and changes the rooms of its clients, at random.
// Each client comes back at once, sometimes before the server has noticed the break. It must recover its session, with
// each event once and in order.
//
// `TIDEWIRE_ROUNDS` is the number of seeds, `TIDEWIRE_SEED` the first one. Odd seeds are with JSON, even ones with
// MessagePack. A failure names its seed.
import assert from "node:assert/strict";
import messagePackParser from "socket.io-msgpack-parser";
import { randomNumbers } from "../support/choppy-relay.js";
import { recoveryForTests } from "../support/recovery.js";
import { describeOurs, ours, TRANSPORTS } from "../support/suite.js";
import { next, within } from "../support/wait.js";

const ROUNDS = Number(process.env.TIDEWIRE_ROUNDS ?? 20);
const FIRST_SEED = Number(process.env.TIDEWIRE_SEED ?? 1);
const STEPS = 60;
const CUTS = 5;
const ROOMS = ["a", "b", "c"];

/** A client, and what it must be told. */
class Subject {
  /** The rooms of its session, with that of its own id. */
  rooms;
  /** The events that it must be told, and those that it may be told at most once. */
  expected = [];
  optional = new Set();
  /** What was wrong with a connection. */
  faults = [];

  constructor(name, client, random) {
    Object.assign(this, { name, client, random });
    let id;
    client.socket.on("connect", () => {
      const { socket } = client;
      if (id !== undefined && (socket.id !== id || !socket.recovered)) this.faults.push("it was not recovered");
      if (id === undefined && socket.recovered) this.faults.push("its first session is a recovered one");
      id = socket.id;
    });
    this.#cutLater(CUTS);
  }

  #cutLater(cuts) {
    if (cuts === 0) return;
    const { relay } = this.client;
    const how = { orderly: this.random(2) === 0 };
    // Few bytes: within the handshake. More bytes: within the events.
    relay.cutAfter(1 + this.random(this.random(2) ? 600 : 3_000), () => {
      if (this.random(2)) relay.cut(how);
      else relay.cutUnnoticed(how);
      this.#cutLater(cuts - 1);
    });
  }

  /** Starts its connection. Resolves when the program may use its id. */
  async start() {
    await this.client.connect();
    this.rooms = new Set([this.client.socket.id]);
    this.id = this.client.socket.id;
  }

  handle(event, { rooms = [], except = [], kind }) {
    const isIn = (list) => list.some((room) => this.rooms.has(room));
    if ((rooms.length > 0 && !isIn(rooms)) || isIn(except)) return;
    if (kind) this.optional.add(event);
    else this.expected.push(event);
  }

  check() {
    const told = this.client.told.map(({ event }) => event);
    assert.deepEqual(this.faults, [], this.name);
    assert.deepEqual(told.filter((event) => !this.optional.has(event)), this.expected, this.name);
    // An event that awaits an acknowledgement, and a volatile one, may be lost. It is not repeated or late.
    assert.deepEqual(told, [...new Set(told)].sort((a, b) => a - b), this.name);
  }
}

async function run(server, format, seed) {
  const random = randomNumbers(seed);
  const program = await server.program();
  const subjects = [];
  for (const transport of TRANSPORTS) {
    const client = await server.client(transport);
    subjects.push(new Subject(`${transport} with ${format}`, client, randomNumbers(random(2 ** 31))));
  }
  await Promise.all(subjects.map((subject) => subject.start()));
  const room = () => ROOMS[random(ROOMS.length)];
  let event = 0;
  const tell = (to) => {
    event++;
    for (const subject of subjects) subject.handle(event, to);
    const filling = random(3) ? "x".repeat(random(60)) : Buffer.alloc(random(60), 1);
    return program.tell({ event, filling }, to);
  };
  for (let step = 0; step < STEPS; step++) {
    const subject = subjects[random(subjects.length)];
    const kind = random(4) ? undefined : ["volatile", "ask"][random(2)];
    const pending = [];
    switch (random(6)) {
      case 0: {
        const join = room();
        subject.rooms.add(join);
        await program.move(subject.id, { join });
        break;
      }
      case 1: {
        const leave = room();
        subject.rooms.delete(leave);
        await program.move(subject.id, { leave });
        break;
      }
      case 2:
        pending.push(tell({ rooms: [subject.id], kind }));
        break;
      case 3:
        pending.push(tell({ except: [room()], kind }));
        break;
      default:
        for (let count = random(4); count >= 0; count--) pending.push(tell({ rooms: [room(), room()], kind }));
    }
    // Sometimes, the program does not wait, so that the clients get several events at once.
    if (random(3)) await Promise.all(pending);
  }
  for (const { client } of subjects) client.relay.leave();
  await tell({});
  const isTold = ({ client }) => client.told.some((told) => told.event === event);
  for (const subject of subjects) {
    while (!isTold(subject)) await next(subject.client.socket, "told");
  }
  for (const subject of subjects) subject.check();
}

for (const [format, parser, parity] of [
  ["JSON", undefined, 1],
  ["MessagePack", messagePackParser, 0],
]) {
  describeOurs(`connections that break at random, with ${format},`, () => {
    const server = recoveryForTests({ parser });

    ours("recover with each event once and in order", async () => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        if (seed % 2 !== parity) continue;
        try {
          await within(15_000, "the end of the events", run(server, format, seed));
        } catch (error) {
          error.message += ` (TIDEWIRE_SEED=${seed})`;
          throw error;
        } finally {
          server.disconnectAll();
        }
      }
    });
  });
}
