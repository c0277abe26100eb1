// Clients whose connections break, and the program on the server that sends events to them. All of them are in the
// namespace `/recovery` of the conformance server.
import { after, afterEach, before } from "node:test";
import { io } from "socket.io-client";
import { CuttingRelay } from "./cutting-relay.js";
import { startConformanceServer } from "./server.js";
import { acknowledged } from "./suite.js";
import { next, nextWhere, within } from "./wait.js";

/** Starts a server with connection state recovery that runs as long as the enclosing `describe`. */
export function recoveryForTests({ duration = 60_000, args = [], parser } = {}) {
  const context = new Context(parser);
  before(async () => {
    const all = ["--connection-state-recovery", String(duration), ...args];
    if (parser) all.push("--parser", "messagepack");
    context.server = await startConformanceServer({ args: all });
  });
  afterEach(() => context.disconnectAll());
  after(() => context.server?.stop());
  return context;
}

class Context {
  #parser;
  #open = [];

  constructor(parser) {
    this.#parser = parser;
  }

  /** Connects a client without a relay, by which the test controls the program on the server, or on the server with this URL. */
  async program(url = this.server.url) {
    const socket = io(`${url}/recovery`, { ...this.#options("websocket"), reconnection: false });
    this.#open.push(() => socket.disconnect());
    await next(socket, "connect");
    return new Program(socket);
  }

  /** Creates a client behind a relay of its own. */
  async client(transport, options) {
    const relay = await CuttingRelay.start(this.server.url);
    const client = new Client(relay, { ...this.#options(transport), ...options });
    this.#open.push(() => client.stop());
    return client;
  }

  /** Creates a client and waits until it has connected and finished its upgrade, if there is one. */
  async connect(transport, options) {
    const client = await this.client(transport, options);
    await client.connect();
    await client.settles();
    return client;
  }

  #options(transport) {
    return {
      transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
      forceNew: true,
      parser: this.#parser,
    };
  }

  disconnectAll() {
    for (const stop of this.#open.splice(0)) stop();
  }
}

/** The program on the server. */
class Program {
  constructor(socket) {
    this.socket = socket;
  }

  /** Sends the event `told`. `to` has `rooms`, `except` and `kind`, which is `volatile` or `ask`. */
  tell(data, to = {}) {
    return acknowledged(this.socket, "tell", { data, ...to });
  }

  /**
   * Changes the rooms of a socket: `change` has `join` or `leave`. If the socket is disconnected, waits until it is back, or until
   * `isGone` says that it never will be.
   */
  async move(id, { join, leave }, isGone = () => false) {
    while (!isGone()) {
      const [rooms] = await acknowledged(this.socket, "move", { socket: id, join, leave });
      if (join && rooms?.includes(join)) return;
      if (leave && rooms && !rooms.includes(leave)) return;
    }
  }

  /**
   * In a cluster: tells the clients of all servers, and waits until the event returns. Then all earlier events of this server are
   * delivered here.
   */
  async tellAndWait(data) {
    const told = nextWhere(this.socket, "told", (own) => own.event === data.event);
    await Promise.all([told, this.tell(data)]);
  }

  /** In a cluster: cuts or restores the link of the first server. */
  link(isUp) {
    return acknowledged(this.socket, "link", isUp);
  }

  /** Resolves when the server has noticed that this socket is disconnected. */
  gone(id) {
    return nextWhere(this.socket, "gone", (gone) => gone.id === id);
  }

  async middlewareRuns() {
    const [runs] = await acknowledged(this.socket, "middleware-runs");
    return runs;
  }
}

/** A client that connects again at once. */
class Client {
  /** The data of all events `told`, oldest first. */
  told = [];
  #upgrades;

  constructor(relay, options) {
    this.relay = relay;
    this.#upgrades = options.transports.length > 1;
    this.socket = io(`${relay.url}/recovery`, {
      autoConnect: false,
      reconnectionDelay: 1,
      reconnectionDelayMax: 10,
      randomizationFactor: 0,
      ...options,
    });
    this.socket.io.on("reconnect_attempt", () => this.#noticeClose());
    this.socket.on("told", (data, ...more) => {
      this.told.push(data);
      // An acknowledgement, if the program has asked for one. Otherwise, it is the offset.
      const answer = more.at(-1);
      if (typeof answer === "function") answer("yes");
    });
  }

  /** Connects for the first time. */
  async connect() {
    const connected = next(this.socket, "connect");
    this.socket.connect();
    this.#noticeClose();
    await connected;
  }

  /**
   * If a WebSocket opens and is closed before the open packet, the client waits for its `timeout`, 20 s. If it is closed while the
   * client pauses polling to upgrade, the client never polls again, and waits for its ping timeout, 45 s. This makes it try again
   * at once.
   */
  #noticeClose() {
    const manager = this.socket.io;
    setImmediate(() => {
      const { engine } = manager;
      engine.once("close", (reason) => {
        if (manager.engine === engine && manager._readyState === "opening") engine.emitReserved("error", new Error(reason));
      });
      engine.once("upgradeError", () => {
        if (engine.upgrading) engine._onClose("ping timeout");
      });
    });
  }

  /** Waits until the client has finished its upgrade, if there is one, or until the server has a GET of it. */
  async settles() {
    const { engine } = this.socket.io;
    if (this.#upgrades) {
      if (engine.transport.name !== "websocket") await next(engine, "upgrade");
      await acknowledged(this.socket, "recovered"); // now the server has finished the upgrade too
    } else if (engine.transport.name === "polling") {
      await within(8_000, "a GET", this.relay.poll());
    }
  }

  /** Waits until the client has been told this value. */
  async hasBeenTold(value) {
    const isTold = () => this.told.includes(value);
    if (!isTold()) await nextWhere(this.socket, "told", (data) => data === value);
  }

  /**
   * Breaks the connection. The client connects again after `meanwhile`, which starts when the server has noticed the
   * break. Returns whether the client has recovered its session.
   */
  async loseConnection(program, meanwhile = async () => {}) {
    const { id } = this.socket;
    const noticed = program.gone(id);
    const lost = next(this.socket, "disconnect");
    await this.settles();
    this.relay.close();
    await Promise.all([noticed, lost]);
    await meanwhile(id);
    return this.comesBack();
  }

  /**
   * Breaks the connection without notice: for the server, the client is connected. It connects again at once. Returns
   * whether it has recovered its session.
   */
  async loseConnectionUnnoticed(options) {
    const lost = next(this.socket, "disconnect");
    this.relay.cutUnnoticed(options);
    const [recovered] = await Promise.all([this.comesBack(), lost]);
    return recovered;
  }

  /** Lets the client connect again, and waits for it. Returns whether it has recovered its session. */
  async comesBack() {
    const connected = next(this.socket, "connect");
    this.relay.open();
    await connected;
    return this.socket.recovered === true;
  }

  stop() {
    this.socket.io.reconnection(false);
    this.socket.disconnect();
    this.socket.io._close();
    this.relay.stop();
  }
}
