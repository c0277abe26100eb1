import { io } from "@tidewire/client";
import { showConnection } from "../shared/connection.js";

const socket = io("/chat");
showConnection(socket);
