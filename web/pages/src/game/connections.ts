// The two connections to the game. Both have the same methods and report the same things.

import { io, type Socket } from "@tidewire/client";
import { type Input, toRadians, type Motion, type Wind } from "./boat.js";
import { Meter } from "./meter.js";

export type Kind = "raw" | "socketio";

export interface State {
  tick: number;
  wind: Wind;
  boats: Map<number, Motion & { applied: number }>;
}
export interface Sailor {
  id: number;
  name: string;
  isBot: boolean;
}
export interface Points {
  secondsLeft: number;
  winner: { id: number; score: number } | null;
  buoys: { x: number; y: number; points: number }[];
  scores: Map<number, number>;
}

/** What a connection reports. */
export interface Listener {
  connected(): void;
  disconnected(why: string): void;
  /** `id` is null if all places are taken. */
  joined(id: number | null): void;
  state(state: State): void;
  roster(sailors: Sailor[]): void;
  points(points: Points): void;
}

export interface Connection {
  readonly meter: Meter;
  readonly isConnected: boolean;
  join(key: string, name: string, steers: boolean): void;
  input(number: number, input: Input): void;
  /** From now on, the inputs of this connection count. */
  takeHelm(): void;
  ping(): void;
}

/** A boat: id, x and y in eighths, heading, speed in x and y in 4 units for each second, number of the last input. */
type CompactBoat = [number, number, number, number, number, number, number];

function expand([, x, y, heading, vx, vy, applied]: CompactBoat): Motion & { applied: number } {
  return { x: x / 8, y: y / 8, heading: toRadians(heading), vx: vx * 4, vy: vy * 4, applied };
}

interface ServerToClient {
  state: (tick: number, windAngle: number, windForce: number, boats: CompactBoat[]) => void;
  roster: (sailors: [id: number, name: string, isBot: boolean][]) => void;
  points: (
    secondsLeft: number,
    winner: [id: number, score: number] | null,
    buoys: [x: number, y: number, points: number][],
    scores: [id: number, score: number][],
  ) => void;
}
interface ClientToServer {
  join: (key: string, name: string, steers: boolean, joined: (id: number | null) => void) => void;
  input: (number: number, angle: number, strength: number) => void;
  helm: () => void;
  ping: (answered: () => void) => void;
}

/** The game over Socket.IO. It reconnects by itself, and plays over polling where WebSocket is blocked. */
export class SocketIoConnection implements Connection {
  readonly meter = new Meter();
  readonly socket: Socket<ServerToClient, ClientToServer>;

  constructor(listener: Listener) {
    this.socket = io("/game", { reconnectionDelay: 500, reconnectionDelayMax: 3_000 });
    this.socket.on("connect", () => {
      this.meter.watchEngine(this.socket.io.engine);
      listener.connected();
    });
    this.socket.on("disconnect", (reason) => {
      listener.disconnected("connecting …");
      // The server disconnects those for whom it has no room.
      if (reason === "io server disconnect") setTimeout(() => this.socket.connect(), 5_000);
    });
    this.socket.on("connect_error", () => listener.disconnected("cannot connect, trying again …"));
    this.socket.on("state", (tick, angle, force, boats) => {
      const all = new Map(boats.map((boat) => [boat[0], expand(boat)]));
      listener.state({ tick, wind: { angle: toRadians(angle), force }, boats: all });
    });
    this.socket.on("roster", (all) => listener.roster(all.map(([id, name, isBot]) => ({ id, name, isBot }))));
    this.socket.on("points", (secondsLeft, winner, buoys, scores) => {
      listener.points({
        secondsLeft,
        winner: winner && { id: winner[0], score: winner[1] },
        buoys: buoys.map(([x, y, points]) => ({ x: x / 8, y: y / 8, points })),
        scores: new Map(scores),
      });
    });
    this.#joined = (id) => listener.joined(id);
  }

  #joined: (id: number | null) => void;

  get isConnected(): boolean {
    return this.socket.connected;
  }

  join(key: string, name: string, steers: boolean): void {
    // An event that waits until the socket is connected would come beside the one of the new connection.
    if (!this.socket.connected) return;
    this.socket.emit("join", key, name, steers, (id) => {
      if (typeof id === "number" || id === null) this.#joined(id);
    });
  }

  input(number: number, { angle, strength }: Input): void {
    this.socket.volatile.emit("input", number, angle, strength);
  }

  takeHelm(): void {
    if (this.socket.connected) this.socket.emit("helm");
  }

  ping(): void {
    if (!this.socket.connected) return;
    const start = performance.now();
    this.socket.emit("ping", () => this.meter.roundTrip(start));
  }
}

/** A connection that does not open in this time, in milliseconds, has failed. */
const OPEN_TIMEOUT = 4_000;

/** The same game over a raw WebSocket. Reconnecting, and what the bytes mean, are up to the page. */
export class RawConnection implements Connection {
  readonly meter = new Meter();
  #listener: Listener;
  #socket: WebSocket | undefined;
  #attempts = 0;
  #pings = new Map<number, number>();
  #nextPing = 0;

