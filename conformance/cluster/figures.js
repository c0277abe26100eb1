#!/usr/bin/env node
/**
 * What a broadcast through Redis costs, beside Node's adapter:
 *
 *     TIDEWIRE_CONFORMANCE_CLUSTER=… node figures.js [--nodes 2,4,8] [--receivers 1,10] [--engine redis|redis-sharded] [--rounds 5]
 *
 * A cluster of each kind runs, with a Redis of its own. They are loaded in turn: each server sends events to a room, in
 * portions, and the next portion begins when all clients have the last one. The table has medians of the rounds, and
 * processor time from the kernel's `schedstat`. For a hop, the limit of the fastest tenth counts.
 */
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { Engine } from "./support/engines.js";
import { Member, until } from "./support/members.js";

const { WebSocket } = createRequire(import.meta.resolve("engine.io-client"))("ws");

const { values: options } = parseArgs({
  options: {
    nodes: { type: "string", default: "2,4,8" },
    receivers: { type: "string", default: "1,10" },
    engine: { type: "string", default: "redis" },
    rounds: { type: "string", default: "5" },
  },
});
const numbers = (list) => list.split(",").map(Number);
const rounds = Number(options.rounds);

/** The events that all servers together send before they wait. */
const PORTION = 400;
const PORTIONS = 10;
const HOPS = 200;
const PAYLOAD = "x".repeat(100);

/** The processor time of a process in microseconds. */
function processorTime(process) {
  const threads = readdirSync(`/proc/${process}/task`);
  const ran = (thread) => Number(readFileSync(`/proc/${process}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  return threads.reduce((sum, thread) => sum + ran(thread), 0) / 1_000;
}

const sorted = (values) => [...values].sort((a, b) => a - b);
const median = (values) => sorted(values)[values.length >> 1];
/** The value below which a tenth of the values are. */
const fastest = (values) => sorted(values)[Math.floor(values.length / 10)];

/** A client that only counts, so that it needs less time than a server. */
class Receiver {
  count = 0;

  static async connect(url, rooms) {
    const receiver = new Receiver();
    const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    receiver.socket = socket;
    let isReady = false;
    socket.on("message", (message) => {
      if (message[0] === 0x30) socket.send(`40${JSON.stringify({ name: "receiver", rooms })}`);
      else if (message[0] === 0x32) socket.send("3");
      else if (isReady) receiver.count += 1;
      else if (message.includes("ready")) isReady = true;
    });
    await until("a receiver", () => isReady);
    return receiver;
  }
}

class Cluster {
  static async start(kind, nodes, receivers) {
    const cluster = new Cluster();
    cluster.engine = await Engine.start("redis");
    const args = ["--engine", options.engine, "--url", cluster.engine.url, "--requests-timeout", "2000"];
    cluster.members = await Promise.all(Array.from({ length: nodes }, () => Member.start(kind, args)));
    cluster.receivers = [];
    for (const [place, member] of cluster.members.entries()) {
      const rooms = ["all", ...(place === 0 ? ["near"] : []), ...(place === nodes - 1 ? ["far"] : [])];
      for (let index = 0; index < receivers; index++) cluster.receivers.push(await Receiver.connect(member.url, rooms));
    }
    await until("all servers", async () => (await cluster.members[0].run("servers")) === nodes);
    await cluster.portion(); // warms up, and waits for subscriptions
    return cluster;
  }

  async portion() {
    const count = PORTION / this.members.length;
    const before = this.receivers.map(({ count }) => count);
    const command = { to: ["all"], event: "said", args: [PAYLOAD], count };
    await Promise.all(this.members.map((member) => member.run("flood", command)));
    const has = (receiver, index) => receiver.count === before[index] + PORTION;
    while (!this.receivers.every(has)) await new Promise(setImmediate);
  }

  /** One round: broadcasts per second, and microseconds of processor time. */
  async load() {
    const servers = () => this.members.reduce((sum, { process }) => sum + processorTime(process), 0);
    const before = { servers: servers(), engine: processorTime(this.engine.process), time: performance.now() };
    for (let portion = 0; portion < PORTIONS; portion++) await this.portion();
    const broadcasts = PORTION * PORTIONS;
    const perBroadcast = (servers() - before.servers) / broadcasts;
    return {
      rate: broadcasts / ((performance.now() - before.time) / 1_000),
      perBroadcast,
      perDelivery: perBroadcast / this.receivers.length,
      engine: (processorTime(this.engine.process) - before.engine) / broadcasts,
    };
  }

  /** The time in microseconds that an event needs longer to a client of another server than to one of the sender's server. */
  async hop() {
    const sender = this.receivers[0];
    const times = { near: [], far: [] };
    for (let hop = 0; hop < HOPS; hop++) {
      for (const [room, receiver] of [["near", sender], ["far", this.receivers.at(-1)]]) {
        const before = receiver.count;
        const begin = performance.now();
        sender.socket.send(`42${JSON.stringify(["say", room, PAYLOAD])}`);
        while (receiver.count === before) await new Promise(setImmediate);
        times[room].push((performance.now() - begin) * 1_000);
      }
    }
    // Other programs of the machine delay most of the events, but not the fastest ones.
    return fastest(times.far) - fastest(times.near);
  }

  async stop() {
    for (const { socket } of this.receivers) socket.terminate();
    await Promise.all(this.members.map((member) => member.stop()));
    await this.engine.remove();
  }
}

const row = (cells) => console.log(`| ${cells.join(" | ")} |`);
row(["servers", "receivers each", "kind", "broadcasts/s", "servers, µs/broadcast", "servers, µs/delivery", "Redis, µs/broadcast", "a hop, µs"]);
row(["---:", "---:", "---", "---:", "---:", "---:", "---:", "---:"]);
for (const nodes of numbers(options.nodes)) {
  for (const receivers of numbers(options.receivers)) {
    const kinds = ["tidewire", "node"];
    const clusters = await Promise.all(kinds.map((kind) => Cluster.start(kind, nodes, receivers)));
    const results = kinds.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [index, cluster] of clusters.entries()) {
        results[index].push({ ...(await cluster.load()), hop: await cluster.hop() });
      }
    }
    for (const [index, kind] of kinds.entries()) {
      const of = (name, digits = 1) => median(results[index].map((result) => result[name])).toFixed(digits);
      row([nodes, receivers, kind, of("rate", 0), of("perBroadcast"), of("perDelivery"), of("engine"), of("hop", 0)]);
    }
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  }
}
