// Functions for the tests, loaded in the page together with the bundle of the official client.

const WAIT_LIMIT = 8_000;

/** Returns the arguments of the next `event`. `emitter` needs `once`. */
function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited ${WAIT_LIMIT} ms for "${event}"`)), WAIT_LIMIT);
    emitter.once(event, (...values) => {
      clearTimeout(timer);
      resolve(values);
    });
  });
}

/** Returns the next event of this name of a browser object, for instance a WebSocket. */
function nextEvent(target, name) {
  const emitter = { once: (event, listener) => target.addEventListener(event, listener, { once: true }) };
  return next(emitter, name).then(([event]) => event);
}

/** Returns the reason why another socket has ended. The conformance server tells all sockets, also those of earlier tests. */
function endOf(socket, id) {
  return new Promise((resolve) => socket.on("gone", (gone) => gone.id === id && resolve(gone.reason)));
}

/** Creates a client with its own connection, not yet connected. */
function client(url, transport, options = {}) {
  return io(url, {
    transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
    autoConnect: false,
    forceNew: true,
    reconnection: false,
    ...options,
  });
}

/** Connects, and waits for the end of the upgrade if there is one. `socket.history` lists the transports in order. */
async function connect(url, transport, options) {
  const socket = client(url, transport, options);
  const connected = settled(socket);
  socket.connect();
  // The engine exists immediately, but emits its events later. On loopback, the upgrade may finish before `connect`.
  const { engine } = socket.io;
  socket.history = [];
  engine.once("open", () => socket.history.push(engine.transport.name));
  engine.on("upgrade", ({ name }) => socket.history.push(name));
  const upgraded = transport === "polling, then upgraded" && next(engine, "upgrade");
  await Promise.all([connected, upgraded]);
  return socket;
}

/** Resolves when `socket` connects, and rejects when the server rejects it. */
function settled(socket) {
  const refused = new Promise((_resolve, reject) => socket.once("connect_error", reject));
  return Promise.race([next(socket, "connect"), refused]);
}

/** Opens a WebSocket of the browser. */
async function openWebSocket(url) {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  await nextEvent(socket, "open");
  return socket;
}

/** Sends `message` and returns the data of the response. */
async function echoed(socket, message) {
  const answer = nextEvent(socket, "message");
  socket.send(message);
  return (await answer).data;
}

/** Describes a value for a test outside the page: `ArrayBuffer 1,2,3`, or JSON. */
function describeValue(value) {
  return value instanceof ArrayBuffer ? `ArrayBuffer ${new Uint8Array(value)}` : JSON.stringify(value);
}