  constructor(listener: Listener) {
    this.#listener = listener;
    this.#open();
  }

  get isConnected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  #open(): void {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/game/ws`);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let wasOpen = false;
    const timer = setTimeout(() => this.#retry(socket, wasOpen), OPEN_TIMEOUT);
    socket.addEventListener("open", () => {
      clearTimeout(timer);
      wasOpen = true;
      this.#attempts = 0;
      this.#listener.connected();
    });
    socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) this.#receive(new DataView(data));
    });
    socket.addEventListener("close", () => {
      clearTimeout(timer);
      this.#retry(socket, wasOpen);
    });
  }

  /** Opens the next WebSocket after a delay that grows, with a random part, so that not all pages come back at once. */
  #retry(ended: WebSocket, wasOpen: boolean): void {
    if (this.#socket !== ended) return;
    this.#socket = undefined;
    ended.close();
    this.#pings.clear();
    this.#listener.disconnected(wasOpen ? "connecting …" : "cannot connect, trying again …");
    const delay = Math.min(500 * 2 ** this.#attempts++, 5_000);
    setTimeout(() => this.#open(), delay * (0.5 + Math.random() / 2));
  }

  #receive(message: DataView): void {
    const type = message.getUint8(0);
    this.meter.down(message.byteLength, type === 2 ? "state" : type === 5 ? "ping" : undefined);
    if (type === 1) {
      const id = message.getUint8(1);
      this.#listener.joined(id === 255 ? null : id);
    } else if (type === 2) this.#listener.state(readState(message));
    else if (type === 3) this.#listener.roster(readRoster(message));
    else if (type === 4) this.#listener.points(readPoints(message));
    else if (type === 5) {
      const number = message.getUint8(1);
      const start = this.#pings.get(number);
      this.#pings.delete(number);
      if (start !== undefined) this.meter.roundTrip(start);
    }
  }

  #send(bytes: Uint8Array<ArrayBuffer>, kind?: "input" | "ping"): void {
    if (!this.isConnected) return;
    this.#socket?.send(bytes);
    this.meter.up(bytes.length, kind);
  }

  join(key: string, name: string, steers: boolean): void {
    const text = new TextEncoder().encode(name);
    const bytes = new Uint8Array(10 + text.length);
    bytes.set([1, steers ? 1 : 0]);
    new DataView(bytes.buffer).setBigUint64(2, BigInt(`0x${key}`));
    bytes.set(text, 10);
    this.#send(bytes);
  }

  input(number: number, { angle, strength }: Input): void {
    // An input that waits is out of date when it is sent.
    if (this.#socket?.bufferedAmount === 0) this.#send(Uint8Array.of(2, number, angle, strength), "input");
  }

  takeHelm(): void {
    this.#send(Uint8Array.of(3));
  }

  ping(): void {
    if (!this.isConnected) return;
    const number = this.#nextPing++ & 255;
    this.#pings.set(number, performance.now());
    this.#send(Uint8Array.of(4, number), "ping");
  }
}

function readState(message: DataView): State {
  const boats: State["boats"] = new Map();
  for (let at = 5; at + 9 <= message.byteLength; at += 9) {
    const id = message.getUint8(at);
    boats.set(id, expand([
      id, message.getUint16(at + 1), message.getUint16(at + 3), message.getUint8(at + 5),
      message.getInt8(at + 6), message.getInt8(at + 7), message.getUint8(at + 8),
    ]));
  }
  const wind = { angle: toRadians(message.getUint8(3)), force: message.getUint8(4) };
  return { tick: message.getUint16(1), wind, boats };
}

function readRoster(message: DataView): Sailor[] {
  const sailors: Sailor[] = [];
  for (let at = 1; at < message.byteLength; ) {
    const length = message.getUint8(at + 2);
    const name = new TextDecoder().decode(new Uint8Array(message.buffer, at + 3, length));
    sailors.push({ id: message.getUint8(at), name, isBot: message.getUint8(at + 1) === 1 });
    at += 3 + length;
  }
  return sailors;
}

function readPoints(message: DataView): Points {
  const winner = message.getUint8(2);
  const buoys: Points["buoys"] = [];
  let at = 6;
  for (let left = message.getUint8(5); left > 0; left--, at += 5) {
    const [x, y] = [message.getUint16(at) / 8, message.getUint16(at + 2) / 8];
    buoys.push({ x, y, points: message.getUint8(at + 4) });
  }
  const scores = new Map<number, number>();
  for (; at + 3 <= message.byteLength; at += 3) scores.set(message.getUint8(at), message.getUint16(at + 1));
  return {
    secondsLeft: message.getUint8(1),
    winner: winner === 255 ? null : { id: winner, score: message.getUint16(3) },
    buoys,
    scores,
  };
}
