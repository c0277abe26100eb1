// A TCP relay in front of a server. It counts the bytes that the server sends, and can break.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Relay {
  #connections = new Set();
  #broken = false;

  /** Bytes from the server, over all connections. */
  received = 0;

  static async start(target) {
    const relay = new Relay();
    const { hostname, port } = new URL(target);
    relay.listener = createServer((client) => {
      if (relay.#broken) return reset(client);
      const server = connect(Number(port), hostname);
      relay.#connections.add(client);
      client.on("close", () => relay.#connections.delete(client));
      server.on("data", (chunk) => (relay.received += chunk.length));
      client.pipe(server).pipe(client);
      client.on("error", () => {});
      client.on("close", () => server.destroy());
      server.on("error", () => client.destroy());
    });
    relay.listener.listen(0, "127.0.0.1");
    await once(relay.listener, "listening");
    relay.url = `http://127.0.0.1:${relay.listener.address().port}`;
    return relay;
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
