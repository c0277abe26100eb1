// Takes the picture at the top of the README from a running binary: `node picture.js http://localhost:3000`. It needs
// the packages of `conformance/browser`, and TIDEWIRE_CHROMIUM or /usr/bin/chromium.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const { chromium } = createRequire(new URL("../../conformance/browser/", import.meta.url))("playwright-core");
const origin = process.argv[2] ?? "http://localhost:3000";
const path = fileURLToPath(new URL("../../docs/pages.png", import.meta.url));

const browser = await chromium.launch({
  executablePath: process.env.TIDEWIRE_CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
});
try {
  // Some traffic, so that the lines are not flat.
  const visitors = await browser.newPage();
  await visitors.goto(`${origin}/playground/`);
  await visitors.locator("connection-status[data-state=connected]").waitFor();
  const emit = visitors.getByRole("button", { name: "Emit" });
  const traffic = setInterval(() => emit.click().catch(() => {}), 150);

  const page = await browser.newPage({ viewport: { width: 1_200, height: 940 }, colorScheme: "light" });
  await page.goto(origin);
  await page.waitForFunction(() => document.querySelectorAll(".figure path.stroke[d*=L]").length >= 5);
  await page.waitForTimeout(20_000);
  await page.screenshot({ path });
  clearInterval(traffic);
} finally {
  await browser.close();
}
