// Builds the files of `dist` from `src`: `node build.js`. The tests compare them with a fresh build.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
/** The servers of the pages. */
const demo = fileURLToPath(new URL("../../crates/cli/src/demo/", import.meta.url));

/** The pages, in the order of the navigation. */
export const PAGES = [
  { name: "home", path: "/", title: "Home", about: "A Socket.IO and WebSocket server is running here." },
  { name: "chat", path: "/chat/", title: "Chat", about: "Rooms, typing, pictures, and history after a reconnect." },
  { name: "tracking", path: "/tracking/", title: "Tracking", about: "Couriers on a map, beside this server's own figures." },
  { name: "game", path: "/game/", title: "Game", about: "One game over raw WebSocket and over Socket.IO." },
  { name: "playground", path: "/playground/", title: "Playground", about: "Connect, emit, and see every packet." },
];

const source = (...parts) => readFile(join(root, "src", ...parts), "utf8");

/** Returns the files of a fresh build: their names and their texts. */
export async function build() {
  const files = { "theme.js": await bundled("shared/theme.ts", "iife") };
  const template = await source("shared/page.html");
  for (const page of PAGES) {
    files[`${page.name}.js`] = await bundled(`${page.name}/${page.name}.ts`, "esm");
    files[`${page.name}.css`] = await bundled(`${page.name}/${page.name}.css`);
    files[`${page.name}.html`] = fill(template, {
      ...page,
      navigation: PAGES.map((other) => link(other, other === page)).join("\n        "),
      content: (await source(page.name, `${page.name}.html`)).trim(),
      sources: (await sourcesOf(page.name)).map((path) => `<li><a href="/pages/source/${path}">${path}</a></li>`).join("\n      "),
    });
  }
  return files;
}

/** Bundles one file with what it imports. The client is not part of it: the binary serves it at its own address. */
async function bundled(entry, format) {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: [`src/${entry}`],
    bundle: true,
    minify: true,
    format,
    target: ["es2022", "chrome123", "firefox120", "safari17.5"],
    alias: { "@tidewire/client": "/socket.io/tidewire.js" },
    external: ["/socket.io/*"],
    legalComments: "none",
    write: false,
  });
  return outputFiles[0].text;
}

/** Returns what an example needs beside its main files: of the page, and then Rust, as `files.rs` serves them. */
async function sourcesOf(name) {
  const list = async (directory, extension) => {
    const names = await readdir(directory, { recursive: true }).catch(() => []); // A small server is one file.
    return names.filter((file) => file.endsWith(extension) && basename(file) !== "tests.rs").sort();
  };
  const scripts = (await list(join(root, "src", name), ".ts")).filter((file) => file !== `${name}.ts`);
  const modules = (await list(join(demo, name), ".rs")).map((file) => `${name}/${file}`);
  const texts = await Promise.all([`${name}.rs`, ...modules].map((file) => readFile(join(demo, file), "utf8")));
  const isUsed = (file) => texts.some((text) => text.includes(`super::${basename(file, ".rs")}::`));
  const others = (await readdir(demo)).filter((file) => file.endsWith(".rs") && file !== `${name}.rs` && isUsed(file)).sort();
  const imported = await Promise.all([`${name}.ts`, ...scripts].map((file) => source(name, file)));
  const shared = (await list(join(root, "src/shared"), ".ts"))
    .filter((file) => imported.some((text) => text.includes(`"../shared/${basename(file, ".ts")}.js"`)))
    .map((file) => `shared/${file}`);
  return ["shared/page.html", "shared/base.css", ...shared, ...scripts.map((file) => `${name}/${file}`), ...modules, ...others];
}

function link({ path, title }, isCurrent) {
  return `<a href="${path}"${isCurrent ? ' aria-current="page"' : ""}>${title}</a>`;
}

/** Replaces each `{{name}}`. */
function fill(template, values) {
  return template.replace(/\{\{(\w+)\}\}/g, (_, name) => {
    if (!(name in values)) throw new Error(`the template has no value for ${name}`);
    return values[name];
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = await build();
  const dist = join(root, "dist");
  await rm(dist, { recursive: true, force: true });
  await mkdir(dist);
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(dist, name), text)));
}
