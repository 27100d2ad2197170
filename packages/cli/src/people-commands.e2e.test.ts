// `sallyport user` and `sallyport session` as an operator types them: the real binary against a real control plane, a browser on the other side.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { TestBrowser } from "@sallyport/control/identity/people/browser.test-support.ts";
import { Installation } from "./installation.test-support.ts";
import { type Ended, runBinary } from "./program.test-support.ts";

const bounded = { timeout: 120_000 };
const password = "correct horse battery";
let installation: Installation;
before(async () => {
  installation = await Installation.open();
  const settings = installation.files()["sallyport.yaml"] ?? "";
  installation.writeEstate({
    "sallyport.yaml": `${settings}environments:\n  production:\n    people: { signIn: [password] }\n  staging:\n`,
  });
  await installation.startControl();
});
after(() => installation.close());

const run = (...argv: readonly string[]): Promise<Ended> =>
  runBinary(["--operator", installation.operatorKey, ...argv]);
async function json<T>(...argv: readonly string[]): Promise<T> {
  const { exit, out, err } = await run("--json", ...argv);
  assert.equal(exit, 0, err);
  return JSON.parse(out) as T;
}
const origin = () => `https://127.0.0.1:${installation.ports.identity}`;
const browser = () =>
  new TestBrowser(origin(), readFileSync(join(installation.data("control"), "ca", "control.pem"), "utf8"));
const base = "/main/production";

interface User {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly password: boolean;
  readonly sessions: number;
}
interface Session {
  readonly sid: string;
  readonly user: string;
  readonly acr: string;
}

async function enrol(link: string) {
  const by = browser();
  const page = await by.get(link.slice(origin().length));
  assert.equal((await by.submit(page, "/enrol/password", { password })).status, 303);
  return by;
}

async function signIn(name: string, typed = password) {
  const by = browser();
  const { status } = await by.submit(await by.get(`${base}/login`), "/login", { name, password: typed });
  return { by, status };
}

test(
  "an operator adds anna, sees her, ends her session, locks her out, lets her in, and takes her credentials away",
  bounded,
  async () => {
    const added = await run("user", "add", "anna", "--link-lifetime", "1h");
    assert.equal(added.exit, 0, added.err);
    const [said = "", link = ""] = added.out.trimEnd().split("\n");
    assert.match(said, /^anna sets up their account with this link, once, until \d{4}-/);
    assert.ok(link.startsWith(`${origin()}${base}/enrol?link=`), link);
    const secret = new URL(link).searchParams.get("link") ?? "";
    assert.match((await run("user", "list")).out, /anna +production +active +nothing yet +0 +usr_/);

    const by = await enrol(link);
    const list = await run("user", "list");
    assert.match(
      list.out,
      /NAME +ENVIRONMENT +STATE +SIGNS IN WITH +SESSIONS +ID\n.*anna +production +active +password +1 +usr_/,
    );
    assert.ok(!list.out.includes(secret), "a link is shown once");
    const sessions = await run("session", "list");
    assert.match(sessions.out, /ses_\S+ +production +anna +usr_\S+ +\S+ +\S+ +password +/);
    const [session] = await json<readonly Session[]>("session", "list");
    assert.equal(session?.acr, "urn:sallyport:acr:password");

    const ended = await run("session", "end", session?.sid ?? "", "--reason", "left the desk");
    assert.deepEqual([ended.exit, ended.out], [0, `${session?.sid} is over\n`]);
    assert.equal((await by.get(`${base}/account`)).location, `${base}/login`);
    assert.deepEqual(await json("session", "list"), []);

    assert.equal((await signIn("anna")).status, 303);
    const disabled = await run("user", "disable", "anna", "--reason", "left");
    assert.deepEqual([disabled.exit, disabled.out], [0, "anna (production) is disabled\n"]);
    assert.deepEqual(await json("session", "list"), []);
    assert.equal((await signIn("anna")).status, 400);
    const enabled = await run("user", "enable", "anna", "--reason", "came back");
    assert.deepEqual([enabled.exit, enabled.out], [0, "anna (production) is active\n"]);
    assert.equal((await signIn("anna")).status, 303);

    const [anna] = await json<readonly User[]>("user", "list");
    assert.equal((await run("revoke", "subject", anna?.id ?? "", "--reason", "taken over")).exit, 0);
    const [after] = await json<readonly User[]>("user", "list");
    assert.equal(after?.sessions, 0, "a revoked user's log-ins are over, not only their tokens");
    const reset = await json<{ link: string }>("user", "reset", anna?.id ?? "", "--reason", "lost the phone");
    assert.notEqual(new URL(reset.link).searchParams.get("link"), secret);
    assert.equal((await signIn("anna")).status, 400, "the old password is gone");
    const fresh = await json<readonly User[]>("user", "list");
    assert.deepEqual(
      fresh.map(({ password: has, sessions: alive }) => [has, alive]),
      [[false, 0]],
    );
    await enrol(reset.link);

    const consents = await run("user", "consents", "anna");
    assert.match(consents.out, /^CLIENT +ENVIRONMENT +MAY CALL +OPERATIONS +ALLOWED +GRANTS ALIVE\n$/);
    assert.equal((await run("session", "undelivered")).exit, 0);
  },
);

test("what cannot be is refused with the exit code of its kind, and says what to do", bounded, async () => {
  await json("user", "add", "bert");
  const refusals: readonly (readonly [readonly string[], number, RegExp])[] = [
    [["user", "add", "bert"], 1, /bert.*already|already.*bert/],
    [["user", "add", "Bert Brown"], 2, /name/],
    [["user", "add", "carl", "--environment", "staging"], 1, /nobody signs in in staging/],
    [["user", "add", "carl", "--link-lifetime", "soon"], 2, /soon/],
    [["user", "disable", "bert"], 2, /--reason/],
    [["user", "disable", "nobody", "--reason", "left"], 1, /no user nobody in production.*\n?.*sallyport user list/],
    [["user", "disable", "bert", "--environment", "staging", "--reason", "left"], 1, /no user bert in staging/],
    [["user", "consents", "bert", "--withdraw", "shop"], 2, /--reason/],
    [["session", "end", "ses_0000000000000000000000"], 2, /--reason/],
    [["session", "end", "ses_0000000000000000000000", "--reason", "left"], 1, /session/],
  ];
  const ended = await Promise.all(refusals.map(([argv]) => run(...argv)));
  const got = refusals.map(([argv], at) => `${argv.join(" ")}: ${ended[at]?.exit}`);
  assert.deepEqual(
    got,
    refusals.map(([argv, exit]) => `${argv.join(" ")}: ${exit}`),
    ended.map(({ err }) => err).join(""),
  );
  for (const [at, [argv, , says]] of refusals.entries()) assert.match(ended[at]?.err ?? "", says, argv.join(" "));
  const [bert] = (await json<readonly User[]>("user", "list")).filter(({ name }) => name === "bert");
  assert.equal(bert?.state, "active", "nothing was half done");
});
