import { Emitter } from "./emitter.js";
import {
  type Address,
  type EnginePacket,
  Polling,
  type Transport,
  type TransportHost,
  WebSocketTransport,
} from "./transport.js";
import type { DisconnectDescription, EngineOptions, RawData } from "./types.js";

const TRANSPORTS: Record<string, typeof Polling | typeof WebSocketTransport> = {
  polling: Polling,
  websocket: WebSocketTransport,
};

/** How late a timer may be before its page counts as suspended, in milliseconds. */
const LATE = 1000;
/** How long a page that was suspended waits for what the server has sent meanwhile, in milliseconds. */
const GRACE = 2000;
/** The longest time for a WebSocket that is to replace polling, in milliseconds. The same as in the server. */
const PROBE_TIMEOUT = 10_000;
/** A longer delay makes a timer fire at once. */
const MAX_DELAY = 2 ** 31 - 1;

/** Whether the last connection of the page used WebSocket, for `rememberUpgrade`. */
let lastWasWebSocket = false;

/** The events of an engine. */
export interface EngineEvents {
  open: () => void;
  handshake: (data: Handshake) => void;
  packet: (packet: EnginePacket) => void;
  packetCreate: (packet: EnginePacket) => void;
  data: (data: RawData) => void;
  message: (data: RawData) => void;
  ping: () => void;
  pong: () => void;
  heartbeat: () => void;
  flush: () => void;
  drain: () => void;
  upgrading: (transport: Transport) => void;
  upgrade: (transport: Transport) => void;
  upgradeError: (error: Error) => void;
  error: (error: Error) => void;
  close: (reason: string, description?: DisconnectDescription) => void;
}

/** What the server says when a session begins. */
export interface Handshake {
  sid: string;
  upgrades: string[];
  /** Milliseconds. */
  pingInterval: number;
  /** Milliseconds. */
  pingTimeout: number;
  /** Bytes. */
  maxPayload?: number;
}

/** A session of Engine.IO: the connection under the sockets of a manager. */
export class Engine extends Emitter<{}, EngineEvents> {
  /** The secret id of the session. */
  id: string | undefined;
  readyState: "opening" | "open" | "closing" | "closed" = "opening";
  /** The current transport. */
  transport!: Transport;
  /** Whether the session is changing to another transport. */
  upgrading = false;
  /** What waits to be sent. */
  writeBuffer: EnginePacket[] = [];
  opts: Partial<EngineOptions>;
  _address: Address;
  _handshake: Handshake | undefined;
  /** The number of packets in `writeBuffer` that the transport is sending. */
  _sending = 0;
  /** When the next ping must have come, in milliseconds since 1970. */
  _deadline = Infinity;
  _pingTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the deadline has passed while the page was suspended. */
  _isLate = false;
  /** Ends the attempt to use another transport. */
  _endProbe: (() => void) | undefined;
  _removeListeners: () => void;

  constructor(address: Address, opts: Partial<EngineOptions>) {
    super();
    this._address = address;
    const { transports = ["polling", "websocket"], query, path = "/engine.io", addTrailingSlash = true } = opts;
    this.opts = {
      ...opts,
      path: path.replace(/\/$/, "") + (addTrailingSlash ? "/" : ""),
      query: typeof query === "string" ? parseQuery(query) : query,
      transports: transports.filter((name) => Object.hasOwn(TRANSPORTS, name)),
    };
    this._removeListeners = this._addListeners();
    this._connect();
  }

  /** Sends a message. `sent` is called when the packet is passed to the transport. */
  write(data: RawData, options?: EnginePacket["options"], sent?: () => void): this {
    this._send("message", data, options);
    if (sent) this.once("flush", sent);
    this._flush();
    return this;
  }

  /** The same as {@link write}. */
  send(data: RawData, options?: EnginePacket["options"], sent?: () => void): this {
    return this.write(data, options, sent);
  }

  /** Closes the session when everything is sent. */
  close(): this {
    const end = () => this._end("forced close");
    const endAfterUpgrade = () => {
      if (!this.upgrading) return end();
      this.once("upgrade", end);
      this.once("upgradeError", end);
    };
    if (this.readyState === "opening") end();
    else if (this.readyState === "open") {
      this.readyState = "closing";
      if (this.writeBuffer.length) this.once("drain", endAfterUpgrade);
      else endAfterUpgrade();
    }
    return this;
  }

