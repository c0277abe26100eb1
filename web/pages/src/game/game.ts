// The game. Two connections are open at the same time (connections.ts), and one of them steers. The page runs its own
// boat ahead of the server (boat.ts), and shows the others a little late, between two states that it has.

import { showConnection } from "../shared/connection.js";
import { byId, setText } from "../shared/dom.js";
import { store, stored } from "../shared/storage.js";
import { type Input, type Motion, sail, TICK, wrapAngle } from "./boat.js";
import { showComparison } from "./compare.js";
import {
  type Connection, type Kind, type Listener, type Points, RawConnection, type Sailor, SocketIoConnection, type State,
} from "./connections.js";
import { Controls } from "./controls.js";
import { Picture } from "./draw.js";

/** How late others are shown, in milliseconds: two states and a bit, so that there is one on each side. */
const DELAY = 100;
/** An own boat that is further from where the server has it jumps there. */
const JUMP = 120;

const KINDS: Kind[] = ["raw", "socketio"];
const NAMES: Record<Kind, string> = { raw: "raw WebSocket", socketio: "Socket.IO" };

// Both connections of this page join with the same key, so they share one boat.
const key = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const canvas = byId<HTMLCanvasElement>("water");
const picture = new Picture(canvas);
const controls = new Controls(canvas);

let name = stored("tidewire-game-name") ?? "";
let steering: Kind = "socketio";
let me: number | null = null;
/** Whether the roster has had the own boat: after that, a roster without it says that it was removed. */
let isListed = false;
/** Why there is no boat. */
let ashore: "all places are taken" | "idle" | undefined;
let sailors: Sailor[] = [];
let points: Points = { secondsLeft: 0, winner: null, buoys: [], scores: new Map() };
let roundEnds: number | undefined;
let lastJoin = 0;

const connections: Record<Kind, Connection> = {
  socketio: new SocketIoConnection(listener("socketio")),
  raw: new RawConnection(listener("raw")),
};

function listener(kind: Kind): Listener {
  return {
    connected() {
      if (kind === "raw") showRawStatus("connected");
      isListed = false;
      lastJoin = performance.now();
      connections[kind].join(key, name, kind === steering);
      showNotice();
    },
    disconnected(why) {
      if (kind === "raw") showRawStatus(why);
      showNotice();
    },
    joined(id) {
      if (id !== me) isListed = false;
      me = id;
      ashore = id === null ? "all places are taken" : undefined;
      showScores();
      showNotice();
    },
    // Both connections bring the same. The picture is that of the one that steers; who is here does not depend on it.
    state(state) {
      if (kind === steering) receive(state);
    },
    roster(all) {
      sailors = all;
      const isHere = sailors.some(({ id }) => id === me);
      if (isListed && !isHere) [me, ashore] = [null, "idle"];
      isListed = isHere;
      showScores();
      showNotice();
    },
    points(latest) {
      points = latest;
      roundEnds = performance.now() + points.secondsLeft * 1_000;
      showScores();
    },
  };
}

// The own boat: the state of the server, and the inputs that it does not know yet applied to it.

let own: Motion | undefined;
/** Where the boat was one tick earlier: it is drawn between the two. */
let ownBefore: Motion | undefined;
/** The distance between where the boat is drawn and where it should be. It shrinks with each frame. */
let drawnOff = { x: 0, y: 0, heading: 0 };
let unknown: { number: number; input: Input }[] = [];
let nextNumber = 0;
let latest: State | undefined;

function receive(state: State): void {
  keepForInterpolation(state);
  latest = state;
  const boat = me === null ? undefined : state.boats.get(me);
  if (!boat) {
    own = undefined;
    return;
  }
  // The number has eight bits and begins again after 255.
  const isUnknown = (ahead: number) => ahead > 0 && ahead < 128;
  unknown = unknown.filter(({ number }) => isUnknown((number - boat.applied) & 255));
  const ahead: Motion = { x: boat.x, y: boat.y, heading: boat.heading, vx: boat.vx, vy: boat.vy };
  let before = { ...ahead };
  for (const { input } of unknown) {
    before = { ...ahead };
    sail(ahead, input, state.wind);
  }
  if (own) {
    const [dx, dy] = [drawnOff.x + own.x - ahead.x, drawnOff.y + own.y - ahead.y];
    drawnOff = Math.hypot(dx, dy) > JUMP ? { x: 0, y: 0, heading: 0 }
      : { x: dx, y: dy, heading: wrapAngle(drawnOff.heading + own.heading - ahead.heading) };
  }
  [own, ownBefore] = [ahead, before];
}

