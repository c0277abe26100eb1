// The same program as `client.rs`, with the package `ws`: it connects to a URL, echoes each message, and prints the
// result. `npm run reference` runs the client tests against it, to prove that they require nothing that `ws` does not
// do.
import WebSocket from "ws";

const [url, json] = process.argv.slice(2);
const { headers, protocols = [], deflate, close } = JSON.parse(json);
const print = (line) => console.log(JSON.stringify(line));

const socket = new WebSocket(url, protocols, {
  headers,
  maxPayload: 16 * 1024 * 1024,
  perMessageDeflate: deflate && {
    threshold: deflate.threshold ?? 1024,
    clientNoContextTakeover: deflate.ownContextTakeover === false || undefined,
    serverNoContextTakeover: deflate.peerContextTakeover === false || undefined,
    clientMaxWindowBits: deflate.ownMaxWindowBits ?? true,
    serverMaxWindowBits: deflate.peerMaxWindowBits,
  },
});
let response;
socket.on("upgrade", (answer) => (response = answer));
socket.on("open", () => print({ connected: { protocol: socket.protocol, headers: response.headers } }));
socket.on("message", (data, isBinary) => {
  if (close && !isBinary && data.toString() === close.on) socket.close(close.code, close.reason);
  else if (socket.readyState === WebSocket.OPEN) socket.send(data, { binary: isBinary });
});
socket.on("unexpected-response", (_request, answer) => {
  const chunks = [];
  answer.on("data", (chunk) => chunks.push(chunk));
  answer.on("end", () => {
    const body = Buffer.concat(chunks).toString();
    print({ refused: { status: answer.statusCode, body, headers: answer.headers } });
    process.exit(0);
  });
});
socket.on("error", (error) => {
  if (socket.readyState === WebSocket.CONNECTING || !response) print({ failed: error.message });
});
socket.on("close", (code, reason) => response && print({ closed: { code, reason: reason.toString() } }));
