// Each way of telling somebody, against a real receiver over real TLS; and everything a receiver, or somebody before it, may do to it.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { SinkFault } from "../../audit/export/sink.ts";
import { type ReceivedRequest, startReceiver, webhookInbox } from "../../audit/export/testing/receivers.ts";
import { type TestName, testCertificate } from "../../identity/certificates.test-support.ts";
import { type Alert, alertOf, testAlert } from "./alert.ts";
import { type AlertLine, logNotifier } from "./log-notifier.ts";
import { type Notifier, Refusal } from "./notifier.ts";
import { type SmtpTarget, smtpNotifier } from "./smtp-notifier.ts";
import { findingId, newFinding, startAt } from "./testing/findings.ts";
import { type MailServer, type MailServerOptions, startMailServer } from "./testing/mail-server.ts";
import { webhookNotifier } from "./webhook-notifier.ts";

const now = () => startAt;
const one = alertOf("soc", [newFinding(1)]);
const login = { user: "sallyport", password: "canary-7d1e-password" };
const opened: { close(): Promise<void> }[] = [];
after(() => Promise.all(opened.map((each) => each.close())));

async function mailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const server = await startMailServer(options);
  opened.push(server);
  return server;
}

function mailTo(server: MailServer, more: Partial<SmtpTarget> = {}, ca: string | null = server.ca): Notifier {
  const target: SmtpTarget = {
    place: { origin: server.url.replace(/^smtps?/, "https"), allowPrivate: true, ca, identity: null },
    ...{ startTls: server.url.startsWith("smtp:"), from: "sallyport@acme.example" },
    ...{ recipients: ["soc@acme.example", "oncall@acme.example"], login: null },
    ...more,
  };
  return smtpNotifier(target, now);
}

for (const implicit of [false, true])
  for (const auth of ["PLAIN LOGIN", "LOGIN"])
    test(`a finding is mailed over ${implicit ? "TLS" : "STARTTLS"} with AUTH ${auth}: rule, severity, pseudonym and id, to every recipient`, async () => {
      const server = await mailServer({ implicit, login, auth });
      assert.deepEqual(await mailTo(server, { login }).tell(one), { shortfall: null });
      const [mail] = server.mails;
      assert.deepEqual(
        [mail?.from, mail?.to, mail?.user],
        ["sallyport@acme.example", ["soc@acme.example", "oncall@acme.example"], "sallyport"],
      );
      const [head = "", body = ""] = mail?.text.split("\r\n\r\n") ?? [];
      assert.match(head, /^Subject: sallyport: high finding token-audience \(production\)$/m);
      assert.match(head, /^Date: Sun, 22 Nov 2026 00:00:00 \+0000$/m);
      assert.match(head, /^To: <soc@acme\.example>,\r\n <oncall@acme\.example>$/m);
      assert.match(head, /^Auto-Submitted: auto-generated$/m);
      assert.match(body, /^subject {6}caller 2026:0{20}1Q$/m);
      assert.match(body, new RegExp(`sallyport finding show ${one.findings[0]?.id}`));
      assert.ok(!server.clear.some((line) => !/^(?:EHLO \[127\.0\.0\.1\]|STARTTLS)$/.test(line)), "in clear: no more");
    });

test("the same findings have the same Message-ID when they are sent again, others another", async () => {
  const server = await mailServer({ implicit: true });
  const mail = mailTo(server);
  for (const alert of [one, alertOf("soc", [newFinding(1)]), alertOf("soc", [newFinding(2)]), testAlert("soc", 1)])
    await mail.tell(alert);
  const ids = server.mails.map(({ text }) => /^Message-ID: (\S+)\r$/m.exec(text)?.[1]);
  assert.equal(ids[0], ids[1]);
  assert.equal(new Set(ids).size, 3);
});

test("one recipient that is refused holds up no other, and is said; all refused is a fault", async () => {
  const refuses = (wanted: RegExp) => (line: string) => (wanted.test(line) ? "550 5.1.1 <x> unknown" : null);
  const some = await mailServer({ implicit: true, answers: refuses(/^RCPT.*oncall/) });
  const { shortfall } = await mailTo(some).tell(one);
  assert.equal(shortfall, "1 of 2 recipients are refused by the mail server (550 5.1.1)");
  assert.deepEqual(some.mails[0]?.to, ["soc@acme.example"]);
  const all = await mailServer({ implicit: true, answers: refuses(/^RCPT/) });
  await assert.rejects(mailTo(all).tell(one), /refused every recipient \(550 5\.1\.1\)/);
  assert.equal(all.mails.length, 0);
});

