// The programs that the page offers.

export type Language = "js" | "rust";
export type Protocol = "socket.io" | "websocket";

interface Snippet {
  text: string;
  note: string;
}

/** Returns a program that connects to this server. `origin` and `webSocket` are its addresses. */
export function snippet(language: Language, protocol: Protocol, origin: string, webSocket: string): Snippet {
  if (language === "js") return protocol === "socket.io" ? jsSocketIo(origin) : jsWebSocket(webSocket);
  return protocol === "socket.io" ? rustSocketIo(origin) : rustWebSocket(webSocket);
}

const jsSocketIo = (origin: string): Snippet => ({
  text: `import { io } from "${origin}/socket.io/tidewire.js";

const socket = io("${origin}");

socket.on("connect", () => console.log(socket.id));
socket.on("notification", (text) => console.log(text));
socket.on("message", (text) => console.log(text));

socket.emit("join-room", "general");
socket.emit("message", "hello"); // "Echo: hello"

// with an acknowledgement
await socket.timeout(5_000).emitWithAck("leave-room", "general");`,
  note: "A module in any page. In Node, import io from socket.io-client 4.",
});

const jsWebSocket = (webSocket: string): Snippet => ({
  text: `const socket = new WebSocket("${webSocket}");
socket.binaryType = "arraybuffer";

socket.addEventListener("open", () => {
  socket.send("hello");
  socket.send(Uint8Array.of(1, 2, 3));
});

socket.addEventListener("message", ({ data }) => {
  console.log(data); // the echo
});`,
  note: "Any page, Node 22 or newer, Deno, Bun.",
});

const rustSocketIo = (origin: string): Snippet => ({
  text: `use tidewire::client::{Client, Data};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = Client::builder("${origin}")
        .on("notification", async |Data(text): Data<String>| println!("{text}"))
        .on("message", async |Data(text): Data<String>| println!("{text}"))
        .connect();
    socket.emit("join-room", "general");
    socket.emit("message", "hello"); // "Echo: hello"
    tokio::signal::ctrl_c().await?;
    Ok(())
}`,
  note: "With the crates tidewire and tokio. It reconnects by itself.",
});

const rustWebSocket = (webSocket: string): Snippet => ({
  text: `use tidewire::ws;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut socket = ws::connect("${webSocket}").await?;
    socket.send("hello").await?;
    while let Some(message) = socket.recv().await {
        println!("{message:?}"); // the echo
    }
    Ok(())
}`,
  note: "With the crates tidewire and tokio.",
});

const TOKEN =
  /(\/\/.*)|("[^"\n]*")|\b(import|from|const|new|await|async|use|fn|let|mut|while|Some|Ok|Result)\b/g;

/** Writes a program into `element`, in colours. */
export function showSnippet(element: Element, text: string): void {
  const parts: (Node | string)[] = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const [token, comment, string] = match;
    const span = document.createElement("span");
    span.className = comment ? "comment" : string ? "string" : "keyword";
    span.textContent = token;
    parts.push(text.slice(end, match.index), span);
    end = match.index + token.length;
  }
  element.replaceChildren(...parts, text.slice(end));
}
