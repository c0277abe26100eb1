// Raw echo and broadcast with ws: `node ws.js PORT [deflate]`.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const [port, deflate] = process.argv.slice(2);
const options = { noServer: true, perMessageDeflate: deflate === "deflate" };
const echo = new WebSocketServer(options);
echo.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
const everybody = new WebSocketServer(options);
everybody.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => {
    for (const client of everybody.clients) {
      client.send(data, { binary: isBinary });
    }
  });
});
const http = createServer();
http.on("upgrade", (request, socket, head) => {
  const server = request.url === "/broadcast" ? everybody : echo;
  server.handleUpgrade(request, socket, head, (client) => server.emit("connection", client));
});
http.listen(Number(port), "127.0.0.1");
