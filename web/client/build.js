// Builds the files of `dist` from `src`: `node build.js`. The tests compare them with a fresh build.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generateDtsBundle } from "dts-bundle-generator";
import * as esbuild from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));

/** The scripts, by the name of their source. */
const SCRIPTS = [
  { source: "index", name: "tidewire", format: "esm" },
  { source: "index-msgpack", name: "tidewire-msgpack", format: "esm" },
  { source: "global", name: "tidewire.global", format: "iife" },
];

const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));

/** Returns the files of a fresh build: their names and their texts. */
export async function build() {
  const files = {};
  for (const { source, name, format } of SCRIPTS) {
    const { outputFiles } = await esbuild.build({
      absWorkingDir: root,
      entryPoints: { [name]: `src/${source}.ts` },
      outdir: "dist",
      bundle: true,
      minify: true,
      format,
      target: "es2022",
      sourcemap: true,
      // Internal members are not part of the API. Short names make the files smaller.
      mangleProps: /^_/,
      reserveProps: /^_placeholder$/,
      banner: { js: `/*! Tidewire ${version}, MIT OR Apache-2.0 */` },
      legalComments: "none",
      write: false,
    });
    for (const { path, text } of outputFiles) files[path.slice(join(root, "dist/").length)] = text;
  }
  const [types] = generateDtsBundle(
    [{ filePath: join(root, "src/index.ts"), output: { noBanner: true, exportReferencedTypes: false } }],
    { preferredConfigPath: join(root, "tsconfig.json") },
  );
  // Members whose names begin with `_` are internal.
  const internal = /^\t(?:\/\*\*(?:(?!\*\/)[^])*\*\/\n\t)?(?:abstract |readonly )*_\w+\??[:(].*\n/gm;
  files["tidewire.d.ts"] = types.replace(internal, "");
  files["tidewire-msgpack.d.ts"] = 'export * from "./tidewire.js";\nexport { default } from "./tidewire.js";\n';
  return files;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = await build();
  const dist = join(root, "dist");
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist);
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(dist, name), text)));
}
