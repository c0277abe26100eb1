// Three servers behind HAProxy, which selects them by a cookie, as docs/deployment.md and the documentation of Socket.IO say.
import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { io } from "socket.io-client";
import { replaced, snippet } from "../../node/support/deployment.js";
import { haproxy, startSite } from "../../node/support/proxies.js";
import { Engine } from "../support/engines.js";
import { Journal } from "../support/journal.js";
import { Member, until } from "../support/members.js";

const CLIENTS = 9;

/** The snippet for several processes with a cookie, and a third process. */
const withCookie = {
  ...haproxy,
  several(site) {
    const third = "    server three 127.0.0.1:3002 check cookie three\n";
    return replaced(site, /^ +server .*\n/gm, snippet("haproxy", "Several processes, with a cookie") + third);
  },
};

describe("three servers behind HAProxy with a cookie", () => {
  it("lets the clients of a killed server find another one, and loses no event of the others", async (t) => {
    const engine = await Engine.start("redis");
    const args = ["--engine", "redis", "--url", engine.url, "--requests-timeout", "2000"];
    const start = () => Member.start("tidewire", args);
    const site = await startSite({ proxy: withCookie, count: 3, start });
    const [victim, ...others] = site.servers;
    const journal = new Journal();
    let isSending = true;
    let doomed = new Set();
    const names = Array.from({ length: CLIENTS }, (_, index) => `client${index}`);
    // Each client counts as one of a server of its own, because it may change its server.
    const clients = names.map((name) => {
      const client = journal.add(name, name, ["all"]);
      const options = { forceNew: true, withCredentials: true, reconnectionDelay: 50, reconnectionDelayMax: 500, ...site.clientOptions };
      client.socket = io(site.url, { ...options, auth: { name, rooms: ["all"] } });
      client.socket.on("ready", (isLost) => journal.handleReady(client, isLost));
      client.socket.on("disconnect", () => journal.handleGone(client, doomed.has(name)));
      client.socket.on("said", (event) => journal.handleReceived(client, event));
      return client;
    });
    const send = (client) => {
      const event = journal.send(client, "all");
      client.socket.emit("say", "all", event);
      return event;
    };
    const progress = async (count) => {
      const goal = journal.sent + count;
      await until(`${count} events`, () => journal.sent >= goal);
    };
    try {
      await until("all clients", () => clients.every((client) => client.session), 30_000);
      const senders = clients.map(async (client) => {
        for (; isSending; await delay(5)) if (client.session) send(client);
      });
      const upgraded = () => clients.every(({ socket }) => socket.io.engine.transport.name === "websocket");
      await until("upgrades to WebSocket", upgraded);
      await progress(500);

      const onVictim = await victim.run("fetch", { flags: { local: true } });
      doomed = new Set(onVictim.map(({ data }) => data.name));
      assert.ok(doomed.size > 0 && doomed.size < CLIENTS, `HAProxy gave the first server ${doomed.size} clients`);
      await victim.kill();
      await until("the clients on other servers", () => clients.every((client) => client.session && !isOld(client)), 30_000);
      await progress(500);

      isSending = false;
      await Promise.all(senders);
      const last = clients.map(send);
      await until("the last events", () => clients.every((client) => last.every((event) => journal.has(client, event))));
      const { violations, missed } = journal.check();
      t.diagnostic(`sent ${journal.sent}, received ${journal.received}, missed ${JSON.stringify(missed)}`);
      assert.deepEqual(violations.slice(0, 10), []);
      const sockets = await others[0].run("fetch");
      assert.deepEqual(sockets.map(({ data }) => data.name).sort(), names);
    } finally {
      isSending = false;
      doomed = new Set(names); // they leave
      for (const { socket } of clients) socket.disconnect();
      site.servers.splice(site.servers.indexOf(victim), 1);
      await site.stop();
      await engine.remove();
    }

    /** Whether the client has not noticed yet that its server is gone. */
    function isOld(client) {
      return doomed.has(client.name) && client.absences.length === 1;
    }
  });
});
