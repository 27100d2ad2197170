// The little of oidc-provider 9.13.3 that provider.ts touches; the package ships no types.
declare module "oidc-provider" {
  import type { KeyObject } from "node:crypto";
  import type { EventEmitter } from "node:events";
  import type { IncomingMessage, ServerResponse } from "node:http";

  export interface ProviderContext {
    readonly req: IncomingMessage;
    readonly res: ServerResponse;
    status: number;
    body: unknown;
    path: string;
    readonly state: Record<string, unknown>;
    set(name: string, value: string): void;
    remove(name: string): void;
    get(name: string): string;
    readonly oidc: {
      readonly client?: { readonly clientId: string };
      readonly params?: Record<string, string | readonly string[] | undefined>;
      readonly route?: string;
    };
  }

  export class Provider extends EventEmitter {
    constructor(issuer: string, setup: Readonly<Record<string, unknown>>);
    registerGrantType(
      name: string,
      handler: (context: ProviderContext) => Promise<void>,
      parameters: readonly string[],
      dupes?: readonly string[],
    ): void;
    use(middleware: (context: ProviderContext, next: () => Promise<void>) => Promise<void>): this;
    readonly Client: {
      readonly prototype: { compareClientSecret: (this: { readonly clientId: string }, text: string) => boolean };
    };
    callback(): (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  }

  export class ExternalSigningKey {
    keyObject(): KeyObject;
    sign(data: Uint8Array): Promise<Uint8Array>;
    get kid(): string | undefined;
    set kid(value: string | undefined);
    get alg(): string | undefined;
    set alg(value: string | undefined);
  }

  type DescribedError = new (description: string) => Error;

  export interface ErrorClasses {
    readonly InvalidClientAuth: new (detail: string) => Error;
    readonly UnsupportedGrantType: new () => Error;
    readonly CustomOIDCProviderError: new (error: string, description: string) => Error;
    readonly InvalidRequest: DescribedError;
    readonly InvalidRequestObject: DescribedError;
    readonly InvalidScope: DescribedError;
    readonly InvalidTarget: DescribedError;
    readonly UnauthorizedClient: DescribedError;
    readonly UnsupportedResponseMode: DescribedError;
  }

  export interface PolicyClasses {
    readonly Check: new (
      reason: string,
      description: string,
      error: string,
      check: (context: ProviderContext) => boolean,
      details: (context: ProviderContext) => Readonly<Record<string, unknown>>,
    ) => object;
    readonly Prompt: new (
      info: { readonly name: string; readonly requestable?: boolean },
      ...checks: readonly object[]
    ) => object;
  }

  export const errors: ErrorClasses;
  export const interactionPolicy: PolicyClasses;
}
