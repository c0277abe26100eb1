// The bytes that the official MessagePack parser writes, as a table for the tests of `crates/socketio-proto`. The table is
// `crates/socketio-proto/src/message_pack/golden.json`. `node support/messagepack-golden.js` prints it again.
import { pathToFileURL } from "node:url";
import messagePackParser from "socket.io-msgpack-parser";

const bytes = (...values) => Buffer.from(values);
const nested = (depth) => (depth === 0 ? 1 : [nested(depth - 1)]);
const list = (length) => Array.from({ length }, (_, index) => index % 100);
const object = (length) => Object.fromEntries(list(length).map((_, index) => [`k${index}`, index % 2 === 0]));

const packet = ({ type = 2, data, id, nsp = "/" }) => {
  if (type === 3) return { id, type, data, nsp };
  return { type, ...(data !== undefined && { data }), ...(id !== undefined && { id }), nsp };
};

// Tidewire must read and write the bytes of these packets. Their members have the order in which Node's server has them.
const PACKETS = [
  { type: 0 },
  { type: 0, data: { sid: "0xQBpexfJpleO9L7AAAA" }, nsp: "/admin" },
  { type: 0, data: { token: "1", nested: { list: [1, null] } }, nsp: "/é☃😀" },
  { type: 1 },
  { type: 1, nsp: "/admin" },
  { data: ["say"] },
  { data: ["say", "hello", 2], nsp: "/chat" },
  { data: ["ask"], id: 0 },
  { data: ["ask", true, false, null], id: 127 },
  ...[128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, Number.MAX_SAFE_INTEGER].map((id) => ({ data: ["ask"], id })),
  { type: 3, id: 7, data: [] },
  { type: 3, id: 456, data: ["bar", { ok: true }], nsp: "/admin" },
  { type: 4, data: { message: "Invalid namespace" }, nsp: "/nope" },
  { type: 4, data: { message: "bad", data: { k: 1 } } },
  { type: 4, data: "not authorized" },
].map(packet);

/** Values with the longest lengths, which would make the table long. `messagepack.test.js` sends them. */
export const LARGE_VALUES = [
  "x".repeat(65_535), "x".repeat(65_536), list(65_535), list(65_536), Buffer.alloc(65_535, 3), Buffer.alloc(65_536, 4),
];

// The same for the values of an event. A text is written instead of the JSON of JavaScript if JavaScript does not have it.
const VALUES = [
  0, 1, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, 9_007_199_254_740_991, 9_007_199_254_740_992,
  -1, -32, -33, -128, -129, -32_768, -32_769, -2_147_483_648, -2_147_483_649, -9_007_199_254_740_991,
  0.5, -0.5, 0.1, 1.1, 1e-7, 5e-324, 1.7976931348623157e308 / 1e308, 123_456_789.125, -2.5e-10,
  "", "a", "x".repeat(31), "x".repeat(32), "x".repeat(33), "x".repeat(255), "x".repeat(256),
  "é☃😀", "\"\\/\b\f\n\r\t\u0000\u001f\u007f\u2028", "é".repeat(16), "é".repeat(15), "☃".repeat(40),
  [], [[]], [[], {}], list(15), list(16), list(17), nested(100),
  {}, { "": 0 }, { a: { b: { c: [{ d: 1 }] } } }, object(15), object(16), object(17),
  { type: 1, nsp: 2, data: 3, id: 4 }, { _placeholder: true, num: 0 }, { __proto: 1, constructor: 2 }, { "key \"with\" \\ and \n": 1 },
  bytes(), bytes(0), bytes(1, 2, 3), Buffer.alloc(32, 7), Buffer.alloc(33, 7), Buffer.alloc(255, 1), Buffer.alloc(256, 2),
  { file: { content: bytes(4, 5, 6), size: 3 } }, [bytes(1), [bytes(2), { a: bytes(3) }]],
  Array.from({ length: 12 }, (_, index) => bytes(index)),
  { z: bytes(1), a: bytes(2), m: [bytes(3)] },
  true, false, null,
];
const LARGE_INTEGERS = [
  [2 ** 53 + 2, "9007199254740994"],
  [2 ** 63, "9223372036854775808"],
  [2 ** 64 - 2048, "18446744073709549568"],
  [-(2 ** 63), "-9223372036854775808"],
  [-(2 ** 53) - 2, "-9007199254740994"],
];

// Tidewire must only read these. The second element is what it makes of them.
const ONLY_READ = [
  [undefined, null],
  [[undefined, 1], [null, 1]],
  [{ a: undefined, b: 1, c: undefined }, { b: 1 }],
  [{ a: undefined }, {}],
  [new Date(960_854_400_000), "2000-06-13T00:00:00.000Z"],
  [new Date(-1), "1969-12-31T23:59:59.999Z"],
  [{ at: new Date(8.64e15) }, { at: "+275760-09-13T00:00:00.000Z" }],
  [NaN, null],
  [Infinity, null],
  [-Infinity, null],
  [-0, 0],
  [new Uint8Array([1, 2, 3]), bytes(1, 2, 3)],
  [new Uint8Array(256).fill(9).buffer, Buffer.alloc(256, 9)],
  [new ArrayBuffer(0), bytes()],
  [new Float64Array([1.5]), bytes(0, 0, 0, 0, 0, 0, 0xf8, 0x3f)],
  [{ toJSON: () => "from toJSON" }, "from toJSON"],
  [{ a: 1, method() {} }, { a: 1 }],
];

/** Returns the data as Tidewire has it: JSON text with placeholders, and the binary values. */
function data(value) {
  const attachments = [];
  const replaced = (value) => {
    if (Buffer.isBuffer(value)) return { _placeholder: true, num: attachments.push(value.toString("hex")) - 1 };
    if (Array.isArray(value)) return value.map(replaced);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, replaced(member)]));
  };
  return { json: JSON.stringify(replaced(value)), attachments };
}

/** Returns the table. */
export function golden() {
  const encode = (packet) => new messagePackParser.Encoder().encode(packet)[0].toString("hex");
  const row = (packet, expected = packet.data) => ({
    type: packet.type,
    nsp: packet.nsp,
    ...(packet.id !== undefined && { id: packet.id }),
    ...(expected !== undefined && data(expected)),
    hex: encode(packet),
  });
  const event = (value) => packet({ data: ["e", value] });
  return {
    both: [
      ...PACKETS.map((packet) => row(packet)),
      ...VALUES.map((value) => row(event(value))),
      ...LARGE_INTEGERS.map(([value, json]) => ({ ...row(event(value)), json: `["e",${json}]` })),
    ],
    read: ONLY_READ.map(([value, expected]) => row(event(value), ["e", expected])),
  };
}

/** Returns the table as the text of its file, with a row in each line. */
export function goldenText() {
  const lines = Object.entries(golden()).map(([name, rows]) => {
    return `${JSON.stringify(name)}: [\n${rows.map((row) => JSON.stringify(row)).join(",\n")}\n]`;
  });
  return `{\n${lines.join(",\n")}\n}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) process.stdout.write(goldenText());
