import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { parseDuration } from "./duration.ts";
import { CommandEnd } from "./exit.ts";
import { createProgram } from "./main.ts";
import { runBinary } from "./program.test-support.ts";
import { printable, printEnd } from "./terminal.ts";
import { version } from "./version.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const bounded = { timeout: 120_000 };
const repository = fileURLToPath(new URL("../../..", import.meta.url));
const estate = join(repository, "examples/marketplace/estate");

interface Described {
  readonly words: string;
  readonly command: Command;
}

function commandsOf(command: Command, words: readonly string[] = []): readonly Described[] {
  return command.commands
    .filter((child) => child.name() !== "help")
    .flatMap((child) => {
      const named = [...words, child.name()];
      return [{ words: named.join(" "), command: child }, ...commandsOf(child, named)];
    });
}

const described = commandsOf(await createProgram());
const leaves = described.filter(({ command }) => command.commands.length === 0);

/** Parses a command line as the binary does, without its printing; the end it comes to before anything runs. */
async function endOf(argv: readonly string[]): Promise<CommandEnd> {
  try {
    await (await createProgram()).parseAsync([...argv], { from: "user" });
  } catch (error) {
    assert.ok(error instanceof CommandEnd, String(error));
    return error;
  }
  throw new Error("the command did not end");
}

/** The sections of one command's page by their heading without `sallyport`. */
function sectionsOf(page: string): ReadonlyMap<string, string> {
  return new Map(
    page
      .split(/^##? (?=`sallyport )/m)
      .slice(1)
      .map((section) => [/^`sallyport ([^`]*)`\n/.exec(section)?.[1] ?? section.slice(0, 40), section] as const),
  );
}

for (const top of (await createProgram()).commands.filter((command) => command.name() !== "help"))
  test(`docs/cli/${top.name()}.md has the command with its arguments and options, exactly those`, () => {
    const page = readFileSync(join(repository, "docs/cli", `${top.name()}.md`), "utf8");
    const sections = sectionsOf(page);
    const own = described.filter(({ words }) => words.split(" ")[0] === top.name());
    const heading = ({ words, command }: Described): string =>
      [
        words,
        ...command.registeredArguments.map((argument) =>
          argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
        ),
      ].join(" ");
    assert.deepEqual([...sections.keys()], own.map(heading));
    for (const one of own) {
      const flags = [...(sections.get(heading(one)) ?? "").matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1]);
      assert.deepEqual(
        flags,
        one.command.options.map((option) => option.flags),
        heading(one),
      );
    }
  });

for (const [argv, says] of [
  [["--identity-proxies", "10.0.0.1", "0.0.0.0/0"], /0\.0\.0\.0\/0" is everybody/],
  [["--identity-proxies", "proxy.example"], /"proxy\.example" is not a network/],
  [["--role", "gateway", "--identity-proxies", "10.0.0.1"], /which this role has not/],
] as const)
  test(`a start with ${argv.join(" ")} is refused with the fix, before anything is made`, async () => {
    const data = join(tmpdir(), `sallyport-never-${process.pid}`);
    const end = await endOf(["serve", "--data", data, ...argv]);
    assert.equal(end.exit, 2);
    assert.match(end.message, says);
    assert.ok(end.fix.length > 10 && !existsSync(data));
  });

test("docs/cli.md lists every command with its page, and the options that go with all of them", async () => {
  const index = readFileSync(join(repository, "docs/cli.md"), "utf8");
  const program = await createProgram();
  const names = program.commands.map((command) => command.name()).filter((name) => name !== "help");
  const listed = [...index.matchAll(/^\| \[`([a-z-]+)`\]\(cli\/\1\.md\) \|/gm)].map((match) => match[1]);
  assert.deepEqual(listed.sort(), [...names].sort());
  assert.deepEqual(readdirSync(join(repository, "docs/cli")).sort(), names.map((name) => `${name}.md`).sort());
  for (const option of program.options) assert.ok(index.includes(`\`${option.flags}\``), option.flags);
});

test("the help of every command teaches: what it does and what every option means", () => {
  for (const { words, command } of described) {
    assert.ok(command.description().length >= 15, `${words} has a description`);
    for (const option of command.options) assert.ok(option.description.length >= 8, `${words} ${option.flags}`);
    const help = command.helpInformation();
    for (const option of command.options) assert.ok(help.includes(option.long ?? "?"));
  }
});

test(
  "--help of the program and of a command is exit 0 on standard output, and tells the exit codes",
  bounded,
  async () => {
    const [program, command] = await Promise.all([runBinary(["--help"]), runBinary(["audit", "verify", "--help"])]);
    assert.deepEqual([program.exit, program.err, command.exit, command.err], [0, "", 0, ""]);
    assert.match(program.out, /Exit codes: 0 yes · 1 the answer is no · 2 .* 3 .* 4 /);
    assert.match(command.out, /kept elsewhere/);
  },
);

