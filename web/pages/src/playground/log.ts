// The list of packets: bounded, filtered, paused, exported.

/** The largest number of packets that the page keeps. */
const MAX_ENTRIES = 1_000;

/** The longest text of one packet in the page, in characters. */
const MAX_TEXT = 20_000;

/** How long entries wait to be shown together, in milliseconds. */
const DELAY = 25;

export interface Entry {
  direction: "in" | "out" | "none";
  kind: "packet" | "engine" | "note" | "problem";
  /** EVENT, ACK, ping, … */
  type: string;
  /** The name of the event. */
  event?: string;
  /** At the right: the namespace, an id, a size. */
  side?: string;
  /** The arguments, on lines of their own. */
  text?: string;
}

interface Shown extends Entry {
  at: Date;
  element: HTMLElement;
}

const ARROWS = { in: "←", out: "→", none: "·" };
const DIRECTIONS = { in: "received", out: "sent", none: "note" };

export class PacketLog {
  #list: HTMLElement;
  #count: HTMLElement;
  #entries: Shown[] = [];
  /** What is not in the list yet. */
  #waiting: (Entry & { at: Date })[] = [];
  #isPaused = false;
  #isScheduled = false;
  #filter = "";
  #showsEngine = true;
  #dropped = 0;

  constructor(list: HTMLElement, count: HTMLElement) {
    this.#list = list;
    this.#count = count;
  }

  /** Adds an entry. The page shows many at once, so that a burst does not stop it. */
  add(entry: Entry): void {
    this.#waiting.push({ ...entry, text: entry.text && shortened(entry.text), at: new Date() });
    if (this.#waiting.length > MAX_ENTRIES) {
      this.#waiting.shift();
      this.#dropped++;
    }
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setTimeout(() => {
      this.#isScheduled = false;
      this.#update();
    }, DELAY);
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** While the list is paused, it does not change. What has come meanwhile is added at the end of the pause. */
  pause(isPaused: boolean): void {
    this.#update();
    this.#isPaused = isPaused;
    this.#update();
  }

  filter(text: string, showsEngine: boolean): void {
    this.#filter = text.toLowerCase();
    this.#showsEngine = showsEngine;
    for (const entry of this.#entries) entry.element.hidden = !this.#matches(entry);
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#showCount();
  }

  clear(): void {
    this.#entries = [];
    this.#waiting = [];
    this.#dropped = 0;
    this.#list.replaceChildren();
    this.#showCount();
  }

  /** The packets that the filter shows, as text. */
  export(): string {
    this.#update();
    const lines = this.#entries.filter((entry) => this.#matches(entry)).map((entry) => {
      const { at, direction, type, event, side, text } = entry;
      const head = [at.toISOString(), ARROWS[direction], type, event, side && `(${side})`].filter(Boolean).join(" ");
      return text ? `${head}\n${text.replace(/^/gm, "    ")}` : head;
    });
    return lines.join("\n") + "\n";
  }

  #update(): void {
    if (!this.#isPaused && this.#waiting.length) this.#append(this.#waiting.splice(0));
    this.#showCount();
  }

  #append(added: (Entry & { at: Date })[]): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    const isAtEnd = scrollTop + clientHeight >= scrollHeight - 40;
    const excess = Math.max(0, this.#entries.length + added.length - MAX_ENTRIES);
    this.#dropped += excess;
    for (const { element } of this.#entries.splice(0, excess)) element.remove();
    const elements = added.map((entry) => {
      const shown = { ...entry, element: drawn(entry) };
      shown.element.hidden = !this.#matches(shown);
      this.#entries.push(shown);
      return shown.element;
    });
    this.#list.append(...elements);
    // A visitor who reads further up is not disturbed.
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  #matches({ kind, type, event, side, text }: Entry): boolean {
    if (kind === "engine" && !this.#showsEngine) return false;
    return !this.#filter || [type, event, side, text].join(" ").toLowerCase().includes(this.#filter);
  }

  #showCount(): void {
    const shown = this.#entries.filter((entry) => !entry.element.hidden).length;
    const parts = [shown === this.#entries.length ? `${shown}` : `${shown} of ${this.#entries.length}`];
    if (this.#waiting.length) parts.push(`${this.#waiting.length} wait`);
    if (this.#dropped) parts.push(`the oldest ${this.#dropped} dropped`);
    this.#count.textContent = this.#entries.length || this.#waiting.length ? parts.join(", ") : "none yet";
  }
}

function drawn({ at, direction, kind, type, event, side, text }: Entry & { at: Date }): HTMLElement {
  const element = document.createElement("div");
  element.className = "packet";
  element.dataset.kind = kind;
  element.dataset.direction = direction;
  const time = document.createElement("time");
  time.dateTime = at.toISOString();
  time.textContent = time.dateTime.slice(11, 23);
  const arrow = span("arrow", ARROWS[direction]);
  arrow.setAttribute("role", "img");
  arrow.setAttribute("aria-label", DIRECTIONS[direction]);
  const what = span("what", "");
  what.append(span("type", type));
  if (event !== undefined) what.append(" ", span("event", event));
  element.append(time, arrow, what, span("side", side ?? ""));
  if (text) {
    const pre = document.createElement("pre");
    pre.textContent = text;
    element.append(pre);
  }
  return element;
}

function span(className: string, text: string): HTMLElement {
  return Object.assign(document.createElement("span"), { className, textContent: text });
}

function shortened(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}\n… and ${text.length - MAX_TEXT} more characters` : text;
}
