// The settings of the page, which are kept in the hash of its address.

export interface Settings {
  mode: "socket.io" | "websocket";
  url: string;
  namespace: string;
  path: string;
  transports: string;
  parser: "json" | "msgpack";
  auth: string;
  query: string;
  subprotocols: string;
  event: string;
  args: string;
  hex: string;
  ack: string;
  timeout: string;
  room: string;
}

/** The longest setting that an address may give, in characters. */
const MAX_LENGTH = 10_000;

const { origin, host, protocol } = location;

export const DEFAULTS: Record<Settings["mode"], Settings> = {
  "socket.io": {
    mode: "socket.io",
    url: origin,
    namespace: "/playground",
    path: "/socket.io/",
    transports: "polling,websocket",
    parser: "json",
    auth: "",
    query: "",
    subprotocols: "",
    event: "echo",
    args: '"hello", { "answer": 42 }',
    hex: "",
    ack: "1",
    timeout: "5000",
    room: "general",
  },
  get websocket(): Settings {
    const url = `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;
    return { ...this["socket.io"], mode: "websocket", url, args: "hello" };
  },
};

/** Returns the settings of an address, with defaults for the rest. */
export function parse(hash: string): Settings {
  const given = new URLSearchParams(hash.slice(1));
  const settings: Settings = { ...DEFAULTS[given.get("mode") === "websocket" ? "websocket" : "socket.io"] };
  for (const name of Object.keys(settings) as (keyof Settings)[]) {
    const value = given.get(name);
    if (name !== "mode" && value !== null && value.length <= MAX_LENGTH) (settings[name] as string) = value;
  }
  return settings;
}

/** Returns the hash of an address: what differs from the defaults. */
export function serialize(settings: Settings): string {
  const defaults = DEFAULTS[settings.mode];
  const differing = Object.entries(settings).filter(([name, value]) => value !== defaults[name as keyof Settings]);
  if (settings.mode === "websocket") differing.unshift(["mode", "websocket"]);
  return differing.length ? `#${new URLSearchParams(differing)}` : "";
}
