// Values as a person writes and reads them: JSON, and binary as hex digits.

/** The number of bytes of a binary value that are shown. */
const MAX_BYTES = 256;

/** Returns the values of a list without brackets, as in the arguments of a call. */
export function parseList(text: string): unknown[] {
  try {
    return JSON.parse(`[${text}]`);
  } catch (error) {
    throw new Error(`The arguments are not JSON: ${reason(error)}. Put texts in double quotes.`);
  }
}

/** Returns an object, or undefined for an empty text. `what` names the field. */
export function parseObject(text: string, what: string): Record<string, unknown> | undefined {
  if (!text.trim()) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not JSON: ${reason(error)}.`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Error(`${what} must be a JSON object, such as { "token": "secret" }.`);
  }
  return value as Record<string, unknown>;
}

export function parseHex(text: string): Uint8Array | undefined {
  const digits = text.replaceAll(/[\s,:]|0x/gi, "");
  if (!digits) return undefined;
  if (!/^([0-9a-f]{2})+$/i.test(digits)) throw new Error("Binary needs pairs of hex digits, such as 00 ff 7a.");
  return Uint8Array.from(digits.match(/../g)!, (pair) => parseInt(pair, 16));
}

/** Returns values as a list without brackets, one on each line if they are long. Binary becomes hex with its size. */
export function formatList(values: readonly unknown[]): string {
  const short = values.map((value) => format(value)).join(", ");
  return short.length <= 80 ? short : values.map((value) => format(value, 2)).join(",\n");
}

export function format(value: unknown, indent = 0): string {
  const binaries: string[] = [];
  const text = JSON.stringify(
    value,
    (_key, value) => {
      const bytes = asBytes(value);
      return bytes ? `\u0000${binaries.push(hex(bytes)) - 1}\u0000` : value;
    },
    indent,
  );
  return (text ?? "undefined").replaceAll(/"\\u0000(\d+)\\u0000"/g, (_, index) => binaries[index]!);
}

export function hex(bytes: Uint8Array): string {
  const digits = Array.from(bytes.subarray(0, MAX_BYTES), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const size = `${bytes.length} ${bytes.length === 1 ? "byte" : "bytes"}`;
  return `<${size}${digits && `: ${digits}`}${bytes.length > MAX_BYTES ? " …" : ""}>`;
}

export function asBytes(value: unknown): Uint8Array | undefined {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

function reason(error: unknown): string {
  return (error as Error).message.replace(/\.$/, "");
}
