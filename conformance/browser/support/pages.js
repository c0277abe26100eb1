// The pages of the binary, in headless Chromium, as a visitor opens them: with their Content-Security-Policy, and each
// in a context of its own. A test fails if a page reports an error or a warning.
//
//   describePage("the chat", (pages) => {
//     // `pages.server` runs for the whole `describe`, and `pages.killAndRestart()` restarts it.
//     it("sends a message", async () => {
//       const page = await pages.open("/chat/", { width: 360, colorScheme: "dark", webSocket: false });
//       await page.getByRole("button", { name: "Send" }).click(); // a page of Playwright
//     });
//   });
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, afterEach, before, describe } from "node:test";
import { chromium } from "playwright-core";
import { startApplication } from "../../node/support/server.js";
import { FLAGS } from "./chromium.js";
import { startAll } from "./start.js";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** The rules of axe-core whose result depends on the colours. */
const COLOUR_RULES = ["color-contrast", "link-in-text-block"];

/** How long a page may take to do what a test waits for, in milliseconds. */
const WAIT_LIMIT = 8_000;

/** What the browser itself reports about requests of a server that is down, or that has forgotten the session. */
const NO_SERVER = /net::ERR_|status of 400|WebSocket connection to/;

/** Only Tidewire serves pages: the tests of one are skipped where the official server runs. */
const SKIP = process.env.TIDEWIRE_REFERENCE === "1" && "Tidewire only";

/** Describes a page of the binary: `define(pages)` gets what `pagesForTests` returns. */
export function describePage(name, define) {
  describe(name, { skip: SKIP }, () => define(pagesForTests()));
}

/**
 * Starts the binary and a browser for the tests of the enclosing `describe` or of the file. The pages of a test are
 * closed after the test. `start()` returns the options of the binary, see `startApplication`.
 */
export function pagesForTests(start = () => ({})) {
  const pages = new Pages();
  before(() => pages.start(start()));
  afterEach(() => pages.endOfTest());
  after(() => pages.stop());
  return pages;
}

class Pages {
  #browser;
  #options;
  #open = [];
  #axe;

  async start(options) {
    const executablePath = process.env.TIDEWIRE_CHROMIUM;
    assert.ok(executablePath, "TIDEWIRE_CHROMIUM names no browser: run the suite by `cargo xtask test --stage browser`");
    this.#options = options;
    [this.#browser, this.server, this.#axe] = await startAll(
      [chromium.launch({ executablePath, headless: true, args: FLAGS }), (browser) => browser.close()],
      [startApplication(options), (server) => server.stop()],
      [readFile(AXE, "utf8")],
    );
  }

  async stop() {
    await this.#browser?.close();
    await this.server?.stop();
  }

  /** The origin of the pages. */
  get origin() {
    return this.server.url;
  }

  /** Kills the binary, without a goodbye to its clients, and returns how to start it again on the same port. */
  async kill() {
    for (const { problems } of this.#open) problems.tolerate(NO_SERVER);
    const listen = `127.0.0.1:${this.server.port}`;
    await this.server.kill();
    return async () => {
      this.server = await startApplication({ ...this.#options, listen });
    };
  }

  /** Kills the binary and starts it again on the same port. */
  async killAndRestart() {
    const restart = await this.kill();
    await restart();
  }

  /**
   * Opens a page of the binary in a fresh context and returns Playwright's page.
   *
   * - `width`, `height`: the size of the window.
   * - `colorScheme`: "light" or "dark".
   * - `reducedMotion`: "no-preference" or "reduce".
   * - `touch`: whether it is a phone, which has touch and no mouse.
   * - `webSocket: false`: the network lets no WebSocket through.
   * - `storage: false`: reading or writing `localStorage` throws, as with blocked cookies.
   * - `permissions`: what the page may do, for instance `["clipboard-read", "clipboard-write"]`.
   * - `shared`: an earlier page, whose context this one shares.
   */
  async open(path, options = {}) {
    const context = options.shared?.context() ?? (await this.#context(options));
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_LIMIT);
    const problems = new Problems(page);
    this.#open.push({ page, problems });
    await page.goto(new URL(path, this.origin).href);
    return page;
  }

  async #context({ width = 1_400, height = 900, colorScheme = "light", reducedMotion = "reduce", ...options }) {
    const context = await this.#browser.newContext({
      viewport: { width, height },
      colorScheme,
      reducedMotion,
      hasTouch: options.touch ?? false,
      isMobile: options.touch ?? false,
      permissions: options.permissions ?? [],
    });
    await context.addInitScript(recordLayoutShifts);
    if (options.storage === false) await context.addInitScript(blockStorage);
    // Chromium reports a WebSocket that is refused on the console. One that never opens is what a bad proxy does, and
    // the page must not wait for it.
    if (options.webSocket === false) await context.routeWebSocket(/./, () => new Promise(() => {}));
    return context;
  }

