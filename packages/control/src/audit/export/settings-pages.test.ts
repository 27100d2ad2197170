// Pages name every key of a sink and of a notifier, and no other.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { z } from "zod";
import { alertSchema } from "../../watch/alerts/alert-schema.ts";
import { sinkSchema } from "./sink-schema.ts";

const page = (name: string) => readFileSync(new URL(`../../../../../docs/${name}`, import.meta.url), "utf8");

/** Names of all members, at any depth. */
function keysOf(schema: unknown): readonly string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties = {}, oneOf = [], anyOf = [] } = schema as Readonly<Record<string, object & readonly unknown[]>>;
  const own = Object.entries(properties).flatMap(([name, of]) => [name, ...keysOf(of)]);
  return [...new Set([...own, ...[...oneOf, ...anyOf].flatMap(keysOf)])].sort();
}

const words = (text: string) => [...text.matchAll(/`([A-Za-z]+)`/g)].map(([, word = ""]) => word);

for (const [option, schema, own] of [
  ["--exports", sinkSchema, "export.md"],
  ["--alerts", alertSchema, "alerts.md"],
] as const) {
  const keys = keysOf(z.toJSONSchema(schema, { io: "input" }));

  test(`docs/configuration.md names every key of ${option}, and no other`, () => {
    const row = page("configuration.md")
      .split("\n")
      .find((line) => line.startsWith(`| \`serve ${option}`));
    assert.ok(keys.length > 10);
    assert.deepEqual([...new Set(words(row?.split("|")[3] ?? ""))].sort(), keys);
  });

  test(`docs/${own} says of every key of ${option} what it means`, () => {
    const table = page(own)
      .split("\n")
      .filter((line) => /^\| `/.test(line))
      .join("\n");
    for (const key of keys) assert.ok(words(table).includes(key), key);
  });
}
