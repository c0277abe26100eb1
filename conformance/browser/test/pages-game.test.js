// The game of the binary: one world over a raw WebSocket and over Socket.IO.
import assert from "node:assert/strict";
import { it } from "node:test";
import { startApplication } from "../../node/support/server.js";
import { connected, describePage, reconnected, statusIs, tabTo, until } from "../support/pages.js";

describePage("the game", (pages) => {
  /** Opens the page, and gives its boat a name. */
  const player = async (name) => {
    // The whole water is in view, and not more than needed is drawn.
    const page = await pages.open("/game/", { width: 860, height: 640 });
    await named(page, name);
    await rawIs(page, "connected");
    return page;
  };

  it("shows the boats of both connections to each other, and the switch keeps the boat", async () => {
    const [ann, ben] = await Promise.all([player("Ann"), player("Ben")]);
    await ann.getByRole("button", { name: "Raw WebSocket" }).click();
    await Promise.all([sees(ann, "Ben"), sees(ben, "Ann")]);
    await Promise.all([sailsAcross(ann, "Ann", ben), sailsAcross(ben, "Ben", ann)]);

    await ann.getByRole("button", { name: "Socket.IO" }).click();
    await ben.getByRole("button", { name: "Raw WebSocket" }).click();
    await Promise.all([sailsTo("right", ann, "Ann", ben), sailsTo("right", ben, "Ben", ann)]);
    for (const page of [ann, ben]) {
      const names = await page.locator("#scores .name").allTextContents();
      assert.deepEqual(names.filter((name) => !name.startsWith("Bot")).sort(), ["Ann", "Ben"]);
    }
    assert.equal(await ann.locator("#scores .mine .name").textContent(), "Ann");
  });

  it("measures what both connections cost", async () => {
    const page = await player("Ann");
    await until(page, () => /[\d.]+ times the bytes/.test(document.getElementById("conclusion").textContent));
    // The first second is not full.
    await until(page, () => {
      const row = [...document.querySelectorAll("#figures tr")].find((row) => row.textContent.includes("Messages/s"));
      return [...row.querySelectorAll("td")].every((cell) => cell.textContent.split("/").every((rate) => parseFloat(rate) >= 5));
    });
    const figures = await page.evaluate(() =>
      Object.fromEntries(
        [...document.querySelectorAll("#figures tr")].map((row) => [
          row.querySelector("th").textContent.replace(/, \d+ boats/, ""),
          Object.fromEntries([...row.querySelectorAll("td")].map((cell) => [cell.dataset.kind, cell.textContent])),
        ]),
      ),
    );
    // Four bytes, a mask of four bytes and a header of two.
    assert.equal(figures["One input"].raw, "10 B");
    assert.equal(figures["One ping / answer"].raw, "8 / 4 B");
    between(figures["One input"].socketio, 25, 45);
    const state = parseFloat(figures["One state"].raw);
    assert.equal((state - 2 - 5) % 9, 0, `${state} bytes`);
    between(figures["One state"].socketio, 2 * state, 5 * state);
    for (const kind of ["raw", "socketio"]) {
      between(figures["Median of 10 s"][kind], 0, 5_000);
      between(figures["Messages/s up / down"][kind], 5, 45);
    }
  });

  it("comes back by itself when the server was killed and started again", async () => {
    const [ann, ben] = await Promise.all([player("Ann"), player("Ben")]);
    await ann.getByRole("button", { name: "Raw WebSocket" }).click();
    await pages.killAndRestart();
    for (const page of [ann, ben]) {
      await reconnected(page);
      await rawIs(page, "connected");
    }
    await Promise.all([sees(ann, "Ben"), sees(ben, "Ann")]);
    await sailsTo("right", ann, "Ann", ben);
  });

  it("plays over polling where WebSocket is blocked, and says that the raw one cannot connect", async () => {
    const page = await pages.open("/game/", { webSocket: false });
    await named(page, "Ann");
    await statusIs(page, "transport", "polling");
    await sailsAcross(page, "Ann", page);
    await rawIs(page, "cannot connect");
    await page.locator("#conclusion").getByText("the raw WebSocket cannot connect").waitFor();
    await page.getByRole("button", { name: "Raw WebSocket" }).click();
    await page.getByText("The raw WebSocket connection is not open").waitFor();
  });

  it("closes a WebSocket that sends something wrong, with a reason, and nothing else", async () => {
    const page = await player("Ann");
    const closes = await page.evaluate(async () => {
      const messages = ["text", Uint8Array.of(), Uint8Array.of(2, 1), Uint8Array.of(9), new Uint8Array(200)];
      const ends = messages.map((message) => endOf((socket) => socket.send(message)));
      ends.push(endOf((socket) => Array.from({ length: 300 }).forEach(() => socket.send(Uint8Array.of(4, 0)))));
      return Promise.all(ends);

      function endOf(use) {
        const socket = new WebSocket(`ws://${location.host}/game/ws`);
        socket.addEventListener("open", () => use(socket));
        return new Promise((resolve) => socket.addEventListener("close", ({ code, reason }) => resolve([code, reason])));
      }
    });
    assert.deepEqual(closes.map(([code]) => code), [1003, 1008, 1008, 1008, 1009, 1008]);
    const reasons = closes.map(([, reason]) => reason);
    assert.equal(reasons[0], "the messages of the game are binary");
    assert.equal(reasons[2], "an input has 4 bytes");
    assert.equal(reasons[5], "That was too fast. Wait a moment.");
    await statusIs(page, "reconnects", "0");
    await rawIs(page, "connected");
  });

  it("says goodbye to a raw WebSocket when the server stops", async () => {
    const page = await player("Ann");
    // The page may steer while its own WebSocket closes.
    pages.tolerate(page, /net::ERR_|status of (400|503)|WebSocket connection to|already in CLOSING or CLOSED state/);
    await page.evaluate(async () => {
      const socket = new WebSocket(`ws://${location.host}/game/ws`);
      window.closeCode = new Promise((resolve) => socket.addEventListener("close", ({ code }) => resolve(code)));
      await new Promise((resolve) => socket.addEventListener("open", resolve));
    });
    const listen = `127.0.0.1:${pages.server.port}`;
    await pages.server.stop();
    assert.equal(await page.evaluate(() => window.closeCode), 1001);
    pages.server = await startApplication({ listen });
  });

  it("is played by keyboard alone", async () => {
    const page = await pages.open("/game/");
    await connected(page);
    const field = await tabTo(page, "Your name");
    await field.fill("Ann");
    await page.keyboard.press("Enter");
    await sees(page, "Ann");
    await tabTo(page, "Raw WebSocket");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("[data-choose=raw]").getAttribute("aria-pressed"), "true");
    await tabTo(page, /^The water/, { backwards: true });
    await sailsTo("right", page, "Ann", page);
    // The place and the score are said now and then.
    await until(page, () => /^Score \d+, place \d of \d/.test(document.getElementById("spoken").textContent));
  });

  it("looks right on a phone and on a desk", async () => {
    await pages.checkLook("/game/", async (page) => {
      await connected(page);
      await page.locator("#scores .mine").waitFor();
      await until(page, () => /times the bytes/.test(document.getElementById("conclusion").textContent));
    });
  });
});

