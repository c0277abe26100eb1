// The connection of a client, on a network and with a clock that the tests control.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fakeBrowser, network, OPEN, request, settle } from "./support/fakes.js";
import { source } from "./support/source.js";

const { io, Manager } = await source("index");

let page;
beforeEach(() => (page = fakeBrowser()));
afterEach(() => page.restore());

/** Creates a client. `socket.seen` lists its events. */
function client(options) {
  const socket = io("http://example.com", { forceNew: true, transports: ["polling"], randomizationFactor: 0, ...options });
  socket.seen = [];
  socket.on("connect", () => socket.seen.push("connect"));
  socket.on("connect_error", ({ message }) => socket.seen.push(`connect_error: ${message}`));
  socket.on("disconnect", (reason) => socket.seen.push(`disconnect: ${reason}`));
  socket.onAny((...event) => socket.seen.push(event));
  return socket;
}

/** Lets the client connect over polling. Its next GET is waiting then. */
async function accept(handshake) {
  await request("GET").answer(OPEN(handshake));
  assert.equal(request("POST").body, "40");
  await request("GET").answer('40{"sid":"id"}');
}

/** Answers the POST of the client, and returns its body. */
async function sent() {
  await settle();
  const post = request("POST");
  await post.answer("ok");
  return post.body;
}

async function connected(options, handshake) {
  const socket = client(options);
  await request("GET").answer(OPEN(handshake));
  assert.equal(await sent(), "40");
  await request("GET").answer('40{"sid":"id"}');
  assert.deepEqual(socket.seen.splice(0), ["connect"]);
  return socket;
}

async function connectedByWebSocket(options) {
  const socket = client({ transports: ["websocket"], ...options });
  const webSocket = network.sockets.pop();
  await webSocket.open();
  await webSocket.receive(OPEN());
  await webSocket.receive('40{"sid":"id"}');
  assert.deepEqual(webSocket.sent.splice(0), ["40"]);
  assert.deepEqual(socket.seen.splice(0), ["connect"]);
  return [socket, webSocket];
}

