import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { LogFault } from "@sallyport/kernel/log/fault.ts";
import { Log } from "@sallyport/kernel/log/log.ts";
import { realDisk } from "@sallyport/kernel/log/real-disk.ts";
import { printLeaf } from "@sallyport/protocol/audit/leaf-format.ts";
import { CommandEnd, exitCode } from "../exit.ts";
import { runAgainst } from "../program.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-audit-payload-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const id = "gw-1-01KAMZZZZZ0000000000000000";
const at = Date.UTC(2026, 10, 30);
const route = `POST /v1/payloads/${id}`;

test("audit payload sends the reason, shows what was kept, and says of each part what became of it", async () => {
  const payloads = [
    { direction: "request", state: "kept", content: '{"a":1}', endsAt: at },
    { direction: "response", state: "unkept", reason: "not-json" },
  ];
  const ran = await runAgainst({ [route]: { id, payloads } }, ["audit", "payload", id, "--reason", "complaint 88"]);
  assert.deepEqual(ran.asked, [{ route, body: { reason: "complaint 88" } }]);
  assert.equal(ran.exit, exitCode.yes);
  assert.equal(
    ran.out.join(""),
    'request, until 2026-11-30:\n  {"a":1}\nresponse: not kept, it is not JSON that has one reading\n',
  );
  for (const [part, said] of [
    [{ state: "erased", at }, "its data subject was erased on 2026-11-30"],
    [{ state: "expired", at }, "its time was over on 2026-11-30"],
    [{ state: "locked" }, "audit unlock-payloads"],
    [{ state: "gone" }, "there is no key for it here"],
    [{ state: "damaged" }, "not what the record names"],
  ] as const) {
    const answer = { [route]: { id, payloads: [{ direction: "request", ...part }] } };
    const none = await runAgainst(answer, ["audit", "payload", id, "--reason", "x"]);
    assert.equal(none.exit, exitCode.no, part.state);
    assert.ok(none.out.join("\n").includes(said), part.state);
  }
});

test("audit erase takes one way of saying who, a file too, and says under which names it is on record", async () => {
  const erased = { "POST /v1/erasures": { keys: 2, subjects: [{ environment: "production", subject: "2026:x" }] } };
  const erase = ["audit", "erase", "--reason", "asked to"];
  const ran = await runAgainst(erased, [...erase, "--subject", "c-1"]);
  assert.deepEqual(ran.asked[0]?.body, { subject: "c-1", reason: "asked to" });
  assert.match(ran.out.join(""), /destroyed 2 keys.*\nrecorded under 2026:x in production/);
  const file = join(folder, "subject.txt");
  writeFileSync(file, "c-2 \n");
  const fromFile = await runAgainst(erased, [...erase, "--subject-file", file]);
  assert.deepEqual(fromFile.asked[0]?.body, { subject: "c-2 ", reason: "asked to" });
  const named = await runAgainst(erased, [...erase, "--pseudonym", "2026:x", "--environment", "staging"]);
  assert.deepEqual(named.asked[0]?.body, { pseudonym: "2026:x", reason: "asked to", environment: "staging" });
  for (const wrong of [
    [],
    ["--subject", "a", "--pseudonym", "b"],
    ["--subject", "a", "--environment", "staging"],
    ["--subject-file", join(folder, "none")],
  ]) {
    const refused = await runAgainst(erased, [...erase, ...wrong]);
    assert.equal(refused.exit, exitCode.badUse, wrong.join(" "));
    assert.deepEqual(refused.asked, []);
  }
});

