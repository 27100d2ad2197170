// Promises a gateway, a provider whose answers go on as long as a test wants, and callers that read them piece by piece. Trusts its caller to close it.
// For tests of what happens to a crossing after it was let pass. Specified in docs/streams.md.
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { Leaf } from "@sallyport/protocol/audit/leaf.ts";
import { type CountingUpstream, startCountingUpstream } from "./counting-upstream.ts";
import { openTestLog } from "./open-test-log.ts";
import { outcomeOf, startTestGateway, type TestGateway, type TestGatewayOptions, until } from "./start-test-gateway.ts";
import { TestCaller, type TokenChanges } from "./test-caller.ts";
import type { TestEstate } from "./test-estate.ts";

/** The provider's end of one answer. */
export interface ProviderEnd {
  readonly response: ServerResponse;
  /** It heard that nobody listens any more. */
  readonly isClosed: () => boolean;
}

/** A caller's end. */
export interface Followed {
  readonly id: string;
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  text(): string;
  /** `whole`: the answer ended as one; `cut`: it did not; null: it goes on. */
  end(): "whole" | "cut" | null;
  pause(): void;
  resume(): void;
  close(): void;
}

export interface StreamBench {
  readonly bed: TestGateway;
  readonly upstream: CountingUpstream;
  readonly orders: TestCaller;
  readonly portal: TestCaller;
  readonly url: string;
  readonly providers: ProviderEnd[];
  /** How the provider begins its answers; the default is an event stream with one event. */
  begin(response: ServerResponse): void;
  follow(caller: TestCaller, options?: FollowOptions): Promise<Followed>;
  publish(change?: (estate: TestEstate) => TestEstate): Promise<void>;
  outcome(id: string): Promise<Extract<Leaf, { t: "outcome" }>>;
  close(): Promise<void>;
}

export interface FollowOptions {
  readonly path?: string;
  readonly claims?: TokenChanges;
  readonly token?: string;
}

export const followPath = "/news/v1/events";

export function newsEstate(url: string): TestEstate {
  const names = ["events.follow", "events.secret", "events.guarded"];
  return {
    systems: [
      { id: "orders", clients: ["orders"] },
      { id: "portal", clients: ["portal"] },
      {
        id: "news",
        url,
        operations: [
          { name: "events.follow", method: "GET", path: "/v1/events", changes: { timeoutMs: 60_000 } },
          {
            name: "events.secret",
            method: "GET",
            path: "/v1/secret",
            changes: { classification: "restricted", timeoutMs: 60_000 },
          },
          { name: "events.guarded", method: "GET", path: "/v1/guarded", changes: { timeoutMs: 60_000 } },
        ],
      },
    ],
    integrations: ["orders", "portal"].map((from) => ({
      id: `${from}-to-news`,
      from,
      to: "news",
      operations: names.map((name) => ({ name })),
    })),
  };
}

export async function openStreamBench(
  options: Partial<Omit<TestGatewayOptions, "estate" | "openLog">> & {
    readonly estate?: (url: string) => TestEstate;
  } = {},
): Promise<StreamBench> {
  const { estate: estateOf = newsEstate, ...rest } = options;
  const upstream = await startCountingUpstream();
  const bed = await startTestGateway({ estate: estateOf(upstream.url), openLog: openTestLog, ...rest });
  const url = bed.addresses[0]?.url ?? "";
  const providers: ProviderEnd[] = [];
  const open: ClientRequest[] = [];
  const caller = (client: string) => new TestCaller(bed.feed, client, () => bed.clock.now());
  upstream.answer = (_request, response) => {
    let closed = false;
    response.on("close", () => {
      closed = true;
    });
    providers.push({ response, isClosed: () => closed });
    bench.begin(response);
  };
  const bench: StreamBench = {
    bed,
    upstream,
    orders: caller("orders"),
    portal: caller("portal"),
    url,
    providers,
    begin: (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    },
    async follow(who, { path = followPath, claims, token = who.token("news", claims) } = {}) {
      if (who.nonce === undefined) await who.learnNonce(`${url}${path}`);
      const headers = { authorization: `DPoP ${token}`, dpop: who.proof("GET", `${url}${path}`, token) };
      return followed(`${url}${path}`, headers, open);
    },
    publish: (change = (estate) => estate) => bed.publish(change(estateOf(upstream.url))),
    outcome: (id) => outcomeOf(bed, id),
    async close() {
      for (const one of open) one.destroy();
      await bed.close();
      await upstream.close();
    },
  };
  return bench;
}

/** `open` gets the request, for whoever ends what is left. `agent`: the connection it goes over; false: one of its own. */
export async function followed(
  url: string,
  headers: Record<string, string>,
  open: ClientRequest[],
  agent: Agent | false = false,
): Promise<Followed> {
  const request = httpRequest(url, { headers, agent });
  open.push(request);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on("response", resolve).on("error", reject).end();
  });
  let text = "";
  let end: "whole" | "cut" | null = null;
  response.on("data", (chunk: Buffer) => {
    text += chunk.toString("utf8");
  });
  response.on("end", () => {
    end = "whole";
  });
  response.on("error", () => {
    end = "cut";
  });
  request.on("error", () => undefined);
  return {
    id: String(response.headers["sallyport-crossing"] ?? ""),
    status: response.statusCode ?? 0,
    headers: response.headers,
    text: () => text,
    end: () => end,
    pause: () => void response.pause(),
    resume: () => void response.resume(),
    close: () => void request.destroy(),
  };
}

/** Until it has ended, and how. */
export async function ended(one: Followed): Promise<"whole" | "cut"> {
  await until(() => one.end() !== null, "the end of a stream");
  return one.end() ?? "cut";
}
