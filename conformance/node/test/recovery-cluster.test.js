// Clients of two servers in one process, which form a cluster. The messages between the servers, and the offsets of the events, come
// late. Connections break at random bytes, and each client comes back at once, to one of the two servers.
//
// `TIDEWIRE_ROUNDS` is the number of seeds of each test, `TIDEWIRE_SEED` the first one. Odd seeds are with JSON, even ones with
// MessagePack. A failure names its seed.
import assert from "node:assert/strict";
import messagePackParser from "socket.io-msgpack-parser";
import { randomNumbers } from "../support/choppy-relay.js";
import { recoveryForTests } from "../support/recovery.js";
import { describeOurs, ours, TRANSPORTS } from "../support/suite.js";
import { next, within } from "../support/wait.js";

const ROUNDS = Number(process.env.TIDEWIRE_ROUNDS ?? 20);
const FIRST_SEED = Number(process.env.TIDEWIRE_SEED ?? 1);
const STEPS = 40;
const ROOMS = ["a", "b", "c"];

/** A client, and its sessions. */
class Subject {
  /** The rooms of its session, with that of its own id. */
  rooms;
  /** The events that its session must be told. */
  expected = [];
  /** Each session has the numbers of its events, and how many of them it had when it was recovered last. */
  sessions = [];
  recoveries = 0;
  onNewSession;

  constructor(name, client, random, urls) {
    Object.assign(this, { name, client, random, urls });
    const { socket } = client;
    socket.on("connect", () => {
      if (!socket.recovered) {
        this.sessions.push({ id: socket.id, told: [], recoveredAt: 0 });
        return this.onNewSession?.();
      }
      const session = this.sessions.at(-1);
      assert.equal(socket.id, session?.id, `${name}: a session is recovered that it did not have`);
      session.recoveredAt = session.told.length;
      this.recoveries++;
    });
    socket.on("told", ({ event }) => this.sessions.at(-1).told.push(event));
  }

  get wasRefused() {
    return this.sessions.length > 1;
  }

  /** Cuts the connection several times, each time after some bytes. */
  cutLater(cuts) {
    if (cuts === 0) return;
    const { relay } = this.client;
    const how = { orderly: this.random(2) === 0 };
    // Few bytes: within the handshake. More bytes: within the events.
    relay.cutAfter(1 + this.random(this.random(2) ? 600 : 3_000), () => {
      relay.aimAt(this.urls[this.random(2)]);
      if (this.random(2)) relay.cut(how);
      else relay.cutUnnoticed(how);
      this.cutLater(cuts - 1);
    });
  }
}

async function start(server, random, format) {
  const program = await server.program();
  const { urls } = server.server;
  const subjects = [];
  for (const [index, transport] of TRANSPORTS.entries()) {
    const client = await server.client(transport);
    client.relay.aimAt(urls[index % 2]);
    const name = `${transport} with ${format}`;
    subjects.push(new Subject(name, client, randomNumbers(random(2 ** 31)), urls));
    await client.connect();
  }
  return { program, subjects };
}

/** Waits until each client has been told the last event, whose number `last` returns. */
async function end(subjects, last) {
  for (const { client } of subjects) {
    while (client.told.at(-1)?.event !== last()) await next(client.socket, "told");
  }
}

/** Lets all clients connect for the last time, and calls `tell` until all have been told the same last event. */
async function endWith(tell, subjects, last) {
  for (const { client } of subjects) client.relay.leave();
  for (;;) {
    // A new session does not get what was sent before.
    const begins = new Promise((resolve) => {
      for (const subject of subjects) subject.onNewSession = () => resolve(true);
    });
    await tell();
    if (!(await Promise.race([begins, end(subjects, last)]))) return;
  }
}

/**
 * Nothing is lost between the servers. A client that comes back to one server while the other one still takes its session is refused.
 * Everybody else recovers.
 */
