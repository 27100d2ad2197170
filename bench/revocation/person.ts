// Promises a user of the installation who signs in through the pages and lets the app act, so that tokens with a grant, a session and a subject are the
// product's own. Trusts the pages to be those of people.e2e.test.ts. Flow: docs/identity/authorization-code.md.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TestBrowser } from "@sallyport/control/identity/people/browser.test-support.ts";
import { DpopProofs, freshId } from "@sallyport/sdk/dpop-proofs.ts";
import type { Signer } from "@sallyport/sdk/signer.ts";
import type { AdminClient } from "sallyport/admin-client.ts";
import type { Installation } from "sallyport/installation.test-support.ts";

export const appFiles = {
  "systems/app.yaml": `system: app
identity:
  client: app
  public: true
  grants: [authorization_code, refresh_token]
  redirectUris: ["http://127.0.0.1/callback"]
uses:
  - to: billing
    purpose: Show people their invoices
    operations: [invoice.read]
`,
};
export const signInEnvironment = "environments:\n  production:\n    people:\n      signIn: [password]\n";

const place = "/main/production";
const redirectUri = "http://127.0.0.1:49152/callback";
const password = "correct horse battery";
const redirectsMax = 8;

export class Person {
  readonly id: string;
  readonly #name: string;
  readonly #url: string;
  readonly #ca: string;
  #browser: TestBrowser;

  private constructor(of: { readonly id: string; readonly name: string; readonly url: string; readonly ca: string }) {
    this.id = of.id;
    this.#name = of.name;
    this.#url = of.url;
    this.#ca = of.ca;
    this.#browser = new TestBrowser(of.url, of.ca);
  }

  /** A new account with a password, signed in nowhere. */
  static async enrol(installation: Installation, operator: AdminClient, name: string): Promise<Person> {
    const { id, link } = await operator.call<{ id: string; link: string }>("POST", "/v1/users", { name });
    const url = `https://127.0.0.1:${installation.ports.identity}`;
    const ca = readFileSync(join(installation.data("control"), "ca", "control.pem"), "utf8");
    const person = new Person({ id, name, url, ca });
    const page = await person.#browser.get(new URL(link).pathname + new URL(link).search);
    await person.#browser.submit(page, "/enrol/password", { password });
    person.signElsewhere();
    return person;
  }

  /** Another browser, in which nobody is signed in yet; sessions of others live on. */
  signElsewhere(): void {
    this.#browser = new TestBrowser(this.#url, this.#ca);
  }

  /** An access token for billing, of a new grant in the session of this browser (a new one when there is none), bound to `holder`. */
  async token(holder: Signer): Promise<string> {
    const verifier = freshId() + freshId() + freshId();
    const query = new URLSearchParams({
      ...{ client_id: "app", response_type: "code", redirect_uri: redirectUri, state: "s" },
      ...{ code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256" },
      ...{ resource: `${this.#url}${place}/systems/billing`, scope: "billing:invoice.read" },
    });
    const code = await this.#codeAfter(`${place}/authorize?${query}`);
    return this.#redeem({ code, verifier, holder });
  }

  async #codeAfter(start: string): Promise<string> {
    let page = await this.#browser.get(start);
    for (let step = 0; step < redirectsMax; step += 1) {
      if (page.location !== null) {
        const to = new URL(page.location, this.#url);
        const code = to.searchParams.get("code");
        if (code !== null) return code;
        page = await this.#browser.get(to.pathname + to.search);
      } else if (page.text.includes('type="password"')) {
        page = await this.#browser.submit(page, "/login", { name: this.#name, password });
      } else page = await this.#browser.submit(page, "/consent", { answer: "allow" });
    }
    throw new Error(`no code after ${redirectsMax} pages: ${page.status} ${page.location}`);
  }

  async #redeem(on: { readonly code: string; readonly verifier: string; readonly holder: Signer }): Promise<string> {
    const url = new URL(`${this.#url}${place}/token`);
    const proofs = new DpopProofs(async () => on.holder, Date.now);
    const form = { client_id: "app", grant_type: "authorization_code", redirect_uri: redirectUri };
    const body = new URLSearchParams({ ...form, code: on.code, code_verifier: on.verifier });
    for (const _ of ["to learn the nonce", "with it"]) {
      const dpop = await proofs.make({ method: "POST", url });
      const response = await fetch(url, { method: "POST", headers: { dpop }, body });
      const answer: unknown = await response.json();
      proofs.learn(url.origin, response.headers, undefined);
      if (typeof answer === "object" && answer !== null && "access_token" in answer) return String(answer.access_token);
    }
    throw new Error("the code was not redeemed");
  }
}
