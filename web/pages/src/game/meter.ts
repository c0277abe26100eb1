// Measures one connection: round trips, bytes and messages.

import type { Engine } from "@tidewire/client";

/** The messages whose cost the page shows. */
export type Measured = "input" | "state" | "ping";

/** The time that the figures cover, and that of the charts, in seconds. */
export const WINDOW = 10;
export const CHART = 30;

interface Sample {
  time: number;
  value: number;
}
interface Traffic {
  time: number;
  bytes: number;
  messages: number;
}

export interface Figures {
  now: number | undefined;
  median: number | undefined;
  p95: number | undefined;
  bytesUp: number;
  bytesDown: number;
  messagesUp: number;
  messagesDown: number;
}

export class Meter {
  /** The round trips of the charts, in milliseconds. */
  readonly roundTrips: Sample[] = [];
  /** The last size of a message and its frame, in bytes. A ping and its answer are counted apart. */
  readonly cost: { input?: number; state?: number; ping?: number; pong?: number } = {};
  /** Whether the bytes of requests are missing, because they go over HTTP. */
  isPolling = false;
  #up: Traffic[] = [];
  #down: Traffic[] = [];
  #engine: Engine | undefined;

  up(bytes: number, kind?: Measured): void {
    // A page masks what it sends with four bytes (RFC 6455 §5.1).
    const size = this.#framed(bytes, 4);
    this.#up.push({ time: performance.now(), bytes: size, messages: 1 });
    if (kind === "input" || kind === "ping") this.cost[kind] = size;
  }

  down(bytes: number, kind?: Measured): void {
    const size = this.#framed(bytes, 0);
    this.#down.push({ time: performance.now(), bytes: size, messages: 1 });
    if (kind === "state") this.cost.state = size;
    if (kind === "ping") this.cost.pong = size;
  }

  #framed(bytes: number, mask: number): number {
    // Over polling, one byte separates two messages.
    return this.isPolling ? bytes + 1 : bytes + mask + (bytes < 126 ? 2 : 4);
  }

  roundTrip(start: number): void {
    const now = performance.now();
    this.roundTrips.push({ time: now, value: now - start });
  }

  /** Counts what a connection of Engine.IO sends and gets, with its heartbeats. */
  watchEngine(engine: Engine): void {
    if (this.#engine === engine) return;
    this.#engine = engine;
    this.isPolling = engine.transport.name === "polling";
    engine.on("upgrade", (transport) => (this.isPolling = transport.name === "polling"));
    // Each message has one character for its type. The first ones after it say which event it is.
    engine.on("packetCreate", ({ data }) => this.up(1 + size(data), kindOf(data)));
    engine.on("packet", ({ data }) => this.down(1 + size(data), kindOf(data)));
  }

  figures(): Figures {
    const now = performance.now();
    forget(this.roundTrips, now - CHART * 1_000);
    forget(this.#up, now - CHART * 1_000);
    forget(this.#down, now - CHART * 1_000);
    const recent = this.roundTrips.filter(({ time }) => time > now - WINDOW * 1_000).map(({ value }) => value);
    const sorted = recent.toSorted((a, b) => a - b);
    const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
    const [up, down] = [rate(this.#up, now, 3), rate(this.#down, now, 3)];
    return {
      now: recent.at(-1),
      median: at(0.5),
      p95: at(0.95),
      bytesUp: up.bytes,
      bytesDown: down.bytes,
      messagesUp: up.messages,
      messagesDown: down.messages,
    };
  }

  /** The bytes down of each of the last seconds, the latest last. */
  bytesDownPerSecond(): Sample[] {
    const now = Math.floor(performance.now() / 1_000);
    const seconds = Array.from({ length: CHART }, (_, index) => ({ time: (now - CHART + index) * 1_000, value: 0 }));
    for (const { time, bytes } of this.#down) {
      const second = seconds[Math.floor(time / 1_000) - now + CHART];
      if (second) second.value += bytes;
    }
    return seconds;
  }
}

function rate(traffic: Traffic[], now: number, seconds: number): { bytes: number; messages: number } {
  let [bytes, messages] = [0, 0];
  for (let index = traffic.length - 1; index >= 0; index--) {
    const one = traffic[index]!;
    if (one.time < now - seconds * 1_000) break;
    bytes += one.bytes;
    messages += one.messages;
  }
  return { bytes: bytes / seconds, messages: messages / seconds };
}

function forget(list: { time: number }[], before: number): void {
  const first = list.findIndex(({ time }) => time >= before);
  list.splice(0, first < 0 ? list.length : first);
}

const encoder = new TextEncoder();

function size(data: unknown): number {
  return typeof data === "string" ? encoder.encode(data).length : data instanceof ArrayBuffer ? data.byteLength : 0;
}

function kindOf(data: unknown): Measured | undefined {
  if (typeof data !== "string") return undefined;
  if (data.startsWith('2/game,["state"')) return "state";
  if (data.startsWith('2/game,["input"')) return "input";
  // A ping asks for an acknowledgement. Only pings are acknowledged without a value.
  return /^2\/game,\d+\["ping"/.test(data) || /^3\/game,\d+\[\]$/.test(data) ? "ping" : undefined;
}
