// The orders, the couriers and the followed order as text: buttons for the keyboard, sentences for screen readers.

import { byId, setText } from "../shared/dom.js";
import type { Order, Overview, Place, Point, Progress } from "./tracking.js";

export interface ListEvents {
  onFollow: (order: number | undefined) => void;
  onFollowCourier: (courier: number) => void;
  onPlace: (to: { place: number } | { x: number; y: number }) => void;
}

const STATES: Record<Order["state"], string> = {
  waiting: "waits for a courier",
  collecting: "collects it",
  delivering: "is on the way",
  delivered: "has delivered it",
};
/** The height of a row of the list of orders, in rem. */
const ROW = 3.25;
/** The value of the choice for a place on the map. */
const ON_MAP = "map";

interface Row {
  item: HTMLLIElement;
  button: HTMLButtonElement;
  title: HTMLElement;
  state: HTMLElement;
}

export class Lists {
  #events: ListEvents;
  #couriers: string[] = [];
  #courierRows: Row[] = [];
  #orderRows = new Map<number, Row>();
  #own = new Set<number>();
  #followed: Order | undefined;
  #point: Point | undefined;
  #read = 0;
  #skipped = 0;
  #orderList = byId<HTMLUListElement>("orders");
  #select = byId<HTMLSelectElement>("to");
  #button = byId<HTMLButtonElement>("order");

