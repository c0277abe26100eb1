// The files in `dist`.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "../build.js";

const dist = new URL("../dist/", import.meta.url);

describe("the files of the pages", () => {
  it("are what a fresh build makes", async () => {
    const fresh = await build();
    assert.deepEqual((await readdir(dist)).sort(), Object.keys(fresh).sort());
    for (const [name, text] of Object.entries(fresh)) {
      const inTree = await readFile(new URL(name, dist), "utf8");
      assert.ok(inTree === text, `${name} is not up to date: run \`npm run build\` in web/pages`);
    }
  });

  it("have no error of types", async () => {
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    const project = fileURLToPath(new URL("..", import.meta.url));
    await promisify(execFile)(process.execPath, [tsc, "--project", project]).catch(({ stdout }) => assert.fail(stdout));
  });
});
