// Promises one refusal for every code of identify, beside its nearest allow: each changes exactly one thing of what a good caller sends.
// Trusts three-ways.ts to judge them. Specified in docs/formats/token.md §3-4 and DESIGN §12 Certificates.

import { randomBytes } from "node:crypto";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import type { createLocalCa } from "@sallyport/kernel/x509/issue.ts";
import type { TokenSigner } from "@sallyport/protocol/token/crypto.ts";
import { printHandle } from "@sallyport/protocol/token/handle.ts";
import { signCompactJws } from "@sallyport/protocol/token/jws.ts";
import type { OwnBench } from "./denials-at-the-door.ts";
import { type Answer, call, type TokenChanges } from "./test-caller.ts";
import { issueTestLeaf, newTestCa, ordersUri, portalUri, tlsListener, withCertificates } from "./test-certificates.ts";
import { serialOf, testListBase64 } from "./test-revocation-lists.ts";
import { type Bench, benchEstate, type DenialCase, keycloak } from "./three-ways.ts";

const identify = (what: string, refused: DenialCase["refused"]): DenialCase => ({
  what,
  status: 401,
  stage: "identify",
  face: "unauthenticated",
  refused,
});

const seconds = (bench: Bench): number => Math.floor(bench.bed.clock.now() / 1000);
const withToken = (bench: Bench, changes: TokenChanges): Promise<Answer> =>
  bench.orders.send(bench.invoice, { token: bench.orders.token("billing", changes) });
const authorized = (bench: Bench, authorization: string, dpop?: string): Promise<Answer> =>
  call(bench.invoice, { headers: { authorization, ...(dpop === undefined ? {} : { dpop }) } });

type ProofChanges = NonNullable<Parameters<Bench["orders"]["proof"]>[3]>;

/** A good token with a proof for another method or URL, or with one claim or key changed. */
async function withProof(
  bench: Bench,
  changes: ProofChanges & { readonly method?: string; readonly url?: string },
): Promise<Answer> {
  if (bench.orders.nonce === undefined) await bench.orders.learnNonce(bench.invoice);
  const token = bench.orders.token("billing");
  const { method = "GET", url = bench.invoice, ...rest } = changes;
  return authorized(bench, `DPoP ${token}`, bench.orders.proof(method, url, token, rest));
}

/** Names one key and signs with another, or under another algorithm. */
const signsAs = (named: TokenSigner, by: TokenSigner, alg = named.alg): TokenSigner => ({
  kid: named.kid,
  jwk: named.jwk,
  alg,
  sign: (data) => by.sign(data),
});

/** The claims of a good token, signed by the real ring key under another header. */
function reheaded(bench: Bench, header: Readonly<Record<string, string>>): string {
  const signer = bench.bed.feed.ringSigner;
  const [, payload = ""] = bench.orders.token("billing").split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
  return signCompactJws({ alg: signer.alg, kid: signer.kid, ...header }, claims, signer);
}

const anyKey = (): TokenSigner => generateSigner("ES256").signer;

