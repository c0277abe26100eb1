// Says in plain words why a connection failed, and what to try.

import type { TransportError } from "@tidewire/client";

/** Returns why no connection to `url` can work, before it is tried. */
export function problemOf(url: string, schemes: string[]): string | undefined {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return `The URL is not complete. It begins with ${schemes.join(" or ")}.`;
  }
  if (!schemes.includes(`${parsed.protocol}//`)) return `The URL must begin with ${schemes.join(" or ")}.`;
  const isLocal = ["localhost", "127.0.0.1", "[::1]"].includes(parsed.hostname);
  if (location.protocol === "https:" && ["http:", "ws:"].includes(parsed.protocol) && !isLocal) {
    return "This page came over TLS, so the browser allows only https:// and wss:// (mixed content).";
  }
  return undefined;
}

/** Returns why a namespace or a path cannot be one of the server at `url`. A link must not lead to another server. */
export function problemOfParts(url: string, namespace: string, path: string): string | undefined {
  const { origin } = new URL(url);
  const isOfServer = (part: string, whole: string) => part === "" || (part.startsWith("/") && new URL(whole, url).origin === origin);
  if (!isOfServer(namespace, namespace)) return "The namespace must begin with one slash.";
  // The client writes the path behind the host.
  if (!isOfServer(path, origin + path)) return "The path must begin with a slash.";
  return undefined;
}

/** Returns why the connection failed with `error`. `url` and `path` are where it was tried. */
export async function explain(error: Error & Partial<TransportError> & { data?: unknown }, url: string, path: string): Promise<string> {
  if (error.message === "Invalid namespace") return "The server has no such namespace.";
  if (error.data !== undefined) return `The server refused: ${error.message} ${JSON.stringify(error.data)}`;
  if (error.message === "timeout") return "The server did not answer in time.";
  const response = error.context instanceof Response ? error.context : undefined;
  if (response) return `The server answered with status ${response.status}. ${await hint(response, path)}`;
  if (error.message === "websocket error") {
    return "The WebSocket could not be opened. Check the address and the path, and that a proxy in between allows WebSocket; polling may work.";
  }
  if (!error.message.startsWith("fetch")) return `The server refused: ${error.message}`;
  if (new URL(url).origin === location.origin || !(await isReachable(url))) {
    return "The server cannot be reached. Check that it runs, its host and its port.";
  }
  return `The server is there, but it does not allow pages of ${location.origin} to read its responses (CORS). Allow this origin on the server, or use WebSocket only.`;
}

async function hint(response: Response, path: string): Promise<string> {
  let answer: { code?: number; message?: string } = {};
  try {
    answer = await response.clone().json();
  } catch {
    // It is not an error of Engine.IO.
  }
  if (answer.code === 5) return "It speaks another version of Engine.IO; this client speaks version 4 (Socket.IO 3 and newer).";
  if (answer.message) return `It says: ${answer.message}.`;
  if (response.status === 404) return `Nothing answers at the path ${path}. Check the path.`;
  if (response.status === 429 || response.status === 503) return "It has too many connections, or is stopping.";
  return "Check the path, and what stands in front of the server.";
}

/** Returns whether something answers, even if the page may not read the answer. */
async function isReachable(url: string): Promise<boolean> {
  try {
    await fetch(url, { mode: "no-cors", signal: AbortSignal.timeout(5_000) });
    return true;
  } catch {
    return false;
  }
}
