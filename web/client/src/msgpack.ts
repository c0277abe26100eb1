import { Emitter } from "./emitter.js";
import { ACK, CONNECT, checkData, isBinary } from "./parser.js";
import type { Packet, RawData } from "./types.js";

// The format is that of `socket.io-msgpack-parser`: a packet is one map, in one binary message. Its version of MessagePack
// predates the timestamps of today: a date is extension 0 with milliseconds, `undefined` is extension 0 with one byte.

/** Makes the message of a packet. */
export class Encoder {
  encode({ type, data, nsp, id }: Packet): RawData[] {
    const packet: Partial<Packet> = { type, nsp };
    if (data !== undefined) packet.data = data;
    if (id !== undefined) packet.id = id;
    return [encode(packet)];
  }
}

/** Makes packets of messages. Emits each one as `decoded`. */
export class Decoder extends Emitter<{ decoded: (packet: Packet) => void }> {
  /** Adds a message. Throws an error if it is not valid. */
  add(message: RawData): void {
    if (!(message instanceof ArrayBuffer)) throw new Error("received a text instead of MessagePack");
    const packet = decode(message) as Packet;
    const { type, nsp, data, id } = packet ?? {};
    if (!(Number.isInteger(type) && type >= CONNECT && type <= ACK + 1)) throw new Error("unknown packet type");
    if (typeof nsp !== "string") throw new Error("invalid namespace");
    if (id !== undefined && !Number.isInteger(id)) throw new Error("invalid acknowledgement id");
    checkData(type, data);
    this._emit("decoded", packet);
  }

  destroy(): void {}
}

const TWO_32 = 2 ** 32;

/** Returns the MessagePack of a value. */
export function encode(value: unknown): ArrayBuffer {
  let bytes = new Uint8Array(256);
  let view = new DataView(bytes.buffer);
  let length = 0;

  /** Makes room for `count` bytes, and returns where they begin. */
  const reserve = (count: number): number => {
    const begin = length;
    length += count;
    if (length > bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * bytes.length));
      larger.set(bytes);
      bytes = larger;
      view = new DataView(bytes.buffer);
    }
    return begin;
  };
  const byte = (value: number) => {
    const begin = reserve(1); // may replace `view`
    view.setUint8(begin, value);
  };
  const append = (added: Uint8Array) => {
    const begin = reserve(added.length);
    bytes.set(added, begin);
  };
  /** Writes `tag`, and a number with 8, 16 or 32 bits: the smallest that is enough. Each has a tag of its own. */
  const sized = (tag: number, value: number) => {
    if (value < 0x100) {
      byte(tag);
      byte(value);
    } else if (value < 0x10000) {
      byte(tag + 1);
      const begin = reserve(2);
      view.setUint16(begin, value);
    } else {
      byte(tag + 2);
      const begin = reserve(4);
      view.setUint32(begin, value);
    }
  };
  const int64 = (value: number) => {
    const begin = reserve(8);
    view.setInt32(begin, Math.floor(value / TWO_32));
    view.setUint32(begin + 4, value >>> 0);
  };

  const number = (value: number) => {
    if (!Number.isInteger(value)) {
      byte(0xcb);
      const begin = reserve(8);
      view.setFloat64(begin, value);
    } else if (value >= 0) {
      if (value < 0x80) byte(value);
      else if (value < TWO_32) sized(0xcc, value);
      else {
        byte(0xcf);
        int64(value);
      }
    } else if (value >= -0x20) byte(value);
    else if (value >= -0x80) {
      byte(0xd0);
      byte(value);
    } else if (value >= -0x8000) {
      byte(0xd1);
      const begin = reserve(2);
      view.setInt16(begin, value);
    } else if (value >= -TWO_32 / 2) {
      byte(0xd2);
      const begin = reserve(4);
      view.setInt32(begin, value);
    } else {
      byte(0xd3);
      int64(value);
    }
  };

  /** Writes the length of a list (0x90, 0xdc) or of a map (0x80, 0xde). */
  const count = (fixed: number, tag: number, value: number) => {
    if (value < 16) byte(fixed | value);
    else if (value < 0x10000) {
      byte(tag);
      const begin = reserve(2);
      view.setUint16(begin, value);
    } else {
      byte(tag + 1);
      const begin = reserve(4);
      view.setUint32(begin, value);
    }
  };

  const write = (value: any): void => {
    if (value === null) byte(0xc0);
    else if (value === undefined) append(Uint8Array.of(0xd4, 0, 0));
    else if (typeof value === "boolean") byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") number(value);
    else if (typeof value === "string") {
      const text = new TextEncoder().encode(value);
      if (text.length < 32) byte(0xa0 | text.length);
      else sized(0xd9, text.length);
      append(text);
    } else if (typeof value !== "object") throw new TypeError(`MessagePack has no ${typeof value}`);
    else if (Array.isArray(value)) {
      count(0x90, 0xdc, value.length);
      value.forEach(write);
    } else if (value instanceof Date) {
      append(Uint8Array.of(0xd7, 0));
      int64(value.getTime());
    } else if (isBinary(value)) {
      if (value instanceof Blob) throw new TypeError("MessagePack cannot send a Blob: await blob.arrayBuffer() first");
      sized(0xc4, value.byteLength);
      const { buffer, byteOffset, byteLength } = ArrayBuffer.isView(value)
        ? value
        : { buffer: value, byteOffset: 0, byteLength: value.byteLength };
      append(new Uint8Array(buffer, byteOffset, byteLength));
    } else if (typeof value.toJSON === "function") write(value.toJSON());
    else {
      const entries = Object.entries(value).filter(([, member]) => typeof member !== "function");
      count(0x80, 0xde, entries.length);
      for (const [key, member] of entries) {
        write(key);
        write(member);
      }
    }
  };

  write(value);
  return bytes.buffer.slice(0, length);
}

