// What judging costs at most, and how often texts are found that nobody means harm with. The figures of docs/threats.md are those of this corpus.
import assert from "node:assert/strict";
import { test } from "node:test";
import { threatRules } from "@sallyport/protocol/snapshot/threat-rule.ts";
import { harmlessTexts } from "../testing/harmless-texts.ts";
import { charactersMax, Judge, textsMax } from "./judge.ts";
import type { Kind } from "./texts.ts";

const all = { block: threatRules, shadow: [], except: [] };

function judged(text: string, kind: Kind): Judge {
  const judge = new Judge(all);
  judge.text(text, "body:/a", kind);
  return judge;
}

/** What patterns are made of, again and again: where one of them had to try again from each place, time would grow with the square. */
const seeds = [
  ...[
    "'",
    "' or ",
    `' or ${"a".repeat(64)}(`,
    "/*",
    "--",
    "--\n",
    "/*! ",
    "#",
    "union ",
    "union select a,",
    " or 1111 ",
    "and 1",
  ],
  ...[
    "1 order by 1,2,",
    ";delete from aaaaaaaaaaaaaaaa ",
    "(",
    ") (",
    "\\'",
    "<",
    "<a ",
    "<a on on ",
    "<meta ",
    "j a v a ",
  ],
  ...[
    "data:",
    "{{",
    "{{__class__",
    "$" + "{",
    "$" + "{a:b:-",
    "$" + "{lower:",
    "http://",
    "http://1.1.1.1 ",
    "http://a@",
  ],
  ...["http://[::1 ", "//", "../", "..", "..;", "/etc/", ";cat ", "| ls ", "a`", "$(", "c'a'", "%", "%2541", "\\u0041"],
  ...[
    "&#x41;",
    "&#000000",
    "\\u{0000",
    "\r\n",
    "\naaaa:",
    '"$',
    "a.",
    "a.b ,",
    " ",
    "+",
    "\uff07",
    "\u200b",
    "\u017f",
    "\u0130",
  ],
  ...["constructor", "__proto__", "]["],
];

/** User and system: their sum is counted finely, for a process; each alone, and what is said of a thread, goes by ticks and may be 0 for milliseconds. */
const cpuMs = (work: () => void): number => {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
};

function leastMs(seed: string, characters: number, times: number): number {
  const text = seed.repeat(Math.floor(characters / seed.length));
  const once = () =>
    cpuMs(() => {
      judged(text, "content");
      judged(text, "parameter");
    });
  return Math.min(...Array.from({ length: times }, once));
}

/** Above what is lost to noise; where time grew with the square it would be 64. */
const growthMax = 24;
const noiseMs = 40;

test("attack: no text of the longest kind costs more than in proportion to its length", () => {
  for (const seed of seeds) {
    const few = leastMs(seed, charactersMax / 8, 2);
    const most = growthMax * few + noiseMs;
    let many = leastMs(seed, charactersMax, 2);
    // Whatever else this process did only adds to it: the least of more tries is nearer to the truth, and a square stays one.
    for (let tries = 0; many > most && tries < 8; tries++) many = Math.min(many, leastMs(seed, charactersMax, 1));
    assert.ok(many <= most, `${JSON.stringify(seed)}: ${few} ms, then ${many} ms`);
  }
});

test("attack: as many texts as there may be cost a bounded time each, and then nothing is looked at", () => {
  const judge = new Judge(all);
  for (let i = 0; i < textsMax; i++) judge.text("a'b;c", "body:/*", "content");
  assert.deepEqual([judge.isFull, judge.found], [false, []]);
  judge.text("' or 1=1", "body:/*", "content");
  assert.deepEqual([judge.isFull, judge.found], [true, [{ rule: "not-judged", at: "body:/*" }]]);
});

test("attack: no more characters are judged than there may be, whatever they unfold to", () => {
  const judge = judged("a".repeat(charactersMax), "content");
  assert.equal(judge.isFull, false);
  judge.text("' or 1=1", "body:/b", "content");
  assert.deepEqual(judge.found, [{ rule: "not-judged", at: "body:/b" }]);
});

/** How many of each kind are found, in a parameter and in content: what docs/threats.md says. */
const falseAlarms: Readonly<Record<string, readonly [number, number]>> = {
  names: [0, 0],
  prose: [0, 0],
  otherLanguages: [0, 0],
  contact: [0, 0],
  values: [0, 0],
  markdown: [3, 0],
  code: [2, 1],
  programs: [14, 14],
};

test("texts that nobody means harm with are found no more often than the page says", () => {
  const count = (texts: readonly string[], kind: Kind) => texts.filter((text) => judged(text, kind).found.length > 0);
  for (const [kind, texts] of Object.entries(harmlessTexts))
    assert.deepEqual(
      [count(texts, "parameter").length, count(texts, "content").length],
      falseAlarms[kind],
      `${kind}: ${count(texts, "parameter").join(" | ")}`,
    );
});
