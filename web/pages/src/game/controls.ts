// The helm: arrow keys, WASD, or a finger or mouse that drags on the water.

import { type Input, toByte } from "./boat.js";

const KEYS: Record<string, [x: number, y: number]> = {
  ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0],
  KeyW: [0, -1], KeyS: [0, 1], KeyA: [-1, 0], KeyD: [1, 0],
};
/** How far a finger drags for full speed, in pixels. */
const REACH = 60;

/** Where a drag began, and where it is, in pixels of the canvas. */
export interface Joystick {
  from: { x: number; y: number };
  to: { x: number; y: number };
}

export class Controls {
  joystick: Joystick | undefined;
  #pressed = new Set<string>();

  constructor(canvas: HTMLCanvasElement) {
    window.addEventListener("keydown", (event) => {
      if (!(event.code in KEYS) || event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
      event.preventDefault(); // The arrows would scroll.
      this.#pressed.add(event.code);
    });
    window.addEventListener("keyup", ({ code }) => this.#pressed.delete(code));
    window.addEventListener("blur", () => this.release());
    canvas.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      const { offsetX: x, offsetY: y } = event;
      this.joystick = { from: { x, y }, to: { x, y } };
    });
    canvas.addEventListener("pointermove", ({ isPrimary, offsetX: x, offsetY: y }) => {
      if (isPrimary && this.joystick) this.joystick = { ...this.joystick, to: { x, y } };
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.joystick = undefined));
  }

  input(): Input {
    let [x, y] = [0, 0];
    for (const code of this.#pressed) {
      const [dx, dy] = KEYS[code]!;
      [x, y] = [Math.sign(x + dx), Math.sign(y + dy)];
    }
    let strength = x !== 0 || y !== 0 ? 1 : 0;
    if (this.joystick) {
      const { from, to } = this.joystick;
      [x, y] = [to.x - from.x, to.y - from.y];
      const drag = Math.hypot(x, y);
      strength = drag < 6 ? 0 : Math.min(drag / REACH, 1);
    }
    return { angle: toByte(Math.atan2(y, x)), strength: Math.round(strength * 255) };
  }

  release(): void {
    this.#pressed.clear();
    this.joystick = undefined;
  }
}

/** Whether the keys write there. */
function isField(target: EventTarget | null): boolean {
  // The list of scores scrolls with the arrow keys.
  return target instanceof HTMLElement && target.matches("input, textarea, select, ol");
}
