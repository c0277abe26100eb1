// The default parser, compared with the official one.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as official from "socket.io-parser";
import { source } from "./support/source.js";

const ours = await source("parser");

const bytes = Uint8Array.of(0, 1, 127, 128, 255);

const PACKETS = {
  "a connect": { type: 0, nsp: "/" },
  "a connect with credentials": { type: 0, nsp: "/admin", data: { token: "x" } },
  "a disconnect": { type: 1, nsp: "/admin" },
  "an event": { type: 2, nsp: "/", data: ["name", 1, null, "ü€😀", { a: [true] }] },
  "an event whose name is a number": { type: 2, nsp: "/", data: [5] },
  "an event with an acknowledgement": { type: 2, nsp: "/admin", id: 456, data: ["name"] },
  "an event with a date and undefined": { type: 2, nsp: "/", data: ["name", new Date(0), undefined, { a: undefined }] },
  "an acknowledgement": { type: 3, nsp: "/admin", id: 0, data: [] },
  "a refusal": { type: 4, nsp: "/", data: { message: "no", data: { code: 1 } } },
  "an event with an attachment": { type: 2, nsp: "/", data: ["name", bytes] },
  "an event with attachments at several depths": {
    type: 2,
    nsp: "/admin",
    id: 7,
    data: ["name", { a: [bytes.buffer, { b: bytes.subarray(1, 3) }], c: "text" }, bytes],
  },
  "an event with an attachment in what toJSON returns": {
    type: 2,
    nsp: "/",
    data: ["name", { toJSON: () => ({ inner: bytes }) }],
  },
  "an acknowledgement with an attachment": { type: 3, nsp: "/", id: 1, data: [bytes] },
};

/** Returns the packets that a decoder makes of messages. */
function decode({ Decoder }, messages) {
  const decoder = new Decoder();
  const packets = [];
  decoder.on("decoded", (packet) => packets.push(packet));
  for (const message of messages) decoder.add(message);
  return packets;
}

describe("a packet", () => {
  for (const [name, packet] of Object.entries(PACKETS)) {
    it(`has the same messages as with the official parser: ${name}`, () => {
      const given = () => ({ ...packet });
      const messages = new ours.Encoder().encode(given());
      assert.deepEqual(messages, new official.Encoder().encode(given()));
      const [decoded] = decode(ours, messages);
      const [expected] = decode(official, messages);
      assert.deepEqual(
        { type: decoded.type, nsp: decoded.nsp, id: decoded.id, data: decoded.data },
        { type: expected.type, nsp: expected.nsp, id: expected.id, data: expected.data },
      );
    });
  }

  it("is not changed when it is encoded, and is copied only if it has attachments", () => {
    const data = ["name", { bytes, list: [1] }];
    const before = structuredClone(data);
    new ours.Encoder().encode({ type: 2, nsp: "/", data });
    assert.deepEqual(data, before);
  });

  it("may have a Blob as an attachment", () => {
    const blob = new Blob(["text"]);
    assert.deepEqual(new ours.Encoder().encode({ type: 2, nsp: "/", data: ["name", blob] }), [
      '51-["name",{"_placeholder":true,"num":0}]',
      blob,
    ]);
  });

  it("cannot contain itself", () => {
    const data = ["name"];
    data.push(data);
    assert.throws(() => new ours.Encoder().encode({ type: 2, nsp: "/", data }));
  });

  it("may have a name like that of a prototype, and changes none", () => {
    const [{ data }] = decode(ours, ['2["name",{"__proto__":{"polluted":1},"constructor":2}]']);
    assert.deepEqual(Object.keys(data[1]), ["__proto__", "constructor"]);
    assert.equal({}.polluted, undefined);
  });
});

describe("messages that are not allowed", () => {
  const placeholder = (num) => `51-["name",{"_placeholder":true,"num":${num}}]`;
  const eleven = Array.from({ length: 11 }, () => bytes);
  for (const [messages, what] of [
    [[""], /unknown packet type/],
    [["7"], /unknown packet type/],
    [["text"], /unknown packet type/],
    [['2["name"'], /JSON/],
    [["2{}"], /invalid payload/],
    [["2[]"], /invalid payload/],
    [["2null"], /invalid payload/],
    [['2["connect"]'], /invalid payload/],
    [['2["newListener"]'], /invalid payload/],
    [["2[{}]"], /invalid payload/],
    [["0[]"], /invalid payload/],
    [["1{}"], /invalid payload/],
    [["3{}"], /invalid payload/],
    [["4"], /invalid payload/],
    [["4[]"], /invalid payload/],
    [['5["name"]'], /illegal attachments/],
    [['50-["name"]'], /illegal attachments/],
    [['21-["name"]'], /illegal attachments|JSON/],
    [['511-["name"]', ...eleven], /too many attachments/],
    [[`5${"9".repeat(400)}-["name"]`], /too many attachments/],
    [[bytes], /attachment without a packet/],
    [[placeholder(0), "2"], /text instead of an attachment/],
    [[placeholder(1), bytes], /illegal attachments/],
    [[placeholder(-1), bytes], /illegal attachments/],
    [[placeholder('"length"'), bytes], /illegal attachments/],
    [[placeholder('"0"'), bytes], /illegal attachments/],
    [[`51-["name",${"[".repeat(20_000)}${"]".repeat(20_000)}]`, bytes], /call stack/],
  ]) {
    it(`are refused: ${String(messages[0]).slice(0, 50)}`, () => {
      assert.throws(() => decode(ours, messages), what);
    });
  }

  it("do not stop the official parser from accepting what ours accepts", () => {
    for (const text of ["2", "30", "0/admin", "1/admin", "0/admin,", '2/a?b=1,["name"]', '4"text"', '23["a"]']) {
      const [{ type, nsp, id, data }] = decode(ours, [text]);
      const [expected] = decode(official, [text]);
      assert.deepEqual({ type, nsp, id, data }, { type: expected.type, nsp: expected.nsp, id: expected.id, data: expected.data });
    }
  });
});
