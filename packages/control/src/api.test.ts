import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type Actor, type AdminActions, AdminFault } from "./admin/actions.ts";
import type { AdminRoute } from "./admin/route.ts";
import { type AdminApiPorts, createAdminApi } from "./admin/serve-api.ts";
import { adminRoutes } from "./api.ts";

interface Seen {
  readonly calls: string[];
  readonly actors: Actor[];
  readonly reads: { readonly actor: Actor; readonly action: string; readonly object: string; readonly asked: object }[];
  readonly refusals: { readonly actor: Actor; readonly action: string; readonly id: string; readonly code: string }[];
  readonly faults: unknown[];
}

/** Every action answers with its own name; whatever is called is seen. */
function api(ports: Partial<AdminApiPorts> = {}): { fetch(request: Request): Promise<Response>; readonly seen: Seen } {
  const seen: Seen = { calls: [], actors: [], reads: [], refusals: [], faults: [] };
  // A proxy has every method of the interface, also those added later.
  const actions = new Proxy({} as AdminActions, {
    get: (_target, name) => async (first: unknown) => {
      seen.calls.push(String(name));
      if (typeof first === "string") seen.actors.push(first as Actor);
      return { did: String(name) };
    },
  });
  const { fetch } = createAdminApi({
    actions,
    authenticate: async (request) =>
      request.headers.get("authorization") === "yes"
        ? { kind: "operator", id: "ada", kid: "k", roles: ["admin"] }
        : { kind: "refused", code: "unauthenticated", headers: { "www-authenticate": 'DPoP error="use_dpop_nonce"' } },
    rolesNow: async () => ["admin"],
    recordRead: async (actor, action, object, asked) => {
      seen.reads.push({ actor, action, object, asked });
    },
    recordRefusal: async (actor, refused) => {
      seen.refusals.push({ actor, ...refused });
    },
    hold: async () => null,
    fault: (error) => seen.faults.push(error),
    ...ports,
  });
  return { fetch, seen };
}

const statuses = {
  "bad-request": 400,
  "too-large": 413,
  "not-found": 404,
  conflict: 409,
  "too-many": 429,
  "not-permitted": 403,
  unreachable: 504,
  unavailable: 503,
} as const;

const kid = "k".repeat(43);
const crossing = "gw-1-01KAMZZZZZ0000000000000000";
const idOf = {
  "/keys/:id": kid,
  "/crossings/": crossing,
  "/payloads/": crossing,
  "/users/": `usr_${"u".repeat(22)}`,
  "/sessions/": `ses_${"s".repeat(22)}`,
  "/v1/api-keys/": "3f9a01c2d4",
  "/findings/": "fnd-01KAMZZZZZ0000000000000000",
};

function pathOf({ path }: Pick<AdminRoute, "path">): string {
  const found = Object.entries(idOf).find(([part]) => path.includes(part));
  const id = found === undefined ? "orders-to-billing" : found[1];
  return `https://admin.test${path.replace(":id", id)}`;
}

