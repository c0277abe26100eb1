// A headless browser, and a site that serves the test pages. Its origin differs from the servers under test.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, afterEach, before } from "node:test";
import { fileURLToPath } from "node:url";
import { within } from "../../node/support/wait.js";
import { startAll } from "./start.js";

/** How to drive each browser. `TIDEWIRE_BROWSER` selects one. */
const DRIVERS = { chromium: "./chromium.js", firefox: "./firefox.js" };

const name = process.env.TIDEWIRE_BROWSER || "chromium";
assert.ok(name in DRIVERS, `TIDEWIRE_BROWSER is "${name}", but must be one of: ${Object.keys(DRIVERS).join(", ")}`);
const driver = await import(DRIVERS[name]);

/**
 * What the browser reports about requests that fail. Each is a list of patterns, one for each message:
 *
 * - `noServer`: no server listens, or it has ended the connection.
 * - `status(code)`: the response has this status.
 * - `webSocket(status)`: a WebSocket does not open; the response had this status, if it is given.
 * - `abandoned`: a session ends while the WebSocket of its upgrade opens. Node's server then cuts that WebSocket.
 * - `blockedByCors(origin)`: the server does not allow pages of this origin to read the response.
 */
export const { FAILURES } = driver;

/** The property `extensions` of a WebSocket that is compressed and keeps no context. */
export const { COMPRESSED } = driver;

const OFFICIAL = dirname(createRequire(import.meta.url).resolve("socket.io-client/package.json"));
const BUNDLES = {
  "socket.io-client": join(OFFICIAL, "dist/socket.io.js"),
  tidewire: fileURLToPath(new URL("../../../web/client/dist/tidewire.global.js", import.meta.url)),
};
const IN_PAGE = fileURLToPath(new URL("in-page.js", import.meta.url));

/** The clients whose tests are the same. */
export const CLIENTS = Object.keys(BUNDLES);

/**
 * Starts a browser for the tests of the enclosing `describe` or of the file. The pages of a test are closed after the
 * test.
 */
export function browserForTests() {
  const context = new Context();
  before(() => context.start());
  afterEach(() => context.endOfTest());
  after(() => context.stop());
  return context;
}

class Context {
  #browser;
  #site;
  #open = new Set();
  #spare = [];
  #errors = [];
  #tolerated = [];
  #news = new EventEmitter();

  async start() {
    const program = process.env[driver.VARIABLE];
    assert.ok(program, `${driver.VARIABLE} names no browser: run the suite by \`cargo xtask test --stage browser\``);
    [this.#browser, this.#site] = await startAll(
      [driver.launch(program), (browser) => browser.close()],
      [startSite(), (site) => site.close()],
    );
  }

  async stop() {
    await this.#browser?.close();
    this.#site?.close();
  }

  /** The origin of the pages. */
  get origin() {
    return `http://localhost:${this.#site.address().port}`;
  }

  /** Opens a page with a client in it. */
  async open(client = CLIENTS[0]) {
    return this.openUrl(`${this.origin}/${client}`);
  }

  /** Opens a page of a server. Reuses the tab of an earlier test, because a new one takes a second. */
  async openUrl(url) {
    const page = this.#spare.pop() ?? (await Page.make(this.#browser, (error) => this.#report(error)));
    this.#open.add(page);
    await page.load(url);
    return page;
  }

  /**
   * Opens a page of the binary that runs nothing by itself, and adds the official client and the functions of
   * `in-page.js`.
   */
  async openAt(origin) {
    const page = await this.openUrl(`${origin}/pages/source/home.ts`);
    await page.use(CLIENTS[0]);
    await page.addScript(IN_PAGE);
    return page;
  }

