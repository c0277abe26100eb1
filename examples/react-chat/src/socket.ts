// The connection. For the official client, write "socket.io-client" here: nothing else changes.
import { io, type Socket } from "@tidewire/client";

export interface Message {
  from: string;
  text: string;
}

interface ServerToClient {
  notification: (text: string) => void;
  "receive-message": (message: Message) => void;
}

interface ClientToServer {
  "join-room": (room: string) => void;
  "leave-room": (room: string) => void;
  /** Reaches the others in the room. */
  message: (message: { room: string; message: Message }, answer: () => void) => void;
}

/** One socket for the whole page: a component that is rendered again must not connect again. */
export const socket: Socket<ServerToClient, ClientToServer> = io(import.meta.env.VITE_SERVER ?? "http://localhost:3000");
