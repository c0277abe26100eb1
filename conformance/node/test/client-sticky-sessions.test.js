// Tidewire's client of Socket.IO behind HAProxy, which selects one of two processes by a cookie.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { replaced, snippet } from "../support/deployment.js";
import { haproxy, startSite } from "../support/proxies.js";
import { clientsForTests, transportOptions } from "../support/socketio-client.js";
import { TRANSPORTS, serverForTests } from "../support/suite.js";

const proxy = {
  ...haproxy,
  several: (site) => replaced(site, /^ +server .*\n/gm, snippet("haproxy", "Several processes, with a cookie")),
};
const withoutTls = (site) => replaced(site, / ssl crt \S+ alpn \S+/g, "");

describe("our client of Socket.IO behind HAProxy with a sticky cookie", () => {
  const site = serverForTests(startSite, { proxy, edit: withoutTls, count: 2 });
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

  it("cannot connect over polling without cookies, because its requests reach both processes", async () => {
    const settings = { ...transportOptions("polling"), withCredentials: false, reconnectionDelay: 10 };
    const started = client(url(), settings);
    await started.next("reconnect_attempt");
    assert.ok(started.said.every((line) => !("connect" in line)));
  });
});
