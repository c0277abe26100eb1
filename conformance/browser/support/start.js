// Starts what a test file needs.

/**
 * Starts several things at once and returns them. Each is a pair: a promise, and how to stop what it yields. If one of
 * them fails, stops the others and throws its error: `node --test` would wait for a browser or a server that nobody stops.
 */
export async function startAll(...starting) {
  const results = await Promise.allSettled(starting.map(([promise]) => promise));
  const failed = results.find(({ status }) => status === "rejected");
  if (!failed) return results.map(({ value }) => value);
  const stopping = results.map(({ status, value }, index) => status === "fulfilled" && starting[index][1]?.(value));
  await Promise.allSettled(stopping);
  throw failed.reason;
}
