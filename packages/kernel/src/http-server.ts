// Promises the HTTP server of node:http as it is. Trusts nothing. Importing node:http by name makes Node look at each of its exports, and some of them
// load the whole client behind `fetch`: 50 ms of processor time at the start and 16 MB for every process, for nothing we use.
import type * as http from "node:http";

const loaded = process.getBuiltinModule("node:http");

export const { createServer, IncomingMessage, ServerResponse } = loaded;
export type IncomingMessage = http.IncomingMessage;
export type ServerResponse = http.ServerResponse;
export type Server = http.Server;