  constructor(events: ListEvents) {
    this.#events = events;
    byId("unfollow").addEventListener("click", () => events.onFollow(undefined));
    this.#select.addEventListener("change", () => {
      this.#button.disabled = this.#select.value === "";
    });
    byId("place").addEventListener("submit", (event) => {
      event.preventDefault();
      const { value } = this.#select;
      if (value === ON_MAP && this.#point) events.onPlace({ x: this.#point[0], y: this.#point[1] });
      else if (value !== "" && value !== ON_MAP) events.onPlace({ place: Number(value) });
    });
  }

  /** Says what has happened. Screen readers read it. */
  say(text: string): void {
    setText(byId("news"), text);
  }

  begin(places: Place[], couriers: string[]): void {
    this.#couriers = couriers;
    const { value } = this.#select;
    while (this.#select.options.length > 1) this.#select.remove(1);
    places.forEach(({ name }, index) => this.#select.add(new Option(name, `${index}`)));
    if (this.#point) this.#select.add(new Option("The place on the map", ON_MAP));
    this.#select.value = value;
    if (this.#courierRows.length > 0) return;
    couriers.forEach((name, index) => {
      const row = makeRow(() => this.#events.onFollowCourier(index));
      row.title.textContent = name;
      row.item.dataset.courier = `${index}`;
      this.#courierRows.push(row);
      byId("couriers").append(row.item);
    });
  }

  /** A place on the map was chosen: the form offers it. */
  choosePoint(at: Point): void {
    this.#point = at;
    if (![...this.#select.options].some(({ value }) => value === ON_MAP)) {
      this.#select.add(new Option("The place on the map", ON_MAP));
    }
    this.#select.value = ON_MAP;
    this.#button.disabled = false;
    this.say("A place on the map is chosen. Press Order to place the order.");
  }

  /** The server has accepted an order of this page. */
  placed(id: number): void {
    this.#own.add(id);
    this.#point = undefined;
    [...this.#select.options].find(({ value }) => value === ON_MAP)?.remove();
    this.#select.value = "";
    this.#button.disabled = true;
    this.say(`Order ${id} is placed.`);
  }

  showOrders(orders: Order[], followed: number | undefined): void {
    const ids = new Set(orders.map(({ id }) => id));
    for (const [id, row] of this.#orderRows) {
      if (ids.has(id)) continue;
      row.item.remove();
      this.#orderRows.delete(id);
      this.#own.delete(id);
    }
    // The newest is the first. Rows are placed by `transform`, so that nothing of the page has to move.
    const sorted = orders.toSorted((a, b) => b.id - a.id);
    sorted.forEach((order, index) => {
      const row = this.#orderRows.get(order.id) ?? this.#addOrder(order.id);
      setText(row.title, `${order.id} · ${order.to}`);
      setText(row.state, `${this.#stateOf(order)} · ${order.from}`);
      row.item.dataset.state = order.state;
      [row.item.dataset.x, row.item.dataset.y] = order.at.map(String);
      row.item.classList.toggle("own", this.#own.has(order.id));
      row.item.style.transform = `translateY(${index * ROW}rem)`;
      row.button.setAttribute("aria-pressed", `${order.id === followed}`);
    });
    this.#orderList.style.height = `${sorted.length * ROW}rem`;
    this.#showCouriers(orders, followed);
    this.#showFollowed(orders.find(({ id }) => id === followed));
  }

  #addOrder(id: number): Row {
    const row = makeRow(() => {
      this.#events.onFollow(row.button.getAttribute("aria-pressed") === "true" ? undefined : id);
    });
    row.item.dataset.order = `${id}`;
    this.#orderRows.set(id, row);
    // Ids grow, but a list that was recovered may bring an older one.
    const next = [...this.#orderRows].filter(([other]) => other < id).sort(([a], [b]) => b - a)[0];
    this.#orderList.insertBefore(row.item, next?.[1].item ?? null);
    return row;
  }

  #showCouriers(orders: Order[], followed: number | undefined): void {
    this.#courierRows.forEach((row, index) => {
      const order = orders.find(({ courier, state }) => courier === index && state !== "delivered");
      setText(row.state, order ? `#${order.id}` : "free");
      row.item.dataset.state = order?.state ?? "idle";
      row.button.setAttribute("aria-pressed", `${order !== undefined && order.id === followed}`);
    });
  }

  #showFollowed(order: Order | undefined): void {
    const before = this.#followed;
    this.#followed = order;
    byId<HTMLButtonElement>("unfollow").disabled = order === undefined;
    setText(byId("followed-title"), order ? `Following order ${order.id}` : "No order followed");
    setText(
      byId("followed-way"),
      order ? `${order.from} → ${order.to}` : "Choose an order in the list, or a courier on the map.",
    );
    const progress = byId<HTMLProgressElement>("followed-progress");
    if (order?.state === "delivered") progress.value = 1;
    else if (order?.id !== before?.id) progress.value = 0;
    if (!order) setText(byId("followed-state"), "\u00a0");
    else if (order.state !== before?.state || order.id !== before.id) {
      setText(byId("followed-state"), this.#stateOf(order));
    }
  }

  #stateOf({ state, courier }: Order): string {
    return courier === null ? STATES[state] : `${this.#couriers[courier]} ${STATES[state]}`;
  }

  showProgress({ order, courier, progress, arrivesIn }: Progress): void {
    if (order !== this.#followed?.id || this.#followed.state === "delivered") return;
    byId<HTMLProgressElement>("followed-progress").value = progress;
    const at = new Date(Date.now() + arrivesIn * 1_000).toLocaleTimeString();
    setText(byId("followed-state"), `${this.#couriers[courier]} arrives in ${arrivesIn} s, at ${at}`);
  }

  showOverview(couriers: Overview["couriers"], skipped: number): void {
    this.#read++;
    this.#skipped += skipped;
    setText(byId("read"), `${this.#read}`);
    setText(byId("skipped"), `${this.#skipped}`);
    couriers.forEach((path, index) => {
      const { dataset } = this.#courierRows[index]?.item ?? {};
      if (dataset) [dataset.x, dataset.y] = path[path.length - 1]!.map(String);
    });
    const states = this.#courierRows.map(({ item }) => item.dataset.state);
    const count = (state: string) => states.filter((other) => other === state).length;
    setText(
      byId("summary"),
      `${couriers.length} couriers: ${count("delivering")} delivering, ` +
        `${count("collecting")} on the way to a kitchen, ${count("idle")} free.`,
    );
  }
}

function makeRow(onClick: () => void): Row {
  const [item, button] = [document.createElement("li"), document.createElement("button")];
  const [title, state] = [document.createElement("span"), document.createElement("span")];
  title.className = "title";
  state.className = "state small muted";
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", onClick);
  button.append(title, " ", state);
  item.append(button);
  return { item, button, title, state };
}
