// What a Redis URL may say, and what it can never switch off: docs/limits.md "Across gateways".
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRedisUrl } from "./redis-url.ts";

test("a URL names host, login, database and how long a crossing waits", () => {
  assert.deepEqual(parseRedisUrl("rediss://gate:p%40ss@redis.internal:6380/2?wait=5ms"), {
    host: "redis.internal",
    port: 6380,
    username: "gate",
    password: "p@ss",
    database: 2,
    tls: { ca: null },
    waitMs: 5,
  });
  const plain = parseRedisUrl("redis://127.0.0.1");
  assert.deepEqual([plain.port, plain.tls, plain.database, plain.waitMs], [6379, false, 0, 20]);
});

test("attack: no URL leaves TLS out to another machine, and no message holds the password", () => {
  for (const url of [
    "redis://user:hunter2@redis.internal:6379",
    "redis://user:hunter2@127.0.0.1.evil.example",
    "http://user:hunter2@127.0.0.1",
    "rediss://user:hunter2@redis.internal?rejectUnauthorized=false",
    "rediss://user:hunter2@redis.internal?ca=/nowhere/ca.pem",
    "rediss://user:hunter2@redis.internal?wait=5s",
    "rediss://user:hunter2@redis.internal?wait=0ms",
    "rediss://user:hunter2@redis.internal/name",
    "not a url hunter2",
  ])
    assert.throws(
      () => parseRedisUrl(url),
      (cause: Error) => cause.message.startsWith("the Redis URL ") && !cause.message.includes("hunter2"),
      url,
    );
});