const explained = { from: "orders", operation: "billing:invoice.read" };
/** A body that any route that changes something takes. */
function bodyOf({ path, method }: Pick<AdminRoute, "path" | "method">): string | null {
  if (method === "GET") return null;
  if (path === "/v1/explain")
    return JSON.stringify({ ...explained, country: "DE", risk: 50, riskFactors: ["old-log-in"] });
  if (path.includes("/estate/")) return JSON.stringify({ files: { "sallyport.yaml": "estate: shop\n" } });
  if (path.includes("/join-tokens")) return JSON.stringify({ lifetimeMs: 60_000 });
  if (path === "/v1/audit/records") return JSON.stringify({ where: { token: ["a.b.c"], caller: ["orders"] } });
  if (path === "/v1/audit/tail") return JSON.stringify({ where: { caller: ["orders"] } });
  if (path === "/v1/audit/edges") return JSON.stringify({ from: 0, to: 60_000 });
  if (path === "/v1/audit/index/rebuild") return "{}";
  if (path.endsWith("/release")) return JSON.stringify({ reason: "the case is over" });
  if (path === "/v1/holds") return JSON.stringify({ id: "case-1", owner: "legal", reason: "a case" });
  if (path === "/v1/erasures") return JSON.stringify({ subject: "c-1017", reason: "asked to" });
  if (path.includes("/payload")) return JSON.stringify({ reason: "complaint 88" });
  if (path === "/v1/observed") return JSON.stringify({ sinceMs: 1 });
  if (path === "/v1/revocations")
    return JSON.stringify({ environment: "production", kind: "jti", value: "x", reason: "leaked" });
  if (path.endsWith("/api-keys"))
    return JSON.stringify({
      environment: "production",
      integrations: ["a-to-b"],
      lifetimeMs: 60_000,
      reason: "legacy",
    });
  if (path.endsWith("/clients/:id/keys")) return JSON.stringify({ jwk: { kty: "EC" }, reason: "new host" });
  if (path.endsWith("/keys/end")) return JSON.stringify({ kid, reason: "host gone" });
  if (path.endsWith("/secrets/end")) return JSON.stringify({ secret: "3f9a01c2d4", reason: "host gone" });
  if (path === "/v1/users") return JSON.stringify({ environment: "production", name: "anna" });
  if (path.endsWith("/link")) return JSON.stringify({ provider: "corp", subject: "s1", reason: "ticket 4711" });
  if (path.endsWith("/withdraw")) return JSON.stringify({ client: "portal", reason: "asked for it" });
  if (path === "/v1/tokens/inspect") return JSON.stringify({ token: "a.b.c" });
  if (path === "/v1/tokens/issue")
    return JSON.stringify({ client: "orders", to: "billing", jkt: kid, reason: "ticket 4711" });
  if (path.includes("/alerts/")) return JSON.stringify({ reason: "mended" });
  if (path === "/v1/policy/replay") return JSON.stringify({ files: { "sallyport.yaml": "estate: shop\n" } });
  if (path.endsWith("/replay")) return JSON.stringify({ fromIndex: 0, reason: "new index" });
  if (path.includes("/exports/")) return JSON.stringify({ reason: "maintenance" });
  if (path === "/v1/backtests") return JSON.stringify({ rule: "replay", sinceMs: 1 });
  if (path.includes("/findings/") || path.includes("/rules/")) return JSON.stringify({ reason: "looked" });
  if (path === "/v1/data-encryption-keys/rotate") return JSON.stringify({ reason: "the yearly change" });
  if (path === "/v1/keys/rotate") return JSON.stringify({ environment: "production" });
  if (path.includes("/gateways/") || path === "/v1/restore/confirm") return JSON.stringify({ reason: "stolen" });
  return JSON.stringify({ environment: "production", reason: "incident" });
}

function call(route: Pick<AdminRoute, "path" | "method">, changes: RequestInit = {}): Request {
  return new Request(pathOf(route), {
    method: route.method,
    headers: { authorization: "yes" },
    body: bodyOf(route),
    ...changes,
  });
}

const changing = adminRoutes.filter(({ audit }) => audit === "outbox");
interface Problem {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly detail?: string;
}

async function problemOf(response: Response): Promise<Problem> {
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  // The next assertions judge what it holds.
  return (await response.json()) as Problem;
}

