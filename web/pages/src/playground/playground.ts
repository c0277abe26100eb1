// The page `/playground/`: connects to any server, sends, and shows every packet.

import { io, type ManagerOptions, type SocketOptions } from "@tidewire/client";
import { type ConnectionStatus } from "../shared/connection.js";
import "../shared/connection.js";
import { byId } from "../shared/dom.js";
import { PacketLog } from "./log.js";
import { explain, problemOf, problemOfParts } from "./problems.js";
import { DEFAULTS, parse, serialize, type Settings } from "./settings.js";
import { tap, tapWebSocket } from "./tap.js";
import { format, parseHex, parseList, parseObject } from "./values.js";

/** The largest file that is sent, in bytes. */
const MAX_FILE = 900_000;

const log = new PacketLog(byId("log"), byId("log-count"));

// A connection of either kind.

interface Connection {
  isOpen: boolean;
  /** Sends what the form has. */
  send(values: SendForm): void;
  close(): void;
}

interface SendForm {
  event: string;
  text: string;
  binary: Uint8Array<ArrayBuffer> | undefined;
  /** Milliseconds, if the server is to acknowledge. */
  timeout: number | undefined;
}

let connection: Connection | undefined;
/** Counts the attempts, so that what an earlier one says late is ignored. */
let attempts = 0;

async function connect(): Promise<void> {
  disconnect();
  const settings = read();
  const attempt = ++attempts;
  try {
    const schemes = settings.mode === "websocket" ? ["ws://", "wss://"] : ["http://", "https://"];
    const problem = problemOf(settings.url, schemes);
    if (problem) throw new Error(problem);
    const opened = settings.mode === "websocket" ? openWebSocket(settings) : await openSocketIo(settings);
    if (attempt === attempts) connection = opened;
    else opened.close();
  } catch (error) {
    showProblem("connection", (error as Error).message);
  }
  showState();
}

function disconnect(): void {
  attempts++;
  connection?.close();
  connection = undefined;
  showProblem("connection", "");
  showState();
}

async function openSocketIo(settings: Settings): Promise<Connection> {
  const { url, namespace, path } = settings;
  const problem = problemOfParts(url, namespace, path);
  if (problem) throw new Error(problem);
  const options: Partial<ManagerOptions & SocketOptions> = {
    path,
    transports: settings.transports.split(","),
    auth: parseObject(settings.auth, "Auth"),
    query: parseObject(settings.query, "The query"),
    forceNew: true,
    autoConnect: false,
  };
  const socket = (await clientOf(settings))(new URL(namespace || "/", url).href, options);
  // The server may be any server, which knows nothing of the events of these pages.
  newStatus().watch(socket, { measure: false });
  const isCurrent = () => connection === opened;
  const opened: Connection = {
    isOpen: false,
    send: ({ event, text, binary, timeout }) => {
      const values = [...parseList(text), ...(binary ? [binary] : [])];
      if (timeout === undefined) socket.emit(event, ...values);
      else {
        socket.timeout(timeout).emit(event, ...values, (error: Error | null) => {
          if (error) log.add({ direction: "none", kind: "problem", type: "no acknowledgement", event, side: error.message });
        });
      }
    },
    close: () => void socket.disconnect(),
  };
  socket.on("connect", () => {
    opened.isOpen = true;
    if (isCurrent()) showProblem("connection", "");
    showState();
  });
  socket.on("disconnect", (reason) => {
    opened.isOpen = false;
    if (isCurrent()) showProblem("connection", `Disconnected: ${reason}.${socket.active ? " Trying again." : ""}`);
    showState();
  });
  let explained = "";
  socket.on("connect_error", async (error) => {
    if (error.message === explained) return; // each attempt fails in the same way
    explained = error.message;
    const why = await explain(error, url, path);
    if (!isCurrent() || opened.isOpen) return;
    log.add({ direction: "none", kind: "problem", type: "no connection", text: why });
    showProblem("connection", why);
  });
  // Answers the server if it asks for an acknowledgement.
  socket.onAny((_event, ...values) => {
    const acknowledge = values.at(-1);
    if (typeof acknowledge === "function") acknowledge(...values.slice(0, -1));
  });
  tap(socket, log);
  socket.connect();
  return opened;
}

/** Returns `io` of the client with this parser. */
async function clientOf({ parser }: Settings): Promise<typeof io> {
  if (parser === "json") return io;
  const module: typeof import("@tidewire/client") = await import("/socket.io/tidewire-msgpack.js" as string);
  return module.io;
}

function openWebSocket({ url, subprotocols }: Settings): Connection {
  const status = newStatus();
  const socket = new WebSocket(url, subprotocols.split(/[\s,]+/).filter(Boolean));
  socket.binaryType = "arraybuffer";
  const send = tapWebSocket(socket, log);
  const opened: Connection = {
    isOpen: false,
    send: ({ text, binary }) => {
      if (binary) send(binary);
      if (text || !binary) send(text);
    },
    close: () => socket.close(1000),
  };
  socket.addEventListener("open", () => {
    opened.isOpen = true;
    status.show("connected", "", "websocket");
    showState();
  });
  socket.addEventListener("close", ({ code, wasClean }) => {
    status.show("disconnected");
    if (connection === opened) {
      showProblem(
        "connection",
        opened.isOpen
          ? `Closed with code ${code}${wasClean ? "" : ": the connection was lost"}.`
          : "The WebSocket could not be opened. Check the address and the path, and that the server allows this page.",
      );
      connection = undefined;
    }
    opened.isOpen = false;
    showState();
  });
  return opened;
}

