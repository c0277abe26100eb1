// Waiting for the thing itself. Every wait has a bound, which is only ever reached by a failure, and names what it waited for.

const PATIENCE = 8_000;

export function within(milliseconds, what, promise) {
  const { promise: late, reject } = withResolvers();
  const timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
  timer.unref(); // a wait that nobody awaits any more does not hold the process: the server under test does, while it lives
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The arguments of the next `event`; anything with `on` and `off` will do. */
export async function next(emitter, event) {
  const [first] = await collect(emitter, event, 1);
  return first;
}

/** The arguments of the next `count` occurrences of `event`. */
export function collect(emitter, event, count) {
  const { promise, resolve } = withResolvers();
  const seen = [];
  const listener = (...values) => {
    if (seen.push(values) === count) resolve(seen);
  };
  emitter.on(event, listener);
  return within(PATIENCE, `${count} × "${event}"`, promise)
    .catch((error) => {
      error.message += `, saw ${seen.length}`;
      throw error;
    })
    .finally(() => emitter.off(event, listener));
}

/** The arguments of the next `event` that `matches` accepts. */
export function nextWhere(emitter, event, matches) {
  const { promise, resolve } = withResolvers();
  const listener = (...values) => matches(...values) && resolve(values);
  emitter.on(event, listener);
  return within(PATIENCE, `a certain "${event}"`, promise).finally(() => emitter.off(event, listener));
}

/** Records every `event` from now on; for proving that something did not come before something that did. */
export function record(emitter, event) {
  const seen = [];
  emitter.on(event, (...values) => seen.push(values));
  return seen;
}

/** `Promise.withResolvers`, which Node 20 lacks. */
export function withResolvers() {
  const result = {};
  result.promise = new Promise((resolve, reject) => Object.assign(result, { resolve, reject }));
  return result;
}
