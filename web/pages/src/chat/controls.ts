// What the user does: writing, pictures, rooms, dialogs.

import { byId } from "../shared/dom.js";
import { Ask } from "./ask.js";

/** What the user can do. A promise that rejects has failed. */
export interface Actions {
  send(text: string): void;
  sendPicture(file: Blob): void;
  typing(): void;
  enter(room: string): Promise<unknown>;
  open(room: string): Promise<unknown>;
  rename(name: string): Promise<unknown>;
  /** Returns what the user should read about an error. */
  explain(error: unknown): string;
}


/** Turns what the user does into calls. `begin` is called before a message or a picture is sent. */
export function listen(actions: Actions, begin: () => void): void {
  listenToText(actions, begin);
  listenToPictures(actions, begin);
  listenToRooms(actions);
  listenToPanels();
  const ask = new Ask((error) => actions.explain(error));
  byId("open-room").addEventListener("click", () =>
    ask.show({ title: "Open a room", label: "Name of the room", submit: "Open", done: (name) => actions.open(name) }),
  );
  byId("rename").addEventListener("click", () =>
    ask.show({
      title: "Change your name",
      label: "Your name",
      submit: "Change",
      value: byId("your-name").textContent ?? "",
      done: (name) => actions.rename(name),
    }),
  );
}

function listenToText(actions: Actions, begin: () => void): void {
  const text = byId<HTMLTextAreaElement>("text");
  const grow = (): void => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight + 2, 160)}px`;
  };
  const send = (): void => {
    if (!text.value.trim()) return;
    begin();
    actions.send(text.value.trim());
    text.value = "";
    grow();
  };
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
    text.focus();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  text.addEventListener("input", () => {
    grow();
    if (text.value) actions.typing();
  });
  if (matchMedia("(hover: hover)").matches) text.focus(); // On a phone, the keyboard would cover the page.
}

/** Pictures come from a file, by paste or by drop. */
function listenToPictures(actions: Actions, begin: () => void): void {
  const send = (files: FileList | null | undefined): void => {
    begin();
    for (const file of files ?? []) actions.sendPicture(file);
  };
  const file = byId<HTMLInputElement>("file");
  byId("picture").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    send(file.files);
    file.value = "";
  });
  document.addEventListener("paste", ({ clipboardData }) => send(clipboardData?.files));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    send(event.dataTransfer?.files);
  });
}

function listenToRooms(actions: Actions): void {
  const list = byId("room-list");
  list.addEventListener("click", (event) => {
    const room = (event.target as Element).closest<HTMLElement>("button")?.dataset.room;
    if (room === undefined) return;
    void actions.enter(room);
    closePanels();
    byId("text").focus();
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...list.querySelectorAll<HTMLElement>("button")];
    const index = buttons.indexOf(document.activeElement as HTMLElement);
    buttons[(index + step + buttons.length) % buttons.length]?.focus();
  });
}

/** On a phone, rooms and people are behind buttons. */
function listenToPanels(): void {
  const switches = [...document.querySelectorAll<HTMLElement>(".panel-switch")];
  for (const button of switches) {
    button.addEventListener("click", () => {
      const opens = button.getAttribute("aria-expanded") === "false";
      closePanels();
      if (!opens) return;
      button.setAttribute("aria-expanded", "true");
      const panel = byId(button.getAttribute("aria-controls")!);
      panel.dataset.open = "";
      panel.querySelector<HTMLElement>("button")?.focus();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
    const open = switches.find((button) => button.getAttribute("aria-expanded") === "true");
    closePanels();
    open?.focus();
  });
}

function closePanels(): void {
  for (const button of document.querySelectorAll(".panel-switch")) button.setAttribute("aria-expanded", "false");
  for (const panel of document.querySelectorAll<HTMLElement>(".panel")) delete panel.dataset.open;
}