  /** Allows messages on the console of `page` that match `pattern`. */
  tolerate(page, pattern) {
    this.#open.find((open) => open.page === page).problems.tolerate(pattern);
  }

  /** Asserts that axe-core finds nothing wrong in `page`, or that it breaks none of the rules that `only` names. */
  async axe(page, only) {
    // The Content-Security-Policy allows no script tag, but what the debugger evaluates is not subject to it.
    if (!(await page.evaluate("typeof axe === 'object'"))) await page.evaluate(this.#axe);
    const violations = await page.evaluate(async (only) => {
      const runOnly = only && { type: "rule", values: only };
      const { violations } = await axe.run(document, { resultTypes: ["violations"], ...(runOnly && { runOnly }) });
      return violations.map(({ id, help, nodes }) => ({
        id,
        help,
        nodes: nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`),
      }));
    }, only);
    assert.deepEqual(violations, [], `axe-core on ${nameOf(page)}`);
  }

  /**
   * Opens `path` on a phone and on a desk, in light and dark, and asserts that axe-core finds nothing, that nothing moved
   * while it loaded, and that it does not scroll sideways. `use(page)` fills the page first. It must wait for the thing
   * that it fills in.
   */
  async checkLook(path, use = async () => {}) {
    for (const width of [360, 1_400]) {
      const page = await this.open(path, { width, height: 800, colorScheme: "light" });
      await use(page);
      await this.axe(page);
      await assertFits(page);
      await page.emulateMedia({ colorScheme: "dark" });
      await this.axe(page, COLOUR_RULES);
      await assertFits(page);
      const shift = await layoutShift(page);
      assert.ok(shift < 0.02, `the layout of ${nameOf(page)} has shifted by ${shift}: ${await whatShifted(page)}`);
      await this.close(page);
    }
  }

  /** Closes a page before the end of the test, and asserts that it had no problem. */
  async close(page) {
    const index = this.#open.findIndex((open) => open.page === page);
    const [{ problems }] = this.#open.splice(index, 1);
    await page.close();
    problems.assertNone();
  }

  async endOfTest() {
    const open = this.#open.splice(0);
    await Promise.all([...new Set(open.map(({ page }) => page.context()))].map((context) => context.close()));
    for (const { problems } of open) problems.assertNone();
  }
}

/** The errors and warnings of one page. */
class Problems {
  #path;
  #seen = [];
  #tolerated = [];

  constructor(page) {
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.#add(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.#add(`exception: ${error.stack ?? error}`));
    page.on("framenavigated", () => (this.#path = page.url()));
    page.on("request", (request) => this.#expectThisHost(request.url()));
    page.on("websocket", (socket) => this.#expectThisHost(socket.url()));
  }

  /** The pages ask nothing of another host. The text of `blob:` and `data:` comes from the page itself. */
  #expectThisHost(url) {
    const { protocol, hostname } = new URL(url);
    const isHere = ["127.0.0.1", "localhost"].includes(hostname) || ["blob:", "data:"].includes(protocol);
    if (!isHere) this.#add(`asks another host: ${url}`);
  }

  #add(problem) {
    this.#seen.push(problem);
  }

  tolerate(pattern) {
    this.#tolerated.push(pattern);
  }

  assertNone() {
    const seen = this.#seen.filter((problem) => !this.#tolerated.some((pattern) => pattern.test(problem)));
    assert.deepEqual(seen, [], `${this.#path} reported problems`);
  }
}

/** Returns how far the parts of `page` have moved without the visitor's doing, since it was opened: the CLS. */
export function layoutShift(page) {
  return page.evaluate(() => window.layoutShifts().reduce((sum, { value }) => sum + value, 0));
}

/** Names the elements that have moved. */
function whatShifted(page) {
  return page.evaluate(() => {
    const name = (node) => node?.id || node?.className || node?.nodeName;
    return window.layoutShifts().flatMap(({ sources }) => sources.map(({ node }) => name(node))).join(", ");
  });
}

/** Asserts that `page` is not wider than its window. */
export async function assertFits(page) {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${nameOf(page)} is ${content} pixels wide in a window of ${window}`);
}

/**
 * Presses Tab until the focus is on an element whose accessible name matches, as a visitor without a mouse would. Fails
 * if there is none within `limit` presses, or if the element does not show that it has the focus.
 */
export async function tabTo(page, name, { limit = 60, backwards = false } = {}) {
  const passed = [];
  for (let press = 0; press < limit; press++) {
    await page.keyboard.press(backwards ? "Shift+Tab" : "Tab");
    const focused = await page.evaluate(describeFocus);
    if (name instanceof RegExp ? name.test(focused.name) : focused.name === name) {
      assert.ok(focused.isVisible, `the focus on "${focused.name}" cannot be seen`);
      return page.locator("*:focus");
    }
    passed.push(focused.name);
  }
  assert.fail(`Tab does not reach ${name}, but: ${passed.join(", ")}`);
}

/** Waits until `page` has a connection, as its `<connection-status>` says. */
export async function connected(page) {
  await page.locator("connection-status[data-state=connected]").waitFor();
}

/** Waits until `page` says that it has lost its connection. */
export async function disconnected(page) {
  await page.locator("connection-status:not([data-state=connected])").waitFor();
}

/** Waits until `page` has connected again, `times` times since it was opened. */
export async function reconnected(page, times = 1) {
  await statusIs(page, "reconnects", `${times}`);
  await connected(page);
}

/** Waits until the field of `<connection-status>` has this text: `statusIs(page, "transport", "polling")`. */
export async function statusIs(page, field, text) {
  await page.locator(`connection-status dd[data-field="${field}"]`).getByText(text, { exact: true }).waitFor();
}

/** Waits until `condition(argument)`, which runs in the page, is true. */
export async function until(page, condition, argument) {
  await page.waitForFunction(condition, argument, { timeout: WAIT_LIMIT });
}

function nameOf(page) {
  const { width } = page.viewportSize();
  return `${new URL(page.url()).pathname} at ${width} pixels`;
}

// These functions run in the page.

function recordLayoutShifts() {
  const shifts = [];
  const observer = new PerformanceObserver((list) => keep(list.getEntries()));
  const keep = (entries) => shifts.push(...entries.filter(({ hadRecentInput }) => !hadRecentInput));
  observer.observe({ type: "layout-shift", buffered: true });
  window.layoutShifts = () => {
    keep(observer.takeRecords());
    return shifts;
  };
}

function blockStorage() {
  const get = () => {
    throw new DOMException("The operation is insecure.", "SecurityError");
  };
  for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { get });
}

/** Returns the accessible name of the focused element, roughly, and whether it shows the focus. */
function describeFocus() {
  const element = document.activeElement;
  const labelled = element.getAttribute("aria-labelledby")?.split(" ") ?? [];
  const names = [
    element.getAttribute("aria-label"),
    labelled.map((id) => document.getElementById(id)?.textContent).join(" "),
    element.labels?.[0]?.textContent,
    element.textContent,
    element.title,
    element.id,
  ];
  const name = names.map((name) => name?.trim().replaceAll(/\s+/g, " ")).find(Boolean) ?? element.tagName;
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
  const isOutlined = outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
  return { name, isVisible: isOutlined || boxShadow !== "none" };
}
