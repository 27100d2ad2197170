// Promises the whole public surface of @sallyport/sdk, by name: what stands here changes only with the version, every other file may change.
// Trusts nothing. Specified in docs/sdk.md, which a test keeps equal to this list.
export { type Decision, type DecisionQuestion, decide } from "./decide.ts";
export {
  correlationIdOf,
  type Denial,
  DeniedError,
  denialOf,
  isDeniedByGateway,
  type StepUpWanted,
  stepUpOf,
  throwIfDenied,
} from "./denial.ts";
export { type FaultCode, SallyportFault } from "./fault.ts";
export {
  type ConnectMiddleware,
  type GuardOptions,
  principalOf,
  type Refusal,
  refusalOf,
  sallyportGuard,
  sallyportMiddleware,
} from "./guard.ts";
export { type IdempotentFetchOptions, idempotentFetch } from "./idempotent-fetch.ts";
export { type ClientKey, generateClientKey, type PublicJwks, publicJwks } from "./node-crypto.ts";
export { type RefreshStreamOptions, refreshStream } from "./refresh-stream.ts";
export { type SallyportFetch, type SallyportFetchOptions, sallyportFetch } from "./sallyport-fetch.ts";
export type { ServicePrincipal } from "./service-principal.ts";
export { type KeySource, type RemoteKey, type Signer, signerFrom } from "./signer.ts";
export { type TlsOptions, tlsFetch } from "./tls-fetch.ts";
export {
  type AccessToken,
  TokenClient,
  type TokenClientOptions,
  type TokenRequest,
  tokenClient,
} from "./token-client.ts";
export {
  createDirectVerifier,
  type DirectVerifierOptions,
  type VerifiedDirect,
  type VerifyDirect,
} from "./verify-direct.ts";
export {
  createRequestVerifier,
  type RequestVerifierOptions,
  type VerifiedRequest,
  type VerifyRequest,
} from "./verify-request.ts";
