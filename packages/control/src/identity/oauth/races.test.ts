// The race harness: many uses of one thing at once, on both dialects. Exactly one succeeds and nothing that descends from a second use stays alive.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { assertion, dpopProof, form, send, type TestAnswer } from "../issuer.test-support.ts";
import type { IdentityCommands } from "../store.ts";
import type { TokensCommands } from "../tokens/store.ts";
import {
  codeFor,
  login,
  nonceFor,
  type Portal,
  portalCallback,
  postForm,
  redeem,
  refreshWith,
  requestParameters,
  startPortal,
  underWay,
  verifierOfTests,
} from "./portal.test-support.ts";
import type { OAuthCommands } from "./store.ts";

const many = 8;
const times = <T>(make: (n: number) => Promise<T>) => Promise.all(Array.from({ length: many }, (_, n) => make(n)));
const good = (answers: readonly TestAnswer[]) => answers.filter((answer) => answer.status === 200);
const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString());

forEachDialect((_dialect, open) => {
  let portal: Portal;
  let store: Store<IdentityCommands & OAuthCommands & TokensCommands>;
  before(async () => {
    store = await open({ commands: new URL("../commands.test-support.ts", import.meta.url) });
    portal = await startPortal(store);
  });
  after(() => portal.estate.close());

  const revokedGrants = async () => {
    const place = { tenant: "main", environment: "production", from: 0 };
    const { entries } = await store.run("readRevocations", place);
    return entries.filter(({ kind }) => kind === "grant").map(({ value }) => value);
  };

  test(`one code redeemed ${many} times at once: one answer, and its tokens die with the grant because the code was used again`, async () => {
    const code = await codeFor(portal);
    const nonce = await nonceFor(portal, portal.estate.holder);
    const answers = await times(() => redeem(portal, code, { nonce }));
    assert.equal(good(answers).length, 1, answers.map(({ text }) => text).join("\n"));
    for (const answer of answers.filter(({ status }) => status !== 200))
      assert.equal(answer.body["error"], "invalid_grant");
    const body = good(answers)[0]?.body ?? {};
    const [grant] = claimsOf(body["access_token"])["gid"] as string[];
    assert.deepEqual(
      (await revokedGrants()).filter((one) => one === grant),
      [grant],
    );
    assert.equal((await refreshWith(portal, String(body["refresh_token"]))).body["error"], "invalid_grant");
    assert.ok(portal.pushes.count > 0);
  });

  test(`one refresh token used ${many} times at once by its holder: every answer is the same one, and the family lives`, async () => {
    const first = await redeem(portal, await codeFor(portal));
    const nonce = await nonceFor(portal, portal.estate.holder);
    const answers = await times(() => refreshWith(portal, String(first.body["refresh_token"]), { nonce }));
    assert.equal(good(answers).length, many, answers.map(({ text }) => text).join("\n"));
    assert.equal(new Set(answers.map(({ body }) => body["refresh_token"])).size, 1);
    assert.equal(new Set(answers.map(({ body }) => body["access_token"])).size, 1);
    const next = await refreshWith(portal, String(answers[0]?.body["refresh_token"]));
    assert.equal(next.status, 200, next.text);
  });

  test("attack: a stolen refresh token raced against its owner's with another key: the family dies, the newest descendant included", async () => {
    const first = await redeem(portal, await codeFor(portal));
    const thief = { ...portal.estate.analytics };
    const nonce = await nonceFor(portal, portal.estate.holder);
    const token = String(first.body["refresh_token"]);
    const answers = await times((n) => refreshWith(portal, token, n % 2 === 0 ? { nonce } : { nonce, holder: thief }));
    const [grant] = claimsOf(first.body["access_token"])["gid"] as string[];
    assert.ok((await revokedGrants()).includes(grant ?? ""));
    assert.equal(new Set(good(answers).map(({ body }) => body["refresh_token"])).size, 1);
    for (const { body } of good(answers))
      assert.equal((await refreshWith(portal, String(body["refresh_token"]))).body["error"], "invalid_grant");
  });

  test(`one client assertion used ${many} times at once: one pushed request`, async () => {
    const body = form("portal", assertion("portal", portal.issuer, portal.portalKey));
    body.delete("grant_type");
    for (const [name, value] of requestParameters(portal)) if (name !== "client_id") body.append(name, value);
    const answers = await times(() => send(`${portal.issuer}/par`, portal.ca, { body: body.toString() }));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array.from({ length: many - 1 }, () => 401)]);
  });

  test(`one DPoP proof used with ${many} codes at once: one token, and the other codes are not used up by it`, async () => {
    const codes = await times(() => codeFor(portal));
    const nonce = await nonceFor(portal, portal.estate.holder);
    const proof = dpopProof(portal.estate.holder, `${portal.issuer}/token`, nonce);
    const answers = await Promise.all(codes.map((code) => redeem(portal, code, { proof })));
    assert.equal(good(answers).length, 1);
    const left = codes.filter((_, n) => answers[n]?.status !== 200);
    for (const answer of answers.filter(({ status }) => status !== 200))
      assert.equal(answer.body["error"], "invalid_dpop_proof");
    assert.equal((await redeem(portal, left[0] ?? "", { nonce })).status, 200);
  });

  test(`one pushed request allowed in ${many} browsers at once: one code`, async () => {
    const pushed = await postForm(portal, "/par", requestParameters(portal));
    const query = new URLSearchParams({ client_id: "portal", request_uri: String(pushed.body["request_uri"]) });
    const browsers = await times(async () => underWay(await send(`${portal.issuer}/authorize?${query}`, portal.ca)));
    const done = await Promise.all(browsers.map(({ id, cookie }) => portal.desk.allow(id, cookie, login())));
    const codes = done.flatMap((one) => (one === null ? [] : [new URL(one.location).searchParams.get("code") ?? ""]));
    assert.equal(codes.length, 1);
    const late = await send(`${portal.issuer}/authorize?${query}`, portal.ca);
    assert.equal(late.status, 400, "used up");
    assert.equal((await redeem(portal, codes[0] ?? "")).status, 200);
  });

  test(`one page answered ${many} times at once: one code`, async () => {
    const params = requestParameters(portal, { client: "app" });
    const { id, cookie } = underWay(await send(`${portal.issuer}/authorize?${params}`, portal.ca));
    const done = await times((n) =>
      n % 2 === 0 ? portal.desk.allow(id, cookie, login()) : portal.desk.refuse(id, cookie, "access_denied"),
    );
    assert.equal(done.filter((one) => one !== null).length, 1);
  });

  test("a grant that ends while its code is being redeemed leaves nothing alive", async () => {
    for (let round = 0; round < 4; round += 1) {
      const code = await codeFor(portal);
      const nonce = await nonceFor(portal, portal.estate.holder);
      const [answer] = await Promise.all([
        redeem(portal, code, { nonce }),
        redeem(portal, code, { nonce, over: { redirect_uri: portalCallback, code_verifier: verifierOfTests } }),
      ]);
      const token = answer.status === 200 ? String(answer.body["refresh_token"]) : "none";
      assert.equal((await refreshWith(portal, token, { nonce })).body["error"], "invalid_grant");
    }
  });
});
