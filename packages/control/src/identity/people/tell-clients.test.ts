// Clients are real HTTPS servers that verify with jose; the store is each dialect's own.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { after, before, describe, test } from "node:test";
import { createDialer } from "@sallyport/kernel/dial/dialer.ts";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { generateSigner } from "@sallyport/kernel/token-crypto.ts";
import { backchannelLogoutEvent } from "@sallyport/protocol/token/logout-token.ts";
import { createLocalJWKSet, jwtVerify } from "jose";
import { testCertificate } from "../certificates.test-support.ts";
import type { OutsidePlace } from "../dial-once.ts";
import { makeSecret } from "./one-time-secrets.ts";
import {
  addTestUser,
  commandsUrl,
  newSession,
  type PeopleTestCommands,
  place,
  random,
  standingClock,
} from "./people.test-support.ts";
import { createSendLogout, logoutPlaceOf } from "./send-logout.ts";
import { attemptsMax, leaseMs, pauseMs, type TellParts, tellClients } from "./tell-clients.ts";

const issuer = "https://id.example/main/production";
const key = generateSigner("ES256").signer;
const jwks = createLocalJWKSet({ keys: [{ ...key.jwk, kid: key.kid, alg: key.alg }] });

/** A client's server: what it got, and what it answers. */
class Receiver {
  readonly tls = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
  readonly tokens: string[] = [];
  answer: (res: ServerResponse, req: IncomingMessage) => void = (res) => void res.end();
  asked = 0;
  url = "";
  readonly #server = createServer({ cert: this.tls.cert, key: this.tls.key }, async (req, res) => {
    this.asked += 1;
    let body = "";
    for await (const chunk of req) body += chunk;
    assert.equal(req.headers["content-type"], "application/x-www-form-urlencoded");
    this.tokens.push(new URLSearchParams(body).get("logout_token") ?? "");
    this.answer(res, req);
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    this.url = `https://127.0.0.1:${typeof address === "object" ? address?.port : ""}/backchannel-logout`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  place(over: Partial<OutsidePlace> = {}): OutsidePlace {
    return { uri: this.url, allowPrivate: true, ca: this.tls.cert, ...over };
  }
}

describe("one try to tell a client", () => {
  const receiver = new Receiver();
  const send = createSendLogout(createDialer(), 60_000);
  const impatient = createSendLogout(createDialer(), 1_000);
  before(() => receiver.start());
  after(() => receiver.stop());

  test("is taken with 200 or 204", async () => {
    assert.equal(await send(receiver.place(), "t"), null);
    receiver.answer = (res) => void res.writeHead(204).end();
    assert.equal(await send(receiver.place(), "t"), null);
    assert.deepEqual(receiver.tokens, ["t", "t"]);
  });

  test("SSRF via the logout URI: loopback without the word for it is never dialled, nor where a redirect leads", async () => {
    const before = receiver.asked;
    assert.equal(await send(receiver.place({ allowPrivate: false }), "t"), "address-refused");
    assert.equal(receiver.asked, before);
    receiver.answer = (res) => void res.writeHead(307, { location: receiver.url }).end();
    assert.equal(await send(receiver.place(), "t"), "status-307");
    assert.equal(receiver.asked, before + 1, "a redirect is not followed");
  });

  test("a hostile client: an answer without end, none at all, another's certificate, a broken one, an error", async () => {
    receiver.answer = (res) => void res.end(Buffer.alloc(300_000, 0x20));
    assert.equal(await send(receiver.place(), "t"), "answer-too-large");
    receiver.answer = () => undefined;
    assert.equal(await impatient(receiver.place(), "t"), "answer-timeout");
    receiver.answer = (res) => void res.socket?.end("HTTP/1.1 what\r\n\r\n");
    assert.match(String(await send(receiver.place(), "t")), /^(?:protocol|connect-failed)$/);
    const other = testCertificate([{ type: "ip", value: "127.0.0.1" }]);
    assert.equal(await send(receiver.place({ ca: other.cert }), "t"), "tls-untrusted");
    receiver.answer = (res) => void res.writeHead(500).end("do not log me");
    assert.equal(await send(receiver.place(), "t"), "status-500");
  });
});

