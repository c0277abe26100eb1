// The chat: rooms, messages, pictures, typing, who is here, and what happens when the connection was lost.

import { io, type Socket } from "@tidewire/client";
import { ACK_TIMEOUT, type Answer, answered, Refused } from "../shared/answers.js";
import { showConnection } from "../shared/connection.js";
import { clientSecret, newId, rememberName, rememberedName } from "./identity.js";
import { shrink, UnusablePicture } from "./picture.js";
import { View } from "./view.js";

export interface Person {
  id: string;
  name: string;
}

export interface Message {
  /** Different for each message of a server. */
  key: string;
  /** What the page of the sender has called it. */
  id: string;
  from: Person;
  /** Milliseconds since 1970. */
  at: number;
  content: { text: string } | { picture: Picture } | "gone";
}

export interface Picture {
  type: string;
  width: number;
  height: number;
}

export interface RoomSummary {
  name: string;
  people: number;
}

interface Joined {
  /** The name has a number if somebody else in the room has a name that looks the same. */
  you: Person;
  room: string;
  people: Person[];
  messages: Message[];
}

/** The acknowledgement of an event that the server may refuse. */
type Acknowledge<T> = (answer: Answer<T>) => void;

interface ServerToClient {
  /** `room` and `people`: where a socket that was recovered still is. */
  welcome: (welcome: { you: Person; rooms: RoomSummary[]; room: string | null; people: Person[] }) => void;
  rooms: (rooms: RoomSummary[]) => void;
  people: (room: string, people: Person[]) => void;
  message: (room: string, message: Message) => void;
  typing: (person: Person) => void;
}

interface ClientToServer {
  rename: (name: string, answer: Acknowledge<Person>) => void;
  open: (room: string, answer: Acknowledge<string>) => void;
  join: (room: string, answer: Acknowledge<Joined>) => void;
  message: (room: string, id: string, text: string, answer: Acknowledge<Message>) => void;
  picture: (room: string, id: string, data: ArrayBuffer, answer: Acknowledge<Message>) => void;
  "picture-data": (key: string, answer: Acknowledge<ArrayBuffer>) => void;
  typing: () => void;
}

/** A message of this page that the server has not acknowledged yet. */
export interface Draft {
  room: string;
  id: string;
  content: string | Blob;
  state: "waiting" | "sending" | "refused";
}

/** The time between two `typing` events, in milliseconds. */
const TYPING_INTERVAL = 2_000;

let name = rememberedName();
let me: Person = { id: "", name };
/** The room that the page shows, and the room in which the server has this socket. */
let room = new URLSearchParams(location.search).get("room") || "lobby";
let entered: string | undefined;
/** In the order in which they were written. */
const drafts = new Map<string, Draft>();
let lastTyping = -TYPING_INTERVAL;

const socket: Socket<ServerToClient, ClientToServer> = io("/chat", {
  // The function is called at each connect, so that the server gets the current name.
  auth: (send) => send({ name, client: clientSecret() }),
});
showConnection(socket);

const view: View = new View({
  send: (content) => {
    const draft: Draft = { room, id: newId(), content, state: "waiting" };
    drafts.set(draft.id, draft);
    view.showDraft(draft, me);
    lastTyping = -TYPING_INTERVAL; // What is typed from now on is another message.
    void deliver(draft);
  },
  sendPicture: async (file) => {
    try {
      const picture = await shrink(file);
      const draft: Draft = { room, id: newId(), content: picture, state: "waiting" };
      drafts.set(draft.id, draft);
      view.showDraft(draft, me, await view.measure(picture));
      await deliver(draft);
    } catch (error) {
      view.warn(text(error));
    }
  },
  retry: (id) => {
    const draft = drafts.get(id);
    if (draft) void deliver(draft);
  },
  typing: () => {
    const now = performance.now();
    if (now - lastTyping < TYPING_INTERVAL) return;
    lastTyping = now;
    // Volatile: if it cannot be sent now, it is not worth sending later.
    socket.volatile.emit("typing");
  },
  enter: async (next) => {
    const before = room;
    try {
      await enter(next);
    } catch (error) {
      await enter(before).catch(() => {}); // The next `welcome` tries again.
      view.warn(text(error));
    }
  },
  open: async (name) => enter(await answered(socket.timeout(ACK_TIMEOUT).emitWithAck("open", name))),
  rename: async (wanted) => {
    me = await answered(socket.timeout(ACK_TIMEOUT).emitWithAck("rename", wanted));
    name = me.name;
    rememberName(name);
    view.showMe(me);
  },
  explain: text,
  /** Pictures arrive when they are asked for. */
  fetchPicture: async (key, { type }) => {
    const data = await answered(socket.timeout(ACK_TIMEOUT).emitWithAck("picture-data", key));
    return new Blob([data], { type });
  },
});
view.showMe(me);
view.showRoom(room);

