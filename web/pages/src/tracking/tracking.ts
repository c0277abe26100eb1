// The page `/tracking/`: couriers on a map, beside the server's own figures. Here is what it says to the server and
// hears from it. `map.ts` draws the map, `lists.ts` shows the orders and couriers as text, `charts.ts` draws the charts.

import { io, type Socket } from "@tidewire/client";
import { ACK_TIMEOUT, type Answer, answered, Refused } from "../shared/answers.js";
import { showConnection } from "../shared/connection.js";
import type { Sample } from "../shared/figures.js";
import { Charts } from "./charts.js";
import { Lists } from "./lists.js";
import { TownMap } from "./map.js";

export type Point = [x: number, y: number];

export interface Place {
  name: string;
  at: Point;
}

export interface Town {
  size: Point;
  crossings: Point[];
  streets: { from: number; to: number; avenue: boolean }[];
  river: Point[];
  riverWidth: number;
  parks: Point[][];
  houses: { at: Point; width: number; depth: number; angle: number }[];
  trees: Point[];
  kitchens: Place[];
  places: Place[];
}

export interface Order {
  id: number;
  from: string;
  to: string;
  at: Point;
  state: "waiting" | "collecting" | "delivering" | "delivered";
  /** The index of its courier. */
  courier: number | null;
}

export interface Overview {
  /** Counts the overviews. */
  number: number;
  /** For each courier the corners that it has passed since the last overview, and where it is. */
  couriers: Point[][];
}

export interface Progress {
  order: number;
  courier: number;
  at: Point;
  /** From 0 to 1. */
  progress: number;
  /** Seconds. */
  arrivesIn: number;
}

interface OrderRoute {
  order: number;
  points: Point[];
}

interface Snapshot {
  /** Differs after a restart of the server. */
  serverRunId: string;
  town: Town;
  couriers: string[];
  orders: Order[];
}

interface ServerToClient {
  overview: (overview: Overview) => void;
  progress: (progress: Progress) => void;
  route: (route: OrderRoute) => void;
  order: (order: Order) => void;
  "order-removed": (id: number) => void;
}

interface ClientToServer {
  watch: (answer: (snapshot: Answer<Snapshot>) => void) => void;
  follow: (order: number | null, answer: (route: Answer<OrderRoute | null>) => void) => void;
  order: (to: { place: number } | { x: number; y: number }, answer: (order: Answer<number>) => void) => void;
}

const socket: Socket<ServerToClient, ClientToServer> = io("/tracking", { reconnectionDelay: 400 });
showConnection(socket);

const orders = new Map<number, Order>();
let couriers: string[] = [];
let serverRunId = "";
let followed: number | undefined;

const map = new TownMap(document.querySelector("canvas")!, {
  onOrder: (id) => void follow(id),
  onCourier: (courier) => followCourier(courier),
  onPlace: (at) => lists.choosePoint(at),
});
const lists = new Lists({
  onFollow: (id) => void follow(id),
  onFollowCourier: (courier) => followCourier(courier),
  onPlace: (to) => void place(to),
});

socket.on("connect", async () => {
  lastNumber = undefined;
  // After a recovery, the socket is in its rooms and gets the changes that it has missed.
  if (socket.recovered) return lists.say("The connection is back, and nothing was missed.");
  const snapshot = await answerOf(socket.timeout(ACK_TIMEOUT).emitWithAck("watch"));
  if (!snapshot) return;
  const isRestarted = serverRunId !== "" && serverRunId !== snapshot.serverRunId;
  ({ serverRunId, couriers } = snapshot);
  map.town = snapshot.town;
  lists.begin(snapshot.town.places, couriers);
  orders.clear();
  for (const order of snapshot.orders) orders.set(order.id, order);
  showOrders();
  if (isRestarted) {
    showFollowed(undefined);
    lists.say("The server has restarted, and the town begins again.");
  } else if (followed !== undefined) await follow(followed);
});

socket.on("disconnect", () => lists.say("The connection is lost. The page connects again by itself."));

socket.on("order", (order) => {
  orders.set(order.id, order);
  showOrders();
  if (order.id === followed && order.state === "delivered") lists.say(`Order ${order.id} was delivered to ${order.to}.`);
});

socket.on("order-removed", (id) => {
  orders.delete(id);
  showOrders();
  if (id === followed) showFollowed(undefined);
});

socket.on("route", ({ order, points }) => {
  if (order === followed) map.route = points;
});

socket.on("progress", (progress) => {
  if (progress.order !== followed) return;
  map.moveOne(progress.courier, progress.at);
  lists.showProgress(progress);
});

let lastNumber: number | undefined;

socket.on("overview", ({ number, couriers }) => {
  const skipped = lastNumber === undefined ? 0 : Math.max(0, number - lastNumber - 1);
  lastNumber = number;
  map.moveAll(couriers);
  lists.showOverview(couriers, skipped);
});

/** Follows an order, or none. The server puts this page into the room of the order. */
async function follow(id: number | undefined): Promise<void> {
  showFollowed(id);
  const route = await answerOf(socket.timeout(ACK_TIMEOUT).emitWithAck("follow", id ?? null));
  if (followed !== id) return; // Another choice was faster.
  if (route === undefined) showFollowed(undefined);
  else map.route = route?.points ?? [];
}

function followCourier(courier: number): void {
  for (const order of orders.values()) {
    if (order.courier === courier && order.state !== "delivered") return void follow(order.id);
  }
  lists.say(`${couriers[courier]} has no order at the moment.`);
}

async function place(to: { place: number } | { x: number; y: number }): Promise<void> {
  const id = await answerOf(socket.timeout(ACK_TIMEOUT).emitWithAck("order", to));
  if (id === undefined) return;
  map.chosen = undefined;
  lists.placed(id);
  await follow(id);
}

/** Returns what the server answers. If it refuses or does not answer, the page says so. */
async function answerOf<T>(answer: Promise<Answer<T>>): Promise<T | undefined> {
  try {
    return await answered(answer);
  } catch (error) {
    if (error instanceof Refused) lists.say(error.message);
    else if (socket.connected) lists.say("The server did not answer in time.");
    return undefined;
  }
}

function showOrders(): void {
  map.orders = [...orders.values()];
  lists.showOrders(map.orders, followed);
}

function showFollowed(id: number | undefined): void {
  followed = id;
  map.route = [];
  map.followed = id;
  lists.showOrders(map.orders, id);
}

// The figures of the server are another namespace on the same connection. They are events like any others.
const figures: Socket<{ history: (samples: Sample[]) => void; figures: (sample: Sample) => void }> = io("/figures");
const charts = new Charts(document.querySelector("#charts")!, document.querySelector("#figures")!);
figures.on("history", (samples) => charts.begin(samples));
figures.on("figures", (sample) => charts.add(sample));

// A slow reader: the page polls, and waits before each request. What the server sends meanwhile, it must keep.
const slow = document.querySelector<HTMLInputElement>("#slow")!;
const fetchNow = window.fetch;
window.fetch = async (input, init) => {
  if (slow.checked && init?.method === "GET" && String(input).includes("sid=")) {
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
  return fetchNow(input, init);
};
slow.addEventListener("change", () => {
  socket.io.opts.transports = slow.checked ? ["polling"] : ["polling", "websocket"];
  socket.io.engine.close(); // The client connects again at once, with the other transports.
});
