// Who may: the table of permissions is the table of routes, and an auditor reads the log and does nothing else, however it is asked for.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { adminRoutes } from "../api.ts";
import type { AdminActions } from "./actions.ts";
import {
  decidePermission,
  neededPermissions,
  type OperatorRole,
  operatorRoles,
  parseRoles,
  permissions,
  rolesInAll,
  rolesWith,
} from "./permissions.ts";
import { createAdminApi } from "./serve-api.ts";

const idOf = { "/keys/": "k".repeat(43), "/crossings/": "gw-1-01KAMZZZZZ0000000000000000" } as const;
const samplePath = (path: string) => {
  const [, id = "orders"] = Object.entries(idOf).find(([part]) => path.includes(part)) ?? [];
  return path.replace(":id", id);
};

function apiOf(roles: readonly OperatorRole[]) {
  const seen = { calls: [] as string[], reads: [] as string[], refusals: [] as object[] };
  const actions = new Proxy({} as AdminActions, {
    get: (_target, name) => async () => {
      seen.calls.push(String(name));
      return {};
    },
  });
  const api = createAdminApi({
    actions,
    authenticate: async () => ({ kind: "operator", id: "ada", kid: "k", roles }),
    rolesNow: async () => ["admin"],
    recordRead: async (_actor, action) => {
      seen.reads.push(action);
    },
    recordRefusal: async (actor, refused) => {
      seen.refusals.push({ actor, ...refused });
    },
    hold: async () => null,
    fault: (error) => assert.fail(String(error)),
  });
  return { ...api, seen };
}

test("every action of a route needs one permission, and the table names no other: a new route is nobody's until it is in it", () => {
  assert.deepEqual(Object.keys(neededPermissions).sort(), adminRoutes.map(({ action }) => action).sort());
  for (const action of ["key.melt", "constructor", "__proto__", "toString", ""])
    for (const role of operatorRoles) assert.equal(decidePermission([role], action).kind, "deny", action);
});

test("whatever changes state is an administrator's, whatever a role may read", () => {
  for (const { action, audit } of adminRoutes)
    if (audit === "outbox") {
      assert.equal(neededPermissions[action], "administer", action);
      assert.equal(decidePermission(["auditor", "viewer"], action).kind, "deny", action);
      assert.equal(decidePermission(["admin"], action).kind, "allow", action);
    }
});

test("without a role nothing is permitted", () => {
  for (const { action } of adminRoutes) assert.equal(decidePermission([], action).kind, "deny", action);
});

test("the page says of every action what it needs, and of every role what it gives", () => {
  const page = readFileSync(new URL("../../../../docs/admin-api.md", import.meta.url), "utf8");
  const rows = new Map(
    [...page.matchAll(/^\| `(?:GET|POST) [^`]+` \| `([^`]+)` \| \w+ \| `([a-z-]+)` \|$/gm)].map(([, a, p]) => [a, p]),
  );
  assert.deepEqual(Object.fromEntries(rows), neededPermissions);
  for (const role of operatorRoles) {
    const gives = permissions.filter((permission) => rolesWith(permission).includes(role));
    assert.ok(page.includes(`| \`${role}\` | ${gives.map((one) => `\`${one}\``).join(", ")} |`), role);
  }
});

test("a stored role that nobody knows gives nothing; a key declared twice may do what both allow", () => {
  assert.deepEqual(parseRoles("auditor root"), ["auditor"]);
  assert.deepEqual(parseRoles(""), []);
  assert.deepEqual(rolesInAll([["admin"], ["auditor"]]), ["auditor"]);
  assert.deepEqual(rolesInAll([["viewer"], ["auditor"]]), []);
  assert.deepEqual(rolesInAll([["admin"], ["admin", "viewer"]]), ["admin"]);
  assert.deepEqual(rolesInAll([]), []);
});

test("attack: an auditor calls every route that is not theirs: 403 that names the permission and who can give it, on record, no body read", async () => {
  for (const route of adminRoutes.filter(({ action }) => neededPermissions[action] !== "read-audit")) {
    const { fetch, seen } = apiOf(["auditor"]);
    let pulled = 0;
    const pull = (controller: ReadableStreamDefaultController) => {
      pulled += 1;
      controller.enqueue(new Uint8Array(65_536));
    };
    const body =
      route.method === "GET"
        ? {}
        : { body: new ReadableStream({ pull }, { highWaterMark: 0 }), duplex: "half" as const };
    const request = new Request(`https://admin.test${samplePath(route.path)}`, {
      method: route.method,
      ...body,
    } as RequestInit);
    const response = await fetch(request);
    assert.equal(response.status, 403, route.action);
    const problem = (await response.json()) as {
      readonly code: string;
      readonly title: string;
      readonly detail: string;
    };
    assert.equal(problem.code, "not-permitted");
    assert.match(
      problem.title,
      new RegExp(`^${route.action} needs the permission ${neededPermissions[route.action]},`),
    );
    assert.match(problem.detail, /operators\.ada\.roles/);
    assert.deepEqual([seen.calls, seen.reads, pulled], [[], [], 0], route.action);
    assert.deepEqual(seen.refusals, [{ actor: "operator:ada", action: route.action, id: "", code: "not-permitted" }]);
  }
});

test("attack: an auditor reaches a changing route by another method, an override header, a doubled slash, an encoding, a dot segment or its read neighbour", async () => {
  const { fetch, seen } = apiOf(["auditor"]);
  const changing = adminRoutes.filter(({ action }) => neededPermissions[action] === "administer");
  for (const route of changing) {
    const path = samplePath(route.path);
    const spellings = [
      `${path}/`,
      path.replace("/v1/", "//v1/"),
      path.replace("/v1/", "/V1/"),
      path.replace("/v1/", "/v1/audit/../"),
      path.replace("/v1/", "/v1/./"),
      path.replace("/v1/", "/v1/%2e/"),
      path.replace(
        /\/(\w)(\w*)$/,
        (_all, first: string, rest: string) => `/%${first.charCodeAt(0).toString(16)}${rest}`,
      ),
      `${path}?action=record.search`,
      `${path};/v1/audit/records`,
      `${path}#/v1/audit/records`,
    ];
    for (const spelling of [path, ...spellings])
      for (const method of ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE"]) {
        const headers = { "x-http-method-override": route.method, "x-original-url": path, "x-rewrite-url": path };
        const response = await fetch(new Request(`https://admin.test${spelling}`, { method, headers }));
        // A spelling may be that of a route an auditor may read, and of no other.
        if (response.status === 200) continue;
        assert.ok([403, 404, 400].includes(response.status), `${method} ${spelling}: ${response.status}`);
      }
  }
  assert.deepEqual(
    seen.reads.filter((action) => neededPermissions[action] !== "read-audit"),
    [],
  );
  // A change is not recorded as a read: were one done, there would be more calls than reads.
  assert.equal(seen.calls.length, seen.reads.length);
});
