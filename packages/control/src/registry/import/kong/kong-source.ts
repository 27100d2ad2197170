// Promises the services, routes, consumers and plugins of a declarative Kong file as records that know their place, nested or not. Pure.
// Trusts nothing. Source: Kong's declarative configuration format 1.1 to 3.0, as decK writes it.
import type { MapTree, Tree } from "../../config/yaml-tree.ts";
import { flagOf, itemsOf, mapOf, member, textOf } from "../tree-members.ts";

export interface KongPlugin {
  readonly name: string;
  readonly tree: Tree;
  /** Its own settings, then those of the shared configuration it names. */
  readonly configs: readonly Tree[];
  readonly service?: string;
  readonly route?: string;
  readonly consumer?: string;
  readonly group?: string;
}

export interface KongRoute {
  /** Unique in the file: its name, or one made from its place. */
  readonly name: string;
  readonly isNamed: boolean;
  readonly tree: Tree;
}

export interface KongService {
  readonly name: string;
  readonly tree: Tree;
  readonly routes: readonly KongRoute[];
}

export interface KongCredential {
  readonly kind: string;
  readonly tree: Tree;
}

export interface KongConsumer {
  readonly name: string;
  readonly tree: Tree;
  readonly groups: readonly string[];
  readonly credentials: readonly KongCredential[];
}

export interface KongSource {
  readonly root: MapTree;
  readonly services: readonly KongService[];
  /** Routes without a service. */
  readonly strayRoutes: readonly KongRoute[];
  readonly consumers: readonly KongConsumer[];
  /** Enabled ones. */
  readonly plugins: readonly KongPlugin[];
  readonly disabledPlugins: readonly KongPlugin[];
  readonly routeDefaults: Tree | undefined;
  readonly serviceDefaults: Tree | undefined;
  /** Before format 3.0 a path was a regular expression when it looked like one; from there on it says so with `~`. */
  readonly guessesRegex: boolean;
}

/** Key of a consumer's credentials -> the plugin that accepts them. */
export const credentialKinds: ReadonlyMap<string, string> = new Map([
  ["keyauth_credentials", "key-auth"],
  ["keyauth_enc_credentials", "key-auth-enc"],
  ["basicauth_credentials", "basic-auth"],
  ["jwt_secrets", "jwt"],
  ["hmacauth_credentials", "hmac-auth"],
  ["oauth2_credentials", "oauth2"],
  ["mtls_auth_credentials", "mtls-auth"],
]);

export function readKong(root: MapTree): KongSource {
  const topRoutes = itemsOf(root, "routes");
  const services = itemsOf(root, "services").map((tree, index): KongService => {
    const name = textOf(tree, "name") ?? textOf(tree, "id") ?? `service-${index + 1}`;
    const ids = [name, textOf(tree, "id")];
    const isOwn = (route: Tree): boolean => {
      const service = referenceTo(route, "service");
      return service !== undefined && ids.includes(service);
    };
    const own = [...itemsOf(tree, "routes"), ...topRoutes.filter(isOwn)];
    return { name, tree, routes: own.map((route, at) => routeOf(route, `${name}-route-${at + 1}`)) };
  });
  const taken = new Set(services.flatMap(({ routes }) => routes.map(({ tree }) => tree)));
  const consumers = readConsumers(root);
  const all = [...pluginsOf(root, root, {}), ...nestedPlugins(root, services, consumers)].map((plugin) =>
    byName(plugin, { services, consumers }),
  );
  const defaults = mapOf(mapOf(root, "_info"), "defaults");
  return {
    root,
    services,
    strayRoutes: topRoutes.filter((tree) => !taken.has(tree)).map((tree, at) => routeOf(tree, `route-${at + 1}`)),
    consumers,
    plugins: all.filter(({ tree }) => flagOf(tree, "enabled") !== false),
    disabledPlugins: all.filter(({ tree }) => flagOf(tree, "enabled") === false),
    routeDefaults: mapOf(defaults, "route"),
    serviceDefaults: mapOf(defaults, "service"),
    guessesRegex: !(textOf(root, "_format_version") ?? "3.0").startsWith("3"),
  };
}

function routeOf(tree: Tree, fallback: string): KongRoute {
  const name = textOf(tree, "name");
  return { name: name ?? fallback, isNamed: name !== undefined, tree };
}

/** `service: orders`, `service: { name: orders }` or `{ id: … }`. */
function referenceTo(tree: Tree, key: string): string | undefined {
  const inner = member(tree, key);
  return textOf(tree, key) ?? textOf(inner, "name") ?? textOf(inner, "username") ?? textOf(inner, "id");
}

