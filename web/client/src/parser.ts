import { Emitter } from "./emitter.js";
import type { Packet, RawData } from "./types.js";

export const CONNECT = 0;
export const DISCONNECT = 1;
export const EVENT = 2;
export const ACK = 3;
export const CONNECT_ERROR = 4;

/** How far the type of an event or acknowledgement is from the type of the same packet with attachments. */
const BINARY = 3;

/** The largest number of attachments of a packet that is received, as in the official clients and servers. */
const MAX_ATTACHMENTS = 10;

/** The names of events that only the library emits. */
export const RESERVED_EVENTS = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener",
]);

/** Makes the messages of packets: a text, followed by the attachments. */
export class Encoder {
  encode(packet: Packet): RawData[] {
    let { type, nsp, id, data } = packet;
    const attachments: RawData[] = [];
    let json = "";
    if ((type === EVENT || type === ACK) && hasBinary(data)) {
      type += BINARY;
      json = JSON.stringify(data, function (this: any, key, value) {
        // `value` is what `toJSON` has returned, if there is one. Node's Buffer has one.
        const found = isBinary(this[key]) ? this[key] : value;
        return isBinary(found) ? { _placeholder: true, num: attachments.push(found) - 1 } : value;
      });
    } else if (data != null) json = JSON.stringify(data);
    const count = attachments.length ? attachments.length + "-" : "";
    return [type + count + (nsp && nsp !== "/" ? nsp + "," : "") + (id ?? "") + json, ...attachments];
  }
}

/** Makes packets of messages. Emits each complete packet as `decoded`. */
export class Decoder extends Emitter<{ decoded: (packet: Packet) => void }> {
  /** The packet whose attachments are missing. */
  _incomplete: Packet | undefined;
  _attachments: RawData[] = [];

  /** Adds a message. Throws an error if it is not allowed here. */
  add(data: RawData): void {
    const incomplete = this._incomplete;
    if (typeof data === "string") {
      if (incomplete) throw new Error("received a text instead of an attachment");
      const packet = parse(data);
      if (packet.attachments) this._incomplete = packet;
      else this._emit("decoded", packet);
    } else {
      if (!incomplete) throw new Error("received an attachment without a packet");
      this._attachments.push(data);
      if (this._attachments.length === incomplete.attachments) {
        const attachments = this._attachments;
        this.destroy();
        incomplete.data = insertAttachments(incomplete.data, attachments);
        incomplete.type -= BINARY;
        delete incomplete.attachments;
        this._emit("decoded", incomplete);
      }
    }
  }

  /** Forgets an incomplete packet. */
  destroy(): void {
    this._incomplete = undefined;
    this._attachments = [];
  }
}

/** Throws an error if `data` is not allowed in a packet of this type. */
export function checkData(type: number, data: unknown): void {
  const isObject = data !== null && typeof data === "object" && !Array.isArray(data);
  const allowed =
    type === CONNECT
      ? data === undefined || isObject
      : type === DISCONNECT
        ? data === undefined
        : type === CONNECT_ERROR
          ? isObject || typeof data === "string"
          : Array.isArray(data) &&
            (type === ACK ||
              type === ACK + BINARY ||
              typeof data[0] === "number" ||
              (typeof data[0] === "string" && !RESERVED_EVENTS.has(data[0])));
  if (!allowed) throw new Error("invalid payload");
}

/** type, attachments, namespace, acknowledgement id, JSON */
const PACKET = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*)(?:,|$))?(\d+)?([^]*)$/;

function parse(text: string): Packet {
  const [, digit, attachments, nsp = "/", id, json] = PACKET.exec(text) ?? [];
  if (!digit) throw new Error("unknown packet type");
  const type = Number(digit);
  const packet: Packet = { type, nsp };
  const isBinary = type > CONNECT_ERROR;
  if (isBinary) packet.attachments = Number(attachments ?? 0);
  if (isBinary ? !packet.attachments : attachments) throw new Error("illegal attachments");
  if (packet.attachments! > MAX_ATTACHMENTS) throw new Error("too many attachments");
  if (id) packet.id = Number(id);
  if (json) packet.data = JSON.parse(json);
  // Node accepts an event or an acknowledgement without arguments.
  if (json || type === CONNECT_ERROR) checkData(type, packet.data);
  return packet;
}

/** Returns whether a value is sent as an attachment. */
export function isBinary(value: unknown): value is ArrayBuffer | ArrayBufferView | Blob {
  return value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof Blob;
}

/** Returns whether a value contains a binary value. */
function hasBinary(value: any): boolean {
  if (value === null || typeof value !== "object") return false;
  if (isBinary(value)) return true;
  if (typeof value.toJSON === "function") value = value.toJSON();
  return isBinary(value) || (typeof value === "object" && Object.values(value ?? {}).some(hasBinary));
}

/** Replaces the placeholders in `value` by the attachments. */
function insertAttachments(value: any, attachments: RawData[]): any {
  if (value === null || typeof value !== "object") return value;
  if (value._placeholder === true) {
    const attachment = typeof value.num === "number" && attachments[value.num];
    if (!attachment) throw new Error("illegal attachments");
    return attachment;
  }
  for (const key of Object.keys(value)) value[key] = insertAttachments(value[key], attachments);
  return value;
}
