// The figures of the server as small line charts, and as a table.

import { setText } from "../shared/dom.js";
import { endOfAxis } from "../shared/drawing.js";
import type { Sample } from "../shared/figures.js";

interface Line {
  label: string;
  value: (sample: Sample) => number | null;
}

interface Chart {
  title: string;
  lines: Line[];
}

const CHARTS: Chart[] = [
  {
    title: "Connections",
    lines: [
      { label: "WebSocket", value: (sample) => sample.webSocket },
      { label: "polling", value: (sample) => sample.polling },
      { label: "raw", value: (sample) => sample.rawWebSocket },
    ],
  },
  {
    title: "Events per second",
    lines: [
      { label: "out", value: (sample) => sample.eventsOut },
      { label: "in", value: (sample) => sample.eventsIn },
    ],
  },
  {
    title: "Bytes per second",
    lines: [
      { label: "out", value: (sample) => sample.bytesOut },
      { label: "in", value: (sample) => sample.bytesIn },
    ],
  },
  {
    title: "Bytes queued for clients",
    lines: [{ label: "queued", value: (sample) => sample.queued }],
  },
  {
    title: "Events skipped for slow readers",
    lines: [{ label: "skipped", value: (sample) => sample.notSent }],
  },
  {
    title: "Mean time of a handler, µs",
    lines: [{ label: "mean", value: (sample) => sample.handlerTime }],
  },
];

/** The time that the charts show, in seconds. */
const SHOWN = 180;
const HEIGHT = 92;
const MARGIN = { left: 38, right: 6, top: 8, bottom: 18 };
const SVG = "http://www.w3.org/2000/svg";
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** The charts in `container`, and their numbers in the body of `table`. */
export class Charts {
  #samples: Sample[] = [];
  #views: View[];

  constructor(container: HTMLElement, table: HTMLTableSectionElement) {
    this.#views = CHARTS.map((chart) => new View(chart, container, table));
    new ResizeObserver(() => this.#draw()).observe(container);
  }

  /** The server sends its last samples when the page connects. */
  begin(history: Sample[]): void {
    const [first, last] = [history[0]?.uptime ?? 0, history.at(-1)?.uptime ?? 0];
    const isRestarted = last < (this.#samples.at(-1)?.uptime ?? 0);
    const earlier = isRestarted ? [] : this.#samples.filter(({ uptime }) => uptime < first);
    this.#samples = [...earlier, ...history];
    this.#draw();
  }

  add(sample: Sample): void {
    this.#samples.push(sample);
    this.#draw();
  }

  #draw(): void {
    const now = this.#samples.at(-1)?.uptime ?? 0;
    this.#samples = this.#samples.filter(({ uptime }) => uptime > now - SHOWN);
    for (const view of this.#views) view.draw(this.#samples, now);
  }
}

/** One chart: a figure with a legend and an SVG, and the rows of the table. */
class View {
  #chart: Chart;
  #svg = svg("svg", { class: "plot", height: HEIGHT, role: "img" });
  #top = svg("text", { class: "axis", x: MARGIN.left - 6, y: MARGIN.top + 4, "text-anchor": "end" });
  #marks: { x: number; line: SVGElement; text: SVGElement }[] = [];
  #rules: SVGElement[];
  #paths: SVGElement[];
  #values: HTMLElement[];
  #cells: HTMLElement[][];

  constructor(chart: Chart, container: HTMLElement, table: HTMLTableSectionElement) {
    this.#chart = chart;
    const figure = html("figure", "chart");
    const caption = html("figcaption", "", chart.title);
    const legend = html("div", "values");
    this.#values = chart.lines.map(({ label }, index) => {
      const [entry, value] = [html("span", `value line-${index}`), html("b", "number", "–")];
      entry.append(`${label} `, value);
      legend.append(entry);
      return value;
    });
    caption.append(legend);
    this.#rules = [0, 0.5, 1].map((part) => {
      const y = MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * part;
      return svg("line", { class: "rule", x1: MARGIN.left, y1: y + 0.5, y2: y + 0.5 });
    });
    const zero = svg("text", { class: "axis", x: MARGIN.left - 6, y: HEIGHT - MARGIN.bottom + 4, "text-anchor": "end" });
    zero.textContent = "0";
    this.#marks = [180, 120, 60, 0].map((ago) => {
      const text = svg("text", { class: "axis", y: HEIGHT - 3, "text-anchor": ago === 0 ? "end" : "middle" });
      text.textContent = ago === 0 ? "now" : `−${ago / 60} min`;
      if (ago === SHOWN) text.setAttribute("text-anchor", "start");
      return { x: ago, text, line: svg("line", { class: "tick", y1: HEIGHT - MARGIN.bottom, y2: HEIGHT - MARGIN.bottom + 3 }) };
    });
    // The first line is drawn above the others.
    this.#paths = chart.lines.map((_, index) => svg("path", { class: `line line-${index}` }));
    const marks = this.#marks.flatMap(({ line, text }) => [line, text]);
    this.#svg.append(...this.#rules, zero, this.#top, ...marks, ...this.#paths.toReversed());
    figure.append(caption, this.#svg);
    container.append(figure);
    this.#cells = chart.lines.map(({ label }) => {
      const row = table.insertRow();
      const head = html("th", "", chart.lines.length > 1 ? `${chart.title}: ${label}` : chart.title);
      head.setAttribute("scope", "row");
      row.append(head);
      return ["now", "mean", "highest"].map(() => row.insertCell());
    });
  }

  draw(samples: Sample[], now: number): void {
    const width = this.#svg.clientWidth;
    const values = this.#chart.lines.map(({ value }) => samples.map(value));
    const numbers = values.flat().filter((value) => value !== null);
    const top = endOfAxis(Math.max(...numbers), 4);
    const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    const x = (ago: number) => MARGIN.left + inner.width * (1 - ago / SHOWN);
    const y = (value: number) => MARGIN.top + inner.height * (1 - value / top);
    setText(this.#top, compact.format(top));
    for (const rule of this.#rules) rule.setAttribute("x2", `${width - MARGIN.right}`);
    for (const { x: ago, line, text } of this.#marks) {
      text.setAttribute("x", `${x(ago)}`);
      for (const end of ["x1", "x2"]) line.setAttribute(end, `${Math.round(x(ago)) + 0.5}`);
    }
    values.forEach((list, index) => {
      let path = "";
      let isOpen = false;
      list.forEach((value, at) => {
        if (value !== null) path += `${isOpen ? "L" : "M"}${x(now - samples[at]!.uptime).toFixed(1)} ${y(value).toFixed(1)}`;
        isOpen = value !== null || isOpen;
      });
      this.#paths[index]!.setAttribute("d", path);
      const known = list.filter((value) => value !== null);
      const last = known.at(-1);
      const shown = (value: number | undefined) => (value === undefined ? "–" : compact.format(value));
      setText(this.#values[index]!, shown(last));
      const mean = known.length > 0 ? known.reduce((sum, value) => sum + value, 0) / known.length : undefined;
      const cells = [last, mean, known.length > 0 ? Math.max(...known) : undefined];
      cells.forEach((value, cell) => setText(this.#cells[index]![cell]!, shown(value)));
    });
    const text = this.#chart.lines.map(({ label }, index) => `${label} ${this.#values[index]!.textContent}`).join(", ");
    this.#svg.setAttribute("aria-label", `${this.#chart.title}, last three minutes. Now: ${text}.`);
  }
}

function svg(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, `${value}`);
  return element;
}

function html(name: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
