// Code that the two reference programs share: the command line, the listening line, and the clean shutdown.
import { parseArgs } from "node:util";

/**
 * Returns the arguments as `{ listen: { host, port }, values }`. An invalid argument ends the process with status 2.
 */
export function readArguments(options) {
  try {
    const { values } = parseArgs({ options: { listen: { type: "string" }, ...options } });
    const address = values.listen ?? process.env.TIDEWIRE_LISTEN ?? "127.0.0.1:3000";
    const colon = address.lastIndexOf(":");
    const port = Number(address.slice(colon + 1));
    if (colon < 1 || !Number.isInteger(port) || port < 0 || port > 65535) throw new Error(`cannot listen on ${address}`);
    return { listen: { host: address.slice(0, colon), port }, values };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
}

/** Listens, prints `listening on http://HOST:PORT`, and ends with status 0 on SIGTERM and SIGINT. */
export function serve(httpServer, { host, port }, close) {
  httpServer.on("error", (error) => {
    console.error(`cannot listen on ${host}:${port}: ${error.message}`);
    process.exit(1);
  });
  const unused = connectionsWithoutRequest(httpServer);
  httpServer.listen(port, host, () => console.log(`listening on http://${host}:${httpServer.address().port}`));
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.on(signal, async () => {
      const closed = close();
      for (const connection of unused) connection.destroy();
      await closed;
      process.exit(0);
    });
  }
}

/**
 * Returns the connections that no request has used yet. Browsers open some in advance, and a server that closes waits a
 * minute for their first request.
 */
function connectionsWithoutRequest(httpServer) {
  const unused = new Set();
  httpServer.on("connection", (connection) => {
    unused.add(connection);
    connection.once("close", () => unused.delete(connection));
  });
  for (const event of ["request", "upgrade"]) httpServer.on(event, ({ socket }) => unused.delete(socket));
  return unused;
}