test("audit erase --from-log tells a restored control plane once more of everybody whom the log of the lost one has erased, each once", async () => {
  const place = { tenant: "main", environment: "sallyport", region: "eu", node: "control" } as const;
  const directory = join(folder, "log");
  const log = Log.open({
    ...{ disk: realDisk(), directory, now: () => at, lowSpaceBytes: 0, reserveBytes: 0 },
    identity: { ...place, role: "control", version: "0.1.0" },
  });
  const act = (n: number, action: string, object: string, environment: string) => ({
    leaf: printLeaf({
      ...{ t: "admin", id: `01KAMZZZZZ000000000000000${n}`, at, ...place, environment, action, object, facts: null },
      actor: "2026:abcdefghijklmnopqrstuQ",
    }),
  });
  const [ada, bob] = ["2026:adaaaaaaaaaaaaaaaaaaaA", "2025:bob_-aaaaaaaaaaaaaaaaA"];
  log.append([
    act(1, "payload.erase", `data-subject/${ada}`, "production"),
    act(2, "payload.expire", "payload-key/2026", "production"),
    act(3, "payload.erase", `data-subject/${bob}`, "staging"),
    act(4, "payload.erase", `data-subject/${ada}`, "production"),
  ]);
  log.close();
  const erased = { "POST /v1/erasures": { keys: 1, subjects: [] } };
  const again = ["audit", "erase", "--reason", "restored", "--from-log"];
  const ran = await runAgainst(erased, [...again, directory]);
  assert.deepEqual(
    ran.asked.map(({ body }) => body),
    [
      { pseudonym: ada, environment: "production", reason: "restored" },
      { pseudonym: bob, environment: "staging", reason: "restored" },
    ],
  );
  assert.match(ran.out.join(""), /destroyed 2 keys/);
  for (const wrong of [[join(folder, "no-log")], [folder], [directory, "--subject", "c-1"]]) {
    const refused = await runAgainst(erased, [...again, ...wrong]);
    assert.equal(refused.exit, exitCode.badUse, wrong.join(" "));
    assert.deepEqual(refused.asked, []);
  }
});

/** A control plane's log in which a person was erased at each of these times. */
function lostLog(name: string, times: readonly number[]): string {
  const directory = join(folder, name);
  const clock = { now: times[0] ?? at };
  const place = { tenant: "main", environment: "sallyport", region: "eu", node: "control" } as const;
  const log = Log.open({
    ...{ disk: realDisk(), directory, now: () => clock.now, lowSpaceBytes: 0, reserveBytes: 0 },
    identity: { ...place, role: "control", version: "0.1.0" },
  });
  for (const [n, time] of times.entries()) {
    clock.now = time;
    const leaf = printLeaf({
      ...{ t: "admin", id: `01KAMZZZZZ000000000000000${n}`, at: time, ...place, environment: "production" },
      ...{ action: "payload.erase", object: `data-subject/2026:${n}daaaaaaaaaaaaaaaaaaaA`, facts: null },
      actor: "2026:abcdefghijklmnopqrstuQ",
    });
    log.append([{ leaf }]);
  }
  log.close();
  return directory;
}

test("attack: a legal hold on one data subject keeps everybody behind it in a lost log from being erased again", async () => {
  const directory = lostLog("held", [Date.UTC(2026, 10, 30), Date.UTC(2026, 10, 30)]);
  let held = 1;
  const answers = {
    get "POST /v1/erasures"() {
      if (held-- > 0) return new CommandEnd(exitCode.no, "the legal hold case-7 covers it", "ask legal");
      return { keys: 3, subjects: [{ environment: "production", subject: "2025:x" }] };
    },
  };
  const ran = await runAgainst(answers, ["audit", "erase", "--reason", "restored", "--from-log", directory]);
  assert.equal(ran.asked.length, 2);
  assert.match(ran.out.join(""), /destroyed 3 keys/);
  assert.equal(ran.exit, exitCode.no);
  assert.match(
    ran.end?.message ?? "",
    /^1 of 2 data subjects were not erased; the first: the legal hold case-7 covers it$/,
  );
});

test("attack: a year of the lost log is taken out of reading, so that who was erased in it comes back: nobody is told, and the place is named", async () => {
  const directory = lostLog("two-years", [Date.UTC(2026, 11, 31), Date.UTC(2027, 0, 2)]);
  const erased = { "POST /v1/erasures": { keys: 1, subjects: [] } };
  const again = ["audit", "erase", "--reason", "restored", "--from-log", directory];
  assert.equal((await runAgainst(erased, again)).asked.length, 2);
  const checkpoint = join(directory, "2026", "checkpoint");
  const note = readFileSync(checkpoint, "utf8");
  for (const spoil of [() => writeFileSync(checkpoint, note.replace(/\n\d+\n/, "\n9\n")), () => rmSync(checkpoint)]) {
    spoil();
    await assert.rejects(
      runAgainst(erased, again),
      (error: unknown) => error instanceof LogFault && error.message.includes("two-years"),
    );
  }
});

test("audit unlock-payloads sends why", async () => {
  const ran = await runAgainst({ "POST /v1/payload-keys/unlock": { keys: 3 } }, [
    "audit",
    "unlock-payloads",
    "--reason",
    "made again",
  ]);
  assert.deepEqual(ran.asked[0]?.body, { reason: "made again" });
  assert.match(ran.out.join("\n"), /3 payload keys/);
});
