// Tidewire's client of Socket.IO behind HAProxy, which selects one of two processes by a cookie.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { replaced, snippet } from "../support/deployment.js";
import { CuttingRelay } from "../support/cutting-relay.js";
import { haproxy, startSite } from "../support/proxies.js";
import { clientsForTests, transportOptions } from "../support/socketio-client.js";
import { TRANSPORTS, ours, serverForTests } from "../support/suite.js";

const proxy = {
  ...haproxy,
  several: (site) => replaced(site, /^ +server .*\n/gm, snippet("haproxy", "Several processes, with a cookie")),
};
const withoutTls = (site) => replaced(site, / ssl crt \S+ alpn \S+/g, "");

describe("our client of Socket.IO behind HAProxy with a sticky cookie", () => {
  const args = ["--connection-state-recovery", "60000"];
  const site = serverForTests(startSite, { proxy, edit: withoutTls, count: 2, args });
  const { client } = clientsForTests();
  const url = () => site.url.replace("https:", "http:");

  for (const transport of TRANSPORTS) {
    it(`stays with its process over ${transport}, and so do its reconnections`, async () => {
      const settings = { ...transportOptions(transport), withCredentials: true, reconnectionDelay: 10 };
      const clients = [1, 2, 3, 4].map(() => client(url(), settings));
      for (const started of clients) {
        await started.next("connect");
        for (const number of [1, 2, 3, 4, 5]) {
          started.does({ ask: ["echo-ack", number], timeout: 5_000 });
          assert.deepEqual(await started.next("answer"), [number]);
        }
        started.does({ emit: ["kick-all"] });
        assert.equal(await started.next("disconnect"), "io server disconnect");
        started.does({ connect: true });
        await started.next("connect");
        started.does({ ask: ["echo-ack", "again"], timeout: 5_000 });
        assert.deepEqual(await started.next("answer"), ["again"]);
      }
    });
  }

  for (const transport of TRANSPORTS) {
    ours(`reaches its process again after its connection over ${transport} breaks, and recovers`, async () => {
      const settings = { ...transportOptions(transport), withCredentials: true, reconnectionDelay: 10 };
      // They start on both processes in turn.
      for (const _ of [1, 2]) {
        const relay = await CuttingRelay.start(url());
        try {
          const started = client(relay.url, settings);
          const { id } = await started.next("connect");
          for (const cut of [1, 2, 3]) {
            started.does({ emit: ["echo", cut] });
            assert.equal((await started.event())[1], cut);
            // Until it is disconnected, no request succeeds. It would not notice a cut between two polls.
            relay.close();
            await started.next("disconnect");
            relay.open();
            // Another process would not know the session.
            assert.deepEqual(await started.next("connect"), { id, recovered: true });
          }
        } finally {
          relay.stop();
        }
      }
    });
  }

  it("cannot connect over polling without cookies, because its requests reach both processes", async () => {
    const settings = { ...transportOptions("polling"), withCredentials: false, reconnectionDelay: 10 };
    const started = client(url(), settings);
    await started.next("reconnect_attempt");
    assert.ok(started.said.every((line) => !("connect" in line)));
  });
});
