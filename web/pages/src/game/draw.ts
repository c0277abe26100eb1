// Draws the water. The colours are those of game.css.

import { coloursOf } from "../shared/drawing.js";
import { HEIGHT, type Motion, type Wind, WIDTH } from "./boat.js";
import type { Points, Sailor } from "./connections.js";
import type { Joystick } from "./controls.js";

export interface Scene {
  boats: (Sailor & Motion & { isMine: boolean })[];
  buoys: Points["buoys"];
  wind: Wind | undefined;
  joystick: Joystick | undefined;
  /** The time since the last picture, in seconds. */
  passed: number;
}

const HULLS = 6;
const COLOURS = ["water", "ripple", "edge", "buoy", "gold", "label", "halo", "sail", "mine"] as const;
type Colour = (typeof COLOURS)[number];

export class Picture {
  #canvas: HTMLCanvasElement;
  #context: CanvasRenderingContext2D;
  #colours!: Record<Colour, string>;
  #hulls: string[] = [];
  #size = { width: 1, height: 1, density: 1 };
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  /** Where ripples have drifted to. */
  #drift = { x: 0, y: 0 };
  #ripples = Array.from({ length: 70 }, () => ({ x: Math.random() * WIDTH, y: Math.random() * HEIGHT }));

  #buoysBefore: Points["buoys"] = [];
  /** Buoys that were collected a moment ago. */
  #collected: (Points["buoys"][number] & { age: number })[] = [];

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d")!;
    this.#readColours();
    document.addEventListener("themechange", () => this.#readColours());
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  colour(id: number, isMine: boolean): string {
    return isMine ? this.#colours.mine : this.#hulls[id % HULLS]!;
  }

  #readColours(): void {
    this.#colours = coloursOf(this.#canvas, COLOURS);
    const hulls = Array.from({ length: HULLS }, (_, index) => `${index}`);
    this.#hulls = Object.values(coloursOf(this.#canvas, hulls, "hull-"));
  }

