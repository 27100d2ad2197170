import assert from "node:assert/strict";
import { test } from "node:test";
import { createTokenCrypto, generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { readAccessToken } from "@sallyport/protocol/token/access-token.ts";
import { directoryOf } from "../directory.ts";
import { mint } from "../mint.ts";
import { grantsAlone } from "../policy/issuance-policy.ts";
import { noSignals } from "../policy/issuance-signals.ts";
import { tokenExchange } from "./exchange-grant.ts";
import { accessTokenUrn } from "./subject-token.ts";

test("an exchanged token ends with its subject token, however long the store and the log take", async () => {
  const issuer = "https://id.example/main/production";
  const { signer } = generateSigner("ES256");
  const jkt = "A".repeat(43);
  let now = 1_800_000_000_900;
  const clock = {
    now: () => {
      now += 700;
      return now;
    },
    monotonic: () => 0,
  };
  const record = { issued: async () => undefined, refused: async () => null, flush: async () => undefined };
  const random = { bytes: (length: number) => new Uint8Array(length).fill(7) };
  const exchange = [{ subject: "own", as: "delegate", operations: ["read"], depth: 1, binding: "keep" }] as const;
  const system = (id: string) => ({ id, clients: [{ id, keys: [] }], certificates: [] });
  const granted = {
    id: "a-to-b",
    from: "a",
    to: "b",
    proof: ["dpop"],
    operations: [{ name: "read" }],
    exchange,
  } as const;
  const directory = directoryOf({ systems: [system("a"), system("b")], integrations: [granted], isActive: () => true });
  const ports = {
    clock,
    random,
    record,
    directory: () => directory,
    policy: () => grantsAlone,
    signals: noSignals,
    signer: () => signer,
    legacySigner: () => null,
    replay: { claim: async () => true, claimAssertion: async () => true, claimWithProof: async () => "fresh" as const },
    nonces: { issue: () => "n", accepts: () => true },
    checkProof: () => ({ jkt, jti: "j", nonce: "n", replayableUntil: now }),
    checkCertificate: () => ({ code: "none" }),
  };
  const subject = await mint(
    {
      issuer,
      client: "a",
      audience: `${issuer}/systems/b`,
      scopes: null,
      ceiling: new Set(["b:read"]),
      integrations: ["a-to-b"],
      clearance: { grantType: "authorization_code", policies: [] },
      binding: { kind: "dpop", jkt },
      lifetimeSeconds: 30,
      subject: { id: "usr_ana" },
      grants: ["grt_1"],
    },
    signer,
    ports,
  );
  const keys = () => [{ kid: signer.kid, alg: "ES256", jwk: { ...signer.jwk }, state: "active" }] as const;
  const refusing = { read: async () => ({ kind: "refused", code: "none" }) as const };
  const subjects = {
    issuer,
    keys,
    trusted: refusing,
    crypto: createTokenCrypto(),
    read: async (text: string) => text,
    isRevoked: async () => false,
  };
  const answer = await tokenExchange(subjects)(ports).handle({
    issuer,
    clientId: "a",
    resources: [`${issuer}/systems/b`],
    scope: undefined,
    parameters: { subject_token: subject.token, subject_token_type: accessTokenUrn },
    url: `${issuer}/token`,
    proofs: ["proof"],
    certificate: null,
    address: "127.0.0.1",
  });
  assert.ok(answer.kind === "token", JSON.stringify(answer));
  const crypto = createTokenCrypto();
  const find = () => crypto.importKey(signer.jwk) ?? undefined;
  const read = readAccessToken(String(answer.body["access_token"]), {
    issuer,
    keys: { find },
    lifetimeSecondsMax: 300,
  });
  assert.ok(read.kind === "signed");
  assert.equal(read.claims.exp, subject.claims.exp);
});
