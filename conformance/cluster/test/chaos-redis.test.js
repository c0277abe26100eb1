import { chaosSuite } from "../support/chaos-suite.js";

chaosSuite({ engine: "redis", format: "redis" });
