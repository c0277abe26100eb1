// How the map looks. Everything is drawn in units of the map.

import type { Order, Point, Town } from "./tracking.js";

/** The names of the colours of the map. */
export const COLOURS = [
  "ground", "street", "avenue", "edge", "river", "park", "tree", "house", "label", "halo",
  "idle", "collecting", "delivering", "kitchen", "pin", "way", "mark-text",
] as const;
/** The colours of the map. */
export type Colours = Record<(typeof COLOURS)[number], string>;

/** Draws what does not move. */
export function drawTown(context: CanvasRenderingContext2D, town: Town, colours: Colours, scale: number): void {
  const [width, height] = town.size;
  context.fillStyle = colours.ground;
  context.fillRect(0, 0, width, height);
  context.lineJoin = context.lineCap = "round";
  for (const park of town.parks) {
    context.fillStyle = context.strokeStyle = colours.park;
    context.lineWidth = 10;
    context.beginPath();
    for (const [x, y] of park) context.lineTo(x, y);
    context.closePath();
    context.fill();
    context.stroke();
  }
  context.strokeStyle = colours.river;
  context.lineWidth = town.riverWidth;
  smooth(context, town.river);
  const streets = (wide: number, narrow: number, edge: boolean) => {
    for (const { from, to, avenue } of town.streets) {
      context.strokeStyle = edge ? colours.edge : avenue ? colours.avenue : colours.street;
      context.lineWidth = avenue ? wide : narrow;
      stroke(context, [town.crossings[from]!, town.crossings[to]!]);
    }
  };
  streets(15, 11, true);
  streets(12.5, 8.5, false);
  context.fillStyle = colours.house;
  for (const { at, width, depth, angle } of town.houses) {
    context.save();
    context.translate(...at);
    context.rotate(angle);
    context.beginPath();
    context.roundRect(-width / 2, -depth / 2, width, depth, 1.5);
    context.fill();
    context.restore();
  }
  context.fillStyle = colours.tree;
  town.trees.forEach(([x, y], index) => {
    context.beginPath();
    context.arc(x, y, 3.5 + (index % 3), 0, 7);
    context.fill();
  });
  const pixel = 1 / scale;
  for (const { at: [x, y] } of town.kitchens) {
    const side = (scale < 0.5 ? 10 : 13) * pixel;
    context.fillStyle = colours.kitchen;
    context.strokeStyle = colours.halo;
    context.lineWidth = 2 * pixel;
    context.beginPath();
    context.roundRect(x - side / 2, y - side / 2, side, side, 3 * pixel);
    context.stroke();
    context.fill();
  }
  for (const { at: [x, y] } of town.places) {
    context.fillStyle = colours.label;
    context.beginPath();
    context.arc(x, y, 2.5 * pixel, 0, 7);
    context.fill();
  }
  // A small map has no room for names.
  if (scale < 0.5) return;
  for (const { name, at } of town.kitchens) label(context, name, at, 19 * pixel, pixel, town.size, colours);
  for (const { name, at } of town.places) label(context, name, at, 15 * pixel, pixel, town.size, colours);
}

/** Writes a name below a point, because pins stand above it. */
function label(
  context: CanvasRenderingContext2D,
  text: string,
  [x, y]: Point,
  below: number,
  pixel: number,
  [width, height]: Point,
  colours: Colours,
): void {
  context.font = `600 ${11 * pixel}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  const half = context.measureText(text).width / 2 + 6 * pixel;
  const middle = Math.min(Math.max(x, half), width - half);
  context.strokeStyle = colours.halo;
  context.lineWidth = 3.5 * pixel;
  const line = y + below > height - 3 * pixel ? y - 11 * pixel : y + below;
  context.strokeText(text, middle, line);
  context.fillStyle = colours.label;
  context.fillText(text, middle, line);
}

/** Draws a pin whose tip is at a point. `unit` is the size of a pixel. */
export function drawPin(context: CanvasRenderingContext2D, [x, y]: Point, unit: number, colours: Colours): void {
  context.beginPath();
  context.moveTo(x, y);
  context.bezierCurveTo(x - 3 * unit, y - 6 * unit, x - 6 * unit, y - 8 * unit, x - 6 * unit, y - 11.5 * unit);
  context.arc(x, y - 11.5 * unit, 6 * unit, Math.PI, 0);
  context.bezierCurveTo(x + 6 * unit, y - 8 * unit, x + 3 * unit, y - 6 * unit, x, y);
  context.lineWidth = 1.5 * unit;
  context.strokeStyle = colours.halo;
  context.fillStyle = colours.pin;
  context.fill();
  context.stroke();
  context.beginPath();
  context.arc(x, y - 11.5 * unit, 2 * unit, 0, 7);
  context.fillStyle = colours.halo;
  context.fill();
}

/** Draws the mark of a chosen place. */
export function drawCross(context: CanvasRenderingContext2D, [x, y]: Point, unit: number, colours: Colours): void {
  context.beginPath();
  context.arc(x, y, 9 * unit, 0, 7);
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    context.moveTo(x + dx * 4 * unit, y + dy * 4 * unit);
    context.lineTo(x + dx * 13 * unit, y + dy * 13 * unit);
  }
  for (const [colour, width] of [[colours.halo, 5], [colours.pin, 2]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = width * unit;
    context.stroke();
  }
}

/** Draws a courier. Its state is a shape too: a ring, a thick ring, a disk. */
export function drawCourier(
  context: CanvasRenderingContext2D,
  [x, y]: Point,
  index: number,
  state: Order["state"] | "idle",
  unit: number,
  isFollowed: boolean,
  colours: Colours,
): void {
  const colour = state === "delivering" ? colours.delivering : state === "idle" ? colours.idle : colours.collecting;
  const circle = (radius: number) => {
    context.beginPath();
    context.arc(x, y, radius * unit, 0, 7);
  };
  if (isFollowed) {
    context.globalAlpha = 0.25;
    context.fillStyle = colour;
    circle(17);
    context.fill();
    context.globalAlpha = 1;
  }
  circle(9.5);
  context.fillStyle = colours.halo;
  context.fill();
  circle(state === "delivering" ? 8 : state === "idle" ? 7 : 6.5);
  if (state === "delivering") {
    context.fillStyle = colour;
    context.fill();
  } else {
    context.strokeStyle = colour;
    context.lineWidth = (state === "idle" ? 1.5 : 3) * unit;
    context.stroke();
  }
  context.fillStyle = state === "delivering" ? colours["mark-text"] : colours.label;
  context.font = `700 ${8.5 * unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(INITIALS[index] ?? "", x, y + 0.5 * unit);
}

/** The first letters of the couriers, in their order. */
const INITIALS = "ABCDEFGHIJ";

/** Draws a line through points. */
export function stroke(context: CanvasRenderingContext2D, points: Point[]): void {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

/** A curve through the middles between the points. */
function smooth(context: CanvasRenderingContext2D, points: Point[]): void {
  context.beginPath();
  points.forEach(([x, y], index) => {
    const [nextX, nextY] = points[index + 1] ?? [x, y];
    if (index === 0) context.moveTo(x, y);
    context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  });
  context.stroke();
}
