import { chaosSuite } from "../support/chaos-suite.js";

chaosSuite({ engine: "postgres", format: "postgres" });
