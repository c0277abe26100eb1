// nginx and HAProxy from Debian's packages, with the snippets of docs/deployment.md. They run as an ordinary user, on
// free ports, with all their files in a temporary folder.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makeCertificate } from "./certificate.js";
import { replaced, snippet } from "./deployment.js";
import { startConformanceServer } from "./server.js";
import { within } from "./wait.js";

// Ends the proxies that a failed test left running. SIGKILL would leave the workers of nginx running. The test runner
// stops a file with SIGTERM.
const running = new Set();
process.once("exit", () => running.forEach((child) => child.abandon()));
process.once("SIGTERM", () => process.exit(1));

// Root becomes `nobody`.
const user = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

const localhost = makeCertificate("localhost");

/** The certificate of every proxy, for clients. */
export const ca = localhost.certificate;

/**
 * Each proxy has a `name`, the snippet `site`, `several`, which makes a site for two processes of it, and `run`, which
 * returns the files of a site and the command line.
 */
export const nginx = {
  name: "nginx",
  site: snippet("nginx", "/etc/nginx/conf.d/tidewire.conf"),
  several: (site) => replaced(site, /^upstream[^]*?^}\n/gm, snippet("nginx", "Several processes")),
  run(site, port, folder) {
    site = replaced(site, "listen 443", `listen 127.0.0.1:${port}`);
    site = replaced(site, "/etc/ssl/app.example.com/", `${folder}/`);
    // The settings of Debian's nginx.conf that matter here, and what an ordinary user needs.
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    const main = `
      pid ${folder}/nginx.pid;
      error_log stderr warn;
      ${snippet("nginx", "/etc/nginx/nginx.conf")}
      http {
        ${temporary.map((what) => `${what}_temp_path ${folder}/${what};`).join("\n")}
        access_log off;
        sendfile on;
        tcp_nopush on;
        gzip on;
        include tidewire.conf;
      }`;
    return {
      files: {
        "nginx.conf": main,
        "tidewire.conf": site,
        "fullchain.pem": localhost.certificate,
        "privkey.pem": localhost.key,
      },
      command: process.env.TIDEWIRE_NGINX ?? "/usr/sbin/nginx",
      args: ["-p", folder, "-e", "stderr", "-c", join(folder, "nginx.conf"), "-g", "daemon off;"],
    };
  },
};

export const haproxy = {
  name: "HAProxy",
  site: snippet("haproxy", "/etc/haproxy/haproxy.cfg"),
  several: (site) => replaced(site, /^ +server .*\n/gm, snippet("haproxy", "Several processes")),
  run(site, port, folder) {
    site = replaced(site, "bind :443", `bind 127.0.0.1:${port}`);
    site = site.replaceAll("/etc/haproxy/", `${folder}/`); // the certificate, unless the server ends TLS
    // The section `defaults` of Debian's haproxy.cfg.
    const defaults = `
defaults
    mode http
    option httplog
    option dontlognull
    timeout connect 5000
    timeout client  50000
    timeout server  50000

`;
    return {
      files: { "haproxy.cfg": defaults + site, "app.example.com.pem": localhost.certificate + localhost.key },
      command: process.env.TIDEWIRE_HAPROXY ?? "/usr/sbin/haproxy",
      args: ["-db", "-f", join(folder, "haproxy.cfg")],
    };
  },
};

/**
 * Starts one or two servers behind `proxy`, for `serverForTests`. `edit` changes the snippet, `start` is a start
 * function from `server.js` with its `options`.
 */
export async function startSite({ proxy, edit = (site) => site, count = 1, start = startConformanceServer, ...options }) {
  const servers = await Promise.all(Array.from({ length: count }, () => start(options)));
  try {
    let site = count === 1 ? proxy.site : proxy.several(proxy.site);
    servers.forEach(({ port }, index) => (site = replaced(site, `127.0.0.1:${3000 + index}`, `127.0.0.1:${port}`)));
    return new Site(await startProxy(proxy, edit(site)), servers);
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop()));
    throw error;
  }
}

/** A running proxy, and the servers behind it. */
class Site {
  #proxy;
  clientOptions = { ca };

  constructor(proxy, servers) {
    this.#proxy = proxy;
    this.servers = servers;
    this.url = `https://localhost:${proxy.port}`;
    this.webSocketUrl = `wss://localhost:${proxy.port}`;
  }

  async stop() {
    await Promise.all([this.#proxy.stop(), ...this.servers.map((server) => server.stop())]);
  }
}

/** Starts a proxy with this site and waits until it accepts connections. */
async function startProxy(proxy, site) {
  for (let attempt = 1; ; attempt++) {
    const folder = mkdtempSync(join(tmpdir(), "tidewire-"));
    if (user.uid) chownSync(folder, user.uid, user.gid);
    const port = await freePort();
    const { files, command, args } = proxy.run(site, port, folder);
    for (const [name, content] of Object.entries(files)) {
      const file = join(folder, name);
      writeFileSync(file, content);
      if (user.uid) chownSync(file, user.uid, user.gid);
    }
    const child = new Child(command, args, folder);
    try {
      await within(10_000, `${proxy.name} to listen`, Promise.race([accepts(port, child), child.failure()]));
      return { port, stop: () => child.stop() };
    } catch (error) {
      await child.stop();
      // Another program may have taken the port meanwhile.
      if (attempt === 3 || !/in use|cannot bind/i.test(error.message)) throw error;
    }
  }
}

class Child {
  #process;
  #ended;
  #folder;
  #output = "";

  constructor(command, args, folder) {
    this.#folder = folder;
    this.#process = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: folder, ...user });
    running.add(this);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (this.#output += text));
    }
    this.#ended = once(this.#process, "close");
    this.#ended.catch(() => {}); // a program that cannot be started is reported by `failure`
  }

  get hasEnded() {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** Rejects when the program ends. */
  async failure() {
    const [status] = await this.#ended;
    throw new Error(`${this.#process.spawnfile} ended with ${status}\n${this.#output}`);
  }

  async stop() {
    this.#process.kill("SIGTERM");
    await within(10_000, `the end of ${this.#process.spawnfile}`, this.#ended.catch(() => {}));
    running.delete(this);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Ends the program without waiting for its end. */
  abandon() {
    this.#process.kill("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Resolves when `port` accepts connections. A proxy does not announce that. */
async function accepts(port, child) {
  while (!child.hasEnded) {
    const stream = connect(port, "127.0.0.1");
    try {
      await once(stream, "connect");
      return;
    } catch {
      await delay(20);
    } finally {
      stream.destroy();
    }
  }
  return new Promise(() => {}); // `failure` reports the end
}

/** Returns a free port outside the range from which the system takes the ports of outgoing connections. */
async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const probe = createServer().listen(port, "127.0.0.1");
    try {
      await once(probe, "listening");
      return port;
    } catch {
      // taken
    } finally {
      probe.close();
    }
  }
}
