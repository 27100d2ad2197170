// Promises that the bench command runs from end to end and that it cannot be flattered: wrong answers, lost records and memory disks are refused.
// Trusts nothing it prints but its shape: figures of windows this short mean nothing. Specified in RESULTS.md.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { buildSnapshot } from "@sallyport/gateway/testing/test-estate.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { median, percentile } from "./figures.ts";
import { featureEstate, methodOf, rungs } from "./gateway/features.ts";
import { haproxyVersion } from "./gateway/haproxy.ts";
import type { Measured, Round } from "./gateway/measure.ts";
import { measureRounds } from "./gateway/measure.ts";
import type { RunningProcess } from "./gateway/process.ts";
import { RawConnection } from "./gateway/raw-connection.ts";
import { summarize } from "./gateway/report.ts";
import { upstreamContent, type WindowResult } from "./gateway/roles.ts";
import { createVariants, variantNames } from "./gateway/variants.ts";

function runBench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(import.meta.dirname, "bench.ts"), ...args], (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

test("the gateway bench ends in one JSON line with every ratio", async () => {
  const short = ["--rounds", "1", "--window-ms", "60", "--warm-up-ms", "60", "--connections", "8"];
  const { code, stdout, stderr } = await runBench("gateway", ...short);
  assert.equal(code, 0, stderr);
  const last: { bench: string; ratios: Record<string, number | null>; figures: { variants: Record<string, object> } } =
    JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
  assert.equal(last.bench, "gateway");
  assert.deepEqual(Object.keys(last.ratios), [
    "vs_bare",
    "vs_haproxy_jwt",
    "dpop_vs_bare_verify",
    "cold_vs_bare_verify",
    "effect_vs_bare",
  ]);
  const hasHaproxy = haproxyVersion() !== null;
  for (const [name, ratio] of Object.entries(last.ratios))
    assert.ok(ratio === null ? name === "vs_haproxy_jwt" && !hasHaproxy : ratio > 0, name);
  const measured = variantNames.filter((name) => name !== "haproxy_jwt" || hasHaproxy);
  assert.deepEqual(Object.keys(last.figures.variants), measured);
});

test("--help lists the benches; a name nobody knows is bad use", async () => {
  const help = await runBench("--help");
  assert.equal(help.code, 0);
  assert.match(help.stdout, /gateway[\s\S]*audit/);
  const unknown = await runBench("nothing");
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /There is no bench "nothing"/);
  assert.equal((await runBench("gateway", "--rounds", "0")).code, 2);
});

const whole = `content-length: ${upstreamContent.length}\r\n\r\n${upstreamContent}`;

for (const [what, answer] of [
  ["a denial", "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"],
  ["another status with the right content", `HTTP/1.1 206 Partial Content\r\n${whole}`],
  ["a 200 with other content", `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}`],
  ["more than one answer", `HTTP/1.1 200 OK\r\n${whole}HTTP/1.1 200 OK\r\n${whole}`],
  ["an answer without a length", `HTTP/1.1 200 OK\r\n\r\n${upstreamContent}`],
] as const) {
  test(`the load generator counts ${what} as an error`, async () => {
    assert.notEqual(await judgementOf(answer), "answered");
  });
}

test("the load generator counts a whole 200 with the upstream's content", async () => {
  assert.equal(await judgementOf(`HTTP/1.1 200 OK\r\n${whole}`), "answered");
});

