// Flows that lead between origins, in a browser: its policy for forms follows redirects, which no client of ours does. All of them without JavaScript.
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { type Browser, chromium, type Page } from "playwright-core";
import { debianProgram } from "../../../../../tools/debian-packages.ts";
import type { ProviderConfig } from "../../registry/config/estate.ts";
import { codes, type DevicePlace, password, poll, startDevices } from "../device/device.test-support.ts";
import { directoryOf } from "../directory.ts";
import { base, startPages, type TestPlace } from "./browser.test-support.ts";
import { linkDigest } from "./outside/link-commands.ts";
import { CorpProvider, tls } from "./outside/provider.test-support.ts";
import { commandsUrl, type PeopleTestCommands, place } from "./people.test-support.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-chromium-flows-"));
const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const corp = new CorpProvider();
const goodbye = createServer(tls, (_req, res) => res.end("<h1>Bye</h1>"));
const stores: Store<PeopleTestCommands>[] = [];
let at: TestPlace;
let devices: DevicePlace;
let bye = "";
let chrome: Browser;

const open = async (name: string) => {
  const store = await openStore<PeopleTestCommands>({ commands: commandsUrl, path: join(folder, name), clock });
  stores.push(store);
  return store;
};
const pin = (pem: string) =>
  createHash("sha256")
    .update(new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" }))
    .digest("base64");

before(async () => {
  await corp.start();
  await new Promise<void>((resolve) => goodbye.listen(0, "localhost", resolve));
  const address = goodbye.address();
  bye = `https://localhost:${typeof address === "object" ? address?.port : ""}/bye`;
  const portal = { id: "portal", keys: [], postLogoutRedirectUris: [bye] };
  const systems = [{ id: "portal", certificates: [], clients: [portal] }];
  const { clients } = directoryOf({ systems, integrations: [], isActive: () => true });
  at = await startPages(await open("pages.db"), clock, {
    bundles: [{ name: "corp", roots: [tls.cert] }],
    clients: () => clients,
  });
  const provider = {
    id: "corp",
    name: "Corp",
    issuer: corp.issuer,
    client: "sallyport",
    jit: false,
    allowPrivate: true,
  };
  // as: `acr` is of that type.
  const providers = [{ ...provider, trust: "corp", acr: "urn:sallyport:acr:password" }] as ProviderConfig[];
  at.config = { signIn: ["password", "corp"], providers, idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 };
  const { text } = await at.browser().get(`${base}/client-jwks`);
  corp.register(`${at.url}${base}/login/back/corp`, JSON.parse(text));
  devices = await startDevices(await open("devices.db"), Object.assign({ ...clock }, { move: () => undefined }));
  const pins = [at.ca, tls.cert, devices.estate.ca].map(pin).join(",");
  chrome = await chromium.launch({
    executablePath: debianProgram("chromium"),
    args: [`--ignore-certificate-errors-spki-list=${pins}`, "--no-sandbox", "--disable-dev-shm-usage"],
  });
});
after(async () => {
  await chrome?.close();
  await at?.close();
  await devices?.estate.close();
  corp.stop();
  goodbye.closeAllConnections();
  goodbye.close();
  for (const store of stores) await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A page without JavaScript, whose console may say nothing: a form that the policy stops would speak there. */
async function withPage(work: (page: Page) => Promise<void>): Promise<void> {
  const context = await chrome.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  await work(page);
  assert.deepEqual(said, [], "nothing was blocked");
  await context.close();
}

async function signIn(page: Page, name: string): Promise<void> {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

test("a person signs in with the button of a provider at another origin, and is back on their account page", () =>
  withPage(async (page) => {
    const { user } = await at.enrol("anna", password);
    const [store] = stores;
    const link = {
      ...place,
      user,
      provider: "corp",
      digest: linkDigest(corp.issuer, "s-anna"),
      actor: "operator:test",
    };
    assert.equal(await store?.run("linkUser", link), "linked");
    corp.person = { subject: "s-anna" };
    await page.goto(`${at.url}${base}/login`);
    await page.getByRole("button", { name: "Sign in with Corp" }).click();
    await page.waitForURL(`${at.url}${base}/account`);
    const sessions = await store?.run("listSessions", { ...place, user });
    assert.ok(sessions?.some(({ amr, browser }) => amr.includes("fed") && /Chrome/.test(browser)));
  }));

test("a person whom an application sends to sign out says so, and is led back to it", () =>
  withPage(async (page) => {
    const { user } = await at.enrol("bert", password);
    await page.goto(`${at.url}${base}/login`);
    await signIn(page, "bert");
    await page.waitForURL(`${at.url}${base}/account`);
    const [store] = stores;
    const alive = async () => (await store?.run("listSessions", { ...place, user }))?.length;
    const before = await alive();
    const asked = new URLSearchParams({ client_id: "portal", post_logout_redirect_uri: bye, state: "s" });
    await page.goto(`${at.url}${base}/session/end?${asked}`);
    assert.equal(await page.locator("h1").count(), 1);
    assert.equal(await alive(), before, "a link signs nobody out");
    await page.locator("button[value=yes]").click();
    await page.waitForURL(`${bye}?state=s`);
    await page.getByRole("heading", { name: "Bye" }).waitFor();
    assert.equal(await alive(), (before ?? 0) - 1);
    await page.goto(`${at.url}${base}/account`);
    await page.waitForURL(/\/login/);
  }));

test("a person opens the address a device shows, signs in, sees the code and what is asked, and allows it", () =>
  withPage(async (page) => {
    const { name } = await devices.person();
    const shown = await codes(devices);
    await page.goto(shown.complete);
    await signIn(page, name);
    const field = page.locator("input[name=user_code]");
    assert.equal(await field.inputValue(), shown.userCode, "the code of the address is still there");
    assert.equal(
      (await poll(devices, shown.deviceCode)).body["error"],
      "authorization_pending",
      "opening it allows nothing",
    );
    await field.press("Enter");
    await page.getByRole("heading", { name: /Allow app to act for you/ }).waitFor();
    await page.getByText(shown.userCode).waitFor();
    await page.locator("button[value=allow]").click();
    await page.getByRole("heading", { name: "Connected" }).waitFor();
  }));