test(
  "an unknown command, an unknown option, a missing argument and a bare group are exit 2, on standard error",
  bounded,
  async () => {
    const lines = [
      ["serv"],
      ["status", "--force"],
      ["why"],
      ["gateway"],
      ["gateway", "token", "--group", "g"],
      ["serve", "--role", "router"],
      [],
    ];
    const ended = await Promise.all(lines.map((argv) => runBinary(argv)));
    for (const [i, { exit, out, err }] of ended.entries()) {
      assert.deepEqual([exit, out], [2, ""], `sallyport ${lines[i]?.join(" ")}`);
      assert.ok(err.length > 0);
    }
    assert.match(ended[0]?.err ?? "", /Did you mean serve/);
  },
);

test("a reader that has read enough (`| head`) ends a command without a stack trace", bounded, () => {
  const shell = '("$0" "$1" check --list-rules; echo "status $?" >&2) | true';
  const main = join(repository, "packages/cli/src/main.ts");
  // `true` has ended long before the program can print.
  const { stderr } = spawnSync("sh", ["-c", shell, process.execPath, main], { encoding: "utf8" });
  assert.equal(stderr, "status 141\n");
});

test("--version is the version of the package, and the packages have one version", bounded, async () => {
  const manifest = JSON.parse(readFileSync(join(repository, "packages/cli/package.json"), "utf8"));
  assert.equal(version, manifest.version);
  const { exit, out } = await runBinary(["--version"]);
  assert.deepEqual([exit, out], [0, `${version}\n`]);
});

test("bad durations, addresses, origins and listeners are bad use, and say what to write", async () => {
  const bad: readonly (readonly string[])[] = [
    ...["10", "s", "1.5s", "-1s", "1 s", "1w", "4000d", "999999999d", ""].map((text) => ["--grace", text]),
    ...["localhost", "127.0.0.1", ":80", "127.0.0.1:65536", "::1:80", "a b:80", "host/path:80", "[zz]:1", ""].map(
      (text) => ["--admin-listen", text],
    ),
    ...[
      "http://id.acme.example",
      "https://id.acme.example/",
      "https://id.acme.example/x",
      "id.acme.example",
      "https://u:p@id.acme.example",
    ].map((text) => ["--identity-url", text]),
    ["--listen", "127.0.0.1:8443"],
    ["--listen", "public=127.0.0.1:1", "public=127.0.0.1:2"],
    ["--tls-cert", "cert.pem"],
    ["--join-file", join(folder, "absent")],
  ];
  for (const options of bad) {
    const end = await endOf(["serve", ...options]);
    assert.equal(end.exit, 2, options.join(" "));
    assert.ok(end.fix.length > 0, options.join(" "));
  }
});

test("durations mean what they say", () => {
  assert.deepEqual(
    ["250ms", "90s", "15m", "1h", "7d", "0s"].map(parseDuration),
    [250, 90_000, 900_000, 3_600_000, 604_800_000, 0],
  );
});

test("attack: a token, private key or operator key that others can read is refused, and what it holds is not repeated", async () => {
  const secret = "spj1_c2VjcmV0";
  for (const mode of [0o644, 0o640, 0o604, 0o620]) {
    const path = join(folder, `credential-${mode}`);
    writeFileSync(path, secret);
    chmodSync(path, mode);
    for (const options of [
      ["serve", "--role", "gateway", "--join-file", path],
      ["serve", "--tls-cert", path, "--tls-key", path],
      ["status", "--operator", path],
    ]) {
      const end = await endOf(options);
      assert.equal(end.exit, 2);
      assert.match(end.message, /chmod 600/);
      assert.ok(!`${end.message}${end.fix}`.includes(secret));
    }
  }
});

test("no secret is taken from the command line: what names a credential is a file or a variable, never the thing itself", async () => {
  const published = [
    ...["audit verify --key <key...>", "audit check-proof --key <key>", "serve --witness-key <vkey...>"],
    // The hash of a listener's public key.
    "operator key --pin <hash>",
    // A folder of files.
    "serve --upstream-keys <directory>",
    // A caller's word for one effect: it opens nothing.
    "call --idempotency-key <key>",
  ];
  for (const { words, command } of [{ words: "", command: await createProgram() }, ...leaves]) {
    for (const { flags } of command.options) {
      if (!/key|token|secret|password|credential|store|operator|pin/.test(flags)) continue;
      const named = `${words} ${flags}`.trim();
      assert.ok(/<(file|variable)>$/.test(flags) || published.includes(named), named);
    }
  }
  const end = await endOf(["serve", "--store", "postgres://sallyport:hunter2@db.internal/sallyport"]);
  assert.equal(end.exit, 2);
  assert.doesNotMatch(`${end.message}${end.fix}`, /hunter2|db\.internal/);
  assert.equal((await endOf(["serve", "--store", "SALLYPORT_TEST_NOT_SET"])).exit, 2);
});

