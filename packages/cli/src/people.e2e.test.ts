// People as an operator and a person meet them: the estate's word, the link, the page, the end of a session, over a control plane with its real store and sockets.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Control, startControl } from "@sallyport/control/control.ts";
import { TestBrowser } from "@sallyport/control/identity/people/browser.test-support.ts";
import { memoryEstateIo } from "@sallyport/control/registry/config/estate-io.ts";
import { loadEstateFrom } from "@sallyport/control/registry/config/load.ts";
import { soundEstate } from "@sallyport/control/registry/config/sound-estate.ts";
import { openAdminClient } from "./admin-connection.ts";
import { systemClock, systemRandom } from "./roles/system-ports.ts";

const data = mkdtempSync(join(tmpdir(), "sallyport-people-"));
let control: Control | null = null;
after(async () => {
  await control?.stop();
  rmSync(data, { recursive: true, force: true });
});

const faults: object[] = [];
async function start(): Promise<Control> {
  await control?.stop();
  const place = { host: "localhost", port: 0, url: null };
  control = await startControl({
    ...{ tenant: "main", region: "default", dataDirectory: data, checkpointCopy: null, storeUrl: null },
    ...{ identity: place, channel: place, admin: place, clock: systemClock, random: systemRandom },
    logger: { info: () => undefined, warn: () => undefined, error: (fields: object) => void faults.push(fields) },
    ...{ snapshotLifetimeMs: 3_600_000, heartbeatMs: 1_000, rotateEveryMs: 86_400_000 },
  });
  return control;
}

const estate = (people: string) =>
  loadEstateFrom(
    memoryEstateIo(
      { ...soundEstate(), "sallyport.yaml": `estate: default\nenvironments:\n  production:\n${people}` },
      Date.now,
    ),
  );
const call = <T>(method: "GET" | "POST", path: string, body?: unknown) =>
  openAdminClient(join(data, "operator.key.json")).call<T>(method, path, body);
const browserOf = ({ addresses }: Control) =>
  new TestBrowser(addresses.identity, readFileSync(join(data, "ca", "control.pem"), "utf8"));

test("nobody signs in before the estate says so; then a link makes an account, and an operator's word ends what it holds", {
  timeout: 120_000,
}, async () => {
  let running = await start();
  const account = "/main/production/account";
  await running.apply(estate(""));
  assert.equal((await browserOf(running).get("/main/production/login")).status, 404);
  await assert.rejects(call("POST", "/v1/users", { name: "anna" }), /nobody signs in in production/);

  await running.apply(estate("    people:\n      signIn: [passkey, password]\n      idle: 30m\n"));
  const made = await call<{ id: string; link: string }>("POST", "/v1/users", { name: "anna" });
  await assert.rejects(call("POST", "/v1/users", { name: "anna" }), /already/);
  assert.ok(made.link.startsWith(`${running.addresses.identity}/main/production/enrol?link=`));
  const browser = browserOf(running);
  const page = await browser.get(made.link.slice(running.addresses.identity.length));
  assert.equal((await browser.submit(page, "/enrol/password", { password: "correct horse battery" })).status, 303);
  assert.equal((await browser.get(account)).status, 200);

  const [user] = await call<readonly Record<string, unknown>[]>("GET", "/v1/users");
  assert.deepEqual([user?.["name"], user?.["password"], user?.["sessions"]], ["anna", true, 1]);
  const [session] = await call<readonly { sid: string; user: string }[]>("GET", "/v1/sessions");
  assert.equal(session?.user, made.id);
  await call("POST", `/v1/sessions/${session?.sid}/end`, { reason: "left the desk" });
  assert.equal((await browser.get(account)).location, "/main/production/login");

  const login = await browser.get("/main/production/login");
  assert.equal(
    (await browser.submit(login, "/login", { name: "anna", password: "correct horse battery" })).status,
    303,
  );
  await call("POST", `/v1/users/${made.id}/disable`, { reason: "left" });
  assert.equal((await browser.get(account)).status, 303);
  await call("POST", `/v1/users/${made.id}/enable`, { reason: "came back" });

  const again = await browser.get("/main/production/login");
  assert.equal(
    (await browser.submit(again, "/login", { name: "anna", password: "correct horse battery" })).status,
    303,
  );
  const cookies = browser.cookies;
  running = await start();
  const restarted = browserOf(running);
  for (const [name, value] of cookies) restarted.cookies.set(name, value);
  assert.equal((await restarted.get(account)).status, 200, "a restart of control signs nobody out");

  await running.apply(estate("    people:\n      signIn: [passkey]\n"));
  assert.doesNotMatch((await browserOf(running).get("/main/production/login")).text, /type="password"/);
  await running.apply(estate(""));
  assert.equal((await restarted.get(account)).status, 404, "and what the estate takes back is gone at once");
  assert.deepEqual(faults, []);
});