describe("polling", () => {
  it("asks for one session, with the options of the program", async () => {
    client({ path: "/my/", query: { a: "b c" }, withCredentials: true, extraHeaders: { "x-token": "1" }, timestampParam: "time" });
    const get = request("GET");
    const { time, ...parameters } = Object.fromEntries(get.url.searchParams);
    assert.equal(get.url.origin + get.url.pathname, "http://example.com/my/");
    assert.deepEqual(parameters, { a: "b c", EIO: "4", transport: "polling" });
    assert.ok(time);
    assert.deepEqual(get.init.headers, { "x-token": "1" });
    assert.equal(get.init.credentials, "include");
    await get.answer(OPEN());
    assert.equal(request("GET").url.searchParams.get("sid"), "session");
    const post = request("POST");
    assert.deepEqual(post.init.headers, { "x-token": "1", "content-type": "text/plain;charset=UTF-8" });
  });

  it("divides what it sends by the limit of the server, and sends what is too large alone", async () => {
    const socket = await connected();
    for (const size of [40, 30, 5, 200, 10]) socket.emit("e", "x".repeat(size));
    socket.emit("e", new Uint8Array(30), "ü".repeat(30));
    const bodies = [];
    await settle();
    while (network.requests.some(({ method }) => method === "POST")) bodies.push(await sent());
    const text = (size) => `42["e","${"x".repeat(size)}"]`;
    assert.deepEqual(bodies, [
      text(40),
      [text(30), text(5)].join("\x1e"),
      text(200),
      text(10),
      `451-["e",{"_placeholder":true,"num":0},"${"ü".repeat(30)}"]`,
      `b${"A".repeat(40)}`,
    ]);
    for (const body of bodies) assert.ok(Buffer.byteLength(body) <= 100 || !body.includes("\x1e"), body);
  });

  it("never has two requests of a kind at the same time", async () => {
    const socket = await connected();
    for (let number = 0; number < 5; number++) {
      socket.emit("e", number);
      await settle();
    }
    assert.deepEqual(network.requests.map(({ method }) => method).sort(), ["GET", "POST"]);
    assert.equal(await sent(), '42["e",0]');
    assert.equal(await sent(), [1, 2, 3, 4].map((number) => `42["e",${number}]`).join("\x1e"));
  });

  it("does not spin if the server always responds with nothing", async () => {
    await connected();
    for (let number = 0; number < 11; number++) await request("GET").answer("6");
    assert.throws(() => request("GET"), /no GET/);
    await page.pass(100);
    await request("GET").answer("6", '42["e"]');
    request("GET");
  });

  it("delivers all events of a response, then the end of the connection", async () => {
    const socket = await connected({ reconnection: false });
    await request("GET").answer('42["a"]', '42["b"]', "1", '42["c"]');
    assert.deepEqual(socket.seen, [["a"], ["b"], "disconnect: transport close"]);
  });

  it("is given up when a request fails, and the server is not told", async () => {
    for (const [method, message] of [["GET", "fetch read error"], ["POST", "fetch write error"]]) {
      for (const failure of [(request) => request.fail(), (request) => request.answer(413)]) {
        const socket = await connected({ reconnection: false });
        let details;
        socket.on("disconnect", (_reason, description) => (details = description));
        socket.emit("e");
        await settle();
        await failure(request(method));
        assert.deepEqual(socket.seen, ["disconnect: transport error"]);
        assert.equal(details.message, message);
        assert.equal(details.type, "TransportError");
        assert.ok(details.description === 413 || details.description instanceof TypeError);
        assert.ok(network.requests.splice(0).every(({ aborted }) => aborted));
      }
    }
  });

  it("ends a session that the page has closed before it was open", async () => {
    const socket = client();
    socket.disconnect();
    await request("GET").answer(OPEN());
    const post = request("POST");
    assert.equal(post.body, "1");
    assert.equal(post.url.searchParams.get("sid"), "session");
    assert.equal(post.init.keepalive, true);
    await post.answer("ok");
    assert.deepEqual(network.requests, []);
  });

  it("does not wait for ever for the end of a session", async () => {
    const socket = await connected();
    socket.disconnect();
    assert.equal(await sent(), "41");
    const [get, post] = [request("GET"), request("POST")];
    assert.equal(post.body, "1");
    await page.pass(10_000);
    assert.deepEqual([get.aborted, post.aborted], [true, true]);
  });

  it("has a limit for the time of a request, if the program sets one", async () => {
    const socket = client({ requestTimeout: 1000, reconnection: false });
    await page.pass(1000);
    assert.equal(request("GET").aborted, true);
    assert.deepEqual(socket.seen, ["connect_error: fetch read error"]);
  });
});

describe("bad input of a server", () => {
  for (const text of ["", "<!doctype html>", "7", "0", "0{}", '0{"sid":"a"}', '0{"sid":"a","upgrades":5,"pingInterval":1,"pingTimeout":1}']) {
    it(`ends an attempt to connect: ${text}`, async () => {
      const socket = client({ reconnection: false });
      await request("GET").answer(text);
      assert.deepEqual(socket.seen, ["connect_error: server error"]);
      assert.deepEqual(network.requests, []);
    });
  }

  for (const [text, reason] of [
    ["x", "transport error"],
    ["b!", "transport error"],
    ["4", "parse error"],
    ['42["e"', "parse error"],
    ['451-["e",{"_placeholder":true,"num":5}]\x1ebAAAA', "parse error"],
    ["bAAAA", "parse error"],
  ]) {
    it(`ends a connection: ${text}`, async () => {
      const socket = await connected();
      await request("GET").answer(text);
      assert.deepEqual(socket.seen, [`disconnect: ${reason}`]);
      network.requests.length = 0;
      await page.pass(5000);
      request("GET"); // the next attempt
    });
  }

  it("does not make a timer fire at once, whatever the interval of the heartbeat", async () => {
    const socket = await connected({}, { pingInterval: 2 ** 40 });
    await page.pass(1_000_000);
    assert.deepEqual(socket.seen, []);
  });

  it("does not reach a namespace that is not connected", async () => {
    const socket = await connected();
    await request("GET").answer('42/other,["e"]', "43/other,5[]", "4399[]", "41/other,");
    assert.deepEqual(socket.seen, []);
  });
});

