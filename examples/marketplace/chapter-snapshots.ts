// Promises that a gateway process started on a snapshot that is altered, older, expired or another group's refuses it by name and serves nobody.
// Each process stands on a copy of the real gateway's directory, so that the only difference is the snapshot. Trusts insider.ts for signatures
// that only a thief of control's keys could make. Refusals: docs/formats/snapshot.md.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { SignedManifest } from "@sallyport/protocol/snapshot/manifest.ts";
import { freePorts } from "sallyport/port-lane.test-support.ts";
import { call } from "./call.ts";
import { copyRunning } from "./copy-running.ts";
import { resignManifest } from "./insider.ts";
import type { Telling } from "./telling.ts";

const manifestPath = join("snapshot", "manifest.json");
const pollsMax = 400;

/** The manifest a gateway would restart from. */
export function readManifest(directory: string): SignedManifest {
  // Written by the gateway (docs/formats/snapshot.md); whoever reads it for real checks the signature.
  return JSON.parse(readFileSync(join(directory, manifestPath), "utf8")) as SignedManifest;
}

interface Tampering {
  readonly name: string;
  readonly caption: string;
  readonly refusal: string;
  readonly manifest: SignedManifest;
}

/** Runs while control is away: nothing can mend what the disk says. */
export async function tellSnapshots(telling: Telling, first: SignedManifest): Promise<void> {
  const { market, story } = telling;
  story.chapter("A gateway does not believe its disk");
  const good = readManifest(market.directories.production);
  const now = Date.now();
  const tamperings: readonly Tampering[] = [
    { name: "altered", caption: "one byte changed", refusal: "altered", manifest: withOneByteChanged(good) },
    {
      name: "older",
      caption: "the first snapshot of this story, genuine but superseded",
      refusal: "older",
      manifest: first,
    },
    {
      name: "expired",
      caption: "ended a second ago, signed with the real key",
      refusal: "expired",
      manifest: await resignManifest(market, good, (manifest) => ({
        ...manifest,
        version: manifest.version + 1,
        issuedAt: now - 60_000,
        expiresAt: now - 1_000,
      })),
    },
    {
      name: "foreign-group",
      caption: "of another group, signed with the real key",
      refusal: "foreign-group",
      manifest: await resignManifest(market, good, (manifest) => ({
        ...manifest,
        region: "us",
        group: "production-us",
      })),
    },
    {
      name: "foreign-key",
      caption: "staging's own, genuine",
      refusal: "foreign-key",
      manifest: readManifest(market.directories.staging),
    },
  ];
  // Two at a time: each is a process of its own, and there are two cores.
  const waiting = [...tamperings];
  const work = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await tellOne(telling, one);
  };
  await Promise.all([work(), work()]);
}

async function tellOne({ market, story }: Telling, tampering: Tampering): Promise<void> {
  await story.check(`a gateway starts on a snapshot that is ${tampering.caption}`, async (expect) => {
    const directory = join(market.root, `gateway-${tampering.name}`);
    // Without its log, which the real one goes on writing.
    const log = join(market.directories.production, "log");
    copyRunning(market.directories.production, directory, (path) => path === log);
    writeFileSync(join(directory, manifestPath), JSON.stringify(tampering.manifest));
    const [listen = 0, status = 0] = await freePorts(2);
    // It never becomes ready, so its own word is not waited for.
    const gateway = market.processes.begin(`gateway on a snapshot: ${tampering.name}`, [
      ...["--role", "gateway", "--data", directory, "--listen", `production=127.0.0.1:${listen}`],
      ...["--status-listen", `127.0.0.1:${status}`, "--grace", "1s"],
    ]);
    try {
      const { code, text } = await readiness(`http://127.0.0.1:${status}/readyz`);
      expect.equal("status of /readyz", code, 503);
      expect.ok(
        `/readyz names the refusal ${tampering.refusal}`,
        text.includes(`refused as ${tampering.refusal} `),
        text,
      );
      const reached = market.services.production.billing.reached();
      const { cert, key } = market.workloads.production.analytics;
      const reply = await call(`https://localhost:${listen}/billing/v1/reports/eu`, {
        tls: { ca: market.roots.production.pem, cert, key },
      });
      expect.equal("a caller's status", reply.status, 503);
      expect.equal("a caller's code", reply.code, "not-ready");
      expect.equal("requests that reached billing", market.services.production.billing.reached() - reached, 0);
    } finally {
      await gateway.stop();
    }
    return `${tampering.refusal}, nothing is served`;
  });
}

async function readiness(url: string): Promise<{ readonly code: number; readonly text: string }> {
  let last = { code: 0, text: "" };
  for (let poll = 0; poll < pollsMax; poll += 1) {
    const reply = await call(url).catch(() => null);
    if (reply !== null) last = { code: reply.status, text: reply.text };
    if (last.text.includes("refused as")) return last;
    await delay(20);
  }
  return last;
}

function withOneByteChanged(signed: SignedManifest): SignedManifest {
  const bytes = Buffer.from(signed.manifest, "base64url");
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  return { ...signed, manifest: bytes.toString("base64url") };
}
