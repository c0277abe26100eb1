// The built-in application of the binary `tidewire`, written with the official packages. `npm run reference` runs the
// tests against it, to prove that they require nothing that Node's packages do not do.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { WebSocketServer } from "ws";
import { readArguments, serve } from "./support/reference-listener.js";

const { listen, values } = readArguments({
  "allow-origin": { type: "string" },
  "client-files": { type: "string" }, // here, the package has them
});

const page = `<!doctype html>
<html lang="en"><title>Tidewire</title>
<p>Socket.IO at <code>/socket.io/</code>, a WebSocket that echoes at <code>/ws</code>.</p></html>`;

const httpServer = createServer((request, response) => {
  if (new URL(request.url, "http://here").pathname === "/") {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
  } else {
    response.writeHead(404).end();
  }
});

const echo = new WebSocketServer({
  noServer: true,
  perMessageDeflate: { serverNoContextTakeover: true, clientNoContextTakeover: true },
});
echo.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("error", () => {}); // `ws` has already sent a close frame with the error
});
httpServer.on("upgrade", (request, stream, head) => {
  if (new URL(request.url, "http://here").pathname === "/ws") {
    echo.handleUpgrade(request, stream, head, (socket) => echo.emit("connection", socket));
  }
});

const io = new Server(httpServer, {
  cors: { origin: values["allow-origin"] ?? "*" },
  serveClient: "client-files" in values,
});

io.on("connection", (socket) => {
  socket.on("join-room", (room, acknowledge) => {
    socket.join(room);
    io.to(room).emit("notification", `${socket.id} joined ${room}`);
    acknowledge?.();
  });
  socket.on("leave-room", (room, acknowledge) => {
    socket.leave(room);
    acknowledge?.();
  });
  socket.on("message", (message, acknowledge) => {
    if (typeof message === "string") socket.emit("message", `Echo: ${message}`);
    else socket.to(message.room).emit("receive-message", message.message);
    acknowledge?.();
  });
});

serve(httpServer, listen, () => {
  for (const socket of echo.clients) socket.close(1001);
  return io.close();
});
