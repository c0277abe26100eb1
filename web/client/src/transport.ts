import type { DisconnectDescription, EngineOptions, RawData, TransportError } from "./types.js";

/** A packet of Engine.IO. */
export interface EnginePacket {
  type: "open" | "close" | "ping" | "pong" | "message" | "upgrade" | "noop" | "error";
  data?: RawData;
  options?: { compress?: boolean };
}

/** Where a transport connects to. */
export interface Address {
  secure: boolean;
  /** With the port. */
  host: string;
}

/** Receives what happens on a transport. A transport that was closed has no host, and reports nothing. */
export interface TransportHost {
  _onOpen(): void;
  _onPacket(packet: EnginePacket): void;
  /** The packets of the last `send` are on their way. */
  _onDrain(): void;
  _onError(error: Error): void;
  _onEnd(description: DisconnectDescription): void;
}

/** A way to carry packets of Engine.IO to the server and back. */
export abstract class Transport {
  /** `polling` or `websocket`. */
  abstract readonly name: string;
  /** Whether packets can be sent now. */
  writable = false;
  /** The query parameters of each request. */
  query: Record<string, any>;
  opts: Partial<EngineOptions>;
  _address: Address;
  _host: TransportHost | undefined;

  constructor(address: Address, query: Record<string, any>, opts: Partial<EngineOptions>, host: TransportHost) {
    this._address = address;
    this.query = query;
    this.opts = opts;
    this._host = host;
  }

  /** Begins to connect. */
  abstract _open(): void;
  /** Sends packets. May only be called if the transport is writable. */
  abstract _send(packets: EnginePacket[]): void;
  /** Ends the transport. The server is told, unless `abort` is set. */
  abstract _close(abort: boolean): void;

  _url(scheme: string, timestamp: boolean): string {
    const { opts, query } = this;
    const parameters = { ...query };
    if (opts.timestampRequests ?? timestamp) {
      parameters[opts.timestampParam ?? "t"] = Math.random().toString(36).slice(2);
    }
    if (opts.forceBase64) parameters.b64 = 1;
    const { secure, host } = this._address;
    return `${scheme}${secure ? "s" : ""}://${host}${opts.path}?${new URLSearchParams(parameters)}`;
  }
}

/** HTTP long-polling: one request waits for packets of the server, others send packets. */
export class Polling extends Transport {
  readonly name = "polling";
  _state: "opening" | "open" | "paused" | "closed" = "opening";
  /** Whether a GET waits for its response. */
  _polling = false;
  /** Whether a POST waits for its response. */
  _posting = false;
  _onPaused: (() => void) | undefined;
  /** The number of responses in succession that brought nothing. */
  _idle = 0;
  _timer: ReturnType<typeof setTimeout> | undefined;
  _requests = new Set<AbortController>();

  _open(): void {
    void this._poll();
  }

  async _poll(): Promise<void> {
    this._polling = true;
    let payload: string;
    try {
      payload = await this._request("GET");
    } catch (error) {
      this._host?._onError(error as Error);
      return;
    }
    this._idle++;
    for (const text of payload.split(SEPARATOR)) {
      const { type, data } = decodePacket(text);
      if (this._state === "closed") {
        // The page has closed the connection before it was open. The server does not have to wait for it.
        if (type === "open" && !this.query.sid) this._leave(data as string);
        return;
      }
      if (type === "open") {
        this._state = "open";
        this.writable = true;
      }
      if (type === "close") this._host!._onEnd({ description: "transport closed by the server" });
      else if (type !== "noop") {
        this._idle = 0;
        this._host!._onPacket({ type, data });
      }
    }
    this._polling = false;
    this._checkPaused();
    // A server that always responds with nothing must not keep the page busy.
    if (this._state === "open") this._timer = wait(this._idle > 10 ? 100 : 0, () => void this._poll());
  }

  _send(packets: EnginePacket[]): void {
    this.writable = false;
    void this._post(packets);
  }

  async _post(packets: EnginePacket[]): Promise<void> {
    this._posting = true;
    try {
      const encoded = await Promise.all(packets.map(({ type, data }) => encodePacket(type, data, true)));
      await this._request("POST", encoded.join(SEPARATOR));
    } catch (error) {
      this._host?._onError(error as Error);
      return;
    } finally {
      this._posting = false;
    }
    if (this._state === "closed") return void this._leave();
    this.writable = true;
    this._host?._onDrain();
    this._checkPaused();
  }

  /** Stops to poll, and calls `done` when no request is running. */
  _pause(done: () => void): void {
    this._state = "paused";
    this._onPaused = done;
    clearTimeout(this._timer);
    this._checkPaused();
  }

  _checkPaused(): void {
    if (this._state === "paused" && !this._polling && !this._posting) this._onPaused?.();
  }

  /** Continues after a pause. */
  _resume(): void {
    this._state = "open";
    this._onPaused = undefined;
    if (!this._polling) void this._poll();
  }

