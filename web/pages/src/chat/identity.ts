// Who the user is: a name, and a secret by which the server recognises the tabs of one browser.

import { store, stored } from "../shared/storage.js";

const ADJECTIVES = ["Amber", "Brisk", "Calm", "Clever", "Coral", "Gentle", "Merry", "Misty", "Quiet", "Silver", "Sunny", "Swift"];
const ANIMALS = ["Badger", "Crane", "Dolphin", "Heron", "Lynx", "Marten", "Otter", "Plover", "Robin", "Seal", "Tern", "Wren"];

/** Returns the name that the user has chosen, or a random one. */
export function rememberedName(): string {
  const chosen = stored("tidewire-chat-name");
  if (chosen) return chosen;
  const name = `${pick(ADJECTIVES)} ${pick(ANIMALS)}`;
  rememberName(name);
  return name;
}

export function rememberName(name: string): void {
  store("tidewire-chat-name", name);
}

/** Returns the secret of this browser. All its tabs are one person for the server. */
export function clientSecret(): string {
  secret ??= stored("tidewire-chat-client") ?? newId();
  store("tidewire-chat-client", secret);
  return secret;
}

let secret: string | undefined;

/** Returns a random id. `crypto.randomUUID` exists only in pages that came over HTTPS. */
export function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pick(words: string[]): string {
  return words[crypto.getRandomValues(new Uint8Array(1))[0]! % words.length]!;
}
