// The client of Engine.IO, with the package `engine.io-client`. This program is the specification; `engine-client.rs`
// behaves the same.
//
// Arguments: URL OPTIONS, the options of `engine.io-client` as JSON.
// Each message is sent back, except two texts:
//   close        closes the session
//   send N       sends the texts "0" to "N-1"
// It prints one line of JSON for each event: { open: { sid, transport } }, { upgrade }, { upgradeError },
// { close: { reason, error } }.
import { Socket } from "engine.io-client";

const [url, json] = process.argv.slice(2);
const print = (line) => console.log(JSON.stringify(line));

const socket = new Socket(url, { transports: ["polling", "websocket"], ...JSON.parse(json) });
socket.binaryType = "nodebuffer";
let failure = null;
socket.on("open", () => print({ open: { sid: socket.id, transport: socket.transport.name } }));
socket.on("upgrade", (transport) => print({ upgrade: transport.name }));
socket.on("upgradeError", (error) => print({ upgradeError: error.message }));
socket.on("message", (message) => {
  const [command, count] = typeof message === "string" ? message.split(" ") : [];
  if (command === "close") socket.close();
  else if (command === "send") for (let number = 0; number < Number(count); number++) socket.send(String(number));
  else socket.send(message ?? ""); // an empty text is `undefined` in the package
});
socket.on("error", (error) => (failure = error.message));
socket.on("close", (reason) => print({ close: { reason, error: failure } }));
