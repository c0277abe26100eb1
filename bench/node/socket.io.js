// The Socket.IO events of the bench with socket.io: `node socket.io.js PORT`.
import { createServer } from "node:http";
import { Server } from "socket.io";

const [port] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { maxHttpBufferSize: 2 << 20 });
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
http.listen(Number(port), "127.0.0.1");
