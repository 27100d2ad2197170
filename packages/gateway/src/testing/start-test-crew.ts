// Promises a real gateway of several worker threads, with connections that are known to be served by one of them each. Trusts start-test-gateway.ts.
import { Agent } from "node:http";
import { type CrewGateway, type CrewOptions, createCrew } from "../workers/crew.ts";
import type { CountingUpstream } from "./counting-upstream.ts";
import { openTestLog, type TestLog } from "./open-test-log.ts";
import { startTestGateway, type TestGateway, type TestGatewayOptions, until } from "./start-test-gateway.ts";
import { TestCaller } from "./test-caller.ts";

export interface TestCrew {
  readonly bed: TestGateway;
  readonly crew: CrewGateway;
  readonly log: TestLog;
  readonly url: string;
  /** Why a worker ended by itself. */
  readonly ended: Promise<Error>;
  close(): Promise<void>;
}

interface CrewChanges extends Partial<Pick<CrewOptions, "geo" | "limitsStore">> {
  /** Absent: two. */
  readonly workers?: number;
}

export async function startTestCrew(
  options: Omit<TestGatewayOptions, "openLog" | "make"> & CrewChanges,
): Promise<TestCrew> {
  const ended = Promise.withResolvers<Error>();
  let opened: TestLog | null = null;
  let made: CrewGateway | null = null;
  const bed = await startTestGateway({
    ...options,
    openLog: async (directory) => {
      opened = await openTestLog(directory);
      return opened;
    },
    make: (given, hopPem) => {
      if (opened === null) throw new Error("the log is opened before");
      const { workers = 2, geo = null, limitsStore = null } = options;
      const parts = { workers, geo, limitsStore, upstreamKeys: null };
      made = createCrew(given, { ...parts, log: opened, hopPem, ended: ended.resolve });
      return made;
    },
  });
  const [crew, log] = [made, opened] as [CrewGateway | null, TestLog | null];
  if (crew === null || log === null) throw new Error("both were made");
  await until(() => crew.perWorker().every(({ snapshot }) => snapshot !== null), "a snapshot in every worker");
  return { bed, crew, log, url: bed.addresses[0]?.url ?? "", ended: ended.promise, close: () => bed.close() };
}

/** Connections tried until every worker has one. */
const triesMax = 64;

/** One kept connection to each worker, in the order of the workers. `upstream` answers as it did, afterwards. */
export async function connectionsToEach(
  { crew, bed }: Pick<TestCrew, "crew" | "bed">,
  on: { readonly upstream: CountingUpstream; readonly url: string },
): Promise<readonly Agent[]> {
  const found = new Map<number, Agent>();
  const { answer } = on.upstream;
  const caller = new TestCaller(bed.feed, "orders");
  const workers = crew.perWorker().length;
  for (let tries = 0; found.size < workers && tries < triesMax; tries++) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const held: (() => void)[] = [];
    on.upstream.answer = (_request, response) => void held.push(() => response.end("{}"));
    const sent = caller.send(on.url, { agent });
    await until(() => held.length === 1 && crew.perWorker().some(({ inFlight }) => inFlight === 1), "it is under way");
    const worker = crew.perWorker().findIndex(({ inFlight }) => inFlight === 1);
    for (const release of held) release();
    await sent;
    await until(() => crew.status().inFlight === 0, "it has ended");
    if (found.has(worker)) agent.destroy();
    else found.set(worker, agent);
  }
  on.upstream.answer = answer;
  return Array.from({ length: workers }, (_, number) => {
    const agent = found.get(number);
    if (agent === undefined) throw new Error(`no connection came to worker ${number + 1}`);
    return agent;
  });
}