/** How often the page has connected, and how many messages the server has delivered late since the last time. */
let connections = 0;
let missed = 0;
let isCatchingUp = false;

socket.on("connect", () => {
  connections++;
  missed = 0;
  isCatchingUp = socket.recovered;
});

// The server sends `welcome` after the events that a recovered session has missed.
socket.on("welcome", async ({ you, rooms, room: current, people }) => {
  me = you;
  view.showMe(me);
  view.showRooms(rooms);
  view.clearWarnings();
  isCatchingUp = false;
  if (socket.recovered && current === room) {
    entered = room;
    view.showPeople(people);
    view.note(`Back online. The session was recovered. Missed messages that came by themselves: ${missed}.`);
    deliverDrafts();
    return;
  }
  const isReturn = connections > 1;
  try {
    const added = await comeIn();
    if (isReturn) view.note(`Back online. The session is new: the history was loaded again. Messages that were missing here: ${added}.`);
  } catch (error) {
    view.warn(text(error));
  }
});

socket.on("message", (where, message) => {
  if (isCatchingUp) missed++;
  view.showMessage(where, message, me);
});
socket.on("rooms", (rooms) => view.showRooms(rooms));
socket.on("people", (where, people) => where === room && view.showPeople(people));
socket.on("typing", (person) => person.id !== me.id && view.showTyping(person)); // not from another tab

socket.on("disconnect", () => {
  entered = undefined;
  // What was on its way is sent again after the next connect. The server recognises it by its id.
  for (const draft of drafts.values()) if (draft.state === "sending") wait(draft);
  view.warn("The connection is lost. What you write is sent when it is back.", true);
});
socket.on("connect_error", (error) => {
  view.warn(socket.active ? "The server cannot be reached. The page tries again by itself." : error.message, true);
});

/** Enters a room and shows its last messages. Returns how many of them are new on this page. */
async function enter(next: string): Promise<number> {
  room = next;
  history.replaceState(null, "", `?${new URLSearchParams({ room })}`);
  view.showRoom(room);
  if (!socket.connected) return 0; // The next `welcome` enters it.
  entered = undefined;
  const { you, people, messages } = await answered(socket.timeout(ACK_TIMEOUT).emitWithAck("join", next));
  if (room !== next) return 0; // The user was faster.
  entered = room;
  me = you;
  view.showMe(me);
  view.showPeople(people);
  const added = view.showHistory(room, messages, me);
  deliverDrafts();
  return added;
}

/** Enters the current room in a new session. A server that has restarted does not have a room that people opened. */
async function comeIn(): Promise<number> {
  try {
    return await enter(room);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const opened = await answered(socket.timeout(ACK_TIMEOUT).emitWithAck("open", room)).catch(() => room);
    return enter(opened).catch(() => enter("lobby"));
  }
}

function deliverDrafts(): void {
  for (const draft of drafts.values()) if (draft.state === "waiting") void deliver(draft);
}

/** Lets a draft wait until the socket is in its room again. */
function wait(draft: Draft): void {
  draft.state = "waiting";
  view.showState(draft);
}

/** Sends a draft, if that is possible now. */
async function deliver(draft: Draft): Promise<void> {
  if (draft.state === "sending") return;
  if (!socket.connected || entered !== draft.room) return wait(draft);
  draft.state = "sending";
  view.showState(draft);
  const { id, content } = draft;
  try {
    const patient = socket.timeout(ACK_TIMEOUT);
    const sent =
      typeof content === "string"
        ? await answered(patient.emitWithAck("message", draft.room, id, content))
        : await answered(patient.emitWithAck("picture", draft.room, id, await content.arrayBuffer()));
    drafts.delete(id);
    view.showMessage(draft.room, sent, me);
  } catch (error) {
    if (draft.state !== "sending") return; // `disconnect` lets it wait.
    draft.state = "refused";
    view.showState(draft, text(error));
  }
}

function text(error: unknown): string {
  return error instanceof Refused || error instanceof UnusablePicture ? error.message : "The server did not answer. Try again.";
}
