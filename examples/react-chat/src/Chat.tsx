import { useState, type FormEvent } from "react";
import { useRoom } from "./useRoom";

const ROOMS = ["general", "random"];

export function Chat() {
  const [room, setRoom] = useState(ROOMS[0]!);
  const [name, setName] = useState("Guest");
  const [text, setText] = useState("");
  const [failure, setFailure] = useState("");
  const { lines, send, isConnected } = useRoom(room);

  async function submit(event: FormEvent) {
    event.preventDefault();
    try {
      await send({ from: name, text });
      setText("");
      setFailure("");
    } catch {
      setFailure("The server did not answer. Send it again.");
    }
  }

  return (
    <main>
      <header>
        <h1>React chat</h1>
        <p role="status">{isConnected ? "connected" : "connecting …"}</p>
      </header>
      <p className="settings">
        <label>
          Room
          <select value={room} onChange={(event) => setRoom(event.target.value)}>
            {ROOMS.map((room) => <option key={room}>{room}</option>)}
          </select>
        </label>
        <label>
          Name
          <input value={name} maxLength={24} onChange={(event) => setName(event.target.value)} />
        </label>
      </p>
      <ol aria-label="Messages" aria-live="polite">
        {lines.map((line) => (
          <li key={line.id} className={"notification" in line ? "notification" : undefined}>
            {"notification" in line ? line.notification : <><strong>{line.from}</strong> {line.text}</>}
          </li>
        ))}
      </ol>
      <form onSubmit={submit}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
        <button disabled={!isConnected || !text.trim()}>Send</button>
      </form>
      <p role="alert">{failure}</p>
    </main>
  );
}
