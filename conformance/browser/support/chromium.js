// Headless Chromium, through Playwright.
import { chromium } from "playwright-core";

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

/** The environment variable that names the program. */
export const VARIABLE = "TIDEWIRE_CHROMIUM";

/** What Chromium reports about requests that fail. See `firefox.js`, which reports other things. */
export const FAILURES = {
  noServer: [/net::ERR_/],
  status: (code) => [new RegExp(`^Failed to load resource: .* status of ${code}`)],
  webSocket: (status) => [new RegExp(`^WebSocket connection to .* failed: ${status ? `.* ${status}$` : ""}`)],
  abandoned: [], // a warning
  blockedByCors: (origin) => [new RegExp(`from origin '${origin}' has been blocked by CORS policy`), /net::ERR_FAILED/],
};

export const COMPRESSED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

export function launch(executablePath) {
  return chromium.launch({ executablePath, headless: true, args: FLAGS });
}

/**
 * Opens a tab, which shares nothing with other tabs. Calls `seen.error(text)`, `seen.request(url)` and, for each response to
 * the handshake of a WebSocket, `seen.handshake(status)`.
 */
export async function openTab(browser, seen) {
  const tab = await browser.newPage();
  tab.on("console", (message) => message.type() === "error" && seen.error(message.text()));
  tab.on("pageerror", (error) => seen.error(String(error)));
  tab.on("request", (request) => seen.request(request.url()));
  tab.on("websocket", (socket) => seen.request(socket.url()));
  const network = await tab.context().newCDPSession(tab);
  await network.send("Network.enable");
  network.on("Network.webSocketHandshakeResponseReceived", ({ response }) => seen.handshake(response.status));
  return tab;
}
