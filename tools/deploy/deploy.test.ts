// What runs Sallyport elsewhere: the image, the unit and the chart, judged by what npm and Debian have to judge them with.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { validate } from "dockerfile-utils";
import { runtimeEnvironment, runtimeOptions } from "sallyport/start/runtime-options.ts";
import { debianProgram } from "../debian-packages.ts";
import { chart, renderChart } from "./chart.ts";
import { everything, identityUrl, rendered } from "./chart-values.ts";

const root = dirname(dirname(import.meta.dirname));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const folder = mkdtempSync(join(tmpdir(), "sallyport-deploy-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("the Dockerfile has no finding, ends as a numbered user that is not root, and runs no script of a dependency", () => {
  const text = read("deploy/docker/Dockerfile");
  assert.deepEqual(validate(text, {}), []);
  const users = [...text.matchAll(/^USER (\S+)$/gm)].map(([, user]) => user);
  assert.equal(users.at(-1), "10001:10001");
  for (const line of text.match(/npm (?:ci|install)[^\n]*/g) ?? []) assert.match(line, /--ignore-scripts/);
  assert.ok(!/^ADD /m.test(text) && !/:latest\b/.test(text));
  // Nothing of the working tree that is private, or not ours to ship, gets into a layer.
  for (const ignored of [".git", "**/.sallyport", "**/*.key.pem", "**/node_modules"])
    assert.ok(read(".dockerignore").split("\n").includes(ignored), ignored);
});

