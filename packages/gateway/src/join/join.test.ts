import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, randomBytes, verify, X509Certificate } from "node:crypto";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createRecipientSealer } from "@sallyport/kernel/seal/recipient.ts";
import { createLocalCa, issueLeaf } from "@sallyport/kernel/x509/issue.ts";
import type { LogKeys } from "@sallyport/protocol/channel/messages.ts";
import { type JoinToken, printJoinToken } from "@sallyport/protocol/join/join-token.ts";
import { type JoinPorts, joinOnce, needsToken, renewNode } from "./join.ts";
import { fetchListenerTls } from "./listener-certificate.ts";
import { logKeyContext, openLogKeyCache } from "./log-key-cache.ts";
import { identityPath, JoinFault, type NodeIdentity, readIdentity, writeIdentity } from "./node-identity.ts";

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const hour = 3_600_000;
const now = Date.now();
const ca = createLocalCa({
  tenant: "main",
  environment: "sallyport",
  random,
  notBeforeMs: now,
  notAfterMs: now + 90 * 24 * hour,
});
const root = mkdtempSync(join(tmpdir(), "sallyport-join-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newDirectory = () => join(root, String(folders++));

const token: JoinToken = {
  v: 1,
  url: "https://127.0.0.1:7441",
  pin: `${"A".repeat(43)}=`,
  tenant: "main",
  environment: "production",
  region: "eu",
  group: "production-eu",
  snapshotKey: { kid: "k".repeat(43), x: "x".repeat(43) },
  secret: "s".repeat(43),
  expiresAt: now + hour,
};

type Post = (path: string, body: string) => Promise<Uint8Array>;
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

function certify(spki: string, notAfterMs = now + 25 * hour): string {
  return issueLeaf({
    ca,
    publicKeySpki: Buffer.from(spki, "base64url"),
    names: { uri: "sallyport://main/production/production-eu/gw-1" },
    usage: "both",
    random,
    notBeforeMs: now,
    notAfterMs,
  }).pem;
}

/** Control's side of the exchange: checks the proof as docs/formats/join.md says, answers with a certificate for that key. */
const control: Post = async (path, text) => {
  const { secret, spki, sealKey, proof } = JSON.parse(text);
  const proved = {
    "/join/v1": `sallyport-join/v1\n${secret}\n${spki}\n${sealKey}`,
    "/channel/v1/renew": `sallyport-renew/v1\n${spki}`,
    "/channel/v1/listener-certificate": `sallyport-listener/v1\n${spki}`,
  }[path];
  const key = createPublicKey({ key: Buffer.from(spki, "base64url"), format: "der", type: "spki" });
  const signature = Buffer.from(proof, "base64url");
  assert.ok(verify("sha256", Buffer.from(proved ?? ""), { key, dsaEncoding: "ieee-p1363" }, signature));
  const certificate = certify(spki);
  return bytes({ v: 1, node: "gw-1", certificate, authority: ca.certificatePem, epoch: 3 });
};

const refusing =
  (status: number): Post =>
  () =>
    Promise.reject(Object.assign(new Error(`control answered ${status}`), { status }));

function ports(post: Post, dataDirectory = newDirectory()): JoinPorts & { closed: number; readonly aside: string[] } {
  const made = {
    dataDirectory,
    closed: 0,
    aside: [] as string[],
    now: () => Date.now(),
    setAside: (node: string) => {
      made.aside.push(node);
    },
    transport: () => ({
      post,
      close: async () => {
        made.closed += 1;
      },
    }),
  };
  return made;
}

async function joined(): Promise<{ readonly directory: string; readonly identity: NodeIdentity }> {
  const given = ports(control);
  return { directory: given.dataDirectory, identity: await joinOnce(printJoinToken(token), given) };
}

const faultOf = (code: JoinFault["code"]) => (error: unknown) => {
  assert.ok(error instanceof JoinFault);
  assert.equal(error.code, code);
  assert.ok(!error.message.includes(token.secret), "the secret is in no message");
  return true;
};

test("a gateway joins once: the next start needs neither the token nor control", async () => {
  const { directory, identity } = await joined();
  assert.equal(identity.node, "gw-1");
  assert.equal(identity.group, token.group);
  const again = ports(refusing(500), directory);
  assert.deepEqual(await joinOnce(null, again), identity);
  assert.deepEqual(await joinOnce("not a token", again), identity);
});

test("the identity lies in a file of its owner alone, in a folder of its owner alone", async () => {
  const { directory } = await joined();
  assert.equal(statSync(identityPath(directory)).mode & 0o777, 0o600);
  assert.equal(statSync(join(directory, "node")).mode & 0o777, 0o700);
  assert.ok(!readFileSync(identityPath(directory), "utf8").includes(token.secret), "the used token is not kept");
});

test("a missing or damaged token, a refusal and an absent control are told apart, and leave nothing behind", async () => {
  const cases: readonly [string | null, Post, JoinFault["code"]][] = [
    [null, control, "join-token-malformed"],
    ["", control, "join-token-malformed"],
    [`${printJoinToken(token)}x`, control, "join-token-malformed"],
    [printJoinToken(token), refusing(403), "join-refused"],
    [printJoinToken(token), refusing(500), "join-unreachable"],
    [printJoinToken(token), () => Promise.reject(new Error("connect ECONNREFUSED")), "join-unreachable"],
  ];
  for (const [text, post, code] of cases) {
    const given = ports(post);
    await assert.rejects(joinOnce(text, given), faultOf(code));
    assert.equal(existsSync(identityPath(given.dataDirectory)), false);
    assert.equal(given.closed, code === "join-token-malformed" ? 0 : 1, "the connection is not left open");
  }
});

test("an answer that is no join answer, or certifies another key, is not kept", async () => {
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ type: "spki", format: "der" });
  const sound = { v: 1, node: "gw-1", certificate: certify(other.toString("base64url")), authority: "", epoch: 1 };
  const answers: readonly Uint8Array[] = [
    bytes(sound),
    bytes(null),
    bytes([]),
    bytes({ ...sound, node: 7 }),
    bytes({ ...sound, certificate: "none" }),
    Buffer.from("<html>"),
    Buffer.from([0xff]),
  ];
  for (const answer of answers) {
    const given = ports(async () => answer);
    await assert.rejects(joinOnce(printJoinToken(token), given), faultOf("join-unreachable"));
    assert.equal(existsSync(identityPath(given.dataDirectory)), false);
  }
  const named = ports(async (path, body) => {
    const answer = JSON.parse(Buffer.from(await control(path, body)).toString());
    return bytes({ ...answer, node: "../gw" });
  });
  await assert.rejects(joinOnce(printJoinToken(token), named), faultOf("join-unreachable"));
});

