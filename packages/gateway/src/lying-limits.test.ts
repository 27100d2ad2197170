// A Redis that was taken over, or is none: whatever it answers, gateways that count there go on with their share, and nobody learns more than that
// (docs/limits.md "Across gateways").
import assert from "node:assert/strict";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { renewScript, takeScript } from "./limit/limits-store.ts";
import { limitsStoreAt } from "./limit/redis-counts.ts";
import { parseRedisUrl } from "./limit/redis-url.ts";
import { marketplace } from "./testing/marketplace-estate.ts";
import { until } from "./testing/start-test-gateway.ts";
import { type Bench, openBench } from "./testing/three-ways.ts";

const gatewaysHeard = ":1\r\n";
/** What it says to each script, in its own protocol. */
const lies = { take: "", renew: gatewaysHeard };
const heard: string[] = [];
const sockets = new Set<Socket>();
let server: Server;
let bench: Bench;

/** Enough of the protocol to be believed: each command is answered once, in order. */
function answer(socket: Socket): void {
  let text = "";
  sockets.add(socket);
  socket.on("close", () => sockets.delete(socket));
  socket.on("error", () => socket.destroy());
  socket.on("data", (piece) => {
    text += piece.toString("latin1");
    for (;;) {
      const read = readCommand(text);
      if (read === null) return;
      text = text.slice(read.length);
      heard.push(read.words.join(" "));
      socket.write(replyTo(read.words));
    }
  });
}

function readCommand(text: string): { readonly words: readonly string[]; readonly length: number } | null {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return null;
  let at = head[0].length;
  const words: string[] = [];
  for (let left = Number(head[1]); left > 0; left--) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 20));
    if (size === null) return null;
    at += size[0].length;
    const end = at + Number(size[1]);
    if (text.length < end + 2) return null;
    words.push(text.slice(at, end));
    at = end + 2;
  }
  return { words, length: at };
}

function replyTo([command = "", sha]: readonly string[]): string {
  if (command.toUpperCase() !== "EVALSHA") return "+OK\r\n";
  return sha === renewScript.sha ? lies.renew : sha === takeScript.sha ? lies.take : "-ERR what is that\r\n";
}

before(async () => {
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // it listens on a port
  const across = { onLoss: "local" } as const;
  bench = await openBench({
    changes: { limitsStore: limitsStoreAt(parseRedisUrl(`redis://127.0.0.1:${port}?wait=1000ms`)) },
    estate(url) {
      const base = marketplace(url);
      const limits = [{ per: "client", rate: 1, periodMs: 3_600_000, burst: 40, across }] as const;
      const concurrency = [{ per: "client", max: 5, across }] as const;
      return { ...base, integrations: base.integrations.map((one) => ({ ...one, limits, concurrency })) };
    },
  });
  await bench.orders.learnNonce(bench.invoice);
});
after(async () => {
  await bench?.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

const state = () => bench.bed.gateway.status().sharedLimits.state;
/** Crossings that were counted as it said. */
async function believed(): Promise<number> {
  const text = await bench.bed.gateway.metricsText();
  return Number(/sallyport_shared_limits_total\{answer="shared"\} (\d+)/.exec(text)?.[1]);
}
const shared = () => until(() => state() === "shared", "it is believed");

for (const [what, take] of [
  ["a refusal by a limit that there is not", "*2\r\n:99\r\n:0\r\n"],
  ["a count below nought, from which nothing is left to count", "*2\r\n:0\r\n:-900000000000000\r\n"],
  ["a text in the place of numbers", "*2\r\n$3\r\nyes\r\n:0\r\n"],
  ["a number past all numbers", "*2\r\n:0\r\n:99999999999999999999\r\n"],
  ["too few, too many and nested answers", "*3\r\n:0\r\n*1\r\n:0\r\n:0\r\n"],
  ["a yes without anything", "+OK\r\n"],
] as const)
  test(`attack: ${what}: the share of this gateway counts, and no crossing fails for it`, async () => {
    await shared();
    lies.take = take;
    const before = await believed();
    const { status, text } = await bench.orders.send(bench.invoice);
    assert.equal(status, 200, text);
    assert.equal(await believed(), before);
  });

test("attack: a number of gateways that is none: what counts there is lost, and its share is whole", async () => {
  lies.take = "*2\r\n:0\r\n:90000000000\r\n";
  for (const renew of ["$4\r\nmany\r\n", ":0\r\n", ":-3\r\n", "*0\r\n", "$-1\r\n"]) {
    lies.renew = gatewaysHeard;
    await shared();
    lies.renew = renew;
    await until(() => state() === "lost", "it is not believed any more");
    const { status, text } = await bench.orders.send(bench.invoice);
    assert.equal(status, 200, text);
  }
});

test("it learns the name of nothing: what it hears are hashes, numbers and ids of crossings", () => {
  assert.ok(heard.length > 0);
  assert.doesNotMatch(heard.filter((one) => one.startsWith("EVALSHA")).join("\n"), /orders|billing|portal|client/);
});
