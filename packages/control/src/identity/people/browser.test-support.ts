// Promises an identity listener on localhost with the pages of two environments over a real store, and browsers without a screen that keep cookies and
// send forms as one would. Trusts nothing outside the test. Used by *.test.ts of this folder only.
import { request as httpsRequest } from "node:https";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import type { PeopleConfig } from "../../registry/config/estate.ts";
import { testCertificate } from "../certificates.test-support.ts";
import type { Directory } from "../directory.ts";
import { memoryKeyring } from "../estate.test-support.ts";
import { type IdentityListener, listenIdentity } from "../identity-listener.ts";
import type { RingView } from "../issuer.ts";
import type { AuthorizationDesk, DeviceDesk } from "../oauth/interaction.ts";
import type { IssuerRoute } from "../seams.ts";
import { createProviderFetch } from "./outside/guarded-fetch.ts";
import { createPasswords } from "./password.ts";
import { addTestUser, type PeopleTestCommands, random } from "./people.test-support.ts";
import { openPeople, type People, seedPurpose } from "./people.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** Path and query of a redirect, or the whole address when it leads elsewhere. */
  readonly location: string | null;
}

export interface SentForm {
  readonly action: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly options: string | null;
}

const unescaped = (text: string) =>
  text.replace(
    /&(amp|lt|gt|quot|#39|#96);/g,
    (_, name: string) => ({ amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'", "#96": "`" })[name] ?? "",
  );

/** The forms of a page: where each leads, and what it holds already. */
export function formsOf(page: string): readonly SentForm[] {
  return [...page.matchAll(/<form ([^>]*)>([\s\S]*?)<\/form>/g)].map(([, head = "", body = ""]) => {
    const fields = [...body.matchAll(/<input ([^>]*)>/g)].map(([, input = ""]) => {
      const value = (name: string) => unescaped(new RegExp(`(?:^| )${name}="([^"]*)"`).exec(input)?.[1] ?? "");
      return [value("name"), value("value")] as const;
    });
    const options = /data-options="([^"]*)"/.exec(head)?.[1];
    return {
      action: unescaped(/action="([^"]*)"/.exec(head)?.[1] ?? ""),
      fields: Object.fromEntries(fields),
      options: options === undefined ? null : unescaped(options),
    };
  });
}

export class TestBrowser {
  readonly cookies = new Map<string, string>();
  readonly #url: string;
  readonly #ca: string;
  /** Set-Cookie fields of the last answer. */
  set: readonly string[] = [];

  constructor(url: string, ca: string) {
    this.#url = url;
    this.#ca = ca;
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.send("GET", path, { headers });
  }

  /** Sends the form of `page` that leads to `action`, as a browser would. */
  submit(
    page: Answer,
    action: string,
    fields: Readonly<Record<string, string>> = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const form = formsOf(page.text).find((one) => one.action.endsWith(action));
    if (form === undefined)
      throw new Error(`no form to ${action} in: ${page.status} ${page.text.slice(page.text.indexOf("<main"))}`);
    return this.post(form.action, { ...form.fields, ...fields }, headers);
  }

  post(
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const own = {
      origin: this.#url,
      "sec-fetch-site": "same-origin",
      "content-type": "application/x-www-form-urlencoded",
      ...headers,
    };
    return this.send("POST", path, { headers: own, body: new URLSearchParams(fields).toString() });
  }

  send(
    method: string,
    path: string,
    { headers, body }: { readonly headers: Readonly<Record<string, string>>; readonly body?: string },
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const all = Object.fromEntries(
      Object.entries({ ...(cookie === "" ? {} : { cookie }), ...length, ...headers }).filter(
        ([, value]) => value !== "",
      ),
    );
    const req = httpsRequest(`${this.#url}${path}`, { ca: this.#ca, agent: false, method, headers: all }, (res) => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.on("error", reject);
      res.on("end", () => {
        this.#keep(res.headers["set-cookie"] ?? []);
        const location = res.headers.location ?? null;
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          text: Buffer.concat(chunks).toString(),
          location,
        });
      });
    });
    req.on("error", reject);
    req.end(body);
    return promise;
  }

  #keep(set: readonly string[]): void {
    this.set = set;
    for (const field of set) {
      const [pair = ""] = field.split(";");
      const at = pair.indexOf("=");
      if (/Max-Age=0(?:;|$)/.test(field)) this.cookies.delete(pair.slice(0, at));
      else this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
  }
}

