// A network and a clock that a test controls. The client under test runs as in a page.
import { mock } from "node:test";

/** Lets the microtasks and the immediates of the client run. */
export async function settle() {
  for (let turn = 0; turn < 5; turn++) await new Promise((done) => setImmediate(done));
}

/** A request of the client that has no response yet. */
class Request {
  constructor(url, init) {
    this.url = new URL(url);
    this.method = init.method;
    this.body = init.body;
    this.init = init;
    this.response = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    init.signal?.addEventListener("abort", () => {
      this.aborted = true;
      this.reject(init.signal.reason);
    });
  }

  /** Responds with packets, or with a status that is an error. */
  async answer(...packets) {
    const [status] = packets;
    const failed = typeof status === "number";
    this.resolve(new Response(failed ? "" : packets.join("\x1e"), { status: failed ? status : 200 }));
    await settle();
  }

  async fail() {
    this.reject(new TypeError("no network"));
    await settle();
  }
}

/** A WebSocket that the test opens and closes. */
class FakeWebSocket {
  sent = [];

  constructor(url, protocols) {
    this.url = new URL(url);
    this.protocols = protocols;
    network.sockets.push(this);
  }

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.closed = true;
  }

  async open() {
    this.onopen?.();
    await settle();
  }

  async receive(...messages) {
    for (const data of messages) this.onmessage?.({ data });
    await settle();
  }

  async end() {
    this.onclose?.({ code: 1006 });
    await settle();
  }

  async fail() {
    this.onerror?.({ type: "error" });
    this.onclose?.({ code: 1006 });
    await settle();
  }
}

export const network = { requests: [], sockets: [] };

/** The next request of a method. Removes it from the list. */
export function request(method) {
  const index = network.requests.findIndex((request) => request.method === method);
  if (index < 0) throw new Error(`no ${method}`);
  return network.requests.splice(index, 1)[0];
}

/** Replaces the network and the clock of the process. Returns a function that undoes this. */
export function fakeBrowser() {
  const before = Object.fromEntries(["fetch", "WebSocket", "addEventListener", "removeEventListener"].map((name) => [name, globalThis[name]]));
  network.requests.length = network.sockets.length = 0;
  const page = new EventTarget();
  Object.assign(globalThis, {
    fetch(url, init) {
      const request = new Request(url, init);
      network.requests.push(request);
      return request.response;
    },
    WebSocket: FakeWebSocket,
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
  });
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  return {
    dispatch: async (event, members) => {
      page.dispatchEvent(Object.assign(new Event(event), members));
      await settle();
    },
    /** Lets time pass, as in a page that runs. */
    async pass(milliseconds) {
      mock.timers.tick(milliseconds);
      await settle();
    },
    /** Lets time pass while the page is suspended: no timer fires in time. */
    suspend(milliseconds) {
      mock.timers.setTime(Date.now() + milliseconds);
    },
    restore() {
      mock.timers.reset();
      Object.assign(globalThis, before);
    },
  };
}

/** The open packet of a session. */
export const OPEN = (members) =>
  `0${JSON.stringify({ sid: "session", upgrades: [], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 100, ...members })}`;