/** What the image's script would run where `nproc` says so and the container's quota is that. */
function imageStart(processors: number, quota: string | null, env: Readonly<Record<string, string>> = {}) {
  const at = mkdtempSync(join(folder, "image-"));
  const program = (name: string, line: string) =>
    writeFileSync(join(at, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
  program("nproc", `echo ${processors}`);
  program("node", `echo "$MALLOC_ARENA_MAX $*"`);
  if (quota !== null) writeFileSync(join(at, "cpu.max"), `${quota}\n`);
  const script = read("deploy/docker/sallyport")
    .replaceAll("/sys/fs/cgroup/cpu.max", join(at, "cpu.max"))
    .replace("exec /app/node", `exec ${join(at, "node")}`);
  const run = spawnSync("/bin/sh", ["-c", script, "sallyport", "serve", "two words"], {
    encoding: "utf8",
    env: { PATH: `${at}:${process.env.PATH ?? ""}`, ...env },
  });
  assert.equal(run.stderr, "");
  return run.stdout.trim();
}

test("the container gives the runtime what is measured, by the processors it may use", () => {
  const expected = (processors: number) =>
    `${runtimeEnvironment(processors).MALLOC_ARENA_MAX} --disable-warning=ExperimentalWarning ` +
    `${runtimeOptions(processors).join(" ")} /app/node_modules/sallyport/dist/main.js serve two words`;
  assert.equal(imageStart(8, null), expected(8));
  assert.equal(imageStart(8, "max 100000"), expected(8));
  assert.equal(imageStart(8, "300000 100000"), expected(3));
  assert.equal(imageStart(8, "150000 100000"), expected(1));
  assert.equal(imageStart(8, "20000 100000"), expected(1));
  assert.equal(imageStart(1, "max 100000"), expected(1));
  assert.equal(imageStart(2, "800000 100000"), expected(2));
  assert.ok(imageStart(8, null, { MALLOC_ARENA_MAX: "5" }).startsWith("5 "), "one that is set stays");
});

test("the systemd unit is valid and leaves a service little to do harm with", () => {
  const unit = join(folder, "sallyport@all.service");
  // The binary of the unit is not installed here; everything else is judged as it is.
  writeFileSync(unit, read("deploy/systemd/sallyport@.service").replace("/usr/local/bin/sallyport", process.execPath));
  const analyze = debianProgram("systemd-analyze");
  const verified = spawnSync(analyze, ["verify", unit], { encoding: "utf8" });
  assert.deepEqual([verified.status, verified.stderr], [0, ""]);
  // 1.5 of 10; the loose ends are the network, and memory that is executed because JavaScript is compiled.
  const exposed = spawnSync(analyze, ["security", "--offline=yes", "--threshold=15", unit], { encoding: "utf8" });
  assert.equal(exposed.status, 0, exposed.stdout.slice(-300));
});

/** Module of kubernetes-types that has a kind's type. */
const moduleOf: Readonly<Record<string, string>> = {
  Service: "core/v1",
  ConfigMap: "core/v1",
  StatefulSet: "apps/v1",
  PodDisruptionBudget: "policy/v1",
  NetworkPolicy: "networking/v1",
};

test("every object of the chart has the shape Kubernetes has for it, unknown keys included, with few and with all values", {
  timeout: 300_000,
}, () => {
  const objects = [...rendered({ control: { identityUrl } }), ...rendered(everything)];
  assert.ok(objects.length >= 16);
  const kinds = Object.keys(moduleOf);
  const text = [
    ...kinds.map((kind) => `import type { ${kind} } from "kubernetes-types/${moduleOf[kind]}.d.ts";`),
    ...objects.map((object, i) => `export const object${i}: ${object.kind} = ${JSON.stringify(object)};`),
  ].join("\n");
  // Beside the repository's node_modules, where the types are found; the compiler reads it from there and nothing stays.
  const file = join(root, "node_modules", `.chart-${process.pid}.ts`);
  writeFileSync(file, text);
  try {
    const require = createRequire(import.meta.url);
    const compiler = join(dirname(require.resolve("typescript/package.json")), "bin", "tsc");
    const done = spawnSync(
      process.execPath,
      [
        compiler,
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--ignoreConfig",
        "--module",
        "nodenext",
        "--moduleResolution",
        "nodenext",
        "--allowImportingTsExtensions",
        file,
      ],
      { encoding: "utf8", cwd: root },
    );
    assert.equal(done.stdout, "");
    assert.equal(done.status, 0, done.stderr);
  } finally {
    rmSync(file, { force: true });
  }
});

test("a gateway keeps its log when it moves, may not be drained all at once, and no pod runs as root or writes outside its volumes", () => {
  const objects = rendered({ control: { identityUrl } });
  // What the chart made; the shapes are judged by the compiler above.
  const sets = objects.filter(({ kind }) => kind === "StatefulSet") as unknown as readonly {
    metadata: { name: string };
    spec: {
      template: {
        spec: {
          automountServiceAccountToken: boolean;
          securityContext: Record<string, unknown>;
          initContainers: { securityContext: Record<string, unknown> }[];
          containers: { args: string[]; securityContext: Record<string, unknown> }[];
        };
      };
      persistentVolumeClaimRetentionPolicy?: unknown;
      volumeClaimTemplates: unknown[];
    };
  }[];
  assert.deepEqual(sets.map(({ metadata }) => metadata.name).sort(), ["edge-control", "edge-gateway"]);
  for (const { spec } of sets) {
    const pod = spec.template.spec;
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(pod.securityContext["runAsNonRoot"], true);
    for (const container of [...pod.initContainers, ...pod.containers]) {
      assert.equal(container.securityContext["readOnlyRootFilesystem"], true);
      assert.equal(container.securityContext["allowPrivilegeEscalation"], false);
    }
    assert.equal(spec.volumeClaimTemplates.length, 1);
    assert.ok(pod.containers[0]?.args.includes("--data=/data/state"));
  }
  assert.deepEqual(
    sets.find(({ metadata }) => metadata.name === "edge-gateway")?.spec.persistentVolumeClaimRetentionPolicy,
    {
      whenDeleted: "Retain",
      whenScaled: "Retain",
    },
  );
  assert.equal(objects.filter(({ kind }) => kind === "PodDisruptionBudget").length, 1);
  assert.equal(objects.filter(({ kind }) => kind === "NetworkPolicy").length, 2);
});

test("the estate's files reach control under their own names, byte for byte", () => {
  const map = rendered(everything).find(({ kind }) => kind === "ConfigMap") as unknown as {
    data: Record<string, string>;
  };
  assert.deepEqual(map.data, {
    "sallyport.yaml": "estate: acme\n",
    "systems__billing.yaml": 'system: billing\n# say "hello"\n',
  });
});

test("without the origin that is part of every issuer the chart says what to give it", () => {
  const done = renderChart(chart, {});
  assert.ok("error" in done && /control\.identityUrl: the origin clients get tokens from/.test(done.error));
});
