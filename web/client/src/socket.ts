import { attempt, Emitter } from "./emitter.js";
import type { Engine } from "./engine.js";
import type { Manager } from "./manager.js";
import { ACK, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, RESERVED_EVENTS } from "./parser.js";
import type {
  AckValue,
  AllButLast,
  DecorateAcknowledgements,
  DefaultEventsMap,
  DisconnectDescription,
  DisconnectReason,
  EventNames,
  EventNamesWithAck,
  EventParams,
  EventsMap,
  Packet,
  SocketOptions,
} from "./types.js";

/** The events of a socket that the server does not send. */
export interface SocketEvents {
  connect: () => void;
  /** The socket could not connect. If the server has refused it, the error may have `data`. */
  connect_error: (error: Error & { data?: any; description?: any; context?: any }) => void;
  disconnect: (reason: DisconnectReason, description?: DisconnectDescription) => void;
}

/** What applies to the next event. */
interface Flags {
  compress?: boolean;
  volatile?: boolean;
  timeout?: number;
  /** The event comes from the queue of `retries`. */
  fromQueue?: boolean;
}

interface Acknowledgement {
  (...args: any[]): void;
  /** Whether the first argument is an error or null. */
  withError?: boolean;
}

/** An event that is sent until it is acknowledged. */
interface QueuedEvent {
  args: any[];
  flags: Flags;
  tries: number;
  isPending: boolean;
}

/**
 * The form of an offset, as the servers write it. An event without an offset may end with a text of the program. If that
 * became the offset, the server would refuse the next recovery.
 */
const OFFSET = /^[\w.-]{1,128}$/;

type AnyListener = (event: string, ...args: any[]) => void;

/**
 * A socket of a namespace.
 *
 * The first type parameter has the events that the server sends, the second one those that the client sends.
 */
export class Socket<
  Listen extends EventsMap = DefaultEventsMap,
  Emit extends EventsMap = Listen,