test("a token is not spent where the identity could not be kept", async () => {
  const file = join(root, "a-file");
  writeFileSync(file, "");
  let asked = 0;
  const given = ports(
    async (path, body) => {
      asked += 1;
      return control(path, body);
    },
    join(file, "data"),
  );
  await assert.rejects(joinOnce(printJoinToken(token), given), faultOf("identity-unreadable"));
  assert.equal(asked, 0);
});

test("an identity that others can read is refused, with the way out", async () => {
  for (const mode of [0o640, 0o604, 0o660]) {
    const { directory } = await joined();
    chmodSync(identityPath(directory), mode);
    assert.throws(
      () => readIdentity(directory),
      (error) => faultOf("identity-unreadable")(error) && /chmod 600/.test(String(error)),
    );
  }
});

test("an identity that another user owns is refused", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("only root can give a file away");
  const { directory } = await joined();
  chownSync(identityPath(directory), 12_345, 12_345);
  assert.throws(() => readIdentity(directory), faultOf("identity-unreadable"));
});

test("a damaged identity is found at start and not at the first crossing", async () => {
  const { directory, identity } = await joined();
  const path = identityPath(directory);
  const { nodeKey: otherKey } = (await joined()).identity;
  const damaged: readonly (string | Uint8Array)[] = [
    "",
    readFileSync(path).subarray(0, 200),
    JSON.stringify({ ...identity, v: 2 }),
    JSON.stringify({ ...identity, nodeKey: otherKey }),
    JSON.stringify({ ...identity, sealKey: identity.nodeKey }),
    JSON.stringify({ ...identity, epoch: "3" }),
    JSON.stringify({ ...identity, snapshotKey: { kid: "k" } }),
    JSON.stringify({ ...identity, pin: undefined }),
    Buffer.from([0xff, 0xfe]),
    "x".repeat(70_000),
  ];
  for (const content of damaged) {
    writeFileSync(path, content);
    assert.throws(() => readIdentity(directory), faultOf("identity-unreadable"));
  }
  writeIdentity(directory, identity);
  assert.deepEqual(readIdentity(directory), identity);
});

