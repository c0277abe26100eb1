// A client of Socket.IO that tests drive: `node reference-socketio-client.js URL OPTIONS`. The options are those of the
// package, as JSON, with two additions: `auths` has the credentials of other namespaces, and `parser: "messagepack"`
// selects the parser `socket.io-msgpack-parser`. `socketio-client.rs` is the same program on Tidewire's client.
//
// Each line of its input is a step, as JSON: { emit: [event, …arguments], volatile }, { ask: [event, …arguments],
// timeout }, { connect: true }, { disconnect: true }, or { end: true }. `nsp` selects the namespace. { $bytes: hex }
// stands for binary data, here and in the output.
//
// Each line of its output is something that happened, as JSON, with `nsp`: { connect: { id, recovered } },
// { disconnect: reason }, { connect_error: message, data }, { event: [event, …arguments], ack }, { answer: […arguments] },
// { ackError: message }, and without `nsp` { reconnect_attempt }, { reconnect }, { reconnect_error },
// { reconnect_failed }. An event whose acknowledgement is requested gets its own arguments.
import { createInterface } from "node:readline";
import { Manager } from "socket.io-client";
import messagePackParser from "socket.io-msgpack-parser";

const [url, optionsText = "{}"] = process.argv.slice(2);
const { auth, auths = {}, autoConnect = true, retries, ackTimeout, parser, ...options } = JSON.parse(optionsText);
if (parser === "messagepack") options.parser = messagePackParser;
const { origin, pathname } = new URL(url);
const manager = new Manager(origin, { ...options, autoConnect: false });
const sockets = new Map();

for (const event of ["reconnect_attempt", "reconnect"]) manager.on(event, (attempt) => say({ [event]: attempt }));
manager.on("reconnect_error", () => say({ reconnect_error: true }));
manager.on("reconnect_failed", () => say({ reconnect_failed: true }));

function socketOf(nsp, socketOptions) {
  const socket = manager.socket(nsp, socketOptions);
  sockets.set(nsp, socket);
  socket.on("connect", () => say({ connect: { id: socket.id, recovered: socket.recovered ?? false }, nsp }));
  socket.on("connect_error", ({ message, data = null }) => say({ connect_error: message, data, nsp }));
  socket.on("disconnect", (reason) => say({ disconnect: reason, nsp }));
  socket.onAny((event, ...values) => {
    const acknowledge = typeof values.at(-1) === "function" ? values.pop() : undefined;
    say({ event: [event, ...values.map(toJson)], ack: acknowledge !== undefined, nsp });
    acknowledge?.(...values);
  });
  return socket;
}

const first = socketOf(pathname, { auth, retries, ackTimeout });
if (autoConnect) first.connect();

for await (const line of createInterface({ input: process.stdin })) {
  const { nsp = "/", ...step } = JSON.parse(line);
  const socket = sockets.get(nsp) ?? socketOf(nsp, { auth: auths[nsp] });
  if (step.emit) {
    (step.volatile ? socket.volatile : socket).emit(...step.emit.map(fromJson));
  } else if (step.ask) {
    const acknowledge = (error, ...answer) =>
      say(error ? { ackError: error.message, nsp } : { answer: answer.map(toJson), nsp });
    // Without a timeout, an acknowledgement has no error. Then only `emitWithAck` fails, and it returns one value.
    if (step.timeout) socket.timeout(step.timeout).emit(...step.ask.map(fromJson), acknowledge);
    else
      socket.emitWithAck(...step.ask.map(fromJson)).then(
        (answer) => acknowledge(null, ...(answer === undefined ? [] : [answer])),
        (error) => acknowledge(error),
      );
  } else if (step.connect) {
    socket.connect();
  } else if (step.disconnect) {
    socket.disconnect();
  } else {
    break;
  }
}
for (const socket of sockets.values()) socket.disconnect();
process.stdin.destroy();

function say(line) {
  console.log(JSON.stringify(line));
}

function fromJson(value) {
  if (typeof value !== "object" || value === null) return value;
  if (typeof value.$bytes === "string") return Buffer.from(value.$bytes, "hex");
  if (Array.isArray(value)) return value.map(fromJson);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, fromJson(member)]));
}

function toJson(value) {
  if (typeof value !== "object" || value === null) return value;
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer) return { $bytes: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(toJson);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toJson(member)]));
}
