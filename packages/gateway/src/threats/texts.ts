// Promises whether a text is one of the attacks that its rule is named for. Trusts the text to be folded. Patterns have bounded repeats alone, so that each
// place of the text costs at most a constant. Pure. Specified in docs/threats.md, a section for each rule.
import type { ThreatRule } from "@sallyport/protocol/snapshot/threat-rule.ts";
import { isServerSideRequest } from "./internal-address.ts";
import { isSqlInjection } from "./sql.ts";

/** A parameter is one value of the request's head or a form; content is a text of a body, which may have lines and prose. */
export type Kind = "parameter" | "content";

type TextRule = readonly [ThreatRule, (folded: string, kind: Kind) => boolean];

export const textRules: readonly TextRule[] = [
  ["null-byte", (text) => text.includes("\0")],
  ["crlf-injection", isCrlfInjection],
  ["path-traversal", isPathTraversal],
  ["script-injection", (text) => /[<:]|srcdoc/.test(text) && scripts.some((rule) => rule.test(text))],
  ["template-injection", isTemplateInjection],
  ["jndi-lookup", (text) => text.includes("${") && lookups.test(text)],
  ["server-side-request", isServerSideRequest],
  ["nosql-operator", (text) => text.includes("$") && operatorInText.test(text)],
  ["prototype-pollution", (text) => prototypeInText.test(text)],
  ["command-injection", isCommandInjection],
  ["sql-injection", isSqlInjection],
];

const operatorInText =
  /["']\$(?:ne|eq|gte?|lte?|n?in|where|regex|expr|n?or|and|not|exists|function|accumulator)["'] ?:/;
const prototypeInText = /["'[]__proto__["'\]]|constructor(?:\.|["']?\]\[["']?|["'] ?: ?\{ ?["'])prototype/;

const headerBehindLine = /[\r\n](?:[a-z][a-z0-9-]{0,63} ?:|http\/[0-9])/;
const knownHeaderBehindLine =
  /[\r\n](?:set-cookie|location|content-length|transfer-encoding|access-control-[a-z-]{1,40}) ?:|[\r\n]http\/[0-9]\.[0-9] /;

/** Mail and notes have lines that look like headers; a value of the head has none. */
function isCrlfInjection(text: string, kind: Kind): boolean {
  if (!text.includes("\n") && !text.includes("\r")) return false;
  return (kind === "parameter" ? headerBehindLine : knownHeaderBehindLine).test(text);
}

const climb = /(?:^|[/\\=:;,])\.{2,4}(?:[/\\]|;[/\\])|[/\\]\.\.$|^\.\.$/;
const climbToKnown =
  /\.\.(?:;?[/\\]){1,4}(?:[\w.]{1,32}[/\\]{1,2}){0,3}(?:passwd|shadow|hosts|win\.ini|boot\.ini|web\.config|web\.xml|\.env|\.git|\.ssh|id_rsa|environ|system32)\b/;
const knownFile =
  /^(?:file:[/\\]{2,3})?(?:[/\\]{1,3}etc[/\\]{1,3}(?:passwd|shadow|group|hosts|sudoers)\b|[/\\]{1,3}proc[/\\]{1,3}(?:self|version|cmdline|\d{1,7})\b|[a-z]:[/\\]{1,3}(?:windows|winnt|boot\.ini|inetpub)\b|[/\\]{1,3}(?:web|meta)-inf[/\\])/;
const pathCharactersMax = 4_096;

/** In prose two dots and a slash are often a link between pages; a value that is all path climbs. */
function isPathTraversal(text: string, kind: Kind): boolean {
  if (!text.includes("..")) return knownFile.test(text);
  if (climbToKnown.test(text)) return true;
  const isPath = kind === "parameter" || (text.length <= pathCharactersMax && !/\s/.test(text));
  return isPath && (climb.test(text) || knownFile.test(text));
}

