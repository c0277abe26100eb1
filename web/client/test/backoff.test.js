// The delays between attempts to connect.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { source } from "./support/source.js";

const { Backoff } = await source("backoff");

describe("the delays", () => {
  it("double until they reach the limit, and begin again after a reset", () => {
    const backoff = new Backoff({ min: 100, max: 1000, jitter: 0 });
    assert.deepEqual(Array.from({ length: 6 }, () => backoff._next()), [100, 200, 400, 800, 1000, 1000]);
    backoff._reset();
    assert.equal(backoff._next(), 100);
  });

  it("are random in both directions, and never above the limit", () => {
    for (const [random, expected] of [
      [0, [50, 100, 200, 400, 800, 1000]],
      [0.5, [100, 200, 400, 800, 1000, 1000]],
      [0.999, [149, 299, 599, 1000, 1000, 1000]],
    ]) {
      const backoff = new Backoff({ min: 100, max: 1000, jitter: 0.5 });
      assert.deepEqual(expected.map(() => backoff._next(random)), expected);
    }
  });

  it("stay at the limit after any number of attempts", () => {
    const backoff = new Backoff({ min: 100, max: 1000, jitter: 0.5 });
    for (let attempt = 0; attempt < 5000; attempt++) backoff._next();
    assert.equal(backoff._next(), 1000);
  });

  it("are not random if the part is not between 0 and 1", () => {
    for (const jitter of [-1, 1.5, NaN]) assert.equal(new Backoff({ min: 100, max: 1000, jitter })._next(0), 100);
  });
});
