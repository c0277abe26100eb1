// MessagePack, compared with the official parser.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
// What the official parser uses in a browser.
import officialDecode from "notepack.io/browser/decode.js";
import officialEncode from "notepack.io/browser/encode.js";
import { source } from "./support/source.js";

const { Encoder, Decoder, encode, decode } = await source("msgpack");

/** Returns the bytes that the official parser makes. */
const officially = (packet) => Buffer.from(officialEncode(packet));

const packetOf = (value) => ({ type: 2, nsp: "/", data: ["name", value] });

const edges = [0, 31, 32, 33, 127, 128, 129, 255, 256, 32_767, 32_768, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
const VALUES = {
  numbers: [...edges, ...edges.map((edge) => -edge - 1), ...edges.map((edge) => -edge), 1.5, -0.1, 1e300, NaN, Infinity],
  texts: ["", "ü€😀", ...[31, 32, 255, 256, 65_535, 65_536].map((length) => "x".repeat(length))],
  "null, undefined and booleans": [null, undefined, true, false, { a: undefined }],
  lists: [15, 16, 65_535, 65_536].map((length) => Array(length).fill(1)),
  maps: [15, 16, 65_536].map((length) => Object.fromEntries(Array.from({ length }, (_, index) => [`k${index}`, index]))),
  dates: [new Date(0), new Date(1_700_000_000_123), new Date(-1)],
  binary: [0, 255, 256, 65_535, 65_536].map((length) => new Uint8Array(length).fill(7).buffer),
  "toJSON and functions": [{ toJSON: () => ({ a: 1 }) }, { a: () => {}, b: 1 }],
};

describe("MessagePack", () => {
  for (const [name, values] of Object.entries(VALUES)) {
    it(`has the bytes of the official parser: ${name}`, () => {
      for (const value of values) {
        const [message] = new Encoder().encode(packetOf(value));
        assert.ok(Buffer.from(message).equals(officially(packetOf(value))), String(value).slice(0, 50));
      }
    });
  }

  it("is read like the official parser reads it", () => {
    for (const value of Object.values(VALUES).flat()) {
      const { buffer } = Uint8Array.from(officially(packetOf(value)));
      assert.deepEqual(decode(buffer), officialDecode(buffer));
      const packets = [];
      const decoder = new Decoder();
      decoder.on("decoded", (packet) => packets.push(packet));
      decoder.add(buffer);
      assert.deepEqual(packets, [officialDecode(buffer)]);
    }
  });

  it("may have extensions, and what a server in Node makes of an ArrayBuffer", () => {
    for (const bytes of [[0xd4, 5, 1], [0xd5, 255, 1, 2], [0xd6, 0, 1, 2, 3, 4], [0xc7, 2, 7, 1, 2], [0xc8, 0, 1, 7, 1]]) {
      const { buffer } = Uint8Array.from(bytes);
      assert.deepEqual(decode(buffer), officialDecode(buffer));
    }
    assert.deepEqual(decode(Uint8Array.of(0xc7, 2, 0, 1, 2).buffer), Uint8Array.of(1, 2).buffer);
  });

  it("has the id of an acknowledgement only if there is one, and the namespace always", () => {
    const names = (packet) => Object.keys(decode(new Encoder().encode(packet)[0]));
    assert.deepEqual(names({ type: 2, nsp: "/", data: [1], options: { compress: true } }), ["type", "nsp", "data"]);
    assert.deepEqual(names({ type: 2, nsp: "/", data: [1], id: 0 }), ["type", "nsp", "data", "id"]);
    assert.deepEqual(names({ type: 0, nsp: "/", data: undefined }), ["type", "nsp"]);
  });

  it("takes the bytes that a view shows, and refuses a Blob", () => {
    assert.deepEqual(decode(encode(Uint8Array.of(1, 2, 3, 4).subarray(1, 3))), Uint8Array.of(2, 3).buffer);
    assert.throws(() => encode({ a: new Blob() }), /Blob/);
    assert.throws(() => encode(1n), /bigint/);
  });

  it("does not change a prototype", () => {
    const value = decode(encode(JSON.parse('{"__proto__":{"polluted":1}}')));
    assert.deepEqual(Object.keys(value), ["__proto__"]);
    assert.equal(value.polluted, undefined);
  });

  it("refuses messages that are not valid, and does not reserve what they announce", () => {
    const add = (message) => () => new Decoder().add(message);
    assert.throws(add("2"), /text instead of MessagePack/);
    for (const bytes of [[], [0xc1], [0xdd, 255, 255, 255, 255], [0xdf, 255, 255, 255, 255], [0xc6, 255, 255, 255, 255, 1], [0xdb, 127, 255, 255, 255], [0xa5, 1], [0xc0, 0xc0], Array(100_000).fill(0x91)]) {
      assert.throws(add(Uint8Array.from(bytes).buffer), Error, String(bytes.slice(0, 6)));
    }
    for (const packet of [null, 5, [], {}, { type: 9, nsp: "/" }, { type: 2 }, { type: 2, nsp: "/" }, { type: 2, nsp: "/", data: [] }, { type: 2, nsp: "/", data: ["connect"] }, { type: 2, nsp: "/", data: ["a"], id: "1" }, { type: 0, nsp: "/", data: 1 }, { type: 4, nsp: "/" }]) {
      assert.throws(add(encode(packet)), Error, JSON.stringify(packet));
    }
  });

  it("refuses every truncation of a message", () => {
    const whole = new Uint8Array(encode([VALUES.numbers, VALUES.texts.slice(0, 4), VALUES.dates, VALUES.binary.slice(0, 2)]));
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decode(whole.slice(0, length).buffer), /too early/, `${length} bytes`);
    }
  });
});
