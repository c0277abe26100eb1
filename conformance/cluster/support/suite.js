// What the servers of a cluster do for each other, with any database between them. Each test runs with a sender of
// Tidewire and with one of Node.
import { after, afterEach, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import { pack } from "./bytes.js";
import { Engine } from "./engines.js";
import { Member, received, until } from "./members.js";

/** Whether programs of Node are tested in the place of ours, to prove that the tests are right. */
const reference = process.env.TIDEWIRE_REFERENCE === "1";

const HEARTBEAT_TIMEOUT = 2_000;
const REQUESTS_TIMEOUT = 2_000;
const BYTES = Buffer.from([0, 1, 2, 255]);

const sorted = (values) => [...values].sort();

/**
 * Defines the tests of a format.
 *
 * - `engine` is the name of the database;
 * - `format` is what `--engine` says to the programs;
 * - `emitter(url, namespace)` returns the official emitter and a function that closes it. Not every format has one;
 * - `hearsEmitter` are the kinds of servers that understand that emitter;
 * - `nodeKeepsOrder` says whether events of Node's adapter arrive in their order;
 * - `listsRooms` says whether Node's adapter can list the rooms of all servers;
 * - `deathLimit` is the time in milliseconds after which nobody waits for a server that was killed.
 */
export function clusterSuite({
  engine: name,
  format,
  emitter,
  hearsEmitter = ["tidewire", "node"],
  nodeKeepsOrder = true,
  listsRooms = false,
  deathLimit = HEARTBEAT_TIMEOUT,
}) {
  describe(`a cluster over ${name} in the format ${format}`, () => {
    let engine;
    /** Two servers of Tidewire and one of Node. */
    let members;

    const args = () => [
      ...["--engine", format, "--url", engine.url],
      ...["--heartbeat-interval", "500", "--heartbeat-timeout", String(HEARTBEAT_TIMEOUT)],
      ...["--requests-timeout", String(REQUESTS_TIMEOUT)],
    ];
    const join = (kind) => Member.start(kind, args());
    const counted = (count, who = members) =>
      until(`${count} servers`, async () => {
        const counts = await Promise.all(who.map((member) => member.run("servers")));
        return counts.every((seen) => seen === count);
      });
    const everywhere = (connect) => Promise.all(members.map((member, index) => connect(member, `client${index}`)));

    /** Three clients, one on each server: in `a`, in `a` and `b`, in `b`. */
    const clients = () => {
      const rooms = [["a"], ["a", "b"], ["b"]];
      return everywhere((member, name) => member.connect(name, { rooms: rooms[Number(name.at(-1))] }));
    };

    before(async () => {
      engine = await Engine.start(name);
      members = await Promise.all(["tidewire", "tidewire", "node"].map(join));
      await counted(3);
    });
    afterEach(() => members?.forEach((member) => member.disconnectAll()));
    after(async () => {
      await Promise.all(members?.map((member) => member.stop()) ?? []);
      await engine?.remove();
    });

    /** Waits until events of `sender` to `rooms` reach all of `clients`: a subscription may still be on its way. */
    async function reach(sender, clients, rooms) {
      const missing = () => clients.some((client) => !client.received.some(([event]) => event === "probe"));
      await until("a subscription", async () => {
        for (const room of rooms) await sender.run("emit", { to: [room], event: "probe" });
        return !missing();
      });
      await settle(sender, clients);
    }

    /** Waits until `clients` have everything that `sender` has sent, and forgets probes. */
    async function settle(sender, clients) {
      const barrier = `barrier ${Math.random()}`;
      await sender.run("emit", { event: barrier });
      await received(clients, barrier);
      for (const client of clients) {
        client.received = client.received.filter(([event]) => event !== "probe" && event !== barrier);
      }
    }

    /** Asserts that exactly these clients have received the event, each once. */
    async function assertReceivers(sender, clients, event, expected) {
      await received(expected.map((index) => clients[index]), event);
      await settle(sender, clients);
      const counts = clients.map((client) => client.received.filter(([name]) => name === event).length);
      assert.deepEqual(counts, clients.map((_, index) => (expected.includes(index) ? 1 : 0)));
    }

    // The first two servers are of Tidewire, the last one is of Node.
    for (const [kind, index] of [["Tidewire", 0], ["Node", 2]]) {
      const sender = () => members[index];
      const isOurs = kind === "Tidewire" && !reference;

      it(`${kind} broadcasts to all clients of all servers`, async () => {
        const all = await clients();
        const value = { text: "é\u2028", list: [1, null, true], nested: { "": 0.5 } };
        await sender().run("emit", { event: "all", args: [value, "second"] });
        for (const [args] of await received(all, "all")) assert.deepEqual(args, [value, "second"]);
        await assertReceivers(sender(), all, "all", [0, 1, 2]);
      });

      it(`${kind} broadcasts to rooms, except to others`, async () => {
        const all = await clients();
        await reach(sender(), all, ["a", "b"]);
        await sender().run("emit", { to: ["a"], event: "to a" });
        await assertReceivers(sender(), all, "to a", [0, 1]);
        await sender().run("emit", { to: ["a", "b"], event: "to both" });
        await assertReceivers(sender(), all, "to both", [0, 1, 2]);
        await sender().run("emit", { to: ["a"], except: ["b"], event: "not b" });
        await assertReceivers(sender(), all, "not b", [0]);
        await sender().run("emit", { except: ["a"], event: "not a" });
        await assertReceivers(sender(), all, "not a", [2]);
        await sender().run("emit", { to: [all[1].id], event: "to one" });
        await assertReceivers(sender(), all, "to one", [1]);
      });

      it(`${kind} broadcasts with flags`, async () => {
        const all = await clients();
        await sender().run("emit", { flags: { volatile: true }, event: "volatile" });
        await assertReceivers(sender(), all, "volatile", [0, 1, 2]);
        await sender().run("emit", { flags: { compress: false }, event: "uncompressed" });
        await assertReceivers(sender(), all, "uncompressed", [0, 1, 2]);
        await sender().run("emit", { flags: { local: true }, event: "local" });
        await assertReceivers(sender(), all, "local", [index]);
      });

      it(`${kind} broadcasts binary data`, async () => {
        const all = await clients();
        const args = [{ bytes: BYTES, list: [BYTES, "text"] }, BYTES];
        await sender().run("emit", { event: "bytes", args });
        for (const [seen] of await received(all, "bytes")) assert.deepEqual(seen, args);
      });

      it(`${kind} broadcasts events of any length`, async () => {
        const all = await clients();
        const lengths = [0, 100, 7_000, 9_000, 70_000, 1_000_000];
        // PostgreSQL has a limit of 7,999 bytes, which an event with its frame reaches somewhere here. Node's adapter fails
        // at exactly 8,000 bytes.
        const near = Array.from({ length: 160 }, (_, step) => 7_800 + step);
        if (isOurs) lengths.push(...near);
        for (const length of lengths) await sender().run("emit", { event: "long", args: [length, "x".repeat(length)] });
        for (const events of await received(all, "long", lengths.length)) {
          for (const [length, text] of events) assert.equal(text.length, length);
          assert.deepEqual(new Set(events.map(([length]) => length)), new Set(lengths));
        }
      });

      it(`${kind}'s events arrive in their order`, async () => {
        const all = await clients();
        for (let number = 0; number < 200; number += 1) {
          await sender().run("emit", { event: "numbered", args: [number] });
        }
        const numbers = Array.from({ length: 200 }, (_, number) => number);
        for (const events of await received(all, "numbered", 200)) {
          const order = isOurs || nodeKeepsOrder ? events.flat() : events.flat().sort((one, two) => one - two);
          assert.deepEqual(order, numbers);
        }
      });

      it(`${kind} receives the acknowledgements of all clients`, async () => {
        await everywhere((member, name) => member.connect(name));
        const { answers, complete } = await sender().run("ask", { event: "ask", timeout: 10_000, args: ["?"] });
        assert.deepEqual({ answers: sorted(answers), complete }, { answers: ["client0", "client1", "client2"], complete: true });
      });

      it(`${kind} receives acknowledgements with binary data`, async () => {
        await everywhere((member, name) => member.connect(name, { answer: { name, bytes: BYTES } }));
        const { answers } = await sender().run("ask", { event: "ask", timeout: 10_000, args: [BYTES] });
        assert.equal(answers.length, 3);
        for (const { bytes } of answers) assert.deepEqual(bytes, pack(BYTES));
      });

      it(`${kind} is told that clients do not acknowledge`, async () => {
        for (const silent of [0, 1, 2]) {
          await everywhere((member, name) =>
            member.connect(name, { rooms: [`silent${silent}`], ...(name === `client${silent}` && { answer: null }) }),
          );
          const { answers, complete } = await sender().run("ask", { event: "ask", timeout: 700 });
          const expected = [0, 1, 2].filter((index) => index !== silent).map((index) => `client${index}`);
          assert.deepEqual({ answers: sorted(answers), complete }, { answers: expected, complete: false });
          members.forEach((member) => member.disconnectAll());
          await until("no sockets", async () => (await sender().run("fetch")).length === 0);
        }
      });

      it(`${kind} fetches the sockets of all servers`, async () => {
        const all = await clients();
        const fetched = await sender().run("fetch");
        assert.deepEqual(sorted(fetched.map(({ id }) => id)), sorted(all.map(({ id }) => id)));
        for (const [number, client] of all.entries()) {
          const { rooms, data, handshake } = fetched.find(({ id }) => id === client.id);
          assert.deepEqual(sorted(rooms), sorted([client.id, ...[["a"], ["a", "b"], ["b"]][number]]));
          assert.deepEqual(data, { name: `client${number}` });
          assert.equal(handshake.auth.name, `client${number}`);
          assert.equal(handshake.query.from, `client${number}`);
          assert.match(handshake.headers.host, /^127\.0\.0\.1:\d+$/);
          assert.match(handshake.address, /127\.0\.0\.1$/);
        }
        const of = async (selection) => (await sender().run("fetch", selection)).map(({ data }) => data.name);
        assert.deepEqual(sorted(await of({ to: ["a"] })), ["client0", "client1"]);
        assert.deepEqual(sorted(await of({ to: ["a", "b"], except: ["b"] })), ["client0"]);
      });

      it(`${kind} puts the sockets of all servers into rooms, and takes them out`, async () => {
        const all = await clients();
        const roomsOf = async (client) => (await sender().run("fetch")).find(({ id }) => id === client.id).rooms;
        await sender().run("join", { to: ["b"], rooms: ["x", "y"] });
        for (const client of [all[1], all[2]]) {
          await until("the rooms", async () => (await roomsOf(client)).includes("y"));
        }
        assert.ok(!(await roomsOf(all[0])).includes("x"));
        await sender().run("leave", { except: ["a"], rooms: ["x"] });
        await until("the leave", async () => !(await roomsOf(all[2])).includes("x"));
        assert.ok((await roomsOf(all[1])).includes("x"));
      });

      it(`${kind} disconnects sockets of all servers`, async () => {
        const all = await clients();
        const reasons = [];
        all.forEach((client, number) => client.on("disconnect", (reason) => (reasons[number] = reason)));
        await sender().run("disconnect", { to: ["b"], close: false });
        await until("two disconnects", () => reasons[1] && reasons[2]);
        assert.deepEqual(reasons.slice(1), ["io server disconnect", "io server disconnect"]);
        assert.equal(all[0].connected, true);
        await sender().run("disconnect", { to: ["a"], close: true });
        await until("a closed connection", () => reasons[0]);
      });

      it(`${kind} sends events to the other servers`, async () => {
        const mark = Math.floor(Math.random() * 1e9);
        // The classic format of Redis sends these events as JSON.
        const bytes = format === "redis" ? "text" : pack(BYTES);
        await sender().run("tell", { event: "tell", value: { mark, bytes } });
        for (const [number, member] of members.entries()) {
          const heard = async () => (await member.run("heard")).filter(({ value }) => value.mark === mark);
          if (number === index) continue;
          const [first] = await until("the event", async () => ((await heard()).length > 0 ? heard() : undefined));
          assert.deepEqual(first.value.bytes, bytes);
        }
        assert.deepEqual((await sender().run("heard")).filter(({ value }) => value.mark === mark), []);
      });

      it(`${kind} receives the responses of the other servers`, async () => {
        const { answers, complete } = await sender().run("consult", { event: "consult", value: { number: 7 } });
        assert.equal(complete, true);
        assert.deepEqual(answers.map(({ value }) => value), [{ number: 7 }, { number: 7 }]);
      });

      it(`${kind} is told that servers do not respond`, async () => {
        const { answers, complete } = await sender().run("consult", { event: "ignore", value: 0 });
        assert.deepEqual({ answers, complete }, { answers: [], complete: false });
      });

      it(`${kind} broadcasts in another namespace`, async () => {
        const inChat = await everywhere((member, name) => member.connect(name, { namespace: "/chat", rooms: ["a"] }));
        const outside = await clients();
        const other = { namespace: "/chat", event: "chat" };
        await until("the namespace", async () => {
          const seen = await Promise.all(members.map((member) => member.run("servers", { namespace: "/chat" })));
          return seen.every((count) => count === 3);
        });
        await sender().run("emit", other);
        await received(inChat, "chat");
        await assertReceivers(sender(), outside, "chat", []);
        const fetched = await sender().run("fetch", { namespace: "/chat" });
        assert.deepEqual(sorted(fetched.map(({ id }) => id)), sorted(inChat.map(({ id }) => id)));
      });

      for (const victimKind of ["tidewire", "node"]) {
        it(`${kind} does not wait for a killed server of ${victimKind} longer than promised`, async () => {
          const victim = await join(victimKind);
          await counted(4, [...members, victim]);
          // A stopped server does not answer, and its connections stay open.
          await victim.suspend();
          const begin = Date.now();
          const request = sender().run("consult", { event: "consult", value: 1 });
          await victim.kill();
          const { answers, complete } = await request;
          const took = Date.now() - begin;
          assert.equal(answers.length, 2);
          // Some servers learn at once that the connection of the other one is closed, and do not wait at all.
          if (format === "postgres" && isOurs) assert.equal(complete, false);
          assert.ok(took < deathLimit + 2_000, `it waited ${took} ms`);
          await counted(3);
        });
      }
    }

    if (listsRooms) {
      it("Node lists the rooms of all servers", async () => {
        const all = await clients();
        const rooms = await members[2].run("rooms");
        assert.deepEqual(sorted(rooms), sorted(["a", "b", ...all.map(({ id }) => id)]));
      });
    }

    if (emitter && !(reference && !hearsEmitter.includes("node"))) {
      describe("the official emitter", () => {
        const withEmitter = async (namespace, use) => {
          const { io, close } = await emitter(engine.url, namespace);
          try {
            await use(io);
          } finally {
            await close();
          }
        };
        const hears = (number) => hearsEmitter.includes(number === 2 || reference ? "node" : "tidewire");
        const hearing = (list) => list.filter((_, number) => hears(number));

        it("broadcasts to clients", () =>
          withEmitter("/", async (io) => {
            const all = hearing(await clients());
            io.emit("hello", 1, { list: [true] }, BYTES);
            for (const [args] of await received(all, "hello")) assert.deepEqual(args, [1, { list: [true] }, BYTES]);
            io.to("a").except("b").emit("long", "x".repeat(20_000));
            await received([all[0]], "long");
            io.emit("end");
            await received(all, "end");
            assert.ok(!all[1].received.some(([event]) => event === "long"));
          }));

        it("broadcasts in a namespace", () =>
          withEmitter("/chat", async (io) => {
            const all = await everywhere((member, name) => member.connect(name, { namespace: "/chat" }));
            io.emit("in chat");
            await received(hearing(all), "in chat");
          }));

        it("puts sockets into rooms, takes them out and disconnects them", () =>
          withEmitter("/", async (io) => {
            const all = await clients();
            const names = async (room) => sorted((await members[0].run("fetch", { to: [room] })).map(({ data }) => data.name));
            const expected = ["client1", "client2"].filter((name) => hears(Number(name.at(-1))));
            io.in("b").socketsJoin(["p", "q"]);
            await until("the joins", async () => (await names("q")).join() === expected.join());
            io.in("a").socketsLeave("p");
            await until("the leaves", async () => (await names("p")).join() === expected.slice(1).join());
            io.in("a").disconnectSockets();
            await until("the disconnects", () => [all[0], all[1]].every((client) => client.disconnected));
          }));

        it("sends events to servers", () =>
          withEmitter("/", async (io) => {
            const mark = Math.floor(Math.random() * 1e9);
            io.serverSideEmit("tell", { mark });
            for (const member of hearing(members)) {
              await until("the event", async () => (await member.run("heard")).some(({ value }) => value.mark === mark));
            }
          }));
      });
    }

    it("a cluster works again after its database was restarted", async () => {
      await engine.stop();
      await engine.start();
      await counted(3);
      const all = await clients();
      for (const sender of members) await reach(sender, all, ["a", "b"]);
      assert.equal((await members[0].run("fetch")).length, 3);
      assert.equal((await members[2].run("fetch")).length, 3);
    });
  });
}
