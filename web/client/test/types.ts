// Compiled, never run: programs that the types accept, and mistakes that they refuse.
import io, { connect, Manager, Socket, type DisconnectReason, type ManagerOptions, type SocketOptions } from "../dist/tidewire.js";
import { io as ioWithMessagePack } from "../dist/tidewire-msgpack.js";

interface ServerToClient {
  notification: (text: string, at?: Date) => void;
  question: (text: string, answer: (answer: number) => void) => void;
}

interface ClientToServer {
  "join-room": (room: string) => void;
  ask: (text: string, answer: (answer: string) => void) => void;
  list: (answer: (rooms: string[], total: number) => void) => void;
  ping: () => void;
}

const socket: Socket<ServerToClient, ClientToServer> = io("http://localhost:3000", {
  auth: { token: "x" },
  transports: ["websocket"],
  retries: 3,
  ackTimeout: 1000,
});
const fromArguments = io<ServerToClient, ClientToServer>();
const withFunction: Socket = connect({ auth: (send) => send({ token: "x" }), withCredentials: true });
const overMessagePack: Socket<ServerToClient, ClientToServer> = ioWithMessagePack();
const untyped = io("/admin");

async function use(): Promise<void> {
  socket.on("connect", () => console.log(socket.id?.length, socket.recovered, socket.io.engine.transport.name));
  socket.on("connect_error", (error) => console.log(error.message, error.data?.code));
  socket.on("disconnect", (reason: DisconnectReason, details) => console.log(reason, details));
  socket.on("notification", (text, at) => console.log(text.length, at?.getTime()));
  socket.on("question", (text, answer) => answer(text.length));
  socket.once("notification", (text: string) => console.log(text)).off("notification");
  socket.onAny((event, ...args) => console.log(event, args)).offAny();
  socket.emit("join-room", "general").volatile.emit("ping");
  socket.compress(false).emit("ask", "what", (answer) => console.log(answer.length));
  socket.timeout(100).emit("ask", "what", (error, answer) => console.log(error.message, answer.length));
  const answer: string = await socket.emitWithAck("ask", "what");
  const timely: string = await socket.timeout(100).emitWithAck("ask", answer);
  const rooms: string[] = await fromArguments.emitWithAck("list");
  console.log(timely, rooms.length);
  socket.io.on("reconnect_attempt", (attempt) => console.log(attempt + 1));
  socket.io.engine.once("upgrade", (transport) => console.log(transport.name));
  withFunction.emit("anything", 1, { b: new Uint8Array(1) }, (a: number) => a);
  console.log(((await untyped.emitWithAck("anything")) as string).length, overMessagePack.connected);
  untyped.on("anything", (a, b) => console.log(a, b));

  const manager = new Manager<ServerToClient, ClientToServer>("ws://localhost", { reconnectionDelay: 10 });
  const admin: Socket<ServerToClient, ClientToServer> = manager.socket("/admin", { auth: { a: 1 } });
  admin.disconnect().connect();
  const attempts: number = manager.reconnectionAttempts();
  manager.reconnectionAttempts(attempts).open((error) => console.log(error?.message));

  // @ts-expect-error: the server has no such event
  socket.on("notifications", () => {});
  // @ts-expect-error: the argument is a text
  socket.on("notification", (text: number) => console.log(text));
  // @ts-expect-error: a room is a text
  socket.emit("join-room", 5);
  // @ts-expect-error: the client has no such event
  socket.emit("notification", "text");
  // @ts-expect-error: this event has no acknowledgement
  await socket.emitWithAck("join-room", "general");
  // @ts-expect-error: the answer is a text
  const wrong: number = await socket.emitWithAck("ask", "what");
  // @ts-expect-error: no such option
  io({ reconnectionDelays: 5 });
  console.log(wrong);
}

export type Options = Partial<ManagerOptions & SocketOptions>;
export default use;
