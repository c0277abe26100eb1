// Clients that connect through nginx and HAProxy, with the snippets of docs/deployment.md. The proxies end TLS.
import assert from "node:assert/strict";
import { Agent as HttpAgent, createServer } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { EventEmitter, once } from "node:events";
import { describe, it } from "node:test";
import WebSocket from "ws";
import { replaced, snippet } from "../support/deployment.js";
import { engineUrl } from "../support/http.js";
import { Http2Connection } from "../support/http2.js";
import { ca, haproxy, nginx, startSite } from "../support/proxies.js";
import { startApplication, startConformanceServer } from "../support/server.js";
import { inFiles, makeCertificate } from "../support/certificate.js";
import { acknowledged, describeOurs, ours, reasonFor, serverForTests, TRANSPORTS } from "../support/suite.js";
import { collect, next, within } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

for (const proxy of [nginx, haproxy]) {
  describe(`behind ${proxy.name}`, () => {
    const site = serverForTests(startSite, { proxy });

    for (const transport of TRANSPORTS) {
      it(`events and acknowledgements pass in both directions over ${transport}`, () => carriesEvents(site, transport));
      it(`binary and long messages pass in both directions over ${transport}`, () => carriesLongMessages(site, transport));
    }

    it("the upgrade keeps the session and the socket", async () => {
      const socket = site.client("polling, then upgraded");
      const opened = next(socket.io, "open");
      const connected = next(socket, "connect");
      socket.connect();
      await opened;
      const { engine } = socket.io;
      const session = engine.id;
      assert.equal(engine.transport.name, "polling");
      await Promise.all([next(engine, "upgrade"), connected]);
      assert.equal(engine.transport.name, "websocket");
      assert.equal(engine.id, session);
      assert.deepEqual(await acknowledged(socket, "rooms"), [[socket.id]]);
      const poll = await request(engineUrl(site.url, { sid: session }));
      assert.deepEqual([poll.status, poll.body], [400, '{"code":3,"message":"Bad request"}']);
    });

    it("a body that is too long for the server gets 413, and the session ends", async () => {
      const session = await openSession(site.url);
      const response = await session.post("4".repeat(1_020_000));
      assert.equal(response.status, 413);
      assert.equal((await session.get()).body, '{"code":1,"message":"Session ID unknown"}');
    });

    it("the end of a WebSocket by its client reaches the server at once", async () => {
      const watcher = await site.connect("websocket");
      const socket = await site.connect("polling, then upgraded");
      const reason = reasonFor(watcher, socket.id);
      socket.io.engine.transport.ws.terminate();
      assert.match(await reason, /^transport (close|error)$/);
    });

    for (const transport of TRANSPORTS) {
      it(`the end of a connection by the server reaches its client over ${transport}`, async () => {
        const socket = await site.connect(transport);
        const told = next(socket, "disconnect");
        socket.emit("kick-all");
        assert.match((await told)[0], /^(io server disconnect|transport close)$/);
      });
    }
  });

  describe(`a raw WebSocket behind ${proxy.name}`, () => {
    const site = serverForTests(startSite, { proxy, start: startApplication });

    it("carries text and binary messages in both directions", async () => {
      const raw = await Conversation.open(`${site.webSocketUrl}/ws`, { ca });
      for (const message of ["hello", every, "x".repeat(100_000)]) {
        raw.send(message);
        assert.deepEqual(await raw.receive(), message);
      }
      raw.socket.close(1000);
      assert.equal((await raw.ended()).code, 1000);
    });
  });

  describe(`a quiet connection behind ${proxy.name}`, () => {
    // As in the document, the ping interval is less than half of the timeouts. The difference is the time for which a busy
    // machine may stop the server or the client.
    const edit = (text) => replaced(text, "60s", "2500ms");
    const site = serverForTests(startSite, { proxy, edit, args: ["--ping-interval", "500"] });

    for (const transport of TRANSPORTS) {
      it(`outlasts the timeouts of the proxy over ${transport}`, async () => {
        const socket = await site.connect(transport);
        await collect(socket.io, "ping", 6);
        assert.deepEqual(await acknowledged(socket, "echo-ack", "alive"), ["alive"]);
      });
    }
  });

  describe(`timeouts of ${proxy.name} that are too short`, () => {
    const edit = (text) => replaced(text, "60s", "400ms");
    const site = serverForTests(startSite, { proxy, edit });

    for (const [transport, reason] of [
      ["polling", "transport error"],
      ["websocket", "transport close"],
    ]) {
      it(`end a connection as \`${reason}\` over ${transport}, and the client reconnects`, async () => {
        const socket = await site.connect(transport, { reconnection: true, reconnectionDelay: 10 });
        const id = socket.id;
        const [told, details] = await next(socket, "disconnect");
        assert.equal(told, reason);
        if (transport === "polling") assert.equal(details.description, 504);
        await next(socket, "connect");
        assert.notEqual(socket.id, id);
      });
    }
  });

  describe(`two processes behind ${proxy.name}`, () => {
    const site = serverForTests(startSite, { proxy, count: 2 });

    for (const transport of TRANSPORTS) {
      it(`serve clients over ${transport}`, async () => {
        for (const socket of await Promise.all([1, 2, 3].map(() => site.connect(transport)))) {
          for (const number of [1, 2, 3]) assert.deepEqual(await acknowledged(socket, "echo-ack", number), [number]);
        }
      });
    }
  });

  describe(`two processes behind ${proxy.name}, without sticky sessions`, () => {
    const edit = (text) => replaced(text, / +(hash \$remote_addr consistent;|balance source|hash-type consistent)\n/g, "");
    const site = serverForTests(startSite, { proxy, edit, count: 2 });

    it("refuse polls as `Session ID unknown`", async () => {
      const session = await openSession(site.url);
      const answers = [await session.post("40"), await session.post('42["echo"]')];
      const seen = answers.map(({ status, body }) => `${status} ${body}`);
      assert.ok(seen.includes('400 {"code":1,"message":"Session ID unknown"}'), seen.join());
    });

    it("serve clients over websocket", () => carriesEvents(site, "websocket"));
  });

  describe(`a server that stops and starts again behind ${proxy.name}`, () => {
    const site = serverForTests(startSite, { proxy });

    for (const transport of TRANSPORTS) {
      it(`finds its clients again over ${transport}`, async () => {
        const reconnection = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 100 };
        const socket = await site.connect(transport, reconnection);
        const { servers } = site.server;
        const listen = `127.0.0.1:${servers[0].port}`;
        const told = next(socket, "disconnect");
        const connected = next(socket, "connect");
        await servers[0].stop();
        servers[0] = await startConformanceServer({ listen });
        assert.match((await told)[0], /^transport (close|error)$/);
        await connected;
        assert.deepEqual(await acknowledged(socket, "echo-ack", "again"), ["again"]);
      });
    }
  });

  describe(`the server behind ${proxy.name}`, () => {
    const site = serverForTests(startSite, { proxy, start: startEchoOfRequests });

    it("sees at once that a client has given up its poll", async () => {
      const [{ requests }] = site.server.servers;
      const arrived = next(requests, "request");
      const poll = httpsRequest(new URL("/held", site.url), { ca, agent: false });
      poll.on("error", () => {});
      poll.end();
      const [response] = await arrived;
      const gone = next(response, "close");
      poll.destroy();
      await gone;
      assert.equal(response.writableEnded, false);
    });

    it("sees the address that the proxy has seen, not the one that the client claims", async () => {
      const headers = { "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "http" };
      const answer = await request(new URL("/", site.url), { headers });
      const seen = JSON.parse(answer.body);
      assert.equal(seen.version, "1.1");
      assert.equal(seen.headers["x-forwarded-for"], "127.0.0.1");
      assert.equal(seen.headers["x-forwarded-proto"], "https");
      assert.match(seen.headers.host, /^localhost(:\d+)?$/);
    });
  });
}

