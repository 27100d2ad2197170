// Promises how long a revocation of each kind takes to bite at a gateway in a process of its own, with many other gateways' ends of the channel beside it,
// that nothing was refused before it, nothing accepted after it, and nothing refused that it does not concern. Times begin before the order is sent, so
// they are never shorter than from its commit. Trusts the answers. Specified in RESULTS.md.
import type { Signer } from "@sallyport/sdk/signer.ts";
import { TokenClient } from "@sallyport/sdk/token-client.ts";
import type { AdminClient } from "sallyport/admin-client.ts";
import { type Installation, until } from "sallyport/installation.test-support.ts";
import { startProcess } from "../gateway/process.ts";
import { freshOperator, withInstallation } from "../soak-installation.ts";
import { appFiles, Person, signInEnvironment } from "./person.ts";
import { Prober, type Seen } from "./prober.ts";
import { claimsOf, headerOf } from "./token-parts.ts";
import { type RevokedBy, revokedBy, type SubscribersState } from "./words.ts";

export interface RevocationRun {
  readonly subscribers: number;
  /** Of each kind. */
  readonly rounds: number;
}

export interface RoundResult {
  readonly by: RevokedBy;
  /** Until the gateway refused; null: never. */
  readonly refusedMs: number | null;
  /** Until the last subscriber held it. */
  readonly everywhereMs: number;
}

export interface RevocationResult {
  readonly rounds: readonly RoundResult[];
  readonly subscribers: SubscribersState;
  /** What must not happen, in words; the first few. */
  readonly wrong: readonly string[];
}

const callsBefore = 10;
const callsAfter = 10;
const giveUpMs = 30_000;
const wrongShownMax = 20;
const reason = "bench";

export function measureRevocation({ subscribers, rounds }: RevocationRun): Promise<RevocationResult> {
  return withInstallation(
    async ({ installation }) => {
      const crowd = startProcess("../revocation/subscribers.ts", { core: null });
      try {
        const operator = freshOperator(installation);
        await crowd.ask({ ask: "join", tokens: await joinTokens(operator(), subscribers) });
        const bench = new Bench(installation, operator, await Person.enrol(installation, operator(), "anna"));
        const results: RoundResult[] = [];
        for (let round = 0; round < rounds; round += 1)
          for (const by of revokedBy) {
            const took = await bench.round(by, async (revocationSeq) => {
              await crowd.ask({ ask: "holds", revocationSeq });
              return performance.now();
            });
            results.push({ by, ...took });
          }
        const state = await crowd.ask<SubscribersState>({ ask: "state" });
        return { rounds: results, subscribers: state, wrong: bench.wrong };
      } finally {
        await crowd.stop();
      }
    },
    { files: appFiles, environments: signInEnvironment },
  );
}

async function joinTokens(operator: AdminClient, count: number): Promise<readonly string[]> {
  const tokens: string[] = [];
  while (tokens.length < count) {
    const { token } = await operator.call<{ token: string }>("POST", "/v1/groups/production-default/join-tokens", {
      lifetimeMs: 120_000,
    });
    tokens.push(token);
  }
  return tokens;
}

interface Case {
  readonly victim: Prober;
  /** Looks much like the victim and is not meant; null where everything is. */
  readonly bystander: Prober | null;
  readonly order: () => Promise<unknown>;
}

class Bench {
  readonly wrong: string[] = [];
  readonly #installation: Installation;
  readonly #operator: () => AdminClient;
  readonly #person: Person;
  readonly #holder: Signer;
  /** Of the last revocation. */
  #seq = 0;

  constructor(installation: Installation, operator: () => AdminClient, person: Person) {
    this.#installation = installation;
    this.#operator = operator;
    this.#person = person;
    this.#holder = installation.clientKey.signer;
  }