async function judgementOf(answer: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on("data", () => socket.write(answer));
    socket.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP
  const judged = Promise.withResolvers<string>();
  const connection = await RawConnection.open(port, {
    answered: () => judged.resolve("answered"),
    failed: judged.resolve,
  });
  connection.send(Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
  const judgement = await judged.promise;
  connection.close();
  await new Promise((resolve) => server.close(resolve));
  return judgement;
}

const tenAnswers: WindowResult = { answers: 10, elapsedMs: 10, p50Ms: 1, p99Ms: 1, errors: 0, firstError: null };

/** Processes that tell what a test wants them to: ten answers per window, and these counts at the end. */
function measureWith(counts: { reached: number; leaves: number; errors?: number }) {
  let looks = 0;
  const answering = (answers: Record<string, () => unknown>): RunningProcess => ({
    pid: -1,
    ask: async <T>({ ask }: { ask: string }) => answers[ask]?.() as T, // the names below are the names measure.ts asks
    stop: async () => {},
  });
  const usage = () => ({ cpuMs: 0, systemMs: 0, residentBytes: 0, leaves: looks++ === 0 ? 0 : counts.leaves });
  return measureRounds({
    variants: createVariants({ bare: { plain: 1, verifying: 2 }, gateway: 3 }),
    upstream: answering({ requests: () => counts.reached }),
    load: answering({ prepare: () => undefined, run: () => ({ ...tenAnswers, errors: counts.errors ?? 0 }) }),
    bare: answering({ usage: () => ({ cpuMs: 0, systemMs: 0, residentBytes: 0, leaves: 0 }) }),
    gateway: answering({ usage }),
    rounds: 1,
    windowMs: 1,
    warmUpMs: 1,
    warmUpAnswers: 10,
    connections: 1,
  });
}

// Seven windows of ten answers to warm up and seven measured; of the gateway's four, one has two leaves per answer.
const reached = 140;
const leaves = 100;

test("a run counts where upstream, log and load generator agree", async () => {
  assert.equal((await measureWith({ reached, leaves })).rounds.length, 1);
});

test("a run is void when answers did not come from the upstream", async () => {
  await assert.rejects(measureWith({ reached: reached - 1, leaves }), /the upstream saw 139 requests/);
});

test("a run is void when crossings are missing in the log", async () => {
  await assert.rejects(measureWith({ reached, leaves: leaves - 1 }), /the log has 99 new leaves/);
});

test("a run is void after one wrong answer", async () => {
  await assert.rejects(measureWith({ reached, leaves, errors: 1 }), /bare_get: 1 of 11 failed/);
});

test("a ratio below its floor is named", () => {
  const measured = (perSecond: number): Measured => ({
    ...tenAnswers,
    answers: perSecond,
    elapsedMs: 1_000,
    cpuMs: 1_000,
  });
  const round = Object.fromEntries(variantNames.map((name) => [name, measured(1_000)])) as Record<
    keyof Round,
    Measured
  >; // all names
  const slow: Round = { ...round, gateway_get: measured(400) };
  const machine = { node: "v26", cpu: "any", cores: 2, load1: 0 };
  const { below, ratios } = summarize({
    machine,
    pinned: true,
    sync: { p50Ms: 1, p99Ms: 1 },
    rounds: { rounds: [slow, round, slow], residentBytes: { bare: 1, gateway: 1 } },
  });
  assert.deepEqual(below, ["vs_bare", "vs_haproxy_jwt"]);
  assert.equal(ratios.vs_bare, 0.4);
  assert.equal(ratios.effect_vs_bare, 1);
});

test("a run in which something else held the gateway back is judged by processor time too", () => {
  const starved = (cpuMs: number): Measured => ({ ...tenAnswers, answers: 1_000, elapsedMs: 1_000, cpuMs });
  const round = Object.fromEntries(variantNames.map((name) => [name, starved(100)])) as Record<keyof Round, Measured>; // all names
  const { below, ratios, figures } = summarize({
    machine: { node: "v26", cpu: "any", cores: 2, load1: 9 },
    pinned: true,
    sync: { p50Ms: 1, p99Ms: 1 },
    rounds: { rounds: [{ ...round, gateway_get: starved(300) }], residentBytes: { bare: 1, gateway: 1 } },
  });
  assert.equal(ratios.vs_bare, 1);
  assert.equal(figures.cpu_ratios.vs_bare, 0.333);
  assert.deepEqual(figures.disturbed, [...variantNames]);
  assert.deepEqual(below, ["vs_bare", "vs_haproxy_jwt"]);
});

test("medians and percentiles are those of the sorted values", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([5, 1, 4, 2, 3], 0.99), 5);
  assert.equal(percentile([5, 1, 4, 2, 3], 0.5), 3);
  assert.equal(percentile([], 0.5), 0);
});

test("each rung of the controls is the one before it and something more, and a snapshot can be made of it", () => {
  const at = { version: 1, issuedAt: 0, expiresAt: 1, signer: generateSigner("EdDSA").signer };
  const said = [...rungs.keys()].map((rung) => {
    const estate = featureEstate("http://127.0.0.1:9", rung);
    assert.ok(buildSnapshot(estate, at).blobs.size > 0);
    return { method: methodOf(rung), text: JSON.stringify(estate) };
  });
  assert.equal(new Set(said.map(({ text }) => text)).size, rungs.length);
  const reads = said.filter(({ method }) => method === "GET");
  assert.equal(
    reads.length,
    rungs.findIndex(({ method }) => method === "POST"),
  );
  assert.match(reads.at(-1)?.text ?? "", /"limits".*"concurrency".*"quotas"/);
  assert.match(said.at(-1)?.text ?? "", /"schema".*"idempotency".*|"idempotency".*"schema"/);
});
