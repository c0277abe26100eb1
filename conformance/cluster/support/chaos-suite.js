// Faults while clients send and receive. The faults and their order depend on a seed, which the report names. TIDEWIRE_SEED runs
// another one, TIDEWIRE_FULL=1 several.
import { describe, it } from "node:test";
import assert from "node:assert/strict";
import { randomNumbers } from "../../node/support/choppy-relay.js";
import { Chaos } from "./chaos.js";
import { until } from "./members.js";

const SEEDS = process.env.TIDEWIRE_SEED
  ? [Number(process.env.TIDEWIRE_SEED)]
  : process.env.TIDEWIRE_FULL === "1"
    ? [1, 2, 3, 4, 5]
    : [1];

/** Node's servers do not tell anybody that they have lost their link. */
const cannotReport = process.env.TIDEWIRE_REFERENCE === "1";

/** What a server may keep, in bytes: the allocator does not return everything. */
const MEMORY_SLACK = 16 * 1024 * 1024;

/** Defines the test of a format: `engine` is the name of the database, `format` what `--engine` says to the servers. */
export function chaosSuite(cluster) {
  describe(`a cluster over ${cluster.engine} in the format ${cluster.format}`, { skip: cannotReport }, () => {
    for (const seed of SEEDS) {
      it(`loses nothing in silence when its parts fail, with the seed ${seed}`, async (t) => {
        const chaos = new Chaos({ ...cluster, random: randomNumbers(seed) });
        try {
          await chaos.start();
          await chaos.progress(500);
          const before = chaos.nodes.map(({ member }) => member.memory());
          await chaos.rage((faults) => t.diagnostic(faults));
          await chaos.reachesEverybody();

          const { violations, missed } = chaos.journal.check();
          const { sent, received } = chaos.journal;
          t.diagnostic(`sent ${sent}, received ${received}, missed ${JSON.stringify(missed)}`);
          assert.deepEqual(violations.slice(0, 10), []);
          const lost = Object.values(missed).reduce((sum, count) => sum + count, 0);
          assert.ok(lost > 0 && received > lost, "some events were lost, and most were not");

          const most = Math.max(...before) + MEMORY_SLACK;
          const now = () => chaos.nodes.map(({ member }) => member.memory());
          await until("the memory of before", () => now().every((memory) => memory < most)).catch((error) => {
            throw new Error(`${error.message} (${before}), now it is ${now()}`);
          });
          t.diagnostic(`memory before ${before}, after ${now()}`);
          await chaos.stop();
        } catch (error) {
          for (const { member } of chaos.nodes) t.diagnostic((member?.errors() ?? "").split("\n").slice(-30).join("\n"));
          throw error;
        } finally {
          await chaos.abandon();
        }
      });
    }
  });
}
