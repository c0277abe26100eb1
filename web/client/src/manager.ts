import { Backoff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { Engine, parseQuery } from "./engine.js";
import { Socket } from "./socket.js";
import type {
  DefaultEventsMap,
  DisconnectDescription,
  EventsMap,
  ManagerOptions,
  Packet,
  Parser,
  RawData,
  SocketOptions,
} from "./types.js";
import { parseUrl } from "./url.js";

/** The events of a manager. */
export interface ManagerEvents {
  open: () => void;
  error: (error: Error) => void;
  ping: () => void;
  packet: (packet: Packet) => void;
  close: (reason: string, description?: DisconnectDescription) => void;
  reconnect: (attempts: number) => void;
  reconnect_attempt: (attempt: number) => void;
  reconnect_error: (error: Error) => void;
  reconnect_failed: () => void;
}

let defaultParser: Parser;

/** Sets the parser of the managers whose options do not name one. */
export function setDefaultParser(parser: Parser): void {
  defaultParser = parser;
}

/** A connection to a server, which several sockets share. It reconnects when the connection ends. */
export class Manager<
  Listen extends EventsMap = DefaultEventsMap,
  Emit extends EventsMap = Listen,
> extends Emitter<{}, ManagerEvents> {
  /** The URL of the server. */
  readonly uri: string;
  /** The options. Changes apply to the next connection. */
  opts: Partial<ManagerOptions>;
  /** The current connection, or the last one. */
  engine!: Engine;
  /** The sockets, by namespace. */
  readonly nsps: Record<string, Socket<Listen, Emit>> = {};
  _readyState: "opening" | "open" | "closed" = "closed";
  /** */
  readonly _autoConnect: boolean;
  /** Whether the manager waits for the next attempt, or makes it. */
  _reconnecting = false;
  _skipReconnect = false;
  _reconnection!: boolean;
  _reconnectionAttempts!: number;
  _timeout!: number | false;
  _backoff: Backoff;
  /** The number of attempts since the connection was open. */
  _attempts = 0;
  _openedAt = 0;
  _timer: ReturnType<typeof setTimeout> | undefined;
  /** Ends what belongs to the current connection, or to the current attempt. */
  _cleanups: (() => void)[] = [];
  encoder: InstanceType<Parser["Encoder"]>;
  decoder: InstanceType<Parser["Decoder"]>;

  /** Creates a manager. Without `uri`, it connects to the server of the page. */
  constructor(opts?: Partial<ManagerOptions>);
  constructor(uri?: string, opts?: Partial<ManagerOptions>);
  constructor(uri?: string | Partial<ManagerOptions>, opts: Partial<ManagerOptions> = {}) {
    super();
    if (typeof uri === "object") {
      opts = uri;
      uri = undefined;
    }
    this.uri = uri ?? "";
    this.opts = opts;
    opts.path ||= "/socket.io";
    this._backoff = new Backoff({
      min: opts.reconnectionDelay ?? 1000,
      max: opts.reconnectionDelayMax ?? 5000,
      jitter: opts.randomizationFactor ?? 0.5,
    });
    this.reconnection(opts.reconnection !== false);
    this.reconnectionAttempts(opts.reconnectionAttempts || Infinity);
    this.timeout(opts.timeout ?? 20_000);
    const parser = opts.parser ?? defaultParser;
    this.encoder = new parser.Encoder();
    this.decoder = new parser.Decoder();
    this.decoder.on("decoded", (packet) => this._emit("packet", packet));
    this._autoConnect = opts.autoConnect !== false;
    if (this._autoConnect) this.open();
  }

  /** Returns or sets whether the manager reconnects when the connection ends. */
  reconnection(): boolean;
  reconnection(value: boolean): this;
  reconnection(value?: boolean): boolean | this {
    if (value === undefined) return this._reconnection;
    this._reconnection = value;
    if (!value) this._skipReconnect = true;
    return this;
  }

  /** Returns or sets how often the manager tries to reconnect. */
  reconnectionAttempts(): number;
  reconnectionAttempts(value: number): this;
  reconnectionAttempts(value?: number): number | this {
    if (value === undefined) return this._reconnectionAttempts;
    this._reconnectionAttempts = value;
    return this;
  }

  /** Returns or sets the delay before the first attempt, in milliseconds. */
  reconnectionDelay(): number;
  reconnectionDelay(value: number): this;
  reconnectionDelay(value?: number): number | this {
    return this._setting("min", value);
  }

  /** Returns or sets the longest delay between two attempts, in milliseconds. */
  reconnectionDelayMax(): number;
  reconnectionDelayMax(value: number): this;
  reconnectionDelayMax(value?: number): number | this {
    return this._setting("max", value);
  }

  /** Returns or sets the random part of the delays, from 0 to 1. */
  randomizationFactor(): number;
  randomizationFactor(value: number): this;
  randomizationFactor(value?: number): number | this {
    return this._setting("jitter", value);
  }

  /** Returns or sets the longest time of one attempt to connect, in milliseconds. */
  timeout(): number | false;
  timeout(value: number | false): this;
  timeout(value?: number | false): number | false | this {
    if (value === undefined) return this._timeout;
    this._timeout = value;
    return this;
  }

  /**
   * Connects, if the manager is not connected and not connecting. `done` is called when the connection is open, or with
   * the error. With `done`, the manager does not try again after an error.
   */
  open(done?: (error?: Error) => void): this {
    if (this._readyState === "closed") {
      this._stopWaiting();
      this._open(done);
    }
    return this;
  }

  /** The same as {@link open}. */
  connect(done?: (error?: Error) => void): this {
    return this.open(done);
  }

  _open(done?: (error?: Error) => void): void {
    this._cleanup();
    this._readyState = "opening";
    this._skipReconnect = false;
    this.decoder.destroy();
    const { query, ...address } = parseUrl(this.uri);
    const engine = (this.engine = new Engine(address, query ? { ...this.opts, query: parseQuery(query) } : this.opts));
    const listen = (event: Parameters<Engine["on"]>[0], listener: (...args: any[]) => void) => {
      engine.on(event, listener);
      this._cleanups.push(() => engine.off(event, listener));
    };
    const fail = (error: Error) => {
      this._cleanup();
      this._readyState = "closed";
      this._emit("error", error);
      if (done) done(error);
      else if (this._reconnection) this._reconnect();
    };
    listen("open", () => {
      this._cleanup();
      this._readyState = "open";
      this._openedAt = Date.now();
      listen("data", (data: RawData) => this._receive(data));
      listen("ping", () => this._onPing());
      listen("error", (error: Error) => this._emit("error", error));
      listen("close", (reason: string, description?: DisconnectDescription) => this._onClose(reason, description));
      this._emit("open");
      done?.();
    });
    listen("error", fail);
    // The page may go into the back/forward cache, or the network may be lost.
    listen("close", (reason: string) => fail(new Error(reason)));
    if (this._timeout !== false) {
      const timer = setTimeout(() => engine._onError(new Error("timeout")), this._timeout);
      this._cleanups.push(() => clearTimeout(timer));
    }
  }

  /** Returns the socket of a namespace, and creates it if it does not exist. */
  socket(nsp: string, opts?: Partial<SocketOptions>): Socket<Listen, Emit> {
    let socket = this.nsps[nsp];
    if (!socket) socket = this.nsps[nsp] = new Socket<Listen, Emit>(this, nsp, opts);
    else if (this._autoConnect && !socket.active) socket.connect();
    return socket;
  }

  _setting(name: "min" | "max" | "jitter", value?: number): number | this {
    if (value === undefined) return this._backoff[name];
    this._backoff[name] = value;
    return this;
  }

  _cleanup(): void {
    for (const cleanup of this._cleanups.splice(0)) cleanup();
  }

  _receive(data: RawData): void {
    try {
      this.decoder.add(data);
    } catch (error) {
      this._onClose("parse error", error as Error);
    }
  }

  _onPing(): void {
    this._emit("ping");
    // They may have waited because the heartbeat was overdue.
    for (const socket of Object.values(this.nsps)) socket._sendBuffered();
  }

  /** Ends the connection if no socket uses it. */
  _release(): void {
    if (!Object.values(this.nsps).some((socket) => socket.active)) this._close();
  }

  _send(packet: Packet): void {
    for (const message of this.encoder.encode(packet)) this.engine.write(message, packet.options);
  }

  /** Ends the connection, and does not reconnect. */
  _close(): void {
    this._skipReconnect = true;
    this._onClose("forced close");
  }

  _onClose(reason: string, description?: DisconnectDescription): void {
    this._cleanup();
    this._stopWaiting();
    // A server that ends each connection at once is not asked more often than one that does not respond.
    const wasStable = this._readyState === "open" && Date.now() - this._openedAt > this._backoff.max;
    if (wasStable || this._skipReconnect) this._backoff._reset();
    this._attempts = 0;
    this._readyState = "closed";
    this.engine?.close();
    this._emit("close", reason, description);
    if (this._reconnection && !this._skipReconnect) this._reconnect();
  }

  /** Waits, and makes the next attempt to connect. */
  _reconnect(): void {
    if (this._reconnecting || this._skipReconnect) return;
    if (this._attempts >= this._reconnectionAttempts) {
      this._attempts = 0;
      this._backoff._reset();
      this._emit("reconnect_failed");
      return;
    }
    this._attempts++;
    this._reconnecting = true;
    this._wait();
    // When the network or the page is back, a long delay is not useful. A random one still is: other clients are back at
    // the same time.
    const waitAgain = (event: Event & { persisted?: boolean }) => {
      if (event.persisted === false) return;
      this._backoff._reset();
      this._wait();
    };
    for (const event of ["online", "pageshow"]) {
      globalThis.addEventListener?.(event, waitAgain);
      this._cleanups.push(() => globalThis.removeEventListener?.(event, waitAgain));
    }
  }

  _wait(): void {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => {
      if (!this._skipReconnect) this._emit("reconnect_attempt", this._attempts);
      // A listener may have ended it.
      if (this._skipReconnect) {
        this._cleanup();
        this._stopWaiting();
        return;
      }
      this._open((error) => {
        this._reconnecting = false;
        if (error) {
          this._reconnect();
          this._emit("reconnect_error", error);
        } else {
          const attempts = this._attempts;
          this._attempts = 0;
          this._emit("reconnect", attempts);
        }
      });
    }, this._backoff._next());
  }

  _stopWaiting(): void {
    clearTimeout(this._timer);
    this._reconnecting = false;
  }
}
