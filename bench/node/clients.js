// Many official Socket.IO clients in one process: `node clients.js ADDRESS [CLIENTS] [SECONDS]`. It does the same as
// `../src/bin/clients-ours.rs`, and prints the same row.
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { io } from "socket.io-client";

const CONNECTING = 500;

const [address = "127.0.0.1:9001", clients = "1000", seconds = "30"] = process.argv.slice(2);
const count = Number(clients);

/** Returns the resident memory in bytes, without garbage if Node runs with --expose-gc. */
function resident() {
  globalThis.gc?.();
  return Number(/^Rss: +(\d+)/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))[1]) * 1024;
}

/** Returns the time of all threads on processors, in microseconds. */
function cpu() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

const memory = resident();
let before = cpu();
const sockets = [];
while (sockets.length < count) {
  const batch = Array.from({ length: Math.min(CONNECTING, count - sockets.length) }, () =>
    io(`http://${address}`, { transports: ["websocket"], forceNew: true }),
  );
  sockets.push(...batch);
  await Promise.all(batch.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
}
const connecting = cpu() - before;
const fresh = resident() - memory;

before = cpu();
await delay(Number(seconds) * 1000);
const waiting = cpu() - before;
if (!sockets.every((socket) => socket.connected)) throw new Error("a client was disconnected");

before = cpu();
const started = performance.now();
for (const answer of await Promise.all(sockets.map((socket) => socket.emitWithAck("ack", "hello")))) {
  if (answer !== "hello") throw new Error("another answer");
}
const took = performance.now() - started;
const events = cpu() - before;
const used = resident() - memory;
console.log(
  JSON.stringify({
    clients: count,
    bytes_fresh: Math.round(fresh / count),
    bytes_after_event: Math.round(used / count),
    cpu_us_connect: connecting / count,
    cpu_us_idle_second: waiting / count / Number(seconds),
    cpu_us_event: events / count,
    ms_all_events: took,
  }),
);
process.exit();
