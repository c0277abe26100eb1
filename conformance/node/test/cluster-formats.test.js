// What our codecs for clusters must read and write is what the official adapters publish.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { goldenText } from "../support/cluster-golden.js";

describe("the table of cluster messages", () => {
  it("has what the official adapters and emitters publish", async () => {
    const file = new URL("../../../crates/adapter/src/cluster/codec/golden.json", import.meta.url);
    assert.equal(readFileSync(file, "utf8"), await goldenText(), "node support/cluster-golden.js prints it");
  });
});
