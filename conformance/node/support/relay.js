// A TCP relay in front of a server. It counts the bytes that the server sends.
import { once } from "node:events";
import { connect, createServer } from "node:net";

export class Relay {
  /** Bytes from the server, over all connections. */
  received = 0;

  static async start(target) {
    const relay = new Relay();
    const { hostname, port } = new URL(target);
    relay.listener = createServer((client) => {
      const server = connect(Number(port), hostname);
      server.on("data", (chunk) => (relay.received += chunk.length));
      client.pipe(server).pipe(client);
      client.on("error", () => server.destroy());
      server.on("error", () => client.destroy());
    });
    relay.listener.listen(0, "127.0.0.1");
    await once(relay.listener, "listening");
    relay.url = `http://127.0.0.1:${relay.listener.address().port}`;
    return relay;
  }

  stop() {
    this.listener.close();
  }
}
