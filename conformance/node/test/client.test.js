// Tidewire's client of Socket.IO, against Node's server and against Tidewire's.
import { describe } from "node:test";
import { startConformanceServer, startNodeServer } from "../support/server.js";
import { describeClient } from "../support/socketio-client-suite.js";
import { TRANSPORTS, describeOurs } from "../support/suite.js";

for (const transport of TRANSPORTS) {
  describeClient({ name: "the conformance server", start: startConformanceServer, describe, transport });
  // With the reference, both are the same.
  describeClient({ name: "Node's server", start: startNodeServer, describe: describeOurs, transport });
}
