// Runs in the page, beside the official client's bundle: what the tests say there.

const PATIENCE = 8_000;

/** The arguments of the next `event`; anything with `once` will do. */
function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${PATIENCE} ms for "${event}"`)), PATIENCE);
    emitter.once(event, (...values) => {
      clearTimeout(timer);
      resolve(values);
    });
  });
}

/** The next event of this name on something of the browser's own, such as a WebSocket. */
function nextEvent(target, name) {
  const emitter = { once: (event, listener) => target.addEventListener(event, listener, { once: true }) };
  return next(emitter, name).then(([event]) => event);
}

/** A client with a connection of its own that has not been told to connect. */
function client(url, transport, options = {}) {
  return io(url, {
    transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
    autoConnect: false,
    forceNew: true,
    reconnection: false,
    ...options,
  });
}

/** Connects, and waits for the end of the upgrade if there is one; `socket.history` names the transports in their order. */
async function connect(url, transport, options) {
  const socket = client(url, transport, options);
  const connected = settled(socket);
  socket.connect();
  // The engine is there at once and tells later: on loopback the upgrade may be over before `connect`.
  const { engine } = socket.io;
  socket.history = [];
  engine.once("open", () => socket.history.push(engine.transport.name));
  engine.on("upgrade", ({ name }) => socket.history.push(name));
  const upgraded = transport === "polling, then upgraded" && next(engine, "upgrade");
  await Promise.all([connected, upgraded]);
  return socket;
}

/** Resolves when `socket` connects, and fails when it is refused. */
function settled(socket) {
  const refused = new Promise((_resolve, reject) => socket.once("connect_error", reject));
  return Promise.race([next(socket, "connect"), refused]);
}

/** A WebSocket of the browser's own, open. */
async function openWebSocket(url) {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  await nextEvent(socket, "open");
  return socket;
}

/** Sends `message` and gives the data of what comes back. */
async function echoed(socket, message) {
  const answer = nextEvent(socket, "message");
  socket.send(message);
  return (await answer).data;
}

/** What a value is, for a test outside of the page: `ArrayBuffer 1,2,3`, or JSON. */
function describeValue(value) {
  return value instanceof ArrayBuffer ? `ArrayBuffer ${new Uint8Array(value)}` : JSON.stringify(value);
}