test("attack: a link left where the staged identity goes is neither followed nor kept", async () => {
  const { directory, identity } = await joined();
  const elsewhere = join(root, "elsewhere");
  writeFileSync(elsewhere, "mine");
  symlinkSync(elsewhere, `${identityPath(directory)}.staged`);
  writeIdentity(directory, identity);
  assert.equal(readFileSync(elsewhere, "utf8"), "mine");
  assert.equal(statSync(identityPath(directory)).mode & 0o777, 0o600);
  assert.deepEqual(readIdentity(directory), identity);
});

test("renewing makes a new key, and keeps the old identity until control has certified it", async () => {
  const { directory, identity } = await joined();
  for (const post of [refusing(403), async () => bytes({ certificate: identity.certificate })]) {
    await assert.rejects(renewNode(identity, directory, { post }));
    assert.deepEqual(readIdentity(directory), identity);
  }
  const renewed = await renewNode(identity, directory, { post: control });
  assert.notEqual(renewed.nodeKey, identity.nodeKey);
  assert.equal(renewed.sealKey, identity.sealKey);
  assert.equal(renewed.node, identity.node);
  assert.deepEqual(readIdentity(directory), renewed);
});

const listenerTransport = (post: Post) => ({
  post,
  get: () => Promise.reject(new Error()),
  stream: () => Promise.reject(new Error()),
});

test("a listener certificate is asked for at each start and kept for starts without control, while enough of its life is left", async () => {
  const directory = newDirectory();
  const away = listenerTransport(refusing(500));
  await assert.rejects(fetchListenerTls(directory, away), faultOf("join-unreachable"));
  const fresh = await fetchListenerTls(directory, listenerTransport(control));
  assert.ok(new X509Certificate(fresh.cert).subjectAltName);
  assert.equal(statSync(join(directory, "node", "listener.json")).mode & 0o777, 0o600);
  assert.deepEqual(await fetchListenerTls(directory, away), fresh);
  await assert.rejects(
    fetchListenerTls(directory, away, () => now + 24.5 * hour),
    faultOf("join-unreachable"),
  );
  const next = await fetchListenerTls(directory, listenerTransport(control));
  assert.notEqual(next.key, fresh.key);
  chmodSync(join(directory, "node", "listener.json"), 0o644);
  await assert.rejects(fetchListenerTls(directory, away), faultOf("join-unreachable"), "others may have read the key");
});

function sealedFor(identity: NodeIdentity, key: Uint8Array, epoch = "2026"): LogKeys {
  const recipient = createPublicKey(identity.sealKey).export({ format: "jwk" }).x ?? "";
  const sealer = createRecipientSealer({
    recipient: Buffer.from(recipient, "base64url"),
    random,
    clock: { monotonic: () => 0 },
  });
  return {
    epoch,
    pseudonymKeySealed: Buffer.from(sealer.seal(logKeyContext(identity, epoch), key)).toString("base64url"),
    referenceRecipient: Buffer.alloc(32, 7).toString("base64url"),
    referenceKeyId: "control-1",
  };
}

