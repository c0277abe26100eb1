import { redisEmitter } from "../support/emitters.js";
import { clusterSuite } from "../support/suite.js";

clusterSuite({ engine: "valkey", format: "redis", emitter: redisEmitter, listsRooms: true });
