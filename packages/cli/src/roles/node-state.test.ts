// What a gateway tells control of itself, every two seconds (docs/formats/join.md "State").
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseUpMessage } from "@sallyport/control/gateways/parse-up.ts";
import type { GatewayStatus } from "@sallyport/gateway/observe/status.ts";
import { shareState } from "./node-state.ts";

const well: Pick<
  GatewayStatus,
  "stalenessMs" | "logOrigin" | "logLeaves" | "inFlight" | "waiting" | "dataPlane" | "sharedLimits"
> = {
  ...{ stalenessMs: 1.4, logOrigin: "o", logLeaves: 3, inFlight: 0, waiting: null },
  dataPlane: { dialect: "sqlite", state: "open", why: null },
  sharedLimits: { state: "unused", place: null, why: null, gateways: 1 },
};

/** What control reads of the first report of a gateway with this status. */
async function told(status: typeof well): Promise<ReturnType<typeof parseUpMessage>> {
  const sent = Promise.withResolvers<string>();
  const stop = shareState(
    { status: () => status as GatewayStatus },
    {
      post: async (_path, body) => {
        sent.resolve(String(body));
        return new Uint8Array();
      },
    },
    1,
  );
  try {
    return parseUpMessage(await sent.promise);
  } finally {
    stop();
  }
}

test("a gateway that has what it needs says no faults; one without its store says which, in the form that control takes", async () => {
  const fine = await told(well);
  assert.ok(fine?.t === "state" && fine.faults === undefined);
  const why = "/var/lib/säckchen: no such file".padEnd(2_000, "x");
  const broken = await told({ ...well, dataPlane: { dialect: "sqlite", state: "failed", why } });
  assert.ok(broken?.t === "state");
  assert.match(broken.faults?.[0] ?? "", /^the data-plane store cannot be used, .*s\?ckchen/);
  assert.equal(broken.faults?.[0]?.length, 400);
});

test("attack: more faults than a node can have, or what no terminal should show, is no message", () => {
  const state = {
    ...{
      t: "state",
      at: 1,
      version: "0.1.0",
      stalenessMs: null,
      logOrigin: "o",
      logLeaves: 1,
      inFlight: 0,
      waitingMs: 0,
    },
  };
  const takes = (faults: unknown) => parseUpMessage(JSON.stringify({ ...state, faults })) !== null;
  assert.equal(takes(["no Redis"]), true);
  for (const faults of [Array(9).fill("x"), ["x".repeat(401)], ["a\nb"], ["\u001b[2J"], [""], "x", [1], null])
    assert.equal(takes(faults), false, JSON.stringify(faults));
});