test("attack: text of a finding that would end a header, begin one, end the message or hide in it stays text on its line", async () => {
  const server = await mailServer({ implicit: true });
  const evil = "x\r\nBcc: thief@evil.example\r\n\r\n.\r\nMAIL FROM:<a@b>\u001b[2J\u2028\u0000";
  const finding = newFinding(1, {
    ...{ rule: evil, environment: evil, facts: { [evil]: evil, code: "." } },
    subject: { kind: "origin", name: evil },
  });
  const alert: Alert = alertOf("soc", [finding, newFinding(2, { rule: `.${evil}` })]);
  await mailTo(server).tell({ ...alert, notifier: evil });
  await mailTo(server).tell({ ...testAlert(evil, 1) });
  assert.equal(server.mails.length, 2);
  for (const { text, to } of server.mails) {
    assert.deepEqual(to, ["soc@acme.example", "oncall@acme.example"]);
    assert.match(text, /^[\x20-\x7e\r\n]*$/);
    assert.ok(!/\n(?!\S|$| <|\r\n)|\r(?!\n)/.test(text));
    assert.doesNotMatch(text, /^(?:Bcc|MAIL)/m);
    assert.ok(text.split("\r\n").every((line) => line.length <= 300));
    assert.equal(
      text
        .split("\r\n\r\n")[0]
        ?.split("\r\n")
        .filter((line) => !line.startsWith(" ")).length,
      9,
    );
  }
  assert.equal(server.sealed.filter((line) => line.startsWith("MAIL FROM")).length, 2);
});

test("attack: STARTTLS is taken out of what the server offers; neither login nor message is sent", async () => {
  const server = await mailServer({ strips: true, login });
  await assert.rejects(mailTo(server, { login }).tell(one), /does not offer STARTTLS: nothing is sent in clear/);
  assert.deepEqual(server.clear, ["EHLO [127.0.0.1]"]);
  assert.deepEqual([server.sealed, server.mails], [[], []]);
});

test("attack: an answer injected in clear behind the word for TLS is not taken for one of the server's", async () => {
  const server = await mailServer({ injects: "250-mail.test\r\n250 AUTH PLAIN\r\n235 2.7.0 ok\r\n", login });
  await assert.rejects(mailTo(server, { login }).tell(one), SinkFault);
  assert.deepEqual([server.sealed, server.mails], [[], []]);
});

test("attack: a server that refuses STARTTLS, or says it is ready and speaks no TLS, gets nothing", async () => {
  const refuses = await mailServer({ login, answers: (line) => (line === "STARTTLS" ? "454 4.7.0 not now" : null) });
  await assert.rejects(mailTo(refuses, { login }).tell(one), /answered 454 4\.7\.0 to STARTTLS/);
  const plain = await mailServer({ login, answers: (line) => (line === "STARTTLS" ? "220 ready" : null) });
  await assert.rejects(mailTo(plain, { login }).tell(one), SinkFault);
  for (const { clear, mails } of [refuses, plain]) {
    assert.ok(clear.every((line) => !/AUTH|MAIL|DATA/.test(line)));
    assert.deepEqual(mails, []);
  }
});

for (const implicit of [false, true]) {
  const way = implicit ? "TLS" : "STARTTLS";
  test(`attack: a mail server over ${way} with the certificate of another name gets neither login nor message`, async () => {
    const server = await mailServer({ implicit, login, names: [{ type: "dns", value: "mail.evil.example" }] });
    await assert.rejects(mailTo(server, { login }).tell(one), /tls-untrusted: .*did not prove who it is/);
    assert.deepEqual([server.sealed, server.mails], [[], []]);
  });

  test(`attack: a mail server over ${way} whose certificate is of other roots gets neither login nor message`, async () => {
    const server = await mailServer({ implicit, login });
    const other = await mailServer({ implicit });
    await assert.rejects(mailTo(server, { login }, other.ca).tell(one), /tls-untrusted/);
    await assert.rejects(mailTo(server, { login }, null).tell(one), /tls-untrusted/);
    assert.deepEqual([server.sealed, server.mails], [[], []]);
  });

  test(`attack: a mail server over ${way} at a private address that nobody allowed is not dialled`, async () => {
    const server = await mailServer({ implicit, login });
    const target = {
      origin: server.url.replace(/^smtps?/, "https"),
      allowPrivate: false,
      ca: server.ca,
      identity: null,
    };
    await assert.rejects(mailTo(server, { login, place: target }).tell(one), /address-refused/);
    assert.deepEqual([server.clear, server.sealed], [[], []]);
  });
}

