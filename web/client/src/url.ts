import type { Address } from "./transport.js";

/** The parts of the URL of a namespace. */
export interface ParsedUrl extends Address {
  /** The namespace. */
  path: string;
  /** Without its question mark. */
  query: string;
}

const URL_PARTS = /^(?:(https?|wss?):)?\/\/([^/?#]*)([^?#]*)\??([^#]*)/;

/** Parses a URL. What is missing comes from the page. `localhost:3000` is a host. */
export function parseUrl(url: string): ParsedUrl {
  const page = globalThis.location;
  // `/namespace`, but not `//host`
  if (/^(?!\/\/)(?=[/?#]|$)/.test(url)) url = `//${page?.host ?? "localhost"}${url}`;
  else if (!/^((https?|wss?):)?\/\//.test(url)) url = "//" + url;
  const [, scheme = page ? page.protocol.slice(0, -1) : "https", host = "", path, query = ""] = URL_PARTS.exec(url)!;
  const secure = scheme === "https" || scheme === "wss";
  return { secure, host: host.replace(secure ? /:443$/ : /:80$/, ""), path: path || "/", query };
}