test("log keys are kept sealed, so that a restart without control can record, and the disk never holds them open", async () => {
  const { directory, identity } = await joined();
  const key = Buffer.alloc(32, 0x5a);
  const cache = openLogKeyCache(directory, identity);
  assert.equal(cache.cached(), null);
  const opened = cache.open(sealedFor(identity, key));
  assert.deepEqual(Buffer.from(opened.pseudonymKey), key);
  const path = join(directory, "node", "log-keys.json");
  const onDisk = readFileSync(path, "utf8");
  for (const form of ["hex", "base64", "base64url", "latin1"] as const) assert.ok(!onDisk.includes(key.toString(form)));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(openLogKeyCache(directory, identity).cached(), opened);
});

test("attack: log keys sealed for another node, another epoch or with a changed bit are refused and not kept", async () => {
  const { directory, identity } = await joined();
  const key = Buffer.alloc(32, 0x5a);
  const cache = openLogKeyCache(directory, identity);
  const sound = cache.open(sealedFor(identity, key));
  const sealed = sealedFor(identity, key);
  const changed = Buffer.from(sealed.pseudonymKeySealed, "base64url");
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  const other = (await joined()).identity;
  const bad: readonly LogKeys[] = [
    sealedFor(other, key),
    sealedFor({ ...identity, node: "gw-2" }, key),
    sealedFor({ ...identity, environment: "staging" }, key),
    { ...sealed, epoch: "2027" },
    { ...sealed, pseudonymKeySealed: changed.toString("base64url") },
    { ...sealed, pseudonymKeySealed: "" },
  ];
  for (const keys of bad) assert.throws(() => cache.open(keys));
  assert.deepEqual(openLogKeyCache(directory, identity).cached(), sound, "what was kept before is still there");
});

test("a damaged cache of log keys is as good as none: control sends them again", async () => {
  const { directory, identity } = await joined();
  const path = join(directory, "node", "log-keys.json");
  mkdirSync(join(directory, "node"), { recursive: true });
  for (const text of ["", "{", "null", "[]", "{}", "x".repeat(100_000)]) {
    writeFileSync(path, text, { mode: 0o600 });
    assert.equal(openLogKeyCache(directory, identity).cached(), null);
  }
});

const afterTheEnd = () => Date.now() + 26 * 3_600_000;

test("a gateway away until its certificate ended joins again as a new node with a fresh token, and the former node's log is put aside", async () => {
  const { directory, identity } = await joined();
  const again = { ...ports(control, directory), now: afterTheEnd };
  assert.equal(needsToken(directory, Date.now()), false);
  assert.equal(needsToken(directory, afterTheEnd()), true);
  const fresh = await joinOnce(printJoinToken(token), again);
  assert.notEqual(fresh.nodeKey, identity.nodeKey);
  assert.deepEqual(again.aside, [identity.node]);
  assert.deepEqual(readIdentity(directory), fresh);
});

test("without a token an ended identity stays, and the gateway goes on from its last good snapshot", async () => {
  const { directory, identity } = await joined();
  const again = { ...ports(control, directory), now: afterTheEnd };
  assert.deepEqual(await joinOnce(null, again), identity);
  assert.deepEqual(again.aside, []);
});

test("a directory never changes its group by joining again", async () => {
  const { directory, identity } = await joined();
  const again = { ...ports(control, directory), now: afterTheEnd };
  const other = printJoinToken({ ...token, group: "production-us" });
  await assert.rejects(joinOnce(other, again), faultOf("join-token-malformed"));
  assert.deepEqual(readIdentity(directory), identity);
});