  async round(by: RevokedBy, everywhere: (revocationSeq: number) => Promise<number>): Promise<Omit<RoundResult, "by">> {
    const { victim, bystander, order } = await this.#stage(by);
    for (let call = 0; call < callsBefore; call += 1) this.#expect("allowed", await victim.send(), `${by}: before`);
    const orderedMs = performance.now();
    const done = order();
    const refusedMs = await this.#untilRefused(victim, orderedMs);
    const answer = await done;
    // An order that does not say its entry made one.
    this.#seq = typeof answer === "object" && answer !== null && "seq" in answer ? Number(answer.seq) : this.#seq + 1;
    const everywhereMs = (await everywhere(this.#seq)) - orderedMs;
    for (let call = 0; call < callsAfter; call += 1) this.#expect("refused", await victim.send(), `${by}: after`);
    if (bystander !== null) this.#expect("allowed", await bystander.send(), `${by}: somebody else`);
    return { refusedMs, everywhereMs };
  }

  async #untilRefused(victim: Prober, orderedMs: number): Promise<number | null> {
    for (;;) {
      const seen = await victim.send();
      if (seen.kind === "refused") return seen.atMs - orderedMs;
      this.#expect("allowed", seen, "while under way");
      if (seen.atMs - orderedMs > giveUpMs) return null;
    }
  }

  #expect(kind: Seen["kind"], seen: Seen, when: string): void {
    if (seen.kind !== kind && this.wrong.length < wrongShownMax) this.wrong.push(`${when}: ${seen.kind}, ${seen.why}`);
  }

  async #stage(by: RevokedBy): Promise<Case> {
    const machine = () => this.#machineToken();
    const sameSession = () => this.#person.token(this.#holder);
    // A sign-in from before a revocation of its user allows nothing any more.
    const user = () => {
      this.#person.signElsewhere();
      return sameSession();
    };
    const prober = (token: string) =>
      new Prober(`https://127.0.0.1:${this.#installation.ports.gateway}`, this.#holder, token);
    const revoke = (kind: RevokedBy, value: unknown) => () =>
      this.#operator().call("POST", "/v1/revocations", { kind, value: String(value), reason });
    const among = async (victim: string, bystander: string | null, order: Case["order"]): Promise<Case> => ({
      victim: prober(victim),
      bystander: bystander === null ? null : prober(bystander),
      order,
    });
    switch (by) {
      case "jti": {
        const [victim, other] = [await this.#alive(machine), await machine()];
        return among(victim, other, revoke(by, claimsOf(victim)["jti"]));
      }
      case "client": {
        const [victim, other] = [await this.#alive(machine), await this.#alive(user)];
        return among(victim, other, revoke(by, claimsOf(victim)["client_id"]));
      }
      case "grant": {
        const [victim, other] = [await this.#alive(user), await sameSession()];
        const [grant] = [claimsOf(victim)["gid"]].flat();
        return among(victim, other, revoke(by, grant));
      }
      case "session": {
        const [other, victim] = [await this.#alive(user), await user()];
        const order = () =>
          this.#operator().call("POST", `/v1/sessions/${String(claimsOf(victim)["sid"])}/end`, { reason });
        return among(victim, other, order);
      }
      case "subject": {
        const [victim, other] = [await this.#alive(user), await this.#alive(machine)];
        return among(victim, other, revoke(by, claimsOf(victim)["sub"]));
      }
      case "kid": {
        const victim = await this.#alive(machine);
        const { kid } = headerOf(victim);
        const kill = { environment: "production", reason };
        return among(victim, null, () => this.#operator().call("POST", `/v1/keys/${String(kid)}/kill`, kill));
      }
    }
  }

  async #machineToken(): Promise<string> {
    const issuer = `https://127.0.0.1:${this.#installation.ports.identity}/main/production`;
    const client = new TokenClient({ issuer, clientId: "orders", key: this.#holder, dpopKey: this.#holder });
    return (await client.token({ resource: `${issuer}/systems/billing` })).token;
  }

  /** A revocation reaches to the end of its second: tokens and sign-ins made too soon after it are as dead as those before. */
  async #alive(make: () => Promise<string>): Promise<string> {
    let token = "";
    await until("a token issued after the last revocation", async () => {
      token = await make().catch(() => "");
      if (token === "") return false;
      const prober = new Prober(`https://127.0.0.1:${this.#installation.ports.gateway}`, this.#holder, token);
      return (await prober.send()).kind === "allowed";
    });
    return token;
  }
}
