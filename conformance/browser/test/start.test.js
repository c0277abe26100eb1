// What the tests of this folder run on.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { within } from "../../node/support/wait.js";

it("a file whose server does not start fails at once, and closes its browser", async () => {
  const support = JSON.stringify(fileURLToPath(new URL("../support/pages.js", import.meta.url)));
  const file = `
    import { it } from "node:test";
    import { describePage } from ${support};
    describePage("a page", (pages) => it("opens", () => pages.open("/")));`;
  // The inner run reports to this test, and not to the runner of the outer one.
  const { NODE_TEST_CONTEXT: _, TIDEWIRE_REFERENCE: __, ...inherited } = process.env;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", file], {
    env: { ...inherited, TIDEWIRE_BINARY: "/bin/false" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let report = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (report += text));
  const [status] = await within(60_000, "the end of the file", once(child, "close")).finally(() => child.kill("SIGKILL"));
  assert.notEqual(status, 0, report);
  assert.match(report, /it ended with 1 before it listened/);
});