describe("the heartbeat", () => {
  it("is answered, and its end ends the connection", async () => {
    const socket = await connected();
    await page.pass(44_999);
    await request("GET").answer("2");
    assert.equal(await sent(), "3");
    await page.pass(44_999);
    assert.deepEqual(socket.seen, []);
    await page.pass(1);
    assert.deepEqual(socket.seen, ["disconnect: ping timeout"]);
    assert.equal(request("POST").body, "1");
  });

  it("does not end the connection of a page that was suspended while the ping is waiting", async () => {
    const [socket, webSocket] = await connectedByWebSocket();
    page.suspend(600_000);
    await page.pass(0); // the timer fires first
    await webSocket.receive("2", '42["missed"]');
    await page.pass(5_000);
    assert.deepEqual(socket.seen, [["missed"]]);
    assert.deepEqual(webSocket.sent, ["3"]);
  });

  it("ends it soon if no ping is waiting", async () => {
    const [socket, webSocket] = await connectedByWebSocket();
    page.suspend(600_000);
    await page.pass(0);
    await page.pass(2_000);
    assert.deepEqual(socket.seen, ["disconnect: ping timeout"]);
    assert.ok(webSocket.closed);
  });

  it("holds back events while it is overdue, keeps their order, and drops volatile ones", async () => {
    const [socket, webSocket] = await connectedByWebSocket();
    page.suspend(600_000);
    socket.emit("a");
    socket.volatile.emit("b");
    socket.emit("c");
    assert.deepEqual(webSocket.sent, []);
    await webSocket.receive("2");
    socket.emit("d");
    await settle();
    assert.deepEqual(webSocket.sent, ["3", '42["a"]', '42["c"]', '42["d"]']);
  });

  it("loses no event that it has held back if the connection is dead", async () => {
    const [socket] = await connectedByWebSocket({ reconnectionDelay: 10 });
    page.suspend(600_000);
    socket.emit("a");
    await page.pass(2_000);
    await page.pass(10);
    const webSocket = network.sockets.pop();
    await webSocket.open();
    await webSocket.receive(OPEN(), '40{"sid":"id2"}');
    assert.deepEqual(webSocket.sent, ["40", '42["a"]']);
  });
});

describe("reconnecting", () => {
  it("is not faster for a server that ends each connection at once", async () => {
    const socket = client({ transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 1000 });
    const attempts = [];
    socket.io.on("reconnect_attempt", (attempt) => attempts.push(attempt));
    for (const delay of [100, 200, 400, 800, 1000, 1000]) {
      const webSocket = network.sockets.pop();
      await webSocket.open();
      await webSocket.receive(OPEN(), '40{"sid":"id"}');
      await webSocket.end();
      await page.pass(delay - 1);
      assert.equal(network.sockets.length, 0);
      await page.pass(1);
    }
    assert.deepEqual(attempts, [1, 1, 1, 1, 1, 1]);
    // After a connection that lasts, the delays begin again.
    const webSocket = network.sockets.pop();
    await webSocket.open();
    await webSocket.receive(OPEN(), '40{"sid":"id"}');
    await page.pass(1001);
    await webSocket.end();
    await page.pass(100);
    assert.equal(network.sockets.length, 1);
  });

  it("can be ended by a listener, and begun again", async () => {
    const socket = client({ reconnectionDelay: 100 });
    socket.io.once("reconnect_attempt", () => socket.disconnect());
    await request("GET").fail();
    await page.pass(100);
    assert.throws(() => request("GET"), /no GET/);
    await page.pass(100_000);
    assert.throws(() => request("GET"), /no GET/);
    socket.connect();
    await accept();
    assert.equal(socket.connected, true);
  });

  it("does not wait if the program opens the connection itself", async () => {
    const socket = client({ reconnectionDelay: 100 });
    await request("GET").fail();
    socket.io.open();
    await request("GET").fail();
    await page.pass(200); // the second delay
    await accept();
    assert.equal(socket.connected, true);
  });
});

