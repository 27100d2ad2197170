// How an environment says that people sign in, also through providers outside: what is read, and each mistake with its place and fix.
import assert from "node:assert/strict";
import { test } from "node:test";
import { environmentsOfRows, rowsOfEstate } from "../estate-rows.ts";
import { formatFinding } from "./finding.ts";
import { load, soundEstate } from "./sound-estate.ts";

const read = (people: string) =>
  load({
    ...soundEstate(),
    "sallyport.yaml": `estate: default\nenvironments:\n  production:\n    people:\n${people.replace(/^/gm, "      ")}\n`,
  });
const peopleIn = (text: string) => {
  const { estate, findings } = read(text);
  assert.deepEqual(findings.filter(({ severity }) => severity === "error").map(formatFinding), []);
  return estate.environments[0]?.people;
};
const corp = `signIn: [passkey, corp]
providers:
  corp:
    issuer: https://login.corp.example/realms/main
    client: sallyport`;

test("a provider outside is worth a password and lets in whom it was connected with, unless the estate says more", () => {
  const common = { idleMs: 3_600_000, absoluteMs: 43_200_000 };
  assert.deepEqual(peopleIn("signIn: [passkey]"), { signIn: ["passkey"], ...common });
  const least = { issuer: "https://login.corp.example/realms/main", client: "sallyport" };
  assert.deepEqual(peopleIn(corp), {
    signIn: ["corp", "passkey"],
    providers: [
      { id: "corp", name: "corp", ...least, acr: "urn:sallyport:acr:password", jit: false, allowPrivate: false },
    ],
    ...common,
  });
  assert.deepEqual(peopleIn(`${corp}\n    name: Corp\n    acr: mfa\n    jit: true`)?.providers, [
    { id: "corp", name: "Corp", ...least, acr: "urn:sallyport:acr:mfa", jit: true, allowPrivate: false },
  ]);
});

test("a way to sign in that does not exist, a provider nobody uses or nobody could trust: an error, and nobody signs in", () => {
  for (const [text, said] of [
    ["signIn: [passkey, corp]", /there is no way to sign in called `corp`/],
    [corp.replace("[passkey, corp]", "[passkey]"), /nobody may sign in through this provider/],
    [corp.replaceAll("corp", "password").replace("login.password", "login.corp"), /is a way of our own/],
    [corp.replace("https://", "http://"), /not https/],
    [corp.replace("login.corp.example", "10.0.0.1"), /private or loopback address/],
    [`${corp}\n    tls: { ca: nobody }`, /there is no bundle `nobody`/],
    [`${corp}\n    acr: certain`, /./],
    [`${corp}\n    scopes: [email]`, /unknown key/],
  ] as const) {
    const { findings } = read(text);
    const errors = findings.filter(({ severity }) => severity === "error").map(formatFinding);
    assert.ok(
      errors.some((error) => said.test(error)),
      `${text}: ${errors.join("; ")}`,
    );
  }
  assert.equal(read("signIn: [passkey, corp]").estate.environments[0]?.people, undefined);
});

test("of two estates that serve people of one environment the ways both allow hold, a provider outside only where both describe it alike", () => {
  const rows = (name: string, people: string) => rowsOfEstate({ ...read(people).estate, name });
  const merged = (a: string, b: string) => environmentsOfRows([...rows("a", a), ...rows("b", b)])[0]?.people;
  assert.deepEqual(merged(corp, corp), peopleIn(corp));
  const only = { signIn: ["passkey"], idleMs: 3_600_000, absoluteMs: 43_200_000 };
  assert.deepEqual(merged(corp, "signIn: [passkey, password]"), only);
  for (const other of [`${corp}\n    acr: mfa`, corp.replace("login.corp.example", "login.corq.example")]) {
    assert.deepEqual(merged(corp, other), only);
    assert.deepEqual(merged(other, corp), only);
  }
});
