// A TCP relay that splits the bytes at random places, delays them, and resets its connections after a random number of
// bytes.
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Returns a function that returns the next random integer below its argument. The same seed gives the same numbers. */
export function randomNumbers(seed) {
  let state = seed >>> 0;
  // mulberry32
  return (end) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
  };
}

export class ChoppyRelay {
  #connections = new Set();
  #random;
  /** Bytes that may still pass. */
  #credit;
  /** Resolves when the connections are reset. */
  broken;
  isBroken = false;

  /** Resets all connections after `credit` bytes in both directions together. */
  static async start(target, random, credit = Infinity) {
    const relay = new ChoppyRelay(random, credit);
    const { protocol, hostname, port } = new URL(target);
    relay.listener = createServer((client) => relay.#accept(client, Number(port), hostname));
    relay.listener.listen(0, "127.0.0.1");
    await once(relay.listener, "listening");
    relay.url = `${protocol}//localhost:${relay.listener.address().port}`;
    return relay;
  }

  constructor(random, credit) {
    this.#random = random;
    this.#credit = credit;
    this.broken = new Promise((resolve) => (this.reportBreak = resolve));
  }

  #accept(client, port, host) {
    if (this.isBroken) return reset(client);
    const server = connect(port, host);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      this.#connections.add(socket);
      socket.on("close", () => this.#connections.delete(socket));
    }
    client.on("close", () => server.destroy());
    server.on("error", () => client.destroy());
    this.#forward(client, server);
    this.#forward(server, client);
  }

  async #forward(from, to) {
    try {
      for await (const chunk of from) {
        for (let at = 0; at < chunk.length; ) {
          // Half of the pieces are very short: they end inside of heads, frame headers and records.
          const length = 1 + this.#random(this.#random(2) ? 8 : 400);
          const piece = chunk.subarray(at, at + length);
          at += length;
          this.#credit -= piece.length;
          if (this.#credit < 0) return this.#break();
          if (!to.write(piece)) await once(to, "drain");
          if (this.#random(4) === 0) await new Promise((done) => setTimeout(done, this.#random(3)));
          else await new Promise(setImmediate);
        }
      }
      to.end();
    } catch {
      to.destroy(); // the other side has reset its connection
    }
  }

  #break() {
    this.isBroken = true;
    for (const socket of this.#connections) reset(socket);
    this.reportBreak();
  }

  stop() {
    this.#break();
    this.listener.close();
  }
}

function reset(socket) {
  // If the socket has sent its end, Node 20 would never close it, and would hang at its exit.
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