  /**
   * Returns whether the heartbeat of the server is overdue. The connection is probably dead then, but the
   * page may have been suspended: then the ping is waiting to be handled.
   */
  _isStale(): boolean {
    if (Date.now() > this._deadline && !this._isLate) this._waitLonger();
    return this._isLate;
  }

  _connect(): void {
    const { transports, rememberUpgrade } = this.opts;
    const isRemembered = rememberUpgrade && lastWasWebSocket && transports!.includes("websocket");
    const name = isRemembered ? "websocket" : transports![0];
    if (!name) return queueMicrotask(() => this._fail(new Error("No transports available")));
    this.transport = this._createTransport(name, this);
    this.transport._open();
  }

  _createTransport(name: string, host: TransportHost): Transport {
    const opts = { ...this.opts, ...this.opts.transportOptions?.[name] };
    const query: Record<string, any> = { ...(opts.query as object), EIO: 4, transport: name };
    if (this.id) query.sid = this.id;
    return new TRANSPORTS[name]!(this._address, query, opts, host);
  }

  _onOpen(): void {}

  _onPacket(packet: EnginePacket): void {
    this._emit("packet", packet);
    this._emit("heartbeat");
    const { type, data } = packet;
    if (type === "message") {
      this._emit("data", data);
      this._emit("message", data);
    } else if (type === "ping") {
      this._send("pong");
      this._flush();
      this._startHeartbeat();
      this._emit("ping");
      this._emit("pong");
    } else if (type === "open") this._onHandshake(data as string);
    else if (type === "error") this._fail(Object.assign(new Error("server error"), { code: data }));
  }

  _onHandshake(text: string): void {
    let handshake: Handshake;
    try {
      handshake = JSON.parse(text);
      const { sid, upgrades, pingInterval, pingTimeout } = handshake;
      if (!(sid && Array.isArray(upgrades) && pingInterval + pingTimeout > 0)) throw 0;
    } catch {
      return this._fail(Object.assign(new Error("server error"), { code: "invalid handshake" }));
    }
    this._handshake = handshake;
    this.id = this.transport.query.sid = handshake.sid;
    this._emit("handshake", handshake);
    this.readyState = "open";
    lastWasWebSocket = this.transport.name === "websocket";
    this._startHeartbeat();
    this._emit("open");
    this._flush();
    const { transports, upgrade = true } = this.opts;
    const isBetter = (name: string) => name !== this.transport.name && transports!.includes(name);
    const next = upgrade && handshake.upgrades.find(isBetter);
    if (next && (this.readyState as string) === "open") this._probe(next);
  }

  /** Opens another transport and, if it works, changes to it. */
  _probe(name: string): void {
    let isAccepted = false;
    const end = () => {
      clearTimeout(timer);
      this._endProbe = undefined;
    };
    const fail = (error: Error | DisconnectDescription) => {
      if (!this._endProbe) return;
      end();
      candidate._close(true);
      if (isAccepted) {
        this.upgrading = false;
        (this.transport as Polling)._resume();
        this._flush();
      }
      const wrapped = Object.assign(new Error("probe error"), { transport: name, description: error });
      this._emit("upgradeError", wrapped);
    };
    const candidate = this._createTransport(name, {
      _onOpen: () => candidate._send([{ type: "ping", data: "probe" }]),
      _onPacket: ({ type, data }) => {
        if (isAccepted) return;
        if (type !== "pong" || data !== "probe") return fail(new Error("unexpected packet"));
        isAccepted = this.upgrading = true;
        this._emit("upgrading", candidate);
        (this.transport as Polling)._pause(() => {
          end();
          this.transport._host = undefined;
          this.transport = candidate;
          candidate._host = this;
          lastWasWebSocket = name === "websocket";
          candidate._send([{ type: "upgrade" }]);
          this.upgrading = false;
          this._emit("upgrade", candidate);
          this._flush();
        });
      },
      _onDrain() {},
      _onError: fail,
      _onEnd: fail,
    });
    const timer = setTimeout(() => fail(new Error("timeout")), PROBE_TIMEOUT);
    this._endProbe = () => {
      end();
      candidate._close(true);
    };
    candidate._open();
  }

  _onDrain(): void {
    this.writeBuffer.splice(0, this._sending);
    this._sending = 0;
    if (this.writeBuffer.length) this._flush();
    else this._emit("drain");
  }