test("attack: a mail server repeats the password in its answer; no fault holds it, whole or in base64", async () => {
  for (const auth of ["PLAIN", "LOGIN"]) {
    const server = await mailServer({ implicit: true, login: { ...login, password: "another" }, auth });
    const fault: unknown = await mailTo(server, { login })
      .tell(one)
      .catch((error: unknown) => error);
    assert.ok(fault instanceof SinkFault);
    const shown = inspect(fault, { depth: 9 });
    assert.match(shown, /answered 535 5\.7\.8 to AUTH: it does not accept the credential/);
    for (const secret of [login.password, Buffer.from(login.password).toString("base64").slice(0, 12)])
      assert.ok(!shown.includes(secret), shown);
    const echoes = await mailServer({
      implicit: true,
      login,
      auth,
      answers: (line) => (/^AUTH/.test(line) ? `500 ${line}` : null),
    });
    const said: unknown = await mailTo(echoes, { login })
      .tell(one)
      .catch((error: unknown) => error);
    assert.ok(!inspect(said, { depth: 9 }).includes(Buffer.from(`\0${login.user}`).toString("base64").slice(0, 8)));
  }
});

test("attack: what answers is no mail server, says too much, or closes: a fault that says so, and nothing is taken for told", async () => {
  const cases: readonly (readonly [string, (line: string) => string | null, RegExp])[] = [
    ["another protocol", (line) => (line === "" ? "SSH-2.0-OpenSSH_9.2" : null), /no mail server/],
    ["endless reply", (line) => (line === "" ? "220-x\r\n".repeat(5_000) : null), /no mail server|more than a reply/],
    ["no room", (line) => (line.startsWith("MAIL") ? "452 4.3.1 full" : null), /answered 452 4\.3\.1 to MAIL FROM/],
    ["refused at its end", (line) => (line === "." ? "554 5.7.1 spam" : null), /answered 554 5\.7\.1 to the message/],
    ["another code", (line) => (line === "DATA" ? "250 ok" : null), /answered 250 to DATA/],
  ];
  for (const [name, answers, expected] of cases) {
    const server = await mailServer({ implicit: true, answers });
    await assert.rejects(mailTo(server).tell(one), expected, name);
    assert.equal(server.mails.length, 0, name);
  }
});

const key = new Uint8Array(32).fill(7);

interface HookOptions {
  readonly answer?: (request: ReceivedRequest) => { status: number };
  readonly allowPrivate?: boolean;
  readonly names?: readonly TestName[];
  /** Roots the notifier was given; absent: the receiver's. */
  readonly ca?: string | null;
}

async function webhook({ answer, allowPrivate = true, names, ca }: HookOptions = {}) {
  const inbox = webhookInbox(key, now);
  const receiver = await startReceiver((request) => answer?.(request) ?? inbox.answer(request), names);
  opened.push(receiver);
  const roots = ca === undefined ? receiver.ca : ca;
  const place = { origin: receiver.origin, allowPrivate, ca: roots, identity: null, dialer: createDialer(), now };
  const notifier = webhookNotifier({ path: "/hook?team=soc", key }, place);
  opened.push(notifier);
  return { inbox, receiver, notifier };
}

test("a finding is posted with a signature that Standard Webhooks verifies, and says what the page says", async () => {
  const { inbox, receiver, notifier } = await webhook();
  assert.deepEqual(await notifier.tell(one), { shortfall: null });
  const [request] = receiver.requests;
  assert.equal(request?.path, "/hook?team=soc");
  assert.deepEqual([...inbox.ids], [one.id]);
  const { type, timestamp, data } = JSON.parse(request?.body ?? "");
  assert.deepEqual([type, timestamp], ["sallyport.finding.raised", "2026-11-22T00:00:00.000Z"]);
  assert.deepEqual(Object.keys(data), ["id", "notifier", "severity", "total", "findings"]);
  assert.deepEqual(data.findings[0], {
    ...{ id: newFinding(1).id, environment: "production", rule: "token-audience", severity: "high", count: 1 },
    ...{ subject: newFinding(1).subject, firstAt: startAt, lastAt: startAt + 1_000, facts: { code: "token-audience" } },
    describe: "A token was presented to a system or exchange it was not issued for.",
  });
});

test("attack: a webhook is replayed, or its body changed: the id is the same, the old time and the changed body are refused", async () => {
  const { inbox, receiver, notifier } = await webhook();
  await notifier.tell(one);
  await notifier.tell(alertOf("soc", [newFinding(1)]));
  assert.equal(receiver.requests.length, 2);
  assert.equal(inbox.ids.size, 1, "sent again it has the same id");
  const [request] = receiver.requests;
  assert.ok(request);
  const later = webhookInbox(key, () => startAt + 301_000);
  assert.equal(later.answer(request).status, 401, "five minutes later it is refused");
  assert.equal(webhookInbox(key, now).answer({ ...request, body: request.body.replace("high", "low") }).status, 401);
  const moved = { ...request.headers, "webhook-timestamp": String(startAt / 1_000 + 1) };
  assert.equal(webhookInbox(key, now).answer({ ...request, headers: moved }).status, 401);
});

