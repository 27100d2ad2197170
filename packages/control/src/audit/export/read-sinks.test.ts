// What a sink's file may say, and that nothing in it or beside it gets a credential shown.
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, renameSync as renameAway, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { testCertificate } from "../../identity/certificates.test-support.ts";
import { readSink, readSinkFolder } from "./read-sinks.ts";
import { SettingsFault } from "./settings-folder.ts";
import { shownSink } from "./sink-settings.ts";
import { temporaryFolder } from "./testing/fold-on-disk.ts";

const canary = "canary-7f3a9c";
const folder = temporaryFolder();
const credential = join(folder.path, "credential");
writeFileSync(credential, `${canary}\n`, { mode: 0o600 });
const webhookSecret = join(folder.path, "webhook");
writeFileSync(webhookSecret, `whsec_${Buffer.alloc(32, 1).toString("base64")}\n`, { mode: 0o600 });
test.after(() => folder.remove());

const io = { environment: { HEC_TOKEN: canary }, now: () => 1_795_305_600_000 };
const whole: Readonly<Record<string, string>> = {
  file: "sink: file\nto: file\npath: /var/log/sallyport/audit.ndjson\nrotate: 1GiB\n",
  stdout: "sink: stdout\nto: stdout\nformat: ecs\n",
  syslog: "sink: syslog\nto: syslog\nurl: https://logs.example:6514\nenterprise: 64000\n",
  splunk: `sink: splunk\nto: splunk\nurl: https://splunk.example:8088\ncredential: file:${credential}\nindex: audit\nack: true\nfilter: { environments: [production], severity: medium }\n`,
  elastic:
    "sink: elastic\nto: elastic\nurl: https://es.example:9200/base/\ncredential: env:HEC_TOKEN\nindex: logs-audit-sallyport\n",
  otlp: "sink: otlp\nto: otlp\nurl: https://collector.internal:4318/v1/logs\nallowPrivate: true\n",
  webhook: `sink: webhook\nto: webhook\nurl: https://hooks.example/in?tenant=1\ncredential: file:${webhookSecret}\nnames: clients\n`,
};
const said = (name: string, text: string) =>
  readSink(`${name}.yaml`, text, io).findings.map(({ path, message, fix }) => `${path} ${message}. ${fix}`);

test("every kind of sink is read, with its defaults", () => {
  const read = Object.entries(whole).map(([name, text]) => {
    const { settings: sinks, findings } = readSink(`${name}.yaml`, text, io);
    assert.deepEqual(findings, [], name);
    return sinks[0] ?? assert.fail();
  });
  assert.deepEqual(
    read.map(({ format }) => format),
    ["ocsf", "ecs", "leaf", "ocsf", "ecs", "ocsf", "ocsf"],
  );
  const [file, , , splunk, elastic, , webhook] = read;
  assert.deepEqual(file?.target, {
    to: "file",
    path: "/var/log/sallyport/audit.ndjson",
    rotateBytes: 1_073_741_824,
    keep: 8,
  });
  assert.deepEqual(splunk?.filter, { environments: ["production"], kinds: null, verdicts: null, severity: 3 });
  assert.ok(splunk?.target.to === "splunk" && splunk.target.token === canary);
  assert.ok(
    elastic?.target.to === "elastic" && elastic.target.basePath === "/base" && elastic.target.authorization === canary,
  );
  assert.ok(webhook?.target.to === "webhook" && webhook.target.path === "/in?tenant=1" && webhook.named);
});