/** One tick of the page: reads the helm, sends it over both connections, and moves the own boat. */
function tick(): void {
  const input = controls.input();
  const isAtHelm = me !== null && own !== undefined;
  if (!isAtHelm) {
    if (input.strength > 0) joinAgain();
    return;
  }
  const number = nextNumber++ & 255;
  for (const kind of KINDS) connections[kind].input(number, input);
  if (!connections[steering].isConnected || !latest) return;
  unknown.push({ number, input });
  if (unknown.length > 100) unknown.shift();
  ownBefore = { ...own! };
  sail(own!, input, latest.wind);
}

/** Takes a place after a minute without steering, or when one is free. */
function joinAgain(): void {
  if (performance.now() - lastJoin < 1_000) return;
  lastJoin = performance.now();
  for (const kind of KINDS) connections[kind].join(key, name, kind === steering);
}

// The others: between two states of the server.

interface Past {
  time: number;
  boats: State["boats"];
}
let past: Past[] = [];
/** What is to be added to the time of the server for that of the page. */
let clockOffset: number | undefined;

function keepForInterpolation({ tick, boats }: State): void {
  const last = past.at(-1);
  // The tick has sixteen bits. A later one that looks much earlier is that of another server.
  const lastTick = last ? Math.round(last.time / (TICK * 1_000)) : tick;
  const step = ((tick - lastTick + 0x8000) & 0xffff) - 0x8000;
  if (last && step <= 0 && step > -50) return;
  if (step < -50 || step > 250) [past, clockOffset] = [[], undefined];
  const time = (clockOffset === undefined ? tick : lastTick + step) * TICK * 1_000;
  const offset = performance.now() - time;
  // States that come early show the true offset, and late ones move it slowly.
  clockOffset = clockOffset === undefined || offset < clockOffset ? offset : clockOffset + (offset - clockOffset) * 0.02;
  past.push({ time, boats });
  if (past.length > 50) past.shift();
}

function othersNow(): Map<number, Motion> {
  const shown = new Map<number, Motion>();
  const newest = past.at(-1);
  if (!newest || clockOffset === undefined) return shown;
  const time = performance.now() - clockOffset - DELAY;
  const index = past.findLastIndex((state) => state.time <= time);
  const [from, to] = [past[Math.max(index, 0)]!, past[index + 1] ?? newest];
  const part = to.time > from.time ? Math.min(Math.max((time - from.time) / (to.time - from.time), 0), 1) : 1;
  for (const [id, boat] of newest.boats) {
    const [a, b] = [from.boats.get(id) ?? boat, to.boats.get(id) ?? boat];
    const heading = a.heading + wrapAngle(b.heading - a.heading) * part;
    shown.set(id, { ...b, x: a.x + (b.x - a.x) * part, y: a.y + (b.y - a.y) * part, heading });
  }
  return shown;
}

function ownNow(part: number): Motion {
  const [from, to] = [ownBefore!, own!];
  const heading = from.heading + wrapAngle(to.heading - from.heading) * part + drawnOff.heading;
  return {
    ...to,
    heading,
    x: from.x + (to.x - from.x) * part + drawnOff.x,
    y: from.y + (to.y - from.y) * part + drawnOff.y,
  };
}

let lastFrame = performance.now();
let untilTick = 0;