> extends Emitter<Listen, SocketEvents> {
  readonly io: Manager<Listen, Emit>;
  readonly nsp: string;
  /** The id of the socket, which the server knows too. Undefined while the socket is not connected. */
  id: string | undefined;
  connected = false;
  /** Whether the server has delivered all events that were missed since the last connection. */
  recovered = false;
  /** The credentials for the namespace, or a function that passes them to its argument. Used at each connect. */
  auth: SocketOptions["auth"] | undefined;
  /** Events that have come before the socket was connected. */
  receiveBuffer: any[][] = [];
  /** Events that are sent when the socket is connected. */
  sendBuffer: Packet[] = [];
  _opts: Partial<SocketOptions>;
  _flags: Flags = {};
  _nextId = 0;
  _acks = new Map<number, Acknowledgement>();
  _queue: QueuedEvent[] = [];
  _anyListeners: AnyListener[] = [];
  _anyOutgoingListeners: AnyListener[] = [];
  /** The connection on which the socket has requested its namespace. */
  _requestedOn: Engine | undefined;
  /** Removes the listeners of the manager. */
  _unsubscribe: (() => void) | undefined;
  /** The secret with which the server recognises the socket. */
  _pid: string | undefined;
  /** The place of the last event in the log of the server. */
  _lastOffset: string | undefined;

  /** Use `io` or `Manager.socket`. */
  constructor(io: Manager<Listen, Emit>, nsp: string, opts: Partial<SocketOptions> = {}) {
    super();
    this.io = io;
    this.nsp = nsp;
    this.auth = opts.auth;
    this._opts = { ...opts };
    if (io._autoConnect) this.open();
  }

  /** Whether the socket is not connected. */
  get disconnected(): boolean {
    return !this.connected;
  }

  /** Whether the socket is connected, or will connect without being told. */
  get active(): boolean {
    return !!this._unsubscribe;
  }

  /** Connects. Needed only after `disconnect`, after a refusal by the server, or with `autoConnect: false`. */
  connect(): this {
    if (this.connected) return this;
    const { io } = this;
    if (!this.active) {
      const listeners = {
        open: () => this._onOpen(),
        packet: (packet: Packet) => packet.nsp === this.nsp && this._onPacket(packet),
        error: (error: Error) => this.connected || this._emit("connect_error", error),
        close: (reason: string, description?: DisconnectDescription) => this._onClose(reason, description),
      };
      for (const [event, listener] of Object.entries(listeners)) io.on(event as "open", listener as () => void);
      this._unsubscribe = () => {
        for (const [event, listener] of Object.entries(listeners)) io.off(event as "open", listener as () => void);
      };
    }
    if (!io._reconnecting) io.open();
    if (io._readyState === "open") this._onOpen();
    return this;
  }

  /** The same as {@link connect}. */
  open(): this {
    return this.connect();
  }

  /** Disconnects. Ends the connection if no other socket uses it. */
  disconnect(): this {
    if (this.connected) this._send({ type: DISCONNECT, nsp: this.nsp });
    this._leave();
    if (this.connected) this._onClose("io client disconnect");
    return this;
  }

  /** The same as {@link disconnect}. */
  close(): this {
    return this.disconnect();
  }

  /** Sends the event `message`. */
  send(...args: any[]): this {
    return this.emit("message" as EventNames<Emit>, ...(args as any));
  }

  /**
   * Sends an event. If the last argument is a function, it is called with the answer of the server. If the socket is not
   * connected, the event waits until it is.
   */
  emit<Name extends EventNames<Emit>>(event: Name, ...args: EventParams<Emit, Name>): this {
    if (RESERVED_EVENTS.has(event)) throw new Error(`"${event}" is a reserved event name`);
    const flags = this._flags;
    this._flags = {};
    const data: any[] = [event, ...args];
    if (this._opts.retries && !flags.fromQueue && !flags.volatile) {
      this._enqueue(data, flags);
      return this;
    }
    const packet: Packet = { type: EVENT, data, nsp: this.nsp, options: { compress: flags.compress !== false } };
    if (typeof data.at(-1) === "function") {
      packet.id = this._nextId++;
      this._registerAck(packet.id, data.pop(), flags.timeout ?? this._opts.ackTimeout);
    }
    const canSend = this._canSend();
    if (flags.volatile && (this.connected && !canSend || !this.io.engine?.transport?.writable)) return this;
    if (canSend) this._sendEvent(packet);
    else this.sendBuffer.push(packet);
    return this;
  }

  /** Sends an event, and resolves to the answer of the server. */
  emitWithAck<Name extends EventNamesWithAck<Emit>>(
    event: Name,
    ...args: AllButLast<EventParams<Emit, Name>>
  ): Promise<AckValue<Emit, Name>> {
    return new Promise((resolve, reject) => {
      const acknowledge: Acknowledgement = (error, value) => (error ? reject(error) : resolve(value));
      acknowledge.withError = true;
      this.emit(event as EventNames<Emit>, ...([...args, acknowledge] as any));
    });
  }

  /** Sets whether the next event is compressed. */
  compress(compress: boolean): this {
    this._flags.compress = compress;
    return this;
  }

  /** The next event is dropped if it cannot be sent immediately. */
  get volatile(): this {
    this._flags.volatile = true;
    return this;
  }

  /**
   * Sets how long to wait for the acknowledgement of the next event, in milliseconds. The acknowledgement gets an error
   * as its first argument, or null.
   */
  timeout(timeout: number): Socket<Listen, DecorateAcknowledgements<Emit>> {
    this._flags.timeout = timeout;
    return this as unknown as Socket<Listen, DecorateAcknowledgements<Emit>>;
  }

  /** Adds a listener of all events that the server sends. */
  onAny(listener: AnyListener): this {
    this._anyListeners = [...this._anyListeners, listener];
    return this;
  }

  /** The same as {@link onAny}, but the listener is called before the others. */
  prependAny(listener: AnyListener): this {
    this._anyListeners = [listener, ...this._anyListeners];
    return this;
  }

  /** Removes a listener of all events, or all these listeners. */
  offAny(listener?: AnyListener): this {
    this._anyListeners = without(this._anyListeners, listener);
    return this;
  }

  /** Returns the listeners of all events. */
  listenersAny(): AnyListener[] {
    return this._anyListeners;
  }

  /** Adds a listener of all events that the client sends. */
  onAnyOutgoing(listener: AnyListener): this {
    this._anyOutgoingListeners = [...this._anyOutgoingListeners, listener];
    return this;
  }

  /** The same as {@link onAnyOutgoing}, but the listener is called before the others. */
  prependAnyOutgoing(listener: AnyListener): this {
    this._anyOutgoingListeners = [listener, ...this._anyOutgoingListeners];
    return this;
  }

  /** Removes a listener of all events that the client sends, or all these listeners. */
  offAnyOutgoing(listener?: AnyListener): this {
    this._anyOutgoingListeners = without(this._anyOutgoingListeners, listener);
    return this;
  }

  /** Returns the listeners of all events that the client sends. */
  listenersAnyOutgoing(): AnyListener[] {
    return this._anyOutgoingListeners;
  }

  /** Returns whether an event can be sent now. It waits while the heartbeat of the server is overdue. */
  _canSend(): boolean {
    return this.connected && !this.io.engine._isStale();
  }

  _send(packet: Packet): void {
    this.io._send(packet);
  }

  _sendEvent(packet: Packet): void {
    for (const listener of this._anyOutgoingListeners) attempt(() => listener.apply(this, packet.data));
    this._send(packet);
  }

  /** Sends the events that have waited. */
  _sendBuffered(): void {
    if (!this._canSend()) return;
    for (const packet of this.sendBuffer.splice(0)) attempt(() => this._sendEvent(packet));
  }

  _registerAck(id: number, acknowledge: Acknowledgement, timeout: number | undefined): void {
    if (timeout === undefined) {
      this._acks.set(id, acknowledge);
      return;
    }
    const timer = setTimeout(() => {
      this._acks.delete(id);
      this.sendBuffer = this.sendBuffer.filter((packet) => packet.id !== id);
      acknowledge.call(this, new Error("operation has timed out"));
    }, timeout);
    const wrapped: Acknowledgement = (...args) => {
      clearTimeout(timer);
      acknowledge.apply(this, args);
    };
    wrapped.withError = true;
    this._acks.set(id, wrapped);
  }

  /** Adds an event to those that are sent one after another, each until it is acknowledged. */
  _enqueue(args: any[], flags: Flags): void {
    const acknowledge: Acknowledgement | undefined = typeof args.at(-1) === "function" ? args.pop() : undefined;
    const queued: QueuedEvent = { args, flags: { ...flags, fromQueue: true }, tries: 0, isPending: false };
    const onAnswer: Acknowledgement = (error, ...answer) => {
      // The answer to an earlier try may come late.
      if (queued !== this._queue[0]) return;
      queued.isPending = false;
      if (!error || queued.tries > this._opts.retries!) {
        this._queue.shift();
        attempt(() => acknowledge?.(error, ...answer));
      }
      this._sendQueued();
    };
    onAnswer.withError = true;
    args.push(onAnswer);
    this._queue.push(queued);
    this._sendQueued();
  }

  _sendQueued(): void {
    const queued = this._queue[0];
    if (!this.connected || !queued || queued.isPending) return;
    queued.isPending = true;
    queued.tries++;
    this._flags = queued.flags;
    (this as Socket).emit(...(queued.args as [string, ...any[]]));
  }

  _onOpen(): void {
    const { engine } = this.io;
    if (this._requestedOn === engine) return;
    this._requestedOn = engine;
    let isSent = false;
    const send = (auth?: object) => {
      // A function may have taken longer than the connection existed. A second request would end the connection.
      if (isSent || this._requestedOn !== engine) return;
      isSent = true;
      const data = this._pid ? { pid: this._pid, offset: this._lastOffset, ...auth } : auth;
      this._send({ type: CONNECT, data, nsp: this.nsp });
    };
    if (typeof this.auth === "function") this.auth(send);
    else send(this.auth);
  }

  _onPacket(packet: Packet): void {
    const { type, data, id } = packet;
    if (type === CONNECT) {
      if (data?.sid) this._onConnect(data.sid, data.pid);
      else this._emit("connect_error", new Error("the server speaks an old version of the protocol (Socket.IO 2)"));
    } else if (type === EVENT) {
      const args: any[] = data ?? [];
      if (id !== undefined) args.push(this._acknowledgement(id));
      if (this.connected) this._onEvent(args);
      else this.receiveBuffer.push(args);
    } else if (type === ACK) {
      const acknowledge = this._acks.get(id!);
      this._acks.delete(id!);
      acknowledge?.apply(this, acknowledge.withError ? [null, ...(data ?? [])] : (data ?? []));
    } else if (type === DISCONNECT) {
      this._leave();
      this._onClose("io server disconnect");
    } else if (type === CONNECT_ERROR) {
      this._leave();
      const { message, data: details } = typeof data === "string" ? { message: data, data: undefined } : data;
      this._emit("connect_error", Object.assign(new Error(message), { data: details }));
    }
  }

  _onConnect(id: string, pid?: string): void {
    this.id = id;
    this.recovered = !!pid && this._pid === pid;
    // The offset of another session is worth nothing.
    if (!this.recovered) this._lastOffset = undefined;
    this._pid = pid;
    this.connected = true;
    for (const args of this.receiveBuffer.splice(0)) this._onEvent(args);
    this._sendBuffered();
    this._sendQueued();
    this._emit("connect");
  }

  _onEvent(args: any[]): void {
    const [event, ...rest] = args;
    if (event === undefined) return;
    for (const listener of this._anyListeners) attempt(() => listener.apply(this, args as [string, ...any[]]));
    this._emit(event, ...rest);
    const last = args.at(-1);
    if (this._pid && typeof last === "string" && OFFSET.test(last)) this._lastOffset = last;
  }

  /** Returns the function with which the program answers an event. */
  _acknowledgement(id: number): (...args: any[]) => void {
    const { engine } = this.io;
    let isSent = false;
    return (...data) => {
      // The answer belongs to the connection of the question.
      if (isSent || !this.connected || this.io.engine !== engine) return;
      isSent = true;
      this._send({ type: ACK, id, data, nsp: this.nsp });
    };
  }

  /** Stops to listen to the manager. */
  _leave(): void {
    this._unsubscribe?.();
    this._unsubscribe = this._requestedOn = undefined;
    this.io._release();
  }

  _onClose(reason: string, description?: DisconnectDescription): void {
    this.connected = false;
    this.id = this._requestedOn = undefined;
    // The server sends the events again that it has sent before the socket was connected.
    this.receiveBuffer = [];
    this._emit("disconnect", reason, description);
    for (const [id, acknowledge] of this._acks) {
      // What has not been sent is sent later.
      if (this.sendBuffer.some((packet) => packet.id === id)) continue;
      this._acks.delete(id);
      if (acknowledge.withError) attempt(() => acknowledge.call(this, new Error("socket has been disconnected")));
    }
  }
}

function without<T>(list: T[], item: T | undefined): T[] {
  if (item === undefined) return [];
  const found = list.indexOf(item);
  return list.filter((_, index) => index !== found);
}