for (const proxy of [nginx, haproxy]) {
  describeOurs(`addresses of clients behind ${proxy.name}`, () => {
    const site = serverForTests(startSite, { proxy, args: ["--trusted-proxy", "127.0.0.1"] });

    for (const transport of TRANSPORTS) {
      ours(`are those that the proxy has seen over ${transport}`, async () => {
        for (const address of ["127.0.0.2", "127.0.0.3"]) {
          const socket = await site.connect(transport, {
            agent: from(address),
            extraHeaders: { "x-forwarded-for": "192.0.2.1", forwarded: "for=192.0.2.1" },
          });
          assert.deepEqual(await acknowledged(socket, "address"), [address]);
        }
      });
    }
  });

  describe(`addresses of clients behind ${proxy.name}, which the server does not trust`, () => {
    const site = serverForTests(startSite, { proxy });

    ours("are that of the proxy", async () => {
      const socket = await site.connect("websocket", { agent: from("127.0.0.2") });
      assert.deepEqual(await acknowledged(socket, "address"), ["127.0.0.1"]);
    });
  });

  describeOurs(`a limit per address behind ${proxy.name}`, () => {
    const args = ["--trusted-proxy", "127.0.0.1", "--max-sessions-per-address", "1", "--limit-private-addresses"];
    const site = serverForTests(startSite, { proxy, start: startApplication, args });

    for (const [transport, one, other] of [
      ["polling", "127.0.0.2", "127.0.0.3"],
      ["websocket", "127.0.0.4", "127.0.0.5"],
    ]) {
      ours(`keeps out only the address that has reached it over ${transport}`, async () => {
        const first = await site.connect(transport, { agent: from(one) });
        const options = { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 50 };
        const second = site.client(transport, { agent: from(one), ...options });
        const refused = next(second, "connect_error");
        second.connect();
        const [error] = await refused;
        const description = transport === "polling" ? error.description : error.description.message;
        assert.match(String(description), /429/);
        await site.connect(transport, { agent: from(other) });
        // The official client comes back by itself.
        const connected = next(second, "connect");
        first.disconnect();
        await connected;
      });
    }
  });
}