  _onError(error: Error): void {
    this._fail(error);
  }

  _onEnd(description: DisconnectDescription): void {
    this._end("transport close", description);
  }

  _send(type: EnginePacket["type"], data?: RawData, options?: EnginePacket["options"]): void {
    if (this.readyState === "closing" || this.readyState === "closed") return;
    const packet = { type, data, options: { ...options, compress: options?.compress !== false } };
    this._emit("packetCreate", packet);
    this.writeBuffer.push(packet);
  }

  _flush(): void {
    if (this.readyState === "closed" || !this.transport.writable || this.upgrading || !this.writeBuffer.length) return;
    const packets = this._fittingPackets();
    this._sending = packets.length;
    this.transport._send(packets);
    this._emit("flush");
  }

  /** Returns the packets that fit into one request. A packet that is too large is sent alone, and the server refuses it. */
  _fittingPackets(): EnginePacket[] {
    const maxPayload = this._handshake?.maxPayload;
    if (!maxPayload || this.transport.name !== "polling") return [...this.writeBuffer];
    let size = 0;
    const end = this.writeBuffer.findIndex(({ data = "" }, index) => {
      size += 2 + (typeof data === "string" ? utf8Length(data) : base64Length(data));
      return index && size - 1 > maxPayload;
    });
    return end < 0 ? [...this.writeBuffer] : this.writeBuffer.slice(0, end);
  }

  _startHeartbeat(): void {
    const { pingInterval, pingTimeout } = this._handshake!;
    const patience = Math.min(pingInterval + pingTimeout, MAX_DELAY);
    clearTimeout(this._pingTimer);
    this._isLate = false;
    this._deadline = Date.now() + patience;
    this._pingTimer = setTimeout(() => {
      // A timer of a suspended page is late, and runs before the messages that have come meanwhile.
      if (Date.now() - this._deadline > LATE && !this._isLate) this._waitLonger();
      else this._end("ping timeout");
    }, patience);
  }

  _waitLonger(): void {
    this._isLate = true;
    clearTimeout(this._pingTimer);
    this._pingTimer = setTimeout(() => this._end("ping timeout"), GRACE);
  }

  _fail(error: Error): void {
    lastWasWebSocket = false;
    const { tryAllTransports, transports } = this.opts;
    if (tryAllTransports && this.readyState === "opening" && transports!.length > 1) {
      transports!.shift();
      this.transport._close(true);
      return this._connect();
    }
    this._emit("error", error);
    this._end("transport error", error);
  }

  _end(reason: string, description?: DisconnectDescription): void {
    if (this.readyState === "closed") return;
    this.readyState = "closed";
    this.id = undefined;
    clearTimeout(this._pingTimer);
    this._removeListeners();
    this._endProbe?.();
    // After an error, or when the server has closed, nobody has to be told.
    this.transport?._close(reason.startsWith("transport"));
    this._emit("close", reason, description);
    this.writeBuffer = [];
    this._sending = 0;
  }

  /** Listens to what the browser says about the page and the network. Returns a function that ends this. */
  _addListeners(): () => void {
    if (typeof addEventListener !== "function") return () => {};
    const removals: (() => void)[] = [];
    const listen = (event: string, listener: (event: any) => void) => {
      addEventListener(event, listener);
      removals.push(() => removeEventListener(event, listener));
    };
    // A page with a connection is not kept in the back/forward cache, or its connection is dead afterwards.
    listen("pagehide", ({ persisted }) => persisted && this._onEnd({ description: "the page is hidden" }));
    if (!/^localhost(:|$)/.test(this._address.host)) {
      listen("offline", () => this._onEnd({ description: "network connection lost" }));
    }
    if (this.opts.closeOnBeforeunload) listen("beforeunload", () => this.transport._close(false));
    return () => removals.forEach((remove) => remove());
  }
}

/** Returns the parameters of a query, without its question mark. */
export function parseQuery(query: string): Record<string, string> {
  // A plus is a plus, as in the official client.
  return Object.fromEntries(new URLSearchParams(query.replace(/\+/g, "%2B")));
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

function base64Length(data: Exclude<RawData, string>): number {
  return 4 * Math.ceil((data instanceof Blob ? data.size : data.byteLength) / 3);
}
