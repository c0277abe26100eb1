// The official emitters: programs that send to the clients of a cluster, and are no servers.
import { createClient } from "redis";
import pg from "pg";
import { Emitter as RedisEmitter } from "@socket.io/redis-emitter";
import { Emitter as PostgresEmitter } from "@socket.io/postgres-emitter";

export async function redisEmitter(url, namespace) {
  const client = await createClient({ url }).connect();
  return { io: new RedisEmitter(client, undefined, namespace), close: () => client.close() };
}

export async function postgresEmitter(url, namespace) {
  const pool = new pg.Pool({ connectionString: url });
  // The emitter does not say when it has sent something, so the database may end while a connection is still open.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  return { io: new PostgresEmitter(pool, namespace), close: () => pool.end() };
}