describe("what the browser says", () => {
  it("ends the connection when the network is lost, but not to this machine", async () => {
    const [socket, webSocket] = await connectedByWebSocket({ reconnection: false });
    await page.dispatch("offline");
    assert.deepEqual(socket.seen, ["disconnect: transport close"]);
    assert.ok(webSocket.closed);
    const local = new Manager("http://localhost:3000", { transports: ["websocket"] });
    await network.sockets.at(-1).open();
    await network.sockets.at(-1).receive(OPEN());
    await page.dispatch("offline");
    assert.equal(local.engine.readyState, "open");
  });

  it("makes a client try again soon when the network or the page is back", async () => {
    for (const [event, members] of [["online"], ["pageshow", { persisted: true }]]) {
      const options = { reconnectionDelay: 1000, reconnectionDelayMax: 60_000 };
      const socket = client(options);
      await request("GET").fail();
      for (const delay of [1000, 2000, 4000, 8000]) {
        await page.pass(delay);
        await request("GET").fail();
      }
      await page.pass(100); // of 16 s
      await page.dispatch("pageshow", { persisted: false }); // the load of the page
      await page.pass(1000);
      assert.throws(() => request("GET"), /no GET/);
      await page.dispatch(event, members);
      await page.pass(999);
      assert.throws(() => request("GET"), /no GET/);
      await page.pass(1);
      await accept();
      assert.equal(socket.seen.at(-1), "connect");
      network.requests.length = 0;
      socket.io._close();
      network.requests.length = 0;
    }
  });

  it("ends the connection of a page that goes into the back/forward cache, and opens it when the page is back", async () => {
    const [socket, webSocket] = await connectedByWebSocket();
    await page.dispatch("pagehide", { persisted: false });
    assert.deepEqual(socket.seen, []);
    await page.dispatch("pagehide", { persisted: true });
    assert.deepEqual(socket.seen, ["disconnect: transport close"]);
    assert.ok(webSocket.closed);
    page.suspend(600_000);
    await page.dispatch("pageshow", { persisted: true });
    await page.pass(1000);
    assert.equal(network.sockets.length, 1);
  });

  it("ends the connection before the page is left, if the program wants this, and tells nobody in the page", async () => {
    const socket = await connected({ closeOnBeforeunload: true });
    await page.dispatch("beforeunload");
    const post = request("POST");
    assert.deepEqual([post.body, post.init.keepalive], ["1", true]);
    assert.deepEqual(socket.seen, []);
  });

  it("is not listened to after the end", async () => {
    const listening = new Set();
    for (const name of ["addEventListener", "removeEventListener"]) {
      const original = globalThis[name];
      globalThis[name] = (event, listener) => {
        if (name === "addEventListener") listening.add(listener);
        else listening.delete(listener);
        original(event, listener);
      };
    }
    const socket = client({ closeOnBeforeunload: true });
    await request("GET").fail();
    assert.ok(listening.size > 0);
    await page.pass(1000);
    await accept();
    socket.disconnect();
    await settle();
    network.requests.length = 0;
    socket.io.engine._end("forced close");
    assert.equal(listening.size, 0);
  });
});

