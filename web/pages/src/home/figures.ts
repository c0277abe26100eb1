// The figures of the server: what they mean, and how they are written.

import type { Sample } from "../shared/figures.js";

export interface Figure {
  value: (sample: Sample) => number | null;
  text: (value: number | null) => string;
  detail: (sample: Sample) => string;
}

/** The figures, by the name of their element in the page. */
export const FIGURES: Record<string, Figure> = {
  connections: {
    value: ({ polling, webSocket, rawWebSocket }) => polling + webSocket + rawWebSocket,
    text: count,
    detail: ({ polling, webSocket, rawWebSocket }) =>
      `${count(webSocket)} WebSocket, ${count(polling)} polling, ${count(rawWebSocket)} raw`,
  },
  eventsIn: {
    value: ({ eventsIn }) => eventsIn,
    text: perSecond,
    detail: ({ bytesIn }) => `${bytes(bytesIn)}/s`,
  },
  eventsOut: {
    value: ({ eventsOut }) => eventsOut,
    text: perSecond,
    detail: ({ bytesOut, notSent }) => `${bytes(bytesOut)}/s${notSent ? `, ${count(notSent)} not sent` : ""}`,
  },
  handlerTime: {
    value: ({ handlerTime }) => handlerTime,
    text: microseconds,
    detail: ({ failures }) => `mean, ${failures === 0 ? "none failed" : `${count(failures)} failed`}`,
  },
  rooms: {
    value: ({ rooms }) => rooms,
    text: count,
    detail: ({ sockets }) => `${count(sockets)} ${sockets === 1 ? "socket" : "sockets"} in all namespaces`,
  },
  memory: {
    value: ({ memory }) => memory,
    text: bytes,
    detail: () => "resident, of the whole process",
  },
};

function count(value: number | null): string {
  return value === null ? "–" : value.toLocaleString("en");
}

function perSecond(value: number | null): string {
  if (value === null) return "–";
  return `${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })} /s`;
}

function microseconds(value: number | null): string {
  if (value === null) return "–";
  return value < 1_000 ? `${value.toFixed(value < 10 ? 1 : 0)} µs` : `${(value / 1_000).toFixed(1)} ms`;
}

export function bytes(value: number | null): string {
  if (value === null) return "–";
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  for (; value >= 1_000 && unit < units.length - 1; unit++) value /= 1_000;
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

export function uptime(seconds: number): string {
  const [days, hours, minutes] = [seconds / 86_400, (seconds / 3_600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}