  #report(error) {
    this.#errors.push(error);
    this.#news.emit("error reported");
  }

  /** Waits for what the browser must report in this test, one of `FAILURES`. Any other error fails the test. */
  async reports(failure) {
    for (const pattern of failure) await within(8_000, `an error of the browser like ${pattern}`, this.#reported(pattern));
  }

  async #reported(pattern) {
    for (;;) {
      const index = this.#errors.findIndex((error) => pattern.test(error));
      if (index >= 0) return this.#errors.splice(index, 1);
      await once(this.#news, "error reported");
    }
  }

  /** Allows `failures` in this test, any number of times. */
  tolerate(...failures) {
    this.#tolerated.push(...failures.flat());
  }

  async endOfTest() {
    const pages = [...this.#open].filter((page) => !page.closed);
    this.#open.clear();
    await Promise.all(pages.map((page) => page.leave())); // closes its connections
    this.#spare.push(...pages);
    const tolerated = this.#tolerated.splice(0);
    const errors = this.#errors.splice(0).filter((error) => !tolerated.some((pattern) => pattern.test(error)));
    assert.deepEqual(errors, [], "the browser reported errors");
  }
}

class Page {
  #tab;
  #requests = [];
  #handshakes = [];

  static async make(browser, error) {
    const page = new Page();
    const seen = {
      error,
      request: (url) => page.#requests.push(url),
      handshake: (status) => page.#handshakes.push(status),
    };
    page.#tab = await driver.openTab(browser, seen);
    return page;
  }

  async load(url) {
    for (const seen of [this.#requests, this.#handshakes]) seen.length = 0;
    await this.#tab.goto(url);
  }

  /** Runs a script of these tests, also if the Content-Security-Policy of the page allows none. */
  async addScript(path) {
    await this.#tab.evaluate(await readFile(path, "utf8"));
  }

  /** Loads a client into a page that came without one, or with another one. */
  use(client) {
    return this.addScript(BUNDLES[client]);
  }

  /** The HTTP versions of the responses, as browsers name them: `h2`, `http/1.1`. */
  async protocols() {
    const seen = await this.run(() => performance.getEntries().map(({ nextHopProtocol }) => nextHopProtocol));
    return [...new Set(seen.filter(Boolean))].sort();
  }

  /** The status of each WebSocket handshake: 101 for an upgrade, 200 for an extended CONNECT (RFC 8441). */
  get handshakes() {
    return [...this.#handshakes];
  }

  leave() {
    return this.#tab.goto("about:blank");
  }

  close() {
    return this.#tab.close();
  }

  get closed() {
    return this.#tab.isClosed();
  }

  /** Runs a function in the page. It can use `io` and the functions of `in-page.js`. */
  run(test, argument) {
    return within(30_000, "the page", this.#tab.evaluate(test, argument));
  }

  /** Waits until a function that runs in the page returns true. */
  async until(condition) {
    const become = async () => {
      while (!(await this.#tab.evaluate(condition))) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    await within(30_000, `the page, until ${condition}`, become());
  }

  /**
   * Creates a client in the page and waits until it has connected and finished its upgrade, if there is one. Uses
   * `connect` of `in-page.js`.
   */
  async connect(url, transport, options = {}) {
    const attempt = this.#tab.evaluateHandle((given) => connect(...given), [url, transport, options]);
    return new Client(await within(30_000, `a client over ${transport}`, attempt));
  }

  /** The URLs of the requests of the page. */
  get requested() {
    return [...this.#requests];
  }

  /** The Engine.IO transports that the page has used. */
  get transports() {
    const transports = this.#requests.map((url) => /[?&]transport=(\w+)/.exec(url)?.[1]);
    return [...new Set(transports.filter(Boolean))].sort();
  }
}

/** A Socket.IO client in a page. */
class Client {
  #socket;

  constructor(socket) {
    this.#socket = socket;
  }

  /** Runs a function in the page with this client. */
  run(test, argument) {
    return within(30_000, "the page", this.#socket.evaluate(test, argument));
  }

  id() {
    return this.run((socket) => socket.id);
  }

  /** Returns the current transport of the client. */
  transport() {
    return this.run((socket) => socket.io.engine.transport.name);
  }

  /** Starts to listen. `(await listen("event"))()` waits for the event and returns its arguments. */
  async listen(event) {
    const coming = await this.#socket.evaluateHandle((socket, event) => ({ values: next(socket, event) }), event);
    return () => within(30_000, `"${event}" in the page`, coming.evaluate(({ values }) => values));
  }

  /** Starts to listen for the end of another socket. `(await listenForEnd(id))()` waits for it and returns the reason. */
  async listenForEnd(id) {
    const coming = await this.#socket.evaluateHandle((socket, id) => ({ reason: endOf(socket, id) }), id);
    return () => within(30_000, "the end of another socket", coming.evaluate(({ reason }) => reason));
  }
}

/** Serves an empty page for each client, with the client in it. */
async function startSite() {
  const files = { "/in-page.js": ["text/javascript", await readFile(IN_PAGE)] };
  for (const client of CLIENTS) {
    files[`/${client}`] = [
      "text/html",
      `<!doctype html><title>conformance</title><link rel="icon" href="data:,">
<script src="/${client}.js"></script><script src="/in-page.js"></script>`,
    ];
    files[`/${client}.js`] = ["text/javascript", await readFile(BUNDLES[client])];
  }
  const site = createServer((request, response) => {
    const [type, body] = files[request.url] ?? [];
    if (body) response.writeHead(200, { "content-type": `${type}; charset=utf-8` }).end(body);
    else response.writeHead(404).end();
  });
  await new Promise((resolve, reject) => site.listen(0, "127.0.0.1", resolve).on("error", reject));
  return site;
}
