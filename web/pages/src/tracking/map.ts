// The map: a canvas with the town, which is drawn once, and above it what moves.

import { coloursOf } from "../shared/drawing.js";
import { COLOURS, type Colours, drawCourier, drawCross, drawPin, drawTown, stroke } from "./drawing.js";
import type { Order, Point, Town } from "./tracking.js";

export interface MapEvents {
  onOrder: (id: number) => void;
  onCourier: (index: number) => void;
  /** A place on the map was chosen. */
  onPlace: (at: Point) => void;
}

/** The longest time that a courier needs from one position to the next on the screen, in milliseconds. */
const LONGEST_MOVE = 700;
/** How far beside a mark a click may be, in CSS pixels. */
const REACH = 16;

/** A courier moves along `path` from `start` for `duration` milliseconds. */
interface Move {
  path: Point[];
  start: number;
  duration: number;
}

export class TownMap {
  orders: Order[] = [];
  /** The route of the order that is followed. */
  route: Point[] = [];
  chosen: Point | undefined;
  #followed: number | undefined;
  #followedCourier: number | undefined;
  #town: Town | undefined;
  #moves: Move[] = [];
  #lastOverview = 0;
  #lastOne = 0;
  #canvas: HTMLCanvasElement;
  #context: CanvasRenderingContext2D;
  /** The town without what moves. */
  #still = document.createElement("canvas");
  #colours!: Colours;
  #scale = 1;
  #isCalm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas: HTMLCanvasElement, events: MapEvents) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d")!;
    const redraw = () => this.#drawStill();
    document.addEventListener("themechange", redraw);
    new ResizeObserver(redraw).observe(canvas);
    canvas.addEventListener("click", (event) => this.#onClick(event, events));
    canvas.addEventListener("pointermove", (event) => {
      canvas.style.cursor = this.#hit(event) ? "pointer" : "crosshair";
    });
    redraw();
    const frame = () => {
      this.#draw();
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  set town(town: Town) {
    this.#town = town;
    this.#drawStill();
  }

  set followed(id: number | undefined) {
    this.#followed = id;
    this.#followedCourier = undefined;
  }

  /** New positions of all couriers. The followed one has finer positions. */
  moveAll(couriers: Point[][]): void {
    const now = performance.now();
    const duration = this.#duration(now - this.#lastOverview);
    this.#lastOverview = now;
    couriers.forEach((path, index) => {
      if (index === this.#followedCourier && now - this.#lastOne < LONGEST_MOVE) return;
      this.#move(index, path, now, duration);
    });
  }

  /** A new position of the courier that is followed. */
  moveOne(index: number, at: Point): void {
    const now = performance.now();
    const duration = this.#followedCourier === index ? this.#duration(now - this.#lastOne) : 0;
    this.#followedCourier = index;
    this.#lastOne = now;
    this.#move(index, [at], now, duration);
  }

  /** Returns where a courier is on the screen, in units of the map. */
  courier(index: number): Point | undefined {
    const move = this.#moves[index];
    return move && along(move.path, move.duration ? (performance.now() - move.start) / move.duration : 1);
  }

  #move(index: number, path: Point[], start: number, duration: number): void {
    const from = this.courier(index);
    this.#moves[index] = { path: from ? [from, ...path] : path, start, duration };
  }

  /** A courier arrives when the next position is expected. */
  #duration(sinceLast: number): number {
    return this.#isCalm.matches ? 0 : Math.min(sinceLast * 1.1, LONGEST_MOVE);
  }

  #hit(event: MouseEvent): { order?: number; courier?: number } | undefined {
    const at = this.#pointOf(event);
    const reach = REACH / this.#scale;
    const near = (point: Point | undefined) => point !== undefined && distance(point, at) < reach;
    const courier = this.#moves.findIndex((_, index) => near(this.courier(index)));
    if (courier >= 0) return { courier };
    const order = this.orders.find((order) => order.state !== "delivered" && near(order.at));
    return order && { order: order.id };
  }

  #onClick(event: MouseEvent, events: MapEvents): void {
    if (!this.#town) return;
    const hit = this.#hit(event);
    if (hit?.courier !== undefined) return events.onCourier(hit.courier);
    if (hit?.order !== undefined) return events.onOrder(hit.order);
    this.chosen = this.#pointOf(event);
    events.onPlace(this.chosen);
  }

