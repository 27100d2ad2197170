// Promises an example in `--help` for commands about identity: what an operator types in a hurry, without a page open. Trusts nothing.
import type { Command } from "commander";

const code = "--issuer https://id.acme.example/main/production --code orders.code";

/** By command, without `sallyport`. */
export const helpExamples: Readonly<Record<string, readonly string[]>> = {
  "user add": ["user add anna"],
  "user reset": ['user reset anna --reason "lost her phone"'],
  "user disable": ['user disable anna --reason "left"'],
  "user link": ['user link anna --provider corp --subject 248289761001 --reason "ticket 4711"'],
  "user consents": ["user consents anna", 'user consents anna --withdraw portal --reason "she asked for it"'],
  "session end": ['session end ses_DYZsNdtg0VC-Kt5ptk7sHw --reason "shared computer"'],
  "api-key add": ['api-key add vendor --integration vendor-to-billing --out vendor.key --reason "first key"'],
  "api-key end": ['api-key end 3f9a01c2d4 --reason "in a build log"'],
  "client secret add": ['client secret add shop --out shop.secret --reason "yearly rotation"'],
  "client secret end": ['client secret end shop 3f9a01c2d4 --reason "in a build log" --leaked'],
  "client key add": ['client key add orders --file orders.jwks.json --lifetime 90d --reason "deployment 4711"'],
  "client key code": ['client key code orders --out orders.code --good-for 90d --reason "host 7"'],
  "client key enroll": [`client key enroll ${code} --private orders.key.pem`],
  "client key end": [
    'client key end orders rQjsLL1bDam_lK-sv1OpOY6byMd7kz-K5DTIyofMKkE --reason "host stolen" --leaked',
  ],
  "client-key new": ["client-key new --private orders.key.pem --public systems/orders.jwks.json"],
  "alert replay": ['alert replay mail --reason "the mailbox exists again"'],
  "operator key": ["operator key ada > estate/ada.jwks.json"],
  "finding ack": ['finding ack fnd-01KB5ZK3V8Q2R7M0XJ4T6WYNCD --reason "on call looks"'],
  "finding resolve": ['finding resolve fnd-01KB5ZK3V8Q2R7M0XJ4T6WYNCD --reason "a test host with an old token"'],
  "finding backtest": ["finding backtest scope-escalation --since 30d"],
  "key rotate": ["key rotate --environment production"],
  "key kill": ['key kill rQjsLL1bDam_lK-sv1OpOY6byMd7kz-K5DTIyofMKkE --reason "found in a log"'],
  "key rotate-data": ['key rotate-data --reason "the yearly change"'],
  "export list": ["export list"],
  "export test": ["export test splunk"],
  "export pause": ['export pause splunk --reason "maintenance until noon"'],
  "export resume": ['export resume splunk --reason "maintenance is over"'],
  "export replay": ['export replay splunk --from-index 0 --reason "the index was made anew"'],
  "export verify": [
    "export verify copy.ndjson",
    "export verify copy.ndjson --checkpoint checkpoints.txt --key gateway.vkey",
    "export verify copy.ndjson --log /mnt/copy/log",
  ],
  "token inspect": ["token inspect found.jwt", "--json token inspect - < found.jwt"],
  "token issue": ['token issue --client orders --for billing --out debug --reason "ticket 4711"'],
  "revoke token": [
    'revoke token --file found.txt --reason "posted to a chat"',
    'revoke token m3Yk0cJ0S2mWn5yq8cXo0A --reason "posted to a chat"',
  ],
  "revoke subject": ['revoke subject usr_vFloTtkVVkfxwdCvUjQJkw --reason "account taken over"'],
  "revoke session": ['revoke session ses_DYZsNdtg0VC-Kt5ptk7sHw --reason "user asked"'],
  "revoke grant": ['revoke grant grt_RRvW_dBYHXProe34n6OsKw --reason "laptop stolen"'],
  "revoke client": ['revoke client orders --reason "host compromised"'],
};

/** The command of these words, or undefined. */
export function commandOf(program: Command, words: readonly string[]): Command | undefined {
  return words.reduce<Command | undefined>(
    (group, word) => group?.commands.find((one) => one.name() === word),
    program,
  );
}

/** For the commands whose first word is asked for. Throws where there is no such command: a renamed one would lose its examples without a word. */
export function addHelpExamples(program: Command, isAsked: (word: string) => boolean): void {
  for (const [words, examples] of Object.entries(helpExamples)) {
    const [first = ""] = words.split(" ");
    if (!isAsked(first)) continue;
    const command = commandOf(program, words.split(" "));
    if (command === undefined) throw new Error(`examples of a command that is not there: ${words}`);
    command.addHelpText("after", `\nExamples:\n${examples.map((one) => `  sallyport ${one}\n`).join("")}`);
  }
}
