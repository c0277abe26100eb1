// The engine without Socket.IO. This program is the specification; `engine.rs` behaves the same.
//
// Arguments: --listen HOST:PORT, --ping-interval MS, --ping-timeout MS, --max-payload BYTES, --initial-packet TEXT
// Each message is sent back, except texts that are commands, with a space before their argument:
//   two          sends a text and a binary message
//   send N       sends the texts "0" to "N-1", and the binary message 1 2 3
//   slow N       sends N messages of 10,000 characters, each after the one before it has been taken
//   about        sends the path and query, the header `x-name`, and the transport
//   close        sends `bye` and closes the session
//   discard      closes the session and discards what is queued
//   why SID      sends the reason for which the session SID has ended, as soon as it has
import { createServer } from "node:http";
import { Server } from "engine.io";
import { readArguments, serve } from "./support/reference-listener.js";

const { listen, values } = readArguments({
  "ping-interval": { type: "string" },
  "ping-timeout": { type: "string" },
  "max-payload": { type: "string" },
  "initial-packet": { type: "string" },
});

const httpServer = createServer((_request, response) => response.writeHead(404).end());
const engine = new Server({
  allowEIO3: true,
  cors: { origin: "*" },
  pingInterval: Number(values["ping-interval"] ?? 25_000),
  pingTimeout: Number(values["ping-timeout"] ?? 20_000),
  maxHttpBufferSize: Number(values["max-payload"] ?? 1_000_000),
  initialPacket: values["initial-packet"],
});
engine.attach(httpServer);

const reasons = new Map();
const waiting = [];

engine.on("connection", (socket) => {
  const { url, headers } = socket.request;
  socket.on("message", async (message) => {
    const [command, argument] = typeof message === "string" ? message.split(" ") : [];
    switch (command) {
      case "two":
        socket.send("€");
        return socket.send(Buffer.from([1, 2, 3, 4]));
      case "send":
        for (let number = 0; number < Number(argument); number++) socket.send(String(number));
        return socket.send(Buffer.from([1, 2, 3]));
      case "slow":
        for (let number = 0; number < Number(argument); number++) {
          await new Promise((resolve) => socket.send("x".repeat(10_000), {}, resolve));
        }
        return;
      case "about":
        return socket.send(JSON.stringify({ url, name: headers["x-name"] ?? null, transport: socket.transport.name }));
      case "close":
        socket.send("bye");
        return socket.close();
      case "discard":
        return socket.close(true);
      case "why":
        return reasons.has(argument) ? socket.send(reasons.get(argument)) : waiting.push({ sid: argument, socket });
      default:
        return socket.send(message);
    }
  });
  socket.on("close", (reason) => {
    reasons.set(socket.id, reason);
    for (const { sid, socket: other } of waiting) if (sid === socket.id) other.send(reason);
  });
});

serve(httpServer, listen, async () => engine.close());
