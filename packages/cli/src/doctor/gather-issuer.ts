// Promises what an issuer publishes and what its clock says, over the guarded connector and the root that proves it.
// Trusts endpoints.json for the root. Specified in docs/cli/doctor.md "Checks".
import { readFileSync } from "node:fs";
import { createChannelClient } from "@sallyport/kernel/dial/channel-client.ts";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { DialTls } from "@sallyport/kernel/dial/port.ts";
import type { IssuerFacts } from "./decide-network.ts";
import { wordsOf } from "./gather-state.ts";

const timeoutMs = 5_000;
const answerBytesMax = 256 * 1024;

export async function gatherIssuer(environment: string, issuer: string, root: string | null): Promise<IssuerFacts> {
  try {
    const tls: DialTls = root === null ? {} : { ca: readFileSync(root, "utf8") };
    const metadata = await get(issuer, "/.well-known/openid-configuration", tls);
    const jwks = metadata.status === 200 ? memberOf(metadata.body, "jwks_uri") : null;
    const keys = typeof jwks === "string" ? memberOf((await get(jwks, "", tls)).body, "keys") : null;
    const { status, dateMs, askedMs, tookMs } = metadata;
    return {
      environment,
      issuer,
      why: "",
      answer: { status, keys: Array.isArray(keys) ? keys.length : 0, dateMs, askedMs, tookMs },
    };
  } catch (error) {
    return { environment, issuer, why: wordsOf(error), answer: null };
  }
}

/** What the clock of a pinned control says, whatever it answers; null when it cannot be reached. */
export async function gatherControlClock(
  url: string,
  pin: string,
): Promise<Pick<Asked, "askedMs" | "tookMs" | "dateMs"> | null> {
  try {
    return await get(url, "/", { pins: [pin], pinOnly: true });
  } catch {
    return null;
  }
}

interface Asked {
  readonly status: number;
  readonly body: string;
  readonly dateMs: number | null;
  readonly askedMs: number;
  readonly tookMs: number;
}

async function get(base: string, suffix: string, tls: DialTls): Promise<Asked> {
  const url = new URL(base + suffix);
  const client = createChannelClient({
    dialer: createDialer(),
    origin: url.origin,
    // Where this very installation listens, by its own file.
    rules: { allowPrivateHosts: new Set([url.hostname.replace(/^\[|\]$/g, "")]), ownAddresses: new Set() },
    tls,
    connectTimeoutMs: timeoutMs,
    connectionsMax: 1,
  });
  try {
    const askedMs = Date.now();
    const from = performance.now();
    const answer = await client.request(url.pathname, { method: "GET", answerBytesMax, timeoutMs });
    const tookMs = performance.now() - from;
    const date = Object.entries(answer.headers).find(([name]) => name.toLowerCase() === "date")?.[1];
    const dateMs = typeof date === "string" && !Number.isNaN(Date.parse(date)) ? Date.parse(date) : null;
    return { status: answer.status, body: Buffer.from(answer.body).toString("utf8"), dateMs, askedMs, tookMs };
  } finally {
    await client.close();
  }
}

function memberOf(body: string, member: string): unknown {
  const value: unknown = JSON.parse(body);
  return typeof value === "object" && value !== null
    ? Object.entries(value).find(([name]) => name === member)?.[1]
    : null;
}
