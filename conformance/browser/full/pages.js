// Each page of the binary, opened once. `cargo xtask test --stage browser --full` runs this in Firefox. The tests
// `pages-*.test.js` use the pages as visitors do, and run in Chromium only.
import { describe, it } from "node:test";
import { startApplication } from "../../node/support/server.js";
import { browserForTests } from "../support/browser.js";
import { serverForTests } from "../support/suite.js";

const browser = browserForTests();

describe("each page of the binary reports no error, and connects over WebSocket:", () => {
  const server = serverForTests(startApplication);

  for (const path of ["/", "/chat/", "/tracking/", "/game/", "/playground/"]) {
    it(path, async () => {
      const page = await browser.openUrl(server.url + path);
      await page.until(() => {
        const transport = document.querySelector("connection-status[data-state=connected] [data-field=transport]");
        return transport?.textContent === "websocket";
      });
      // Only the game has a second connection, a raw WebSocket.
      await page.until(() => {
        const status = document.querySelector("#raw-status");
        return !status || status.dataset.state === "connected";
      });
    });
  }
});
