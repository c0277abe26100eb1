// A TCP relay in front of a server, or in front of several: it takes the first one that accepts the connection. It counts
// the bytes that they send, and can break.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Relay {
  #connections = new Set();
  #broken = false;

  /** Bytes from the servers, over all connections. */
  received = 0;

  static async start(...targets) {
    const relay = new Relay();
    relay.listener = createServer((client) => {
      if (relay.#broken) return reset(client);
      relay.#connections.add(client);
      client.on("close", () => relay.#connections.delete(client));
      client.on("error", () => {});
      relay.#connect(client, targets);
    });
    relay.listener.listen(0, "127.0.0.1");
    await once(relay.listener, "listening");
    relay.url = `http://127.0.0.1:${relay.listener.address().port}`;
    return relay;
  }

  #connect(client, [target, ...others]) {
    const { hostname, port } = new URL(target);
    const server = connect(Number(port), hostname);
    let connected = false;
    client.on("close", () => server.destroy());
    server.on("connect", () => {
      connected = true;
      client.pipe(server).pipe(client);
    });
    server.on("data", (chunk) => (this.received += chunk.length));
    server.on("error", () => (connected || others.length === 0 ? client.destroy() : this.#connect(client, others)));
  }

  /** Resets the connections of the clients, also new ones, and closes those to the server. */
  break() {
    this.#broken = true;
    this.#connections.forEach(reset);
  }

  repair() {
    this.#broken = false;
  }

  stop() {
    this.break();
    this.listener.close();
  }
}

function reset(socket) {
  // If the socket has sent its end, Node 20 would never close it, and would hang at its exit.
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
