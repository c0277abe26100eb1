// The Socket.IO events of the bench with socket.io on Bun's own HTTP server: `bun socket.io.js PORT`.
import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";

const [port] = process.argv.slice(2);
const limit = 2 << 20;
const engine = new Engine({ path: "/socket.io/", maxHttpBufferSize: limit });
const io = new Server();
io.bind(engine);
io.on("connection", (socket) => {
  socket.on("echo", (text) => socket.emit("echo", text));
  socket.on("ack", (text, acknowledge) => acknowledge(text));
  socket.on("join", (acknowledge) => {
    socket.join("room");
    acknowledge();
  });
  socket.on("relay", (value, acknowledge) => {
    socket.to("nobody").emit("relay", value);
    acknowledge();
  });
  socket.on("broadcast", (text) => io.to("room").emit("broadcast", text));
});
Bun.serve({
  ...engine.handler(),
  hostname: "127.0.0.1",
  port: Number(port),
  // As its documentation recommends: longer than the time between two pings.
  idleTimeout: 30,
});
