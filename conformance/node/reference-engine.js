// The engine without Socket.IO, for clients of Engine.IO 3. This program is the specification; `engine.rs` behaves the
// same.
//
// Arguments: --listen HOST:PORT, --ping-interval MS, --ping-timeout MS, --max-payload BYTES, --initial-packet TEXT
// Each message is sent back, except these texts:
//   two        sends a text and a binary message
//   close      sends `bye` and closes the session
//   why SID    sends the reason for which the session SID has ended, as soon as it has
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
  pingInterval: Number(values["ping-interval"] ?? 25_000),
  pingTimeout: Number(values["ping-timeout"] ?? 20_000),
  maxHttpBufferSize: Number(values["max-payload"] ?? 1_000_000),
  initialPacket: values["initial-packet"],
});
engine.attach(httpServer);

const reasons = new Map();
const waiting = [];

engine.on("connection", (socket) => {
  socket.on("message", (message) => {
    const [, sid] = /^why (.*)$/.exec(message) ?? [];
    if (message === "two") {
      socket.send("€");
      socket.send(Buffer.from([1, 2, 3, 4]));
    } else if (message === "close") {
      socket.send("bye");
      socket.close();
    } else if (sid && reasons.has(sid)) {
      socket.send(reasons.get(sid));
    } else if (sid) {
      waiting.push({ sid, socket });
    } else {
      socket.send(message);
    }
  });
  socket.on("close", (reason) => {
    reasons.set(socket.id, reason);
    for (const { sid, socket: other } of waiting) if (sid === socket.id) other.send(reason);
  });
});

serve(httpServer, listen, async () => engine.close());
