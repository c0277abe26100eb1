import { Manager } from "./manager.js";
import { Socket } from "./socket.js";
import type { DefaultEventsMap, EventsMap, ManagerOptions, SocketOptions } from "./types.js";
import { parseUrl } from "./url.js";

/** The managers of this page, by server and path. */
const managers = new Map<string, Manager<any, any>>();

/**
 * Returns a socket that is connected to a namespace of a server. The path of the URL is the namespace. Without a URL, the
 * server is that of the page.
 *
 * Sockets of different namespaces of a server share one connection.
 *
 * ```js
 * const socket = io("https://example.com/admin", { auth: { token: "…" } });
 * socket.on("notification", (text) => console.log(text));
 * socket.emit("join-room", "general");
 * ```
 */
export function io<Listen extends EventsMap = DefaultEventsMap, Emit extends EventsMap = Listen>(
  opts?: Partial<ManagerOptions & SocketOptions>,
): Socket<Listen, Emit>;
export function io<Listen extends EventsMap = DefaultEventsMap, Emit extends EventsMap = Listen>(
  url: string,
  opts?: Partial<ManagerOptions & SocketOptions>,
): Socket<Listen, Emit>;
export function io(
  url?: string | Partial<ManagerOptions & SocketOptions>,
  opts: Partial<ManagerOptions & SocketOptions> = {},
): Socket<any, any> {
  if (typeof url === "object") {
    opts = url;
    url = undefined;
  }
  url ??= "";
  const { secure, host, path } = parseUrl(url);
  const key = `${secure} ${host} ${opts.path ?? "/socket.io"}`;
  let manager = managers.get(key);
  // A second socket of the same namespace needs a connection of its own.
  if (opts.forceNew || opts.multiplex === false || manager?.nsps[path]) manager = new Manager(url, opts);
  else if (!manager) managers.set(key, (manager = new Manager(url, opts)));
  return manager.socket(path, opts);
}

Object.assign(io, { io, connect: io, Manager, Socket, protocol: 5 });