describeOurs("a proxy that forwards TCP and speaks the PROXY protocol", () => {
  const localhost = makeCertificate("localhost");
  const document = snippet("haproxy", "The PROXY protocol");
  const trusted = ["--trusted-proxy", "127.0.0.1", "--proxy-protocol"];

  for (const [version, text] of [
    ["version 2", document],
    ["version 1", replaced(document, "send-proxy-v2", "send-proxy")],
  ]) {
    describe(`in ${version}`, () => {
      const proxy = { ...haproxy, site: text };
      const site = serverForTests(startPlainSite, { proxy, args: [...trusted, "true"] });

      for (const transport of TRANSPORTS) {
        ours(`reports the addresses of clients over ${transport}`, async () => {
          const socket = await site.connect(transport, {
            agent: new HttpAgent({ localAddress: "127.0.0.2" }),
            extraHeaders: { "x-forwarded-for": "192.0.2.1" },
          });
          assert.deepEqual(await acknowledged(socket, "address"), ["127.0.0.2"]);
          await eventsInOrder(socket);
        });
      }

      ours("is the only one that may connect", async () => {
        const direct = new WebSocket(`ws://127.0.0.1:${site.server.servers[0].port}/socket.io/?EIO=4&transport=websocket`);
        const [error] = await next(direct, "error");
        assert.match(error.message, /socket hang up|ECONNRESET/);
      });
    });
  }

  describe("in front of a server that ends TLS", () => {
    const { args } = inFiles(localhost);
    const proxy = { ...haproxy, site: document };
    const options = { proxy, start: startApplication, args: [...trusted, ...args] };
    const site = serverForTests(startSite, options);

    ours("passes TLS on", async () => {
      const ca = localhost.certificate;
      const socket = await site.connect("polling, then upgraded", { ca });
      assert.deepEqual(await acknowledged(socket, "message", "hello"), []);
    });
  });
});

describe("behind HAProxy with Debian's defaults", () => {
  const defaults = replaced(haproxy.site, /^ +(option|timeout) .*\n/gm, "");
  const site = serverForTests(startSite, { proxy: { ...haproxy, site: defaults } });

  for (const transport of TRANSPORTS) {
    it(`events and acknowledgements pass over ${transport}`, () => carriesEvents(site, transport));
  }
});

