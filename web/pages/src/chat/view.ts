// Draws the chat.

import { byId } from "../shared/dom.js";
import type { Draft, Message, Person, Picture, RoomSummary } from "./chat.js";
import { listen, type Actions as UserActions } from "./controls.js";
import { avatar, linked, make } from "./drawing.js";

/** What the view needs from the program. A promise that rejects has failed. */
export interface Actions extends UserActions {
  retry(id: string): void;
  fetchPicture(key: string, picture: Picture): Promise<Blob>;
}

/** How many messages of a room the page shows. */
const MAX_SHOWN = 200;

/** How long somebody counts as typing after the last event, in milliseconds. */
const TYPING_LIFE = 4_000;

/** Messages of one person within this time have one heading, in milliseconds. */
const GROUP = 5 * 60_000;


/** The messages of one room. */
class Log {
  readonly list = make("ol", "messages");
  /** By key, and those of this page by their id too. */
  readonly rows = new Map<string, HTMLElement>();
}

export class View {
  #actions: Actions;
  #logs = new Map<string, Log>();
  #room = "";
  #typists = new Map<string, { name: string; timer: number }>();
  /** A text that stays until the connection is back, and one that goes when the user does something. */
  #standing = "";
  #warning = "";
  #log = byId("log");

  constructor(actions: Actions) {
    this.#actions = actions;
    listen(actions, () => this.clearWarnings("warning"));
  }

  // What the server says.

  showMe({ name }: Person): void {
    byId("your-name").textContent = name;
  }