export const tokenDenials = {
  "credentials-missing": identify("no credentials at all", (bench) => call(bench.invoice)),
  "credentials-malformed": identify("Basic credentials", (bench) => authorized(bench, "Basic b3JkZXJz")),
  "token-malformed": identify("a token of two parts", (bench) => authorized(bench, "Bearer not.a")),
  "token-unknown": identify("a handle that nobody was given", (bench) =>
    bench.orders.send(bench.invoice, { token: printHandle(randomBytes(32)) }),
  ),
  "token-inactive": identify("an opaque token that its issuer does not know", (bench) =>
    authorized(bench, `Bearer ${randomBytes(32).toString("base64url")}`),
  ),
  "token-unresolved": {
    what: "a new handle while control is away",
    status: 503,
    stage: "identify",
    prepare(bench) {
      bench.bed.feed.silent = true;
    },
    refused: (bench) => bench.orders.send(bench.invoice, { token: printHandle(randomBytes(32)) }),
    mend(bench) {
      bench.bed.feed.silent = false;
    },
  },
  "token-algorithm": identify("another algorithm than the key's", (bench) => {
    const { ringSigner } = bench.bed.feed;
    return withToken(bench, { signer: signsAs(ringSigner, ringSigner, "EdDSA") });
  }),
  "token-key-unknown": identify("a key that is not in the ring", (bench) => withToken(bench, { signer: anyKey() })),
  "token-signature": identify("the ring's key id over a signature of another key", (bench) =>
    withToken(bench, { signer: signsAs(bench.bed.feed.ringSigner, anyKey()) }),
  ),
  "token-type": identify("a token of another type, signed by the ring", (bench) =>
    bench.orders.send(bench.invoice, { token: reheaded(bench, { typ: "sallyport-hop+jwt" }) }),
  ),
  "token-issuer": identify("a token of staging", (bench) =>
    withToken(bench, { iss: "https://id.example/main/staging" }),
  ),
  "token-unmapped": identify("a token of a trusted issuer outside, for a client nobody named", (bench) =>
    authorized(bench, `Bearer ${keycloak.token({ claims: { azp: "somebody-else" } })}`),
  ),
  "token-audience": identify("a token for another provider", (bench) =>
    withToken(bench, { aud: "https://id.example/main/production/systems/ledger" }),
  ),
  "token-expired": identify("a token of yesterday", (bench) =>
    withToken(bench, { iat: seconds(bench) - 400, exp: seconds(bench) - 100 }),
  ),
  "token-not-yet-valid": identify("a token of tomorrow", (bench) =>
    withToken(bench, { iat: seconds(bench) + 100, exp: seconds(bench) + 200 }),
  ),
  "token-claims": identify("a token that lives for an hour", (bench) =>
    withToken(bench, { exp: seconds(bench) + 3_600 }),
  ),
  "token-revoked": identify("a token that was revoked by its id", (bench) => {
    bench.bed.feed.revoke("jti", "stolen-token-1");
    return withToken(bench, { jti: "stolen-token-1" });
  }),
  "token-bound-as-bearer": identify("a bound token presented as a bearer", (bench) =>
    authorized(bench, `Bearer ${bench.orders.token("billing")}`),
  ),
  "token-unbound": identify("an unbound token under the DPoP scheme", (bench) =>
    // exactOptionalPropertyTypes: the claim has to be written as absent over the builder's own
    withToken(bench, { cnf: undefined as never }),
  ),
  "client-unknown": identify("a client of no system", (bench) =>
    withToken(bench, { client_id: "nobody", sub: "nobody" }),
  ),
} satisfies Record<string, DenialCase>;

export const proofDenials = {
  "dpop-missing": identify("the DPoP scheme without a proof", (bench) =>
    authorized(bench, `DPoP ${bench.orders.token("billing")}`),
  ),
  "dpop-malformed": identify("a proof that is no JWS", (bench) =>
    authorized(bench, `DPoP ${bench.orders.token("billing")}`, "x.y.z"),
  ),
  "dpop-algorithm": identify("another algorithm than the embedded key's", (bench) =>
    withProof(bench, { key: signsAs(bench.orders.key, bench.orders.key, "EdDSA") }),
  ),
  "dpop-signature": identify("the caller's public key over a thief's signature", (bench) =>
    withProof(bench, { key: signsAs(bench.orders.key, anyKey()) }),
  ),
  "dpop-method": identify("a proof for POST", (bench) => withProof(bench, { method: "POST" })),
  "dpop-url": identify("a proof for another invoice", (bench) => withProof(bench, { url: `${bench.invoice}2` })),
  "dpop-token-hash": identify("a proof for another token", (bench) => withProof(bench, { ath: "A".repeat(43) })),
  "dpop-expired": identify("a proof of two minutes ago", (bench) => withProof(bench, { iat: seconds(bench) - 120 })),
  "dpop-nonce": {
    ...identify("a nonce this node never made", (bench) => withProof(bench, { nonce: "stale" })),
    face: "dpop-nonce",
  },
  "dpop-replayed": (() => {
    let token = "";
    let proof = "";
    return {
      ...identify("a proof that was used before", (bench) => authorized(bench, `DPoP ${token}`, proof)),
      async prepare(bench) {
        await bench.orders.learnNonce(bench.invoice);
        token = bench.orders.token("billing");
        proof = bench.orders.proof("GET", bench.invoice, token);
        await authorized(bench, `DPoP ${token}`, proof);
      },
    } satisfies DenialCase;
  })(),
  "dpop-key-mismatch": identify("a good proof of another key than the token's", (bench) =>
    withToken(bench, { cnf: { jkt: anyKey().kid } }),
  ),
} satisfies Record<string, DenialCase>;

