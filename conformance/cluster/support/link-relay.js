// A TCP relay between a server and its database, which a test can break in the ways in which networks break.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class LinkRelay {
  #target;
  #pairs = new Set(); // [from the server, to the database]
  #isStalled = false;
  #isRefusing = false;

  /** `target` is the URL of a database. */
  static async start(target) {
    const relay = new LinkRelay();
    relay.#target = new URL(target);
    relay.listener = createServer({ noDelay: true }, (client) => relay.#accept(client)).listen(0, "127.0.0.1");
    await once(relay.listener, "listening");
    return relay;
  }

  /** The URL of the database by way of this relay. */
  get url() {
    const url = new URL(this.#target);
    url.host = `127.0.0.1:${this.listener.address().port}`;
    return url.href;
  }

  #accept(client) {
    client.on("error", () => {});
    if (this.#isRefusing) return client.resetAndDestroy();
    const database = connect({ port: Number(this.#target.port), host: this.#target.hostname, noDelay: true });
    database.on("error", () => {});
    const pair = [client, database];
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [database, client]]) {
      from.on("data", (bytes) => to.writable && to.write(bytes));
      from.on("end", () => to.end());
      from.on("close", () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
    if (this.#isStalled) pair.forEach((socket) => socket.pause());
  }

  #each(action) {
    for (const pair of [...this.#pairs]) pair.forEach(action);
  }

  /** Ends all connections: with RST, or in order with FIN. New ones are accepted. */
  cut({ orderly = false } = {}) {
    this.#each((socket) => (orderly || socket.writableEnded ? socket.end() : socket.resetAndDestroy()));
  }

  /** Cuts all connections, and resets new ones until `accept`. */
  refuse() {
    this.#isRefusing = true;
    this.cut();
  }

  accept() {
    this.#isRefusing = false;
  }

  /** Forwards nothing until `resume`, also on new connections. Neither side notices it. */
  stall() {
    this.#isStalled = true;
    this.#each((socket) => socket.pause());
  }

  /** Forwards what has waited, and what comes. */
  resume() {
    this.#isStalled = false;
    this.#each((socket) => socket.resume());
  }

  stop() {
    this.refuse();
    this.listener.close();
  }
}
