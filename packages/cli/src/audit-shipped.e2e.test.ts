// Records of a gateway as an auditor finds them at control: shipped, searched by everything they can be found by, followed over a restart, and found
// again when the index was made anew. Processes of their own on real sockets.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { RecordHit } from "@sallyport/control/audit/search/search-actions.ts";
import type { Finding as StoredFinding } from "@sallyport/control/watch/finding.ts";
import { Installation, type Served, served, until } from "./installation.test-support.ts";
import { inheritedEnvironment, runBinary } from "./program.test-support.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));
const bounded = { timeout: 180_000 };

interface Printed extends Omit<RecordHit, "leaf" | "intent"> {
  readonly leaf: Readonly<Record<string, unknown>>;
}
interface Finding extends StoredFinding {
  readonly subjectName: string | null;
}
interface Found {
  readonly records: readonly Printed[];
  readonly behind: number;
}

let installation: Installation;
let control: Served;
let auditorKey: string;

/** Ids of crossings as the gateway told its callers, also of those that were sent back for a nonce. */
const told: string[] = [];

/** Another operator, who may read what was recorded: a key of their own, declared in the estate. */
async function declareAuditor(): Promise<void> {
  const made = await runBinary([
    "operator",
    "key",
    "ada",
    "--private",
    auditorKey,
    "--operator",
    installation.operatorKey,
  ]);
  assert.equal(made.exit, 0, made.err);
  const estate = installation.files()["sallyport.yaml"];
  installation.writeEstate({
    "ada.jwks.json": made.out,
    "sallyport.yaml": `${estate}operators:\n  ada: { keys: [ada.jwks.json], roles: [auditor] }\n`,
  });
}

const as = (key: string, ...words: string[]) => runBinary([...words, "--json", "--operator", key]);

async function search(...words: string[]): Promise<readonly Printed[]> {
  const { exit, out, err } = await as(auditorKey, "audit", "search", ...words);
  assert.ok(exit === 0 || exit === 1, `${exit} ${err}`);
  return (JSON.parse(out) as Found).records;
}

function answered(response: Response): void {
  const id = response.headers.get("sallyport-crossing");
  if (id !== null) told.push(id);
}

const caller = () => installation.caller(installation.clientKey.signer, "production", answered);

async function cross(times: number): Promise<void> {
  const { fetch } = caller();
  for (let n = 0; n < times; n += 1) {
    assert.equal((await fetch("/billing/v1/invoices/in-1")).status, 200);
  }
}

/** One that the gateway denies: the operation is not granted. */
async function denied(): Promise<void> {
  const { fetch } = caller();
  const response = await fetch("/billing/v1/invoices", { method: "POST", body: "{}" });
  assert.equal(response.status, 403);
}

const keyOf = ({ origin, index }: Pick<Printed, "origin" | "index">) => `${origin}#${index}`;
const ofGateway = ({ leaf }: Printed) => leaf["t"] === "crossing";

before(async () => {
  installation = await Installation.open();
  auditorKey = join(installation.root, "ada.key.json");
  control = await installation.startControl();
  installation.trustRoots();
  await declareAuditor();
  const applied = await runBinary(["apply", installation.estate, "--operator", installation.operatorKey]);
  assert.equal(applied.exit, 0, applied.err);
  await installation.startGateway();
});
after(() => installation.close());

test(
  "a gateway's records reach control and are found by who, what, how it ended, id, address and policy, and again after the index was made anew",
  bounded,
  async () => {
    await cross(3);
    await denied();
    // All of them: they may come in several shipments, and what is found below is compared with what is found after a rebuild.
    const areAllFound = async () => {
      const ids = (await search("--kind", "crossing")).map(({ leaf }) => leaf["id"]);
      return told.every((id) => ids.includes(id));
    };
    await until("the gateway's records are found at control", areAllFound);
    const [one] = (await search("--outcome", "success")).filter(ofGateway);
    assert.ok(one !== undefined);
    const { leaf } = one;
    assert.equal(leaf["operation"], "billing:invoice.read");
    const [policy] = leaf["policies"] as readonly string[];
    const ways: readonly (readonly string[])[] = [
      ["--caller", "orders"],
      ["--operation", "billing:invoice.read"],
      ["--system", "billing"],
      ["--outcome", "success", "--kind", "crossing"],
      ["--id", String(leaf["id"])],
      ["--address", "127.0.0.1"],
      ["--policy", String(policy)],
      ["--integration", "orders-to-billing"],
      ["--node", one.node],
    ];
    const answers = async () => {
      const found: string[][] = [];
      for (const way of ways) {
        const hits = (await search(...way, "--limit", "1000")).filter(ofGateway).map(keyOf);
        assert.ok(hits.includes(keyOf(one)), way.join(" "));
        found.push(hits);
      }
      return found;
    };
    const refusal = await search("--outcome", "denied", "--operation", "billing:invoice.create");
    assert.equal(refusal.length, 1);
    assert.equal((await search("--caller", "nobody")).length, 0);
    const first = await answers();
    const rebuilt = await as(installation.operatorKey, "audit", "index", "rebuild");
    assert.equal(rebuilt.exit, 0, rebuilt.err);
    const status = async () =>
      JSON.parse((await as(installation.operatorKey, "status")).out) as {
        readonly following: { readonly folds: readonly { readonly id: string; readonly behind: number }[] };
      };
    await until("status says that the index has caught up", async () => {
      const { folds } = (await status()).following;
      return folds.find(({ id }) => id === "search")?.behind === 0 && (await areAllFound());
    });
    assert.deepEqual(await answers(), first);
  },
);

