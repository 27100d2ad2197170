// Promises one refusal for every code of message signatures, beside its nearest allow: each changes exactly one thing of what a good signer sends.
// Trusts three-ways.ts to judge them. Specified in docs/identity/message-signatures.md.
import { randomBytes } from "node:crypto";
import { standingClock } from "./start-test-gateway.ts";
import { type Answer, call } from "./test-caller.ts";
import type { TestEstate } from "./test-estate.ts";
import { type SignatureChanges, TestSigner, type ToSign } from "./test-signer.ts";
import { type Bench, benchEstate, type DenialCase } from "./three-ways.ts";

const clock = standingClock();
const now = (): number => clock.now();
const orders = new TestSigner("orders-2026", "ed25519", now);
const stranger = new TestSigner("nobody", "ed25519", now);
const beganS = Math.floor(now() / 1_000);
/** A gateway that has just begun takes no signature without its nonce: some seconds on it does. */
const settledMs = 10_000;

export const signatureBench = {
  clock,
  estate(url: string): TestEstate {
    const { systems, integrations, ...rest } = benchEstate(url);
    const signatures = { keys: [orders.key], covers: [] };
    return {
      ...rest,
      systems: systems.map((one) => (one.id === "orders" ? { ...one, changes: { signatures } } : one)),
      integrations: integrations.map((one) =>
        one.id === "orders-to-billing" ? { ...one, proof: ["signature", "dpop"] } : one,
      ),
    };
  },
};

function send(bench: Bench, changes: SignatureChanges = {}, by = orders, request?: ToSign): Promise<Answer> {
  const parameters = `${changes.parameters ?? ""};nonce="${randomBytes(9).toString("hex")}"`;
  return by.send(request ?? { url: bench.invoice }, { ...changes, parameters });
}

const signature = (what: string, refused: DenialCase["refused"]): DenialCase => ({
  what,
  status: 401,
  stage: "identify",
  face: "unauthenticated",
  refused,
  allowed: (bench) => send(bench),
});

const seconds = (): number => Math.floor(now() / 1_000);
const body = JSON.stringify({ amount: 5, customer: "c-1" });
const create = (bench: Bench): ToSign => ({
  method: "POST",
  url: `${bench.url}/billing/v1/invoices`,
  body,
  headers: { "content-type": "application/json" },
});

export const signatureDenials = {
  "signature-malformed": {
    ...signature("an algorithm that is no text", (bench) => send(bench, { parameters: ";alg=1" })),
    prepare(bench) {
      clock.shiftMs += settledMs;
      bench.bed.feed.heartbeat();
    },
  },
  "signature-key-unknown": signature("a key of nobody", (bench) => send(bench, {}, stranger)),
  "signature-algorithm": signature("another algorithm than the key's", (bench) =>
    send(bench, { parameters: ';alg="hmac-sha256"' }),
  ),
  "signature-components": signature("a signature that leaves the method open", (bench) =>
    send(bench, { components: ['"@target-uri"'] }),
  ),
  "signature-expired": signature("a signature of two minutes ago", (bench) =>
    send(bench, { created: seconds() - 120 }),
  ),
  "signature-invalid": signature("the octets of another key", (bench) =>
    send(bench, { keyid: orders.key.keyid }, stranger),
  ),
  "signature-nonce": signature("a signature of when this gateway began", (bench) => send(bench, { created: beganS })),
  "signature-replayed": (() => {
    let fields: Record<string, string> = {};
    return {
      ...signature("what was signed before", (bench) => call(bench.invoice, { headers: fields })),
      async prepare(bench) {
        fields = orders.fields({ url: bench.invoice });
        await call(bench.invoice, { headers: fields });
      },
    } satisfies DenialCase;
  })(),
  "content-digest": {
    what: "content that was put in behind a signed head",
    status: 400,
    stage: "inspect",
    async refused(bench) {
      const { url, ...request } = create(bench);
      const fields = orders.fields({ url, ...request });
      const other = JSON.stringify({ amount: 9, customer: "c-1" });
      return call(url, { ...request, headers: { ...request.headers, ...fields }, body: other });
    },
    allowed: (bench) => send(bench, {}, orders, create(bench)),
  },
} satisfies Record<string, DenialCase>;