test(
  "without an operator key a command says where it looked and how to get one; without control it is exit 3",
  bounded,
  async () => {
    const [absent, damaged] = await Promise.all([
      runBinary(["status", "--operator", join(folder, "none.json")]),
      (async () => {
        const path = join(folder, "damaged.json");
        writeFileSync(path, "{}", { mode: 0o600 });
        return runBinary(["status", "--json"], { SALLYPORT_OPERATOR: path });
      })(),
    ]);
    assert.equal(absent.exit, 2);
    assert.match(absent.err, /none\.json[\s\S]*fix: [\s\S]*control\/operator\.key\.json/);
    assert.equal(damaged.exit, 2);
    // It may well be another private key that somebody named by mistake.
    assert.match(damaged.err, /damaged\.json is not an operator key file/);
    assert.doesNotMatch(damaged.err, /remove|delete/);
    assert.deepEqual(Object.keys(JSON.parse(damaged.err)), ["error", "fix", "exit"]);
    assert.equal(damaged.out, "");
  },
);

test(
  "a directory that is no estate is refused by every command that takes one, before anything is asked, opened or made",
  bounded,
  async () => {
    const own = mkdtempSync(join(folder, "directories-"));
    const data = join(own, "data");
    const commands = [
      ["check"],
      ["fmt"],
      ["plan"],
      ["apply"],
      ["policy", "generated"],
      ["serve", "--join-file", join(own, "absent"), "--data", data, "--config"],
    ];
    const wrong: readonly [string, RegExp][] = [
      [own, /is no estate: it holds neither sallyport\.yaml nor systems\/ nor integrations\//],
      [join(own, "nope"), /nope cannot be read as a directory/],
      [join(estate, "systems"), /is no estate[\s\S]* did you mean .*marketplace\/estate\?/],
      [join(estate, ".."), /is no estate[\s\S]* did you mean .*marketplace\/estate\?/],
    ];
    for (const words of commands) {
      for (const [directory, says] of wrong) {
        // There is no operator key here: were the directory judged second, that would be what is said.
        const end = await endOf([...words, directory]);
        assert.equal(end.exit, 2, `${words.join(" ")} ${directory}`);
        assert.match(`${end.message} ${end.fix}`, says);
      }
    }
    assert.equal(existsSync(data), false);
  },
);

test(
  "check is 0 for a sound estate, 1 with places and fixes for a broken one, 2 where there is none; --json is one value",
  bounded,
  async () => {
    const broken = mkdtempSync(join(folder, "estate-"));
    const policies = join(broken, "policies");
    execFileSync("cp", ["-r", `${estate}/.`, broken]);
    writeFileSync(
      join(policies, "typo.cedar"),
      'forbid (principal, action == Action::"billing:invoice.crate", resource);\n',
    );
    const [sound, found, none, ofPolicies] = await Promise.all([
      runBinary(["check", estate]),
      runBinary(["check", broken, "--json"]),
      runBinary(["check", join(folder, "none")]),
      runBinary(["check", broken]),
    ]);
    assert.deepEqual([sound.exit, sound.err], [0, ""]);
    assert.match(sound.out, /no errors/);
    assert.equal(found.exit, 1);
    const report = JSON.parse(found.out);
    const wrong = report.findings.filter(({ severity }: { severity: string }) => severity === "error");
    assert.deepEqual([report.errors, wrong[0].file], [1, "policies/typo.cedar"]);
    assert.match(ofPolicies.out, /policies\/typo\.cedar:1:\d+ error .*Fix: /);
    assert.equal(none.exit, 2);
    assert.match(none.err, /fix: /);
  },
);

test(
  "policy generated prints the permits grants compile to, for one operation when asked, and 1 when there is none",
  bounded,
  async () => {
    const generated = ["policy", "generated", estate];
    const [one, json, none] = await Promise.all([
      runBinary([...generated, "--operation", "billing:invoice.create", "--environment", "production"]),
      runBinary([...generated, "--json"]),
      runBinary([...generated, "--operation", "billing:nothing"]),
    ]);
    assert.equal(one.exit, 0);
    assert.match(one.out, /grant:orders-to-billing \(production\)\npermit \(\n {2}principal in System::"orders"/);
    assert.doesNotMatch(one.out, /staging/);
    const permits = JSON.parse(json.out);
    assert.ok(permits.length > 2);
    for (const permit of permits) assert.ok(permit.cedar.includes(`Action::"${permit.operation}"`));
    const tokens = permits.filter(({ operation }: { operation: string }) => operation === "token:issue");
    assert.ok(
      tokens.some(({ cedar }: { cedar: string }) => cedar.includes('integrations.contains("orders-to-billing")')),
    );
    assert.equal(none.exit, 1);
  },
);

test("attack: nothing a caller sent can move the cursor, hide or reorder a line of a report", () => {
  const evil = "ok\u001b[2J\u001b[1A\r\u0007\u009b31m\u202edecneil\u2028\u0000";
  const shown = printable(`${evil}\nnext`);
  assert.match(shown, /^[\x20-\x7e]+\nnext$/);
  assert.equal(printable("Zürich — 東京"), "Zürich — 東京", "text of people stays");
  const err: string[] = [];
  printEnd(new CommandEnd(1, evil, evil), false, (text) => err.push(text));
  assert.doesNotMatch(err.join(""), /\u001b|\r|\u202e/);
});