/** Replaces the status, which still shows the connection before. */
function newStatus(): ConnectionStatus {
  const status = document.createElement("connection-status") as ConnectionStatus;
  document.querySelector("connection-status")!.replaceWith(status);
  return status;
}

// The forms.

const fields = [...document.querySelectorAll<HTMLInputElement>("form :is(input, select, textarea)[name]")];
let mode: Settings["mode"] = "socket.io";

function read(): Settings {
  const settings: Settings = { ...DEFAULTS[mode] };
  for (const field of fields) {
    if (!(field.name in settings)) continue;
    const value = field.type === "checkbox" ? (field.checked ? "1" : "") : field.value;
    (settings[field.name as keyof Settings] as string) = value;
  }
  return settings;
}

function write(settings: Settings): void {
  mode = settings.mode;
  for (const field of fields) {
    if (!(field.name in settings)) continue;
    const value = settings[field.name as keyof Settings];
    if (field.type === "checkbox") field.checked = value !== "";
    else field.value = value;
  }
  for (const button of document.querySelectorAll<HTMLElement>("[data-mode]")) {
    button.setAttribute("aria-pressed", `${button.dataset.mode === mode}`);
  }
  for (const part of document.querySelectorAll<HTMLElement>("[data-for]")) part.hidden = part.dataset.for !== mode;
  byId<HTMLInputElement>("event").required = mode === "socket.io";
  byId<HTMLInputElement>("room").required = mode === "socket.io";
  byId("args-label").textContent = mode === "socket.io" ? "Arguments, JSON values separated by commas" : "Text";
  byId("send").textContent = mode === "socket.io" ? "Emit" : "Send";
}

/** Keeps the settings in the address. */
function keep(): void {
  history.replaceState(null, "", location.pathname + serialize(read()));
}

function showState(): void {
  const isOpen = connection?.isOpen ?? false;
  byId<HTMLButtonElement>("disconnect").disabled = !connection;
  for (const id of ["send", "join", "leave"]) byId<HTMLButtonElement>(id).disabled = !isOpen;
}

function showProblem(form: "connection" | "emit", text: string): void {
  byId(`${form}-problem`).textContent = text;
}

/** Returns what the form sends. */
async function readSendForm(): Promise<SendForm> {
  const { event, args, hex, ack, timeout } = read();
  const file = byId<HTMLInputElement>("file").files?.[0];
  if (file && file.size > MAX_FILE) throw new Error(`The file has more than ${MAX_FILE / 1_000} kB.`);
  const binary = file ? new Uint8Array(await file.arrayBuffer()) : (parseHex(hex) as Uint8Array<ArrayBuffer> | undefined);
  return { event, text: args, binary, timeout: ack ? Number(timeout) : undefined };
}

function emit(event: string, ...values: unknown[]): void {
  const text = values.map((value) => format(value)).join(", ");
  send({ event, text, binary: undefined, timeout: Number(read().timeout) });
}

function send(form: SendForm): void {
  try {
    connection?.send(form);
    showProblem("emit", "");
  } catch (error) {
    showProblem("emit", (error as Error).message);
  }
}

/** Handles a form without leaving the page. */
function onSubmit(form: string, handler: () => void): void {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    keep();
    handler();
  });
}

onSubmit("connection", () => void connect());
onSubmit("emit", () => {
  readSendForm().then(send, (error: Error) => showProblem("emit", error.message));
});
onSubmit("rooms", () => emit("join-room", read().room));
byId("leave").addEventListener("click", () => emit("leave-room", read().room));
byId("disconnect").addEventListener("click", disconnect);
document.addEventListener("change", keep);
for (const button of document.querySelectorAll<HTMLElement>("[data-mode]")) {
  button.addEventListener("click", () => {
    if (button.dataset.mode === mode) return;
    disconnect();
    write(DEFAULTS[button.dataset.mode as Settings["mode"]]);
    keep();
    newStatus().show("disconnected");
  });
}

// The file is sent instead of the hex digits, so only one of them can be given.
byId("file").addEventListener("change", () => (byId<HTMLInputElement>("hex").value = ""));
byId("hex").addEventListener("input", () => (byId<HTMLInputElement>("file").value = ""));

byId("share").addEventListener("click", async () => {
  keep();
  const button = byId("share");
  const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  button.textContent = copied ? "Copied" : "See the address";
  setTimeout(() => (button.textContent = "Copy link"), 2_000);
});

// The log.

const filter = () => log.filter(byId<HTMLInputElement>("filter").value, byId<HTMLInputElement>("engine").checked);
byId("filter").addEventListener("input", filter);
byId("engine").addEventListener("change", filter);
byId("clear").addEventListener("click", () => log.clear());
byId("pause").addEventListener("click", () => {
  log.pause(!log.isPaused);
  byId("pause").setAttribute("aria-pressed", `${log.isPaused}`);
  byId("pause").textContent = log.isPaused ? "Resume" : "Pause";
});
byId("export").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([log.export()], { type: "text/plain" }));
  Object.assign(document.createElement("a"), { href: url, download: "packets.txt" }).click();
  URL.revokeObjectURL(url);
});

// A link fills the form. It connects only to the server of this page: others wait for the visitor.

write(parse(location.hash));
const { host } = URL.canParse(read().url) ? new URL(read().url) : { host: "" };
if (host === location.host) void connect();
else newStatus().show("disconnected");
showState();
addEventListener("hashchange", () => {
  disconnect();
  write(parse(location.hash));
});