test("a client that names a bundle which is gone is not called under the public roots", () => {
  const backchannelLogout = { uri: "https://portal.example/ended", allowPrivate: false, trust: "internal" };
  assert.equal(logoutPlaceOf({ backchannelLogout }, []), "trust-missing");
  assert.deepEqual(logoutPlaceOf({ backchannelLogout }, [{ name: "internal", roots: ["a", "b"] }]), {
    uri: "https://portal.example/ended",
    allowPrivate: false,
    ca: "a\nb",
  });
  assert.equal(logoutPlaceOf({}, []), "none");
  assert.equal(logoutPlaceOf(undefined, []), "missing");
});

test("pauses grow fourfold to an hour, half of each by chance", () => {
  const [low, high] = [0, 255].map((byte) => ({ bytes: (length: number) => new Uint8Array(length).fill(byte) }));
  assert.ok(low !== undefined && high !== undefined);
  assert.deepEqual(
    [1, 2, 3, 7, 40].map((attempts) => pauseMs(attempts, low)),
    [2_500, 10_000, 40_000, 1_800_000, 1_800_000],
  );
  assert.equal(pauseMs(7, high), 3_600_000);
});

forEachDialect((_dialect, open) => {
  const clock = standingClock();
  const receiver = new Receiver();
  let store: Store<PeopleTestCommands>;
  let ofAnotherNode: Store<PeopleTestCommands>;
  before(async () => {
    const options = { commands: commandsUrl, clock, place: open.newPlace() };
    store = await open<PeopleTestCommands>(options);
    ofAnotherNode = await open<PeopleTestCommands>(options);
    await receiver.start();
  });
  after(() => receiver.stop());

  const dialled = createSendLogout(createDialer());
  let places: TellParts["placeOf"] = () => receiver.place();
  const tell = (using = store) =>
    tellClients({
      ...place,
      issuer,
      store: using,
      send: dialled,
      signer: () => key,
      placeOf: (client) => places(client),
      clock,
      random,
    });
  let names = 0;
  /** Ends a session that these clients had tokens of. */
  const ended = async (...clients: readonly string[]) => {
    const { user } = await addTestUser(store, `told${names++}`, clock.now());
    const session = await store.run("startSession", newSession(user, makeSecret(random)));
    assert.ok(session);
    for (const client of clients) await store.run("noteSessionClient", { ...place, sid: session.sid, client });
    await store.run("endSession", { ...place, sid: session.sid, actor: `user:${user}`, why: "logout" });
    return { user, sid: session.sid };
  };
  const records = async () => {
    const { rows } = await store.run("claimOutbox", { node: "test", limit: 1_000, leaseMs: 1_000 });
    return rows.filter(({ action }) => action === "session.tell").map(({ object, facts }) => ({ object, ...facts }));
  };
  const idOf = (token: string | undefined) =>
    String(JSON.parse(Buffer.from(token?.split(".")[1] ?? "", "base64url").toString())["jti"]);
  const fresh = () => {
    receiver.tokens.length = 0;
    receiver.answer = (res) => void res.end();
    places = () => receiver.place();
  };

  test("a client is told once of an end, by a token jose verifies, and it is a record", async () => {
    fresh();
    const { user, sid } = await ended("portal");
    assert.equal(await tell(), 1);
    const [token = "", ...more] = receiver.tokens;
    assert.deepEqual(more, []);
    const { payload, protectedHeader } = await jwtVerify(token, jwks, {
      issuer,
      audience: "portal",
      typ: "logout+jwt",
      currentDate: new Date(clock.now()),
      requiredClaims: ["iat", "jti", "events"],
    });
    assert.deepEqual(protectedHeader, { alg: "ES256", typ: "logout+jwt", kid: key.kid });
    const { iat = 0, exp = 0, jti, ...claims } = payload;
    assert.deepEqual(claims, {
      iss: issuer,
      sub: user,
      aud: "portal",
      events: { [backchannelLogoutEvent]: {} },
      sid,
    });
    assert.equal(exp - iat, 120);
    assert.ok(jti);
    assert.deepEqual((await records()).at(-1), {
      object: `user/${user}`,
      session: sid,
      client: "portal",
      outcome: "delivered",
      attempt: 1,
    });
    clock.move(40 * 86_400_000);
    assert.equal(await tell(), 0, "never again");
    assert.equal(receiver.tokens.length, 1);
    assert.deepEqual(await store.run("listUndelivered", place), []);
  });

  test("every client of a session is told, whoever ended it", async () => {
    fresh();
    const { user } = await addTestUser(store, `told${names++}`, clock.now());
    const session = await store.run("startSession", newSession(user, makeSecret(random)));
    for (const client of ["portal", "shop"])
      await store.run("noteSessionClient", { ...place, sid: session?.sid ?? "", client });
    await store.run("disableUser", { ...place, user, actor: "operator:test", reason: "left" });
    assert.equal(await tell(), 2);
    assert.equal(receiver.tokens.length, 2);
  });

  test("a client that fails is tried again with growing pauses and the same token id, eight times, and then an operator sees it", async () => {
    fresh();
    receiver.answer = (res) => void res.writeHead(503).end();
    const { user, sid } = await ended("portal");
    for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
      assert.equal(await tell(), 0);
      assert.equal(receiver.tokens.length, attempt);
      const [row, ...others] = await store.run("listUndelivered", place);
      assert.deepEqual(others, []);
      assert.deepEqual(
        { ...row, nextAt: null },
        {
          ...{ session: sid, user, client: "portal", attempts: attempt, why: "status-503", nextAt: null },
          state: attempt < attemptsMax ? "waiting" : "failed",
          endedAt: row?.endedAt,
        },
      );
      assert.equal(await tell(), 0);
      assert.equal(receiver.tokens.length, attempt, "not before its time");
      clock.move(3_600_000);
    }
    assert.equal(await tell(), 0);
    assert.equal(receiver.tokens.length, attemptsMax, "nor after the last");
    assert.equal(new Set(receiver.tokens.map(idOf)).size, 1, "one id, so that who counts ids acts once");
    const outcomes = (await records()).slice(-attemptsMax).map((record) => Reflect.get(record, "outcome"));
    assert.deepEqual(outcomes, [...Array.from({ length: attemptsMax - 1 }, () => "retry"), "failed"]);
    while ((await store.run("purgePeople", null)) > 0);
    assert.equal((await store.run("listUndelivered", place)).length, 1, "it is seen for 30 days");
    clock.move(31 * 86_400_000);
    while ((await store.run("purgePeople", null)) > 0);
    assert.deepEqual(await store.run("listUndelivered", place), []);
  });

  test("two control nodes at work tell a client once", async () => {
    fresh();
    for (let round = 0; round < 5; round += 1) await ended("portal");
    const told = await Promise.all([store, ofAnotherNode, store, ofAnotherNode].map((one) => tell(one)));
    assert.equal(
      told.reduce((sum, count) => sum + count, 0),
      5,
    );
    assert.equal(receiver.tokens.length, 5);
    assert.equal(new Set(receiver.tokens.map(idOf)).size, 5);
  });

  test("what a node had claimed when it died is told by another after the lease, and what the dead one says later counts for nothing", async () => {
    fresh();
    await ended("portal");
    const claim = { ...place, lease: "of-the-dead", leaseMs, clientsMax: 32, rowsMax: 8 };
    const [held] = await store.run("claimLogouts", claim);
    assert.ok(held);
    assert.equal(await tell(), 0, "it is held");
    clock.move(leaseMs);
    assert.equal(await tell(), 1);
    const late = { ...place, ...held, lease: "of-the-dead" };
    const retry = { kind: "retry", why: "status-500", nextAt: clock.now() } as const;
    assert.equal(await store.run("settleLogout", { ...late, outcome: retry }), false);
    assert.equal(await tell(), 0);
    assert.equal(receiver.tokens.length, 1);
  });

  test("an end is not lost to a client that is not served for a while, and nothing is kept for one that does not want to hear", async () => {
    fresh();
    places = (client) => (client === "quiet" ? "none" : "missing");
    await ended("portal", "quiet");
    assert.equal(await tell(), 0);
    assert.deepEqual(
      (await store.run("listUndelivered", place)).map(({ client, why }) => [client, why]),
      [["portal", "client-missing"]],
    );
    clock.move(3_600_000);
    places = () => receiver.place();
    assert.equal(await tell(), 1);
    assert.equal(receiver.tokens.length, 1);
    clock.move(86_400_000);
    assert.equal(await tell(), 0);
  });

  test("a client with a thousand ends to hear of holds up nobody else", async () => {
    fresh();
    for (let count = 0; count < 12; count += 1) await ended("crowd");
    await ended("portal");
    assert.equal(await tell(), 9, "eight of the crowd, and the one behind them");
    assert.equal(await tell(), 4);
  });

  test("without a key that may sign nothing is claimed", async () => {
    fresh();
    await ended("portal");
    const parts = { ...place, issuer, store, send: dialled, placeOf: places, clock, random };
    assert.equal(await tellClients({ ...parts, signer: () => null }), 0);
    assert.equal(await tell(), 1);
  });
});
