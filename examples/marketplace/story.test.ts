import assert from "node:assert/strict";
import { test } from "node:test";
import { type Reply, replyOf } from "./call.ts";
import { type CrossingRecord, formatLine, Story } from "./story.ts";

const problem = JSON.stringify({ code: "not-granted" });
const denial: Reply = replyOf({
  status: 403,
  text: problem,
  latencyMs: 2,
  headers: {
    "content-type": "application/problem+json",
    "sallyport-crossing": "gw-1",
    "sallyport-verdict": "deny; by=gateway; code=not-granted",
  },
});
const answer: Reply = replyOf({ status: 200, text: "{}", latencyMs: 2, headers: { "sallyport-crossing": "gw-2" } });
const denied: CrossingRecord = { verdict: "deny", code: "not-granted", stage: "bind", outcome: "denied" };
const passed: CrossingRecord = { verdict: "allow", code: null, stage: null, outcome: "success" };

function told(record: CrossingRecord | Error) {
  const printed: string[] = [];
  const story = new Story({
    record: async () => {
      if (record instanceof Error) throw record;
      return record;
    },
    print: (line) => printed.push(line),
    now: () => 0,
  });
  let reached = 0;
  const counter = { name: "billing", reached: () => reached };
  const deny = (reply: Reply, moves = 0) =>
    story.denied({
      caption: "a grant that is missing",
      send: async () => {
        reached += moves;
        return reply;
      },
      counter,
      status: 403,
      publicCode: "not-granted",
      code: "not-granted",
      stage: "bind",
    });
  const allow = (reply: Reply, moves: number) =>
    story.allowed({
      caption: "a call",
      send: async () => {
        reached += moves;
        return reply;
      },
      counter,
    });
  return { story, printed, deny, allow };
}

test("a denial that answer, counter and record agree on is as promised", async () => {
  const { story, deny, printed } = told(denied);
  await deny(denial);
  assert.equal(story.broken, 0);
  assert.match(printed.join("\n"), /■ deny {2}403 not-granted\s+bind\s+2\.0 ms {2}a grant that is missing/);
});

test("a step that should be refused and is answered breaks the story, with expected and got", async () => {
  const { story, deny, printed } = told(passed);
  await deny(answer, 1);
  assert.equal(story.broken, 1);
  assert.match(printed.join("\n"), /NOT AS PROMISED: status: expected 403, got 200/);
  assert.match(printed.join("\n"), /requests that reached billing: expected 0, got 1/);
});

test("a refusal behind which the provider was reached all the same breaks the story", async () => {
  const { story, deny } = told(denied);
  await deny(denial, 1);
  assert.equal(story.broken, 1);
});

test("a refusal whose record gives another reason breaks the story", async () => {
  const { story, deny, printed } = told({ ...denied, code: "no-route", stage: "route" });
  await deny(denial);
  assert.equal(story.broken, 1);
  assert.match(printed.join("\n"), /code of the record: expected "not-granted", got "no-route"/);
});

test("a refusal without a record breaks the story, and the story goes on", async () => {
  const { story, deny } = told(new Error("the node is away"));
  await deny(denial);
  await story.check("the next step", () => "told");
  assert.equal(story.broken, 1);
  assert.equal(story.lines.length, 2);
});

test("an allowed call that never reached its provider breaks the story", async () => {
  const { story, allow } = told(passed);
  await allow(answer, 1);
  assert.equal(story.broken, 0);
  await allow(answer, 0);
  assert.equal(story.broken, 1);
});

test("a record that had to wait is still judged", async () => {
  const { story } = told(passed);
  await story.denied({
    caption: "while control is away",
    send: async () => denial,
    counter: { name: "billing", reached: () => 0 },
    status: 403,
    publicCode: "not-granted",
    code: "not-granted",
    stage: "bind",
    recordLater: true,
  });
  assert.equal(story.broken, 0);
  await story.settle("records of the time without control");
  assert.equal(story.broken, 1);
});

test("a check that throws breaks the story and says why", async () => {
  const { story, printed } = told(passed);
  await story.check("the log verifies", () => {
    throw new Error("root differs");
  });
  assert.equal(story.broken, 1);
  assert.match(printed.join("\n"), /root differs/);
});

test("a chapter that cannot go on breaks the story, and the next one is told", async () => {
  const { story } = told(passed);
  await story.attempt(async () => {
    throw new Error("no key");
  });
  await story.attempt(() => story.check("the next chapter", () => undefined));
  assert.equal(story.broken, 1);
  assert.equal(story.lines.length, 2);
});

test("after its end no step begins and nothing is printed, so that an interruption is not told as a failure", async () => {
  const { story, printed, allow } = told(passed);
  story.end();
  await assert.rejects(allow(answer, 1), { name: "StoryEnded" });
  await assert.rejects(
    story.attempt(() => story.check("too late", () => undefined)),
    { name: "StoryEnded" },
  );
  assert.deepEqual([story.lines, printed], [[], []]);
});

test("a broken line is marked as one", () => {
  const line = {
    chapter: "",
    kind: "deny",
    caption: "x",
    status: 1,
    code: null,
    stage: null,
    latencyMs: null,
    id: null,
  } as const;
  assert.match(formatLine({ ...line, problems: ["p"] }), /✗/);
});