export const replayTableFull: OwnBench = {
  bench: { changes: { tables: { replaySlots: 1 } } },
  case: {
    what: "one more proof in a nonce step than the table holds",
    status: 503,
    stage: "identify",
    async prepare(bench) {
      await bench.orders.send(bench.invoice);
    },
    refused: (bench) => bench.orders.send(bench.invoice),
    // The next step has a table of its own.
    mend(bench) {
      bench.bed.clock.shiftMs += 60_000;
      bench.bed.feed.heartbeat();
      bench.orders.nonce = undefined;
    },
  },
};

const workloads = newTestCa("workloads");
const strangers: ReturnType<typeof createLocalCa> = newTestCa("strangers");
/** A second CA of the same bundle, which publishes no list. */
const silent: ReturnType<typeof createLocalCa> = newTestCa("silent");
const orders = issueTestLeaf(workloads, { uri: ordersUri });
const lost = issueTestLeaf(workloads, { uri: ordersUri });
const portal = issueTestLeaf(workloads, { uri: portalUri });

export const tlsBench = {
  listeners: [tlsListener(workloads)],
  estate(url: string) {
    const lists = [testListBase64(workloads, { serials: [serialOf(lost)] })];
    const roots = [workloads.certificatePem, silent.certificatePem];
    return {
      ...withCertificates(benchEstate(url), workloads),
      trust: [{ name: "workloads", roots, revocation: { lists, required: true } }],
    };
  },
};

const present = (bench: Bench, pair: { cert: string; key: string }, authorization?: string): Promise<Answer> =>
  call(`https://127.0.0.1:${bench.bed.addresses[0]?.port}/billing/v1/invoices/1`, {
    headers: authorization === undefined ? {} : { authorization },
    tls: { ca: workloads.certificatePem, cert: pair.cert, key: pair.key },
  });

const certificate = (what: string, refused: DenialCase["refused"]): DenialCase => ({
  ...identify(what, refused),
  allowed: (bench) => present(bench, orders),
});

/** A token bound to the portal's certificate, for a client of orders. */
const boundToPortal = (bench: Bench): string =>
  bench.orders.token("billing", { cnf: { "x5t#S256": portal.x5t }, iat: Math.floor(Date.now() / 1000) });

export const certificateDenials = {
  "certificate-unknown": certificate("a name that no system declares", (bench) =>
    present(bench, issueTestLeaf(workloads, { uri: "spiffe://main/production/nobody" })),
  ),
  "certificate-untrusted": certificate("the declared name under another root", (bench) =>
    present(bench, issueTestLeaf(strangers, { uri: ordersUri })),
  ),
  "certificate-expired": certificate("a certificate that has ended", (bench) =>
    present(bench, issueTestLeaf(workloads, { uri: ordersUri }, { endsMs: -60_000 })),
  ),
  "certificate-revoked": certificate("a certificate that its issuer took back", (bench) => present(bench, lost)),
  "revocation-unknown": certificate("a certificate of a CA whose list is missing", (bench) =>
    present(bench, issueTestLeaf(silent, { uri: ordersUri })),
  ),
  "certificate-mismatch": certificate("a token bound to another certificate", (bench) =>
    present(bench, orders, `Bearer ${boundToPortal(bench)}`),
  ),
  "identity-conflict": certificate("the token of one system with the certificate of another", (bench) =>
    present(bench, portal, `Bearer ${boundToPortal(bench)}`),
  ),
} satisfies Record<string, DenialCase>;