test("attack: a webhook at a private address that nobody allowed is not dialled", async () => {
  const { receiver, notifier } = await webhook({ allowPrivate: false });
  await assert.rejects(notifier.tell(one), /address-refused/);
  assert.equal(receiver.requests.length, 0);
});

test("attack: a webhook with the certificate of another name, or of other roots, is told nothing", async () => {
  const other = testCertificate([{ type: "ip", value: "127.0.0.1" }]).cert;
  for (const options of [
    { names: [{ type: "dns", value: "hooks.evil.example" }] },
    { ca: other },
    { ca: null },
  ] as const) {
    const { receiver, notifier } = await webhook(options);
    await assert.rejects(notifier.tell(one), /tls-untrusted/);
    assert.equal(receiver.requests.length, 0);
  }
});

test("what a webhook answers with anything but 2xx is not told, and says why; redirects are not followed", async () => {
  for (const [status, words] of [
    [500, /answered 500/],
    [302, /points elsewhere/],
    [401, /does not accept the credential/],
    [413, /refused the message: 413/],
  ] as const) {
    const { notifier, receiver } = await webhook({ answer: () => ({ status }) });
    await assert.rejects(notifier.tell(one), words);
    assert.equal(receiver.requests.length, 1);
  }
});

test("a status from 400 to 499 is a refusal for good, but for 408 and 429; everything else may be taken later", async () => {
  for (const [status, isForGood] of [
    ...([
      [400, true],
      [401, true],
      [403, true],
      [404, true],
      [410, true],
      [413, true],
      [422, true],
      [499, true],
    ] as const),
    ...([
      [408, false],
      [429, false],
      [302, false],
      [500, false],
      [503, false],
    ] as const),
  ]) {
    const { notifier } = await webhook({ answer: () => ({ status }) });
    await assert.rejects(
      notifier.tell(one),
      (error) => error instanceof SinkFault && error instanceof Refusal === isForGood,
      String(status),
    );
  }
});

test("a mail server's 5yz is a refusal for good, of the message or of every recipient; 4yz, and one recipient that may be taken later, are not", async () => {
  const answering = (wanted: RegExp, code: string) => (line: string) => (wanted.test(line) ? `${code} no` : null);
  const mixed = (line: string) => (/^RCPT/.test(line) ? (/oncall/.test(line) ? "550 no" : "450 later") : null);
  for (const [answers, isForGood] of [
    [answering(/^MAIL/, "550"), true],
    [answering(/^\.$/, "554"), true],
    [answering(/^RCPT/, "550"), true],
    [answering(/^MAIL/, "451"), false],
    [answering(/^RCPT/, "450"), false],
    [mixed, false],
  ] as const) {
    const server = await mailServer({ implicit: true, answers });
    await assert.rejects(
      mailTo(server).tell(one),
      (error) => error instanceof SinkFault && error instanceof Refusal === isForGood,
    );
  }
});

test("the log gets one structured line for each message", async () => {
  const lines: AlertLine[] = [];
  const notifier = logNotifier(async (line) => void lines.push(structuredClone(line)));
  await notifier.tell(alertOf("soc", [newFinding(1), newFinding(2, { severity: "critical" })]));
  const [line] = lines;
  assert.equal(line?.message, "sallyport: 2 findings, the highest critical");
  assert.deepEqual(
    [line?.fields["event"], line?.fields["severity"], line?.fields["total"]],
    ["finding", "critical", 2],
  );
});

test("a message names the first twenty and says how many more there are", async () => {
  const server = await mailServer({ implicit: true });
  await mailTo(server).tell(
    alertOf(
      "soc",
      Array.from({ length: 300 }, (_none, n) => newFinding(n)),
    ),
  );
  const [mail] = server.mails;
  assert.match(mail?.text ?? "", /^Subject: sallyport: 300 findings, the highest high\r$/m);
  assert.equal(mail?.text.match(/finding show/g)?.length, 20);
  assert.match(mail?.text ?? "", /and 280 more: sallyport finding list/);
});

test("attack: a flood of small findings buries the one that matters: the severest are named, of equal ones the first", () => {
  const small = Array.from({ length: 60 }, (_, n) => newFinding(n, { severity: n === 7 ? "medium" : "low" }));
  const { severity, total, findings } = alertOf("mail", [...small, newFinding(60, { severity: "critical" })]);
  assert.deepEqual([severity, total, findings.length], ["critical", 61, 20]);
  assert.deepEqual(
    findings.slice(0, 4).map(({ id }) => id),
    [60, 7, 0, 1].map(findingId),
  );
});