test("what may be shown of a sink says where it leads, and holds no credential", () => {
  for (const [name, text] of Object.entries(whole)) {
    const shown = JSON.stringify(readSink(`${name}.yaml`, text, io).settings.map(shownSink));
    assert.doesNotMatch(shown, new RegExp(`${canary}|whsec|AQEB`), name);
    assert.match(shown, /"where":"(?:https:\/\/|\/var|standard output)/);
  }
});

test("attack: plain http, a user in the URL, and a switch for verification are not configuration", () => {
  const url = (value: string) => said("x", `sink: x\nto: otlp\nurl: ${value}\n`);
  for (const value of [
    "http://logs.example/v1/logs",
    "https://user:pw@logs.example/v1/logs",
    "file:///etc/passwd",
    "ldap://x",
    "nonsense",
  ])
    assert.equal(url(value).length, 1, value);
  for (const key of ["insecure: true", "tls: { verify: false }", "tls: { rejectUnauthorized: false }"])
    assert.equal(said("x", `sink: x\nto: otlp\nurl: https://a.example/v1/logs\n${key}\n`).length, 1, key);
});

test("attack: a credential in the file itself is refused, and never repeated", () => {
  const text = (value: string) => `sink: x\nto: splunk\nurl: https://a.example\ncredential: ${value}\n`;
  for (const value of [canary, "secret:hec", "file:relative", "env:1X", `"file:/x\\nAuthorization: ${canary}"`]) {
    const found = said("x", text(value));
    assert.equal(found.length, 1, value);
    assert.doesNotMatch(found.join(), new RegExp(canary));
    assert.match(found.join(), /never stands in configuration/);
  }
});

test("a credential file that others can read, is not there, or could end a header field is refused without its content", () => {
  const open = join(folder.path, "open");
  writeFileSync(open, canary);
  chmodSync(open, 0o644);
  const two = join(folder.path, "two");
  writeFileSync(two, `${canary}\r\nX-Forged: 1\n`, { mode: 0o600 });
  for (const [path, words] of [
    [open, /chmod 600/],
    [join(folder.path, "none"), /is not there/],
    [two, /not one line/],
  ] as const) {
    const found = said("x", `sink: x\nto: splunk\nurl: https://a.example\ncredential: file:${path}\n`).join();
    assert.match(found, words);
    assert.doesNotMatch(found, new RegExp(canary));
  }
  assert.match(said("x", "sink: x\nto: splunk\nurl: https://a.example\ncredential: env:UNSET\n").join(), /not set/);
});

test("mistakes are named with their key and the fix", () => {
  assert.match(said("y", whole["stdout"] ?? "").join(), /\$\.sink the name is not that of the file\. write y/);
  assert.match(said("x", "sink: x\nto: kafka\n").join(), /\$\.to/);
  assert.match(said("x", "sink: x\nto: stdout\ncolour: red\n").join(), /unknown key `colour`/);
  assert.match(said("x", "sink: x\nto: otlp\nurl: https://a.example\n").join(), /\$\.url no path/);
  assert.match(said("x", "sink: x\nto: syslog\nurl: https://a.example/x\n").join(), /has no path/);
  assert.match(said("x", "sink: x\nto: file\npath: /a\nrotate: 1KiB\n").join(), /\$\.rotate/);
  assert.match(said("x", "sink: x\nto: stdout\nfilter: { severity: loud }\n").join(), /\$\.filter\.severity/);
  assert.match(
    said("x", "sink: x\nto: otlp\nurl: https://a.example/v1\ntls: { ca: /none.pem }\n").join(),
    /\$\.tls\.ca no file with certificates/,
  );
});

test("a client certificate and its key are read; a key of another certificate is refused", () => {
  const [one, other] = [testCertificate([{ type: "dns", value: "a" }]), testCertificate([{ type: "dns", value: "b" }])];
  writeFileSync(join(folder.path, "cert.pem"), one.cert);
  writeFileSync(join(folder.path, "key.pem"), one.key, { mode: 0o600 });
  writeFileSync(join(folder.path, "other.pem"), other.key, { mode: 0o600 });
  const tls = (key: string) =>
    `sink: x\nto: otlp\nurl: https://a.example/v1\ntls: { cert: ${folder.path}/cert.pem, key: ${folder.path}/${key} }\n`;
  assert.deepEqual(said("x", tls("key.pem")), []);
  assert.match(said("x", tls("other.pem")).join(), /\$\.tls not certificates in PEM, or a key that is not/);
});

test("a folder with anything in it that is no whole sink stops the start: a log that quietly goes nowhere is worse", () => {
  const sinks = join(folder.path, "sinks");
  mkdirSync(sinks);
  writeFileSync(join(sinks, "stdout.yaml"), whole["stdout"] ?? "");
  assert.deepEqual(
    readSinkFolder(sinks, io).map(({ name }) => name),
    ["stdout"],
  );
  for (const [name, text] of [
    ["notes.txt", "x"],
    ["Bad.yaml", "x"],
    ["x.yaml", "sink: y\nto: stdout\n"],
  ] as const) {
    const path = join(sinks, name);
    writeFileSync(path, text);
    assert.throws(
      () => readSinkFolder(sinks, io),
      (error) => error instanceof SettingsFault && error.message.includes(name),
    );
    writeFileSync(path, "");
    assert.throws(() => readSinkFolder(sinks, io), SettingsFault);
    // Out of the way for the next.
    chmodSync(path, 0o600);
    mkdirSync(join(folder.path, "away"), { recursive: true });
    renameAway(path, join(folder.path, "away", name));
  }
  symlinkSync(credential, join(sinks, "leak.yaml"));
  assert.throws(
    () => readSinkFolder(sinks, io),
    (error) => error instanceof SettingsFault && !error.message.includes(canary),
  );
});