const scripts: readonly RegExp[] = [
  /<\/?(?:script|iframe|object|embed|applet|base|frameset)(?:[\s/>]|$)/,
  /<(?:meta|link)[\s/][^<>]{0,256}(?:http-equiv|javascript:|data:)/,
  /<[a-z!/?][^<]{0,512}?[\s"'/]on[a-z]{3,24}\s{0,8}=/,
  /(?:^|[\s"'=(,;])(?:j\s{0,4}a\s{0,4}v\s{0,4}a|vb)\s{0,4}script\s{0,4}:\s{0,4}[\w(%`'"/[{]/,
  /(?:^|[\s"'=(,])data:(?:text\/html|image\/svg\+xml|application\/xhtml)[;,]/,
  /\bsrcdoc\s{0,8}=/,
];

const templateMarks = /\{\{|\$\{|#\{|\*\{|@\{|<%|\{%/;
const sums = /(?:\{\{|[$#*@]\{|<%=)[-{ ]{0,4}['"]?\d{1,16}['"]? ?[*+/-] ?['"]?\d{1,16}['"]? {0,4}[-}%]/;
const inside =
  /__(?:class|globals|mro|bases|subclasses|import|builtins|init|getattribute)__|\b(?:getclass|forname|getruntime|processbuilder|java\.lang|freemarker\.template|constructor\.constructor|\._module|popen|system|exec|passthru|assert|file_get_contents|process\.env|mainmodule|require) ?\(|\b(?:getclass|getruntime|processbuilder|java\.lang\.\w|freemarker\.template|constructor\.constructor|mainmodule|lipsum\.|cycler\.|self\.env|config\.items|settings\.secret_key|_self\.env|t\(java)/g;
const expressionCharactersMax = 256;
const bareNames = /\{\{ {0,4}(?:config|self|settings|request|_self|dump\(app\)|app\.request[\w.]{0,32}) {0,4}\}\}/;

/** A name between braces is what templates are for; sums and ways into the language are not. */
function isTemplateInjection(text: string): boolean {
  if (!templateMarks.test(text)) return false;
  if (sums.test(text) || bareNames.test(text)) return true;
  for (const { index } of text.matchAll(inside)) {
    const before = text.slice(Math.max(0, index - expressionCharactersMax), index);
    const opened = Math.max(...["{{", "${", "#{", "*{", "@{", "<%", "{%"].map((mark) => before.lastIndexOf(mark)));
    if (opened >= 0 && !/\}\}|%\}|%>/.test(before.slice(opened))) return true;
  }
  return false;
}

/** Of Log4j's own language: the lookup, and ways of writing its letters one by one. */
const lookups =
  /\$\{ {0,4}jndi ?:|\$\{(?:lower|upper):.{0,4}\}|\$\{[a-z0-9_.-]{0,24}:[a-z0-9_.-]{0,24}:-[^{}]{0,4}\}|\$\{[^{}]{0,32}\$\{[^{}]{0,64}\}[^{}]{0,32}(?:jndi|ldap|rmi|dns|:\/\/)/;

const path = "(?:/(?:usr/)?(?:local/)?s?bin/)?";
const behind = String.raw`(?:[;|&]|\$\(|[<>]\(|(?<=[^\s\x60])\x60) ?`;
/** Words that stand in prose for themselves seldom enough. */
const seldom = new RegExp(
  String.raw`${behind}${path}(?:whoami|uname|wget|curl|nslookup|ifconfig|ipconfig|netstat|powershell|pwsh|certutil|netcat|ncat|chmod|chown|printenv|xxd|tcpdump|crontab|systeminfo|tasklist|bitsadmin|mkfifo|busybox|nohup)(?:\.exe)?(?:$|[;|&<>)\x60]| [-/.~$]| https?:| \w{1,32}[./\\-])`,
);
/** Words that prose has: an argument has to look like one of a shell. */
const often = new RegExp(
  String.raw`${behind}${path}(?:cat|ls|id|rm|ping|sleep|echo|sh|bash|zsh|ksh|python[23]?|perl|ruby|php|node|nc|env|find|head|tail|touch|dir|type|ps|kill|tee|awk|sed|telnet|ssh|scp|ftp|tar|cp|mv|grep|more|less|nl|od|dig|host|net|del|copy|cmd|base64|source|eval|exec)(?:\.exe)?(?: -{1,2}[a-z0-9]| /(?:etc|bin|usr|tmp|dev|var|proc|home|root|opt|c)\b| (?:\.{1,2}|~)/| [a-z]:\\|< ?/| \$[({]| ?\$ifs)`,
);
const alone = new RegExp(
  String.raw`(?:;|&&|\|\||\$\(|(?<=[^\s\x60])\x60) ?${path}(?:id|ls|ps|pwd|env|dir|whoami)(?:$|[;|&)\x60\n]| ?;)|(?:^|[^|])\| ?(?:id|ls|ps|pwd|env|dir|whoami) ?$`,
);
const waits = new RegExp(String.raw`${behind}${path}(?:sleep|ping(?: -[a-z])?) \d{1,6}\b`);
const anyShell =
  /\$\{?ifs\b|\/dev\/(?:tcp|udp)\/|\/bin\/(?:ba|z|k|da)?sh\b ?-[a-z]|\$\( ?(?:cat|ls|id|echo|sleep|ping|curl|wget|whoami|uname|bash|sh|printf|nslookup|dig)[ )]|\(\) ?\{ ?:;? ?\};/;
const quoting = /['"\\^]/g;

/** Quotes and backslashes inside of a word are nothing to a shell. */
function isCommandInjection(folded: string): boolean {
  if (!/[;|&`$<>]|\/bin\/|\/dev\//.test(folded)) return false;
  const text = folded.replace(/[\s+]+/g, " ");
  const bare = text.replace(quoting, "");
  return isCommand(text) || (bare !== text && isCommand(bare));
}

const isCommand = (text: string): boolean =>
  anyShell.test(text) || seldom.test(text) || often.test(text) || alone.test(text) || waits.test(text);
