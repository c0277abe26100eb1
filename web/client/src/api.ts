// What every build of the client exports.
export { type Engine, type Handshake } from "./engine.js";
export { io, io as connect, io as default } from "./io.js";
export { Manager } from "./manager.js";
export { Socket } from "./socket.js";
export type {
  DefaultEventsMap,
  DisconnectDescription,
  DisconnectReason,
  EventsMap,
  ManagerOptions,
  Packet,
  Parser,
  RawData,
  SocketOptions,
  TransportError,
} from "./types.js";

/** The version of the protocol of Socket.IO. */
export const protocol = 5;
