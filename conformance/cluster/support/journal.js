// What the clients of a cluster have sent, received and been told, and whether it fits together. All clients are in this process,
// so a counter orders everything that they do: it is the time here.

export class Journal {
  #now = 0;
  #violations = [];
  /** Every connection of a client: what it has sent on it. */
  #sessions = [];
  #clients = new Map();
  #failures = new Set();
  sent = 0;
  received = 0;

  #tick() {
    return (this.#now += 1);
  }

  /** A client of the server `node` that is in `rooms` while it is connected. */
  add(name, node, rooms) {
    const absent = { from: 0, to: Infinity };
    // Times in which the client was not connected, and those in which its server had reported that it had no link.
    const client = { name, node, rooms, absences: [absent], outages: [], received: new Map() };
    this.#clients.set(name, client);
    return client;
  }

  isAway = (client) => client.absences.at(-1)?.to === Infinity;
  isCut = (client) => client.outages.at(-1)?.to === Infinity;

  /** The client is in its rooms. Its server says whether it has lost its link. */
  handleReady(client, isLost = false) {
    const at = this.#tick();
    client.absences.at(-1).to = at;
    client.session = { client, number: this.#sessions.length, from: at, events: [], isKilled: false };
    this.#sessions.push(client.session);
    this.#setLost(client, isLost, at);
  }

  handleLink(client, isLost) {
    this.#setLost(client, isLost, this.#tick());
  }

  #setLost(client, isLost, at) {
    if (isLost === this.isCut(client)) return;
    if (isLost) client.outages.push({ from: at, to: Infinity });
    else client.outages.at(-1).to = at;
  }

  /** The server of the client was killed. Nothing else may end a connection. */
  handleGone(client, wasKilled) {
    const at = this.#tick();
    if (!wasKilled) this.#violations.push(`${client.name} was disconnected`);
    if (this.isCut(client)) client.outages.at(-1).to = at;
    if (!this.isAway(client)) client.absences.push({ from: at, to: Infinity });
    if (client.session) client.session.isKilled = true;
    client.session = undefined;
  }

  /** Returns the identity of the next event. */
  send(client, room) {
    const { session } = client;
    const number = session.events.length;
    session.events.push({ room, at: this.#tick() });
    this.sent += 1;
    return { session: session.number, number };
  }

  handleReceived(client, { session, number }) {
    const events = client.received.get(session) ?? [];
    client.received.set(session, events);
    const last = events.at(-1)?.number ?? -1;
    if (number === last) this.#violations.push(`${client.name} received ${session}/${number} twice`);
    else if (number < last) this.#violations.push(`${client.name} received ${session}/${number} after ${session}/${last}`);
    events.push({ number, at: this.#tick() });
    this.received += 1;
  }

  has(client, { session, number }) {
    return client.received.get(session)?.some((event) => event.number === number) ?? false;
  }

  /** A server has reported that others may not get an event. */
  handleFailure({ session, number }) {
    this.#failures.add(`${session}/${number}`);
  }

  /** Returns everything that must not happen, and the number of events that were missed, by reason. */
  check() {
    const violations = [...this.#violations];
    const missed = {};
    for (const session of this.#sessions) {
      const lastElsewhere = this.#lastElsewhere(session);
      for (const client of this.#clients.values()) {
        for (const { number, ...range } of this.#missing(session, client)) {
          const reason = this.#reason(session, client, number, range, lastElsewhere);
          missed[reason ?? "silence"] = (missed[reason ?? "silence"] ?? 0) + 1;
          if (reason) continue;
          const { name, node, outages, absences } = client;
          violations.push(
            `${name} of server ${node} missed ${session.number}/${number} of ${session.client.name} in silence: ` +
              JSON.stringify({ range, outages, absences }),
          );
        }
      }
    }
    return { violations, missed };
  }

  /** The number of the last event that a client of another server has received. */
  #lastElsewhere(session) {
    const others = [...this.#clients.values()].filter((client) => client.node !== session.client.node);
    return Math.max(-1, ...others.map((client) => client.received.get(session.number)?.at(-1)?.number ?? -1));
  }

  /** The events that a client has not received, each with the range of time in which it was lost. */
  *#missing(session, client) {
    const received = client.received.get(session.number) ?? [];
    const later = this.#sessions.filter((other) => other.client === session.client && other.number > session.number);
    const laterTimes = later.map((other) => client.received.get(other.number)?.[0]?.at ?? Infinity);
    const end = Math.min(Infinity, ...laterTimes);
    let before = 0; // the index of the next event in `received`
    for (const [number, { room, at }] of session.events.entries()) {
      while (before < received.length && received[before].number < number) before += 1;
      if (received[before]?.number === number || !client.rooms.includes(room)) continue;
      yield { number, from: Math.max(at, received[before - 1]?.at ?? 0), to: received[before]?.at ?? end };
    }
  }

  /** Why an event was missed. `undefined` if nobody has said so. */
  #reason(session, client, number, range, lastElsewhere) {
    const overlaps = ({ from, to }) => from < range.to && to > range.from;
    if (client.absences.some(overlaps)) return "the receiver was away";
    if (client.node === session.client.node) return undefined;
    if (client.outages.some(overlaps)) return "the receiver's server had reported a lost link";
    if (this.#failures.has(`${session.number}/${number}`)) return "the sender's server had reported the event";
    // Its order is kept, so what it had sent before has arrived.
    if (session.isKilled && number > lastElsewhere) return "the sender's server was killed";
    return undefined;
  }
}