async function runWithLink(server, format, seed) {
  const random = randomNumbers(seed);
  const { program, subjects } = await start(server, random, format);
  let event = 0;
  // Without an event, the servers have no common place in the log.
  await program.tellAndWait({ event: ++event });
  await end(subjects, () => event);
  for (const subject of subjects) {
    subject.id = subject.client.socket.id;
    subject.rooms = new Set([subject.id]);
    subject.expected.push(event);
    subject.cutLater(4);
  }
  const tell = (rooms, except = []) => {
    event++;
    for (const { rooms: own, expected } of subjects) {
      const isIn = (list) => list.some((room) => own.has(room));
      if ((rooms.length === 0 || isIn(rooms)) && !isIn(except)) expected.push(event);
    }
    const filling = random(3) ? "x".repeat(random(60)) : Buffer.alloc(random(60), 1);
    return program.tell({ event, filling }, { rooms, except });
  };
  const flush = async () => {
    event++;
    for (const { expected } of subjects) expected.push(event);
    await program.tellAndWait({ event });
  };
  for (let step = 0; step < STEPS; step++) {
    const subject = subjects[random(subjects.length)];
    const room = ROOMS[random(ROOMS.length)];
    const pending = [];
    switch (random(6)) {
      case 0:
        // An event that is on its way may still reach a socket that joins.
        await flush();
        await program.move(subject.id, { join: room }, () => subject.wasRefused);
        subject.rooms.add(room);
        break;
      case 1:
        await flush();
        await program.move(subject.id, { leave: room }, () => subject.wasRefused);
        subject.rooms.delete(room);
        break;
      case 2:
        pending.push(tell([subject.id]));
        break;
      case 3:
        pending.push(tell([], [room]));
        break;
      default:
        for (let count = random(4); count >= 0; count--) pending.push(tell([room, ROOMS[random(ROOMS.length)]]));
    }
    if (random(3)) await Promise.all(pending);
  }
  await endWith(flush, subjects, () => event);
  for (const { name, sessions, expected, wasRefused } of subjects) {
    const [{ told }] = sessions;
    assert.deepEqual(told, wasRefused ? expected.slice(0, told.length) : expected, name);
  }
  return subjects;
}

/**
 * The first server loses its link for a while, and sends events that only its own clients get. They are in no log. A session that has
 * got one of them is not recovered, and a session that is recovered has got all others.
 */
async function runWithoutLink(server, format, seed) {
  const random = randomNumbers(seed);
  const { program, subjects } = await start(server, random, format);
  let event = 0;
  const tell = () => program.tellAndWait({ event: ++event });
  await tell();
  await end(subjects, () => event);
  for (const subject of subjects) subject.cutLater(6);
  const cut = random(STEPS / 2);
  const restored = cut + 1 + random(STEPS / 4);
  const withoutLink = new Set();
  for (let step = 0; step < STEPS; step++) {
    if (step === cut) await program.link(false);
    if (step === restored) await program.link(true);
    for (let count = random(4); count >= 0; count--) {
      await tell();
      if (step >= cut && step < restored) withoutLink.add(event);
    }
  }
  await endWith(tell, subjects, () => event);
  for (const { name, sessions } of subjects) {
    for (const { told, recoveredAt } of sessions) {
      assert.deepEqual(told, [...new Set(told)].sort((a, b) => a - b), `${name}: order`);
      // What follows the last recovery may have a gap that the client has not been told of yet.
      const whole = told.slice(0, recoveredAt);
      const all = [];
      for (let number = whole[0]; number <= whole.at(-1); number++) {
        if (!withoutLink.has(number)) all.push(number);
      }
      assert.deepEqual(whole, all, `${name}: a recovered session has a gap`);
    }
  }
  return subjects;
}

const count = (subjects, of) => subjects.reduce((sum, subject) => sum + of(subject), 0);

for (const [format, parser, parity] of [
  ["JSON", undefined, 1],
  ["MessagePack", messagePackParser, 0],
]) {
  describeOurs(`connections to two servers that break at random, with ${format},`, () => {
    const server = recoveryForTests({ parser, args: ["--cluster", "yes"] });

    async function rounds(run) {
      let [recoveries, refusals] = [0, 0];
      for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
        if (seed % 2 !== parity) continue;
        try {
          const subjects = await within(20_000, "the end of the events", run(server, format, seed));
          recoveries += count(subjects, (subject) => subject.recoveries);
          refusals += count(subjects, (subject) => subject.sessions.length - 1);
        } catch (error) {
          error.message += ` (TIDEWIRE_SEED=${seed})`;
          throw error;
        } finally {
          server.disconnectAll();
        }
      }
      return { recoveries, refusals };
    }

    ours("recover on either server, with each event once and in order", async () => {
      const { recoveries, refusals } = await rounds(runWithLink);
      assert.ok(recoveries > 10 * refusals, `${recoveries} recovered, ${refusals} refused`);
    });

    ours("do not recover if a server has lost its link and they may have missed an event", async () => {
      const { recoveries, refusals } = await rounds(runWithoutLink);
      assert.ok(recoveries > 0 && refusals > 0, `${recoveries} recovered, ${refusals} refused`);
    });
  });
}
