import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openStore } from "@sallyport/kernel/store/open.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { debianProgram } from "../../../../../tools/debian-packages.ts";
import { base, startPages, type TestPlace } from "./browser.test-support.ts";
import { addTestUser, commandsUrl, type PeopleTestCommands, place } from "./people.test-support.ts";

// What only a browser can say: that the policy lets our style and script through and nothing else, and that its own passkey prompt is understood.
const folder = mkdtempSync(join(tmpdir(), "sallyport-chromium-"));
const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const shots = process.env["SALLYPORT_TEST_PICTURES"];
let store: Store<PeopleTestCommands>;
let at: TestPlace;
let chrome: Browser;

before(async () => {
  store = await openStore<PeopleTestCommands>({ commands: commandsUrl, path: join(folder, "store.db"), clock });
  at = await startPages(store, clock);
  const key = new X509Certificate(at.ca).publicKey.export({ type: "spki", format: "der" });
  const pin = createHash("sha256").update(key).digest("base64");
  chrome = await chromium.launch({
    executablePath: debianProgram("chromium"),
    args: [`--ignore-certificate-errors-spki-list=${pin}`, "--no-sandbox", "--disable-dev-shm-usage"],
  });
});
after(async () => {
  await chrome?.close();
  await at?.close();
  await store?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A page whose console may say nothing: a blocked style or script would speak there. */
async function openPage(context: BrowserContext): Promise<{ readonly page: Page; readonly said: string[] }> {
  const page = await context.newPage();
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  return { page, said };
}

async function withAuthenticator(page: Page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
    },
  });
  return { cdp, authenticatorId };
}

const picture = async (page: Page, name: string) => {
  if (shots !== undefined) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
};

test("in a browser a person makes a passkey by their link, signs out, and signs in with it", async () => {
  const { user, link } = await addTestUser(store, "anna", clock.now());
  const context = await chrome.newContext();
  const { page, said } = await openPage(context);
  const { cdp, authenticatorId } = await withAuthenticator(page);
  await page.goto(`${at.url}${base}/enrol?link=${link}`);
  await picture(page, "enrol");
  await page.getByRole("button", { name: "Make a passkey" }).click();
  await page.waitForURL("**/account");
  await picture(page, "account");
  assert.equal((await store.run("readUser", { ...place, user }))?.passkeys.length, 1);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
  await page.goto(`${at.url}${base}/login`);
  await picture(page, "login");
  await cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.getByText("No passkey was used").waitFor();
  await picture(page, "login-refused");
  await cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.waitForURL("**/account");
  const [session] = await store.run("listSessions", { ...place, user });
  assert.equal(session?.acr, "urn:sallyport:acr:phishing-resistant");
  assert.match(session?.browser ?? "", /Chrome/);
  assert.deepEqual(said, [], "nothing was blocked and nothing failed");
  await context.close();
});

test("without JavaScript everything works but the passkey prompt, which is not shown", async () => {
  const { link } = await addTestUser(store, "bert", clock.now());
  const context = await chrome.newContext({ javaScriptEnabled: false });
  const { page } = await openPage(context);
  await page.goto(`${at.url}${base}/enrol?link=${link}`);
  assert.equal(await page.getByRole("button", { name: "Make a passkey" }).count(), 0);
  await page.getByLabel("New password").fill("correct horse battery");
  await page.getByRole("button", { name: "Set a password" }).click();
  await page.waitForURL("**/account");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.goto(`${at.url}${base}/login`);
  await page.getByLabel("Name").fill("bert");
  await page.getByLabel("Password").fill("wrong horse battery");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
  await picture(page, "login-wrong");
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL("**/account");
  await page.getByRole("button", { name: "Set up an authenticator app" }).click();
  await page.getByRole("heading", { name: "Set up an authenticator app" }).waitFor();
  await picture(page, "app");
  await context.close();
});

test("clickjacking: no page of ours is shown in a frame of another", async () => {
  const context = await chrome.newContext();
  const { page } = await openPage(context);
  await page.route("https://evil.example/", (route) =>
    route.fulfill({ contentType: "text/html", body: `<iframe src="${at.url}${base}/login"></iframe>` }),
  );
  const framed = page.waitForEvent("requestfinished", (request) => request.url().endsWith("/login")).catch(() => null);
  await page.goto("https://evil.example/");
  await framed;
  const [, frame] = page.frames();
  assert.doesNotMatch((await frame?.content().catch(() => "")) ?? "", /Password/);
  await context.close();
});

test("every field has its label, every page one heading and a language, and the keyboard reaches all in the order of reading", async () => {
  const context = await chrome.newContext();
  const { page } = await openPage(context);
  await page.goto(`${at.url}${base}/login`);
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
  assert.equal(await page.locator("h1").count(), 1);
  const unlabelled = await page
    .locator("input:not([type=hidden])")
    .evaluateAll(
      (inputs) =>
        inputs.filter((input) => ((input as unknown as { labels: { length: number } }).labels?.length ?? 0) === 0)
          .length,
    );
  assert.equal(unlabelled, 0);
  const reached: string[] = [];
  for (let press = 0; press < 4; press += 1) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate("document.activeElement.id || document.activeElement.textContent"));
  }
  assert.deepEqual(reached, ["name", "password", "Sign in", "Use a passkey"]);
  await context.close();
});