async function named(page, name) {
  await connected(page);
  await page.getByLabel("Your name").fill(name);
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator("#scores .mine").getByText(name, { exact: true }).waitFor();
}

/** Waits until `page` lists the boat of `name`. */
async function sees(page, name) {
  await page.locator("#scores").getByText(name, { exact: true }).waitFor();
}

async function rawIs(page, text) {
  await page.locator("#raw-status").getByText(text).waitFor();
}

/** Steers a boat to the right and then to the left of the water. The wind alone cannot do both. */
async function sailsAcross(page, name, watcher) {
  await sailsTo("right", page, name, watcher);
  await sailsTo("left", page, name, watcher);
}

/** Steers a boat until `watcher` sees it on one side of the water. */
async function sailsTo(side, page, name, watcher) {
  const key = side === "right" ? "ArrowRight" : "ArrowLeft";
  await page.keyboard.down(key);
  await until(watcher, isOnSide, [name, side]);
  await page.keyboard.up(key);
}

/** Runs in the page: whether the pixels with the colour of this boat are on this side of the water. */
function isOnSide([name, side]) {
  const row = [...document.querySelectorAll("#scores li")].find((row) => row.querySelector(".name").textContent === name);
  if (!row) return false;
  const colour = getComputedStyle(row.querySelector(".mark")).backgroundColor.match(/\d+/g).map(Number);
  const canvas = document.getElementById("water");
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  let [sum, count] = [0, 0];
  // Every fourth pixel is enough.
  for (let at = 0; at < data.length; at += 16) {
    if (colour.every((value, channel) => Math.abs(data[at + channel] - value) < 3)) {
      sum += (at / 4) % width;
      count++;
    }
  }
  const part = sum / count / width;
  return count > 5 && (side === "right" ? part > 0.6 : part < 0.4);
}

function between(text, low, high) {
  const value = parseFloat(text);
  assert.ok(value >= low && value <= high, `${text} is not between ${low} and ${high}`);
}
