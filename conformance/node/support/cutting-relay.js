// A TCP relay in front of a server that cuts its connections, and lets the client connect again.
import { once } from "node:events";
import { connect, createServer } from "node:net";

const GET = Buffer.from("GET ");

export class CuttingRelay {
  #target;
  #connections = new Set(); // { client, server }
  #isOpen = true;
  #isHolding = false;
  #polls = new Set(); // the connections with a GET that waits for its response
  #reportPoll = () => {};
  #cut; // the next cut, see `cutAfter`

  static async start(target) {
    const relay = new CuttingRelay();
    relay.#target = new URL(target);
    relay.listener = createServer({ noDelay: true }, (client) => relay.#accept(client));
    relay.listener.listen(0, "127.0.0.1");
    await once(relay.listener, "listening");
    relay.url = `http://127.0.0.1:${relay.listener.address().port}`;
    return relay;
  }

  /** Passes new connections on to another server. */
  aimAt(target) {
    this.#target = new URL(target);
  }

  #accept(client) {
    client.on("error", () => {});
    if (!this.#isOpen) return reset(client);
    const server = connect({ port: Number(this.#target.port), host: this.#target.hostname, noDelay: true });
    server.on("error", () => {});
    const connection = { client, server };
    this.#connections.add(connection);
    client.on("data", (bytes) => {
      this.#forward(server, bytes, () => {
        if (!bytes.subarray(0, 4).equals(GET)) return;
        this.#polls.add(connection);
        this.#reportPoll();
      });
    });
    server.on("data", (bytes) => {
      this.#polls.delete(connection);
      if (!this.#isHolding) this.#forward(client, bytes);
    });
    client.on("end", () => connection.isKept || server.end());
    server.on("end", () => this.#isHolding || client.end());
    client.on("close", () => connection.isKept || server.destroy());
    server.on("close", () => {
      this.#polls.delete(connection);
      if (this.#isHolding) return; // the client waits for a cut
      client.destroy();
      this.#connections.delete(connection);
    });
  }

  /** Resolves when a GET waits for its response. If the server has none, it does not notice that the client is gone. */
  async poll() {
    while (this.#polls.size === 0) await new Promise((resolve) => (this.#reportPoll = resolve));
  }

  #forward(to, bytes, then) {
    const cut = this.#cut;
    if (!cut || bytes.length < cut.left) {
      if (cut) cut.left -= bytes.length;
      if (to.writable) to.write(bytes, then);
      return;
    }
    this.#cut = undefined;
    if (to.writable) to.write(bytes.subarray(0, cut.left));
    cut.make();
  }

  /** Ends the connections of the clients and those to the server. New connections are accepted. */
  cut({ orderly = false } = {}) {
    for (const { client, server } of this.#connections) {
      if (orderly) client.end();
      else reset(client);
      server.destroy();
    }
  }

  /** Ends the connections of the clients. The server does not notice it: its connections stay open. */
  cutUnnoticed({ orderly = false } = {}) {
    for (const connection of this.#connections) {
      connection.isKept = true;
      if (orderly) connection.client.end();
      else reset(connection.client);
    }
  }

  /** Calls `make` as soon as this number of bytes has been forwarded, in both directions together. */
  cutAfter(bytes, make) {
    this.#cut = { left: bytes, make };
  }

  /** There will be no cut. */
  leave() {
    this.#cut = undefined;
  }

  /** From now on, discards what the server sends, and does not end a connection of a client when the server ends it. */
  hold() {
    this.#isHolding = true;
  }

  /** Cuts all connections, and resets new ones until `open`. */
  close() {
    this.#isOpen = false;
    this.cut();
  }

  /** Accepts connections again, and forwards what the server sends. */
  open() {
    this.#isOpen = true;
    this.#isHolding = false;
  }

  stop() {
    this.close();
    this.listener.close();
  }
}

function reset(socket) {
  // If the socket has sent its end, Node 20 would never close it, and would hang at its exit.
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
