// The page `/chat/` of the binary.
import assert from "node:assert/strict";
import { it } from "node:test";
import { connected, describePage, disconnected, reconnected, statusIs, tabTo, until } from "../support/pages.js";

describePage("the chat", (pages) => {
  /** Opens the chat in a room. Each test has a room of its own. */
  async function enter(room, options) {
    const page = await pages.open(`/chat/?room=${room}`, options);
    await page.locator("#people-list li").first().waitFor();
    return page;
  }

  it("shows what two people say, who is typing, and who is here, each person once", async () => {
    const [ann, ben] = await Promise.all([enter("talk"), enter("talk")]);
    await peopleAre(ann, 2);
    await ben.locator('[data-room="talk"]').getByLabel("2 people").waitFor();
    await ann.locator("#text").pressSequentially("Hello");
    await ben.getByText(`${await ann.locator("#your-name").textContent()} is typing …`).waitFor();
    await ann.keyboard.press("Shift+Enter");
    await ann.keyboard.insertText("see https://example.com/a. <b>javascript:alert(1)</b>");
    await ann.keyboard.press("Enter");
    await sent(ann, "Hello");
    const received = message(ben, "Hello");
    await received.waitFor();
    const text = "Hello\nsee https://example.com/a. <b>javascript:alert(1)</b>";
    assert.equal(await received.locator(".text").textContent(), text);
    const link = received.getByRole("link");
    assert.equal(await link.getAttribute("href"), "https://example.com/a");
    assert.match(await link.getAttribute("rel"), /noopener/);
    assert.equal(await ben.locator("#hint").textContent(), "", "who has sent the message is not typing any more");

    // Two tabs are one person.
    const tab = await enter("talk", { shared: ann });
    await say(tab, "from the second tab");
    await message(ben, "from the second tab").waitFor();
    await message(ann, "from the second tab").and(ann.locator(".own")).waitFor();
    await peopleAre(ben, 2);
    await pages.close(tab);
    await say(ben, "still here?");
    await message(ann, "still here?").waitFor();
    assert.equal(await ben.locator("#people-list li").count(), 2);
  });

  it("makes a large picture smaller, and shows it to others now and later, also without WebSocket", async () => {
    const [ann, ben] = await Promise.all([enter("gallery", { webSocket: false }), enter("gallery")]);
    await paste(ann, "image/png", 2_000, 100);
    const size = await picture(ben);
    assert.ok(size.width < 2_000 && size.height === size.width / 20 && size.source === "blob:", JSON.stringify(size));
    assert.deepEqual(await picture(await enter("gallery")), size);
    await paste(ann, "image/svg+xml");
    await ann.getByText("Only PNG, JPEG, WebP and GIF pictures can be sent.").waitFor();
    await say(ben, "A smaller one:");
    await message(ann, "A smaller one:").waitFor();
    await paste(ben, "image/png", 30, 20);
    await until(ann, () => [...document.querySelectorAll(".frame img")].at(-1).naturalWidth === 30);
    await statusIs(ann, "transport", "polling");
  });

  it("sends an animation as a still picture, and frees a picture that it does not show any more", async () => {
    const [ann, ben] = await Promise.all([enter("films"), enter("films")]);
    // One frame is enough: a GIF may be animated, and the server takes none.
    const gif = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
    await ann.evaluate((gif) => {
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File([Uint8Array.from(atob(gif), (c) => c.charCodeAt())], "film", { type: "image/gif" }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }, gif);
    await ann.locator(".message[data-state=sent] img").waitFor();
    assert.equal((await picture(ben)).width, 1);
    const freed = await ann.evaluate(async () => {
      const { src } = document.querySelector(".frame img");
      const freed = new Promise((resolve) => {
        const { revokeObjectURL } = URL;
        URL.revokeObjectURL = (url) => (revokeObjectURL.call(URL, url), url === src && resolve(true));
      });
      // The page shows 200 messages of a room, also those that the server has refused.
      const text = document.getElementById("text");
      for (let number = 1; number <= 200; number++) {
        text.value = `message ${number}.`;
        text.form.requestSubmit();
      }
      return freed;
    });
    assert.ok(freed);
    assert.equal(await ann.locator(".frame img").count(), 0);
  });

  it("tells people apart whose names look the same, and refuses names that show nothing", async () => {
    const [ann, ben] = await Promise.all([enter("names"), enter("names")]);
    await rename(ann, "Kim");
    await ann.locator("#ask").waitFor({ state: "hidden" });
    await rename(ben, "K\u0456m"); // with a Cyrillic letter
    await ben.getByText("Somebody in this room has a name that looks the same.").waitFor();
    await ben.locator("#ask-value").fill("\u3164");
    await ben.keyboard.press("Enter");
    await ben.getByText("A name has 1 to 24 letters, digits, spaces and punctuation marks.").waitFor();
    await ben.keyboard.press("Escape");
    await ben.locator('[data-room="rust"]').click();
    await ben.getByRole("heading", { name: "rust" }).waitFor();
    await rename(ben, "KIM");
    await ben.locator("#ask").waitFor({ state: "hidden" });
    await ben.locator('[data-room="names"]').click();
    await ann.locator("#people-list").getByText("KIM 2", { exact: true }).waitFor();
    await ben.locator("#your-name").getByText("KIM 2", { exact: true }).waitFor();
    await say(ben, "Who am I?");
    await message(ann, "Who am I?").filter({ hasText: "KIM 2" }).waitFor();
  });

  it("says why the server has refused a message, and sends it again", async () => {
    const page = await enter("haste");
    // Ten messages are accepted at once, and one more each second.
    await page.evaluate(() => {
      const text = document.getElementById("text");
      for (let number = 1; number <= 20; number++) {
        text.value = `message ${number}.`;
        text.form.requestSubmit();
      }
    });
    const refused = page.locator(".message[data-state=refused]").last();
    await refused.getByText("That was too fast. Wait a moment.").waitFor();
    const text = await refused.locator(".text").textContent();
    while (!(await message(page, text).and(page.locator("[data-state=sent]")).isVisible())) {
      await message(page, text).getByRole("button", { name: "Send again" }).click();
      await until(page, () => !document.querySelector(".message[data-state=sending]"));
    }
  });

  it("gives a person who was offline what was missed, and says that the session was recovered", async () => {
    const [ann, ben] = await Promise.all([enter("tunnel"), enter("tunnel")]);
    await say(ann, "before");
    await message(ben, "before").waitFor();
    pages.tolerate(ben, /net::ERR_INTERNET_DISCONNECTED/);
    await ben.context().setOffline(true);
    await disconnected(ben);
    await say(ann, "missed");
    await sent(ann, "missed");
    await say(ben, "written offline");
    await message(ben, "written offline").getByText("waits for the connection").waitFor();
    await ben.context().setOffline(false);
    await reconnected(ben);
    await statusIs(ben, "last session", "recovered");
    await ben.getByText("The session was recovered. Missed messages that came by themselves: 1.").waitFor();
    await sent(ben, "written offline");
    await message(ann, "written offline").waitFor();
    for (const page of [ann, ben]) assert.deepEqual(await texts(page), ["before", "missed", "written offline"]);
    await peopleAre(ann, 2);
  });

  it("comes back after a restart of the server, in the same room, and says that the session is new", async () => {
    const [ann, ben] = await Promise.all([enter("restart"), enter("restart")]);
    await say(ann, "before");
    await message(ben, "before").waitFor();
    const restart = await pages.kill();
    await Promise.all([ann, ben].map(disconnected));
    await say(ann, "meanwhile");
    await restart();
    for (const page of [ann, ben]) {
      await reconnected(page);
      await statusIs(page, "last session", "new");
      await page.getByText("The session is new: the history was loaded again.").waitFor();
      await page.getByRole("heading", { name: "restart" }).waitFor();
    }
    await message(ben, "meanwhile").waitFor();
    await sent(ann, "meanwhile");
    for (const page of [ann, ben]) assert.deepEqual(await texts(page), ["before", "meanwhile"]);
  });

  it("is operated by keyboard alone, also where nothing can be stored", async () => {
    const page = await pages.open("/chat/", { storage: false });
    await connected(page);
    await until(page, () => document.activeElement.id === "text");
    await tabTo(page, "Open a room", { backwards: true });
    await page.keyboard.press("Enter");
    await page.keyboard.type("a/b");
    await page.keyboard.press("Enter");
    await page.getByText("The name of a room has 1 to 24 letters, digits, spaces or hyphens.").waitFor();
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type("keys");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "keys" }).waitFor();
    await tabTo(page, "Change name");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Escape");
    await until(page, () => !document.querySelector("dialog[open]"));
    await page.keyboard.press("Enter");
    await page.keyboard.type("Kim");
    await page.keyboard.press("Enter");
    await page.locator("#people-list").getByText("Kim").waitFor();
    await tabTo(page, /^lobby/, { backwards: true });
    await page.keyboard.press("ArrowDown");
    await until(page, () => document.activeElement.dataset.room === "rust");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "rust" }).waitFor();
    await page.keyboard.type("typed"); // The focus is in the message.
    await page.keyboard.press("Enter");
    await sent(page, "typed");
  });

  it("has rooms and people behind buttons on a phone", async () => {
    const page = await pages.open("/chat/", { width: 360, height: 740, touch: true });
    await page.getByRole("button", { name: "Rooms" }).tap();
    await page.locator('[data-room="rust"]').tap();
    await page.getByRole("heading", { name: "rust" }).waitFor();
    await page.locator("#rooms").waitFor({ state: "hidden" });
    await page.getByRole("button", { name: "People" }).tap();
    await page.getByRole("button", { name: "Change name" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator("#people").waitFor({ state: "hidden" });
  });

  it("is accessible and does not move, on a phone and on a desk, in light and dark", async () => {
    await pages.checkLook("/chat/?room=look", async (page) => {
      await page.locator("#people-list li").first().waitFor({ state: "attached" });
      await say(page, "Look:");
      await sent(page, "Look:");
      await paste(page, "image/png", 300, 200);
      await picture(page);
    });
  });
});

