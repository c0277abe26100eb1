// Raw echo and broadcast with Bun's own WebSocket server: `bun ws.js PORT [deflate]`.
const [port, deflate] = process.argv.slice(2);
const compresses = deflate === "deflate";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  fetch(request, server) {
    const broadcasts = new URL(request.url).pathname === "/broadcast";
    if (!server.upgrade(request, { data: { broadcasts } })) {
      return new Response("a WebSocket is needed", { status: 400 });
    }
  },
  websocket: {
    perMessageDeflate: compresses,
    maxPayloadLength: 2 << 20,
    open(socket) {
      if (socket.data.broadcasts) socket.subscribe("everybody");
    },
    message(socket, message) {
      if (socket.data.broadcasts) server.publish("everybody", message, compresses);
      else socket.send(message, compresses);
    },
  },
});
