// Promises a rendered Helm chart, by the engine and the functions Helm has, without Helm. Trusts Go and sprig from Debian.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import { debianProgram } from "../debian-packages.ts";

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: unknown;
}

/** Where the chart is. */
export const chart = join(dirname(dirname(import.meta.dirname)), "deploy/helm/sallyport");

type Values = Readonly<Record<string, unknown>>;

const renderTimeoutMs = 240_000;

/** The chart's own values with `changes` laid over them, key by key. */
function merged(values: Values, changes: Values): Values {
  const isMap = (value: unknown): value is Values =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  return Object.fromEntries(
    [...new Set([...Object.keys(values), ...Object.keys(changes)])].map((key) => {
      const [own, changed] = [values[key], changes[key]];
      if (changed === undefined) return [key, own];
      return [key, isMap(own) && isMap(changed) ? merged(own, changed) : changed];
    }),
  );
}

/** Every object of the chart, or what the engine said. */
export function renderChart(
  chart: string,
  changes: Values,
): { readonly manifests: readonly Manifest[] } | { readonly error: string } {
  const yaml = (file: string): Values => parse(readFileSync(join(chart, file), "utf8"));
  const about = yaml("Chart.yaml");
  const done = spawnSync(debianProgram("go"), ["run", join(import.meta.dirname, "render-chart", "main.go")], {
    input: JSON.stringify({
      chart,
      meta: { Name: about["name"], AppVersion: about["appVersion"] },
      values: merged(yaml("values.yaml"), changes),
    }),
    encoding: "utf8",
    timeout: renderTimeoutMs,
    env: { ...process.env, GO111MODULE: "off", GOPATH: "/usr/share/gocode", GOFLAGS: "" },
  });
  if (done.status !== 0) return { error: done.stderr };
  const files: Readonly<Record<string, string>> = JSON.parse(done.stdout);
  return {
    manifests: Object.entries(files).flatMap(([file, text]) =>
      parseAllDocuments(text).flatMap((document) => {
        if (!("errors" in document)) return [];
        if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0]?.message}\n${text}`);
        const value: Manifest | null = document.toJS();
        return value === null ? [] : [value];
      }),
    ),
  };
}
