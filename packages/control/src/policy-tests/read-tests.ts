// Promises the cases of an estate's policy tests, each with its place, or findings that say what is wrong with a table.
// Trusts the io to stay inside the directory and parseYaml to bound what it builds. Specified in docs/policy-tests.md.
import { type TokenAction, tokenActions } from "@sallyport/kernel/policy/token-slice.ts";
import { z } from "zod";
import { entriesMax } from "../registry/config/bounds.ts";
import { type EstateIo, explainList } from "../registry/config/estate-io.ts";
import { errorAt, type Finding, fileSpot, type Place, placeOf } from "../registry/config/finding.ts";
import { shape } from "../registry/config/shape.ts";
import { readYamlFile } from "../registry/config/source-files.ts";
import { attributeName, duration, id, prose } from "../registry/config/words.ts";
import { spotOf } from "../registry/config/yaml-tree.ts";

export const testsFolder = "tests";
const casesMax = 1_000;

const tokenPart = z.strictObject({
  for: id(),
  client: id().optional(),
  grantType: z
    .enum(["client_credentials", "authorization_code", "refresh_token", "device_code", "jwt-bearer"])
    .prefault("client_credentials"),
  address: z.union([z.ipv4(), z.ipv6()]).optional(),
  amr: z.array(z.string().max(64)).max(16).optional(),
  device: z.enum(["known", "new"]).optional(),
  subjectIssuer: id().optional(),
  depth: z.int().min(1).max(8).prefault(1),
});

const policyCase = z.strictObject({
  name: prose().optional(),
  environment: id().optional(),
  caller: id(),
  operation: z.string().regex(/^[a-z][a-z0-9-]*:[a-z][a-z0-9_.-]*$/),
  attributes: z.record(attributeName(), z.union([z.string().max(1_024), z.int(), z.boolean()])).prefault({}),
  scopes: z.array(z.string().max(256)).max(256).optional(),
  proof: z.enum(["dpop", "mtls", "signature", "bearer", "api-key"]).prefault("dpop"),
  issuer: id().optional(),
  subject: z.string().max(256).optional(),
  acr: z.string().max(256).optional(),
  authTime: z.int().optional(),
  /** Of `token:issue` and `token:exchange`, and there alone. */
  token: tokenPart.optional(),
  authAge: duration({ minMs: 0, maxMs: 31 * 86_400_000, says: "`0s` to `31d`" }).optional(),
  amr: z.array(z.string().max(64)).max(16).optional(),
  address: z.enum(["loopback", "private", "public-v4", "public-v6", "other"]).prefault("public-v4"),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/)
    .optional(),
  risk: z.int().min(0).max(100).optional(),
  riskFactors: z.array(z.string().max(64)).max(16).optional(),
  staleness: duration({ minMs: 0, maxMs: 86_400_000, says: "`0s` to `24h`" }).prefault("0s"),
  expect: z.enum(["allow", "deny"]),
  code: z.string().max(64).optional(),
  policies: z.array(z.string().max(128)).max(64).optional(),
});

const testFile = z.strictObject({
  environment: id().optional(),
  cases: z.array(policyCase).min(1).max(casesMax),
});

export type PolicyCaseSource = z.output<typeof policyCase>;

export interface PolicyCase extends Omit<PolicyCaseSource, "environment">, Place {
  /** Null: neither the case nor its file names one. */
  readonly environment: string | null;
  /** Where a key of the case stands. */
  placeOf(key: keyof PolicyCaseSource): Place & { readonly path: string };
}

export interface PolicyTests {
  readonly files: number;
  readonly cases: readonly PolicyCase[];
  readonly findings: readonly Finding[];
}

/** Every table of `tests/*.yaml`, in order of name. */
export function readPolicyTests(io: EstateIo): PolicyTests {
  const names = io.list(testsFolder);
  if (typeof names === "string") {
    const why = explainList(names);
    return {
      files: 0,
      cases: [],
      findings: why === null ? [] : [errorAt(fileSpot(testsFolder), why.message, why.fix)],
    };
  }
  const cases: PolicyCase[] = [];
  const findings: Finding[] = [];
  let files = 0;
  for (const name of names.slice(0, entriesMax)) {
    const file = `${testsFolder}/${name}`;
    if (!name.endsWith(".yaml")) {
      if (/\.ya?ml$/i.test(name))
        findings.push(errorAt(fileSpot(file), "the file is not read: its name does not end in `.yaml`", "rename it"));
      continue;
    }
    files += 1;
    const read = readTable(io, file);
    cases.push(...read.cases);
    findings.push(...read.findings);
  }
  return { files, cases, findings };
}

function readTable(io: EstateIo, file: string): Pick<PolicyTests, "cases" | "findings"> {
  const source = readYamlFile(io, file);
  if (source === null)
    return { cases: [], findings: [errorAt(fileSpot(file), "the file went away while it was read", "run it again")] };
  const { root } = source;
  // A trap in a table is a case that tests something else than it says.
  if (root === null || source.findings.length > 0) return { cases: [], findings: source.findings };
  const shaped = shape(testFile, root);
  if (shaped.value === null) return { cases: [], findings: shaped.findings };
  const { environment = null, cases } = shaped.value;
  const findings = cases.flatMap((one, index) =>
    contradictions(one).map(({ key, why, fix }) => errorAt(spotOf(root, ["cases", index, key]), why, fix)),
  );
  if (findings.length > 0) return { cases: [], findings };
  return {
    findings,
    cases: cases.map((one, index) => ({
      ...one,
      environment: one.environment ?? environment,
      ...placeOf(spotOf(root, ["cases", index])),
      placeOf: (key) => spotOf(root, ["cases", index, key]),
    })),
  };
}

interface Contradiction {
  readonly key: keyof PolicyCaseSource;
  readonly why: string;
  readonly fix: string;
}

function contradictions(one: PolicyCaseSource): readonly Contradiction[] {
  const isAboutToken = isTokenAction(one.operation);
  const found: Contradiction[] = [];
  if (one.expect === "allow" && one.code !== undefined)
    found.push({ key: "code", why: "`code` says why something is denied", fix: "remove it, or write `expect: deny`" });
  if (isAboutToken && one.token === undefined)
    found.push({
      key: "operation",
      why: "nobody says for which system the token is",
      fix: "write `token: { for: <system> }`",
    });
  if (!isAboutToken && one.token !== undefined)
    found.push({ key: "token", why: "`token` belongs to `token:issue` and `token:exchange`", fix: "remove it" });
  if (isAboutToken && Object.keys(one.attributes).length > 0)
    found.push({ key: "attributes", why: "attributes are of operations; a token has none", fix: "remove it" });
  const ofUser = (["acr", "authTime", "authAge", "amr", "risk", "riskFactors"] as const).find(
    (key) => one[key] !== undefined,
  );
  if (ofUser !== undefined && one.subject === undefined)
    found.push({
      key: ofUser,
      why: `\`${ofUser}\` is about a user, and the caller acts for nobody`,
      fix: "add `subject: usr_1`",
    });
  if (one.authTime !== undefined && one.authAge !== undefined)
    found.push({ key: "authAge", why: "`authTime` says it already", fix: "keep one of the two" });
  return found;
}

/** `token` is no name a system may have. */
export function isTokenAction(operation: string): operation is TokenAction {
  return tokenActions.some((action) => action === operation);
}
