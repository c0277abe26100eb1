// Who the user is: a name, and a secret by which the server recognises the tabs of one browser.

const ADJECTIVES = ["Amber", "Brisk", "Calm", "Clever", "Coral", "Gentle", "Merry", "Misty", "Quiet", "Silver", "Sunny", "Swift"];
const ANIMALS = ["Badger", "Crane", "Dolphin", "Heron", "Lynx", "Marten", "Otter", "Plover", "Robin", "Seal", "Tern", "Wren"];

/** Returns the name that the user has chosen, or a random one. */
export function rememberedName(): string {
  const stored = read("tidewire-chat-name");
  if (stored) return stored;
  const name = `${pick(ADJECTIVES)} ${pick(ANIMALS)}`;
  rememberName(name);
  return name;
}

export function rememberName(name: string): void {
  write("tidewire-chat-name", name);
}

/** Returns the secret of this browser. All its tabs are one person for the server. */
export function clientSecret(): string {
  secret ??= read("tidewire-chat-client") ?? newId();
  write("tidewire-chat-client", secret);
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

// A page may not be allowed to store anything.

function read(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // It holds for this page only.
  }
}
