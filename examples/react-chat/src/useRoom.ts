import { useEffect, useState, useSyncExternalStore } from "react";
import { socket, type Message } from "./socket";

/** A line of the chat: a message, or what the server tells. */
export type Line = { id: number } & (Message | { notification: string });

let lastId = 0;

/** Joins `room` as long as the component is shown, and returns its lines. */
export function useRoom(room: string) {
  const [lines, setLines] = useState<Line[]>([]);
  const isConnected = useIsConnected();

  useEffect(() => {
    setLines([]);
    const onMessage = (message: Message) => setLines((lines) => [...lines, { id: ++lastId, ...message }]);
    const onNotification = (notification: string) => setLines((lines) => [...lines, { id: ++lastId, notification }]);
    socket.on("receive-message", onMessage);
    socket.on("notification", onNotification);
    return () => {
      socket.off("receive-message", onMessage);
      socket.off("notification", onNotification);
      socket.emit("leave-room", room);
    };
  }, [room]);

  useEffect(() => {
    // After each connect: for the server, a client that comes back is a new one.
    if (isConnected) socket.emit("join-room", room);
  }, [room, isConnected]);

  async function send(message: Message) {
    await socket.timeout(5_000).emitWithAck("message", { room, message });
    setLines((lines) => [...lines, { id: ++lastId, ...message }]);
  }

  return { lines, send, isConnected };
}

function useIsConnected(): boolean {
  return useSyncExternalStore(subscribe, () => socket.connected);
}

function subscribe(onChange: () => void) {
  socket.on("connect", onChange);
  socket.on("disconnect", onChange);
  return () => {
    socket.off("connect", onChange);
    socket.off("disconnect", onChange);
  };
}
