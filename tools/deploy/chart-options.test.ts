// The chart has a value for what an installation that has grown needs of `serve`: stores that nodes share, folders of keys, places outside.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { parse } from "yaml";
import { chart, type Manifest, renderChart } from "./chart.ts";
import { everything, identityUrl, rendered } from "./chart-values.ts";

const root = dirname(dirname(import.meta.dirname));
const folder = mkdtempSync(join(tmpdir(), "sallyport-chart-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Mount {
  readonly name: string;
  readonly mountPath: string;
}

interface Container {
  readonly name: string;
  readonly args: readonly string[];
  readonly command: readonly string[];
  readonly env?: readonly { name: string; valueFrom: { secretKeyRef: { name: string; key: string } } }[];
  readonly volumeMounts: readonly Mount[];
}

interface Pod {
  readonly initContainers: readonly Container[];
  readonly containers: readonly [Container];
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[];
}

type Role = "control" | "gateway";

/** The pod of a role. What the chart made; shapes are judged by the compiler in deploy.test.ts. */
function podOf(objects: readonly Manifest[], role: Role): Pod {
  const set = objects.find(({ kind, metadata }) => kind === "StatefulSet" && metadata.name === `edge-${role}`);
  return (set as unknown as { spec: { template: { spec: Pod } } }).spec.template.spec;
}

const namesOf = (args: readonly string[]) =>
  args.flatMap((arg) => /^--[a-z-]+/.exec(arg) ?? []).filter((name) => name !== "--json");

const grown = rendered(everything);

/** Options without a value of their own, and why. */
const left: Readonly<Record<string, string>> = {
  "--group": "of role all alone",
  "--watch": "a changed estate restarts control",
  "--quiet": "logs are lines for a collector",
  "--snapshot-lifetime": "extraArgs",
  "--server-timing": "extraArgs",
  "--bound": "extraArgs",
  "--identity-proxy-header": "extraArgs",
  "--geo-file": "a file of tens of megabytes: in an image of your own, with extraArgs",
  "--checkpoint-copy": "another disk: extraArgs with a volume that you add",
  "--witness": "the estate names witnesses",
  "--witness-key": "the estate names witnesses",
};

test("each option of serve is set by the chart, or left out for a reason", () => {
  const page = readFileSync(join(root, "docs/cli/serve.md"), "utf8");
  const known = [...page.matchAll(/^\| `(--[a-z-]+)/gm)].map(([, name = ""]) => name);
  assert.ok(known.length > 30, `${known.length} options seen`);
  const extra = new Set(["--snapshot-lifetime", "--server-timing"]);
  const set = [
    ...new Set((["control", "gateway"] as const).flatMap((role) => namesOf(podOf(grown, role).containers[0].args))),
  ];
  assert.deepEqual(
    set.filter((name) => !known.includes(name)),
    [],
  );
  assert.deepEqual(
    known.filter((name) => !set.includes(name) || extra.has(name)).toSorted(),
    Object.keys(left).toSorted(),
  );
});

test("what compose.yaml gives control and a gateway, the chart can give them too", () => {
  const compose: { services: Record<string, { command: readonly string[] }> } = parse(
    readFileSync(join(root, "deploy/docker/compose.yaml"), "utf8"),
    { merge: true },
  );
  for (const [service, role] of [
    ["control", "control"],
    ["gateway-1", "gateway"],
  ] as const) {
    const own = new Set(namesOf(podOf(grown, role).containers[0].args));
    const missing = namesOf(compose.services[service]?.command ?? []).filter((name) => !own.has(name));
    assert.deepEqual(missing, [], service);
  }
});

test("the URL of a store is a variable out of its Secret, never an argument, and only its roots are a file", () => {
  const gateway = podOf(grown, "gateway");
  assert.deepEqual(gateway.containers[0].env, [
    { name: "SALLYPORT_DATA", valueFrom: { secretKeyRef: { name: "postgres-data", key: "url" } } },
    { name: "SALLYPORT_LIMITS", valueFrom: { secretKeyRef: { name: "redis", key: "url" } } },
  ]);
  for (const arg of ["--data-store=SALLYPORT_DATA", "--limits-store=SALLYPORT_LIMITS"])
    assert.ok(gateway.containers[0].args.includes(arg), arg);
  const roots = (secretName: string) => ({ secretName, optional: true, items: [{ key: "ca.pem", path: "ca.pem" }] });
  const at = (path: string) => gateway.containers[0].volumeMounts.find(({ mountPath }) => mountPath === path)?.name;
  assert.deepEqual(gateway.volumes.find(({ name }) => name === at("/stores/limits"))?.secret, roots("redis"));
  assert.deepEqual(gateway.volumes.find(({ name }) => name === at("/stores/data"))?.secret, roots("postgres-data"));
});

test("with no value of these nothing is mounted and nothing is said", () => {
  const objects = rendered({ control: { identityUrl } });
  for (const role of ["control", "gateway"] as const) {
    const { containers, initContainers, volumes } = podOf(objects, role);
    assert.equal(containers[0].env, undefined);
    assert.deepEqual([initContainers.length, volumes.length], [1, 2]);
    assert.equal(containers[0].args.filter((arg) => /store|private/.test(arg)).length, 0);
  }
});

test("keys and credentials reach the process as files of its own alone, under the names of the Secret's keys", () => {
  for (const role of ["control", "gateway"] as const) {
    const pod = podOf(grown, role);
    const init = pod.initContainers.find(({ name }) => name === "private");
    assert.ok(init);
    // As Kubernetes mounts a Secret: each key a link into a folder with dots, readable by the group.
    const mounted = join(folder, role, "mounted");
    const copied = join(folder, role, "private");
    mkdirSync(copied, { recursive: true });
    const secrets = init.volumeMounts.filter(({ mountPath }) => mountPath.startsWith("/mounted/"));
    for (const { mountPath } of secrets) {
      const place = join(mounted, mountPath.slice("/mounted/".length));
      mkdirSync(join(place, "..data"), { recursive: true });
      writeFileSync(join(place, "..data", "a key.yaml"), mountPath, { mode: 0o640 });
      symlinkSync("..data/a key.yaml", join(place, "a key.yaml"));
    }
    const script = init.command[2]?.replaceAll("/mounted", mounted).replaceAll("/private", copied) ?? "";
    const done = spawnSync("/bin/sh", ["-euc", script], { encoding: "utf8" });
    assert.deepEqual([done.status, done.stderr], [0, ""]);
    for (const { mountPath } of secrets) {
      const place = join(copied, mountPath.slice("/mounted/".length));
      assert.equal(statSync(place).mode & 0o777, 0o700);
      assert.equal(statSync(join(place, "a key.yaml")).mode & 0o777, 0o600);
      assert.equal(readFileSync(join(place, "a key.yaml"), "utf8"), mountPath);
    }
    // Every private path that an option names is one of those folders.
    const named = pod.containers[0].args.flatMap((arg) => /=\/private\/([a-z-]+)/.exec(arg)?.[1] ?? []);
    assert.ok(named.length > 0);
    const folders = secrets.map(({ mountPath }) => mountPath.slice("/mounted/".length));
    for (const name of named) assert.ok(folders.includes(name), name);
  }
});

test("who may be connected to is never widened by a store or a sink that nobody named a place for", () => {
  const egress = (objects: readonly Manifest[], role: Role) => {
    const policy = objects.find(({ kind, metadata }) => kind === "NetworkPolicy" && metadata.name === `edge-${role}`);
    return (policy as unknown as { spec: { egress: readonly object[] } }).spec.egress;
  };
  for (const role of ["control", "gateway"] as const)
    assert.ok(!egress(grown, role).some((rule) => Object.keys(rule).length === 0));
  assert.deepEqual(egress(grown, "gateway").at(-1), everything.networkPolicy.gatewayStores[0]);
  assert.deepEqual(egress(grown, "control").at(-1), everything.networkPolicy.outside[0]);
  for (const key of ["gatewayStores", "outside"] as const) {
    const done = renderChart(chart, { ...everything, networkPolicy: { ...everything.networkPolicy, [key]: [] } });
    assert.ok("error" in done && done.error.includes(`networkPolicy.${key}: `), key);
  }
});
