// How a boat moves. The server has the same function (`sail` in `game/world.rs`); the page runs it ahead of the server.

export const WIDTH = 960;
export const HEIGHT = 600;
/** The time of one tick, in seconds. */
export const TICK = 1 / 25;
const RADIUS = 15;
const TURN = Math.PI * 2;

/** Where the helm points: an angle of 256 in a turn, clockwise from east, and how strongly, from 0 to 255. */
export interface Input {
  angle: number;
  strength: number;
}

export interface Wind {
  /** In radians. */
  angle: number;
  force: number;
}

export interface Motion {
  x: number;
  y: number;
  heading: number;
  vx: number;
  vy: number;
}

export const toRadians = (byte: number): number => (byte * TURN) / 256;
export const toByte = (angle: number): number => Math.round((angle * 256) / TURN) & 255;

/** Returns the same angle between -π and π. */
export function wrapAngle(angle: number): number {
  return angle - TURN * Math.round(angle / TURN);
}

/** Moves a boat by one tick. */
export function sail(boat: Motion, input: Input, wind: Wind): void {
  const strength = input.strength / 255;
  if (strength > 0) {
    const turn = wrapAngle(toRadians(input.angle) - boat.heading);
    boat.heading += clamp(turn, -4.5 * TICK, 4.5 * TICK);
  }
  const [cos, sin] = [Math.cos(boat.heading), Math.sin(boat.heading)];
  const vx = boat.vx + (cos * strength * 300 + Math.cos(wind.angle) * wind.force) * TICK;
  const vy = boat.vy + (sin * strength * 300 + Math.sin(wind.angle) * wind.force) * TICK;
  // The keel lets a boat slide forward more easily than sideways.
  const ahead = (vx * cos + vy * sin) * (1 - 1.2 * TICK);
  const aside = (vy * cos - vx * sin) * (1 - 4 * TICK);
  boat.vx = ahead * cos - aside * sin;
  boat.vy = ahead * sin + aside * cos;
  const [x, y] = [boat.x + boat.vx * TICK, boat.y + boat.vy * TICK];
  boat.x = clamp(x, RADIUS, WIDTH - RADIUS);
  boat.y = clamp(y, RADIUS, HEIGHT - RADIUS);
  if (boat.x !== x) boat.vx *= -0.4;
  if (boat.y !== y) boat.vy *= -0.4;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