function readConsumers(root: MapTree): readonly KongConsumer[] {
  return itemsOf(root, "consumers").map((tree, index) => {
    const name = textOf(tree, "username") ?? textOf(tree, "custom_id") ?? textOf(tree, "id") ?? `consumer-${index + 1}`;
    const ids = [name, textOf(tree, "id"), textOf(tree, "custom_id")];
    const mine = (key: string): readonly Tree[] => [
      ...itemsOf(tree, key),
      ...itemsOf(root, key).filter((item) => ids.includes(referenceTo(item, "consumer") ?? "\u0000")),
    ];
    return {
      name,
      tree,
      groups: mine("acls").flatMap((acl) => textOf(acl, "group") ?? []),
      credentials: [...credentialKinds.keys()].flatMap((kind) => mine(kind).map((item) => ({ kind, tree: item }))),
    };
  });
}

type Scope = Pick<KongPlugin, "service" | "route" | "consumer">;

function pluginsOf(root: MapTree, holder: Tree, scope: Scope): readonly KongPlugin[] {
  return itemsOf(holder, "plugins").map((tree) => {
    const shared = member(mapOf(root, "_plugin_configs"), textOf(tree, "_config") ?? "");
    const said = {
      service: referenceTo(tree, "service"),
      route: referenceTo(tree, "route"),
      consumer: referenceTo(tree, "consumer"),
    };
    const group = referenceTo(tree, "consumer_group");
    return {
      name: textOf(tree, "name") ?? "?",
      tree,
      configs: [member(tree, "config"), shared].filter((config) => config !== undefined),
      ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)),
      ...(group === undefined ? {} : { group }),
      ...scope,
    };
  });
}

function nestedPlugins(
  root: MapTree,
  services: readonly KongService[],
  consumers: readonly KongConsumer[],
): readonly KongPlugin[] {
  return [
    ...services.flatMap(({ name, tree, routes }) => [
      ...pluginsOf(root, tree, { service: name }),
      ...routes.flatMap((route) => pluginsOf(root, route.tree, { route: route.name })),
    ]),
    ...consumers.flatMap(({ name, tree }) => pluginsOf(root, tree, { consumer: name })),
  ];
}

/** What a plugin names by id, by its name. */
function byName(
  plugin: KongPlugin,
  known: { readonly services: readonly KongService[]; readonly consumers: readonly KongConsumer[] },
): KongPlugin {
  const named = (list: readonly { readonly name: string; readonly tree: Tree }[], id: string): string =>
    list.find(({ name, tree }) => name === id || textOf(tree, "id") === id)?.name ?? id;
  const { service, route, consumer } = plugin;
  const routes = known.services.flatMap((one) => one.routes);
  return {
    ...plugin,
    ...(service === undefined ? {} : { service: named(known.services, service) }),
    ...(route === undefined ? {} : { route: named(routes, route) }),
    ...(consumer === undefined ? {} : { consumer: named(known.consumers, consumer) }),
  };
}

/** The settings of a plugin by name; its own win over shared ones. */
export function settingOf(plugin: KongPlugin, key: string): Tree | undefined {
  return plugin.configs.map((config) => member(config, key)).find((value) => value !== undefined && !isNothing(value));
}

function isNothing(tree: Tree): boolean {
  return tree.kind === "scalar" && tree.value === null;
}

export interface CallPlace {
  readonly service: string;
  readonly route: string;
  readonly consumer?: string;
}

/** Every plugin that is in force for a call, also where a more specific one of its name takes its place. */
export function pluginsAt(plugins: readonly KongPlugin[], place: CallPlace): readonly KongPlugin[] {
  const fits = (said: string | undefined, is: string | undefined): boolean => said === undefined || said === is;
  return plugins.filter(
    ({ service, route, consumer }) =>
      fits(service, place.service) && fits(route, place.route) && fits(consumer, place.consumer),
  );
}

/** The one plugin of a name that is in force for a call: the most specific wins (Kong, "Plugin precedence"). */
export function pluginFor(plugins: readonly KongPlugin[], name: string, place: CallPlace): KongPlugin | undefined {
  const order = ({ consumer, route, service }: KongPlugin): number => {
    const [c, r, s] = [consumer, route, service].map((part) => part !== undefined);
    return c ? (r ? (s ? 8 : 7) : s ? 6 : 4) : r ? (s ? 5 : 3) : s ? 2 : 1;
  };
  return pluginsAt(plugins, place)
    .filter((plugin) => plugin.name === name && plugin.group === undefined)
    .toSorted((a, b) => order(b) - order(a))[0];
}
