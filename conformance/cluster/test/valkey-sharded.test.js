import { clusterSuite } from "../support/suite.js";

// Node's adapter waits 5 s for each answer.
clusterSuite({ engine: "valkey", format: "redis-sharded", deathLimit: 5_000 });