test("every route has an audit action of its own, and the object of every read is in the form of the log", () => {
  // docs/formats/leaf.md "Forms".
  const actionForm = /^(?=.{1,127}$)[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*$/;
  const objectForm = /^(?=.{1,255}$)[a-z][a-z0-9-]*(?:\/[A-Za-z0-9][A-Za-z0-9._:@-]*)*$/;
  assert.ok(adminRoutes.length > 10);
  for (const route of adminRoutes) {
    assert.match(route.action, actionForm);
    if (route.audit === "appended") assert.match(route.object(crossing), objectForm);
    assert.equal(route.path.includes(":"), route.id !== undefined, `${route.path} judges its id`);
  }
  for (const name of ["action", "path"] as const) {
    const values = adminRoutes.map((route) => `${name === "path" ? route.method : ""} ${route[name]}`);
    assert.equal(new Set(values).size, values.length);
  }
});

test("the table of docs/admin-api.md is the table of the code, and every refusal code is on the page", () => {
  const page = readFileSync(new URL("../../../docs/admin-api.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| `((?:GET|POST) [^`]+)` \| `([^`]+)` \| (\w+) \| `[a-z-]+` \|$/gm)].map(
    ([, ...row]) => row,
  );
  assert.deepEqual(
    rows,
    adminRoutes.map(({ method, path, action, audit }) => [`${method} ${path}`, action, audit]),
  );
  for (const [code, status] of Object.entries(statuses)) assert.ok(page.includes(`| \`${code}\` | ${status} |`), code);
});

test("whatever changes state is a POST under the outbox; what is appended calls nothing that changes state", () => {
  for (const route of adminRoutes) if (route.method === "GET") assert.equal(route.audit, "appended");
  assert.deepEqual(
    adminRoutes.filter(({ method, audit }) => method === "POST" && audit === "appended").map(({ action }) => action),
    [
      ...["estate.plan", "observe.read", "crossing.explain"],
      // A sink's place is a file of this control node, which no transaction of the store covers.
      ...["export.test", "export.pause", "export.resume", "export.replay"],
      ...["payload.read", "record.search", "record.follow", "index.rebuild", "edge.read", "token.inspect"],
      "finding.backtest",
      ...["alert.test", "alert.replay", "policy.replay"],
    ],
  );
});

for (const route of adminRoutes) {
  test(`${route.method} ${route.path} is done for a proven operator, as that operator, and recorded as ${route.action}`, async () => {
    const { fetch, seen } = api();
    const response = await fetch(call(route));
    assert.equal(response.status, 200, await response.clone().text());
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(seen.calls.length, 1);
    if (route.audit === "outbox") assert.deepEqual(seen.actors, ["operator:ada"]);
    else
      assert.deepEqual(
        [seen.reads.length, seen.reads[0]?.actor, seen.reads[0]?.action],
        [1, "operator:ada", route.action],
      );
  });

  test(`${route.method} ${route.path} without a proven operator is 401, does nothing and reads no body`, async () => {
    const { fetch, seen } = api();
    let pulled = 0;
    const endless = new ReadableStream(
      {
        pull(controller) {
          pulled += 1;
          controller.enqueue(new Uint8Array(65_536));
        },
      },
      { highWaterMark: 0 },
    );
    const body = route.method === "GET" ? {} : { body: endless, duplex: "half" };
    const response = await fetch(new Request(pathOf(route), { method: route.method, ...body } as RequestInit));
    assert.equal(response.status, 401);
    assert.equal((await problemOf(response)).code, "unauthenticated");
    assert.match(response.headers.get("www-authenticate") ?? "", /use_dpop_nonce/);
    assert.deepEqual([seen.calls, seen.reads, pulled], [[], [], 0]);
  });
}

test("the table is the only way in: other methods, near paths and HEAD do nothing that changes state", async () => {
  const { fetch, seen } = api();
  for (const route of adminRoutes) {
    for (const method of ["PUT", "DELETE", "PATCH", "OPTIONS", route.method === "GET" ? "POST" : "GET", "HEAD"]) {
      if (adminRoutes.some((other) => other.path === route.path && other.method === method)) continue;
      if (method === "HEAD" && adminRoutes.some((other) => other.path === route.path && other.method === "GET"))
        continue;
      const response = await fetch(new Request(pathOf(route), { method, headers: { authorization: "yes" } }));
      assert.equal(response.status, 404, `${method} ${route.path}`);
    }
    for (const path of [`${pathOf(route)}/`, `${pathOf(route)}x/y`, pathOf(route).replace("/v1/", "//v1/")]) {
      const response = await fetch(new Request(path, { method: route.method, headers: { authorization: "yes" } }));
      assert.equal(response.status, 404, path);
    }
  }
  assert.deepEqual(seen.calls, []);
});

test("while the log is behind, nothing that changes state is done, and reading still is", async () => {
  const { fetch, seen } = api({ hold: async () => "the audit backlog is 7 s old" });
  for (const route of changing) {
    const response = await fetch(call(route));
    assert.equal(response.status, 503);
    const problem = await problemOf(response);
    assert.equal(problem.code, "unavailable");
    assert.match(problem.title, /7 s/);
  }
  assert.deepEqual(seen.calls, []);
  assert.equal((await fetch(call({ method: "GET", path: "/v1/status" }))).status, 200);
});

test("what was asked is in the record of the read; of a token only its digest", async () => {
  const { fetch, seen } = api();
  for (const route of adminRoutes.filter(({ audit }) => audit === "appended")) await fetch(call(route));
  const asked = Object.fromEntries(seen.reads.map((read) => [read.action, read.asked]));
  assert.deepEqual(asked["observe.read"], { sinceMs: 1 });
  assert.deepEqual(asked["estate.plan"], { files: 1 });
  assert.deepEqual(asked["crossing.explain"], {
    environment: "production",
    from: "orders",
    operation: "billing:invoice.read",
  });
  assert.match(JSON.stringify(asked["token.inspect"]), /^\{"sha256":"[0-9a-f]{64}"\}$/);
  const { where } = asked["record.search"] as { readonly where: string };
  assert.match(where, /^token=sha256:[0-9a-f]{64} caller=orders$/, "a token is put on record by its digest");
  assert.deepEqual(asked["user.list"], {});
});

test("attack: an operator tries acts until one is done: each that is refused is on record, with its code and as that operator", async () => {
  const not = (code: AdminFault["code"]) => () => Promise.reject(new AdminFault(code, "no"));
  const actions = { killKey: not("not-found"), revokeGateway: () => Promise.reject(new Error("io")) };
  const { fetch, seen } = api({ actions: actions as unknown as AdminActions });
  const kill = { method: "POST", path: "/v1/keys/:id/kill" } as const;
  assert.equal((await fetch(call(kill))).status, 404);
  assert.equal((await fetch(call(kill, { body: "{" }))).status, 400);
  assert.equal((await fetch(call({ method: "POST", path: "/v1/gateways/:id/revoke" }))).status, 500);
  const by = { actor: "operator:ada" } as const;
  assert.deepEqual(seen.refusals, [
    { ...by, action: "key.kill", id: kid, code: "not-found" },
    { ...by, action: "key.kill", id: kid, code: "bad-request" },
    { ...by, action: "gateway.revoke", id: "orders-to-billing", code: "internal" },
  ]);
  const held = api({ hold: async () => "the audit backlog is 7 s old", recordRefusal: not("unavailable") });
  const response = await held.fetch(call(kill));
  assert.equal((await problemOf(response)).code, "unavailable", "a refusal that cannot be recorded is a refusal");
  assert.deepEqual([held.seen.calls.length, held.seen.faults.length], [0, 1]);
});

test("a read that cannot be recorded is not done", async () => {
  const { fetch, seen } = api({ recordRead: () => Promise.reject(new Error("disk full at /var/secret")) });
  for (const route of adminRoutes.filter(({ audit }) => audit === "appended")) {
    const response = await fetch(call(route));
    assert.equal(response.status, 500);
    assert.doesNotMatch(await response.text(), /disk|secret/);
  }
  assert.deepEqual(seen.calls, []);
});

test("an id of another kind is refused with what one looks like and where to find it", async () => {
  const { fetch, seen } = api();
  const slips: readonly [string, string, RegExp, RegExp][] = [
    ["GET", "/v1/crossings/gw-nope", /not the id of a crossing/, /gw-1-01KAMZZZZZ0000000000000000.*Sallyport-Crossing/],
    ["POST", "/v1/keys/leaked/kill", /not the kid of a key/, /43 characters of base64url/],
    ["POST", "/v1/integrations/Orders/suspend", /not a name/, /small letters/],
  ];
  for (const [method, path, says, fix] of slips) {
    const response = await fetch(call({ method: method as AdminRoute["method"], path }));
    assert.equal(response.status, 400);
    const { title, detail } = await problemOf(response);
    assert.match(title, says);
    assert.match(detail ?? "", fix);
  }
  assert.deepEqual(seen.calls, []);
});

test("a bad body is refused with its place, before anything is done", async () => {
  const { fetch, seen } = api();
  const suspend = { method: "POST", path: "/v1/integrations/:id/suspend" } as const;
  const revocations = { method: "POST", path: "/v1/revocations" } as const;
  const explain = { method: "POST", path: "/v1/explain" } as const;
  const bad: readonly [Pick<AdminRoute, "path" | "method">, string | Uint8Array, RegExp][] = [
    [suspend, "", /^reason: /],
    [suspend, '{"reason":"x","environment":"Production"}', /^environment: /],
    [suspend, '{"reason":""}', /^reason: /],
    [suspend, '{"reason":"x","force":true}', /force/],
    [explain, JSON.stringify({ ...explained, country: "de" }), /^country: /],
    [explain, JSON.stringify({ ...explained, risk: 101 }), /^risk: /],
    [explain, JSON.stringify({ ...explained, riskFactors: ["x"] }), /^riskFactors.0: /],
    [suspend, "[]", /^body: /],
    [suspend, "{", /not JSON/],
    [suspend, new Uint8Array([0x22, 0xff, 0x22]), /not UTF-8/],
    [revocations, '{"kind":"everything","value":"x","reason":"y"}', /^kind: /],
    [revocations, `{"kind":"jti","value":"${"x".repeat(8_193)}","reason":"y"}`, /^value: /],
    [{ method: "POST", path: "/v1/groups/:id/join-tokens" }, '{"lifetimeMs":0}', /^lifetimeMs: /],
    [{ method: "POST", path: "/v1/estate/apply" }, '{"files":{"a.yaml":1}}', /^files\.a\.yaml: /],
  ];
  for (const [route, body, place] of bad) {
    const response = await fetch(call(route, { body: body as string }));
    assert.equal(response.status, 400, String(body));
    assert.match((await problemOf(response)).title, place);
  }
  assert.deepEqual(seen.calls, []);
});

test("attack: an id that is not of its kind is refused before it is recorded or passed on, and is not repeated", async () => {
  const { fetch, seen } = api();
  const evil = encodeURIComponent('"},{"admin":true}');
  for (const route of adminRoutes.filter(({ id }) => id !== undefined)) {
    for (const id of [evil, "..", "%2e%2e", "a".repeat(400), "Ada@acme.example", "%00"]) {
      const path = `https://admin.test${route.path.replace(":id", id)}`;
      const response = await fetch(
        new Request(path, { method: route.method, headers: { authorization: "yes" }, body: bodyOf(route) }),
      );
      assert.ok(response.status === 400 || response.status === 404, `${path}: ${response.status}`);
      assert.doesNotMatch(await response.text(), /admin":true|acme/);
    }
  }
  assert.deepEqual([seen.calls, seen.reads], [[], []]);
});

test("attack: a body without end is cut at the bound, also without a declared length", async () => {
  const { fetch, seen } = api();
  let sent = 0;
  const endless = new ReadableStream({
    pull(controller) {
      sent += 1024 * 1024;
      controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20));
    },
  });
  const apply = { method: "POST", path: "/v1/estate/apply" } as const;
  const response = await fetch(call(apply, { body: endless, duplex: "half" } as RequestInit));
  assert.equal(response.status, 413);
  assert.equal((await problemOf(response)).code, "too-large");
  assert.ok(sent <= 20 * 1024 * 1024, `${sent} bytes were read`);
  assert.deepEqual(seen.calls, []);
});

test("what keeps an action from being done has one status each, with the fix; anything else is an internal fault that says nothing", async () => {
  for (const [code, status] of Object.entries(statuses) as [AdminFault["code"], number][]) {
    const actions = { status: () => Promise.reject(new AdminFault(code, `why ${code}`, "do this")) };
    const { fetch, seen } = api({ actions: actions as unknown as AdminActions });
    const response = await fetch(call({ method: "GET", path: "/v1/status" }));
    assert.equal(response.status, status);
    const problem = await problemOf(response);
    assert.deepEqual(
      [problem.code, problem.status, problem.title, problem.detail],
      [code, status, `why ${code}`, "do this"],
    );
    assert.deepEqual(seen.faults, []);
  }
  const actions = { status: () => Promise.reject(new Error("password hunter2")) };
  const { fetch, seen } = api({ actions: actions as unknown as AdminActions });
  const response = await fetch(call({ method: "GET", path: "/v1/status" }));
  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /hunter2/);
  assert.equal(seen.faults.length, 1);
});

test("when operators cannot be judged nobody is let in", async () => {
  const { fetch, seen } = api({ authenticate: () => Promise.reject(new Error("no keys")) });
  for (const route of adminRoutes) assert.equal((await fetch(call(route))).status, 500);
  assert.deepEqual([seen.calls, seen.reads], [[], []]);
});
