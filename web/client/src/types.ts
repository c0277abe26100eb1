// The types of the public API that are no classes.

/** The events of one direction: names, and functions with the arguments of each event. */
export interface EventsMap {
  [event: string]: any;
}

/** Any event with any arguments. */
export interface DefaultEventsMap {
  [event: string]: (...args: any[]) => void;
}

export type EventNames<Events extends EventsMap> = keyof Events & string;

export type EventParams<Events extends EventsMap, Name extends EventNames<Events>> = Parameters<Events[Name]>;

/** The listener of an event: of a reserved one, or else of one that the program defines. */
export type Listener<
  Reserved extends EventsMap,
  Events extends EventsMap,
  Name extends string,
> = Name extends EventNames<Reserved>
  ? Reserved[Name]
  : Name extends EventNames<Events>
    ? Events[Name]
    : (...args: any[]) => void;

type AnyFunction = (...args: any[]) => any;

type Last<List extends any[]> = List extends [...any[], infer Item] ? Item : any;

export type AllButLast<List extends any[]> = List extends [...infer Items, any] ? Items : any[];

type IsAny<T> = 0 extends 1 & T ? true : false;

/** The names of the events whose last argument is an acknowledgement. */
export type EventNamesWithAck<Events extends EventsMap> = {
  [Name in EventNames<Events>]: IsAny<Events[Name]> extends true
    ? Name
    : IsAny<Last<EventParams<Events, Name>>> extends true
      ? Name
      : Last<EventParams<Events, Name>> extends AnyFunction
        ? Name
        : never;
}[EventNames<Events>];

type WithoutError<List extends any[]> = List extends [infer First, ...infer Others]
  ? IsAny<First> extends true
    ? List
    : Error extends First
      ? Others
      : List
  : List;

/** What `emitWithAck` resolves to: the first argument of the acknowledgement that is not the error of a timeout. */
export type AckValue<Events extends EventsMap, Name extends EventNames<Events>> =
  Last<EventParams<Events, Name>> extends (...args: infer List) => any
    ? WithoutError<List> extends [infer First, ...any[]]
      ? First
      : List extends any[]
        ? List[0]
        : any
    : any;

type WithError<List extends any[]> = {
  [Index in keyof List]: List[Index] extends (...args: infer Args) => infer Result
    ? (error: Error, ...args: Args) => Result
    : List[Index];
};

/** The events of a socket after `timeout(…)`: an acknowledgement gets an error as its first argument. */
export type DecorateAcknowledgements<Events extends EventsMap> = {
  [Name in keyof Events]: Events[Name] extends (...args: infer Args) => infer Result
    ? (...args: WithError<Args>) => Result
    : Events[Name];
};

/** Data of an Engine.IO message. */
export type RawData = string | ArrayBuffer | ArrayBufferView | Blob;

/** Why a socket was disconnected. */
export type DisconnectReason =
  | "io server disconnect"
  | "io client disconnect"
  | "ping timeout"
  | "transport close"
  | "transport error"
  | "forced close"
  | "parse error";

/** What is known about the end of a connection. */
export type DisconnectDescription = Error | { description: string; context?: unknown };

/** A transport did not work. */
export interface TransportError extends Error {
  type: "TransportError";
  /** The status of the response, or what the browser reported. */
  description: unknown;
  /** The response, if there was one. */
  context?: unknown;
}

/** Options of the connection. */
export interface EngineOptions {
  /** Query parameters of each request. They reach the server in `socket.handshake.query`. */
  query: string | Record<string, any>;
  /** The transports to use, in this order: the client connects with the first. Default: polling, then WebSocket. */
  transports: ("polling" | "websocket" | (string & {}))[];
  /** If the first transport does not work, try the next one. Default: false. */
  tryAllTransports: boolean;
  /** Change from polling to WebSocket when both are in `transports`. Default: true. */
  upgrade: boolean;
  /** Begin with WebSocket if the last connection of this page used it. Default: false. */
  rememberUpgrade: boolean;
  /** The path of the server. Default: `/socket.io`. */
  path: string;
  /** Add a slash to the end of the path. Default: true. */
  addTrailingSlash: boolean;
  /** Send cookies and credentials to other origins too (polling only). Default: false. */
  withCredentials: boolean;
  /** Headers of each request (polling only: browsers send no headers of a program with a WebSocket). */
  extraHeaders: Record<string, string>;
  /** Options for one transport, for instance `{ polling: { extraHeaders: {…} } }`. */
  transportOptions: Record<string, Partial<EngineOptions>>;
  /** The subprotocols of the WebSocket. */
  protocols: string | string[];
  /** Add a value to each URL, against caches. Default: for polling only. */
  timestampRequests: boolean;
  /** The name of the query parameter for it. Default: `t`. */
  timestampParam: string;
  /** Send binary data as Base64 over WebSocket too. Default: false. */
  forceBase64: boolean;
  /** The longest time of a polling request in milliseconds. Default: 0, which is no limit. */
  requestTimeout: number;
  /** Close the connection, without an event, when the page is about to be left. Default: false. */
  closeOnBeforeunload: boolean;
  /** Without effect. Exists for programs that also run in Node. */
  autoUnref: boolean;
}

/** A packet of Socket.IO. */
export interface Packet {
  /** 0 CONNECT, 1 DISCONNECT, 2 EVENT, 3 ACK, 4 CONNECT_ERROR. */
  type: number;
  nsp: string;
  data?: any;
  id?: number;
  attachments?: number;
  options?: { compress?: boolean };
}

/** Turns packets into messages and back. The server needs the same parser. */
export interface Parser {
  Encoder: new () => { encode(packet: Packet): RawData[] };
  Decoder: new () => {
    on(event: "decoded", listener: (packet: Packet) => void): unknown;
    add(data: any): void;
    destroy(): void;
  };
}

/** Options of a manager. */
export interface ManagerOptions extends EngineOptions {
  /** Do not share the connection with other sockets. Default: false. */
  forceNew: boolean;
  /** Share one connection between the namespaces of a server. Default: true. */
  multiplex: boolean;
  /** Reconnect when the connection ends. Default: true. */
  reconnection: boolean;
  /** How often to try to reconnect. Default: without limit. */
  reconnectionAttempts: number;
  /** The delay before the first attempt, in milliseconds. Each further delay is twice as long. Default: 1000. */
  reconnectionDelay: number;
  /** The longest delay between two attempts, in milliseconds. Default: 5000. */
  reconnectionDelayMax: number;
  /** The random part of the delays, from 0 to 1. Default: 0.5. */
  randomizationFactor: number;
  /** The longest time of one attempt to connect, in milliseconds, or false. Default: 20000. */
  timeout: number | false;
  /** Connect at once. Default: true. */
  autoConnect: boolean;
  /** The parser of the packets. Default: JSON. */
  parser: Parser;
}

/** Options of a socket. */
export interface SocketOptions {
  /** The credentials for the namespace, or a function that passes them to its argument each time it connects. */
  auth: { [key: string]: any } | ((callback: (data: object) => void) => void);
  /**
   * How often to send an event again that is not acknowledged in time. With it, events are sent one after another, each
   * when the one before is acknowledged. Set `ackTimeout` too.
   */
  retries: number;
  /** How long to wait for an acknowledgement, in milliseconds. Default: without limit. */
  ackTimeout: number;
}