  showRooms(rooms: RoomSummary[]): void {
    const list = byId("room-list");
    const focused = document.activeElement?.closest<HTMLElement>("#room-list button")?.dataset.room;
    list.replaceChildren(
      ...rooms.map(({ name, people }) => {
        const button = make("button", "room");
        button.type = "button";
        button.dataset.room = name;
        if (name === this.#room) button.setAttribute("aria-current", "true");
        const count = make("span", "number muted", `${people}`);
        count.setAttribute("aria-label", people === 1 ? "1 person" : `${people} people`);
        count.setAttribute("role", "img");
        button.append(make("span", "room-name", name), count);
        const item = make("li");
        item.append(button);
        return item;
      }),
    );
    if (focused !== undefined) list.querySelector<HTMLElement>(`[data-room="${CSS.escape(focused)}"]`)?.focus();
  }

  showPeople(people: Person[]): void {
    for (const id of ["people-count", "people-count-short"]) byId(id).textContent = `${people.length}`;
    byId("people-list").replaceChildren(
      ...people.map((person) => {
        const item = make("li");
        item.append(avatar(person), make("span", "person-name", person.name));
        return item;
      }),
    );
  }

  /** Changes to a room, which may be empty still. */
  showRoom(room: string): void {
    this.#room = room;
    byId("room-name").textContent = room;
    document.title = `${room} · Chat · Tidewire`;
    for (const button of document.querySelectorAll<HTMLElement>("#room-list button")) {
      if (button.dataset.room === room) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    for (const { timer } of this.#typists.values()) clearTimeout(timer);
    this.#typists.clear();
    this.#log.replaceChildren(this.#logOf(room).list);
    this.#toEnd();
    this.clearWarnings("warning");
  }

  /** Shows the last messages of a room. Returns how many of them were not shown yet. */
  showHistory(room: string, messages: Message[], me: Person): number {
    const { list, rows } = this.#logOf(room);
    list.dataset.known = ""; // An empty list means that nobody has said anything.
    this.#log.setAttribute("aria-busy", "true"); // A screen reader does not read all of it.
    const added = messages.filter((message) => {
      const isNew = !rows.has(message.key) && !rows.has(message.id);
      this.showMessage(room, message, me);
      return isNew;
    }).length;
    this.#log.removeAttribute("aria-busy");
    this.#toEnd();
    return added;
  }

  /** Shows a message, unless it is shown already. The acknowledged message of this page replaces its draft. */
  showMessage(room: string, message: Message, me: Person): void {
    const log = this.#logOf(room);
    const { key, id, from, at, content } = message;
    if (this.#typists.has(from.id)) this.#stopTyping(from.id);
    const draft = from.id === me.id ? log.rows.get(id) : undefined;
    if (draft) {
      log.rows.set(key, draft);
      draft.dataset.at = `${at}`;
      this.#showTime(draft, at);
      this.#mark(draft, "sent");
    }
    if (log.rows.has(key)) return;
    const row = this.#row(from, at, from.id === me.id);
    log.rows.set(key, row);
    const body = row.querySelector(".body")!;
    if (content === "gone") body.append(make("p", "muted", "This picture is not kept any more."));
    else if ("text" in content) body.append(linked(content.text));
    else body.append(this.#frame(content.picture, from, () => this.#actions.fetchPicture(key, content.picture)));
    this.#insert(room, row);
  }

  /** Shows a message that this page has written, and that the server does not have yet. */
  showDraft({ room, id, content }: Draft, me: Person, size?: { width: number; height: number }): void {
    const row = this.#row(me, Date.now(), true);
    row.dataset.at = "Infinity"; // After all others, until it is sent.
    this.#logOf(room).rows.set(id, row);
    const body = row.querySelector(".body")!;
    if (typeof content === "string") body.append(linked(content));
    else body.append(this.#frame({ type: content.type, ...size! }, me, () => Promise.resolve(content)));
    this.#insert(room, row);
    if (room === this.#room) this.#toEnd();
  }

  showState({ room, id, state }: Draft, why = ""): void {
    const row = this.#logOf(room).rows.get(id);
    if (row) this.#mark(row, state, why, () => this.#actions.retry(id));
  }

  showTyping({ id, name }: Person): void {
    clearTimeout(this.#typists.get(id)?.timer);
    this.#typists.set(id, { name, timer: window.setTimeout(() => this.#stopTyping(id), TYPING_LIFE) });
    this.#showHint();
  }

  /** Adds a line about the connection to the messages. */
  note(text: string): void {
    const row = make("li", "note", text);
    row.dataset.at = "0"; // What comes later stays below it.
    this.#logOf(this.#room).list.append(row);
    this.#toEnd();
  }

  /** Says what went wrong: until the user does something, or until `clearWarnings` if it `stays`. */
  warn(text: string, stays = false): void {
    if (stays) this.#standing = text;
    else this.#warning = text;
    this.#showHint();
  }

  clearWarnings(what?: "warning"): void {
    this.#warning = "";
    if (!what) this.#standing = "";
    this.#showHint();
  }

  async measure(picture: Blob): Promise<{ width: number; height: number }> {
    const bitmap = await createImageBitmap(picture);
    const size = { width: bitmap.width, height: bitmap.height };
    bitmap.close();
    return size;
  }

  // The rows of the log.

  #logOf(room: string): Log {
    let log = this.#logs.get(room);
    if (!log) this.#logs.set(room, (log = new Log()));
    return log;
  }

  #row(from: Person, at: number, isOwn: boolean): HTMLElement {
    const row = make("li", isOwn ? "message own" : "message");
    row.dataset.from = from.id;
    row.dataset.at = `${at}`;
    const heading = make("p", "heading");
    heading.append(make("strong", "", from.name), " ", make("time", "small muted number"), make("span", "small state"));
    const body = make("div", "body");
    row.append(avatar(from), heading, body);
    this.#showTime(row, at);
    return row;
  }

  #showTime(row: HTMLElement, at: number): void {
    const time = row.querySelector("time")!;
    const date = new Date(at);
    time.dateTime = date.toISOString();
    time.title = date.toLocaleString();
    time.textContent = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }

  /** Inserts a row by its time. The log follows if its end was visible. */
  #insert(room: string, row: HTMLElement): void {
    const { list, rows } = this.#logOf(room);
    const isAtEnd = this.#isAtEnd();
    let before = list.lastElementChild as HTMLElement | null;
    while (before && Number(before.dataset.at) > Number(row.dataset.at)) before = before.previousElementSibling as HTMLElement | null;
    if (before) before.after(row);
    else list.prepend(row);
    group(row);
    group(row.nextElementSibling);
    while (list.childElementCount > MAX_SHOWN) {
      const oldest = list.firstElementChild as HTMLElement;
      for (const [key, other] of rows) if (other === oldest) rows.delete(key);
      oldest.remove();
      const source = oldest.querySelector("img")?.src;
      if (source) URL.revokeObjectURL(source);
      group(list.firstElementChild);
    }
    if (room === this.#room && isAtEnd) this.#toEnd();
  }

  /** Reserves the room of a picture and puts it there. */
  #frame({ width, height }: Picture, from: Person, load: () => Promise<Blob>): HTMLElement {
    const frame = make("div", "frame");
    frame.style.setProperty("--width", `${width}px`);
    frame.style.setProperty("--ratio", `${width / height}`);
    const fill = async (): Promise<void> => {
      try {
        const picture = await load();
        if (!frame.closest(".messages")) return; // The row is not shown any more, and nobody would free the picture.
        const image = make("img");
        image.alt = `Picture from ${from.name}`;
        image.width = width;
        image.height = height;
        image.decoding = "async";
        image.loading = "lazy"; // It is decoded when it comes near.
        image.src = URL.createObjectURL(picture);
        frame.replaceChildren(image);
      } catch {
        const again = make("button", "", "Load the picture");
        again.type = "button";
        again.addEventListener("click", () => void fill());
        frame.replaceChildren(again);
      }
    };
    void fill();
    return frame;
  }

  #mark(row: HTMLElement, state: Draft["state"] | "sent", why = "", retry?: () => void): void {
    const isAtEnd = this.#isAtEnd();
    row.dataset.state = state;
    const text = { waiting: "waits for the connection", sending: "sending …", sent: "sent", refused: "not sent" }[state];
    row.querySelector(".state")!.textContent = text;
    row.querySelector(".failure")?.remove();
    if (state === "refused") row.append(this.#failure(why, retry));
    if (isAtEnd) this.#toEnd();
  }

  #failure(why: string, retry?: () => void): HTMLElement {
    const failure = make("p", "failure small", `${why} `);
    const button = make("button", "", "Send again");
    button.type = "button";
    button.addEventListener("click", () => retry?.());
    failure.append(button);
    return failure;
  }

  #isAtEnd(): boolean {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < 40;
  }

  #toEnd(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #stopTyping(id: string): void {
    clearTimeout(this.#typists.get(id)?.timer);
    this.#typists.delete(id);
    this.#showHint();
  }

  #showHint(): void {
    const names = [...this.#typists.values()].map(({ name }) => name);
    const typing =
      names.length === 0 ? "" : names.length > 2 ? "Several people are typing …" : `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing …`;
    const hint = byId("hint");
    hint.classList.toggle("warning", !!(this.#warning || this.#standing));
    const text = this.#warning || this.#standing || typing;
    if (hint.textContent !== text) hint.textContent = text;
  }
}

/** A message has no heading of its own if the one before it is of the same person and little older. */
function group(row: Element | null): void {
  if (!(row instanceof HTMLElement) || !row.classList.contains("message")) return;
  const before = row.previousElementSibling as HTMLElement | null;
  const age = Math.min(Number(row.dataset.at), Date.now()) - Number(before?.dataset.at);
  row.classList.toggle("follows", !!before && before.dataset.from === row.dataset.from && age < GROUP);
}
