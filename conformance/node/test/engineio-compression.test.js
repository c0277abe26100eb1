// Compressed responses to polling requests.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gunzipSync, inflateSync } from "node:zlib";
import { Fetch } from "socket.io-client";
import { PollingSession, request } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { ours, serverForTests } from "../support/suite.js";
import { next } from "../support/wait.js";

const LONG = "é".repeat(1_000);

describe("compression of long-polling", () => {
  const server = serverForTests(startConformanceServer);

  /** The response to a poll that takes the acknowledgement of an event with this text. */
  const polled = async (text, acceptEncoding) => {
    const session = await PollingSession.join(server.url);
    await session.post(`420["echo-ack","${text}"]`);
    const headers = acceptEncoding === undefined ? {} : { "accept-encoding": acceptEncoding };
    return request(session.url, { headers });
  };

  for (const [acceptEncoding, encoding, decompress] of [
    ["gzip, deflate", "gzip", gunzipSync],
    ["gzip, deflate, br, zstd", "gzip", gunzipSync],
    ["deflate", "deflate", inflateSync],
    ["deflate, gzip", "deflate", inflateSync],
    ["gzip;q=0.2, deflate;q=0.9", "deflate", inflateSync],
    ["gzip;q=0, *", "deflate", inflateSync],
    ["*", "gzip", gunzipSync],
  ]) {
    it(`sends ${encoding} to a client that accepts "${acceptEncoding}"`, async () => {
      const { status, headers, bytes } = await polled(LONG, acceptEncoding);
      assert.deepEqual([status, headers["content-encoding"]], [200, encoding]);
      assert.equal(headers["content-type"], "text/plain; charset=UTF-8");
      assert.equal(headers.vary, undefined);
      assert.equal(decompress(bytes).toString(), `430["${LONG}"]`);
      assert.ok(bytes.length < 200, `${bytes.length} bytes`);
    });
  }

  // Node sends it in chunks.
  ours("says how long the compressed body is", async () => {
    const { headers, bytes } = await polled(LONG, "gzip");
    assert.equal(headers["content-length"], String(bytes.length));
  });

  for (const acceptEncoding of [undefined, "br", "identity", "gzip;q=0", "gzip;q=0, deflate;q=0"]) {
    it(`sends text to a client that accepts ${acceptEncoding ?? "nothing"}`, async () => {
      const { headers, body } = await polled(LONG, acceptEncoding);
      assert.equal(headers["content-encoding"], undefined);
      assert.equal(body, `430["${LONG}"]`);
    });
  }

  it("counts the threshold in bytes of the payload", async () => {
    const around = `430[""]`.length;
    assert.equal((await polled("x".repeat(1_023 - around), "gzip")).headers["content-encoding"], undefined);
    assert.equal((await polled("x".repeat(1_024 - around), "gzip")).headers["content-encoding"], "gzip");
  });

  it("is understood by socket.io-client with Node's fetch, which asks for it", async () => {
    const socket = await server.connect(Fetch);
    const values = Array.from({ length: 5_000 }, (_, number) => `value ${number}`);
    socket.emit("echo", values);
    assert.deepEqual(await next(socket, "echo-back"), [values]);
  });
});
