// The page `/playground/` of the binary.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { it } from "node:test";
import { connected, describePage, disconnected, reconnected, statusIs, tabTo, until } from "../support/pages.js";

describePage("the playground", (pages) => {
  it("shows an event, its echo and its acknowledgement, operated by the keyboard alone", async () => {
    const page = await pages.open("/playground/");
    await connected(page);
    await statusIs(page, "transport", "websocket");
    await packet(page, "in", "CONNECT");
    await packet(page, "none", "upgraded to websocket");
    await tabTo(page, /^Arguments/);
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type('"tide", [1, { "ü": null }]');
    await tabTo(page, "Emit");
    await page.keyboard.press("Enter");
    assert.match(await packet(page, "out", "EVENT echo"), /#0.*"tide", \[1,\{"ü":null\}\]/s);
    assert.match(await packet(page, "in", "EVENT echo"), /"tide", \[1,\{"ü":null\}\]/);
    assert.match(await packet(page, "in", "ACK echo"), /#0 [\d.]+ ms.*"tide"/s);
    await tabTo(page, "Disconnect", { backwards: true });
    await page.keyboard.press("Enter");
    await packet(page, "out", "DISCONNECT");
    await disconnected(page);
  });

  it("joins rooms, in which two pages talk", async () => {
    const [first, second] = [await pages.open("/playground/"), await pages.open("/playground/", { webSocket: false })];
    for (const page of [first, second]) {
      await page.fill("#room", "harbour");
      await page.getByRole("button", { name: "Join" }).click();
      await packet(page, "in", "ACK join-room");
    }
    await packet(first, "in", /EVENT notification.*joined harbour/s);
    await emit(second, "say", '"harbour", "land"');
    await packet(second, "in", "ACK say");
    assert.match(await packet(first, "in", "EVENT said"), /"harbour", "land"/);

    await first.getByRole("button", { name: "Leave" }).click();
    await packet(first, "in", "ACK leave-room");
    await emit(first, "say", '"harbour", "gone"');
    assert.match(await packet(first, "in", "ACK say"), /you are not in the room/);
    await emit(first, "ask-me", '"why?"');
    await packet(first, "in", "EVENT question");
    await packet(first, "out", "ACK question");
    assert.match(await packet(first, "in", "ACK ask-me"), /"why\?"/);
  });

  it("sends binary, and says what is wrong with a form", async () => {
    const page = await pages.open("/playground/");
    await page.fill("#hex", "00 ff 7a");
    await emit(page, "echo", "1");
    assert.match(await packet(page, "in", "EVENT echo"), /1, <3 bytes: 00 ff 7a>/);
    await page.setInputFiles("#file", { name: "a.bin", mimeType: "application/octet-stream", buffer: Buffer.of(9) });
    await emit(page, "echo", "2");
    await packet(page, "in", /EVENT echo.*2, <1 byte: 09>/s);

    const problem = page.locator("#emit-problem");
    await emit(page, "echo", "hello");
    await problem.getByText(/not JSON.*double quotes/).waitFor();
    await page.fill("#hex", "0");
    await emit(page, "echo", "1");
    await problem.getByText(/pairs of hex digits/).waitFor();
    await page.fill("#hex", "");
    await emit(page, "disconnect", "1");
    await problem.getByText(/reserved/).waitFor();
  });

  it("speaks raw WebSocket too", async () => {
    const page = await pages.open("/playground/");
    await connected(page);
    await page.getByRole("button", { name: "WebSocket", exact: true }).click();
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await connected(page);
    await packet(page, "none", "opened");
    await page.fill("#hex", "01 02");
    await page.getByRole("button", { name: "Send" }).click();
    assert.match(await packet(page, "in", "text"), /5 B.*hello/s);
    assert.match(await packet(page, "in", "binary"), /2 B.*<2 bytes: 01 02>/s);
    await page.getByRole("button", { name: "Disconnect" }).click();
    await packet(page, "none", /closed.*code 1000/s);
  });

  it("says why a connection failed", async () => {
    const foreign = createServer((_request, response) => response.end("{}")).listen(0, "127.0.0.1");
    await once(foreign, "listening");
    const silent = `http://127.0.0.1:${foreign.address().port}`;
    const page = await pages.open("/playground/");
    // 400: a poll that was on its way when the page left the session for another one.
    pages.tolerate(page, /status of 40[04]|CORS policy|net::ERR_/);
    await connected(page);
    const why = async (fields, text) => {
      for (const [name, value] of Object.entries(fields)) await page.fill(`#${name}`, value);
      await page.getByRole("button", { name: "Connect", exact: true }).click();
      await page.locator("#connection-problem").getByText(text).waitFor();
    };
    await why({ namespace: "/nowhere" }, /no such namespace/);
    await why({ path: "/nowhere/" }, /status 404.*Check the path/);
    await why({ path: "/socket.io/", url: silent }, /does not allow pages of .* \(CORS\)/);
    foreign.close();
    foreign.closeAllConnections();
    await why({ url: silent }, /cannot be reached/);
    await why({ url: "ftp://x" }, /must begin with http/);
    await page.getByText("Transports, parser, auth, query").click();
    await why({ url: pages.origin, auth: "[1]" }, /Auth must be a JSON object/);
    await page.fill("#auth", "");
    await page.fill("#namespace", "/playground");
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await connected(page);
  });

  it("filters, pauses, clears and exports the packets", async () => {
    const page = await pages.open("/playground/");
    await connected(page);
    await emit(page, "echo", '"first"');
    await packet(page, "in", /ACK.*first/s);
    await page.fill("#filter", "FIRST");
    await page.locator("#log-count").getByText(/^3 of/).waitFor();
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export" }).click();
    const text = await readFile(await (await downloading).path(), "utf8");
    assert.match(text, /→ EVENT echo \(\/playground #0\)\n {4}"first"\n/);
    assert.equal(text.match(/first/g).length, 3);

    await page.fill("#filter", "");
    await page.getByRole("button", { name: "Pause" }).click();
    await emit(page, "echo", '"second"');
    await page.locator("#log-count").getByText(/3 wait/).waitFor();
    assert.equal(await page.locator("#log").getByText("second").count(), 0);
    await page.getByRole("button", { name: "Resume" }).click();
    await packet(page, "in", /ACK.*second/s);
    await page.getByLabel("Engine.IO").uncheck();
    await until(page, () => document.querySelectorAll(".packet[data-kind=engine]:not([hidden])").length === 0);
    await page.getByRole("button", { name: "Clear" }).click();
    await page.locator("#log-count").getByText("none yet").waitFor();
  });

  it("keeps a bounded number of packets", async () => {
    const page = await pages.open("/");
    await page.routeWebSocket("ws://many.invalid/", (socket) => {
      for (let number = 1; number <= 1_010; number++) socket.send(`frame ${number}`);
    });
    await page.goto(`${pages.origin}/playground/#mode=websocket&url=ws://many.invalid/`);
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await packet(page, "in", "frame 1010");
    await page.locator("#log-count").getByText("1000, the oldest 11 dropped").waitFor();
    assert.equal(await page.locator(".packet").count(), 1_000);
    await page.getByRole("button", { name: "Disconnect" }).click();
  });

  it("keeps its settings in the address, and connects to no other server without being told", async () => {
    const page = await pages.open("/playground/");
    await page.fill("#event", "say");
    await page.fill("#args", '"a & b"');
    await page.getByRole("button", { name: "Copy link" }).click();
    const link = new URL(page.url());
    const other = await pages.open(link.pathname + link.hash);
    assert.equal(await other.inputValue("#event"), "say");
    assert.equal(await other.inputValue("#args"), '"a & b"');
    await connected(other);

    const requests = [];
    const third = await pages.open("/");
    third.on("request", (request) => requests.push(new URL(request.url()).host));
    await third.goto(`${pages.origin}/playground/#url=http://127.0.0.1:9`);
    await third.locator("connection-status[data-state=disconnected]").waitFor();
    assert.equal(await third.inputValue("#url"), "http://127.0.0.1:9");
    for (const settings of ["namespace=http://127.0.0.1:9/x", "namespace=//127.0.0.1:9/x", "namespace=/\\127.0.0.1:9/x", "path=@127.0.0.1:9/"]) {
      await third.goto(`${pages.origin}/playground/?${encodeURIComponent(settings)}#${settings}`);
      await third.locator("#connection-problem").getByText(/must begin with (one|a) slash/).waitFor();
    }
    assert.ok(!requests.includes("127.0.0.1:9"));
  });

  it("comes back after its server was killed", async () => {
    const [page, other] = [await pages.open("/playground/", { storage: false }), await pages.open("/playground/")];
    await Promise.all([connected(page), connected(other)]);
    const restart = await pages.kill();
    await disconnected(page);
    await packet(page, "none", "attempt 1 to reconnect");
    await restart();
    await Promise.all([reconnected(page), reconnected(other)]);
    for (const each of [page, other]) {
      await each.fill("#room", "harbour");
      await each.getByRole("button", { name: "Join" }).click();
      await packet(each, "in", "ACK join-room");
    }
    await emit(page, "say", '"harbour", "again"');
    assert.match(await packet(other, "in", "EVENT said"), /"harbour", "again"/);
  });

  it("is accessible, and steady, on a phone and on a desk, in light and dark", async () => {
    await pages.checkLook("/playground/", async (page) => {
      await connected(page);
      await emit(page, "echo", '"hello"');
      await packet(page, "in", "ACK echo");
      await page.getByText("Transports, parser, auth, query").click();
    });
  });
});

/** Fills the form and sends it. */
async function emit(page, event, args) {
  await page.fill("#event", event);
  await page.fill("#args", args);
  await page.getByRole("button", { name: "Emit" }).click();
}

/** Waits for a packet in the log, and returns its whole text. */
async function packet(page, direction, text) {
  const entry = page.locator(`.packet[data-direction=${direction}]`).filter({ hasText: text }).first();
  await entry.waitFor();
  return entry.evaluate((element) => [...element.children].map(({ textContent }) => textContent).join(" "));
}
