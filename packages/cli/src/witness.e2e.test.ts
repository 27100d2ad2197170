// Real processes that witness one another: an end cut off, a machine put back to an older copy and two copies running, each signed with the log's own
// key, are caught and shown to the operator with both checkpoints.
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { WitnessReport } from "@sallyport/control/admin/actions.ts";
import type { LogFindingRow } from "@sallyport/control/audit/witness-store.ts";
import type { Finding } from "@sallyport/control/watch/finding.ts";
import { noteCrypto, sha256 } from "@sallyport/kernel/log/log-crypto.ts";
import { parseWitnessKey, verifyCosignatures } from "@sallyport/protocol/audit/cosignature.ts";
import { Installation, type Served, until } from "./installation.test-support.ts";

const bounded = { timeout: 240_000 };
const opened: Installation[] = [];
after(async () => {
  for (const installation of opened) await installation.close();
});

async function open(): Promise<{ installation: Installation; control: Served; gateway: Served }> {
  const installation = await Installation.open();
  opened.push(installation);
  const control = await installation.startControl();
  installation.trustRoots();
  const gateway = await installation.startGateway();
  return { installation, control, gateway };
}

const witnesses = (at: Installation) => at.operator().call<WitnessReport>("GET", "/v1/witnesses");
const findings = (at: Installation) => at.operator().call<readonly LogFindingRow[]>("GET", "/v1/log-findings");
const leavesOf = async (at: Installation) => (await witnesses(at)).witnessed[0]?.leaves ?? 0;
const controlCosigned = async (at: Installation) =>
  Math.max(0, ...(await witnesses(at)).cosigners.map(({ leaves }) => leaves));

/** Crossings, so that the gateway's log grows. */
async function cross(at: Installation, count: number): Promise<void> {
  const caller = at.caller();
  for (let i = 0; i < count; i++) {
    const answer = await caller.fetch(`https://127.0.0.1:${at.ports.gateway}/billing/v1/invoices/${i}`);
    await answer.text();
  }
}

test(
  "gateway and control cosign one another's logs, and the lines verify with the keys that audit witnesses names",
  bounded,
  async () => {
    const { installation } = await open();
    await until(
      "both logs to be cosigned",
      async () => (await leavesOf(installation)) > 0 && (await controlCosigned(installation)) > 0,
    );
    const report = await witnesses(installation);
    assert.deepEqual(await findings(installation), []);
    const year = String(new Date().getUTCFullYear());
    for (const [data, vkey] of [
      ["gateway", report.control],
      ["control", report.gateways[0]?.key ?? ""],
    ] as const) {
      const file = join(installation.data(data), "log", year, "cosigned");
      const key = parseWitnessKey(sha256, vkey);
      assert.ok(key !== null);
      const verdict = verifyCosignatures(noteCrypto, readFileSync(file, "utf8").slice(0, -1), [key]);
      assert.ok(verdict.kind === "ok" && verdict.cosigned.length === 1, data);
    }
  },
);

test(
  "attack: the end of a gateway's log is cut off while it is stopped, and signed again with its own key",
  bounded,
  async () => {
    const { installation, gateway } = await open();
    await gateway.signal("SIGTERM");
    const log = join(installation.data("gateway"), "log");
    const older = join(installation.root, "older-log");
    cpSync(log, older, { recursive: true });
    const again = await installation.startGateway();
    const before = await leavesOf(installation);
    await cross(installation, 20);
    await until("the longer log to be cosigned", async () => (await leavesOf(installation)) >= before + 20);
    await again.signal("SIGTERM");
    rmSync(log, { recursive: true });
    cpSync(older, log, { recursive: true });
    await installation.startGateway();
    await until("the cut to be found", async () => (await findings(installation)).length > 0);
    const [finding] = await findings(installation);
    assert.equal(finding?.code, "rolled-back");
    assert.match(finding.origin, /\/gateway\/\d{4}$/);
    const sizes = [finding.kept, finding.shown].map((note) => Number(note.split("\n")[1]));
    assert.ok((sizes[0] ?? 0) > (sizes[1] ?? 0));
    const status = await installation.operator().call<{ warnings: readonly string[] }>("GET", "/v1/status");
    assert.ok(status.warnings.some((text) => /is shorter than what .* cosigned.*rolled-back/.test(text)));
    const raised = await installation.operator().call<readonly Finding[]>("GET", "/v1/findings");
    assert.deepEqual(
      raised
        .filter(({ rule }) => rule === "log-rolled-back")
        .map(({ severity, subject, state }) => [severity, subject, state]),
      [["critical", { kind: "origin", name: finding.origin }, "open"]],
    );
    const evidence = join(installation.data("gateway"), "witness", "findings");
    await until("the gateway to keep the evidence too", () =>
      listOf(evidence).some((name) => name.startsWith("rolled-back-")),
    );
  },
);

test(
  "attack: control's machine is put back to an older copy, store, log and key: its gateway says so",
  bounded,
  async () => {
    const { installation, control } = await open();
    await until("control's log to be cosigned", async () => (await controlCosigned(installation)) > 0);
    await control.signal("SIGTERM");
    const data = installation.data("control");
    const older = join(installation.root, "older-control");
    cpSync(data, older, { recursive: true });
    const again = await installation.startControl();
    const before = await controlCosigned(installation);
    await until("the longer log to be cosigned", async () => (await controlCosigned(installation)) > before + 20);
    await again.signal("SIGTERM");
    rmSync(data, { recursive: true });
    cpSync(older, data, { recursive: true });
    await installation.startControl();
    await until("the gateway's word", async () =>
      (await findings(installation)).some(({ origin }) => /\/control\//.test(origin)),
    );
    const found = (await findings(installation)).find(({ origin }) => /\/control\//.test(origin));
    // What it records after it was put back may already have made it longer than what was cosigned.
    assert.match(found?.code ?? "", /^(?:rolled-back|split-view)$/);
    assert.match(found?.witness ?? "", /\/production\/gw-[0-9a-f]+\/witness$|^gw-/);
  },
);

test(
  "attack: a gateway's data directory is copied and both run: one history is cosigned, the other is evidence",
  bounded,
  async () => {
    const { installation, gateway } = await open();
    await until("the log to be cosigned", async () => (await leavesOf(installation)) > 0);
    await gateway.signal("SIGTERM");
    const copy = installation.data("copy");
    cpSync(installation.data("gateway"), copy, { recursive: true });
    await installation.startGateway();
    await cross(installation, 3);
    const cosigned = await leavesOf(installation);
    await until("the first to be cosigned", async () => (await leavesOf(installation)) > cosigned);
    installation.serve("gateway", ["--data", copy, "--listen", "public=127.0.0.1:0"]);
    const ofGateway = async () => (await findings(installation)).find(({ origin }) => /\/gateway\//.test(origin));
    await until("the fork to be found", async () => (await ofGateway()) !== undefined);
    const finding = await ofGateway();
    assert.match(finding?.code ?? "", /^(?:forked|split-view|rolled-back)$/);
    assert.notEqual(finding?.kept.split("\n")[2], finding?.shown.split("\n")[2], "two roots");
  },
);

function listOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
