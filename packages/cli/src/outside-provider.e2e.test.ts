// A provider outside that people sign in through, and its end in the estate: the real binary, a browser and a provider over TLS on the other side.
import assert from "node:assert/strict";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { TestBrowser } from "@sallyport/control/identity/people/browser.test-support.ts";
import { BentProvider } from "@sallyport/control/identity/people/outside/provider.test-support.ts";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import { Installation, until } from "./installation.test-support.ts";
import { type Ended, runBinary } from "./program.test-support.ts";
import { systemRandom } from "./roles/system-ports.ts";

const bounded = { timeout: 240_000 };
const base = "/main/production";
const aDay = { notBeforeMs: Date.now() - 3_600_000, notAfterMs: Date.now() + 82_800_000 };
const ca = createLocalCa({ tenant: "main", environment: "production", random: systemRandom, ...aDay, use: "test" });
const corp = new BentProvider(serverIdentity());

let installation: Installation;
before(async () => {
  await corp.start();
  installation = await Installation.open();
  name("there");
  await installation.startControl();
});
after(async () => {
  corp.stop();
  await installation.close();
});

function serverIdentity() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicKeySpki = publicKey.export({ format: "der", type: "spki" });
  const names = { dns: ["localhost"] };
  const cert = issueLeaf({ ca, publicKeySpki, names, usage: "server", random: systemRandom, ...aDay }).pem;
  return { cert, key: String(privateKey.export({ type: "pkcs8", format: "pem" })) };
}

/** Writes the estate with the provider among the ways to sign in, or without it. */
function name(corpIs: "there" | "gone"): void {
  const settings = installation.files()["sallyport.yaml"] ?? "";
  const provider = `{ issuer: "${corp.issuer}", client: sallyport, name: Corp, jit: true, allowPrivate: true, tls: { ca: corp } }`;
  const people =
    corpIs === "there"
      ? `      signIn: [password, corp]\n      providers:\n        corp: ${provider}\n`
      : "      signIn: [password]\n";
  installation.writeEstate({
    "trust/corp.yaml": "trust: corp\nroots: [corp.pem]\n",
    "trust/corp.pem": ca.certificatePem,
    "sallyport.yaml": `${settings}environments:\n  production:\n    people:\n${people}  staging:\n`,
  });
}

const run = (...argv: readonly string[]): Promise<Ended> =>
  runBinary(["--operator", installation.operatorKey, ...argv]);
const sessions = async (): Promise<readonly { readonly sid: string; readonly amr: readonly string[] }[]> => {
  const { exit, out, err } = await run("--json", "session", "list");
  assert.equal(exit, 0, err);
  return JSON.parse(out).sessions ?? JSON.parse(out);
};
const isSignedIn = async (browser: TestBrowser) => (await browser.get(`${base}/account`)).status === 200;

async function signIn(subject: string): Promise<TestBrowser> {
  const pem = readFileSync(join(installation.data("control"), "ca", "control.pem"), "utf8");
  const browser = new TestBrowser(`https://127.0.0.1:${installation.ports.identity}`, pem);
  const begun = await browser.submit(await browser.get(`${base}/login`), "/login/outside/corp");
  const to = new URL(begun.location ?? "");
  corp.nonce = to.searchParams.get("nonce") ?? "";
  corp.claims = (own) => ({ ...own, sub: subject, sid: `at-${subject}` });
  const query = new URLSearchParams({ code: "c", state: to.searchParams.get("state") ?? "", iss: corp.issuer });
  const back = await browser.get(`${base}/login/back/corp?${query}`);
  assert.equal(back.status, 303, back.text);
  assert.ok(await isSignedIn(browser));
  return browser;
}

test("a sign-out at the provider ends the session here at once, and is a record", bounded, async () => {
  const browser = await signIn("s-out");
  const now = Math.floor(Date.now() / 1_000);
  const events = { "http://schemas.openid.net/event/backchannel-logout": {} };
  const claims = { iss: corp.issuer, aud: "sallyport", iat: now, exp: now + 120, jti: randomUUID(), events };
  const token = corp.sign({ ...claims, sub: "s-out", sid: "at-s-out" }, { typ: "logout+jwt" });
  const told = await browser.post(`${base}/login/ended/corp`, { logout_token: token }, { origin: "" });
  assert.equal(told.status, 200, told.text);
  assert.equal(await isSignedIn(browser), false);
  assert.deepEqual(await sessions(), []);
  // Exit 1 while no record matches: the index follows the log.
  await until("the record in the index", async () => {
    const { exit, out } = await run("--json", "audit", "search", "--action", "session.end");
    return exit === 0 && JSON.parse(out).records.length === 1;
  });
});

test("a provider that is taken out of the estate takes its sessions along within seconds", bounded, async () => {
  const [one, two] = [await signIn("s-one"), await signIn("s-two")];
  assert.equal((await sessions()).length, 2);
  name("gone");
  const applied = await run("apply", installation.estate);
  assert.equal(applied.exit, 0, applied.err);
  await until("their sessions to end", async () => (await sessions()).length === 0);
  assert.deepEqual([await isSignedIn(one), await isSignedIn(two)], [false, false]);
});
