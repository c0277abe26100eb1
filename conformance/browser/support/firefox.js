// Headless Firefox, as Mozilla or Debian publish it, through Puppeteer and WebDriver BiDi. Playwright's releases drive only
// a Firefox that Playwright builds itself.
import puppeteer from "puppeteer-core";

/** The environment variable that names the program. */
export const VARIABLE = "TIDEWIRE_FIREFOX";

/** A busy machine needs half a minute to start two of them. */
const START = 90_000;

/** Firefox says the same about each WebSocket that does not open, whatever the reason. */
const NOT_OPENED = /^Firefox can’t establish a connection to the server at wss?:/;

/** An open WebSocket has ended without a close frame. Other browsers tell only the page. */
const CUT = /^The connection to wss?:\S+ was interrupted/;

/** What Firefox reports about requests that fail. Where the list is empty, it tells only its network panel. */
export const FAILURES = {
  noServer: [NOT_OPENED, CUT, /CORS request did not succeed/],
  status: () => [],
  webSocket: () => [NOT_OPENED],
  abandoned: [NOT_OPENED, CUT],
  blockedByCors: () => [/^Cross-Origin Request Blocked: .*CORS header ‘Access-Control-Allow-Origin’/],
};

/** Firefox does not show the parameters. */
export const COMPRESSED = "permessage-deflate";

export function launch(executablePath) {
  return puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    acceptInsecureCerts: true, // they are self-signed
    defaultViewport: null,
    timeout: START,
    // Only the loopback network is available here.
    extraPrefsFirefox: { "network.proxy.type": 0 },
  });
}

/** Opens a tab, like `openTab` of `chromium.js`. */
export async function openTab(browser, seen) {
  // In a window of its own, because Firefox lets the timers of hidden tabs run once in a second.
  const context = await browser.createBrowserContext();
  const tab = await context.newPage({ type: "window" });
  tab.on("console", (message) => message.type() === "error" && seen.error(message.text()));
  tab.on("pageerror", ({ message }) => seen.error(message)); // also what Firefox itself reports, and warnings
  // Chromium does not show the requests by which the browser asks the server what CORS allows.
  tab.on("request", (request) => request.method() !== "OPTIONS" && seen.request(request.url()));
  tab.on("response", (response) => {
    if ("sec-websocket-version" in response.request().headers()) seen.handshake(response.status());
  });
  return tab;
}