  #pointOf({ offsetX, offsetY }: MouseEvent): Point {
    return [offsetX / this.#scale, offsetY / this.#scale];
  }

  /** Draws the town for the current size and colours. */
  #drawStill(): void {
    this.#colours = coloursOf(this.#canvas, COLOURS, "map-");
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const density = window.devicePixelRatio || 1;
    for (const canvas of [this.#canvas, this.#still]) {
      canvas.width = Math.max(1, Math.round(width * density));
      canvas.height = Math.max(1, Math.round(height * density));
    }
    const town = this.#town;
    if (town) {
      this.#scale = width / town.size[0];
      const context = this.#still.getContext("2d")!;
      context.scale(this.#scale * density, this.#scale * density);
      drawTown(context, town, this.#colours, this.#scale);
    }
    this.#draw();
  }

  #draw(): void {
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.#still, 0, 0);
    if (!this.#town) return;
    const density = this.#canvas.width / this.#canvas.clientWidth;
    context.scale(this.#scale * density, this.#scale * density);
    const pixel = 1 / this.#scale;
    const isSmall = this.#scale < 0.5;
    const unit = pixel * (isSmall ? 0.8 : 1);
    const followed = this.orders.find(({ id }) => id === this.#followed);
    this.#drawRoute(context, pixel, followed);
    for (const order of this.orders) {
      if (order.state === "delivered" && order !== followed) continue;
      drawPin(context, order.at, unit * (order === followed ? 1.5 : 1), this.#colours);
    }
    if (this.chosen) drawCross(context, this.chosen, unit, this.#colours);
    const carried = new Map(this.orders.filter(({ state }) => state !== "delivered").map((o) => [o.courier, o]));
    const last = followed?.courier ?? -1;
    const indexes = this.#moves.map((_, index) => index).filter((index) => index !== last);
    if (last >= 0 && this.#moves[last]) indexes.push(last);
    for (const index of indexes) {
      const state = carried.get(index)?.state ?? "idle";
      const isFollowed = index === last && followed?.state !== "delivered";
      drawCourier(context, this.courier(index)!, index, state, unit * (isFollowed ? 1.35 : 1), isFollowed, this.#colours);
    }
  }

  #drawRoute(context: CanvasRenderingContext2D, pixel: number, followed: Order | undefined): void {
    if (!followed || this.route.length < 2 || followed.state === "delivered") return;
    context.lineJoin = context.lineCap = "round";
    context.strokeStyle = this.#colours.way;
    context.globalAlpha = 0.35;
    context.lineWidth = 5 * pixel;
    stroke(context, this.route);
    context.globalAlpha = 1;
    // What is left of the route.
    const at = followed.courier === null ? undefined : this.courier(followed.courier);
    if (!at) return;
    context.lineWidth = 3 * pixel;
    stroke(context, rest(this.route, at, followed.state === "delivering"));
  }
}

function distance([x, y]: Point, [otherX, otherY]: Point): number {
  return Math.hypot(x - otherX, y - otherY);
}

/** Returns the point at `part` of the way along `path`, from 0 to 1. */
function along(path: Point[], part: number): Point {
  const end = path[path.length - 1]!;
  if (part >= 1) return end;
  let length = 0;
  for (let index = 1; index < path.length; index++) length += distance(path[index - 1]!, path[index]!);
  let left = length * part;
  for (let index = 1; index < path.length; index++) {
    const [from, to] = [path[index - 1]!, path[index]!];
    const step = distance(from, to);
    if (left < step) return [from[0] + ((to[0] - from[0]) * left) / step, from[1] + ((to[1] - from[1]) * left) / step];
    left -= step;
  }
  return end;
}

/** Returns the part of `route` that follows `at`. A route may pass a street twice: `fromEnd` prefers the second time. */
function rest(route: Point[], at: Point, fromEnd: boolean): Point[] {
  let best = 1;
  let least = Infinity;
  for (let index = 1; index < route.length; index++) {
    const [from, to] = [route[index - 1]!, route[index]!];
    const beside = distance(from, at) + distance(at, to) - distance(from, to);
    if (beside < least - 0.5 || (fromEnd && beside < least + 0.5)) {
      best = index;
      least = beside;
    }
  }
  return [at, ...route.slice(best)];
}
