// A cluster whose parts fail while its clients send and receive.
import { setTimeout as delay } from "node:timers/promises";
import { io } from "socket.io-client";
import { Engine } from "./engines.js";
import { Journal } from "./journal.js";
import { LinkRelay } from "./link-relay.js";
import { Member, until } from "./members.js";

const NODES = 3;
/** The rooms of the clients of each server. */
const CLIENTS = [["all", "even"], ["all", "odd"]];
/** How long a server waits for its database, in milliseconds. */
const LINK_TIMEOUT = 1_000;

export class Chaos {
  journal = new Journal();
  nodes = [];
  clients = [];
  #isSending = false;
  #senders;

  /** `engine` is the name of a database, `format` what `--engine` says to the servers, `random(n)` a random integer below n. */
  constructor({ engine, format, random }) {
    Object.assign(this, { engineName: engine, format, random });
  }

  async start() {
    this.engine = await Engine.start(this.engineName);
    for (let index = 0; index < NODES; index++) {
      const node = { index, relay: await LinkRelay.start(this.engine.url), listen: "127.0.0.1:0" };
      this.nodes.push(node);
      await this.#launch(node);
      node.listen = new URL(node.member.url).host;
      for (const [place, rooms] of CLIENTS.entries()) this.clients.push(this.#connect(node, `c${index}${place}`, rooms));
    }
    await this.settled();
    await this.#counted();
    this.#isSending = true;
    this.#senders = Promise.all(this.clients.map((client) => this.#sendAgainAndAgain(client)));
  }

  async #launch(node) {
    node.member = await Member.start("tidewire", [
      ...["--engine", this.format, "--url", node.relay.url, "--listen", node.listen],
      ...["--link-timeout", String(LINK_TIMEOUT), "--requests-timeout", "2000"],
      ...["--heartbeat-interval", "500", "--heartbeat-timeout", "2000"],
    ]);
    node.isKilled = false;
    node.member.onFailure = ({ event }) => event && this.journal.handleFailure(JSON.parse(event)[1]);
  }

  #connect(node, name, rooms) {
    const { journal } = this;
    const client = journal.add(name, node.index, rooms);
    client.socket = io(node.member.url, {
      ...{ transports: ["websocket"], forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 250 },
      auth: { name, rooms },
    });
    client.socket.on("ready", (isLost) => journal.handleReady(client, isLost));
    client.socket.on("link", (isLost) => journal.handleLink(client, isLost));
    client.socket.on("disconnect", () => journal.handleGone(client, node.isKilled || this.hasEnded));
    client.socket.on("said", (event) => journal.handleReceived(client, event));
    return client;
  }

  #send(client, room) {
    const event = this.journal.send(client, room);
    // Some go other ways: with bytes, or too long for a notification of PostgreSQL.
    const kind = this.random(20);
    if (kind === 0) event.padding = Buffer.alloc(this.random(100), 1);
    if (kind === 1) event.padding = "x".repeat(this.random(20_000));
    client.socket.emit("say", room, event);
    return event;
  }

  async #sendAgainAndAgain(client) {
    while (this.#isSending) {
      if (client.session) this.#send(client, ["all", "even", "odd"][this.random(3)]);
      await delay(this.random(20));
    }
  }

  /** Waits until the clients have sent this number of events. */
  async progress(count) {
    const goal = this.journal.sent + count;
    await until(`${count} events`, () => this.journal.sent >= goal);
  }

  #of = (nodes) => this.clients.filter((client) => nodes.some(({ index }) => index === client.node));

  /** Waits until all clients are connected, and their servers say that they have their links. */
  settled(nodes = this.nodes) {
    const { journal } = this;
    const isSettled = (client) => !journal.isAway(client) && !journal.isCut(client);
    return until("all links", () => this.#of(nodes).every(isSettled), 30_000);
  }

  #counted = () =>
    until(`${NODES} servers`, async () => {
      const counts = await Promise.all(this.nodes.map(({ member }) => member.run("servers")));
      return counts.every((count) => count === NODES);
    });

  /** Does something, waits until the clients of `nodes` know that the link is lost, and until it is back. */
  async #loses(nodes, action, repair = () => {}) {
    const outages = (client) => client.outages.length + client.absences.length;
    const before = new Map(this.#of(nodes).map((client) => [client, outages(client)]));
    await action();
    const knows = ([client, count]) => outages(client) > count || this.journal.isAway(client);
    await until("a lost link", () => [...before].every(knows));
    await repair();
    await this.settled(nodes);
  }

  /** What can happen. Each ends when the cluster is whole again. */
  faults = {
    restartDatabase: () =>
      this.#loses(this.nodes, () => this.engine.stop(), async () => {
        await this.progress(200);
        await this.engine.start();
      }),
    kill: async (node) => {
      node.isKilled = true;
      await node.member.kill();
      await until("disconnected clients", () => this.#of([node]).every(this.journal.isAway));
      await this.progress(200);
      await this.#launch(node);
      await this.settled([node]);
    },
    reset: (node) => this.#loses([node], () => node.relay.cut()),
    finish: (node) => this.#loses([node], () => node.relay.cut({ orderly: true })),
    refuse: (node) =>
      this.#loses([node], () => node.relay.refuse(), async () => {
        await this.progress(200);
        node.relay.accept();
      }),
    /** The network swallows everything, until the server notices it by itself. */
    swallow: (node) =>
      this.#loses([node], () => node.relay.stall(), () => {
        node.relay.cut();
        node.relay.resume();
      }),
    /** The network is slow. */
    stall: async (node) => {
      node.relay.stall();
      await this.progress(100);
      node.relay.resume();
      await this.settled([node]);
    },
  };

  /** All faults in a random order, some of them two at a time, on different servers. */
  async rage(report) {
    const left = this.#shuffled([...Object.keys(this.faults), "kill", "reset", "swallow", "restartDatabase"]);
    while (left.length > 0) {
      // There is only one database to restart.
      const names = [...new Set(left.splice(0, 1 + this.random(2)))];
      const targets = this.#shuffled(this.nodes);
      const said = (name, index) => (name === "restartDatabase" ? name : `${name} server ${targets[index].index}`);
      report(names.map(said).join(", "));
      await Promise.all(names.map((name, index) => this.faults[name](targets[index])));
      await this.settled();
    }
  }

  #shuffled(values) {
    const left = [...values];
    return values.map(() => left.splice(this.random(left.length), 1)[0]);
  }

  /** Waits until what is sent now has reached everybody, in one attempt. */
  async reachesEverybody() {
    this.#isSending = false;
    await this.#senders;
    const last = this.clients.map((client) => this.#send(client, "all"));
    const missingOf = (client) =>
      last.filter((event) => !this.journal.has(client, event)).map(({ session }) => `${session} to ${client.name}`);
    const missing = () => this.clients.flatMap(missingOf);
    await until("the last events", () => missing().length === 0).catch((error) => {
      throw new Error(`${error.message}: ${missing()}`);
    });
    await this.#counted();
  }

  /** Ends the servers in order. */
  async stop() {
    this.hasEnded = true;
    for (const { socket } of this.clients) socket.disconnect();
    await Promise.all(this.nodes.map(({ member }) => member.stop()));
  }

  /** Ends what is left, also after a failure. */
  async abandon() {
    this.#isSending = false;
    this.hasEnded = true;
    for (const { socket } of this.clients) socket.disconnect();
    for (const { member, relay } of this.nodes) {
      member?.signal("SIGKILL");
      relay.stop();
    }
    await this.engine?.remove();
  }
}
