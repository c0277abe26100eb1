#!/usr/bin/env node
/**
 * A server of a cluster, on Node's packages. It specifies `server.rs`: the tests also run with this program in the place of
 * that one.
 *
 *     node node-server.js --engine ENGINE --url URL --heartbeat-interval MS --heartbeat-timeout MS --requests-timeout MS
 *
 * It prints `listening on http://…`. Then it reads commands, one JSON object a line, and prints the answer to each.
 * `operations` has the commands. `to` and `except` are lists of rooms.
 */
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import { createClient } from "redis";
import pg from "pg";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createPostgresAdapter } from "@socket.io/postgres-adapter";
import { pack, unpack } from "./support/bytes.js";

const { values: options } = parseArgs({
  options: Object.fromEntries(
    ["engine", "url", "listen", "heartbeat-interval", "heartbeat-timeout", "requests-timeout"].map((name) => [
      name,
      { type: "string" },
    ]),
  ),
});
const requestsTimeout = Number(options["requests-timeout"]);

/** An engine that is restarted ends connections, which is no reason to end. */
const log = (error) => console.error(String(error));

async function adapter() {
  if (options.engine === "postgres") {
    const pool = new pg.Pool({ connectionString: options.url });
    pool.on("error", log);
    // The adapter does not listen for the errors of its connection, which would end this program.
    pool.on("connect", (client) => client.on("error", log));
    await pool.query(
      `CREATE TABLE IF NOT EXISTS socket_io_attachments
       (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea)`,
    ).catch(log); // Two servers that begin at once may collide.
    return createPostgresAdapter(pool, {
      heartbeatInterval: Number(options["heartbeat-interval"]),
      heartbeatTimeout: Number(options["heartbeat-timeout"]),
      errorHandler: log,
    });
  }
  const publisher = createClient({ url: options.url });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) {
    client.on("error", log);
    await client.connect();
  }
  if (options.engine === "redis-sharded") return createShardedAdapter(publisher, subscriber);
  return createAdapter(publisher, subscriber, { requestsTimeout });
}

const io = new Server({ adapter: await adapter() });
const heard = [];

for (const namespace of ["/", "/chat"]) {
  const nsp = io.of(namespace);
  nsp.on("connection", async (socket) => {
    socket.data = { name: socket.handshake.auth.name };
    await socket.join(socket.handshake.auth.rooms ?? []);
    socket.on("say", (room, message) => nsp.to(room).emit("said", message));
    socket.emit("ready");
  });
  nsp.on("tell", (value) => heard.push({ namespace, value: pack(value) }));
  nsp.on("consult", (value, respond) => respond({ value, by: options.listen ?? "node" }));
  nsp.on("ignore", () => {});
}

/** The sockets that a command selects, and its flags. */
function selected({ namespace = "/", to = [], except = [], flags = {} }) {
  let selection = io.of(namespace).to(to).except(except);
  if (flags.volatile) selection = selection.volatile;
  if (flags.local) selection = selection.local;
  if ("compress" in flags) selection = selection.compress(flags.compress);
  return selection;
}

/** Calls `run` with a callback, and returns all answers, also if some are missing. */
const collected = (run) =>
  new Promise((resolve) =>
    run((error, answers) => resolve({ answers: pack(answers ?? error?.responses ?? []), complete: !error })),
  );

const operations = {
  /** Sends an event to clients. */
  emit: (command) => selected(command).emit(command.event, ...unpack(command.args)),
  /** Sends many events, for `figures.js`. */
  flood({ count, ...command }) {
    for (let sent = 0; sent < count; sent++) selected(command).emit(command.event, ...unpack(command.args));
  },
  /** Sends an event to clients, and returns their acknowledgements. */
  ask: (command) =>
    collected((done) => selected(command).timeout(command.timeout).emit(command.event, ...unpack(command.args), done)),
  async fetch(command) {
    const sockets = await selected(command).fetchSockets();
    return sockets.map(({ id, rooms, data, handshake }) => ({ id, rooms: [...rooms], data, handshake }));
  },
  join: (command) => selected(command).socketsJoin(command.rooms),
  leave: (command) => selected(command).socketsLeave(command.rooms),
  disconnect: (command) => selected(command).disconnectSockets(command.close),
  /** Sends an event to the other servers. */
  tell: ({ namespace = "/", event, value }) => io.of(namespace).serverSideEmit(event, unpack(value)),
  /** Sends an event to the other servers, and returns their responses. */
  consult: ({ namespace = "/", event, value }) =>
    collected((done) => io.of(namespace).serverSideEmit(event, unpack(value), done)),
  /** What other servers have told this one. */
  heard: () => heard,
  servers: ({ namespace = "/" }) => io.of(namespace).adapter.serverCount(),
  /** The rooms of all servers. Only the adapter for Redis has this. */
  rooms: async () => [...(await io.of("/").adapter.allRooms())],
};

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  try {
    const value = await operations[command.operation](command);
    print({ id: command.id, value: typeof value === "boolean" ? null : value ?? null });
  } catch (error) {
    print({ id: command.id, error: String(error.message) });
  }
});

const [host, port] = (options.listen ?? "127.0.0.1:0").split(":");
io.httpServer ?? io.attach((await import("node:http")).createServer());
io.httpServer.listen(Number(port), host, () => {
  process.stdout.write(`listening on http://127.0.0.1:${io.httpServer.address().port}\n`);
});
process.once("SIGTERM", () => process.exit(0));
