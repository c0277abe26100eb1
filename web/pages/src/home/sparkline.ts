// A small line of the last values, with a text for those who cannot see it.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 32;

export class Sparkline {
  #svg = document.createElementNS(SVG, "svg");
  #area = document.createElementNS(SVG, "path");
  #stroke = document.createElementNS(SVG, "path");
  #capacity: number;

  /** Adds a line to `parent`. If there are fewer values than `capacity`, the line begins further to the right. */
  constructor(parent: Element, capacity: number) {
    this.#capacity = capacity;
    this.#svg.setAttribute("viewBox", `0 0 ${capacity - 1} ${HEIGHT}`);
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("role", "img");
    this.#svg.setAttribute("aria-label", "no values yet");
    this.#area.setAttribute("class", "area");
    this.#stroke.setAttribute("class", "stroke");
    this.#svg.append(this.#area, this.#stroke);
    parent.append(this.#svg);
  }

  /** Shows `values`, the newest at the end. `null` is a gap, which the line crosses. */
  show(values: (number | null)[], text: (value: number) => string): void {
    const known = values.filter((value) => value !== null);
    if (known.length === 0) return;
    const [low, high] = [Math.min(...known), Math.max(...known)];
    // Zero is at the bottom, unless the values are close together and far from it.
    const base = low > 0.8 * high && high > 0 ? low - 0.25 * (high - low || high) : 0;
    const scale = (HEIGHT - 3) / (high - base || 1);
    const first = this.#capacity - values.length;
    const points = values.flatMap((value, index) =>
      value === null ? [] : [[first + index, HEIGHT - 1 - (value - base) * scale] as const],
    );
    const line = points.map(([x, y]) => `${x} ${y.toFixed(1)}`).join("L");
    const [start, end] = [points[0]![0], points.at(-1)![0]];
    this.#stroke.setAttribute("d", points.length > 1 ? `M${line}` : "");
    this.#area.setAttribute("d", points.length > 1 ? `M${start} ${HEIGHT}L${line}L${end} ${HEIGHT}Z` : "");
    this.#svg.setAttribute("aria-label", `last minute: ${text(low)} to ${text(high)}`);
  }
}
