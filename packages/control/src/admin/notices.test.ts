import assert from "node:assert/strict";
import { test } from "node:test";
import { testAuthority } from "../gateways/channel.test-support.ts";
import type { IntegrationConfig } from "../registry/config/estate.ts";
import { emptyEnvironment } from "../registry/estate-rows.ts";
import { decideNotices, type NoticeInputs, urgencyOf } from "./notices.ts";

const day = 86_400_000;
const now = Date.UTC(2026, 10, 29);
const integration: IntegrationConfig = {
  id: "orders-to-billing",
  from: "orders",
  to: "billing",
  owner: "team:shop",
  purpose: "Charge",
  proof: ["dpop"],
  limits: [],
  operations: [],
  onExpiry: "alert",
  declaredAt: { file: "systems/orders.yaml", line: 4, column: 5 },
} as const;
const notices = (more: Partial<IntegrationConfig>, inputs: Partial<NoticeInputs> = {}) =>
  decideNotices({
    environments: [{ ...emptyEnvironment("staging"), integrations: [{ ...integration, ...more }] }],
    now,
    checkpointCopy: true,
    issuers: new Map(),
    ...inputs,
  });

test("a date is named from 60 days before on, more urgently at 30 and 7, and when it is over", () => {
  const at = (days: number) => urgencyOf(now + days * day, now);
  assert.deepEqual([61, 60, 31, 30, 8, 7, 0.01, 0, -5].map(at), [
    ...[null, "60 days", "60 days", "30 days", "30 days", "7 days", "7 days", "over", "over"],
  ]);
});

test("a review, an end and the time of bearer tokens are named with file, line and fix, the nearest first", () => {
  const said = notices({
    reviewMs: now + 20 * day,
    expiresAtMs: now + 3 * day,
    bearerUntilMs: now - day,
    onExpiry: "suspend",
  });
  assert.deepEqual(
    said.map(({ urgency, object, file, line }) => [urgency, object, file, line]),
    ["over", "7 days", "30 days"].map((urgency) => [
      urgency,
      "integration/orders-to-billing",
      "systems/orders.yaml",
      4,
    ]),
  );
  assert.match(said[1]?.text ?? "", /then it is denied.* ends on 2026-12-02/);
  for (const { fix } of said) assert.ok(fix.length > 10);
  assert.deepEqual(notices({ reviewMs: now + 365 * day }), []);
});

test("what observe and passthrough leave out is named however far its end is, and once it is over", () => {
  const mode = { mode: "observe", untilMs: now + 170 * day, reason: "forty live flows" } as const;
  const system = {
    id: "billing",
    mode,
    passthrough: { untilMs: now - day, reason: "x" },
    declaredAt: { file: "systems/billing.yaml", line: 1, column: 1 },
  };
  // Only what notices read of a system.
  const systems = [system] as unknown as NoticeInputs["environments"][number]["systems"];
  const said = decideNotices({
    environments: [
      {
        ...emptyEnvironment("staging"),
        mode: { ...mode, untilMs: now + 5 * day },
        systems,
        integrations: [{ ...integration, mode: { mode: "enforce" } }],
      },
    ],
    now,
    checkpointCopy: true,
    issuers: new Map(),
  });
  assert.deepEqual(
    said.map(({ urgency, object, text }) => [urgency, object, text]),
    [
      [
        "over",
        "system/billing",
        "undeclared requests pass, from anybody: that ended on 2026-11-27, and it is enforced",
      ],
      ["7 days", "environment/staging", "observed, not enforced until 2026-12-03"],
      ["standing", "system/billing", "observed, not enforced until 2027-05-17"],
    ],
  );
});

test("a root certificate that ends is named by its bundle", () => {
  const { certificatePem } = testAuthority();
  const trust = [
    { name: "acme", roots: [certificatePem], declaredAt: { file: "trust/acme.yaml", line: 1, column: 1 } },
  ];
  const environments = [{ ...emptyEnvironment("staging"), trust }];
  const [first] = decideNotices({
    environments,
    now: Date.now() + 3_650 * day,
    checkpointCopy: true,
    issuers: new Map(),
  });
  assert.deepEqual([first?.object, first?.urgency, first?.file], ["trust/acme", "over", "trust/acme.yaml"]);
});

test("production that anybody may change alone, and a log without a copy of its checkpoints, are said; guarded ones are not", () => {
  const environment = { ...emptyEnvironment("production"), approval: "none" as const };
  const open = decideNotices({ environments: [environment], now, checkpointCopy: false, issuers: new Map() });
  assert.deepEqual(
    open.map(({ urgency }) => urgency),
    ["standing", "standing"],
  );
  assert.match(open[0]?.fix ?? "", /approval: operator/);
  assert.match(open[1]?.fix ?? "", /--checkpoint-copy/);
  assert.deepEqual(
    decideNotices({
      environments: [{ ...environment, approval: "operator" }],
      now,
      checkpointCopy: true,
      issuers: new Map(),
    }),
    [],
  );
  assert.deepEqual(
    decideNotices({
      environments: [{ ...environment, name: "staging" }],
      now,
      checkpointCopy: true,
      issuers: new Map(),
    }),
    [],
  );
});

test("passkeys that no browser would take are named: where signIn has them and the issuer is at an address", () => {
  const said = (issuer: string, signIn: readonly string[] = ["passkey", "password"]) =>
    decideNotices({
      environments: [{ ...emptyEnvironment("staging"), people: { signIn, idleMs: 1, absoluteMs: 1 } }],
      issuers: new Map([["staging", issuer]]),
      ...{ now, checkpointCopy: true },
    });
  const [notice, ...others] = said("https://127.0.0.1:7440/main/staging");
  assert.deepEqual([notice?.object, others.length], ["environment/staging", 0]);
  assert.match(`${notice?.text} ${notice?.fix}`, /passkey.*--identity-url/);
  assert.equal(said("https://[::1]:7440/main/staging").length, 1);
  assert.deepEqual(said("https://localhost:7440/main/staging"), []);
  assert.deepEqual(said("https://127.0.0.1:7440/main/staging", ["password"]), []);
});
