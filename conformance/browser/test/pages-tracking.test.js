// The page `/tracking/`.
import assert from "node:assert/strict";
import { it } from "node:test";
import { connected, describePage, reconnected, statusIs, tabTo, until } from "../support/pages.js";

describePage("the tracking page", (pages) => {
  const open = async (options) => {
    const page = await pages.open("/tracking/", options);
    await connected(page);
    await page.locator("li[data-courier][data-x]").first().waitFor();
    return page;
  };

  it("shows moving couriers, in the same places on two pages, also where no WebSocket gets through", async () => {
    const [first, second] = await Promise.all([open(), open({ width: 360, webSocket: false })]);
    await statusIs(first, "transport", "websocket");
    await statusIs(second, "transport", "polling");
    await Promise.all([first, second].map(async (page) => moved(page, await positions(page))));
    const [here, there] = await Promise.all([positions(first), positions(second)]);
    assert.equal(here.length, 10);
    // The second page may be one or two overviews ahead: 15 units each, of a map that is 1,000 units wide.
    here.forEach(([x, y], index) => {
      const distance = Math.hypot(x - there[index][0], y - there[index][1]);
      assert.ok(distance < 40, `courier ${index} is ${distance} units away on the other page`);
    });
    for (const page of [first, second]) {
      const colours = await page.evaluate(() => {
        const { width, height } = document.querySelector("#map");
        const pixels = new Uint32Array(document.querySelector("#map").getContext("2d").getImageData(0, 0, width, height).data.buffer);
        return new Set(pixels).size;
      });
      assert.ok(colours > 20, `the map has ${colours} colours`);
    }
  });

  it("follows an order whose destination is clicked on the map", async () => {
    const page = await open();
    const canvas = page.locator("#map");
    await page.locator("li[data-order][data-state=collecting]").first().waitFor();
    const { width } = await canvas.boundingBox();
    const title = page.getByRole("heading", { name: /^Following order \d+$/ });
    // A courier may come between and take the click.
    while (!(await title.isVisible())) {
      const destination = await page.evaluate(freeDestination);
      const [x, y] = destination?.map((unit) => (unit * width) / 1_000) ?? [];
      if (destination) await canvas.click({ position: { x, y } });
    }
    await page.getByText(/ arrives in \d+ s, at /).waitFor();
    const progress = () => page.locator("#followed-progress").evaluate(({ value }) => value);
    const before = await progress();
    await until(page, (before) => document.querySelector("#followed-progress").value > before, before);
    await page.getByRole("button", { name: "Stop following" }).click();
    await page.getByRole("heading", { name: "No order followed" }).waitFor();
  });

  it("places an order by keyboard, which another page sees and follows", async () => {
    const [page, other] = await Promise.all([open(), open()]);
    await tabTo(page, /^Deliver to/);
    await page.keyboard.type("Lib");
    await tabTo(page, "Order");
    await page.keyboard.press("Enter");
    const title = page.getByRole("heading", { name: /^Following order/ });
    await title.waitFor();
    const [id] = (await title.textContent()).match(/\d+/);
    await other.locator(`li[data-order="${id}"]`).waitFor();
    await tabTo(other, new RegExp(`^${id} · Library `));
    await other.keyboard.press("Enter");
    await other.getByRole("heading", { name: `Following order ${id}` }).waitFor();
    await other.getByText(/ arrives in \d+ s, at /).waitFor();
  });

  it("places an order at a place on the map, and says why a fourth one is refused", async () => {
    const page = await open();
    const order = page.getByRole("button", { name: "Order", exact: true });
    await page.locator("#map").click({ position: { x: 4, y: 4 } });
    await order.click();
    await page.getByText(/^Order \d+ is placed\.$/).waitFor();
    await page.getByRole("button", { name: /a pin on the map/, pressed: true }).waitFor();
    for (let count = 1; count < 4; count++) {
      await page.locator("li.own").nth(count - 1).waitFor();
      await page.getByLabel("Deliver to").selectOption("Library");
      await order.click();
    }
    await page.getByText("You have three open orders. Please wait until one is delivered.").waitFor();
  });

  it("skips positions while it reads slowly, and still follows its order after the recovery", async () => {
    const page = await open();
    await page.locator("li[data-order][data-state=collecting] button").first().click();
    const title = await page.getByRole("heading", { name: /^Following order/ }).textContent();
    await page.getByLabel("Read slowly").check();
    await statusIs(page, "last session", "recovered");
    await statusIs(page, "transport", "polling");
    await until(page, () => Number(document.querySelector("#skipped").textContent) > 0);
    await page.getByRole("heading", { name: title }).waitFor();
    await page.getByText(/ arrives in \d+ s, at /).waitFor();
  });

  it("begins again when the server was killed and restarted", async () => {
    const [first, second] = await Promise.all([open(), open()]);
    for (const page of [first, second]) {
      await page.locator("li[data-order] button").first().click();
      await page.getByRole("heading", { name: /^Following order/ }).waitFor();
    }
    await pages.killAndRestart();
    for (const page of [first, second]) {
      await reconnected(page);
      await page.getByText("The server has restarted, and the town begins again.").waitFor();
      await page.getByRole("heading", { name: "No order followed" }).waitFor();
      await moved(page, await positions(page));
    }
  });

  it("is accessible and holds still, on a phone and on a desk, in light and dark", async () => {
    await pages.checkLook("/tracking/", async (page) => {
      await connected(page);
      await page.locator("li[data-order][data-state=collecting] button").first().click();
      await page.getByText(/ arrives in \d+ s, at /).waitFor();
      await moved(page, await positions(page));
    });
  });
});

/** Returns where the couriers are, as the page has read it last. */
function positions(page) {
  const read = (items) => items.map(({ dataset }) => [Number(dataset.x), Number(dataset.y)]);
  return page.locator("li[data-courier]").evaluateAll(read);
}

/** Waits until a courier is elsewhere. */
function moved(page, before) {
  return until(page, (before) => {
    const items = [...document.querySelectorAll("li[data-courier]")];
    return items.some(({ dataset }, index) => Number(dataset.x) !== before[index][0] || Number(dataset.y) !== before[index][1]);
  }, before);
}

/** Runs in the page. Returns the destination of an order that is being collected, with no courier beside it. */
function freeDestination() {
  const places = (selector) => [...document.querySelectorAll(selector)].map(({ dataset: { x, y } }) => [Number(x), Number(y)]);
  const couriers = places("li[data-courier]");
  const isFree = ([x, y]) => couriers.every((courier) => Math.hypot(courier[0] - x, courier[1] - y) > 60);
  return places("li[data-order][data-state=collecting]").find(isFree);
}