describe("the change to WebSocket", () => {
  const upgrade = { transports: ["polling", "websocket"] };

  async function probed() {
    const socket = await connected(upgrade, { upgrades: ["websocket"] });
    const webSocket = network.sockets.pop();
    assert.equal(webSocket.url.searchParams.get("sid"), "session");
    await webSocket.open();
    assert.deepEqual(webSocket.sent, ["2probe"]);
    return [socket, webSocket];
  }

  it("waits for the requests that run, and sends then what has waited", async () => {
    const [socket, webSocket] = await probed();
    socket.emit("a");
    await settle();
    await webSocket.receive("3probe");
    socket.emit("b");
    await settle();
    assert.equal(await sent(), '42["a"]');
    assert.deepEqual(webSocket.sent, ["2probe"]);
    await request("GET").answer("6", '42["last"]');
    assert.deepEqual(webSocket.sent, ["2probe", "5", '42["b"]']);
    assert.deepEqual(socket.seen, [["last"]]);
    assert.equal(socket.io.engine.transport.name, "websocket");
    assert.deepEqual(network.requests, []);
    await webSocket.receive('42["first"]');
    assert.deepEqual(socket.seen, [["last"], ["first"]]);
  });

  for (const [name, fail] of [
    ["fails", (webSocket) => webSocket.fail()],
    ["ends", (webSocket) => webSocket.end()],
    ["is silent", () => page.pass(10_000)],
  ]) {
    it(`is given up if the WebSocket ${name}, and polling goes on`, async () => {
      const [socket, webSocket] = await probed();
      const errors = [];
      socket.io.engine.on("upgradeError", (error) => errors.push(error.message));
      await fail(webSocket);
      assert.deepEqual(errors, ["probe error"]);
      socket.emit("a");
      await settle();
      assert.equal(await sent(), '42["a"]');
      await request("GET").answer('42["b"]');
      assert.deepEqual(socket.seen, [["b"]]);
      assert.ok(webSocket.closed);
    });

    it(`is given up if the WebSocket ${name} before the last request ends, and nothing is lost`, async () => {
      const [socket, webSocket] = await probed();
      await webSocket.receive("3probe");
      socket.emit("a");
      await fail(webSocket);
      assert.equal(await sent(), '42["a"]');
      await request("GET").answer('42["b"]');
      await request("GET").answer('42["c"]');
      assert.deepEqual(socket.seen, [["b"], ["c"]]);
      assert.equal(socket.io.engine.upgrading, false);
    });
  }

  it("is given up if the server does not answer the probe as it must", async () => {
    const [socket, webSocket] = await probed();
    await webSocket.receive("3");
    assert.ok(webSocket.closed);
    assert.equal(socket.io.engine.transport.name, "polling");
  });

  it("ends with the connection", async () => {
    const [socket, webSocket] = await probed();
    socket.disconnect();
    assert.equal(await sent(), "41");
    assert.ok(webSocket.closed);
    await webSocket.receive("3probe");
    assert.deepEqual(webSocket.sent, ["2probe"]);
  });

  it("does not happen if the program or the server does not want it", async () => {
    for (const [options, upgrades] of [[{ upgrade: false }, ["websocket"]], [{}, []], [{}, ["webtransport", "constructor"]]]) {
      await connected({ ...upgrade, ...options }, { upgrades });
      network.requests.length = 0;
    }
    assert.deepEqual(network.sockets, []);
  });

  it("is remembered, if the program wants this", async () => {
    const [, webSocket] = await probed();
    await webSocket.receive("3probe");
    await request("GET").answer("6");
    client({ ...upgrade, rememberUpgrade: true });
    assert.equal(network.sockets.length, 1);
    assert.deepEqual(network.requests, []);
  });
});