describe("HTTP/2 to HAProxy", () => {
  const site = serverForTests(startSite, { proxy: haproxy });

  it("carries long-polling", async () => {
    const http2 = await Http2Connection.open(site.url, { ca });
    const open = await http2.request("/socket.io/?EIO=4&transport=polling");
    assert.equal(open.status, 200);
    const path = `/socket.io/?EIO=4&transport=polling&sid=${JSON.parse(open.body.slice(1)).sid}`;
    const poll = http2.request(path);
    assert.equal((await http2.request(path, { method: "POST", body: "40" })).body, "ok");
    assert.match((await poll).body, /^40\{"sid":/);
    http2.destroy();
  });

  it("carries a WebSocket", async () => {
    const http2 = await Http2Connection.open(site.url, { ca });
    assert.equal(http2.mayConnect, true);
    const raw = await http2.openWebSocket("/socket.io/?EIO=4&transport=websocket");
    assert.match(await raw.receive(), /^0\{"sid":/);
    raw.send("40");
    assert.match(await raw.receive(), /^40\{"sid":/);
    raw.send('420["echo-ack","over HTTP/2"]');
    assert.equal(await raw.receive(), '430["over HTTP/2"]');
    http2.destroy();
  });
});

for (const buffering of ["on", "off"]) {
  describe(`behind nginx with buffering ${buffering}`, () => {
    const directives = `proxy_buffering ${buffering}; proxy_request_buffering ${buffering};`;
    const edit = (text) => replaced(text, /(?<=location \/ \{\n)/g, directives);
    const site = serverForTests(startSite, { proxy: nginx, edit });

    for (const transport of TRANSPORTS) {
      it(`nothing changes over ${transport}`, async () => {
        await carriesEvents(site, transport);
        await carriesLongMessages(site, transport);
      });
    }
  });
}

describe("a body that is longer than nginx allows", () => {
  const args = ["--max-payload", "3000000"];

  describe("by default", () => {
    const site = serverForTests(startSite, { proxy: nginx, args });

    it("is refused with 413, and the session goes on", async () => {
      const session = await openSession(site.url);
      const answer = await session.post("4".repeat(1_100_000));
      assert.equal(answer.status, 413);
      assert.match(answer.headers.server, /nginx/);
      assert.equal((await session.post("40")).body, "ok");
    });

    it("is `transport error` with 413 to the official client", async () => {
      const socket = await site.connect("polling");
      const told = next(socket, "disconnect");
      socket.emit("echo", "x".repeat(2_000_000));
      const [reason, details] = await told;
      assert.deepEqual([reason, details.description], ["transport error", 413]);
    });

    it("passes over a WebSocket", () => carriesLongMessages(site, "websocket", 2_000_000));
  });

  describe("with another client_max_body_size", () => {
    const edit = (text) => replaced(text, "client_max_body_size 1m", "client_max_body_size 3m");
    const site = serverForTests(startSite, { proxy: nginx, edit, args });

    it("passes over polling", () => carriesLongMessages(site, "polling", 2_000_000));
  });
});

describe("behind nginx with its defaults, which are HTTP/1.0 to the server", () => {
  const edit = (text) => replaced(text, /^ +location [^]*?^ +}\n/gm, snippet("nginx", "Long-polling only"));
  // The port in the snippet is that of the upstream.
  const proxy = { ...nginx, site: edit(nginx.site) };
  const site = serverForTests(startSite, { proxy });
  const echo = serverForTests(startSite, { proxy, start: startEchoOfRequests });

  it("polling carries events and acknowledgements", () => carriesEvents(site, "polling"));

  it("polling carries binary and long messages", () => carriesLongMessages(site, "polling"));

  it("a client that cannot upgrade stays on polling, and loses nothing", async () => {
    const socket = site.client("polling, then upgraded");
    const opened = next(socket.io, "open");
    socket.connect();
    await opened;
    await next(socket.io.engine, "upgradeError");
    assert.equal(socket.io.engine.transport.name, "polling");
    await eventsInOrder(socket);
  });

  it("a client that uses only WebSocket cannot connect", async () => {
    await assert.rejects(site.connect("websocket"), /websocket error/);
  });

  it("the server sees HTTP/1.0", async () => {
    const answer = await request(new URL("/", echo.url), { headers: { upgrade: "websocket", connection: "upgrade" } });
    const { version, headers } = JSON.parse(answer.body);
    assert.deepEqual([version, headers.upgrade, headers.connection], ["1.0", undefined, "close"]);
  });
});

describeOurs("the command of the systemd unit", () => {
  const command = /^ExecStart=\/usr\/local\/bin\/tidewire serve --listen 127\.0\.0\.1:3000 (.+)$/m;
  const [, options] = command.exec(snippet("ini", "/etc/systemd/system/tidewire.service"));
  const site = serverForTests(startSite, { proxy: nginx, start: startApplication, args: options.split(" ") });

  ours("starts a server that lets in the pages of the named origin, through a proxy", async () => {
    const open = (origin) => request(engineUrl(site.url), { headers: { origin } });
    const { headers } = await open("https://app.example.com");
    assert.equal(headers["access-control-allow-origin"], "https://app.example.com");
    assert.equal((await open("https://other.example")).headers["access-control-allow-origin"], undefined);
    const socket = await site.connect("polling, then upgraded", { extraHeaders: { origin: "https://app.example.com" } });
    assert.deepEqual(await acknowledged(socket, "message", "hello"), []);
    const stranger = new WebSocket(`${site.webSocketUrl}/ws`, { ca, origin: "https://other.example" });
    const [error] = await next(stranger, "error");
    assert.match(error.message, /403/);
  });
});

/** The agent of a client with this address. */
const from = (localAddress) => new Agent({ ca, localAddress });

/** Like `startSite`, for a proxy that forwards the connections of clients without TLS. */
async function startPlainSite(options) {
  const site = await startSite(options);
  site.url = site.url.replace("https:", "http:");
  site.webSocketUrl = site.webSocketUrl.replace("wss:", "ws:");
  return site;
}

async function carriesEvents(site, transport) {
  const socket = await site.connect(transport);
  assert.equal(socket.io.engine.transport.name, transport === "polling" ? "polling" : "websocket");
  await eventsInOrder(socket);
  socket.on("question", (question, acknowledge) => acknowledge(`${question}!`));
  const answered = next(socket, "answered");
  socket.emit("ask-me", "really");
  assert.deepEqual(await answered, ["really!"]);
}

async function eventsInOrder(socket) {
  const seen = [];
  socket.on("echo-back", (number) => seen.push(number));
  const numbers = Array.from({ length: 50 }, (_, number) => number);
  for (const number of numbers) {
    socket.emit("echo", number);
    if (number % 10 === 9) assert.deepEqual(await acknowledged(socket, "echo-ack", number), [number]);
  }
  assert.deepEqual(seen, numbers);
}

/** The length includes an attachment, which polling sends as base64. */
async function carriesLongMessages(site, transport, length = 900_000) {
  const socket = await site.connect(transport);
  const values = ["x".repeat(length), every, Buffer.alloc(length / 2, every)];
  for (const value of values) {
    const echoed = next(socket, "echo-back");
    socket.emit("echo", value);
    assert.deepEqual(await echoed, [value]);
  }
}

/** Sends one request through a proxy, on a new connection. Returns `{ status, headers, body }`. */
function request(url, { body, ...options } = {}) {
  const answer = new Promise((resolve, reject) => {
    const outgoing = httpsRequest(url, { ca, agent: false, ...options }, async (response) => {
      const chunks = [];
      try {
        for await (const chunk of response) chunks.push(chunk);
      } catch (error) {
        return reject(error);
      }
      resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() });
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
  return within(10_000, `the answer to ${url}`, answer);
}

/** Opens a session whose requests the test sends itself. */
async function openSession(base) {
  const { sid } = JSON.parse((await request(engineUrl(base))).body.slice(1));
  const url = engineUrl(base, { sid });
  return { url, get: () => request(url), post: (body) => request(url, { method: "POST", body }) };
}

/** For `startSite`: a server that responds with what it has received. It holds requests for `/held`. */
async function startEchoOfRequests() {
  const requests = new EventEmitter();
  const server = createServer(({ url, httpVersion: version, headers }, response) => {
    if (url === "/held") requests.emit("request", response);
    else response.end(JSON.stringify({ version, headers }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: server.address().port,
    requests,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}
