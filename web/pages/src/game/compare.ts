// The comparison of both connections: a table, two charts, and what they mean.

import type { ConnectionStatus } from "../shared/connection.js";
import { byId, setText } from "../shared/dom.js";
import { coloursOf, endOfAxis } from "../shared/drawing.js";
import type { Connection, Kind } from "./connections.js";
import { CHART, type Figures } from "./meter.js";

const PINGS_PER_SECOND = 4;
const KINDS: Kind[] = ["raw", "socketio"];
const NONE = "–";
const COLOURS = ["raw", "socketio", "muted", "line"] as const;
type Colours = Record<(typeof COLOURS)[number], string>;

type Row = [label: string, text: (figures: Figures, connection: Connection) => string];

const ROWS: Row[] = [
  ["Round trip now", ({ now }) => milliseconds(now)],
  ["Median of 10 s", ({ median }) => milliseconds(median)],
  ["95th percentile", ({ p95 }) => milliseconds(p95)],
  ["Bytes/s up", ({ bytesUp }) => whole(bytesUp)],
  ["Bytes/s down", ({ bytesDown }) => whole(bytesDown)],
  ["Messages/s up / down", ({ messagesUp, messagesDown }) => `${whole(messagesUp)} / ${whole(messagesDown)}`],
  ["One input", (_, { meter }) => bytes(meter.cost.input)],
  ["One state", (_, { meter }) => bytes(meter.cost.state)],
  ["One ping / answer", (_, { meter: { cost } }) => `${cost.ping ?? NONE} / ${cost.pong ?? NONE} B`],
];

export interface Comparison {
  steeredBy(kind: Kind): void;
}

/** Measures both connections from now on, and shows the figures twice in a second. */
export function showComparison(
  connections: Record<Kind, Connection>,
  boats: () => number,
  status: ConnectionStatus,
): Comparison {
  const body = byId("figures");
  const cells = ROWS.map(([label]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = label;
    const values = KINDS.map((kind) => {
      const cell = document.createElement("td");
      cell.className = "number";
      cell.dataset.kind = kind;
      cell.textContent = NONE;
      return cell;
    });
    row.append(head, ...values);
    body.append(row);
    return { head, values };
  });
  const charts = {
    time: byId<HTMLCanvasElement>("chart-time"),
    bytes: byId<HTMLCanvasElement>("chart-bytes"),
  };
  const conclusion = byId("conclusion");

  let colours = coloursOf(charts.time, COLOURS);
  document.addEventListener("themechange", () => (colours = coloursOf(charts.time, COLOURS)));

  setInterval(() => KINDS.forEach((kind) => connections[kind].ping()), 1_000 / PINGS_PER_SECOND);
  setInterval(() => {
    const figures = { raw: connections.raw.meter.figures(), socketio: connections.socketio.meter.figures() };
    for (const [index, [, text]] of ROWS.entries()) {
      for (const [column, kind] of KINDS.entries()) {
        const { isConnected } = connections[kind];
        setText(cells[index]!.values[column]!, isConnected ? text(figures[kind], connections[kind]) : NONE);
      }
    }
    setText(cells[7]!.head, `One state, ${boats()} boats`);
    setText(conclusion, conclude(figures, connections));
    const { now } = figures.socketio;
    if (now !== undefined && connections.socketio.isConnected) status.roundTrip(now);
    const time = performance.now();
    const lines = (of: (connection: Connection) => { time: number; value: number }[]) =>
      KINDS.map((kind) => ({ kind, samples: of(connections[kind]) }));
    drawChart(charts.time, lines(({ meter }) => meter.roundTrips), time, colours, (value) => `${value} ms`);
    drawChart(charts.bytes, lines(({ meter }) => meter.bytesDownPerSecond()), time, colours, (value) => `${value} B/s`);
  }, 500);

  return {
    steeredBy(kind) {
      for (const label of document.querySelectorAll<HTMLElement>("[data-role]")) {
        label.textContent = label.dataset.role === kind ? "steers" : "measured only";
      }
    },
  };
}

/** One sentence about what was measured. */
function conclude(figures: Record<Kind, Figures>, { raw, socketio }: Record<Kind, Connection>): string {
  if (!socketio.isConnected) return raw.isConnected ? "Socket.IO is connecting again." : "Both connections are being opened.";
  if (!raw.isConnected) {
    return socketio.meter.isPolling
      ? "No WebSocket gets through here: Socket.IO plays on over polling, and the raw WebSocket cannot connect."
      : "The raw WebSocket is not connected. Socket.IO is.";
  }
  const [one, other] = [figures.raw, figures.socketio];
  if (one.median === undefined || other.median === undefined || one.bytesDown === 0) return "Measuring …";
  const ratio = (other.bytesDown + other.bytesUp) / (one.bytesDown + one.bytesUp);
  const difference = other.median - one.median;
  const spread = Math.max((one.p95 ?? 0) - one.median, (other.p95 ?? 0) - other.median);
  const felt =
    Math.abs(difference) < 2 ? "less than a player can feel"
      : Math.abs(difference) < spread ? "less than each varies by itself"
        : difference > 0 ? "in favour of the raw WebSocket" : "in favour of Socket.IO";
  return (
    `As JSON over Socket.IO, the same game takes ${ratio.toFixed(1)} times the bytes of its binary protocol, ` +
    `and the median round trip differs by ${Math.abs(difference).toFixed(1)} ms, ${felt}.`
  );
}

function drawChart(
  canvas: HTMLCanvasElement,
  lines: { kind: Kind; samples: { time: number; value: number }[] }[],
  now: number,
  colours: Colours,
  label: (value: number) => string,
): void {
  const density = Math.min(devicePixelRatio, 2);
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * density)) canvas.width = Math.round(width * density);
  if (canvas.height !== Math.round(height * density)) canvas.height = Math.round(height * density);
  const context = canvas.getContext("2d")!;
  context.setTransform(density, 0, 0, density, 0, 0);
  context.clearRect(0, 0, width, height);
  const top = endOfAxis(Math.max(...lines.flatMap(({ samples }) => samples.map(({ value }) => value))), 1);
  const y = (value: number) => height - 4 - (value / top) * (height - 24);
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = colours.muted;
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  for (const value of [0, top / 2, top]) {
    context.beginPath();
    context.moveTo(0, Math.round(y(value)) + 0.5);
    context.lineTo(width, Math.round(y(value)) + 0.5);
    context.stroke();
    if (value > 0) context.fillText(label(value), 0, y(value) - 4);
  }
  for (const { kind, samples } of lines) {
    context.strokeStyle = colours[kind];
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.setLineDash(kind === "raw" ? [] : [5, 3]);
    context.beginPath();
    for (const { time, value } of samples) {
      context.lineTo(width - ((now - time) / (CHART * 1_000)) * width, y(value));
    }
    context.stroke();
    context.setLineDash([]);
  }
}

/** The next of 1, 2, 5, 10, 20, … */
const milliseconds = (value: number | undefined) => (value === undefined ? NONE : `${value.toFixed(1)} ms`);
const whole = (value: number) => Math.round(value).toLocaleString("en");
const bytes = (value: number | undefined) => (value === undefined ? NONE : `${value} B`);
