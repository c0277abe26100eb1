// Functions that wait for a condition instead of sleeping. Each has a timeout, which is reached only if a test fails,
// and an error that names the condition.

const WAIT_LIMIT = 8_000;

export function within(milliseconds, what, promise) {
  const { promise: late, reject } = withResolvers();
  const timer = setTimeout(() => reject(new Error(`waited ${milliseconds} ms for ${what}`)), milliseconds);
  timer.unref(); // an abandoned wait must not keep the process alive
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Returns the arguments of the next `event`. `emitter` needs `on` and `off`. */
export async function next(emitter, event) {
  const [first] = await collect(emitter, event, 1);
  return first;
}

/** Returns the arguments of the next `count` occurrences of `event`. */
export function collect(emitter, event, count) {
  const { promise, resolve } = withResolvers();
  const seen = [];
  const listener = (...values) => {
    if (seen.push(values) === count) resolve(seen);
  };
  emitter.on(event, listener);
  return within(WAIT_LIMIT, `${count} × "${event}"`, promise)
    .catch((error) => {
      error.message += `, saw ${seen.length}`;
      throw error;
    })
    .finally(() => emitter.off(event, listener));
}

/** Returns the arguments of the next `event` that `matches` accepts. */
export function nextWhere(emitter, event, matches) {
  const { promise, resolve } = withResolvers();
  const listener = (...values) => matches(...values) && resolve(values);
  emitter.on(event, listener);
  return within(WAIT_LIMIT, `a certain "${event}"`, promise).finally(() => emitter.off(event, listener));
}

/** Records every `event` from now on, to prove that an event did not occur before another one. */
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
