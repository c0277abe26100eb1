// The example `examples/react-chat`, built with our client and with the official one, against the binary.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { pagesForTests, until } from "../support/pages.js";

const example = fileURLToPath(new URL("../../../examples/react-chat/", import.meta.url));
const packages = createRequire(join(example, "package.json"));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

describe("the example in React", () => {
  const pages = pagesForTests();

  for (const client of ["@tidewire/client", "socket.io-client"]) {
    const output = join(example, "dist", client.replace("/", "-"));

    it(`has no error of types with ${client}`, async () => {
      await mkdir(output, { recursive: true });
      const project = join(output, "tsconfig.json");
      const paths = client === "@tidewire/client" ? {} : { "@tidewire/client": [join(example, "node_modules", client)] };
      const options = { extends: "../../tsconfig.json", compilerOptions: { paths }, include: ["../../src"] };
      await writeFile(project, JSON.stringify(options));
      const tsc = packages.resolve("typescript/bin/tsc");
      await promisify(execFile)(process.execPath, [tsc, "--project", project]).catch(({ stdout }) => assert.fail(stdout));
    });

    it(`lets two people talk in a room, also after a restart of the server, with ${client}`, async (test) => {
      await build(client, output, pages.origin);
      const site = await serve(output);
      test.after(() => site.close());
      const url = `http://localhost:${site.address().port}/`;
      const ann = await pages.open(url);
      await notified(ann, 1);
      const ben = await pages.open(url);
      await notified(ann, 2);
      await say(ann, "Hello");
      await ben.getByText("Guest Hello").waitFor();
      await pages.killAndRestart();
      // Each page joins the room again. The server tells everyone in the room, also who has joined.
      await notified(ann, 3);
      await notified(ben, 2);
      await say(ann, "Still there?");
      await ben.getByText("Guest Still there?").waitFor();
    });
  }
});

/** Waits until the server has told `page` of at least `count` people who have joined. */
async function notified(page, count) {
  await until(page, (count) => document.querySelectorAll(".notification").length >= count, count);
}

async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByText(`Guest ${text}`).waitFor();
}

/** Builds the page. The other client takes the place of ours, as if the import were changed. */
async function build(client, outDir, server) {
  const vite = await import(pathToFileURL(packages.resolve("vite")).href);
  await vite.build({
    root: example,
    logLevel: "error",
    define: { "import.meta.env.VITE_SERVER": JSON.stringify(server) },
    resolve: { alias: { "@tidewire/client": client } },
    build: { outDir, emptyOutDir: true },
  });
}

async function serve(folder) {
  const site = createServer(async ({ url }, response) => {
    const path = url === "/" ? "index.html" : url.slice(1);
    response.writeHead(200, { "content-type": TYPES[extname(path)] }).end(await readFile(join(folder, path)));
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  return site;
}
