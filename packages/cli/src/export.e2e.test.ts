// Copies of the log leave a running control plane: every record, at least once, verifiable, none of the credentials; a receiver that is away gets
// what it missed; every act on a sink is in the log it copies.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { ExportReport } from "@sallyport/control/audit/export/exports.ts";
import { ocsfErrors } from "@sallyport/control/audit/export/testing/ocsf-schema.ts";
import {
  elasticIndex,
  type Receiver,
  splunkIndex,
  startReceiver,
} from "@sallyport/control/audit/export/testing/receivers.ts";
import { Installation, isReady, type Served, until } from "./installation.test-support.ts";
import { type Ended, runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const token = "canary-5e0c9f1d-hec";
let installation: Installation;
let splunk: Receiver;
let elastic: Receiver;
let control: Served;
let isAway = false;
const splunkEvents = splunkIndex({ token });
const elasticDocuments = elasticIndex({});
const outputs: string[] = [];

const copy = () => join(installation.root, "copy.ndjson");
/** Behind the last line end is what is being written. */
const events = () =>
  readFileSync(copy(), "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const asked = async (...argv: readonly string[]): Promise<Ended> => {
  const ended = await runBinary(argv, { SALLYPORT_OPERATOR: installation.operatorKey });
  outputs.push(ended.out, ended.err);
  return ended;
};
const sinks = () => installation.operator().call<readonly ExportReport[]>("GET", "/v1/exports");

async function startControl(): Promise<Served> {
  const sinksFolder = join(installation.root, "sinks");
  const started = installation.serve("control", [
    ...installation.controlArguments(),
    ...["--data", installation.data("control"), "--exports", sinksFolder],
  ]);
  await started.line(isReady);
  return started;
}

function writeSinks(): void {
  const folder = join(installation.root, "sinks");
  mkdirSync(folder, { recursive: true });
  const credential = join(installation.root, "hec");
  writeFileSync(credential, `${token}\n`, { mode: 0o600 });
  const ca = (receiver: Receiver, name: string) => {
    const path = join(installation.root, `${name}.pem`);
    writeFileSync(path, receiver.ca);
    return `tls: { ca: ${path} }\nallowPrivate: true\n`;
  };
  writeFileSync(join(folder, "copy.yaml"), `sink: copy\nto: file\npath: ${copy()}\n`);
  writeFileSync(
    join(folder, "splunk.yaml"),
    `sink: splunk\nto: splunk\nurl: ${splunk.origin}\ncredential: file:${credential}\nindex: audit\n${ca(splunk, "splunk")}`,
  );
  writeFileSync(
    join(folder, "elastic.yaml"),
    `sink: elastic\nto: elastic\nurl: ${elastic.origin}\nindex: audit\nnames: clients\n${ca(elastic, "elastic")}`,
  );
}

before(async () => {
  installation = await Installation.open();
  splunk = await startReceiver((request) =>
    isAway ? { status: 503, body: '{"text":"Server is busy","code":9}' } : splunkEvents.answer(request),
  );
  elastic = await startReceiver((request) => elasticDocuments.answer(request));
  writeSinks();
  control = await startControl();
  installation.trustRoots();
}, bounded);
after(async () => {
  await installation.close();
  await splunk.close();
  await elastic.close();
});

const tokens = async (count: number) => {
  for (let n = 0; n < count; n += 1) await installation.caller().token();
};

test(
  "every record of control is in every copy: valid OCSF, ECS with the names a sink may say, and where the copies go is a record",
  bounded,
  async () => {
    await tokens(3);
    await until(
      "issuances in Elastic",
      () =>
        [...elasticDocuments.documents.values()].filter(
          (one) => (one as { event: { action: string } }).event.action === "client_credentials",
        ).length >= 3,
    );
    await until("the copy has caught up", async () => (await sinks()).every(({ behind }) => behind <= 2));
    for (const event of events()) assert.deepEqual(ocsfErrors(event), [], JSON.stringify(event));
    const classes = new Set(events().map(({ class_uid }) => class_uid));
    for (const wanted of [3002, 3004, 6002]) assert.ok(classes.has(wanted), `class ${wanted}`);
    assert.ok(
      events().some(({ message }) => message === "export.configure"),
      "where the log goes is in the log",
    );
    // The estate was applied after the sink had asked for names: they come within ten seconds.
    await until("an issuance with the client's name", async () => {
      await tokens(1);
      return [...elasticDocuments.documents.values()].some(
        (one) => (one as { user?: { name?: string } }).user?.name === "orders",
      );
    });
    assert.ok(!readFileSync(copy(), "utf8").includes(`"app_name"`), "a sink that says nothing of names says none");
    assert.ok(splunkEvents.events.length > 5);
  },
);

test(
  "a receiver that is away gets what it missed once it is back, across a new start of control, and list says so until then",
  bounded,
  async () => {
    isAway = true;
    await tokens(2);
    await until("the sink says why", async () =>
      (await sinks()).some(({ sink, fault }) => sink === "splunk" && /503/.test(fault ?? "")),
    );
    const listed = await asked("export", "list");
    assert.equal(listed.exit, 1, listed.err);
    assert.match(listed.out, /splunk {2,}splunk {2,}https:\/\/127\.0\.0\.1:\d+ {2,}ocsf {2,}\d+ records.* {2,}fault/);
    const before = splunkEvents.events.length;
    outputs.push((await control.signal("SIGTERM")).output);
    control = await startControl();
    await tokens(1);
    assert.equal(splunkEvents.events.length, before);
    isAway = false;
    await until(
      "Splunk has caught up",
      async () => (await sinks()).every(({ behind }) => behind <= 2) && splunkEvents.events.length > before,
    );
    const places = splunkEvents.events.map(
      ({ event }) => (event as { metadata: { sequence: number; log_name: string } }).metadata,
    );
    const own = places
      .filter(({ log_name }) => log_name.includes("/sallyport/control-"))
      .map(({ sequence }) => sequence);
    assert.deepEqual(
      [...new Set(own)].sort((a, b) => a - b),
      Array.from({ length: Math.max(...own) + 1 }, (_none, at) => at),
      "no index is missing",
    );
  },
);

test(
  "pause, resume, test and replay do what they say, and each is in the log as an act of the operator",
  bounded,
  async () => {
    assert.equal((await asked("export", "pause", "splunk", "--reason", "maintenance")).exit, 0);
    const before = splunkEvents.events.length;
    await tokens(1);
    await until(
      "the copy has gone on",
      () => events().filter(({ message }) => message === "export.pause").length === 1,
    );
    assert.equal(splunkEvents.events.length, before);
    assert.equal((await asked("export", "list")).exit, 0, "a paused sink is no fault");
    assert.equal((await asked("export", "resume", "splunk", "--reason", "over")).exit, 0);
    await until("it goes on", () => splunkEvents.events.length > before);
    const tested = await asked("export", "test", "splunk");
    assert.match(tested.out, /splunk took the test event/);
    assert.ok(splunkEvents.events.some(({ source }) => source === "test/splunk"));
    const documents = elasticDocuments.documents.size;
    // Counted before it is asked: what comes again may be there before the command has ended.
    const requests = elastic.requests.length;
    assert.equal((await asked("export", "replay", "elastic", "--from-index", "0", "--reason", "made anew")).exit, 0);
    await until("records came again", () => elastic.requests.slice(requests).some(({ body }) => /:0"\}\}/.test(body)));
    assert.ok(elasticDocuments.documents.size >= documents, "each is there once");
    await until("all of it is in the log", () =>
      ["export.pause", "export.resume", "export.test", "export.replay", "export.list"].every((word) =>
        events().some(({ message }) => message === word),
      ),
    );
    const unknown = await asked("export", "test", "splnk");
    assert.deepEqual(
      [unknown.exit, /there is no sink splnk/.test(unknown.err), /splunk/.test(unknown.err)],
      [1, true, true],
    );
  },
);

test(
  "the copy verifies against the log it is a copy of; one line taken out is missing by its index",
  bounded,
  async () => {
    const log = join(installation.data("control"), "log");
    const checkpoint = join(installation.root, "checkpoint");
    const year = new Date().getUTCFullYear();
    writeFileSync(checkpoint, `${readFileSync(join(log, String(year), "checkpoint"), "utf8")}\n`);
    // The sink is about a second behind what was signed, and control signs while it runs.
    let whole: Ended | null = null;
    await until("the copy has everything that was signed", async () => {
      whole = await asked("export", "verify", copy(), "--log", log);
      return whole.exit === 0;
    }).catch((late: Error) => assert.fail(`${late.message}\n${whole?.out}`));
    const lines = readFileSync(copy(), "utf8").trimEnd().split("\n");
    const cut = join(installation.root, "cut.ndjson");
    writeFileSync(cut, `${lines.filter((_line, at) => at !== 3).join("\n")}\n`);
    const missing = await asked("export", "verify", cut, "--log", log);
    assert.equal(missing.exit, 1);
    assert.match(missing.out, /missing: .*\/control\/\d{4} 3: the event of 4 says that 3 was sent before it/);
    const shown = await asked("audit", "verify", log, "--live");
    const key = join(installation.root, "key");
    writeFileSync(key, `${/signer {5}(\S+)/.exec(shown.out)?.[1] ?? ""}\n`);
    let signed = await asked("export", "verify", copy(), "--checkpoint", checkpoint, "--key", key);
    for (let tries = 0; tries < 40 && signed.exit !== 0; tries++)
      signed = await asked("export", "verify", copy(), "--checkpoint", checkpoint, "--key", key);
    await control.signal("SIGTERM");
    assert.equal(signed.exit, 0, signed.out + signed.err);
    assert.match(signed.out, /checkpoint {2}(?:all leaves up to it are here|not all leaves up to it are here)/);
  },
);

test("attack: no output, place, dead letter or record of control holds the credential of a sink", bounded, async () => {
  const wrong = join(installation.root, "hec");
  chmodSync(wrong, 0o644);
  const refused = installation.serve("control", [
    ...installation.controlArguments(),
    ...["--data", installation.data("other"), "--exports", join(installation.root, "sinks")],
  ]);
  const ended = await refused.ended;
  assert.equal(ended.exit, 2);
  assert.match(ended.output, /splunk\.yaml:\d+:\d+ error \$\.credential.*chmod 600/);
  const place = join(installation.data("control"), "exports");
  const written = ["copy", "splunk", "elastic"].map((name) => readFileSync(join(place, name, "place.json"), "utf8"));
  for (const text of [...outputs, ended.output, readFileSync(copy(), "utf8"), ...written])
    assert.ok(!text.includes(token));
});
