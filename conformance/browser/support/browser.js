// Headless Chromium, and a site that serves the test pages. Its origin differs from the servers under test.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, afterEach, before } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { within } from "../../node/support/wait.js";
import { startAll } from "./start.js";

// Only the loopback network is available here. The flags for networking, updates and sync keep Chromium from
// using another.
export const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // The certificates are self-signed.
  "--ignore-certificate-errors",
];

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
  #tolerated;
  #news = new EventEmitter();

  async start() {
    const executablePath = process.env.TIDEWIRE_CHROMIUM;
    assert.ok(executablePath, "TIDEWIRE_CHROMIUM names no browser: run the suite by `cargo xtask test --stage browser`");
    [this.#browser, this.#site] = await startAll(
      [chromium.launch({ executablePath, headless: true, args: FLAGS }), (browser) => browser.close()],
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

  /** Opens a page with a client in it. Reuses the tab of an earlier test, because a new one takes a second. */
  async open(client = CLIENTS[0]) {
    const page = this.#spare.pop() ?? (await this.#make());
    this.#open.add(page);
    await page.load(`${this.origin}/${client}`);
    return page;
  }

  /**
   * Opens a page of the binary that runs nothing by itself, and adds the official client and the functions of
   * `in-page.js`. The page's Content-Security-Policy, which would allow neither, does not hold.
   */
  async openAt(origin) {
    const page = this.#spare.pop() ?? (await this.#make());
    this.#open.add(page);
    await page.load(`${origin}/pages/source/home.ts`);
    await page.use(CLIENTS[0]);
    await page.addScript(IN_PAGE);
    return page;
  }

  async #make() {
    const page = await this.#browser.newPage({ bypassCSP: true });
    page.on("console", (message) => message.type() === "error" && this.#report(message.text()));
    page.on("pageerror", (error) => this.#report(String(error)));
    const network = await page.context().newCDPSession(page);
    await network.send("Network.enable");
    return new Page(page, network);
  }

  #report(error) {
    this.#errors.push(error);
    this.#news.emit("error reported");
  }

  /** Waits for an error that the browser must report in this test. Any other error fails the test. */
  reports(pattern) {
    const found = async () => {
      for (;;) {
        const index = this.#errors.findIndex((error) => pattern.test(error));
        if (index >= 0) return this.#errors.splice(index, 1);
        await once(this.#news, "error reported");
      }
    };
    return within(8_000, `an error of the browser like ${pattern}`, found());
  }

  /** Allows errors that match `pattern` in this test, any number of times. */
  tolerate(pattern) {
    this.#tolerated = pattern;
  }

  async endOfTest() {
    const pages = [...this.#open].filter((page) => !page.closed);
    this.#open.clear();
    await Promise.all(pages.map((page) => page.leave())); // closes its connections
    this.#spare.push(...pages);
    const tolerated = this.#tolerated;
    this.#tolerated = undefined;
    const errors = this.#errors.splice(0).filter((error) => !tolerated?.test(error));
    assert.deepEqual(errors, [], "the browser reported errors");
  }
}

class Page {
  #page;
  #requests = [];
  #protocols = new Set();
  #handshakes = [];

  constructor(page, network) {
    this.#page = page;
    page.on("request", (request) => this.#requests.push(request.url()));
    page.on("websocket", (socket) => this.#requests.push(socket.url()));
    network.on("Network.responseReceived", ({ response }) => this.#protocols.add(response.protocol));
    network.on("Network.webSocketHandshakeResponseReceived", ({ response }) => this.#handshakes.push(response.status));
  }

  async load(url) {
    for (const seen of [this.#requests, this.#handshakes]) seen.length = 0;
    this.#protocols.clear();
    await this.#page.goto(url);
  }

  addScript(path) {
    return this.#page.addScriptTag({ path });
  }

  /** Loads a client into a page that came without one, or with another one. */
  use(client) {
    return this.addScript(BUNDLES[client]);
  }

  /** The HTTP versions of the responses, as browsers name them: `h2`, `http/1.1`. */
  get protocols() {
    return [...this.#protocols].sort();
  }

  /** The status of each WebSocket handshake: 101 for an upgrade, 200 for an extended CONNECT (RFC 8441). */
  get handshakes() {
    return [...this.#handshakes];
  }

  leave() {
    return this.#page.goto("about:blank");
  }

  close() {
    return this.#page.close();
  }

  get closed() {
    return this.#page.isClosed();
  }

  /** Runs a function in the page. It can use `io` and the functions of `in-page.js`. */
  run(test, argument) {
    return within(30_000, "the page", this.#page.evaluate(test, argument));
  }

  /**
   * Creates a client in the page and waits until it has connected and finished its upgrade, if there is one. Uses
   * `connect` of `in-page.js`.
   */
  async connect(url, transport, options = {}) {
    const attempt = this.#page.evaluateHandle((given) => connect(...given), [url, transport, options]);
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