function frame(now: number): void {
  // After a pause, for instance in another tab, the boat does not make up for it.
  const passed = Math.min((now - lastFrame) / 1_000, 0.25);
  lastFrame = now;
  untilTick += passed;
  for (; untilTick >= TICK; untilTick -= TICK) tick();
  const shrink = Math.exp(-10 * passed);
  drawnOff = { x: drawnOff.x * shrink, y: drawnOff.y * shrink, heading: drawnOff.heading * shrink };
  const boats = othersNow();
  if (own && me !== null) boats.set(me, ownNow(untilTick / TICK));
  const named = sailors.flatMap((sailor) => {
    const boat = boats.get(sailor.id);
    return boat ? [{ ...sailor, ...boat, isMine: sailor.id === me }] : [];
  });
  picture.draw({ boats: named, buoys: points.buoys, wind: latest?.wind, joystick: controls.joystick, passed });
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

// In a hidden tab there are no frames, so the last input would steer on.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return;
  controls.release();
  const number = nextNumber++ & 255;
  for (const kind of KINDS) connections[kind].input(number, { angle: 0, strength: 0 });
});

// What stands beside the water.

function ranking(): (Sailor & { score: number })[] {
  return sailors
    .map((sailor) => ({ ...sailor, score: points.scores.get(sailor.id) ?? 0 }))
    .sort((a, b) => b.score - a.score || a.id - b.id);
}

function showScores(): void {
  const rows = ranking().map(({ id, name, score }) => {
    const row = document.createElement("li");
    const [mark, label, value] = ["mark", "name", "score number"].map((className) => {
      const part = document.createElement("span");
      part.className = className;
      return part;
    });
    mark!.style.background = picture.colour(id, id === me);
    label!.textContent = name;
    value!.textContent = `${score}`;
    row.classList.toggle("mine", id === me);
    row.append(mark!, label!, value!);
    return row;
  });
  byId("scores").replaceChildren(...rows);
  const winner = sailors.find(({ id }) => id === points.winner?.id);
  byId("winner").textContent = winner && points.winner ? `Last round: ${winner.name} with ${points.winner.score}` : "";
}
document.addEventListener("themechange", showScores);

function showNotice(): void {
  const { isConnected } = connections[steering];
  const other = steering === "raw" ? "socketio" : "raw";
  let text = "";
  if (!isConnected) {
    text = `The ${NAMES[steering]} connection is not open. Trying again …`;
    if (connections[other].isConnected) text += ` You can sail on over ${NAMES[other]}.`;
  } else if (ashore === "idle") text = "You were away for a minute. Steer to sail again.";
  else if (ashore) text = "All 64 places are taken, or the 16 of your network. You are watching. Steer to try again.";
  byId("notice").textContent = text;
  byId("notice").hidden = text === "";
}

function showRawStatus(text: string): void {
  const status = byId("raw-status");
  if (status.textContent !== text) status.textContent = text;
  status.dataset.state = text;
}

function showClock(): void {
  const left = roundEnds === undefined ? undefined : Math.max(0, Math.ceil((roundEnds - performance.now()) / 1_000));
  byId("clock").textContent =
    left === undefined ? "–:––" : `${Math.floor(left / 60)}:${`${left % 60}`.padStart(2, "0")}`;
}
setInterval(showClock, 250);

// What a screen reader says: the score and the place, when they have changed, every five seconds at most.
setInterval(() => {
  const order = ranking();
  const place = order.findIndex(({ id }) => id === me);
  if (place < 0) return;
  const text = `Score ${order[place]!.score}, place ${place + 1} of ${order.length}.`;
  setText(byId("spoken"), text);
}, 5_000);

const buttons = [...document.querySelectorAll<HTMLButtonElement>("[data-choose]")];
for (const button of buttons) {
  button.addEventListener("click", () => {
    steering = button.dataset.choose as Kind;
    for (const other of buttons) other.setAttribute("aria-pressed", `${other === button}`);
    // Inputs that the other connection has sent and the server has not applied are lost: both sides forget them.
    unknown = [];
    [past, clockOffset] = [[], undefined];
    connections[steering].takeHelm();
    showNotice();
    comparison.steeredBy(steering);
  });
}

const nameField = byId<HTMLInputElement>("name");
nameField.value = name;
byId("rename").addEventListener("submit", (event) => {
  event.preventDefault();
  name = nameField.value.trim();
  store("tidewire-game-name", name);
  for (const kind of KINDS) connections[kind].join(key, name, kind === steering);
  canvas.focus({ preventScroll: true });
});

const status = showConnection((connections.socketio as SocketIoConnection).socket, { measure: false });
const comparison = showComparison(connections, () => sailors.length, status);
