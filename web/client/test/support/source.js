// Loads a source file, with its internal names.
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

/** Returns the exports of `src/<name>.ts`. */
export async function source(name) {
  const outfile = fileURLToPath(new URL(`../../node_modules/.cache/tidewire/${process.pid}-${name}.mjs`, import.meta.url));
  await esbuild.build({
    entryPoints: [fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    format: "esm",
    target: "es2022",
  });
  return import(outfile);
}