export interface TestPlace {
  readonly url: string;
  readonly ca: string;
  readonly cert: { readonly cert: string; readonly key: string };
  readonly listener: IdentityListener;
  readonly production: People;
  /** Codes of what was refused, in order. */
  readonly refused: string[];
  revoked: number;
  /** What the estate says of people. */
  config: PeopleConfig | null;
  browser(): TestBrowser;
  /** A user with a password, made the way people make one. */
  enrol(
    name: string,
    password: string,
    browser?: TestBrowser,
  ): Promise<{ readonly user: string; readonly browser: TestBrowser }>;
  close(): Promise<void>;
}

export const base = "/main/production";

export async function startPages(
  store: Store<PeopleTestCommands>,
  clock: { now(): number; monotonic(): number },
  desks: {
    readonly desk?: AuthorizationDesk;
    readonly devices?: DeviceDesk;
    readonly routes?: readonly IssuerRoute[];
    readonly bundles?: readonly { readonly name: string; readonly roots: readonly string[] }[];
    readonly clients?: () => Directory["clients"];
    readonly ring?: () => Pick<RingView, "keys">;
  } = {},
): Promise<TestPlace> {
  const tls = testCertificate([{ type: "dns", value: "localhost" }]);
  const faults: unknown[] = [];
  const listener = await listenIdentity({ host: "127.0.0.1", port: 0, tls, onFault: (fault) => faults.push(fault) });
  const url = `https://localhost:${listener.address.port}`;
  const config: PeopleConfig = { signIn: ["passkey", "password"], idleMs: 3_600_000, absoluteMs: 12 * 3_600_000 };
  const state = { refused: [] as string[], revoked: 0, config: config as PeopleConfig | null };
  const record = {
    refused: async ({ code }: { readonly code: string }) => {
      state.refused.push(code);
      return null;
    },
  };
  const open = (environment: string) =>
    openPeople({
      tenant: "main",
      environment,
      issuer: `${url}/main/${environment}`,
      store,
      seeds,
      secret,
      record,
      desk: desks.desk ?? null,
      devices: desks.devices ?? null,
      bundles: () => desks.bundles ?? [],
      fetchProvider: createProviderFetch(createDialer()),
      clients: desks.clients ?? (() => new Map()),
      ring: desks.ring ?? (() => ({ keys: [] })),
      revoked: async () => {
        state.revoked += 1;
      },
      clock,
      random,
      config: () => state.config,
      passwords: createPasswords({ random, parameters: { memory: 8, passes: 1, parallelism: 1 } }),
    });
  const [seeds, secret] = [await memoryKeyring().ring("main", seedPurpose), random.bytes(32)];
  const [production, staging] = [await open("production"), await open("staging")];
  const served = (environment: string, routes: readonly IssuerRoute[]) => ({
    tenant: "main",
    environment,
    issuer: `${url}/main/${environment}`,
    forms: [],
    form: async () => {},
    routes,
    metadata: () => ({}),
    refused: async () => {},
    jwks: () => ({ keys: [] }),
    documents: {},
  });
  listener.setIssuers([
    served("production", [...production.routes, ...(desks.routes ?? [])]),
    served("staging", staging.routes),
  ]);
  const browser = () => new TestBrowser(url, tls.cert);
  return Object.assign(state, {
    url,
    ca: tls.cert,
    cert: tls,
    listener,
    production,
    browser,
    enrol: async (name: string, password: string, using = browser()) => {
      const { user, link } = await addTestUser(store, name, clock.now());
      const page = await using.get(`${base}/enrol?link=${link}`);
      const done = await using.submit(page, "/enrol/password", { password });
      if (done.status !== 303) throw new Error(`${done.status} ${done.text}`);
      return { user, browser: using };
    },
    close: async () => {
      await listener.close();
      if (faults.length > 0) throw new AggregateError(faults);
    },
  });
}