async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

async function rename(page, name) {
  await page.getByRole("button", { name: "Change name" }).click();
  await page.locator("#ask-value").fill(name);
  await page.keyboard.press("Enter");
}

function message(page, text) {
  return page.locator(".message").filter({ hasText: text });
}

/** Waits until the server has acknowledged a message. */
async function sent(page, text) {
  await message(page, text).and(page.locator("[data-state=sent]")).waitFor();
}

/** Waits until `page` shows this number of people. */
async function peopleAre(page, count) {
  await page.locator("#people-count").getByText(`${count}`, { exact: true }).waitFor();
}

function texts(page) {
  return page.locator(".message .text").allTextContents();
}

/** Pastes a picture that consists of noise, which cannot be compressed. */
function paste(page, type, width = 1, height = 1) {
  return page.evaluate(
    async ([type, width, height]) => {
      const canvas = new OffscreenCanvas(width, height);
      const context = canvas.getContext("2d");
      const noise = context.createImageData(width, height);
      for (let start = 0; start < noise.data.length; start += 65_536) {
        crypto.getRandomValues(noise.data.subarray(start, start + 65_536));
      }
      for (let alpha = 3; alpha < noise.data.length; alpha += 4) noise.data[alpha] = 255;
      context.putImageData(noise, 0, 0);
      const drawn = await canvas.convertToBlob({ type: "image/png" });
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File([drawn], "noise", { type }));
      document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    },
    [type, width, height],
  );
}

/** Waits until a picture is shown and returns its size. */
async function picture(page) {
  await until(page, () => [...document.querySelectorAll(".frame img")].at(-1)?.naturalWidth > 0);
  return page.locator(".frame img").last().evaluate(({ naturalWidth, naturalHeight, src }) => {
    return { width: naturalWidth, height: naturalHeight, source: src.slice(0, 5) };
  });
}
