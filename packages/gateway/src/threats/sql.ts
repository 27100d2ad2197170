// Promises whether a text leaves the place of a value in a statement of SQL. Trusts the text to be folded. Patterns have bounded repeats alone, so that each
// place of the text costs at most a constant. Pure. Specified in docs/threats.md "sql-injection".

const literal = String.raw`(?:-?\d{1,20}|[\w.@]{1,64}(?:\([^()]{0,64}\))?|(['"\x60])[^'"\x60]{0,64}['"\x60]?)`;
const compare = String.raw` ?(?:<=>|<>|!=|[=<>]|like[ '"(]|is |in\(|between |regexp|rlike|~)`;
const junction = String.raw`(?:(?:or|and|xor|having|where)(?=[ ('"\x60!~@\d-])|\|\||&&)`;
const end = String.raw` ?(?:$|--|#|;|/\*|\))`;
const verdictless = String.raw`(?:-?\d{1,20}|true|false|['"\x60]\w{0,16}['"\x60]?)${end}`;

/** A quote, then what only a statement goes on with; a break-out where the quote is not the end of a pair. */
const afterQuote = new RegExp(
  String.raw`(['"\x60])\)? ?(?:${junction}[ (]?(?:not[ (]|exists[ (]?\(select|${verdictless}|${literal}${compare})|(?:order|group) by |union[ (]|;? ?--(?=$|[ \-+])|;? ?#(?= ?$| )|/\*)`,
  "g",
);
/** As above where no space follows: an end only where the quotes of the whole text are odd. */
const bareEnd = /(['"])\)?;?(?:--|#)/g;

const anywhere: readonly RegExp[] = [
  /\bunion[ (](?:all[ (]|distinct[ (])?select[ (]?(?:(?:all|distinct|top \d{1,6})[ (])?(?:\d|null\b|['"*@]|[\w.$]{1,64}(?:\(| ?\*|(?: as)?(?: \w{1,64})? from[ (]|,[\w.'"@(]{1,64}(?:,|\(| from[ (]| ?$|--|#)))/,
  /(?:^|[^\w])(?:or|and|xor|having|\|\||&&)[ (](?:not[ (])?(?:-?\d{1,20}|(['"])\w{0,32}\1) ?(?:=|<=>|like )(?!=) ?(?:-?\d{1,20}|['"]\w{0,32}['"]?)/,
  new RegExp(
    String.raw`(?:^|[^\w])(?:or|and|xor|having|\|\||&&)[ (](?:not[ (])?-?\d{1,20} ?(?:<>|!=|<|>) ?-?\d{1,20}${end}`,
  ),
  /(?:^|[^\w])(?:or|and|xor|select|case when|\|\||&&|[,=])[ (](?:ascii|ord|substring|substr|mid|sleep|benchmark|extractvalue|updatexml|load_file|randomblob)\(/,
  /[,=](?:sleep|benchmark|extractvalue|updatexml|load_file|randomblob)\(/,
  /\bpg_sleep\(|\bwaitfor delay ?['"(]|\bbenchmark\(\d|\bxp_cmdshell\b|\bdbms_(?:pipe|lock|xmlgen)\.|\butl_(?:http|inaddr|smtp)\.|\binto (?:out|dump)file ?['"]|\bload_file\(/,
  /\b(?:from|join)[ (](?:information_schema\.|pg_catalog\.|sqlite_(?:master|schema)\b|all_tables\b|mysql\.user\b|sys\.|sysobjects\b|syscolumns\b)/,
  /['"\d)] ?(?:\|\||[=<>,]|\bin) ?\(select[ (](?:\d|null\b|['"*@]|[\w.]{1,64}(?:\(| from[ (]))/,
  /^-?\d{1,10}\)? (?:order|group) by \d{1,4}(?:,\d{1,4})* ?(?:$|--|#)/,
  /^['"] ?(?:=|<>|!=|like|\|\||&&?|\^|div) ?['"]/,
  /;(?:drop (?:table|database|schema|view|user|index|procedure|function|role) [\w"[]|truncate table |alter (?:table|user|role|database) \w|create (?:table|user|role|login) \w|delete from [\w."[\]]{1,64} ?(?:;|$|where |--|#)|insert into [\w."[\]]{1,64} ?(?:\(|values|select|set )|update [\w."[\]]{1,64} set |exec(?:ute)?(?: immediate | xp_| sp_| @|[ (]['"])|shutdown ?(?:;|--|$|with )|declare @|copy \w{1,64} (?:from|to) program|select (?:pg_sleep|sleep|version|current_user)[ (])/,
];

/** Nothing below finds anything without one of these: a quote alone is a name. */
const mayBeSql =
  /union|select|\b(?:or|and|xor|having|where|waitfor|exec|execute|drop|truncate|alter|create|insert|update|delete|declare|shutdown|copy)\b|by|sleep|ascii|substr|\bord\(|\bmid\(|extractvalue|updatexml|randomblob|benchmark|xp_cmd|dbms_|utl_|outfile|dumpfile|load_file|from|join|\|\||&&|['"`][\s)+\0;]*(?:--|#|\/\*)|^['"`][\s+\0]*(?:[=<>!|&^]|like|div)/;

export function isSqlInjection(folded: string): boolean {
  if (!mayBeSql.test(folded)) return false;
  const text = collapse(folded);
  if (breaksOut(text)) return true;
  if (!/\/\*|--|#/.test(folded)) return false;
  const bare = collapse(withoutComments(folded));
  return bare !== text && breaksOut(bare);
}

const breaksOut = (text: string): boolean => leavesQuotes(text) || anywhere.some((rule) => rule.test(text));

/** White space of every kind, plus signs of forms, and runs of brackets are one. */
const collapse = (text: string): string =>
  text
    .replace(/[\s+\0]+/g, " ")
    .replace(/ ?([(),;])[ ]?/g, "$1")
    .replace(/\({2,}/g, "(")
    .replace(/\){2,}/g, ")");

/** Is one of the quotes that go on as a statement does the end of a text that the statement began? */
function leavesQuotes(text: string): boolean {
  const seen = new Quotes(text);
  for (const match of text.matchAll(afterQuote)) if (seen.isEndAt(match.index, match[1] ?? "")) return true;
  let whole: Quotes | null = null;
  for (const match of text.matchAll(bareEnd)) {
    whole ??= new Quotes(text).read(text.length);
    if (whole.isOdd(match[1] ?? "")) return true;
  }
  return false;
}

/** Quotes before a place, of each kind: with and without those behind a backslash, since databases differ. */
class Quotes {
  readonly #text: string;
  readonly #counts: Record<string, { all: number; bare: number }> = {};
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Counts on to `end`; places are asked for in ascending order. */
  read(end: number): this {
    for (; this.#at < end; this.#at++) {
      const sign = this.#text.charAt(this.#at);
      if (sign !== "'" && sign !== '"' && sign !== "`") continue;
      const count = this.#countOf(sign);
      count.all++;
      if (this.#text[this.#at - 1] !== "\\") count.bare++;
    }
    return this;
  }

  isEndAt(place: number, quote: string): boolean {
    this.read(place);
    const { all, bare } = this.#countOf(quote);
    return all % 2 === 0 || bare % 2 === 0;
  }

  isOdd(quote: string): boolean {
    const { all, bare } = this.#countOf(quote);
    return all % 2 === 1 || bare % 2 === 1;
  }

  #countOf(quote: string): { all: number; bare: number } {
    this.#counts[quote] ??= { all: 0, bare: 0 };
    return this.#counts[quote];
  }
}

/** Comments as white space; what one of MySQL's own (`/*!`) holds stays, because it is run. */
function withoutComments(text: string): string {
  const kept: string[] = [];
  let [from, hasBlocks, hasLines] = [0, true, true];
  const opener = /\/\*|--|#/g;
  for (let found = opener.exec(text); found !== null && (hasBlocks || hasLines); found = opener.exec(text)) {
    const { index } = found;
    const isBlock = found[0] === "/*";
    if (!(isBlock ? hasBlocks : hasLines)) continue;
    const close = isBlock ? text.indexOf("*/", index + 2) : text.indexOf("\n", index);
    if (close < 0) {
      if (isBlock) hasBlocks = false;
      else hasLines = false;
      continue;
    }
    const isRun = isBlock && text[index + 2] === "!";
    const inside = isRun ? text.slice(index + 3, close).replace(/^\d{1,6}/, "") : "";
    kept.push(text.slice(from, index), " ", inside, " ");
    from = close + (isBlock ? 2 : 1);
    opener.lastIndex = from;
  }
  return kept.join("") + text.slice(from);
}
