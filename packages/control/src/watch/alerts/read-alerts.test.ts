// What a notifier's file may say, and that nothing in it or beside it gets a credential or an address of a person shown.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { SettingsFault } from "../../audit/export/settings-folder.ts";
import { shownAlert } from "./alert-settings.ts";
import { readAlert, readAlertFolder } from "./read-alerts.ts";

const canary = "canary-91be-password";
const folder = mkdtempSync(join(tmpdir(), "sallyport-alerts-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const secret = join(folder, ".webhook");
writeFileSync(secret, `whsec_${Buffer.alloc(32, 1).toString("base64")}\n`, { mode: 0o600 });
const io = { environment: { SMTP_PASSWORD: canary }, now: () => 1_795_305_600_000 };
const mail =
  "alert: mail\nto: smtp\nurl: smtp://mail.acme.example:587\nfrom: sallyport@acme.example\nrecipients: [anna@acme.example]\nuser: sallyport\ncredential: env:SMTP_PASSWORD\n";
const whole: Readonly<Record<string, string>> = {
  log: "alert: log\nto: log\nfilter: { severity: high, environments: [production], rules: [replay] }\nperMinute: 3\n",
  hook: `alert: hook\nto: webhook\nurl: https://hooks.example/in?team=1\ncredential: file:${secret}\n`,
  mail,
};
const read = (name: string, text: string) => readAlert(`${name}.yaml`, text, io);
const said = (name: string, text: string) => read(name, text).findings.map(({ path, message }) => `${path} ${message}`);

test("every kind of notifier is read, with its defaults", () => {
  const [log, hook, smtp] = Object.entries(whole).map(([name, text]) => {
    const { settings, findings } = read(name, text);
    assert.deepEqual(findings, [], name);
    return settings[0] ?? assert.fail();
  });
  assert.deepEqual(log?.filter, { environments: ["production"], rules: ["replay"], severity: "high" });
  assert.deepEqual([log?.perMinute, hook?.perMinute], [3, 10]);
  assert.ok(hook?.target.to === "webhook" && hook.target.path === "/in?team=1" && hook.target.key.length === 32);
  assert.ok(smtp?.target.to === "smtp" && smtp.target.startTls);
  assert.equal(smtp.target.place.origin, "https://mail.acme.example:587");
  assert.deepEqual(smtp.target.login, { user: "sallyport", password: canary });
  const implicit = read("mail", mail.replace("smtp://mail.acme.example:587", "smtps://mail.acme.example:443"))
    .settings[0];
  assert.ok(implicit?.target.to === "smtp" && !implicit.target.startTls);
  assert.equal(implicit.target.place.origin, "https://mail.acme.example", "443 is what https says without a port");
});

test("attack: what may be shown and recorded of a notifier holds no credential, and no address of a person", () => {
  for (const [name, text] of Object.entries(whole)) {
    const shown = JSON.stringify(read(name, text).settings.map(shownAlert));
    for (const hidden of [canary, "anna", "sallyport@", Buffer.alloc(32, 1).toString("base64"), "team=1"])
      assert.ok(!shown.includes(hidden), shown);
  }
});

test("attack: an address or a user that would break out of its command is refused, without being repeated", () => {
  for (const bad of [
    '"a@b.example>\\r\\nRCPT TO:<thief@evil.example"',
    '"a@b.example, c@d.example"',
    '"Anna <a@b.example>"',
    '"a b@c.example"',
    '"a@b.example\\u0000"',
    '"ä@b.example"',
    '"@b.example"',
    '".a@b.example"',
    '"a@-b"',
  ]) {
    const found = said("mail", mail.replace("anna@acme.example", bad));
    assert.deepEqual(found, ["$.recipients[0] not a mail address"], bad);
    assert.deepEqual(said("mail", mail.replace("sallyport@acme.example", bad)), ["$.from not a mail address"], bad);
  }
  assert.deepEqual(said("mail", mail.replace("user: sallyport", 'user: "a\\r\\nQUIT"')), ["$.user not a user"]);
});

test("a credential in place, a URL that is no mail server's, half a login, an unknown key: each is an error at its place", () => {
  for (const [from, to, expected] of [
    ["env:SMTP_PASSWORD", "hunter2", "$.credential not a reference to a credential"],
    ["env:SMTP_PASSWORD", "env:ABSENT", "$.credential the variable it names is not set"],
    ["user: sallyport\n", "", "$.user `user` and `credential` come together"],
    ["smtp://mail.acme.example:587", "smtp://mail.acme.example", "$.url not the URL of a mail server"],
    ["smtp://mail.acme.example:587", "smtp://mail.acme.example:99999", "$.url not the URL of a mail server"],
    ["smtp://mail.acme.example:587", "smtp://u:p@mail.acme.example:587", "$.url not the URL of a mail server"],
    ["smtp://mail.acme.example:587", "http://mail.acme.example:587", "$.url not the URL of a mail server"],
    ["smtp://mail.acme.example:587", '"smtp://mail.acme.example:587/\\r\\nx"', "$.url not the URL of a mail server"],
    ["alert: mail", "alert: post", "$.alert the name is not that of the file"],
  ] as const) {
    const found = said("mail", mail.replace(from, to));
    assert.equal(found[0], expected);
    assert.ok(!found.join().includes("hunter2"));
  }
  assert.equal(said("mail", `${mail}insecure: true\n`).length, 1);
  assert.equal(said("log", `${whole["log"]}url: https://a.example\n`).length, 1);
});

test("a folder with anything wrong in it stops the start, and names file and fix", () => {
  writeFileSync(join(folder, "log.yaml"), whole["log"] ?? "");
  assert.equal(readAlertFolder(folder, io).length, 1);
  writeFileSync(join(folder, "notes.txt"), "x");
  assert.throws(
    () => readAlertFolder(folder, io),
    (error) => error instanceof SettingsFault && /notes\.txt.*not the file of a notifier/.test(error.message),
  );
});
