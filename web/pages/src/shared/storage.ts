// What a browser keeps for a page. A page may not be allowed to store anything: a value then holds until it is closed.

/** Returns what was stored, if there is something and the page may read it. */
export function stored(key: string): string | undefined {
  try {
    return localStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

export function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // It holds for this page only.
  }
}
