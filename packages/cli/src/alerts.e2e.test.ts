// An attack on a running control plane is told to everybody who is to be told: mail, webhook and log, once, without a credential or a person in it; a receiver
// that is away is told when it is back, across a new start.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Receiver, startReceiver, webhookInbox } from "@sallyport/control/audit/export/testing/receivers.ts";
import type { AlertReport } from "@sallyport/control/watch/alerts/alerts.ts";
import { type MailServer, startMailServer } from "@sallyport/control/watch/alerts/testing/mail-server.ts";
import type { Finding } from "@sallyport/control/watch/finding.ts";
import type { RuleReport } from "@sallyport/control/watch/finding-actions.ts";
import { createAdminClient, readOperatorKey } from "./admin-client.ts";
import { Installation, isReady, type Served, until } from "./installation.test-support.ts";
import { listening } from "./listening-send.test-support.ts";
import { type Ended, runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const password = "canary-3c8a-mail-password";
const key = new Uint8Array(32).fill(9);
const webhookSecret = `whsec_${Buffer.from(key).toString("base64")}`;
const inbox = webhookInbox(key, Date.now);
const outputs: string[] = [];
let installation: Installation;
let mail: MailServer;
let hook: Receiver;
let control: Served;
let isAway = false;

const folder = () => join(installation.root, "alerts");
const asked = async (...argv: readonly string[]): Promise<Ended> => {
  const ended = await runBinary(argv, { SALLYPORT_OPERATOR: installation.operatorKey });
  outputs.push(ended.out, ended.err);
  return ended;
};
const told = () => hook.requests.map(({ body }) => JSON.parse(body)).filter(({ type }) => /raised/.test(type));

async function startControl(): Promise<Served> {
  const data = ["--data", installation.data("control"), "--alerts", folder()];
  const started = installation.serve("control", [...installation.controlArguments(), ...data]);
  await started.line(isReady);
  return started;
}

/** Somebody sends a request of an operator a second time. */
async function replay(): Promise<void> {
  const { send, last } = listening(installation.operatorKey);
  await createAdminClient(
    readOperatorKey(installation.operatorKey),
    { send, open: () => assert.fail("nothing is followed") },
    Date.now,
  ).call("GET", "/v1/keys");
  assert.equal((await send(last())).status, 401);
}

async function resolveAll(): Promise<void> {
  const operator = installation.operator();
  for (const { id, state } of await operator.call<readonly Finding[]>("GET", "/v1/findings"))
    if (state !== "resolved") await operator.call("POST", `/v1/findings/${id}/resolve`, { reason: "a test" });
}

before(async () => {
  installation = await Installation.open();
  mail = await startMailServer({ login: { user: "sallyport", password } });
  hook = await startReceiver((request) => (isAway ? { status: 503 } : inbox.answer(request)));
  mkdirSync(folder());
  const place = (name: string, ca: string) => {
    writeFileSync(join(installation.root, `${name}.pem`), ca);
    return `allowPrivate: true\ntls: { ca: ${join(installation.root, `${name}.pem`)} }\n`;
  };
  for (const [name, secret] of [
    ["mail", password],
    ["hook", webhookSecret],
  ] as const)
    writeFileSync(join(installation.root, name), `${secret}\n`, { mode: 0o600 });
  writeFileSync(join(folder(), "lines.yaml"), "alert: lines\nto: log\n");
  writeFileSync(
    join(folder(), "hook.yaml"),
    `alert: hook\nto: webhook\nurl: ${hook.origin}/in\ncredential: file:${join(installation.root, "hook")}\n${place("hook-ca", hook.ca)}`,
  );
  writeFileSync(
    join(folder(), "mail.yaml"),
    `alert: mail\nto: smtp\nurl: ${mail.url}\nfrom: sallyport@acme.example\nrecipients: [anna@acme.example]\nuser: sallyport\ncredential: file:${join(installation.root, "mail")}\n${place("mail-ca", mail.ca)}`,
  );
  control = await startControl();
  installation.trustRoots();
  await until("rules to be tried", async () =>
    (await installation.operator().call<readonly RuleReport[]>("GET", "/v1/rules")).every(
      ({ gate }) => gate?.tells === true,
    ),
  );
}, bounded);
after(async () => {
  await installation.close();
  await mail.close();
  await hook.close();
});

test(
  "attack: an operator's request is replayed; mail, webhook and log say so, once each, with the finding's id",
  bounded,
  async () => {
    await replay();
    await until("everybody to be told", () => mail.mails.length > 0 && told().length > 0);
    const [finding] = await installation.operator().call<readonly Finding[]>("GET", "/v1/findings");
    assert.equal(finding?.rule, "replay");
    assert.match(
      mail.mails[0]?.text ?? "",
      new RegExp(`Subject: sallyport: medium finding replay \\(sallyport\\)[^]*${finding.id}`),
    );
    assert.deepEqual(mail.mails[0]?.to, ["anna@acme.example"]);
    assert.equal(told()[0].data.findings[0].id, finding.id);
    const line = await control.line(({ event }) => event === "finding");
    assert.deepEqual([line["notifier"], line["severity"], line["total"]], ["lines", "medium", 1]);
    await replay();
    await until("the second to be counted", async () =>
      (await installation.operator().call<readonly Finding[]>("GET", "/v1/findings")).some(({ count }) => count === 2),
    );
    assert.deepEqual([mail.mails.length, told().length], [1, 1], "one message per finding");
    const listed = await asked("alert", "list");
    assert.equal(listed.exit, 0, listed.out + listed.err);
    assert.match(
      listed.out,
      /mail {2,}smtp {2,}smtp:\/\/127\.0\.0\.1:\d+, 1 recipients {2,}informational {2,}.* ago {2,}tells/,
    );
  },
);

test(
  "a test message goes out and comes back as an answer; a notifier there is not is named with the nearest",
  bounded,
  async () => {
    const tested = await asked("alert", "test", "mail");
    assert.deepEqual([tested.exit, /mail took the test message/.test(tested.out)], [0, true]);
    assert.match(mail.mails.at(-1)?.text ?? "", /Subject: sallyport: a test of the notifier mail/);
    const unknown = await asked("alert", "test", "mial");
    assert.deepEqual([unknown.exit, /there is no notifier mial/.test(unknown.err)], [1, true]);
  },
);

test(
  "a receiver that is away is a fault in list, status and under findings, and is told when it is back, across a new start",
  bounded,
  async () => {
    isAway = true;
    await resolveAll();
    const before = told().length;
    await replay();
    const reports = () => installation.operator().call<readonly AlertReport[]>("GET", "/v1/alerts");
    await until("the fault", async () =>
      (await reports()).some(({ alert, fault }) => alert === "hook" && /503/.test(fault ?? "")),
    );
    await until("the others to be told", () => mail.mails.filter(({ text }) => /replay/.test(text)).length === 2);
    assert.equal((await asked("alert", "list")).exit, 1);
    assert.match((await asked("finding", "list")).out, /the notifier hook does not tell: .*503/);
    const status = await installation.operator().call<{ warnings: readonly string[] }>("GET", "/v1/status");
    assert.ok(
      status.warnings.some((text) => /^alert-hook is \d+ records behind the log.*503/.test(text)),
      status.warnings.join(),
    );
    outputs.push((await control.signal("SIGTERM")).output);
    control = await startControl();
    isAway = false;
    await until("it to be told after all", () => new Set(told().map(({ data }) => data.id)).size === before + 1);
    assert.equal(mail.mails.filter(({ text }) => /replay/.test(text)).length, 2, "nobody is told twice");
  },
);

test(
  "attack: no output, place or record holds a credential of a notifier or the address of a recipient",
  bounded,
  async () => {
    outputs.push((await control.signal("SIGTERM")).output);
    const places = readdirSync(join(installation.data("control"), "alerts"));
    assert.deepEqual(places.sort(), ["hook", "lines", "mail"]);
    const written = places.map((name) =>
      readFileSync(join(installation.data("control"), "alerts", name, "place.json"), "utf8"),
    );
    const log = join(installation.data("control"), "log");
    const records = readdirSync(log, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"));
    assert.ok(records.some((text) => text.includes('"alert.configure"')));
    for (const text of [...outputs, ...written, ...records, ...hook.requests.map(({ body }) => body)])
      for (const hidden of [password, webhookSecret, Buffer.from(key).toString("base64"), "anna@acme.example"])
        assert.ok(!text.includes(hidden), text.slice(0, 2_000));
  },
);