  _close(abort: boolean): void {
    const state = this._state;
    this._state = "closed";
    this._host = undefined;
    clearTimeout(this._timer);
    if (state === "closed") return;
    if (abort) return this._abort();
    // Nothing may occupy a connection of the browser for ever.
    this._timer = setTimeout(() => this._abort(), PATIENCE);
    // Two POSTs at the same time are an error. The end of the current one sends the close packet.
    if (state !== "opening" && !this._posting) this._leave();
  }

  /** Tells the server that the session ends. `open` is the open packet, if the engine has not received it. */
  _leave(open?: string): void {
    if (open) this.query.sid = /"sid":"([^"]+)/.exec(open)?.[1];
    void this._request("POST", "1")
      .catch(() => {})
      .finally(() => this._abort());
  }

  _abort(): void {
    clearTimeout(this._timer);
    for (const request of this._requests) request.abort();
  }

  async _request(method: string, body?: string): Promise<string> {
    const { withCredentials, requestTimeout, extraHeaders } = this.opts;
    const request = new AbortController();
    const timer = requestTimeout ? setTimeout(() => request.abort(), requestTimeout) : undefined;
    this._requests.add(request);
    let description: unknown;
    let response: Response | undefined;
    try {
      response = await fetch(this._url("http", true), {
        method,
        headers: body === undefined ? extraHeaders : { ...extraHeaders, "content-type": "text/plain;charset=UTF-8" },
        // Like an XMLHttpRequest, which sends the cookies to its own origin in any case.
        credentials: withCredentials ? "include" : "same-origin",
        cache: "no-store",
        // The page may be about to be left.
        keepalive: this._state === "closed" && method === "POST",
        signal: request.signal,
        body,
      });
      if (response.ok) return await response.text();
      description = response.status;
    } catch (error) {
      description = error;
    } finally {
      clearTimeout(timer);
      this._requests.delete(request);
    }
    throw transportError(body === undefined ? "fetch read error" : "fetch write error", description, response);
  }
}

/** The transport over the WebSocket of the browser. */
export class WebSocketTransport extends Transport {
  readonly name = "websocket";
  _socket: WebSocket | undefined;

  _open(): void {
    const { protocols } = this.opts;
    let socket: WebSocket;
    try {
      socket = protocols
        ? new WebSocket(this._url("ws", false), protocols)
        : new WebSocket(this._url("ws", false));
    } catch (error) {
      queueMicrotask(() => this._host?._onError(transportError("websocket error", error)));
      return;
    }
    this._socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.writable = true;
      this._host?._onOpen();
    };
    socket.onmessage = ({ data }) => this._host?._onPacket(decodePacket(data));
    socket.onerror = (event) => this._host?._onError(transportError("websocket error", event));
    socket.onclose = (event) =>
      this._host?._onEnd({ description: "websocket connection closed", context: event });
  }

  async _send(packets: EnginePacket[]): Promise<void> {
    this.writable = false;
    try {
      for (const { type, data } of packets) {
        const encoded = encodePacket(type, data, this.opts.forceBase64);
        // Only the Base64 of a Blob is not there at once.
        this._socket!.send((encoded instanceof Promise ? await encoded : encoded) as string);
      }
      await undefined; // The packets of one turn of the program are sent together.
    } catch (error) {
      this._host?._onError(transportError("websocket error", error));
    }
    this.writable = true;
    this._host?._onDrain();
  }

  _close(): void {
    this._host = undefined;
    this._socket?.close();
  }
}

/** The longest time of a request that only ends a session. */
const PATIENCE = 10_000;

const SEPARATOR = "\x1e";

const TYPES = ["open", "close", "ping", "pong", "message", "upgrade", "noop"] as const;

/** Calls `call` after `delay` milliseconds, or at once. */
function wait(delay: number, call: () => void): ReturnType<typeof setTimeout> | undefined {
  if (delay) return setTimeout(call, delay);
  call();
}

/** Returns the wire form of a packet. */
function encodePacket(type: EnginePacket["type"], data: RawData = "", base64?: boolean): RawData | Promise<string> {
  if (typeof data === "string") return TYPES.indexOf(type as (typeof TYPES)[number]) + data;
  if (!base64) return data;
  return data instanceof Blob ? data.arrayBuffer().then(encodeBase64) : encodeBase64(data);
}

/** Returns the packet of a wire form. An invalid one gives a packet of type `error`. */
function decodePacket(data: string | ArrayBuffer): EnginePacket {
  if (typeof data !== "string") return { type: "message", data };
  if (data[0] === "b") {
    try {
      return { type: "message", data: Uint8Array.from(atob(data.slice(1)), (char) => char.charCodeAt(0)).buffer };
    } catch {
      // Not Base64.
    }
  }
  const type = TYPES[data[0] as any];
  return type ? { type, data: data.slice(1) } : { type: "error", data: "parser error" };
}

function encodeBase64(data: ArrayBuffer | ArrayBufferView): string {
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  let binary = "";
  // A call has a limited number of arguments.
  for (let begin = 0; begin < bytes.length; begin += 8192) {
    binary += String.fromCharCode(...bytes.subarray(begin, begin + 8192));
  }
  return "b" + btoa(binary);
}

function transportError(message: string, description: unknown, context?: unknown): TransportError {
  return Object.assign(new Error(message), { type: "TransportError" as const, description, context });
}