describe("a namespace", () => {
  it("is requested once, however often the program connects", async () => {
    const socket = client();
    await request("GET").answer(OPEN());
    socket.connect().connect();
    await settle();
    assert.equal(await sent(), "40");
    assert.throws(() => request("POST"), /no POST/);
  });

  it("is not requested by a function that answers after the end of its connection", async () => {
    const callbacks = [];
    const socket = client({ auth: (send) => callbacks.push(send), reconnectionDelay: 10 });
    await request("GET").answer(OPEN());
    await request("GET").answer("1");
    await page.pass(10);
    await request("GET").answer(OPEN());
    assert.equal(callbacks.length, 2);
    callbacks[0]({ token: "old" });
    callbacks[1]({ token: "new" });
    callbacks[1]({ token: "again" });
    await settle();
    assert.equal(await sent(), '40{"token":"new"}');
    assert.throws(() => request("POST"), /no POST/);
    socket.disconnect();
  });

  it("gets no answer to an event of an earlier connection", async () => {
    const [socket, webSocket] = await connectedByWebSocket({ reconnectionDelay: 10 });
    let answer;
    socket.on("question", (callback) => (answer = callback));
    await webSocket.receive('420["question"]');
    await webSocket.end();
    await page.pass(10);
    const next = network.sockets.pop();
    await next.open();
    await next.receive(OPEN());
    answer("too early");
    await next.receive('40{"sid":"id2"}');
    answer("too late");
    await settle();
    assert.deepEqual(next.sent, ["40"]);
  });

  it("gets the events before its connection once, also if the server sends them again", async () => {
    const [socket, webSocket] = await connectedByWebSocket({ reconnectionDelay: 10 });
    await webSocket.end();
    for (const isLast of [false, true]) {
      await page.pass(10 + 20 * isLast);
      const next = network.sockets.pop();
      await next.open();
      await next.receive(OPEN(), '42["missed","offset"]');
      if (isLast) await next.receive('40{"sid":"id"}');
      else await next.end();
    }
    assert.deepEqual(socket.seen.filter(Array.isArray), [["missed", "offset"]]);
  });

  it("asks for recovery with the last text that can be an offset, and forgets it with its session", async () => {
    const socket = client({ transports: ["websocket"], reconnectionDelay: 10 });
    for (const [sent, events] of [
      ["40", ['42["moved",1,"7_1-a"]', '42["said","hello you"]', '421["asked","text"]', '42["said",""]']],
      ['40{"pid":"secret-1","offset":"7_1-a"}', []],
      ['40{"pid":"secret-2"}', []],
    ]) {
      const webSocket = network.sockets.pop();
      await webSocket.open();
      await webSocket.receive(OPEN());
      assert.deepEqual(webSocket.sent.splice(0), [sent]);
      // The second session is another one, because the server has refused the recovery of the first.
      await webSocket.receive(`40{"sid":"id","pid":"secret-${sent === "40" ? 1 : 2}"}`, ...events);
      await webSocket.end();
      await page.pass(20);
    }
    socket.close();
  });

  it("is not disturbed by a listener that throws, and the error is reported", async () => {
    const reported = [];
    const { queueMicrotask } = globalThis;
    globalThis.queueMicrotask = (call) => queueMicrotask(() => {
      try {
        call();
      } catch (error) {
        reported.push(error.message);
      }
    });
    try {
      const [socket, webSocket] = await connectedByWebSocket();
      socket.on("e", () => {
        throw new Error("mine");
      });
      socket.on("e", () => socket.seen.push("second listener"));
      await webSocket.receive('42["e"]', '42["f"]');
      assert.deepEqual(socket.seen, [["e"], "second listener", ["f"]]);
      assert.deepEqual(reported, ["mine"]);
    } finally {
      globalThis.queueMicrotask = queueMicrotask;
    }
  });
});

describe("the last words of a connection", () => {
  for (const [end, reason] of [
    [(socket) => socket.io.engine.close(), "forced close"],
    [(_socket, webSocket) => webSocket.end(), "transport close"],
    [(_socket, webSocket) => webSocket.fail(), "transport error"],
    [(_socket, webSocket) => webSocket.receive("41"), "io server disconnect"],
    [(socket) => socket.disconnect(), "io client disconnect"],
    [() => page.pass(45_000), "ping timeout"],
    [(_socket, webSocket) => webSocket.receive("4x"), "parse error"],
  ]) {
    it(`are "${reason}"`, async () => {
      const [socket, webSocket] = await connectedByWebSocket();
      await end(socket, webSocket);
      await settle();
      assert.deepEqual(socket.seen, [`disconnect: ${reason}`]);
      const reconnects = !reason.startsWith("io ");
      assert.equal(socket.active, reconnects);
      await page.pass(1000);
      assert.equal(network.sockets.length, reconnects ? 1 : 0);
    });
  }

  it("name what was wrong with an attempt that took too long, and end it", async () => {
    const socket = client({ timeout: 500, reconnection: false });
    const get = request("GET");
    await page.pass(500);
    assert.equal(get.aborted, true);
    assert.deepEqual(socket.seen, ["connect_error: timeout"]);
  });

  it("name what is missing if no transport is known", async () => {
    const socket = client({ transports: ["webtransport", "constructor"], reconnection: false });
    await settle();
    assert.deepEqual(socket.seen, ["connect_error: No transports available"]);
  });
});
