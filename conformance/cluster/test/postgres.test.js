import { postgresEmitter } from "../support/emitters.js";
import { clusterSuite } from "../support/suite.js";

clusterSuite({
  engine: "postgres",
  format: "postgres",
  emitter: postgresEmitter,
  // Version 0.1.1 of the emitter does not name the namespace, and version 0.5.0 of the adapter ignores such messages.
  hearsEmitter: ["tidewire"],
  // It sends over several connections at once.
  nodeKeepsOrder: false,
});
