// What the namespace `/figures` sends, see `crates/cli/src/demo/figures.rs`.

/** The state of the server, and what has happened in the second before. */
export interface Sample {
  /** Seconds since the start of the server. */
  uptime: number;
  polling: number;
  webSocket: number;
  rawWebSocket: number;
  sockets: number;
  rooms: number;
  /** Events, and bytes, per second. */
  eventsIn: number;
  eventsOut: number;
  bytesIn: number;
  bytesOut: number;
  /** The mean, in microseconds. `null` if no handler has finished. */
  handlerTime: number | null;
  /** Handlers that have failed. */
  failures: number;
  /** Bytes that are queued for the clients. */
  queued: number;
  /** Events that were dropped or replaced because their receiver reads slowly. */
  notSent: number;
  /** Bytes, where the system tells it. */
  memory: number | null;
}
