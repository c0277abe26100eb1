// The page `/`: how to connect to this server, and its figures once a second.

import { io, type Socket } from "@tidewire/client";
import { showConnection } from "../shared/connection.js";
import type { Sample } from "../shared/figures.js";
import { type Figure, FIGURES, uptime } from "./figures.js";
import { type Language, type Protocol, showSnippet, snippet } from "./snippets.js";
import { Sparkline } from "./sparkline.js";

interface ServerToClient {
  /** The last minute, for a new visitor. */
  history: (samples: Sample[]) => void;
  figures: (sample: Sample) => void;
}

interface ClientToServer {
  "round-trip": () => void;
}

const HISTORY = 60;

function find<E extends Element = HTMLElement>(selector: string, within: ParentNode = document): E {
  const element = within.querySelector<E>(selector);
  if (!element) throw new Error(`the page has no ${selector}`);
  return element;
}

/** One figure: its value, a detail, and its last minute. */
class Tile {
  #value: HTMLElement;
  #detail: HTMLElement;
  #line: Sparkline;
  #figure: Figure;

  constructor(element: HTMLElement, figure: Figure) {
    this.#value = find(".number", element);
    this.#detail = find("[data-detail]", element);
    this.#line = new Sparkline(find(".line", element), HISTORY);
    this.#figure = figure;
  }

  show(samples: Sample[], last: Sample): void {
    const { value, text, detail } = this.#figure;
    this.#value.textContent = text(value(last));
    this.#detail.textContent = detail(last);
    this.#line.show(samples.map(value), text);
  }
}

// The figures.

const socket: Socket<ServerToClient, ClientToServer> = io("/figures");
showConnection(socket);

const list = find("[data-figures]");
const tiles = Object.entries(FIGURES).map(([name, figure]) => new Tile(find(`[data-figure="${name}"]`), figure));
let samples: Sample[] = [];

socket.on("history", (history) => {
  samples = history;
  show();
});
socket.on("figures", (sample) => {
  samples = [...samples, sample].slice(-HISTORY);
  show();
});
socket.on("disconnect", () => list.toggleAttribute("data-stale", true));

function show(): void {
  const last = samples.at(-1);
  if (!last) return;
  list.toggleAttribute("data-stale", false);
  for (const tile of tiles) tile.show(samples, last);
  find("[data-uptime]").textContent = uptime(last.uptime);
}

// The addresses and the programs. They are those of this very server, under the name by which the visitor knows it.

const { protocol, host } = location;
const addresses = {
  "socket.io": `${protocol}//${host}/socket.io/`,
  websocket: `${protocol === "https:" ? "wss:" : "ws:"}//${host}/ws`,
};
for (const [name, address] of Object.entries(addresses)) find(`[data-address="${name}"]`).textContent = address;

let chosen: { language: Language; protocol: Protocol } = { language: "js", protocol: "socket.io" };

function choose(choice: Partial<typeof chosen>): void {
  chosen = { ...chosen, ...choice };
  for (const button of document.querySelectorAll<HTMLElement>("[data-language], [data-protocol]")) {
    const { language, protocol } = button.dataset;
    button.setAttribute("aria-pressed", `${language === chosen.language || protocol === chosen.protocol}`);
  }
  const { text, note } = snippet(chosen.language, chosen.protocol, location.origin, addresses.websocket);
  showSnippet(find("[data-snippet]"), text);
  find("[data-snippet-note]").textContent = note;
}

for (const button of document.querySelectorAll<HTMLElement>("[data-language], [data-protocol]")) {
  button.addEventListener("click", () => choose({ ...button.dataset }));
}
choose({});

// Copying.

for (const button of document.querySelectorAll<HTMLButtonElement>("[data-copy]")) {
  const label = button.firstChild as Text;
  button.addEventListener("click", async () => {
    const name = button.dataset.copy as keyof typeof addresses | "snippet";
    const source = find(name === "snippet" ? "[data-snippet]" : `[data-address="${name}"]`);
    label.data = (await copy(source)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (label.data = "Copy"), 2_000);
  });
}

/** Copies the text of `source`. Selects it if the browser allows no more, as on pages without TLS. */
async function copy(source: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(source.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(source);
    return false;
  }
}
