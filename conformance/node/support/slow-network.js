// Versions of the official client's WebSocket transport that delay or break an upgrade.
import { NodeWebSocket, NodeXHR } from "socket.io-client";
import { withResolvers } from "./wait.js";

/**
 * Pauses the upgrade of one client before each step. Call `open`, `probe` and `upgrade` to continue with that step. The
 * promises `opened` and `paused` resolve when the client reaches these states. Pass `transports` to the client's
 * options.
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
        this.writable = false; // so that the client buffers later packets
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

/** WebSockets that fail to upgrade, by the kind of failure. */
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

/** `[description, transports]` for the options of a client whose upgrade fails. */
export const failingUpgrades = Object.entries(failures).map(([what, transport]) => [what, [NodeXHR, transport]]);
