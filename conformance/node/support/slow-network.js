// The client's own WebSocket transport on a network that carries what it is told to carry, when it is told to.
import { NodeWebSocket, NodeXHR } from "socket.io-client";
import { withResolvers } from "./wait.js";

/**
 * Holds the candidate of one client at each step of its upgrade: `open`, `probe` and `upgrade` are functions that let the
 * step happen, and `opened` and `paused` are promises of what the client has come to. `transports` is for its options.
 */
export function heldUpgrade() {
  const steps = Object.fromEntries(["open", "probe", "upgrade"].map((step) => [step, withResolvers()]));
  const reached = Object.fromEntries(["opened", "paused"].map((state) => [state, withResolvers()]));

  class HeldWebSocket extends NodeWebSocket {
    async doOpen() {
      await steps.open.promise;
      super.doOpen();
    }

    onOpen() {
      super.onOpen();
      reached.opened.resolve();
    }

    async write(packets) {
      const [{ type, data }] = packets;
      const step = type === "upgrade" ? "upgrade" : data === "probe" && "probe";
      if (step) {
        this.writable = false; // so that the client keeps what it would send behind this
        if (step === "upgrade") reached.paused.resolve();
        await steps[step].promise;
      }
      super.write(packets);
    }
  }

  return {
    transports: [NodeXHR, HeldWebSocket],
    ...Object.fromEntries(Object.entries(steps).map(([step, { resolve }]) => [step, resolve])),
    ...Object.fromEntries(Object.entries(reached).map(([state, { promise }]) => [state, promise])),
  };
}

/** Candidates that come to nothing, by what becomes of them. */
const failures = {
  "is refused": class extends NodeWebSocket {
    doOpen() {
      this.query.sid = "A".repeat(20);
      super.doOpen();
    }
  },
  "is reset before the probe": class extends NodeWebSocket {
    write() {
      this.ws._socket.resetAndDestroy();
    }
  },
  "is reset behind the probe": class extends NodeWebSocket {
    write(packets) {
      super.write(packets);
      this.ws._socket.resetAndDestroy();
    }
  },
  "says something else": class extends NodeWebSocket {
    write() {
      super.write([{ type: "message", data: "?" }]);
    }
  },
  "says nothing until it is too late": class extends NodeWebSocket {
    write() {}
  },
};

/** For the options of a client whose upgrade fails: `[what, transports]`. */
export const failingUpgrades = Object.entries(failures).map(([what, transport]) => [what, [NodeXHR, transport]]);
