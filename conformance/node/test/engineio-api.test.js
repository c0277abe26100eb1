// Raw Engine.IO, without Socket.IO above it: the official `engine.io-client` against a server of the program's own.
import assert from "node:assert/strict";
import { afterEach, it } from "node:test";
import { Socket } from "engine.io-client";
import { startEngineServer } from "../support/server.js";
import { ours, overEachTransport, serverForTests } from "../support/suite.js";
import { collect, next, nextWhere, within } from "../support/wait.js";

overEachTransport("raw Engine.IO", (transport) => {
  const server = serverForTests(startEngineServer, { args: ["--max-payload", "100000"] });
  const clients = [];
  afterEach(() => clients.splice(0).forEach((client) => client.close()));

  /** Connects, and waits for the upgrade if there is one. */
  const connect = async (options = {}) => {
    const client = new Socket(server.url, {
      transports: transport === "polling, then upgraded" ? ["polling", "websocket"] : [transport],
      ...options,
    });
    client.binaryType = "nodebuffer";
    clients.push(client);
    await next(client, transport === "polling, then upgraded" ? "upgrade" : "open");
    return client;
  };

  /** Returns the reason and the description with which the client reports the end. */
  const ended = async (client) => {
    const closed = new Promise((resolve) => client.once("close", (...values) => resolve(values)));
    return within(8_000, "the event close", closed);
  };

  /** Returns the reason with which the session `id` has ended, from the server's view. */
  const serverReason = async (id) => {
    const watcher = await connect();
    const reason = next(watcher, "message");
    watcher.send(`why ${id}`);
    return (await reason)[0];
  };

  it("gets text and binary back, in order", async () => {
    const client = await connect();
    const sent = ["text", "äöü😀", Buffer.from([0, 1, 255]), Buffer.alloc(50_000, 7), "z".repeat(50_000)];
    const received = [];
    client.on("message", (data) => received.push(data));
    const all = collect(client, "message", sent.length);
    sent.forEach((data) => client.send(data));
    await all;
    assert.deepEqual(received, sent);
  });

  it("gets many messages of one handler in order", async () => {
    const client = await connect();
    const messages = [];
    client.on("message", (data) => messages.push(data));
    client.send("send 200");
    await nextWhere(client, "message", (data) => typeof data !== "string");
    assert.deepEqual(messages.slice(0, -1), Array.from({ length: 200 }, (_, number) => String(number)));
    assert.deepEqual(messages.at(-1), Buffer.from([1, 2, 3]));
  });

  it("lets the handler see the request and the transport", async () => {
    const client = await connect({ query: { room: "a b" }, extraHeaders: { "X-Name": "Ann" } });
    const received = next(client, "message");
    client.send("about");
    const about = JSON.parse((await received)[0]);
    assert.equal(about.name, "Ann");
    assert.equal(about.transport, transport === "polling" ? "polling" : "websocket");
    assert.equal(new URL(about.url, server.url).searchParams.get("room"), "a b");
  });

  it("gets the last message before the server closes", async () => {
    const client = await connect();
    const { id } = client;
    const messages = [];
    client.on("message", (data) => messages.push(data));
    const closed = ended(client);
    client.send("close");
    assert.equal((await closed)[0], "transport close");
    assert.deepEqual(messages, ["bye"]);
    assert.equal(await serverReason(id), "forced close");
  });

  it("is closed without what is queued", async () => {
    const client = await connect();
    const { id } = client;
    const closed = ended(client);
    client.send("discard");
    // A polling client that has no poll on its way then learns from its next one that the session is unknown.
    assert.match((await closed)[0], transport === "polling" ? /^transport (close|error)$/ : /^transport close$/);
    assert.equal(await serverReason(id), "forced close");
  });

  it("tells the server that it closes, and the server knows the reason", async () => {
    const client = await connect();
    const { id } = client;
    client.close();
    assert.equal(await serverReason(id), "transport close");
  });

  it("gets all that a handler sends, which waits for each message to be taken", async () => {
    const client = await connect();
    const received = collect(client, "message", 300);
    client.send("slow 300");
    await received;
  });

  ours("ends a session whose message is too long", async () => {
    const client = await connect();
    const closed = ended(client);
    client.send("x".repeat(200_000));
    assert.match((await closed)[0], /^transport (close|error)$/);
  });
});