  #resize(): void {
    const { clientWidth, clientHeight } = this.#canvas;
    const density = Math.min(devicePixelRatio, 2);
    this.#size = { width: clientWidth, height: clientHeight, density };
    this.#canvas.width = Math.max(1, Math.round(clientWidth * density));
    this.#canvas.height = Math.max(1, Math.round(clientHeight * density));
  }

  draw({ boats, buoys, wind, joystick, passed }: Scene): void {
    const context = this.#context;
    const { width, height, density } = this.#size;
    // The water fills the canvas. Where it does not fit, the picture follows the own boat.
    const scale = Math.max(width / WIDTH, height / HEIGHT);
    const centre = boats.find(({ isMine }) => isMine) ?? { x: WIDTH / 2, y: HEIGHT / 2 };
    const camera = {
      x: Math.min(Math.max(centre.x - width / scale / 2, 0), WIDTH - width / scale),
      y: Math.min(Math.max(centre.y - height / scale / 2, 0), HEIGHT - height / scale),
    };
    context.setTransform(density, 0, 0, density, 0, 0);
    context.fillStyle = this.#colours.water;
    context.fillRect(0, 0, width, height);
    context.scale(scale, scale);
    context.translate(-camera.x, -camera.y);
    this.#drawRipples(wind, passed);
    context.strokeStyle = this.#colours.edge;
    context.lineWidth = 3;
    context.strokeRect(1.5, 1.5, WIDTH - 3, HEIGHT - 3);
    // On a small canvas, things are drawn larger than they are.
    const size = Math.max(1, 0.75 / scale);
    for (const buoy of buoys) this.#drawBuoy(buoy, size);
    this.#drawCollected(buoys, passed, scale);
    for (const boat of boats.toSorted((a, b) => Number(a.isMine) - Number(b.isMine))) this.#drawBoat(boat, size);
    for (const boat of boats) this.#drawName(boat, size, scale, camera.x, width / scale);
    context.setTransform(density, 0, 0, density, 0, 0);
    if (wind) this.#drawWind(wind, width);
    if (joystick) this.#drawJoystick(joystick);
  }

  /** Short lines that drift with the wind show where it blows. With reduced motion they stand still. */
  #drawRipples(wind: Wind | undefined, passed: number): void {
    const context = this.#context;
    const angle = wind?.angle ?? 0;
    if (wind && !this.#still.matches) {
      this.#drift.x += Math.cos(angle) * wind.force * 0.5 * passed;
      this.#drift.y += Math.sin(angle) * wind.force * 0.5 * passed;
    }
    const [dx, dy] = [Math.cos(angle) * 9, Math.sin(angle) * 9];
    context.strokeStyle = this.#colours.ripple;
    context.lineWidth = 2;
    context.lineCap = "round";
    context.beginPath();
    for (const ripple of this.#ripples) {
      const x = modulo(ripple.x + this.#drift.x, WIDTH);
      const y = modulo(ripple.y + this.#drift.y, HEIGHT);
      context.moveTo(x - dx, y - dy);
      context.lineTo(x + dx, y + dy);
    }
    context.stroke();
  }

  #drawBuoy({ x, y, points }: Points["buoys"][number], size: number): void {
    const context = this.#context;
    const radius = (points > 1 ? 12 : 9) * size;
    context.beginPath();
    context.arc(x, y, radius, 0, Math.PI * 2);
    context.fillStyle = points > 1 ? this.#colours.gold : this.#colours.buoy;
    context.fill();
    context.strokeStyle = this.#colours.halo;
    context.lineWidth = 2.5 * size;
    context.stroke();
    if (points === 1) return;
    context.fillStyle = "#2b1d00";
    context.font = `700 ${13 * size}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(`${points}`, x, y + size);
  }

  /** Shows the points of a buoy for a second where it was collected. */
  #drawCollected(buoys: Points["buoys"], passed: number, scale: number): void {
    for (const [index, before] of this.#buoysBefore.entries()) {
      const now = buoys[index];
      if (now && (now.x !== before.x || now.y !== before.y)) this.#collected.push({ ...before, age: 0 });
    }
    this.#buoysBefore = buoys;
    const context = this.#context;
    context.font = `700 ${15 / scale}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = this.#colours.label;
    for (const buoy of this.#collected) {
      buoy.age += passed;
      const rise = this.#still.matches ? 0 : buoy.age * 24;
      context.globalAlpha = Math.max(0, 1 - buoy.age);
      context.fillText(`+${buoy.points}`, buoy.x, buoy.y - rise);
    }
    context.globalAlpha = 1;
    this.#collected = this.#collected.filter(({ age }) => age < 1);
  }

  #drawBoat(boat: Scene["boats"][number], size: number): void {
    const context = this.#context;
    const colour = this.colour(boat.id, boat.isMine);
    context.save();
    context.translate(boat.x, boat.y);
    context.scale(size, size);
    if (boat.isMine) {
      context.beginPath();
      context.arc(0, 0, 26, 0, Math.PI * 2);
      context.strokeStyle = colour;
      context.globalAlpha = 0.45;
      context.lineWidth = 2;
      context.stroke();
      context.globalAlpha = 1;
    }
    context.rotate(boat.heading);
    context.beginPath();
    context.moveTo(20, 0);
    context.quadraticCurveTo(9, -10, -8, -9);
    context.quadraticCurveTo(-15, -8, -15, 0);
    context.quadraticCurveTo(-15, 8, -8, 9);
    context.quadraticCurveTo(9, 10, 20, 0);
    context.fillStyle = colour;
    context.fill();
    context.strokeStyle = this.#colours.halo;
    context.lineWidth = 2;
    context.stroke();
    context.beginPath();
    context.moveTo(8, 0);
    context.quadraticCurveTo(-2, 9, -11, 4);
    context.closePath();
    context.fillStyle = this.#colours.sail;
    context.fill();
    context.restore();
  }

  #drawName(
    { x, y, name, isMine }: Scene["boats"][number],
    size: number,
    scale: number,
    left: number,
    visible: number,
  ): void {
    const context = this.#context;
    // The letters have the same size on each screen.
    context.font = `${isMine ? 700 : 500} ${12.5 / scale}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "top";
    context.lineJoin = "round";
    context.lineWidth = 3.5 / scale;
    context.strokeStyle = this.#colours.water;
    const below = y + 28 * size > HEIGHT - 16 / scale ? y - 28 * size - 14 / scale : y + 26 * size;
    // A boat at the edge keeps its whole name.
    const half = context.measureText(name).width / 2 + 4 / scale;
    const middle = Math.abs(x - left - visible / 2) > visible / 2 ? x : Math.min(Math.max(x, left + half), left + visible - half);
    context.strokeText(name, middle, below);
    context.fillStyle = this.#colours.label;
    context.fillText(name, middle, below);
  }

  #drawWind(wind: Wind, width: number): void {
    const context = this.#context;
    context.save();
    context.translate(width - 30, 30);
    context.fillStyle = this.#colours.water;
    context.globalAlpha = 0.8;
    context.beginPath();
    context.arc(0, 0, 22, 0, Math.PI * 2);
    context.fill();
    context.globalAlpha = 1;
    context.rotate(wind.angle);
    const length = 6 + wind.force / 8;
    context.strokeStyle = this.#colours.label;
    context.lineWidth = 2;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(-length, 0);
    context.lineTo(length, 0);
    context.moveTo(length - 6, -5);
    context.lineTo(length, 0);
    context.lineTo(length - 6, 5);
    context.stroke();
    context.restore();
  }

  #drawJoystick({ from, to }: Joystick): void {
    const context = this.#context;
    context.strokeStyle = this.#colours.label;
    context.fillStyle = this.#colours.label;
    context.globalAlpha = 0.35;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(from.x, from.y, 60, 0, Math.PI * 2);
    context.stroke();
    const drag = Math.max(1, Math.hypot(to.x - from.x, to.y - from.y) / 60);
    context.beginPath();
    context.arc(from.x + (to.x - from.x) / drag, from.y + (to.y - from.y) / drag, 20, 0, Math.PI * 2);
    context.fill();
    context.globalAlpha = 1;
  }
}

function modulo(value: number, limit: number): number {
  return ((value % limit) + limit) % limit;
}