test(
  "attack: a caller tries what it was not granted five times: one finding about it, with the records that search finds",
  bounded,
  async () => {
    for (let n = 0; n < 5; n += 1) await denied();
    let finding: Finding | undefined;
    await until("the finding is listed", async () => {
      const { exit, out, err } = await as(auditorKey, "finding", "list");
      assert.ok(exit <= 1, err);
      finding = (JSON.parse(out) as Finding[]).find(({ rule }) => rule === "scope-escalation");
      return finding !== undefined;
    });
    assert.deepEqual([finding?.subject.kind, finding?.subjectName], ["caller", "orders"]);
    assert.ok((finding?.count ?? 0) >= 5, `${finding?.count}`);
    const hits = (await search("--code", "not-granted", "--caller", "orders", "--limit", "1000")).map(keyOf);
    assert.deepEqual(
      finding?.evidence.map(keyOf).filter((key) => !hits.includes(key)),
      [],
    );
    assert.ok((finding?.evidence.length ?? 0) >= 5);
  },
);

test(
  "a tail prints every crossing once over a restart of control, and each of its streams is on record once",
  bounded,
  async () => {
    const cursor = join(installation.root, "place.txt");
    const words = ["audit", "tail", "--follow", "--limit", "0", "--cursor", cursor, "--kind", "crossing", "--json"];
    const open = () =>
      served(
        spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...words, "--operator", auditorKey], {
          stdio: ["ignore", "pipe", "pipe"],
          env: inheritedEnvironment(),
        }),
      );
    const begun = async () =>
      until("the tail has begun", async () => {
        try {
          return readFileSync(cursor, "utf8").trim() !== "";
        } catch {
          return false;
        }
      });
    let tail = open();
    await begun();
    told.length = 0;
    const idsOf = (from: Served) => from.lines.map(({ leaf }) => String((leaf as { readonly id: string }).id));
    await cross(3);
    await until("the first crossings are printed", () => idsOf(tail).length >= told.length);
    await control.signal("SIGTERM");
    control = await installation.startControl();
    await cross(3);
    await until("the crossings after the restart are printed", () => idsOf(tail).length >= told.length);
    const before = idsOf(tail);
    await tail.signal("SIGINT");
    // While nobody follows.
    await cross(3);
    tail = open();
    await until("what came meanwhile is printed", () => before.length + idsOf(tail).length >= told.length);
    await cross(1);
    await until("and what comes", () => before.length + idsOf(tail).length >= told.length);
    assert.deepEqual([...before, ...idsOf(tail)], told);
    await tail.signal("SIGINT");
    // The first, its next after the restart, and the second command's.
    let asked: readonly Printed[] = [];
    await until("the streams are on record", async () => {
      asked = await search("--action", "record.follow", "--actor", "operator:ada");
      return asked.length >= 3;
    });
    assert.equal(asked.length, 3);
  },
);

test(
  "an auditor reads the log and nothing else: every refusal says which permission is missing and is on record",
  bounded,
  async () => {
    for (const [words, permission] of [
      [["status"], "read-state"],
      [["audit", "index", "rebuild"], "administer"],
      [["integration", "suspend", "orders-to-billing", "--reason", "x"], "administer"],
      [["apply", installation.estate], "administer"],
    ] as const) {
      const { exit, err } = await runBinary([...words, "--operator", auditorKey]);
      assert.equal(exit, 4, `${words.join(" ")}: ${err}`);
      assert.match(err, new RegExp(`needs the permission ${permission}, which operator ada does not have`));
      assert.match(err, /operators\.ada\.roles in sallyport\.yaml/);
    }
    assert.equal((await as(auditorKey, "audit", "edges")).exit, 0);
    assert.equal((await as(auditorKey, "finding", "list")).exit <= 1, true);
    assert.equal((await as(auditorKey, "why", told.at(-1) ?? "")).exit, 0);
    await until("the refusals are on record", async () => {
      const refused = await search("--action", "act.refuse", "--actor", "operator:ada");
      return refused.length === 4;
    });
    const declared = await search("--action", "operator.declare", "--object", "operator/ada");
    assert.equal(declared.length, 1, "declared once, though it was applied at each start");
  },
);
