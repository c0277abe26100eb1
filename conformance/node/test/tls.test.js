// The binary with --tls-cert and --tls-key: which clients connect, and which errors the others receive.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe } from "node:test";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { inFiles, makeCertificate } from "../support/certificate.js";
import { request } from "../support/http.js";
import { runApplication, startApplication } from "../support/server.js";
import { ours } from "../support/suite.js";
import { next } from "../support/wait.js";
import { Conversation } from "../support/websocket.js";

const localhost = makeCertificate("localhost");
const ca = localhost.certificate;

/**
 * Runs the binary with this certificate while `test` runs. `test` receives the URL with the host name, and the server.
 */
async function encrypted(made, test, environment = {}) {
  const server = await startApplication({ args: inFiles(made).args, environment });
  assert.match(server.url, /^https:/);
  await test(server.url.replace("127.0.0.1", "localhost"), server);
  await server.stop();
  return server;
}

/** Returns the error of a WebSocket that cannot be opened. */
async function refused(url, options) {
  const [error] = await next(new WebSocket(url, options), "error");
  return error;
}

describe("the program with a certificate", () => {
  ours("speaks wss, and says goodbye when it stops", async () => {
    let conversation;
    await encrypted(localhost, async (url) => {
      conversation = await Conversation.open(`${url.replace("http", "ws")}/ws`, { ca });
      for (const message of ["hello", "x".repeat(1_000_000)]) {
        conversation.send(message);
        assert.equal(await conversation.receive(), message);
      }
    });
    assert.equal((await conversation.ended()).code, 1001);
  });

  for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
    ours(`speaks Socket.IO over ${transports.join(" and ")}`, () =>
      encrypted(localhost, async (url) => {
        const socket = io(url, { ca, transports, reconnection: false, forceNew: true });
        if (transports.length === 2) await next(socket.io.engine, "upgrade");
        else await next(socket, "connect");
        socket.emit("message", "hello");
        assert.deepEqual(await next(socket, "message"), ["Echo: hello"]);
        socket.disconnect();
      }));
  }

  ours("is not trusted by a client that does not know its authority", () =>
    encrypted(localhost, async (url) => {
      assert.match((await refused(`${url.replace("http", "ws")}/ws`)).code, /SELF_SIGNED_CERT/);
      for (const transport of ["polling", "websocket"]) {
        const socket = io(url, { transports: [transport], reconnection: false, forceNew: true });
        const [error] = await next(socket, "connect_error");
        assert.match(error.message, /^(xhr poll|websocket) error$/);
        socket.disconnect();
      }
    }));

  for (const [what, made, code] of [
    ["another host", makeCertificate("other.example"), "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["a time that is over", makeCertificate("localhost", { expired: true }), "CERT_HAS_EXPIRED"],
  ]) {
    ours(`is not trusted with one for ${what}`, () =>
      encrypted(made, async (url) => {
        const error = await refused(`${url.replace("http", "ws")}/ws`, { ca: made.certificate });
        assert.equal(error.code, code);
      }));
  }

  ours("tells a client that speaks in the clear what to do, and the log that there was one", async () => {
    const server = await encrypted(
      localhost,
      async (url) => {
        const answer = await request(url.replace("https", "http"));
        assert.equal(answer.status, 400);
        assert.match(answer.body, /https or wss/);
        const error = await refused(`${url.replace("https", "ws")}/ws`);
        assert.match(error.message, /400/);
      },
      { TIDEWIRE_LOG: "info" },
    );
    assert.match(server.errors(), /INFO .*a TLS handshake failed peer=127\.0\.0\.1:\d+ error=the client does not speak TLS/);
  });
});

describe("the program with a renewed certificate", () => {
  ours("uses it after SIGHUP for new connections, and keeps the former one if it is not valid", async () => {
    const renewed = makeCertificate("localhost");
    const files = inFiles(localhost);
    const server = await startApplication({ args: files.args, environment: { TIDEWIRE_LOG: "info" } });
    const url = `${server.webSocketUrl.replace("127.0.0.1", "localhost")}/ws`;
    const early = await Conversation.open(url, { ca });

    writeFileSync(files.certificate, renewed.certificate);
    server.signal("SIGHUP");
    await server.written(/ERROR .*the former certificate stays in use.*does not match/);
    (await Conversation.open(url, { ca })).end();

    writeFileSync(files.key, renewed.key);
    server.signal("SIGHUP");
    await server.written(/INFO .*the certificate was read again/);
    (await Conversation.open(url, { ca: renewed.certificate })).end();
    assert.match((await refused(url, { ca })).code, /SELF_SIGNED_CERT/);

    early.send("hello");
    assert.equal(await early.receive(), "hello");
    await server.stop();
  });
});

describe("the program without a certificate", () => {
  ours("answers a client that speaks TLS at once", async () => {
    const server = await startApplication();
    assert.match((await refused(`wss://localhost:${server.port}/ws`, { ca })).message, /wrong version number/);
    await server.stop();
  });
});

describe("the program ends with a status that is not 0", () => {
  const files = inFiles(localhost);
  const others = inFiles(makeCertificate("localhost"));
  for (const [what, args, words] of [
    ["without a key", ["--tls-cert", files.certificate], /--tls-key/],
    ["without a certificate", ["--tls-key", files.key], /--tls-cert/],
    ["when a file is missing", ["--tls-cert", "no/such.pem", "--tls-key", files.key], /cannot read no\/such\.pem/],
    ["when a file is another", ["--tls-cert", files.key, "--tls-key", files.key], /key\.pem: no certificate in the PEM data/],
    ["when the key is another", ["--tls-cert", files.certificate, "--tls-key", others.key], /certificate\.pem with the key .*private key does not match the first certificate/s],
  ]) {
    ours(`${what}, and says so`, async () => {
      const { status, errors } = await runApplication(["--listen", "127.0.0.1:0", ...args]);
      assert.notEqual(status, 0);
      assert.match(errors, words);
    });
  }

  ours("also when the environment names the files", async () => {
    const environment = { TIDEWIRE_TLS_CERT: files.certificate, TIDEWIRE_TLS_KEY: "no/such.pem" };
    const { status, errors } = await runApplication(["--listen", "127.0.0.1:0"], environment);
    assert.notEqual(status, 0);
    assert.match(errors, /cannot read no\/such\.pem/);
  });
});