/** Returns the value of a MessagePack. Throws an error if it is not valid. */
export function decode(message: ArrayBuffer): unknown {
  const view = new DataView(message);
  let position = 0;

  /** Returns where the next `count` bytes begin, and goes on behind them. */
  const take = (count: number): number => {
    const begin = position;
    position += count;
    if (position > message.byteLength) throw new RangeError("MessagePack ends too early");
    return begin;
  };
  const uint = (bytes: number): number => {
    const begin = take(bytes);
    return bytes === 1 ? view.getUint8(begin) : bytes === 2 ? view.getUint16(begin) : view.getUint32(begin);
  };
  const int64 = (): number => {
    const begin = take(8);
    return view.getInt32(begin) * TWO_32 + view.getUint32(begin + 4);
  };
  const binary = (length: number): ArrayBuffer => {
    const begin = take(length);
    return message.slice(begin, begin + length);
  };
  const text = (length: number): string => new TextDecoder().decode(new Uint8Array(message, take(length), length));
  // The length that a list or map announces reserves nothing.
  const list = (length: number): unknown[] => {
    const items: unknown[] = [];
    while (length-- > 0) items.push(read());
    return items;
  };
  const map = (length: number): unknown => {
    const entries: [string, unknown][] = [];
    while (length-- > 0) entries.push([String(read()), read()]);
    // Unlike an assignment, this makes `__proto__` a normal key.
    return Object.fromEntries(entries);
  };
  const fixedExtension = (length: number): unknown => {
    const type = view.getInt8(take(1));
    if (type === 0 && length === 1) return void take(1);
    if (type === 0 && length === 8) return new Date(int64());
    return [type, binary(length)];
  };
  const extension = (length: number): unknown => {
    const type = view.getInt8(take(1));
    // A server in Node sends an ArrayBuffer so.
    return type === 0 ? binary(length) : [type, binary(length)];
  };

  const read = (): unknown => {
    const tag = uint(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return map(tag & 15);
    if (tag < 0xa0) return list(tag & 15);
    if (tag < 0xc0) return text(tag & 31);
    if (tag >= 0xe0) return tag - 256;
    /** The number of bytes of the number that follows: 1, 2, 4, 8, … with the distance to the first such tag. */
    const width = (first: number) => 1 << (tag - first);
    if (tag === 0xc0) return null;
    if (tag === 0xc2 || tag === 0xc3) return tag === 0xc3;
    if (tag >= 0xc4 && tag <= 0xc6) return binary(uint(width(0xc4)));
    if (tag >= 0xc7 && tag <= 0xc9) return extension(uint(width(0xc7)));
    if (tag === 0xca) return view.getFloat32(take(4));
    if (tag === 0xcb) return view.getFloat64(take(8));
    if (tag >= 0xcc && tag <= 0xce) return uint(width(0xcc));
    if (tag === 0xcf) return uint(4) * TWO_32 + uint(4);
    if (tag === 0xd0) return view.getInt8(take(1));
    if (tag === 0xd1) return view.getInt16(take(2));
    if (tag === 0xd2) return view.getInt32(take(4));
    if (tag === 0xd3) return int64();
    if (tag >= 0xd4 && tag <= 0xd8) return fixedExtension(width(0xd4));
    if (tag >= 0xd9 && tag <= 0xdb) return text(uint(width(0xd9)));
    if (tag === 0xdc || tag === 0xdd) return list(uint(2 * width(0xdc)));
    if (tag === 0xde || tag === 0xdf) return map(uint(2 * width(0xde)));
    throw new Error("MessagePack has no type 0xc1");
  };

  const value = read();
  if (position < message.byteLength) throw new Error("bytes after the MessagePack");
  return value;
}
