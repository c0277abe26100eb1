// For pages without modules: `<script src="/socket.io/tidewire.global.js"></script>` defines `io`.
import { io } from "./index.js";

(globalThis as { io?: typeof io }).io = io;
