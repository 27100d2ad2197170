// Crossings that go on under an opaque token: the issuer is asked anew beside them, its no ends them, and its silence does so in time
// (docs/identity/outside-introspection.md "How long a yes holds").
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import type { IntrospectionReply } from "@sallyport/protocol/channel/messages.ts";
import { goesOnMs } from "./identify/introspection.ts";
import { movableClock, until } from "./testing/start-test-gateway.ts";
import { ended, type Followed, newsEstate, openStreamBench, type StreamBench } from "./testing/stream-bench.ts";
import type { TestEstate } from "./testing/test-estate.ts";

const keepMs = 30_000;
let bench: StreamBench;
const says = new Map<string, IntrospectionReply>();

const estate = (url: string): TestEstate => ({
  ...newsEstate(url),
  issuers: [
    {
      ...{ id: "sso", url: "https://sso.example", kind: "access-token", algorithms: [], companions: [], keys: [] },
      lifetimeSecondsMax: 3_600,
      rules: [
        { system: "portal", party: "portal-web", claims: {}, speaksFor: "user", audiences: { "news-api": ["news"] } },
      ],
      introspection: { providers: ["news"], keepMs },
    },
  ],
});

before(async () => {
  bench = await openStreamBench({ clock: movableClock(), estate });
  bench.bed.feed.introspects = ({ token }) => says.get(token) ?? { active: false };
});
after(() => bench?.close());

/** A stream that an opaque token bound to portal's key has begun. */
async function begun(): Promise<{ readonly token: string; readonly one: Followed }> {
  const token = randomBytes(32).toString("base64url");
  const iat = Math.floor(bench.bed.clock.now() / 1_000);
  const members = { sub: "u", client_id: "portal-web", aud: "news-api", token_type: "DPoP", iat, exp: iat + 3_600 };
  says.set(token, { active: true, members: { ...members, cnf: { jkt: bench.portal.key.kid } } });
  bench.portal.nonce = undefined;
  const one = await bench.follow(bench.portal, { token });
  assert.equal(one.status, 200);
  return { token, one };
}
const asked = (token: string) => bench.bed.feed.introspected.filter((question) => question.token === token).length;
async function codeOf({ id }: Followed): Promise<unknown> {
  return { code: null, ...(await bench.outcome(id)) }.code;
}
/** Time goes by, and every crossing that goes on is judged again. */
function move(ms: number): void {
  bench.bed.clock.shiftMs += ms;
  bench.bed.feed.heartbeat();
}

test("a yes that is old is asked for anew beside the stream, which goes on; the issuer's no ends it", async () => {
  const { token, one } = await begun();
  assert.equal(asked(token), 1);
  move(keepMs + 1_000);
  await until(() => asked(token) === 2, "the issuer to be asked again");
  assert.equal(bench.bed.feed.introspected.at(-1)?.known, true);
  assert.equal(one.end(), null);
  says.delete(token);
  move(keepMs + 1_000);
  await until(() => asked(token) === 3, "the issuer to be asked once more");
  move(keepMs + 1_000);
  assert.equal(await ended(one), "cut");
  assert.match(one.text(), /"unauthenticated"/);
  assert.equal(await codeOf(one), "token-inactive");
});

test("an issuer that is away is waited for a minute beyond the time of its yes, and no longer", async () => {
  const { token, one } = await begun();
  says.set(token, { trouble: "unreachable" });
  move(keepMs + 1_000);
  await until(() => asked(token) === 2, "the issuer to be asked again");
  assert.equal(one.end(), null);
  move(goesOnMs);
  assert.equal(await ended(one), "cut");
  assert.equal(await codeOf(one), "token-unresolved");
});

test("a provider whose issuer is asked no more has no stream of its tokens", async () => {
  const { one } = await begun();
  await bench.publish((held) => ({ ...held, issuers: [] }));
  assert.equal(await ended(one), "cut");
  assert.equal(await codeOf(one), "token-issuer");
  await bench.publish();
});
