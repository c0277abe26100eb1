// JSONP: engine.io-client 3 in a page that cannot send requests but by scripts and forms, and the wire byte by byte.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gunzipSync } from "node:zlib";
import { EngineClient, Polling3, engine3Url } from "../support/engine3.js";
import { request } from "../support/http.js";
import { openPage } from "../support/jsonp-page.js";
import { startEngineServer } from "../support/server.js";
import { ours, serverForTests } from "../support/suite.js";

const FORM = "application/x-www-form-urlencoded";
const scripts = openPage();

describe("engine.io-client 3 with JSONP", () => {
  const server = serverForTests(startEngineServer);

  for (const transports of [["polling"], ["polling", "websocket"]]) {
    it(`exchanges text and bytes over ${transports.join(", then ")}`, async () => {
      const client = await EngineClient.open(server.url, transports, { forceJSONP: true });
      for (const text of ["hello", "€ 😀", "a\nb", "a\\nb", "\u2028\u2029\"'</script>&=+%", "x".repeat(20_000)]) {
        assert.equal(await client.ask(text), text);
      }
      const bytes = Buffer.from([0, 1, 127, 128, 254, 255]);
      assert.deepEqual(await client.ask(bytes), bytes);
      client.close();
      const watcher = await EngineClient.open(server.url, ["websocket"]);
      assert.equal(await watcher.ask(`why ${client.sid}`), "transport close");
      watcher.close();
    });
  }

  it("is told that the server closes, after the last message", async () => {
    const client = await EngineClient.open(server.url, ["polling"], { forceJSONP: true });
    assert.equal(await client.ask("close"), "bye");
    assert.equal(await client.ended(), "transport close");
  });

  ours("gets scripts that browsers execute, and take for nothing else", () => {
    // The last request of a client that closes may be refused. That is JSON.
    const accepted = scripts.filter(({ status }) => status === 200);
    assert.ok(accepted.length > 10);
    for (const { headers } of accepted) {
      assert.equal(headers["content-type"], "text/javascript; charset=UTF-8");
      assert.equal(headers["x-content-type-options"], "nosniff");
    }
  });
});

describe("the wire of JSONP", () => {
  const server = serverForTests(startEngineServer);

  it("is a script that calls the function with the index of the first request", async () => {
    for (const [j, index] of [["0", "0"], ["12", "12"], ["1]);alert(2", "12"], ["", ""]]) {
      const { opening, sid } = await Polling3.open(server.url, { j });
      const packet = `0{"sid":"${sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`;
      assert.equal(opening.body, `___eio[${index}](${JSON.stringify(`${packet.length}:${packet}`)});`);
      assert.equal(opening.headers["cache-control"], "no-store");
    }
  });

  it("serves Engine.IO 4 too", async () => {
    const { body } = await request(engine3Url(server.url, { EIO: "4", j: "7" }));
    const sid = /sid\\":\\"([\w-]{20})/.exec(body)[1];
    const url = engine3Url(server.url, { EIO: "4", sid });
    assert.equal((await request(url, { method: "POST", headers: { "content-type": FORM }, body: "d=4two" })).body, "ok");
    assert.equal((await request(url)).body, '___eio[7]("4€\\u001ebAQIDBA==");');
  });

  it("escapes what is not JavaScript in a string", async () => {
    const session = await Polling3.open(server.url, { j: "0", b64: "1" });
    const text = "\"\\\u2028\u2029\u0001</script>";
    const form = new URLSearchParams([["d", `${text.length + 1}:4${text}`]]).toString();
    const posted = await session.post(form, FORM);
    assert.equal(posted.body, "ok");
    assert.equal(posted.headers["content-type"], "text/html");
    assert.equal((await session.get()).body, `___eio[0]("${text.length + 1}:4\\"\\\\\\u2028\\u2029\\u0001</script>");`);
  });

  it("reads line feeds that the client has escaped", async () => {
    const session = await Polling3.open(server.url, { j: "0", b64: "1" });
    for (const [escaped, length, text] of [["a\\nb", 4, "a\nb"], ["a\\\\nb", 5, "a\\nb"]]) {
      await session.post(new URLSearchParams([["d", `${length}:4${escaped}`]]).toString(), FORM);
      assert.equal((await session.get()).body, `___eio[0](${JSON.stringify(`${length}:4${text}`)});`);
    }
  });

  it("compresses a response for a client that accepts gzip", async () => {
    const session = await Polling3.open(server.url, { j: "0", b64: "1" });
    const payload = `2001:4${"x".repeat(2000)}`;
    await session.post(`d=${payload}`, FORM);
    const answer = await request(session.url(), { headers: { "accept-encoding": "gzip" } });
    assert.equal(answer.headers["content-encoding"], "gzip");
    assert.equal(gunzipSync(answer.bytes).toString(), `___eio[0]("${payload}");`);
  });

  it("releases a poll that waits when the session closes", async () => {
    const { response } = await Polling3.closeWhileItPolls(server.url, { j: "3", b64: "1" }, "d=1:1", FORM);
    assert.equal(response.body, '___eio[3]("1:6");');
  });
});
