// The race harness for devices: many polls, many browsers, on both dialects. One answer, one decision, and nothing of a second use stays alive.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { forEachDialect } from "@sallyport/kernel/store/for-each-dialect.ts";
import type { Store } from "@sallyport/kernel/store/port.ts";
import { dpopProof, type TestAnswer } from "../issuer.test-support.ts";
import { commandsUrl, type PeopleTestCommands } from "../people/people.test-support.ts";
import {
  answer,
  codes,
  type DevicePlace,
  movableClock,
  nonceFor,
  poll,
  post,
  startDevices,
  typeCode,
} from "./device.test-support.ts";

const many = 8;
const times = <T>(make: (n: number) => Promise<T>) => Promise.all(Array.from({ length: many }, (_, n) => make(n)));
const good = (answers: readonly TestAnswer[]) => answers.filter(({ status }) => status === 200);

forEachDialect((_dialect, open) => {
  let at: DevicePlace;
  let store: Store<PeopleTestCommands>;
  const clock = movableClock();
  before(async () => {
    store = await open<PeopleTestCommands>({ commands: commandsUrl, clock });
    at = await startDevices(store, clock);
  });
  after(() => at.estate.close());

  const claimsOf = (one: TestAnswer | undefined) =>
    JSON.parse(Buffer.from(String(one?.body["access_token"]).split(".")[1] ?? "", "base64url").toString());
  const refresh = async (one: TestAnswer | undefined) => {
    const proof = dpopProof(at.estate.holder, `${at.issuer}/token`, await nonceFor(at));
    const refresh_token = String(one?.body["refresh_token"]);
    return post(at, "/token", new URLSearchParams({ grant_type: "refresh_token", refresh_token }), { proof });
  };

  test(`one allowed device code polled ${many} times at once: one answer, and its tokens die with the grant because the code was used again`, async () => {
    const { deviceCode, userCode } = await codes(at);
    await answer((await at.person()).browser, userCode, "allow");
    const nonce = await nonceFor(at);
    const answers = await times(() => poll(at, deviceCode, { nonce }));
    assert.equal(good(answers).length, 1, answers.map(({ text }) => text).join("\n"));
    for (const { status, body } of answers) if (status !== 200) assert.equal(body["error"], "invalid_grant");
    const [grant] = claimsOf(good(answers)[0]).gid;
    const { entries } = await store.run("readRevocations", { tenant: "main", environment: "production", from: 0 });
    assert.deepEqual(
      entries.filter(({ kind, value }) => kind === "grant" && value === grant).map(({ value }) => value),
      [grant],
    );
    assert.equal((await refresh(good(answers)[0])).body["error"], "invalid_grant");
    assert.ok(at.pushes.count > 0);
  });

  test(`${many} browsers of as many people allow and deny one code at once: one decides, and the device hears that one`, async () => {
    for (let round = 0; round < 2; round += 1) {
      const { deviceCode, userCode } = await codes(at);
      const people = [];
      for (let n = 0; n < many; n += 1) people.push(await at.person());
      const pages = await Promise.all(people.map(({ browser }) => typeCode(browser, userCode)));
      const words = people.map((_, n) => (n % 2 === round ? "allow" : "deny"));
      const ends = await Promise.all(
        people.map(({ browser }, n) =>
          browser.submit(pages[n] ?? { status: 0, headers: {}, text: "", location: null }, "/device/decide", {
            answer: words[n] ?? "deny",
          }),
        ),
      );
      const decided = ends.flatMap(({ status }, n) => (status === 200 ? [n] : []));
      assert.equal(decided.length, 1);
      const winner = decided[0] ?? 0;
      clock.move(60_000);
      const heard = await poll(at, deviceCode);
      if (words[winner] === "deny") assert.equal(heard.body["error"], "access_denied");
      else assert.equal(claimsOf(heard).sub, people[winner]?.user);
    }
  });

  test("polls that race the person's yes: nobody hears an error that is none, and the one answer lives", async () => {
    for (let round = 0; round < 4; round += 1) {
      const { deviceCode, userCode } = await codes(at);
      const { browser } = await at.person();
      const page = await typeCode(browser, userCode);
      const nonce = await nonceFor(at);
      const [end, early] = await Promise.all([
        browser.submit(page, "/device/decide", { answer: "allow" }),
        poll(at, deviceCode, { nonce }),
      ]);
      assert.equal(end.status, 200);
      const heard = early.status === 200 ? early : await poll(at, deviceCode);
      if (early.status !== 200) assert.equal(early.body["error"], "authorization_pending");
      assert.equal(heard.status, 200, heard.text);
      assert.equal((await refresh(heard)).status, 200);
    }
  });

  test(`a waiting device that polls ${many} times at once has one answer in time; the others make its interval longer`, async () => {
    const { deviceCode } = await codes(at);
    const nonce = await nonceFor(at);
    const words = (await times(() => poll(at, deviceCode, { nonce }))).map(({ body }) => body["error"]);
    assert.deepEqual(words.sort(), ["authorization_pending", ...Array.from({ length: many - 1 }, () => "slow_down")]);
    clock.move(5_000 + (many - 1) * 5_000 - 2_000);
    assert.equal((await poll(at, deviceCode)).body["error"], "slow_down", "every early poll counted");
  });
});
