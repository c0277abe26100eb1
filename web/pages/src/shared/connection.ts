// `<connection-status>`: shows what a connection does. Transport, upgrade, round trip, reconnects, and whether the last
// reconnect has recovered the session.

import type { Socket } from "@tidewire/client";

/** The time between two measurements of the round trip, in milliseconds. */
const ROUND_TRIP_INTERVAL = 2_000;

type State = "connecting" | "connected" | "disconnected";

const STATES: Record<State, string> = {
  connecting: "connecting …",
  connected: "connected",
  disconnected: "disconnected",
};

export class ConnectionStatus extends HTMLElement {
  #fields = new Map<string, HTMLElement>();
  #reconnects = 0;
  #connected = false;

  connectedCallback(): void {
    if (this.#fields.size > 0) return;
    const state = document.createElement("span");
    state.className = "state";
    state.setAttribute("role", "status");
    const list = document.createElement("dl");
    for (const name of ["transport", "round trip", "reconnects", "last session"]) {
      const row = document.createElement("div");
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      value.textContent = "–";
      value.dataset.field = name;
      row.append(term, value);
      list.append(row);
      this.#fields.set(name, value);
    }
    this.append(state, list);
    this.#fields.set("state", state);
    this.show("connecting");
  }

  /**
   * Shows `socket`. If `measure` is true, the round trip is measured, and the server must acknowledge the event
   * `round-trip`. Otherwise the page may measure it and call `roundTrip`.
   */
  watch(socket: Socket<any, any>, { measure = true } = {}): void {
    const manager = socket.io;
    socket.on("connect", () => {
      if (this.#connected) this.#set("reconnects", `${++this.#reconnects}`);
      else this.#set("reconnects", "0");
      this.#set("last session", this.#connected ? (socket.recovered ? "recovered" : "new") : "first");
      this.#connected = true;
      this.show("connected");
      const { engine } = manager;
      this.#set("transport", engine.transport.name);
      engine.on("upgrade", (transport: { name: string }) => this.#set("transport", transport.name));
      if (measure) void this.#measure(socket);
    });
    socket.on("disconnect", (reason) => {
      this.show(socket.active ? "connecting" : "disconnected", reason);
      this.#set("transport", "–");
      this.#set("round trip", "–");
    });
    socket.on("connect_error", (error) => this.show(socket.active ? "connecting" : "disconnected", error.message));
  }

  /** Shows a round trip, in milliseconds. */
  roundTrip(time: number): void {
    this.#set("round trip", `${time.toFixed(time < 10 ? 1 : 0)} ms`);
  }

  async #measure(socket: Socket<any, any>): Promise<void> {
    const { id } = socket;
    while (socket.connected && socket.id === id) {
      const start = performance.now();
      try {
        await socket.timeout(ROUND_TRIP_INTERVAL * 2).emitWithAck("round-trip");
        this.roundTrip(performance.now() - start);
      } catch {
        return; // The connection is lost, and the next `connect` measures again.
      }
      await new Promise((resolve) => setTimeout(resolve, ROUND_TRIP_INTERVAL));
    }
  }

  #set(field: string, value: string): void {
    const element = this.#fields.get(field);
    if (element && element.textContent !== value) element.textContent = value;
  }

  /** Shows a state. `watch` does this for a socket. */
  show(state: State, why = "", transport?: string): void {
    if (transport) this.#set("transport", transport);
    this.dataset.state = state;
    this.title = why;
    this.#set("state", STATES[state]);
  }
}

customElements.define("connection-status", ConnectionStatus);

/** Returns the status of this page, which shows `socket` from now on. */
export function showConnection(socket: Socket<any, any>, options: { measure?: boolean } = {}): ConnectionStatus {
  const status = document.querySelector<ConnectionStatus>("connection-status");
  if (!status) throw new Error("the page has no <connection-status>");
  status.watch(socket, options);
  return status;
}
