// Promises one refusal for every code of API keys, beside its nearest allow. Trusts three-ways.ts to judge them. Specified in docs/identity/api-keys.md.
import { hash, randomBytes } from "node:crypto";
import { printApiKey } from "@sallyport/protocol/token/api-key.ts";
import { type Answer, call } from "./test-caller.ts";
import type { TestEstate } from "./test-estate.ts";
import { type Bench, benchEstate, type DenialCase } from "./three-ways.ts";

const good = printApiKey("0000000001", randomBytes(32));
const ended = printApiKey("0000000002", randomBytes(32));
const elsewhere = printApiKey("0000000003", randomBytes(32));
const year = 366 * 86_400_000;

export const apiKeyBench = {
  estate(url: string): TestEstate {
    const { integrations, ...rest } = benchEstate(url);
    const key = (id: string, text: string, integration: string, notAfterMs: number) => ({
      ...{ id, digest: hash("sha256", text, "base64url"), system: "orders", integrations: [integration], notAfterMs },
    });
    return {
      ...rest,
      integrations: integrations.map((one) =>
        one.from === "orders" ? { ...one, proof: ["api-key", "dpop"] as const } : one,
      ),
      apiKeys: {
        headers: [],
        keys: [
          key("0000000001", good, "orders-to-billing", Date.now() + year),
          key("0000000002", ended, "orders-to-billing", Date.now() - 1_000),
          key("0000000003", elsewhere, "orders-to-watched", Date.now() + year),
        ],
      },
    };
  },
};

const present = (bench: Bench, key: string): Promise<Answer> =>
  call(bench.invoice, { headers: { authorization: `ApiKey ${key}` } });
const unauthenticated = { status: 401, stage: "identify", face: "unauthenticated" } as const;
const allowed = (bench: Bench): Promise<Answer> => present(bench, good);

export const apiKeyDenials = {
  "api-key-unknown": {
    ...unauthenticated,
    what: "a key that nobody made",
    refused: (bench) => present(bench, printApiKey("0000000001", randomBytes(32))),
    allowed,
  },
  "api-key-ended": {
    ...unauthenticated,
    what: "a key past its end",
    refused: (bench) => present(bench, ended),
    allowed,
  },
  "api-key-scope": {
    what: "a key for another integration of its system",
    status: 403,
    stage: "authorize",
    refused: (bench) => present(bench, elsewhere),
    allowed,
  },
} satisfies Record<string, DenialCase>;
