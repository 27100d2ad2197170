// Promises an example for each rule about users, their log-ins and who acts for them. Trusts example.ts for the form; a test runs each.
import { integration, operation, orders, type RuleExamples } from "./example.ts";

const read = "match: GET /v1/invoices/{id}";
const estate = (people: string) => `# sallyport.yaml
environments:
  production:
    people: ${people}`;
const everybody = estate("{ signIn: [passkey, password] }");
const app = orders(`identity:
  client: orders
  public: true
  grants: [authorization_code, refresh_token]
  redirectUris: ["http://127.0.0.1/callback"]`);
const stepUp = operation("invoice.read", `${read}\nacr: mfa`);
const confidential = operation("invoice.read", `${read}\nclassification: confidential`);
const refund = (more: string) =>
  operation("invoice.refund", `match: POST /v1/refunds\nclassification: confidential${more}`);
const exchange = (more: string) =>
  `${integration(`exchange:\n  - subject: own\n    operations: [invoice.read]${more}`)}`;

export const peopleExamples: RuleExamples = {
  "step-up-unreachable": {
    bad: `${estate("{ signIn: [password] }")}\n${operation("invoice.read", `${read}\nacr: phishing-resistant`)}`,
    good: `${estate("{ signIn: [passkey] }")}\n${operation("invoice.read", `${read}\nacr: phishing-resistant`)}`,
    waive: "while the operation waits for its environment to get its users.",
  },
  "step-up-for-machine": {
    bad: `${everybody}\n${stepUp}`,
    good: `${everybody}\n${stepUp}\n${app}`,
    waive: "while the consumer learns to sign its users in.",
  },
  "user-data-on-password": {
    bad: `${everybody}\n${confidential}\n${app}`,
    good: `${everybody}\n${operation("invoice.read", `${read}\nclassification: confidential\nacr: mfa`)}\n${app}`,
    waive: "while users get their second factor, with the day they all have one.",
  },
  "app-without-max-age": {
    bad: `${everybody}\n${refund("\nacr: mfa")}\n${app}\n${integration("", "invoice.refund")}`,
    good: `${everybody}\n${refund("\nacr: mfa\nmaxAge: 10m")}\n${app}\n${integration("", "invoice.refund")}`,
    waive: "where the change is harmless whoever makes it, with the reason why its data is confidential.",
  },
  "exchange-impersonates": {
    bad: exchange("\n    as: impersonate"),
    good: exchange(""),
    waive: "for a provider that refuses calls on somebody's behalf, until it reads `act`.",
  },
  "exchange-rebinds": {
    bad: exchange("\n    binding: rebind"),
    good: exchange(""),
    waive: "where the system that exchanges cannot hold the key it was called with, as behind another gateway.",
  },
  "session-long": {
    bad: estate("{ absolute: 7d, idle: 12h }"),
    good: estate("{ absolute: 12h, idle: 1h }"),
    waive: "for users of devices that nobody else can reach, with how that is known.",
  },
};
