// Takes the picture at the top of the README from a running binary: `node picture.js http://localhost:3000`. It needs
// the packages of `conformance/browser`, and TIDEWIRE_CHROMIUM or /usr/bin/chromium.
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const { chromium } = createRequire(new URL("../../conformance/browser/", import.meta.url))("playwright-core");
const origin = process.argv[2] ?? "http://localhost:3000";
const path = fileURLToPath(new URL("../../docs/pages.webp", import.meta.url));

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

  const page = await browser.newPage({ viewport: { width: 1_200, height: 900 }, colorScheme: "light" });
  await page.goto(origin);
  await page.waitForFunction(() => document.querySelectorAll(".figure path.stroke[d*=L]").length >= 5);
  // Half a minute of it.
  await page.waitForFunction(() => /^(3\d s|[1-9]+ min)/.test(document.querySelector("[data-uptime]").textContent), undefined, {
    timeout: 60_000,
  });
  const { y, height } = await page.locator("[data-figures]").boundingBox();
  const screenshot = await page.screenshot({ clip: { x: 0, y: 0, width: 1_200, height: Math.round(y + height + 6) } });
  clearInterval(traffic);

  // As PNG it has 150 KB.
  const blank = await browser.newPage();
  const url = await blank.evaluate(async (source) => {
    const image = Object.assign(new Image(), { src: source });
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/webp", 0.92);
  }, `data:image/png;base64,${screenshot.toString("base64")}`);
  await writeFile(path, Buffer.from(url.split(",")[1], "base64"));
} finally {
  await browser.close();
}
