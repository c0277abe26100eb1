/** The events of one direction: names, and functions with the arguments of each event. */
export interface EventsMap {
	[event: string]: any;
}
/** Any event with any arguments. */
export interface DefaultEventsMap {
	[event: string]: (...args: any[]) => void;
}
type EventNames<Events extends EventsMap> = keyof Events & string;
type EventParams<Events extends EventsMap, Name extends EventNames<Events>> = Parameters<Events[Name]>;
type Listener<Reserved extends EventsMap, Events extends EventsMap, Name extends string> = Name extends EventNames<Reserved> ? Reserved[Name] : Name extends EventNames<Events> ? Events[Name] : (...args: any[]) => void;
type AnyFunction = (...args: any[]) => any;
type Last<List extends any[]> = List extends [
	...any[],
	infer Item
] ? Item : any;
type AllButLast<List extends any[]> = List extends [
	...infer Items,
	any
] ? Items : any[];
type IsAny<T> = 0 extends 1 & T ? true : false;
type EventNamesWithAck<Events extends EventsMap> = {
	[Name in EventNames<Events>]: IsAny<Events[Name]> extends true ? Name : IsAny<Last<EventParams<Events, Name>>> extends true ? Name : Last<EventParams<Events, Name>> extends AnyFunction ? Name : never;
}[EventNames<Events>];
type WithoutError<List extends any[]> = List extends [
	infer First,
	...infer Others
] ? IsAny<First> extends true ? List : Error extends First ? Others : List : List;
type AckValue<Events extends EventsMap, Name extends EventNames<Events>> = Last<EventParams<Events, Name>> extends (...args: infer List) => any ? WithoutError<List> extends [
	infer First,
	...any[]
] ? First : List extends any[] ? List[0] : any : any;
type WithError<List extends any[]> = {
	[Index in keyof List]: List[Index] extends (...args: infer Args) => infer Result ? (error: Error, ...args: Args) => Result : List[Index];
};
type DecorateAcknowledgements<Events extends EventsMap> = {
	[Name in keyof Events]: Events[Name] extends (...args: infer Args) => infer Result ? (...args: WithError<Args>) => Result : Events[Name];
};
/** Data of an Engine.IO message. */
export type RawData = string | ArrayBuffer | ArrayBufferView | Blob;
/** Why a socket was disconnected. */
export type DisconnectReason = "io server disconnect" | "io client disconnect" | "ping timeout" | "transport close" | "transport error" | "forced close" | "parse error";
/** What is known about the end of a connection. */
export type DisconnectDescription = Error | {
	description: string;
	context?: unknown;
};
/** A transport did not work. */
export interface TransportError extends Error {
	type: "TransportError";
	/** The status of the response, or what the browser reported. */
	description: unknown;
	/** The response, if there was one. */
	context?: unknown;
}
interface EngineOptions {
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
	options?: {
		compress?: boolean;
	};
}
/** Turns packets into messages and back. The server needs the same parser. */
export interface Parser {
	Encoder: new () => {
		encode(packet: Packet): RawData[];
	};
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
	auth: {
		[key: string]: any;
	} | ((callback: (data: object) => void) => void);
	/**
	 * How often to send an event again that is not acknowledged in time. With it, events are sent one after another, each
	 * when the one before is acknowledged. Set `ackTimeout` too.
	 */
	retries: number;
	/** How long to wait for an acknowledgement, in milliseconds. Default: without limit. */
	ackTimeout: number;
}
type Entry = ((...args: any[]) => void) & {
};
declare class Emitter<Listen extends EventsMap = DefaultEventsMap, Reserved extends EventsMap = {}> {
	/** Adds a listener of an event. */
	on<Name extends EventNames<Reserved> | EventNames<Listen>>(event: Name, listener: Listener<Reserved, Listen, Name>): this;
	/** Adds a listener that is called once and then removed. */
	once<Name extends EventNames<Reserved> | EventNames<Listen>>(event: Name, listener: Listener<Reserved, Listen, Name>): this;
	/** Removes a listener. Without `listener`, removes all listeners of the event; without `event`, all listeners. */
	off<Name extends EventNames<Reserved> | EventNames<Listen>>(event?: Name, listener?: Listener<Reserved, Listen, Name>): this;
	/** Returns the listeners of an event. */
	listeners<Name extends EventNames<Reserved> | EventNames<Listen>>(event: Name): Listener<Reserved, Listen, Name>[];
	/** Returns whether an event has listeners. */
	hasListeners<Name extends EventNames<Reserved> | EventNames<Listen>>(event: Name): boolean;
	/** The same as {@link on}. */
	addEventListener<Name extends EventNames<Reserved> | EventNames<Listen>>(event: Name, listener: Listener<Reserved, Listen, Name>): this;
	/** The same as {@link off}. */
	removeEventListener<Name extends EventNames<Reserved> | EventNames<Listen>>(event?: Name, listener?: Listener<Reserved, Listen, Name>): this;
	/** The same as {@link off}. */
	removeListener<Name extends EventNames<Reserved> | EventNames<Listen>>(event?: Name, listener?: Listener<Reserved, Listen, Name>): this;
	/** The same as {@link off}. */
	removeAllListeners<Name extends EventNames<Reserved> | EventNames<Listen>>(event?: Name): this;
}
interface EnginePacket {
	type: "open" | "close" | "ping" | "pong" | "message" | "upgrade" | "noop" | "error";
	data?: RawData;
	options?: {
		compress?: boolean;
	};
}
interface Address {
	secure: boolean;
	/** With the port. */
	host: string;
}
interface TransportHost {
}
declare abstract class Transport {
	/** `polling` or `websocket`. */
	abstract readonly name: string;
	/** Whether packets can be sent now. */
	writable: boolean;
	/** The query parameters of each request. */
	query: Record<string, any>;
	opts: Partial<EngineOptions>;
	constructor(address: Address, query: Record<string, any>, opts: Partial<EngineOptions>, host: TransportHost);
}
interface EngineEvents {
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
export declare class Engine extends Emitter<{}, EngineEvents> {
	/** The secret id of the session. */
	id: string | undefined;
	readyState: "opening" | "open" | "closing" | "closed";
	/** The current transport. */
	transport: Transport;
	/** Whether the session is changing to another transport. */
	upgrading: boolean;
	/** What waits to be sent. */
	writeBuffer: EnginePacket[];
	opts: Partial<EngineOptions>;
	constructor(address: Address, opts: Partial<EngineOptions>);
	/** Sends a message. `sent` is called when the packet is passed to the transport. */
	write(data: RawData, options?: EnginePacket["options"], sent?: () => void): this;
	/** The same as {@link write}. */
	send(data: RawData, options?: EnginePacket["options"], sent?: () => void): this;
	/** Closes the session when everything is sent. */
	close(): this;
}
interface BackoffOptions {
	/** The first delay, in milliseconds. */
	min: number;
	/** The longest delay, in milliseconds. */
	max: number;
	/** The part of a delay that is random, from 0 to 1. Values outside count as 0. */
	jitter: number;
}
declare class Backoff implements BackoffOptions {
	min: number;
	max: number;
	jitter: number;
	constructor({ min, max, jitter }: BackoffOptions);
}
interface ManagerEvents {
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
/** A connection to a server, which several sockets share. It reconnects when the connection ends. */
export declare class Manager<Listen extends EventsMap = DefaultEventsMap, Emit extends EventsMap = Listen> extends Emitter<{}, ManagerEvents> {
	/** The URL of the server. */
	readonly uri: string;
	/** The options. Changes apply to the next connection. */
	opts: Partial<ManagerOptions>;
	/** The current connection, or the last one. */
	engine: Engine;
	/** The sockets, by namespace. */
	readonly nsps: Record<string, Socket<Listen, Emit>>;
	encoder: InstanceType<Parser["Encoder"]>;
	decoder: InstanceType<Parser["Decoder"]>;
	/** Creates a manager. Without `uri`, it connects to the server of the page. */
	constructor(opts?: Partial<ManagerOptions>);
	constructor(uri?: string, opts?: Partial<ManagerOptions>);
	/** Returns or sets whether the manager reconnects when the connection ends. */
	reconnection(): boolean;
	reconnection(value: boolean): this;
	/** Returns or sets how often the manager tries to reconnect. */
	reconnectionAttempts(): number;
	reconnectionAttempts(value: number): this;
	/** Returns or sets the delay before the first attempt, in milliseconds. */
	reconnectionDelay(): number;
	reconnectionDelay(value: number): this;
	/** Returns or sets the longest delay between two attempts, in milliseconds. */
	reconnectionDelayMax(): number;
	reconnectionDelayMax(value: number): this;
	/** Returns or sets the random part of the delays, from 0 to 1. */
	randomizationFactor(): number;
	randomizationFactor(value: number): this;
	/** Returns or sets the longest time of one attempt to connect, in milliseconds. */
	timeout(): number | false;
	timeout(value: number | false): this;
	/**
	 * Connects, if the manager is not connected and not connecting. `done` is called when the connection is open, or with
	 * the error. With `done`, the manager does not try again after an error.
	 */
	open(done?: (error?: Error) => void): this;
	/** The same as {@link open}. */
	connect(done?: (error?: Error) => void): this;
	/** Returns the socket of a namespace, and creates it if it does not exist. */
	socket(nsp: string, opts?: Partial<SocketOptions>): Socket<Listen, Emit>;
}
interface SocketEvents {
	connect: () => void;
	/** The socket could not connect. If the server has refused it, the error may have `data`. */
	connect_error: (error: Error & {
		data?: any;
		description?: any;
		context?: any;
	}) => void;
	disconnect: (reason: DisconnectReason, description?: DisconnectDescription) => void;
}
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
interface QueuedEvent {
	args: any[];
	flags: Flags;
	tries: number;
	isPending: boolean;
}
type AnyListener = (event: string, ...args: any[]) => void;
/**
 * A socket of a namespace.
 *
 * The first type parameter has the events that the server sends, the second one those that the client sends.
 */
export declare class Socket<Listen extends EventsMap = DefaultEventsMap, Emit extends EventsMap = Listen> extends Emitter<Listen, SocketEvents> {
	readonly io: Manager<Listen, Emit>;
	readonly nsp: string;
	/** The id of the socket, which the server knows too. Undefined while the socket is not connected. */
	id: string | undefined;
	connected: boolean;
	/** Whether the server has delivered all events that were missed since the last connection. */
	recovered: boolean;
	/** The credentials for the namespace, or a function that passes them to its argument. Used at each connect. */
	auth: SocketOptions["auth"] | undefined;
	/** Events that have come before the socket was connected. */
	receiveBuffer: any[][];
	/** Events that are sent when the socket is connected. */
	sendBuffer: Packet[];
	/** Use `io` or `Manager.socket`. */
	constructor(io: Manager<Listen, Emit>, nsp: string, opts?: Partial<SocketOptions>);
	/** Whether the socket is not connected. */
	get disconnected(): boolean;
	/** Whether the socket is connected, or will connect without being told. */
	get active(): boolean;
	/** Connects. Needed only after `disconnect`, after a refusal by the server, or with `autoConnect: false`. */
	connect(): this;
	/** The same as {@link connect}. */
	open(): this;
	/** Disconnects. Ends the connection if no other socket uses it. */
	disconnect(): this;
	/** The same as {@link disconnect}. */
	close(): this;
	/** Sends the event `message`. */
	send(...args: any[]): this;
	/**
	 * Sends an event. If the last argument is a function, it is called with the answer of the server. If the socket is not
	 * connected, the event waits until it is.
	 */
	emit<Name extends EventNames<Emit>>(event: Name, ...args: EventParams<Emit, Name>): this;
	/** Sends an event, and resolves to the answer of the server. */
	emitWithAck<Name extends EventNamesWithAck<Emit>>(event: Name, ...args: AllButLast<EventParams<Emit, Name>>): Promise<AckValue<Emit, Name>>;
	/** Sets whether the next event is compressed. */
	compress(compress: boolean): this;
	/** The next event is dropped if it cannot be sent immediately. */
	get volatile(): this;
	/**
	 * Sets how long to wait for the acknowledgement of the next event, in milliseconds. The acknowledgement gets an error
	 * as its first argument, or null.
	 */
	timeout(timeout: number): Socket<Listen, DecorateAcknowledgements<Emit>>;
	/** Adds a listener of all events that the server sends. */
	onAny(listener: AnyListener): this;
	/** The same as {@link onAny}, but the listener is called before the others. */
	prependAny(listener: AnyListener): this;
	/** Removes a listener of all events, or all these listeners. */
	offAny(listener?: AnyListener): this;
	/** Returns the listeners of all events. */
	listenersAny(): AnyListener[];
	/** Adds a listener of all events that the client sends. */
	onAnyOutgoing(listener: AnyListener): this;
	/** The same as {@link onAnyOutgoing}, but the listener is called before the others. */
	prependAnyOutgoing(listener: AnyListener): this;
	/** Removes a listener of all events that the client sends, or all these listeners. */
	offAnyOutgoing(listener?: AnyListener): this;
	/** Returns the listeners of all events that the client sends. */
	listenersAnyOutgoing(): AnyListener[];
}
/**
 * Returns a socket that is connected to a namespace of a server. The path of the URL is the namespace. Without a URL, the
 * server is that of the page.
 *
 * Sockets of different namespaces of a server share one connection.
 *
 * ```js
 * const socket = io("https://example.com/admin", { auth: { token: "…" } });
 * socket.on("notification", (text) => console.log(text));
 * socket.emit("join-room", "general");
 * ```
 */
export declare function io<Listen extends EventsMap = DefaultEventsMap, Emit extends EventsMap = Listen>(opts?: Partial<ManagerOptions & SocketOptions>): Socket<Listen, Emit>;
export declare function io<Listen extends EventsMap = DefaultEventsMap, Emit extends EventsMap = Listen>(url: string, opts?: Partial<ManagerOptions & SocketOptions>): Socket<Listen, Emit>;
/** The version of the protocol of Socket.IO. */
export declare const protocol = 5;

export {
	io as connect,
	io as default,
};

export {};
