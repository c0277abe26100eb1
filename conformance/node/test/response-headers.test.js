// The cookie with the session id, and the headers that a program adds to responses.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { once } from "node:events";
import WebSocket from "ws";
import { engineUrl, request } from "../support/http.js";
import { startConformanceServer } from "../support/server.js";
import { serverForTests } from "../support/suite.js";

const open = async (server) => {
  const response = await request(engineUrl(server.url));
  return { response, sid: JSON.parse(response.body.slice(1)).sid };
};

/** Opens a WebSocket, and returns the headers of the 101. */
async function upgradeHeaders(server, query) {
  const socket = new WebSocket(engineUrl(server.webSocketUrl, { transport: "websocket", ...query }));
  const [response] = await once(socket, "upgrade");
  socket.close();
  return response.headers;
}

for (const [option, name, attributes] of [
  ["default", "io", "; Path=/; HttpOnly; SameSite=Lax"],
  [
    "full",
    "route",
    "; Max-Age=86400; Domain=example.com; Path=/socket.io/; Expires=Tue, 14 Nov 2023 22:13:20 GMT; Secure; Partitioned; Priority=High; SameSite=None",
  ],
]) {
  describe(`the ${option} cookie`, () => {
    const server = serverForTests(startConformanceServer, { args: ["--cookie", option] });

    it("has its attributes as Node writes them", async () => {
      const { response, sid } = await open(server);
      assert.deepEqual(response.headers["set-cookie"], [`${name}=${sid}${attributes}`]);
    });

    it("is set by the polling handshake only", async () => {
      const { sid } = await open(server);
      const post = await request(engineUrl(server.url, { sid }), { method: "POST", body: "40" });
      const poll = await request(engineUrl(server.url, { sid }));
      const refused = await request(engineUrl(server.url, { transport: "unknown" }));
      assert.deepEqual([post.status, poll.status, refused.status], [200, 200, 400]);
      for (const { headers } of [post, poll, refused]) assert.equal(headers["set-cookie"], undefined);
      assert.equal((await upgradeHeaders(server))["set-cookie"], undefined);
    });
  });
}

describe("headers that a program adds", () => {
  const server = serverForTests(startConformanceServer, { args: ["--added-headers", "yes"] });
  const added = (headers) => [headers["x-initial"], headers["x-every"]];

  it("are on the first response of a session, or on all of its responses", async () => {
    const { response, sid } = await open(server);
    assert.deepEqual(added(response.headers), ["yes", "yes"]);
    const post = await request(engineUrl(server.url, { sid }), { method: "POST", body: "40" });
    const poll = await request(engineUrl(server.url, { sid }));
    assert.deepEqual([post.status, poll.status], [200, 200]);
    for (const { headers } of [post, poll]) assert.deepEqual(added(headers), [undefined, "yes"]);
  });

  it("are on the 101 too", async () => {
    assert.deepEqual(added(await upgradeHeaders(server)), ["yes", "yes"]);
    const { sid } = await open(server);
    assert.deepEqual(added(await upgradeHeaders(server, { sid })), [undefined, "yes"]);
  });

  it("are not on a refusal", async () => {
    const refused = await request(engineUrl(server.url, { transport: "unknown" }));
    assert.deepEqual([refused.status, ...added(refused.headers)], [400, undefined, undefined]);
  });
});
