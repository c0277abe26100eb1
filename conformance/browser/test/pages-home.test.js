// The page `/` of the binary.
import assert from "node:assert/strict";
import { it } from "node:test";
import { connected, describePage, disconnected, reconnected, statusIs, tabTo, until } from "../support/pages.js";

describePage("the home page", (pages) => {
  it("shows the addresses and the figures of this very server", async () => {
    const page = await pages.open("/");
    const { host } = new URL(pages.origin);
    assert.equal(await page.textContent('[data-address="socket.io"]'), `http://${host}/socket.io/`);
    assert.equal(await page.textContent('[data-address="websocket"]'), `ws://${host}/ws`);
    await statusIs(page, "transport", "websocket");

    await detailIs(page, "connections", "1 WebSocket, 0 polling, 0 raw");
    const endPolling = await openPolling(pages.origin);
    await page.evaluate((url) => (window.raw = new WebSocket(url)), `ws://${host}/ws`);
    await detailIs(page, "connections", "1 WebSocket, 1 polling, 1 raw");
    await page.evaluate(() => window.raw.close());
    await endPolling();
    await detailIs(page, "connections", "1 WebSocket, 0 polling, 0 raw");

    // The figures that this page receives count too.
    await until(page, () => parseFloat(document.querySelector("[data-figure=eventsOut] .number").textContent) > 0);
    await until(page, () => /\d .?s/.test(document.querySelector("[data-figure=handlerTime] .number").textContent));
    const line = page.locator("[data-figure=eventsOut] svg");
    assert.match(await line.getAttribute("aria-label"), /^last minute: [\d.]+ \/s to [\d.]+ \/s$/);
  });

  it("links the source of each page, which is text", async () => {
    const page = await pages.open("/");
    const paths = await page.locator(".site-nav a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
    for (const path of paths) {
      const html = await (await fetch(pages.origin + path)).text();
      const sources = [...html.matchAll(/"(\/pages\/source\/[^"]+)"/g)].map(([, source]) => source);
      const kinds = [".html", ".css", ".ts", ".rs"].filter((kind) => sources.some((source) => source.endsWith(kind)));
      assert.equal(kinds.length, 4, `${path}: ${sources}`);
      for (const source of sources) {
        const response = await fetch(pages.origin + source);
        assert.deepEqual([response.status, response.headers.get("content-type")], [200, "text/plain; charset=utf-8"], source);
        assert.ok((await response.text()).length > 100, source);
      }
    }
  });

  it("offers programs that run", async () => {
    const page = await pages.open("/", { permissions: ["clipboard-read", "clipboard-write"] });
    let before = "";
    const copied = async () => {
      await page.getByRole("button", { name: /^(Copy|Copied) the program$/ }).click();
      await page.getByRole("button", { name: "Copied the program" }).waitFor();
      await until(page, async (before) => (await navigator.clipboard.readText()) !== before, before);
      return (before = await page.evaluate(() => navigator.clipboard.readText()));
    };
    const logged = [];
    page.on("console", (message) => logged.push(message.text()));
    const run = (text) => {
      const script = text.replace(/^import (.*) from (.*);$/m, "const $1 = await import($2);");
      return page.evaluate(`(async () => { ${script} })()`);
    };

    await run(await copied());
    await until(page, () => true);
    assert.ok(logged.includes("Echo: hello"), `${logged}`);
    assert.ok(logged.some((text) => text.endsWith(" joined general")), `${logged}`);

    await page.getByRole("group", { name: "Protocol" }).getByText("WebSocket").click();
    const echo = page.waitForEvent("console", (message) => message.text() === "hello");
    await run(await copied());
    await echo;

    await page.getByRole("button", { name: "Rust" }).click();
    assert.match(await copied(), new RegExp(`ws::connect\\("${pages.origin.replace("http", "ws")}/ws"\\)`));
    await page.getByRole("button", { name: "Socket.IO", exact: true }).click();
    assert.match(await copied(), new RegExp(`Client::builder\\("${pages.origin}"\\)`));
  });

  it("comes back after its server was killed", async () => {
    const both = [await pages.open("/"), await pages.open("/")];
    for (const page of both) await detailIs(page, "connections", /^2 WebSocket/);
    const restart = await pages.kill();
    for (const page of both) {
      await disconnected(page);
      await page.locator("[data-figures][data-stale]").waitFor();
    }
    await restart();
    for (const page of both) {
      await reconnected(page);
      await page.locator("[data-figures]:not([data-stale])").waitFor();
      await detailIs(page, "connections", /^2 WebSocket/);
    }
  });

  it("works with the keyboard alone, on a network without WebSocket, and without storage", async () => {
    const page = await pages.open("/", { webSocket: false, storage: false });
    await connected(page);
    await detailIs(page, "connections", /1 polling/);
    await tabTo(page, "Rust");
    await page.keyboard.press("Enter");
    assert.match(await page.textContent("[data-snippet]"), /tokio::main/);
    await tabTo(page, /^Chat.*history/);
    await page.keyboard.press("Enter");
    await page.waitForURL("**/chat/");
  });

  it("is accessible, and steady, on a phone and on a desk, in light and dark", async () => {
    await pages.checkLook("/", (page) => detailIs(page, "connections", /polling/));
  });
});

/**
 * Opens a session with long-polling and returns what ends it. A page would not do: the session of a page that is closed
 * between two polls stays open until its ping fails.
 */
async function openPolling(origin) {
  const polling = `${origin}/socket.io/?EIO=4&transport=polling`;
  const { sid } = JSON.parse((await (await fetch(polling)).text()).slice(1));
  return async () => assert.equal((await fetch(`${polling}&sid=${sid}`, { method: "POST", body: "1" })).status, 200);
}

/** Waits until the line below a figure has this text. */
async function detailIs(page, figure, text) {
  await page.locator(`[data-figure=${figure}] .detail`).getByText(text).waitFor();
}
