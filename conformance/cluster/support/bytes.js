// Bytes in JSON: `{ "$bytes": "00ff" }`.

/** Returns a copy of `value` for JSON. */
export function pack(value) {
  if (ArrayBuffer.isView(value)) return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex") };
  return mapped(value, pack);
}

/** Returns the value that `pack` has packed. */
export function unpack(value) {
  if (typeof value?.$bytes === "string") return Buffer.from(value.$bytes, "hex");
  return mapped(value, unpack);
}

function mapped(value, change) {
  if (Array.isArray(value)) return value.map(change);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, value]) => [key, change(value)]));
}
