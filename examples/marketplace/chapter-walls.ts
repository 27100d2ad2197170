// Promises that staging knows nothing of production, and that nothing anybody said in confidence stands where it must not.
// Trusts canary.ts to find what is there. Walls: DESIGN §2 "environment"; secrets: DESIGN §7.7 and §7.10.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { call } from "./call.ts";
import { filesBelow, type Marker, type Place, searchAll } from "./canary.ts";
import { readManifest } from "./chapter-snapshots.ts";
import { outputCharsMax } from "./processes.ts";
import type { Telling } from "./telling.ts";

/** A grep of staging's whole directory for whatever belongs to production. */
export async function tellWalls(telling: Telling): Promise<void> {
  const { market, story } = telling;
  story.chapter("Walls");
  await story.check("staging's directory holds no key, token or policy of production", async (expect) => {
    const belongings = await productionBelongings(telling);
    const report = searchAll(belongings, filesBelow(market.directories.staging, "staging"));
    expect.equal("found", report.leaks, []);
    return `${belongings.length} things of production looked for in ${report.places} files, none found`;
  });
  await story.check("the same search finds them in production's own directory", async (expect) => {
    const belongings = await productionBelongings(telling);
    const found = new Set(
      searchAll(belongings, filesBelow(market.directories.production)).leaks.map(({ what }) => what),
    );
    for (const kind of [/^token key/, /^the snapshot key/, /^snapshot object/, /^policy /, /^private key/])
      expect.ok(
        `something like ${kind.source} is there`,
        [...found].some((what) => kind.test(what)),
      );
    return `${found.size} of them: the search can see`;
  });
}

/** Public keys of the ring, the snapshot key, node and log keys, blobs that only production has, and tokens seen in the story. */
async function productionBelongings(telling: Telling): Promise<readonly Marker[]> {
  const { market, planted } = telling;
  const { issuer } = market.target("production", "billing");
  const reply = await call(`${issuer}/jwks`, { tls: { ca: market.roots.control.pem } });
  // The JWKS of our own issuer (docs/identity.md).
  const { keys } = JSON.parse(reply.text) as { readonly keys: readonly { readonly kid: string; readonly x: string }[] };
  const ring = keys.flatMap(({ kid, x }, at) => [
    { what: `token key ${at + 1}: kid`, value: kid },
    { what: `token key ${at + 1}: public point`, value: x },
  ]);
  const { production, staging } = market.directories;
  const signed = readManifest(production);
  const tokens = planted.markers.filter(({ what }) => /token/.test(what) && !/staging/.test(what));
  const both = new Set(objectsOf(staging).map(([, hash]) => hash));
  const own = objectsOf(production).filter(([, hash]) => !both.has(hash));
  return [
    ...ring,
    { what: "the snapshot key's kid", value: signed.kid },
    { what: "the snapshot's signature", value: signed.sig },
    ...own.map(([name, hash]) => ({ what: `snapshot object ${name}`, value: hash })),
    ...policyNames(telling),
    ...privateKeys(production),
    ...tokens,
  ];
}

function objectsOf(directory: string): readonly (readonly [string, string])[] {
  // The manifest's bytes (docs/formats/snapshot.md).
  const text = Buffer.from(readManifest(directory).manifest, "base64url").toString("utf8");
  const { objects } = JSON.parse(text) as { readonly objects: Readonly<Record<string, string>> };
  return Object.entries(objects);
}

/** Names of the policies that only production has; those directly in policies/ hold everywhere, as their place says. */
function policyNames({ market }: Telling): readonly Marker[] {
  const files = filesBelow(join(market.root, "estate", "policies", "production"));
  const texts = files.map(({ bytes }) => Buffer.from(bytes).toString("utf8"));
  return texts.flatMap((text) =>
    [...text.matchAll(/@id\("([^"]+)"\)/g)].map((match) => ({ what: `policy ${match[1]}`, value: match[1] ?? "" })),
  );
}

/** The middle of every private key file of the node. */
function privateKeys(directory: string): readonly Marker[] {
  return filesBelow(directory)
    .map(({ name, bytes }) => ({ name: name.slice(directory.length + 1), text: Buffer.from(bytes).toString("utf8") }))
    .flatMap(({ name, text }) =>
      [...text.matchAll(/-----BEGIN PRIVATE KEY-----(?:\\n|\s)+([A-Za-z0-9+/=]{40,64})/g)].map((match, at) => ({
        what: `private key ${at + 1} of ${name}`,
        value: (match[1] ?? "").slice(-24),
      })),
    );
}

/** The canary: everything planted, searched for in everything that was written, printed or answered. */
export async function tellCanary({ market, story, planted }: Telling): Promise<void> {
  story.chapter("The canary");
  const { orders, billing, payments } = market.services.production;
  await story.check("what was planted did cross: the providers received it", (expect) => {
    const seen = [orders, billing, payments].map((service) => service.saw()).join("") + planted.seenElsewhere;
    for (const { what, value } of planted.crossed) expect.ok(`${what} arrived`, seen.includes(value));
    return `${planted.crossed.length} values`;
  });
  for (const service of [orders, billing, payments]) {
    const hop = service.last()?.headers["sallyport-identity"];
    if (typeof hop === "string") planted.token(`a hop token for ${service.name}`, hop);
  }
  await story.check("nothing that was planted stands where it must not", async (expect) => {
    const cut = market.processes.output().filter(({ text }) => text.length >= outputCharsMax);
    expect.equal("outputs too long to be kept whole", cut.length, 0);
    const copies = { siem: dirname(market.siem), archive: join(market.root, "archive") };
    const places = [
      ...written({ ...market.directories, ...copies }),
      ...(await printed(market)),
      ...answered(story.refusals),
    ];
    const report = searchAll(planted.markers, places, planted.exceptions);
    for (const { what, form, place } of report.leaks) expect.problems.push(`${what} was found (${form}) in ${place}`);
    const sizes = `${planted.markers.length} values, ${report.places} files, outputs and answers, ${(report.bytes / 1e6).toFixed(0)} MB`;
    const excepted = [...new Set(report.excepted.map(({ what, place, reason }) => `${what} in ${place} (${reason})`))];
    return excepted.length === 0 ? sizes : `${sizes}; by design: ${excepted.join("; ")}`;
  });
}

function written(directories: Readonly<Record<string, string>>): readonly Place[] {
  return Object.entries(directories).flatMap(([name, directory]) =>
    existsSync(directory) ? filesBelow(directory, name) : [],
  );
}

async function printed(market: Telling["market"]): Promise<readonly Place[]> {
  const outputs = market.processes
    .output()
    .map(({ name, text }) => ({ name: `output of ${name}`, bytes: Buffer.from(text) }));
  const metrics = await Promise.all(
    Object.entries(market.urls.status).flatMap(([name, origin]) =>
      ["/metrics", "/readyz"].map(async (path) => ({
        name: `${path} of ${name}`,
        bytes: Buffer.from(await readStatus(origin + path)),
      })),
    ),
  );
  return [...outputs, ...metrics];
}

async function readStatus(url: string): Promise<string> {
  const { status, text } = await call(url);
  if (status !== 200) throw new Error(`${url} answered ${status}`);
  return text;
}

function answered(refusals: readonly string[]): readonly Place[] {
  return refusals.map((text) => ({
    name: `refusal ${createHash("sha256").update(text).digest("hex").slice(0, 8)}`,
    bytes: Buffer.from(text),
  }));
}
