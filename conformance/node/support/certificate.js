// Creates self-signed certificates: X.509 (RFC 5280 §4.1) in as few bytes as clients accept.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Returns `{ certificate, key }` for a host, both in PEM. With `expired`, the certificate expired in 2020. */
export function makeCertificate(host, { expired = false } = {}) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ecdsaWithSha256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
  const name = sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(host)))));
  const time = (text) => der(0x17, Buffer.from(text));
  const alternativeName = sequence(oid(0x55, 0x1d, 0x11), der(0x04, sequence(der(0x82, Buffer.from(host)))));
  const contents = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    name,
    sequence(time("190101000000Z"), time(expired ? "200101000000Z" : "491231000000Z")),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(alternativeName)),
  );
  const signature = der(0x03, Buffer.concat([Buffer.from([0]), sign("sha256", contents, privateKey)]));
  const certificate = sequence(contents, ecdsaWithSha256, signature).toString("base64");
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${certificate.match(/.{1,64}/g).join("\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}

/** Writes the certificate and the key to files. Returns the file names, and the options of the binary that use them. */
export function inFiles({ certificate, key }) {
  const folder = mkdtempSync(join(tmpdir(), "tidewire-"));
  process.once("exit", () => rmSync(folder, { recursive: true }));
  const files = { certificate: join(folder, "certificate.pem"), key: join(folder, "key.pem") };
  writeFileSync(files.certificate, certificate);
  writeFileSync(files.key, key);
  return { ...files, args: ["--tls-cert", files.certificate, "--tls-key", files.key] };
}

function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  const { length } = content;
  const announced = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...announced]), content]);
}

const sequence = (...parts) => der(0x30, ...parts);
const oid = (...bytes) => der(0x06, Buffer.from(bytes));
