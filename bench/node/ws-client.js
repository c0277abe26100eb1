// A client of raw echo with ws. It does the same as src/load/client.rs: `node ws-client.js ADDRESS PROCESS raw WORKLOAD
// SECONDS` prints one row as JSON.
import { readFileSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

const [address, server, protocol, workload, seconds] = process.argv.slice(2);
const [connections, inFlight, size] = /^client-echo-c(\d+)-k(\d+)-s(\d+)$/.exec(workload).slice(1).map(Number);
const [WARM_UP, RESPONSE_TIMEOUT] = [1_000, 20_000];
const COMPARED_WHOLE = 16;
const FIRST = 100_000_000;
// The connection number, a colon, and the sequence number.
const [ORDER, FILLER] = [6, 15];
const filler = "the quick brown fox jumps over the lazy dog 0123456789 "
  .repeat(size / 55 + 1)
  .slice(0, Math.max(0, size - FILLER));
const whole = Buffer.from(filler);

const counts = { sent: 0, right: 0, wrong: 0 };
let ending = false;

function talk(number) {
  const prefix = `${String(number).padStart(5, "0")}:`;
  let [sent, answered] = [0, 0];
  const socket = new WebSocket(`ws://${address}/ws`, { perMessageDeflate: false });
  const sendMore = () => {
    while (sent - answered < inFlight && !ending) {
      socket.send(prefix + (FIRST + sent) + filler);
      sent += 1;
      counts.sent += 1;
    }
  };
  socket.on("open", sendMore);
  socket.on("message", (answer) => {
    const isRight =
      answer.length === FILLER + filler.length &&
      answer.latin1Slice(0, FILLER) === prefix + (FIRST + answered) &&
      (answered >= COMPARED_WHOLE || answer.subarray(FILLER).equals(whole));
    answered += 1;
    counts[isRight ? "right" : "wrong"] += 1;
    sendMore();
  });
}

// Returns the seconds that all threads ran on a processor, and the seconds that they waited for one.
function cpu(id) {
  const sum = [0, 0];
  for (const thread of readdirSync(`/proc/${id}/task`)) {
    const [ran, waited] = readFileSync(`/proc/${id}/task/${thread}/schedstat`, "ascii").split(" ");
    sum[0] += ran / 1e9;
    sum[1] += waited / 1e9;
  }
  return sum;
}

function reading() {
  return { at: performance.now() / 1e3, client: cpu("self"), server: cpu(server), answered: counts.right + counts.wrong };
}

for (let number = 0; number < connections; number += 1) {
  talk(number);
}
await sleep(WARM_UP);
const from = reading();
await sleep(Number(seconds) * 1e3);
const to = reading();
ending = true;
const messages = to.answered - from.answered;
const wall = to.at - from.at;
for (const end = performance.now() + RESPONSE_TIMEOUT; counts.sent > counts.right + counts.wrong && performance.now() < end; ) {
  await sleep(10);
}
const figures = {
  cpu_us_per_message: ((to.client[0] - from.client[0]) * 1e6) / Math.max(1, messages),
  messages_per_second: messages / wall,
  messages,
  client_busy: (to.client[0] - from.client[0]) / wall,
  client_waited: (to.client[1] - from.client[1]) / wall,
  server_busy: (to.server[0] - from.server[0]) / wall,
};
const lost = counts.sent - counts.right - counts.wrong;
console.log(JSON.stringify({ protocol, workload, figures, lost, wrong: counts.wrong, reordered: 0 }));
process.exit();
