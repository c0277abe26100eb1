// Writes what a connection sends and receives into the log.

import type { Packet, Socket } from "@tidewire/client";
import type { PacketLog } from "./log.js";
import { asBytes, format, formatList } from "./values.js";

/** The largest number of packets whose acknowledgements are awaited. */
const MAX_PENDING = 1_000;

const TYPES = ["CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR"];

type Direction = "in" | "out";

/**
 * Logs each packet of the connection of `socket`, also after it has reconnected. Call it just before `socket.connect()`:
 * then the log has an event before the answers of its listeners.
 */
export function tap(socket: Socket, log: PacketLog): void {
  const manager = socket.io;
  const pending = new Map<string, { event: string; at: number }>();

  const show = (direction: Direction, { type, nsp = "/", id, data }: Packet) => {
    const entry = { direction, kind: type === 4 ? "problem" : "packet", type: TYPES[type] ?? `type ${type}` } as const;
    const sides = nsp === "/" ? [] : [nsp];
    if (type === 2) {
      const [event, ...values] = data as unknown[];
      if (id !== undefined) {
        sides.push(`#${id}`);
        pending.set(`${direction} ${nsp} ${id}`, { event: String(event), at: performance.now() });
        if (pending.size > MAX_PENDING) pending.delete(pending.keys().next().value!);
      }
      log.add({ ...entry, event: String(event), side: sides.join(" "), text: formatList(values) });
    } else if (type === 3) {
      const key = `${direction === "in" ? "out" : "in"} ${nsp} ${id}`;
      const request = pending.get(key);
      pending.delete(key);
      sides.push(`#${id}`);
      if (request) sides.push(`${(performance.now() - request.at).toFixed(1)} ms`);
      log.add({ ...entry, event: request?.event, side: sides.join(" "), text: formatList(data as unknown[]) });
    } else {
      log.add({ ...entry, side: sides.join(" "), text: data === undefined ? undefined : format(data) });
    }
  };

  const { encoder } = manager;
  const encode = encoder.encode.bind(encoder);
  encoder.encode = (packet: Packet) => {
    show("out", packet);
    return encode(packet);
  };
  manager.on("packet", (packet) => show("in", packet));
  // Acknowledgements of the old connection never come.
  manager.on("close", () => pending.clear());

  const engine = (direction: Direction | "none", type: string, text?: string) =>
    log.add({ direction, kind: "engine", type, text });
  const listen = () => {
    const { engine: current } = manager;
    current.on("packet", ({ type, data }) => {
      if (type !== "message") engine("in", type, data === undefined ? undefined : String(data));
    });
    current.on("packetCreate", ({ type }) => {
      if (type !== "message") engine("out", type);
    });
    current.on("open", () => engine("none", `opened over ${current.transport.name}`));
    current.on("upgrading", ({ name }) => engine("none", `upgrading to ${name}`));
    current.on("upgrade", ({ name }) => engine("none", `upgraded to ${name}`));
    current.on("upgradeError", (error) => engine("none", "the upgrade failed", String((error as Error).message)));
    current.on("close", (reason) => engine("none", `closed: ${reason}`));
  };
  // The new connection exists after the current task.
  queueMicrotask(listen);
  manager.on("reconnect_attempt", (attempt) => {
    log.add({ direction: "none", kind: "note", type: `attempt ${attempt} to reconnect` });
    queueMicrotask(listen);
  });
}

/** Logs each frame of a WebSocket. Returns how to send one, which is logged too. */
export function tapWebSocket(socket: WebSocket, log: PacketLog): (data: string | Uint8Array<ArrayBuffer>) => void {
  const show = (direction: Direction, data: string | ArrayBuffer | Uint8Array) => {
    const bytes = asBytes(data);
    const size = bytes ? bytes.length : new TextEncoder().encode(data as string).length;
    const text = bytes ? format(bytes) : (data as string);
    log.add({ direction, kind: "packet", type: bytes ? "binary" : "text", side: `${size} B`, text });
  };
  socket.addEventListener("message", ({ data }) => show("in", data));
  socket.addEventListener("open", () => {
    const { protocol, extensions } = socket;
    const details = [protocol && `subprotocol ${protocol}`, extensions].filter(Boolean).join(", ");
    log.add({ direction: "none", kind: "note", type: "opened", text: details || undefined });
  });
  socket.addEventListener("close", ({ code, reason, wasClean }) => {
    const text = [`code ${code}`, reason, wasClean ? "" : "without a closing handshake"].filter(Boolean).join(", ");
    log.add({ direction: "none", kind: wasClean ? "note" : "problem", type: "closed", text });
  });
  return (data) => {
    socket.send(data);
    show("out", data);
  };
}
