// The same as in `client.test.js`, with the parser `socket.io-msgpack-parser` on both sides. It does not depend on the
// transport.
import { describe } from "node:test";
import { startConformanceServer, startNodeServer } from "../support/server.js";
import { describeClient } from "../support/socketio-client-suite.js";
import { describeOurs } from "../support/suite.js";

const both = { transport: "polling, then upgraded", parser: "messagepack" };
describeClient({ name: "the conformance server with MessagePack", start: startConformanceServer, describe, ...both });
// With the reference, both are the same.
describeClient({ name: "Node's server with MessagePack", start: startNodeServer, describe: describeOurs, ...both });
